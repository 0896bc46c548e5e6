/* SPDX-License-Identifier: GPL-2.0-only */
/* What an administrator asks and orders, by generic netlink and with no library. */
#ifndef KVX_TEST_NETLINK_H
#define KVX_TEST_NETLINK_H

#include <linux/genetlink.h>
#include <linux/kvxfer_netlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "kvx.h"

struct nl_message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	unsigned char attrs[4096];
};

static inline struct nl_message nl_message(uint16_t family, uint8_t cmd)
{
	return (struct nl_message){
		.nl = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = family,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.genl = { .cmd = cmd, .version = 1 },
	};
}

static inline void nl_put(struct nl_message *msg, uint16_t type, const void *data, uint16_t bytes)
{
	struct nlattr *attr = (void *)((char *)msg + msg->nl.nlmsg_len);

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + bytes;
	memcpy((char *)attr + NLA_HDRLEN, data, bytes);
	msg->nl.nlmsg_len += NLA_ALIGN(attr->nla_len);
}

/* An attribute of what came, or NULL. */
static inline const void *nl_get(const struct nl_message *msg, uint16_t type)
{
	const char *end = (const char *)msg + msg->nl.nlmsg_len;
	const struct nlattr *attr = (const void *)msg->attrs;

	while ((const char *)attr < end) {
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return (const char *)attr + NLA_HDRLEN;
		attr = (const void *)((const char *)attr + NLA_ALIGN(attr->nla_len));
	}
	return NULL;
}

/* How a request ended: an errno; why, in words; and which attribute it is about, 0 for none. */
struct nl_ack {
	int error;
	char text[128];
	uint16_t attr;
};

static inline void nl_read_ack(const struct nlmsghdr *nl, const struct nl_message *asked,
			       struct nl_ack *ack)
{
	const struct nlmsgerr *err = NLMSG_DATA(nl);
	const char *end = (const char *)nl + nl->nlmsg_len;
	const struct nlattr *attr = (const void *)(err + 1);
	uint32_t at;

	*ack = (struct nl_ack){ .error = err->error };
	while (nl->nlmsg_flags & NLM_F_ACK_TLVS && (const char *)attr < end) {
		if (attr->nla_type == NLMSGERR_ATTR_MSG)
			snprintf(ack->text, sizeof(ack->text), "%s", (const char *)(attr + 1));
		if (attr->nla_type == NLMSGERR_ATTR_OFFS) {
			memcpy(&at, attr + 1, sizeof(at));
			CHECK(at + sizeof(*attr) <= asked->nl.nlmsg_len);
			memcpy(&ack->attr, (const char *)asked + at +
			       offsetof(struct nlattr, nla_type), sizeof(ack->attr));
		}
		attr = (const void *)((const char *)attr + NLA_ALIGN(attr->nla_len));
	}
}

/* Ask, and hear what the kernel says of it; an answer takes the question's place. */
static inline struct nl_ack nl_tell(struct nl_message *msg)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), on = 1;
	const struct nl_message asked = *msg;
	struct nl_message got;
	struct nl_ack ack;
	ssize_t n;

	CHECK(fd >= 0);
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)), 0);
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)), 0);
	CHECK_EQ(send(fd, msg, msg->nl.nlmsg_len, 0), msg->nl.nlmsg_len);
	for (;;) {
		n = recv(fd, &got, sizeof(got), 0);
		CHECK(n >= (ssize_t)sizeof(got.nl));
		/* What is listed ends in another way than what is done. */
		if (got.nl.nlmsg_type == NLMSG_ERROR || got.nl.nlmsg_type == NLMSG_DONE)
			break;
		memcpy(msg, &got, n);
	}
	close(fd);
	nl_read_ack(&got.nl, &asked, &ack);
	return ack;
}

/* 0 or an errno. */
static inline int nl_ask(struct nl_message *msg)
{
	return nl_tell(msg).error;
}

static inline uint16_t nl_family(void)
{
	static uint16_t family;
	struct nl_message msg = nl_message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);

	if (!family) {
		nl_put(&msg, CTRL_ATTR_FAMILY_NAME, KVXFER_NL_FAMILY, sizeof(KVXFER_NL_FAMILY));
		CHECK_EQ(nl_ask(&msg), 0);
		family = *(const uint16_t *)nl_get(&msg, CTRL_ATTR_FAMILY_ID);
	}
	return family;
}

/* How many rails there are to a peer, whatever their state; none when it is not known. */
static inline uint32_t nl_rails(uint64_t boot_id)
{
	struct nl_message msg = nl_message(nl_family(), KVXFER_NL_CMD_PEER_GET);
	int err;

	nl_put(&msg, KVXFER_NL_PEER_BOOT_ID, &boot_id, sizeof(boot_id));
	err = nl_ask(&msg);
	if (err == -ENOENT)
		return 0;
	CHECK_EQ(err, 0);
	return *(const uint32_t *)nl_get(&msg, KVXFER_NL_PEER_RAILS);
}

/* What there is of a kind: @each is called for it. */
static inline void nl_dump(uint8_t cmd, void (*each)(const struct nl_message *msg, void *arg),
			   void *arg)
{
	struct nl_message ask = nl_message(nl_family(), cmd);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	unsigned char got[32768] __attribute__((aligned(8)));
	bool more = true;
	ssize_t n;

	ask.nl.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	CHECK(fd >= 0);
	CHECK_EQ(send(fd, &ask, ask.nl.nlmsg_len, 0), ask.nl.nlmsg_len);
	while (more) {
		const struct nlmsghdr *nl = (void *)got;

		n = recv(fd, got, sizeof(got), 0);
		CHECK(n > 0);
		for (; NLMSG_OK(nl, n); nl = NLMSG_NEXT(nl, n)) {
			CHECK(nl->nlmsg_type != NLMSG_ERROR);
			more = nl->nlmsg_type != NLMSG_DONE;
			if (more)
				each((const void *)nl, arg);
		}
	}
	close(fd);
}

/* What is said of a device of this node, which is there. */
struct nl_dev {
	const char *name;
	bool found;
	uint32_t keys;
	uint64_t keys_ended, reg_bytes, reg_ns;
	int32_t numa_node;
};

static inline void nl_see_dev(const struct nl_message *msg, void *arg)
{
	struct nl_dev *dev = arg;

	if (strcmp(nl_get(msg, KVXFER_NL_DEV_NAME), dev->name))
		return;
	dev->found = true;
	dev->keys = *(const uint32_t *)nl_get(msg, KVXFER_NL_DEV_KEYS);
	memcpy(&dev->keys_ended, nl_get(msg, KVXFER_NL_DEV_KEYS_ENDED), sizeof(dev->keys_ended));
	memcpy(&dev->reg_bytes, nl_get(msg, KVXFER_NL_DEV_REG_BYTES), sizeof(dev->reg_bytes));
	memcpy(&dev->reg_ns, nl_get(msg, KVXFER_NL_DEV_REG_NS), sizeof(dev->reg_ns));
	dev->numa_node = *(const int32_t *)nl_get(msg, KVXFER_NL_DEV_NUMA_NODE);
}

static inline struct nl_dev nl_dev(const char *name)
{
	struct nl_dev dev = { .name = name };

	nl_dump(KVXFER_NL_CMD_DEV_GET, nl_see_dev, &dev);
	CHECK(dev.found);
	return dev;
}

/* What is said of a rail to a peer, which is there: of that on a device, or else of that number. */
struct nl_rail {
	uint64_t boot_id;
	const char *dev;
	bool found;
	uint32_t id, state;
	uint64_t read_bytes, write_bytes;
};

static inline void nl_see_rail(const struct nl_message *msg, void *arg)
{
	const char *dev = nl_get(msg, KVXFER_NL_RAIL_DEV);
	const uint32_t id = *(const uint32_t *)nl_get(msg, KVXFER_NL_RAIL_ID);
	struct nl_rail *rail = arg;

	if (memcmp(nl_get(msg, KVXFER_NL_RAIL_BOOT_ID), &rail->boot_id, 8) ||
	    (rail->dev ? !dev || strcmp(dev, rail->dev) : id != rail->id))
		return;
	rail->found = true;
	rail->id = id;
	rail->state = *(const uint32_t *)nl_get(msg, KVXFER_NL_RAIL_STATE);
	memcpy(&rail->read_bytes, nl_get(msg, KVXFER_NL_RAIL_READ_BYTES), 8);
	memcpy(&rail->write_bytes, nl_get(msg, KVXFER_NL_RAIL_WRITE_BYTES), 8);
}

static inline struct nl_rail nl_rail(uint64_t boot_id, const char *dev, uint32_t id)
{
	struct nl_rail rail = { .boot_id = boot_id, .dev = dev, .id = id };

	nl_dump(KVXFER_NL_CMD_RAIL_GET, nl_see_rail, &rail);
	CHECK(rail.found);
	return rail;
}

struct nl_rail_bytes {
	uint64_t boot_id, sum;
	uint16_t attr;
};

static inline void nl_add_rail(const struct nl_message *msg, void *arg)
{
	struct nl_rail_bytes *rails = arg;
	uint64_t bytes;

	if (memcmp(nl_get(msg, KVXFER_NL_RAIL_BOOT_ID), &rails->boot_id, 8))
		return;
	memcpy(&bytes, nl_get(msg, rails->attr), sizeof(bytes));
	rails->sum += bytes;
}

/* What has come from a peer by its rails, or gone to it: KVXFER_NL_RAIL_READ_BYTES, or WRITE. */
static inline uint64_t nl_rail_bytes(uint64_t boot_id, uint16_t attr)
{
	struct nl_rail_bytes rails = { .boot_id = boot_id, .attr = attr };

	nl_dump(KVXFER_NL_CMD_RAIL_GET, nl_add_rail, &rails);
	return rails.sum;
}

/* 0, or -ENOENT when there is none of this number. */
static inline int nl_set_rail(uint64_t boot_id, uint32_t id, bool down)
{
	struct nl_message msg = nl_message(nl_family(), KVXFER_NL_CMD_RAIL_SET);
	const uint8_t byte = down;

	nl_put(&msg, KVXFER_NL_RAIL_BOOT_ID, &boot_id, sizeof(boot_id));
	nl_put(&msg, KVXFER_NL_RAIL_ID, &id, sizeof(id));
	nl_put(&msg, KVXFER_NL_RAIL_DOWN, &byte, sizeof(byte));
	return nl_ask(&msg);
}

/* All rails to a peer that there are, or could be. */
static inline void nl_set_rails(uint64_t boot_id, bool down)
{
	for (uint32_t id = 0; id < 16; id++) {
		const int err = nl_set_rail(boot_id, id, down);

		if (err != -ENOENT)
			CHECK_EQ(err, 0);
	}
}

#endif /* KVX_TEST_NETLINK_H */
