// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer help: the commands, or one of them. */
#include <stdio.h>

#include "cli.h"

static int help(int argc, char **argv)
{
	const struct cli_command *cmd;

	if (argc < 2) {
		cli_list();
		return CLI_OK;
	}
	cmd = cli_find(argv[1]);
	if (!cmd || argc > 2)
		return cli_usage(&cli_help, "what is '%s'?", argv[argc - 1]);
	printf("usage: kvxfer %s %s\n%s.\n%s", cmd->name, cmd->args, cmd->summary, cmd->help);
	return CLI_OK;
}

const struct cli_command cli_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "this list, or more about a command",
	.help = "",
	.run = help,
};
