// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts of other agents: grants, keys, metadata, import, revoke, and agents that go.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "blocks.h"

#define BLOCKS	16

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static struct kvx_layout_config config_of(uint32_t inner_dim)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);

	config.inner_dim = inner_dim;
	return config;
}

static struct kvx_grant grant(struct side *side, uint32_t rights, uint32_t first, uint32_t nr)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant out;

	opts.rights = rights;
	opts.first_block = first;
	opts.nr_blocks = nr;
	OK(kvx_grant(side->agent, &out, side->handle, &opts));
	return out;
}

static int import(struct kvx_agent *to, struct kvx_agent *from, const struct kvx_grant *grants,
		  size_t nr)
{
	size_t bytes;
	void *blob;
	int err;

	OK(kvx_export_metadata(from, grants, nr, &blob, &bytes));
	CHECK_EQ(bytes, 120 + 72 * nr);
	err = kvx_import_metadata(to, blob, bytes, NULL);
	free(blob);
	return err;
}

static void all_gone(void)
{
	struct kvx_agent *agent = open_agent();

	settle(agent);
	kvx_close(agent);
}

TEST(an_agent_reads_and_writes_what_it_was_granted)
{
	for (int from = 0; from < MEMORIES; from++) {
		struct kvx_agent *a = open_agent(), *b = open_agent();
		struct side theirs = make_side(a, from, config_of(128));
		struct side mine = make_side(b, KERNEL, config_of(128));
		struct kvx_grant granted = grant(&theirs, KVX_GRANT_READ | KVX_GRANT_WRITE, 0, 0);
		struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
		struct kvx_peer_info info = KVX_PEER_INFO_INIT;
		struct kvx_peer *peer;
		unsigned char *want;
		size_t bytes;
		void *blob;

		fill(&theirs, 1, 0xaa);
		fill(&mine, 2, 0xbb);
		OK(kvx_set_name(a, "prefill-0"));
		OK(kvx_export_metadata(a, &granted, 1, &blob, &bytes));
		OK(kvx_import_metadata(b, blob, bytes, &peer));
		free(blob);
		OK(kvx_peer_info(peer, &info));
		CHECK(!strcmp(info.name, "prefill-0"));
		CHECK_EQ(info.worker_id, query(a).worker_id);
		CHECK_EQ(info.epoch, query(a).epoch);
		CHECK_EQ(info.boot_id, query(a).boot_id);
		CHECK_EQ(info.layouts, 1);
		OK(kvx_peer_layout(peer, 0, &layout));
		CHECK_EQ(layout.handle.worker_id, theirs.handle.worker_id);
		CHECK_EQ(layout.handle.rest, theirs.handle.rest);
		CHECK_EQ(layout.num_blocks, BLOCKS);
		CHECK_EQ(layout.num_layers, 2);
		CHECK_EQ(layout.outer_dim, 2);
		CHECK_EQ(layout.page_size, 16);
		CHECK_EQ(layout.inner_dim, 128);
		CHECK_EQ(layout.dtype_width, 2);
		CHECK_EQ(layout.format, KVX_FORMAT_NHD);
		CHECK_EQ(layout.region_bytes, 4096);
		CHECK_EQ(layout.rights, KVX_GRANT_READ | KVX_GRANT_WRITE);
		CHECK_EQ(layout.nr_blocks, BLOCKS);
		CHECK_EQ(kvx_peer_layout(peer, 1, &layout), -ENOENT);
		kvx_peer_free(peer);

		want = snapshot(&mine);
		expect(want, &theirs, &mine, ids, ids + 4, 4, 0, 2);
		copy_blocks(&theirs, &mine, ids, ids + 4, 4, NULL);
		check_memory(&mine, want);
		want = snapshot(&theirs);
		expect(want, &mine, &theirs, ids + 8, ids, 2, 0, 2);
		OK(kvx_xfer_exec(b, mine.handle, ids + 8, 2, theirs.handle, ids, 2, NULL, NULL));
		check_memory(&theirs, want);
		drop_side(&mine);
		drop_side(&theirs);
		kvx_close(a);
		kvx_close(b);
		all_gone();
	}
}

/* Its range was pinned by another process, which is not asked any more. */
static int other_process(void *arg)
{
	int *fds = arg;
	struct kvx_agent *agent;
	struct kvx_grant granted;
	struct side side;
	size_t bytes;
	void *blob;
	char byte;

	close(fds[3]);
	agent = open_agent();
	side = make_side(agent, USER, config_of(128));
	fill(&side, 42, 0);
	granted = grant(&side, KVX_GRANT_READ | KVX_GRANT_WRITE, 0, 0);
	OK(kvx_export_metadata(agent, &granted, 1, &blob, &bytes));
	CHECK_EQ(write(fds[1], blob, bytes), (ssize_t)bytes);
	CHECK_EQ(write(fds[1], &side.handle, sizeof(side.handle)), sizeof(side.handle));
	CHECK_EQ(read(fds[2], &byte, 1), 1);
	/* What was written to it is there. */
	for (uint64_t i = 0; i < 4096; i++)
		CHECK_EQ(region(&side, 9, 1, 1)[i], byte_of(42, 3, 1, 1, i));
	return 0;
}

TEST(memory_of_another_process_is_reached)
{
	struct kvx_agent *agent = open_agent();
	struct side mine = make_side(agent, USER, config_of(128));
	unsigned char blob[192];
	struct kvx_handle handle;
	int to[2], from[2], fds[4], status;
	pid_t pid;

	CHECK(!pipe(from) && !pipe(to));
	memcpy(fds, from, sizeof(from));
	memcpy(fds + 2, to, sizeof(to));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(other_process(fds));
	close(from[1]);
	CHECK_EQ(read(from[0], blob, sizeof(blob)), sizeof(blob));
	CHECK_EQ(read(from[0], &handle, sizeof(handle)), sizeof(handle));
	OK(kvx_import_metadata(agent, blob, sizeof(blob), NULL));
	OK(kvx_xfer_exec(agent, handle, ids + 3, 1, mine.handle, ids + 5, 1, NULL, NULL));
	for (uint64_t i = 0; i < 4096; i++)
		CHECK_EQ(region(&mine, 5, 0, 1)[i], byte_of(42, 3, 0, 1, i));
	OK(kvx_xfer_exec(agent, mine.handle, ids + 5, 1, handle, ids + 9, 1, NULL, NULL));
	CHECK_EQ(write(to[1], "!", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	drop_side(&mine);
	kvx_close(agent);
	all_gone();
}

TEST(a_grant_is_what_it_says_and_no_more)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct side theirs = make_side(a, KERNEL, config_of(128));
	struct side mine = make_side(b, KERNEL, config_of(128));
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant granted, other;
	struct kvx_xfer *xfer;

	opts.rights = 0;
	CHECK_EQ(kvx_grant(a, &granted, theirs.handle, &opts), -EINVAL);
	REASON(GRANT_RIGHTS);
	opts.rights = 4;
	CHECK_EQ(kvx_grant(a, &granted, theirs.handle, &opts), -EINVAL);
	REASON(GRANT_RIGHTS);
	opts.rights = KVX_GRANT_READ;
	opts.first_block = BLOCKS;
	CHECK_EQ(kvx_grant(a, &granted, theirs.handle, &opts), -EINVAL);
	REASON(GRANT_BLOCKS);
	opts.first_block = BLOCKS - 1;
	opts.nr_blocks = 2;
	CHECK_EQ(kvx_grant(a, &granted, theirs.handle, &opts), -EINVAL);
	REASON(GRANT_BLOCKS);
	CHECK_EQ(kvx_grant(b, &granted, theirs.handle, NULL), -ESTALE);

	/* Nothing was imported: the handle alone is worth nothing. */
	CHECK_EQ(kvx_xfer_prep(b, &xfer, theirs.handle, ids, 1, mine.handle, ids, 1, NULL),
		 -ENOENT);
	REASON(HANDLE_UNKNOWN);
	granted = grant(&theirs, KVX_GRANT_READ, 4, 4);
	other = granted;
	other.key[15] ^= 1;
	CHECK_EQ(import(b, a, &other, 1), -EACCES);
	REASON(GRANT_KEY);
	OK(import(b, a, &granted, 1));
	OK(kvx_xfer_exec(b, theirs.handle, ids + 4, 4, mine.handle, ids, 4, NULL, NULL));
	CHECK_EQ(kvx_xfer_prep(b, &xfer, theirs.handle, ids + 3, 2, mine.handle, ids, 2, NULL),
		 -EINVAL);
	REASON(XFER_SRC_RANGE);
	CHECK_EQ(kvx_last_error()->index, 0);
	CHECK_EQ(kvx_xfer_prep(b, &xfer, theirs.handle, ids + 7, 2, mine.handle, ids, 2, NULL),
		 -EINVAL);
	REASON(XFER_SRC_RANGE);
	CHECK_EQ(kvx_last_error()->index, 1);
	CHECK_EQ(kvx_xfer_prep(b, &xfer, mine.handle, ids, 1, theirs.handle, ids + 4, 1, NULL),
		 -EACCES);
	REASON(XFER_RIGHTS);
	CHECK_EQ(kvx_last_error()->index, 1);
	OK(kvx_forget(b, theirs.handle.worker_id));
	CHECK_EQ(kvx_forget(b, theirs.handle.worker_id), -ENOENT);
	REASON(PEER_UNKNOWN);

	/* For writing only. */
	granted = grant(&theirs, KVX_GRANT_WRITE, 0, 0);
	OK(import(b, a, &granted, 1));
	CHECK_EQ(kvx_xfer_prep(b, &xfer, theirs.handle, ids, 1, mine.handle, ids, 1, NULL),
		 -EACCES);
	REASON(XFER_RIGHTS);
	CHECK_EQ(kvx_last_error()->index, 0);
	OK(kvx_forget(b, theirs.handle.worker_id));

	/* Its time is over. */
	opts = (struct kvx_grant_opts)KVX_GRANT_OPTS_INIT;
	opts.expires_ns = 1;
	OK(kvx_grant(a, &granted, theirs.handle, &opts));
	OK(import(b, a, &granted, 1));
	CHECK_EQ(kvx_transfer(b, &xfer, theirs.handle, ids, 1, mine.handle, ids, 1, NULL),
		 -EKEYEXPIRED);
	REASON(GRANT_EXPIRED);

	/* So many, and no more; they go with their layout. */
	for (int i = 0; i < KVXFER_GRANTS_MAX - 3; i++)
		grant(&theirs, KVX_GRANT_READ, 0, 0);
	/* The one whose time is over makes room. */
	grant(&theirs, KVX_GRANT_READ, 0, 0);
	CHECK_EQ(kvx_grant(a, &granted, theirs.handle, NULL), -ENOSPC);
	REASON(GRANT_MANY);
	drop_side(&mine);
	drop_side(&theirs);
	kvx_close(a);
	kvx_close(b);
	all_gone();
}

/* What runs when a grant's time is over ends then; what is revoked, at once. */
TEST(what_is_taken_back_is_used_no_more)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct side theirs = make_side(a, KERNEL, config_of(2048));
	struct side mine = make_side(b, KERNEL, config_of(2048));
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_grant granted, kept;
	struct kvx_xfer *xfer, *own;
	unsigned char *then;

	hold_copies();
	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	opts.expires_ns = 50000000;
	OK(kvx_grant(a, &granted, theirs.handle, &opts));
	OK(import(b, a, &granted, 1));
	OK(kvx_xfer_prep(b, &xfer, mine.handle, ids, BLOCKS, theirs.handle, ids, BLOCKS, NULL));
	/* Late, on a slow machine; then there is nothing to see here. */
	if (!kvx_xfer_post(xfer)) {
		CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ETIMEDOUT);
		REASON(XFER_DEADLINE);
		kvx_xfer_release(xfer);
		OK(kvx_xfer_prep(b, &xfer, mine.handle, ids, 1, theirs.handle, ids, 1, NULL));
		CHECK_EQ(kvx_xfer_post(xfer), -EKEYEXPIRED);
	}
	REASON(GRANT_EXPIRED);
	CHECK_EQ(kvx_last_error()->index, 1);
	kvx_xfer_release(xfer);
	OK(kvx_forget(b, theirs.handle.worker_id));

	granted = grant(&theirs, KVX_GRANT_READ | KVX_GRANT_WRITE, 0, 0);
	kept = grant(&theirs, KVX_GRANT_READ, 0, 0);
	OK(import(b, a, &granted, 1));
	OK(kvx_transfer(b, &xfer, mine.handle, ids, BLOCKS, theirs.handle, ids, BLOCKS, NULL));
	OK(kvx_transfer(a, &own, theirs.handle, ids, 8, theirs.handle, ids + 8, 8, NULL));
	let_copies_go(1);
	while (kvx_xfer_check(xfer) == KVX_XFER_RUNNING && !theirs.mem[theirs.bases[0]])
		sched_yield();
	OK(kvx_revoke(a, &granted));
	/* It was cut off, or it was done before. */
	CHECK(kvx_xfer_check(xfer) == KVX_XFER_FAILED || kvx_xfer_check(xfer) == KVX_XFER_DONE);
	then = snapshot(&theirs);
	if (kvx_xfer_check(xfer) == KVX_XFER_FAILED) {
		CHECK_EQ(kvx_xfer_wait(xfer, 0, NULL), -ESTALE);
		REASON(XFER_CUT);
	} else {
		CHECK_EQ(kvx_xfer_post(xfer), -ESTALE);
		REASON(HANDLE_STALE);
		CHECK_EQ(kvx_last_error()->index, 1);
	}
	/* The owner's own goes on. */
	OK(kvx_xfer_wait(own, KVX_FOREVER, NULL));
	free(then);
	CHECK_EQ(kvx_transfer(b, &own, theirs.handle, ids, 1, mine.handle, ids, 1, NULL), -ESTALE);
	REASON(HANDLE_STALE);
	CHECK_EQ(kvx_revoke(a, &granted), -ENOENT);
	REASON(GRANT_KEY);
	kvx_xfer_release(xfer);
	/* Another grant of the same is another. */
	OK(kvx_forget(b, theirs.handle.worker_id));
	OK(import(b, a, &kept, 1));
	OK(kvx_xfer_exec(b, theirs.handle, ids, 1, mine.handle, ids, 1, NULL, NULL));
	let_copies_go(256);
	drop_side(&mine);
	drop_side(&theirs);
	kvx_close(a);
	kvx_close(b);
	all_gone();
}

TEST(the_same_agent_is_imported_once_and_a_new_one_in_its_place)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct side theirs = make_side(a, KERNEL, config_of(128)), again;
	struct side mine = make_side(b, KERNEL, config_of(128));
	struct kvx_grant granted = grant(&theirs, KVX_GRANT_READ, 0, 0);
	const uint64_t worker_id = query(a).worker_id;
	struct kvx_xfer *xfer;
	size_t bytes;
	void *blob;

	OK(kvx_export_metadata(a, &granted, 1, &blob, &bytes));
	OK(kvx_import_metadata(b, blob, bytes, NULL));
	CHECK_EQ(kvx_import_metadata(b, blob, bytes, NULL), -EEXIST);
	REASON(PEER_LOADED);
	CHECK_EQ(kvx_import_metadata(a, blob, bytes, NULL), -EINVAL);
	REASON(PEER_SELF);
	OK(kvx_xfer_prep(b, &xfer, theirs.handle, ids, 1, mine.handle, ids, 1, NULL));
	OK(kvx_xfer_post(xfer));

	/* It goes, and its memory with it, whatever others have prepared. */
	munmap(theirs.mem, theirs.bytes);
	kvx_close(a);
	while (query(b).pool_bytes != mine.bytes)
		sched_yield();
	CHECK_EQ(kvx_xfer_post(xfer), -ESTALE);
	REASON(HANDLE_STALE);
	kvx_xfer_release(xfer);
	CHECK_EQ(kvx_transfer(b, &xfer, theirs.handle, ids, 1, mine.handle, ids, 1, NULL), -ESTALE);
	REASON(HANDLE_STALE);
	OK(kvx_forget(b, worker_id));
	CHECK_EQ(kvx_import_metadata(b, blob, bytes, NULL), -ESTALE);
	REASON(PEER_GONE);

	/* It comes back: its old metadata is of no use, and its new takes the place. */
	a = open_agent();
	OK(kvx_set_worker_id(a, worker_id));
	CHECK_EQ(kvx_import_metadata(b, blob, bytes, NULL), -ESTALE);
	REASON(PEER_EPOCH);
	free(blob);
	again = make_side(a, KERNEL, config_of(128));
	granted = grant(&again, KVX_GRANT_READ, 0, 0);
	OK(import(b, a, &granted, 1));
	CHECK_EQ(kvx_transfer(b, &xfer, theirs.handle, ids, 1, mine.handle, ids, 1, NULL), -ESTALE);
	REASON(HANDLE_STALE);
	OK(kvx_xfer_exec(b, again.handle, ids, 1, mine.handle, ids, 1, NULL, NULL));
	/* Without forgetting the one before, too. */
	munmap(again.mem, again.bytes);
	kvx_close(a);
	a = open_agent();
	OK(kvx_set_worker_id(a, worker_id));
	theirs = make_side(a, KERNEL, config_of(128));
	granted = grant(&theirs, KVX_GRANT_READ, 0, 0);
	OK(import(b, a, &granted, 1));
	CHECK_EQ(kvx_transfer(b, &xfer, again.handle, ids, 1, mine.handle, ids, 1, NULL), -ESTALE);
	OK(kvx_xfer_exec(b, theirs.handle, ids, 1, mine.handle, ids, 1, NULL, NULL));
	drop_side(&theirs);
	drop_side(&mine);
	kvx_close(a);
	kvx_close(b);
	all_gone();
}

TEST(so_many_agents_are_imported_and_no_more)
{
	struct kvx_agent *b = open_agent(), *a;
	uint64_t first = 0;

	for (int i = 0; i < KVXFER_PEERS_MAX; i++) {
		a = open_agent();
		if (!i)
			first = query(a).worker_id;
		OK(import(b, a, NULL, 0));
		kvx_close(a);
	}
	a = open_agent();
	CHECK_EQ(import(b, a, NULL, 0), -ENOSPC);
	REASON(PEER_MANY);
	OK(kvx_forget(b, first));
	OK(import(b, a, NULL, 0));
	kvx_close(a);
	kvx_close(b);
}

/* Nobody is there: it goes on to be wanted. */
TEST(so_many_nodes_are_connected_with_and_no_more)
{
	struct kvxfer_address nowhere = {
		.family = AF_INET, .port = 19875, .addr = { 192, 0, 2, 1 },
	};
	struct kvxfer_peer_connect connect = {
		.hdr.size = sizeof(connect), .hdr.flags = KVXFER_PEER_CONNECT_NOWAIT,
		.addresses = (uintptr_t)&nowhere, .nr_addresses = 1,
	};
	struct kvx_agent *agent = open_agent();

	for (int i = 1; i <= KVXFER_CONNECTS_MAX + 1; i++) {
		connect.boot_id = 1000 + i;
		CHECK_EQ(ioctl(kvx_fd(agent), KVXFER_IOC_PEER_CONNECT, &connect), -1);
		if (i <= KVXFER_CONNECTS_MAX && errno == ENOSPC)
			FAIL("the node number %d is too many", i);
	}
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(connect.hdr.reason, KVXFER_REASON_PEER_MANY);
	CHECK_EQ(connect.hdr.index, KVXFER_CONNECTS_MAX);
	/* How far another one is can still be asked. */
	connect.boot_id = 1001;
	CHECK_EQ(ioctl(kvx_fd(agent), KVXFER_IOC_PEER_CONNECT, &connect), -1);
	CHECK(errno != ENOSPC);
	kvx_close(agent);
}

TEST(what_cannot_be_imported_is_refused_by_name)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct side theirs = make_side(a, KERNEL, config_of(128));
	struct kvx_grant granted = grant(&theirs, KVX_GRANT_READ, 0, 0);
	struct kvxfer_import imports[2] = { { .layout = kvx_handle_layout_id(theirs.handle) } };
	struct kvxfer_layout_import cmd = {
		.hdr.size = sizeof(cmd), .boot_id = query(a).boot_id,
		.worker_id = query(a).worker_id, .epoch = query(a).epoch,
		.imports = (uintptr_t)imports, .nr_imports = 1,
	};
	unsigned char *bytes;
	size_t nr;
	void *blob;

	memcpy(imports[0].key, granted.key, sizeof(granted.key));
	imports[1] = imports[0];
#define REFUSED(err, why, at, change) do {						\
	struct kvxfer_layout_import was = cmd;						\
	change;										\
	CHECK(ioctl(kvx_fd(b), KVXFER_IOC_LAYOUT_IMPORT, &cmd) == -1);			\
	CHECK_EQ(errno, err);								\
	CHECK_EQ(cmd.hdr.reason, KVXFER_REASON_##why);					\
	CHECK_EQ(cmd.hdr.index, at);							\
	cmd = was;									\
} while (0)
	REFUSED(EHOSTUNREACH, PEER_REMOTE, EADDRNOTAVAIL, cmd.boot_id++);
	REFUSED(EINVAL, PEER_LAYOUTS, KVXFER_IMPORT_MAX, cmd.nr_imports = KVXFER_IMPORT_MAX + 1);
	REFUSED(EINVAL, PEER_LAYOUT, 1, cmd.nr_imports = 2);
	imports[1].layout++;
	REFUSED(ENOENT, PEER_LAYOUT, 1, cmd.nr_imports = 2);
	imports[1].reserved = 1;
	REFUSED(EINVAL, PEER_RESERVED, 1, cmd.nr_imports = 2);
	cmd.imports = 8;
	CHECK(ioctl(kvx_fd(b), KVXFER_IOC_LAYOUT_IMPORT, &cmd) == -1 && errno == EFAULT);
#undef REFUSED
	/* Nothing of it has stayed. */
	OK(kvx_export_metadata(a, &granted, 1, &blob, &nr));
	bytes = blob;
	CHECK_EQ(kvx_import_metadata(b, "something else", 14, NULL), -EINVAL);
	CHECK(strstr(kvx_last_error()->text, "[MAGIC]"));
	CHECK_EQ(kvx_import_metadata(b, blob, nr - 1, NULL), -EMSGSIZE);
	CHECK(strstr(kvx_last_error()->text, "[TRUNCATED]"));
	bytes[30] ^= 1;
	CHECK_EQ(kvx_import_metadata(b, blob, nr, NULL), -EBADMSG);
	CHECK(strstr(kvx_last_error()->text, "[CRC]"));
	bytes[30] ^= 1;
	bytes[4] = 2;
	CHECK_EQ(kvx_import_metadata(b, blob, nr, NULL), -EPROTONOSUPPORT);
	CHECK(strstr(kvx_last_error()->text, "[NEWER]"));
	bytes[4] = 1;
	OK(kvx_import_metadata(b, blob, nr, NULL));
	free(blob);
	/* An agent without layouts can be imported, too. */
	OK(import(a, b, NULL, 0));
	drop_side(&theirs);
	kvx_close(a);
	kvx_close(b);
	all_gone();
}

static void *unregister(void *arg)
{
	struct side *side = arg;

	OK(kvx_layout_unregister_flags(side->agent, side->handle, KVX_UNREGISTER_WAIT));
	return NULL;
}

TEST(an_owner_is_not_held_up_by_others)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct side theirs = make_side(a, KERNEL, config_of(2048));
	struct side mine = make_side(b, KERNEL, config_of(2048));
	struct kvx_grant granted = grant(&theirs, KVX_GRANT_READ, 0, 0);
	struct kvx_xfer *idle, *xfer;
	pthread_t thread;

	OK(import(b, a, &granted, 1));
	OK(kvx_xfer_prep(b, &idle, theirs.handle, ids, 1, mine.handle, ids, 1, NULL));
	hold_copies();
	OK(kvx_transfer(b, &xfer, theirs.handle, ids, BLOCKS, mine.handle, ids, BLOCKS, NULL));
	CHECK_EQ(kvx_layout_unregister(a, theirs.handle), -EBUSY);
	REASON(LAYOUT_BUSY);
	CHECK_EQ(kvx_last_error()->index, 2);
	CHECK(!pthread_create(&thread, NULL, unregister, &theirs));
	/* While it waits, nobody can begin anew. */
	while (kvx_xfer_post(idle) != -ESTALE)
		CHECK_EQ(kvx_xfer_wait(idle, KVX_FOREVER, NULL), 0);
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_RUNNING);
	CHECK_EQ(kvx_grant(a, &granted, theirs.handle, NULL), -ESTALE);
	let_copies_go(256);
	CHECK(!pthread_join(thread, NULL));
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL));
	CHECK_EQ(stat_of(theirs.pool).layouts, 0);
	kvx_xfer_release(xfer);
	kvx_xfer_release(idle);
	drop_side(&mine);
	drop_side(&theirs);
	kvx_close(a);
	kvx_close(b);
	all_gone();
}
