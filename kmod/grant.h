/* SPDX-License-Identifier: GPL-2.0-only */
/* Grants, and what is imported by them: see grant.c. */
#ifndef KVX_GRANT_H
#define KVX_GRANT_H

#include <linux/kref.h>
#include <linux/xarray.h>
#include <linux/kvxfer.h>

#include "gate.h"

struct kvx_agent;
struct kvx_peer;
struct kvx_registered;
struct kvx_share;

/**
 * struct kvx_grant - the right to blocks of a layout; constant but for its gate
 * @ref: of its layout's list, of each import and of each transfer
 * @reg: the layout, with a reference
 * @link: in the layout's list; under its grants_lock
 * @key: whoever has it has the right
 * @rights: KVXFER_GRANT_*
 * @first: the first block
 * @end: behind the last
 * @expires_ns: when it ends, by CLOCK_MONOTONIC; U64_MAX for never
 * @gate: what is revoked
 * @share: how peers have it; NULL while none has
 */
struct kvx_grant {
	struct kref ref;
	struct kvx_registered *reg;
	struct list_head link;
	u64 key[2];
	u32 rights;
	u32 first;
	u32 end;
	u64 expires_ns;
	struct kvx_gate gate;
	struct kvx_share *share;
};

/**
 * struct kvx_import - another agent, as one has imported it
 * @next: another one that has the same worker_id, on another node; under the agent's imports_lock
 * @worker_id: the other's
 * @epoch: the other's
 * @peer: its node, with a reference, and wanted; NULL for this one
 * @grants: by the layouts' ids
 */
struct kvx_import {
	struct kvx_import *next;
	u64 worker_id;
	u64 epoch;
	struct kvx_peer *peer;
	struct xarray grants;
};

/**
 * struct kvx_who - who is meant, with references
 * @here: an agent of this node; or NULL
 * @peer: the node of another; or NULL
 * @epoch: of the agent
 */
struct kvx_who {
	struct kvx_agent *here;
	struct kvx_peer *peer;
	u64 epoch;
};

void kvx_grant_put(struct kvx_grant *grant);
struct kvx_grant *kvx_grant_new(struct kvx_registered *reg, u32 rights, u32 first, u32 end,
				u64 expires_ns);
bool kvx_grant_key_is(const struct kvx_grant *grant, const u8 *key);
struct kvx_grant *kvx_grant_find(struct kvx_registered *reg, const u8 *key);
void kvx_grants_close(struct kvx_registered *reg);
struct kvx_grant *kvx_import_find(struct kvx_agent *agent, u64 worker_id, u64 rest, int *err);
void kvx_imports_drop(struct kvx_agent *agent);

int kvx_grant(struct kvx_agent *agent, struct kvxfer_grant *cmd, struct kvx_grant **out);
void kvx_granted(struct kvx_agent *agent, struct kvx_grant *grant);
void kvx_grant_undo(struct kvx_agent *agent, struct kvx_grant *grant);
int kvx_revoke(struct kvx_agent *agent, struct kvxfer_revoke *cmd);
int kvx_layout_import(struct kvx_agent *agent, struct kvxfer_layout_import *cmd);
int kvx_layout_forget(struct kvx_agent *agent, struct kvxfer_layout_forget *cmd);

/* who.c */
int kvx_who_met(struct kvx_agent *agent, u64 worker_id, const struct kvx_agent *other);
void kvx_who_drop(struct kvx_agent *agent);
int kvx_who_find(struct kvx_agent *agent, u64 worker_id, u64 epoch, bool want, u32 unknown,
		 struct kvxfer_hdr *hdr, struct kvx_who *who);

#endif /* KVX_GRANT_H */
