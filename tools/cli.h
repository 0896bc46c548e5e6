/* SPDX-License-Identifier: GPL-2.0-only */
/* What the command line's files know of each other. */
#ifndef CLI_H
#define CLI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvxfer.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Exit statuses. */
enum {
	CLI_OK		= 0,
	CLI_FAILED	= 1,	/* it was tried and did not work */
	CLI_USAGE	= 2,	/* it was not understood, and not tried */
};

struct cli_command {
	const char *name;
	const char *args;
	const char *summary;
	const char *help;
	int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_help, cli_info, cli_pool;
const struct cli_command *cli_find(const char *name);
void cli_list(void);

/* Say "kvxfer: ..." on standard error. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same about the command's words, with a pointer to its help; returns CLI_USAGE. */
int cli_usage(const struct cli_command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The word that getopt_long() stumbled over. */
const char *cli_word(char **argv);

/* Say what the library's last error was; returns CLI_FAILED. */
int cli_failed(void);

/* diagnose.c: open the device, or say what is in the way and what mends it. */
struct kvx_agent *cli_open(const char *device);

/* units.c: "64G", "512MiB", "4096", 1024 to a step; the other way, as short as is exact. */
bool cli_parse_size(const char *text, uint64_t *bytes);
void cli_format_size(char text[16], uint64_t bytes);

/* Digits and nothing else, of @base (0: as in C), up to @max. */
bool cli_parse_number(const char *text, int base, uint64_t max, uint64_t *number);

/* A bar on a terminal, and nothing elsewhere; who works counts in @done. Begins as zeros. */
struct cli_bar {
	const char *what;
	uint64_t total;
	volatile uint64_t done;
	volatile bool stop;
	bool shown;
	pthread_t thread;
};

void cli_bar_begin(struct cli_bar *bar, const char *what, uint64_t total);
void cli_bar_end(struct cli_bar *bar);

/* pool_make.c, pool_data.c: parts of cmd_pool.c. */
int pool_create(int argc, char **argv);
int pool_load(const char *path, bool check);
int pool_fill(const char *name, uint64_t seed, bool zero, bool json);
int pool_sum(const char *name, bool json);

/* json.c: a writer that knows where commas go. NULL for @key inside arrays. */
struct json {
	int depth;
	bool some[8];
};

void json_begin(struct json *js, const char *key, char bracket);
void json_end(struct json *js, char bracket);
void json_text(struct json *js, const char *key, const char *value);
void json_number(struct json *js, const char *key, uint64_t value);
/* 64-bit ids are texts: half of JSON's readers keep 53 bits of a number. */
void json_hex(struct json *js, const char *key, uint64_t value, int digits);

#endif /* CLI_H */
