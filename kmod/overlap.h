/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * overlap: are bytes that a transfer reads among those that it writes? Pure, as abi.h says it.
 *
 * By bytes, not by name: two layouts may be two views of one pool. For each destination entry and
 * each source entry the blocks of both are gone through once, in order; most pairs need less.
 */
#ifndef KVX_OVERLAP_H
#define KVX_OVERLAP_H

#include "cursor.h"

/**
 * struct kvx_overlap - a look at a shape
 * @shape: approved of
 * @pause: called now and then, as this may take long; says whether to give up. NULL for none
 * @dst_pool: for each pool of the source's layout, which of the destination's it is; KVX_NO_POOL:
 * none
 * @dst_same: for each pool of the destination's, the first of them that is of the same memory
 * @src_ids: the source's ids, sorted; the caller's room
 * @dst_ids: the destination's
 * @apart: how far the pair of entries was apart that was last found not to meet
 * @apart_valid: there was one
 * @steps: how many were made
 * @given_up: @pause has said so, and what was answered since means nothing
 */
struct kvx_overlap {
	const struct kvx_shape *shape;
	bool (*pause)(void);
	const __u32 *dst_pool;
	const __u32 *dst_same;
	__u32 *src_ids;
	__u32 *dst_ids;
	__u64 apart;
	bool apart_valid;
	__u32 steps;
	bool given_up;
};

#define KVX_NO_POOL	(~0U)

void kvx_overlap_init(struct kvx_overlap *overlap);
bool kvx_overlap_pair(struct kvx_overlap *overlap, __u32 dst_entry, __u32 src_entry);

#endif /* KVX_OVERLAP_H */
