/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Benchmarks: what is measured is measured beside what people use today, in the same run, several
 * times in turn; the median of each counts, and the ratio is what is to be looked at.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB	(1ULL << 20)
#define PAGE	4096UL
#define ROUNDS	5

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* --quick: see that all of it works; the numbers mean nothing. */
static bool bench_quick;

#define MUST(cond) do {								\
	if (!(cond)) {								\
		fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__,	\
			#cond, errno);						\
		exit(1);							\
	}									\
} while (0)

static inline double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1000000000.0;
}

static inline int bench_compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double bench_median(double *values, int n)
{
	qsort(values, n, sizeof(*values), bench_compare);
	return values[n / 2];
}

/* Seconds that @ours and @theirs take, in turn; each says its own. @theirs may be NULL. */
static inline void bench_pair(double (*ours)(void *), double (*theirs)(void *), void *arg,
			      double *our_s, double *their_s)
{
	double a[ROUNDS], b[ROUNDS];
	const int n = bench_quick ? 1 : ROUNDS;

	for (int i = 0; i < n; i++) {
		a[i] = ours(arg);
		b[i] = theirs ? theirs(arg) : 0;
	}
	*our_s = bench_median(a, n);
	*their_s = bench_median(b, n);
}

static inline void bench_head(const char *theirs)
{
	printf("%-44s %12s %12s  %s\n", "", "kvxfer", theirs, "ratio");
}

/* @ratio says how much better we are (above 1), or as the line's name says. */
static inline void bench_line(const char *name, double ours, double theirs, const char *unit,
			      double ratio)
{
	printf("%-44s %8.2f %-4s %7.2f %-4s %6.2f\n", name, ours, unit, theirs, unit, ratio);
}

static inline void bench_options(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--quick")) {
			bench_quick = true;
			continue;
		}
		fprintf(stderr, "usage: %s [--quick]\n", argv[0]);
		exit(2);
	}
}

#endif /* BENCH_H */
