// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvxfer peer connect: order it, and wait for how it goes. A part of cmd_peer.c.
 *
 * The kernel only takes the order; the rest it tells as events. Of an address it finds out first
 * who is there: that is a rail without a boot id, which whoever is there refuses.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <netlink/genl/genl.h>
#include <linux/kvxfer.h>

#include "netlink.h"

#define CONNECT_MS	"/sys/module/kvxfer/parameters/connect_ms"

/* Longer than the kernel ever waits until it tries again what has failed before. */
#define BACKOFF_MS	10000

struct attempt {
	bool by_address;
	struct in6_addr addr;
	uint16_t port;
	uint64_t boot_id;	/* 0 while it is not known */
	bool ordered;		/* the node itself, not only the question who it is */
	uint32_t open;		/* rails by which it may come: bits, by their numbers */
	bool over;
	bool connected;
	bool down;		/* an administrator has taken down what it could come by */
	uint32_t error;		/* why the last rail failed */
	uint32_t refusal;
	char why[128];		/* what else is in the way */
};

static bool is_mine(const struct attempt *at, const struct rail *rail)
{
	return at->by_address ? !memcmp(&rail->remote, &at->addr, sizeof(at->addr)) :
				rail->boot_id == at->boot_id;
}

static void connected(struct attempt *at, uint64_t boot_id)
{
	at->boot_id = boot_id;
	at->connected = true;
	at->over = true;
}

/* How it is, rather than what has happened. */
static bool look(struct netlink *nl, struct attempt *at)
{
	uint32_t passive = 0;
	struct rail *rails;
	size_t nr;

	if (!node_rails(nl, &rails, &nr))
		return false;
	at->open = 0;
	at->down = false;
	for (size_t i = 0; i < nr && !at->over; i++) {
		if (!is_mine(at, &rails[i]))
			continue;
		if (rails[i].state == KVXFER_NL_RAIL_STATE_READY) {
			connected(at, rails[i].boot_id);
		} else if (rails[i].down) {
			snprintf(at->why, sizeof(at->why),
				 "rail %" PRIu32 " is down: kvxfer rail up %016" PRIx64 " %" PRIu32,
				 rails[i].id, rails[i].boot_id, rails[i].id);
			at->down = true;
		} else if (rails[i].id < NODES_RAILS_MAX) {
			*(rails[i].port ? &at->open : &passive) |= 1U << rails[i].id;
		}
	}
	free(rails);
	/* Where it cannot be asked, it may come by itself. */
	if (!at->open)
		at->open = passive;
	/* By nothing else can it come. */
	at->down &= !at->open && !at->connected;
	if (at->down)
		at->over = true;
	else
		at->why[0] = '\0';
	return true;
}

/* A rail is over: is that an answer to our order, or what was there before, or tried again? */
static bool is_answer(const struct attempt *at, const struct rail *rail)
{
	switch (rail->refusal) {
	case KVXFER_REFUSAL_BUSY:
	case KVXFER_REFUSAL_YOURS:
		return false;
	case KVXFER_REFUSAL_BOOT:
		/* At an address, that is what another one is told that was there before. */
		return !at->by_address;
	}
	/* What could be used until now counts no attempts; what was ended here says ENETDOWN. */
	return rail->attempts && rail->error != ENETDOWN;
}

static void on_event(struct nlmsghdr *hdr, void *arg)
{
	struct attempt *at = arg;
	struct rail rail;

	if (at->over || genlmsg_hdr(hdr)->cmd != KVXFER_NL_CMD_RAIL_NTF ||
	    !node_read_rail(hdr, &rail) || !is_mine(at, &rail))
		return;
	if (rail.boot_id && rail.event == KVXFER_NL_EVENT_UP) {
		connected(at, rail.boot_id);
		return;
	}
	if (rail.event != KVXFER_NL_EVENT_DOWN)
		return;
	if (!rail.boot_id && rail.refusal == KVXFER_REFUSAL_BOOT) {
		/* Somebody is there. */
		at->ordered = true;
		return;
	}
	if (rail.boot_id && !is_answer(at, &rail))
		return;
	/* Of several, what the other node says counts more than what is wrong here. */
	if (rail.refusal || !at->refusal) {
		at->error = rail.error;
		at->refusal = rail.refusal;
	}
	at->boot_id = rail.boot_id;
	if (rail.id < NODES_RAILS_MAX)
		at->open &= ~(1U << rail.id);
	/* Of a node, another of its rails may still do. */
	at->over = at->by_address || !at->open;
}

/* How long the kernel takes at most: to ask who it is, and to connect. */
static int limit_ms(void)
{
	FILE *f = fopen(CONNECT_MS, "re");
	int ms = 10000;

	if (f && fscanf(f, "%d", &ms) != 1)
		ms = 10000;
	if (f)
		fclose(f);
	return 2 * ms + BACKOFF_MS;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Until it is connected, or that has failed. */
static bool wait_for_it(struct netlink *nl, struct netlink *ears, struct attempt *at)
{
	struct pollfd fd = { .fd = netlink_fd(ears), .events = POLLIN };
	const int limit = limit_ms();
	const int64_t end = now_ms() + limit;
	bool asked_before;
	int64_t left;

	/* What is known already may be connected already. */
	if (at->ordered && !look(nl, at))
		return false;
	while (!at->over) {
		left = end - now_ms();
		if (left <= 0)
			break;
		if (poll(&fd, 1, left) <= 0)
			continue;
		asked_before = at->ordered;
		switch (netlink_hear(ears)) {
		case NETLINK_FAILED:
			return false;
		case NETLINK_LOST:
			if (!look(nl, at))
				return false;
			break;
		case NETLINK_HEARD:
			if (!asked_before && at->ordered && !at->over && !look(nl, at))
				return false;
			break;
		}
	}
	if (!at->over && !look(nl, at))
		return false;
	if (!at->connected && !at->why[0])
		snprintf(at->why, sizeof(at->why), "%s", at->error || at->refusal ?
			 node_why(at->error, at->refusal) : "nothing came of it");
	return true;
}

static bool order(struct netlink *nl, const struct attempt *at)
{
	struct nl_msg *msg = netlink_request(nl, KVXFER_NL_CMD_PEER_CONNECT);

	if (at->by_address) {
		netlink_put(msg, KVXFER_NL_PEER_ADDRESS, &at->addr, sizeof(at->addr));
		netlink_put_u16(msg, KVXFER_NL_PEER_PORT, at->port);
	} else {
		netlink_put_u64(msg, KVXFER_NL_PEER_BOOT_ID, at->boot_id);
	}
	return netlink_ask(nl, msg, NULL, NULL);
}

int peer_connect(const char *word, uint64_t *boot_id)
{
	struct attempt at = {};
	struct netlink nl, ears;
	struct peer peer;

	switch (node_parse_address(word, &at.addr, &at.port)) {
	case NODE_IS_ADDRESS:
		at.by_address = true;
		break;
	case NODE_IS_NAME:
		break;
	case NODE_IS_NEITHER:
		return cli_usage(&cli_peer, "'%s' is no address, and no name of a node", word);
	}
	if (!netlink_open(&nl))
		return CLI_FAILED;
	if (!at.by_address) {
		if (!node_meant(&nl, word, &peer))
			return CLI_FAILED;
		at.boot_id = peer.boot_id;
		at.ordered = true;
	}
	/* Before there is something to hear. */
	if (!netlink_open(&ears) || !netlink_listen(&ears, on_event, &at))
		return CLI_FAILED;
	if (!order(&nl, &at))
		return netlink_failed(&nl, "connect %s", word);
	if (!wait_for_it(&nl, &ears, &at))
		return CLI_FAILED;
	netlink_close(&ears);
	netlink_close(&nl);
	if (at.connected) {
		*boot_id = at.boot_id;
		return CLI_OK;
	}
	cli_error("connect %s: %s", word, at.why);
	if (at.ordered && at.boot_id && !at.down)
		fprintf(stderr, "  It is tried again, until: kvxfer peer disconnect %016"
			PRIx64 "\n", at.boot_id);
	return CLI_FAILED;
}
