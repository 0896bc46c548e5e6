// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two nodes with two wires: what goes by which, and what becomes of it when one of them is cut.
 * Nodes: 2
 * Time: 400
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#define TWO_ONE_KIND_IN_DEBUG
#define KTAP_CASE_LIMIT_S 200
#include "two.h"

/* Of 128 KiB each. */
#define BLOCKS	48
#define BOTH	3U

static uint32_t all[BLOCKS];

/* What node 1 works with. */
static struct kvx_agent *agent;
static struct side mine;
static struct kvx_handle theirs;

static void begin(const char *type)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);

	config.page_size = 256;
	config.inner_dim = 64;
	for (uint32_t i = 0; i < BLOCKS; i++)
		all[i] = i;
	be_hasty(true);
	rdma_up_twice(type);
	agent = open_agent();
	mine = make_side(agent, KERNEL, config);
	fill(&mine, node(), 0);
	if (node() == 2)
		offer(&mine);
	else
		theirs = take(agent);
}

static void end(void)
{
	meet();
	drop_side(&mine);
	close_and_settle(agent);
	rdma_down();
	be_hasty(false);
}

static struct kvx_result move(bool write, uint32_t rails)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;

	opts.deadline_ns = 90000000000;
	opts.rails = rails;
	if (write)
		OK(kvx_xfer_exec(agent, mine.handle, all, BLOCKS, theirs, all, BLOCKS, &opts,
				 &result));
	else
		OK(kvx_xfer_exec(agent, theirs, all, BLOCKS, mine.handle, all, BLOCKS, &opts,
				 &result));
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	return result;
}

/* Until both rails are there. */
static void go_by_both(void)
{
	while (move(false, 0).rails != BOTH)
		sched_yield();
}

static bool is_filled_by(uint64_t who)
{
	unsigned char *want = malloc(region_bytes(&mine));
	bool same = true;

	CHECK(want);
	for (uint32_t r = 0; r < BLOCKS * 4; r++) {
		fill_region(want, region_bytes(&mine), who, r / 4, r / 2 % 2, r % 2);
		same &= !memcmp(region(&mine, r / 4, r / 2 % 2, r % 2), want, region_bytes(&mine));
	}
	free(want);
	return same;
}

TEST(both_rails_are_used_and_each_when_it_is_named)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type);
		if (node() == 1) {
			struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
			struct kvx_result result = KVX_RESULT_INIT;
			unsigned char *before;

			go_by_both();
			CHECK(is_filled_by(2));
			CHECK_EQ(move(true, 0).rails, BOTH);
			for (uint32_t rail = 0; rail < 2; rail++) {
				fill(&mine, 1, 0);
				CHECK_EQ(move(false, 1 << rail).rails, 1U << rail);
				CHECK(is_filled_by(2));
				CHECK_EQ(move(true, 1 << rail).rails, 1U << rail);
			}
			CHECK_EQ(move(false, 0xffff).rails, BOTH);
			/* There is none of this number: by another it does not go. */
			fill(&mine, 1, 0);
			before = snapshot(&mine);
			opts.deadline_ns = 300000000;
			opts.rails = 4;
			CHECK_EQ(kvx_xfer_exec(agent, theirs, all, BLOCKS, mine.handle, all,
					       BLOCKS, &opts, &result), -ETIMEDOUT);
			CHECK_EQ(result.state, KVX_XFER_TIMEDOUT);
			CHECK_EQ(result.rails, 0);
			check_memory(&mine, before);
			opts.rails = 1 << 16;
			CHECK_EQ(kvx_xfer_exec(agent, theirs, all, BLOCKS, mine.handle, all,
					       BLOCKS, &opts, &result), -EINVAL);
			REASON(XFER_RAILS);
			opts.rails = 1;
			CHECK_EQ(kvx_xfer_exec(agent, mine.handle, all, 1, mine.handle, all + 1, 1,
					       &opts, &result), -EOPNOTSUPP);
			REASON(XFER_PATH);
		}
		end();
	}
}

enum cut { CABLE, DEVICE, CUTS };

static void cut_second(enum cut cut, const char *type, bool off)
{
	if (cut == CABLE)
		pull_cable(1, off);
	else if (off)
		shell("rdma link delete kvx1");
	else
		shell("rdma link add kvx1 type %s netdev %s", type, getenv("KVX_LAB_NIC2"));
}

/* What was on its way by a rail that is cut goes by the other; and the rail comes back. */
static void one_is_cut(enum cut cut, const char *type, bool write)
{
	const struct kvx_handle src = write ? mine.handle : theirs;
	const struct kvx_handle dst = write ? theirs : mine.handle;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer *xfer;

	fill(&mine, 1, 0);
	opts.deadline_ns = 90000000000;
	hold_lanes();
	OK(kvx_transfer(agent, &xfer, src, all, BLOCKS, dst, all, BLOCKS, &opts));
	/* With the cable out they are posted, and lost; with the device gone they are not. */
	cut_second(cut, type, true);
	let_lanes_go();
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.bytes, BLOCKS * 4ULL * region_bytes(&mine));
	CHECK_EQ(result.rails, cut == CABLE ? BOTH : 1);
	CHECK_EQ(result.flags & KVX_RESULT_UNCONFIRMED, 0);
	kvx_xfer_release(xfer);
	cut_second(cut, type, false);
	if (write) {
		/* What is there is what was written: read it back. */
		fill(&mine, 7, 0);
		move(false, 1);
		CHECK(is_filled_by(1));
		go_by_both();
		CHECK(is_filled_by(1));
	} else {
		CHECK(is_filled_by(2));
		go_by_both();
	}
}

TEST(what_a_rail_loses_goes_by_another)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type);
		for (int cut = 0; node() == 1 && cut < CUTS; cut++) {
			go_by_both();
			one_is_cut(cut, type, false);
		}
		for (int cut = 0; node() == 1 && cut < CUTS; cut++)
			one_is_cut(cut, type, true);
		end();
	}
}

static struct kvx_result write_in_vain(uint32_t rails, bool second)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer *xfer;

	/* Something is on its way when the cables go: it would take far longer than it may. */
	opts.deadline_ns = 10000000000;
	opts.rails = rails;
	slow_lanes();
	OK(kvx_transfer(agent, &xfer, mine.handle, all, BLOCKS, theirs, all, BLOCKS, &opts));
	pull_cable(1, true);
	if (second)
		pull_cable(0, true);
	let_lanes_go();
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ETIMEDOUT);
	CHECK_EQ(result.state, KVX_XFER_TIMEDOUT);
	kvx_xfer_release(xfer);
	return result;
}

/*
 * What was written by a rail that is lost is over when the other node has said so, by whatever
 * rail; when it cannot be asked, that is told.
 */
TEST(a_write_that_is_lost_is_over_or_said_not_to_be)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type);
		if (node() == 1) {
			struct kvx_result result;

			go_by_both();
			fill(&mine, 3, 0);
			result = write_in_vain(2, false);
			CHECK_EQ(result.rails, 2);
			CHECK_EQ(result.flags & KVX_RESULT_UNCONFIRMED, 0);
			pull_cable(1, false);
			/* Nothing of it comes any more over what is written now. */
			fill(&mine, 4, 0);
			move(true, 1);
			fill(&mine, 5, 0);
			go_by_both();
			CHECK(is_filled_by(4));
			/* Nobody is there who could say so. */
			result = write_in_vain(0, true);
			CHECK(result.flags & KVX_RESULT_UNCONFIRMED);
			pull_cable(0, false);
			pull_cable(1, false);
			/* And then everything goes on. */
			fill(&mine, 6, 0);
			move(true, 0);
			fill(&mine, 7, 0);
			go_by_both();
			CHECK(is_filled_by(6));
		}
		end();
	}
}
