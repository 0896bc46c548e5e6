// SPDX-License-Identifier: GPL-2.0-only
/* Pure: see overlap.h. */
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

#include "overlap.h"

/* So many steps are nothing to speak of; then it is time to see who else wants something. */
#define KVX_OVERLAP_STEPS	0x8000

/* One step more. Returns true when it is to be given up. */
static bool kvx_overlap_step(struct kvx_overlap *overlap)
{
	if (++overlap->steps % KVX_OVERLAP_STEPS == 0 && overlap->pause && overlap->pause())
		overlap->given_up = true;
	return overlap->given_up;
}

static void kvx_sift(__u32 *ids, __u32 from, __u32 nr)
{
	const __u32 id = ids[from];
	__u32 child;

	/* Ids are 32 bits wide, and never so many that this overflows. */
	while ((child = 2 * from + 1) < nr) {
		if (child + 1 < nr && ids[child + 1] > ids[child])
			child++;
		if (ids[child] <= id)
			break;
		ids[from] = ids[child];
		from = child;
	}
	ids[from] = id;
}

/* Heapsort: no recursion, no room, no bad case; and ids mostly come sorted, which is seen first. */
static void kvx_sort(struct kvx_overlap *overlap, __u32 *ids, __u32 nr)
{
	__u32 i, id;

	for (i = 1; i < nr && ids[i - 1] <= ids[i]; i++)
		;
	if (i >= nr)
		return;
	for (i = nr / 2; i > 0 && !kvx_overlap_step(overlap); i--)
		kvx_sift(ids, i - 1, nr);
	for (i = nr - 1; i > 0 && !kvx_overlap_step(overlap); i--) {
		id = ids[i];
		ids[i] = ids[0];
		ids[0] = id;
		kvx_sift(ids, 0, i);
	}
}

/* Runs of a source's region at @src and of a destination's at @dst: do any meet? */
static bool kvx_pieces_meet(struct kvx_overlap *overlap, __u64 src, __u64 dst)
{
	const struct kvx_piece *s = &overlap->shape->src.piece, *d = &overlap->shape->dst.piece;
	__u32 i = 0, j = 0;

	src += s->offset;
	dst += d->offset;
	while (i < s->count && j < d->count && !kvx_overlap_step(overlap)) {
		if (src + s->bytes <= dst) {
			src += s->stride;
			i++;
		} else if (dst + d->bytes <= src) {
			dst += d->stride;
			j++;
		} else {
			return true;
		}
	}
	return false;
}

/* All blocks of a source's entry at @src and of a destination's at @dst, in order. */
static bool kvx_rows_meet(struct kvx_overlap *overlap, __u64 src, __u64 dst)
{
	const struct kvx_side *s = &overlap->shape->src, *d = &overlap->shape->dst;
	const __u64 src_region = s->layout->region_bytes, dst_region = d->layout->region_bytes;
	__u32 i = 0, j = 0;

	while (i < s->nr && j < d->nr && !kvx_overlap_step(overlap)) {
		const __u64 from = src + overlap->src_ids[i] * s->layout->block_stride;
		const __u64 to = dst + overlap->dst_ids[j] * d->layout->block_stride;

		if (from + src_region > to && to + dst_region > from &&
		    kvx_pieces_meet(overlap, from, to))
			return true;
		/* What ends first meets nothing that follows. */
		if (from + src_region <= to + dst_region)
			i++;
		else
			j++;
	}
	return false;
}

/* With one stride, blocks are apart as entries are, but for whole strides: can any pair meet? */
static bool kvx_entries_may_meet(struct kvx_overlap *overlap, __u64 src, __u64 dst)
{
	const struct kvx_side *s = &overlap->shape->src, *d = &overlap->shape->dst;
	const __u64 stride = s->layout->block_stride;
	__u64 rest;

	if (stride != d->layout->block_stride)
		return true;
	rest = dst >= src ? (dst - src) % stride : (stride - (src - dst) % stride) % stride;
	return kvx_pieces_meet(overlap, 0, rest) || kvx_pieces_meet(overlap, stride, rest);
}

/**
 * kvx_overlap_init() - sort the ids
 * @overlap: its shape, its pools and its room are set
 *
 * Context: any.
 */
void kvx_overlap_init(struct kvx_overlap *overlap)
{
	const struct kvx_shape *shape = overlap->shape;

	memcpy(overlap->src_ids, shape->src.ids, shape->src.nr * sizeof(*overlap->src_ids));
	memcpy(overlap->dst_ids, shape->dst.ids, shape->dst.nr * sizeof(*overlap->dst_ids));
	overlap->apart_valid = false;
	overlap->steps = 0;
	overlap->given_up = false;
	kvx_sort(overlap, overlap->src_ids, shape->src.nr);
	kvx_sort(overlap, overlap->dst_ids, shape->dst.nr);
}

/* From the first block's beginning to the last one's end: do the two come near each other? */
static bool kvx_extents_meet(const struct kvx_overlap *overlap, __u64 src, __u64 dst)
{
	const struct kvx_side *s = &overlap->shape->src, *d = &overlap->shape->dst;
	const __u64 src_first = src + overlap->src_ids[0] * s->layout->block_stride;
	const __u64 dst_first = dst + overlap->dst_ids[0] * d->layout->block_stride;
	const __u64 src_end = src + overlap->src_ids[s->nr - 1] * s->layout->block_stride +
			      s->layout->region_bytes;
	const __u64 dst_end = dst + overlap->dst_ids[d->nr - 1] * d->layout->block_stride +
			      d->layout->region_bytes;

	return src_first < dst_end && dst_first < src_end;
}

/**
 * kvx_overlap_pair() - does a destination's entry have a byte of a source's?
 * @overlap: from kvx_overlap_init()
 * @dst_entry: of the shape
 * @src_entry: of the shape; the transfer is sound when no pair of entries meets
 *
 * Context: any where @pause may be called; the time follows ids and pieces at worst, and mostly is
 * a few steps.
 * Return: true when it does.
 */
bool kvx_overlap_pair(struct kvx_overlap *overlap, __u32 dst_entry, __u32 src_entry)
{
	const struct kvx_shape *shape = overlap->shape;
	const __u64 dst_place = kvx_entry_base(shape, &shape->dst, dst_entry);
	const __u64 src_place = kvx_entry_base(shape, &shape->src, src_entry);
	const __u64 dst = kvx_place_offset(dst_place), src = kvx_place_offset(src_place);

	kvx_overlap_step(overlap);
	if (overlap->dst_pool[kvx_place_pool(src_place)] !=
		    overlap->dst_same[kvx_place_pool(dst_place)] ||
	    !kvx_extents_meet(overlap, src, dst) || !kvx_entries_may_meet(overlap, src, dst))
		return false;
	/* Entries that are as far apart as those before are as those before. */
	if (overlap->apart_valid && overlap->apart == dst - src)
		return false;
	if (kvx_rows_meet(overlap, src, dst))
		return true;
	overlap->apart = dst - src;
	overlap->apart_valid = true;
	return false;
}
