// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory in pieces: what a pool is made of when large pieces cannot be had, and who pays for it.
 * Labs: uml-debug
 */
#define _GNU_SOURCE
#include "kvx.h"
#include "cgroup.h"

#define FAIL_PAGES	"/sys/kernel/debug/fail_page_alloc/"
#define HOLE		(16 * PAGE)
#define TIMES		"1000000"

/*
 * From now on this process gets no pieces of 1 << @order pages and more; -1: it gets all. The
 * switch stays open: to open it may itself take a piece that is not to be had.
 */
static void fail_from_order(int order)
{
	static int fail = -1;
	char text[16];

	if (fail < 0)
		fail = open("/proc/self/make-it-fail", O_WRONLY);
	CHECK_EQ(pwrite(fail, "0", 1, 0), 1);
	if (order < 0)
		return;
	snprintf(text, sizeof(text), "%d", order);
	put_file(FAIL_PAGES "min-order", text);
	put_file(FAIL_PAGES "ignore-gfp-wait", "N");
	put_file(FAIL_PAGES "verbose", "0");
	put_file(FAIL_PAGES "probability", "100");
	put_file(FAIL_PAGES "interval", "1");
	put_file(FAIL_PAGES "times", TIMES);
	put_file(FAIL_PAGES "task-filter", "Y");
	CHECK_EQ(pwrite(fail, "1", 1, 0), 1);
}

/* All of it is there, zeroed, each page once; and stat says of which pieces. */
static struct kvx_pool_stat check_whole(struct kvx_pool *pool, uint64_t bytes)
{
	struct kvx_pool_stat st = stat_of(pool);
	uint64_t sum = 0;
	uint32_t *at;

	CHECK_EQ(st.bytes, bytes);
	for (int i = 0; i < KVX_CHUNK_ORDERS; i++)
		sum += st.chunks[i] * (PAGE << i);
	CHECK_EQ(sum, bytes);
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	for (uint64_t i = 0; i < bytes / 4; i++)
		CHECK_EQ(at[i], 0);
	for (uint64_t i = 0; i < bytes / 4; i += PAGE / 4)
		at[i] = i;
	for (uint64_t i = 0; i < bytes / 4; i += PAGE / 4)
		CHECK_EQ(at[i], i);
	OK(kvx_pool_unmap(at, bytes));
	return st;
}

TEST(a_pool_is_made_of_smaller_pieces_when_there_are_no_large_ones)
{
	struct kvx_agent *agent = open_agent();
	const uint64_t bytes = 4 * MIB + 5 * PAGE;
	struct kvx_pool *pool;

	/* Below that, this kernel's slabs have nothing to be made of. */
	for (int order = 9; order > 2; order--) {
		fail_from_order(order);
		OK(kvx_pool_create(agent, &pool, bytes, NULL));
		fail_from_order(-1);
		/* It was counted down: large pieces were asked for, and not given. */
		CHECK(proc_value(FAIL_PAGES "times") < atol(TIMES));
		check_whole(pool, bytes);
		kvx_pool_close(pool);
		settle(agent);
	}
	fail_from_order(0);
	CHECK_EQ(kvx_pool_create(agent, &pool, bytes, NULL), -ENOMEM);
	REASON(NO_MEMORY);
	fail_from_order(-1);
	settle(agent);
	kvx_close(agent);
}

TEST(fragmented_memory_shows_in_the_chunks)
{
	const uint64_t bytes = 16 * MIB, room = 4 * bytes;
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_stat st;
	struct kvx_pool *pool;
	unsigned char *at;

	/* What fresh memory gives. */
	OK(kvx_pool_create(agent, &pool, bytes, NULL));
	CHECK_EQ(stat_of(pool).chunks[9], bytes / (2 * MIB));
	kvx_pool_close(pool);
	/* Every second 64 KiB of much memory is free: many pieces of that size, none together. */
	at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(at != MAP_FAILED);
	memset(at, 1, room);
	for (uint64_t i = 0; i < room; i += 2 * HOLE)
		CHECK_EQ(madvise(at + i, HOLE, MADV_DONTNEED), 0);
	fail_from_order(5);
	OK(kvx_pool_create(agent, &pool, bytes, NULL));
	fail_from_order(-1);
	/* As many bytes, in more pieces. */
	st = check_whole(pool, bytes);
	CHECK(st.chunks[9] < bytes / (2 * MIB));
	kvx_pool_close(pool);
	munmap(at, room);
	settle(agent);
	kvx_close(agent);
}

static int make_pools_in_a_cgroup(void *arg)
{
	const uint64_t bytes = 8 * MIB;
	struct kvx_agent *agent;
	struct kvx_pool *pool, *other;
	long before, with, after;

	(void)arg;
	cgroup_enter("pools");
	cgroup_put("pools", "memory.max", "16M");
	if (kvx_open(&agent, NULL))
		return 1;
	before = cgroup_pages("pools");
	if (kvx_pool_create(agent, &pool, bytes, NULL))
		return 2;
	with = cgroup_pages("pools");
	/* What is too much for the group is refused, and kills nobody. */
	if (kvx_pool_create(agent, &other, 2 * bytes, NULL) != -ENOMEM ||
	    kvx_last_error()->reason != KVXFER_REASON_NO_MEMORY)
		return 3;
	kvx_pool_close(pool);
	after = cgroup_pages("pools");
	printf("# %ld pages, %ld with the pool, %ld after\n", before, with, after);
	if (with - before < (long)(bytes / PAGE) || with - before > (long)(bytes / PAGE) + 64)
		return 4;
	return after - before > 64 ? 5 : 0;
}

TEST(a_pool_is_charged_to_its_makers_cgroup)
{
	CHECK_EQ(in_child(make_pools_in_a_cgroup, NULL, -1), 0);
}
