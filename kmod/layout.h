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

#include <linux/types.h>

#define KVX_PLACE_SHIFT		44
#define KVX_PLACE_MASK		((1ULL << KVX_PLACE_SHIFT) - 1)

#define KVX_OUTER_MAX		8
#define KVX_DTYPE_WIDTH_MAX	8
#define KVX_ENTRIES_MAX		4096

/**
 * enum kvx_layout_error - what is wrong with a layout
 * @KVX_LAYOUT_OK: nothing
 * @KVX_LAYOUT_BLOCKS: no blocks
 * @KVX_LAYOUT_LAYERS: no layers
 * @KVX_LAYOUT_OUTER: the outer dimension is not 1 to KVX_OUTER_MAX
 * @KVX_LAYOUT_PAGE: no tokens in a page
 * @KVX_LAYOUT_INNER: no elements in a token
 * @KVX_LAYOUT_DTYPE: the width of an element is not 1 to KVX_DTYPE_WIDTH_MAX
 * @KVX_LAYOUT_ALIGNMENT: it is 0; or a base is no multiple of it, then the index is the base
 * @KVX_LAYOUT_FORMAT: there is no such format
 * @KVX_LAYOUT_ENTRIES: more than KVX_ENTRIES_MAX layers times outer
 * @KVX_LAYOUT_OVERFLOW: the whole is larger than a pool can be
 * @KVX_LAYOUT_BASES: another number of bases than this kind has; the index is that number
 * @KVX_LAYOUT_STRIDE: blocks are nearer to each other than a region is long
 * @KVX_LAYOUT_POOL: a base is in no pool; the index is the base
 * @KVX_LAYOUT_BOUNDS: regions of an entry lie beyond their pool; the index is the entry
 * @KVX_LAYOUT_OVERLAP: regions of two entries lie over each other; the index is the later one
 */
enum kvx_layout_error {
	KVX_LAYOUT_OK,
	KVX_LAYOUT_BLOCKS,
	KVX_LAYOUT_LAYERS,
	KVX_LAYOUT_OUTER,
	KVX_LAYOUT_PAGE,
	KVX_LAYOUT_INNER,
	KVX_LAYOUT_DTYPE,
	KVX_LAYOUT_ALIGNMENT,
	KVX_LAYOUT_FORMAT,
	KVX_LAYOUT_ENTRIES,
	KVX_LAYOUT_OVERFLOW,
	KVX_LAYOUT_BASES,
	KVX_LAYOUT_STRIDE,
	KVX_LAYOUT_POOL,
	KVX_LAYOUT_BOUNDS,
	KVX_LAYOUT_OVERLAP,
};

/**
 * enum kvx_format - how the bytes of a region are to be read; must match on both sides
 * @KVX_FORMAT_NHD: token, head, dimension
 * @KVX_FORMAT_HND: head, token, dimension
 * @KVX_FORMAT_LATENT: token, latent: MLA
 * @KVX_FORMAT_OPAQUE: nobody's business
 */
enum kvx_format {
	KVX_FORMAT_NHD		= 1,
	KVX_FORMAT_HND		= 2,
	KVX_FORMAT_LATENT	= 3,
	KVX_FORMAT_OPAQUE	= 4,
};

/**
 * enum kvx_layout_kind - how the entries' bases follow from those that are given
 * @KVX_LAYOUT_CONTIGUOUS: one base: [block][layer][outer]
 * @KVX_LAYOUT_BLOCK_FIRST: a base for each layer: [block][outer]
 * @KVX_LAYOUT_BLOCK_SECOND: a base for each layer: [outer][block]
 * @KVX_LAYOUT_TABLE: a base for each entry, and a stride
 */
enum kvx_layout_kind {
	KVX_LAYOUT_CONTIGUOUS	= 1,
	KVX_LAYOUT_BLOCK_FIRST	= 2,
	KVX_LAYOUT_BLOCK_SECOND	= 3,
	KVX_LAYOUT_TABLE	= 4,
};

/**
 * struct kvx_geometry - what a layout is told of itself
 * @num_blocks: at least 1
 * @num_layers: at least 1
 * @outer_dim: 2 for K and V, 1 for latents
 * @page_size: tokens of a block
 * @inner_dim: elements of a token: heads times their dimension, or the latent
 * @dtype_width: bytes of an element
 * @alignment: given bases are multiples of it
 * @format: &enum kvx_format
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

enum kvx_layout_error kvx_layout_init(struct kvx_layout *layout, const struct kvx_geometry *geo);
enum kvx_layout_error kvx_layout_bases(struct kvx_layout *layout, enum kvx_layout_kind kind,
				       const __u64 *given, __u32 nr_given, __u64 stride,
				       __u32 *index);
enum kvx_layout_error kvx_layout_check(const struct kvx_layout *layout, const __u64 *pool_bytes,
				       __u32 nr_pools, __u32 *index);

#endif /* KVX_LAYOUT_H */
