// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation and every user-memory access of every command fails once.
 * Labs: uml-debug
 *
 * /proc/self/fail-nth makes the Nth failure point that this thread meets fail. Each scenario runs
 * with N
 * = 1, 2, ... until N was not reached: then all its points have been tried. What a failure may look
 * like is said by the scenario; what it may leave behind is nothing (kmemleak looks at the end of
 * the run).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvxfer.h>

#include "cgroup.h"
#include "kvx.h"

#define POINTS_MAX	4000

/* A chunk and a bit; and so few pages that each can fail in turn. */
#define POOL_BYTES	((2 << 20) + (3 << 12))
#define RANGE_BYTES	(24 << 12)

static void setup(void)
{
	static bool done;

	if (done)
		return;
	/*
	 * Sleeping allocations are the ones we make; the log is for faults, not for their reports.
	 */
	put_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	put_file("/sys/kernel/debug/failslab/verbose", "0");
	put_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	put_file("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	put_file("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	put_file("/sys/kernel/debug/fail_usercopy/verbose", "0");
	done = true;
}

static int agents_open(void)
{
	struct kvxfer_query query = { .hdr.size = sizeof(query) };
	int fd = open(KVXFER_DEVICE, O_RDWR);

	CHECK(fd >= 0);
	CHECK_EQ(ioctl(fd, KVXFER_IOC_QUERY, &query), 0);
	close(fd);
	return query.out_agents;
}

/*
 * Runs @scenario, which returns 0 or an errno, until the failure falls behind its end. @allowed
 * says what a failure may come to, ended by -1; the first of them must have been seen.
 */
static void each_failure(int (*scenario)(void), const int *allowed)
{
	const int before = agents_open();
	int nth, failed = 0;
	bool seen = false;

	setup();
	for (nth = 1; nth < POINTS_MAX; nth++) {
		char text[16] = "";
		int fd, err, ok;

		fd = open("/proc/thread-self/fail-nth", O_RDWR);
		CHECK(fd >= 0);
		CHECK(write(fd, text, sprintf(text, "%d", nth)) > 0);
		err = scenario();
		/*
		 * 0 when the failure has happened. Reading it is a failure point, too: the next
		 * one.
		 */
		if (pread(fd, text, sizeof(text), 0) < 0)
			strcpy(text, "1");
		while (pwrite(fd, "0", 1, 0) != 1)
			;
		close(fd);
		if (atoi(text)) {
			CHECK_EQ(err, 0);
			break;
		}
		failed++;
		for (ok = 0; allowed[ok] != -1 && allowed[ok] != err; ok++)
			;
		if (allowed[ok] == -1)
			FAIL("failure %d gave errno %d", nth, err);
		seen |= err == allowed[0];
		CHECK_EQ(agents_open(), before);
	}
	printf("# %d failure points\n", failed);
	CHECK(seen);
	CHECK(nth < POINTS_MAX);
}

static int open_close(void)
{
	int fd = open(KVXFER_DEVICE, O_RDWR);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

TEST(open_fails_whole)
{
	/* The path is copied in, too; and some allocations have another try behind them. */
	each_failure(open_close, (const int[]){ ENOMEM, EFAULT, 0, -1 });
}

static int shared_fd;

static int ask(void)
{
	struct kvxfer_query q = { .hdr.size = sizeof(q) };

	return ioctl(shared_fd, KVXFER_IOC_QUERY, &q) ? errno : 0;
}

static int set(void)
{
	struct kvxfer_agent_set s = {
		.hdr = { sizeof(s), KVXFER_AGENT_SET_NAME | KVXFER_AGENT_SET_WORKER_ID, 0, 0 },
		.worker_id = 5,
		.name = "faulty",
	};

	return ioctl(shared_fd, KVXFER_IOC_AGENT_SET, &s) ? errno : 0;
}

static int refused(void)
{
	struct kvxfer_query q = { .hdr = { sizeof(q), 1U << 7, 0, 0 } };

	if (!ioctl(shared_fd, KVXFER_IOC_QUERY, &q))
		return EINVAL;
	/* The refusal itself is what is expected: 0 stands for it. */
	return errno == EOPNOTSUPP ? 0 : errno;
}

static int pool(void)
{
	struct kvxfer_pool_create create = {
		.hdr.size = sizeof(create), .bytes = POOL_BYTES, .mode = 0600, .name = "faulty",
	};
	struct kvxfer_pool_open open = { .hdr.size = sizeof(open), .name = "faulty" };
	struct kvxfer_pool_unlink unlink = { .hdr.size = sizeof(unlink), .name = "faulty" };
	struct kvxfer_pool_close done = { .hdr.size = sizeof(done) };
	struct kvxfer_pool_stat stat = {
		.hdr = { sizeof(stat), KVXFER_POOL_STAT_NAME, 0, 0 }, .name = "faulty",
	};
	int err = 0;

	if (ioctl(shared_fd, KVXFER_IOC_POOL_CREATE, &create))
		return errno;
	done.pool = create.out_pool;
	if (ioctl(shared_fd, KVXFER_IOC_POOL_STAT, &stat))
		err = errno;
	if (ioctl(shared_fd, KVXFER_IOC_POOL_CLOSE, &done))
		err = errno;
	if (!err && ioctl(shared_fd, KVXFER_IOC_POOL_OPEN, &open))
		err = errno;
	/* The failure has come or comes now; what is left must go whatever it was. */
	while (ioctl(shared_fd, KVXFER_IOC_POOL_UNLINK, &unlink) && errno != ENOENT)
		err = errno;
	done.pool = open.out_pool ? open.out_pool : create.out_pool;
	while (ioctl(shared_fd, KVXFER_IOC_POOL_CLOSE, &done) && errno != ENOENT)
		err = errno;
	return err;
}

static int pool_user(void)
{
	struct kvxfer_pool_pin pin = { .hdr.size = sizeof(pin), .bytes = RANGE_BYTES };
	struct kvxfer_pool_close done = { .hdr.size = sizeof(done) };
	void *range;
	int err = 0;

	range = mmap(NULL, RANGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (range == MAP_FAILED)
		return errno;
	pin.addr = (uintptr_t)range;
	if (ioctl(shared_fd, KVXFER_IOC_POOL_PIN, &pin))
		err = errno;
	done.pool = pin.out_pool;
	while (done.pool && ioctl(shared_fd, KVXFER_IOC_POOL_CLOSE, &done) && errno != ENOENT)
		err = errno;
	while (munmap(range, RANGE_BYTES))
		err = errno;
	return err;
}

static int pool_export(void)
{
	struct kvxfer_pool_create create = {
		.hdr.size = sizeof(create), .bytes = RANGE_BYTES, .mode = 0600,
	};
	struct kvxfer_pool_export export = { .hdr.size = sizeof(export), .out_fd = -1 };
	struct kvxfer_pool_dmabuf import = { .hdr.size = sizeof(import) };
	void *at;
	struct kvxfer_pool_close done = { .hdr.size = sizeof(done) };
	int err = 0;

	if (ioctl(shared_fd, KVXFER_IOC_POOL_CREATE, &create))
		return errno;
	export.pool = create.out_pool;
	if (ioctl(shared_fd, KVXFER_IOC_POOL_EXPORT, &export))
		err = errno;
	import.fd = export.out_fd;
	if (!err) {
		at = mmap(NULL, RANGE_BYTES, PROT_READ, MAP_SHARED, export.out_fd, 0);
		if (at == MAP_FAILED)
			err = errno;
		while (at != MAP_FAILED && munmap(at, RANGE_BYTES))
			err = errno;
	}
	if (!err && ioctl(shared_fd, KVXFER_IOC_POOL_DMABUF, &import))
		err = errno;
	if (export.out_fd >= 0)
		close(export.out_fd);
	done.pool = import.out_pool;
	while (done.pool && ioctl(shared_fd, KVXFER_IOC_POOL_CLOSE, &done) && errno != ENOENT)
		err = errno;
	done.pool = create.out_pool;
	while (ioctl(shared_fd, KVXFER_IOC_POOL_CLOSE, &done) && errno != ENOENT)
		err = errno;
	return err;
}

static int layout(void)
{
	struct kvxfer_layout_base bases[2] = {};
	struct kvxfer_pool_create create = {
		.hdr.size = sizeof(create), .bytes = RANGE_BYTES, .mode = 0600,
	};
	struct kvxfer_layout_register reg = {
		.hdr.size = sizeof(reg), .kind = KVXFER_LAYOUT_BLOCK_SECOND,
		.format = KVXFER_FORMAT_NHD, .num_blocks = 4, .num_layers = 2, .outer_dim = 2,
		.page_size = 16, .inner_dim = 16, .dtype_width = 2, .alignment = 1, .nr_bases = 2,
		.bases = (uintptr_t)bases,
	};
	struct kvxfer_layout_stat stat = { .hdr = { sizeof(stat), 1, 0, 0 } };
	struct kvxfer_layout_unregister done = { .hdr.size = sizeof(done) };
	struct kvxfer_pool_close close = { .hdr.size = sizeof(close) };
	int err = 0;

	if (ioctl(shared_fd, KVXFER_IOC_POOL_CREATE, &create))
		return errno;
	bases[0].pool = create.out_pool;
	bases[1].pool = create.out_pool;
	bases[1].offset = RANGE_BYTES / 2;
	if (ioctl(shared_fd, KVXFER_IOC_LAYOUT_REGISTER, &reg))
		err = errno;
	if (!err && ioctl(shared_fd, KVXFER_IOC_LAYOUT_STAT, &stat))
		err = errno;
	done.id = reg.out_rest & 0xffff;
	while (done.id && ioctl(shared_fd, KVXFER_IOC_LAYOUT_UNREGISTER, &done) && errno != ENOENT)
		err = errno;
	close.pool = create.out_pool;
	while (ioctl(shared_fd, KVXFER_IOC_POOL_CLOSE, &close) && errno != ENOENT)
		err = errno;
	return err;
}

/* A command of a scenario that ends with its first failure. */
#define TRY(fd, nr, cmd) do {						\
	if (ioctl(fd, nr, cmd))						\
		return errno;						\
} while (0)

static struct kvxfer_handle make_layout(int fd, int *err)
{
	struct kvxfer_layout_base base = {};
	struct kvxfer_pool_create create = {
		.hdr.size = sizeof(create), .bytes = RANGE_BYTES, .mode = 0600,
	};
	struct kvxfer_layout_register reg = {
		.hdr.size = sizeof(reg), .kind = KVXFER_LAYOUT_CONTIGUOUS,
		.format = KVXFER_FORMAT_NHD, .num_blocks = 8, .num_layers = 2, .outer_dim = 2,
		.page_size = 16, .inner_dim = 16, .dtype_width = 2, .alignment = 1, .nr_bases = 1,
		.bases = (uintptr_t)&base,
	};

	*err = ioctl(fd, KVXFER_IOC_POOL_CREATE, &create) ? errno : 0;
	base.pool = create.out_pool;
	if (!*err)
		*err = ioctl(fd, KVXFER_IOC_LAYOUT_REGISTER, &reg) ? errno : 0;
	return (struct kvxfer_handle){ reg.out_worker_id, reg.out_rest };
}

/* All that two agents do with each other: whatever fails, closing them has to be enough. */
static int share(int a, int b)
{
	const uint32_t ids[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct kvxfer_query query = { .hdr.size = sizeof(query) };
	struct kvxfer_ring_setup ring = { .hdr.size = sizeof(ring), .entries = 4 };
	struct kvxfer_grant grant = { .hdr.size = sizeof(grant), .rights = 3 };
	const struct kvxfer_address nowhere = {
		.family = AF_INET, .port = 4, .addr = { 127, 0, 0, 1 },
	};
	struct kvxfer_peer_connect connect = {
		.hdr = { sizeof(connect), KVXFER_PEER_CONNECT_NOWAIT, 0, 0 },
		.boot_id = 1, .addresses = (uintptr_t)&nowhere, .nr_addresses = 1,
	};
	struct kvxfer_revoke revoke = { .hdr.size = sizeof(revoke) };
	struct kvxfer_import one = {};
	struct kvxfer_layout_import import = {
		.hdr.size = sizeof(import), .imports = (uintptr_t)&one, .nr_imports = 1,
	};
	struct kvxfer_layout_forget forget = { .hdr.size = sizeof(forget) };
	struct kvxfer_xfer_prep prep = {
		.hdr = { sizeof(prep), KVXFER_XFER_NOTE, 0, 0 },
		.src_ids = (uintptr_t)ids, .dst_ids = (uintptr_t)ids, .nr_src = 4, .nr_dst = 4,
		.note = { .data = (uintptr_t)"x", .bytes = 1 },
	};
	struct kvxfer_xfer_prep exec;
	struct kvxfer_xfer_post post = { .hdr.size = sizeof(post) };
	struct kvxfer_completion results[10];
	uint32_t xfers[10];
	struct kvxfer_xfer_wait wait = {
		.hdr.size = sizeof(wait), .xfers = (uintptr_t)xfers,
		.results = (uintptr_t)results, .timeout_ns = ~0ULL, .nr = 10,
	};
	struct kvxfer_xfer_cost cost = { .hdr.size = sizeof(cost) };
	struct kvxfer_xfer_cancel cancel = { .hdr.size = sizeof(cancel) };
	struct kvxfer_xfer_release release = { .hdr.size = sizeof(release) };
	struct kvxfer_note_send send = { .hdr.size = sizeof(send) };
	struct kvxfer_msg msg = { .hdr.size = sizeof(msg), .bytes = 5000 };
	char buffer[256];
	struct kvxfer_note_recv recv = {
		.hdr.size = sizeof(recv), .buffer = (uintptr_t)buffer, .bytes = sizeof(buffer),
	};
	struct kvxfer_layout_unregister done = {
		.hdr = { sizeof(done), KVXFER_LAYOUT_UNREGISTER_CUT, 0, 0 },
	};
	void *states;
	int err;

	prep.src = make_layout(a, &err);
	if (!err)
		prep.dst = make_layout(b, &err);
	if (err)
		return err;
	TRY(a, KVXFER_IOC_QUERY, &query);
	TRY(b, KVXFER_IOC_RING_SETUP, &ring);
	grant.layout = prep.src.rest & 0xffff;
	TRY(a, KVXFER_IOC_GRANT, &grant);
	one.layout = grant.layout;
	memcpy(one.key, grant.out_key, sizeof(one.key));
	import.boot_id = query.out_boot_id;
	import.worker_id = query.out_worker_id;
	import.epoch = query.out_epoch;
	TRY(b, KVXFER_IOC_LAYOUT_IMPORT, &import);
	/* Nobody is there, which is no fault. */
	if (ioctl(b, KVXFER_IOC_PEER_CONNECT, &connect) && errno != EAGAIN)
		return errno;
	prep.note.worker_id = query.out_worker_id;
	TRY(b, KVXFER_IOC_XFER_PREP, &prep);
	post.xfer = prep.out_xfer;
	TRY(b, KVXFER_IOC_XFER_POST, &post);
	for (int i = 0; i < 10; i++)
		xfers[i] = prep.out_xfer;
	TRY(b, KVXFER_IOC_XFER_WAIT, &wait);
	cost.xfer = prep.out_xfer;
	TRY(b, KVXFER_IOC_XFER_COST, &cost);
	cancel.xfer = prep.out_xfer;
	TRY(b, KVXFER_IOC_XFER_CANCEL, &cancel);
	exec = prep;
	exec.hdr.flags |= KVXFER_XFER_WAIT;
	TRY(b, KVXFER_IOC_XFER_EXEC, &exec);
	/* Within one pool, so that what overlaps is looked for. */
	exec.src = prep.dst;
	exec.dst_ids = (uintptr_t)(ids + 4);
	exec.hdr.flags = 0;
	memset(&exec.note, 0, sizeof(exec.note));
	TRY(b, KVXFER_IOC_XFER_EXEC, &exec);
	send.note = prep.note;
	TRY(b, KVXFER_IOC_NOTE_SEND, &send);
	TRY(a, KVXFER_IOC_NOTE_RECV, &recv);
	CHECK_EQ(recv.out_nr, 3);
	/* Both ways round; a message that failed ends what it has met. */
	for (int i = 0; i < 2; i++) {
		msg.worker_id = prep.dst.worker_id;
		msg.pool = 1;
		TRY(a, i ? KVXFER_IOC_MSG_SEND : KVXFER_IOC_MSG_RECV, &msg);
		msg.worker_id = query.out_worker_id;
		TRY(b, i ? KVXFER_IOC_MSG_RECV : KVXFER_IOC_MSG_SEND, &msg);
		if (msg.out_result.error)
			return msg.out_result.error;
	}
	states = mmap(NULL, 4096, PROT_READ, MAP_SHARED, b, KVXFER_MMAP_STATES);
	if (states == MAP_FAILED)
		return errno;
	while (munmap(states, 4096))
		err = errno;
	release.xfer = prep.out_xfer;
	TRY(b, KVXFER_IOC_XFER_RELEASE, &release);
	revoke.layout = grant.layout;
	memcpy(revoke.key, grant.out_key, sizeof(revoke.key));
	TRY(a, KVXFER_IOC_REVOKE, &revoke);
	forget.worker_id = query.out_worker_id;
	TRY(b, KVXFER_IOC_LAYOUT_FORGET, &forget);
	done.id = grant.layout;
	TRY(a, KVXFER_IOC_LAYOUT_UNREGISTER, &done);
	return err;
}

static int transfer(void)
{
	int a = open(KVXFER_DEVICE, O_RDWR), b, err;

	if (a < 0)
		return errno;
	b = open(KVXFER_DEVICE, O_RDWR);
	err = b < 0 ? errno : share(a, b);
	close(a);
	if (b >= 0)
		close(b);
	return err;
}

static int pool_memfd(void)
{
	struct kvxfer_pool_create create = {
		.hdr = { sizeof(create), KVXFER_POOL_CREATE_MEMFD, 0, 0 }, .mode = 0600,
	};
	struct kvxfer_pool_close done = { .hdr.size = sizeof(done) };
	int err = 0;

	create.fd = memfd_create("faulty", MFD_ALLOW_SEALING);
	if (create.fd < 0)
		return errno;
	if (ftruncate(create.fd, RANGE_BYTES) || fcntl(create.fd, F_ADD_SEALS, F_SEAL_SHRINK) ||
	    ioctl(shared_fd, KVXFER_IOC_POOL_CREATE, &create))
		err = errno;
	done.pool = create.out_pool;
	while (done.pool && ioctl(shared_fd, KVXFER_IOC_POOL_CLOSE, &done) && errno != ENOENT)
		err = errno;
	close(create.fd);
	return err;
}

static uint64_t pool_bytes(void)
{
	struct kvxfer_query q = { .hdr.size = sizeof(q) };

	CHECK_EQ(ioctl(shared_fd, KVXFER_IOC_QUERY, &q), 0);
	CHECK_EQ(q.out_quota_pools_used, 0);
	return q.out_pool_bytes;
}

/* An export is let go by a worker: wait until it has. */
static void settled(void)
{
	while (pool_bytes())
		sched_yield();
}

/*
 * A sweep over @scenario loses nothing: no page of those that are charged to us (pool pages are;
 * so are our own, which a lost pin would keep), no pinned page, no bytes of pools. Slab objects are
 * for kmemleak. What comes once, such as pages of files and of tables, comes in the first round.
 */
static void nothing_is_lost(int (*scenario)(void), const int *allowed)
{
	long before = 0, after = 0;

	for (int round = 0; round < 2; round++) {
		before = cgroup_pages("fault");
		each_failure(scenario, allowed);
		settled();
		after = cgroup_pages("fault");
	}
	CHECK_EQ(after, before);
	CHECK_EQ(proc_number("/proc/self/status", "VmPin"), 0);
}

TEST(pools_fail_whole)
{
	shared_fd = open(KVXFER_DEVICE, O_RDWR);
	CHECK(shared_fd >= 0);
	cgroup_enter("fault");
	nothing_is_lost(pool, (const int[]){ ENOMEM, EFAULT, 0, -1 });
	nothing_is_lost(pool_user, (const int[]){ ENOMEM, EFAULT, 0, -1 });
	nothing_is_lost(pool_memfd, (const int[]){ ENOMEM, EFAULT, ENOSPC, 0, -1 });
	nothing_is_lost(pool_export, (const int[]){ ENOMEM, EFAULT, 0, -1 });
	nothing_is_lost(layout, (const int[]){ ENOMEM, EFAULT, 0, -1 });
	nothing_is_lost(transfer, (const int[]){ ENOMEM, EFAULT, 0, -1 });
	close(shared_fd);
}

TEST(commands_fail_whole)
{
	shared_fd = open(KVXFER_DEVICE, O_RDWR);
	CHECK(shared_fd >= 0);
	each_failure(ask, (const int[]){ EFAULT, -1 });
	each_failure(set, (const int[]){ EFAULT, -1 });
	each_failure(refused, (const int[]){ EFAULT, 0, -1 });
	close(shared_fd);
}
