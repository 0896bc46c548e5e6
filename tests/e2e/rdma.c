// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks from node to node: layouts are exported on one and imported on the other, and read and
 * written by RDMA.
 * Nodes: 2
 * Time: 400
 * Lanes: uml uml-smp uml-debug debian-6.12
 * Cases: debian blocks_are_read_and_written devices_go_while_transfers_run
 * Emulated: soft-RoCE as the module of a stock kernel
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 300
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netlink.h"
#include "two.h"

#define BLOCKS	16

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void go(struct kvx_agent *agent, struct kvx_handle src, const uint32_t *src_ids,
	       struct kvx_handle dst, const uint32_t *dst_ids, size_t nr)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_xfer_exec(agent, src, src_ids, nr, dst, dst_ids, nr, NULL, &result));
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
}

static void read_and_write(enum memory memory, const struct kvx_layout_config *config)
{
	struct kvx_agent *agent = open_agent();
	struct side mine = make_side(agent, memory, *config);
	struct side shadow = make_side(agent, KERNEL, *config);
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_handle theirs;
	unsigned char *want;

	fill(&mine, node(), 0xa0 + node());
	/* What the other node has, as it has it before anything is moved. */
	fill(&shadow, 3 - node(), 0xa0 + 3 - node());
	if (node() == 2) {
		offer(&mine);
		meet();
		want = snapshot(&mine);
		expect(want, &shadow, &mine, ids + 12, ids + 1, 3, 0, 2);
		check_memory(&mine, want);
	} else {
		theirs = take(agent);
		/* This node's CPUs reach nothing of it. */
		opts.path = KVX_PATH_LOCAL;
		CHECK_EQ(kvx_xfer_exec(agent, theirs, ids, 1, mine.handle, ids, 1, &opts, NULL),
			 -EOPNOTSUPP);
		REASON(XFER_PATH);
		CHECK_EQ(kvx_xfer_exec(agent, mine.handle, ids, 1, theirs, ids, 1, &opts, NULL),
			 -EOPNOTSUPP);
		REASON(XFER_PATH);
		want = snapshot(&mine);
		expect(want, &shadow, &mine, ids, ids + 4, 4, 0, 2);
		go(agent, theirs, ids, mine.handle, ids + 4, 4);
		check_memory(&mine, want);
		go(agent, mine.handle, ids + 12, theirs, ids + 1, 3);
		meet();
	}
	meet();
	drop_side(&mine);
	drop_side(&shadow);
	kvx_close(agent);
}

TEST(blocks_are_read_and_written)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		rdma_up(type);
		for (int memory = 0; memory < MEMORIES; memory++)
			read_and_write(memory, &config);
		rdma_down();
	}
}

/* Refused imports: by name and place, and nothing stays behind. */
TEST(what_the_other_node_refuses_is_told_by_name)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct kvx_agent *agent = open_agent();
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvxfer_address address = { .family = AF_INET, .port = 19875 };
	struct kvxfer_import one = { .layout = 1 };
	struct kvxfer_layout_import cmd = {
		.hdr.size = sizeof(cmd), .imports = (uintptr_t)&one, .nr_imports = 1,
		.addresses = (uintptr_t)&address, .nr_addresses = 1,
	};
	struct {
		uint64_t boot_id, worker_id, epoch;
		unsigned char key[16];
	} told;
	struct kvx_grant grant;
	struct side mine;

	rdma_up("rxe");
	if (node() == 2) {
		mine = make_side(agent, KERNEL, config);
		opts.rights = KVX_GRANT_READ;
		OK(kvx_grant(agent, &grant, mine.handle, &opts));
		told.boot_id = query(agent).boot_id;
		told.worker_id = query(agent).worker_id;
		told.epoch = query(agent).epoch;
		memcpy(told.key, grant.key, sizeof(told.key));
		tell(&told, sizeof(told));
		meet();
		OK(kvx_revoke(agent, &grant));
		meet();
		meet();
		drop_side(&mine);
	} else {
		hear(&told, sizeof(told));
		cmd.boot_id = told.boot_id;
		cmd.worker_id = told.worker_id;
		cmd.epoch = told.epoch;
		memcpy(one.key, told.key, sizeof(one.key));
		memcpy(address.addr, "\12\115\0\2", 4);
#define REFUSED(err, why, at, change) do {						\
	struct kvxfer_layout_import was = cmd;						\
	struct kvxfer_address was_address = address;					\
	struct kvxfer_import was_one = one;						\
	change;										\
	CHECK(ioctl(kvx_fd(agent), KVXFER_IOC_LAYOUT_IMPORT, &cmd) == -1);		\
	CHECK_EQ(errno, err);								\
	CHECK_EQ(cmd.hdr.reason, KVXFER_REASON_##why);					\
	CHECK_EQ(cmd.hdr.index, at);							\
	cmd = was;									\
	address = was_address;								\
	one = was_one;									\
} while (0)
		REFUSED(EINVAL, PEER_ADDRESS, 0, address.family = 77);
		REFUSED(EINVAL, PEER_ADDRESS, 0, address.port = 0);
		REFUSED(EINVAL, PEER_ADDRESS, 0, address.reserved = 1);
		REFUSED(EINVAL, PEER_ADDRESS, 0, address.reserved2 = 1);
		REFUSED(EINVAL, PEER_ADDRESS, 0, address.addr[4] = 1);
		REFUSED(EINVAL, PEER_ADDRESS, 0, memset(address.addr, 0, 4));
		REFUSED(EINVAL, FIELD_UNUSED, offsetof(struct kvxfer_layout_import, reserved),
			cmd.reserved = 1);
		REFUSED(EINVAL, FIELD_UNUSED, offsetof(struct kvxfer_layout_import, reserved2),
			cmd.reserved2 = 1);
		REFUSED(EINVAL, PEER_RESERVED, 0, one.reserved = 1);
		REFUSED(ENOENT, PEER_LAYOUT, 0, one.layout = 0);
		REFUSED(ENOENT, PEER_LAYOUT, 0, one.layout = 2);
		REFUSED(EACCES, GRANT_KEY, 0, one.key[15] ^= 1);
		REFUSED(ESTALE, PEER_GONE, 0, cmd.worker_id++);
		REFUSED(ESTALE, PEER_EPOCH, 0, cmd.epoch++);
		/* There is a node there, but another one. */
		REFUSED(ESTALE, PEER_REBOOTED, 0, cmd.boot_id ^= 2);
		/* There is a node there, but nobody listens. */
		cmd.timeout_ns = 1000000000;
		REFUSED(EHOSTUNREACH, PEER_REMOTE, ECONNREFUSED,
			do { cmd.boot_id ^= 4; address.port = 4; } while (0));
		cmd.timeout_ns = 0;
		/* All is right. */
		if (ioctl(kvx_fd(agent), KVXFER_IOC_LAYOUT_IMPORT, &cmd))
			FAIL("errno %d, reason %u, index %u", errno, cmd.hdr.reason,
			     cmd.hdr.index);
		REFUSED(EEXIST, PEER_LOADED, 0, (void)0);
		OK(kvx_forget(agent, told.worker_id));
		meet();
		meet();
		REFUSED(EACCES, GRANT_KEY, 0, (void)0);
		meet();
	}
	kvx_close(agent);
	rdma_down();
}

/* What ended a transfer, or kept it from beginning, on the node that has imported. */
static void expect_stale(struct kvx_agent *agent, struct kvx_handle theirs, const struct side *mine)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	int err;

	/* Before its deadline it is known that there is nothing to wait for. */
	opts.deadline_ns = 90000000000;
	err = kvx_xfer_exec(agent, theirs, ids, 1, mine->handle, ids, 1, &opts, &result);

	if (!err && result.state == KVX_XFER_FAILED)
		err = -(int)result.error;
	if (err != -ESTALE)
		FAIL("error %d, state %u, reason %u", err, result.state, result.reason);
}

enum taking { REVOKE, UNREGISTER, KILL, TAKINGS };

/* The other's right is taken back in each way; the rest of what it has goes on. */
TEST(what_is_taken_back_is_used_no_more)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_BLOCK_FIRST, BLOCKS);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		rdma_up(type);
		for (int how = 0; how < TAKINGS; how++) {
			struct kvx_agent *agent = open_agent(), *other = open_agent();
			struct side mine = make_side(agent, KERNEL, config);
			struct side stays = make_side(other, KERNEL, config);
			struct kvx_handle theirs, stay;
			struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
			struct kvx_grant grant;
			size_t bytes;
			void *data;

			fill(&mine, 1, 0xee);
			fill(&stays, 2, 0xdd);
			if (node() == 2) {
				opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
				OK(kvx_grant(agent, &grant, mine.handle, &opts));
				OK(kvx_export_metadata(agent, &grant, 1, &data, &bytes));
				tell(data, bytes);
				free(data);
				offer(&stays);
				meet();
				if (how == REVOKE)
					OK(kvx_revoke(agent, &grant));
				if (how == UNREGISTER)
					OK(kvx_layout_unregister(agent, mine.handle));
				/* A mapping would keep it. */
				munmap(mine.mem, mine.bytes);
				if (how == KILL)
					kvx_close(agent);
				meet();
				meet();
				if (how != KILL)
					kvx_close(agent);
			} else {
				theirs = take(agent);
				stay = take(other);
				go(agent, theirs, ids, mine.handle, ids, 4);
				go(agent, mine.handle, ids, theirs, ids, 4);
				meet();
				meet();
				expect_stale(agent, theirs, &mine);
				go(other, stay, ids, stays.handle, ids, 4);
				meet();
				kvx_close(agent);
				munmap(mine.mem, mine.bytes);
			}
			kvx_close(other);
			munmap(stays.mem, stays.bytes);
			meet();
		}
		rdma_down();
	}
}

#define NOTES	2000

static void next_note(struct kvx_agent *agent, struct kvx_note *note)
{
	struct pollfd wait = { .fd = kvx_fd(agent), .events = POLLIN };
	int err;

	while ((err = kvx_note_recv(agent, note)) == -EAGAIN)
		CHECK_EQ(poll(&wait, 1, 30000), 1);
	CHECK_EQ(err, 0);
}

/* Notes alone and with transfers: each once, in order, after its data; more than fit at once. */
TEST(notes_cross_over)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_agent *agent = open_agent();
		struct side mine = make_side(agent, KERNEL, config);
		struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
		struct kvx_result result = KVX_RESULT_INIT;
		struct kvx_handle theirs;
		uint64_t word;
		int err;

		rdma_up(type);
		fill(&mine, node(), 0);
		if (node() == 2) {
			unsigned char *want;
			struct side shadow = make_side(agent, KERNEL, config);

			fill(&shadow, 1, 0);
			offer(&mine);
			for (uint64_t i = 0; i < NOTES; i++) {
				struct kvx_note note;

				next_note(agent, &note);
				CHECK_EQ(note.bytes, sizeof(word));
				memcpy(&word, note.data, sizeof(word));
				CHECK_EQ(word, i);
			}
			want = snapshot(&mine);
			for (uint32_t i = 0; i < 10; i++) {
				struct kvx_note note;

				next_note(agent, &note);
				CHECK(!memcmp(note.data, &i, sizeof(i)));
				expect(want, &shadow, &mine, ids + i, ids + i, 1, 0, 2);
				CHECK(!memcmp(region(&mine, i, 0, 0), region(&shadow, i, 0, 0),
					      region_bytes(&mine)));
			}
			check_memory(&mine, want);
			meet();
			drop_side(&shadow);
		} else {
			theirs = take(agent);
			for (word = 0; word < NOTES; word++)
				OK(kvx_note_send(agent, theirs.worker_id, &word, sizeof(word),
						 KVX_NOTE_WAIT));
			for (uint32_t i = 0; i < 10; i++) {
				opts.note = &i;
				opts.note_bytes = sizeof(i);
				/* As long as too many of the others have not been received. */
				while ((err = kvx_xfer_exec(agent, mine.handle, ids + i, 1, theirs,
							    ids + i, 1, &opts, &result)) == -EAGAIN)
					poll(NULL, 0, 1);
				CHECK_EQ(err, 0);
				CHECK_EQ(result.state, KVX_XFER_DONE);
			}
			meet();
		}
		drop_side(&mine);
		kvx_close(agent);
		rdma_down();
	}
}

/* Of all agents together so many notes wait at another node; then there is no room. */
#define CROWD		33
#define NOTES_EACH	256

TEST(notes_of_many_wait_and_none_is_lost)
{
	struct kvx_agent *agents[CROWD], *agent = open_agent();
	struct side mine = make_side(agent, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));
	struct kvx_handle theirs = {};
	struct kvx_note note;
	uint32_t i;

	rdma_up("rxe");
	if (node() == 2) {
		offer(&mine);
		meet();
		for (i = 0; i < CROWD * NOTES_EACH; i++)
			next_note(agent, &note);
		CHECK_EQ(kvx_note_recv(agent, &note), -EAGAIN);
	} else {
		hear_offer();
		for (int a = 0; a < CROWD; a++) {
			agents[a] = open_agent();
			theirs = take_heard(agents[a]);
		}
		for (int a = 0; a < CROWD - 1; a++)
			for (i = 0; i < NOTES_EACH; i++)
				OK(kvx_note_send(agents[a], theirs.worker_id, &i, sizeof(i), 0));
		CHECK_EQ(kvx_note_send(agents[CROWD - 1], theirs.worker_id, &i, sizeof(i), 0),
			 -EAGAIN);
		CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_NOTE_FULL);
		CHECK_EQ(kvx_last_error()->index, 0);
		meet();
		/* Who waits goes on when others' have been received. */
		for (i = 0; i < NOTES_EACH; i++)
			OK(kvx_note_send(agents[CROWD - 1], theirs.worker_id, &i, sizeof(i),
					 KVX_NOTE_WAIT));
	}
	meet();
	for (int a = 0; a < CROWD && node() == 1; a++)
		kvx_close(agents[a]);
	drop_side(&mine);
	kvx_close(agent);
	rdma_down();
}

/* Until there is one connection with a node; from when both know of all that were begun. */
static void await_one_rail(uint64_t boot_id)
{
	for (int i = 0; nl_rails(boot_id) != 1; i++) {
		if (i == 5000)
			FAIL("there are %u connections", nl_rails(boot_id));
		poll(NULL, 0, 2);
	}
}

static void ask_at_once(const char *type, const struct kvx_layout_config *config)
{
	struct kvx_agent *agent = open_agent();
	struct side mine = make_side(agent, KERNEL, *config);
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
	struct kvx_peer_info info = KVX_PEER_INFO_INIT;
	struct kvx_peer *peer;
	struct kvx_grant grant;
	size_t bytes;
	void *data;

	rdma_up(type);
	fill(&mine, node(), 0);
	opts.rights = KVX_GRANT_READ;
	OK(kvx_grant(agent, &grant, mine.handle, &opts));
	OK(kvx_export_metadata(agent, &grant, 1, &data, &bytes));
	if (node() == 1)
		tell(data, bytes);
	if (node() == 2) {
		size_t theirs = hear(blob, sizeof(blob));

		tell(data, bytes);
		bytes = theirs;
	} else {
		bytes = hear(blob, sizeof(blob));
	}
	free(data);
	meet();
	OK(kvx_import_metadata(agent, blob, bytes, &peer));
	OK(kvx_peer_layout(peer, 0, &layout));
	OK(kvx_peer_info(peer, &info));
	kvx_peer_free(peer);
	go(agent, layout.handle, ids, mine.handle, ids + 8, 8);
	/* Here both have asked, and the one who was not to has been told. */
	meet();
	await_one_rail(info.boot_id);
	meet();
	CHECK_EQ(nl_rails(info.boot_id), 1);
	go(agent, layout.handle, ids, mine.handle, ids + 8, 8);
	meet();
	drop_side(&mine);
	kvx_close(agent);
	rdma_down();
}

/* Both import each other at once: one connection serves both. They do not meet in it each time. */
TEST(both_ask_at_once)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++)
		for (int round = 0; round < 8; round++)
			ask_at_once(type, &config);
}

/* Be connected before there is anything to import; who comes then waits for nothing. */
TEST(a_node_is_connected_ahead)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_agent *agent = open_agent(), *own = open_agent();
		struct side mine = make_side(agent, KERNEL, config);
		struct kvx_handle theirs;
		size_t bytes;
		void *data;

		rdma_up(type);
		fill(&mine, node(), 0);
		if (node() == 2) {
			offer(&mine);
		} else {
			/* With this node there is nothing to do. */
			OK(kvx_export_metadata(own, NULL, 0, &data, &bytes));
			OK(kvx_connect(agent, data, bytes, 0));
			hear_offer();
			CHECK_EQ(kvx_connect(agent, blob, 10, 0), -EMSGSIZE);
			CHECK_EQ(kvx_connect(agent, data, 0, 0), -EMSGSIZE);
			free(data);
			/* Who is not to wait for that does not, either, to import. */
			while (kvx_import(own, blob, blob_bytes, 0, NULL)) {
				CHECK_EQ(kvx_last_error()->error, EAGAIN);
				REASON(PEER_CONNECTING);
				sched_yield();
			}
			while (kvx_connect(agent, blob, blob_bytes, 0)) {
				CHECK_EQ(kvx_last_error()->error, EAGAIN);
				REASON(PEER_CONNECTING);
				sched_yield();
			}
			OK(kvx_connect(agent, blob, blob_bytes, 1));
			OK(kvx_connect(own, blob, blob_bytes, 10000000000));
			theirs = take_heard(agent);
			go(agent, theirs, ids, mine.handle, ids, 4);
		}
		meet();
		drop_side(&mine);
		kvx_close(own);
		kvx_close(agent);
		rdma_down();
	}
}

/* What is on its way is of @blocks blocks of 128 KiB each. */
#define LARGE	48

static struct kvx_layout_config large(void)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, LARGE);

	config.page_size = 256;
	config.inner_dim = 64;
	return config;
}

enum cut { DEVICE_HERE, DEVICE_THERE, DEVICE_AND_BACK, CUTS };

/*
 * The device goes while transfers are under way: those end, by failing over to nothing within their
 * deadline, or, when it comes back in time, by being done with every byte in its place.
 */
static void add_device(const char *type)
{
	shell("rdma link add kvx0 type %s netdev %s", type, getenv("KVX_LAB_NIC"));
}

static void device_goes_there(struct side *mine, enum cut cut, const char *type)
{
	offer(mine);
	meet();
	if (cut != DEVICE_HERE)
		shell("rdma link delete kvx0");
	if (cut == DEVICE_AND_BACK)
		add_device(type);
	meet();
	if (cut == DEVICE_THERE)
		add_device(type);
}

static void device_goes_here(struct side *mine, enum cut cut, const char *type)
{
	const uint32_t state = cut == DEVICE_AND_BACK ? KVX_XFER_DONE : KVX_XFER_TIMEDOUT;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_handle theirs = take(mine->agent);
	struct kvx_xfer *xfers[2];
	unsigned char *before;
	uint32_t all[LARGE];

	for (uint32_t i = 0; i < LARGE; i++)
		all[i] = i;
	opts.deadline_ns = cut == DEVICE_AND_BACK ? 60000000000 : 2000000000;
	slow_lanes();
	OK(kvx_transfer(mine->agent, &xfers[0], theirs, all, LARGE / 2, mine->handle, all,
			LARGE / 2, &opts));
	OK(kvx_transfer(mine->agent, &xfers[1], mine->handle, all + LARGE / 2, LARGE / 2, theirs,
			all + LARGE / 2, LARGE / 2, &opts));
	meet();
	if (cut == DEVICE_HERE)
		shell("rdma link delete kvx0");
	if (cut == DEVICE_AND_BACK)
		let_lanes_go();
	for (int i = 0; i < 2; i++) {
		kvx_xfer_wait(xfers[i], KVX_FOREVER, &result);
		CHECK_EQ(result.state, state);
		kvx_xfer_release(xfers[i]);
	}
	let_lanes_go();
	/* Now nothing comes any more. */
	before = snapshot(mine);
	meet();
	if (cut == DEVICE_HERE)
		add_device(type);
	check_memory(mine, before);
	/* And it goes on by itself when the device is there again. */
	go(mine->agent, theirs, all, mine->handle, all, LARGE / 2);
	before = snapshot(mine);
	for (uint32_t r = 0; r < LARGE / 2 * 4; r++)
		fill_region(before + (region(mine, r / 4, r / 2 % 2, r % 2) - mine->mem),
			    region_bytes(mine), 2, r / 4, r / 2 % 2, r % 2);
	check_memory(mine, before);
}

TEST(devices_go_while_transfers_run)
{
	const struct kvx_layout_config config = large();
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		for (int cut = 0; cut < CUTS; cut++) {
			struct kvx_agent *agent = open_agent();
			struct side mine = make_side(agent, KERNEL, config);

			rdma_up(type);
			fill(&mine, node(), 0);
			if (node() == 2)
				device_goes_there(&mine, cut, type);
			else
				device_goes_here(&mine, cut, type);
			meet();
			drop_side(&mine);
			kvx_close(agent);
			rdma_down();
		}
	}
}

/* The module goes and comes on the other side: handles are stale; what is imported anew works. */
TEST(the_other_node_begins_anew)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_agent *agent = open_agent();
		struct side mine = make_side(agent, KERNEL, config);
		struct kvx_handle theirs;

		rdma_up(type);
		fill(&mine, node(), 0);
		if (node() == 2) {
			offer(&mine);
			meet();
			drop_side(&mine);
			kvx_close(agent);
			shell("rmmod kvxfer && insmod $KVX_LAB_MODULE");
			agent = open_agent();
			mine = make_side(agent, KERNEL, config);
			fill(&mine, node(), 0);
			meet();
			offer(&mine);
			meet();
		} else {
			theirs = take(agent);
			go(agent, theirs, ids, mine.handle, ids, 4);
			meet();
			meet();
			expect_stale(agent, theirs, &mine);
			CHECK_EQ(kvx_connect(agent, blob, blob_bytes, KVX_FOREVER), -ESTALE);
			REASON(PEER_REBOOTED);
			theirs = take(agent);
			go(agent, theirs, ids, mine.handle, ids, 4);
			meet();
		}
		meet();
		drop_side(&mine);
		kvx_close(agent);
		rdma_down();
	}
}
