// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a grant is told to peers: see share.h. The ranges are the pages that the granted blocks lie
 * in, those that meet as one; bases are counted from their beginnings.
 */
#include <linux/slab.h>
#include <linux/sort.h>

#include "grant.h"
#include "layouts.h"
#include "share.h"

/* The bytes of an entry's granted blocks, in its pool. */
struct kvx_hull {
	u32 pool;
	u32 entry;
	u64 start;
	u64 end;
};

static int kvx_hull_compare(const void *pa, const void *pb)
{
	const struct kvx_hull *a = pa, *b = pb;

	if (a->pool != b->pool)
		return a->pool < b->pool ? -1 : 1;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return 0;
}

static void kvx_share_hulls(const struct kvx_grant *grant, struct kvx_hull *hulls)
{
	const struct kvx_layout *layout = &grant->reg->layout;
	u64 first;
	u32 e;

	for (e = 0; e < layout->nr_entries; e++) {
		first = kvx_place_offset(layout->base[e]) + grant->first * layout->block_stride;
		hulls[e] = (struct kvx_hull){
			.pool = kvx_place_pool(layout->base[e]),
			.entry = e,
			.start = round_down(first, PAGE_SIZE),
			.end = round_up(first + (grant->end - grant->first - 1) *
					layout->block_stride + layout->region_bytes, PAGE_SIZE),
		};
	}
}

/* Hulls that meet are of one range. */
static void kvx_share_merge(struct kvx_share *share, struct kvx_hull *hulls)
{
	const struct kvx_registered *reg = share->grant->reg;
	const struct kvx_layout *layout = &reg->layout;
	struct kvx_range *range = NULL;
	u32 i, pool = 0;
	u64 first;

	sort(hulls, layout->nr_entries, sizeof(*hulls), kvx_hull_compare, NULL);
	for (i = 0; i < layout->nr_entries; i++) {
		if (!range || hulls[i].pool != pool ||
		    hulls[i].start > range->start + range->bytes) {
			range = &share->ranges[share->nr_ranges++];
			range->pool = reg->pools[hulls[i].pool];
			range->start = hulls[i].start;
			pool = hulls[i].pool;
		}
		range->bytes = max(range->bytes, hulls[i].end - range->start);
		first = kvx_place_offset(layout->base[hulls[i].entry]) +
			share->grant->first * layout->block_stride;
		share->bases[hulls[i].entry] = kvx_place(share->nr_ranges - 1,
							 first - range->start);
	}
}

static void kvx_share_put(struct kvx_share *share)
{
	if (!share)
		return;
	kvfree(share->ranges);
	kvfree(share->bases);
	kfree(share);
}

/**
 * kvx_share_new() - how a grant is to be told
 * @grant: the grant, which is to have it
 * @expire: what is done when its time is over
 *
 * Context: process, may sleep.
 * Return: the share, for kvx_share_free(); or NULL.
 */
struct kvx_share *kvx_share_new(struct kvx_grant *grant, work_func_t expire)
{
	const u32 entries = grant->reg->layout.nr_entries;
	struct kvx_share *share = kzalloc(sizeof(*share), GFP_KERNEL_ACCOUNT);
	struct kvx_hull *hulls;

	hulls = kvmalloc_array(entries, sizeof(*hulls), GFP_KERNEL);
	if (!share || !hulls)
		goto err_free;
	share->ranges = kvcalloc(entries, sizeof(*share->ranges), GFP_KERNEL_ACCOUNT);
	share->bases = kvcalloc(entries, sizeof(*share->bases), GFP_KERNEL_ACCOUNT);
	if (!share->ranges || !share->bases)
		goto err_free;
	INIT_LIST_HEAD(&share->served);
	INIT_LIST_HEAD(&share->holds);
	INIT_DELAYED_WORK(&share->expire, expire);
	share->grant = grant;
	kvx_share_hulls(grant, hulls);
	kvx_share_merge(share, hulls);
	kvfree(hulls);
	return share;

err_free:
	kvfree(hulls);
	kvx_share_put(share);
	return NULL;
}

/**
 * kvx_share_free() - a grant is no more
 * @grant: which nobody has
 *
 * Context: process, may sleep.
 */
void kvx_share_free(struct kvx_grant *grant)
{
	kvx_share_put(grant->share);
}
