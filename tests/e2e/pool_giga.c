// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool of a page of 1 GiB.
 * Labs: debian-6.1 debian-6.12
 * Memory: 6G
 * Lanes: debian-6.12
 * Emulated: pages of 1 GiB
 */
#define _GNU_SOURCE
#include <linux/memfd.h>

#include "kvx.h"

#define GIB	(1ULL << 30)
#define NODES	2

static const char *nr_file(int node)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/hugepages/%s/nr_hugepages",
		 node, "hugepages-1048576kB");
	return path;
}

static int nr_pages(int node)
{
	return proc_value(nr_file(node));
}

TEST(a_memfd_of_a_page_of_a_gigabyte_becomes_a_pool)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;
	unsigned char *at;
	int node;

	/* One is to be had somewhere. */
	for (node = 0; node < NODES; node++) {
		put_file(nr_file(node), "1");
		if (nr_pages(node))
			break;
	}
	CHECK(node < NODES);
	opts.memfd = sealed_memfd(MFD_HUGETLB | MFD_HUGE_1GB, GIB, F_SEAL_SHRINK | F_SEAL_GROW);
	CHECK_EQ(kvx_pool_create(agent, &pool, GIB / 2, &opts), -EINVAL);
	REASON(POOL_SIZE);
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	close(opts.memfd);
	CHECK_EQ(stat_of(pool).bytes, GIB);
	CHECK_EQ(stat_of(pool).page_bytes, GIB);
	CHECK_EQ(stat_of(pool).node_bytes[node], GIB);
	CHECK_EQ(stat_of(pool).chunks[9], GIB / (2 * MIB));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	for (uint64_t i = 0; i < GIB; i += MIB)
		at[i + i / MIB] = i / MIB;
	for (uint64_t i = 0; i < GIB; i += MIB)
		CHECK_EQ(at[i + i / MIB], (unsigned char)(i / MIB));
	OK(kvx_pool_unmap(at, GIB));
	kvx_pool_close(pool);
	settle(agent);
	kvx_close(agent);
	/* It is in the pool of huge pages again, and can be given back. */
	put_file(nr_file(node), "0");
	CHECK_EQ(nr_pages(node), 0);
}
