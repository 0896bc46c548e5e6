/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test program in C: include this once, write TEST(name) { ... }, and that is all. It prints
 * KTAP, runs the cases in the order they stand in, and returns 0 when all passed. A CHECK that
 * fails ends its case. Arguments name the cases to run; none: all.
 */
#ifndef KTAP_H
#define KTAP_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A case that takes longer hangs. On a machine that is slow, it may take longer. */
#ifndef KTAP_CASE_LIMIT_S
#define KTAP_CASE_LIMIT_S	120
#endif

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct ktap_case {
	const char *name;
	void (*run)(void);
	struct ktap_case *next;
};

/* Whether the kernel we are in is that one, or one of those whose names begin so: "debian-". */
static inline bool lab_is(const char *name)
{
	const char *lab = getenv("LAB") ?: "";

	return !strncmp(lab, name, strlen(name)) &&
	       (!lab[strlen(name)] || name[strlen(name) - 1] == '-');
}

static inline bool long_run(void)
{
	return *(getenv("KVX_LONG") ?: "");
}

/*
 * Rounds of a test whose subject is chance: on a kernel at native speed, on one with every checker,
 * on an emulated machine, and at native speed by `make test-long`; the others then do a part of it.
 */
static inline int rounds(int native, int debug, int emulated, int many)
{
	if (lab_is("uml-debug"))
		return long_run() && many / 8 > debug ? many / 8 : debug;
	if (lab_is("debian-"))
		return long_run() && many / 16 > emulated ? many / 16 : emulated;
	return long_run() ? many : native;
}

/* A limit of time, in any unit, on a machine as slow as this one was measured to be. */
static inline unsigned int patient(unsigned int time)
{
	const char *slow = getenv("KVX_SLOW");

	return slow && atoi(slow) > 100 ? (uint64_t)time * atoi(slow) / 100 : time;
}

static struct ktap_case *ktap_first, **ktap_last = &ktap_first;
static const char *ktap_name;
static int ktap_number;
static jmp_buf ktap_failed;

#define TEST(fn)							\
	static void fn(void);						\
	static struct ktap_case ktap_##fn = { #fn, fn, NULL };		\
	__attribute__((constructor)) static void ktap_add_##fn(void)	\
	{								\
		*ktap_last = &ktap_##fn;				\
		ktap_last = &ktap_##fn.next;				\
	}								\
	static void fn(void)

#define FAIL(fmt, ...) do {						\
	printf("# %s:%d: " fmt "\n", __FILE__, __LINE__, ##__VA_ARGS__);	\
	longjmp(ktap_failed, 1);					\
} while (0)

#define CHECK(cond) do {						\
	if (!(cond))							\
		FAIL("%s (errno %d)", #cond, errno);			\
} while (0)

#define CHECK_EQ(a, b) do {						\
	const long long ktap_a = (long long)(a), ktap_b = (long long)(b);	\
	if (ktap_a != ktap_b)						\
		FAIL("%s is %lld, not %s, %lld", #a, ktap_a, #b, ktap_b);	\
} while (0)

#define CHECK_STR(a, b) do {						\
	const char *ktap_a = (a), *ktap_b = (b);			\
	if (strcmp(ktap_a, ktap_b))					\
		FAIL("%s is \"%s\", not \"%s\"", #a, ktap_a, ktap_b);	\
} while (0)

static void ktap_time_is_up(int sig)
{
	char line[160];
	int n;

	(void)sig;
	n = snprintf(line, sizeof(line), "not ok %d %s # hangs\n", ktap_number, ktap_name);
	if (write(STDOUT_FILENO, line, n) != n)
		_exit(2);
	_exit(1);
}

/* A function of its own, so that no variable of the caller's is at stake. */
static bool ktap_passes(const struct ktap_case *c)
{
	if (setjmp(ktap_failed))
		return false;
	c->run();
	return true;
}

int main(int argc, char **argv)
{
	const struct ktap_case *c;
	int n = 0, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, ktap_time_is_up);
	for (c = ktap_first; c; c = c->next)
		n++;
	printf("KTAP version 1\n1..%d\n", argc > 1 ? argc - 1 : n);
	for (c = ktap_first; c; c = c->next) {
		bool wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= !strcmp(argv[i], c->name);
		if (!wanted)
			continue;
		ktap_name = c->name;
		ktap_number++;
		alarm(patient(KTAP_CASE_LIMIT_S));
		if (ktap_passes(c)) {
			printf("ok %d %s\n", ktap_number, c->name);
		} else {
			printf("not ok %d %s\n", ktap_number, c->name);
			bad = 1;
			/* The other node would be in another case than this one. */
			if (atoi(getenv("NODES") ?: "1") == 2) {
				puts("Bail out!");
				break;
			}
		}
		alarm(0);
	}
	return bad;
}

#endif /* KTAP_H */
