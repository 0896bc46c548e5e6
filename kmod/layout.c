// SPDX-License-Identifier: GPL-2.0-only
/* Pure: see layout.h. */
#ifdef __KERNEL__
#include <linux/stddef.h>
#else
#include <stdbool.h>
#include <stddef.h>
#endif

#include "layout.h"

/**
 * kvx_layout_init() - take a geometry
 * @layout: all but its bases and its stride are set
 * @geo: as it was told
 *
 * Context: any.
 * Return: 0, or &enum kvxfer_reason for the field that is wrong.
 */
__u32 kvx_layout_init(struct kvx_layout *layout, const struct kvx_geometry *geo)
{
	__u64 region, all;

	if (!geo->num_blocks)
		return KVXFER_REASON_LAYOUT_BLOCKS;
	if (!geo->num_layers)
		return KVXFER_REASON_LAYOUT_LAYERS;
	if (!geo->outer_dim || geo->outer_dim > KVX_OUTER_MAX)
		return KVXFER_REASON_LAYOUT_OUTER;
	if (!geo->page_size)
		return KVXFER_REASON_LAYOUT_PAGE;
	if (!geo->inner_dim)
		return KVXFER_REASON_LAYOUT_INNER;
	if (!geo->dtype_width || geo->dtype_width > KVX_DTYPE_WIDTH_MAX)
		return KVXFER_REASON_LAYOUT_DTYPE;
	if (!geo->alignment)
		return KVXFER_REASON_LAYOUT_ALIGNMENT;
	if (geo->format < KVXFER_FORMAT_NHD || geo->format > KVXFER_FORMAT_OPAQUE)
		return KVXFER_REASON_LAYOUT_FORMAT;
	if (geo->num_layers > KVXFER_LAYOUT_ENTRIES_MAX / geo->outer_dim)
		return KVXFER_REASON_LAYOUT_ENTRIES;
	if (__builtin_mul_overflow((__u64)geo->page_size * geo->inner_dim,
				   (__u64)geo->dtype_width, &region) ||
	    __builtin_mul_overflow(region, (__u64)geo->num_layers * geo->outer_dim, &all) ||
	    __builtin_mul_overflow(all, (__u64)geo->num_blocks, &all))
		return KVXFER_REASON_LAYOUT_OVERFLOW;
	layout->geo = *geo;
	layout->nr_entries = geo->num_layers * geo->outer_dim;
	layout->region_bytes = region;
	layout->block_stride = 0;
	return 0;
}

/**
 * kvx_layout_bases() - fill in where the entries are
 * @layout: from kvx_layout_init(), with room for its bases
 * @kind: &enum kvxfer_layout_kind, which says what the bases that are given are of
 * @given: places
 * @nr_given: how many
 * @stride: with KVXFER_LAYOUT_TABLE, from block to block; else it is not looked at
 * @index: set with an error that has one
 *
 * What comes out has yet to pass kvx_layout_check().
 *
 * Context: any.
 * Return: 0, or &enum kvxfer_reason.
 */
__u32 kvx_layout_bases(struct kvx_layout *layout, __u32 kind, const __u64 *given, __u32 nr_given,
		       __u64 stride, __u32 *index)
{
	const __u64 region = layout->region_bytes;
	const __u32 outer = layout->geo.outer_dim;
	__u64 step = region;
	__u32 per_given, e;

	/* No product here overflows: kvx_layout_init() has tried a larger one. */
	switch (kind) {
	case KVXFER_LAYOUT_CONTIGUOUS:
		per_given = layout->nr_entries;
		stride = region * layout->nr_entries;
		break;
	case KVXFER_LAYOUT_BLOCK_FIRST:
		per_given = outer;
		stride = region * outer;
		break;
	case KVXFER_LAYOUT_BLOCK_SECOND:
		per_given = outer;
		stride = region;
		step = region * layout->geo.num_blocks;
		break;
	case KVXFER_LAYOUT_TABLE:
		per_given = 1;
		break;
	default:
		return KVXFER_REASON_LAYOUT_KIND;
	}
	*index = layout->nr_entries / per_given;
	if (nr_given != *index)
		return KVXFER_REASON_LAYOUT_BASES;
	if (stride < region || stride > KVX_PLACE_MASK) {
		*index = 0;
		return KVXFER_REASON_LAYOUT_STRIDE;
	}
	for (*index = 0; *index < nr_given; ++*index)
		if (kvx_place_offset(given[*index]) % layout->geo.alignment)
			return KVXFER_REASON_LAYOUT_BASE_ALIGNMENT;
	layout->block_stride = stride;
	for (e = 0; e < layout->nr_entries; e++)
		if (__builtin_add_overflow(given[e / per_given], e % per_given * step,
					   &layout->base[e]) ||
		    kvx_place_pool(layout->base[e]) != kvx_place_pool(given[e / per_given])) {
			*index = e;
			return KVXFER_REASON_LAYOUT_BOUNDS;
		}
	return 0;
}

/* Two rows of regions, with the same stride: do they meet? */
static bool kvx_layout_rows_meet(const struct kvx_layout *layout, __u64 a, __u64 b)
{
	const __u64 apart = a < b ? b - a : a - b;
	const __u64 blocks = apart / layout->block_stride, rest = apart % layout->block_stride;

	if (blocks < layout->geo.num_blocks && rest < layout->region_bytes)
		return true;
	return blocks + 1 < layout->geo.num_blocks &&
	       layout->block_stride - rest < layout->region_bytes;
}

/**
 * kvx_layout_check() - does an entry lie within its pool, and apart from the entries before it?
 * @layout: with its bases
 * @pool_bytes: how large each pool is
 * @nr_pools: how many there are
 * @entry: which one; a layout is sound when all are
 *
 * Context: any; the time follows the number of entries.
 * Return: 0, or &enum kvxfer_reason.
 */
__u32 kvx_layout_check(const struct kvx_layout *layout, const __u64 *pool_bytes, __u32 nr_pools,
		       __u32 entry)
{
	const __u64 base = layout->base[entry];
	const __u32 pool = kvx_place_pool(base);
	__u64 extent;
	__u32 e;

	/* A stride that was given may be any number. */
	if (__builtin_mul_overflow((__u64)layout->geo.num_blocks - 1, layout->block_stride,
				   &extent) ||
	    __builtin_add_overflow(extent, layout->region_bytes, &extent))
		return KVXFER_REASON_LAYOUT_OVERFLOW;
	if (pool >= nr_pools)
		return KVXFER_REASON_LAYOUT_BOUNDS;
	if (extent > pool_bytes[pool] || kvx_place_offset(base) > pool_bytes[pool] - extent)
		return KVXFER_REASON_LAYOUT_BOUNDS;
	for (e = 0; e < entry; e++)
		if (kvx_place_pool(layout->base[e]) == pool &&
		    kvx_layout_rows_meet(layout, layout->base[e], base))
			return KVXFER_REASON_LAYOUT_OVERLAP;
	return 0;
}
