// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload, again and again, while others open and close.
 * Module: bare
 * Time: 400
 * Lanes: uml-smp uml-debug debian-6.12
 * Cases: debian parameters_are_taken_at_load a_module_with_pools_stays
 * Emulated: the stock module loader
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/kvxfer.h>

#define KTAP_CASE_LIMIT_S	400
#include "../ktap.h"

#define OPENERS	8
#define TRIES	5

/* Shared with the openers. */
static struct {
	volatile int stop, hold;
	volatile uint64_t opened[OPENERS];
	volatile int wrong;
} *shared;

static int load(const char *params)
{
	int fd = open(getenv("KVX_LAB_MODULE"), O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, params, 0);
	close(fd);
	return ret;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "kvxfer", O_NONBLOCK);
}

static void opener(int me)
{
	while (!shared->stop) {
		struct kvxfer_query query = { .hdr.size = sizeof(query) };
		int fd = open(KVXFER_DEVICE, O_RDWR);

		if (fd < 0) {
			/* Not loaded, or on its way in or out. */
			if (errno != ENOENT && errno != ENODEV && errno != ENXIO)
				shared->wrong = errno;
			sched_yield();
			continue;
		}
		if (ioctl(fd, KVXFER_IOC_QUERY, &query) || !query.out_boot_id)
			shared->wrong = errno ?: -1;
		close(fd);
		shared->opened[me]++;
		while (shared->hold)
			sched_yield();
	}
	_exit(0);
}

TEST(many_rounds_with_eight_openers)
{
	const int enough = rounds(60, 20, 20, 2000);
	uint64_t boot_id = 0;
	pid_t pids[OPENERS];
	int status;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	for (int i = 0; i < OPENERS; i++) {
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (!pids[i])
			opener(i);
	}
	for (int round = 0; round < enough; round++) {
		struct kvxfer_query query = { .hdr.size = sizeof(query) };
		uint64_t before = 0, now;
		int fd;

		CHECK_EQ(load(""), 0);
		for (int i = 0; i < OPENERS; i++)
			before += shared->opened[i];
		fd = open(KVXFER_DEVICE, O_RDWR);
		CHECK(fd >= 0);
		CHECK_EQ(ioctl(fd, KVXFER_IOC_QUERY, &query), 0);
		CHECK(query.out_boot_id != boot_id);
		boot_id = query.out_boot_id;
		/* While it is open it cannot go. */
		CHECK(unload() == -1 && errno == EAGAIN);
		close(fd);
		/* Others must have come in before it goes, and may hold it up for a moment. */
		do {
			sched_yield();
			now = 0;
			for (int i = 0; i < OPENERS; i++)
				now += shared->opened[i];
		} while (now < before + OPENERS);
		/* Against the rush first; with eight openers on one CPU that may never end. */
		for (int try = 0; unload(); try++) {
			CHECK_EQ(errno, EAGAIN);
			shared->hold = try > TRIES;
			sched_yield();
		}
		shared->hold = 0;
	}
	shared->stop = 1;
	for (int i = 0; i < OPENERS; i++) {
		CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
		CHECK_EQ(status, 0);
		CHECK(shared->opened[i] > 0);
	}
	CHECK_EQ(shared->wrong, 0);
}

TEST(parameters_are_taken_at_load)
{
	struct kvxfer_query query = { .hdr.size = sizeof(query) };
	int a, b;

	CHECK_EQ(load("max_agents=1"), 0);
	a = open(KVXFER_DEVICE, O_RDWR);
	CHECK(a >= 0);
	CHECK_EQ(ioctl(a, KVXFER_IOC_QUERY, &query), 0);
	CHECK_EQ(query.out_agents_max, 1);
	CHECK_EQ(query.out_agents, 1);
	b = open(KVXFER_DEVICE, O_RDWR);
	CHECK(b == -1 && errno == ENFILE);
	close(a);
	b = open(KVXFER_DEVICE, O_RDWR);
	CHECK(b >= 0);
	close(b);
	CHECK_EQ(unload(), 0);
}

TEST(a_module_with_pools_stays)
{
	struct kvxfer_pool_create create = {
		.hdr.size = sizeof(create), .bytes = 1 << 20, .mode = 0600, .name = "stays",
	};
	struct kvxfer_pool_open open_pool = {
		.hdr = { sizeof(open_pool), KVXFER_POOL_OPEN_WRITE, 0, 0 }, .name = "stays",
	};
	struct kvxfer_pool_export export = { .hdr.size = sizeof(export) };
	struct kvxfer_pool_unlink unlink = { .hdr.size = sizeof(unlink), .name = "stays" };
	int fd;

	CHECK_EQ(load(""), 0);
	fd = open(KVXFER_DEVICE, O_RDWR);
	CHECK(fd >= 0);
	CHECK_EQ(ioctl(fd, KVXFER_IOC_POOL_CREATE, &create), 0);
	close(fd);
	/* Nobody has the device open: its name alone keeps the pool, and the pool the module. */
	CHECK(unload() == -1 && (errno == EAGAIN || errno == EWOULDBLOCK));
	fd = open(KVXFER_DEVICE, O_RDWR);
	CHECK(fd >= 0);
	CHECK_EQ(ioctl(fd, KVXFER_IOC_POOL_OPEN, &open_pool), 0);
	export.pool = open_pool.out_pool;
	CHECK_EQ(ioctl(fd, KVXFER_IOC_POOL_EXPORT, &export), 0);
	CHECK_EQ(ioctl(fd, KVXFER_IOC_POOL_UNLINK, &unlink), 0);
	close(fd);
	/* A dma-buf of it alone. */
	CHECK(unload() == -1 && (errno == EAGAIN || errno == EWOULDBLOCK));
	close(export.out_fd);
	/* The pool is given back by a worker, and the module may go when that is done. */
	while (unload())
		CHECK_EQ(errno, EAGAIN);
}

/* Large copies are under way when the last descriptor is closed, and the module goes. */
TEST(a_module_goes_when_its_copies_have_ended)
{
	uint32_t ids[64];

	for (uint32_t i = 0; i < ARRAY_SIZE(ids); i++)
		ids[i] = i;
	for (int round = 0; round < rounds(10, 5, 5, 400); round++) {
		struct kvxfer_pool_create create = {
			.hdr.size = sizeof(create), .bytes = 32 << 20, .mode = 0600,
		};
		struct kvxfer_layout_base base = {};
		struct kvxfer_layout_register reg = {
			.hdr.size = sizeof(reg), .kind = KVXFER_LAYOUT_CONTIGUOUS,
			.format = KVXFER_FORMAT_NHD, .num_blocks = 64, .num_layers = 2,
			.outer_dim = 2, .page_size = 16, .inner_dim = 2048, .dtype_width = 2,
			.alignment = 1, .nr_bases = 1, .bases = (uintptr_t)&base,
		};
		struct kvxfer_xfer_prep exec = {
			.hdr.size = sizeof(exec), .src_ids = (uintptr_t)ids,
			.dst_ids = (uintptr_t)ids, .nr_src = 64, .nr_dst = 64,
		};
		int fd;

		CHECK_EQ(load(""), 0);
		fd = open(KVXFER_DEVICE, O_RDWR);
		CHECK(fd >= 0);
		CHECK_EQ(ioctl(fd, KVXFER_IOC_POOL_CREATE, &create), 0);
		base.pool = create.out_pool;
		CHECK_EQ(ioctl(fd, KVXFER_IOC_LAYOUT_REGISTER, &reg), 0);
		exec.src = (struct kvxfer_handle){ reg.out_worker_id, reg.out_rest };
		base.offset = 16 << 20;
		CHECK_EQ(ioctl(fd, KVXFER_IOC_LAYOUT_REGISTER, &reg), 0);
		exec.dst = (struct kvxfer_handle){ reg.out_worker_id, reg.out_rest };
		for (int i = 0; i < 3; i++)
			CHECK_EQ(ioctl(fd, KVXFER_IOC_XFER_EXEC, &exec), 0);
		close(fd);
		while (unload())
			CHECK_EQ(errno, EAGAIN);
	}
}
