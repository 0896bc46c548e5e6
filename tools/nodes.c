// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel's netlink family says of devices, peers and rails, and how it is told. */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netlink/genl/genl.h>

#include "netlink.h"

static const char *const rail_states[] = {
	[KVXFER_NL_RAIL_STATE_WAITING] = "waiting",
	[KVXFER_NL_RAIL_STATE_CONNECTING] = "connecting",
	[KVXFER_NL_RAIL_STATE_READY] = "ready",
	[KVXFER_NL_RAIL_STATE_ENDING] = "ending",
	[KVXFER_NL_RAIL_STATE_DOWN] = "down",
};

/* Types and least lengths of what is read below. */
static struct nla_policy dev_policy[KVXFER_NL_DEV_MAX + 1] = {
	[KVXFER_NL_DEV_ID] = { .type = NLA_U32 },
	[KVXFER_NL_DEV_NAME] = { .type = NLA_STRING },
	[KVXFER_NL_DEV_USABLE] = { .type = NLA_U8 },
	[KVXFER_NL_DEV_WHY] = { .type = NLA_STRING },
	[KVXFER_NL_DEV_IWARP] = { .type = NLA_U8 },
	[KVXFER_NL_DEV_NUMA_NODE] = { .type = NLA_S32 },
	[KVXFER_NL_DEV_PORTS] = { .type = NLA_U32 },
	[KVXFER_NL_DEV_ACTIVE_PORTS] = { .type = NLA_U32 },
	[KVXFER_NL_DEV_KEY_BYTES] = { .type = NLA_U64 },
	[KVXFER_NL_DEV_KEYS] = { .type = NLA_U32 },
	[KVXFER_NL_DEV_REG_BYTES] = { .type = NLA_U64 },
	[KVXFER_NL_DEV_REG_NS] = { .type = NLA_U64 },
	[KVXFER_NL_DEV_KEYS_ENDED] = { .type = NLA_U64 },
	[KVXFER_NL_DEV_EVENT] = { .type = NLA_U32 },
};

static struct nla_policy peer_policy[KVXFER_NL_PEER_MAX + 1] = {
	[KVXFER_NL_PEER_BOOT_ID] = { .type = NLA_U64 },
	[KVXFER_NL_PEER_NAME] = { .type = NLA_STRING },
	[KVXFER_NL_PEER_DOWN] = { .type = NLA_U8 },
	[KVXFER_NL_PEER_GONE] = { .type = NLA_U8 },
	[KVXFER_NL_PEER_WANTED] = { .type = NLA_U32 },
	[KVXFER_NL_PEER_RAILS] = { .type = NLA_U32 },
	[KVXFER_NL_PEER_READY] = { .type = NLA_U32 },
	[KVXFER_NL_PEER_ERROR] = { .type = NLA_U32 },
	[KVXFER_NL_PEER_REFUSAL] = { .type = NLA_U32 },
	[KVXFER_NL_PEER_LAYOUTS] = { .type = NLA_U32 },
	[KVXFER_NL_PEER_SERVED] = { .type = NLA_U32 },
	[KVXFER_NL_PEER_EVENT] = { .type = NLA_U32 },
};

static struct nla_policy rail_policy[KVXFER_NL_RAIL_MAX + 1] = {
	[KVXFER_NL_RAIL_BOOT_ID] = { .type = NLA_U64 },
	[KVXFER_NL_RAIL_ID] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_STATE] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_DOWN] = { .type = NLA_U8 },
	[KVXFER_NL_RAIL_DEV] = { .type = NLA_STRING },
	[KVXFER_NL_RAIL_LOCAL] = { .minlen = sizeof(struct in6_addr) },
	[KVXFER_NL_RAIL_REMOTE] = { .minlen = sizeof(struct in6_addr) },
	[KVXFER_NL_RAIL_PORT] = { .type = NLA_U16 },
	[KVXFER_NL_RAIL_ASKED] = { .type = NLA_U8 },
	[KVXFER_NL_RAIL_LANES] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_ATTEMPTS] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_ERROR] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_REFUSAL] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_NEXT_MS] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_NETNS] = { .type = NLA_U32 },
	[KVXFER_NL_RAIL_READ_BYTES] = { .type = NLA_U64 },
	[KVXFER_NL_RAIL_WRITE_BYTES] = { .type = NLA_U64 },
	[KVXFER_NL_RAIL_EVENT] = { .type = NLA_U32 },
};

bool node_read_dev(struct nlmsghdr *hdr, struct dev *dev)
{
	struct nlattr *attrs[KVXFER_NL_DEV_MAX + 1];

	if (genlmsg_parse(hdr, 0, attrs, KVXFER_NL_DEV_MAX, dev_policy) < 0)
		return false;
	*dev = (struct dev){
		.id = netlink_u32(attrs[KVXFER_NL_DEV_ID]),
		.usable = netlink_bool(attrs[KVXFER_NL_DEV_USABLE]),
		.iwarp = netlink_bool(attrs[KVXFER_NL_DEV_IWARP]),
		.numa_node = -1,
		.ports = netlink_u32(attrs[KVXFER_NL_DEV_PORTS]),
		.active_ports = netlink_u32(attrs[KVXFER_NL_DEV_ACTIVE_PORTS]),
		.key_bytes = netlink_u64(attrs[KVXFER_NL_DEV_KEY_BYTES]),
		.keys = netlink_u32(attrs[KVXFER_NL_DEV_KEYS]),
		.reg_bytes = netlink_u64(attrs[KVXFER_NL_DEV_REG_BYTES]),
		.reg_ns = netlink_u64(attrs[KVXFER_NL_DEV_REG_NS]),
		.keys_ended = netlink_u64(attrs[KVXFER_NL_DEV_KEYS_ENDED]),
		.event = netlink_u32(attrs[KVXFER_NL_DEV_EVENT]),
	};
	if (attrs[KVXFER_NL_DEV_NUMA_NODE])
		dev->numa_node = nla_get_s32(attrs[KVXFER_NL_DEV_NUMA_NODE]);
	snprintf(dev->name, sizeof(dev->name), "%s", netlink_text(attrs[KVXFER_NL_DEV_NAME]));
	snprintf(dev->why, sizeof(dev->why), "%s", netlink_text(attrs[KVXFER_NL_DEV_WHY]));
	return true;
}

bool node_read_peer(struct nlmsghdr *hdr, struct peer *peer)
{
	struct nlattr *attrs[KVXFER_NL_PEER_MAX + 1];

	if (genlmsg_parse(hdr, 0, attrs, KVXFER_NL_PEER_MAX, peer_policy) < 0)
		return false;
	*peer = (struct peer){
		.boot_id = netlink_u64(attrs[KVXFER_NL_PEER_BOOT_ID]),
		.down = netlink_bool(attrs[KVXFER_NL_PEER_DOWN]),
		.gone = netlink_bool(attrs[KVXFER_NL_PEER_GONE]),
		.wanted = netlink_u32(attrs[KVXFER_NL_PEER_WANTED]),
		.rails = netlink_u32(attrs[KVXFER_NL_PEER_RAILS]),
		.ready = netlink_u32(attrs[KVXFER_NL_PEER_READY]),
		.error = netlink_u32(attrs[KVXFER_NL_PEER_ERROR]),
		.refusal = netlink_u32(attrs[KVXFER_NL_PEER_REFUSAL]),
		.layouts = netlink_u32(attrs[KVXFER_NL_PEER_LAYOUTS]),
		.served = netlink_u32(attrs[KVXFER_NL_PEER_SERVED]),
		.event = netlink_u32(attrs[KVXFER_NL_PEER_EVENT]),
	};
	snprintf(peer->name, sizeof(peer->name), "%s", netlink_text(attrs[KVXFER_NL_PEER_NAME]));
	return true;
}

bool node_read_rail(struct nlmsghdr *hdr, struct rail *rail)
{
	struct nlattr *attrs[KVXFER_NL_RAIL_MAX + 1];

	if (genlmsg_parse(hdr, 0, attrs, KVXFER_NL_RAIL_MAX, rail_policy) < 0)
		return false;
	*rail = (struct rail){
		.boot_id = netlink_u64(attrs[KVXFER_NL_RAIL_BOOT_ID]),
		.id = netlink_u32(attrs[KVXFER_NL_RAIL_ID]),
		.state = netlink_u32(attrs[KVXFER_NL_RAIL_STATE]),
		.down = netlink_bool(attrs[KVXFER_NL_RAIL_DOWN]),
		.has_local = attrs[KVXFER_NL_RAIL_LOCAL],
		.asked = netlink_bool(attrs[KVXFER_NL_RAIL_ASKED]),
		.lanes = netlink_u32(attrs[KVXFER_NL_RAIL_LANES]),
		.attempts = netlink_u32(attrs[KVXFER_NL_RAIL_ATTEMPTS]),
		.error = netlink_u32(attrs[KVXFER_NL_RAIL_ERROR]),
		.refusal = netlink_u32(attrs[KVXFER_NL_RAIL_REFUSAL]),
		.next_ms = netlink_u32(attrs[KVXFER_NL_RAIL_NEXT_MS]),
		.netns = netlink_u32(attrs[KVXFER_NL_RAIL_NETNS]),
		.read_bytes = netlink_u64(attrs[KVXFER_NL_RAIL_READ_BYTES]),
		.write_bytes = netlink_u64(attrs[KVXFER_NL_RAIL_WRITE_BYTES]),
		.event = netlink_u32(attrs[KVXFER_NL_RAIL_EVENT]),
	};
	if (attrs[KVXFER_NL_RAIL_PORT])
		rail->port = nla_get_u16(attrs[KVXFER_NL_RAIL_PORT]);
	if (rail->has_local)
		nla_memcpy(&rail->local, attrs[KVXFER_NL_RAIL_LOCAL], sizeof(rail->local));
	if (attrs[KVXFER_NL_RAIL_REMOTE])
		nla_memcpy(&rail->remote, attrs[KVXFER_NL_RAIL_REMOTE], sizeof(rail->remote));
	snprintf(rail->dev, sizeof(rail->dev), "%s", netlink_text(attrs[KVXFER_NL_RAIL_DEV]));
	return true;
}

static void json_why(struct json *js, uint32_t error, uint32_t refusal, const char *why)
{
	json_number(js, "error", error);
	json_number(js, "refusal", refusal);
	if (why[0])
		json_text(js, "why", why);
}

void node_json_dev(struct json *js, const struct dev *dev)
{
	json_number(js, "id", dev->id);
	json_text(js, "name", dev->name);
	json_bool(js, "usable", dev->usable);
	if (!dev->usable)
		json_text(js, "why", dev->why);
	json_bool(js, "iwarp", dev->iwarp);
	json_signed(js, "numa_node", dev->numa_node);
	json_number(js, "ports", dev->ports);
	json_number(js, "active_ports", dev->active_ports);
	json_number(js, "key_bytes", dev->key_bytes);
	json_number(js, "keys", dev->keys);
	json_number(js, "reg_bytes", dev->reg_bytes);
	json_number(js, "reg_ns", dev->reg_ns);
	json_number(js, "keys_ended", dev->keys_ended);
}

void node_json_peer(struct json *js, const struct peer *peer)
{
	json_hex(js, "boot_id", peer->boot_id, 16);
	json_text(js, "name", peer->name);
	json_text(js, "state", node_peer_state(peer));
	json_bool(js, "down", peer->down);
	json_bool(js, "gone", peer->gone);
	json_number(js, "wanted", peer->wanted);
	json_number(js, "rails", peer->rails);
	json_number(js, "ready", peer->ready);
	json_why(js, peer->error, peer->refusal, node_why(peer->error, peer->refusal));
	json_number(js, "layouts", peer->layouts);
	json_number(js, "served", peer->served);
}

void node_json_rail(struct json *js, const struct rail *rail)
{
	char text[NODES_ADDRESS_MAX];

	if (rail->boot_id)
		json_hex(js, "boot_id", rail->boot_id, 16);
	json_number(js, "id", rail->id);
	json_text(js, "state", node_rail_state(rail));
	json_bool(js, "down", rail->down);
	if (rail->dev[0])
		json_text(js, "dev", rail->dev);
	if (rail->has_local) {
		node_format_address(text, &rail->local, 0);
		json_text(js, "local", text);
	}
	node_format_address(text, &rail->remote, 0);
	json_text(js, "remote", text);
	json_number(js, "port", rail->port);
	json_bool(js, "asked", rail->asked);
	json_number(js, "lanes", rail->lanes);
	json_number(js, "attempts", rail->attempts);
	json_why(js, rail->error, rail->refusal, node_rail_why(rail));
	json_number(js, "next_ms", rail->next_ms);
	if (rail->netns)
		json_number(js, "netns", rail->netns);
	json_number(js, "read_bytes", rail->read_bytes);
	json_number(js, "write_bytes", rail->write_bytes);
}

struct list {
	void *items;
	size_t nr;
};

/* Room for one more. */
static void *grow(struct list *list, size_t bytes)
{
	list->items = realloc(list->items, (list->nr + 1) * bytes);
	if (!list->items) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	return (char *)list->items + list->nr * bytes;
}

static void take_peer(struct nlmsghdr *hdr, void *arg)
{
	struct list *list = arg;

	if (node_read_peer(hdr, grow(list, sizeof(struct peer))))
		list->nr++;
}

static void take_rail(struct nlmsghdr *hdr, void *arg)
{
	struct list *list = arg;

	if (node_read_rail(hdr, grow(list, sizeof(struct rail))))
		list->nr++;
}

bool node_peers(struct netlink *nl, struct peer **peers, size_t *nr)
{
	struct list list = {};

	if (!netlink_dump(nl, KVXFER_NL_CMD_PEER_GET, take_peer, &list)) {
		netlink_failed(nl, "list peers");
		return false;
	}
	*peers = list.items;
	*nr = list.nr;
	return true;
}

/* By their peers as they came, and by their numbers within. */
static int compare_rails(const void *a, const void *b)
{
	const struct rail *x = a, *y = b;

	if (x->boot_id != y->boot_id)
		return x->boot_id < y->boot_id ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

bool node_rails(struct netlink *nl, struct rail **rails, size_t *nr)
{
	struct list list = {};

	if (!netlink_dump(nl, KVXFER_NL_CMD_RAIL_GET, take_rail, &list)) {
		netlink_failed(nl, "list rails");
		return false;
	}
	if (list.nr)
		qsort(list.items, list.nr, sizeof(struct rail), compare_rails);
	*rails = list.items;
	*nr = list.nr;
	return true;
}

/* Is @word the beginning of @boot_id? With 16 digits it is all of it. */
static bool begins(uint64_t boot_id, const char *word)
{
	const size_t length = strlen(word);
	char digits[17];

	snprintf(digits, sizeof(digits), "%016" PRIx64, boot_id);
	return length >= 4 && length <= 16 && !strncasecmp(digits, word, length);
}

const struct peer *node_find_peer(const struct peer *peers, size_t nr, const char *word)
{
	const struct peer *found = NULL;
	size_t many = 0;

	/* A node is free in its name: a whole boot id is none. */
	for (size_t i = 0; i < nr; i++)
		if (strlen(word) == 16 && begins(peers[i].boot_id, word))
			return &peers[i];
	/* A node that was started anew is known twice, by the same name: that is no question. */
	for (int gone = 0; gone < 2 && !found; gone++) {
		for (size_t i = 0; i < nr; i++) {
			if (peers[i].gone != gone ||
			    (strcmp(peers[i].name, word) && !begins(peers[i].boot_id, word)))
				continue;
			found = &peers[i];
			many++;
		}
	}
	if (many == 1)
		return found;
	if (!many) {
		cli_error("no peer is called '%s': see kvxfer peer list", word);
		return NULL;
	}
	cli_error("'%s' may be any of %zu peers: say which by its boot id", word, many);
	for (size_t i = 0; i < nr; i++)
		if (peers[i].gone == found->gone &&
		    (!strcmp(peers[i].name, word) || begins(peers[i].boot_id, word)))
			fprintf(stderr, "  %016" PRIx64 "  %s\n", peers[i].boot_id, peers[i].name);
	return NULL;
}

bool node_meant(struct netlink *nl, const char *word, struct peer *peer)
{
	const struct peer *found;
	struct peer *peers;
	size_t nr;

	if (!node_peers(nl, &peers, &nr))
		return false;
	found = node_find_peer(peers, nr, word);
	if (found)
		*peer = *found;
	free(peers);
	return found;
}

const char *node_peer_state(const struct peer *peer)
{
	if (peer->gone)
		return "gone";
	if (peer->down)
		return "down";
	if (peer->ready)
		return "connected";
	return peer->wanted || peer->rails ? "connecting" : "idle";
}

const char *node_rail_state(const struct rail *rail)
{
	return rail->state < ARRAY_SIZE(rail_states) ? rail_states[rail->state] : "unknown";
}

void node_call_peer(char text[NODES_CALLED_MAX], const struct peer *peers, size_t nr,
		    uint64_t boot_id)
{
	const char *name = "";
	size_t many = 0;

	for (size_t i = 0; i < nr; i++)
		if (peers[i].boot_id == boot_id)
			name = peers[i].name;
	for (size_t i = 0; i < nr; i++)
		many += !strcmp(peers[i].name, name);
	if (name[0] && many == 1)
		snprintf(text, NODES_CALLED_MAX, "%s", name);
	else
		snprintf(text, NODES_CALLED_MAX, "%016" PRIx64, boot_id);
}

static void print_rail(const struct rail *rail, const char *peer)
{
	char local[NODES_ADDRESS_MAX] = "-", remote[NODES_ADDRESS_MAX], in[16], out[16];
	const char *why = node_rail_why(rail);

	if (rail->has_local)
		node_format_address(local, &rail->local, 0);
	node_format_address(remote, &rail->remote, rail->port);
	cli_format_about(in, rail->read_bytes);
	cli_format_about(out, rail->write_bytes);
	printf("%-16s %4" PRIu32 " %-10s %-10s %-15s %-21s %-5s %5" PRIu32 " %9s %9s  ", peer,
	       rail->id, node_rail_state(rail), rail->dev[0] ? rail->dev : "-", local, remote,
	       !rail->lanes ? "-" : rail->asked ? "us" : "them", rail->lanes, in, out);
	if (rail->state == KVXFER_NL_RAIL_STATE_WAITING && rail->next_ms)
		printf("again in %" PRIu32 ".%" PRIu32 " s, after %" PRIu32 " attempts%s",
		       rail->next_ms / 1000, rail->next_ms % 1000 / 100, rail->attempts,
		       why[0] ? ": " : "");
	printf("%s\n", why);
}

void node_print_rails(const struct rail *rails, size_t nr_rails, const struct peer *peers,
		      size_t nr_peers, const struct peer *only)
{
	char peer[NODES_CALLED_MAX];

	printf("%-16s %4s %-10s %-10s %-15s %-21s %-5s %5s %9s %9s  %s\n", "PEER", "RAIL",
	       "STATE", "DEVICE", "FROM", "TO", "ASKED", "LANES", "READ", "WRITTEN", "TROUBLE");
	for (size_t i = 0; i < nr_rails; i++) {
		if (only && only->boot_id != rails[i].boot_id)
			continue;
		node_call_peer(peer, peers, nr_peers, rails[i].boot_id);
		print_rail(&rails[i], peer);
	}
}

const char *node_rail_why(const struct rail *rail)
{
	return rail->state == KVXFER_NL_RAIL_STATE_READY ? "" :
	       node_why(rail->error, rail->refusal);
}

const char *node_why(uint32_t error, uint32_t refusal)
{
	if (refusal)
		return kvx_refusal_text(refusal);
	return error ? strerror(error) : "";
}

void node_format_address(char text[NODES_ADDRESS_MAX], const struct in6_addr *addr, uint16_t port)
{
	const bool old = IN6_IS_ADDR_V4MAPPED(addr);
	char digits[INET6_ADDRSTRLEN];

	inet_ntop(old ? AF_INET : AF_INET6, old ? &addr->s6_addr[12] : addr->s6_addr, digits,
		  sizeof(digits));
	if (!port)
		snprintf(text, NODES_ADDRESS_MAX, "%s", digits);
	else
		snprintf(text, NODES_ADDRESS_MAX, old ? "%s:%u" : "[%s]:%u", digits, port);
}

static bool parse_host(const char *text, size_t length, struct in6_addr *addr)
{
	char host[INET6_ADDRSTRLEN];

	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (inet_pton(AF_INET6, host, addr) == 1)
		return true;
	memset(addr, 0, sizeof(*addr));
	memset(&addr->s6_addr[10], 0xff, 2);
	return inet_pton(AF_INET, host, &addr->s6_addr[12]) == 1;
}

enum node_word node_parse_address(const char *text, struct in6_addr *addr, uint16_t *port)
{
	const char *colon = strchr(text, ':'), *end = text + strlen(text);
	uint64_t number = NODES_PORT;

	if (text[0] == '[') {
		text++;
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return NODE_IS_NEITHER;
		colon = end[1] ? end + 1 : NULL;
		/* What needs no brackets is not in them. */
		if (!memchr(text, ':', end - text))
			return NODE_IS_NEITHER;
	} else if (!colon && strspn(text, "0123456789.") + text != end) {
		return NODE_IS_NAME;
	} else if (!colon && !strchr(text, '.')) {
		return NODE_IS_NAME;
	} else if (colon && strchr(colon + 1, ':')) {
		/* All of it is IPv6. */
		colon = NULL;
	} else if (colon) {
		end = colon;
	}
	if (colon && (!cli_parse_number(colon + 1, 10, UINT16_MAX, &number) || !number))
		return NODE_IS_NEITHER;
	*port = number;
	return parse_host(text, end - text, addr) ? NODE_IS_ADDRESS : NODE_IS_NEITHER;
}
