// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory is watched after a transfer is said to be over: after a release that was waited for, after
 * the ring has told of it, after its process was killed and waited for, after a cancel and after a
 * deadline; by a wire that loses packets, too. Nothing is written any more.
 * Nodes: 2
 * Time: 400
 * Labs: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 350
#define TWO_ONE_KIND_IN_DEBUG
#include <signal.h>

#include "two.h"

#define BLOCKS	32
#define MARK	0xee

static struct kvx_agent *agent;
/* What the other node is read from and written to. */
static struct kvx_handle theirs;
static struct side given;
/* In turns: while the one is used the other is watched. */
static struct side mine[2];
static uint32_t all[BLOCKS];

static uint32_t rnd(uint32_t below)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 20) % below;
}

/* So many MiB that a transfer takes its time. */
static struct kvx_layout_config large(void)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);

	config.page_size = 64;
	return config;
}

static void lossy(int percent)
{
	shell("tc qdisc del dev %s root 2>/dev/null || :", getenv("KVX_LAB_NIC"));
	if (percent)
		shell("tc qdisc add dev %s root netem loss %d%%", getenv("KVX_LAB_NIC"), percent);
}

/* Both have something for the other; only node 1 transfers. */
static void begin(const char *type, int percent)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		all[i] = i;
	rdma_up(type);
	agent = open_agent();
	given = make_side(agent, KERNEL, large());
	memset(given.mem, 0x11, given.bytes);
	if (node() == 1) {
		offer(&given);
		theirs = take(agent);
	} else {
		theirs = take(agent);
		offer(&given);
	}
	for (int i = 0; i < 2; i++) {
		mine[i] = make_side(agent, KERNEL, large());
		memset(mine[i].mem, MARK, mine[i].bytes);
	}
	meet();
	lossy(percent);
	meet();
}

static void end(void)
{
	meet();
	lossy(0);
	meet();
	drop_side(&given);
	drop_side(&mine[0]);
	drop_side(&mine[1]);
	close_and_settle(agent);
	rdma_down();
}

static void check_marked(const unsigned char *mem, uint64_t bytes, int round)
{
	for (uint64_t i = 0; i < bytes; i++)
		if (mem[i] != MARK)
			FAIL("round %d: byte %llu was written later", round, (unsigned long long)i);
}

/* What is over is over: mark it, and see to the other. */
static void swap_watch(int round)
{
	struct side *now = &mine[round & 1], *before = &mine[~round & 1];

	check_marked(before->mem, before->bytes, round);
	memset(now->mem, MARK, now->bytes);
}

static struct kvx_xfer *read_all(struct kvx_agent *by, const struct side *to, uint64_t deadline_ns)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_xfer *xfer;

	opts.deadline_ns = deadline_ns;
	OK(kvx_transfer(by, &xfer, theirs, all, BLOCKS, to->handle, all, BLOCKS, &opts));
	return xfer;
}

/* In the midst of it, or not yet, or when it is all there. */
static void let_some_come(const struct side *to)
{
	const uint32_t block = rnd(BLOCKS), spins = rnd(2000);

	const volatile unsigned char *at = region(to, block, 0, 0);

	for (uint32_t i = 0; i < spins && *at == MARK; i++)
		sched_yield();
}

/*
 * By all that there is, without loss and with some; with much, where each takes long, in a long
 * run.
 */
static void each_kind(void (*fn)(int many))
{
	static const struct {
		int percent, native, debug, many;
	} losses[] = { { 0, 40, 6, 1000 }, { 3, 4, 1, 100 }, { 15, 0, 0, 20 } };
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++)
		for (size_t l = 0; l < ARRAY_SIZE(losses); l++) {
			const int few = losses[l].debug;
			const int many = rounds(losses[l].native, few, few, losses[l].many);

			if (!many)
				continue;
			begin(type, losses[l].percent);
			if (node() == 1)
				fn(many);
			end();
		}
}

static void release_and_wait(int many)
{
	for (int i = 0; i < many; i++) {
		struct kvx_xfer *xfer = read_all(agent, &mine[i & 1], 0);

		let_some_come(&mine[i & 1]);
		OK(kvx_xfer_release_wait(xfer));
		swap_watch(i);
	}
}

TEST(what_is_released_and_waited_for_is_not_written)
{
	each_kind(release_and_wait);
}

static void release_and_listen(int many)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_ring_setup(agent, 64, -1));
	for (int i = 0; i < many; i++) {
		struct kvx_xfer *xfer = read_all(agent, &mine[i & 1], 0);
		const uint32_t id = kvx_xfer_id(xfer);

		let_some_come(&mine[i & 1]);
		kvx_xfer_release(xfer);
		/* It had ended before, or is gone now. */
		while (kvx_ring_next(agent, &result) == -EAGAIN)
			sched_yield();
		CHECK_EQ(result.xfer, id);
		CHECK(result.state == KVX_XFER_GONE || result.state == KVX_XFER_DONE);
		swap_watch(i);
		CHECK_EQ(kvx_ring_next(agent, &result), -EAGAIN);
	}
}

TEST(the_ring_tells_when_what_is_released_is_quiet)
{
	each_kind(release_and_listen);
}

/* The transfer has ended, done or in @state, and its destination is watched from then on. */
static void ended(struct kvx_xfer *xfer, uint32_t state, int round)
{
	struct kvx_result result = KVX_RESULT_INIT;

	kvx_xfer_wait(xfer, KVX_FOREVER, &result);
	CHECK(result.state == state || result.state == KVX_XFER_DONE);
	swap_watch(round);
	kvx_xfer_release(xfer);
}

static void cancel(int many)
{
	for (int i = 0; i < many; i++) {
		struct kvx_xfer *xfer = read_all(agent, &mine[i & 1], 0);

		let_some_come(&mine[i & 1]);
		OK(kvx_xfer_cancel(xfer));
		ended(xfer, KVX_XFER_CANCELED, i);
	}
}

TEST(what_is_canceled_is_not_written)
{
	each_kind(cancel);
}

static void let_expire(int many)
{
	for (int i = 0; i < many; i++)
		ended(read_all(agent, &mine[i & 1], 1 + rnd(30000000)), KVX_XFER_TIMEDOUT, i);
}

TEST(what_has_timed_out_is_not_written)
{
	each_kind(let_expire);
}

/* Its pools have names, so that they can be watched when it is no more. */
static void be_read_for_ever(const void *given_blob, size_t bytes, int k)
{
	struct kvx_layout_config config = large();
	struct kvx_layout_base base = { NULL, 0 };
	struct kvx_agent *by = open_agent();
	struct kvx_handle to;
	char name[16];

	snprintf(name, sizeof(name), "late%d", k);
	OK(kvx_pool_open(by, &base.pool, name, KVX_POOL_WRITE));
	OK(kvx_layout_register(by, &to, &config, &base, 1));
	OK(kvx_import_metadata(by, given_blob, bytes, NULL));
	for (;;)
		kvx_xfer_exec(by, theirs, all, BLOCKS, to, all, BLOCKS, NULL, NULL);
}

static void kill_readers(int many)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	const struct side watched = { .config = large() };
	const uint64_t bytes = region_bytes(&watched) * BLOCKS * 4;
	struct kvx_pool *pools[2];
	unsigned char *mem[2];
	char name[16];
	int status;
	pid_t pid;

	opts.name = name;
	for (int k = 0; k < 2; k++) {
		snprintf(name, sizeof(name), "late%d", k);
		OK(kvx_pool_create(agent, &pools[k], bytes, &opts));
		OK(kvx_pool_map(pools[k], (void **)&mem[k], 0, 0, KVX_POOL_WRITE));
		memset(mem[k], MARK, bytes);
	}
	for (int i = 0; i < many; i++) {
		const int k = i & 1;

		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			be_read_for_ever(blob, blob_bytes, k);
			_exit(1);
		}
		/* It has begun. */
		while (*(volatile unsigned char *)(mem[k] + rnd(bytes)) == MARK)
			sched_yield();
		for (uint32_t spins = rnd(200); spins; spins--)
			sched_yield();
		CHECK_EQ(kill(pid, SIGKILL), 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		check_marked(mem[!k], bytes, i);
		memset(mem[k], MARK, bytes);
	}
	for (int k = 0; k < 2; k++) {
		snprintf(name, sizeof(name), "late%d", k);
		OK(kvx_pool_unlink(agent, name));
		OK(kvx_pool_unmap(mem[k], bytes));
		kvx_pool_close(pools[k]);
	}
}

TEST(what_a_killed_process_read_is_not_written_when_it_was_waited_for)
{
	each_kind(kill_readers);
}

/* The other node is silent: its process ends in spite of that, by the end of the connections. */
TEST(a_process_ends_though_the_other_node_is_silent)
{
	const char *type;
	int status, fds[2];
	char byte;
	pid_t pid;

	for (int t = 0; (type = rdma_type(t)); t++) {
		begin(type, 0);
		if (node() == 1) {
			put_param("close_ms", "200");
			CHECK_EQ(pipe(fds), 0);
			pid = fork();
			CHECK(pid >= 0);
			if (!pid) {
				struct kvx_agent *by = open_agent();
				struct side to = make_side(by, KERNEL, large());

				OK(kvx_import_metadata(by, blob, blob_bytes, NULL));
				OK(kvx_xfer_exec(by, theirs, all, BLOCKS, to.handle, all, BLOCKS,
						 NULL, NULL));
				pull_cable(0, true);
				read_all(by, &to, 0);
				byte = 'x';
				CHECK_EQ(write(fds[1], &byte, 1), 1);
				for (;;)
					pause();
			}
			CHECK_EQ(read(fds[0], &byte, 1), 1);
			CHECK_EQ(kill(pid, SIGKILL), 0);
			CHECK_EQ(waitpid(pid, &status, 0), pid);
			pull_cable(0, false);
			put_param("close_ms", "2000");
			close(fds[0]);
			close(fds[1]);
		}
		end();
	}
}

/* On a silent wire it ends soon after its deadline, and says that nobody knows of what it wrote. */
static void expire_in_silence(bool write)
{
	const uint64_t deadline_ns = 300000000;
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	const struct kvx_handle ours = mine[0].handle;
	struct kvx_xfer *xfer;
	uint64_t late_ns;

	opts.deadline_ns = deadline_ns;
	OK(kvx_transfer(agent, &xfer, write ? ours : theirs, all, BLOCKS, write ? theirs : ours,
			all, BLOCKS, &opts));
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ETIMEDOUT);
	CHECK_EQ(result.state, KVX_XFER_TIMEDOUT);
	CHECK_EQ(!!(result.flags & KVX_RESULT_UNCONFIRMED), write);
	late_ns = result.end_ns - result.post_ns - deadline_ns;
	printf("# %s ended %llu ms after its deadline\n", write ? "a write" : "a read",
	       (unsigned long long)late_ns / 1000000);
	CHECK(late_ns < patient(1000) * 1000000ULL);
	memset(mine[0].mem, MARK, mine[0].bytes);
	kvx_xfer_release(xfer);
}

TEST(on_a_silent_wire_a_transfer_ends_soon_after_its_deadline)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		for (int write = 0; write < 2; write++) {
			begin(type, 0);
			if (node() == 1) {
				OK(kvx_xfer_exec(agent, theirs, all, BLOCKS, mine[0].handle, all,
						 BLOCKS, NULL, NULL));
				pull_cable(0, true);
				expire_in_silence(write);
				pull_cable(0, false);
				check_marked(mine[0].mem, mine[0].bytes, 0);
			}
			end();
		}
	}
}
