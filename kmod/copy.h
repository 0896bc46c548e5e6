/* SPDX-License-Identifier: GPL-2.0-only */
/* The local path: bytes copied by the CPUs. See copy.c. */
#ifndef KVX_COPY_H
#define KVX_COPY_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#include "cursor.h"
#include "transport.h"

struct kvx_copy;
struct kvx_pool;

/* Up to here the caller copies; a worker would take longer to wake up. */
#define KVX_COPY_INLINE		(256 << 10)

extern const struct kvx_transport_ops kvx_copy_ops;

/* Of how many parts a copy may be: what its memory allows, see xfer.c. */
#define KVX_COPY_PARTS_MAX	8

/**
 * struct kvx_copy_queue - the copies of one agent that wait for a CPU
 * @link: among the queues that have parts
 * @parts: those that wait, in order
 *
 * Both are under kvx_copy_lock.
 */
struct kvx_copy_queue {
	struct list_head link;
	struct list_head parts;
};

/**
 * struct kvx_copy_part - what one CPU at a time copies
 * @copy: of which
 * @link: in the agent's queue, while it waits; under kvx_copy_lock
 * @lock: held while bytes are written
 * @cursor: where it is; under @lock
 * @bytes: how many it has written; under @lock
 */
struct kvx_copy_part {
	struct kvx_copy *copy;
	struct list_head link;
	spinlock_t lock;		/* see above */
	struct kvx_cursor cursor;
	u64 bytes;
};

/**
 * struct kvx_copy - a copy
 * @job: what the transfer knows of it. Nothing is written once its @stop is set and the transport's
 * stop has returned
 * @queue: of its agent
 * @src_pools: what the source's places are in
 * @dst_pools: what the destination's are in
 * @left: how many parts have not
 * @nr: how many there are
 * @parts: they
 */
struct kvx_copy {
	struct kvx_job job;
	struct kvx_copy_queue *queue;
	struct kvx_pool **src_pools;
	struct kvx_pool **dst_pools;
	atomic_t left;
	u32 nr;
	struct kvx_copy_part parts[];
};

void kvx_copy_queue_init(struct kvx_copy_queue *queue);
u32 kvx_copy_parts(const struct kvx_shape *shape);
void kvx_copy_init(struct kvx_copy *copy, u32 nr);

int kvx_copy_engine_init(void);
void kvx_copy_engine_exit(void);

#endif /* KVX_COPY_H */
