// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer pool: list, show and remove pools; what makes and fills them is in pool_*.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define POOLS_CONF	"/etc/kvxfer/pools.conf"

static const char *const kinds[] = { "?", "kernel", "memfd", "user", "dmabuf" };

const char *pool_kind_name(uint32_t kind)
{
	return kinds[kind < ARRAY_SIZE(kinds) ? kind : 0];
}

/* The one node it is on, or "-" for several. */
static void format_node(char text[16], const struct kvx_pool_stat *st)
{
	strcpy(text, "-");
	for (int i = 0; i < KVX_NODES; i++)
		if (st->node_bytes[i] == st->bytes)
			snprintf(text, 16, "%d", i);
}

static void json_pool(struct json *js, const struct kvx_pool_stat *st)
{
	json_begin(js, NULL, '{');
	json_number(js, "id", st->id);
	json_text(js, "name", st->name);
	json_text(js, "kind", pool_kind_name(st->kind));
	json_number(js, "bytes", st->bytes);
	json_number(js, "page_bytes", st->page_bytes);
	json_number(js, "uid", st->uid);
	json_number(js, "gid", st->gid);
	json_number(js, "mode", st->mode);
	json_number(js, "opens", st->opens);
	json_number(js, "maps", st->maps);
	json_number(js, "exports", st->exports);
	json_number(js, "layouts", st->layouts);
	json_number(js, "linked", st->linked);
	json_number(js, "pid", st->pid);
	json_number(js, "age_ns", st->age_ns);
	json_begin(js, "chunks", '[');
	for (int i = 0; i < KVX_CHUNK_ORDERS; i++)
		json_number(js, NULL, st->chunks[i]);
	json_end(js, ']');
	json_begin(js, "node_bytes", '[');
	for (int i = 0; i < KVX_NODES; i++)
		json_number(js, NULL, st->node_bytes[i]);
	json_end(js, ']');
	json_end(js, '}');
}

static void print_row(const struct kvx_pool_stat *st)
{
	const char *name = st->linked ? st->name : st->name[0] ? "(unlinked)" : "-";
	char size[16], age[16], node[16], uid[16], gid[16];

	cli_format_size(size, st->bytes);
	cli_format_age(age, st->age_ns);
	format_node(node, st);
	printf("%-5u %-20s %10s %-7s %4s %-9s %-9s %04o %6u %5u %5s\n", st->id, name, size,
	       pool_kind_name(st->kind), node, cli_user_name(st->uid, uid),
	       cli_group_name(st->gid, gid), st->mode, st->opens, st->maps, age);
}

static int list(bool json)
{
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	struct kvx_agent *agent = cli_open(NULL);
	struct json js = {};
	uint32_t after = 0;

	if (!agent)
		return CLI_FAILED;
	if (json)
		json_begin(&js, NULL, '[');
	else
		printf("%-5s %-20s %10s %-7s %4s %-9s %-9s %-4s %6s %5s %5s\n", "ID", "NAME",
		       "SIZE", "KIND", "NODE", "OWNER", "GROUP", "MODE", "OPENS", "MAPS", "AGE");
	while (!kvx_pool_stat_next(agent, after, &st)) {
		after = st.id;
		if (json)
			json_pool(&js, &st);
		else
			print_row(&st);
	}
	if (json)
		json_end(&js, ']');
	if (kvx_last_error()->error != ENOENT)
		return cli_failed();
	kvx_close(agent);
	return CLI_OK;
}

static int show(const char *name, bool json)
{
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	struct kvx_agent *agent = cli_open(NULL);
	char size[16], age[16], uid[16], gid[16];
	struct json js = {};

	if (!agent)
		return CLI_FAILED;
	if (kvx_pool_stat_name(agent, name, &st))
		return cli_failed();
	kvx_close(agent);
	if (json) {
		json_pool(&js, &st);
		return CLI_OK;
	}
	cli_format_size(size, st.bytes);
	cli_format_age(age, st.age_ns);
	printf("name    %s (pool %" PRIu32 ")\n", st.name, st.id);
	printf("size    %s (%" PRIu64 " bytes)\n", size, st.bytes);
	printf("kind    %s\n", pool_kind_name(st.kind));
	printf("owner   %s, group %s, mode %04o\n", cli_user_name(st.uid, uid),
	       cli_group_name(st.gid, gid), st.mode);
	printf("made    %s ago by process %" PRIu32 "\n", age, st.pid);
	printf("in use  %" PRIu32 " opens, %" PRIu32 " mappings, %" PRIu32 " layouts, %" PRIu32
	       " dma-bufs\n", st.opens, st.maps, st.layouts, st.exports);
	for (int i = KVX_CHUNK_ORDERS - 1; i >= 0; i--) {
		cli_format_size(size, (uint64_t)sysconf(_SC_PAGESIZE) << i);
		if (st.chunks[i])
			printf("chunks  %" PRIu64 " of %s\n", st.chunks[i], size);
	}
	for (int i = 0; i < KVX_NODES; i++) {
		cli_format_size(size, st.node_bytes[i]);
		if (st.node_bytes[i])
			printf("node %d  %s\n", i, size);
	}
	return CLI_OK;
}

static int rm(const char *name)
{
	struct kvx_agent *agent = cli_open(NULL);

	if (!agent)
		return CLI_FAILED;
	if (kvx_pool_unlink(agent, name))
		return cli_failed();
	kvx_close(agent);
	return CLI_OK;
}

static int pool(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "seed", required_argument, NULL, 's' },
		{ "zero", no_argument, NULL, 'z' },
		{ "check", no_argument, NULL, 'c' },
		{ "all", no_argument, NULL, 'a' },
		{}
	};
	const char *what = argc > 1 ? argv[1] : "";
	bool json = false, seeded = false, zero = false, check = false, all = false;
	uint64_t seed = 0;
	int opt;

	argc--;
	argv++;
	if (!strcmp(what, "create"))
		return pool_create(argc, argv);
	while (argc > 0 && (opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == '?' ||
		    (opt == 's' && !cli_parse_number(optarg, 0, UINT64_MAX, &seed)))
			return cli_usage(&cli_pool, "what is '%s'?", cli_word(argv));
		json |= opt == 'j';
		seeded |= opt == 's';
		zero |= opt == 'z';
		check |= opt == 'c';
		all |= opt == 'a';
	}
	argc -= optind;
	argv += optind;
	if (all && (strcmp(what, "list") || argc || seeded || zero || check))
		return cli_usage(&cli_pool, "'%s' does not take that", what);
	if (!strcmp(what, "fill") && argc == 1 && !check && !(seeded && zero))
		return pool_fill(argv[0], seed, zero, json);
	if (!strcmp(what, "load") && argc <= 1 && !json && !seeded && !zero)
		return pool_load(argc ? argv[0] : POOLS_CONF, check);
	if (seeded || zero || check)
		return cli_usage(&cli_pool, "'%s' does not take that", what);
	if (!strcmp(what, "list") && !argc)
		return all ? pool_list_all(json) : list(json);
	if (!strcmp(what, "show") && argc == 1)
		return show(argv[0], json);
	if (!strcmp(what, "sum") && argc == 1)
		return pool_sum(argv[0], json);
	if (!strcmp(what, "rm") && argc == 1 && !json)
		return rm(argv[0]);
	return cli_usage(&cli_pool, "what is to be done?");
}

const struct cli_command cli_pool = {
	.name = "pool",
	.args = "create NAME SIZE [OPTION...] | list | show NAME | rm NAME |\n"
		"       fill NAME | sum NAME | load [FILE]",
	.summary = "make, list, show, fill and remove pools of pinned memory",
	.help = "create:\n"
		"  --numa N        all of it on NUMA node N\n"
		"  --kind KIND     kernel (the default) or hugetlb (pages of 2 MiB)\n"
		"  --mode MODE     who may open it: octal, 0660 unless given\n"
		"  --group GROUP   which group it belongs to\n"
		"list, show, fill, sum:\n"
		"  --json          as JSON\n"
		"list:\n"
		"  --all           those of everybody, whoever may open them; for root\n"
		"fill (with a pattern; prints the crc32c, as sum does):\n"
		"  --seed N        with another pattern\n"
		"  --zero          with zeros\n"
		"load (make the pools that FILE names, " POOLS_CONF " unless given):\n"
		"  --check         only read the file, and say what is wrong with it\n"
		"SIZE is a number of bytes, or 512M, 64GiB, 1T.\n",
	.run = pool,
};
