// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that cannot be had, of a node that is connected with another: each allocation of who asks
 * fails in turn. What fails is told by an errno, nothing hangs, nothing is left, and when there is
 * memory again all goes on.
 * Nodes: 2
 * Labs: uml-debug
 * Time: 400
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 300
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "two.h"

#define POINTS_MAX	4000
#define BLOCKS		16

/* How the other node's side is imported: by the command itself, which has a time limit. */
struct told {
	uint64_t boot_id, worker_id, rest;
	unsigned char key[KVXFER_KEY_BYTES];
};

static struct told told;

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void sleeping_allocations(const char *fail)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-wait", fail);
	put_file(path, "N");
	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", fail);
	put_file(path, "0");
}

/* What may come of want of memory; anything else is wrong. */
static int sound(int err)
{
	static const int may[] = {
		0, ENOMEM, EFAULT, ETIMEDOUT, ESTALE, EHOSTUNREACH, EACCES, ENOENT, EIO, ENODEV,
		EINVAL, ECANCELED, ESHUTDOWN, EEXIST,
	};

	for (size_t i = 0; i < ARRAY_SIZE(may); i++)
		if (-err == may[i])
			return err;
	FAIL("errno %d: %s", -err, kvx_last_error()->text);
}

/* All that one node does with another, with an agent of its own, which goes with all it has. */
static int all_of_it(const struct kvx_layout_config *config)
{
	const struct kvx_handle theirs = { told.worker_id, told.rest };
	struct kvxfer_address address = {
		.family = AF_INET, .port = 19875, .addr = { 10, 77, 0, 2 },
	};
	struct kvxfer_import one = { .layout = told.rest & 0xffff };
	struct kvxfer_layout_import import = {
		.hdr.size = sizeof(import), .boot_id = told.boot_id, .worker_id = told.worker_id,
		.epoch = told.rest >> 16, .imports = (uintptr_t)&one, .nr_imports = 1,
		.addresses = (uintptr_t)&address, .nr_addresses = 1, .timeout_ns = 60000000000,
	};
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_msg_opts late = KVX_MSG_OPTS_INIT;
	struct kvx_layout_base base = {};
	struct kvx_agent *agent;
	struct kvx_handle mine;
	struct kvx_xfer *xfer;
	struct kvx_pool *pool;
	int err;

	memcpy(one.key, told.key, sizeof(one.key));
	opts.deadline_ns = 30000000000;
	late.deadline_ns = 1000000;
	err = kvx_open(&agent, NULL);
	if (err)
		return err;
	err = kvx_pool_create(agent, &pool, MIB, NULL);
	if (err)
		goto out_close;
	base.pool = pool;
	err = kvx_layout_register(agent, &mine, config, &base, 1);
	if (!err && ioctl(kvx_fd(agent), KVXFER_IOC_LAYOUT_IMPORT, &import))
		err = -errno;
	if (err)
		goto out_pool;
	err = kvx_xfer_exec(agent, theirs, ids, BLOCKS, mine, ids, BLOCKS, &opts, NULL);
	if (!err)
		err = kvx_xfer_exec(agent, mine, ids, 4, theirs, ids, 4, &opts, NULL);
	if (!err)
		err = kvx_note_send(agent, told.worker_id, "x", 1, 0);
	if (!err)
		err = kvx_msg_recv(agent, &xfer, told.worker_id, pool, 0, 5000, &late);
	if (!err) {
		err = kvx_xfer_wait(xfer, KVX_FOREVER, NULL);
		err = err == -ETIMEDOUT ? 0 : err;
		kvx_xfer_release(xfer);
	}
	if (!err)
		err = kvx_msg_send(agent, &xfer, told.worker_id, pool, 0, 5000, &late);
	if (!err) {
		err = kvx_xfer_wait(xfer, KVX_FOREVER, NULL);
		err = err == -ETIMEDOUT ? 0 : err;
		kvx_xfer_release(xfer);
	}
out_pool:
	kvx_pool_close(pool);
out_close:
	kvx_close(agent);
	return err;
}

static void tell_side(struct side *side)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant grant;

	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	OK(kvx_grant(side->agent, &grant, side->handle, &opts));
	told.boot_id = query(side->agent).boot_id;
	told.worker_id = side->handle.worker_id;
	told.rest = side->handle.rest;
	memcpy(told.key, grant.key, sizeof(told.key));
	tell(&told, sizeof(told));
}

/* The other node's notes are in nobody's way. */
static void drain(struct kvx_agent *agent)
{
	struct kvx_note note;

	while (!kvx_note_recv(agent, &note))
		;
}

static void fail_each(const struct kvx_layout_config *config)
{
	int nth, failed = 0;

	for (nth = 1; nth < POINTS_MAX; nth++) {
		int fd = open("/proc/thread-self/fail-nth", O_RDWR), err;
		char text[16] = "";

		CHECK(fd >= 0);
		CHECK(write(fd, text, sprintf(text, "%d", nth)) > 0);
		err = all_of_it(config);
		if (pread(fd, text, sizeof(text), 0) < 0)
			strcpy(text, "1");
		while (pwrite(fd, "0", 1, 0) != 1)
			;
		close(fd);
		if (atoi(text)) {
			CHECK_EQ(err, 0);
			break;
		}
		failed += !!sound(err);
	}
	CHECK(nth < POINTS_MAX);
	CHECK(failed);
	printf("# %d of %d failure points were felt\n", failed, nth - 1);
}

TEST(every_allocation_of_who_asks_fails_once)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct kvx_agent *agent = open_agent();
	struct side mine = make_side(agent, KERNEL, config);

	sleeping_allocations("failslab");
	sleeping_allocations("fail_page_alloc");
	put_file("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	put_file("/sys/kernel/debug/fail_usercopy/verbose", "0");
	rdma_up("rxe");
	fill(&mine, node(), 0);
	if (node() == 2) {
		tell_side(&mine);
	} else {
		hear(&told, sizeof(told));
		/* What is made once for all is there. */
		CHECK_EQ(all_of_it(&config), 0);
		fail_each(&config);
		CHECK_EQ(all_of_it(&config), 0);
	}
	meet();
	drain(agent);
	drop_side(&mine);
	close_and_settle(agent);
	rdma_down();
}
