// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a transfer: prepare, post, check, wait, cancel, release; and what is refused.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "blocks.h"
#include "signals.h"

#define BLOCKS	32
/* So large that it is not copied at once. */
#define LARGE	(4 * MIB)

/* Blocks of 256 KiB each: what takes longer than a post. */
static struct kvx_layout_config large(uint32_t blocks)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, blocks);

	config.inner_dim = 2048;
	return config;
}

static uint32_t *count_ids(size_t nr, uint32_t first)
{
	static uint32_t ids[2][4096];
	static int turn;
	uint32_t *list = ids[turn++ % 2];

	for (size_t i = 0; i < nr; i++)
		list[i] = first + i;
	return list;
}

struct pair {
	struct kvx_agent *agent;
	struct side src, dst;
};

/* What the pair of an agent is, and what is in it. */
static void fill_pair(struct pair *p, struct kvx_layout_config config)
{
	p->src = make_side(p->agent, KERNEL, config);
	p->dst = make_side(p->agent, KERNEL, config);
	fill(&p->src, 1, 0);
	fill(&p->dst, 2, 0xff);
}

static struct pair make_pair(struct kvx_layout_config config)
{
	struct pair p = { .agent = open_agent() };

	fill_pair(&p, config);
	return p;
}

static void close_pair(struct pair *p)
{
	drop_side(&p->src);
	drop_side(&p->dst);
	kvx_close(p->agent);
}

static void drop_pair(struct pair *p)
{
	close_pair(p);
	p->agent = open_agent();
	settle(p->agent);
	kvx_close(p->agent);
}

static struct kvx_xfer *prep(struct pair *p, size_t nr, const struct kvx_xfer_opts *opts)
{
	struct kvx_xfer *xfer;

	OK(kvx_xfer_prep(p->agent, &xfer, p->src.handle, count_ids(nr, 0), nr, p->dst.handle,
			 count_ids(nr, 0), nr, opts));
	return xfer;
}

TEST(small_ones_are_done_when_the_post_returns)
{
	struct pair p = make_pair(standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	unsigned char *want = snapshot(&p.dst);
	struct kvx_xfer *xfer;

	opts.user_data = 0x1122334455667788;
	xfer = prep(&p, 3, &opts);
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_IDLE);
	CHECK_EQ(kvx_xfer_bytes(xfer), 3 * 16384);
	OK(kvx_xfer_post(xfer));
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_DONE);
	expect(want, &p.src, &p.dst, count_ids(3, 0), count_ids(3, 0), 3, 0, 2);
	check_memory(&p.dst, want);
	OK(kvx_xfer_wait(xfer, 0, &result));
	CHECK_EQ(result.user_data, opts.user_data);
	CHECK_EQ(result.bytes, 3 * 16384);
	CHECK_EQ(result.xfer, kvx_xfer_id(xfer));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.error, 0);
	CHECK_EQ(result.flags, KVX_RESULT_INLINE);
	CHECK(result.post_ns && result.end_ns >= result.post_ns);
	kvx_xfer_release(xfer);
	drop_pair(&p);
}

TEST(it_is_posted_again_when_it_is_done_and_never_before)
{
	struct pair p = make_pair(large(LARGE / (256 << 10)));
	struct kvx_xfer *xfer = prep(&p, 16, NULL);

	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, NULL), -EINVAL);
	REASON(XFER_STATE);
	for (int i = 0; i < 20; i++) {
		fill(&p.src, 100 + i, 0);
		hold_copies();
		OK(kvx_xfer_post(xfer));
		CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_RUNNING);
		CHECK_EQ(kvx_xfer_post(xfer), -EBUSY);
		REASON(XFER_RUNNING);
		CHECK_EQ(kvx_last_error()->index, KVX_XFER_RUNNING);
		let_copies_go(1 + i % 4);
		OK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL));
		CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_DONE);
		for (uint32_t b = 0; b < 16; b++)
			CHECK(!memcmp(region(&p.src, b, 0, 0), region(&p.dst, b, 0, 0), 256 << 10));
	}
	kvx_xfer_release(xfer);
	drop_pair(&p);
}

TEST(what_has_ended_badly_stays_so)
{
	struct pair p = make_pair(large(16));
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	unsigned char *want = snapshot(&p.dst);
	struct kvx_xfer *xfer;

	hold_copies();
	xfer = prep(&p, 16, NULL);
	OK(kvx_xfer_cancel(xfer));
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_IDLE);
	OK(kvx_xfer_post(xfer));
	OK(kvx_xfer_cancel(xfer));
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_CANCELED);
	OK(kvx_xfer_cancel(xfer));
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ECANCELED);
	REASON(XFER_CANCELED);
	CHECK_EQ(result.state, KVX_XFER_CANCELED);
	CHECK_EQ(result.error, ECANCELED);
	CHECK_EQ(result.bytes, 0);
	CHECK_EQ(kvx_xfer_post(xfer), -EINVAL);
	REASON(XFER_STATE);
	CHECK_EQ(kvx_last_error()->index, KVX_XFER_CANCELED);
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_CANCELED);
	kvx_xfer_release(xfer);

	/* Nobody copies, and its deadline ends it all the same. */
	opts.deadline_ns = 1;
	xfer = prep(&p, 16, &opts);
	OK(kvx_xfer_post(xfer));
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ETIMEDOUT);
	REASON(XFER_DEADLINE);
	CHECK_EQ(result.state, KVX_XFER_TIMEDOUT);
	CHECK_EQ(kvx_xfer_post(xfer), -EINVAL);
	kvx_xfer_release(xfer);
	let_copies_go(256);
	/* Small ones have theirs, too, and have not begun then. */
	opts.nr_layers = 1;
	opts.dst_piece = (struct kvx_piece){ 0, 64, 0, 1 };
	opts.src_piece = opts.dst_piece;
	xfer = prep(&p, 1, &opts);
	OK(kvx_xfer_post(xfer));
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_TIMEDOUT);
	OK(kvx_xfer_result(xfer, &result));
	CHECK_EQ(result.bytes, 0);
	kvx_xfer_release(xfer);
	check_memory(&p.dst, want);
	opts = (struct kvx_xfer_opts)KVX_XFER_OPTS_INIT;
	opts.deadline_ns = 1;
	/* What copies looks at the deadline, too. */
	xfer = prep(&p, 16, &opts);
	OK(kvx_xfer_post(xfer));
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ETIMEDOUT);
	CHECK(result.bytes < kvx_xfer_bytes(xfer));
	kvx_xfer_release(xfer);
	drop_pair(&p);
}

/* Whoever has seen the end and has released it is not told that the layout is busy. */
TEST(a_released_one_keeps_no_layout_busy)
{
	struct kvx_agent *agent = open_agent();
	struct side src = make_side(agent, KERNEL, large(8));
	struct side dst = make_side(agent, KERNEL, large(8));
	struct kvx_layout_base bases[2] = { { src.pool, 0 }, { dst.pool, 0 } };
	struct kvx_handle handles[2];
	struct kvx_xfer *xfer;

	for (int i = 0; i < 300; i++) {
		for (int k = 0; k < 2; k++)
			OK(kvx_layout_register(agent, &handles[k], &src.config, &bases[k], 1));
		OK(kvx_transfer(agent, &xfer, handles[0], count_ids(8, 0), 8, handles[1],
				count_ids(8, 0), 8, NULL));
		/* By a load, which is told before all is put away. */
		while (i % 3 && kvx_xfer_check(xfer) != KVX_XFER_DONE)
			;
		kvx_xfer_release(xfer);
		for (int k = 0; k < 2; k++)
			OK(kvx_layout_unregister(agent, handles[k]));
	}
	drop_side(&src);
	drop_side(&dst);
	close_and_settle(agent);
}

TEST(after_its_end_or_release_nothing_is_written)
{
	struct pair p = make_pair(large(64));
	unsigned char *then = snapshot(&p.dst);
	struct kvx_xfer *xfer;

	let_copies_go(2);
	for (int i = 0; i < 16; i++) {
		memset(p.dst.mem, i, p.dst.bytes);
		OK(kvx_transfer(p.agent, &xfer, p.src.handle, count_ids(64, 0), 64,
				p.dst.handle, count_ids(64, 0), 64, NULL));
		/* Until it has begun to write somewhere; it may be done before we look. */
		if (i % 4)
			while (p.dst.mem[p.dst.bases[0]] == i &&
			       kvx_xfer_check(xfer) == KVX_XFER_RUNNING)
				sched_yield();
		if (i % 2) {
			OK(kvx_xfer_cancel(xfer));
			CHECK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL) == -ECANCELED ||
			      kvx_xfer_check(xfer) == KVX_XFER_DONE);
		} else {
			kvx_xfer_release(xfer);
			xfer = NULL;
		}
		memcpy(then, p.dst.mem, p.dst.bytes);
		/* Time for whoever should write still: others copy, and are done. */
		OK(kvx_xfer_exec(p.agent, p.src.handle, count_ids(16, 0), 16, p.src.handle,
				 count_ids(16, 16), 16, NULL, NULL));
		CHECK(!memcmp(then, p.dst.mem, p.dst.bytes));
		kvx_xfer_release(xfer);
	}
	free(then);
	let_copies_go(256);
	drop_pair(&p);
}

TEST(waiting_is_for_one_for_any_and_for_all)
{
	struct pair p = make_pair(large(16));
	struct kvx_xfer *xfers[3];
	struct kvx_result result = KVX_RESULT_INIT;
	size_t index = 99;

	hold_copies();
	for (int i = 0; i < 3; i++) {
		xfers[i] = prep(&p, 16, NULL);
		OK(kvx_xfer_post(xfers[i]));
	}
	CHECK_EQ(kvx_xfer_wait(xfers[0], 1000, NULL), -ETIME);
	REASON(XFER_TIMEOUT);
	OK(kvx_xfer_result(xfers[0], &result));
	CHECK_EQ(result.state, KVX_XFER_RUNNING);
	CHECK_EQ(kvx_wait_any(xfers, 3, 0, &index), -ETIME);
	OK(kvx_xfer_cancel(xfers[1]));
	OK(kvx_wait_any(xfers, 3, KVX_FOREVER, &index));
	CHECK_EQ(index, 1);
	CHECK_EQ(kvx_wait_all(xfers, 3, 1000), -ETIME);
	CHECK_EQ(kvx_last_error()->index, 1);
	/* A look that finds it running is no failure: what failed before is still to be read. */
	CHECK_EQ(kvx_xfer_wait(xfers[1], 0, NULL), -ECANCELED);
	OK(kvx_xfer_result(xfers[0], &result));
	REASON(XFER_CANCELED);
	let_copies_go(1);
	OK(kvx_wait_all(xfers, 3, KVX_FOREVER));
	CHECK_EQ(kvx_xfer_check(xfers[0]), KVX_XFER_DONE);
	CHECK_EQ(kvx_xfer_check(xfers[1]), KVX_XFER_CANCELED);
	CHECK_EQ(kvx_xfer_check(xfers[2]), KVX_XFER_DONE);
	for (int i = 0; i < 3; i++)
		kvx_xfer_release(xfers[i]);
	let_copies_go(256);
	drop_pair(&p);
}

struct waiter {
	pthread_t thread;
	struct kvx_xfer *xfer;
	int err;
};

static void *wait_one(void *arg)
{
	struct waiter *waiter = arg;

	waiter->err = kvx_xfer_wait(waiter->xfer, KVX_FOREVER, NULL);
	return NULL;
}

TEST(transfers_of_two_agents_are_not_waited_for_at_once)
{
	struct pair p = make_pair(standard(KVX_LAYOUT_CONTIGUOUS, 4));
	struct pair q = make_pair(standard(KVX_LAYOUT_CONTIGUOUS, 4));
	struct kvx_xfer *xfers[2] = { prep(&p, 1, NULL), prep(&q, 1, NULL) };

	/* They have the same number. */
	CHECK_EQ(kvx_xfer_id(xfers[0]), kvx_xfer_id(xfers[1]));
	OK(kvx_xfer_post(xfers[0]));
	CHECK_EQ(kvx_wait_all(xfers, 2, KVX_FOREVER), -EINVAL);
	CHECK(strstr(kvx_last_error()->text, "number 1 is another agent's"));
	kvx_xfer_release(xfers[0]);
	kvx_xfer_release(xfers[1]);
	close_pair(&p);
	drop_pair(&q);
}

TEST(several_threads_wait)
{
	struct pair p = make_pair(large(16));
	struct waiter waiters[8];

	hold_copies();
	for (int i = 0; i < 8; i++) {
		if (i % 2) {
			waiters[i].xfer = waiters[i - 1].xfer;
		} else {
			waiters[i].xfer = prep(&p, 16, NULL);
			OK(kvx_xfer_post(waiters[i].xfer));
		}
		CHECK(!pthread_create(&waiters[i].thread, NULL, wait_one, &waiters[i]));
	}
	let_copies_go(2);
	for (int i = 0; i < 8; i++) {
		CHECK(!pthread_join(waiters[i].thread, NULL));
		CHECK_EQ(waiters[i].err, 0);
	}
	for (int i = 0; i < 8; i += 2)
		kvx_xfer_release(waiters[i].xfer);
	let_copies_go(256);
	drop_pair(&p);
}

TEST(numbers_of_released_ones_are_not_taken_for_others)
{
	struct pair p = make_pair(standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	struct kvx_xfer *old = prep(&p, 1, NULL), *xfer;
	struct kvxfer_xfer_post post = { .hdr.size = sizeof(post), .xfer = kvx_xfer_id(old) };

	kvx_xfer_release(old);
	CHECK(ioctl(kvx_fd(p.agent), KVXFER_IOC_XFER_POST, &post) == -1 && errno == ENOENT);
	CHECK_EQ(post.hdr.reason, KVXFER_REASON_XFER_UNKNOWN);
	/* The same slot, and yet another number. */
	xfer = prep(&p, 1, NULL);
	CHECK_EQ(KVXFER_XFER_SLOT(kvx_xfer_id(xfer)), KVXFER_XFER_SLOT(post.xfer));
	CHECK(kvx_xfer_id(xfer) != post.xfer);
	CHECK(ioctl(kvx_fd(p.agent), KVXFER_IOC_XFER_POST, &post) == -1 && errno == ENOENT);
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_IDLE);
	kvx_xfer_release(xfer);
	drop_pair(&p);
}

TEST(an_agent_has_so_many_and_no_more)
{
	struct pair p = make_pair(standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	static struct kvx_xfer *xfers[KVXFER_XFERS_MAX];
	const uint32_t id = 0;

	for (int i = 0; i < KVXFER_XFERS_MAX; i++)
		OK(kvx_xfer_prep(p.agent, &xfers[i], p.src.handle, &id, 1, p.dst.handle, &id, 1,
				 NULL));
	CHECK_EQ(kvx_xfer_prep(p.agent, &xfers[0], p.src.handle, &id, 1, p.dst.handle, &id, 1,
			       NULL), -ENOSPC);
	REASON(XFER_MANY);
	/* All of them go with the agent. */
	drop_pair(&p);
	for (int i = 0; i < KVXFER_XFERS_MAX; i++)
		free(xfers[i]);
}

TEST(what_cannot_be_a_transfer_is_refused_by_name)
{
	struct pair p = make_pair(standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	const uint32_t ok[4] = { 0, 1, 2, 3 }, beyond[4] = { 0, 1, BLOCKS, 3 };
	const uint32_t twice[4] = { 5, 6, 7, 5 };
	struct kvx_xfer_opts opts;
	struct kvx_handle src = p.src.handle, dst = p.dst.handle;
	struct kvx_layout_config config = p.src.config;
	struct side other;
	struct kvx_xfer *xfer;

#define REFUSED(err, reason, at, from, ids, nr, to, to_ids, to_nr, change) do {			\
	opts = (struct kvx_xfer_opts)KVX_XFER_OPTS_INIT;					\
	change;											\
	CHECK_EQ(kvx_xfer_prep(p.agent, &xfer, from, ids, nr, to, to_ids, to_nr, &opts), -(err));\
	REASON(reason);										\
	CHECK_EQ(kvx_last_error()->index, at);							\
	CHECK(!xfer);										\
} while (0)
#define CHANGED(err, reason, change)								\
	REFUSED(err, reason, 0, src, ok, 4, dst, ok, 4, change)
	REFUSED(EINVAL, XFER_EMPTY, 0, src, ok, 0, dst, ok, 4, (void)0);
	REFUSED(EINVAL, XFER_EMPTY, 1, src, ok, 4, dst, ok, 0, (void)0);
	REFUSED(EINVAL, XFER_IDS, 0, src, ok, KVXFER_XFER_IDS_MAX + 1, dst, ok, 4, (void)0);
	REFUSED(EINVAL, XFER_IDS, 1, src, ok, 4, dst, ok, SIZE_MAX, (void)0);
	REFUSED(EINVAL, XFER_LENGTH, 0, src, ok, 3, dst, ok, 4, (void)0);
	REFUSED(EINVAL, XFER_SRC_RANGE, 2, src, beyond, 4, dst, ok, 4, (void)0);
	REFUSED(EINVAL, XFER_DST_RANGE, 2, src, ok, 4, dst, beyond, 4, (void)0);
	REFUSED(EINVAL, XFER_DST_TWICE, 3, src, ok, 4, dst, twice, 4, (void)0);
	REFUSED(EINVAL, XFER_OVERLAP, 0, src, ok, 4, src, ok, 4, (void)0);
	CHANGED(EINVAL, XFER_LAYERS, opts.nr_layers = 3);
	CHANGED(EINVAL, XFER_LAYERS, opts.src_layer = 1);
	CHANGED(EINVAL, XFER_LAYERS, (opts.dst_layer = 2, opts.nr_layers = 1));
	CHANGED(EINVAL, XFER_OUTER, opts.outers = 4);
	CHANGED(EINVAL, XFER_PIECE, opts.src_piece.bytes = 4097);
	CHANGED(EINVAL, XFER_PIECE, (opts.src_piece.bytes = 8, opts.dst_piece.bytes = 16));
	CHANGED(EINVAL, XFER_PIECE, (opts.src_piece.bytes = 1, opts.src_piece.offset = UINT64_MAX));
	REFUSED(EOPNOTSUPP, XFER_PATH, 99, src, ok, 4, dst, ok, 4, opts.path = 99);
	REFUSED(EOPNOTSUPP, XFER_PATH, 2, src, ok, 4, dst, ok, 4, opts.path = KVX_PATH_RDMA);
	src.rest += 1ULL << 16;
	CHANGED(ESTALE, HANDLE_STALE, (void)0);
	src.rest = p.src.handle.rest + 7;
	CHANGED(ENOENT, HANDLE_UNKNOWN, (void)0);
	src = p.src.handle;
	dst.worker_id++;
	REFUSED(ENOENT, HANDLE_UNKNOWN, 1, src, ok, 4, dst, ok, 4, (void)0);
	dst = p.dst.handle;

	/* The source twice is allowed: it fans out. */
	OK(kvx_xfer_exec(p.agent, src, twice, 4, dst, ok, 4, NULL, NULL));

	config.format = KVX_FORMAT_HND;
	other = make_side(p.agent, KERNEL, config);
	REFUSED(EINVAL, XFER_FORMAT, 0, src, ok, 4, other.handle, ok, 4, (void)0);
	OK(kvx_layout_unregister(p.agent, other.handle));
	REFUSED(ESTALE, HANDLE_STALE, 1, src, ok, 4, other.handle, ok, 4, (void)0);
	drop_side(&other);
	config = p.src.config;
	config.dtype_width = 1;
	other = make_side(p.agent, KERNEL, config);
	REFUSED(EINVAL, XFER_ELEMENT, 0, src, ok, 4, other.handle, ok, 4, (void)0);
	drop_side(&other);
	config = p.src.config;
	config.num_layers = 3;
	other = make_side(p.agent, KERNEL, config);
	REFUSED(EINVAL, XFER_LAYERS, 0, src, ok, 4, other.handle, ok, 4, (void)0);
	drop_side(&other);
	config = p.src.config;
	config.outer_dim = 1;
	other = make_side(p.agent, KERNEL, config);
	REFUSED(EINVAL, XFER_OUTER, 0, src, ok, 4, other.handle, ok, 4, (void)0);
	drop_side(&other);
	CHECK_EQ(kvx_xfer_prep(p.agent, &xfer, src, (void *)8, 4, dst, ok, 4, NULL), -EFAULT);
#undef REFUSED
#undef CHANGED
	drop_pair(&p);
}

/* Overlap is of bytes: other layouts, other pools, other names, and the same memory. */
TEST(overlap_is_seen_by_bytes)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct side side = make_side(agent, KERNEL, config);
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_layout_base base = { side.pool, side.bases[0] + 8 * 16384 };
	const uint32_t first[2] = { 0, 1 }, eighth[2] = { 8, 9 };
	struct kvx_handle view, one, two;
	struct kvx_pool *pools[2];
	struct kvx_xfer *xfer;
	void *range;
	int fd;

	/* Another layout of the same pool, 8 blocks further. */
	config.num_blocks = BLOCKS - 8;
	OK(kvx_layout_register(agent, &view, &config, &base, 1));
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, side.handle, eighth, 2, view, first, 2, NULL),
		 -EINVAL);
	REASON(XFER_OVERLAP);
	OK(kvx_xfer_exec(agent, side.handle, first, 2, view, first, 2, NULL, NULL));
	/* One byte is enough. */
	base.offset += 16384 - 1;
	config.num_blocks = BLOCKS - 10;
	OK(kvx_layout_register(agent, &one, &config, &base, 1));
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, view, first, 2, one, first, 2, NULL), -EINVAL);
	REASON(XFER_OVERLAP);
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, view, first, 1, one, first, 1, NULL), -EINVAL);
	REASON(XFER_OVERLAP);

	/* One memfd, handed over twice. */
	fd = sealed_memfd(0, MIB, F_SEAL_SHRINK);
	opts.memfd = fd;
	for (int i = 0; i < 2; i++)
		OK(kvx_pool_create(agent, &pools[i], 0, &opts));
	close(fd);
	config.num_blocks = BLOCKS;
	base = (struct kvx_layout_base){ pools[0], 0 };
	OK(kvx_layout_register(agent, &one, &config, &base, 1));
	base.pool = pools[1];
	OK(kvx_layout_register(agent, &two, &config, &base, 1));
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, one, first, 2, two, first, 2, NULL), -EINVAL);
	REASON(XFER_OVERLAP);
	OK(kvx_xfer_exec(agent, one, first, 2, two, eighth, 2, NULL, NULL));

	/* One range, pinned twice; and a pool, and its own mapping pinned. */
	range = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(range != MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		OK(kvx_pool_pin(agent, &base.pool, range, MIB, KVX_POOL_WRITE));
		OK(kvx_layout_register(agent, i ? &two : &one, &config, &base, 1));
	}
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, one, first, 2, two, first, 2, NULL), -EINVAL);
	REASON(XFER_OVERLAP);
	OK(kvx_xfer_exec(agent, one, first, 2, two, eighth, 2, NULL, NULL));
	OK(kvx_pool_pin(agent, &base.pool, side.mem, side.bytes, KVX_POOL_WRITE));
	base.offset = side.bases[0];
	OK(kvx_layout_register(agent, &two, &side.config, &base, 1));
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, side.handle, first, 2, two, first, 2, NULL), -EINVAL);
	REASON(XFER_OVERLAP);
	drop_side(&side);
	close_and_settle(agent);
}

TEST(what_is_for_reading_is_not_written)
{
	struct kvx_agent *agent = open_agent();
	struct side src = make_side(agent, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4));
	const uint32_t id = 0;
	struct kvx_layout_base base = { NULL, 0 };
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *named;
	struct kvx_handle handle;
	struct kvx_xfer *xfer;
	void *range;

	range = mmap(NULL, 16 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(range != MAP_FAILED);
	OK(kvx_pool_pin(agent, &base.pool, range, 16 * PAGE, KVX_POOL_READ));
	OK(kvx_layout_register(agent, &handle, &src.config, &base, 1));
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, src.handle, &id, 1, handle, &id, 1, NULL), -EACCES);
	REASON(XFER_READONLY);
	OK(kvx_xfer_exec(agent, handle, &id, 1, src.handle, &id, 1, NULL, NULL));
	opts.name = "for-reading";
	OK(kvx_pool_create(agent, &named, 16 * PAGE, &opts));
	OK(kvx_pool_open(agent, &base.pool, "for-reading", KVX_POOL_READ));
	OK(kvx_layout_register(agent, &handle, &src.config, &base, 1));
	CHECK_EQ(kvx_xfer_prep(agent, &xfer, src.handle, &id, 1, handle, &id, 1, NULL), -EACCES);
	REASON(XFER_READONLY);
	OK(kvx_pool_unlink(agent, "for-reading"));
	drop_side(&src);
	close_and_settle(agent);
}

TEST(a_layout_in_use_is_busy_waited_for_or_cut_off)
{
	struct pair p = make_pair(large(16));
	struct kvx_result result = KVX_RESULT_INIT;
	struct waiter waiter;
	struct kvx_xfer *idle, *xfer;

	hold_copies();
	idle = prep(&p, 4, NULL);
	xfer = prep(&p, 16, NULL);
	OK(kvx_xfer_post(xfer));
	CHECK_EQ(kvx_layout_unregister(p.agent, p.src.handle), -EBUSY);
	REASON(LAYOUT_BUSY);
	CHECK_EQ(kvx_last_error()->index, 2);
	/* Still as it was. */
	kvx_xfer_release(prep(&p, 1, NULL));
	OK(kvx_layout_unregister_flags(p.agent, p.src.handle, KVX_UNREGISTER_CUT));
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_FAILED);
	CHECK_EQ(kvx_xfer_wait(xfer, 0, &result), -ESTALE);
	REASON(XFER_CUT);
	/* Its memory has gone, whoever has what prepared. */
	CHECK_EQ(stat_of(p.src.pool).layouts, 0);
	CHECK_EQ(kvx_xfer_post(idle), -ESTALE);
	REASON(HANDLE_STALE);
	CHECK_EQ(kvx_last_error()->index, 0);
	CHECK_EQ(kvx_layout_unregister(p.agent, p.src.handle), -ENOENT);
	kvx_xfer_release(idle);
	kvx_xfer_release(xfer);
	drop_pair(&p);

	p = make_pair(large(16));
	waiter.xfer = prep(&p, 16, NULL);
	OK(kvx_xfer_post(waiter.xfer));
	CHECK(!pthread_create(&waiter.thread, NULL, wait_one, &waiter));
	let_copies_go(1);
	OK(kvx_layout_unregister_flags(p.agent, p.dst.handle, KVX_UNREGISTER_WAIT));
	CHECK(!pthread_join(waiter.thread, NULL));
	CHECK_EQ(waiter.err, 0);
	kvx_xfer_release(waiter.xfer);
	let_copies_go(256);
	drop_pair(&p);
}

/* What a thread is to wait for. */
struct call {
	struct pair *p;
	struct kvx_xfer *xfer;
};

static int call_exec(void *arg)
{
	struct call *c = arg;

	return kvx_xfer_exec(c->p->agent, c->p->src.handle, count_ids(16, 0), 16,
			     c->p->dst.handle, count_ids(16, 0), 16, NULL, NULL);
}

static int call_wait(void *arg)
{
	struct call *c = arg;

	return kvx_xfer_wait(c->xfer, KVX_FOREVER, NULL);
}

/* For so long that only its end can end it. */
static int call_wait_any(void *arg)
{
	struct call *c = arg;

	return kvx_wait_any(&c->xfer, 1, 3600000000000, NULL);
}

static int call_unregister(void *arg)
{
	struct call *c = arg;

	return kvx_layout_unregister_flags(c->p->agent, c->p->src.handle, KVX_UNREGISTER_WAIT);
}

static int call_send(void *arg)
{
	struct call *c = arg;
	int err;

	do {
		err = kvx_note_send(c->p->agent, query(c->p->agent).worker_id, "x", 1,
				    KVX_NOTE_WAIT);
	} while (!err);
	return err;
}

static int call_event(void *arg)
{
	struct call *c = arg;
	unsigned int events;

	return kvx_wait_event(c->p->agent, KVX_FOREVER, &events);
}

TEST(signals_end_whatever_waits_if_they_are_to)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	struct pair p = {};
	struct sleeper sleeper;
	struct call call = { .p = &p };
	unsigned char *want;

	opts.flags = KVX_OPEN_EINTR;
	OK(kvx_open(&p.agent, &opts));
	fill_pair(&p, large(16));
	want = snapshot(&p.dst);
	interrupt(&sleeper, call_event, &call);
	CHECK_EQ(sleeper.err, -EINTR);
	hold_copies();
	interrupt(&sleeper, call_exec, &call);
	CHECK_EQ(sleeper.err, -EINTR);
	CHECK_EQ(sleeper.reason, KVXFER_REASON_INTERRUPTED);
	check_memory(&p.dst, want);
	call.xfer = prep(&p, 16, NULL);
	OK(kvx_xfer_post(call.xfer));
	interrupt(&sleeper, call_wait, &call);
	CHECK_EQ(sleeper.err, -EINTR);
	CHECK_EQ(kvx_xfer_check(call.xfer), KVX_XFER_RUNNING);
	interrupt(&sleeper, call_unregister, &call);
	CHECK_EQ(sleeper.err, -EINTR);
	CHECK_EQ(sleeper.reason, KVXFER_REASON_INTERRUPTED);
	/* It is closed all the same, what runs goes on, and the call can be repeated. */
	CHECK_EQ(kvx_xfer_check(call.xfer), KVX_XFER_RUNNING);
	CHECK_EQ(call_exec(&call), -ESTALE);
	interrupt(&sleeper, call_send, &call);
	CHECK_EQ(sleeper.err, -EINTR);
	let_copies_go(256);
	OK(call_unregister(&call));
	OK(kvx_xfer_wait(call.xfer, KVX_FOREVER, NULL));
	kvx_xfer_release(call.xfer);
	drop_pair(&p);
}

/* How many signals each of them sleeps through. */
#define SIGNALS	20

TEST(signals_end_nothing_that_waits_otherwise)
{
	struct pair p = make_pair(large(16));
	struct kvx_result result = KVX_RESULT_INIT;
	unsigned char *want = snapshot(&p.dst);
	struct sleeper sleeper;
	struct call call = { .p = &p };

	OK(kvx_ring_setup(p.agent, 8, -1));
	hold_copies();
	disturb(&sleeper, call_exec, &call, SIGNALS);
	check_memory(&p.dst, want);
	want = snapshot(&p.dst);
	let_copies_go(256);
	OK(end_sleep(&sleeper));
	expect(want, &p.src, &p.dst, count_ids(16, 0), count_ids(16, 0), 16, 0, 2);
	check_memory(&p.dst, want);
	/* It was begun once, and nothing is left of it. */
	OK(kvx_ring_next(p.agent, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(kvx_ring_next(p.agent, &result), -EAGAIN);

	hold_copies();
	call.xfer = prep(&p, 16, NULL);
	OK(kvx_xfer_post(call.xfer));
	disturb(&sleeper, call_wait, &call, SIGNALS);
	let_copies_go(256);
	OK(end_sleep(&sleeper));
	hold_copies();
	OK(kvx_ring_next(p.agent, &result));
	OK(kvx_xfer_post(call.xfer));
	disturb(&sleeper, call_wait_any, &call, SIGNALS);
	let_copies_go(256);
	OK(end_sleep(&sleeper));
	OK(kvx_ring_next(p.agent, &result));
	disturb(&sleeper, call_event, &call, SIGNALS);
	hold_copies();
	OK(kvx_xfer_post(call.xfer));
	let_copies_go(256);
	OK(end_sleep(&sleeper));
	OK(kvx_ring_next(p.agent, &result));

	hold_copies();
	OK(kvx_xfer_post(call.xfer));
	disturb(&sleeper, call_unregister, &call, SIGNALS);
	CHECK_EQ(kvx_xfer_check(call.xfer), KVX_XFER_RUNNING);
	let_copies_go(256);
	OK(end_sleep(&sleeper));
	CHECK_EQ(kvx_xfer_check(call.xfer), KVX_XFER_DONE);
	CHECK_EQ(kvx_layout_unregister(p.agent, p.src.handle), -ENOENT);
	kvx_xfer_release(call.xfer);
	drop_pair(&p);
}

TEST(an_agent_with_many_large_copies_does_not_keep_another_waiting)
{
	struct pair many = make_pair(large(64)), few = make_pair(large(16));
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer *xfers[8], *one;
	uint64_t end_ns;

	hold_copies();
	for (int i = 0; i < 8; i++) {
		xfers[i] = prep(&many, 64, NULL);
		OK(kvx_xfer_post(xfers[i]));
	}
	one = prep(&few, 16, NULL);
	OK(kvx_xfer_post(one));
	let_copies_go(1);
	OK(kvx_xfer_wait(one, KVX_FOREVER, &result));
	end_ns = result.end_ns;
	OK(kvx_wait_all(xfers, 8, KVX_FOREVER));
	/* Of nine that wait, it was posted last, and it is a quarter of the others. */
	for (int i = 0; i < 8; i++) {
		OK(kvx_xfer_result(xfers[i], &result));
		CHECK(result.end_ns > end_ns);
		kvx_xfer_release(xfers[i]);
	}
	kvx_xfer_release(one);
	let_copies_go(256);
	close_pair(&many);
	drop_pair(&few);
}

TEST(the_cost_is_known_once_it_was_measured)
{
	struct pair p = make_pair(standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	struct kvx_cost cost = KVX_COST_INIT;
	struct kvx_xfer *xfer = prep(&p, 8, NULL);
	uint64_t before = 0;

	for (int i = 0; i < 10; i++)
		OK(kvx_xfer_post(xfer));
	OK(kvx_xfer_cost(xfer, &cost));
	CHECK(cost.ns > 0 && cost.samples >= 10);
	CHECK_EQ(cost.path, KVX_PATH_LOCAL);
	before = cost.samples;
	OK(kvx_xfer_post(xfer));
	OK(kvx_xfer_cost(xfer, &cost));
	CHECK_EQ(cost.samples, before + 1);
	kvx_xfer_release(xfer);
	drop_pair(&p);
}
