// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that read each other's blocks, write to each other and send notes, and are killed at
 * random, until enough transfers have been made: what is said to be done is right to the last byte,
 * those that live go on, and in the end nothing is left.
 * Time: 300
 *
 * A process is killed in whichever part it has: source, destination or initiator, or all of them.
 * KILL_TRANSFERS and KILL_SEED of the environment say how many, and which.
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 280
#include <signal.h>
#include <sys/prctl.h>

#include "blocks.h"

#define WORKERS		6
#define BLOCKS		12

/* What a worker says of itself: odd while it is being written. */
struct slot {
	uint64_t version;
	uint64_t who;
	struct kvx_handle out, in;
	size_t bytes;
	unsigned char blob[120 + 2 * 72];
};

static struct {
	struct slot slots[WORKERS];
	uint64_t who;
	uint64_t transfers, done, early, refused, checked, notes;
	uint64_t wrong;
} *all;

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % below;
}

static void add(uint64_t *count)
{
	__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

static bool look(int k, struct slot *to)
{
	struct slot *slot = &all->slots[k];
	const uint64_t version = __atomic_load_n(&slot->version, __ATOMIC_ACQUIRE);

	if (!version || version % 2)
		return false;
	memcpy(to, slot, sizeof(*to));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&slot->version, __ATOMIC_RELAXED) == version;
}

static void publish(int k, struct kvx_agent *agent, struct side *out, struct side *in, uint64_t who)
{
	struct kvx_grant grants[2];
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct slot *slot = &all->slots[k];
	size_t bytes;
	void *blob;

	OK(kvx_grant(agent, &grants[0], out->handle, &opts));
	opts.rights = KVX_GRANT_WRITE;
	OK(kvx_grant(agent, &grants[1], in->handle, &opts));
	OK(kvx_export_metadata(agent, grants, 2, &blob, &bytes));
	__atomic_store_n(&slot->version, slot->version | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	slot->who = who;
	slot->out = out->handle;
	slot->in = in->handle;
	slot->bytes = bytes;
	memcpy(slot->blob, blob, bytes);
	__atomic_store_n(&slot->version, slot->version + 1, __ATOMIC_RELEASE);
	free(blob);
}

static uint32_t *some_ids(uint32_t *ids, uint32_t *nr)
{
	uint32_t mine[BLOCKS];

	for (uint32_t i = 0; i < BLOCKS; i++)
		mine[i] = i;
	if (!*nr)
		*nr = 1 + rnd(BLOCKS);
	for (uint32_t i = 0; i < *nr; i++) {
		const uint32_t k = i + rnd(BLOCKS - i), was = mine[i];

		ids[i] = mine[k];
		mine[k] = was;
	}
	return ids;
}

/* What was read from @who is what @who has. */
static void check_read(const struct side *into, const uint32_t *from, const uint32_t *to,
		       uint32_t nr, uint64_t who)
{
	unsigned char *want = malloc(region_bytes(into));

	for (uint32_t i = 0; i < nr * 4; i++) {
		fill_region(want, region_bytes(into), who, from[i / 4], i % 4 / 2, i % 2);
		if (memcmp(want, region(into, to[i / 4], i % 4 / 2, i % 2), region_bytes(into)))
			add(&all->wrong);
	}
	free(want);
	add(&all->checked);
}

static void count_note(const struct kvx_note *note, void *arg)
{
	CHECK(note->bytes == 4 && !memcmp(note->data, "note", 4));
	add(arg);
}

static void one_transfer(struct kvx_agent *agent, const struct side *out, const struct side *mine,
			 const struct slot *peer)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	uint32_t from[BLOCKS], to[BLOCKS], nr = 0;
	const bool reads = rnd(2);
	struct kvx_xfer *xfer;
	int err;

	some_ids(from, &nr);
	some_ids(to, &nr);
	if (rnd(2)) {
		opts.note = "note";
		opts.note_bytes = 4;
		opts.note_worker_id = peer->in.worker_id;
	}
	add(&all->transfers);
	if (reads)
		err = kvx_transfer(agent, &xfer, peer->out, from, nr, mine->handle, to, nr, &opts);
	else
		err = kvx_transfer(agent, &xfer, out->handle, from, nr, peer->in, to, nr, &opts);
	if (err) {
		/* It may have gone, or take no notes: nothing else may be wrong. */
		if (err != -ESTALE && err != -ENOENT && err != -EAGAIN)
			FAIL("%s", kvx_last_error()->text);
		add(&all->refused);
		return;
	}
	if (!rnd(6))
		OK(kvx_xfer_cancel(xfer));
	if (!rnd(6)) {
		kvx_xfer_release(xfer);
		add(&all->early);
		return;
	}
	err = kvx_xfer_wait(xfer, KVX_FOREVER, NULL);
	kvx_xfer_release(xfer);
	if (err && err != -ECANCELED && err != -ESTALE)
		FAIL("%s", kvx_last_error()->text);
	add(err ? &all->early : &all->done);
	if (!err && reads)
		check_read(mine, from, to, nr, peer->who);
}

/* Until it is killed. */
static void work(int k)
{
	const bool large = rnd(2);
	struct kvx_layout_config config = standard(1 + rnd(4), BLOCKS);
	struct kvx_agent *agent = open_agent();
	struct side out, in, mine;
	struct slot peer;
	uint64_t who;

	/* Some of what is copied is large enough for the workers. */
	config.inner_dim = large ? 1024 : 128;
	who = __atomic_add_fetch(&all->who, 1, __ATOMIC_RELAXED) * 2 + large;
	out = make_side(agent, rnd(MEMORIES), config);
	fill(&out, who, 0);
	config.kind = 1 + rnd(4);
	in = make_side(agent, rnd(MEMORIES), config);
	mine = make_side(agent, rnd(MEMORIES), config);
	publish(k, agent, &out, &in, who);
	for (;;) {
		const int other = rnd(WORKERS);

		kvx_note_recv_all(agent, count_note, &all->notes);
		if (other == k || !look(other, &peer) || peer.who % 2 != who % 2)
			continue;
		kvx_import_metadata(agent, peer.blob, peer.bytes, NULL);
		one_transfer(agent, &out, &mine, &peer);
	}
}

static pid_t start(int k)
{
	const uint64_t child_seed = seed + 0x9e3779b97f4a7c15 * (1 + rnd(1 << 20));
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed = child_seed | 1;
	work(k);
	_exit(1);
}

TEST(killed_at_any_moment)
{
	const char *many = getenv("KILL_TRANSFERS"), *from = getenv("KILL_SEED");
	const uint64_t target = many ? strtoull(many, NULL, 0) :
				       (uint64_t)rounds(10000, 2000, 2000, 200000);
	struct kvx_agent *agent;
	pid_t pids[WORKERS];
	uint64_t next = 0, kills = 0;
	int status;

	seed = from ? strtoull(from, NULL, 0) : 20260101;
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(all != MAP_FAILED);
	for (int k = 0; k < WORKERS; k++)
		pids[k] = start(k);
	for (;;) {
		const uint64_t now = __atomic_load_n(&all->transfers, __ATOMIC_RELAXED);
		const int k = rnd(WORKERS);

		if (now >= target || __atomic_load_n(&all->wrong, __ATOMIC_RELAXED))
			break;
		if (now < next) {
			/* One that has ended by itself has found something wrong. */
			CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
			sched_yield();
			continue;
		}
		/* Some are killed before they have done anything. */
		next = now + rnd(60);
		kill(pids[k], SIGKILL);
		CHECK_EQ(waitpid(pids[k], &status, 0), pids[k]);
		CHECK(WIFSIGNALED(status));
		kills++;
		pids[k] = start(k);
	}
	for (int k = 0; k < WORKERS; k++)
		kill(pids[k], SIGKILL);
	while (waitpid(-1, &status, 0) > 0)
		;
	printf("# %llu transfers: %llu done (%llu read: right), %llu ended early, %llu refused;\n",
	       (unsigned long long)all->transfers, (unsigned long long)all->done,
	       (unsigned long long)all->checked, (unsigned long long)all->early,
	       (unsigned long long)all->refused);
	printf("# %llu notes; %llu processes killed\n", (unsigned long long)all->notes,
	       (unsigned long long)kills);
	CHECK_EQ(all->wrong, 0);
	CHECK(all->checked && all->notes && kills);
	CHECK(many || (all->early && all->refused));
	agent = open_agent();
	settle(agent);
	CHECK_EQ(query(agent).agents, 1);
	CHECK_EQ(query(agent).quota_pools_used, 0);
	kvx_close(agent);
}
