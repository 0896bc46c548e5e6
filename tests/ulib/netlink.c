// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command's netlink half, with a kernel that is made up here: what libnl sends and receives
 * goes through sendmsg() and recvmsg(), and those are ours.
 */
#include <stdarg.h>
#include <linux/kvxfer.h>

#include "../ktap.h"
#include "../../tools/netlink.c"
#include "../../tools/nodes.c"
#include "../../tools/json.c"
#include "../../tools/units.c"

#define FAMILY		77
#define DATAGRAMS	8

static struct {
	void (*answer)(struct nlmsghdr *request);
	int requests;
	struct nl_msg *queue[DATAGRAMS];
	int nr;
	int at;
} kernel;

static char said[512];

void cli_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(said, sizeof(said), fmt, args);
	va_end(args);
}

void cli_missing(const char *loaded)
{
	(void)loaded;
}

/* A message from the kernel, as an answer to @request, in a datagram of its own. */
static struct nl_msg *put(struct nlmsghdr *request, int type, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	nlmsg_put(msg, request->nlmsg_pid, request->nlmsg_seq, type, 0, flags);
	kernel.queue[kernel.nr++] = msg;
	return msg;
}

static struct nl_msg *put_family(struct nlmsghdr *request, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	genlmsg_put(msg, request->nlmsg_pid, request->nlmsg_seq, FAMILY, 0, flags, 1, 1);
	kernel.queue[kernel.nr++] = msg;
	return msg;
}

/* With words, if there are some; 0 is no error. */
static void put_error(struct nlmsghdr *request, int err, const char *words)
{
	const int flags = NLM_F_CAPPED | (words ? NLM_F_ACK_TLVS : 0);
	struct nl_msg *msg = put(request, NLMSG_ERROR, flags);
	struct nlmsgerr body = { .error = err, .msg = *request };

	nlmsg_append(msg, &body, sizeof(body), NLMSG_ALIGNTO);
	if (words)
		nla_put_string(msg, NLMSGERR_ATTR_MSG, words);
}

static void put_done(struct nlmsghdr *request, int err, const char *words)
{
	struct nl_msg *msg = put(request, NLMSG_DONE, NLM_F_MULTI | (words ? NLM_F_ACK_TLVS : 0));

	nlmsg_append(msg, &err, sizeof(err), NLMSG_ALIGNTO);
	if (words)
		nla_put_string(msg, NLMSGERR_ATTR_MSG, words);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct nlmsghdr *request = msg->msg_iov[0].iov_base;

	(void)fd;
	(void)flags;
	if (request->nlmsg_type == GENL_ID_CTRL) {
		struct nl_msg *family = put(request, GENL_ID_CTRL, 0);
		const struct genlmsghdr head = { .cmd = CTRL_CMD_NEWFAMILY, .version = 2 };

		nlmsg_append(family, (void *)&head, sizeof(head), NLMSG_ALIGNTO);
		nla_put_string(family, CTRL_ATTR_FAMILY_NAME, "kvxfer");
		nla_put_u16(family, CTRL_ATTR_FAMILY_ID, FAMILY);
		put_error(request, 0, NULL);
	} else {
		kernel.requests++;
		kernel.answer(request);
	}
	return msg->msg_iov[0].iov_len;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct nlmsghdr *hdr;
	size_t room;

	(void)fd;
	if (kernel.at == kernel.nr) {
		errno = EIO;
		return -1;
	}
	hdr = nlmsg_hdr(kernel.queue[kernel.at]);
	room = msg->msg_iov[0].iov_len;
	memcpy(msg->msg_iov[0].iov_base, hdr, room < hdr->nlmsg_len ? room : hdr->nlmsg_len);
	memset(msg->msg_name, 0, sizeof(struct sockaddr_nl));
	((struct sockaddr_nl *)msg->msg_name)->nl_family = AF_NETLINK;
	msg->msg_namelen = sizeof(struct sockaddr_nl);
	room = hdr->nlmsg_len;
	if (!(flags & MSG_PEEK))
		nlmsg_free(kernel.queue[kernel.at++]);
	if (kernel.at == kernel.nr) {
		kernel.at = 0;
		kernel.nr = 0;
	}
	return room;
}

static struct netlink fresh(void (*answer)(struct nlmsghdr *request))
{
	struct netlink nl;

	CHECK_EQ(kernel.nr, 0);
	kernel.answer = answer;
	kernel.requests = 0;
	said[0] = '\0';
	CHECK(netlink_open(&nl));
	CHECK_EQ(nl.family, FAMILY);
	return nl;
}

static void put_peer(struct nlmsghdr *request, uint64_t boot_id, const char *name, int flags)
{
	struct nl_msg *msg = put_family(request, flags);

	nla_put_u64(msg, KVXFER_NL_PEER_BOOT_ID, boot_id);
	nla_put_string(msg, KVXFER_NL_PEER_NAME, name);
	nla_put_u32(msg, KVXFER_NL_PEER_RAILS, 2);
}

static void take(struct nlmsghdr *hdr, void *arg)
{
	node_read_peer(hdr, arg);
}

static void answers_with_a_peer(struct nlmsghdr *request)
{
	put_peer(request, 0x123, "node2", 0);
	put_error(request, 0, NULL);
}

TEST(an_answer_comes_before_the_end)
{
	struct netlink nl = fresh(answers_with_a_peer);
	struct peer peer = {};

	for (int i = 0; i < 3; i++)
		CHECK(netlink_ask(&nl, netlink_request(&nl, KVXFER_NL_CMD_PEER_GET), take, &peer));
	CHECK_EQ(peer.boot_id, 0x123);
	CHECK_STR(peer.name, "node2");
	CHECK_EQ(peer.rails, 2);
	CHECK_EQ(nl.error, 0);
	netlink_close(&nl);
}

static void refuses_in_words(struct nlmsghdr *request)
{
	put_error(request, -ECONNREFUSED, "the other node has another cluster key");
}

static void refuses(struct nlmsghdr *request)
{
	put_error(request, -EPERM, NULL);
}

TEST(a_refusal_is_told_in_the_kernels_words)
{
	struct netlink nl = fresh(refuses_in_words);

	CHECK(!netlink_ask(&nl, netlink_request(&nl, 3), NULL, NULL));
	CHECK_EQ(nl.error, ECONNREFUSED);
	CHECK_EQ(netlink_failed(&nl, "connect %s", "node2"), CLI_FAILED);
	CHECK_STR(said, "connect node2: the other node has another cluster key");
	CHECK(!netlink_dump(&nl, 3, take, NULL));
	CHECK_EQ(nl.error, ECONNREFUSED);
	kernel.answer = refuses;
	CHECK(!netlink_ask(&nl, netlink_request(&nl, 3), NULL, NULL));
	CHECK_EQ(nl.error, EPERM);
	netlink_failed(&nl, "connect");
	CHECK_STR(said, "connect: only root may do that (CAP_NET_ADMIN)");
	netlink_close(&nl);
}

static void says_nothing(struct nlmsghdr *request)
{
	(void)request;
}

TEST(what_netlink_itself_says_is_an_error_too)
{
	struct netlink nl = fresh(says_nothing);

	CHECK(!netlink_ask(&nl, netlink_request(&nl, 3), NULL, NULL));
	CHECK_EQ(nl.error, EIO);
	netlink_failed(&nl, "connect");
	CHECK(strstr(said, "connect: netlink: "));
	netlink_close(&nl);
}

static void count(struct nlmsghdr *hdr, void *arg)
{
	int *nr = arg;

	(void)hdr;
	(*nr)++;
}

/* The first two times the list changes while it is read: in its middle, and at its end. */
static void lists_what_changes(struct nlmsghdr *request)
{
	CHECK(request->nlmsg_flags & NLM_F_DUMP);
	put_peer(request, 1, "a", NLM_F_MULTI);
	put_peer(request, 2, "b", NLM_F_MULTI | (kernel.requests == 1 ? NLM_F_DUMP_INTR : 0));
	put_done(request, 0, NULL);
	if (kernel.requests == 2)
		nlmsg_hdr(kernel.queue[kernel.nr - 1])->nlmsg_flags |= NLM_F_DUMP_INTR;
}

static void always_changes(struct nlmsghdr *request)
{
	put_peer(request, 1, "a", NLM_F_MULTI | NLM_F_DUMP_INTR);
	put_done(request, 0, NULL);
}

static void ends_badly(struct nlmsghdr *request)
{
	put_peer(request, 1, "a", NLM_F_MULTI);
	put_done(request, -ENOMEM, kernel.requests == 2 ? "there is no memory left" : NULL);
}

TEST(a_list_that_changes_is_read_anew)
{
	struct netlink nl = fresh(lists_what_changes);
	int nr = 0;

	CHECK(netlink_dump(&nl, KVXFER_NL_CMD_PEER_GET, count, &nr));
	CHECK_EQ(kernel.requests, 3);
	CHECK_EQ(nr, 2);
	kernel.answer = always_changes;
	nr = 0;
	CHECK(!netlink_dump(&nl, KVXFER_NL_CMD_PEER_GET, count, &nr));
	CHECK_EQ(nr, 0);
	netlink_failed(&nl, "list");
	CHECK_STR(said, "list: the list changes faster than it can be read");
	netlink_close(&nl);
}

TEST(a_list_that_ends_with_an_error_is_none)
{
	struct netlink nl = fresh(ends_badly);
	int nr = 0;

	CHECK(!netlink_dump(&nl, KVXFER_NL_CMD_PEER_GET, count, &nr));
	CHECK_EQ(nl.error, ENOMEM);
	CHECK_STR(nl.text, "");
	CHECK(!netlink_dump(&nl, KVXFER_NL_CMD_PEER_GET, count, &nr));
	CHECK_STR(nl.text, "there is no memory left");
	CHECK_EQ(nr, 0);
	netlink_close(&nl);
}

static const char *lacking;

static void answers_with_a_device(struct nlmsghdr *request)
{
	struct nl_msg *msg = put_family(request, NLM_F_MULTI);

	nla_put_u32(msg, KVXFER_NL_DEV_ID, 1);
	nla_put_string(msg, KVXFER_NL_DEV_NAME, "efa_0");
	nla_put_u8(msg, KVXFER_NL_DEV_USABLE, !lacking);
	if (lacking)
		nla_put_string(msg, KVXFER_NL_DEV_WHY, lacking);
	put_done(request, 0, NULL);
}

static void take_a_device(struct nlmsghdr *hdr, void *arg)
{
	CHECK(node_read_dev(hdr, arg));
}

TEST(what_a_device_lacks_is_told_in_the_kernels_words)
{
	struct netlink nl = fresh(answers_with_a_device);
	static const char *const words[] = {
		"its driver gives the kernel no verbs (as Amazon's EFA)",
		"it cannot register memory by work requests",
		"it registers fewer than 16 pages at once",
		"it takes no pages of the size that this kernel's are of",
		"none of its ports has a connection manager",
		NULL,
	};
	struct dev dev;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		lacking = words[i];
		memset(&dev, 0xff, sizeof(dev));
		CHECK(netlink_dump(&nl, KVXFER_NL_CMD_DEV_GET, take_a_device, &dev));
		CHECK_EQ(dev.usable, !lacking);
		CHECK_STR(dev.why, lacking ?: "");
		CHECK_STR(dev.name, "efa_0");
	}
	netlink_close(&nl);
}

static struct rail rail_was;

static void take_a_rail(struct nlmsghdr *hdr, void *arg)
{
	bool *good = arg;

	*good = node_read_rail(hdr, &rail_was);
}

static void answers_with_a_rail(struct nlmsghdr *request)
{
	static const unsigned char remote[16] = { [10] = 255, 255, 10, 77, 0, 2 };
	struct nl_msg *msg = put_family(request, 0);

	nla_put_u64(msg, KVXFER_NL_RAIL_BOOT_ID, 0x123);
	nla_put_u32(msg, KVXFER_NL_RAIL_ID, 3);
	nla_put_u32(msg, KVXFER_NL_RAIL_STATE, KVXFER_NL_RAIL_STATE_READY);
	nla_put_string(msg, KVXFER_NL_RAIL_DEV, "mlx5_0");
	/* The third time it is too short to be an address. */
	nla_put(msg, KVXFER_NL_RAIL_REMOTE, kernel.requests == 3 ? 4 : 16, remote);
	nla_put_u16(msg, KVXFER_NL_RAIL_PORT, 19875);
	nla_put_u64(msg, KVXFER_NL_RAIL_READ_BYTES, 1ULL << 40);
	/* What a newer kernel might say. */
	nla_put_u32(msg, KVXFER_NL_RAIL_MAX + 1, 1);
	if (kernel.requests == 2)
		nla_put_u16(msg, KVXFER_NL_RAIL_LANES, 1);
	put_error(request, 0, NULL);
}

TEST(what_the_kernel_says_is_read_and_what_makes_no_sense_is_not)
{
	struct netlink nl = fresh(answers_with_a_rail);
	char text[NODES_ADDRESS_MAX];
	bool good;

	CHECK(netlink_ask(&nl, netlink_request(&nl, 1), take_a_rail, &good));
	CHECK(good);
	CHECK_EQ(rail_was.id, 3);
	CHECK_STR(node_rail_state(&rail_was), "ready");
	CHECK_STR(rail_was.dev, "mlx5_0");
	CHECK(!rail_was.has_local);
	node_format_address(text, &rail_was.remote, rail_was.port);
	CHECK_STR(text, "10.77.0.2:19875");
	CHECK_EQ(rail_was.read_bytes, 1ULL << 40);
	for (int i = 0; i < 2; i++) {
		CHECK(netlink_ask(&nl, netlink_request(&nl, 1), take_a_rail, &good));
		CHECK(!good);
	}
	netlink_close(&nl);
}

TEST(addresses_are_understood)
{
	static const struct {
		const char *text;
		enum node_word kind;
		const char *is;
	} words[] = {
		{ "10.77.0.2", NODE_IS_ADDRESS, "10.77.0.2:19875" },
		{ "10.77.0.2:1", NODE_IS_ADDRESS, "10.77.0.2:1" },
		{ "::1", NODE_IS_ADDRESS, "[::1]:19875" },
		{ "fd00::2", NODE_IS_ADDRESS, "[fd00::2]:19875" },
		{ "[fd00::2]", NODE_IS_ADDRESS, "[fd00::2]:19875" },
		{ "[fd00::2]:65535", NODE_IS_ADDRESS, "[fd00::2]:65535" },
		{ "::ffff:10.77.0.2", NODE_IS_ADDRESS, "10.77.0.2:19875" },
		{ "node2", NODE_IS_NAME, NULL },
		{ "1234", NODE_IS_NAME, NULL },
		{ "a.b.c", NODE_IS_NAME, NULL },
		{ "4c1a06da5ca19d6e", NODE_IS_NAME, NULL },
		{ "", NODE_IS_NAME, NULL },
		{ "10.77.0", NODE_IS_NEITHER, NULL },
		{ "10.77.0.256", NODE_IS_NEITHER, NULL },
		{ "10.77.0.2:", NODE_IS_NEITHER, NULL },
		{ "10.77.0.2:0", NODE_IS_NEITHER, NULL },
		{ "10.77.0.2:65536", NODE_IS_NEITHER, NULL },
		{ "10.77.0.2:+1", NODE_IS_NEITHER, NULL },
		{ "node2:19875", NODE_IS_NEITHER, NULL },
		{ ":19875", NODE_IS_NEITHER, NULL },
		{ "[", NODE_IS_NEITHER, NULL },
		{ "[]", NODE_IS_NEITHER, NULL },
		{ "[fd00::2", NODE_IS_NEITHER, NULL },
		{ "[fd00::2]x", NODE_IS_NEITHER, NULL },
		{ "[fd00::2]:", NODE_IS_NEITHER, NULL },
		{ "[10.77.0.2]", NODE_IS_NEITHER, NULL },
		{ "fd00::2::3", NODE_IS_NEITHER, NULL },
		{ "fd00::2%eth0", NODE_IS_NEITHER, NULL },
		{ "[0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0]", NODE_IS_NEITHER, NULL },
	};
	char text[NODES_ADDRESS_MAX];
	struct in6_addr addr;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (node_parse_address(words[i].text, &addr, &port) != words[i].kind)
			FAIL("'%s' is not what it is taken for", words[i].text);
		if (!words[i].is)
			continue;
		node_format_address(text, &addr, port);
		CHECK_STR(text, words[i].is);
	}
}

TEST(a_peer_is_found_by_its_boot_id_and_by_its_name)
{
	static const struct peer peers[] = {
		{ .boot_id = 0x1234000000000001, .name = "node1" },
		{ .boot_id = 0x1234000000000002, .name = "node2" },
		{ .boot_id = 0xabcd000000000003, .name = "twin" },
		{ .boot_id = 0x00ff000000000004, .name = "twin" },
		{ .boot_id = 0x5678000000000005, .name = "again", .gone = true },
		{ .boot_id = 0x9abc000000000006, .name = "again" },
		/* Whoever calls itself by the boot id of another does not become that one. */
		{ .boot_id = 0xdddd000000000007, .name = "1234000000000001" },
		{ .boot_id = 0xeeee000000000008, .name = "abcd" },
	};
	static const struct {
		const char *word;
		int found;
	} words[] = {
		{ "1234000000000001", 0 }, { "1234000000000002", 1 }, { "node2", 1 },
		{ "ABCD000000000003", 2 }, { "abcd0", 2 }, { "00ff", 3 }, { "again", 5 },
		{ "5678", 4 }, { "dddd", 6 }, { "eeee", 7 },
		{ "1234", -1 }, { "twin", -1 }, { "abcd", -1 }, { "0ff", -1 }, { "00f", -1 },
		{ "", -1 }, { "node", -1 }, { "12340000000000010", -1 }, { "0x1234", -1 },
	};
	char called[NODES_CALLED_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct peer *peer = node_find_peer(peers, ARRAY_SIZE(peers), words[i].word);

		if (peer != (words[i].found < 0 ? NULL : &peers[words[i].found]))
			FAIL("'%s' is not the one that is meant", words[i].word);
	}
	node_find_peer(peers, ARRAY_SIZE(peers), "twin");
	CHECK_STR(said, "'twin' may be any of 2 peers: say which by its boot id");
	node_find_peer(peers, ARRAY_SIZE(peers), "nobody");
	CHECK_STR(said, "no peer is called 'nobody': see kvxfer peer list");
	node_call_peer(called, peers, ARRAY_SIZE(peers), 0x1234000000000002);
	CHECK_STR(called, "node2");
	node_call_peer(called, peers, ARRAY_SIZE(peers), 0x00ff000000000004);
	CHECK_STR(called, "00ff000000000004");
	node_call_peer(called, peers, ARRAY_SIZE(peers), 0x77);
	CHECK_STR(called, "0000000000000077");
}

TEST(troubles_are_in_words)
{
	CHECK_STR(node_why(0, 0), "");
	CHECK_STR(node_why(ECONNREFUSED, 0), "Connection refused");
	CHECK_STR(node_why(ECONNREFUSED, KVXFER_REFUSAL_SELF), "it is this node itself");
	CHECK_STR(node_rail_state(&(struct rail){ .state = 99 }), "unknown");
	CHECK_STR(node_peer_state(&(struct peer){ .gone = true, .ready = 1 }), "gone");
	CHECK_STR(node_peer_state(&(struct peer){ .down = true, .wanted = 1 }), "down");
	CHECK_STR(node_peer_state(&(struct peer){ .ready = 1 }), "connected");
	CHECK_STR(node_peer_state(&(struct peer){ .wanted = 1 }), "connecting");
	CHECK_STR(node_peer_state(&(struct peer){}), "idle");
}
