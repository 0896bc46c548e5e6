// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever the numbers: a layout that is approved of lies within its pools, a shape that is
 * approved of gives segments that lie within them, and as many bytes as it says.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../kmod/layout.c"
#include "../../kmod/cursor.c"

#define POOLS	4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int cond)
{
	if (!cond)
		abort();
}

static const uint8_t *at;
static size_t left;

static void take(void *to, size_t bytes)
{
	memset(to, 0, bytes);
	if (bytes > left)
		bytes = left;
	memcpy(to, at, bytes);
	at += bytes;
	left -= bytes;
}

/* Small numbers come more often than others, or nothing would ever fit. */
static uint64_t number(void)
{
	uint64_t n = 0;
	uint8_t kind;

	take(&kind, 1);
	if (kind < 0xe0)
		return kind & 0x1f;
	take(&n, kind < 0xf0 ? 2 : 8);
	return n;
}

/* Mostly @usual. */
static uint64_t mostly(uint64_t usual)
{
	uint8_t kind;

	take(&kind, 1);
	return kind < 0xf0 ? usual : number();
}

static __u64 pool_bytes[POOLS];

static bool layout(struct kvx_layout *layout, const struct kvx_geometry *like)
{
	struct kvx_geometry geo = {
		1 + number(), 1 + number() % 4, 1 + number() % 2, 1 + number(), 1 + number(),
		1 + number() % 8, mostly(1), 1 + number() % 4,
	};
	enum kvxfer_layout_kind kind = mostly(1 + number() % 4);
	__u32 nr, index;
	uint32_t err;
	__u64 given[64], stride;

	if (like) {
		geo.num_layers = mostly(like->num_layers);
		geo.outer_dim = mostly(like->outer_dim);
		geo.page_size = mostly(like->page_size);
		geo.inner_dim = mostly(like->inner_dim);
		geo.dtype_width = mostly(like->dtype_width);
		geo.format = mostly(like->format);
	}
	if (kvx_layout_init(layout, &geo) != 0)
		return false;
	must(layout->nr_entries <= KVXFER_LAYOUT_ENTRIES_MAX);
	stride = layout->region_bytes + number();
	nr = mostly(kind == KVXFER_LAYOUT_CONTIGUOUS ? 1 : kind == KVXFER_LAYOUT_TABLE ?
		    layout->nr_entries : geo.num_layers) % 64;
	for (__u32 i = 0; i < nr; i++)
		given[i] = i && number() % 4 ? given[i - 1] + layout->region_bytes *
			   geo.num_blocks * geo.outer_dim : kvx_place(number() % 5, number());
	layout->base = malloc(layout->nr_entries * sizeof(*layout->base));
	err = kvx_layout_bases(layout, kind, given, nr, stride, &index);
	if (!err)
		for (index = 0; index < layout->nr_entries && !err; index++)
			err = kvx_layout_check(layout, pool_bytes, POOLS, index);
	if (err)
		free(layout->base);
	return !err;
}

static void within(__u64 place, __u64 bytes)
{
	must(kvx_place_pool(place) < POOLS);
	must(kvx_place_offset(place) <= pool_bytes[kvx_place_pool(place)]);
	must(bytes <= pool_bytes[kvx_place_pool(place)] - kvx_place_offset(place));
}

static void side(struct kvx_side *side, const struct kvx_layout *layout, __u32 *ids, __u32 nr)
{
	side->layout = layout;
	side->ids = ids;
	side->nr = mostly(nr) % 32;
	side->layer = mostly(0);
	if (number() % 4 == 0)
		side->piece = (struct kvx_piece){ number(), number(), number(), number() };
	for (__u32 i = 0; i < side->nr; i++)
		ids[i] = mostly(i ? (ids[i - 1] + 1 + number() % 4) % layout->geo.num_blocks :
				number() % layout->geo.num_blocks);
}

static void walk(const struct kvx_shape *shape)
{
	const __u32 parts = 1 + number() % 8;
	const __u64 max = number() ?: 1;
	struct kvx_segment segment;
	struct kvx_cursor cursor;
	__u64 bytes = 0;
	long steps = 0;

	for (__u32 part = 0; part < parts; part++) {
		kvx_cursor_init(&cursor, shape, part, parts);
		while (kvx_cursor_next(&cursor, &segment, max)) {
			must(segment.bytes && segment.bytes <= max);
			within(segment.src, segment.bytes);
			within(segment.dst, segment.bytes);
			bytes += segment.bytes;
			must(bytes <= shape->bytes);
			/* Long enough to have seen what there is to be seen. */
			if (++steps > 20000)
				return;
		}
	}
	must(bytes == shape->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	__u32 src_ids[32], dst_ids[32], scratch[64], index;
	struct kvx_layout src, dst;
	struct kvx_shape shape = {};

	at = data;
	left = size;
	for (int i = 0; i < POOLS; i++)
		pool_bytes[i] = mostly(1 << 20) & KVX_PLACE_MASK;
	if (!layout(&src, NULL))
		return 0;
	if (!layout(&dst, &src.geo)) {
		free(src.base);
		return 0;
	}
	side(&shape.src, &src, src_ids, 1 + number());
	side(&shape.dst, &dst, dst_ids, shape.src.nr);
	shape.nr_layers = mostly(0);
	shape.outers = mostly(0);
	must(kvx_shape_scratch(31) <= 64);
	if (kvx_shape_init(&shape, scratch, NULL, &index) == KVX_SHAPE_OK)
		walk(&shape);
	free(src.base);
	free(dst.base);
	return 0;
}
