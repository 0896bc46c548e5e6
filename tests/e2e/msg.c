// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages on one node: sent and received, in order, too long, canceled, late, and left alone.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>

#include "ends.h"

TEST(bytes_of_any_number_go_from_any_place_to_any)
{
	static const uint64_t sizes[] = {
		1, 4095, 4096, 4097, 65536, MIB + 1, 3 * MIB + 12345, ROOM - 8192
	};
	struct end a = make_end(), b = make_end();
	struct kvx_xfer *send, *recv;

	fill_bytes(a.mem, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (int first = 0; first < 2; first++) {
			const uint64_t from = i * 577 + first, to = i * 1021;

			memset(b.mem, 0xee, ROOM);
			/* With room for more than comes. */
			if (first)
				recv = receives(&b, &a, to, sizes[i] + (i % 2) * 900);
			send = sends(&a, &b, from, sizes[i]);
			CHECK_EQ(kvx_xfer_bytes(send), sizes[i]);
			if (!first)
				recv = receives(&b, &a, to, sizes[i] + (i % 2) * 900);
			well(recv, sizes[i]);
			well(send, sizes[i]);
			check_bytes(a.mem + from, &b, to, sizes[i]);
		}
	}
	/* All of a pool; and to oneself. */
	well((send = sends(&a, &b, 0, ROOM), receives(&b, &a, 0, ROOM)), ROOM);
	well(send, ROOM);
	check_bytes(a.mem, &b, 0, ROOM);
	send = sends(&a, &a, 0, 100);
	well(receives(&a, &a, 200, 100), 100);
	well(send, 100);
	CHECK(!memcmp(a.mem, a.mem + 200, 100));
	drop_end(&a);
	drop_end(&b);
}

#define MANY	200

/* Each pair has an order of its own, whoever comes first. */
TEST(what_is_sent_meets_room_for_it_in_order)
{
	struct end a = make_end(), b = make_end(), c = make_end();
	struct kvx_xfer *from_a[MANY], *from_b[MANY], *of_a[MANY], *of_b[MANY];

	for (int i = 0; i < MANY; i++) {
		memcpy(a.mem + i * 8, &(uint64_t){ 1000 + i }, 8);
		memcpy(b.mem + i * 8, &(uint64_t){ 2000 + i }, 8);
	}
	/* Of a the messages come first, of b the room does. */
	for (int i = 0; i < MANY; i++) {
		from_a[i] = sends(&a, &c, i * 8, 8);
		of_b[i] = receives(&c, &b, 65536 + i * 8, 8);
	}
	for (int i = 0; i < MANY; i++) {
		of_a[i] = receives(&c, &a, i * 8, 8);
		from_b[i] = sends(&b, &c, i * 8, 8);
	}
	for (int i = 0; i < MANY; i++) {
		well(from_a[i], 8);
		well(from_b[i], 8);
		well(of_a[i], 8);
		well(of_b[i], 8);
	}
	CHECK(!memcmp(c.mem, a.mem, MANY * 8));
	CHECK(!memcmp(c.mem + 65536, b.mem, MANY * 8));
	drop_end(&a);
	drop_end(&b);
	drop_end(&c);
}

#define REFUSED(call, err, why) do {					\
	CHECK_EQ(call, -(err));						\
	CHECK(!xfer);							\
	REASON(why);							\
} while (0)

TEST(what_cannot_be_is_refused_by_name)
{
	struct end a = make_end(), b = make_end();
	struct kvx_msg_opts opts = KVX_MSG_OPTS_INIT;
	struct kvxfer_msg unknown = {
		.hdr.size = sizeof(unknown), .worker_id = b.id, .bytes = 1, .pool = 77,
	};
	struct kvx_pool *readonly;
	struct kvx_xfer *xfer;
	void *mem;

	for (int i = 0; i < 2; i++) {
		int (*const call)(struct kvx_agent *, struct kvx_xfer **, uint64_t,
				  const struct kvx_pool *, uint64_t, uint64_t,
				  const struct kvx_msg_opts *) = i ? kvx_msg_recv : kvx_msg_send;

		REFUSED(call(a.agent, &xfer, b.id + 1, a.pool, 0, 1, NULL), ENOENT, MSG_AGENT);
		opts.epoch = query(b.agent).epoch + 1;
		REFUSED(call(a.agent, &xfer, b.id, a.pool, 0, 1, &opts), ENOENT, MSG_AGENT);
		opts.epoch = 0;
		REFUSED(call(a.agent, &xfer, b.id, a.pool, 0, 0, NULL), EINVAL, MSG_RANGE);
		CHECK_EQ(kvx_last_error()->index, 1);
		REFUSED(call(a.agent, &xfer, b.id, a.pool, 1, ROOM, NULL), EINVAL, MSG_RANGE);
		REFUSED(call(a.agent, &xfer, b.id, a.pool, ROOM, 1, NULL), EINVAL, MSG_RANGE);
		CHECK_EQ(kvx_last_error()->index, 0);
		REFUSED(call(a.agent, &xfer, b.id, a.pool, 8, -8ULL, NULL), EINVAL, MSG_RANGE);
		opts.path = KVX_PATH_RDMA;
		REFUSED(call(a.agent, &xfer, b.id, a.pool, 0, 1, &opts), EOPNOTSUPP, XFER_PATH);
		opts.path = KVX_PATH_RDMA + 1;
		REFUSED(call(a.agent, &xfer, b.id, a.pool, 0, 1, &opts), EOPNOTSUPP, XFER_PATH);
		opts.path = KVX_PATH_AUTO;
		/* Of the same number, and of none: it is no pool of this agent's. */
		REFUSED(call(a.agent, &xfer, b.id, b.pool, 0, 1, NULL), EINVAL, NONE);
		CHECK(ioctl(kvx_fd(a.agent), i ? KVXFER_IOC_MSG_RECV : KVXFER_IOC_MSG_SEND,
			    &unknown) == -1);
		CHECK_EQ(errno, ENOENT);
		CHECK_EQ(unknown.hdr.reason, KVXFER_REASON_POOL_UNKNOWN);
		CHECK_EQ(unknown.hdr.index, 77);
	}
	opts.rails = 1;
	REFUSED(kvx_msg_send(a.agent, &xfer, b.id, a.pool, 0, 1, &opts), EINVAL, FIELD_UNUSED);
	REFUSED(kvx_msg_recv(a.agent, &xfer, b.id, a.pool, 0, 1, &opts), EOPNOTSUPP, XFER_PATH);
	opts.rails = 1 << 16;
	REFUSED(kvx_msg_recv(a.agent, &xfer, b.id, a.pool, 0, 1, &opts), EINVAL, XFER_RAILS);

	/* What may only be read can be sent, but nothing is received there. */
	mem = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	memset(mem, 5, MIB);
	OK(kvx_pool_pin(a.agent, &readonly, mem, MIB, KVX_POOL_READ));
	REFUSED(kvx_msg_recv(a.agent, &xfer, b.id, readonly, 0, 1, NULL), EACCES, XFER_READONLY);
	OK(kvx_msg_send(a.agent, &xfer, b.id, readonly, 0, MIB, NULL));
	well(receives(&b, &a, 0, MIB), MIB);
	well(xfer, MIB);
	CHECK(!memcmp(b.mem, mem, MIB));
	kvx_pool_close(readonly);
	munmap(mem, MIB);
	drop_end(&a);
	drop_end(&b);
}

TEST(a_message_that_is_too_long_fails_both)
{
	struct end a = make_end(), b = make_end();
	struct kvx_xfer *send[2], *recv;

	fill_bytes(a.mem, 3);
	memset(b.mem, 0xee, ROOM);
	send[0] = sends(&a, &b, 0, 5000);
	send[1] = sends(&a, &b, 100, 4999);
	BADLY(receives(&b, &a, 0, 4999), FAILED, EMSGSIZE, MSG_TRUNCATED);
	CHECK_EQ(result.index, 5);
	BADLY(send[0], FAILED, EMSGSIZE, MSG_TRUNCATED);
	CHECK_EQ(result.index, 5);
	check_bytes(a.mem, &b, 0, 0);
	/* The next one is the next one's. */
	recv = receives(&b, &a, 7, 4999);
	well(recv, 4999);
	well(send[1], 4999);
	check_bytes(a.mem + 100, &b, 7, 4999);
	drop_end(&a);
	drop_end(&b);
}

/* What nobody has met goes alone: nobody else hears of it. */
TEST(who_cancels_before_both_have_met_is_not_missed)
{
	struct end a = make_end(), b = make_end();
	struct kvx_xfer *first, *second, *recv;

	a.mem[0] = 1;
	a.mem[1] = 2;
	first = sends(&a, &b, 0, 1);
	second = sends(&a, &b, 1, 1);
	CHECK_EQ(kvx_xfer_check(first), KVX_XFER_RUNNING);
	OK(kvx_xfer_cancel(first));
	CHECK_EQ(kvx_xfer_check(first), KVX_XFER_CANCELED);
	BADLY(first, CANCELED, ECANCELED, XFER_CANCELED);
	well(receives(&b, &a, 0, 1), 1);
	CHECK_EQ(b.mem[0], 2);
	well(second, 1);

	first = receives(&b, &a, 0, 1);
	second = receives(&b, &a, 1, 1);
	recv = receives(&b, &a, 2, 1);
	OK(kvx_xfer_cancel(first));
	kvx_xfer_release(second);
	well(sends(&a, &b, 0, 1), 1);
	well(recv, 1);
	BADLY(first, CANCELED, ECANCELED, XFER_CANCELED);
	CHECK(b.mem[0] == 2 && !b.mem[1] && b.mem[2] == 1);
	drop_end(&a);
	drop_end(&b);
}

/* Once they have met, both end; and from then on nothing is written. */
TEST(who_cancels_after_both_have_met_ends_both)
{
	struct end a = make_end(), b = make_end();
	struct kvx_xfer *send, *recv;

	fill_bytes(a.mem, 4);
	memset(b.mem, 0xee, ROOM);
	hold_copies();
	for (int who = 0; who < 4; who++) {
		send = sends(&a, &b, 0, ROOM);
		recv = receives(&b, &a, 0, ROOM);
		CHECK_EQ(kvx_xfer_check(send), KVX_XFER_RUNNING);
		CHECK_EQ(kvx_xfer_check(recv), KVX_XFER_RUNNING);
		if (who == 0) {
			OK(kvx_xfer_cancel(send));
			BADLY(send, CANCELED, ECANCELED, XFER_CANCELED);
		} else if (who == 1) {
			kvx_xfer_release(send);
		} else if (who == 2) {
			OK(kvx_xfer_cancel(recv));
			BADLY(recv, CANCELED, ECANCELED, XFER_CANCELED);
		} else {
			kvx_xfer_release(recv);
		}
		if (who < 2)
			BADLY(recv, FAILED, ECANCELED, MSG_WITHDRAWN);
		else
			BADLY(send, FAILED, ECANCELED, MSG_REFUSED);
	}
	let_copies_go(4);
	/* Had anything been left to copy, it would be before this. */
	send = sends(&a, &b, ROOM - 100000, 100000);
	well(receives(&b, &a, 0, 100000), 100000);
	well(send, 100000);
	check_bytes(a.mem + ROOM - 100000, &b, 0, 100000);
	drop_end(&a);
	drop_end(&b);
}

TEST(nobody_waits_for_longer_than_it_wants)
{
	struct end a = make_end(), b = make_end();
	struct kvx_msg_opts opts = KVX_MSG_OPTS_INIT;
	struct kvx_xfer *send, *recv;

	opts.deadline_ns = 1000000;
	opts.user_data = 77;
	OK(kvx_msg_send(a.agent, &send, b.id, a.pool, 0, 10, &opts));
	BADLY(send, TIMEDOUT, ETIMEDOUT, XFER_DEADLINE);
	CHECK_EQ(result.user_data, 77);
	OK(kvx_msg_recv(a.agent, &recv, b.id, a.pool, 0, 10, &opts));
	BADLY(recv, TIMEDOUT, ETIMEDOUT, XFER_DEADLINE);
	/* One that comes in time but takes too long. */
	hold_copies();
	OK(kvx_msg_recv(b.agent, &recv, a.id, b.pool, 0, ROOM, &opts));
	OK(kvx_msg_send(a.agent, &send, b.id, a.pool, 0, ROOM, NULL));
	BADLY(recv, TIMEDOUT, ETIMEDOUT, XFER_DEADLINE);
	/* It may have been late for that one; else it was refused by it. */
	if (kvx_xfer_check(send) == KVX_XFER_RUNNING)
		OK(kvx_xfer_cancel(send));
	CHECK_EQ(kvx_xfer_wait(send, KVX_FOREVER, &result), -ECANCELED);
	kvx_xfer_release(send);
	let_copies_go(4);
	drop_end(&a);
	drop_end(&b);
}

TEST(an_agent_that_goes_is_not_waited_for)
{
	struct end a = make_end(), b = make_end();
	struct kvx_xfer *send, *recv, *met, *busy;

	send = sends(&a, &b, 0, 10);
	drop_end(&b);
	BADLY(send, FAILED, ESTALE, PEER_GONE);
	b = make_end();
	recv = receives(&a, &b, 0, 10);
	drop_end(&b);
	BADLY(recv, FAILED, ESTALE, PEER_GONE);

	/* With both under way. */
	b = make_end();
	hold_copies();
	met = receives(&a, &b, 0, ROOM);
	sends(&b, &a, 0, ROOM);
	busy = sends(&a, &b, 0, ROOM / 2);
	receives(&b, &a, 0, ROOM / 2);
	drop_end(&b);
	BADLY(met, FAILED, ESTALE, PEER_GONE);
	BADLY(busy, FAILED, ECANCELED, MSG_REFUSED);
	let_copies_go(4);
	drop_end(&a);
	close_and_settle(open_agent());
}

/* As it was prepared: into the same room. */
TEST(what_is_done_is_posted_again)
{
	struct end a = make_end(), b = make_end();
	struct kvx_xfer *send = sends(&a, &b, 0, 4096), *recv = receives(&b, &a, 4096, 8192);

	for (int i = 0; i < 100; i++) {
		memset(a.mem, i, 4096);
		if (i && i % 2)
			OK(kvx_xfer_post(recv));
		if (i)
			OK(kvx_xfer_post(send));
		if (i && !(i % 2))
			OK(kvx_xfer_post(recv));
		OK(kvx_xfer_wait(send, KVX_FOREVER, &result));
		OK(kvx_xfer_wait(recv, KVX_FOREVER, &result));
		CHECK_EQ(result.bytes, 4096);
		CHECK(!memcmp(b.mem + 4096, a.mem, 4096));
	}
	kvx_xfer_release(send);
	kvx_xfer_release(recv);
	drop_end(&a);
	drop_end(&b);
}

TEST(bytes_are_not_sent_over_themselves)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct end a = make_end(), b = make_end();
	struct kvx_pool *ours, *theirs;
	struct kvx_xfer *send, *recv;

	opts.name = "both";
	OK(kvx_pool_create(a.agent, &ours, MIB, &opts));
	OK(kvx_pool_open(b.agent, &theirs, "both", KVX_POOL_WRITE));
	OK(kvx_msg_send(a.agent, &send, b.id, ours, 1000, 1000, NULL));
	OK(kvx_msg_recv(b.agent, &recv, a.id, theirs, 1999, 1000, NULL));
	BADLY(send, FAILED, EINVAL, XFER_OVERLAP);
	BADLY(recv, FAILED, EINVAL, XFER_OVERLAP);
	OK(kvx_msg_send(a.agent, &send, b.id, ours, 1000, 1000, NULL));
	OK(kvx_msg_recv(b.agent, &recv, a.id, theirs, 2000, 1000, NULL));
	well(send, 1000);
	well(recv, 1000);
	OK(kvx_pool_unlink(a.agent, "both"));
	kvx_pool_close(ours);
	kvx_pool_close(theirs);
	drop_end(&a);
	drop_end(&b);
}

/* By the ring alone; and in one call. */
TEST(the_ring_tells_of_those_that_release_themselves)
{
	struct end a = make_end(), b = make_end();
	struct kvxfer_msg send = {
		.hdr = { sizeof(send), KVXFER_XFER_ONCE, 0, 0 }, .worker_id = b.id,
		.bytes = 100, .pool = 1, .user_data = 5,
	};
	struct kvxfer_msg recv = {
		.hdr = { sizeof(recv), KVXFER_XFER_WAIT, 0, 0 }, .worker_id = a.id,
		.bytes = 200, .pool = 1, .user_data = 6,
	};
	struct kvxfer_xfer_release release = { .hdr.size = sizeof(release) };

	OK(kvx_ring_setup(a.agent, 4, -1));
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(ioctl(kvx_fd(a.agent), KVXFER_IOC_MSG_SEND, &send), 0);
		CHECK_EQ(send.out_path, KVXFER_PATH_LOCAL);
		CHECK_EQ(kvx_ring_next(a.agent, &result), -EAGAIN);
		CHECK_EQ(ioctl(kvx_fd(b.agent), KVXFER_IOC_MSG_RECV, &recv), 0);
		CHECK_EQ(recv.out_result.state, KVXFER_XFER_DONE);
		CHECK_EQ(recv.out_result.bytes, 100);
		CHECK_EQ(recv.out_result.user_data, 6);
		OK(kvx_ring_next(a.agent, &result));
		CHECK_EQ(result.user_data, 5);
		CHECK_EQ(result.xfer, send.out_xfer);
		CHECK_EQ(result.bytes, 100);
		release.xfer = send.out_xfer;
		CHECK(ioctl(kvx_fd(a.agent), KVXFER_IOC_XFER_RELEASE, &release) == -1);
		CHECK_EQ(errno, ENOENT);
	}
	drop_end(&a);
	drop_end(&b);
}

/* Who has sent something may go as soon as that is done: it was received. */
TEST(who_goes_when_it_has_sent_has_sent)
{
	struct end to = make_end();

	for (int i = 0; i < 200; i++) {
		struct end from = make_end();
		struct kvx_xfer *in = receives(&to, &from, 0, 10);

		well(sends(&from, &to, 0, 10), 10);
		drop_end(&from);
		well(in, 10);
	}
	drop_end(&to);
}
