// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer rail: the connections with other nodes; to take them down and let them come up. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlink.h"

static void list_json(const struct rail *rails, size_t nr, const struct peer *only)
{
	struct json js = {};

	json_begin(&js, NULL, '[');
	for (size_t i = 0; i < nr; i++) {
		if (only && only->boot_id != rails[i].boot_id)
			continue;
		json_begin(&js, NULL, '{');
		node_json_rail(&js, &rails[i]);
		json_end(&js, '}');
	}
	json_end(&js, ']');
}

static int list(const char *word, bool json)
{
	const struct peer *only = NULL;
	size_t nr_peers, nr_rails;
	struct netlink nl;
	struct peer *peers;
	struct rail *rails;

	if (!netlink_open(&nl) || !node_peers(&nl, &peers, &nr_peers))
		return CLI_FAILED;
	if (word) {
		only = node_find_peer(peers, nr_peers, word);
		if (!only)
			return CLI_FAILED;
	}
	if (!node_rails(&nl, &rails, &nr_rails))
		return CLI_FAILED;
	if (json)
		list_json(rails, nr_rails, only);
	else
		node_print_rails(rails, nr_rails, peers, nr_peers, only);
	free(rails);
	free(peers);
	netlink_close(&nl);
	return CLI_OK;
}

static int set(const char *word, const char *number, bool down)
{
	const struct peer *peer;
	struct netlink nl;
	struct nl_msg *msg;
	struct peer *peers;
	uint64_t id;
	size_t nr;

	if (!cli_parse_number(number, 10, NODES_RAILS_MAX - 1, &id))
		return cli_usage(&cli_rail, "'%s' is no number of a rail: 0 to %d", number,
				 NODES_RAILS_MAX - 1);
	if (!netlink_open(&nl) || !node_peers(&nl, &peers, &nr))
		return CLI_FAILED;
	peer = node_find_peer(peers, nr, word);
	if (!peer)
		return CLI_FAILED;
	msg = netlink_request(&nl, KVXFER_NL_CMD_RAIL_SET);
	netlink_put_u64(msg, KVXFER_NL_RAIL_BOOT_ID, peer->boot_id);
	netlink_put_u32(msg, KVXFER_NL_RAIL_ID, id);
	netlink_put_u8(msg, KVXFER_NL_RAIL_DOWN, down);
	free(peers);
	if (!netlink_ask(&nl, msg, NULL, NULL))
		return netlink_failed(&nl, "rail %s of %s", number, word);
	netlink_close(&nl);
	return CLI_OK;
}

static int rail(int argc, char **argv)
{
	const char *what;
	bool json;

	if (!cli_words(&cli_rail, &argc, &argv, &json))
		return CLI_USAGE;
	what = argc ? argv[0] : "";
	if ((argc == 1 || argc == 2) && !strcmp(what, "list"))
		return list(argc == 2 ? argv[1] : NULL, json);
	if (argc == 3 && !strcmp(what, "up") && !json)
		return set(argv[1], argv[2], false);
	if (argc == 3 && !strcmp(what, "down") && !json)
		return set(argv[1], argv[2], true);
	return cli_usage(&cli_rail, "what is to be done?");
}

const struct cli_command cli_rail = {
	.name = "rail",
	.args = "list [PEER] | up PEER RAIL | down PEER RAIL",
	.summary = "the connections with other nodes: list, take down, let come up",
	.help = "list:\n"
		"  --json          as JSON\n"
		"PEER is a boot id, its first digits (4 or more), or a node's name, if no other has\n"
		"that. RAIL is a number of kvxfer rail list.\n",
	.run = rail,
};
