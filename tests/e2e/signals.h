/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread in a call that waits, and signals that wake it there. */
#ifndef KVX_TEST_SIGNALS_H
#define KVX_TEST_SIGNALS_H

#include <pthread.h>
#include <signal.h>

#include "kvx.h"

/* It says what it was told. */
struct sleeper {
	pthread_t thread;
	int (*call)(void *arg);
	void *arg;
	int tid;
	int err;
	unsigned int reason;
	bool over;
};

static int signals_seen;

static void see_signal(int sig)
{
	(void)sig;
	__atomic_fetch_add(&signals_seen, 1, __ATOMIC_RELEASE);
}

static void *sleeps(void *arg)
{
	struct sleeper *sleeper = arg;

	__atomic_store_n(&sleeper->tid, gettid(), __ATOMIC_RELEASE);
	sleeper->err = sleeper->call(sleeper->arg);
	sleeper->reason = kvx_last_error()->reason;
	__atomic_store_n(&sleeper->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline void begin_sleep(struct sleeper *sleeper, int (*call)(void *arg), void *arg)
{
	/* Without SA_RESTART: whatever can be interrupted is. */
	const struct sigaction action = { .sa_handler = see_signal };

	CHECK(!sigaction(SIGUSR1, &action, NULL));
	*sleeper = (struct sleeper){ .call = call, .arg = arg };
	CHECK(!pthread_create(&sleeper->thread, NULL, sleeps, sleeper));
}

/* Signals come until the call has ended: whenever it sleeps, one wakes it. */
static inline void interrupt(struct sleeper *sleeper, int (*call)(void *arg), void *arg)
{
	begin_sleep(sleeper, call, arg);
	while (!__atomic_load_n(&sleeper->over, __ATOMIC_ACQUIRE)) {
		pthread_kill(sleeper->thread, SIGUSR1);
		sched_yield();
	}
	CHECK(!pthread_join(sleeper->thread, NULL));
}

static inline bool is_asleep(const struct sleeper *sleeper)
{
	const int tid = __atomic_load_n(&sleeper->tid, __ATOMIC_ACQUIRE);
	char path[64], text[128] = "";
	const char *name_end;
	int fd;

	if (!tid)
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY);
	/* It may be over. */
	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	name_end = strrchr(text, ')');
	return name_end && name_end[2] == 'S';
}

/* Wake it by @nr signals, each when it sleeps again; it sleeps in the end, or the case hangs. */
static inline void disturb(struct sleeper *sleeper, int (*call)(void *arg), void *arg, int nr)
{
	int seen;

	begin_sleep(sleeper, call, arg);
	for (int i = 0; i <= nr; i++) {
		while (!is_asleep(sleeper)) {
			if (__atomic_load_n(&sleeper->over, __ATOMIC_ACQUIRE))
				FAIL("it has ended after %d signals: %d", i, sleeper->err);
			sched_yield();
		}
		if (i == nr)
			break;
		seen = __atomic_load_n(&signals_seen, __ATOMIC_ACQUIRE);
		CHECK(!pthread_kill(sleeper->thread, SIGUSR1));
		while (__atomic_load_n(&signals_seen, __ATOMIC_ACQUIRE) == seen)
			sched_yield();
	}
}

static inline int end_sleep(struct sleeper *sleeper)
{
	CHECK(!pthread_join(sleeper->thread, NULL));
	return sleeper->err;
}

#endif /* KVX_TEST_SIGNALS_H */
