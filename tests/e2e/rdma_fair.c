// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small transfer is not stuck behind a large one that was there before it, whichever way each of
 * them goes. By the order in which they end, not by how long they take: that, `make bench T=rdma`
 * tells.
 * Nodes: 2
 * Time: 300
 * Lanes: uml-smp uml-debug
 */
#define _GNU_SOURCE
#define TWO_ONE_KIND_IN_DEBUG
#define KTAP_CASE_LIMIT_S 150
#include "netlink.h"
#include "two.h"

/* Of 16 KiB each: the large one moves 12 MiB, each small one 4 KiB of a block of its own. */
#define LARGE	768
#define SMALL	48
#define BLOCKS	(LARGE + SMALL)

static uint32_t all[BLOCKS];
static uint64_t other_boot_id;

/* The ways of node 1's: whether they write, or read. */
struct ways {
	bool large, small;
};

struct work {
	struct kvx_agent *agent;
	struct side mine;
	struct kvx_handle theirs;
	struct ways write;
	struct kvx_xfer *large;
	struct kvx_xfer *small[SMALL];
};

static struct kvx_xfer *prepare(struct work *w, bool write, uint32_t first, uint32_t nr,
				uint32_t regions)
{
	const struct kvx_handle src = write ? w->mine.handle : w->theirs;
	const struct kvx_handle dst = write ? w->theirs : w->mine.handle;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_xfer *xfer;

	opts.deadline_ns = 100000000000;
	opts.user_data = first;
	opts.nr_layers = regions;
	opts.outers = regions;
	OK(kvx_xfer_prep(w->agent, &xfer, src, all + first, nr, dst, all + first, nr, &opts));
	return xfer;
}

/* What the next in the ring is: its first block. */
static uint64_t next_end(struct work *w, uint64_t bytes)
{
	struct kvx_result result = KVX_RESULT_INIT;
	unsigned int events;
	int err;

	while ((err = kvx_ring_next(w->agent, &result)) == -EAGAIN)
		OK(kvx_wait_event(w->agent, KVX_FOREVER, &events));
	CHECK_EQ(err, 0);
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	if (bytes)
		CHECK_EQ(result.bytes, bytes);
	return result.user_data;
}

static uint64_t moved(struct work *w)
{
	return nl_rail_bytes(other_boot_id, w->write.large ? KVXFER_NL_RAIL_WRITE_BYTES :
							      KVXFER_NL_RAIL_READ_BYTES);
}

/*
 * The large one is stopped on its way, with something of it done and most of it not. (Where we are
 * not scheduled for long it is through before that: then it is posted again.)
 */
static void be_in_the_midst(struct work *w)
{
	const uint64_t half = kvx_xfer_bytes(w->large) / 2;
	uint64_t before;

	for (;;) {
		before = moved(w);
		slow_lanes();
		OK(kvx_xfer_post(w->large));
		while (moved(w) == before)
			sched_yield();
		hold_lanes();
		if (moved(w) - before < half)
			break;
		let_lanes_go();
		CHECK_EQ(next_end(w, 2 * half), 0);
	}
	CHECK_EQ(kvx_xfer_check(w->large), KVX_XFER_RUNNING);
}

static void overtake(struct work *w)
{
	bool ended[BLOCKS] = {};
	uint64_t first;

	OK(kvx_ring_setup(w->agent, 64, -1));
	w->large = prepare(w, w->write.large, 0, LARGE, 0);
	for (uint32_t i = 0; i < SMALL; i++)
		w->small[i] = prepare(w, w->write.small, LARGE + i, 1, 1);
	/* The other's keys are here, and all is connected. */
	OK(kvx_xfer_post(w->small[0]));
	CHECK_EQ(next_end(w, 4096), LARGE);
	be_in_the_midst(w);
	for (uint32_t i = 0; i < SMALL; i++)
		OK(kvx_xfer_post(w->small[i]));
	CHECK_EQ(kvx_xfer_check(w->large), KVX_XFER_RUNNING);
	let_lanes_go();
	for (uint32_t i = 0; i < SMALL; i++) {
		first = next_end(w, 0);
		if (first < LARGE)
			FAIL("%u of %u small ones have ended when the large one does", i, SMALL);
		CHECK(!ended[first]);
		ended[first] = true;
	}
	CHECK_EQ(next_end(w, LARGE * 4 * 4096ULL), 0);
	kvx_xfer_release(w->large);
	for (uint32_t i = 0; i < SMALL; i++)
		kvx_xfer_release(w->small[i]);
}

/* What has come is there, and nothing else is changed; @as is filled as the other's was. */
static void check_moved(const struct side *mine, const struct side *as, bool large, bool small)
{
	struct side was = *mine;

	was.mem = snapshot(mine);
	fill(&was, node(), 0);
	if (large)
		expect(was.mem, as, mine, all, all, LARGE, 0, 2);
	for (uint32_t i = LARGE; small && i < BLOCKS; i++)
		memcpy(region(&was, i, 0, 0), region(as, i, 0, 0), 4096);
	check_memory(mine, was.mem);
}

static void small_beside_large(const char *type, struct ways write)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct work w = { .agent = open_agent(), .write = write };
	uint64_t boot_id = query(w.agent).boot_id;
	struct side as;

	for (uint32_t i = 0; i < BLOCKS; i++)
		all[i] = i;
	rdma_up(type);
	w.mine = make_side(w.agent, KERNEL, config);
	fill(&w.mine, node(), 0);
	if (node() == 2) {
		tell(&boot_id, sizeof(boot_id));
		offer(&w.mine);
		meet();
	} else {
		hear(&other_boot_id, sizeof(other_boot_id));
		w.theirs = take(w.agent);
		overtake(&w);
		meet();
	}
	as = make_side(w.agent, KERNEL, config);
	fill(&as, 3 - node(), 0);
	/* What is written comes to node 2, what is read to node 1. */
	check_moved(&w.mine, &as, (node() == 2) == write.large, (node() == 2) == write.small);
	drop_side(&as);
	meet();
	drop_side(&w.mine);
	close_and_settle(w.agent);
	rdma_down();
}

#define EACH_TYPE(large_writes, small_writes) do {					\
	const char *type;								\
											\
	for (int t = 0; (type = rdma_type(t)); t++)					\
		small_beside_large(type, (struct ways){ large_writes, small_writes });	\
} while (0)

TEST(small_reads_end_before_a_large_read)
{
	EACH_TYPE(false, false);
}

TEST(small_writes_end_before_a_large_write)
{
	EACH_TYPE(true, true);
}

TEST(small_reads_end_before_a_large_write)
{
	EACH_TYPE(true, false);
}

TEST(small_writes_end_before_a_large_read)
{
	EACH_TYPE(false, true);
}
