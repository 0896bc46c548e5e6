// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer agent: who has the device open, and what they have. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <netlink/genl/genl.h>

#include "netlink.h"

static struct nla_policy policy[KVXFER_NL_AGENT_MAX + 1] = {
	[KVXFER_NL_AGENT_WORKER_ID] = { .type = NLA_U64 },
	[KVXFER_NL_AGENT_EPOCH] = { .type = NLA_U64 },
	[KVXFER_NL_AGENT_NAME] = { .type = NLA_STRING },
	[KVXFER_NL_AGENT_PID] = { .type = NLA_U32 },
	[KVXFER_NL_AGENT_UID] = { .type = NLA_U32 },
	[KVXFER_NL_AGENT_POOLS] = { .type = NLA_U32 },
	[KVXFER_NL_AGENT_LAYOUTS] = { .type = NLA_U32 },
	[KVXFER_NL_AGENT_XFERS] = { .type = NLA_U32 },
	[KVXFER_NL_AGENT_NOTES] = { .type = NLA_U32 },
};

static void heading(void)
{
	printf("%-16s %-12s %7s %-9s %5s %7s %5s %5s  %s\n", "WORKER ID", "EPOCH", "PID", "USER",
	       "POOLS", "LAYOUTS", "XFERS", "NOTES", "NAME");
}

static void each(struct nlmsghdr *hdr, void *arg)
{
	struct nlattr *attrs[KVXFER_NL_AGENT_MAX + 1];
	uint64_t worker_id, epoch;
	uint32_t pid, uid, pools, layouts, xfers, notes;
	struct json *js = arg;
	const char *name;
	char user[16];

	if (genlmsg_parse(hdr, 0, attrs, KVXFER_NL_AGENT_MAX, policy) < 0)
		return;
	worker_id = netlink_u64(attrs[KVXFER_NL_AGENT_WORKER_ID]);
	epoch = netlink_u64(attrs[KVXFER_NL_AGENT_EPOCH]);
	name = netlink_text(attrs[KVXFER_NL_AGENT_NAME]);
	pid = netlink_u32(attrs[KVXFER_NL_AGENT_PID]);
	uid = netlink_u32(attrs[KVXFER_NL_AGENT_UID]);
	pools = netlink_u32(attrs[KVXFER_NL_AGENT_POOLS]);
	layouts = netlink_u32(attrs[KVXFER_NL_AGENT_LAYOUTS]);
	xfers = netlink_u32(attrs[KVXFER_NL_AGENT_XFERS]);
	notes = netlink_u32(attrs[KVXFER_NL_AGENT_NOTES]);
	if (!js) {
		printf("%016" PRIx64 " %012" PRIx64 " %7" PRIu32 " %-9s %5" PRIu32 " %7" PRIu32
		       " %5" PRIu32 " %5" PRIu32 "  %s\n", worker_id, epoch, pid,
		       cli_user_name(uid, user), pools, layouts, xfers, notes, name);
		return;
	}
	json_begin(js, NULL, '{');
	json_hex(js, "worker_id", worker_id, 16);
	json_hex(js, "epoch", epoch, 12);
	json_text(js, "name", name);
	json_number(js, "pid", pid);
	json_number(js, "uid", uid);
	json_number(js, "pools", pools);
	json_number(js, "layouts", layouts);
	json_number(js, "xfers", xfers);
	json_number(js, "notes", notes);
	json_end(js, '}');
}

static int agent(int argc, char **argv)
{
	bool json;

	if (!cli_words(&cli_agent, &argc, &argv, &json))
		return CLI_USAGE;
	if (argc == 1 && !strcmp(argv[0], "list"))
		return netlink_list(KVXFER_NL_CMD_AGENT_GET, "agents", heading, each, json);
	return cli_usage(&cli_agent, "what is to be done?");
}

const struct cli_command cli_agent = {
	.name = "agent",
	.args = "list [--json]",
	.summary = "who has the device open, and what they have; for root",
	.help = "  --json          as JSON\n",
	.run = agent,
};
