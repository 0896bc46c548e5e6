// SPDX-License-Identifier: GPL-2.0-only
/* Pure: see cursor.h. */
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

#include "cursor.h"

static __u64 kvx_min(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

static __u32 kvx_gcd(__u32 a, __u32 b)
{
	while (b) {
		const __u32 rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Within its region, and no run over another? Fills in what stands for the whole. */
static bool kvx_piece_fits(struct kvx_piece *piece, __u64 region)
{
	__u64 last;

	if (!piece->bytes && !piece->offset && piece->count <= 1) {
		*piece = (struct kvx_piece){ .bytes = region, .count = 1 };
		return true;
	}
	if (!piece->bytes || !piece->count || (piece->count > 1 && piece->stride < piece->bytes))
		return false;
	/* Runs without gaps are one. */
	if (piece->stride == piece->bytes &&
	    !__builtin_mul_overflow(piece->bytes, (__u64)piece->count, &last)) {
		piece->bytes = last;
		piece->stride = 0;
		piece->count = 1;
	}
	return !__builtin_mul_overflow((__u64)piece->count - 1, piece->stride, &last) &&
	       !__builtin_add_overflow(last, piece->offset, &last) &&
	       !__builtin_add_overflow(last, piece->bytes, &last) && last <= region;
}

static bool kvx_piece_is_whole(const struct kvx_side *side)
{
	return side->piece.bytes == side->layout->region_bytes;
}

/* Bytes of a block that go over, for each entry. Fits, as the region does. */
static __u64 kvx_side_bytes(const struct kvx_side *side)
{
	return side->piece.bytes * side->piece.count;
}

static enum kvx_shape_error kvx_shape_check_layouts(struct kvx_shape *shape)
{
	const struct kvx_geometry *src = &shape->src.layout->geo, *dst = &shape->dst.layout->geo;
	__u32 o;

	if (src->format != dst->format)
		return KVX_SHAPE_FORMAT;
	if (src->dtype_width != dst->dtype_width)
		return KVX_SHAPE_ELEMENT;
	if (src->outer_dim != dst->outer_dim || shape->outers >> src->outer_dim)
		return KVX_SHAPE_OUTER;
	if (!shape->outers)
		shape->outers = (1U << src->outer_dim) - 1;
	shape->nr_outers = 0;
	for (o = 0; o < src->outer_dim; o++)
		if (shape->outers >> o & 1)
			shape->outer[shape->nr_outers++] = o;
	if (!shape->nr_layers) {
		if (shape->src.layer || shape->dst.layer || src->num_layers != dst->num_layers)
			return KVX_SHAPE_LAYERS;
		shape->nr_layers = src->num_layers;
	}
	if (shape->src.layer > src->num_layers || shape->dst.layer > dst->num_layers ||
	    shape->nr_layers > src->num_layers - shape->src.layer ||
	    shape->nr_layers > dst->num_layers - shape->dst.layer)
		return KVX_SHAPE_LAYERS;
	shape->nr_entries = shape->nr_layers * shape->nr_outers;
	return KVX_SHAPE_OK;
}

static enum kvx_shape_error kvx_shape_check_pieces(struct kvx_shape *shape)
{
	const struct kvx_geometry *src = &shape->src.layout->geo, *dst = &shape->dst.layout->geo;
	__u64 src_bytes, dst_bytes;

	if (!kvx_piece_fits(&shape->src.piece, shape->src.layout->region_bytes) ||
	    !kvx_piece_fits(&shape->dst.piece, shape->dst.layout->region_bytes))
		return KVX_SHAPE_PIECE;
	src_bytes = kvx_side_bytes(&shape->src);
	dst_bytes = kvx_side_bytes(&shape->dst);
	if (kvx_piece_is_whole(&shape->src) && kvx_piece_is_whole(&shape->dst)) {
		if (src->inner_dim != dst->inner_dim)
			return KVX_SHAPE_ELEMENT;
		/* Tokens that follow each other in a region can follow each other over several. */
		if (src->page_size != dst->page_size && src->format != KVXFER_FORMAT_NHD &&
		    src->format != KVXFER_FORMAT_LATENT)
			return KVX_SHAPE_PAGE;
	} else if (src_bytes != dst_bytes) {
		return KVX_SHAPE_PIECE;
	}
	if (__builtin_mul_overflow(src_bytes, (__u64)shape->src.nr, &src_bytes) ||
	    __builtin_mul_overflow(dst_bytes, (__u64)shape->dst.nr, &dst_bytes) ||
	    src_bytes != dst_bytes ||
	    __builtin_mul_overflow(src_bytes, (__u64)shape->nr_entries, &shape->bytes))
		return KVX_SHAPE_LENGTH;
	return KVX_SHAPE_OK;
}

/* Hook for tests: counts comparisons of ids. */
#ifndef KVX_ID_PROBED
#define KVX_ID_PROBED()
#endif

/* Ids between two calls of a pause. */
#define KVX_IDS_PAUSE	(1U << 14)

static void kvx_ids_pause(__u32 i, void (*pause)(void))
{
	if (pause && !(i % KVX_IDS_PAUSE))
		pause();
}

/* Find an id that occurs twice. @scratch has one bit per block of the layout. */
static bool kvx_ids_repeat_by_bit(const __u32 *ids, __u32 nr, __u32 blocks, __u32 *scratch,
				  void (*pause)(void), __u32 *index)
{
	__u32 i, bit;

	memset(scratch, 0, ((size_t)blocks + 31) / 32 * sizeof(*scratch));
	for (i = 0; i < nr; i++) {
		KVX_ID_PROBED();
		bit = 1U << ids[i] % 32;
		if (scratch[ids[i] / 32] & bit) {
			*index = i;
			return true;
		}
		scratch[ids[i] / 32] |= bit;
		kvx_ids_pause(i, pause);
	}
	return false;
}

/*
 * Hash an id. The seed is random, so that user space cannot construct colliding ids. Ids are mostly
 * consecutive: a plain product keeps them an arithmetic progression, which for about one seed in
 * 1,000 puts thousands of them into a few clusters. So the bits are mixed.
 */
static __u64 kvx_id_mix(__u32 id, __u64 seed)
{
	__u64 x = id + seed;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* Find an id that occurs twice, by a hash table of indexes plus 1; 0 is a free slot. */
static bool kvx_ids_repeat_by_hash(const __u32 *ids, __u32 nr, __u64 seed, __u32 *scratch,
				   void (*pause)(void), __u32 *index)
{
	const __u32 mask = kvx_shape_scratch(nr) - 1;
	__u32 i, at;

	memset(scratch, 0, ((size_t)mask + 1) * sizeof(*scratch));
	for (i = 0; i < nr; i++) {
		KVX_ID_PROBED();
		for (at = kvx_id_mix(ids[i], seed) & mask; scratch[at]; at = (at + 1) & mask) {
			KVX_ID_PROBED();
			if (ids[scratch[at] - 1] == ids[i]) {
				*index = i;
				return true;
			}
		}
		scratch[at] = i + 1;
		kvx_ids_pause(i, pause);
	}
	return false;
}

static bool kvx_ids_repeat(const struct kvx_shape *shape, __u32 *scratch, void (*pause)(void),
			   __u32 *index)
{
	const __u32 blocks = shape->dst.layout->geo.num_blocks, nr = shape->dst.nr;

	if (blocks / 32 < kvx_shape_scratch(nr))
		return kvx_ids_repeat_by_bit(shape->dst.ids, nr, blocks, scratch, pause, index);
	return kvx_ids_repeat_by_hash(shape->dst.ids, nr, shape->seed, scratch, pause, index);
}

/* Return the index of the first id that is out of range, or the number of ids. */
static __u32 kvx_ids_beyond(const struct kvx_side *side, void (*pause)(void))
{
	__u32 i;

	for (i = 0; i < side->nr && side->ids[i] < side->layout->geo.num_blocks; i++)
		kvx_ids_pause(i, pause);
	return i;
}

/**
 * kvx_shape_init() - approve of a shape
 * @shape: its sides, layers and outers are set; the rest is filled in
 * @scratch: kvx_shape_scratch() words for the destination's list
 * @pause: called now and then, as long lists take long; NULL for none
 * @index: set with an error that has one
 *
 * The layouts have passed kvx_layout_check(). Whether source and destination are the same bytes is
 * not looked at here.
 *
 * Context: any where @pause may be called; the time follows the number of ids.
 * Return: KVX_SHAPE_OK, or what is wrong.
 */
enum kvx_shape_error kvx_shape_init(struct kvx_shape *shape, __u32 *scratch, void (*pause)(void),
				    __u32 *index)
{
	enum kvx_shape_error err;

	if (!shape->src.nr || !shape->dst.nr)
		return KVX_SHAPE_EMPTY;
	if (shape->src.nr > KVX_IDS_MAX || shape->dst.nr > KVX_IDS_MAX)
		return KVX_SHAPE_LENGTH;
	err = kvx_shape_check_layouts(shape);
	if (!err)
		err = kvx_shape_check_pieces(shape);
	if (err)
		return err;
	*index = kvx_ids_beyond(&shape->src, pause);
	if (*index < shape->src.nr)
		return KVX_SHAPE_SRC_RANGE;
	*index = kvx_ids_beyond(&shape->dst, pause);
	if (*index < shape->dst.nr)
		return KVX_SHAPE_DST_RANGE;
	if (kvx_ids_repeat(shape, scratch, pause, index))
		return KVX_SHAPE_DST_TWICE;
	shape->groups = kvx_gcd(shape->src.nr, shape->dst.nr);
	return KVX_SHAPE_OK;
}

/* The first byte of the run's block and piece. */
static void kvx_run_place(struct kvx_run *run, const struct kvx_side *side)
{
	run->place = run->base + side->ids[run->id] * side->layout->block_stride +
		     side->piece.offset + run->k * side->piece.stride;
	run->left = run->bytes;
}

static void kvx_run_begin(struct kvx_run *run, const struct kvx_side *side, __u64 base, __u64 bytes)
{
	run->base = base;
	run->bytes = bytes;
	run->id = run->first;
	run->k = 0;
	kvx_run_place(run, side);
}

/* @bytes further, which is no more than is left of the run; at the entry's end nothing is left. */
static void kvx_run_advance(struct kvx_run *run, const struct kvx_side *side, __u64 bytes)
{
	run->place += bytes;
	run->left -= bytes;
	if (run->left)
		return;
	if (++run->k == side->piece.count) {
		run->k = 0;
		if (++run->id == run->end)
			return;
	}
	kvx_run_place(run, side);
}

/* Begin the next entry, and with it those that follow it without a gap on both sides. */
static bool kvx_cursor_enter(struct kvx_cursor *cursor)
{
	const struct kvx_shape *shape = cursor->shape;
	const struct kvx_side *src = &shape->src, *dst = &shape->dst;
	const __u64 region = src->layout->region_bytes;
	__u64 src_base, dst_base, bytes = 0;

	if (cursor->entry == cursor->end)
		return false;
	src_base = kvx_entry_base(shape, src, cursor->entry);
	dst_base = kvx_entry_base(shape, dst, cursor->entry);
	cursor->entry++;
	if (kvx_piece_is_whole(src) && kvx_piece_is_whole(dst) &&
	    region == dst->layout->region_bytes) {
		bytes = region;
		while (cursor->entry < cursor->end &&
		       kvx_entry_base(shape, src, cursor->entry) == src_base + bytes &&
		       kvx_entry_base(shape, dst, cursor->entry) == dst_base + bytes) {
			bytes += region;
			cursor->entry++;
		}
	}
	kvx_run_begin(&cursor->src, src, src_base, bytes ? bytes : src->piece.bytes);
	kvx_run_begin(&cursor->dst, dst, dst_base, bytes ? bytes : dst->piece.bytes);
	cursor->even = src->piece.count == 1 && dst->piece.count == 1 &&
		       cursor->src.bytes == cursor->dst.bytes;
	return true;
}

/*
 * What kvx_run_advance() would come to for whole runs of an even entry, as long as they are in a
 * row: the inner loop of almost everything. At least one run fits.
 */
static __u64 kvx_cursor_row(struct kvx_cursor *cursor, __u64 max)
{
	const struct kvx_side *src_side = &cursor->shape->src, *dst_side = &cursor->shape->dst;
	const __u64 src_stride = src_side->layout->block_stride;
	const __u64 dst_stride = dst_side->layout->block_stride;
	struct kvx_run *src = &cursor->src, *dst = &cursor->dst;
	const __u32 *src_ids = src_side->ids + src->id, *dst_ids = dst_side->ids + dst->id;
	const __u64 src_base = src->base + src_side->piece.offset;
	const __u64 dst_base = dst->base + dst_side->piece.offset;
	const __u64 run = src->bytes;
	const __u32 left = src->end - src->id;
	__u64 src_end = src->place + run, dst_end = dst->place + run, bytes = run;
	__u32 done = 1;

	for (; done < left; done++) {
		src->place = src_base + src_ids[done] * src_stride;
		dst->place = dst_base + dst_ids[done] * dst_stride;
		if (src->place != src_end || dst->place != dst_end || max - bytes < run)
			break;
		src_end += run;
		dst_end += run;
		bytes += run;
	}
	src->id += done;
	dst->id += done;
	if (done == left) {
		src->left = 0;
		dst->left = 0;
	}
	return bytes;
}

/**
 * kvx_cursor_init() - begin at the beginning
 * @cursor: to be set
 * @shape: approved of; outlives the cursor
 * @part: which part
 * @parts: of how many, at least 1
 *
 * The parts of a shape have no byte in common, and all of them have all of its bytes; some may have
 * none. Blocks are shared out where there are enough, for they give the longest segments; else
 * entries.
 *
 * Context: any.
 */
void kvx_cursor_init(struct kvx_cursor *cursor, const struct kvx_shape *shape, __u32 part,
		     __u32 parts)
{
	const __u32 groups = shape->groups, entries = shape->nr_entries;
	__u64 from = 0, to = groups;

	*cursor = (struct kvx_cursor){ .shape = shape, .end = entries };
	if (groups >= parts || groups >= entries) {
		from = (__u64)groups * part / parts;
		to = ((__u64)groups * part + groups) / parts;
	} else {
		cursor->entry = (__u64)entries * part / parts;
		cursor->end = ((__u64)entries * part + entries) / parts;
	}
	if (from == to)
		cursor->entry = cursor->end;
	cursor->src.first = from * (shape->src.nr / groups);
	cursor->src.end = to * (shape->src.nr / groups);
	cursor->dst.first = from * (shape->dst.nr / groups);
	cursor->dst.end = to * (shape->dst.nr / groups);
}

/**
 * kvx_cursor_next() - the next segment
 * @cursor: is set behind it
 * @segment: is filled in
 * @max: bytes it may have, at least 1
 *
 * Context: any.
 * Return: false when there are no more.
 */
bool kvx_cursor_next(struct kvx_cursor *cursor, struct kvx_segment *segment, __u64 max)
{
	const struct kvx_side *src = &cursor->shape->src, *dst = &cursor->shape->dst;
	__u64 n;

	if (!cursor->src.left && !kvx_cursor_enter(cursor))
		return false;
	segment->src = cursor->src.place;
	segment->dst = cursor->dst.place;
	segment->bytes = 0;
	do {
		if (cursor->even && cursor->src.left == cursor->src.bytes &&
		    max - segment->bytes >= cursor->src.bytes) {
			segment->bytes += kvx_cursor_row(cursor, max - segment->bytes);
		} else {
			n = kvx_min(cursor->src.left, cursor->dst.left);
			n = kvx_min(n, max - segment->bytes);
			segment->bytes += n;
			kvx_run_advance(&cursor->src, src, n);
			kvx_run_advance(&cursor->dst, dst, n);
		}
		if (!cursor->src.left && !kvx_cursor_enter(cursor))
			break;
	} while (segment->bytes < max && cursor->src.place == segment->src + segment->bytes &&
		 cursor->dst.place == segment->dst + segment->bytes);
	return true;
}
