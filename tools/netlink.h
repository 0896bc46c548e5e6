/* SPDX-License-Identifier: GPL-2.0-only */
/* Asking the kernel's netlink family: what the commands of an administrator have in common. */
#ifndef NETLINK_H
#define NETLINK_H

#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <linux/kvxfer_netlink.h>

#include "cli.h"

struct nl_sock;

typedef void (*netlink_fn)(struct nlmsghdr *hdr, void *arg);

/**
 * struct netlink - the family, and the last answer
 * @sock: to ask by, or to hear events by
 * @family: its number
 * @error: why the last request failed: an errno, or 0
 * @text: what the kernel said of it; may be empty
 * @event: gets what is heard
 * @arg: with this
 * @unloaded: there will be no more of that
 */
struct netlink {
	struct nl_sock *sock;
	int family;
	int error;
	char text[256];
	netlink_fn event;
	void *arg;
	bool unloaded;
};

/* Without the family: false, and netlink_missing() says what is in the way. */
bool netlink_find(struct netlink *nl);
void netlink_missing(void);
void netlink_close(struct netlink *nl);

/* netlink_find(), or say what is in the way. */
bool netlink_open(struct netlink *nl);

/* A request, for netlink_put_*() and netlink_ask(). There is always room. */
struct nl_msg *netlink_request(struct netlink *nl, int cmd);
void netlink_put(struct nl_msg *msg, int type, const void *bytes, int nr);
void netlink_put_u8(struct nl_msg *msg, int type, uint8_t value);
void netlink_put_u16(struct nl_msg *msg, int type, uint16_t value);
void netlink_put_u32(struct nl_msg *msg, int type, uint32_t value);
void netlink_put_u64(struct nl_msg *msg, int type, uint64_t value);

/* Send it, and free it; @answer gets what comes back, and may be NULL. False: see @nl->error. */
bool netlink_ask(struct netlink *nl, struct nl_msg *msg, netlink_fn answer, void *arg);

/* All that there is, once it has come whole. */
bool netlink_dump(struct netlink *nl, int cmd, netlink_fn each, void *arg);

/* From now on hear events, and ask nothing any more. False: it was said why. */
bool netlink_listen(struct netlink *nl, netlink_fn event, void *arg);
int netlink_fd(const struct netlink *nl);

/* Take what has come, without waiting. */
enum netlink_heard {
	NETLINK_HEARD,
	NETLINK_LOST,		/* events came faster than they were taken */
	NETLINK_FAILED,		/* it was said why: there are no more */
};

enum netlink_heard netlink_hear(struct netlink *nl);

/*
 * All of it printed: as a table below @heading, where @each gets NULL; or as JSON, where it gets a
 * struct json. Returns the exit status.
 */
int netlink_list(int cmd, const char *what, void (*heading)(void), netlink_fn each, bool json);

/* What an attribute holds; 0, or "", when it is not there. */
bool netlink_bool(struct nlattr *attr);
uint32_t netlink_u32(struct nlattr *attr);
uint64_t netlink_u64(struct nlattr *attr);
const char *netlink_text(struct nlattr *attr);

/* Say that @what failed, and why; returns CLI_FAILED. */
int netlink_failed(const struct netlink *nl, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* cmd_key.c: is there a cluster key? False: see @nl->error. */
bool key_is_set(struct netlink *nl, bool *is_set);
#define KEY_NOT_SET \
	"not set: any node that reaches the port can connect (\"kvxfer key set\" mends it)"

/* peer_connect.c: a part of cmd_peer.c. Returns the exit status. */
int peer_connect(const char *word, uint64_t *boot_id);

/*
 * nodes.c: what the kernel says of devices, peers and rails.
 */

#define NODES_NAME_MAX	64
#define NODES_TEXT_MAX	192
#define NODES_PORT	19875
#define NODES_RAILS_MAX	16

struct dev {
	uint32_t id;
	char name[NODES_NAME_MAX];
	bool usable;
	char why[NODES_TEXT_MAX];
	bool iwarp;
	int32_t numa_node;
	uint32_t ports;
	uint32_t active_ports;
	uint64_t key_bytes;
	uint32_t keys;
	uint64_t reg_bytes;
	uint64_t reg_ns;
	uint64_t keys_ended;
	uint32_t event;
};

struct peer {
	uint64_t boot_id;
	char name[NODES_NAME_MAX];
	bool down;
	bool gone;
	uint32_t wanted;
	uint32_t rails;
	uint32_t ready;
	uint32_t error;
	uint32_t refusal;
	uint32_t layouts;
	uint32_t served;
	uint32_t event;
};

struct rail {
	uint64_t boot_id;
	uint32_t id;
	uint32_t state;
	bool down;
	char dev[NODES_NAME_MAX];
	bool has_local;
	struct in6_addr local;
	struct in6_addr remote;
	uint16_t port;
	bool asked;
	uint32_t lanes;
	uint32_t attempts;
	uint32_t error;
	uint32_t refusal;
	uint32_t next_ms;
	uint32_t netns;
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint32_t event;
};

/* False: the kernel has sent what makes no sense. */
bool node_read_dev(struct nlmsghdr *hdr, struct dev *dev);
bool node_read_peer(struct nlmsghdr *hdr, struct peer *peer);
bool node_read_rail(struct nlmsghdr *hdr, struct rail *rail);

/* What they are, as members of an object that has begun. */
void node_json_dev(struct json *js, const struct dev *dev);
void node_json_peer(struct json *js, const struct peer *peer);
void node_json_rail(struct json *js, const struct rail *rail);

/* All peers or rails; the caller frees them. False: it was said why. */
bool node_peers(struct netlink *nl, struct peer **peers, size_t *nr);
bool node_rails(struct netlink *nl, struct rail **rails, size_t *nr);

/* The peer that @word means: a boot id, its beginning, a name. NULL: it was said why. */
const struct peer *node_find_peer(const struct peer *peers, size_t nr, const char *word);

/* The same, asked for. */
bool node_meant(struct netlink *nl, const char *word, struct peer *peer);

const char *node_peer_state(const struct peer *peer);
const char *node_rail_state(const struct rail *rail);

/* What a peer is called where its name, if it has one, is no other's; else its boot id. */
#define NODES_CALLED_MAX	NODES_NAME_MAX
void node_call_peer(char text[NODES_CALLED_MAX], const struct peer *peers, size_t nr,
		    uint64_t boot_id);

/* Rails as a table; those of one peer, or of all for NULL. */
void node_print_rails(const struct rail *rails, size_t nr_rails, const struct peer *peers,
		      size_t nr_peers, const struct peer *only);

/* Why the last attempt failed; "" when none did, or it has been made up for. */
const char *node_why(uint32_t error, uint32_t refusal);
const char *node_rail_why(const struct rail *rail);

/* "10.77.0.2", "fd00::2"; with a port "10.77.0.2:19875", "[fd00::2]:19875". */
#define NODES_ADDRESS_MAX	64
void node_format_address(char text[NODES_ADDRESS_MAX], const struct in6_addr *addr, uint16_t port);

/* The other way; without a port NODES_PORT. */
enum node_word { NODE_IS_ADDRESS, NODE_IS_NAME, NODE_IS_NEITHER };
enum node_word node_parse_address(const char *text, struct in6_addr *addr, uint16_t *port);

#endif /* NETLINK_H */
