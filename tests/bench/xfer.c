// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers on one node, beside memcpy of the same bytes (which one process can do with its own
 * memory), and beside process_vm_readv of another's with a list of the same pieces, which is what
 * UCX and NIXL use between processes.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kvxfer.h"
#include "bench.h"

#define LAYERS	4
#define IOVS	1024

static struct kvx_agent *agent;

/* A cache of regions: a tensor for each layer, K and V apart, as engines have it. */
struct cache {
	struct kvx_pool *pool;
	struct kvx_handle handle;
	char *mem;
	uint64_t bytes;
};

struct job {
	uint64_t region;
	uint32_t blocks;
	uint32_t *from, *to;
	struct cache src, dst;
	struct kvx_xfer *xfer;
	struct iovec *local, *remote;
	uint32_t nr;
	pid_t child;
	double seconds;
};

static uint32_t layers = LAYERS;

static struct cache make_cache(uint64_t region, uint32_t blocks)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;
	struct kvx_layout_base bases[128];
	struct cache c = { .bytes = region * blocks * layers * 2 };
	void *addr;

	c.bytes = (c.bytes + PAGE - 1) / PAGE * PAGE;
	MUST(!kvx_pool_create(agent, &c.pool, c.bytes, NULL));
	MUST(!kvx_pool_map(c.pool, &addr, 0, 0, KVX_POOL_WRITE));
	c.mem = addr;
	memset(c.mem, 1, c.bytes);
	config.kind = KVX_LAYOUT_BLOCK_SECOND;
	config.num_blocks = blocks;
	config.num_layers = layers;
	config.page_size = 1;
	config.inner_dim = region / 2;
	for (uint32_t l = 0; l < layers; l++)
		bases[l] = (struct kvx_layout_base){ c.pool, l * 2 * blocks * region };
	MUST(!kvx_layout_register(agent, &c.handle, &config, bases, layers));
	return c;
}

static char *region_of(const struct job *job, const struct cache *c, uint32_t lo, uint32_t block)
{
	return c->mem + ((uint64_t)lo * job->blocks + block) * job->region;
}

/* Ids from an aged free list: every other block, in no order that helps. */
static void set_up(struct job *job, uint64_t region, uint32_t blocks)
{
	*job = (struct job){ .region = region, .blocks = blocks, .nr = blocks / 2 };
	job->from = calloc(job->nr, sizeof(*job->from));
	job->to = calloc(job->nr, sizeof(*job->to));
	MUST(job->from && job->to);
	for (uint32_t i = 0; i < job->nr; i++) {
		job->from[i] = i * 2;
		job->to[i] = (job->nr - 1 - i) * 2 + 1;
	}
	job->src = make_cache(region, blocks);
	job->dst = make_cache(region, blocks);
	MUST(!kvx_xfer_prep(agent, &job->xfer, job->src.handle, job->from, job->nr,
			    job->dst.handle, job->to, job->nr, NULL));
}

static void tear_down(struct job *job)
{
	kvx_xfer_release(job->xfer);
	MUST(!kvx_layout_unregister(agent, job->src.handle));
	MUST(!kvx_layout_unregister(agent, job->dst.handle));
	munmap(job->src.mem, job->src.bytes);
	munmap(job->dst.mem, job->dst.bytes);
	kvx_pool_close(job->src.pool);
	kvx_pool_close(job->dst.pool);
	free(job->from);
	free(job->to);
	free(job->local);
	free(job->remote);
}

static double ours(void *arg)
{
	struct job *job = arg;
	double t = bench_now();

	MUST(!kvx_xfer_post(job->xfer));
	MUST(!kvx_xfer_wait(job->xfer, KVX_FOREVER, NULL));
	return bench_now() - t;
}

static double by_memcpy(void *arg)
{
	struct job *job = arg;
	double t = bench_now();

	for (uint32_t lo = 0; lo < layers * 2; lo++)
		for (uint32_t i = 0; i < job->nr; i++)
			memcpy(region_of(job, &job->dst, lo, job->to[i]),
			       region_of(job, &job->src, lo, job->from[i]), job->region);
	return bench_now() - t;
}

static double by_vm_readv(void *arg)
{
	struct job *job = arg;
	const uint32_t nr = job->nr * layers * 2;
	double t = bench_now();

	for (uint32_t i = 0; i < nr; i += IOVS) {
		const uint32_t n = nr - i < IOVS ? nr - i : IOVS;
		const ssize_t want = n * job->region;

		MUST(process_vm_readv(job->child, job->local + i, n, job->remote + i, n, 0) ==
		     want);
	}
	return bench_now() - t;
}

static void make_lists(struct job *job)
{
	uint32_t n = 0;

	job->local = calloc((size_t)job->nr * layers * 2, sizeof(*job->local));
	job->remote = calloc((size_t)job->nr * layers * 2, sizeof(*job->remote));
	MUST(job->local && job->remote);
	for (uint32_t lo = 0; lo < layers * 2; lo++) {
		for (uint32_t i = 0; i < job->nr; i++, n++) {
			job->local[n] = (struct iovec){ region_of(job, &job->dst, lo, job->to[i]),
							job->region };
			job->remote[n] = (struct iovec){ region_of(job, &job->src, lo,
								   job->from[i]), job->region };
		}
	}
}

/* Another process that has the same memory where we have it. */
static void start_child(struct job *job)
{
	job->child = fork();
	MUST(job->child >= 0);
	if (!job->child)
		for (;;)
			pause();
}

static void stop_child(struct job *job)
{
	kill(job->child, SIGKILL);
	MUST(waitpid(job->child, NULL, 0) == job->child);
}

static void workers(unsigned int n)
{
	FILE *f = fopen("/sys/module/kvxfer/parameters/copy_workers", "w");

	MUST(f && fprintf(f, "%u", n) > 0 && !fclose(f));
}

static void bandwidth(void)
{
	static const struct {
		const char *name;
		uint64_t region;
	} sizes[] = {
		{ "4 KiB", 4 << 10 }, { "16 KiB", 16 << 10 }, { "64 KiB", 64 << 10 },
		{ "1 MiB", 1 << 20 },
	};
	const uint64_t all = (bench_quick ? 16 : 256) * MIB;
	struct job job;
	double a, b;
	char name[64];

	for (int cpus = 1; cpus <= 256; cpus += 255) {
		if (cpus > 1 && sysconf(_SC_NPROCESSORS_ONLN) == 1)
			break;
		printf("\nCopies of %llu MiB of scattered regions, by %s\n",
		       (unsigned long long)all / 2 >> 20, cpus == 1 ? "one CPU" : "all CPUs");
		workers(cpus);
		bench_head("today");
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			set_up(&job, sizes[i].region, all / sizes[i].region / (layers * 2));
			bench_pair(ours, by_memcpy, &job, &a, &b);
			snprintf(name, sizeof(name), "%s regions: memcpy", sizes[i].name);
			bench_line(name, all / 2 / a / (1 << 30), all / 2 / b / (1 << 30), "GB/s",
				   b / a);
			make_lists(&job);
			start_child(&job);
			bench_pair(ours, by_vm_readv, &job, &a, &b);
			snprintf(name, sizeof(name), "%s regions: process_vm_readv",
				 sizes[i].name);
			bench_line(name, all / 2 / a / (1 << 30), all / 2 / b / (1 << 30), "GB/s",
				   b / a);
			stop_child(&job);
			tear_down(&job);
		}
	}
}

static double post_one(void *arg)
{
	struct job *job = arg;
	const int n = bench_quick ? 100 : 20000;
	double t = bench_now();

	for (int i = 0; i < n; i++)
		MUST(!kvx_xfer_post(job->xfer) && kvx_xfer_check(job->xfer) == KVX_XFER_DONE);
	return (bench_now() - t) / n;
}

static double exec_one(void *arg)
{
	struct job *job = arg;
	const int n = bench_quick ? 100 : 20000;
	double t = bench_now();

	for (int i = 0; i < n; i++)
		MUST(!kvx_xfer_exec(agent, job->src.handle, job->from, 1, job->dst.handle, job->to,
				    1, NULL, NULL));
	return (bench_now() - t) / n;
}

static double readv_one(void *arg)
{
	struct job *job = arg;
	const int n = bench_quick ? 100 : 20000;
	double t = bench_now();

	for (int i = 0; i < n; i++)
		MUST(process_vm_readv(job->child, job->local, 1, job->remote, 1, 0) ==
		     (ssize_t)job->region);
	return (bench_now() - t) / n;
}

static double check_one(void *arg)
{
	struct job *job = arg;
	const int n = bench_quick ? 100 : 2000000;
	volatile unsigned int state = 0;
	double t = bench_now();

	for (int i = 0; i < n; i++)
		state = kvx_xfer_check(job->xfer);
	t = bench_now() - t;
	MUST(state == KVX_XFER_DONE);
	return t / n;
}

static double ask_one(void *arg)
{
	const int n = bench_quick ? 100 : 20000;
	struct job *job = arg;
	double t = bench_now();

	for (int i = 0; i < n; i++)
		MUST(!kvx_xfer_wait(job->xfer, 0, NULL));
	return (bench_now() - t) / n;
}

static void latency(void)
{
	struct job job;
	double a, b;

	layers = 1;
	set_up(&job, 2048, 4);
	kvx_xfer_release(job.xfer);
	MUST(!kvx_xfer_prep(agent, &job.xfer, job.src.handle, job.from, 1, job.dst.handle, job.to,
			    1, NULL));
	make_lists(&job);
	job.region = 4096;
	job.local[0].iov_len = 4096;
	job.remote[0].iov_len = 4096;
	start_child(&job);
	printf("\nOne block of 4 KiB (K and V of 2 KiB)\n");
	bench_head("today");
	bench_pair(post_one, readv_one, &job, &a, &b);
	bench_line("post to completion: process_vm_readv", a * 1e9, b * 1e9, "ns", b / a);
	bench_pair(exec_one, readv_one, &job, &a, &b);
	bench_line("exec (looked up, checked, copied): the same", a * 1e9, b * 1e9, "ns", b / a);
	bench_pair(check_one, ask_one, &job, &a, &b);
	bench_line("check: asking by a system call", a * 1e9, b * 1e9, "ns", b / a);
	stop_child(&job);
	job.region = 2048;
	tear_down(&job);
	layers = LAYERS;
}

static double submit_ours(void *arg)
{
	struct job *job = arg;
	struct kvx_xfer *xfer;
	double t = bench_now();

	MUST(!kvx_xfer_prep(agent, &xfer, job->src.handle, job->from, job->nr, job->dst.handle,
			    job->to, job->nr, NULL));
	t = bench_now() - t;
	kvx_xfer_release(xfer);
	return t;
}

/* The lists of pieces are built and go into the kernel, which looks at them and copies nothing. */
static double submit_list(void *arg)
{
	struct job *job = arg;
	const uint32_t nr = job->nr * layers * 2;
	double t = bench_now();
	uint32_t n = 0;

	for (uint32_t lo = 0; lo < layers * 2; lo++) {
		for (uint32_t i = 0; i < job->nr; i++, n++) {
			job->local[n] = (struct iovec){ region_of(job, &job->dst, lo, job->to[i]),
							0 };
			job->remote[n] = (struct iovec){ region_of(job, &job->src, lo,
								   job->from[i]), 0 };
		}
	}
	for (uint32_t i = 0; i < nr; i += IOVS) {
		const uint32_t k = nr - i < IOVS ? nr - i : IOVS;

		MUST(!process_vm_readv(job->child, job->local + i, k, job->remote + i, k, 0));
	}
	return bench_now() - t;
}

/* Llama-70B's list, TP8: 2,048 blocks, 80 layers, K and V; the pieces are small to fit here. */
static void submission(void)
{
	struct job job;
	double a, b;

	layers = bench_quick ? LAYERS : 80;
	set_up(&job, 256, 4096);
	make_lists(&job);
	start_child(&job);
	printf("\nTo say what is to be copied: %u pieces\n", job.nr * layers * 2);
	bench_head("today");
	bench_pair(submit_ours, submit_list, &job, &a, &b);
	bench_line("two lists of ids: an iovec of the pieces", a * 1e6, b * 1e6, "us", b / a);
	stop_child(&job);
	tear_down(&job);
	layers = LAYERS;
}

int main(int argc, char **argv)
{
	bench_options(argc, argv);
	MUST(!kvx_open(&agent, NULL));
	bandwidth();
	latency();
	submission();
	workers(256);
	kvx_close(agent);
	return 0;
}
