// SPDX-License-Identifier: GPL-2.0-only
/* Pools against what a program would do without them: memfd, mlock, files in /dev/shm. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include "kvxfer.h"
#include "bench.h"

static struct kvx_agent *agent;
static uint64_t large;

/* Memory that was given back is there again: the next round shall find what this one found. */
static void settle(void)
{
	struct kvx_info info = KVX_INFO_INIT;

	do {
		MUST(!kvx_query(agent, &info));
	} while (info.pool_bytes && !sched_yield());
}

static double create_ours(void *arg)
{
	struct kvx_pool *pool;
	double t = bench_now();

	(void)arg;
	MUST(!kvx_pool_create(agent, &pool, large, NULL));
	t = bench_now() - t;
	kvx_pool_close(pool);
	settle();
	return t;
}

static double create_theirs(void *arg)
{
	double t = bench_now();
	void *at;
	int fd;

	(void)arg;
	fd = memfd_create("bench", 0);
	MUST(fd >= 0 && !ftruncate(fd, large));
	at = mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(at != MAP_FAILED);
	MUST(!mlock(at, large));
	t = bench_now() - t;
	munmap(at, large);
	close(fd);
	return t;
}

/* Map what is there and write to each page of it: what a process that joins pays. */
struct touch {
	struct kvx_pool *pool;
	int fd;
};

static void touch_all(char *at)
{
	for (uint64_t i = 0; i < large; i += PAGE)
		at[i] = 1;
}

static double touch_ours(void *arg)
{
	struct touch *touch = arg;
	double t = bench_now();
	void *at;

	MUST(!kvx_pool_map(touch->pool, &at, 0, 0, KVX_POOL_WRITE));
	touch_all(at);
	t = bench_now() - t;
	MUST(!kvx_pool_unmap(at, large));
	return t;
}

static double map_and_touch(struct touch *touch, bool lock)
{
	double t = bench_now();
	void *at = mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_SHARED, touch->fd, 0);

	MUST(at != MAP_FAILED);
	MUST(!lock || !mlock(at, large));
	touch_all(at);
	t = bench_now() - t;
	munmap(at, large);
	return t;
}

static double touch_theirs(void *arg)
{
	return map_and_touch(arg, false);
}

static double touch_locked(void *arg)
{
	return map_and_touch(arg, true);
}

/* Open and close by name, many times. */
#define OPENS	(bench_quick ? 10 : 2000)

static double open_pool(const char *name)
{
	struct kvx_pool *pool;
	double t = bench_now();

	for (int i = 0; i < OPENS; i++) {
		MUST(!kvx_pool_open(agent, &pool, name, KVX_POOL_WRITE));
		kvx_pool_close(pool);
	}
	return (bench_now() - t) / OPENS;
}

static double open_large(void *arg)
{
	(void)arg;
	return open_pool("bench-large");
}

static double open_small(void *arg)
{
	(void)arg;
	return open_pool("bench-small");
}

static double open_file(void *arg)
{
	double t = bench_now();

	(void)arg;
	for (int i = 0; i < OPENS; i++) {
		const int fd = open("/dev/shm/kvxfer-bench", O_RDWR);

		MUST(fd >= 0);
		close(fd);
	}
	return (bench_now() - t) / OPENS;
}

static double join_pool(const char *name, uint64_t bytes)
{
	struct kvx_pool *pool;
	double t = bench_now();
	void *at;

	for (int i = 0; i < OPENS; i++) {
		MUST(!kvx_pool_open(agent, &pool, name, KVX_POOL_WRITE));
		MUST(!kvx_pool_map(pool, &at, 0, 0, KVX_POOL_WRITE));
		MUST(!kvx_pool_unmap(at, bytes));
		kvx_pool_close(pool);
	}
	return (bench_now() - t) / OPENS;
}

static double join_large(void *arg)
{
	(void)arg;
	return join_pool("bench-large", large);
}

static double join_small(void *arg)
{
	(void)arg;
	return join_pool("bench-small", MIB);
}

static struct kvx_pool *create_named(const char *name, uint64_t bytes)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool;

	opts.name = name;
	MUST(!kvx_pool_create(agent, &pool, bytes, &opts));
	return pool;
}

static void bench_large(void)
{
	const double gib = (double)large / (1ULL << 30), slots = (double)large / (2 * MIB);
	struct touch touch;
	double a, b;
	char name[64];

	snprintf(name, sizeof(name), "of %llu MiB", (unsigned long long)(large / MIB));
	bench_head("memfd");
	bench_pair(create_ours, create_theirs, NULL, &a, &b);
	bench_line("create (memfd: and map, and mlock), GiB/s", gib / a, gib / b, "", b / a);

	touch.pool = create_named("bench-large", large);
	touch.fd = memfd_create("bench", 0);
	MUST(touch.fd >= 0 && !ftruncate(touch.fd, large));
	map_and_touch(&touch, false);
	bench_pair(touch_ours, touch_theirs, &touch, &a, &b);
	bench_line("map and first touch, per 2 MiB", a * 1e6 / slots, b * 1e6 / slots, "us", b / a);
	bench_pair(touch_ours, touch_locked, &touch, &a, &b);
	bench_line("the same (memfd: with mlock)", a * 1e6 / slots, b * 1e6 / slots, "us", b / a);
	close(touch.fd);
}

static void bench_open(void)
{
	struct kvx_pool *small = create_named("bench-small", MIB);
	const int fd = open("/dev/shm/kvxfer-bench", O_RDWR | O_CREAT, 0600);
	double a, b;

	MUST(fd >= 0);
	bench_head("/dev/shm");
	bench_pair(open_large, open_file, NULL, &a, &b);
	bench_line("open and close by name", a * 1e6, b * 1e6, "us", b / a);
	bench_head("1 MiB");
	bench_pair(open_large, open_small, NULL, &a, &b);
	bench_line("open large : open 1 MiB (goal: below 1.5)", a * 1e6, b * 1e6, "us", a / b);
	bench_pair(join_large, join_small, NULL, &a, &b);
	bench_line("open, map, unmap, close: large : 1 MiB", a * 1e6, b * 1e6, "us", a / b);
	close(fd);
	unlink("/dev/shm/kvxfer-bench");
	MUST(!kvx_pool_unlink(agent, "bench-small"));
	kvx_pool_close(small);
}

static void many_name(char *name, int i)
{
	sprintf(name, "many-%d", i);
}

/* What each costs when there are few, and when there are many. */
static void bench_many(void)
{
	const int all = bench_quick ? 20 : 10000, part = all / 10;
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	double t, first = 0, last = 0, list_few = 0;
	struct kvx_pool *pool;
	char name[32], title[64];
	uint32_t after = 0;

	for (int i = 0; i < all; i++) {
		if (i == part) {
			t = bench_now();
			while (!kvx_pool_stat_next(agent, after, &st))
				after = st.id;
			list_few = (bench_now() - t) / part;
		}
		many_name(name, i);
		t = bench_now();
		kvx_pool_close(create_named(name, PAGE));
		t = bench_now() - t;
		first += i < part ? t : 0;
		last += i >= all - part ? t : 0;
	}
	snprintf(title, sizeof(title), "of %d", all);
	printf("%-44s %12s %12s  ratio\n", title, "last tenth", "first tenth");
	bench_line("create a pool of a page", last / part * 1e6, first / part * 1e6, "us",
		   last / first);
	first = 0;
	last = 0;
	for (int i = 0; i < all; i++) {
		many_name(name, i);
		t = bench_now();
		MUST(!kvx_pool_open(agent, &pool, name, KVX_POOL_READ));
		kvx_pool_close(pool);
		t = bench_now() - t;
		first += i < part ? t : 0;
		last += i >= all - part ? t : 0;
	}
	bench_line("open and close", last / part * 1e6, first / part * 1e6, "us", last / first);
	after = 0;
	t = bench_now();
	while (!kvx_pool_stat_next(agent, after, &st))
		after = st.id;
	t = (bench_now() - t) / all;
	bench_line("list, per pool (all : when there was a tenth)", t * 1e6, list_few * 1e6, "us",
		   t / list_few);
	for (int i = 0; i < all; i++) {
		many_name(name, i);
		MUST(!kvx_pool_unlink(agent, name));
	}
}

int main(int argc, char **argv)
{
	bench_options(argc, argv);
	large = bench_quick ? 8 * MIB : 1024 * MIB;
	if (kvx_open(&agent, NULL)) {
		fprintf(stderr, "%s\n", kvx_last_error()->text);
		return 1;
	}
	printf("a pool of %llu MiB, medians of %d rounds\n", (unsigned long long)(large / MIB),
	       bench_quick ? 1 : ROUNDS);
	bench_large();
	bench_open();
	MUST(!kvx_pool_unlink(agent, "bench-large"));
	bench_many();
	kvx_close(agent);
	return 0;
}
