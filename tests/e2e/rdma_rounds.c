// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two nodes that are connected and disconnected again and again, and devices that come and go below
 * transfers: all bytes are right, nothing hangs, and in the end devices hold what they held before.
 * Nodes: 2
 * Time: 400
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 300
#include <pthread.h>
#include <stdatomic.h>

#include "netlink.h"
#include "two.h"

#define BLOCKS	32
#define EACH	8

/* Of a kind that is not rxe there are fewer. */
static int rounds_of(bool removals, const char *type)
{
	const int n = removals ? rounds(32, 24, 24, 800) : rounds(128, 64, 64, 4000);

	return strcmp(type, "rxe") ? n / 4 : n;
}

static uint32_t all[BLOCKS];
static uint64_t other_boot_id;

static char held_at_first[256];

static void begin(const char *type)
{
	struct kvx_agent *agent = open_agent();
	uint64_t boot_id = query(agent).boot_id;

	kvx_close(agent);
	for (uint32_t i = 0; i < BLOCKS; i++)
		all[i] = i;
	rdma_up(type);
	held_by_device(held_at_first, sizeof(held_at_first));
	/* Nobody asks the other before it has looked. */
	if (node() == 1) {
		tell(&boot_id, sizeof(boot_id));
		hear(&other_boot_id, sizeof(other_boot_id));
	} else {
		hear(&other_boot_id, sizeof(other_boot_id));
		tell(&boot_id, sizeof(boot_id));
	}
}

/* Node @who cuts what it is connected by; nobody wants it, so it stays cut. */
static void disconnect(int who)
{
	if (node() == who)
		nl_set_rails(other_boot_id, true);
	while (nl_rails(other_boot_id))
		sched_yield();
	if (node() == who)
		nl_set_rails(other_boot_id, false);
}

static void end(void)
{
	meet();
	disconnect(1);
	meet();
	check_held(held_at_first);
	rdma_down();
}

static void replug(const char *type)
{
	shell("rdma link delete kvx0");
	shell("rdma link add kvx0 type %s netdev %s", type, getenv("KVX_LAB_NIC"));
}

/* Are @nr blocks from @first on what @who filled its blocks from @as on with? */
static bool blocks_are(const struct side *side, uint32_t first, uint32_t nr, uint64_t who,
		       uint32_t as)
{
	const uint64_t bytes = region_bytes(side);
	unsigned char *want = malloc(bytes);
	bool same = true;

	for (uint32_t b = 0; b < nr; b++)
		for (uint32_t lo = 0; lo < 4; lo++) {
			fill_region(want, bytes, who, as + b, lo / 2, lo % 2);
			same &= !memcmp(want, region(side, first + b, lo / 2, lo % 2), bytes);
		}
	free(want);
	return same;
}

static void move(struct kvx_agent *agent, struct kvx_handle src, uint32_t from,
		 struct kvx_handle dst, uint32_t to, uint32_t nr)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;

	opts.deadline_ns = 90000000000;
	OK(kvx_xfer_exec(agent, src, all + from, nr, dst, all + to, nr, &opts, &result));
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
}

/* An agent comes, reads and writes what differs from round to round, and goes. */
static void come_and_go(int round)
{
	struct kvx_agent *agent = open_agent();
	struct side mine = make_side(agent, round % MEMORIES,
				     standard(1 + round % 4, 3 * EACH));
	const uint32_t at = BLOCKS / 2 + round % EACH;
	struct kvx_handle theirs;

	fill(&mine, 1000 + round, 0);
	theirs = take_heard(agent);
	move(agent, theirs, round % EACH, mine.handle, 0, EACH);
	CHECK(blocks_are(&mine, 0, EACH, 2, round % EACH));
	move(agent, mine.handle, EACH, theirs, at, EACH);
	move(agent, theirs, at, mine.handle, 2 * EACH, EACH);
	CHECK(blocks_are(&mine, 0, EACH, 2, round % EACH));
	CHECK(blocks_are(&mine, EACH, EACH, 1000 + round, EACH));
	CHECK(blocks_are(&mine, 2 * EACH, EACH, 1000 + round, EACH));
	drop_side(&mine);
	kvx_close(agent);
}

/* Who ends a connection, and how, differs from round to round. */
TEST(connected_and_disconnected_again_and_again)
{
	const char *type;
	char byte = 0;

	for (int t = 0; (type = rdma_type(t)); t++) {
		const int nr = rounds_of(false, type);
		struct kvx_agent *agent = NULL;
		struct side mine;

		begin(type);
		if (node() == 2) {
			agent = open_agent();
			mine = make_side(agent, KERNEL, standard(KVX_LAYOUT_BLOCK_FIRST, BLOCKS));
			fill(&mine, 2, 0);
			offer(&mine);
		} else {
			hear_offer();
		}
		for (int round = 0; round < nr; round++) {
			const int who = 1 + round / 8 % 2;

			/* Node 2 has nothing to do but in the rounds in which it is who. */
			if (node() == 1)
				come_and_go(round);
			if (who == 2 && round % 8 < 2) {
				if (node() == 1)
					tell(&byte, 1);
				else
					hear(&byte, 1);
			}
			if (round % 8 == 0) {
				if (node() == who)
					replug(type);
			} else if (round % 8 == 1) {
				if (node() == who || node() == 1)
					disconnect(who);
			} else if (node() == 1) {
				disconnect(1);
			}
			if (who == 2 && round % 8 < 2) {
				if (node() == 2)
					tell(&byte, 1);
				else
					hear(&byte, 1);
			}
		}
		meet();
		if (node() == 2) {
			/* What nobody wrote to is as it was. */
			CHECK(blocks_are(&mine, 0, BLOCKS / 2, 2, 0));
			drop_side(&mine);
			close_and_settle(agent);
		}
		end();
	}
}

#define WINDOW	4

/* What the one who moves says of it when it is over. */
static struct mover {
	const char *type;
	struct kvx_agent *agent;
	struct side mine;
	struct kvx_handle theirs;
	atomic_bool stop;
	atomic_uint done, timed_out;
	char complaint[320];
} mover;

#define COMPLAIN(format, ...) do {							\
	snprintf(mover.complaint, sizeof(mover.complaint), format, ##__VA_ARGS__);	\
	return false;									\
} while (0)

static bool has_ended(struct kvx_xfer *xfer, uint32_t first, bool write, bool hurried)
{
	struct kvx_result result = KVX_RESULT_INIT;
	int err = kvx_xfer_wait(xfer, 120000000000, &result);

	if (err == -ETIME)
		COMPLAIN("a transfer hangs in state %s", kvx_state_name(kvx_xfer_check(xfer)));
	if (err && !result.state)
		COMPLAIN("the wait for a transfer ends with %d", err);
	if (result.state == KVX_XFER_TIMEDOUT && hurried) {
		mover.timed_out++;
		return true;
	}
	if (result.state != KVX_XFER_DONE)
		COMPLAIN("%s, error %u, reason %u, index %u", kvx_state_name(result.state),
			 result.error, result.reason, result.index);
	mover.done++;
	if (!write && !blocks_are(&mover.mine, first, EACH / WINDOW, 2, first))
		COMPLAIN("what was read is not what is there");
	return true;
}

/* Some that are read, and some that are written, at once; every other time they have no time. */
static bool move_some(unsigned int turn)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	const uint32_t n = EACH / WINDOW;
	struct kvx_xfer *xfers[2 * WINDOW] = {};
	bool fine = true;
	int i, err = 0;

	/* What ended before, however, is not written to any more. */
	if (turn && !blocks_are(&mover.mine, 0, EACH, 1000 + turn - 1, 0))
		COMPLAIN("what ended was written to after its end");
	opts.deadline_ns = turn % 2 ? 20000000 : 90000000000;
	for (i = 0; i < 2 * WINDOW && !err; i++) {
		const uint32_t *ids = all + i / 2 * n + (i % 2 ? BLOCKS / 2 : 0);

		err = kvx_transfer(mover.agent, &xfers[i], i % 2 ? mover.mine.handle : mover.theirs,
				   ids, n, i % 2 ? mover.theirs : mover.mine.handle, ids, n, &opts);
	}
	for (i = 0; i < 2 * WINDOW && xfers[i]; i++) {
		fine = fine && has_ended(xfers[i], i / 2 * n, i % 2, turn % 2);
		kvx_xfer_release(xfers[i]);
	}
	if (err)
		COMPLAIN("%d: %s", err, kvx_last_error()->text);
	for (uint32_t b = 0; b < EACH; b++)
		for (uint32_t lo = 0; lo < 4; lo++)
			fill_region(region(&mover.mine, b, lo / 2, lo % 2),
				    region_bytes(&mover.mine), 1000 + turn, b, lo / 2, lo % 2);
	return fine;
}

static void *move_on(void *arg)
{
	sigset_t all_signals;

	(void)arg;
	/* A child that ends on the other thread's account ends no wait of this one. */
	sigfillset(&all_signals);
	pthread_sigmask(SIG_BLOCK, &all_signals, NULL);
	for (unsigned int turn = 0; !mover.stop && move_some(turn); turn++)
		;
	return NULL;
}

/* Three times of four until something has been moved by it; else before, or in the midst of it. */
static void let_it_work(int round)
{
	const unsigned int before = mover.done;

	while (round % 4 && mover.done == before && !mover.complaint[0])
		sched_yield();
}

TEST(a_device_comes_and_goes_below_transfers)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		const int nr = rounds_of(true, type);
		pthread_t thread;

		begin(type);
		mover = (struct mover){ .agent = open_agent() };
		mover.mine = make_side(mover.agent, KERNEL,
				       standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
		fill(&mover.mine, node(), 0);
		if (node() == 2) {
			offer(&mover.mine);
			for (int round = 1; round < nr; round += 2) {
				meet();
				replug(type);
			}
			meet();
			CHECK(blocks_are(&mover.mine, 0, BLOCKS / 2, 2, 0));
			CHECK(blocks_are(&mover.mine, BLOCKS / 2, EACH, 1, BLOCKS / 2));
		} else {
			mover.theirs = take(mover.agent);
			CHECK_EQ(pthread_create(&thread, NULL, move_on, NULL), 0);
			for (int round = 0; round < nr; round++) {
				if (!mover.complaint[0])
					let_it_work(round);
				/* It is one node's turn, and then the other's. */
				if (round % 2)
					meet();
				else if (!mover.complaint[0])
					replug(type);
			}
			mover.stop = true;
			CHECK_EQ(pthread_join(thread, NULL), 0);
			if (mover.complaint[0])
				FAIL("%s", mover.complaint);
			move(mover.agent, mover.theirs, 0, mover.mine.handle, 0, BLOCKS / 2);
			CHECK(blocks_are(&mover.mine, 0, BLOCKS / 2, 2, 0));
			move(mover.agent, mover.mine.handle, BLOCKS / 2, mover.theirs, BLOCKS / 2,
			     BLOCKS / 2);
			meet();
		}
		drop_side(&mover.mine);
		close_and_settle(mover.agent);
		end();
	}
}
