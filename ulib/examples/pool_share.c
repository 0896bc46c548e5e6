// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A pool outlives its maker: one process makes a named pool and fills it, and is killed with
 * SIGKILL in the midst of its life; another opens the pool by its name and finds every byte.
 *
 *	cc -o pool_share pool_share.c $(pkg-config --cflags --libs kvxfer)
 *	./pool_share [MIB]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kvxfer.h>

#define POOL_NAME	"pool-share-example"

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, kvx_last_error()->text);
	exit(1);
}

static uint64_t word(uint64_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15;
}

/* The first process: never comes back. */
static void make_fill_and_wait(uint64_t bytes, int ready)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	void *addr;
	uint64_t *words;

	opts.name = POOL_NAME;
	opts.mode = 0600;
	if (kvx_open(&agent, NULL) || kvx_pool_create(agent, &pool, bytes, &opts))
		die("maker");
	if (kvx_pool_map(pool, &addr, 0, 0, KVX_POOL_WRITE))
		die("maker");
	words = addr;
	for (uint64_t i = 0; i < bytes / sizeof(*words); i++)
		words[i] = word(i);
	if (write(ready, "!", 1) != 1)
		exit(1);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	const uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 16) << 20;
	struct kvx_pool_stat stat = KVX_POOL_STAT_INIT;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	uint64_t wrong = 0;
	const uint64_t *words;
	int ready[2];
	void *addr;
	char byte;
	pid_t pid;

	if (pipe(ready))
		return 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		close(ready[0]);
		make_fill_and_wait(bytes, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		fprintf(stderr, "the maker has failed\n");
		return 1;
	}
	printf("process %d has made the pool '%s' and filled it\n", (int)pid, POOL_NAME);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("process %d is dead\n", (int)pid);

	if (kvx_open(&agent, NULL) || kvx_pool_open(agent, &pool, POOL_NAME, KVX_POOL_READ) ||
	    kvx_pool_stat(pool, &stat) || kvx_pool_map(pool, &addr, 0, 0, KVX_POOL_READ))
		die("reader");
	words = addr;
	for (uint64_t i = 0; i < bytes / sizeof(*words); i++)
		wrong += words[i] != word(i);
	printf("process %d opens the pool that process %u made: %llu bytes, %llu words are wrong\n",
	       (int)getpid(), stat.pid, (unsigned long long)kvx_pool_bytes(pool),
	       (unsigned long long)wrong);

	/* The name goes now; the memory, with the last who uses it: that is this process. */
	if (kvx_pool_unlink(agent, POOL_NAME))
		die("reader");
	kvx_pool_unmap(addr, bytes);
	kvx_pool_close(pool);
	kvx_close(agent);
	return wrong ? 1 : 0;
}
