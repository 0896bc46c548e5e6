// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of layout to every other on another node, in every kind of memory, read and written:
 * what ends up where, to the last byte, those among them that nobody should touch. The shapes are
 * those of the matrix within a node.
 * Nodes: 2
 * Time: 400
 * Lanes: uml-smp uml-debug
 * Cases: uml-debug parts_of_blocks_touch_nothing_else heads_are_cut_out_of_regions_and_put_back
 * Cases: uml-debug blocks_of_other_sizes_regroup
 */
#define _GNU_SOURCE
#define TWO_ONE_KIND_IN_DEBUG
#define KTAP_CASE_LIMIT_S 280
#include "shapes.h"
#include "two.h"

/* Of each kind, so many. */
#define PLAIN_SIDES	(MEMORIES * KINDS)
#define SIDES		(4 * KINDS)

/* Ours; and on node 1, what the other's should be. */
static struct side sides[SIDES], shadows[SIDES];
static struct kvx_handle theirs[SIDES];
static struct kvx_agent *agent;
static int nr_sides;

static void setup(int nr, struct kvx_layout_config (*config_of)(int i))
{
	struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant grants[SIDES];
	struct kvx_peer *peer;
	size_t bytes;
	void *data;

	agent = open_agent();
	nr_sides = nr;
	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	for (int i = 0; i < nr; i++) {
		sides[i] = make_side(agent, i % MEMORIES, config_of(i));
		fill(&sides[i], node() * 100 + i, 0xff);
		if (node() == 2) {
			OK(kvx_grant(agent, &grants[i], sides[i].handle, &opts));
		} else {
			shadows[i] = make_side(agent, KERNEL, config_of(i));
			fill(&shadows[i], 200 + i, 0xff);
		}
	}
	if (node() == 2) {
		OK(kvx_export_metadata(agent, grants, nr, &data, &bytes));
		tell(data, bytes);
		free(data);
		return;
	}
	hear_offer();
	OK(kvx_import_metadata(agent, blob, blob_bytes, &peer));
	for (int i = 0; i < nr; i++) {
		OK(kvx_peer_layout(peer, i, &layout));
		theirs[i] = layout.handle;
	}
	kvx_peer_free(peer);
}

/* What the other side should be, to the last byte; then all goes. */
static void compare_and_drop(void)
{
	unsigned char *want;

	for (int i = 0; i < nr_sides; i++) {
		if (node() == 1) {
			tell(shadows[i].mem, shadows[i].bytes);
		} else {
			want = malloc(sides[i].bytes);
			CHECK(want);
			CHECK_EQ(hear(want, sides[i].bytes), sides[i].bytes);
			check_memory(&sides[i], want);
		}
	}
	meet();
	for (int i = 0; i < nr_sides; i++) {
		drop_side(&sides[i]);
		if (node() == 1)
			drop_side(&shadows[i]);
	}
	close_and_settle(agent);
}

static void move(struct kvx_handle src, const uint32_t *from, size_t nr, struct kvx_handle dst,
		 const uint32_t *to, size_t nr_to, const struct kvx_xfer_opts *opts,
		 uint64_t bytes)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_xfer_exec(agent, src, from, nr, dst, to, nr_to, opts, &result));
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	CHECK_EQ(result.bytes, bytes);
}

static void move_shape(const struct side *src, struct kvx_handle src_handle,
		       const struct side *dst, struct kvx_handle dst_handle,
		       const struct shape *shape)
{
	const struct kvx_xfer_opts opts = shape_opts(shape);

	move(src_handle, shape->from, shape->nr, dst_handle, shape->to, shape_nr_to(shape), &opts,
	     shape_bytes(src, dst, shape));
}

/* No region is what any was before: what is then copied is seen. */
static void stamp(struct side *side)
{
	static uint64_t number;
	unsigned char *at;

	for (uint32_t i = 0; i < side->config.num_blocks * 4; i++) {
		at = region(side, i / 4, i % 4 / 2, i % 2);
		number++;
		memcpy(at, &number, sizeof(number));
		memcpy(at + region_bytes(side) - sizeof(number), &number, sizeof(number));
	}
}

/* Theirs is read into ours. */
static void read_shape(int i, int j, const struct shape *shape)
{
	unsigned char *want;

	stamp(&sides[j]);
	want = snapshot(&sides[j]);
	expect_shape(want, &shadows[i], &sides[j], shape);
	move_shape(&shadows[i], theirs[i], &sides[j], sides[j].handle, shape);
	check_memory(&sides[j], want);
}

/* Ours is written into theirs, and into what theirs should be. */
static void write_shape(int i, int j, const struct shape *shape)
{
	stamp(&sides[j]);
	expect_shape(shadows[i].mem, &sides[j], &shadows[i], shape);
	move_shape(&sides[j], sides[j].handle, &shadows[i], theirs[i], shape);
}

/* The same, and what theirs is now is read as a whole, before anything is written over it. */
static void write_and_look(int i, int j, const struct shape *shape)
{
	struct shape all = { .nr = sides[i].config.num_blocks };

	for (uint32_t b = 0; b < all.nr; b++) {
		all.from[b] = b;
		all.to[b] = b;
	}
	write_shape(i, j, shape);
	read_shape(i, i, &all);
}

/* By each kind of RDMA: what node 1 does with sides of such layouts, and what came of it. */
static void by_each_type(bool twice, int nr, struct kvx_layout_config (*config_of)(int i),
			 void (*all)(void))
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		if (twice)
			rdma_up_twice(type);
		else
			rdma_up(type);
		setup(nr, config_of);
		if (node() == 1)
			all();
		compare_and_drop();
		rdma_down();
	}
}

static void all_orders(void)
{
	for (int pair = 0; pair < PLAIN_SIDES * PLAIN_SIDES; pair++) {
		const int i = pair / PLAIN_SIDES, j = pair % PLAIN_SIDES;

		for (size_t o = 0; o < ARRAY_SIZE(orders); o++) {
			read_shape(i, j, &orders[o]);
			write_shape(i, j, &orders[o]);
		}
	}
}

TEST(every_kind_to_every_kind)
{
	by_each_type(false, PLAIN_SIDES, plain_config, all_orders);
}

TEST(every_kind_to_every_kind_by_two_rails)
{
	by_each_type(true, PLAIN_SIDES, plain_config, all_orders);
}

/* Every kind to every kind, of theirs and ours; the memories change. */
static int plain_theirs(int kinds)
{
	return kinds / KINDS + kinds % MEMORIES * KINDS;
}

static int plain_ours(int kinds)
{
	return kinds % KINDS + (kinds + 1) % MEMORIES * KINDS;
}

/* Of each two shapes that follow one another, one for every second pair, one for the others. */
static void parts(const struct shape *shapes, size_t nr)
{
	for (int kinds = 0; kinds < KIND_PAIRS; kinds++)
		for (size_t s = (kinds + kinds / KINDS) % 2; s < nr; s += 2) {
			read_shape(plain_theirs(kinds), plain_ours(kinds), &shapes[s]);
			write_and_look(plain_theirs(kinds), plain_ours(kinds), &shapes[s]);
		}
}

/* Layer by layer into blocks of nothing: as if copied as a whole. */
static void compose(int i, int j)
{
	const uint32_t ids[] = { 1, 2, 5, 6 };
	struct shape layer = { 4, 0, { 1, 2, 5, 6 }, { 1, 2, 5, 6 }, .nr_layers = 1 };
	unsigned char *whole;

	for (int b = 0; b < 4; b++)
		for (int lo = 0; lo < 4; lo++)
			memset(region(&sides[j], ids[b], lo / 2, lo % 2), 0, 4096);
	whole = snapshot(&sides[j]);
	expect(whole, &shadows[i], &sides[j], ids, ids, 4, 0, 2);
	for (int l = 0; l < 2; l++) {
		layer.src_layer = l;
		layer.dst_layer = l;
		move_shape(&shadows[i], theirs[i], &sides[j], sides[j].handle, &layer);
	}
	check_memory(&sides[j], whole);
}

/* From one of theirs to ours, to another of theirs, and to ours again. */
static void go_round(int i, int j, int k, int l)
{
	const struct shape in = { 3, 0, { 0, 1, 2 }, { 5, 3, 4 } };
	const struct shape out = { 3, 0, { 5, 3, 4 }, { 7, 6, 5 } };
	const struct shape in_again = { 3, 0, { 7, 6, 5 }, { 2, 0, 1 } };

	read_shape(i, j, &in);
	/* Without a stamp: it is the same data that goes on. */
	expect_shape(shadows[k].mem, &sides[j], &shadows[k], &out);
	move_shape(&sides[j], sides[j].handle, &shadows[k], theirs[k], &out);
	read_shape(k, l, &in_again);
	for (int n = 0; n < 12; n++)
		CHECK(!memcmp(region(&shadows[i], in.from[n / 4], n % 4 / 2, n % 2),
			      region(&sides[l], in_again.to[n / 4], n % 4 / 2, n % 2), 4096));
}

static void all_parts(void)
{
	parts(rows, ARRAY_SIZE(rows));
	parts(layers_alone, ARRAY_SIZE(layers_alone));
	parts(keys_and_values, ARRAY_SIZE(keys_and_values));
	parts(other_layers, ARRAY_SIZE(other_layers));
	for (int kinds = 0; kinds < KIND_PAIRS; kinds++) {
		const int i = plain_theirs(kinds), j = plain_ours(kinds);

		compose(i, j);
		go_round(i, j, (i + 5) % PLAIN_SIDES, (j + 7) % PLAIN_SIDES);
	}
}

TEST(parts_of_blocks_touch_nothing_else)
{
	by_each_type(false, PLAIN_SIDES, plain_config, all_parts);
}

/* Between a side of one size and one of the other; it is in turns that we have which. */
static void both_sizes(int n, int large, int small, const struct shape *down,
		       const struct shape *up)
{
	if (n % 2) {
		read_shape(large, small, down);
		write_and_look(large, small, up);
	} else {
		read_shape(small, large, up);
		write_and_look(small, large, down);
	}
}

static void all_heads(void)
{
	for (int n = 0; n < 2 * KIND_PAIRS; n++) {
		const int nhd = n / KIND_PAIRS, kinds = n % KIND_PAIRS;
		const int format = 2 * KINDS * nhd, half = kinds / 2 % 2;
		const struct shape cut = cut_heads(nhd, half), join = join_heads(nhd, half);

		both_sizes(n + kinds / KINDS + nhd, format + kinds / KINDS,
			   format + KINDS + kinds % KINDS, &cut, &join);
	}
}

TEST(heads_are_cut_out_of_regions_and_put_back)
{
	by_each_type(true, SIDES, heads_config, all_heads);
}

static void all_groups(void)
{
	for (int kinds = 0; kinds < KIND_PAIRS; kinds++) {
		const int format = kinds % 2 * 2 * KINDS;

		both_sizes(kinds / 2 + kinds / KINDS, format + kinds / KINDS,
			   format + KINDS + kinds % KINDS, &split_tokens, &merge_tokens);
	}
}

TEST(blocks_of_other_sizes_regroup)
{
	by_each_type(false, SIDES, tokens_config, all_groups);
}

/* Blocks of one side of theirs and of one of ours, read and written. */
static const struct crowd {
	uint32_t nr;
	int kinds;
	bool read, write;
} crowds[] = {
	{ 1024, 0, true, true }, { 2048, 3, true, false }, { 4096, 6, false, true },
	{ 8192, 9, true, false }, { MANY_MAX, 5, true, true },
};

static void many(const struct crowd *crowd)
{
	static uint32_t from[MANY_MAX], to[MANY_MAX];
	const uint32_t nr = crowd->nr, far = 1 + crowd->kinds / KINDS;
	const uint32_t near = 1 + crowd->kinds % KINDS;
	struct side mine, shadow;
	struct kvx_handle handle;
	unsigned char *want;
	uint64_t bytes;

	agent = open_agent();
	mine = make_side(agent, (crowd->kinds + node()) % MEMORIES,
			 many_config(node() == 2 ? far : near, nr));
	fill(&mine, node(), 0xcc);
	if (node() == 2) {
		offer(&mine);
		want = malloc(mine.bytes);
		CHECK(want);
		CHECK_EQ(hear(want, mine.bytes), mine.bytes);
		check_memory(&mine, want);
	} else {
		handle = take(agent);
		shadow = make_side(agent, KERNEL, many_config(far, nr));
		fill(&shadow, 2, 0xcc);
		bytes = nr * region_bytes(&mine) * 4;
		many_ids(from, to, nr, crowd->kinds);
		if (crowd->read) {
			want = snapshot(&mine);
			expect(want, &shadow, &mine, from, to, nr, 0, 2);
			move(handle, from, nr, mine.handle, to, nr, NULL, bytes);
			check_memory(&mine, want);
			stamp(&mine);
		}
		if (crowd->write) {
			expect(shadow.mem, &mine, &shadow, to, from, nr, 0, 2);
			move(mine.handle, to, nr, handle, from, nr, NULL, bytes);
		}
		tell(shadow.mem, shadow.bytes);
		drop_side(&shadow);
	}
	meet();
	drop_side(&mine);
	close_and_settle(agent);
}

TEST(many_blocks)
{
	const uint32_t most = rounds(MANY_MAX, 2048, 2048, MANY_MAX);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		rdma_up_twice(type);
		for (size_t i = 0; i < ARRAY_SIZE(crowds); i++)
			if (crowds[i].nr <= most)
				many(&crowds[i]);
		rdma_down();
	}
}
