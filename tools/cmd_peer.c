// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer peer: the other nodes; to connect and disconnect them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netlink/genl/genl.h>

#include "netlink.h"

static const char *name_of(const struct peer *peer)
{
	return peer->name[0] ? peer->name : "-";
}

static void heading(void)
{
	printf("%-16s %-20s %-10s %5s %6s %7s %6s  %s\n", "BOOT ID", "NAME", "STATE", "RAILS",
	       "WANTED", "LAYOUTS", "SERVED", "TROUBLE");
}

static void print_row(const struct peer *peer)
{
	printf("%016" PRIx64 " %-20s %-10s %2" PRIu32 "/%-2" PRIu32 " %6" PRIu32 " %7" PRIu32
	       " %6" PRIu32 "  %s\n", peer->boot_id, name_of(peer), node_peer_state(peer),
	       peer->ready, peer->rails, peer->wanted, peer->layouts, peer->served,
	       node_why(peer->error, peer->refusal));
}

static void each(struct nlmsghdr *hdr, void *arg)
{
	struct json *js = arg;
	struct peer peer;

	if (!node_read_peer(hdr, &peer))
		return;
	if (!js) {
		print_row(&peer);
		return;
	}
	json_begin(js, NULL, '{');
	node_json_peer(js, &peer);
	json_end(js, '}');
}

static void take_peer(struct nlmsghdr *hdr, void *arg)
{
	node_read_peer(hdr, arg);
}

static bool ask(struct netlink *nl, uint64_t boot_id, struct peer *peer)
{
	struct nl_msg *msg = netlink_request(nl, KVXFER_NL_CMD_PEER_GET);

	netlink_put_u64(msg, KVXFER_NL_PEER_BOOT_ID, boot_id);
	return netlink_ask(nl, msg, take_peer, peer);
}

static void show_text(const struct peer *peer, const struct rail *rails, size_t nr)
{
	const char *why = node_why(peer->error, peer->refusal);

	printf("name     %s\n", name_of(peer));
	printf("boot id  %016" PRIx64 "\n", peer->boot_id);
	printf("state    %s%s\n", node_peer_state(peer),
	       peer->gone ? " (it was started anew)" :
	       peer->down ? " (an administrator has disconnected it)" : "");
	printf("rails    %" PRIu32 " of %" PRIu32 " ready\n", peer->ready, peer->rails);
	printf("in use   wanted by %" PRIu32 ", %" PRIu32 " of its layouts are imported, it has %"
	       PRIu32 " of ours\n", peer->wanted, peer->layouts, peer->served);
	if (why[0])
		printf("trouble  %s\n", why);
	if (peer->rails) {
		putchar('\n');
		node_print_rails(rails, nr, peer, 1, peer);
	}
}

static void show_json(const struct peer *peer, const struct rail *rails, size_t nr)
{
	struct json js = {};

	json_begin(&js, NULL, '{');
	node_json_peer(&js, peer);
	json_begin(&js, "rail_list", '[');
	for (size_t i = 0; i < nr; i++) {
		if (rails[i].boot_id != peer->boot_id)
			continue;
		json_begin(&js, NULL, '{');
		node_json_rail(&js, &rails[i]);
		json_end(&js, '}');
	}
	json_end(&js, ']');
	json_end(&js, '}');
}

static int show(const char *word, bool json)
{
	struct rail *rails;
	struct netlink nl;
	struct peer peer;
	size_t nr;

	if (!netlink_open(&nl) || !node_meant(&nl, word, &peer) || !node_rails(&nl, &rails, &nr))
		return CLI_FAILED;
	if (json)
		show_json(&peer, rails, nr);
	else
		show_text(&peer, rails, nr);
	free(rails);
	netlink_close(&nl);
	return CLI_OK;
}

static int connect_to(const char *word, bool json)
{
	struct json js = {};
	struct netlink nl;
	struct peer peer;
	int ret;

	ret = peer_connect(word, &peer.boot_id);
	if (ret)
		return ret;
	if (!netlink_open(&nl))
		return CLI_FAILED;
	if (!ask(&nl, peer.boot_id, &peer))
		return netlink_failed(&nl, "it was connected, but now");
	netlink_close(&nl);
	if (json) {
		json_begin(&js, NULL, '{');
		node_json_peer(&js, &peer);
		json_end(&js, '}');
	} else {
		printf("%016" PRIx64 " %s: %s, %" PRIu32 " of %" PRIu32 " rails ready\n",
		       peer.boot_id, name_of(&peer), node_peer_state(&peer), peer.ready,
		       peer.rails);
	}
	return CLI_OK;
}

static int part_from(const char *word)
{
	struct nl_msg *msg;
	struct netlink nl;
	struct peer peer;

	if (!netlink_open(&nl) || !node_meant(&nl, word, &peer))
		return CLI_FAILED;
	msg = netlink_request(&nl, KVXFER_NL_CMD_PEER_DISCONNECT);
	netlink_put_u64(msg, KVXFER_NL_PEER_BOOT_ID, peer.boot_id);
	if (!netlink_ask(&nl, msg, NULL, NULL))
		return netlink_failed(&nl, "disconnect %s", word);
	netlink_close(&nl);
	return CLI_OK;
}

static int peer(int argc, char **argv)
{
	const char *what;
	bool json;

	if (!cli_words(&cli_peer, &argc, &argv, &json))
		return CLI_USAGE;
	what = argc ? argv[0] : "";
	if (argc == 1 && !strcmp(what, "list"))
		return netlink_list(KVXFER_NL_CMD_PEER_GET, "peers", heading, each, json);
	if (argc == 2 && !strcmp(what, "show"))
		return show(argv[1], json);
	if (argc == 2 && !strcmp(what, "connect"))
		return connect_to(argv[1], json);
	if (argc == 2 && !strcmp(what, "disconnect") && !json)
		return part_from(argv[1]);
	return cli_usage(&cli_peer, "what is to be done?");
}

const struct cli_command cli_peer = {
	.name = "peer",
	.args = "list | show PEER | connect ADDRESS[:PORT] | connect PEER |\n"
		"       disconnect PEER",
	.summary = "list, show, connect and disconnect other nodes",
	.help = "list, show, connect:\n"
		"  --json          as JSON\n"
		"PEER is a boot id, its first digits (4 or more), or a node's name, if no other has\n"
		"that. ADDRESS is 10.0.0.1 or fd00::1, with a port 10.0.0.1:19875 or [fd00::1]:19875.\n",
	.run = peer,
};
