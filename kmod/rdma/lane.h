/* SPDX-License-Identifier: GPL-2.0-only */
/* Data on its way to and from peers: see lane.c and flow.c. */
#ifndef KVX_LANE_H
#define KVX_LANE_H

#include "../cursor.h"
#include "../transport.h"
#include "link.h"

struct kvx_peer;
struct kvx_registered;
struct kvx_remote;

/**
 * enum kvx_way - which way bytes go
 * @KVX_WAY_READ: to this node
 * @KVX_WAY_WRITE: to the peer
 * @KVX_WAYS: how many there are
 */
enum kvx_way {
	KVX_WAY_READ,
	KVX_WAY_WRITE,
	KVX_WAYS,
};

/**
 * struct kvx_flow - a run that goes to or from a peer
 * @job: what the transfer knows of it
 * @peer: with a reference
 * @remote: the peer's layout
 * @local: ours
 * @way: which way
 * @rails: by which rails only, as a mask; 0 for the nearest
 * @node: the NUMA node of all of our memory; or none
 * @link: among those that wait for a lane, or for something else; under the peer's flow_lock, as
 * is what follows to @error
 * @busy: how many work requests are on their way, and who works with it
 * @posted: how many of those are work requests
 * @taken: somebody works with it: it is in no list, and @cursor and @rest are that one's
 * @exhausted: there is nothing left but @redo
 * @running: it has begun and has not ended
 * @redo: segments that were lost with their rail
 * @bytes: how many are where they should be
 * @used: by which rails, as a mask
 * @fence: the last of the rails that were lost with what it wrote; 0 for none
 * @hurry: it was to stop and has to do so soon
 * @cut: rails were ended because it did not stop
 * @unconfirmed: of one of them nobody could say that it is over
 * @error: why it failed: a positive errno
 * @reason: &enum kvxfer_reason
 * @cursor: where it is
 * @rest: of the segment that it is in
 * @prepare: makes the pools reachable for the devices
 * @stuck: what happens if it shall stop and does not
 */
struct kvx_flow {
	struct kvx_job job;
	struct kvx_peer *peer;
	struct kvx_remote *remote;
	struct kvx_registered *local;
	enum kvx_way way;
	u32 rails;
	int node;
	struct list_head link;
	u32 busy;
	u32 posted;
	bool taken;
	bool exhausted;
	bool running;
	struct list_head redo;
	u64 bytes;
	u32 used;
	u64 fence;
	bool hurry;
	bool cut;
	bool unconfirmed;
	u32 error;
	u32 reason;
	struct kvx_cursor cursor;
	struct kvx_segment rest;
	struct work_struct prepare;
	struct delayed_work stuck;
};

/**
 * struct kvx_redo - a segment that has to be sent again
 * @link: in its flow's list
 * @segment: it
 */
struct kvx_redo {
	struct list_head link;
	struct kvx_segment segment;
};

/**
 * struct kvx_request - a work request of a lane
 * @cqe: what is told when it is done
 * @lane: whose
 * @wr: as it is posted
 * @sge: our places, as the device has them
 * @local: the same, as the layout has them
 * @remote: the peer's place
 * @bytes: how many
 * @flow: of which
 */
struct kvx_request {
	struct ib_cqe cqe;
	struct kvx_lane *lane;
	struct ib_rdma_wr wr;
	struct ib_sge sge[KVX_LANE_SGE];
	u64 local[KVX_LANE_SGE];
	u64 remote;
	u32 bytes;
	struct kvx_flow *flow;
};

/**
 * struct kvx_lane - a queue pair for data, and what is posted on it
 * @link: the queue pair
 * @way: which way its bytes go
 * @lock: for what follows
 * @claimed: somebody fills it
 * @idle: woken when nobody does any more, or has an answer
 * @head: how many were posted, ever
 * @tail: how many of them are done
 * @bytes: how many are on their way
 * @sent: on iWARP: how many have been sent, of which is not known whether they are there
 * @asked: on iWARP: about how many the other has been asked
 * @flushing: it has not answered yet
 * @retiring: its answer is looked at
 * @slots: of which the one that is posted next is at @head
 */
struct kvx_lane {
	struct kvx_link *link;
	enum kvx_way way;
	spinlock_t lock;		/* see above */
	bool claimed;
	wait_queue_head_t idle;
	u32 head;
	u32 tail;
	u32 bytes;
	u32 sent;
	u32 asked;
	bool flushing;
	bool retiring;
	struct kvx_request slots[KVX_LANE_SENDS];
};

/* lane.c */
struct kvx_lane *kvx_lane_claim(struct kvx_peer *peer, const struct kvx_flow *flow);
void kvx_lane_unclaim(struct kvx_lane *lane);
int kvx_lane_fill(struct kvx_lane *lane, struct kvx_flow *flow, u32 budget);

/* flow.c */
bool kvx_flow_next(struct kvx_flow *flow);
void kvx_flow_fence(struct kvx_flow *flow, u64 fence);
void kvx_flow_posted(struct kvx_flow *flow, u32 nr, int rail);
void kvx_flow_retire(struct kvx_flow *flow, u32 nr, u64 bytes, struct list_head *redo,
		     u32 error, u32 reason);
void kvx_flows_pump(struct kvx_peer *peer, enum kvx_way way);
void kvx_flows_room(struct kvx_peer *peer, enum kvx_way way);

#endif /* KVX_LANE_H */
