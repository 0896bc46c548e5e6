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

extern const struct cli_command cli_agent, cli_dev, cli_events, cli_help, cli_info, cli_key;
extern const struct cli_command cli_peer, cli_pool, cli_rail;
const struct cli_command *cli_find(const char *name);
void cli_list(void);

/* Say "kvxfer: ..." on standard error. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same about the command's words, with a pointer to its help; returns CLI_USAGE. */
int cli_usage(const struct cli_command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The word that getopt_long() stumbled over. */
const char *cli_word(char **argv);

/* Find --json among a command's words, and leave the others. False: there is another option. */
bool cli_words(const struct cli_command *cmd, int *argc, char ***argv, bool *json);

/* Say what the library's last error was; returns CLI_FAILED. */
int cli_failed(void);

/* diagnose.c: open the device, or say what is in the way and what mends it. */
struct kvx_agent *cli_open(const char *device);

/* What brings the module; @loaded is what to say when it is there. */
void cli_missing(const char *loaded);

/* Words for users, groups and times; numbers where there are none. */
const char *cli_user_name(uint32_t uid, char room[16]);
const char *cli_group_name(uint32_t gid, char room[16]);
void cli_format_age(char text[16], uint64_t ns);

/* units.c: "64G", "512MiB", "4096", 1024 to a step; the other way, as short as is exact. */
bool cli_parse_size(const char *text, uint64_t *bytes);
void cli_format_size(char text[16], uint64_t bytes);

/* For what only grows: "117.7MiB". */
void cli_format_about(char text[16], uint64_t bytes);

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
const char *pool_kind_name(uint32_t kind);

/* pool_all.c: the pools of all owners, by netlink. */
int pool_list_all(bool json);

/* json.c: a writer that knows where commas go. NULL for @key inside arrays. @flat: in one line. */
struct json {
	bool flat;
	int depth;
	bool some[8];
};

void json_begin(struct json *js, const char *key, char bracket);
void json_end(struct json *js, char bracket);
void json_text(struct json *js, const char *key, const char *value);
void json_number(struct json *js, const char *key, uint64_t value);
void json_signed(struct json *js, const char *key, int64_t value);
void json_bool(struct json *js, const char *key, bool value);
/* 64-bit ids are texts: half of JSON's readers keep 53 bits of a number. */
void json_hex(struct json *js, const char *key, uint64_t value, int digits);

#endif /* CLI_H */
