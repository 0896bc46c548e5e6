// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keys of memory that another node may reach: as few as the device's pages allow, and ended by the
 * device when they are taken back.
 * Nodes: 2
 */
#define _GNU_SOURCE
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
