// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads of one agent against each other: numbers are small and can be guessed, so what one thread
 * is being given, another closes.
 * Lanes: uml-smp uml-debug debian-6.12
 * Emulated: threads of one process at once in user space, too
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/ioctl.h>

#include "kvx.h"

static struct kvx_agent *agent;
static volatile bool stop;

/* Closes whatever is open, and opens the victim in its place. */
static void *spoil(void *arg)
{
	const int fd = kvx_fd(agent);

	(void)arg;
	while (!stop) {
		struct kvxfer_pool_open open = { .hdr.size = sizeof(open), .name = "victim" };

		for (uint32_t handle = 1; handle < 5; handle++) {
			struct kvxfer_pool_close close = {
				.hdr.size = sizeof(close), .pool = handle,
			};

			ioctl(fd, KVXFER_IOC_POOL_CLOSE, &close);
		}
		ioctl(fd, KVXFER_IOC_POOL_OPEN, &open);
		sched_yield();
	}
	return NULL;
}

/* A struct that can be read, and written in its header only. */
static void *half_writable(const void *cmd, size_t size)
{
	unsigned char *room = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *at = room + PAGE - sizeof(struct kvxfer_hdr);

	CHECK(room != MAP_FAILED);
	memcpy(at, cmd, size);
	CHECK_EQ(mprotect(room + PAGE, PAGE, PROT_READ), 0);
	return at;
}

static void with_a_spoiler(void (*fn)(int fd))
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_agent *owner = open_agent();
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	struct kvx_pool *victim;
	pthread_t thread;

	agent = open_agent();
	opts.name = "victim";
	OK(kvx_pool_create(owner, &victim, PAGE, &opts));
	stop = false;
	CHECK_EQ(pthread_create(&thread, NULL, spoil, NULL), 0);
	fn(kvx_fd(agent));
	stop = true;
	CHECK_EQ(pthread_join(thread, NULL), 0);
	/* The victim has kept its name, and nothing else is left. */
	OK(kvx_pool_stat_name(owner, "victim", &st));
	kvx_close(agent);
	CHECK_EQ(stat_of(victim).opens, 1);
	OK(kvx_pool_unlink(owner, "victim"));
	kvx_pool_close(victim);
	settle(owner);
	kvx_close(owner);
}

static void make_and_open(int fd)
{
	for (int i = 0; i < rounds(3000, 1000, 1000, 50000); i++) {
		struct kvxfer_pool_create create = {
			.hdr.size = sizeof(create), .bytes = PAGE, .mode = 0600,
		};
		struct kvxfer_pool_open open = { .hdr.size = sizeof(open), .name = "victim" };

		CHECK_EQ(ioctl(fd, KVXFER_IOC_POOL_CREATE, &create), 0);
		CHECK_EQ(create.out_bytes, PAGE);
		CHECK_EQ(ioctl(fd, KVXFER_IOC_POOL_OPEN, &open), 0);
		CHECK_EQ(open.out_bytes, PAGE);
		CHECK_EQ(open.out_kind, KVXFER_POOL_KERNEL);
	}
}

TEST(what_is_being_given_is_not_taken_away_half_way)
{
	with_a_spoiler(make_and_open);
}

static void make_and_not_be_told(int fd)
{
	struct kvxfer_pool_create create = {
		.hdr.size = sizeof(create), .bytes = PAGE, .mode = 0600, .name = "untold",
	};
	struct kvxfer_pool_open open = { .hdr.size = sizeof(open), .name = "victim" };
	void *half_create = half_writable(&create, sizeof(create));
	void *half_open = half_writable(&open, sizeof(open));

	for (int i = 0; i < rounds(3000, 1000, 1000, 50000); i++) {
		/* Each is undone, name and all, or the next would find the name taken. */
		CHECK(ioctl(fd, KVXFER_IOC_POOL_CREATE, half_create) == -1 && errno == EFAULT);
		CHECK(ioctl(fd, KVXFER_IOC_POOL_OPEN, half_open) == -1 && errno == EFAULT);
	}
}

TEST(what_nobody_could_be_told_of_is_undone_and_nothing_else)
{
	with_a_spoiler(make_and_not_be_told);
}
