// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools on the NUMA node they are asked to be on.
 * Labs: debian-6.1 debian-6.12
 * Lanes: debian-6.12
 * Emulated: two NUMA nodes
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <linux/mempolicy.h>

#include "kvx.h"

#define NODES	2

static long free_kib(int node)
{
	char path[64], key[32];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	snprintf(key, sizeof(key), "Node %d MemFree", node);
	return proc_number(path, key);
}

TEST(a_pool_is_all_on_its_node)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;

	for (opts.node = 0; opts.node < NODES; opts.node++) {
		OK(kvx_pool_create(agent, &pool, 64 * MIB, &opts));
		for (int i = 0; i < KVX_NODES; i++)
			CHECK_EQ(stat_of(pool).node_bytes[i], i == opts.node ? 64 * MIB : 0);
		kvx_pool_close(pool);
	}
	CHECK_EQ(kvx_pool_create(agent, &pool, MIB, &opts), -EINVAL);
	REASON(POOL_NODE);
	CHECK_EQ(kvx_last_error()->index, NODES);
	settle(agent);
	kvx_close(agent);
}

TEST(a_full_node_is_not_made_good_by_another)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_agent *agent = open_agent();
	const uint64_t bytes = ((uint64_t)free_kib(1) << 10 & ~(MIB - 1)) + 256 * MIB;
	struct kvx_pool *pool;
	uint64_t nodes[NODES];

	opts.node = 1;
	CHECK_EQ(kvx_pool_create(agent, &pool, bytes, &opts), -ENOMEM);
	REASON(NO_MEMORY);
	CHECK(kvx_last_error()->index > 0 && kvx_last_error()->index < bytes / MIB);
	CHECK_EQ(query(agent).pool_bytes, 0);
	/* Without a wish, what one node lacks comes from the other. */
	opts.node = -1;
	OK(kvx_pool_create(agent, &pool, bytes, &opts));
	for (int i = 0; i < NODES; i++)
		nodes[i] = stat_of(pool).node_bytes[i];
	CHECK(nodes[0] && nodes[1]);
	CHECK_EQ(nodes[0] + nodes[1], bytes);
	kvx_pool_close(pool);
	settle(agent);
	kvx_close(agent);
}

TEST(pinned_memory_says_where_it_is)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;

	for (int node = 0; node < NODES; node++) {
		const unsigned long mask = 1UL << node;
		void *at = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

		CHECK(at != MAP_FAILED);
		CHECK_EQ(syscall(SYS_mbind, at, 4 * MIB, MPOL_BIND, &mask, 8 * sizeof(mask), 0), 0);
		OK(kvx_pool_pin(agent, &pool, at, 4 * MIB, KVX_POOL_WRITE));
		CHECK_EQ(stat_of(pool).node_bytes[node], 4 * MIB);
		kvx_pool_close(pool);
		munmap(at, 4 * MIB);
	}
	settle(agent);
	kvx_close(agent);
}
