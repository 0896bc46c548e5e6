// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two nodes with two wires of which one is slow: each gets of a transfer what it gets done, and the
 * slow one its half again when it is slow no more. One that as good as stands still is left, and
 * who waits for a transfer does not wait for it.
 * Nodes: 2
 * Time: 300
 * Lanes: uml-smp
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 250
#include "netlink.h"
#include "two.h"

/* Every second of blocks of 128 KiB, so that none is a work request with the next: 32 MiB. */
#define BLOCKS	512
#define MOVED	(BLOCKS / 2)
#define BYTES	(MOVED * (128ULL << 10))

static uint32_t ids[MOVED];
static uint64_t other_boot_id;

/* What node 1 works with. */
static struct side mine;
static struct kvx_handle theirs;

struct parts {
	uint64_t fast, slow;
};

static struct parts parts(bool write)
{
	const struct nl_rail fast = nl_rail(other_boot_id, "kvx0", 0);
	const struct nl_rail slow = nl_rail(other_boot_id, "kvx1", 0);

	return write ? (struct parts){ fast.write_bytes, slow.write_bytes } :
		       (struct parts){ fast.read_bytes, slow.read_bytes };
}

/* By which rails? */
static uint32_t move_all(bool write)
{
	const struct kvx_handle src = write ? mine.handle : theirs;
	const struct kvx_handle dst = write ? theirs : mine.handle;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;

	opts.deadline_ns = 100000000000;
	OK(kvx_xfer_exec(mine.agent, src, ids, MOVED, dst, ids, MOVED, &opts, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	return result.rails;
}

/* Which part goes by which rail? */
static struct parts move(bool write)
{
	const struct parts before = parts(write);
	struct parts part;

	move_all(write);
	part = parts(write);
	part.fast -= before.fast;
	part.slow -= before.slow;
	CHECK_EQ(part.fast + part.slow, BYTES);
	printf("# %s: %llu KiB by the first, %llu KiB by the second\n", write ? "write" : "read",
	       (unsigned long long)part.fast >> 10, (unsigned long long)part.slow >> 10);
	return part;
}

static void begin(void)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct kvx_agent *agent = open_agent();
	uint64_t boot_id = query(agent).boot_id;

	config.page_size = 256;
	config.inner_dim = 64;
	for (uint32_t i = 0; i < MOVED; i++)
		ids[i] = 2 * i;
	if (lab_is("debian-"))
		shell("modprobe sch_tbf");
	rdma_up_twice("rxe");
	mine = make_side(agent, KERNEL, config);
	fill(&mine, node(), 0);
	if (node() == 2) {
		tell(&boot_id, sizeof(boot_id));
		offer(&mine);
	} else {
		hear(&other_boot_id, sizeof(other_boot_id));
		theirs = take(agent);
	}
}

static void end(void)
{
	struct kvx_agent *agent = mine.agent;

	meet();
	drop_side(&mine);
	close_and_settle(agent);
	rdma_down();
	/* Not before: what comes while it is taken away is dropped. */
	shell("tc qdisc del dev %s root", getenv("KVX_LAB_NIC2"));
}

/* Until both are there. */
static void go_by_both(void)
{
	while (node() == 1 && move_all(false) != 3)
		sched_yield();
	meet();
}

/*
 * What this node sends by the second wire goes at this rate from now on. Nothing of it is dropped:
 * a device of rxe that has what it says to connect dropped connects with nobody any more.
 */
static void send_at(const char *rate)
{
	shell("tc qdisc replace dev %s root tbf rate %s burst 64k limit 256m",
	      getenv("KVX_LAB_NIC2"), rate);
	/* What waits is looked at when something comes. */
	shell("busybox ping -c 1 -W 1 10.78.0.%d >/dev/null || :", 3 - node());
}

TEST(each_rail_gets_what_it_gets_done)
{
	struct parts part;

	begin();
	go_by_both();
	send_at("4mbit");
	meet();
	for (int way = 0; node() == 1 && way < 2; way++) {
		part = move(way);
		CHECK(part.slow);
		CHECK(part.fast > 2 * part.slow);
	}
	meet();
	send_at("10gbit");
	meet();
	for (int way = 0; node() == 1 && way < 2; way++) {
		part = move(way);
		CHECK(part.fast > BYTES / 8);
		CHECK(part.slow > BYTES / 8);
	}
	end();
}

/*
 * soft-RoCE has frames hold their queue pair until they have been sent: so that cannot go as long
 * as the wire does not take them.
 */
TEST(who_waits_for_a_transfer_does_not_wait_for_a_wire_that_stands_still)
{
	be_hasty(true);
	begin();
	for (int holder = 1; holder <= 2; holder++) {
		for (int way = 0; way < 2; way++) {
			go_by_both();
			if (node() == holder)
				send_at("1kbit");
			meet();
			if (node() == 1)
				move_all(way);
			meet();
			if (node() == holder) {
				shell("rdma res show qp link kvx1 | grep -q 'type RC'");
				send_at("10gbit");
			}
			meet();
		}
	}
	end();
	be_hasty(false);
}
