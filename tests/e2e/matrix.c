// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of layout to every other, in every kind of memory: what ends up where, to the last
 * byte, those among them that nobody should touch.
 * Time: 300
 * Lanes: uml-smp uml-debug debian-6.12
 * Cases: debian large_copies_are_as_right_as_small_ones
 * Emulated: copy_mc_to_kernel(), and copies by two real processors
 */
#define _GNU_SOURCE
#include "shapes.h"

#define SIDES	(MEMORIES * KINDS)

static struct side sides[2][SIDES];
static struct kvx_agent *agent;

/* Two of each: the one is read, the other written. */
static void setup(void)
{
	agent = open_agent();
	for (int i = 0; i < 2 * SIDES; i++) {
		sides[i / SIDES][i % SIDES] =
			make_side(agent, i % SIDES / KINDS, plain_config(i));
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
static void copy_and_check(struct side *src, struct side *dst, const struct shape *shape)
{
	const struct kvx_xfer_opts opts = shape_opts(shape);
	unsigned char *want = snapshot(dst), *same = snapshot(src);
	struct kvx_result result = KVX_RESULT_INIT;

	expect_shape(want, src, dst, shape);
	OK(kvx_xfer_exec(agent, src->handle, shape->from, shape->nr, dst->handle, shape->to,
			 shape_nr_to(shape), &opts, &result));
	CHECK_EQ(result.path, KVX_PATH_LOCAL);
	CHECK_EQ(result.bytes, shape_bytes(src, dst, shape));
	check_memory(dst, want);
	check_memory(src, same);
}

static void copy_all(const struct shape *shapes, size_t nr)
{
	struct side *src, *dst;

	setup();
	while (next_pair(&src, &dst))
		for (size_t i = 0; i < nr; i++)
			copy_and_check(src, dst, &shapes[i]);
	teardown();
}

TEST(there_and_back)
{
	struct side *src, *mid;
	const struct shape there = { 3, 0, { 0, 1, 2 }, { 5, 3, 4 } };
	const struct shape back = { 3, 0, { 5, 3, 4 }, { 7, 6, 5 } };

	setup();
	/* Into the second row and on into the first: the third has what the first had. */
	while (next_pair(&src, &mid)) {
		copy_and_check(src, mid, &there);
		for (struct side *dst = sides[0]; dst < sides[0] + SIDES; dst++) {
			if (dst == src)
				continue;
			copy_blocks(mid, dst, back.from, back.to, 3, NULL);
			for (int i = 0; i < 12; i++)
				CHECK(!memcmp(region(src, there.from[i / 4], i % 4 / 2, i % 2),
					      region(dst, back.to[i / 4], i % 4 / 2, i % 2),
					      4096));
		}
	}
	teardown();
}

TEST(orders_of_all_sorts)
{
	copy_all(orders, ARRAY_SIZE(orders));
}

TEST(rows_of_blocks)
{
	copy_all(rows, ARRAY_SIZE(rows));
}

TEST(layers_alone_touch_nothing_else)
{
	copy_all(layers_alone, ARRAY_SIZE(layers_alone));
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
	copy_all(keys_and_values, ARRAY_SIZE(keys_and_values));
}

TEST(layers_may_have_other_numbers_on_the_other_side)
{
	copy_all(other_layers, ARRAY_SIZE(other_layers));
}

/* As many or few heads in each block: one run in HND, one for each token in NHD. */
TEST(heads_are_cut_out_of_regions_and_put_back)
{
	struct side all, half;

	agent = open_agent();
	for (int kinds = 0; kinds < KIND_PAIRS; kinds++) {
		for (int nhd = 0; nhd < 2; nhd++) {
			all = make_side(agent, kinds % MEMORIES,
					heads_config(8 * nhd + kinds / KINDS));
			half = make_side(agent, kinds % 2,
					 heads_config(8 * nhd + KINDS + kinds % KINDS));
			fill(&all, 1, 0);
			for (int i = 0; i < 2; i++) {
				const struct shape cut = cut_heads(nhd, i);
				const struct shape join = join_heads(nhd, i);

				fill(&half, 2, 0xee);
				copy_and_check(&all, &half, &cut);
				fill(&half, 3 + i, 0xee);
				copy_and_check(&half, &all, &join);
			}
			drop_side(&all);
			drop_side(&half);
		}
	}
	close_and_settle(agent);
}

TEST(blocks_of_other_sizes_regroup)
{
	struct side few, many;

	agent = open_agent();
	for (int kinds = 0; kinds < KIND_PAIRS; kinds++) {
		const int format = kinds % 2 * 2 * KINDS;

		few = make_side(agent, kinds % MEMORIES, tokens_config(format + kinds / KINDS));
		many = make_side(agent, kinds % 2, tokens_config(format + KINDS + kinds % KINDS));
		fill(&few, 1, 0);
		fill(&many, 2, 0xee);
		copy_and_check(&many, &few, &merge_tokens);
		fill(&few, 3, 0);
		copy_and_check(&few, &many, &split_tokens);
		drop_side(&few);
		drop_side(&many);
	}
	close_and_settle(agent);
}

TEST(many_blocks)
{
	static uint32_t from[MANY_MAX], to[MANY_MAX];
	struct side src, dst;
	unsigned char *want;

	agent = open_agent();
	for (uint32_t nr = 1024; nr <= MANY_MAX; nr *= 2) {
		for (int kinds = 0; kinds < KIND_PAIRS; kinds += 3) {
			src = make_side(agent, kinds % MEMORIES,
					many_config(1 + kinds / KINDS, nr));
			dst = make_side(agent, (kinds + 1) % MEMORIES,
					many_config(1 + kinds % KINDS, nr));
			fill(&src, 1, 0);
			fill(&dst, 2, 0xcc);
			many_ids(from, to, nr, kinds);
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
	for (int kinds = 0; kinds < KIND_PAIRS; kinds++) {
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
