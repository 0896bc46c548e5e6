// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eight processes do at random what can be done with pools, and are killed at random, for a minute.
 * Time: 200
 *
 * Whoever writes to page P of pool N writes the same, so that whoever reads finds that or zero: a
 * page that was given to another while somebody still had it mapped is found out.
 *
 * Arguments of the environment: STRESS_S, how long; STRESS_SEED, to see a run again (nearly).
 * Labs: uml-smp debian-6.1 debian-6.12
 * Lanes: debian-6.12
 * Emulated: THP and GUP-fast under load
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 900
#include <sys/prctl.h>
#include <time.h>

#include "cgroup.h"
#include "kvx.h"

#define WORKERS		8
#define OPENS		4
#define NAMES		24
#define PAGES_MAX	1024

enum op {
	OP_CREATE, OP_CREATE_NAMED, OP_MEMFD, OP_PIN, OP_OPEN, OP_UNLINK, OP_CLOSE, OP_MAP,
	OP_UNMAP, OP_TOUCH, OP_FORK, OP_EXPORT, OP_NEW_AGENT, NR_OPS
};

static const char *const op_names[NR_OPS] = {
	"create", "create-named", "memfd", "pin", "open", "unlink", "close", "map", "unmap",
	"touch", "fork", "export", "new-agent",
};

/* Shared by all: how often each was done and did not fail; and how many were killed. */
static struct {
	uint64_t done[NR_OPS];
	uint64_t killed;
	uint64_t corrupt;
} *count;

struct slot {
	struct kvx_pool *pool;
	uint32_t id;
	uint64_t pages;
	bool write;
	void *own;		/* memory of our own that is pinned */
	uint64_t *at;
	uint64_t first, mapped;	/* in pages */
	bool map_write;
};

static uint64_t random_state;

static uint64_t rnd(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % below;
}

static uint64_t mark(uint32_t id, uint64_t page)
{
	return ((uint64_t)id << 32 | page) * 0x9e3779b97f4a7c15 | 1;
}

static void close_slot(struct slot *s)
{
	if (s->at)
		munmap(s->at, s->mapped * PAGE);
	kvx_pool_close(s->pool);
	if (s->own)
		munmap(s->own, s->pages * PAGE);
	*s = (struct slot){};
}

static bool take(struct slot *s, bool write)
{
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;

	if (kvx_pool_stat(s->pool, &st)) {
		close_slot(s);
		return false;
	}
	s->id = st.id;
	s->pages = st.bytes / PAGE;
	s->write = write;
	return true;
}

static bool create(struct kvx_agent *agent, struct slot *s, bool named)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	char name[32];

	snprintf(name, sizeof(name), "stress-%d", (int)rnd(NAMES));
	opts.name = named ? name : NULL;
	return !kvx_pool_create(agent, &s->pool, (1 + rnd(PAGES_MAX)) * PAGE, &opts) &&
	       take(s, true);
}

static bool create_memfd(struct kvx_agent *agent, struct slot *s)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	bool ok;

	opts.memfd = memfd_create("stress", MFD_ALLOW_SEALING);
	if (opts.memfd < 0)
		return false;
	ok = !ftruncate(opts.memfd, (1 + rnd(64)) * PAGE) &&
	     !fcntl(opts.memfd, F_ADD_SEALS, F_SEAL_SHRINK) &&
	     !kvx_pool_create(agent, &s->pool, 0, &opts) && take(s, true);
	close(opts.memfd);
	return ok;
}

static bool pin(struct kvx_agent *agent, struct slot *s)
{
	const uint64_t bytes = (1 + rnd(64)) * PAGE;

	s->own = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->own == MAP_FAILED || kvx_pool_pin(agent, &s->pool, s->own, bytes, rnd(2))) {
		if (s->own != MAP_FAILED)
			munmap(s->own, bytes);
		s->own = NULL;
		return false;
	}
	return take(s, false);
}

static bool open_named(struct kvx_agent *agent, struct slot *s)
{
	const bool write = rnd(2);
	char name[32];

	snprintf(name, sizeof(name), "stress-%d", (int)rnd(NAMES));
	return !kvx_pool_open(agent, &s->pool, name, write ? KVX_POOL_WRITE : KVX_POOL_READ) &&
	       take(s, write);
}

static bool map(struct slot *s)
{
	void *at;

	if (s->at || s->own)
		return false;
	s->first = rnd(s->pages);
	s->mapped = 1 + rnd(s->pages - s->first);
	s->map_write = s->write && rnd(4);
	if (kvx_pool_map(s->pool, &at, s->first * PAGE, s->mapped * PAGE,
			 s->map_write ? KVX_POOL_WRITE : KVX_POOL_READ))
		return false;
	s->at = at;
	return true;
}

/* Whoever finds it, and whoever reaps that one: it is not forgotten. */
static void found_corrupt(const struct slot *s, uint64_t page, uint64_t seen)
{
	printf("# pool %u page %" PRIu64 " holds %" PRIx64 "\n", s->id, page, seen);
	fflush(stdout);
	__atomic_add_fetch(&count->corrupt, 1, __ATOMIC_RELAXED);
	_exit(0);
}

static bool touch(struct slot *s)
{
	if (!s->at)
		return false;
	for (int i = 0; i < 64; i++) {
		const uint64_t page = rnd(s->mapped), want = mark(s->id, s->first + page);
		volatile uint64_t *word = &s->at[page * (PAGE / 8) + rnd(PAGE / 8)];
		const uint64_t seen = *word;

		if (seen && seen != want)
			found_corrupt(s, s->first + page, seen);
		if (s->map_write)
			*word = want;
	}
	if (!rnd(8))
		madvise(s->at, s->mapped * PAGE, MADV_DONTNEED);
	return true;
}

/* As a dma-buf, mapped from there; the descriptor goes at once. */
static bool export(struct slot *s)
{
	uint64_t *at;
	bool ok;
	int fd;

	if (!s->pool || !s->write || kvx_pool_export(s->pool, &fd))
		return false;
	at = mmap(NULL, s->pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	ok = at != MAP_FAILED;
	if (ok && at[0] && at[0] != mark(s->id, 0))
		found_corrupt(s, 0, at[0]);
	if (ok)
		munmap(at, s->pages * PAGE);
	return ok;
}

static bool one(struct kvx_agent **agent, struct slot *slots, enum op op)
{
	struct slot *s = &slots[rnd(OPENS)];
	char name[32];

	/* What makes needs room, the rest something that was made. */
	if (op <= OP_OPEN ? !!s->pool : op >= OP_CLOSE && op <= OP_TOUCH && !s->pool)
		return false;
	switch (op) {
	case OP_CREATE:
		return create(*agent, s, false);
	case OP_CREATE_NAMED:
		return create(*agent, s, true);
	case OP_MEMFD:
		return create_memfd(*agent, s);
	case OP_PIN:
		return pin(*agent, s);
	case OP_OPEN:
		return open_named(*agent, s);
	case OP_UNLINK:
		snprintf(name, sizeof(name), "stress-%d", (int)rnd(NAMES));
		return !kvx_pool_unlink(*agent, name);
	case OP_CLOSE:
		close_slot(s);
		return true;
	case OP_MAP:
		return map(s);
	case OP_UNMAP:
		if (s->at)
			munmap(s->at, s->mapped * PAGE);
		s->at = NULL;
		return true;
	case OP_TOUCH:
		return touch(s);
	case OP_FORK:
		/* The child has all that the parent has, uses a bit of it, and goes. */
		if (fork())
			return true;
		for (int i = 0; i < OPENS; i++)
			touch(&slots[i]);
		_exit(0);
	case OP_EXPORT:
		return export(s);
	case OP_NEW_AGENT:
		for (int i = 0; i < OPENS; i++)
			close_slot(&slots[i]);
		kvx_close(*agent);
		return !kvx_open(agent, NULL);
	default:
		return false;
	}
}

static void worker(uint64_t seed)
{
	struct slot slots[OPENS] = {};
	struct kvx_agent *agent;

	random_state = seed * 0x9e3779b97f4a7c15 | 1;
	signal(SIGCHLD, SIG_IGN);
	if (kvx_open(&agent, NULL))
		_exit(1);
	for (;;) {
		/* Uses are many; forks, new agents and ends of names are few. */
		enum op op = rnd(3) ? (enum op)rnd(OP_FORK) : (enum op)rnd(NR_OPS);

		if ((op == OP_FORK || op == OP_NEW_AGENT || op == OP_UNLINK) && rnd(8))
			continue;
		if (one(&agent, slots, op))
			__atomic_add_fetch(&count->done[op], 1, __ATOMIC_RELAXED);
	}
}

static pid_t spawn(uint64_t seed)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid) {
		setpgid(pid, pid);
		return pid;
	}
	setpgid(0, 0);
	worker(seed);
	_exit(0);
}

/* Reap what has ended: all must have been killed, or be a worker's child that ended well. */
static void reap(bool all)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, all ? 0 : WNOHANG)) > 0)
		if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) &&
		    !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
			FAIL("process %d ended with %x", pid, status);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void drop_names(struct kvx_agent *agent)
{
	char name[32];

	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "stress-%d", i);
		kvx_pool_unlink(agent, name);
	}
}

TEST(nothing_is_lost_whatever_is_killed)
{
	const char *given = getenv("STRESS_SEED"), *limit = getenv("STRESS_S");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) << 20 | getpid();
	const time_t end = now() + (limit ? atoi(limit) : (int)patient(rounds(15, 20, 20, 600)));
	struct kvx_agent *agent;
	pid_t pids[WORKERS];
	long before, after;

	printf("# STRESS_SEED=%" PRIu64 "\n", seed);
	random_state = seed | 1;
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	CHECK(count != MAP_FAILED);
	memset(count, 0, sizeof(*count));
	cgroup_enter("stress");
	CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	before = cgroup_pages("stress");
	for (int i = 0; i < WORKERS; i++)
		pids[i] = spawn(seed++);
	while (now() < end) {
		const int i = rnd(WORKERS);

		/* No synchronisation: just when it happens is left to chance. */
		usleep(rnd(200000));
		kill(-pids[i], SIGKILL);
		count->killed++;
		reap(false);
		pids[i] = spawn(seed++);
	}
	for (int i = 0; i < WORKERS; i++)
		kill(-pids[i], SIGKILL);
	reap(true);

	agent = open_agent();
	printf("# %" PRIu64 " killed, %" PRIu64 " MiB of named pools left;", count->killed,
	       query(agent).pool_bytes >> 20);
	for (int i = 0; i < NR_OPS; i++)
		printf(" %" PRIu64 " %s", count->done[i], op_names[i]);
	printf("\n");
	for (int i = 0; i < NR_OPS; i++)
		CHECK(count->done[i] > 0);
	CHECK(count->killed > 0);
	CHECK_EQ(count->corrupt, 0);
	drop_names(agent);
	settle(agent);
	CHECK_EQ(query(agent).quota_bytes_used, 0);
	CHECK_EQ(query(agent).quota_pools_used, 0);
	CHECK_EQ(query(agent).agents, 1);
	kvx_close(agent);
	/* Pools come to thousands of pages a second; what may differ are some stacks and tables. */
	after = cgroup_pages("stress");
	printf("# charged before: %ld pages, after: %ld\n", before, after);
	CHECK(after - before < 256);
}
