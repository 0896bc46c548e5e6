// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages from node to node: sent and received both ways, in order, too long, canceled, late, by
 * rails that go, and to agents and nodes that do.
 * Nodes: 2
 * Time: 400
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 200
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ends.h"
#include "two.h"

/* This node's end, and of the other node's its id. */
static struct end here, there;

/* An agent of this node for the other, and the other's for this one. */
static void know_each_other(void)
{
	size_t bytes;
	void *data;

	OK(kvx_export_metadata(here.agent, NULL, 0, &data, &bytes));
	if (node() == 1) {
		tell(data, bytes);
		hear_offer();
	} else {
		hear_offer();
		tell(data, bytes);
	}
	free(data);
}

static void meet_end(void)
{
	struct kvx_peer_info info = KVX_PEER_INFO_INIT;
	struct kvx_peer *peer;

	OK(kvx_import_metadata(here.agent, blob, blob_bytes, &peer));
	OK(kvx_peer_info(peer, &info));
	there.id = info.worker_id;
	kvx_peer_free(peer);
}

static void begin(void)
{
	here = make_end();
	path_of_all = KVX_PATH_RDMA;
	know_each_other();
	meet_end();
}

/* What was lent to the other node has been given back, and the pools with it. */
static void end(void)
{
	meet();
	drop_end(&here);
	meet();
	for (unsigned int i = 0; !system("rdma resource show mr | grep -q kvx"); i++) {
		CHECK(i < patient(10000));
		poll(NULL, 0, 2);
	}
	close_and_settle(open_agent());
}

static void swap_ends(struct end *with)
{
	const struct end was = here;

	here = *with;
	*with = was;
}

static void one_way(int from, uint64_t bytes, uint64_t at, bool room_first)
{
	const uint64_t to = 4096 + at * 3;
	unsigned char *want;

	if (node() == from) {
		if (room_first)
			meet();
		well(sends(&here, &there, at, bytes), bytes);
		if (!room_first)
			meet();
	} else {
		struct kvx_xfer *recv = NULL;

		memset(here.mem, 0xee, ROOM);
		want = malloc(ROOM);
		CHECK(want);
		for (uint64_t i = 0; i < ROOM; i++)
			want[i] = ((at + i) * 2654435761ULL + from) >> 7;
		recv = receives(&here, &there, to, bytes + at % 2);
		meet();
		well(recv, bytes);
		check_bytes(want, &here, to, bytes);
		free(want);
		fill_bytes(here.mem, node());
	}
	meet();
}

TEST(bytes_of_any_number_go_both_ways)
{
	static const uint64_t sizes[] = { 1, 4095, 4097, 70000, MIB + 1, 5 * MIB + 12345 };
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		rdma_up(type);
		begin();
		fill_bytes(here.mem, node());
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			/* Who sends first waits in the other node, or finds room there. */
			one_way(1 + i % 2, sizes[i], i * 577, true);
			one_way(2 - i % 2, sizes[i], i * 577 + 1, true);
		}
		end();
		rdma_down();
	}
}

#define MANY	100

/* Messages come before there is room for them, and room before messages. */
TEST(what_is_sent_meets_room_for_it_in_order)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_xfer *out[MANY], *in[MANY];

		rdma_up(type);
		begin();
		for (uint64_t i = 0; i < MANY; i++)
			memcpy(here.mem + i * 8, &(uint64_t){ node() * 1000 + i }, 8);
		for (int i = 0; i < MANY / 2; i++)
			out[i] = sends(&here, &there, i * 8, 8);
		meet();
		for (int i = 0; i < MANY; i++)
			in[i] = receives(&here, &there, 65536 + i * 8, 8);
		meet();
		for (int i = MANY / 2; i < MANY; i++)
			out[i] = sends(&here, &there, i * 8, 8);
		for (int i = 0; i < MANY; i++) {
			well(out[i], 8);
			well(in[i], 8);
		}
		for (uint64_t i = 0; i < MANY; i++)
			CHECK(!memcmp(here.mem + 65536 + i * 8,
				      &(uint64_t){ (3 - node()) * 1000 + i }, 8));
		end();
		rdma_down();
	}
}

TEST(what_cannot_be_is_told_by_name)
{
	struct kvx_msg_opts opts = KVX_MSG_OPTS_INIT;
	struct kvx_xfer *xfer;

	rdma_up("rxe");
	begin();
	opts.path = KVX_PATH_LOCAL;
	CHECK_EQ(kvx_msg_send(here.agent, &xfer, there.id, here.pool, 0, 1, &opts), -EOPNOTSUPP);
	REASON(XFER_PATH);
	opts.path = KVX_PATH_RDMA;
	opts.epoch = 1;
	CHECK_EQ(kvx_msg_send(here.agent, &xfer, there.id, here.pool, 0, 1, &opts), -ENOENT);
	REASON(MSG_AGENT);
	fill_bytes(here.mem, node());
	meet();
	if (node() == 1) {
		struct kvx_xfer *next;

		xfer = sends(&here, &there, 0, 5000);
		next = sends(&here, &there, 0, 4999);
		BADLY(xfer, FAILED, EMSGSIZE, MSG_TRUNCATED);
		CHECK_EQ(result.index, 5);
		well(next, 4999);
		/* Late on its own account: the other never hears of it. */
		opts.epoch = 0;
		opts.deadline_ns = 1000000;
		OK(kvx_msg_send(here.agent, &xfer, there.id, here.pool, 0, 100, &opts));
		BADLY(xfer, TIMEDOUT, ETIMEDOUT, XFER_DEADLINE);
		meet();
		well(sends(&here, &there, 7, 50), 50);
	} else {
		memset(here.mem, 0xee, ROOM);
		BADLY(receives(&here, &there, 0, 4999), FAILED, EMSGSIZE, MSG_TRUNCATED);
		CHECK_EQ(result.index, 5);
		CHECK(here.mem[0] == 0xee && here.mem[4998] == 0xee);
		well(receives(&here, &there, 0, 4999), 4999);
		meet();
		well(receives(&here, &there, 0, 4999), 50);
	}
	end();
	rdma_down();
}

/* From its end on nothing is written, whoever ends it. */
static void cancel_one(int who, bool release)
{
	struct kvx_xfer *xfer;

	/* It is node 2 that reads: there it has begun, and does not end. */
	if (node() == 2) {
		hold_lanes();
		memset(here.mem, 0xee, ROOM);
		xfer = receives(&here, &there, 0, MIB);
	} else {
		xfer = sends(&here, &there, 0, MIB);
	}
	if (node() == 2)
		/* The message is there when what was sent behind it is. */
		while (kvx_note_recv(here.agent, &(struct kvx_note){}) == -EAGAIN)
			sched_yield();
	else
		OK(kvx_note_send(here.agent, there.id, "x", 1, 0));
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_RUNNING);
	meet();
	if (node() != who) {
		if (who == 1)
			BADLY(xfer, FAILED, ECANCELED, MSG_WITHDRAWN);
		else
			BADLY(xfer, FAILED, ECANCELED, MSG_REFUSED);
	} else if (release) {
		kvx_xfer_release(xfer);
	} else {
		OK(kvx_xfer_cancel(xfer));
		BADLY(xfer, CANCELED, ECANCELED, XFER_CANCELED);
	}
	meet();
	if (node() == 2) {
		let_lanes_go();
		well(receives(&here, &there, MIB, 1000), 1000);
		for (uint64_t i = 0; i < MIB; i++)
			CHECK_EQ(here.mem[i], 0xee);
	} else {
		well(sends(&here, &there, 0, 1000), 1000);
	}
	meet();
}

TEST(who_cancels_ends_both)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		rdma_up(type);
		begin();
		cancel_one(1, false);
		cancel_one(2, false);
		cancel_one(1, true);
		cancel_one(2, true);
		/* Before they have met: nobody hears of it. */
		for (int who = 1; who <= 2; who++) {
			struct kvx_xfer *first, *xfer;

			if (node() == who) {
				first = sends(&here, &there, 0, 10);
				OK(kvx_xfer_cancel(first));
				BADLY(first, CANCELED, ECANCELED, XFER_CANCELED);
				meet();
				well(sends(&here, &there, 0, 11), 11);
			} else {
				meet();
				well(receives(&here, &there, 0, 12), 11);
				first = receives(&here, &there, 0, 10);
				OK(kvx_xfer_cancel(first));
				BADLY(first, CANCELED, ECANCELED, XFER_CANCELED);
				xfer = receives(&here, &there, 0, 13);
				meet();
				well(xfer, 13);
			}
			if (node() == who) {
				meet();
				well(sends(&here, &there, 0, 13), 13);
			}
			meet();
		}
		end();
		rdma_down();
	}
}

/* This node's end is a child's now, which has nothing else to do. */
static pid_t give_away(void)
{
	const pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	drop_end(&here);
	return pid;
}

#define WAITING	5

TEST(an_agent_that_goes_is_not_waited_for)
{
	const char *type;
	pid_t pid;

	for (int t = 0; (type = rdma_type(t)); t++) {
		rdma_up(type);
		begin();
		if (node() == 1) {
			struct kvx_xfer *out = sends(&here, &there, 0, 10), *in[WAITING];

			for (int i = 0; i < WAITING; i++)
				in[i] = receives(&here, &there, 0, 10);
			meet();
			for (int i = 0; i < WAITING; i++)
				CHECK_EQ(kvx_xfer_check(in[i]), KVX_XFER_RUNNING);
			meet();
			BADLY(out, FAILED, ESTALE, PEER_GONE);
			for (int i = 0; i < WAITING; i++)
				BADLY(in[i], FAILED, ESTALE, PEER_GONE);
			/* And what is sent to it then, or would have come from it. */
			BADLY(sends(&here, &there, 0, 10), FAILED, ESTALE, PEER_GONE);
			for (int i = 0; i < 2; i++)
				BADLY(receives(&here, &there, 0, 10), FAILED, ESTALE, PEER_GONE);
		} else {
			pid = give_away();
			meet();
			meet();
			kill(pid, SIGKILL);
			CHECK_EQ(waitpid(pid, NULL, 0), pid);
			here = make_end();
		}
		/* The one that comes in its place is another. */
		know_each_other();
		meet_end();
		if (node() == 1)
			well(receives(&here, &there, 0, 10), 10);
		else
			well(sends(&here, &there, 0, 10), 10);
		end();
		rdma_down();
	}
}

/* Who waits for one of several waits for that one. */
TEST(who_waits_for_another_agent_goes_on)
{
	struct end second;
	uint64_t ids[2];

	rdma_up("rxe");
	begin();
	if (node() == 1) {
		struct kvx_xfer *in[2];

		ids[0] = there.id;
		hear_offer();
		meet_end();
		ids[1] = there.id;
		for (int i = 0; i < 2; i++)
			OK(kvx_msg_recv(here.agent, &in[i], ids[i], here.pool, 0, 10, NULL));
		meet();
		BADLY(in[0], FAILED, ESTALE, PEER_GONE);
		CHECK_EQ(kvx_xfer_check(in[1]), KVX_XFER_RUNNING);
		meet();
		well(in[1], 10);
	} else {
		size_t bytes;
		void *data;

		second = make_end();
		/* It has to know who it sends to. */
		swap_ends(&second);
		meet_end();
		OK(kvx_export_metadata(here.agent, NULL, 0, &data, &bytes));
		tell(data, bytes);
		free(data);
		swap_ends(&second);
		meet();
		drop_end(&here);
		here = second;
		meet();
		well(sends(&here, &there, 0, 10), 10);
	}
	end();
	rdma_down();
}

/* Who has sent something may go as soon as that is done: it was received. */
/*
 * An agent here has the worker_id of one of the other node, and both are imported: neither is taken
 * for the other, and the bare number means nobody.
 */
TEST(two_agents_of_one_number_are_not_taken_for_each_other)
{
	static struct kvx_note note;
	struct side side, twin_side;
	struct kvx_grant grant;
	struct kvx_agent *twin;
	struct kvx_handle far;
	struct kvx_xfer *xfer;
	uint32_t id = 0;
	size_t bytes;
	void *data;

	rdma_up("rxe");
	if (node() == 2) {
		side = make_side(open_agent(), KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4));
		memset(side.mem, 2, side.bytes);
		offer(&side);
		meet();
		/* Just what was meant for it. */
		OK(kvx_note_recv(side.agent, &note));
		CHECK_EQ(note.data[0], 'f');
		CHECK_EQ(kvx_note_recv(side.agent, &note), -EAGAIN);
		meet();
		drop_side(&side);
		close_and_settle(side.agent);
		rdma_down();
		return;
	}
	here = make_end();
	hear_offer();
	far = take_heard(here.agent);
	twin = open_agent();
	OK(kvx_set_worker_id(twin, far.worker_id));
	twin_side = make_side(twin, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4));
	memset(twin_side.mem, 1, twin_side.bytes);
	CHECK_EQ(kvx_note_send(here.agent, far.worker_id, "?", 1, 0), -ENOTUNIQ);
	REASON(WORKER_ID_AMBIGUOUS);
	CHECK_EQ(kvx_last_error()->index, 2);
	CHECK_EQ(kvx_msg_send(here.agent, &xfer, far.worker_id, here.pool, 0, 8, NULL), -ENOTUNIQ);
	REASON(WORKER_ID_AMBIGUOUS);
	CHECK_EQ(kvx_msg_recv(here.agent, &xfer, far.worker_id, here.pool, 0, 8, NULL), -ENOTUNIQ);
	REASON(WORKER_ID_AMBIGUOUS);
	OK(kvx_note_send_handle(here.agent, far, "f", 1, 0));
	CHECK_EQ(kvx_note_recv(twin, &note), -EAGAIN);
	OK(kvx_note_send_handle(here.agent, twin_side.handle, "n", 1, 0));
	OK(kvx_note_recv(twin, &note));
	CHECK_EQ(note.data[0], 'n');
	/* Imported, the one does not take the place of the other. */
	OK(kvx_grant(twin, &grant, twin_side.handle, NULL));
	OK(kvx_export_metadata(twin, &grant, 1, &data, &bytes));
	OK(kvx_import_metadata(here.agent, data, bytes, NULL));
	free(data);
	side = make_side(here.agent, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4));
	OK(kvx_xfer_exec(here.agent, far, &id, 1, side.handle, &id, 1, NULL, NULL));
	CHECK_EQ(*region(&side, 0, 0, 0), 2);
	OK(kvx_xfer_exec(here.agent, twin_side.handle, &id, 1, side.handle, &id, 1, NULL, NULL));
	CHECK_EQ(*region(&side, 0, 0, 0), 1);
	/* An agent that has the number itself can use the other's handles, too. */
	OK(kvx_import_metadata(twin, blob, blob_bytes, NULL));
	OK(kvx_xfer_exec(twin, far, &id, 1, twin_side.handle, &id, 1, NULL, NULL));
	CHECK_EQ(*region(&twin_side, 0, 0, 0), 2);
	CHECK_EQ(kvx_forget(here.agent, far.worker_id), -ENOTUNIQ);
	REASON(WORKER_ID_AMBIGUOUS);
	OK(kvx_forget_on(here.agent, far.worker_id, query(here.agent).boot_id));
	CHECK_EQ(kvx_xfer_exec(here.agent, twin_side.handle, &id, 1, side.handle, &id, 1, NULL,
			       NULL), -ESTALE);
	OK(kvx_xfer_exec(here.agent, far, &id, 1, side.handle, &id, 1, NULL, NULL));
	CHECK_EQ(*region(&side, 0, 0, 0), 2);
	OK(kvx_forget(here.agent, far.worker_id));
	CHECK_EQ(kvx_forget(here.agent, far.worker_id), -ENOENT);
	meet();
	meet();
	drop_side(&twin_side);
	kvx_close(twin);
	drop_side(&side);
	drop_end(&here);
	close_and_settle(open_agent());
	rdma_down();
}

TEST(who_goes_when_it_has_sent_has_sent)
{
	rdma_up("rxe");
	for (int i = 0; i < 30; i++) {
		begin();
		if (node() == 1) {
			struct kvx_xfer *in = receives(&here, &there, 0, 10);

			meet();
			well(in, 10);
		} else {
			meet();
			well(sends(&here, &there, 0, 10), 10);
			drop_end(&here);
		}
		meet();
		if (node() == 1)
			drop_end(&here);
	}
	here = make_end();
	end();
	rdma_down();
}

/* In the midst of it: it goes on by the other rail, and ends well. */
TEST(what_a_rail_loses_goes_by_another)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_xfer *out, *in;

		be_hasty(true);
		rdma_up_twice(type);
		begin();
		fill_bytes(here.mem, node());
		hold_lanes();
		meet();
		in = receives(&here, &there, 4 * MIB, 2 * MIB);
		out = sends(&here, &there, 0, 2 * MIB);
		slow_lanes();
		meet();
		if (node() == 1)
			shell("rdma link delete kvx0");
		let_lanes_go();
		well(in, 2 * MIB);
		well(out, 2 * MIB);
		for (uint64_t i = 0; i < 2 * MIB; i++)
			CHECK_EQ(here.mem[4 * MIB + i],
				 (unsigned char)((i * 2654435761ULL + 3 - node()) >> 7));
		if (node() == 1)
			shell("rdma link add kvx0 type %s netdev %s", type,
			      getenv("KVX_LAB_NIC"));
		end();
		rdma_down();
		be_hasty(false);
	}
}

/* A node that begins anew takes nothing of what was sent to it, and sends nothing. */
TEST(a_node_that_goes_is_not_waited_for)
{
	struct kvx_xfer *out, *in, *met;

	rdma_up("rxe");
	begin();
	if (node() == 1) {
		hold_lanes();
		met = receives(&here, &there, 0, 10);
		out = sends(&here, &there, 0, 10);
		in = receives(&here, &there, 0, 10);
		meet();
		meet();
		/* Its agent went first. */
		BADLY(met, FAILED, ECANCELED, MSG_WITHDRAWN);
		let_lanes_go();
		BADLY(out, FAILED, ESTALE, PEER_GONE);
		BADLY(in, FAILED, ESTALE, PEER_GONE);
	} else {
		sends(&here, &there, 0, 10);
		meet();
		drop_end(&here);
		shell("rmmod kvxfer && insmod $KVX_LAB_MODULE");
		here = make_end();
		meet();
	}
	know_each_other();
	meet_end();
	if (node() == 1)
		well(sends(&here, &there, 0, 10), 10);
	else
		well(receives(&here, &there, 0, 10), 10);
	end();
	rdma_down();
}

#define FLIGHT	16
#define ROUNDS	20

/* Many at once, both ways, of all sizes. */
TEST(many_are_on_their_way_at_once)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_xfer *out[FLIGHT], *in[FLIGHT];

		rdma_up(type);
		begin();
		fill_bytes(here.mem, node());
		for (int round = 0; round < ROUNDS; round++) {
			memset(here.mem + ROOM / 2, 0xee, ROOM / 2);
			for (int i = 0; i < FLIGHT; i++) {
				const uint64_t bytes = 1 + (round * FLIGHT + i) * 7919 % 200000;

				in[i] = receives(&here, &there, ROOM / 2 + i * 204800, bytes);
				out[i] = sends(&here, &there, i * 204800 + i, bytes);
			}
			for (int i = 0; i < FLIGHT; i++) {
				const uint64_t bytes = 1 + (round * FLIGHT + i) * 7919 % 200000;
				const uint64_t from = i * 204800 + i;

				well(out[i], bytes);
				well(in[i], bytes);
				for (uint64_t b = 0; b < 204800; b++) {
					unsigned char want = ((from + b) * 2654435761ULL + 3 -
							      node()) >> 7;

					CHECK_EQ(here.mem[ROOM / 2 + i * 204800 + b],
						 b < bytes ? want : 0xee);
				}
			}
			meet();
		}
		end();
		rdma_down();
	}
}
