/* SPDX-License-Identifier: GPL-2.0-only */
/* How a grant is told to peers: see share.c, and serve.c for who is told. */
#ifndef KVX_SHARE_H
#define KVX_SHARE_H

#include <linux/list.h>
#include <linux/workqueue.h>

#include "rdma/rdma.h"

struct kvx_grant;

/**
 * struct kvx_share - how a grant is told to peers; constant but for who has it
 * @cut: nobody any more; set under kvx_serve_lock
 * @served: who has it; under kvx_serve_lock
 * @holds: by what keys; under kvx_serve_lock
 * @nr_ranges: how many ranges
 * @ranges: they
 * @bases: where the first granted block of each entry is
 * @expire: when its time is over
 * @grant: which, without a reference
 */
struct kvx_share {
	bool cut;
	struct list_head served;
	struct list_head holds;
	u32 nr_ranges;
	struct kvx_range *ranges;
	u64 *bases;
	struct delayed_work expire;
	struct kvx_grant *grant;
};

struct kvx_share *kvx_share_new(struct kvx_grant *grant, work_func_t expire);
void kvx_share_free(struct kvx_grant *grant);

#endif /* KVX_SHARE_H */
