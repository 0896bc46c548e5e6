// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer pool create and load: pools by the words of a command, or of each line of a file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
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

#define HUGE_PAGE	((uint64_t)2 << 20)

static bool parse_group(const char *text, int *gid)
{
	const struct group *group = getgrnam(text);
	uint64_t n;

	/* -1 stands for none, to the library and to chown(). */
	if (!group && !cli_parse_number(text, 10, INT_MAX, &n))
		return false;
	*gid = group ? group->gr_gid : n;
	return true;
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

/* What the kernel would not take whatever the machine is. */
static bool check_wish(const struct wish *wish, char why[256])
{
	const uint64_t page = wish->huge ? HUGE_PAGE : (uint64_t)sysconf(_SC_PAGESIZE);
	const size_t length = strlen(wish->name);
	char size[16];

	if (!length || length >= KVX_NAME_MAX) {
		snprintf(why, 256, "a name has 1 to %d characters", KVX_NAME_MAX - 1);
		return false;
	}
	for (size_t i = 0; i < length; i++)
		if (wish->name[i] < ' ' || wish->name[i] > '~') {
			snprintf(why, 256, "a name is of printable ASCII");
			return false;
		}
	if (wish->bytes % page) {
		cli_format_size(size, page);
		snprintf(why, 256, "the size of this kind of pool is a multiple of %s", size);
		return false;
	}
	return true;
}

/* What is wrong with the words goes to @why; they are "create NAME SIZE [OPTION...]". */
static bool parse_wish(int argc, char **argv, struct wish *wish, char why[256])
{
	static const struct option options[] = {
		{ "numa", required_argument, NULL, 'n' },
		{ "kind", required_argument, NULL, 'k' },
		{ "mode", required_argument, NULL, 'm' },
		{ "group", required_argument, NULL, 'g' },
		{}
	};
	uint64_t n;
	int opt;
	bool ok;

	*wish = (struct wish){ .mode = 0660, .node = -1, .gid = -1 };
	/* Begin anew: there may have been another line. */
	optind = 0;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == '?') {
			snprintf(why, 256, "what is '%s'?", cli_word(argv));
			return false;
		}
		ok = true;
		if (opt == 'n') {
			ok = cli_parse_number(optarg, 10, INT_MAX, &n);
			wish->node = n;
		} else if (opt == 'm') {
			ok = cli_parse_number(optarg, 8, 0666, &n) && !(n & ~0666ULL);
			wish->mode = n;
		} else if (opt == 'k') {
			wish->huge = !strcmp(optarg, "hugetlb");
			ok = wish->huge || !strcmp(optarg, "kernel");
		} else if (opt == 'g') {
			ok = parse_group(optarg, &wish->gid);
		}
		if (!ok) {
			snprintf(why, 256, "what is '%s'?", optarg);
			return false;
		}
	}
	if (argc - optind != 2) {
		snprintf(why, 256, "a new pool wants a name and a size");
		return false;
	}
	wish->name = argv[optind];
	if (!cli_parse_size(argv[optind + 1], &wish->bytes) || !wish->bytes) {
		snprintf(why, 256, "'%s' is no size: 64G, 512MiB, 2097152", argv[optind + 1]);
		return false;
	}
	return check_wish(wish, why);
}

/* A memfd of 2 MiB pages, sealed as the kernel wants it. */
static int huge_memfd(uint64_t bytes)
{
	int fd = memfd_create("kvxfer", MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);

	if (fd >= 0 && !ftruncate(fd, bytes) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return fd;
	if (fd >= 0) {
		const int err = errno;

		close(fd);
		errno = err;
	}
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
	const struct kvx_error *last;
	struct kvx_pool *pool;
	bool scarce, ok;

	if (wish->node >= 0 && !bind_to(wish->node)) {
		snprintf(why, 256, "there is no NUMA node %d", wish->node);
		return false;
	}
	opts->node = -1;
	opts->memfd = huge_memfd(wish->bytes);
	ok = opts->memfd >= 0 && !kvx_pool_create(agent, &pool, wish->bytes, opts);
	/* Reserved too few of: seen when the file gets its size, or when it gets its pages. */
	last = kvx_last_error();
	scarce = opts->memfd < 0 ? errno == ENOMEM :
				   last->reason == KVXFER_REASON_NO_MEMORY ||
				   last->reason == KVXFER_REASON_RANGE_FAULT;
	if (!ok && scarce)
		snprintf(why, 256, "there are not enough free huge pages of 2 MiB; for %" PRIu64
			 " more: sudo sysctl vm.nr_hugepages=N, or nr_hugepages of the node in /sys",
			 wish->bytes / HUGE_PAGE);
	else if (!ok && opts->memfd < 0)
		snprintf(why, 256, "a file of huge pages cannot be had: %s", strerror(errno));
	else if (!ok)
		snprintf(why, 256, "%s", last->text);
	if (opts->memfd >= 0)
		close(opts->memfd);
	if (wish->node >= 0)
		bind_to(-1);
	return ok;
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

#define WORDS_MAX	64

/* Splits @line where it stands; what follows a # is a remark. */
static int split(char *line, char *words[WORDS_MAX])
{
	char *save;
	int n = 0;

	line[strcspn(line, "#")] = '\0';
	words[n++] = "create";
	/* More words than there are options are refused as what they are: too many. */
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
	/* One that somebody else has made is not the one that is wanted, whatever it looks like. */
	if (st.uid != geteuid() || st.bytes != wish->bytes || st.kind != kind ||
	    st.mode != wish->mode ||
	    st.gid != (wish->gid == -1 ? getegid() : (gid_t)wish->gid) ||
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
