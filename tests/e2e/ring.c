// SPDX-License-Identifier: GPL-2.0-only
/*
 * The completion ring, states, eventfd and poll; and programs that write where they should not.
 * Lanes: uml uml-smp uml-debug debian-6.12
 * Cases: debian a_ring_that_is_scribbled_on_hurts_nobody_else
 * Emulated: a thread that spins beside one in the kernel
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "blocks.h"

#define BLOCKS	16

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

struct bench {
	struct kvx_agent *agent;
	struct side src, dst;
};

static struct bench setup(uint32_t inner_dim)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct bench b = { .agent = open_agent() };

	config.inner_dim = inner_dim;
	b.src = make_side(b.agent, KERNEL, config);
	b.dst = make_side(b.agent, KERNEL, config);
	return b;
}

static void teardown(struct bench *b)
{
	drop_side(&b->src);
	drop_side(&b->dst);
	close_and_settle(b->agent);
}

static struct kvx_xfer *prep(struct bench *b, uint64_t user_data)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_xfer *xfer;

	opts.user_data = user_data;
	OK(kvx_xfer_prep(b->agent, &xfer, b->src.handle, ids, BLOCKS, b->dst.handle, ids, BLOCKS,
			 &opts));
	return xfer;
}

/* Nobody has to ask: is the descriptor readable, and for what? */
static short polled(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN | POLLRDNORM | POLLRDBAND };

	CHECK(poll(&pollfd, 1, 0) >= 0);
	return pollfd.revents;
}

static void expect_next(struct bench *b, uint64_t user_data)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_ring_next(b->agent, &result));
	CHECK_EQ(result.user_data, user_data);
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.path, KVX_PATH_LOCAL);
	CHECK(result.end_ns >= result.post_ns);
}

TEST(results_come_in_order_with_eventfd_and_poll)
{
	struct bench b = setup(16);
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer *xfers[4];
	unsigned int events;
	uint64_t count;
	int event = eventfd(0, EFD_NONBLOCK);

	CHECK_EQ(kvx_ring_next(b.agent, &result), -EINVAL);
	CHECK_EQ(kvx_ring_setup(b.agent, 3, -1), -EINVAL);
	REASON(RING_SIZE);
	CHECK_EQ(kvx_ring_setup(b.agent, 0, -1), -EINVAL);
	REASON(RING_SIZE);
	CHECK_EQ(kvx_ring_setup(b.agent, 2 * KVXFER_RING_MAX, -1), -EINVAL);
	REASON(RING_SIZE);
	CHECK_EQ(kvx_ring_setup(b.agent, 8, 999), -EBADF);
	CHECK_EQ(kvx_ring_setup(b.agent, 8, kvx_fd(b.agent)), -EINVAL);
	REASON(RING_EVENTFD);
	OK(kvx_ring_setup(b.agent, 8, event));
	CHECK_EQ(kvx_ring_setup(b.agent, 8, -1), -EEXIST);
	REASON(RING_EXISTS);
	CHECK_EQ(kvx_ring_next(b.agent, &result), -EAGAIN);
	CHECK_EQ(polled(kvx_fd(b.agent)), 0);
	CHECK(read(event, &count, 8) == -1 && errno == EAGAIN);
	OK(kvx_wait_event(b.agent, 1000, &events));
	CHECK_EQ(events, 0);

	for (int i = 0; i < 4; i++) {
		xfers[i] = prep(&b, 100 + i);
		OK(kvx_xfer_post(xfers[i]));
	}
	CHECK_EQ(polled(kvx_fd(b.agent)), POLLIN | POLLRDNORM);
	OK(kvx_wait_event(b.agent, KVX_FOREVER, &events));
	CHECK_EQ(events, KVX_EVENT_RESULT);
	CHECK_EQ(read(event, &count, 8), 8);
	CHECK_EQ(count, 4);
	for (int i = 0; i < 4; i++) {
		expect_next(&b, 100 + i);
		kvx_xfer_release(xfers[i]);
	}
	CHECK_EQ(kvx_ring_next(b.agent, &result), -EAGAIN);
	CHECK_EQ(polled(kvx_fd(b.agent)), 0);

	/* What cannot be given is not taken. */
	xfers[0] = prep(&b, 77);
	OK(kvx_xfer_post(xfers[0]));
	kvx_xfer_release(xfers[0]);
	CHECK_EQ(read(event, &count, 8), 8);
	memset(&result, 0, sizeof(result));
	CHECK_EQ(kvx_ring_next(b.agent, &result), -EINVAL);
	expect_next(&b, 77);
	result.size = sizeof(result);

	/* Results and notes count: not what is released; and one call that waits, once. */
	kvx_xfer_release(prep(&b, 1));
	OK(kvx_xfer_exec(b.agent, b.src.handle, ids, 1, b.dst.handle, ids, 1, NULL, NULL));
	CHECK_EQ(read(event, &count, 8), 8);
	CHECK_EQ(count, 1);
	expect_next(&b, 0);
	OK(kvx_note_send(b.agent, query(b.agent).worker_id, "x", 1, 0));
	CHECK_EQ(polled(kvx_fd(b.agent)), POLLIN | POLLRDBAND);
	CHECK_EQ(read(event, &count, 8), 8);
	CHECK_EQ(count, 1);
	close(event);
	teardown(&b);
}

TEST(what_does_not_fit_comes_later_and_in_order)
{
	struct bench b = setup(16);
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer *xfer = prep(&b, 7), *others[8];

	OK(kvx_ring_setup(b.agent, 4, -1));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++) {
			others[i] = prep(&b, 1000 + i);
			OK(kvx_xfer_post(others[i]));
		}
		/* 4 in the ring, 4 that wait: more would be too many. */
		CHECK_EQ(kvx_xfer_post(xfer), -EAGAIN);
		REASON(RING_BACKLOG);
		CHECK_EQ(kvx_last_error()->index, 4);
		CHECK(kvx_xfer_check(xfer) != KVX_XFER_RUNNING);
		expect_next(&b, 1000);
		OK(kvx_xfer_post(xfer));
		for (int i = 1; i < 8; i++)
			expect_next(&b, 1000 + i);
		expect_next(&b, 7);
		CHECK_EQ(kvx_ring_next(b.agent, &result), -EAGAIN);
		for (int i = 0; i < 8; i++)
			kvx_xfer_release(others[i]);
	}
	kvx_xfer_release(xfer);
	teardown(&b);
}

/* exec, and nobody holds it: the ring alone tells. */
TEST(one_that_releases_itself_is_in_the_ring)
{
	struct bench b = setup(2048);
	struct kvxfer_xfer_prep cmd = {
		.hdr.size = sizeof(cmd),
		.src = { b.src.handle.worker_id, b.src.handle.rest },
		.dst = { b.dst.handle.worker_id, b.dst.handle.rest },
		.src_ids = (uintptr_t)ids,
		.dst_ids = (uintptr_t)ids,
		.nr_src = BLOCKS,
		.nr_dst = BLOCKS,
		.user_data = 55,
	};
	struct kvxfer_xfer_release release = { .hdr.size = sizeof(release) };
	struct kvx_result result = KVX_RESULT_INIT;
	unsigned int events;

	OK(kvx_ring_setup(b.agent, 4, -1));
	hold_copies();
	CHECK_EQ(ioctl(kvx_fd(b.agent), KVXFER_IOC_XFER_EXEC, &cmd), 0);
	CHECK(cmd.out_xfer);
	CHECK_EQ(cmd.out_result.state, KVXFER_XFER_RUNNING);
	let_copies_go(256);
	OK(kvx_wait_event(b.agent, KVX_FOREVER, &events));
	OK(kvx_ring_next(b.agent, &result));
	CHECK_EQ(result.user_data, 55);
	CHECK_EQ(result.xfer, cmd.out_xfer);
	CHECK_EQ(result.bytes, cmd.out_bytes);
	release.xfer = cmd.out_xfer;
	/* It goes on its own; a release that is quicker is no harm. */
	while (!ioctl(kvx_fd(b.agent), KVXFER_IOC_XFER_RELEASE, &release))
		;
	CHECK_EQ(errno, ENOENT);
	teardown(&b);
}

/* Shared with a process that scribbles. */
static struct {
	bool over;
	uint64_t passes;
} *scribbles;

static void *scribble(void *arg)
{
	struct kvxfer_ring *ring = arg;
	uint64_t seed = 1;

	while (!__atomic_load_n(&scribbles->over, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < sizeof(*ring) / 4; i++) {
			seed = seed * 6364136223846793005 + 1;
			__atomic_store_n((uint32_t *)ring + i, seed >> 32, __ATOMIC_RELAXED);
		}
		__atomic_add_fetch(&scribbles->passes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * On UML, threads of one process take turns in user space, so one that spins there holds up the
 * other: a process writes to the ring there.
 */
static pid_t scribbler(int fd, const struct kvxfer_ring_setup *cmd)
{
	const pid_t pid = fork();
	void *ring;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ring = mmap(NULL, cmd->out_mmap_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    cmd->out_mmap_offset);
	if (ring != MAP_FAILED)
		scribble(ring);
	_exit(1);
}

/* The ring is written all over while transfers run: who does so loses, and nobody else does. */
TEST(a_ring_that_is_scribbled_on_hurts_nobody_else)
{
	struct bench b = setup(16), other = setup(16);
	struct kvxfer_ring_setup cmd = { .hdr.size = sizeof(cmd), .entries = 8 };
	struct kvx_xfer *xfer = prep(&b, 1), *theirs = prep(&other, 2);
	const bool threaded = lab_is("debian-");
	unsigned char *want;
	pthread_t thread;
	pid_t pid = 0;
	int status;
	void *ring;

	fill(&other.src, 1, 0);
	fill(&other.dst, 2, 9);
	want = snapshot(&other.dst);
	OK(kvx_ring_setup(other.agent, 8, -1));
	CHECK_EQ(ioctl(kvx_fd(b.agent), KVXFER_IOC_RING_SETUP, &cmd), 0);
	ring = mmap(NULL, cmd.out_mmap_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kvx_fd(b.agent),
		    cmd.out_mmap_offset);
	CHECK(ring != MAP_FAILED);
	scribbles = mmap(NULL, sizeof(*scribbles), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(scribbles != MAP_FAILED);
	if (threaded)
		CHECK(!pthread_create(&thread, NULL, scribble, ring));
	else
		CHECK((pid = scribbler(kvx_fd(b.agent), &cmd)) > 0);
	while (!__atomic_load_n(&scribbles->passes, __ATOMIC_RELAXED))
		sched_yield();
	for (int i = 0; i < rounds(5000, 2000, 5000, 200000); i++) {
		/* It may be told that its completions are not taken: so they seem to be. */
		if (kvx_xfer_post(xfer))
			REASON(RING_BACKLOG);
		polled(kvx_fd(b.agent));
		OK(kvx_xfer_post(theirs));
		expect_next(&other, 2);
	}
	__atomic_store_n(&scribbles->over, true, __ATOMIC_RELAXED);
	if (threaded) {
		CHECK(!pthread_join(thread, NULL));
	} else {
		CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
	}
	expect(want, &other.src, &other.dst, ids, ids, BLOCKS, 0, 2);
	check_memory(&other.dst, want);
	kvx_xfer_release(xfer);
	kvx_xfer_release(theirs);
	munmap(ring, cmd.out_mmap_bytes);
	drop_side(&other.src);
	drop_side(&other.dst);
	kvx_close(other.agent);
	teardown(&b);
}

TEST(states_are_for_reading_and_mappings_have_their_bounds)
{
	struct bench b = setup(16);
	struct kvxfer_ring_setup cmd = { .hdr.size = sizeof(cmd), .entries = 64 };
	const size_t states = KVXFER_XFERS_MAX * 4;
	int fd = kvx_fd(b.agent);
	void *at;

#define MAP(prot, flags, bytes, offset) mmap(NULL, bytes, prot, flags, fd, offset)
	CHECK(MAP(PROT_READ | PROT_WRITE, MAP_SHARED, states, KVXFER_MMAP_STATES) == MAP_FAILED);
	CHECK_EQ(errno, EACCES);
	CHECK(MAP(PROT_READ, MAP_PRIVATE, states, KVXFER_MMAP_STATES) == MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	CHECK(MAP(PROT_READ, MAP_SHARED, states + PAGE, KVXFER_MMAP_STATES) == MAP_FAILED);
	CHECK(MAP(PROT_READ, MAP_SHARED, PAGE, KVXFER_MMAP_STATES + states) == MAP_FAILED);
	CHECK(MAP(PROT_READ, MAP_SHARED, PAGE, KVXFER_MMAP_STATES - PAGE) == MAP_FAILED);
	CHECK(MAP(PROT_READ, MAP_SHARED, PAGE, 0) == MAP_FAILED);
	at = MAP(PROT_READ, MAP_SHARED, states, KVXFER_MMAP_STATES);
	CHECK(at != MAP_FAILED);
	CHECK(mprotect(at, states, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	/* Nothing has been there yet. */
	for (size_t i = 0; i < states; i++)
		CHECK_EQ(((unsigned char *)at)[i], 0);
	munmap(at, states);

	CHECK(MAP(PROT_READ, MAP_SHARED, PAGE, KVXFER_MMAP_RING) == MAP_FAILED);
	CHECK_EQ(ioctl(fd, KVXFER_IOC_RING_SETUP, &cmd), 0);
	CHECK_EQ(cmd.out_mmap_offset, KVXFER_MMAP_RING);
	CHECK(MAP(PROT_READ, MAP_SHARED, cmd.out_mmap_bytes + PAGE, KVXFER_MMAP_RING) ==
	      MAP_FAILED);
	CHECK(MAP(PROT_READ, MAP_SHARED, PAGE, KVXFER_MMAP_RING + cmd.out_mmap_bytes) ==
	      MAP_FAILED);
	at = MAP(PROT_READ | PROT_WRITE, MAP_SHARED, cmd.out_mmap_bytes, KVXFER_MMAP_RING);
	CHECK(at != MAP_FAILED);
	for (size_t i = 0; i < cmd.out_mmap_bytes; i++)
		CHECK_EQ(((unsigned char *)at)[i], 0);
	/* It grows no more than any mapping of a device. */
	CHECK(mremap(at, cmd.out_mmap_bytes, cmd.out_mmap_bytes + PAGE, MREMAP_MAYMOVE) ==
	      MAP_FAILED);
	munmap(at, cmd.out_mmap_bytes);
#undef MAP
	teardown(&b);
}

static int child_sees(void *arg)
{
	struct bench *b = arg;
	const uint32_t *states;

	/* A descriptor that was inherited is the same agent: so are its states. */
	states = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, kvx_fd(b->agent), KVXFER_MMAP_STATES);
	return states != MAP_FAILED && KVXFER_XFER_STATE(states[0]) == KVXFER_XFER_DONE ? 0 : 1;
}

TEST(states_are_the_agents_whoever_looks)
{
	struct bench b = setup(16);
	struct kvx_xfer *xfer = prep(&b, 1);

	CHECK_EQ(KVXFER_XFER_SLOT(kvx_xfer_id(xfer)), 0);
	OK(kvx_xfer_post(xfer));
	CHECK_EQ(in_child(child_sees, &b, -1), 0);
	kvx_xfer_release(xfer);
	teardown(&b);
}
