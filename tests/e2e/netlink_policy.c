// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the generic netlink family takes: nothing that it does not know, nothing that is too short,
 * too long, or too large, nothing from those who may not; and it says what it is about.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include "netlink.h"

/* No node is called so. */
#define NOBODY	0x0123456789abcdefULL

/* A request with up to three attributes; of those with bytes. */
struct request {
	uint8_t cmd;
	bool list;
	struct {
		uint16_t type, bytes;
		const void *data;
	} attrs[3];
};

static const unsigned char zeros[128];
static const uint64_t nobody = NOBODY;
static const uint16_t port = 19875, no_port;
static const uint32_t number = 3;
static const uint8_t two = 2, one = 1;
static const unsigned char address[16] = { [10] = 0xff, [11] = 0xff, 10, 77, 0, 2 };
static const unsigned char multicast[16] = { 0xff, 2, [15] = 1 };
static const unsigned char multicast4[16] = { [10] = 0xff, [11] = 0xff, 224, 0, 0, 1 };
static const unsigned char any4[16] = { [10] = 0xff, [11] = 0xff };
static const char secret[] = "a key that is not to be set";

#define ORDER(cmd, ...)	(&(struct request){ KVXFER_NL_CMD_##cmd, false, { __VA_ARGS__ } })
#define LIST(cmd, ...)	(&(struct request){ KVXFER_NL_CMD_##cmd, true, { __VA_ARGS__ } })
#define BOOT_ID		{ KVXFER_NL_PEER_BOOT_ID, sizeof(nobody), &nobody }
#define ADDRESS(a)	{ KVXFER_NL_PEER_ADDRESS, 16, a }
#define PORT(p)		{ KVXFER_NL_PEER_PORT, sizeof(p), &(p) }

static struct nl_message message(const struct request *request)
{
	struct nl_message msg = nl_message(nl_family(), request->cmd);

	if (request->list)
		msg.nl.nlmsg_flags |= NLM_F_DUMP;
	for (size_t i = 0; i < ARRAY_SIZE(request->attrs) && request->attrs[i].data; i++)
		nl_put(&msg, request->attrs[i].type, request->attrs[i].data,
		       request->attrs[i].bytes);
	return msg;
}

static bool key_is_set(void)
{
	struct nl_message msg = nl_message(nl_family(), KVXFER_NL_CMD_KEY_GET);

	CHECK_EQ(nl_ask(&msg), 0);
	return *(const uint8_t *)nl_get(&msg, KVXFER_NL_KEY_IS_SET);
}

static void count(const struct nl_message *msg, void *arg)
{
	(void)msg;
	++*(int *)arg;
}

static int peers(void)
{
	int nr = 0;

	nl_dump(KVXFER_NL_CMD_PEER_GET, count, &nr);
	return nr;
}

/* Earlier tests may have left some. */
static int peers_at_first;

__attribute__((constructor)) static void look_first(void)
{
	peers_at_first = peers();
}

/* Nothing of what was refused was done. */
static void check_untouched(void)
{
	CHECK(!key_is_set());
	CHECK_EQ(peers(), peers_at_first);
}

/* Refused with @error, with @text in words, and with the attribute @attr named, if any. */
static void refused(const struct request *request, int error, const char *text, uint16_t attr)
{
	struct nl_message msg = message(request);
	const struct nl_ack ack = nl_tell(&msg);

	if (ack.error != error || !strstr(ack.text, text) || ack.attr != attr)
		FAIL("command %u: error %d, not %d; \"%s\", not \"%s\"; attribute %u, not %u",
		     request->cmd, ack.error, error, ack.text, text, ack.attr, attr);
}

TEST(attributes_that_it_does_not_know)
{
	for (uint8_t cmd = KVXFER_NL_CMD_DEV_GET; cmd <= KVXFER_NL_CMD_AGENT_GET; cmd++) {
		const bool list = cmd == KVXFER_NL_CMD_DEV_GET || cmd == KVXFER_NL_CMD_RAIL_GET ||
				  cmd == KVXFER_NL_CMD_POOL_GET || cmd == KVXFER_NL_CMD_AGENT_GET;

		for (uint16_t past = 40; past < 0x3fff; past *= 3)
			refused(&(struct request){ cmd, list, { { past, 8, zeros } } }, -EINVAL,
				"Unknown attribute type", past);
	}
	check_untouched();
}

/* What is told, but not to be said: such are in the sets of those that are. */
TEST(attributes_that_are_not_for_it)
{
	for (uint16_t attr = KVXFER_NL_PEER_PAD; attr < KVXFER_NL_PEER_ADDRESS; attr++) {
		const bool taken = attr == KVXFER_NL_PEER_BOOT_ID;

		for (int cmd = KVXFER_NL_CMD_PEER_GET;
		     !taken && cmd <= KVXFER_NL_CMD_PEER_DISCONNECT; cmd++)
			refused(&(struct request){ cmd, false, { { attr, 4, zeros } } }, -EINVAL,
				"Unsupported attribute", attr);
	}
	refused(ORDER(RAIL_SET, { KVXFER_NL_RAIL_STATE, 4, zeros }), -EINVAL,
		"Unsupported attribute", KVXFER_NL_RAIL_STATE);
	refused(ORDER(KEY_SET, { KVXFER_NL_KEY_IS_SET, 1, &one }), -EINVAL,
		"Unsupported attribute", KVXFER_NL_KEY_IS_SET);
	/* Those that take nothing at all. */
	refused(ORDER(KEY_GET, { 1, 1, &one }), -EINVAL, "", 1);
	refused(LIST(DEV_GET, { 1, 4, &number }), -EINVAL, "", 1);
	refused(LIST(RAIL_GET, { 1, 8, &nobody }), -EINVAL, "", 1);
	check_untouched();
}

TEST(attributes_of_the_wrong_size)
{
	static const struct {
		uint8_t cmd;
		uint16_t attr, bytes;
	} fixed[] = {
		{ KVXFER_NL_CMD_PEER_GET, KVXFER_NL_PEER_BOOT_ID, 8 },
		{ KVXFER_NL_CMD_PEER_CONNECT, KVXFER_NL_PEER_BOOT_ID, 8 },
		{ KVXFER_NL_CMD_PEER_CONNECT, KVXFER_NL_PEER_PORT, 2 },
		{ KVXFER_NL_CMD_PEER_DISCONNECT, KVXFER_NL_PEER_BOOT_ID, 8 },
		{ KVXFER_NL_CMD_RAIL_SET, KVXFER_NL_RAIL_BOOT_ID, 8 },
		{ KVXFER_NL_CMD_RAIL_SET, KVXFER_NL_RAIL_ID, 4 },
		{ KVXFER_NL_CMD_RAIL_SET, KVXFER_NL_RAIL_DOWN, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		struct request request = {
			fixed[i].cmd, false, { { fixed[i].attr, 0, zeros } },
		};

		for (uint16_t bytes = 0; bytes <= 2 * fixed[i].bytes; bytes++) {
			request.attrs[0].bytes = bytes;
			if (bytes != fixed[i].bytes)
				refused(&request, -EINVAL, "invalid attribute length",
					fixed[i].attr);
		}
	}
	for (uint16_t bytes = 0; bytes <= sizeof(zeros); bytes++) {
		if (bytes != 16)
			refused(ORDER(PEER_CONNECT, { KVXFER_NL_PEER_ADDRESS, bytes, zeros },
				      PORT(port)), -ERANGE,
				"binary attribute size out of range", KVXFER_NL_PEER_ADDRESS);
		if (bytes < KVXFER_NL_SECRET_MIN || bytes > KVXFER_NL_SECRET_MAX)
			refused(ORDER(KEY_SET, { KVXFER_NL_KEY_SECRET, bytes, zeros }), -ERANGE,
				"binary attribute size out of range", KVXFER_NL_KEY_SECRET);
	}
	check_untouched();
}

TEST(values_that_cannot_be)
{
	static const unsigned char *const nowhere[] = { zeros, multicast, multicast4, any4 };

	refused(ORDER(RAIL_SET, BOOT_ID, { KVXFER_NL_RAIL_ID, 4, &number },
		      { KVXFER_NL_RAIL_DOWN, 1, &two }), -ERANGE,
		"integer out of range", KVXFER_NL_RAIL_DOWN);
	refused(ORDER(PEER_CONNECT, ADDRESS(address), PORT(no_port)), -EINVAL,
		"an address needs a port", 0);
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++)
		refused(ORDER(PEER_CONNECT, ADDRESS(nowhere[i]), PORT(port)), -EINVAL,
			"that is no node's address", 0);
	check_untouched();
}

TEST(what_is_missing_is_said)
{
	static const uint8_t of_a_node[] = {
		KVXFER_NL_CMD_PEER_GET, KVXFER_NL_CMD_PEER_CONNECT, KVXFER_NL_CMD_PEER_DISCONNECT,
		KVXFER_NL_CMD_RAIL_SET,
	};

	for (size_t i = 0; i < ARRAY_SIZE(of_a_node); i++) {
		refused(&(struct request){ of_a_node[i] }, -EINVAL,
			"which node? Its boot id is missing", 0);
		refused(&(struct request){ of_a_node[i], false, { BOOT_ID } }, -ENOENT,
			"no node of this boot id is known", KVXFER_NL_PEER_BOOT_ID);
	}
	refused(ORDER(PEER_CONNECT, ADDRESS(address)), -EINVAL, "an address needs a port", 0);
	refused(ORDER(PEER_CONNECT, PORT(port)), -EINVAL, "which node? Its boot id is missing", 0);
	/* A node that is known by its address is not by that of any other. */
	refused(ORDER(PEER_CONNECT, BOOT_ID, ADDRESS(address), PORT(port)), -ENOENT,
		"no node of this boot id is known", KVXFER_NL_PEER_BOOT_ID);
	check_untouched();
}

TEST(bytes_after_the_attributes)
{
	struct nl_message msg = message(&(struct request){ KVXFER_NL_CMD_KEY_SET });
	struct nl_ack ack;

	msg.nl.nlmsg_len += NLA_HDRLEN;
	ack = nl_tell(&msg);
	CHECK_EQ(ack.error, -EINVAL);
	CHECK(strstr(ack.text, "bytes leftover"));
}

/* Of the header, too, what is reserved is 0, and there are no flags but those that there are. */
TEST(headers_that_say_more)
{
	struct nl_message msg = message(&(struct request){ KVXFER_NL_CMD_KEY_GET });

	msg.genl.reserved = 1;
	CHECK_EQ(nl_tell(&msg).error, -EINVAL);
	msg = message(&(struct request){ KVXFER_NL_CMD_KEY_GET });
	msg.nl.nlmsg_flags |= NLM_F_CREATE;
	CHECK_EQ(nl_tell(&msg).error, -EINVAL);
}

/* A list is no order, and an order no list; what only the kernel says nobody can. */
TEST(commands_in_ways_that_they_are_not_for)
{
	static const uint8_t lists[] = {
		KVXFER_NL_CMD_DEV_GET, KVXFER_NL_CMD_RAIL_GET, KVXFER_NL_CMD_POOL_GET,
		KVXFER_NL_CMD_AGENT_GET,
	};
	static const uint8_t orders[] = {
		KVXFER_NL_CMD_PEER_CONNECT, KVXFER_NL_CMD_PEER_DISCONNECT, KVXFER_NL_CMD_RAIL_SET,
		KVXFER_NL_CMD_KEY_GET, KVXFER_NL_CMD_KEY_SET,
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		refused(&(struct request){ lists[i] }, -EOPNOTSUPP, "", 0);
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		refused(&(struct request){ orders[i], true }, -EOPNOTSUPP, "", 0);
	for (int cmd = KVXFER_NL_CMD_DEV_NTF; cmd <= 255; cmd++) {
		refused(&(struct request){ cmd }, -EOPNOTSUPP, "", 0);
		refused(&(struct request){ cmd, true }, -EOPNOTSUPP, "", 0);
	}
	refused(&(struct request){ KVXFER_NL_CMD_UNSPEC }, -EOPNOTSUPP, "", 0);
}

/* What needs CAP_NET_ADMIN; that is looked at before the attributes are. */
static const struct request for_root[] = {
	{ KVXFER_NL_CMD_PEER_CONNECT, false, { BOOT_ID } },
	{ KVXFER_NL_CMD_PEER_CONNECT, false, { ADDRESS(address), PORT(port) } },
	{ KVXFER_NL_CMD_PEER_CONNECT, false, { { 40, 8, zeros } } },
	{ KVXFER_NL_CMD_PEER_DISCONNECT, false, { BOOT_ID } },
	{ KVXFER_NL_CMD_RAIL_SET, false,
	  { BOOT_ID, { KVXFER_NL_RAIL_ID, 4, &number }, { KVXFER_NL_RAIL_DOWN, 1, &one } } },
	{ KVXFER_NL_CMD_KEY_SET },
	{ KVXFER_NL_CMD_KEY_SET, false, { { KVXFER_NL_KEY_SECRET, sizeof(secret), secret } } },
	{ KVXFER_NL_CMD_POOL_GET, true },
	{ KVXFER_NL_CMD_AGENT_GET, true },
};

/* Returns the number of the first that was not refused as it should be, from 1 on. */
static int ask_for_all(void *arg)
{
	/* In a user namespace of its own it may do all; that is nothing here. */
	if (arg)
		unshare(CLONE_NEWUSER);
	for (size_t i = 0; i < ARRAY_SIZE(for_root); i++) {
		struct nl_message msg = message(&for_root[i]);

		if (nl_ask(&msg) != -EPERM)
			return i + 1;
	}
	return key_is_set() ? 100 : 0;
}

TEST(who_is_not_root_changes_nothing)
{
	struct nl_message msg;

	nl_family();
	CHECK_EQ(in_child(ask_for_all, NULL, 65534), 0);
	CHECK_EQ(in_child(ask_for_all, "", 65534), 0);
	check_untouched();
	/* For root the same are no matter of rights. */
	for (size_t i = 0; i < ARRAY_SIZE(for_root); i++) {
		/* But for that which would look for a node. */
		if (for_root[i].attrs[0].data == address)
			continue;
		msg = message(&for_root[i]);
		CHECK(nl_ask(&msg) != -EPERM);
	}
	CHECK(key_is_set());
	msg = message(&(struct request){ KVXFER_NL_CMD_KEY_SET });
	CHECK_EQ(nl_ask(&msg), 0);
	check_untouched();
}
