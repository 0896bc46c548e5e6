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
 * Return: KVX_LAYOUT_OK, or which field is wrong.
 */
enum kvx_layout_error kvx_layout_init(struct kvx_layout *layout, const struct kvx_geometry *geo)
{
	__u64 region, all;

	if (!geo->num_blocks)
		return KVX_LAYOUT_BLOCKS;
	if (!geo->num_layers)
		return KVX_LAYOUT_LAYERS;
	if (!geo->outer_dim || geo->outer_dim > KVX_OUTER_MAX)
		return KVX_LAYOUT_OUTER;
	if (!geo->page_size)
		return KVX_LAYOUT_PAGE;
	if (!geo->inner_dim)
		return KVX_LAYOUT_INNER;
	if (!geo->dtype_width || geo->dtype_width > KVX_DTYPE_WIDTH_MAX)
		return KVX_LAYOUT_DTYPE;
	if (!geo->alignment)
		return KVX_LAYOUT_ALIGNMENT;
	if (geo->format < KVX_FORMAT_NHD || geo->format > KVX_FORMAT_OPAQUE)
		return KVX_LAYOUT_FORMAT;
	if (geo->num_layers > KVX_ENTRIES_MAX / geo->outer_dim)
		return KVX_LAYOUT_ENTRIES;
	if (__builtin_mul_overflow((__u64)geo->page_size * geo->inner_dim,
				   (__u64)geo->dtype_width, &region) ||
	    __builtin_mul_overflow(region, (__u64)geo->num_layers * geo->outer_dim, &all) ||
	    __builtin_mul_overflow(all, (__u64)geo->num_blocks, &all))
		return KVX_LAYOUT_OVERFLOW;
	layout->geo = *geo;
	layout->nr_entries = geo->num_layers * geo->outer_dim;
	layout->region_bytes = region;
	layout->block_stride = 0;
	return KVX_LAYOUT_OK;
}

/**
 * kvx_layout_bases() - fill in where the entries are
 * @layout: from kvx_layout_init(), with room for its bases
 * @kind: what the bases that are given are of
 * @given: places
 * @nr_given: how many
 * @stride: with KVX_LAYOUT_TABLE, from block to block; else it is not looked at
 * @index: set with an error that has one
 *
 * What comes out has yet to pass kvx_layout_check().
 *
 * Context: any.
 * Return: KVX_LAYOUT_OK, or what is wrong.
 */
enum kvx_layout_error kvx_layout_bases(struct kvx_layout *layout, enum kvx_layout_kind kind,
				       const __u64 *given, __u32 nr_given, __u64 stride,
				       __u32 *index)
{
	const __u64 region = layout->region_bytes;
	const __u32 outer = layout->geo.outer_dim;
	__u64 step = region;
	__u32 per_given, e;

	/* No product here overflows: kvx_layout_init() has tried a larger one. */
	switch (kind) {
	case KVX_LAYOUT_CONTIGUOUS:
		per_given = layout->nr_entries;
		stride = region * layout->nr_entries;
		break;
	case KVX_LAYOUT_BLOCK_FIRST:
		per_given = outer;
		stride = region * outer;
		break;
	case KVX_LAYOUT_BLOCK_SECOND:
		per_given = outer;
		stride = region;
		step = region * layout->geo.num_blocks;
		break;
	case KVX_LAYOUT_TABLE:
	default:
		per_given = 1;
		break;
	}
	*index = layout->nr_entries / per_given;
	if (nr_given != *index)
		return KVX_LAYOUT_BASES;
	if (stride < region)
		return KVX_LAYOUT_STRIDE;
	for (*index = 0; *index < nr_given; ++*index)
		if (kvx_place_offset(given[*index]) % layout->geo.alignment)
			return KVX_LAYOUT_ALIGNMENT;
	layout->block_stride = stride;
	for (e = 0; e < layout->nr_entries; e++)
		if (__builtin_add_overflow(given[e / per_given], e % per_given * step,
					   &layout->base[e]) ||
		    kvx_place_pool(layout->base[e]) != kvx_place_pool(given[e / per_given])) {
			*index = e;
			return KVX_LAYOUT_BOUNDS;
		}
	return KVX_LAYOUT_OK;
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
 * kvx_layout_check() - does it lie within its pools, each region for itself?
 * @layout: with its bases
 * @pool_bytes: how large each pool is
 * @nr_pools: how many there are
 * @index: set with an error that has one
 *
 * Context: any; the time is up to the square of the entries.
 * Return: KVX_LAYOUT_OK, or what is wrong.
 */
enum kvx_layout_error kvx_layout_check(const struct kvx_layout *layout, const __u64 *pool_bytes,
				       __u32 nr_pools, __u32 *index)
{
	__u64 extent;
	__u32 e, f;

	/* A stride that was given may be any number. */
	if (__builtin_mul_overflow((__u64)layout->geo.num_blocks - 1, layout->block_stride,
				   &extent) ||
	    __builtin_add_overflow(extent, layout->region_bytes, &extent))
		return KVX_LAYOUT_OVERFLOW;
	for (e = 0; e < layout->nr_entries; e++) {
		const __u64 base = layout->base[e];
		const __u32 pool = kvx_place_pool(base);

		*index = e;
		if (pool >= nr_pools)
			return KVX_LAYOUT_POOL;
		if (extent > pool_bytes[pool] ||
		    kvx_place_offset(base) > pool_bytes[pool] - extent)
			return KVX_LAYOUT_BOUNDS;
		for (f = 0; f < e; f++)
			if (kvx_place_pool(layout->base[f]) == pool &&
			    kvx_layout_rows_meet(layout, layout->base[f], base))
				return KVX_LAYOUT_OVERLAP;
	}
	return KVX_LAYOUT_OK;
}
