// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that cannot be had where nobody asks: allocations of the kernel's own workers fail, which
 * connect two nodes and take what comes from the other. Whatever is under way meanwhile goes on, or
 * is told by an errno; what should arrive does, nothing is left, and when there is memory again all
 * goes on, by the same module.
 * Nodes: 2
 * Labs: uml-debug
 * Time: 300
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 280
#include <dirent.h>

#include "netlink.h"
#include "scarce.h"

/* The first half is for the other to read, the second for it to write. */
#define BLOCKS		16
#define HALF		(BLOCKS / 2)
#define MESSAGE		70001
#define SECOND		1000000000ULL
/* As many as one may have sent that were not received. */
#define NOTES_OUT	256
/* What of one kind a worker allocates in a round is far less. */
#define POINTS_MAX	100
#define REMAKES		12

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/*
 * Of which kinds allocations fail. Not of those that packets are in: soft-RoCE takes one that it
 * cannot make for the end of the queue pair, of that, too, by which all connections are made; or
 * for one that was sent.
 */
static const char *const caches[] = {
	"radix_tree_node", "kmalloc-256", "kmalloc-2k", "kmalloc-4k", "kmalloc-cg-8",
	"kmalloc-cg-16", "kmalloc-cg-32", "kmalloc-cg-64", "kmalloc-cg-96", "kmalloc-cg-128",
	"kmalloc-cg-192", "kmalloc-cg-256", "kmalloc-cg-512", "kmalloc-cg-1k",
};

/* And these, but not while a queue pair is made: vmalloc() complains if it has none. */
static const char *const small_caches[] = {
	"kmalloc-8", "kmalloc-16", "kmalloc-32", "kmalloc-64", "kmalloc-96", "kmalloc-128",
	"kmalloc-192",
};

/**
 * struct want - which allocations of workers fail in a round
 * @cache: of this kind only; NULL: of all in @caches
 * @node: on this node only; 0: on both
 * @skip: not the first ones
 * @interval: then each of so many
 * @times: until so many have
 */
struct want {
	const char *cache;
	int node, skip, interval, times;
};

/* Nothing fails: all must go well. */
static const struct want none;

/* The agent of this node that stays, with what the other may reach, and room for messages. */
static struct kvx_agent *home;
static struct side given;
static struct kvx_pool *post;
static unsigned char *letters;
/* The other's. */
static struct told theirs;
/* And one that has imported what the other has from the beginning to the end. */
static struct kvx_agent *guest_for_long;
static struct side copy;

/* How a round went: what the other has to know of it. */
struct outcome {
	int wrote, sent, notes, felt;
};

static uint64_t notes_sent, last_note;
static int this_round, ended_well, ended_badly, felt;

/*
 * --- want ---------------------------------------------------------------------------------------
 */

static void set_knob(const char *name, long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", value);
	knob("failslab", name, text);
}

static void choose(const char *pid, const char *value)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/make-it-fail", pid);
	fd = open(path, O_WRONLY);
	/* A worker that has nothing to do may have gone. */
	if (fd >= 0 && write(fd, value, strlen(value)) < 0)
		CHECK_EQ(errno, ESRCH);
	if (fd >= 0)
		close(fd);
}

/* Of which tasks allocations fail: of all workers, and of those that will be made. */
static void choose_workers(bool fail)
{
	const char *value = fail ? "1" : "0";
	struct dirent *entry;
	char path[64], name[32];
	int workers = 0;
	DIR *dir;
	FILE *f;

	/* What makes them; they have it from there. */
	choose("2", value);
	dir = opendir("/proc");
	CHECK(dir);
	while ((entry = readdir(dir))) {
		if (!atoi(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%.16s/comm", entry->d_name);
		f = fopen(path, "r");
		if (f && fgets(name, sizeof(name), f) && !strncmp(name, "kworker/", 8)) {
			choose(entry->d_name, value);
			workers++;
		}
		if (f)
			fclose(f);
	}
	closedir(dir);
	CHECK(workers);
	knob("failslab", "task-filter", fail ? "Y" : "N");
	knob("failslab", "cache-filter", fail ? "Y" : "N");
}

static void choose_cache(const char *name, bool fail)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/failslab", name);
	put_file(path, fail ? "1" : "0");
}

static void choose_caches(const char *only, bool fail)
{
	if (only) {
		choose_cache(only, fail);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++)
		choose_cache(caches[i], fail);
}

static bool is_here(const struct want *want)
{
	return want->times && (!want->node || want->node == node());
}

static void begin_want(const struct want *want)
{
	char path[96];
	long space = 0;

	if (!is_here(want))
		return;
	choose_caches(want->cache, true);
	/* So many bytes can be had first. */
	if (want->skip) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/object_size", want->cache);
		space = want->skip * proc_value(path) + 1;
	}
	set_knob("space", space);
	set_knob("times", want->times);
	set_knob("interval", want->interval);
	set_knob("probability", 100);
}

/* How many allocations have failed. */
static int end_want(const struct want *want)
{
	int nr;

	if (!is_here(want))
		return 0;
	set_knob("probability", 0);
	choose_caches(want->cache, false);
	nr = want->times - proc_value("/sys/kernel/debug/failslab/times");
	felt += nr;
	return nr;
}

/*
 * --- what is under way --------------------------------------------------------------------------
 */

static uint64_t who(int node)
{
	return node * 1000 + this_round;
}

/* What each has to say to the other. */
static void exchange(const void *mine, void *other, size_t bytes)
{
	if (node() == 1) {
		tell(mine, bytes);
		CHECK_EQ(hear(other, bytes), bytes);
	} else {
		CHECK_EQ(hear(other, bytes), bytes);
		tell(mine, bytes);
	}
}

/* Where a connection is made anew all the time, there may be none in time. Else nothing is late. */
static uint64_t deadline_ns(const struct want *want)
{
	return want->times > 1 ? 2 * SECOND : 60 * SECOND;
}

/* Count it, and see that it is one that may be. */
static bool well(int err, const char *what, const struct want *want)
{
	if (err && !want->times)
		FAIL("%s, with memory: errno %d: %s", what, -err, kvx_last_error()->text);
	if (want->times == 1 && (err == -ETIMEDOUT || err == -EHOSTUNREACH))
		FAIL("%s waits for its deadline: errno %d, %s-%d on node %d", what, -err,
		     want->cache, want->skip, want->node);
	if (sound(err))
		ended_badly++;
	else
		ended_well++;
	return !err;
}

/* It has a deadline: it ends. */
static bool ends_well(struct kvx_xfer *xfer, const char *what, const struct want *want)
{
	struct kvx_result result = KVX_RESULT_INIT;
	int err = kvx_xfer_wait(xfer, 120 * SECOND, &result);

	if (err == -ETIME)
		FAIL("%s hangs in state %s", what, kvx_state_name(kvx_xfer_check(xfer)));
	CHECK_EQ(!err, result.state == KVX_XFER_DONE);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	kvx_xfer_release(xfer);
	return well(err, what, want);
}

static bool blocks_are(const struct side *side, uint32_t first, uint64_t by)
{
	const uint64_t bytes = region_bytes(side);
	unsigned char *want = malloc(bytes);
	bool same = true;

	CHECK(want);
	for (uint32_t b = first; b < first + HALF; b++)
		for (uint32_t lo = 0; lo < 4; lo++) {
			fill_region(want, bytes, by, b, lo / 2, lo % 2);
			same &= !memcmp(want, region(side, b, lo / 2, lo % 2), bytes);
		}
	free(want);
	return same;
}

/* NULL when what was imported is no more. */
static struct kvx_xfer *begin_transfer(struct kvx_agent *agent, struct kvx_handle src,
				       struct kvx_handle dst, const uint32_t *blocks,
				       const struct want *want)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_xfer *xfer = NULL;

	opts.deadline_ns = deadline_ns(want);
	well(kvx_transfer(agent, &xfer, src, blocks, HALF, dst, blocks, HALF, &opts),
	     "a transfer", want);
	return xfer;
}

/* An agent comes, imports, reads, writes, and goes. Returns whether it has written. */
static bool come_and_go(const struct told *told, const struct want *want)
{
	const struct kvx_handle far = { told->worker_id, told->rest };
	struct kvx_agent *guest = open_agent();
	struct kvx_xfer *read, *write;
	unsigned char *after;
	bool wrote = false;
	struct side mine;

	mine = make_side(guest, KERNEL, standard(1 + this_round % 4, BLOCKS));
	fill(&mine, who(node()), 0);
	if (well(import_told(guest, told, true, deadline_ns(want)), "an import", want)) {
		read = begin_transfer(guest, far, mine.handle, ids, want);
		write = begin_transfer(guest, mine.handle, far, ids + HALF, want);
		if (read && ends_well(read, "a read", want))
			CHECK(blocks_are(&mine, 0, who(3 - node())));
		/* Nothing comes once it has ended. */
		after = snapshot(&mine);
		wrote = write && ends_well(write, "a write", want);
		check_memory(&mine, after);
	}
	drop_side(&mine);
	kvx_close(guest);
	return wrote;
}

static unsigned char letter(int node, int i)
{
	return node * 31 + this_round * 7 + i + (i >> 8);
}

/* A message to the other, and one from it, both on their way. */
static void begin_messages(struct kvx_xfer **recv, struct kvx_xfer **send,
			   const struct want *want)
{
	struct kvx_msg_opts opts = KVX_MSG_OPTS_INIT;

	opts.deadline_ns = deadline_ns(want);
	for (int i = 0; i < MESSAGE; i++)
		letters[i] = letter(node(), i);
	memset(letters + MIB, 0, MESSAGE);
	OK(kvx_msg_recv(home, recv, theirs.worker_id, post, MIB, MESSAGE, &opts));
	OK(kvx_msg_send(home, send, theirs.worker_id, post, 0, MESSAGE, &opts));
}

static void send_note(struct outcome *outcome)
{
	const uint64_t number = ++notes_sent;

	OK(kvx_note_send(home, theirs.worker_id, &number, sizeof(number), 0));
	outcome->notes++;
}

/* They come in order, and none is left out, whatever happens on their way. */
static void notes_arrive(int nr)
{
	struct pollfd wait = { .fd = kvx_fd(home), .events = POLLIN };
	struct kvx_note note;
	uint64_t number;

	while (nr--) {
		while (kvx_note_recv(home, &note))
			CHECK_EQ(poll(&wait, 1, 60000), 1);
		CHECK_EQ(note.worker_id, theirs.worker_id);
		CHECK_EQ(note.bytes, sizeof(number));
		memcpy(&number, note.data, sizeof(number));
		CHECK_EQ(number, ++last_note);
	}
}

/* However the connection was lost, it is there again; and whatever waits for it goes on. */
static void be_connected(void)
{
	struct kvx_agent *guest = open_agent();

	CHECK_EQ(import_told(guest, &theirs, false, 60 * SECOND), 0);
	kvx_close(guest);
}

/* What was imported before is as good as ever, whatever of it was lost meanwhile. */
static void what_was_imported_works(void)
{
	const struct kvx_handle far = { theirs.worker_id, theirs.rest };

	memset(copy.mem, 0, copy.bytes);
	CHECK(ends_well(begin_transfer(guest_for_long, far, copy.handle, ids, &none),
			"a read of what was imported before", &none));
	CHECK(blocks_are(&copy, 0, who(3 - node())));
}

/* Returns whether something failed, on whichever node. */
static bool one_round(const struct want *want, bool remake)
{
	/* What is read meanwhile costs the connection: not where that is to stay until it fails. */
	const bool early = ++this_round % 3 == 0 && want->times && !want->node;
	struct outcome outcome = {}, other;
	struct kvx_xfer *recv, *send;
	struct kvx_grant grant;
	struct told mine, told;

	fill(&given, who(node()), 0xa5);
	mine = grant_side(&given, &grant);
	exchange(&mine, &told, sizeof(mine));
	begin_want(want);
	/* It is made anew as soon as somebody wants it, which is at once. */
	if (remake && node() == 1 + this_round % 2) {
		nl_set_rails(told.boot_id, true);
		nl_set_rails(told.boot_id, false);
	}
	begin_messages(&recv, &send, want);
	send_note(&outcome);
	outcome.wrote = come_and_go(&told, want);
	/* The other may be at it. */
	if (early)
		OK(kvx_revoke(home, &grant));
	send_note(&outcome);
	meet();
	outcome.felt = end_want(want);
	be_connected();
	what_was_imported_works();
	outcome.sent = ends_well(send, "a message that is sent", want);
	/* When this has come, too, no connection is about to end. */
	send_note(&outcome);
	exchange(&outcome, &other, sizeof(outcome));
	notes_arrive(other.notes);
	/* What has not been sent is not received; it may have ended by that already. */
	if (!other.sent)
		kvx_xfer_cancel(recv);
	if (ends_well(recv, "a message that is received", want))
		for (int i = 0; i < MESSAGE; i++)
			CHECK_EQ(letters[MIB + i], letter(3 - node(), i));
	if (!early)
		OK(kvx_revoke(home, &grant));
	CHECK(blocks_are(&given, 0, who(node())));
	if (other.wrote)
		CHECK(blocks_are(&given, HALF, who(3 - node())));
	meet();
	return outcome.felt || other.felt;
}

/* Each allocation of one kind in a round fails once. */
static void fail_each(const char *cache, int on)
{
	struct want want = { .cache = cache, .node = on, .interval = 1, .times = 1 };

	while (one_round(&want, false))
		CHECK(++want.skip < POINTS_MAX);
}

/*
 * --- what is left -------------------------------------------------------------------------------
 */

/* Of all that were received the sender has been told: for as many as may be there is room. */
static void all_notes_are_done(void)
{
	for (int i = 0; i < NOTES_OUT; i++) {
		const uint64_t number = ++notes_sent;

		OK(kvx_note_send(home, theirs.worker_id, &number, sizeof(number), KVX_NOTE_WAIT));
	}
	meet();
	notes_arrive(NOTES_OUT);
	meet();
}

static uint32_t of_peer(uint16_t attr)
{
	struct nl_message msg = nl_message(nl_family(), KVXFER_NL_CMD_PEER_GET);

	nl_put(&msg, KVXFER_NL_PEER_BOOT_ID, &theirs.boot_id, sizeof(theirs.boot_id));
	CHECK_EQ(nl_ask(&msg), 0);
	return *(const uint32_t *)nl_get(&msg, attr);
}

/* What one has of the other, and lets it have, is no more. */
static void nothing_is_held(void)
{
	for (int i = 0; of_peer(KVXFER_NL_PEER_LAYOUTS) || of_peer(KVXFER_NL_PEER_SERVED); i++) {
		if (i == 5000)
			FAIL("%u layouts are had, %u are served",
			     of_peer(KVXFER_NL_PEER_LAYOUTS), of_peer(KVXFER_NL_PEER_SERVED));
		poll(NULL, 0, 2);
	}
	meet();
	/* Nobody wants it, so it stays cut. */
	if (node() == 1)
		nl_set_rails(theirs.boot_id, true);
	while (nl_rails(theirs.boot_id))
		sched_yield();
	if (node() == 1)
		nl_set_rails(theirs.boot_id, false);
	meet();
}

static char held_at_first[256];

static void begin(void)
{
	struct kvx_grant grant;
	struct told mine;

	put_param("connect_ms", "1000");
	rdma_up("rxe");
	held_by_device(held_at_first, sizeof(held_at_first));
	home = open_agent();
	given = make_side(home, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	OK(kvx_pool_create(home, &post, 2 * MIB, NULL));
	OK(kvx_pool_map(post, (void **)&letters, 0, 0, KVX_POOL_WRITE));
	notes_sent = 0;
	last_note = 0;
	felt = 0;
	ended_well = 0;
	ended_badly = 0;
	mine = grant_side(&given, &grant);
	/* Nobody asks the other before it has looked. */
	exchange(&mine, &theirs, sizeof(mine));
	CHECK_EQ(import_told(home, &theirs, false, 60 * SECOND), 0);
	guest_for_long = open_agent();
	copy = make_side(guest_for_long, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	CHECK_EQ(import_told(guest_for_long, &theirs, true, 60 * SECOND), 0);
	/* What is made once for all is there. */
	one_round(&none, false);
	sleeping_allocations("failslab");
	choose_workers(true);
}

static void end(void)
{
	choose_workers(false);
	printf("# %d allocations failed; %d ended well, %d badly\n", felt, ended_well,
	       ended_badly);
	/* Else nothing was tried. */
	CHECK(felt);
	meet();
	one_round(&none, false);
	all_notes_are_done();
	drop_side(&copy);
	kvx_close(guest_for_long);
	meet();
	drop_side(&given);
	OK(kvx_pool_unmap(letters, 2 * MIB));
	kvx_pool_close(post);
	close_and_settle(home);
	meet();
	nothing_is_held();
	check_held(held_at_first);
	rdma_down();
	put_param("connect_ms", "10000");
}

/* One at a time, where there is a connection: then nothing waits until its time is over. */
TEST(every_allocation_of_workers_fails_once)
{
	begin();
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++)
		fail_each(caches[i], 0);
	/* When it has failed at one end, the other's may be as it was when a queue pair is made. */
	for (size_t i = 0; i < ARRAY_SIZE(small_caches); i++)
		for (int on = 1; on <= 2; on++)
			fail_each(small_caches[i], on);
	end();
}

/* Many, at both ends, while they connect. */
TEST(connections_are_made_with_little_memory)
{
	static const int often[] = { 2, 4, 8, 16 };
	struct want want = {};

	begin();
	for (int i = 0; i < REMAKES; i++) {
		want.times = often[i % ARRAY_SIZE(often)];
		want.interval = 1 + i * 5 % 17;
		one_round(&want, true);
	}
	end();
}

/*
 * A second rail comes while node 1 has no memory once; then the first goes, so that what was
 * imported by it has to go by the second. Returns whether something failed.
 */
static bool second_rail_takes_over(const struct want *want)
{
	bool failed = false;
	uint32_t first;

	meet();
	begin_want(want);
	shell("rdma link add kvx1 type rxe netdev %s", getenv("KVX_LAB_NIC2"));
	meet();
	if (node() == 2) {
		offer(&given);
		meet();
	} else {
		hear_offer();
		while (of_peer(KVXFER_NL_PEER_READY) < 2)
			if (kvx_connect(guest_for_long, blob, blob_bytes, 0))
				sched_yield();
		first = nl_rail(theirs.boot_id, "kvx0", 0).id;
		CHECK_EQ(nl_set_rail(theirs.boot_id, first, true), 0);
		what_was_imported_works();
		failed = end_want(want);
		CHECK_EQ(nl_set_rail(theirs.boot_id, first, false), 0);
		meet();
	}
	shell("rdma link delete kvx1");
	return failed;
}

/* Who cannot keep the keys of what it has imported long ago asks for them again. */
TEST(keys_that_there_was_no_memory_for_come_later)
{
	struct want want = { .cache = "kmalloc-cg-8", .node = 1, .interval = 1, .times = 1 };
	bool failed = true, told;

	begin();
	for (; failed; want.skip++) {
		CHECK(want.skip < POINTS_MAX);
		failed = second_rail_takes_over(&want);
		exchange(&failed, &told, sizeof(failed));
		failed |= told;
		felt += told;
	}
	end();
}
