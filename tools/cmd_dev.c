// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer dev: the RDMA devices of this node, and which of them can be used. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "netlink.h"

static void heading(void)
{
	printf("%-3s %-15s %-7s %4s %5s %8s %6s %10s %9s  %s\n", "ID", "NAME", "KIND", "NODE",
	       "PORTS", "KEY SIZE", "KEYS", "REGISTERED", "IN", "USABLE");
}

static void print_row(const struct dev *dev)
{
	char node[16], key[16], size[16];

	snprintf(node, sizeof(node), "%d", dev->numa_node);
	cli_format_size(key, dev->key_bytes);
	cli_format_size(size, dev->reg_bytes);
	printf("%-3" PRIu32 " %-15s %-7s %4s %2" PRIu32 "/%-2" PRIu32 " %8s %6" PRIu32 " %10s %6"
	       PRIu64 " ms  %s%s\n", dev->id, dev->name, dev->iwarp ? "iWARP" : "IB/RoCE",
	       dev->numa_node < 0 ? "-" : node, dev->active_ports, dev->ports,
	       dev->usable ? key : "-", dev->keys, size, dev->reg_ns / 1000000,
	       dev->usable ? "usable" : "no: ", dev->usable ? "" : dev->why);
}

static void each(struct nlmsghdr *hdr, void *arg)
{
	struct json *js = arg;
	struct dev dev;

	if (!node_read_dev(hdr, &dev))
		return;
	if (!js) {
		print_row(&dev);
		return;
	}
	json_begin(js, NULL, '{');
	node_json_dev(js, &dev);
	json_end(js, '}');
}

static int dev(int argc, char **argv)
{
	bool json;

	if (!cli_words(&cli_dev, &argc, &argv, &json))
		return CLI_USAGE;
	if (argc == 1 && !strcmp(argv[0], "list"))
		return netlink_list(KVXFER_NL_CMD_DEV_GET, "devices", heading, each, json);
	return cli_usage(&cli_dev, "what is to be done?");
}

const struct cli_command cli_dev = {
	.name = "dev",
	.args = "list [--json]",
	.summary = "the RDMA devices of this node, and which can be used",
	.help = "  --json          as JSON\n",
	.run = dev,
};
