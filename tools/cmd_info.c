// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer info: this node, as the kernel tells it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/kvxfer.h>

#include "netlink.h"

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{ KVXFER_FEATURE_AGENT, "agent" },
	{ KVXFER_FEATURE_POOL, "pool" },
	{ KVXFER_FEATURE_DMABUF, "dmabuf" },
	{ KVXFER_FEATURE_LAYOUT, "layout" },
	{ KVXFER_FEATURE_XFER, "xfer" },
	{ KVXFER_FEATURE_GRANT, "grant" },
	{ KVXFER_FEATURE_NOTE, "note" },
	{ KVXFER_FEATURE_RDMA, "rdma" },
	{ KVXFER_FEATURE_MSG, "msg" },
};

#define NR_FEATURES	ARRAY_SIZE(features)

/* What the ioctls do not tell; without the netlink family it is left out. */
struct more {
	bool known;
	bool cluster_key;
};

static struct more ask_more(void)
{
	struct more more = {};
	struct netlink nl;

	if (!netlink_find(&nl))
		return more;
	more.known = key_is_set(&nl, &more.cluster_key);
	netlink_close(&nl);
	return more;
}

static void print_json(const struct kvx_info *info, const struct utsname *uts,
		       const struct more *more)
{
	struct json js = {};

	json_begin(&js, NULL, '{');
	json_text(&js, "node", uts->nodename);
	json_text(&js, "kernel", uts->release);
	json_text(&js, "module_version", info->version);
	json_text(&js, "library_version", kvx_version());
	json_number(&js, "abi_version", info->abi_version);
	json_hex(&js, "boot_id", info->boot_id, 16);
	json_begin(&js, "features", '[');
	for (size_t i = 0; i < NR_FEATURES; i++)
		if (info->features & features[i].bit)
			json_text(&js, NULL, features[i].name);
	json_end(&js, ']');
	json_bool(&js, "rdma", info->features & KVXFER_FEATURE_RDMA);
	json_number(&js, "agents", info->agents);
	json_number(&js, "agents_max", info->agents_max);
	if (more->known)
		json_bool(&js, "cluster_key", more->cluster_key);
	json_end(&js, '}');
}

static void print_text(const struct kvx_info *info, const struct utsname *uts,
		       const struct more *more)
{
	const bool rdma = info->features & KVXFER_FEATURE_RDMA;

	printf("node       %s, Linux %s\n", uts->nodename, uts->release);
	printf("boot id    %016" PRIx64 "\n", info->boot_id);
	printf("module     %s, ABI %" PRIu32 "\n", info->version, info->abi_version);
	printf("library    %s\n", kvx_version());
	printf("features  ");
	for (size_t i = 0; i < NR_FEATURES; i++)
		if (info->features & features[i].bit)
			printf(" %s", features[i].name);
	printf("\n");
	if (!rdma)
		printf("RDMA       none: this kernel is built without it (CONFIG_INFINIBAND)\n");
	printf("agents     %" PRIu32 " open (this command is one), at most %" PRIu32 "\n",
	       info->agents, info->agents_max);
	/* It is for connections, of which there are none without RDMA. */
	if (more->known && rdma)
		printf("cluster key  %s\n", more->cluster_key ? "set" : KEY_NOT_SET);
}

static int info(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "device", required_argument, NULL, 'd' },
		{}
	};
	struct kvx_info reply = KVX_INFO_INIT;
	const char *device = NULL;
	struct kvx_agent *agent;
	bool json = false;
	struct utsname uts;
	struct more more;
	int opt, err;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'j')
			json = true;
		else if (opt == 'd')
			device = optarg;
		else
			return cli_usage(&cli_info, "what is '%s'?", argv[optind - 1]);
	}
	if (optind < argc)
		return cli_usage(&cli_info, "what is '%s'?", argv[optind]);

	agent = cli_open(device);
	if (!agent)
		return CLI_FAILED;
	err = kvx_query(agent, &reply);
	kvx_close(agent);
	if (err) {
		cli_error("%s", kvx_last_error()->text);
		return CLI_FAILED;
	}
	uname(&uts);
	more = ask_more();
	if (json)
		print_json(&reply, &uts, &more);
	else
		print_text(&reply, &uts, &more);
	return CLI_OK;
}

const struct cli_command cli_info = {
	.name = "info",
	.args = "[--json] [--device PATH]",
	.summary = "what this node is and can do",
	.help = "  --json          as one JSON object\n"
		"  --device PATH   instead of /dev/kvxfer\n",
	.run = info,
};
