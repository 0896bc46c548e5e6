// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers between two nodes that end before they are done, with bytes on their way: by whoever
 * posted them, by being released, with their process. Then nothing touches their blocks any more,
 * on either node.
 * Nodes: 2
 * Time: 500
 * Labs: uml-smp uml-debug debian-6.1 debian-6.12
 * Lanes: uml-smp uml-debug debian-6.12
 * Cases: uml-debug what_ends_with_some_lost_on_its_way_touches_nothing_any_more
 * Cases: uml-debug what_was_on_its_way_by_a_wire_that_is_taken_away_goes_by_the_other
 * Cases: uml-debug the_only_wire_loses_its_address_for_a_while
 * Cases: uml-debug a_device_is_renamed_under_what_goes_by_it
 * Cases: debian what_was_on_its_way_by_a_wire_that_is_taken_away_goes_by_the_other
 * Emulated: a real `ip link down`
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 240
#include "netlink.h"
#include "two.h"

/* Of 128 KiB each. What ends early is about the first half of them, what is done then the other. */
#define BLOCKS	64
#define HALF	(BLOCKS / 2)
#define REGIONS	(HALF * 4)

enum how { CANCEL, RELEASE, KILL, HOWS };
/* A byte on its way at a time; many; or many, and some of them by a wire that is cut. */
enum lanes { SLOW, WIDE, LOST, LANES };

static uint32_t ids[BLOCKS];
/* Who stays, and what it has. */
static struct kvx_agent *agent;
static struct side mine;
/* What node 1 knows of node 2. */
static struct kvx_handle theirs;
static uint64_t there;
/* Memory that is there whoever goes. */
static int memfd;
static unsigned char *kept;
/* What ends early. */
static struct side brief;
static struct kvx_xfer *xfer;

static struct kvx_layout_config config_of_all(void)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);

	config.page_size = 256;
	config.inner_dim = 64;
	return config;
}

/* Half of the blocks, from @first on. */
static void put_half(struct side *side, uint32_t first, uint64_t who)
{
	for (uint32_t r = 0; r < REGIONS; r++)
		fill_region(region(side, first + r / 4, r / 2 % 2, r % 2), region_bytes(side),
			    who, first + r / 4, r / 2 % 2, r % 2);
}

static void check_half(const struct side *side, uint32_t first, uint64_t who)
{
	const uint64_t bytes = region_bytes(side);
	unsigned char *want = malloc(bytes), *at;

	CHECK(want);
	for (uint32_t r = 0; r < REGIONS; r++) {
		at = region(side, first + r / 4, r / 2 % 2, r % 2);
		fill_region(want, bytes, who, first + r / 4, r / 2 % 2, r % 2);
		for (uint64_t i = 0; memcmp(at, want, bytes) && i < bytes; i++)
			if (at[i] != want[i])
				FAIL("byte %llu of block %u is not of %llu",
				     (unsigned long long)i, first + r / 4, (unsigned long long)who);
	}
	free(want);
}

static void begin(const char *type, bool twice)
{
	struct kvx_peer_info info = KVX_PEER_INFO_INIT;
	struct kvx_peer *peer;

	for (uint32_t i = 0; i < BLOCKS; i++)
		ids[i] = i;
	be_hasty(true);
	if (twice)
		rdma_up_twice(type);
	else
		rdma_up(type);
	agent = open_agent();
	mine = make_side(agent, KERNEL, config_of_all());
	if (node() == 2) {
		offer(&mine);
		return;
	}
	hear_offer();
	OK(kvx_import_metadata(agent, blob, blob_bytes, &peer));
	OK(kvx_peer_info(peer, &info));
	there = info.boot_id;
	kvx_peer_free(peer);
	OK(kvx_forget(agent, info.worker_id));
	theirs = take_heard(agent);
}

static void end(void)
{
	meet();
	drop_side(&mine);
	close_and_settle(agent);
	rdma_down();
	be_hasty(false);
}

/* Half of the blocks from there, or to there; by which rails is returned. */
static uint32_t move(bool write, uint32_t first)
{
	const struct kvx_handle src = write ? mine.handle : theirs;
	const struct kvx_handle dst = write ? theirs : mine.handle;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;

	opts.deadline_ns = 90000000000;
	OK(kvx_xfer_exec(agent, src, ids + first, HALF, dst, ids + first, HALF, &opts, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	CHECK_EQ(result.flags & KVX_RESULT_UNCONFIRMED, 0);
	return result.rails;
}

/* Until both rails are there. */
static void go_by_both(void)
{
	while (move(false, HALF) != 3)
		sched_yield();
}

static uint64_t moved(bool write)
{
	return nl_rail_bytes(there, write ? KVXFER_NL_RAIL_WRITE_BYTES : KVXFER_NL_RAIL_READ_BYTES);
}

static void await_moved(bool write, uint64_t bytes)
{
	while (moved(write) < bytes)
		sched_yield();
}

/* Of the first half, between the other node's blocks and those of @side. */
static void post(struct side *side, struct kvx_handle other, bool write, uint64_t deadline_ns)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;

	opts.deadline_ns = deadline_ns;
	if (write)
		OK(kvx_transfer(side->agent, &xfer, side->handle, ids, HALF, other, ids, HALF,
				&opts));
	else
		OK(kvx_transfer(side->agent, &xfer, other, ids, HALF, side->handle, ids, HALF,
				&opts));
}

/* By an agent of its own, with blocks in memory that stays. */
static void post_brief(bool write)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_layout_base base = {};

	brief.agent = open_agent();
	opts.memfd = memfd;
	OK(kvx_pool_create(brief.agent, &brief.pool, 0, &opts));
	base.pool = brief.pool;
	OK(kvx_layout_register(brief.agent, &brief.handle, &brief.config, &base, 1));
	post(&brief, take_heard(brief.agent), write, 90000000000);
}

static pid_t post_in_child(bool write)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		if (!setjmp(ktap_failed)) {
			post_brief(write);
			pause();
		}
		_exit(1);
	}
	return pid;
}

/* As long as it may touch its blocks; what it had on its way is over then, and known to be. */
static void end_brief(enum how how, pid_t pid, uint64_t pool_bytes)
{
	struct kvx_result result = KVX_RESULT_INIT;
	int status;

	switch (how) {
	case CANCEL:
		OK(kvx_xfer_cancel(xfer));
		kvx_xfer_wait(xfer, KVX_FOREVER, &result);
		/* Those that were too fast are found out by how much was moved. */
		if (result.state != KVX_XFER_DONE) {
			CHECK_EQ(result.state, KVX_XFER_CANCELED);
			CHECK_EQ(result.error, ECANCELED);
			CHECK_EQ(result.reason, KVXFER_REASON_XFER_CANCELED);
		}
		CHECK_EQ(result.flags & KVX_RESULT_UNCONFIRMED, 0);
		break;
	case RELEASE:
		/* It waits for nothing; who wants to know when it is over asks the layout. */
		kvx_xfer_release(xfer);
		OK(kvx_layout_unregister_flags(brief.agent, brief.handle, KVX_UNREGISTER_WAIT));
		break;
	default:
		CHECK_EQ(kill(pid, SIGKILL), 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status));
		/* Its pool is there until nothing touches it. */
		while (query(agent).pool_bytes != pool_bytes)
			sched_yield();
	}
}

static void drop_brief(enum how how)
{
	if (how == KILL)
		return;
	if (how == CANCEL)
		kvx_xfer_release(xfer);
	kvx_pool_close(brief.pool);
	kvx_close(brief.agent);
}

/* Returns false when it was done before it could be ended. */
static bool end_one(enum how how, enum lanes lanes, bool write)
{
	const uint64_t all = REGIONS * region_bytes(&mine);
	const uint64_t pool_bytes = query(agent).pool_bytes;
	const uint64_t before = moved(write);
	pid_t pid = 0;
	bool early;

	put_half(&brief, 0, 20);
	slow_lanes();
	if (how == KILL)
		pid = post_in_child(write);
	else
		post_brief(write);
	await_moved(write, before + 10);
	if (lanes == LOST)
		pull_cable(1, true);
	if (lanes != SLOW) {
		put_param("lane_bytes", "131072");
		await_moved(write, before + all / 8);
	}
	end_brief(how, pid, pool_bytes);
	/* What comes now would come over this. */
	if (!write)
		put_half(&brief, 0, 21);
	early = moved(write) < before + all;
	let_lanes_go();
	/* There they do the same. */
	meet();
	if (lanes == LOST)
		pull_cable(1, false);
	meet();
	put_half(&mine, HALF, 22);
	move(true, HALF);
	put_half(&mine, HALF, 23);
	move(false, HALF);
	check_half(&mine, HALF, 22);
	if (lanes == LOST)
		go_by_both();
	meet();
	check_half(&brief, 0, write ? 20 : 21);
	drop_brief(how);
	return early;
}

/* What the node does that is read from and written to. */
static void see_one(bool write)
{
	put_half(&mine, 0, 10);
	meet();
	if (write)
		put_half(&mine, 0, 11);
	meet();
	meet();
	check_half(&mine, 0, write ? 11 : 10);
	check_half(&mine, HALF, 22);
}

static void end_all(enum lanes lanes, bool write)
{
	char early;

	for (int how = 0; how < HOWS; how++) {
		/* A wire that is cut is missed after seconds: not each with each. */
		if (lanes == LOST && how % 2 == write)
			continue;
		/* One that is wide may be done too early for us; not always. */
		for (int i = 0; i < 20; i++) {
			if (node() == 1) {
				early = end_one(how, lanes, write);
				tell(&early, 1);
			} else {
				see_one(write);
				hear(&early, 1);
			}
			if (early)
				break;
		}
		CHECK(early);
	}
}

static void ended_early(enum lanes lanes)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type, lanes == LOST);
		brief = (struct side){ .config = config_of_all() };
		brief.bytes = BLOCKS * 4 * region_bytes(&brief);
		memfd = sealed_memfd(0, brief.bytes, F_SEAL_SHRINK);
		kept = mmap(NULL, brief.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
		CHECK(kept != MAP_FAILED);
		brief.mem = kept;
		if (node() == 1 && lanes == LOST)
			go_by_both();
		end_all(lanes, false);
		end_all(lanes, true);
		munmap(kept, brief.bytes);
		close(memfd);
		end();
	}
}

TEST(what_ends_byte_by_byte_touches_nothing_any_more)
{
	ended_early(SLOW);
}

TEST(what_ends_with_much_on_its_way_touches_nothing_any_more)
{
	ended_early(WIDE);
}

/* What was on its way by a wire that is cut comes when that is whole again, or never. */
TEST(what_ends_with_some_lost_on_its_way_touches_nothing_any_more)
{
	ended_early(LOST);
}

/*
 * --- wires and devices --------------------------------------------------------------------------
 */

/* An administrator takes a wire's address away, or gives it back: everybody is told. */
static void set_address(int wire, bool there_is)
{
	shell("ip addr %s 10.%d.0.%d/24 dev %s", there_is ? "add" : "del", 77 + wire, node(),
	      getenv(wire ? "KVX_LAB_NIC2" : "KVX_LAB_NIC"));
}

/*
 * Or sets the second wire down. A device of rxe that had to say something meanwhile connects with
 * nobody any more, until it is made anew. What the wire held when it was set down holds queue pairs
 * of the device, so that this cannot go before the wire is set up again.
 */
static void set_down(const char *type, bool down)
{
	const char *nic = getenv("KVX_LAB_NIC2");

	if (down) {
		shell("ip link set dev %s down", nic);
	} else {
		shell("ip link set dev %s up", nic);
		shell("rdma link delete kvx1");
		shell("rdma link add kvx1 type %s netdev %s", type, nic);
	}
}

/* What is moved is 11 to here, 12 to there. */
static void begin_move(bool write, uint64_t deadline_ns)
{
	const uint64_t before = moved(write);

	put_half(&mine, 0, write ? 12 : 13);
	slow_lanes();
	post(&mine, theirs, write, deadline_ns);
	await_moved(write, before + 10);
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_RUNNING);
}

static struct kvx_result await_done(bool write)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_xfer_wait(xfer, KVX_FOREVER, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.bytes, REGIONS * region_bytes(&mine));
	CHECK_EQ(result.flags & KVX_RESULT_UNCONFIRMED, 0);
	kvx_xfer_release(xfer);
	if (write) {
		/* What is there is what was written: read it back. */
		put_half(&mine, 0, 13);
		move(false, 0);
	}
	check_half(&mine, 0, write ? 12 : 11);
	return result;
}

/* Node 2 only has its blocks. */
static void have_blocks(void)
{
	if (node() == 2)
		put_half(&mine, 0, 11);
	meet();
}

static void lose_second(const char *type, bool write, bool down)
{
	go_by_both();
	begin_move(write, 90000000000);
	if (down)
		set_down(type, true);
	else
		set_address(1, false);
	let_lanes_go();
	CHECK_EQ(await_done(write).rails, 3);
	if (down)
		set_down(type, false);
	else
		set_address(1, true);
	/* It is used again without anybody's doing. */
	go_by_both();
}

TEST(what_was_on_its_way_by_a_wire_that_is_taken_away_goes_by_the_other)
{
	/* UML's wires cannot be set up again: their files are closed. */
	const bool uml = !strncmp(getenv("LAB"), "uml", 3);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type, true);
		have_blocks();
		for (int write = 0; node() == 1 && write < 2; write++) {
			lose_second(type, write, false);
			if (!uml)
				lose_second(type, write, true);
		}
		end();
	}
}

TEST(the_only_wire_loses_its_address_for_a_while)
{
	struct kvx_result result = KVX_RESULT_INIT;
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type, false);
		have_blocks();
		for (int write = 0; node() == 1 && write < 2; write++) {
			/* Within the deadline. */
			begin_move(write, 90000000000);
			set_address(0, false);
			let_lanes_go();
			set_address(0, true);
			await_done(write);
			/* Beyond it. */
			begin_move(write, 2000000000);
			set_address(0, false);
			let_lanes_go();
			CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ETIMEDOUT);
			CHECK_EQ(result.state, KVX_XFER_TIMEDOUT);
			/* Nobody can be asked whether what was written is over. */
			CHECK_EQ(!!(result.flags & KVX_RESULT_UNCONFIRMED), write);
			kvx_xfer_release(xfer);
			/* What comes now would come over this. */
			put_half(&mine, 0, 14);
			set_address(0, true);
			move(true, HALF);
			check_half(&mine, 0, 14);
		}
		end();
	}
}

/* It is the same by another name. */
TEST(a_device_is_renamed_under_what_goes_by_it)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type, true);
		have_blocks();
		for (int write = 0; node() == 1 && write < 2; write++) {
			uint32_t id;

			go_by_both();
			id = nl_rail(there, "kvx1", 0).id;
			begin_move(write, 90000000000);
			shell("rdma dev set kvx1 name kvxr");
			CHECK_EQ(nl_rail(there, "kvxr", 0).id, id);
			let_lanes_go();
			CHECK_EQ(await_done(write).rails, 3);
			CHECK_EQ(move(true, HALF), 3);
			shell("rdma dev set kvxr name kvx1");
			CHECK_EQ(nl_rail(there, "kvx1", 0).id, id);
			CHECK_EQ(move(true, HALF), 3);
		}
		end();
	}
}
