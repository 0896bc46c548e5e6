// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer: the command line. Each command has a file of its own and a line in the table below. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct cli_command *const commands[] = {
	&cli_info,
	&cli_dev,
	&cli_peer,
	&cli_rail,
	&cli_key,
	&cli_agent,
	&cli_pool,
	&cli_events,
	&cli_help,
};

#define NR_COMMANDS	ARRAY_SIZE(commands)

const struct cli_command *cli_find(const char *name)
{
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

void cli_list(void)
{
	printf("usage: kvxfer COMMAND [ARG...]\n\n");
	for (size_t i = 0; i < NR_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	printf("\n  --version  print the version\n\n"
	       "kvxfer help COMMAND says more. Exit status: 0 done, 1 failed, 2 not understood.\n");
}

void cli_error(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "kvxfer: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

const char *cli_word(char **argv)
{
	const char *next = argv[optind];

	/* Of letters in one word, optind passes the word only with the last. */
	if (next && next[0] == '-' && next[1] != '-' && optopt && strchr(next, optopt))
		return next;
	return argv[optind - 1];
}

bool cli_words(const struct cli_command *cmd, int *argc, char ***argv, bool *json)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{}
	};

	int opt;

	*json = false;
	while ((opt = getopt_long(*argc, *argv, "", options, NULL)) != -1) {
		if (opt != 'j') {
			cli_usage(cmd, "what is '%s'?", cli_word(*argv));
			return false;
		}
		*json = true;
	}
	*argc -= optind;
	*argv += optind;
	return true;
}

int cli_failed(void)
{
	cli_error("%s", kvx_last_error()->text);
	return CLI_FAILED;
}

int cli_usage(const struct cli_command *cmd, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "kvxfer %s: ", cmd->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nusage: kvxfer %s %s\n", cmd->name, cmd->args);
	return CLI_USAGE;
}

int main(int argc, char **argv)
{
	const struct cli_command *cmd;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("kvxfer %s\n", kvx_version());
		return CLI_OK;
	}
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		cli_list();
		return CLI_OK;
	}
	if (argc < 2) {
		cli_error("which command? See: kvxfer help");
		return CLI_USAGE;
	}
	cmd = cli_find(argv[1]);
	if (!cmd) {
		cli_error("there is no command '%s'. See: kvxfer help", argv[1]);
		return CLI_USAGE;
	}
	/* Commands complain about their words themselves. */
	opterr = 0;
	return cmd->run(argc - 1, argv + 1);
}
