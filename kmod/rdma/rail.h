/* SPDX-License-Identifier: GPL-2.0-only */
/* A connection of two nodes: see rail.c. */
#ifndef KVX_RAIL_H
#define KVX_RAIL_H

#include <linux/inet.h>

#include "link.h"

#define KVX_LANES_MAX	8

struct kvx_msg;
struct kvx_net;

/**
 * enum kvx_rail_state - how far it has come
 * @KVX_RAIL_CONNECTING: the control link is being made
 * @KVX_RAIL_GREETING: it is up, and both say who they are
 * @KVX_RAIL_LANES: the lanes are being made
 * @KVX_RAIL_READY: it can be used
 * @KVX_RAIL_ENDING: it has failed, or is not wanted any more
 */
enum kvx_rail_state {
	KVX_RAIL_CONNECTING,
	KVX_RAIL_GREETING,
	KVX_RAIL_LANES,
	KVX_RAIL_READY,
	KVX_RAIL_ENDING,
};

/**
 * struct kvx_rail - a connection with another node
 * @ref: of itself until it has ended, and of whoever uses it
 * @link: in its peer's list; under the peer's lock
 * @stranger: in the list of those that others asked for and that are not ready; under a lock
 * of its own
 * @peer: with a reference
 * @net: in which network namespace of ours it is, with a reference
 * @active: it is this node that asked
 * @id: its number, by the place of @dst among the peer's addresses; negative while it has none
 * @siw: our device is soft-iWARP; set when it is known
 * @boot_id: of the other node; 0 while that is not known
 * @nonce: its name, by who asked
 * @src: our address; none when any will do
 * @dst: the other's
 * @our_token: what the other's lanes must bring
 * @their_token: what ours must
 * @name: what the other calls itself
 * @their_dev: the number of the other's device, as the other counts
 * @nr_lanes: how many
 * @lock: for what follows, to @out
 * @state: &enum kvx_rail_state
 * @failed: it is to end
 * @error: why: an errno
 * @refusal: why, if the other said so
 * @unanswered: the other end's answer was lost
 * @order: how often it had been ordered when this was begun
 * @was_ready: it could be used
 * @hello_sent: ours
 * @hello_came: theirs
 * @keyed: there was a cluster key when it began
 * @their_keyed: at the other
 * @challenge: what the other has to prove itself by
 * @their_challenge: what we have to
 * @proof_sent: ours
 * @proof_came: theirs
 * @their_proof: what they say
 * @proven: the other is who it says, as far as that is wanted
 * @refusing: it has been told why it will end: &enum kvxfer_refusal
 * @ready_sent: we have said that all lanes are there
 * @ready_came: the other has
 * @born: when it began, in jiffies
 * @credits: how many frames the other has room for
 * @owed: how many were taken that the other has not been told of
 * @out: how many frames are on their way
 * @heard: when something came, in jiffies
 * @asked: a beat was sent, and nothing has come since
 * @adopt: held while a lane comes, or @closed is set
 * @closed: no lane comes any more
 * @work: what happens to it, one after the other
 * @timer: what has to happen by a time
 * @next: which lane is to be filled next, for each direction; under the peer's flow lock
 * @bytes: what came and went, by &enum kvx_way
 * @met: of a refusal by another node than the one that was meant: its boot id
 * @fence: its number among those that were lost with what they wrote; 0 for none
 * @fence_link: in its peer's list of them; under the peer's flow lock, as is the next
 * @fence_quiet: the other has said that it is over
 * @quiesce: by which the other will be asked whether it is over
 * @quiesced: the answer, if the other wants to know when it is over; under the peer's lock, as is
 * the next
 * @stopped: nothing of it is on its way any more
 * @links: the control link, then the lanes
 */
struct kvx_rail {
	struct kref ref;
	struct list_head link;
	struct list_head stranger;
	struct kvx_peer *peer;
	struct kvx_net *net;
	bool active;
	int id;
	bool siw;
	u64 boot_id;
	u64 nonce;
	struct sockaddr_storage src;
	struct sockaddr_storage dst;
	u64 our_token;
	u64 their_token;
	char name[KVXFER_NAME_MAX];
	u32 their_dev;
	u32 nr_lanes;
	spinlock_t lock;		/* see above */
	enum kvx_rail_state state;
	bool failed;
	int error;
	enum kvxfer_refusal refusal;
	bool unanswered;
	u32 order;
	bool was_ready;
	bool hello_sent;
	bool hello_came;
	bool keyed;
	bool their_keyed;
	u8 challenge[KVX_CHALLENGE_BYTES];
	u8 their_challenge[KVX_CHALLENGE_BYTES];
	bool proof_sent;
	bool proof_came;
	u8 their_proof[KVX_PROOF_BYTES];
	bool proven;
	u32 refusing;
	bool ready_sent;
	bool ready_came;
	unsigned long born;
	u32 credits;
	u32 owed;
	u32 out;
	unsigned long heard;
	bool asked;
	struct mutex adopt;		/* see above */
	bool closed;
	struct work_struct work;
	struct delayed_work timer;
	u32 next[2];
	atomic64_t bytes[2];
	u64 met;
	u64 fence;
	struct list_head fence_link;
	bool fence_quiet;
	struct kvx_msg *quiesce;
	struct kvx_msg *quiesced;
	bool stopped;
	struct kvx_link links[1 + KVX_LANES_MAX];
};

extern unsigned int kvx_connect_ms;

/* rail.c, for link.c */
void kvx_rail_fail(struct kvx_rail *rail, int err, enum kvxfer_refusal refusal);
void kvx_rail_kick(struct kvx_rail *rail);
bool kvx_rail_receive(struct kvx_rail *rail, const void *frame, u32 bytes);
bool kvx_rail_receive_flush(struct kvx_rail *rail, u32 lane, const void *frame, u32 bytes);
void kvx_rail_took(struct kvx_rail *rail);
void kvx_rail_from(struct kvx_rail *rail, const struct sockaddr_storage *src);
int kvx_rail_answered(struct kvx_rail *rail, u64 boot_id);
enum kvxfer_refusal kvx_rail_asked(struct kvx_net *net, struct rdma_cm_id *id,
				   const struct kvx_wire_greeting *greeting,
				   const struct rdma_conn_param *asked);

/* rail.c, for peer.c */
void kvx_rail_connect(struct kvx_peer *peer, struct kvx_net *net,
		      const struct sockaddr_storage *dst);
void kvx_rail_put(struct kvx_rail *rail);
struct kvx_dev *kvx_rail_use_dev(struct kvx_rail *rail);
bool kvx_rail_lanes_up(const struct kvx_rail *rail);
bool __kvx_rail_post(struct kvx_rail *rail, struct kvx_msg *msg, u64 ack);
int kvx_rails_init(void);
void kvx_rails_quiesce(void);
void kvx_rails_exit(void);

/* stranger.c, for rail.c */
bool kvx_strangers_full(const struct kvx_net *net, const struct sockaddr_storage *from);
void kvx_stranger_add(struct kvx_rail *rail);
void kvx_stranger_del(struct kvx_rail *rail);

/* lane.c, for link.c */
int kvx_lane_make(struct kvx_link *link);
bool kvx_lane_writes(const struct kvx_link *link);
bool kvx_lane_flushed(struct kvx_rail *rail, u32 index, u32 token);
void kvx_lane_give_back(struct kvx_lane *lane);
void kvx_lane_free(struct kvx_link *link);

extern struct ib_client kvx_ib_client;

#endif /* KVX_RAIL_H */
