/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * layout: where in pools the blocks of a KV cache are. Pure, as abi.h says it.
 *
 * A *region* is one (block, layer, outer): page_size * inner_dim * dtype_width bytes in a row. A
 * *place* is a byte of a layout's pools: which pool above KVX_PLACE_SHIFT bits, and where in it
 * below. A pool is smaller than that, so places that follow each other are bytes that do. An
 * *entry* is a (layer, outer), layers first; the region of entry e and block b begins at
 *
 *	base[e] + b * block_stride
 *
 * which one form covers all that engines do: one tensor, a tensor for each layer, with K and V
 * inside or outside of the blocks, two lists of tensors, latents.
 */
#ifndef KVX_LAYOUT_H
#define KVX_LAYOUT_H

#include <linux/kvxfer.h>

#define KVX_PLACE_SHIFT		44
#define KVX_PLACE_MASK		((1ULL << KVX_PLACE_SHIFT) - 1)

#define KVX_OUTER_MAX		8
#define KVX_DTYPE_WIDTH_MAX	8

/**
 * struct kvx_geometry - what a layout is told of itself
 * @num_blocks: at least 1
 * @num_layers: at least 1
 * @outer_dim: 2 for K and V, 1 for latents
 * @page_size: tokens of a block
 * @inner_dim: elements of a token: heads times their dimension, or the latent
 * @dtype_width: bytes of an element
 * @alignment: given bases are multiples of it
 * @format: &enum kvxfer_format
 */
struct kvx_geometry {
	__u32 num_blocks;
	__u32 num_layers;
	__u32 outer_dim;
	__u32 page_size;
	__u32 inner_dim;
	__u32 dtype_width;
	__u32 alignment;
	__u32 format;
};

/**
 * struct kvx_layout - where blocks are
 * @geo: as it was told
 * @nr_entries: layers times outer
 * @region_bytes: of each region
 * @block_stride: from a block to the next, for every entry
 * @base: for each entry, where its region of block 0 is; the caller's memory
 */
struct kvx_layout {
	struct kvx_geometry geo;
	__u32 nr_entries;
	__u64 region_bytes;
	__u64 block_stride;
	__u64 *base;
};

static inline __u64 kvx_place(__u32 pool, __u64 offset)
{
	return (__u64)pool << KVX_PLACE_SHIFT | offset;
}

static inline __u32 kvx_place_pool(__u64 place)
{
	return place >> KVX_PLACE_SHIFT;
}

static inline __u64 kvx_place_offset(__u64 place)
{
	return place & KVX_PLACE_MASK;
}

/* How many bases are given for a kind. */
static inline __u32 kvx_layout_nr_bases(const struct kvx_layout *layout, __u32 kind)
{
	if (kind == KVXFER_LAYOUT_CONTIGUOUS)
		return 1;
	return kind == KVXFER_LAYOUT_TABLE ? layout->nr_entries : layout->geo.num_layers;
}

__u32 kvx_layout_init(struct kvx_layout *layout, const struct kvx_geometry *geo);
__u32 kvx_layout_bases(struct kvx_layout *layout, __u32 kind, const __u64 *given, __u32 nr_given,
		       __u64 stride, __u32 *index);
__u32 kvx_layout_check(const struct kvx_layout *layout, const __u64 *pool_bytes, __u32 nr_pools,
		       __u32 entry);

#endif /* KVX_LAYOUT_H */
