// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of layout to every other on another node, in every kind of memory, read and written:
 * what ends up where, to the last byte, those among them that nobody should touch.
 * Nodes: 2
 * Time: 400
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 280
#include "two.h"

#define BLOCKS	8
#define KINDS	4
#define SIDES	(MEMORIES * KINDS)

/* Ours; and on node 1, what the other's should be. */
static struct side sides[SIDES], shadows[SIDES];
static struct kvx_handle theirs[SIDES];
static struct kvx_agent *agent;

static const struct order {
	size_t nr;
	uint32_t layer, nr_layers;
	uint32_t from[BLOCKS], to[BLOCKS];
} orders[] = {
	{ 2, 0, 2, { 0, 1 }, { 2, 3 } },
	{ 5, 0, 2, { 0, 1, 2, 3, 4 }, { 4, 3, 2, 1, 0 } },
	{ 4, 0, 2, { 0, 1, 2, 3 }, { 1, 3, 5, 7 } },
	{ 4, 0, 2, { 0, 2, 4, 6 }, { 0, 1, 2, 3 } },
	{ 4, 0, 2, { 2, 2, 2, 2 }, { 0, 1, 2, 3 } },
	{ 8, 0, 2, { 0, 1, 2, 3, 4, 5, 6, 7 }, { 0, 1, 2, 3, 4, 5, 6, 7 } },
	{ 1, 0, 2, { 7 }, { 0 } },
	{ 3, 0, 1, { 0, 1, 2 }, { 3, 4, 6 } },
	{ 3, 1, 1, { 0, 1, 2 }, { 3, 4, 6 } },
};

static struct kvx_layout_config config_of(int i)
{
	return standard(1 + i % KINDS, BLOCKS);
}

static void setup(void)
{
	struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant grants[SIDES];
	struct kvx_peer *peer;
	size_t bytes;
	void *data;

	agent = open_agent();
	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	for (int i = 0; i < SIDES; i++) {
		sides[i] = make_side(agent, i / KINDS, config_of(i));
		fill(&sides[i], node() * 100 + i, 0xff);
		if (node() == 2) {
			OK(kvx_grant(agent, &grants[i], sides[i].handle, &opts));
		} else {
			shadows[i] = make_side(agent, KERNEL, config_of(i));
			fill(&shadows[i], 200 + i, 0xff);
		}
	}
	if (node() == 2) {
		OK(kvx_export_metadata(agent, grants, SIDES, &data, &bytes));
		tell(data, bytes);
		free(data);
		return;
	}
	hear_offer();
	OK(kvx_import_metadata(agent, blob, blob_bytes, &peer));
	for (int i = 0; i < SIDES; i++) {
		OK(kvx_peer_layout(peer, i, &layout));
		theirs[i] = layout.handle;
	}
	kvx_peer_free(peer);
}

static void teardown(void)
{
	for (int i = 0; i < SIDES; i++) {
		drop_side(&sides[i]);
		if (node() == 1)
			drop_side(&shadows[i]);
	}
	close_and_settle(agent);
}

static void move(struct kvx_handle src, struct kvx_handle dst, const struct order *order)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;

	if (order->nr_layers != 2) {
		opts.src_layer = order->layer;
		opts.dst_layer = order->layer;
		opts.nr_layers = order->nr_layers;
	}
	OK(kvx_xfer_exec(agent, src, order->from, order->nr, dst, order->to, order->nr, &opts,
			 &result));
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	CHECK_EQ(result.bytes, order->nr * order->nr_layers * 2 * 4096);
}

/* Theirs is read into ours; ours is written into theirs, and into what theirs should be. */
static void both_ways(int i, int j, const struct order *order)
{
	unsigned char *want = snapshot(&sides[j]);

	expect(want, &shadows[i], &sides[j], order->from, order->to, order->nr, order->layer,
	       order->nr_layers);
	move(theirs[i], sides[j].handle, order);
	check_memory(&sides[j], want);
	move(sides[j].handle, theirs[i], order);
	expect(shadows[i].mem, &sides[j], &shadows[i], order->from, order->to, order->nr,
	       order->layer, order->nr_layers);
}

/* What the other side should be, to the last byte. */
static void compare(void)
{
	unsigned char *want;

	for (int i = 0; i < SIDES; i++) {
		if (node() == 1) {
			tell(shadows[i].mem, shadows[i].bytes);
		} else {
			want = malloc(sides[i].bytes);
			CHECK(want);
			CHECK_EQ(hear(want, sides[i].bytes), sides[i].bytes);
			check_memory(&sides[i], want);
		}
	}
}

static void matrix(const char *type, bool twice)
{
	if (twice)
		rdma_up_twice(type);
	else
		rdma_up(type);
	setup();
	for (int pair = 0; node() == 1 && pair < SIDES * SIDES; pair++)
		for (size_t o = 0; o < ARRAY_SIZE(orders); o++)
			both_ways(pair / SIDES, pair % SIDES, &orders[o]);
	compare();
	meet();
	teardown();
	rdma_down();
}

TEST(every_kind_to_every_kind)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++)
		matrix(type, false);
}

TEST(every_kind_to_every_kind_by_two_rails)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++)
		matrix(type, true);
}
