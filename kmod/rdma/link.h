/* SPDX-License-Identifier: GPL-2.0-only */
/* One connection of a rail: see link.c. */
#ifndef KVX_LINK_H
#define KVX_LINK_H

#include "rdma.h"

struct kvx_lane;

/* Work requests that a control link may have posted: frames, registrations, and an end. */
#define KVX_CONTROL_SENDS	(2 * KVX_FRAME_CREDITS + 64)
#define KVX_CONTROL_RECVS	(2 * KVX_FRAME_CREDITS)
/* And a lane. */
#define KVX_LANE_SENDS		64
#define KVX_LANE_RECVS		4
#define KVX_LANE_SGE		16

/**
 * struct kvx_recv - room for a frame
 * @cqe: what is told when one has come
 * @link: whose
 * @dma: where it is for the device
 * @frame: where it is
 */
struct kvx_recv {
	struct ib_cqe cqe;
	struct kvx_link *link;
	u64 dma;
	void *frame;
};

/**
 * struct kvx_link - one queue pair
 * @rail: whose
 * @index: 0 for the control link; else which lane
 * @id: the connection manager's; NULL before and after
 * @dev: on which device; from when its address is known to its end
 * @cq: where its completions are told
 * @lock: held by who posts
 * @up: both ends know that it is connected
 * @broken: nothing is posted any more; set under @lock
 * @recvs: the control link's; and, on iWARP, those of lanes by which is written
 * @nr_recvs: how many
 * @reg_lock: held by who makes keys or ends them
 * @reg_done: which is told here
 * @reg_status: how it went
 * @lane: a lane's; NULL for the control link
 */
struct kvx_link {
	struct kvx_rail *rail;
	u32 index;
	struct rdma_cm_id *id;
	struct kvx_dev *dev;
	struct ib_cq *cq;
	spinlock_t lock;		/* see above */
	bool up;
	bool broken;
	struct kvx_recv *recvs;
	u32 nr_recvs;
	struct mutex reg_lock;		/* see above */
	struct completion reg_done;
	enum ib_wc_status reg_status;
	struct kvx_lane *lane;
};

void kvx_link_init(struct kvx_link *link, struct kvx_rail *rail, u32 index);
int kvx_link_connect(struct kvx_link *link);
int kvx_link_accept(struct kvx_link *link, struct rdma_cm_id *id,
		    const struct rdma_conn_param *asked);
void kvx_link_stop(struct kvx_link *link);
void kvx_link_end(struct kvx_link *link);
int kvx_link_send(struct kvx_link *link, struct ib_cqe *cqe, u64 dma, u32 bytes);
void kvx_link_failed(struct kvx_link *link, enum ib_wc_status status);
int kvx_link_register(struct kvx_link *link, struct ib_mr **mrs, u32 nr, int access);
int kvx_link_invalidate(struct kvx_link *link, struct ib_mr **mrs, u32 nr);

#endif /* KVX_LINK_H */
