// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a grant is told to peers: see share.h. The ranges are the pages from an entry's first granted
 * block to its last, those that meet as one; bases are counted from their beginnings. Where there
 * are pages between that no granted block lies in, it is noted which ones are meant.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "share.h"

/* The bytes from an entry's first granted block to its last, in its pool; and in which range. */
struct kvx_hull {
	u32 pool;
	u32 entry;
	u32 range;
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
			.start = first,
			.end = first + (grant->end - grant->first - 1) * layout->block_stride +
			       layout->region_bytes,
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
	u64 start;

	sort(hulls, layout->nr_entries, sizeof(*hulls), kvx_hull_compare, NULL);
	for (i = 0; i < layout->nr_entries; i++) {
		start = round_down(hulls[i].start, PAGE_SIZE);
		if (!range || hulls[i].pool != pool || start > range->start + range->bytes) {
			range = &share->ranges[share->nr_ranges++];
			range->pool = reg->pools[hulls[i].pool];
			range->start = start;
			pool = hulls[i].pool;
		}
		range->bytes = max(range->bytes,
				   round_up(hulls[i].end, PAGE_SIZE) - range->start);
		hulls[i].range = share->nr_ranges - 1;
		share->bases[hulls[i].entry] = kvx_place(hulls[i].range,
							 hulls[i].start - range->start);
	}
}

static void kvx_range_mark(struct kvx_range *range, u64 start, u64 end)
{
	const u64 first = (start - range->start) >> PAGE_SHIFT;

	bitmap_set(range->granted, first,
		   DIV_ROUND_UP_ULL(end - range->start, PAGE_SIZE) - first);
}

/* @nr blocks, with pages between them or without. */
static void kvx_range_mark_all(struct kvx_range *range, u64 start, u64 end, u64 stride, u32 nr,
			       bool solid)
{
	u32 b;

	if (solid) {
		kvx_range_mark(range, start, end + (nr - 1) * stride);
		return;
	}
	for (b = 0; b < nr; b++) {
		kvx_range_mark(range, start + b * stride, end + b * stride);
		cond_resched();
	}
}

/*
 * Regions between which there is no page are a run, which each block has. @mark false: where there
 * are pages between blocks, make what the others are marked in; true: mark them.
 */
static int kvx_share_runs(struct kvx_share *share, const struct kvx_hull *hulls, bool mark)
{
	const struct kvx_layout *layout = &share->grant->reg->layout;
	const u32 blocks = share->grant->end - share->grant->first;
	struct kvx_range *range;
	u64 start, end, pages;
	bool solid;
	u32 i, r;

	for (i = 0; i < layout->nr_entries;) {
		r = hulls[i].range;
		range = &share->ranges[r];
		start = hulls[i].start;
		do {
			end = hulls[i++].start + layout->region_bytes;
		} while (i < layout->nr_entries && hulls[i].range == r &&
			 hulls[i].start < end + PAGE_SIZE);
		solid = blocks == 1 || end - start + PAGE_SIZE > layout->block_stride;
		pages = range->bytes >> PAGE_SHIFT;
		if (mark && range->granted) {
			kvx_range_mark_all(range, start, end, layout->block_stride, blocks, solid);
		} else if (!mark && !solid && !range->granted) {
			if (pages <= INT_MAX)
				range->granted = kvcalloc(BITS_TO_LONGS(pages), sizeof(long),
							  KVX_GFP_LIST);
			if (!range->granted)
				return -ENOMEM;
		}
	}
	return 0;
}

/* Which pages of the ranges are meant, if there are others. */
static int kvx_share_mark(struct kvx_share *share, const struct kvx_hull *hulls)
{
	struct kvx_range *range;
	u32 r;

	if (kvx_share_runs(share, hulls, false))
		return -ENOMEM;
	kvx_share_runs(share, hulls, true);
	for (r = 0; r < share->nr_ranges; r++) {
		range = &share->ranges[r];
		/* What one entry has between its blocks the others may have. */
		if (!range->granted || !bitmap_full(range->granted, range->bytes >> PAGE_SHIFT))
			continue;
		kvfree(range->granted);
		range->granted = NULL;
	}
	return 0;
}

static void kvx_share_put(struct kvx_share *share)
{
	u32 r;

	if (!share)
		return;
	for (r = 0; r < share->nr_ranges; r++)
		kvfree(share->ranges[r].granted);
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
	if (kvx_share_mark(share, hulls))
		goto err_free;
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
