/* SPDX-License-Identifier: GPL-2.0-only */
/* Agents that another node waits for: see watch.c. */
#ifndef KVX_WATCH_H
#define KVX_WATCH_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct kvx_agent;
struct kvx_peer;

/* For the lists and tables of watch.c, and for who waits for an agent, of whichever node. */
extern spinlock_t kvx_watch_lock;

int kvx_watch(struct kvx_peer *peer, u64 worker_id, u64 epoch, struct list_head *await);
int kvx_watch_came(struct kvx_peer *peer, const void *frame);
bool kvx_watch_left(struct kvx_peer *peer, const void *frame);
void kvx_watches_tell(struct kvx_agent *agent);
void kvx_watches_gone(struct kvx_peer *peer, int error);

#endif /* KVX_WATCH_H */
