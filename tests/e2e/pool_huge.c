// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of huge pages: hugetlb memfds, and ranges of transparent huge pages.
 * Labs: debian-6.1 debian-6.12
 * Emulated: huge pages: hugetlb and THP
 */
#define _GNU_SOURCE
#include <linux/memfd.h>

#include "kvx.h"

#define HUGE	(2UL << 20)

static void reserve(const char *count)
{
	put_file("/proc/sys/vm/nr_hugepages", count);
}

static long free_huge_pages(void)
{
	return proc_number("/proc/meminfo", "HugePages_Free");
}

TEST(a_memfd_of_huge_pages_becomes_a_pool)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	unsigned char *mine, *at;
	void *none;

	reserve("8");
	CHECK_EQ(free_huge_pages(), 8);
	agent = open_agent();
	opts.name = "huge";
	opts.memfd = memfd_create("huge", MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);
	CHECK(opts.memfd >= 0);
	CHECK_EQ(ftruncate(opts.memfd, 4 * HUGE), 0);
	/* Sealed against shrinking it must be, of this kind, too. */
	CHECK_EQ(kvx_pool_create(agent, &pool, 0, &opts), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_MEMFD_SEAL);
	CHECK_EQ(fcntl(opts.memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	CHECK_EQ(kvx_pool_create(agent, &pool, HUGE + PAGE, &opts), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_POOL_SIZE);
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	CHECK_EQ(free_huge_pages(), 4);
	OK(kvx_pool_stat(pool, &st));
	CHECK_EQ(st.bytes, 4 * HUGE);
	CHECK_EQ(st.page_bytes, HUGE);
	CHECK_EQ(st.chunks[9], 4);
	mine = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, opts.memfd, 0);
	CHECK(mine != MAP_FAILED);
	close(opts.memfd);
	memset(mine, 0x11, 4 * HUGE);
	OK(kvx_pool_map(pool, (void **)&at, HUGE, 0, KVX_POOL_WRITE));
	CHECK_EQ(at[2 * HUGE], 0x11);
	at[2 * HUGE] = 0x22;
	CHECK_EQ(mine[3 * HUGE], 0x22);
	CHECK_EQ(kvx_pool_map(pool, &none, PAGE, HUGE, KVX_POOL_READ), -EINVAL);
	CHECK_EQ(kvx_pool_map(pool, &none, 0, PAGE, KVX_POOL_READ), -EINVAL);
	munmap(mine, 4 * HUGE);
	OK(kvx_pool_unmap(at, 3 * HUGE));
	kvx_close(agent);

	/* Named, it has outlived its agent and its file's last descriptor. */
	agent = open_agent();
	OK(kvx_pool_open(agent, &pool, "huge", KVX_POOL_READ));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_READ));
	CHECK_EQ(at[3 * HUGE], 0x22);
	OK(kvx_pool_unmap(at, 4 * HUGE));
	OK(kvx_pool_unlink(agent, "huge"));
	kvx_pool_close(pool);
	settle(agent);
	CHECK_EQ(free_huge_pages(), 8);
	reserve("0");
	kvx_close(agent);
}

TEST(a_range_of_huge_pages_is_pinned_in_whole_chunks)
{
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	unsigned char *room, *at;

	agent = open_agent();
	room = mmap(NULL, 5 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(room != MAP_FAILED);
	at = (unsigned char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	CHECK_EQ(madvise(at, 4 * HUGE, MADV_HUGEPAGE), 0);
	memset(at, 1, 4 * HUGE);
	OK(kvx_pool_pin(agent, &pool, at, 4 * HUGE, KVX_POOL_WRITE));
	OK(kvx_pool_stat(pool, &st));
	CHECK_EQ(st.chunks[9], 4);
	/* Torn apart while it is pinned; what is left is given back by page. */
	CHECK_EQ(munmap(at + HUGE + PAGE, HUGE), 0);
	kvx_pool_close(pool);
	/* From the middle of one to the middle of another. */
	CHECK_EQ(kvx_pool_pin(agent, &pool, at, 4 * HUGE, KVX_POOL_WRITE), -EFAULT);
	CHECK_EQ(kvx_last_error()->index, (HUGE + PAGE) / PAGE);
	OK(kvx_pool_pin(agent, &pool, at + PAGE, HUGE, KVX_POOL_READ));
	kvx_pool_close(pool);
	munmap(room, 5 * HUGE);
	settle(agent);
	kvx_close(agent);
}
