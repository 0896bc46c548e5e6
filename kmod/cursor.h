/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cursor: what a transfer copies, segment by segment. Pure, as abi.h says it.
 *
 * A *shape* says it whole: two layouts, two lists of block ids, which layers, which outers, which
 * piece of each region. For each entry (layer, outer) in turn, the source's pieces follow each
 * other in the order of its ids, and the destination's do; what is at the same distance from the
 * beginning belongs together. So lists of different length are copied where regions of the two
 * sides regroup: four blocks of 16 tokens into one of 64.
 *
 * A *cursor* goes through a shape, or through one of several parts of it, and gives segments that
 * are in a row on both sides, as long as they come: whole blocks where both sides have their
 * entries in a row, runs of blocks where ids follow each other. It is small, allocates nothing, and
 * may be copied at any moment to go on from there again.
 */
#ifndef KVX_CURSOR_H
#define KVX_CURSOR_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif

#include "layout.h"

/* Ids of a list. */
#define KVX_IDS_MAX	(1U << 30)

/**
 * enum kvx_shape_error - what is wrong with a shape
 * @KVX_SHAPE_OK: nothing
 * @KVX_SHAPE_EMPTY: a list has no ids
 * @KVX_SHAPE_FORMAT: the sides' formats differ
 * @KVX_SHAPE_ELEMENT: the sides' elements or tokens differ in bytes
 * @KVX_SHAPE_OUTER: the sides' outer dimensions differ, or the mask names one that is not there
 * @KVX_SHAPE_LAYERS: the layers are not there, or none are asked for; or all, and the sides differ
 * @KVX_SHAPE_PIECE: a piece lies beyond its region or over itself, or the sides' pieces differ
 * @KVX_SHAPE_PAGE: the sides' pages differ, and the format does not let them be regrouped
 * @KVX_SHAPE_LENGTH: the lists come to different numbers of bytes, or are longer than KVX_IDS_MAX
 * @KVX_SHAPE_SRC_RANGE: a source id is out of range; the index is its place in the list
 * @KVX_SHAPE_DST_RANGE: a destination id is; the same
 * @KVX_SHAPE_DST_TWICE: a destination id comes twice; the index is the later one
 */
enum kvx_shape_error {
	KVX_SHAPE_OK,
	KVX_SHAPE_EMPTY,
	KVX_SHAPE_FORMAT,
	KVX_SHAPE_ELEMENT,
	KVX_SHAPE_OUTER,
	KVX_SHAPE_LAYERS,
	KVX_SHAPE_PIECE,
	KVX_SHAPE_PAGE,
	KVX_SHAPE_LENGTH,
	KVX_SHAPE_SRC_RANGE,
	KVX_SHAPE_DST_RANGE,
	KVX_SHAPE_DST_TWICE,
};

/**
 * struct kvx_piece - which bytes of a region
 * @offset: where the first run begins
 * @bytes: of each run; 0 for the whole region
 * @stride: from a run to the next
 * @count: how many runs, at least 1
 */
struct kvx_piece {
	__u64 offset;
	__u64 bytes;
	__u64 stride;
	__u32 count;
};

/**
 * struct kvx_side - one side of a shape
 * @layout: where its blocks are
 * @ids: which blocks, in order
 * @nr: how many
 * @layer: the first
 * @piece: of each region
 */
struct kvx_side {
	const struct kvx_layout *layout;
	const __u32 *ids;
	__u32 nr;
	__u32 layer;
	struct kvx_piece piece;
};

/**
 * struct kvx_shape - a whole transfer; constant once kvx_shape_init() has approved of it
 * @src: from
 * @dst: to
 * @seed: a number that who chose the ids cannot know
 * @nr_layers: how many, from each side's first; 0, before it is approved of, for all
 * @outers: mask; 0, before, for all
 * @nr_outers: how many bits it has
 * @outer: which they are
 * @nr_entries: layers times outers
 * @groups: of blocks of both sides that are equally long: the least that can be split off
 * @bytes: in all
 */
struct kvx_shape {
	struct kvx_side src;
	struct kvx_side dst;
	__u64 seed;
	__u32 nr_layers;
	__u32 outers;
	__u32 nr_outers;
	__u8 outer[KVX_OUTER_MAX];
	__u32 nr_entries;
	__u32 groups;
	__u64 bytes;
};

/**
 * struct kvx_segment - bytes that are in a row on both sides
 * @src: place in the source's pools
 * @dst: place in the destination's
 * @bytes: how many
 */
struct kvx_segment {
	__u64 src;
	__u64 dst;
	__u64 bytes;
};

/**
 * struct kvx_run - where one side of a cursor is
 * @place: the next byte
 * @left: of its run
 * @bytes: of each run of this entry
 * @base: of this entry
 * @id: index of the block
 * @first: of this cursor's
 * @end: behind the last
 * @k: which run of the block's region
 */
struct kvx_run {
	__u64 place;
	__u64 left;
	__u64 bytes;
	__u64 base;
	__u32 id;
	__u32 first;
	__u32 end;
	__u32 k;
};

/**
 * struct kvx_cursor - where one is in a shape
 * @shape: the shape
 * @entry: the next entry; those before are done, or are being done
 * @end: behind the last entry of this cursor's
 * @even: both sides have one run for each block, equally long
 * @src: the source's side
 * @dst: the destination's
 */
struct kvx_cursor {
	const struct kvx_shape *shape;
	__u32 entry;
	__u32 end;
	bool even;
	struct kvx_run src;
	struct kvx_run dst;
};

/* Where the regions of block 0 of a shape's entry are, on one side. */
static inline __u64 kvx_entry_base(const struct kvx_shape *shape, const struct kvx_side *side,
				   __u32 entry)
{
	const __u32 layer = side->layer + entry / shape->nr_outers;

	return side->layout->base[layer * side->layout->geo.outer_dim +
				  shape->outer[entry % shape->nr_outers]];
}

/* How much room kvx_shape_init() wants to look for ids that come twice: a power of two of words. */
#define KVX_SHAPE_SCRATCH_MIN	32

static inline __u32 kvx_shape_scratch(__u32 nr_dst)
{
	__u32 words = KVX_SHAPE_SCRATCH_MIN / 2;

	while (words < nr_dst && words < KVX_IDS_MAX)
		words *= 2;
	return words * 2;
}

enum kvx_shape_error kvx_shape_init(struct kvx_shape *shape, __u32 *scratch, void (*pause)(void),
				    __u32 *index);
void kvx_cursor_init(struct kvx_cursor *cursor, const struct kvx_shape *shape, __u32 part,
		     __u32 parts);
bool kvx_cursor_next(struct kvx_cursor *cursor, struct kvx_segment *segment, __u64 max);

#endif /* KVX_CURSOR_H */
