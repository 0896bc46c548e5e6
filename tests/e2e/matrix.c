// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of layout to every other, in every kind of memory: what ends up where, to the last
 * byte, those among them that nobody should touch.
 * Time: 300
 */
#define _GNU_SOURCE
#include "blocks.h"

#define BLOCKS	8
#define KINDS	4
#define SIDES	(MEMORIES * KINDS)

static struct side sides[2][SIDES];
static struct kvx_agent *agent;

/* Two of each: the one is read, the other written. */
static void setup(void)
{
	agent = open_agent();
	for (int i = 0; i < 2 * SIDES; i++) {
		sides[i / SIDES][i % SIDES] =
			make_side(agent, i % SIDES / KINDS, standard(1 + i % KINDS, BLOCKS));
		fill(&sides[i / SIDES][i % SIDES], i, 0xff);
	}
}

static void teardown(void)
{
	for (int i = 0; i < 2 * SIDES; i++)
		drop_side(&sides[i / SIDES][i % SIDES]);
	close_and_settle(agent);
}

/* Every pair of the two rows, in turn. Returns false when there are no more. */
static bool next_pair(struct side **src, struct side **dst)
{
	static int pair;

	if (pair == SIDES * SIDES) {
		pair = 0;
		return false;
	}
	*src = &sides[0][pair / SIDES];
	*dst = &sides[1][pair % SIDES];
	pair++;
	return true;
}

/* Copies, and looks at every byte of the destination's memory and of the source's. */
static void copy_and_check(struct side *src, struct side *dst, const uint32_t *src_ids,
			   const uint32_t *dst_ids, size_t nr, uint32_t layer, uint32_t nr_layers)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	unsigned char *want = snapshot(dst), *same = snapshot(src);

	expect(want, src, dst, src_ids, dst_ids, nr, layer, nr_layers);
	if (nr_layers != src->config.num_layers) {
		opts.src_layer = layer;
		opts.dst_layer = layer;
		opts.nr_layers = nr_layers;
	}
	copy_blocks(src, dst, src_ids, dst_ids, nr, &opts);
	check_memory(dst, want);
	check_memory(src, same);
}

TEST(point_to_point)
{
	struct side *src, *dst;
	const uint32_t from[] = { 0, 1 }, to[] = { 2, 3 };

	setup();
	while (next_pair(&src, &dst))
		copy_and_check(src, dst, from, to, 2, 0, 2);
	teardown();
}

TEST(there_and_back)
{
	struct side *src, *mid;
	const uint32_t a[] = { 0, 1, 2 }, b[] = { 5, 3, 4 }, c[] = { 7, 6, 5 };

	setup();
	/* Into the second row and on into the first: the third has what the first had. */
	while (next_pair(&src, &mid)) {
		copy_and_check(src, mid, a, b, 3, 0, 2);
		for (struct side *dst = sides[0]; dst < sides[0] + SIDES; dst++) {
			if (dst == src)
				continue;
			copy_blocks(mid, dst, b, c, 3, NULL);
			for (int i = 0; i < 3; i++)
				for (int lo = 0; lo < 4; lo++)
					CHECK(!memcmp(region(src, a[i], lo / 2, lo % 2),
						      region(dst, c[i], lo / 2, lo % 2), 4096));
		}
	}
	teardown();
}

TEST(orders_of_all_sorts)
{
	struct side *src, *dst;
	static const struct {
		size_t nr;
		uint32_t from[BLOCKS], to[BLOCKS];
	} orders[] = {
		{ 5, { 0, 1, 2, 3, 4 }, { 4, 3, 2, 1, 0 } },
		/* Both step by one, and then only one of them does. */
		{ 4, { 0, 1, 2, 3 }, { 4, 5, 6, 7 } },
		{ 4, { 0, 1, 2, 3 }, { 1, 3, 5, 7 } },
		{ 4, { 0, 2, 4, 6 }, { 0, 1, 2, 3 } },
		{ 4, { 3, 2, 1, 0 }, { 4, 5, 6, 7 } },
		{ 6, { 1, 2, 3, 5, 6, 7 }, { 0, 1, 2, 3, 4, 5 } },
		{ 6, { 0, 1, 2, 3, 4, 5 }, { 1, 2, 3, 5, 6, 7 } },
		/* One source, many destinations. */
		{ 4, { 2, 2, 2, 2 }, { 0, 1, 2, 3 } },
		{ 8, { 0, 1, 2, 3, 4, 5, 6, 7 }, { 0, 1, 2, 3, 4, 5, 6, 7 } },
		{ 1, { 7 }, { 0 } },
	};

	setup();
	while (next_pair(&src, &dst))
		for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
			copy_and_check(src, dst, orders[i].from, orders[i].to, orders[i].nr, 0, 2);
	teardown();
}

TEST(layers_alone_touch_nothing_else)
{
	struct side *src, *dst;
	const uint32_t from[] = { 0, 1, 2 }, to[] = { 3, 4, 6 };

	setup();
	while (next_pair(&src, &dst)) {
		/* Of blocks in a row, one layer: there is a gap between. */
		copy_and_check(src, dst, from, to, 3, 0, 1);
		copy_and_check(src, dst, from, to, 3, 1, 1);
		copy_and_check(src, dst, from, from, 3, 1, 1);
	}
	teardown();
}

TEST(all_layers_one_by_one_are_the_whole)
{
	struct side *src, *dst;
	const uint32_t ids[] = { 1, 2, 5, 6 };
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	unsigned char *whole;

	setup();
	opts.nr_layers = 1;
	while (next_pair(&src, &dst)) {
		copy_blocks(src, dst, ids, ids, 4, NULL);
		whole = snapshot(dst);
		for (int i = 0; i < 4; i++)
			for (int lo = 0; lo < 4; lo++)
				memset(region(dst, ids[i], lo / 2, lo % 2), 0, 4096);
		for (uint32_t layer = 0; layer < 2; layer++) {
			opts.src_layer = layer;
			opts.dst_layer = layer;
			copy_blocks(src, dst, ids, ids, 4, &opts);
		}
		check_memory(dst, whole);
	}
	teardown();
}

TEST(keys_and_values_are_told_apart)
{
	struct side *src, *dst;
	const uint32_t ids[] = { 0, 3, 4 };
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	unsigned char *want;

	setup();
	while (next_pair(&src, &dst)) {
		for (uint32_t outer = 0; outer < 2; outer++) {
			opts.outers = 1 << outer;
			want = snapshot(dst);
			for (int i = 0; i < 3; i++)
				for (uint32_t layer = 0; layer < 2; layer++)
					memcpy(want + (region(dst, ids[i], layer, outer) -
						       dst->mem),
					       region(src, ids[i], layer, outer), 4096);
			copy_blocks(src, dst, ids, ids, 3, &opts);
			check_memory(dst, want);
			fill(dst, 99, 0x33);
		}
	}
	teardown();
}

TEST(layers_may_have_other_numbers_on_the_other_side)
{
	struct side *src, *dst;
	const uint32_t ids[] = { 6, 7 };
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	unsigned char *want;

	setup();
	opts.src_layer = 1;
	opts.nr_layers = 1;
	while (next_pair(&src, &dst)) {
		want = snapshot(dst);
		for (int i = 0; i < 2; i++)
			for (int outer = 0; outer < 2; outer++)
				memcpy(want + (region(dst, ids[i], 0, outer) - dst->mem),
				       region(src, ids[i], 1, outer), 4096);
		copy_blocks(src, dst, ids, ids, 2, &opts);
		check_memory(dst, want);
	}
	teardown();
}

/* A rank of 8 takes its heads from a rank of 4: one run in HND, one for each token in NHD. */
TEST(heads_are_cut_out_of_regions)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	const uint32_t from[] = { 5, 0, 3 }, to[] = { 0, 1, 2 };
	struct kvx_layout_config config;
	struct side src, dst;
	unsigned char *want;

	agent = open_agent();
	for (int kinds = 0; kinds < KINDS * KINDS; kinds++) {
		for (int nhd = 0; nhd < 2; nhd++) {
			config = standard(1 + kinds / KINDS, BLOCKS);
			config.format = nhd ? KVX_FORMAT_NHD : KVX_FORMAT_HND;
			src = make_side(agent, kinds % MEMORIES, config);
			config = standard(1 + kinds % KINDS, BLOCKS);
			config.format = nhd ? KVX_FORMAT_NHD : KVX_FORMAT_HND;
			config.inner_dim /= 2;
			dst = make_side(agent, kinds % 2, config);
			fill(&src, 1, 0);
			for (int half = 0; half < 2; half++) {
				fill(&dst, 2, 0xee);
				want = snapshot(&dst);
				opts.src_piece = nhd ?
					(struct kvx_piece){ half * 128, 128, 256, 16 } :
					(struct kvx_piece){ half * 2048, 2048, 0, 1 };
				for (int i = 0; i < 3 * 4 * 16; i++) {
					const int b = i / 64, lo = i / 16 % 4, t = i % 16;

					memcpy(want + (region(&dst, to[b], lo / 2, lo % 2) -
						       dst.mem) + t * 128,
					       region(&src, from[b], lo / 2, lo % 2) +
					       (nhd ? t * 256 + half * 128 :
						      half * 2048 + t * 128), 128);
				}
				copy_blocks(&src, &dst, from, to, 3, &opts);
				check_memory(&dst, want);
			}
			drop_side(&src);
			drop_side(&dst);
		}
	}
	close_and_settle(agent);
}

/* Four blocks of 4 tokens are one of 16, and the other way round; 656 bytes are a token, too. */
TEST(blocks_of_other_sizes_regroup)
{
	const uint32_t small[] = { 4, 7, 1, 0, 2, 3, 6, 5 }, big[] = { 3, 1 };
	struct kvx_layout_config config;
	struct side few, many;
	unsigned char *want;

	agent = open_agent();
	for (int kinds = 0; kinds < KINDS * KINDS; kinds++) {
		config = standard(1 + kinds / KINDS, 4);
		config.format = kinds % 2 ? KVX_FORMAT_NHD : KVX_FORMAT_LATENT;
		config.inner_dim = 656;
		config.dtype_width = 1;
		few = make_side(agent, kinds % MEMORIES, config);
		config.kind = 1 + kinds % KINDS;
		config.num_blocks = 8;
		config.page_size = 4;
		many = make_side(agent, kinds % 2, config);
		fill(&few, 1, 0);
		fill(&many, 2, 0xee);
		want = snapshot(&few);
		for (int i = 0; i < 8 * 4; i++)
			memcpy(want + (region(&few, big[i / 16], i % 4 / 2, i % 2) - few.mem) +
			       i / 4 % 4 * 4 * 656,
			       region(&many, small[i / 4], i % 4 / 2, i % 2), 4 * 656);
		OK(kvx_xfer_exec(agent, many.handle, small, 8, few.handle, big, 2, NULL, NULL));
		check_memory(&few, want);
		fill(&few, 3, 0);
		want = snapshot(&many);
		for (int i = 0; i < 8 * 4; i++)
			memcpy(want + (region(&many, small[i / 4], i % 4 / 2, i % 2) - many.mem),
			       region(&few, big[i / 16], i % 4 / 2, i % 2) + i / 4 % 4 * 4 * 656,
			       4 * 656);
		OK(kvx_xfer_exec(agent, few.handle, big, 2, many.handle, small, 8, NULL, NULL));
		check_memory(&many, want);
		drop_side(&few);
		drop_side(&many);
	}
	close_and_settle(agent);
}

TEST(many_blocks)
{
	static uint32_t from[16384], to[16384];
	struct kvx_layout_config config;
	struct side src, dst;
	unsigned char *want;

	agent = open_agent();
	for (uint32_t nr = 1024; nr <= 16384; nr *= 2) {
		for (int kinds = 0; kinds < KINDS * KINDS; kinds += 3) {
			config = standard(1 + kinds / KINDS, nr);
			config.page_size = 1;
			config.inner_dim = 37;
			src = make_side(agent, kinds % MEMORIES, config);
			config.kind = 1 + kinds % KINDS;
			dst = make_side(agent, (kinds + 1) % MEMORIES, config);
			fill(&src, 1, 0);
			fill(&dst, 2, 0xcc);
			/* Odd numbers go round all of a power of two. */
			for (uint32_t i = 0; i < nr; i++) {
				from[i] = kinds % 2 ? i : i * 7919 % nr;
				to[i] = kinds < 8 ? i : (nr - 1 - i) * 5 % nr;
			}
			want = snapshot(&dst);
			expect(want, &src, &dst, from, to, nr, 0, 2);
			copy_blocks(&src, &dst, from, to, nr, NULL);
			check_memory(&dst, want);
			drop_side(&src);
			drop_side(&dst);
		}
	}
	close_and_settle(agent);
}

/* Large ones, too: of several parts, by several CPUs. */
TEST(large_copies_are_as_right_as_small_ones)
{
	static uint32_t from[600], to[600];
	struct side src, dst;
	unsigned char *want;

	agent = open_agent();
	for (int kinds = 0; kinds < KINDS * KINDS; kinds++) {
		src = make_side(agent, kinds % MEMORIES, standard(1 + kinds / KINDS, 600));
		dst = make_side(agent, (kinds + 1) % MEMORIES, standard(1 + kinds % KINDS, 600));
		fill(&src, 1, 0);
		fill(&dst, 2, 0xcc);
		for (uint32_t i = 0; i < 600; i++) {
			from[i] = kinds % 2 ? i : i * 7 % 600;
			to[i] = kinds % 4 < 2 ? i : (599 - i) * 11 % 600;
		}
		want = snapshot(&dst);
		expect(want, &src, &dst, from, to, 600, 0, 2);
		copy_blocks(&src, &dst, from, to, 600, NULL);
		check_memory(&dst, want);
		drop_side(&src);
		drop_side(&dst);
	}
	close_and_settle(agent);
}
