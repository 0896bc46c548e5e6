// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other node crashes under load, as if its plug were pulled, and comes back as another: again
 * and again. What goes to it and comes from it ends, by name or by its deadline; nothing is written
 * after that; what it has then is imported and moved; and in the end devices hold what they held
 * before.
 *
 * Node 2 goes through a life of its own after each crash: see HACKING.md, how it is had.
 * Nodes: 2
 * Time: 400
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 350
#include "netlink.h"
#include "two.h"

/* Of 128 KiB each. */
#define BLOCKS		32
#define WINDOW		8
#define EACH		(BLOCKS / WINDOW)
#define ROUND_FILE	"/run/lab/rdma_crash.round"

static uint32_t all[BLOCKS];
static struct kvx_agent *agent;
/* Where is read to and written from; and what the other has of us. */
static struct side mine, given;
static struct kvx_handle theirs;
static uint64_t other_boot_id;

static int nr_crashes(void)
{
	return rounds(8, 3, 3, 500);
}

/* Which round it is, is all that outlives a crash. */
static int this_round(void)
{
	return access(ROUND_FILE, F_OK) ? 0 : proc_value(ROUND_FILE);
}

static void let_it_crash(int next)
{
	shell("echo %d >" ROUND_FILE ".new && mv " ROUND_FILE ".new " ROUND_FILE, next);
	/* It is gone as soon as it is seen: whoever makes it there could not even close it. */
	shell("touch /run/lab/new.crash && mv /run/lab/new.crash /run/lab/crash.2");
}

/* Each has steps of its own. */
static void begin_round(int round)
{
	two_steps = 100 * (round + 1);
}

static uint64_t who(int round)
{
	return 100 + round;
}

static void open_up(void)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	char dead_ms[16];

	config.page_size = 256;
	config.inner_dim = 64;
	for (uint32_t i = 0; i < BLOCKS; i++)
		all[i] = i;
	/* Who does not answer is found dead in seconds. */
	be_hasty(true);
	snprintf(dead_ms, sizeof(dead_ms), "%u", patient(1000));
	put_param("dead_ms", dead_ms);
	agent = open_agent();
	mine = make_side(agent, KERNEL, config);
	given = make_side(agent, KERNEL, config);
}

static struct kvx_xfer *begin(uint32_t i, bool write, uint64_t deadline_ns)
{
	const struct kvx_handle src = write ? mine.handle : theirs;
	const struct kvx_handle dst = write ? theirs : mine.handle;
	const uint32_t *ids = all + i * EACH;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_xfer *xfer;

	opts.deadline_ns = deadline_ns;
	OK(kvx_transfer(agent, &xfer, src, ids, EACH, dst, ids, EACH, &opts));
	return xfer;
}

static void move_all(bool write)
{
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer *xfers[WINDOW];

	for (uint32_t i = 0; i < WINDOW; i++)
		xfers[i] = begin(i, write, 60000000000);
	for (uint32_t i = 0; i < WINDOW; i++) {
		OK(kvx_xfer_wait(xfers[i], KVX_FOREVER, &result));
		CHECK_EQ(result.path, KVX_PATH_RDMA);
		kvx_xfer_release(xfers[i]);
	}
}

static void check_filled(const struct side *side, uint64_t by)
{
	unsigned char *want = snapshot(side);

	for (uint32_t r = 0; r < BLOCKS * 4; r++)
		fill_region(want + (region(side, r / 4, r / 2 % 2, r % 2) - side->mem),
			    region_bytes(side), by, r / 4, r / 2 % 2, r % 2);
	check_memory(side, want);
}

/* Odd blocks are written to the other, even ones are read from it. */
static bool is_write(uint32_t i)
{
	return i % 2;
}

/* It has ended badly, and says how; it was posted until it did. */
static void check_end(struct kvx_xfer *xfer, uint64_t deadline_ns, unsigned int *timed_out)
{
	struct kvx_result result = KVX_RESULT_INIT;
	int err;

	for (;;) {
		err = kvx_xfer_wait(xfer, deadline_ns + 30000000000, &result);
		if (err == -ETIME)
			FAIL("a transfer hangs in state %s", kvx_state_name(kvx_xfer_check(xfer)));
		if (err)
			break;
		err = kvx_xfer_post(xfer);
		if (err) {
			CHECK_EQ(err, -ESTALE);
			kvx_xfer_release(xfer);
			return;
		}
	}
	if (result.state == KVX_XFER_TIMEDOUT) {
		CHECK_EQ(err, -ETIMEDOUT);
		(*timed_out)++;
	} else if (result.state != KVX_XFER_FAILED || result.error != ESTALE) {
		FAIL("%s, error %u, reason %u", kvx_state_name(result.state), result.error,
		     result.reason);
	}
	kvx_xfer_release(xfer);
}

static unsigned int crash_under_load(int round)
{
	static const uint64_t deadlines[] = { 500000000, 40000000000 };
	const uint64_t in = nl_rail_bytes(other_boot_id, KVXFER_NL_RAIL_READ_BYTES);
	const uint64_t out = nl_rail_bytes(other_boot_id, KVXFER_NL_RAIL_WRITE_BYTES);
	struct kvx_xfer *xfers[WINDOW];
	unsigned int timed_out = 0;

	for (uint32_t i = 0; i < WINDOW; i++)
		xfers[i] = begin(i, is_write(i), deadlines[i / 2 % 2]);
	while (nl_rail_bytes(other_boot_id, KVXFER_NL_RAIL_READ_BYTES) == in ||
	       nl_rail_bytes(other_boot_id, KVXFER_NL_RAIL_WRITE_BYTES) == out)
		sched_yield();
	let_it_crash(round + 1);
	for (uint32_t i = 0; i < WINDOW; i++)
		check_end(xfers[i], deadlines[i / 2 % 2], &timed_out);
	return timed_out;
}

/* Node 1: all of it. */
static void outlive(void)
{
	const int nr = nr_crashes();
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	char held_at_first[256];
	unsigned int timed_out = 0;
	struct kvx_grant grant;
	unsigned char *quiet = NULL;
	size_t bytes;
	void *data;

	shell("rdma link add kvx0 type rxe netdev %s", getenv("KVX_LAB_NIC"));
	held_by_device(held_at_first, sizeof(held_at_first));
	open_up();
	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	OK(kvx_grant(agent, &grant, given.handle, &opts));
	OK(kvx_export_metadata(agent, &grant, 1, &data, &bytes));
	for (int round = 0;; round++) {
		struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
		struct kvx_peer *peer;
		uint64_t boot_id;

		begin_round(round);
		hear(&boot_id, sizeof(boot_id));
		CHECK(boot_id != other_boot_id);
		other_boot_id = boot_id;
		hear_offer();
		tell(data, bytes);
		OK(kvx_import_metadata(agent, blob, blob_bytes, &peer));
		OK(kvx_peer_layout(peer, 0, &layout));
		kvx_peer_free(peer);
		theirs = layout.handle;
		if (quiet)
			check_memory(&mine, quiet);
		move_all(false);
		check_filled(&mine, who(round));
		fill(&mine, 1, 0);
		move_all(true);
		memset(mine.mem, 0x77, mine.bytes);
		move_all(false);
		for (uint32_t r = 0; r < BLOCKS * 4; r++)
			CHECK_EQ(*region(&mine, r / 4, r / 2 % 2, r % 2),
				 byte_of(1, r / 4, r / 2 % 2, r % 2, 0));
		if (round == nr)
			break;
		/* It moves, too, from now on. */
		meet();
		timed_out += crash_under_load(round);
		quiet = snapshot(&mine);
	}
	printf("# %u of %d transfers were over by their deadline\n", timed_out, nr * WINDOW);
	free(data);
	meet();
	drop_side(&mine);
	drop_side(&given);
	close_and_settle(agent);
	meet();
	/* The last one leaves. */
	meet();
	check_held(held_at_first);
	shell("rdma link delete kvx0");
	meet();
}

/* Both ways between what node 1 has given and its own, until it is no more. */
static void move_for_ever(void)
{
	uint64_t turn = 0;

	for (;;) {
		struct kvx_xfer *xfers[WINDOW];

		for (uint32_t i = 0; i < WINDOW; i++)
			xfers[i] = begin(i, is_write(i), 60000000000);
		for (uint32_t i = 0; i < WINDOW; i++) {
			OK(kvx_xfer_wait(xfers[i], KVX_FOREVER, NULL));
			kvx_xfer_release(xfers[i]);
		}
		if (!turn++)
			meet();
	}
}

/* Node 1 hears of its new name at once, and not only when it asks the next time. */
static void ask_first(void)
{
	char path[256] = "";

	CHECK(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	shell("until $(dirname %s)/../../bin/kvxfer peer connect 10.77.0.1; do :; done", path);
}

/* Node 2: a life. */
static void live(void)
{
	const int round = this_round();
	uint64_t boot_id;

	begin_round(round);
	shell("rdma link add kvx0 type rxe netdev %s", getenv("KVX_LAB_NIC"));
	open_up();
	fill(&given, who(round), 0);
	boot_id = query(agent).boot_id;
	if (round % 8)
		ask_first();
	tell(&boot_id, sizeof(boot_id));
	offer(&given);
	theirs = take(agent);
	if (round < nr_crashes())
		move_for_ever();
	meet();
	drop_side(&mine);
	drop_side(&given);
	close_and_settle(agent);
	meet();
	shell("rmmod kvxfer && insmod $KVX_LAB_MODULE");
	meet();
	meet();
	shell("rdma link delete kvx0");
}

TEST(the_other_node_crashes_under_load)
{
	if (strncmp(getenv("LAB"), "uml", 3))
		shell("modprobe rdma_rxe");
	if (node() == 1) {
		outlive();
		be_hasty(false);
	} else {
		live();
	}
}
