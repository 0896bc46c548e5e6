// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of huge pages: hugetlb memfds, and ranges of transparent huge pages.
 * Labs: debian-6.1 debian-6.12
 * Emulated: huge pages: hugetlb and THP
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/ioctl.h>
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
	CHECK_EQ(kvx_pool_create(agent, &pool, 0, &opts), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_MEMFD_SEAL);
	CHECK_EQ(fcntl(opts.memfd, F_ADD_SEALS, F_SEAL_GROW), 0);
	CHECK_EQ(kvx_pool_create(agent, &pool, HUGE + PAGE, &opts), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_POOL_SIZE);
	/* Mapped by its file, it ends where that does. */
	CHECK_EQ(kvx_pool_create(agent, &pool, 2 * HUGE, &opts), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_POOL_SIZE);
	mine = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, opts.memfd, 0);
	CHECK(mine != MAP_FAILED);
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	CHECK_EQ(free_huge_pages(), 4);
	OK(kvx_pool_stat(pool, &st));
	CHECK_EQ(st.bytes, 4 * HUGE);
	CHECK_EQ(st.page_bytes, HUGE);
	CHECK_EQ(st.chunks[9], 4);
	CHECK(fallocate(opts.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE) == -1 &&
	      errno == EPERM);
	CHECK(mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, opts.memfd, 0) == MAP_FAILED);
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

static struct kvx_pool *named_huge_pool(struct kvx_agent *agent, uint64_t bytes)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool;

	opts.name = "huge";
	opts.mode = 0644;
	opts.memfd = sealed_memfd(MFD_HUGETLB | MFD_HUGE_2MB, bytes, F_SEAL_SHRINK | F_SEAL_GROW);
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	close(opts.memfd);
	return pool;
}

/* The number of the first thing that worked and should not have; 0 for none. As nobody. */
static int try_to_write(void *unused)
{
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	char *at;

	(void)unused;
	if (kvx_open(&agent, NULL) || kvx_pool_open(agent, &pool, "huge", KVX_POOL_READ) ||
	    kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_READ))
		return 90;
	if (!mprotect(at, 2 * HUGE, PROT_READ | PROT_WRITE))
		return 1;
	if (!remap_file_pages(at, 2 * HUGE, 0, 0, 0) &&
	    !mprotect(at, 2 * HUGE, PROT_READ | PROT_WRITE))
		return 2;
	if (mremap(at, 2 * HUGE, 4 * HUGE, MREMAP_MAYMOVE) != MAP_FAILED)
		return 3;
	if (!madvise(at, HUGE, MADV_REMOVE))
		return 4;
	return at[HUGE] == 'h' ? 0 : 5;
}

TEST(who_may_only_read_huge_pages_cannot_write)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;
	char *at;

	reserve("4");
	CHECK_EQ(chmod(KVXFER_DEVICE, 0666), 0);
	pool = named_huge_pool(agent, 2 * HUGE);
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	at[HUGE] = 'h';
	CHECK_EQ(mprotect(at, 2 * HUGE, PROT_READ), 0);
	CHECK_EQ(mprotect(at, 2 * HUGE, PROT_READ | PROT_WRITE), 0);
	at[0] = 'w';
	CHECK_EQ(in_child(try_to_write, NULL, 65534), 0);
	CHECK(madvise(at, HUGE, MADV_REMOVE));
	CHECK_EQ(at[0], 'w');
	OK(kvx_pool_unmap(at, 2 * HUGE));
	OK(kvx_pool_unlink(agent, "huge"));
	kvx_pool_close(pool);
	CHECK_EQ(chmod(KVXFER_DEVICE, 0660), 0);
	settle(agent);
	reserve("0");
	kvx_close(agent);
}

static struct {
	int fd;
	volatile bool over;
	volatile uint64_t swaps;
} swapping;

static uint32_t open_pool(const char *name)
{
	struct kvxfer_pool_open open = { .hdr.size = sizeof(open) };

	strcpy((char *)open.name, name);
	open.hdr.flags = KVXFER_POOL_OPEN_WRITE;
	return ioctl(swapping.fd, KVXFER_IOC_POOL_OPEN, &open) ? 0 : open.out_pool;
}

/* The lowest number that is free is the next one: first it is of one pool, then of the other. */
static void *swap_pools(void *unused)
{
	(void)unused;
	while (!swapping.over) {
		struct kvxfer_pool_close close = { .hdr.size = sizeof(close) };

		close.pool = open_pool(swapping.swaps++ % 2 ? "plain" : "huge");
		ioctl(swapping.fd, KVXFER_IOC_POOL_CLOSE, &close);
	}
	return NULL;
}

/* Where a mapping may go is asked of one pool, and then another has its number. */
TEST(a_number_that_becomes_another_pools_breaks_nothing)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvxfer_pool_open first = { .hdr.size = sizeof(first), .name = "plain" };
	struct kvxfer_pool_close close_first = { .hdr.size = sizeof(close_first) };
	const int prot = PROT_READ | PROT_WRITE;
	struct kvx_pool *huge, *plain;
	unsigned char *room, *at;
	pthread_t swapper;
	int mapped = 0;

	reserve("4");
	huge = named_huge_pool(agent, 2 * HUGE);
	opts.name = "plain";
	OK(kvx_pool_create(agent, &plain, 2 * HUGE, &opts));
	swapping.fd = open(KVXFER_DEVICE, O_RDWR | O_CLOEXEC);
	CHECK(swapping.fd >= 0);
	CHECK_EQ(ioctl(swapping.fd, KVXFER_IOC_POOL_OPEN, &first), 0);
	close_first.pool = first.out_pool;
	CHECK_EQ(ioctl(swapping.fd, KVXFER_IOC_POOL_CLOSE, &close_first), 0);
	room = mmap(NULL, 4 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(room != MAP_FAILED);
	room = (unsigned char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1)) + PAGE;
	CHECK_EQ(pthread_create(&swapper, NULL, swap_pools, NULL), 0);
	for (int i = 0; i < 1000; i++) {
		/* What is in the way is taken away in between, which takes its time. */
		at = mmap(room, HUGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
			  -1, 0);
		CHECK(at != MAP_FAILED);
		at = mmap(room, HUGE, prot, MAP_SHARED | MAP_FIXED, swapping.fd,
			  first.out_mmap_offset);
		if (at == MAP_FAILED)
			continue;
		mapped++;
		at[0] = 1;
		at[HUGE - 1] = 1;
		CHECK_EQ(munmap(at, HUGE), 0);
	}
	swapping.over = true;
	CHECK_EQ(pthread_join(swapper, NULL), 0);
	printf("# %d of 1000 mapped, the pool changed %llu times\n", mapped,
	       (unsigned long long)swapping.swaps);
	close(swapping.fd);
	OK(kvx_pool_unlink(agent, "huge"));
	OK(kvx_pool_unlink(agent, "plain"));
	kvx_pool_close(huge);
	kvx_pool_close(plain);
	settle(agent);
	CHECK_EQ(free_huge_pages(), 4);
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
