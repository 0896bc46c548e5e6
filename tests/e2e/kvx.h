/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests that speak through the library have in common. */
#ifndef KVX_TEST_H
#define KVX_TEST_H

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/kvxfer.h>

#include "kvxfer.h"
#include "../ktap.h"

#define MIB	(1ULL << 20)
#define PAGE	4096UL
#define REASON(r)	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_##r)
#define OK(call) do {							\
	if (call)							\
		FAIL("%s: %s", #call, kvx_last_error()->text);		\
} while (0)

static inline struct kvx_agent *open_agent(void)
{
	struct kvx_agent *agent;

	OK(kvx_open(&agent, NULL));
	return agent;
}

static inline struct kvx_info query(struct kvx_agent *agent)
{
	struct kvx_info info = KVX_INFO_INIT;

	OK(kvx_query(agent, &info));
	return info;
}

static inline struct kvx_pool_stat stat_of(struct kvx_pool *pool)
{
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;

	OK(kvx_pool_stat(pool, &st));
	return st;
}

/* Pools that a mapping was the last to hold are freed by a worker: wait until all are gone. */
static inline void settle(struct kvx_agent *agent)
{
	while (query(agent).pool_bytes)
		sched_yield();
}

/* How a test ends: its agent goes with all that it owns, and then nothing is left on this node. */
static inline void close_and_settle(struct kvx_agent *agent)
{
	kvx_close(agent);
	agent = open_agent();
	settle(agent);
	kvx_close(agent);
}

/* Runs @fn in a child, as nobody with @gid if that is not -1; its return value comes back. */
static inline int in_child(int (*fn)(void *), void *arg, gid_t gid)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		if (gid != (gid_t)-1 && (setgroups(1, &gid) || setgid(65534) || setuid(65534)))
			_exit(99);
		_exit(fn(arg));
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static inline void put_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		FAIL("%s: errno %d", path, errno);
	close(fd);
}

static inline void put_param(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/kvxfer/parameters/%s", name);
	put_file(path, value);
}

static inline int sealed_memfd(unsigned int flags, uint64_t bytes, unsigned int seals)
{
	int fd = memfd_create("pool", MFD_ALLOW_SEALING | flags);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, bytes), 0);
	CHECK(!seals || !fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

/* A number from /proc/meminfo and its like: "HugePages_Free:  8". */
static inline long proc_number(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	char line[256];
	long n = -1;

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':') {
			n = strtol(line + strlen(key) + 1, NULL, 10);
			break;
		}
	fclose(f);
	return n;
}

/* The number that a file holds. */
static inline long proc_value(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		FAIL("%s: errno %d", path, errno);
	close(fd);
	return atol(text);
}

#endif /* KVX_TEST_H */
