// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notes: alone and with transfers; order, once, back-pressure, and who it was.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "blocks.h"
#include "signals.h"

static struct kvx_note note;

static uint64_t worker(struct kvx_agent *agent)
{
	return query(agent).worker_id;
}

static uint32_t number(const struct kvx_note *from)
{
	uint32_t n;

	CHECK_EQ(from->bytes, sizeof(n));
	memcpy(&n, from->data, sizeof(n));
	return n;
}

TEST(a_note_comes_with_its_senders_name)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct kvx_info info = query(a);
	unsigned char longest[KVX_NOTE_MAX + 1];
	unsigned int events;

	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i * 7;
	CHECK_EQ(kvx_note_recv(b, &note), -EAGAIN);
	REASON(NOTE_NONE);
	OK(kvx_wait_event(b, 1000, &events));
	CHECK_EQ(events, 0);
	OK(kvx_note_send(a, worker(b), "hello", 5, 0));
	OK(kvx_note_send(a, worker(b), NULL, 0, 0));
	OK(kvx_note_send(a, worker(b), longest, KVX_NOTE_MAX, 0));
	OK(kvx_note_send(b, worker(b), "me", 2, 0));
	OK(kvx_wait_event(b, KVX_FOREVER, &events));
	CHECK_EQ(events, KVX_EVENT_NOTE);
	OK(kvx_note_recv(b, &note));
	CHECK(note.bytes == 5 && !memcmp(note.data, "hello", 5));
	CHECK_EQ(note.worker_id, info.worker_id);
	CHECK_EQ(note.epoch, info.epoch);
	CHECK(note.sent_ns);
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.bytes, 0);
	OK(kvx_note_recv(b, &note));
	CHECK(note.bytes == KVX_NOTE_MAX && !memcmp(note.data, longest, KVX_NOTE_MAX));
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.worker_id, worker(b));
	CHECK_EQ(kvx_note_recv(b, &note), -EAGAIN);
	CHECK_EQ(kvx_note_recv(a, &note), -EAGAIN);

	CHECK_EQ(kvx_note_send(a, worker(b), longest, KVX_NOTE_MAX + 1, 0), -EINVAL);
	REASON(NOTE_SIZE);
	CHECK_EQ(kvx_note_send(a, worker(b), (void *)8, 5, 0), -EFAULT);
	CHECK_EQ(kvx_note_send(a, worker(b) + 1, "x", 1, 0), -ENOENT);
	REASON(NOTE_AGENT);
	kvx_close(b);
	CHECK_EQ(kvx_note_send(a, note.worker_id, "x", 1, 0), -ENOENT);
	REASON(NOTE_AGENT);
	kvx_close(a);
}

/* Who has the worker_id now is not who registered the layout. */
TEST(by_handle_it_is_for_just_that_agent)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct side side = make_side(b, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4));
	const uint64_t id = worker(b);

	OK(kvx_note_send_handle(a, side.handle, "1", 1, 0));
	OK(kvx_note_recv(b, &note));
	drop_side(&side);
	kvx_close(b);
	b = open_agent();
	OK(kvx_set_worker_id(b, id));
	CHECK_EQ(kvx_note_send_handle(a, side.handle, "2", 1, 0), -ENOENT);
	REASON(NOTE_AGENT);
	OK(kvx_note_send(a, id, "3", 1, 0));
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.data[0], '3');
	kvx_close(a);
	settle(b);
	kvx_close(b);
}

/* Another user takes a worker_id, says so, and is gone when it is told. */
static pid_t take_worker_id(uint64_t id, int to_child[2])
{
	int to_parent[2];
	char byte = 'x';
	pid_t pid;

	CHECK_EQ(pipe(to_parent), 0);
	CHECK_EQ(pipe(to_child), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		struct kvx_agent *agent;

		if (setgid(65534) || setuid(65534) || kvx_open(&agent, NULL) ||
		    kvx_set_worker_id(agent, id))
			byte = '?';
		if (write(to_parent[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1)
			_exit(2);
		/* What came meanwhile was meant for another. */
		_exit(kvx_note_recv(agent, &note) == -EAGAIN ? 0 : 1);
	}
	CHECK_EQ(read(to_parent[0], &byte, 1), 1);
	CHECK_EQ(byte, 'x');
	close(to_parent[0]);
	close(to_parent[1]);
	return pid;
}

TEST(who_takes_anothers_number_is_not_taken_for_it)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct side side = make_side(b, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4)), mine;
	const uint64_t id = worker(b);
	struct kvx_agent *imported = open_agent();
	int to_child[2], status;
	struct kvx_xfer *xfer;
	struct kvx_grant grant;
	size_t bytes;
	void *blob;
	pid_t pid;

	OK(kvx_grant(b, &grant, side.handle, NULL));
	OK(kvx_export_metadata(b, &grant, 1, &blob, &bytes));
	OK(kvx_import_metadata(imported, blob, bytes, NULL));
	free(blob);
	OK(kvx_note_send(a, id, "1", 1, 0));
	OK(kvx_note_recv(b, &note));
	drop_side(&side);
	kvx_close(b);
	CHECK_EQ(chmod(KVXFER_DEVICE, 0666), 0);
	pid = take_worker_id(id, to_child);
	CHECK_EQ(chmod(KVXFER_DEVICE, 0660), 0);
	/* Who had to do with the first one, by a note or by an import, is told. */
	mine = make_side(a, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4));
	CHECK_EQ(kvx_note_send(a, id, "2", 1, 0), -ESTALE);
	REASON(WORKER_ID_CHANGED);
	CHECK_EQ(kvx_msg_send(a, &xfer, id, mine.pool, 0, 8, NULL), -ESTALE);
	REASON(WORKER_ID_CHANGED);
	CHECK_EQ(kvx_msg_recv(a, &xfer, id, mine.pool, 0, 8, NULL), -ESTALE);
	REASON(WORKER_ID_CHANGED);
	CHECK_EQ(kvx_note_send(imported, id, "3", 1, 0), -ESTALE);
	REASON(WORKER_ID_CHANGED);
	CHECK_EQ(write(to_child[1], "x", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	/* The same user's next one is as good as the first. */
	b = open_agent();
	OK(kvx_set_worker_id(b, id));
	OK(kvx_note_send(a, id, "4", 1, 0));
	OK(kvx_note_send(imported, id, "5", 1, 0));
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.data[0], '4');
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.data[0], '5');
	close(to_child[0]);
	close(to_child[1]);
	drop_side(&mine);
	kvx_close(a);
	kvx_close(imported);
	settle(b);
	kvx_close(b);
}

static void count_up(const struct kvx_note *one, void *arg)
{
	uint32_t *next = arg;

	CHECK_EQ(number(one), *next);
	++*next;
}

TEST(a_full_receiver_is_told_and_not_overrun)
{
	struct kvx_agent *senders[17], *b = open_agent();
	struct kvxfer_note_recv recv = { .hdr.size = sizeof(recv) };
	unsigned char buffer[64 << 10];
	uint32_t sent = 0, next = 0;
	int err;

	for (int i = 0; i < 17; i++)
		senders[i] = open_agent();
	/* One sender has just so many on their way, wherever. */
	for (sent = 0; !(err = kvx_note_send(senders[0], worker(b), &sent, 4, 0)); sent++)
		;
	CHECK_EQ(err, -EAGAIN);
	REASON(NOTE_FULL);
	CHECK_EQ(kvx_last_error()->index, 1);
	CHECK_EQ(sent, 256);
	CHECK_EQ(kvx_note_send(senders[0], worker(senders[1]), "x", 1, 0), -EAGAIN);
	/* All together have the receiver's room. */
	for (int i = 1; i < 17; i++)
		while (!(err = kvx_note_send(senders[i], worker(b), &sent, 4, 0)))
			sent++;
	CHECK_EQ(sent, 4096);
	CHECK_EQ(kvx_last_error()->index, 0);
	recv.buffer = (uintptr_t)buffer;
	recv.bytes = sizeof(buffer);
	recv.max = 1;
	CHECK_EQ(ioctl(kvx_fd(b), KVXFER_IOC_NOTE_RECV, &recv), 0);
	CHECK_EQ(recv.out_nr, 1);
	CHECK_EQ(recv.out_left, 4095);
	CHECK_EQ(recv.out_overflows, 0);
	OK(kvx_note_send(senders[0], worker(b), &sent, 4, 0));
	next = 1;
	CHECK_EQ(kvx_note_recv_all(b, count_up, &next), 4096);
	CHECK_EQ(next, 4097);

	/* By bytes, too. */
	for (sent = 0; !kvx_note_send(senders[sent / 64], worker(b), buffer, 4096, 0); sent++)
		;
	CHECK_EQ(sent, 1024);
	CHECK_EQ(kvx_note_send(senders[0], worker(senders[1]), "x", 1, 0), -EAGAIN);
	CHECK_EQ(kvx_last_error()->index, 1);
	/* Room too small for the next one: nothing is lost. */
	recv = (struct kvxfer_note_recv){ .hdr.size = sizeof(recv), .buffer = (uintptr_t)buffer,
					  .bytes = 100 };
	CHECK(ioctl(kvx_fd(b), KVXFER_IOC_NOTE_RECV, &recv) == -1 && errno == EMSGSIZE);
	CHECK_EQ(recv.hdr.reason, KVXFER_REASON_NOTE_ROOM);
	CHECK_EQ(recv.hdr.index, sizeof(struct kvxfer_note) + 4096);
	/* Nor with memory that is not there. */
	recv.buffer = 8;
	recv.bytes = 1 << 20;
	CHECK(ioctl(kvx_fd(b), KVXFER_IOC_NOTE_RECV, &recv) == -1 && errno == EFAULT);
	recv.buffer = (uintptr_t)buffer;
	recv.bytes = sizeof(buffer);
	recv.max = 0;
	CHECK_EQ(ioctl(kvx_fd(b), KVXFER_IOC_NOTE_RECV, &recv), 0);
	CHECK_EQ(recv.out_nr, sizeof(buffer) / (sizeof(struct kvxfer_note) + 4096));
	CHECK_EQ(recv.out_left, 1024 - recv.out_nr);
	for (int i = 0; i < 17; i++)
		kvx_close(senders[i]);
	kvx_close(b);
}

#define STREAM	((uint32_t)rounds(10000, 2500, 2500, 100000))

struct sender {
	pthread_t thread;
	struct kvx_agent *agent;
	uint64_t to, is;
};

static void *stream(void *arg)
{
	struct sender *sender = arg;

	for (uint32_t i = 0; i < STREAM; i++)
		OK(kvx_note_send(sender->agent, sender->to, &i, sizeof(i), KVX_NOTE_WAIT));
	return NULL;
}

TEST(each_comes_once_and_in_its_senders_order)
{
	struct kvx_agent *b = open_agent();
	struct sender senders[4];
	uint32_t next[4] = { 0 }, got = 0;
	unsigned int events, k;

	for (int i = 0; i < 4; i++) {
		senders[i].agent = open_agent();
		senders[i].to = worker(b);
		senders[i].is = worker(senders[i].agent);
		CHECK(!pthread_create(&senders[i].thread, NULL, stream, &senders[i]));
	}
	while (got < 4 * STREAM) {
		OK(kvx_wait_event(b, KVX_FOREVER, &events));
		CHECK_EQ(events, KVX_EVENT_NOTE);
		while (!kvx_note_recv(b, &note)) {
			for (k = 0; senders[k].is != note.worker_id; k++)
				;
			CHECK_EQ(number(&note), next[k]);
			next[k]++;
			got++;
		}
	}
	for (int i = 0; i < 4; i++) {
		CHECK(!pthread_join(senders[i].thread, NULL));
		kvx_close(senders[i].agent);
	}
	CHECK_EQ(kvx_note_recv(b, &note), -EAGAIN);
	kvx_close(b);
}

/* A receiver that goes ends the waiting of those who would send to it. */
TEST(a_receiver_that_goes_frees_its_senders)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	const uint64_t to = worker(b);
	int status;
	pid_t pid;

	while (!kvx_note_send(a, to, "x", 1, 0))
		;
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		kvx_close(b);
		_exit(kvx_note_send(a, to, "x", 1, KVX_NOTE_WAIT) == -ENOENT ? 0 : 1);
	}
	kvx_close(b);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	/* What it had not taken counts no more. */
	b = open_agent();
	for (int i = 0; i < 256; i++)
		OK(kvx_note_send(a, worker(b), "y", 1, 0));
	kvx_close(b);
	kvx_close(a);
}

static int await_for(struct kvx_agent *agent, uint64_t timeout_ns)
{
	unsigned int events;
	int err = kvx_wait_event(agent, timeout_ns, &events);

	if (!err && events != KVX_EVENT_NOTE)
		return -ETIME;
	return err ? err : kvx_note_recv(agent, &note);
}

static int await(void *arg)
{
	return await_for(arg, KVX_FOREVER);
}

/* For so long that only the note can end it. */
static int await_an_hour(void *arg)
{
	return await_for(arg, 3600000000000);
}

static int send_to_itself(void *arg)
{
	return kvx_note_send(arg, worker(arg), "last", 4, KVX_NOTE_WAIT);
}

/* What is awaited comes only when the signals have been seen: they have not ended the waiting. */
TEST(who_waits_gets_its_note_whatever_signals_come)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct sleeper sleeper;
	int left = 256;

	disturb(&sleeper, await, b, 50);
	OK(kvx_note_send(a, worker(b), "1", 1, 0));
	OK(end_sleep(&sleeper));
	CHECK(note.bytes == 1 && note.data[0] == '1');
	disturb(&sleeper, await_an_hour, b, 50);
	OK(kvx_note_send(a, worker(b), "2", 1, 0));
	OK(end_sleep(&sleeper));
	CHECK(note.bytes == 1 && note.data[0] == '2');

	/* One that waits for room is sent once. */
	while (!kvx_note_send(b, worker(b), "x", 1, 0))
		;
	disturb(&sleeper, send_to_itself, b, 50);
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.bytes, 1);
	OK(end_sleep(&sleeper));
	while (!kvx_note_recv(b, &note))
		left--;
	CHECK_EQ(left, 0);
	CHECK(note.bytes == 4 && !memcmp(note.data, "last", 4));
	kvx_close(a);
	kvx_close(b);
}

TEST(with_a_transfer_it_comes_after_the_data_and_only_then)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, 16);
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	const uint32_t ids[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	const uint64_t to = worker(b);
	struct side src, dst;
	struct kvx_xfer *xfer;
	unsigned int events;

	config.inner_dim = 2048;
	src = make_side(a, KERNEL, config);
	dst = make_side(a, KERNEL, config);
	fill(&src, 3, 0);
	opts.note = "done";
	opts.note_bytes = 4;
	opts.note_worker_id = to;
	OK(kvx_xfer_prep(a, &xfer, src.handle, ids, 16, dst.handle, ids, 16, &opts));
	hold_copies();
	OK(kvx_xfer_post(xfer));
	CHECK_EQ(kvx_note_recv(b, &note), -EAGAIN);
	let_copies_go(256);
	/* Nobody asks for the transfer: the kernel sends the note by itself. */
	OK(kvx_wait_event(b, KVX_FOREVER, &events));
	OK(kvx_note_recv(b, &note));
	CHECK(note.bytes == 4 && !memcmp(note.data, "done", 4));
	CHECK_EQ(note.worker_id, worker(a));
	for (uint32_t i = 0; i < 16; i++)
		CHECK(!memcmp(region(&src, i, 1, 1), region(&dst, i, 1, 1), region_bytes(&src)));
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL));

	/* Again the same, and another in its place. */
	OK(kvx_xfer_post(xfer));
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL));
	OK(kvx_xfer_post_note(xfer, to, "other", 5));
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL));
	OK(kvx_xfer_post(xfer));
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL));
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.bytes, 4);
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.bytes, 5);
	OK(kvx_note_recv(b, &note));
	CHECK_EQ(note.bytes, 4);
	CHECK_EQ(kvx_note_recv(b, &note), -EAGAIN);

	/* No data, no note; and the room that it had is another's. */
	hold_copies();
	OK(kvx_xfer_post(xfer));
	OK(kvx_xfer_cancel(xfer));
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, NULL), -ECANCELED);
	CHECK_EQ(kvx_note_recv(b, &note), -EAGAIN);
	kvx_xfer_release(xfer);
	OK(kvx_xfer_prep(a, &xfer, src.handle, ids, 16, dst.handle, ids, 16, &opts));
	OK(kvx_xfer_post(xfer));
	kvx_xfer_release(xfer);
	CHECK_EQ(kvx_note_recv(b, &note), -EAGAIN);
	for (int i = 0; i < 256; i++)
		OK(kvx_note_send(a, to, "x", 1, 0));

	/* When there is no room for it, the transfer does not begin. */
	OK(kvx_xfer_prep(a, &xfer, src.handle, ids, 16, dst.handle, ids, 16, &opts));
	CHECK_EQ(kvx_xfer_post(xfer), -EAGAIN);
	REASON(NOTE_FULL);
	CHECK_EQ(kvx_xfer_check(xfer), KVX_XFER_IDLE);
	while (!kvx_note_recv(b, &note))
		;

	/* Its receiver goes while it runs: the data comes all the same, and it is told. */
	OK(kvx_xfer_post(xfer));
	kvx_close(b);
	let_copies_go(256);
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, &result));
	CHECK(result.flags & KVX_RESULT_NOTE_LOST);
	CHECK_EQ(kvx_xfer_post(xfer), -ENOENT);
	REASON(NOTE_AGENT);
	kvx_xfer_release(xfer);
	drop_side(&src);
	drop_side(&dst);
	kvx_close(a);
}
