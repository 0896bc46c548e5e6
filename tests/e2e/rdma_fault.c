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
#include "scarce.h"

#define POINTS_MAX	4000
#define BLOCKS		16

static struct told told;

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* All that one node does with another, with an agent of its own, which goes with all it has. */
static int all_of_it(const struct kvx_layout_config *config)
{
	const struct kvx_handle theirs = { told.worker_id, told.rest };
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_msg_opts late = KVX_MSG_OPTS_INIT;
	struct kvx_layout_base base = {};
	struct kvx_agent *agent;
	struct kvx_handle mine;
	struct kvx_xfer *xfer;
	struct kvx_pool *pool;
	int err;

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
	if (!err)
		err = import_told(agent, &told, true, 60000000000);
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
	struct kvx_grant grant;

	sleeping_allocations("failslab");
	sleeping_allocations("fail_page_alloc");
	knob("fail_page_alloc", "min-order", "0");
	knob("fail_usercopy", "verbose", "0");
	rdma_up("rxe");
	fill(&mine, node(), 0);
	if (node() == 2) {
		told = grant_side(&mine, &grant);
		tell(&told, sizeof(told));
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
