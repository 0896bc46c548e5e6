/* SPDX-License-Identifier: GPL-2.0-only */
/* Layouts that agents have registered: see layouts.c. */
#ifndef KVX_LAYOUTS_H
#define KVX_LAYOUTS_H

#include <linux/kref.h>

#include "gate.h"
#include "layout.h"

struct kvx_agent;
struct kvx_pool;
struct kvx_remote;

/**
 * struct kvx_registered - a layout, and the pools that it is in; constant but for gate and grants
 * @ref: of the agent, and of whoever uses it
 * @id: in its agent
 * @kind: as it was registered
 * @worker_id: first word of its handle
 * @rest: second word
 * @layout: where blocks are
 * @pools: which pools its places are in, each with a reference until the gate is quiet
 * @nr_pools: how many
 * @write: all of them were open for both ways
 * @dmabufs: some of them are of dma-bufs
 * @dropped: the pools have been let go
 * @remote: it is a peer's, and has no pools; NULL for one of this node's
 * @gate: which transfers pass
 * @grants_lock: for what follows
 * @grants: others' rights to it
 * @nr_grants: how many, those among them that are being made
 * @grants_closed: there are no more to come
 */
struct kvx_registered {
	struct kref ref;
	u32 id;
	u32 kind;
	u64 worker_id;
	u64 rest;
	struct kvx_layout layout;
	struct kvx_pool **pools;
	u32 nr_pools;
	bool write;
	bool dmabufs;
	bool dropped;
	struct kvx_remote *remote;
	struct kvx_gate gate;
	spinlock_t grants_lock;		/* see above */
	struct list_head grants;
	u32 nr_grants;
	bool grants_closed;
};

struct kvx_registered *kvx_layout_get(struct kvx_agent *agent, u32 id);
void kvx_layout_put(struct kvx_registered *reg);
struct kvx_registered *kvx_layout_new_remote(struct kvx_remote *remote,
					     const struct kvx_geometry *geo, u32 kind,
					     u64 stride, u32 *reason);
struct kvx_registered *kvx_layout_new_range(struct kvx_agent *agent, u32 handle, u64 offset,
					    u64 bytes, struct kvxfer_hdr *hdr);
void kvx_layout_registered(struct kvx_agent *agent, struct kvx_registered *reg);
void kvx_layout_undo(struct kvx_agent *agent, struct kvx_registered *reg);
void kvx_layouts_drop(struct kvx_agent *agent);

int kvx_layout_register(struct kvx_agent *agent, struct kvxfer_layout_register *cmd,
			struct kvx_registered **out);
int kvx_layout_unregister(struct kvx_agent *agent, struct kvxfer_layout_unregister *cmd);
int kvx_layout_stat(struct kvx_agent *agent, struct kvxfer_layout_stat *cmd);

#endif /* KVX_LAYOUTS_H */
