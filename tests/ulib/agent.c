// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library against kernels that are not there: older, newer, refusing. open, close and ioctl are
 * ours (linked with --wrap), so that every answer can be had.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <linux/kvxfer.h>

#include "kvxfer.h"
#include "../ktap.h"

#define FD	1000

static struct {
	int open_errno;
	int ioctl_errno;
	uint32_t reason, index;
	uint32_t kernel_size;	/* how much of QUERY this kernel knows */
	int closed, flags;
	char path[64];
	struct kvxfer_agent_set set;
} kernel;

int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_ioctl(int fd, unsigned long nr, ...);

int __wrap_open(const char *path, int flags, ...)
{
	snprintf(kernel.path, sizeof(kernel.path), "%s", path);
	kernel.flags = flags;
	if (!kernel.open_errno)
		return FD;
	errno = kernel.open_errno;
	return -1;
}

int __wrap_close(int fd)
{
	kernel.closed += fd == FD;
	return 0;
}

int __wrap_ioctl(int fd, unsigned long nr, ...)
{
	struct kvxfer_query answer = {
		.out_abi_version = 1,
		.out_boot_id = 0x1122334455667788,
		.out_agent_id = 3,
		.out_agents = 4,
		.out_agents_max = 5,
		.out_version = "9.9",
		.out_name = "me",
	};
	struct kvxfer_hdr *hdr;
	va_list args;

	if (fd != FD)
		abort();
	va_start(args, nr);
	hdr = va_arg(args, struct kvxfer_hdr *);
	va_end(args);
	if (nr == KVXFER_IOC_AGENT_SET)
		memcpy(&kernel.set, hdr, sizeof(kernel.set));
	/* QUERY works, so that kvx_open() gets as far as its options. */
	if (kernel.ioctl_errno && nr != KVXFER_IOC_QUERY) {
		hdr->reason = kernel.reason;
		hdr->index = kernel.index;
		errno = kernel.ioctl_errno;
		return -1;
	}
	if (nr == KVXFER_IOC_QUERY) {
		answer.hdr = *hdr;
		memcpy(hdr, &answer, kernel.kernel_size ?: sizeof(answer));
	}
	return 0;
}

static struct kvx_agent *fresh(void)
{
	struct kvx_agent *agent;

	memset(&kernel, 0, sizeof(kernel));
	CHECK_EQ(kvx_open(&agent, NULL), 0);
	return agent;
}

TEST(the_device_is_opened_for_both_ways_and_not_inherited)
{
	struct kvx_agent *agent = fresh();

	CHECK_STR(kernel.path, "/dev/kvxfer");
	CHECK_EQ(kernel.flags, O_RDWR | O_CLOEXEC);
	CHECK_EQ(kvx_fd(agent), FD);
	kvx_close(agent);
	CHECK_EQ(kernel.closed, 1);
	kvx_close(NULL);
}

TEST(an_open_that_fails_says_why_and_leaves_nothing)
{
	static const struct {
		int error;
		const char *text;
	} cases[] = {
		{ ENOENT, "/dev/kvxfer: no such device: the kvxfer module is not loaded" },
		{ ENXIO, "/dev/kvxfer: no such device: the kvxfer module is not loaded" },
		{ EACCES, "/dev/kvxfer: you may not open it" },
		{ ENFILE, "/dev/kvxfer: too many agents are open on this node (max_agents)" },
		{ EIO, "/dev/kvxfer: Input/output error" },
	};
	struct kvx_agent *agent;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&kernel, 0, sizeof(kernel));
		kernel.open_errno = cases[i].error;
		agent = (void *)1;
		CHECK_EQ(kvx_open(&agent, NULL), -cases[i].error);
		CHECK(!agent);
		CHECK_EQ(kvx_last_error()->error, cases[i].error);
		CHECK_STR(kvx_last_error()->text, cases[i].text);
		CHECK_EQ(kernel.closed, 0);
	}
}

TEST(options_that_are_refused_close_the_device_again)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	const uint64_t worker_id = 9;
	struct kvx_agent *agent;

	memset(&kernel, 0, sizeof(kernel));
	kernel.ioctl_errno = EEXIST;
	kernel.reason = KVXFER_REASON_WORKER_ID_TAKEN;
	kernel.index = 12;
	opts.worker_id = &worker_id;
	CHECK_EQ(kvx_open(&agent, &opts), -EEXIST);
	CHECK(!agent);
	CHECK_EQ(kernel.closed, 1);
	CHECK_EQ(kernel.set.worker_id, 9);
	CHECK_EQ(kernel.set.hdr.flags, KVXFER_AGENT_SET_WORKER_ID);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_WORKER_ID_TAKEN);
	CHECK_EQ(kvx_last_error()->index, 12);
	CHECK_STR(kvx_last_error()->text,
		  "set worker_id: another agent of this node has this worker_id: agent 12 [EEXIST]");
}

TEST(every_reason_has_a_name_and_words)
{
	struct kvx_agent *agent = fresh();

	for (unsigned int reason = 0; reason < KVXFER_REASON_NR; reason++) {
		CHECK(strlen(kvx_reason_name(reason)) > 3);
		CHECK(strlen(kvx_reason_text(reason)) > 10);
		for (unsigned int other = 0; other < reason; other++)
			CHECK(strcmp(kvx_reason_name(reason), kvx_reason_name(other)));
		kernel.ioctl_errno = EINVAL;
		kernel.reason = reason;
		kernel.index = 4294967295U;
		CHECK_EQ(kvx_set_name(agent, "x"), -EINVAL);
		CHECK_EQ(kvx_last_error()->reason, reason);
		if (reason && reason != KVXFER_REASON_WORKER_ID_TAKEN)
			CHECK(strstr(kvx_last_error()->text, kvx_reason_text(reason)));
	}
	kernel.reason = 9999;
	CHECK_EQ(kvx_set_name(agent, "x"), -EINVAL);
	CHECK(strstr(kvx_last_error()->text, "too old to know: reason 9999, index 4294967295"));
	CHECK_STR(kvx_reason_name(UINT32_MAX), "UNKNOWN");
	/* What a node refuses is in words, too. */
	kernel.reason = KVXFER_REASON_PEER_REFUSED;
	kernel.index = KVXFER_REFUSAL_BOOT;
	CHECK_EQ(kvx_set_name(agent, "x"), -EINVAL);
	CHECK(strstr(kvx_last_error()->text, kvx_refusal_text(KVXFER_REFUSAL_BOOT)));
	for (unsigned int refusal = 0; refusal < 100; refusal++)
		CHECK(strlen(kvx_refusal_text(refusal)) > 10);
	CHECK(strstr(kvx_refusal_text(UINT32_MAX), "too old to know"));
	kvx_close(agent);
}

TEST(an_older_kernel_leaves_what_it_does_not_know_zero)
{
	struct kvx_agent *agent = fresh();
	struct kvx_info info = KVX_INFO_INIT;

	kernel.kernel_size = offsetof(struct kvxfer_query, out_epoch);
	CHECK_EQ(kvx_query(agent, &info), 0);
	CHECK(info.boot_id == 0x1122334455667788);
	CHECK_EQ(info.agents, 0);
	CHECK_STR(info.version, "");
	kvx_close(agent);
}

TEST(older_and_newer_callers_get_what_they_have_room_for)
{
	struct kvx_agent *agent = fresh();
	struct {
		struct kvx_info info;
		uint64_t later, guard;
	} newer = { KVX_INFO_INIT, 7, 7 };
	struct kvx_info older = KVX_INFO_INIT;

	newer.info.size = sizeof(newer.info) + sizeof(newer.later);
	CHECK_EQ(kvx_query(agent, &newer.info), 0);
	CHECK_STR(newer.info.name, "me");
	CHECK_EQ(newer.later, 0);
	CHECK_EQ(newer.guard, 7);

	memset(&older, 0x5a, sizeof(older));
	older.size = offsetof(struct kvx_info, epoch);
	CHECK_EQ(kvx_query(agent, &older), 0);
	CHECK(older.boot_id == 0x1122334455667788);
	CHECK(older.epoch == 0x5a5a5a5a5a5a5a5a);

	older.size = 0;
	CHECK_EQ(kvx_query(agent, &older), -EINVAL);
	CHECK(strstr(kvx_last_error()->text, "no size is set"));
	kvx_close(agent);
}

TEST(options_of_another_age)
{
	struct {
		struct kvx_open_opts opts;
		void *later;
	} newer = { KVX_OPEN_OPTS_INIT, NULL };
	struct kvx_open_opts older = KVX_OPEN_OPTS_INIT;
	struct kvx_agent *agent;

	memset(&kernel, 0, sizeof(kernel));
	newer.opts.size = sizeof(newer);
	CHECK_EQ(kvx_open(&agent, &newer.opts), 0);
	kvx_close(agent);
	newer.later = &newer;
	CHECK_EQ(kvx_open(&agent, &newer.opts), -E2BIG);

	older.size = offsetof(struct kvx_open_opts, name);
	older.device = "/dev/other";
	older.name = (const char *)1;
	CHECK_EQ(kvx_open(&agent, &older), 0);
	CHECK_STR(kernel.path, "/dev/other");
	kvx_close(agent);
	older.size = 0;
	CHECK_EQ(kvx_open(&agent, &older), -EINVAL);
}

TEST(a_long_name_goes_to_the_kernel_without_its_end)
{
	struct kvx_agent *agent = fresh();
	char name[100];

	memset(name, 'n', sizeof(name));
	name[99] = 0;
	CHECK_EQ(kvx_set_name(agent, name), 0);
	for (int i = 0; i < KVXFER_NAME_MAX; i++)
		CHECK_EQ(kernel.set.name[i], 'n');
	name[63] = 0;
	CHECK_EQ(kvx_set_name(agent, name), 0);
	CHECK_EQ(kernel.set.name[62], 'n');
	CHECK_EQ(kernel.set.name[63], 0);
	kvx_close(agent);
}

static void *fail_elsewhere(void *arg)
{
	CHECK_EQ(kvx_last_error()->error, 0);
	CHECK_EQ(kvx_set_name(arg, "x"), -EINVAL);
	CHECK_EQ(kvx_last_error()->error, EINVAL);
	return NULL;
}

TEST(an_error_belongs_to_its_thread)
{
	struct kvx_agent *agent = fresh();
	pthread_t thread;

	kernel.ioctl_errno = EPERM;
	CHECK_EQ(kvx_set_name(agent, "x"), -EPERM);
	kernel.ioctl_errno = EINVAL;
	CHECK_EQ(pthread_create(&thread, NULL, fail_elsewhere, agent), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(kvx_last_error()->error, EPERM);
	CHECK_STR(kvx_last_error()->text, "set name: Operation not permitted");
	kvx_close(agent);
}
