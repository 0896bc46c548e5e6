// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keys of memory that another node may reach: as few as the device's pages allow, and ended by the
 * device when they are taken back.
 * Nodes: 2
 * Lanes: uml-smp uml-debug
 */
#define _GNU_SOURCE
#define TWO_ONE_KIND_IN_DEBUG
#include <sys/prctl.h>

#include "netlink.h"
#include "two.h"

/* Blocks of 256 KiB: 2 layers, K and V, regions of 64 KiB. */
#define BLOCKS		64
#define BLOCK_BYTES	(256 << 10)
#define POOL_BYTES	((uint64_t)BLOCKS * BLOCK_BYTES)

/* Keys go by workers, too, when who had them says that it does not want them any more. */
static void check_keys(uint32_t keys)
{
	for (int i = 0; i < 5000 && nl_dev("kvx0").keys != keys; i++)
		poll(NULL, 0, 2);
	CHECK_EQ(nl_dev("kvx0").keys, keys);
}

/* As many spans of @span bytes, counted from the pool's beginning, as the blocks lie in. */
static uint32_t spans(uint64_t from, uint64_t blocks, uint64_t span)
{
	return (from + blocks * BLOCK_BYTES - 1) / span - from / span + 1;
}

/* The pages that a side lies in: all of them can be reached by its keys. */
static uint64_t reach(const struct side *side)
{
	const uint64_t end = side->bases[0] + (uint64_t)side->config.num_blocks * BLOCK_BYTES;

	return (end + PAGE - 1) / PAGE * PAGE - side->bases[0] / PAGE * PAGE;
}

/* Node 1 reads @blocks that begin at @from of node 2's memory, by @keys keys. */
static void read_by_keys(enum memory memory, uint64_t from, uint32_t blocks, uint32_t keys)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, blocks);
	struct kvx_agent *agent = open_agent();
	const struct nl_dev before = nl_dev("kvx0");
	struct side mine = { .agent = agent, .memory = memory, .config = config };
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_layout_base base = {};
	struct kvx_handle theirs;
	uint32_t ids[BLOCKS];
	unsigned char *want;

	config.page_size = 256;
	mine.config = config;
	mine.bases[0] = from;
	get_memory(&mine, POOL_BYTES);
	base.pool = mine.pool;
	base.offset = from;
	OK(kvx_layout_register(agent, &mine.handle, &config, &base, 1));
	fill(&mine, node() == 2 ? 7 : 0, 0x5a);
	if (node() == 2) {
		offer(&mine);
		meet();
		check_keys(before.keys + keys);
		OK(kvx_layout_unregister_flags(agent, mine.handle, KVX_UNREGISTER_CUT));
		CHECK_EQ(nl_dev("kvx0").keys, before.keys);
		CHECK_EQ(nl_dev("kvx0").keys_ended, before.keys_ended + keys);
		/* What that was, and that it took its time, is told. */
		CHECK_EQ(nl_dev("kvx0").reg_bytes, before.reg_bytes + reach(&mine));
		CHECK(nl_dev("kvx0").reg_ns > before.reg_ns);
		meet();
	} else {
		struct side full = mine;

		full.mem = malloc(mine.bytes);
		CHECK(full.mem);
		fill(&full, 7, 0x5a);
		want = full.mem;
		theirs = take(agent);
		for (uint32_t i = 0; i < blocks; i++)
			ids[i] = i;
		OK(kvx_xfer_exec(agent, theirs, ids, blocks, mine.handle, ids, blocks, NULL,
				 &result));
		CHECK_EQ(result.state, KVX_XFER_DONE);
		check_memory(&mine, want);
		meet();
		meet();
		/* The device lets nobody in any more, whatever is known here of keys. */
		CHECK_EQ(kvx_xfer_exec(agent, theirs, ids, 1, mine.handle, ids, 1, NULL, NULL),
			 -ESTALE);
	}
	meet();
	munmap(mine.mem, mine.bytes);
	kvx_pool_close(mine.pool);
	close_and_settle(agent);
	meet();
}

TEST(a_key_covers_pages_as_large_as_memory_lies)
{
	const char *type;

	/* Large pages of a process are found, too, where there are any. */
	CHECK_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	for (int t = 0; (type = rdma_type(t)); t++) {
		/* soft-RoCE takes pages of any size, 256 of them a key; soft-iWARP 128 of 4 KiB. */
		const bool rxe = !strcmp(type, "rxe");
		const uint64_t large = rxe ? 512 << 20 : 512 << 10;
		const uint64_t small = rxe ? 1 << 20 : 512 << 10;

		rdma_up(type);
		/* The kernel's memory is one row of pages of 2 MiB, which a key covers. */
		read_by_keys(KERNEL, 0, BLOCKS, spans(0, BLOCKS, large));
		/* From a place on that is a multiple of 256 KiB only: 256 of those, or fewer. */
		read_by_keys(KERNEL, BLOCK_BYTES, 60,
			     spans(BLOCK_BYTES, 60, rxe ? 64 << 20 : 512 << 10));
		/* A process's own is pages here and there. */
		read_by_keys(USER, 0, 16, spans(0, 16, small));
		rdma_down();
	}
}

#define AGENTS	4

static void lend(struct side *side, const struct nl_dev *before)
{
	uint32_t keys;

	offer(side);
	meet();
	/* One has come. */
	keys = nl_dev("kvx0").keys;
	CHECK(keys > before->keys);
	meet();
	/* All have come, and have gone but one. */
	meet();
	CHECK_EQ(nl_dev("kvx0").keys, keys);
	CHECK_EQ(nl_dev("kvx0").keys_ended, before->keys_ended);
	meet();
	meet();
	check_keys(before->keys);
	CHECK_EQ(nl_dev("kvx0").reg_bytes, before->reg_bytes + reach(side));
}

static void read_all(struct side *side, struct kvx_handle theirs, const struct side *as)
{
	unsigned char *want;
	uint32_t ids[BLOCKS];

	for (uint32_t i = 0; i < BLOCKS; i++)
		ids[i] = i;
	fill(side, 1, 0x5a);
	want = snapshot(side);
	expect(want, as, side, ids, ids, BLOCKS, 0, 2);
	OK(kvx_xfer_exec(side->agent, theirs, ids, BLOCKS, side->handle, ids, BLOCKS, NULL, NULL));
	check_memory(side, want);
}

static void borrow(struct side *sides)
{
	struct side as = make_side(sides[0].agent, KERNEL, sides[0].config);
	struct kvx_handle theirs[AGENTS];
	int a;

	fill(&as, 2, 0x5a);
	hear_offer();
	for (a = 0; a < AGENTS; a++) {
		theirs[a] = take_heard(sides[a].agent);
		read_all(&sides[a], theirs[a], &as);
		if (!a) {
			meet();
			meet();
		}
	}
	/* Who stays can read still. */
	for (a = AGENTS - 1; a > 0; a--) {
		drop_side(&sides[a]);
		kvx_close(sides[a].agent);
	}
	read_all(&sides[0], theirs[0], &as);
	meet();
	meet();
	drop_side(&as);
	drop_side(&sides[0]);
	kvx_close(sides[0].agent);
	meet();
}

/* However many of a node want it, a grant has one set of keys for all of them. */
TEST(agents_of_a_node_share_keys)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct side sides[AGENTS];
	struct nl_dev before;

	config.page_size = 256;
	rdma_up("rxe");
	before = nl_dev("kvx0");
	for (int a = 0; a < (node() == 1 ? AGENTS : 1); a++) {
		sides[a] = make_side(open_agent(), KERNEL, config);
		fill(&sides[a], node(), 0x5a);
	}
	if (node() == 1) {
		borrow(sides);
	} else {
		lend(&sides[0], &before);
		drop_side(&sides[0]);
		kvx_close(sides[0].agent);
	}
	rdma_down();
}
