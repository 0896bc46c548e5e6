// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waits that signals end, against a kernel and a clock that are ours (linked with --wrap): what is
 * asked for, how often, and for how long.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <time.h>
#include <linux/kvxfer.h>

#include "kvxfer.h"
#include "../ktap.h"

#define FD	1000
#define XFER	0x10003U
#define STEP	100	/* how long a wait lasts until a signal ends it */
#define BEGIN	5000000000ULL	/* when all begins */

static uint32_t states[KVXFER_XFERS_MAX];

static struct {
	uint64_t now;
	int clocks;		/* how often the time was asked for */
	unsigned long nr;	/* the command that signals end */
	int signals;		/* how many do */
	int error;		/* what it says then; 0: it is done */
	uint32_t reason, state;
	/* What was asked. */
	int calls, all;
	uint64_t times[16];
	unsigned long nrs[16];
	uint32_t flags;
} kernel;

int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_ioctl(int fd, unsigned long nr, ...);
int __wrap_ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *time, const sigset_t *set);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t bytes);

int __wrap_open(const char *path, int flags, ...)
{
	CHECK_STR(path, KVXFER_DEVICE);
	CHECK_EQ(flags, O_RDWR | O_CLOEXEC);
	return FD;
}

int __wrap_close(int fd)
{
	CHECK_EQ(fd, FD);
	return 0;
}

void *__wrap_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	CHECK(!addr && bytes == sizeof(states) && prot == PROT_READ && flags == MAP_SHARED);
	CHECK_EQ(fd, FD);
	CHECK_EQ(offset, KVXFER_MMAP_STATES);
	return states;
}

int __wrap_munmap(void *addr, size_t bytes)
{
	CHECK(addr == states && bytes == sizeof(states));
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	CHECK_EQ(clock, CLOCK_MONOTONIC);
	kernel.clocks++;
	time->tv_sec = kernel.now / 1000000000;
	time->tv_nsec = kernel.now % 1000000000;
	return 0;
}

/* One more call that waits for @time. Does a signal end it? */
static bool signaled(uint64_t time)
{
	CHECK((size_t)kernel.calls < ARRAY_SIZE(kernel.times));
	kernel.times[kernel.calls++] = time;
	if (kernel.calls > kernel.signals)
		return false;
	kernel.now += STEP;
	errno = EINTR;
	return true;
}

int __wrap_ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *time, const sigset_t *set)
{
	CHECK(nfds == 1 && fds->fd == FD && !set);
	if (signaled(time ? time->tv_sec * 1000000000ULL + time->tv_nsec : KVX_FOREVER))
		return -1;
	if (kernel.error) {
		fds->revents = 0;
		return 0;
	}
	fds->revents = POLLIN | POLLRDBAND;
	return 1;
}

static void answer(unsigned long nr, struct kvxfer_hdr *hdr)
{
	const struct kvxfer_completion end = { .xfer = XFER, .state = KVX_XFER_DONE };
	struct kvxfer_xfer_wait *wait = (void *)hdr;
	struct kvxfer_xfer_prep *prep = (void *)hdr;
	struct kvxfer_query *query = (void *)hdr;

	switch (nr) {
	case KVXFER_IOC_QUERY:
		query->out_boot_id = 1;
		query->out_epoch = 1;
		strcpy((char *)query->out_name, "me");
		break;
	case KVXFER_IOC_XFER_PREP:
	case KVXFER_IOC_XFER_EXEC:
		prep->out_xfer = XFER;
		prep->out_result = end;
		prep->out_result.state = kernel.state;
		break;
	case KVXFER_IOC_XFER_WAIT:
		CHECK_EQ(*(uint32_t *)(uintptr_t)wait->xfers, XFER);
		if (wait->results)
			memcpy((void *)(uintptr_t)wait->results, &end, sizeof(end));
		break;
	}
}

static uint64_t time_of(unsigned long nr, struct kvxfer_hdr *hdr)
{
	switch (nr) {
	case KVXFER_IOC_XFER_WAIT:
		return ((struct kvxfer_xfer_wait *)hdr)->timeout_ns;
	case KVXFER_IOC_PEER_CONNECT:
		return ((struct kvxfer_peer_connect *)hdr)->timeout_ns;
	case KVXFER_IOC_LAYOUT_IMPORT:
		return ((struct kvxfer_layout_import *)hdr)->timeout_ns;
	default:
		return KVX_FOREVER;
	}
}

int __wrap_ioctl(int fd, unsigned long nr, ...)
{
	struct kvxfer_hdr *hdr;
	va_list args;

	CHECK_EQ(fd, FD);
	va_start(args, nr);
	hdr = va_arg(args, struct kvxfer_hdr *);
	va_end(args);
	if (nr != KVXFER_IOC_QUERY && (size_t)kernel.all < ARRAY_SIZE(kernel.nrs))
		kernel.nrs[kernel.all++] = nr;
	if (nr != kernel.nr) {
		answer(nr, hdr);
		return 0;
	}
	kernel.flags = hdr->flags;
	/* As in the kernel, a look is no wait. */
	if (nr == KVXFER_IOC_XFER_WAIT && !time_of(nr, hdr))
		kernel.signals = kernel.calls;
	hdr->reason = KVXFER_REASON_INTERRUPTED;
	if (signaled(time_of(nr, hdr)))
		return -1;
	hdr->reason = kernel.reason;
	if (!kernel.error)
		answer(nr, hdr);
	errno = kernel.error;
	return kernel.error ? -1 : 0;
}

/* What the case at hand works with; what was there before goes. */
static struct kvx_agent *agent;
static struct kvx_xfer *xfer;
static const struct kvx_handle handle = { 0, 1 << 16 | 1 };

/* An agent, for a kernel in which @signals signals end what @nr waits for. */
static void fresh(unsigned long nr, int signals, uint32_t flags)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;

	kvx_xfer_release(xfer);
	xfer = NULL;
	kvx_close(agent);
	memset(&kernel, 0, sizeof(kernel));
	opts.flags = flags;
	CHECK_EQ(kvx_open(&agent, &opts), 0);
	kernel.now = BEGIN;
	kernel.nr = nr;
	kernel.signals = signals;
	kernel.state = KVX_XFER_RUNNING;
}

/* A transfer, of which the end is waited for. */
static void fresh_xfer(int signals, uint32_t flags)
{
	fresh(KVXFER_IOC_XFER_WAIT, signals, flags);
	CHECK_EQ(kvx_transfer(agent, &xfer, handle, NULL, 0, handle, NULL, 0, NULL), 0);
}

static int exec(struct kvx_result *result)
{
	return kvx_xfer_exec(agent, handle, NULL, 0, handle, NULL, 0, NULL, result);
}

/* What an agent says of itself, as if it were on another node. */
static void *make_blob(size_t *bytes)
{
	void *blob;

	CHECK_EQ(kvx_export_metadata(agent, NULL, 0, &blob, bytes), 0);
	return blob;
}

TEST(a_wait_goes_on_for_the_time_that_is_left)
{
	struct kvx_result result = KVX_RESULT_INIT;
	size_t index = 9;

	fresh_xfer(3, 0);
	CHECK_EQ(kvx_xfer_wait(xfer, 1000, &result), 0);
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(kernel.calls, 4);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(kernel.times[i], 1000 - i * STEP);

	fresh_xfer(2, 0);
	CHECK_EQ(kvx_wait_all(&xfer, 1, 1000), 0);
	CHECK_EQ(kernel.times[2], 800);
	fresh_xfer(2, 0);
	CHECK_EQ(kvx_wait_any(&xfer, 1, 1000, &index), 0);
	CHECK_EQ(index, 0);
	CHECK_EQ(kernel.times[2], 800);
	CHECK_EQ(kernel.flags, KVXFER_XFER_WAIT_ANY);
}

TEST(a_wait_for_ever_stays_one_and_asks_for_no_time)
{
	fresh_xfer(5, 0);
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, NULL), 0);
	CHECK_EQ(kernel.calls, 6);
	for (int i = 0; i < 6; i++)
		CHECK(kernel.times[i] == KVX_FOREVER);
	CHECK_EQ(kernel.clocks, 0);
	/* Nor does a look; and what reaches beyond all time is for ever, too. */
	fresh_xfer(0, 0);
	CHECK_EQ(kvx_xfer_wait(xfer, 0, NULL), 0);
	CHECK_EQ(kernel.clocks, 0);
	fresh_xfer(3, 0);
	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER - 1, NULL), 0);
	CHECK_EQ(kernel.calls, 4);
	CHECK(kernel.times[3] == KVX_FOREVER - 1);
}

TEST(when_nothing_is_left_there_is_one_more_look)
{
	fresh_xfer(100, 0);
	kernel.error = ETIME;
	kernel.reason = KVXFER_REASON_XFER_TIMEOUT;
	CHECK_EQ(kvx_xfer_wait(xfer, 2 * STEP + 50, NULL), -ETIME);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_XFER_TIMEOUT);
	CHECK_EQ(kernel.calls, 4);
	CHECK_EQ(kernel.times[1], STEP + 50);
	CHECK_EQ(kernel.times[2], 50);
	CHECK_EQ(kernel.times[3], 0);
	/* It may have ended meanwhile. */
	fresh_xfer(100, 0);
	CHECK_EQ(kvx_xfer_wait(xfer, STEP, NULL), 0);
	CHECK_EQ(kernel.calls, 2);
	CHECK_EQ(kernel.times[1], 0);
}

TEST(who_wants_it_is_told_of_signals)
{
	unsigned int events;
	size_t bytes;
	void *blob;

	fresh_xfer(1, KVX_OPEN_EINTR);
	CHECK_EQ(kvx_xfer_wait(xfer, 1000, NULL), -EINTR);
	CHECK_EQ(kvx_last_error()->error, EINTR);
	CHECK_EQ(kernel.calls, 1);
	CHECK_EQ(kvx_xfer_wait(xfer, 1000, NULL), 0);

	fresh(0, 1, KVX_OPEN_EINTR);
	CHECK_EQ(kvx_wait_event(agent, 1000, &events), -EINTR);
	CHECK_EQ(kernel.calls, 1);
	fresh(KVXFER_IOC_NOTE_SEND, 1, KVX_OPEN_EINTR);
	CHECK_EQ(kvx_note_send(agent, 1, "x", 1, KVX_NOTE_WAIT), -EINTR);
	CHECK_EQ(kernel.calls, 1);
	fresh(KVXFER_IOC_PEER_CONNECT, 1, KVX_OPEN_EINTR);
	blob = make_blob(&bytes);
	CHECK_EQ(kvx_connect(agent, blob, bytes, 1000), -EINTR);
	CHECK_EQ(kernel.calls, 1);
	fresh(KVXFER_IOC_LAYOUT_IMPORT, 1, KVX_OPEN_EINTR);
	CHECK_EQ(kvx_import_metadata(agent, blob, bytes, NULL), -EINTR);
	CHECK_EQ(kernel.calls, 1);
	free(blob);
	/* There, and only there, it is one command which a signal cancels. */
	fresh(KVXFER_IOC_XFER_EXEC, 1, KVX_OPEN_EINTR);
	CHECK_EQ(exec(NULL), -EINTR);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_INTERRUPTED);
	CHECK_EQ(kernel.all, 1);
	CHECK_EQ(kernel.flags, KVXFER_XFER_WAIT);
}

TEST(what_goes_on_has_not_failed)
{
	unsigned int events;

	fresh_xfer(2, 0);
	CHECK_EQ(kvx_wait_all(&xfer, 0, 0), -EINVAL);
	CHECK_EQ(kvx_xfer_wait(xfer, 1000, NULL), 0);
	CHECK_EQ(kvx_last_error()->error, EINVAL);
	fresh(0, 2, 0);
	CHECK_EQ(kvx_wait_event(agent, 1000, &events), 0);
	CHECK_EQ(kvx_last_error()->error, EINVAL);
}

TEST(a_failure_after_a_signal_is_one)
{
	fresh_xfer(1, 0);
	kernel.error = ENOENT;
	kernel.reason = KVXFER_REASON_XFER_UNKNOWN;
	CHECK_EQ(kvx_xfer_wait(xfer, 1000, NULL), -ENOENT);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_XFER_UNKNOWN);
	CHECK_EQ(kernel.calls, 2);
}

TEST(an_event_is_waited_for_as_long)
{
	unsigned int events;

	fresh(0, 3, 0);
	CHECK_EQ(kvx_wait_event(agent, 3000000000, &events), 0);
	CHECK_EQ(events, KVX_EVENT_NOTE);
	CHECK_EQ(kernel.calls, 4);
	CHECK_EQ(kernel.times[3], 3000000000 - 3 * STEP);

	fresh(0, 3, 0);
	CHECK_EQ(kvx_wait_event(agent, KVX_FOREVER, &events), 0);
	CHECK_EQ(events, KVX_EVENT_NOTE);
	CHECK(kernel.times[3] == KVX_FOREVER);

	/* A signal that comes with the last look does not ask for another. */
	fresh(0, 100, 0);
	CHECK_EQ(kvx_wait_event(agent, STEP, &events), 0);
	CHECK_EQ(events, 0);
	CHECK_EQ(kernel.calls, 2);
	CHECK_EQ(kernel.times[1], 0);
	fresh(0, 1, 0);
	CHECK_EQ(kvx_wait_event(agent, STEP, &events), 0);
	CHECK_EQ(events, KVX_EVENT_NOTE);
}

TEST(what_has_no_limit_begins_again)
{
	const struct kvx_grant grant = { handle, 0, 0, 0, { 0 } };

	fresh(KVXFER_IOC_NOTE_SEND, 4, 0);
	CHECK_EQ(kvx_note_send(agent, 1, "x", 1, KVX_NOTE_WAIT), 0);
	CHECK_EQ(kernel.calls, 5);
	CHECK_EQ(kernel.flags, KVXFER_NOTE_SEND_WAIT);
	fresh(KVXFER_IOC_LAYOUT_UNREGISTER, 4, 0);
	CHECK_EQ(kvx_layout_unregister_flags(agent, handle, KVX_UNREGISTER_WAIT), 0);
	CHECK_EQ(kernel.calls, 5);
	fresh(KVXFER_IOC_REVOKE, 4, 0);
	CHECK_EQ(kvx_revoke(agent, &grant), 0);
	CHECK_EQ(kernel.calls, 5);
	/* A post waits for another driver's memory, before it begins. */
	fresh_xfer(0, 0);
	kernel.nr = KVXFER_IOC_XFER_POST;
	kernel.signals = 2;
	CHECK_EQ(kvx_xfer_post(xfer), 0);
	CHECK_EQ(kernel.calls, 3);
	CHECK_EQ(kernel.clocks, 0);
}

TEST(another_node_is_waited_for_as_long)
{
	struct kvx_peer *peer;
	size_t bytes;
	void *blob;

	fresh(KVXFER_IOC_PEER_CONNECT, 2, 0);
	blob = make_blob(&bytes);
	CHECK_EQ(kvx_connect(agent, blob, bytes, 1000), 0);
	CHECK_EQ(kernel.calls, 3);
	CHECK_EQ(kernel.times[2], 800);
	/* No time at all would be 30 s to the kernel: the last is the shortest there is. */
	fresh(KVXFER_IOC_PEER_CONNECT, 2, 0);
	kernel.error = EHOSTUNREACH;
	kernel.reason = KVXFER_REASON_PEER_REFUSED;
	CHECK_EQ(kvx_connect(agent, blob, bytes, 2 * STEP), -EHOSTUNREACH);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_PEER_REFUSED);
	CHECK_EQ(kernel.calls, 3);
	CHECK_EQ(kernel.times[2], 1);
	/* And when a signal ends that, it is as if it had been over. */
	fresh(KVXFER_IOC_PEER_CONNECT, 100, 0);
	CHECK_EQ(kvx_connect(agent, blob, bytes, 2 * STEP), -EHOSTUNREACH);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_PEER_REMOTE);
	CHECK_EQ(kvx_last_error()->index, ETIMEDOUT);
	CHECK_EQ(kernel.calls, 3);
	/* That only begins it, or asks. */
	fresh(KVXFER_IOC_PEER_CONNECT, 0, 0);
	CHECK_EQ(kvx_connect(agent, blob, bytes, 0), 0);
	CHECK_EQ(kernel.flags, KVXFER_PEER_CONNECT_NOWAIT);

	fresh(KVXFER_IOC_LAYOUT_IMPORT, 3, 0);
	CHECK_EQ(kvx_import_metadata(agent, blob, bytes, &peer), 0);
	CHECK_EQ(kernel.calls, 4);
	CHECK_EQ(kernel.times[0], 30000000000);
	CHECK_EQ(kernel.times[3], 30000000000 - 3 * STEP);
	kvx_peer_free(peer);

	fresh(KVXFER_IOC_LAYOUT_IMPORT, 1, 0);
	CHECK_EQ(kvx_import(agent, blob, bytes, 5 * STEP, &peer), 0);
	CHECK_EQ(kernel.times[0], 5 * STEP);
	CHECK_EQ(kernel.times[1], 4 * STEP);
	kvx_peer_free(peer);
	free(blob);
}

TEST(a_transfer_in_one_call_begins_once)
{
	struct kvx_result result = KVX_RESULT_INIT;

	fresh(KVXFER_IOC_XFER_WAIT, 3, 0);
	CHECK_EQ(exec(&result), 0);
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(kernel.all, 6);
	CHECK_EQ(kernel.nrs[0], KVXFER_IOC_XFER_PREP);
	for (int i = 1; i < 5; i++)
		CHECK_EQ(kernel.nrs[i], KVXFER_IOC_XFER_WAIT);
	CHECK_EQ(kernel.nrs[5], KVXFER_IOC_XFER_RELEASE);
	for (int i = 0; i < 4; i++)
		CHECK(kernel.times[i] == KVX_FOREVER);

	/* What is small has ended when it was posted. */
	fresh(KVXFER_IOC_XFER_WAIT, 3, 0);
	kernel.state = KVX_XFER_DONE;
	CHECK_EQ(exec(&result), 0);
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(kernel.all, 2);
	CHECK_EQ(kernel.nrs[1], KVXFER_IOC_XFER_RELEASE);

	/* What a signal keeps from beginning is made anew; what is refused leaves nothing. */
	fresh(KVXFER_IOC_XFER_PREP, 2, 0);
	CHECK_EQ(exec(NULL), 0);
	CHECK_EQ(kernel.calls, 3);
	CHECK_EQ(kernel.flags, KVXFER_XFER_POST);
	CHECK_EQ(kernel.all, 5);
	fresh(KVXFER_IOC_XFER_PREP, 0, 0);
	kernel.error = ENOENT;
	kernel.reason = KVXFER_REASON_HANDLE_UNKNOWN;
	CHECK_EQ(exec(NULL), -ENOENT);
	CHECK_EQ(kernel.all, 1);
}

TEST(flags_of_another_age)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	unsigned int events;

	fresh(0, 2, 0);
	kvx_close(agent);
	opts.flags = 1U << 31;
	CHECK_EQ(kvx_open(&agent, &opts), -E2BIG);
	CHECK(!agent);
	/* Who is older than the flags has none. */
	opts.flags = ~0U;
	opts.size = offsetof(struct kvx_open_opts, flags);
	CHECK_EQ(kvx_open(&agent, &opts), 0);
	CHECK_EQ(kvx_wait_event(agent, 1000, &events), 0);
	CHECK_EQ(kernel.calls, 3);
}
