// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts and cursors against a reference that goes byte by byte, for random geometries.
 *
 * The environment: KVX_CASES, how many; KVX_SEED, to begin elsewhere.
 */
#include "../ktap.h"
#include "../../kmod/layout.c"
static unsigned long probes;
#define KVX_ID_PROBED()	(probes++)
#include "../../kmod/cursor.c"
#include "../../kmod/overlap.c"

#define POOLS		2
#define POOL_BYTES	1024
#define IDS_MAX		24
#define ENTRIES		16

static uint64_t state = 1;

static uint32_t rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 20) % below;
}

static const __u64 pool_bytes[POOLS] = { POOL_BYTES, POOL_BYTES - 100 };

/* Byte for byte: does each region lie within its pool, and for itself? */
static uint32_t check_slowly(const struct kvx_layout *layout)
{
	static uint8_t taken[POOLS][POOL_BYTES];

	memset(taken, 0, sizeof(taken));
	for (uint32_t e = 0; e < layout->nr_entries; e++) {
		for (uint32_t b = 0; b < layout->geo.num_blocks; b++) {
			for (uint64_t i = 0; i < layout->region_bytes; i++) {
				const uint32_t pool = kvx_place_pool(layout->base[e]);
				const uint64_t at = layout->base[e] - kvx_place(pool, 0) +
						    b * layout->block_stride + i;

				if (pool >= POOLS)
					return KVXFER_REASON_LAYOUT_BOUNDS;
				if (at >= pool_bytes[pool])
					return KVXFER_REASON_LAYOUT_BOUNDS;
				if (taken[pool][at]++)
					return KVXFER_REASON_LAYOUT_OVERLAP;
			}
		}
	}
	return 0;
}

static uint32_t check_all(const struct kvx_layout *layout, uint32_t nr_pools, uint32_t *entry)
{
	uint32_t reason = 0;

	for (*entry = 0; *entry < layout->nr_entries && !reason; ++*entry)
		reason = kvx_layout_check(layout, pool_bytes, nr_pools, *entry);
	if (reason)
		--*entry;
	return reason;
}

struct side {
	struct kvx_geometry geo;
	struct kvx_layout layout;
	__u64 base[ENTRIES];
	uint32_t ids[IDS_MAX];
};

/* A layout of @geo somewhere in the pools, that is sound; false when none was found. */
static bool place_layout(struct side *side)
{
	const enum kvxfer_layout_kind kind = 1 + rnd(4);
	uint32_t err, slow;
	__u64 given[ENTRIES], stride = 0;
	uint32_t nr = 1, index;

	CHECK_EQ(kvx_layout_init(&side->layout, &side->geo), 0);
	side->layout.base = side->base;
	if (kind == KVXFER_LAYOUT_TABLE) {
		nr = side->layout.nr_entries;
		stride = side->layout.region_bytes * (1 + rnd(3)) + rnd(3);
	} else if (kind != KVXFER_LAYOUT_CONTIGUOUS) {
		nr = side->geo.num_layers;
	}
	/* One behind the other, with and without gaps; or anywhere, which is rarely sound. */
	for (uint32_t i = 0; i < nr; i++) {
		if (i && rnd(4))
			given[i] = given[i - 1] +
				   (kind == KVXFER_LAYOUT_TABLE ? side->layout.region_bytes :
				    side->layout.region_bytes * side->geo.num_blocks *
				    side->geo.outer_dim) + (rnd(4) ? 0 : rnd(3));
		else
			given[i] = kvx_place(rnd(POOLS), rnd(POOL_BYTES / 2));
	}
	err = kvx_layout_bases(&side->layout, kind, given, nr, stride, &index);
	CHECK_EQ(err, 0);
	err = check_all(&side->layout, POOLS, &index);
	slow = check_slowly(&side->layout);
	CHECK_EQ(!err, !slow);
	return !err;
}

static void random_ids(struct side *side, uint32_t nr, bool unique)
{
	uint8_t used[64] = {};

	for (uint32_t i = 0; i < nr; i++) {
		/* Runs, as a fresh pool gives them, and jumps. */
		side->ids[i] = i && rnd(3) ? (side->ids[i - 1] + 1) % side->geo.num_blocks :
			       rnd(side->geo.num_blocks);
		while (unique && used[side->ids[i]])
			side->ids[i] = (side->ids[i] + 1) % side->geo.num_blocks;
		used[side->ids[i]] = 1;
	}
}

static uint64_t reference[POOLS][POOL_BYTES], copied[POOLS][POOL_BYTES];

#define NOTHING	UINT64_MAX

/* Where the @n-th byte of an entry's stream is. */
static uint64_t stream_at(const struct kvx_shape *shape, const struct kvx_side *side,
			  uint32_t entry, uint64_t n)
{
	const struct kvx_piece *piece = &side->piece;
	const uint32_t layer = side->layer + entry / shape->nr_outers;
	const uint32_t outer = shape->outer[entry % shape->nr_outers];
	const uint64_t per_block = piece->bytes * piece->count, in = n % per_block;

	return side->layout->base[layer * side->layout->geo.outer_dim + outer] +
	       side->ids[n / per_block] * side->layout->block_stride + piece->offset +
	       in / piece->bytes * piece->stride + in % piece->bytes;
}

static void make_reference(const struct kvx_shape *shape)
{
	memset(reference, 0xff, sizeof(reference));
	for (uint32_t e = 0; e < shape->nr_entries; e++) {
		for (uint64_t n = 0; n < shape->bytes / shape->nr_entries; n++) {
			const uint64_t dst = stream_at(shape, &shape->dst, e, n);
			uint64_t *slot = &reference[kvx_place_pool(dst)][kvx_place_offset(dst)];

			CHECK(*slot == NOTHING);
			*slot = stream_at(shape, &shape->src, e, n);
		}
	}
}

static void copy(const struct kvx_segment *segment)
{
	for (uint64_t i = 0; i < segment->bytes; i++) {
		uint64_t *slot = &copied[kvx_place_pool(segment->dst)]
					[kvx_place_offset(segment->dst) + i];

		CHECK(*slot == NOTHING);
		*slot = segment->src + i;
	}
}

static void check_walk(const struct kvx_shape *shape, uint32_t parts, uint64_t max)
{
	struct kvx_cursor cursor, saved;
	struct kvx_segment segment, last = {}, again;

	memset(copied, 0xff, sizeof(copied));
	for (uint32_t part = 0; part < parts; part++) {
		kvx_cursor_init(&cursor, shape, part, parts);
		last.bytes = 0;
		for (;;) {
			saved = cursor;
			if (!kvx_cursor_next(&cursor, &segment, max))
				break;
			CHECK(segment.bytes > 0 && segment.bytes <= max);
			/* What could have been one segment is one. */
			if (last.bytes && last.bytes < max)
				CHECK(last.src + last.bytes != segment.src ||
				      last.dst + last.bytes != segment.dst);
			/* A copy of the cursor goes the same way. */
			CHECK(kvx_cursor_next(&saved, &again, max));
			CHECK(!memcmp(&segment, &again, sizeof(segment)));
			CHECK(!memcmp(&cursor, &saved, sizeof(cursor)));
			copy(&segment);
			last = segment;
		}
		CHECK(!kvx_cursor_next(&cursor, &segment, max));
	}
	CHECK(!memcmp(copied, reference, sizeof(copied)));
}

/* Is a byte that is read one that is written? Asked of what make_reference() has made. */
static bool overlaps_slowly(const struct kvx_shape *shape)
{
	for (uint32_t e = 0; e < shape->nr_entries; e++) {
		for (uint64_t n = 0; n < shape->bytes / shape->nr_entries; n++) {
			const uint64_t src = stream_at(shape, &shape->src, e, n);

			if (reference[kvx_place_pool(src)][kvx_place_offset(src)] != NOTHING)
				return true;
		}
	}
	return false;
}

static bool overlaps(const struct kvx_shape *shape)
{
	static const uint32_t same[POOLS] = { 0, 1 }, none[POOLS] = { KVX_NO_POOL, KVX_NO_POOL };
	const uint32_t pairs = shape->nr_entries * shape->nr_entries;
	uint32_t src_ids[IDS_MAX], dst_ids[IDS_MAX];
	struct kvx_overlap overlap = {
		.shape = shape, .dst_pool = none, .dst_same = same, .src_ids = src_ids,
		.dst_ids = dst_ids,
	};
	bool found = false;

	kvx_overlap_init(&overlap);
	for (uint32_t i = 1; i < shape->src.nr; i++)
		CHECK(src_ids[i - 1] <= src_ids[i]);
	for (uint32_t i = 1; i < shape->dst.nr; i++)
		CHECK(dst_ids[i - 1] < dst_ids[i]);
	for (uint32_t p = 0; p < pairs; p++)
		CHECK(!kvx_overlap_pair(&overlap, p / shape->nr_entries, p % shape->nr_entries));
	overlap.dst_pool = same;
	kvx_overlap_init(&overlap);
	for (uint32_t p = 0; p < pairs && !found; p++)
		found = kvx_overlap_pair(&overlap, p / shape->nr_entries, p % shape->nr_entries);
	return found;
}

/* A piece of @bytes in all, in a region of @region; false when it does not fit. */
static bool random_piece(struct kvx_piece *piece, uint64_t bytes, uint64_t region)
{
	uint32_t count = 1 + rnd(4);

	if (bytes % count)
		count = 1;
	piece->count = count;
	piece->bytes = bytes / count;
	piece->stride = count > 1 ? piece->bytes + rnd(3) : 0;
	if (piece->stride * (count - 1) + piece->bytes > region)
		return false;
	piece->offset = rnd(region - piece->stride * (count - 1) - piece->bytes + 1);
	return true;
}

/* Two sides that fit each other. */
static bool random_shape(struct kvx_shape *shape, struct side *src, struct side *dst)
{
	const uint32_t pages[] = { 1, 2, 3, 4, 6 };
	uint32_t nr_tokens;
	uint64_t least, bytes;

	*shape = (struct kvx_shape){};
	src->geo = (struct kvx_geometry){
		.num_blocks = 1 + rnd(8), .num_layers = 1 + rnd(4), .outer_dim = 1 + rnd(2),
		.page_size = pages[rnd(5)], .inner_dim = 1 + rnd(3), .dtype_width = 1 + rnd(2),
		.alignment = 1, .format = 1 + rnd(4),
	};
	dst->geo = src->geo;
	dst->geo.num_blocks = 1 + rnd(8);
	dst->geo.num_layers = 1 + rnd(4);
	/* Half of them the same thing twice, to be copied within itself. */
	if (rnd(2))
		dst->geo = src->geo;
	else if (rnd(2))
		dst->geo.page_size = pages[rnd(5)];
	if (rnd(4) == 0)
		dst->geo.inner_dim = 1 + rnd(3);
	if (!place_layout(src) || !place_layout(dst))
		return false;
	if (!memcmp(&src->geo, &dst->geo, sizeof(src->geo)) && rnd(2)) {
		*dst = *src;
		dst->layout.base = dst->base;
	}
	shape->src.layout = &src->layout;
	shape->dst.layout = &dst->layout;
	shape->src.ids = src->ids;
	shape->dst.ids = dst->ids;
	shape->seed = rnd(1U << 30);
	shape->outers = rnd(1U << src->geo.outer_dim);
	if (rnd(2) || src->geo.num_layers != dst->geo.num_layers) {
		shape->src.layer = rnd(src->geo.num_layers);
		shape->dst.layer = rnd(dst->geo.num_layers);
		least = kvx_min(src->geo.num_layers - shape->src.layer,
				dst->geo.num_layers - shape->dst.layer);
		shape->nr_layers = 1 + rnd(least);
	}
	if (src->geo.inner_dim != dst->geo.inner_dim || rnd(2)) {
		/* Pieces: of the same size on both sides, each laid out for itself. */
		least = kvx_min(src->layout.region_bytes, dst->layout.region_bytes);
		bytes = 1 + rnd(least);
		if (!random_piece(&shape->src.piece, bytes, src->layout.region_bytes) ||
		    !random_piece(&shape->dst.piece, bytes, dst->layout.region_bytes))
			return false;
		shape->src.nr = 1 + rnd(dst->geo.num_blocks);
		shape->dst.nr = shape->src.nr;
	} else if (src->geo.page_size != dst->geo.page_size) {
		nr_tokens = 12 * (1 + rnd(2));
		shape->src.nr = nr_tokens / src->geo.page_size;
		shape->dst.nr = nr_tokens / dst->geo.page_size;
	} else {
		shape->src.nr = 1 + rnd(dst->geo.num_blocks);
		shape->dst.nr = shape->src.nr;
	}
	if (shape->src.nr > IDS_MAX || shape->dst.nr > dst->geo.num_blocks)
		return false;
	random_ids(src, shape->src.nr, false);
	random_ids(dst, shape->dst.nr, true);
	return true;
}

TEST(cursors_give_what_the_reference_gives)
{
	const char *given = getenv("KVX_CASES"), *seed = getenv("KVX_SEED");
	long cases = 2000000;
	struct kvx_shape shape;
	struct side src, dst;
	uint32_t scratch[64], index;
	long walked = 0, regrouped = 0, merged = 0, apart = 0, over = 0;

	if (given)
		cases = atol(given);
	state = seed ? strtoull(seed, NULL, 0) | 1 : 0x1234567;
	for (long i = 0; i < cases; i++) {
		enum kvx_shape_error err;

		if (!random_shape(&shape, &src, &dst))
			continue;
		err = kvx_shape_init(&shape, scratch, NULL, &index);
		if (err == KVX_SHAPE_PAGE) {
			CHECK(src.geo.page_size != dst.geo.page_size);
			CHECK(src.geo.format == KVXFER_FORMAT_HND ||
			      src.geo.format == KVXFER_FORMAT_OPAQUE);
			continue;
		}
		/* Pieces may happen to be whole regions that are of other tokens. */
		if (err == KVX_SHAPE_ELEMENT && src.geo.inner_dim != dst.geo.inner_dim &&
		    kvx_piece_is_whole(&shape.src) && kvx_piece_is_whole(&shape.dst))
			continue;
		if (err)
			FAIL("case %ld: error %d", i, err);
		make_reference(&shape);
		if (overlaps_slowly(&shape) != overlaps(&shape))
			FAIL("case %ld: overlap is %d", i, overlaps(&shape));
		if (overlaps(&shape))
			over++;
		else
			apart++;
		check_walk(&shape, 1, UINT64_MAX);
		check_walk(&shape, 1 + rnd(9), 1 + rnd(64));
		walked++;
		regrouped += shape.src.nr != shape.dst.nr;
		merged += kvx_piece_is_whole(&shape.src) && kvx_piece_is_whole(&shape.dst);
	}
	printf("# %ld walked: %ld regrouped, %ld whole; %ld overlap, %ld do not\n", walked,
	       regrouped, merged, over, apart);
	CHECK(over > cases / 100 && apart > cases / 100);
	CHECK(walked > cases / 20 && regrouped > cases / 1000 && merged > cases / 100);
}

/* --- segments that people know --- */

static struct side known[2];

static uint32_t count_segments(struct kvx_shape *shape)
{
	uint32_t scratch[64], index, n = 0;
	struct kvx_segment segment;
	struct kvx_cursor cursor;

	CHECK_EQ(kvx_shape_init(shape, scratch, NULL, &index), KVX_SHAPE_OK);
	kvx_cursor_init(&cursor, shape, 0, 1);
	while (kvx_cursor_next(&cursor, &segment, UINT64_MAX))
		n++;
	return n;
}

/* Two layers, K and V, 16 blocks of regions of 4 bytes. */
static struct kvx_shape known_shape(enum kvxfer_layout_kind src, enum kvxfer_layout_kind dst)
{
	const struct kvx_geometry geo = { 16, 2, 2, 2, 1, 2, 1, KVXFER_FORMAT_NHD };
	const enum kvxfer_layout_kind kinds[2] = { src, dst };
	const __u64 given[2] = { 0, 512 };
	struct kvx_shape shape = {};
	uint32_t index;

	for (int i = 0; i < 2; i++) {
		CHECK_EQ(kvx_layout_init(&known[i].layout, &geo), 0);
		known[i].layout.base = known[i].base;
		CHECK_EQ(kvx_layout_bases(&known[i].layout, kinds[i], given,
					  kinds[i] == KVXFER_LAYOUT_CONTIGUOUS ? 1 : 2, 0, &index),
			 0);
		CHECK_EQ(check_all(&known[i].layout, 1, &index), 0);
	}
	shape.src = (struct kvx_side){ .layout = &known[0].layout, .ids = known[0].ids, .nr = 4 };
	shape.dst = (struct kvx_side){ .layout = &known[1].layout, .ids = known[1].ids, .nr = 4 };
	for (int i = 0; i < 4; i++) {
		known[0].ids[i] = i;
		known[1].ids[i] = 8 + i;
	}
	return shape;
}

TEST(blocks_go_whole_just_where_both_sides_have_them_whole)
{
	const enum kvxfer_layout_kind fc = KVXFER_LAYOUT_CONTIGUOUS;
	const enum kvxfer_layout_kind first = KVXFER_LAYOUT_BLOCK_FIRST;
	const enum kvxfer_layout_kind second = KVXFER_LAYOUT_BLOCK_SECOND;
	struct kvx_shape shape = known_shape(fc, fc);

	/* Four blocks in a row are one segment; apart from each other, four. */
	CHECK_EQ(count_segments(&shape), 1);
	shape = known_shape(fc, fc);
	for (int i = 0; i < 4; i++)
		known[0].ids[i] = 2 * i;
	CHECK_EQ(count_segments(&shape), 4);
	shape = known_shape(fc, fc);
	known[0].ids[1] = 5;
	CHECK_EQ(count_segments(&shape), 3);
	/* Backwards nothing is in a row. */
	shape = known_shape(fc, fc);
	for (int i = 0; i < 4; i++)
		known[0].ids[i] = 3 - i;
	CHECK_EQ(count_segments(&shape), 4);
	/* One layer of a contiguous layout is a piece of each block. */
	shape = known_shape(fc, fc);
	shape.nr_layers = 1;
	CHECK_EQ(count_segments(&shape), 4);
	/* K alone: a piece for each layer and block. */
	shape = known_shape(fc, fc);
	shape.outers = 1;
	CHECK_EQ(count_segments(&shape), 8);
	/* K and V of each block, layer by layer; blocks of each layer in a row. */
	shape = known_shape(fc, first);
	CHECK_EQ(count_segments(&shape), 8);
	shape = known_shape(first, first);
	CHECK_EQ(count_segments(&shape), 2);
	/* Runs without gaps are the whole. */
	shape = known_shape(fc, fc);
	shape.src.piece = (struct kvx_piece){ 0, 2, 2, 2 };
	shape.dst.piece = (struct kvx_piece){ 0, 1, 1, 4 };
	CHECK_EQ(count_segments(&shape), 1);
	/* Rows of blocks, for each layer and outer. */
	shape = known_shape(second, second);
	CHECK_EQ(count_segments(&shape), 4);
	/* Nothing is in a row on both sides. */
	shape = known_shape(fc, second);
	CHECK_EQ(count_segments(&shape), 16);
	shape = known_shape(first, second);
	CHECK_EQ(count_segments(&shape), 16);
}

TEST(shapes_that_do_not_fit_are_refused_by_name)
{
	const enum kvxfer_layout_kind fc = KVXFER_LAYOUT_CONTIGUOUS;
	struct kvx_shape shape;
	uint32_t scratch[64], index;

#define REFUSED(reason, change) do {						\
	shape = known_shape(fc, fc);						\
	change;									\
	CHECK_EQ(kvx_shape_init(&shape, scratch, NULL, &index), KVX_SHAPE_##reason);	\
} while (0)
	REFUSED(EMPTY, shape.src.nr = 0);
	REFUSED(EMPTY, shape.dst.nr = 0);
	REFUSED(FORMAT, known[1].layout.geo.format = KVXFER_FORMAT_HND);
	REFUSED(ELEMENT, known[1].layout.geo.dtype_width = 1);
	REFUSED(ELEMENT, known[1].layout.geo.inner_dim = 7);
	REFUSED(OUTER, known[1].layout.geo.outer_dim = 1);
	REFUSED(OUTER, shape.outers = 4);
	REFUSED(LAYERS, shape.nr_layers = 3);
	REFUSED(LAYERS, shape.src.layer = 1);
	REFUSED(LAYERS, (shape.src.layer = 2, shape.nr_layers = 1));
	REFUSED(LAYERS, (shape.dst.layer = UINT32_MAX, shape.nr_layers = 1));
	REFUSED(LAYERS, known[1].layout.geo.num_layers = 1);
	REFUSED(PIECE, (shape.src.piece = (struct kvx_piece){ 1, 4, 0, 1 }));
	REFUSED(PIECE, (shape.src.piece = (struct kvx_piece){ 0, 0, 0, 2 }));
	REFUSED(PIECE, (shape.src.piece = (struct kvx_piece){ 0, 2, 1, 2 }));
	REFUSED(PIECE, (shape.src.piece = (struct kvx_piece){ 0, 2, UINT64_MAX, 2 }));
	REFUSED(PIECE, (shape.src.piece = (struct kvx_piece){ UINT64_MAX, 2, 2, 2 }));
	REFUSED(PIECE, (shape.src.piece = (struct kvx_piece){ 0, 2, 0, 1 }));
	REFUSED(LENGTH, (shape.src.nr = UINT32_MAX, shape.dst.nr = UINT32_MAX));
	REFUSED(LENGTH, shape.src.nr = 3);
	REFUSED(SRC_RANGE, known[0].ids[2] = 16);
	CHECK_EQ(index, 2);
	REFUSED(DST_RANGE, known[1].ids[3] = UINT32_MAX);
	CHECK_EQ(index, 3);
	REFUSED(DST_TWICE, known[1].ids[3] = 9);
	CHECK_EQ(index, 3);
	/* A source may go to several places. */
	shape = known_shape(fc, fc);
	known[0].ids[3] = 0;
	CHECK_EQ(kvx_shape_init(&shape, scratch, NULL, &index), KVX_SHAPE_OK);
#undef REFUSED
}

static uint64_t rnd_seed(void)
{
	return (uint64_t)rnd(1U << 31) << 33 ^ (uint64_t)rnd(1U << 31) << 11 ^ rnd(1U << 31);
}

/* By bits, by hash, and as one would see it on paper. */
TEST(ids_that_come_twice_are_found_in_either_way)
{
	static uint32_t ids[200], scratch[1024];

	for (int c = 0; c < 20000; c++) {
		const uint32_t nr = 1 + rnd(ARRAY_SIZE(ids)), blocks = nr + rnd(4096);
		uint32_t first = nr, index;

		for (uint32_t i = 0; i < nr; i++)
			ids[i] = i && rnd(64) == 0 ? ids[rnd(i)] : c % 2 ? i : rnd(blocks);
		for (uint32_t i = 0; i < nr && first == nr; i++)
			for (uint32_t k = 0; k < i && first == nr; k++)
				if (ids[k] == ids[i])
					first = i;
		index = nr;
		CHECK_EQ(kvx_ids_repeat_by_bit(ids, nr, blocks, scratch, NULL, &index), first < nr);
		CHECK_EQ(index, first);
		index = nr;
		CHECK_EQ(kvx_ids_repeat_by_hash(ids, nr, rnd_seed(), scratch, NULL, &index),
			 first < nr);
		CHECK_EQ(index, first);
	}
}

static int by_size(const void *a, const void *b)
{
	const unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return (x > y) - (x < y);
}

/*
 * Ids that follow each other are the most usual list: no seed may make them meet by the thousand.
 */
TEST(looking_for_ids_that_come_twice_takes_as_long_with_any_seed)
{
	static const struct {
		uint32_t nr, seeds;
	} cases[] = { { 2048, 20000 }, { 16384, 20000 }, { 1U << 20, 40 } };

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		const uint32_t nr = cases[c].nr, seeds = cases[c].seeds;
		uint32_t *ids = malloc(nr * sizeof(*ids));
		uint32_t *scratch = malloc(kvx_shape_scratch(nr) * sizeof(*scratch));
		unsigned long *took = malloc(seeds * sizeof(*took));
		uint32_t index;

		CHECK(ids && scratch && took);
		for (uint32_t i = 0; i < nr; i++)
			ids[i] = 1000 + i;
		for (uint32_t s = 0; s < seeds; s++) {
			probes = 0;
			CHECK(!kvx_ids_repeat_by_hash(ids, nr, rnd_seed(), scratch, NULL, &index));
			took[s] = probes;
		}
		qsort(took, seeds, sizeof(*took), by_size);
		printf("# %u ids: %lu comparisons in the median, %lu at p99.9, %lu at most\n", nr,
		       took[seeds / 2], took[seeds - 1 - seeds / 1000], took[seeds - 1]);
		CHECK(took[seeds - 1 - seeds / 1000] <= 3 * took[seeds / 2]);
		CHECK(took[seeds - 1] <= 3 * took[seeds / 2]);
		/* And by bits there is nothing that could differ. */
		probes = 0;
		CHECK(!kvx_ids_repeat_by_bit(ids, nr, 1000 + nr, scratch, NULL, &index));
		CHECK_EQ(probes, nr);
		free(ids);
		free(scratch);
		free(took);
	}
}

static unsigned long pauses;

static void count_pause(void)
{
	pauses++;
}

TEST(long_lists_leave_room_for_others)
{
	const enum kvxfer_layout_kind fc = KVXFER_LAYOUT_CONTIGUOUS;
	struct kvx_shape shape = known_shape(fc, fc);
	const uint32_t nr = 1U << 18;
	uint32_t *ids = malloc(nr * sizeof(*ids)), index;
	uint32_t *scratch = malloc(kvx_shape_scratch(nr) * sizeof(*scratch));

	CHECK(ids && scratch);
	for (uint32_t i = 0; i < nr; i++)
		ids[i] = i;
	known[0].layout.geo.num_blocks = nr;
	known[1].layout.geo.num_blocks = nr;
	shape.src.ids = ids;
	shape.dst.ids = ids;
	shape.src.nr = nr;
	shape.dst.nr = nr;
	pauses = 0;
	CHECK_EQ(kvx_shape_init(&shape, scratch, count_pause, &index), KVX_SHAPE_OK);
	CHECK(pauses >= 3 * nr / KVX_IDS_PAUSE);
	free(ids);
	free(scratch);
}

TEST(layouts_that_are_wrong_are_refused_by_name)
{
	const struct kvx_geometry good = { 16, 2, 2, 2, 1, 2, 4, KVXFER_FORMAT_NHD };
	struct kvx_geometry geo;
	struct kvx_layout layout = {};
	__u64 base[4], given[4] = { 0, 512, 64, 128 };
	uint32_t index;

#define REFUSED(reason, change) do {						\
	geo = good;								\
	change;									\
	CHECK_EQ(kvx_layout_init(&layout, &geo), KVXFER_REASON_LAYOUT_##reason);		\
} while (0)
	REFUSED(BLOCKS, geo.num_blocks = 0);
	REFUSED(LAYERS, geo.num_layers = 0);
	REFUSED(OUTER, geo.outer_dim = 0);
	REFUSED(OUTER, geo.outer_dim = 9);
	REFUSED(PAGE, geo.page_size = 0);
	REFUSED(INNER, geo.inner_dim = 0);
	REFUSED(DTYPE, geo.dtype_width = 0);
	REFUSED(DTYPE, geo.dtype_width = 9);
	REFUSED(ALIGNMENT, geo.alignment = 0);
	REFUSED(FORMAT, geo.format = 0);
	REFUSED(FORMAT, geo.format = 5);
	REFUSED(ENTRIES, geo.num_layers = 2049);
	REFUSED(OVERFLOW, (geo.page_size = UINT32_MAX, geo.inner_dim = UINT32_MAX));
	REFUSED(OVERFLOW, (geo.page_size = UINT32_MAX, geo.num_blocks = UINT32_MAX,
			   geo.num_layers = 2048));
#undef REFUSED
	CHECK_EQ(kvx_layout_init(&layout, &good), 0);
	layout.base = base;
	CHECK_EQ(kvx_layout_bases(&layout, 5, given, 2, 0, &index), KVXFER_REASON_LAYOUT_KIND);
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_CONTIGUOUS, given, 2, 0, &index),
		 KVXFER_REASON_LAYOUT_BASES);
	CHECK_EQ(index, 1);
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_TABLE, given, 4, 3, &index),
		 KVXFER_REASON_LAYOUT_STRIDE);
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_TABLE, given, 4, 1ULL << 44, &index),
		 KVXFER_REASON_LAYOUT_STRIDE);
	given[1] = 510;
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_BLOCK_FIRST, given, 2, 0, &index),
		 KVXFER_REASON_LAYOUT_BASE_ALIGNMENT);
	CHECK_EQ(index, 1);
	given[1] = KVX_PLACE_MASK - 3;
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_BLOCK_FIRST, given, 2, 0, &index),
		 KVXFER_REASON_LAYOUT_BOUNDS);
	CHECK_EQ(index, 3);
	given[1] = kvx_place(7, 0);
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_BLOCK_FIRST, given, 2, 0, &index),
		 0);
	CHECK_EQ(check_all(&layout, POOLS, &index), KVXFER_REASON_LAYOUT_BOUNDS);
	CHECK_EQ(index, 2);
	given[1] = pool_bytes[0] - 16 * 8 + 4;
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_BLOCK_FIRST, given, 2, 0, &index),
		 0);
	CHECK_EQ(check_all(&layout, POOLS, &index), KVXFER_REASON_LAYOUT_BOUNDS);
	given[1] = 16 * 8 - 4;
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_BLOCK_FIRST, given, 2, 0, &index),
		 0);
	CHECK_EQ(check_all(&layout, POOLS, &index), KVXFER_REASON_LAYOUT_OVERLAP);
	CHECK_EQ(kvx_layout_bases(&layout, KVXFER_LAYOUT_TABLE, given, 4, UINT64_MAX, &index),
		 KVXFER_REASON_LAYOUT_STRIDE);
}
