// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer pool: make, list, show and remove pools. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvxfer.h>
#include <linux/memfd.h>

#include "cli.h"

static const char *const kinds[] = { "?", "kernel", "memfd", "user" };

static const char *kind_name(uint32_t kind)
{
	return kinds[kind < ARRAY_SIZE(kinds) ? kind : 0];
}

/* "64G", "512MiB", "4096": 1024 to a step. */
static bool parse_size(const char *text, uint64_t *bytes)
{
	static const char steps[] = "KMGT";
	const char *step;
	char *end;
	uint64_t n;
	int shift = 0;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || text[0] == '-')
		return false;
	if (*end) {
		step = strchr(steps, *end);
		if (!step)
			return false;
		shift = 10 * (step - steps + 1);
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || (shift && n >> (64 - shift)))
		return false;
	*bytes = n << shift;
	return true;
}

static void format_size(char text[16], uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;

	while (i + 1 < ARRAY_SIZE(units) && bytes && !(bytes & 1023)) {
		bytes >>= 10;
		i++;
	}
	snprintf(text, 16, "%" PRIu64 "%s", bytes, units[i]);
}

static void format_age(char text[16], uint64_t ns)
{
	const uint64_t s = ns / 1000000000;

	if (s < 120)
		snprintf(text, 16, "%" PRIu64 "s", s);
	else if (s < 7200)
		snprintf(text, 16, "%" PRIu64 "m", s / 60);
	else if (s < 48 * 3600)
		snprintf(text, 16, "%" PRIu64 "h", s / 3600);
	else
		snprintf(text, 16, "%" PRIu64 "d", s / 86400);
}

static const char *user_name(uint32_t uid, char room[16])
{
	const struct passwd *user = getpwuid(uid);

	snprintf(room, 16, "%" PRIu32, uid);
	return user ? user->pw_name : room;
}

static const char *group_name(uint32_t gid, char room[16])
{
	const struct group *group = getgrgid(gid);

	snprintf(room, 16, "%" PRIu32, gid);
	return group ? group->gr_name : room;
}

/* The one node it is on, or "-" for several. */
static void format_node(char text[16], const struct kvx_pool_stat *st)
{
	strcpy(text, "-");
	for (int i = 0; i < KVX_NODES; i++)
		if (st->node_bytes[i] == st->bytes)
			snprintf(text, 16, "%d", i);
}

static int failed(void)
{
	cli_error("%s", kvx_last_error()->text);
	return CLI_FAILED;
}

/*
 * --- create -------------------------------------------------------------------------------------
 */

struct bar {
	uint64_t total;
	volatile uint64_t done;
	volatile bool stop;
};

static void *show_bar(void *arg)
{
	static const char full[] = "########################################";
	struct bar *bar = arg;

	while (!bar->stop) {
		const int part = bar->done * 40 / bar->total;

		fprintf(stderr, "\r[%-40.*s] %3d%% ", part, full,
			(int)(bar->done * 100 / bar->total));
		usleep(100000);
	}
	fprintf(stderr, "\r%50s\r", "");
	return NULL;
}

static bool parse_group(const char *text, int *gid)
{
	const struct group *group = getgrnam(text);
	char *end;

	if (group) {
		*gid = group->gr_gid;
		return true;
	}
	*gid = strtol(text, &end, 10);
	return *text && !*end;
}

/* A memfd of 2 MiB pages, sealed as the kernel wants it. */
static int huge_memfd(uint64_t bytes)
{
	int fd = memfd_create("kvxfer", MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);

	if (fd >= 0 && !ftruncate(fd, bytes) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return fd;
	cli_error("there are not enough huge pages of 2 MiB: %s", strerror(errno));
	fprintf(stderr, "  Reserve them:\n\techo %" PRIu64
		" | sudo tee /proc/sys/vm/nr_hugepages\n", (bytes >> 21) + 1);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int create(int argc, char **argv)
{
	static const struct option options[] = {
		{ "numa", required_argument, NULL, 'n' },
		{ "kind", required_argument, NULL, 'k' },
		{ "mode", required_argument, NULL, 'm' },
		{ "group", required_argument, NULL, 'g' },
		{}
	};
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	struct bar bar = {};
	bool huge = false, barred;
	pthread_t thread;
	char *end;
	int opt, err;

	opts.mode = 0660;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		end = "";
		if (opt == 'n')
			opts.node = strtol(optarg, &end, 10);
		else if (opt == 'k' && !strcmp(optarg, "hugetlb"))
			huge = true;
		else if (opt == 'k' && !strcmp(optarg, "kernel"))
			huge = false;
		else if (opt == 'm')
			opts.mode = strtoul(optarg, &end, 8);
		else if (opt == 'g' && parse_group(optarg, &opts.gid))
			end = "";
		else
			return cli_usage(&cli_pool, "what is '%s'?", argv[optind - 1]);
		if (*end)
			return cli_usage(&cli_pool, "what is '%s'?", optarg);
	}
	if (argc - optind != 2)
		return cli_usage(&cli_pool, "a new pool wants a name and a size");
	opts.name = argv[optind];
	if (!parse_size(argv[optind + 1], &bar.total) || !bar.total)
		return cli_usage(&cli_pool, "'%s' is no size: 64G, 512MiB, 2097152",
				 argv[optind + 1]);
	agent = cli_open(NULL);
	if (!agent)
		return CLI_FAILED;
	if (huge) {
		opts.memfd = huge_memfd(bar.total);
		if (opts.memfd < 0)
			return CLI_FAILED;
	}
	opts.progress = (uint64_t *)&bar.done;
	barred = isatty(STDERR_FILENO) && !pthread_create(&thread, NULL, show_bar, &bar);
	err = kvx_pool_create(agent, &pool, bar.total, &opts);
	bar.stop = true;
	if (barred)
		pthread_join(thread, NULL);
	if (err)
		return failed();
	kvx_close(agent);
	return CLI_OK;
}

/*
 * --- list, show, rm -----------------------------------------------------------------------------
 */

static void json_pool(struct json *js, const struct kvx_pool_stat *st)
{
	json_begin(js, NULL, '{');
	json_number(js, "id", st->id);
	json_text(js, "name", st->name);
	json_text(js, "kind", kind_name(st->kind));
	json_number(js, "bytes", st->bytes);
	json_number(js, "page_bytes", st->page_bytes);
	json_number(js, "uid", st->uid);
	json_number(js, "gid", st->gid);
	json_number(js, "mode", st->mode);
	json_number(js, "opens", st->opens);
	json_number(js, "maps", st->maps);
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

	format_size(size, st->bytes);
	format_age(age, st->age_ns);
	format_node(node, st);
	printf("%-5u %-20s %10s %-7s %4s %-9s %-9s %04o %6u %5u %5s\n", st->id, name, size,
	       kind_name(st->kind), node, user_name(st->uid, uid), group_name(st->gid, gid),
	       st->mode, st->opens, st->maps, age);
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
		return failed();
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
		return failed();
	kvx_close(agent);
	if (json) {
		json_pool(&js, &st);
		return CLI_OK;
	}
	format_size(size, st.bytes);
	format_age(age, st.age_ns);
	printf("name    %s (pool %" PRIu32 ")\n", st.name, st.id);
	printf("size    %s (%" PRIu64 " bytes)\n", size, st.bytes);
	printf("kind    %s\n", kind_name(st.kind));
	printf("owner   %s, group %s, mode %04o\n", user_name(st.uid, uid),
	       group_name(st.gid, gid), st.mode);
	printf("made    %s ago by process %" PRIu32 "\n", age, st.pid);
	printf("in use  %" PRIu32 " opens, %" PRIu32 " mappings\n", st.opens, st.maps);
	for (int i = KVX_CHUNK_ORDERS - 1; i >= 0; i--) {
		format_size(size, (uint64_t)sysconf(_SC_PAGESIZE) << i);
		if (st.chunks[i])
			printf("chunks  %" PRIu64 " of %s\n", st.chunks[i], size);
	}
	for (int i = 0; i < KVX_NODES; i++) {
		format_size(size, st.node_bytes[i]);
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
		return failed();
	kvx_close(agent);
	return CLI_OK;
}

static int pool(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{}
	};
	const char *what = argc > 1 ? argv[1] : "";
	bool json = false;
	int opt;

	argc--;
	argv++;
	if (!strcmp(what, "create"))
		return create(argc, argv);
	while (argc > 0 && (opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != 'j')
			return cli_usage(&cli_pool, "what is '%s'?", argv[optind - 1]);
		json = true;
	}
	argc -= optind;
	if (!strcmp(what, "list") && !argc)
		return list(json);
	if (!strcmp(what, "show") && argc == 1)
		return show(argv[optind], json);
	if (!strcmp(what, "rm") && argc == 1 && !json)
		return rm(argv[optind]);
	return cli_usage(&cli_pool, "what is to be done?");
}

const struct cli_command cli_pool = {
	.name = "pool",
	.args = "create NAME SIZE [OPTION...] | list [--json] | show NAME [--json] | rm NAME",
	.summary = "make, list, show and remove pools of pinned memory",
	.help = "  --numa N        all of it on NUMA node N\n"
		"  --kind KIND     kernel (the default) or hugetlb (pages of 2 MiB, reserved before)\n"
		"  --mode MODE     who may open it: octal, 0660 unless given\n"
		"  --group GROUP   which group it belongs to\n"
		"  --json          as JSON\n"
		"SIZE is a number of bytes, or 512M, 64GiB, 1T.\n",
	.run = pool,
};
