// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer pool create and load: pools by the words of a command, or of each line of a file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/kvxfer.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>

#include "cli.h"

#define HUGE_PAGE	(2ULL << 20)

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

/* A pool as words want it. */
struct wish {
	const char *name;
	uint64_t bytes;
	unsigned int mode;
	int node;
	int gid;
	bool huge;
};

/* What is wrong with the words goes to @why; they are "create NAME SIZE [OPTION...]". */
static bool parse_wish(int argc, char **argv, struct wish *wish, char why[128])
{
	static const struct option options[] = {
		{ "numa", required_argument, NULL, 'n' },
		{ "kind", required_argument, NULL, 'k' },
		{ "mode", required_argument, NULL, 'm' },
		{ "group", required_argument, NULL, 'g' },
		{}
	};
	char *end;
	int opt;

	*wish = (struct wish){ .mode = 0660, .node = -1, .gid = -1 };
	/* Begin anew: there may have been another line. */
	optind = 0;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		end = "";
		if (opt == 'n')
			wish->node = strtol(optarg, &end, 10);
		else if (opt == 'm')
			wish->mode = strtoul(optarg, &end, 8);
		else if (opt == 'k' && (!strcmp(optarg, "hugetlb") || !strcmp(optarg, "kernel")))
			wish->huge = optarg[0] == 'h';
		else if (opt != 'g' || !parse_group(optarg, &wish->gid))
			end = "?";
		if (*end || (opt == 'n' && wish->node < 0)) {
			snprintf(why, 128, "what is '%s'?", opt == '?' ? argv[optind - 1] : optarg);
			return false;
		}
	}
	if (argc - optind != 2) {
		snprintf(why, 128, "a new pool wants a name and a size");
		return false;
	}
	wish->name = argv[optind];
	if (!cli_parse_size(argv[optind + 1], &wish->bytes) || !wish->bytes) {
		snprintf(why, 128, "'%s' is no size: 64G, 512MiB, 2097152", argv[optind + 1]);
		return false;
	}
	return true;
}

/* A memfd of 2 MiB pages, sealed as the kernel wants it. */
static int huge_memfd(uint64_t bytes)
{
	int fd = memfd_create("kvxfer", MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);

	if (fd >= 0 && !ftruncate(fd, bytes) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The pages of a file come from where the policy of who first touches them says. */
static bool bind_to(int node)
{
	unsigned long mask[16] = {};
	const unsigned int bits = 8 * sizeof(mask[0]);

	if (node < 0)
		return !syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
	if ((size_t)node >= bits * ARRAY_SIZE(mask))
		return false;
	mask[node / bits] |= 1UL << (node % bits);
	return !syscall(SYS_set_mempolicy, MPOL_BIND, mask, bits * ARRAY_SIZE(mask));
}

static bool make_huge(struct kvx_agent *agent, const struct wish *wish, struct kvx_pool_opts *opts,
		      char why[256])
{
	const uint64_t pages = (wish->bytes + HUGE_PAGE - 1) / HUGE_PAGE;
	struct kvx_pool *pool;
	int err;

	if (wish->bytes % HUGE_PAGE) {
		snprintf(why, 256, "a pool of huge pages is a multiple of 2MiB");
		return false;
	}
	if (wish->node >= 0 && !bind_to(wish->node)) {
		snprintf(why, 256, "there is no NUMA node %d", wish->node);
		return false;
	}
	opts->node = -1;
	opts->memfd = huge_memfd(wish->bytes);
	err = opts->memfd < 0 ? -1 : kvx_pool_create(agent, &pool, wish->bytes, opts);
	if (opts->memfd < 0 || err == -ENOMEM || err == -EFAULT)
		snprintf(why, 256, "there are not enough free huge pages of 2 MiB; for %" PRIu64
			 " more: sudo sysctl vm.nr_hugepages=N, or nr_hugepages of the node in /sys",
			 pages);
	else if (err)
		snprintf(why, 256, "%s", kvx_last_error()->text);
	if (opts->memfd >= 0)
		close(opts->memfd);
	if (wish->node >= 0)
		bind_to(-1);
	return !err;
}

static bool make(struct kvx_agent *agent, const struct wish *wish, char why[256])
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct cli_bar bar = {};
	struct kvx_pool *pool;
	bool ok;

	opts.name = wish->name;
	opts.mode = wish->mode;
	opts.node = wish->node;
	opts.gid = wish->gid;
	opts.progress = (uint64_t *)&bar.done;
	cli_bar_begin(&bar, wish->name, wish->bytes);
	if (wish->huge) {
		ok = make_huge(agent, wish, &opts, why);
	} else {
		ok = !kvx_pool_create(agent, &pool, wish->bytes, &opts);
		if (!ok)
			snprintf(why, 256, "%s", kvx_last_error()->text);
	}
	cli_bar_end(&bar);
	return ok;
}

int pool_create(int argc, char **argv)
{
	struct kvx_agent *agent;
	struct wish wish;
	char why[256];

	if (!parse_wish(argc, argv, &wish, why))
		return cli_usage(&cli_pool, "%s", why);
	agent = cli_open(NULL);
	if (!agent)
		return CLI_FAILED;
	if (!make(agent, &wish, why)) {
		cli_error("%s", why);
		return CLI_FAILED;
	}
	kvx_close(agent);
	return CLI_OK;
}

/*
 * --- load ---------------------------------------------------------------------------------------
 */

#define WORDS_MAX	16

/* Splits @line where it stands; what follows a # is a remark. */
static int split(char *line, char *words[WORDS_MAX])
{
	char *save;
	int n = 0;

	line[strcspn(line, "#")] = '\0';
	words[n++] = "create";
	for (char *word = strtok_r(line, " \t\r\n", &save); word && n < WORDS_MAX - 1;
	     word = strtok_r(NULL, " \t\r\n", &save))
		words[n++] = word;
	words[n] = NULL;
	return n;
}

/* Make the pool of a line, unless it is there already, as the line wants it. */
static bool load_line(struct kvx_agent *agent, const struct wish *wish, char why[256])
{
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	const uint32_t kind = wish->huge ? KVX_POOL_MEMFD : KVX_POOL_KERNEL;
	char size[16];

	if (kvx_pool_stat_name(agent, wish->name, &st)) {
		if (kvx_last_error()->error != ENOENT) {
			snprintf(why, 256, "%s", kvx_last_error()->text);
			return false;
		}
		if (!make(agent, wish, why))
			return false;
		cli_format_size(size, wish->bytes);
		printf("%s: %s made\n", wish->name, size);
		return true;
	}
	if (st.bytes != wish->bytes || st.kind != kind || st.mode != wish->mode ||
	    (wish->gid != -1 && st.gid != (uint32_t)wish->gid) ||
	    (wish->node >= 0 && wish->node < KVX_NODES &&
	     st.node_bytes[wish->node] != wish->bytes)) {
		snprintf(why, 256, "a pool '%s' is there, and differs: see kvxfer pool show",
			 wish->name);
		return false;
	}
	printf("%s: is there\n", wish->name);
	return true;
}

int pool_load(const char *path, bool check)
{
	struct kvx_agent *agent = NULL;
	char *words[WORDS_MAX], *line = NULL;
	int number = 0, bad = 0;
	size_t room = 0;
	FILE *file;

	file = fopen(path, "re");
	if (!file) {
		cli_error("%s: %s", path, strerror(errno));
		return CLI_FAILED;
	}
	if (!check) {
		agent = cli_open(NULL);
		if (!agent)
			return CLI_FAILED;
	}
	while (getline(&line, &room, file) >= 0) {
		const int n = split(line, words);
		struct wish wish;
		char why[256];

		number++;
		if (n == 1)
			continue;
		/* One that cannot be made is no reason to go without the others. */
		if (!parse_wish(n, words, &wish, why) ||
		    (!check && !load_line(agent, &wish, why))) {
			cli_error("%s:%d: %s", path, number, why);
			bad++;
		}
	}
	if (ferror(file)) {
		cli_error("%s: %s", path, strerror(errno));
		bad++;
	}
	free(line);
	fclose(file);
	kvx_close(agent);
	return bad ? CLI_FAILED : CLI_OK;
}
