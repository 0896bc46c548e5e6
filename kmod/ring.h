/* SPDX-License-Identifier: GPL-2.0-only */
/* What a program sees of its transfers without asking: see ring.c. */
#ifndef KVX_RING_H
#define KVX_RING_H

#include <linux/mm_types.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/kvxfer.h>

struct eventfd_ctx;
struct kvx_agent;

/**
 * struct kvx_ring_entry - a completion that is to come, or that waits for room
 * @link: while it waits; under the ring's lock
 * @completion: the completion
 */
struct kvx_ring_entry {
	struct list_head link;
	struct kvxfer_completion completion;
};

/**
 * struct kvx_ring - an agent's completions
 * @lock: for what follows
 * @shared: the mapped memory, which the program may write as it likes; nothing is read of it but
 * its head
 * @entries: how many it has room for; constant
 * @tail: how many were put in
 * @backlog: those that wait for room
 * @nr_backlog: how many
 * @event: what counts completions; NULL for none; constant
 */
struct kvx_ring {
	spinlock_t lock;		/* see above */
	struct kvxfer_ring *shared;
	u32 entries;
	u32 tail;
	struct list_head backlog;
	u32 nr_backlog;
	struct eventfd_ctx *event;
};

int kvx_ring_setup(struct kvx_agent *agent, struct kvxfer_ring_setup *cmd);
struct kvx_ring_entry *kvx_ring_reserve(struct kvx_agent *agent, struct kvxfer_hdr *hdr);
void kvx_ring_put(struct kvx_agent *agent, struct kvx_ring_entry *entry);
bool kvx_ring_flush(struct kvx_agent *agent);
void kvx_ring_free(struct kvx_agent *agent);

void kvx_states_free(struct kvx_agent *agent);
u32 *kvx_state_word(struct kvx_agent *agent, u32 xfer);
void kvx_agent_signal(struct kvx_agent *agent);
void kvx_agent_wake(struct kvx_agent *agent);
int kvx_ring_mmap(struct kvx_agent *agent, struct vm_area_struct *vma);

#endif /* KVX_RING_H */
