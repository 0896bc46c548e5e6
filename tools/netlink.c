// SPDX-License-Identifier: GPL-2.0-only
/* Requests to the netlink family "kvxfer", and what comes back. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "netlink.h"

#define EVENTS_BYTES	(1 << 20)

/* How often a list is read anew that has changed meanwhile. */
#define DUMP_TRIES	64

/* One request on its way. */
struct request {
	struct netlink *nl;
	bool done;
	bool changed;
	struct nl_msg **answers;
	size_t nr;
};

bool netlink_find(struct netlink *nl)
{
	const int on = 1;

	*nl = (struct netlink){};
	nl->sock = nl_socket_alloc();
	if (!nl->sock || genl_connect(nl->sock))
		goto no;
	/* Refusals in words, and not the whole request back with them. */
	setsockopt(nl_socket_get_fd(nl->sock), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(nl_socket_get_fd(nl->sock), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	nl->family = genl_ctrl_resolve(nl->sock, KVXFER_NL_FAMILY);
	if (nl->family >= 0)
		return true;
no:
	netlink_close(nl);
	return false;
}

void netlink_missing(void)
{
	cli_error("the kernel has no netlink family '" KVXFER_NL_FAMILY "'");
	cli_missing("The module that is loaded is older than this command, or this is not the\n"
		    "  machine's own network namespace. Load the one that is installed");
}

bool netlink_open(struct netlink *nl)
{
	if (netlink_find(nl))
		return true;
	netlink_missing();
	return false;
}

void netlink_close(struct netlink *nl)
{
	nl_socket_free(nl->sock);
	nl->sock = NULL;
}

/* Memory for a request is a few hundred bytes: without them nothing works any more. */
static void *sure(void *p)
{
	if (!p) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	return p;
}

static struct nl_msg *new_request(struct netlink *nl, int cmd, int flags)
{
	struct nl_msg *msg = sure(nlmsg_alloc());

	sure(genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, flags, cmd,
			 KVXFER_NL_VERSION));
	return msg;
}

struct nl_msg *netlink_request(struct netlink *nl, int cmd)
{
	return new_request(nl, cmd, 0);
}

void netlink_put(struct nl_msg *msg, int type, const void *bytes, int nr)
{
	struct nlattr *attr = sure(nla_reserve(msg, type, nr));

	memcpy(nla_data(attr), bytes, nr);
}

void netlink_put_u8(struct nl_msg *msg, int type, uint8_t value)
{
	netlink_put(msg, type, &value, sizeof(value));
}

void netlink_put_u16(struct nl_msg *msg, int type, uint16_t value)
{
	netlink_put(msg, type, &value, sizeof(value));
}

void netlink_put_u32(struct nl_msg *msg, int type, uint32_t value)
{
	netlink_put(msg, type, &value, sizeof(value));
}

void netlink_put_u64(struct nl_msg *msg, int type, uint64_t value)
{
	netlink_put(msg, type, &value, sizeof(value));
}

/* What follows the number in an error, or in the end of a list, if the kernel has words for it. */
static void keep_words(struct netlink *nl, struct nlmsghdr *hdr, int head)
{
	struct nlattr *attr;

	nl->text[0] = '\0';
	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS) || nlmsg_datalen(hdr) < head)
		return;
	attr = nla_find((struct nlattr *)((char *)nlmsg_data(hdr) + NLMSG_ALIGN(head)),
			nlmsg_datalen(hdr) - NLMSG_ALIGN(head), NLMSGERR_ATTR_MSG);
	if (attr)
		nla_strlcpy(nl->text, attr, sizeof(nl->text));
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *err, void *arg)
{
	/* The header of what holds it is right before it. */
	struct nlmsghdr *hdr = (struct nlmsghdr *)((char *)err - NLMSG_HDRLEN);
	struct request *req = arg;

	(void)from;
	req->nl->error = -err->error;
	/* Without NETLINK_CAP_ACK the request follows; all kernels that have the module know it. */
	keep_words(req->nl, hdr, sizeof(*err));
	req->done = true;
	return NL_STOP;
}

static int on_end(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *hdr = nlmsg_hdr(msg);
	struct request *req = arg;
	int err = 0;

	if (nlmsg_datalen(hdr) >= (int)sizeof(err))
		memcpy(&err, nlmsg_data(hdr), sizeof(err));
	if (err < 0) {
		req->nl->error = -err;
		keep_words(req->nl, hdr, sizeof(err));
	}
	req->done = true;
	return NL_OK;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct request *req = arg;

	(void)msg;
	req->done = true;
	return NL_OK;
}

static int on_change(struct nl_msg *msg, void *arg)
{
	struct request *req = arg;

	(void)msg;
	req->changed = true;
	return NL_OK;
}

static int on_answer(struct nl_msg *msg, void *arg)
{
	struct request *req = arg;

	req->answers = sure(realloc(req->answers, (req->nr + 1) * sizeof(*req->answers)));
	req->answers[req->nr++] = msg;
	nlmsg_get(msg);
	return NL_OK;
}

static void forget(struct request *req)
{
	for (size_t i = 0; i < req->nr; i++)
		nlmsg_free(req->answers[i]);
	free(req->answers);
	req->answers = NULL;
	req->nr = 0;
}

/* Send it and take all that comes back; it is freed. */
static bool exchange(struct netlink *nl, struct nl_msg *msg, struct request *req)
{
	struct nl_cb *cb = sure(nl_cb_alloc(NL_CB_DEFAULT));
	int err;

	*req = (struct request){ .nl = nl };
	nl->error = 0;
	nl->text[0] = '\0';
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, req);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_end, req);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, req);
	nl_cb_set(cb, NL_CB_DUMP_INTR, NL_CB_CUSTOM, on_change, req);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_answer, req);
	err = nl_send_auto(nl->sock, msg);
	/* It may hold a secret. */
	explicit_bzero(nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len);
	nlmsg_free(msg);
	while (err >= 0 && !req->done)
		err = nl_recvmsgs(nl->sock, cb);
	nl_cb_put(cb);
	/* The library's own errors are few, and say nothing more by their numbers. */
	if (!req->done) {
		nl->error = EIO;
		snprintf(nl->text, sizeof(nl->text), "netlink: %s", nl_geterror(err));
	}
	return !nl->error;
}

bool netlink_ask(struct netlink *nl, struct nl_msg *msg, netlink_fn answer, void *arg)
{
	struct request req;
	bool good;

	good = exchange(nl, msg, &req);
	for (size_t i = 0; good && answer && i < req.nr; i++)
		answer(nlmsg_hdr(req.answers[i]), arg);
	forget(&req);
	return good;
}

/* A whole list, for forget(); or false, with nothing to forget. */
static bool gather(struct netlink *nl, int cmd, struct request *req)
{
	for (int i = 0; i < DUMP_TRIES; i++) {
		if (!exchange(nl, new_request(nl, cmd, NLM_F_DUMP), req)) {
			forget(req);
			return false;
		}
		if (!req->changed)
			return true;
		forget(req);
	}
	nl->error = EAGAIN;
	snprintf(nl->text, sizeof(nl->text), "the list changes faster than it can be read");
	return false;
}

bool netlink_dump(struct netlink *nl, int cmd, netlink_fn each, void *arg)
{
	struct request req;

	if (!gather(nl, cmd, &req))
		return false;
	for (size_t i = 0; i < req.nr; i++)
		each(nlmsg_hdr(req.answers[i]), arg);
	forget(&req);
	return true;
}

static int on_event(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *hdr = nlmsg_hdr(msg);
	struct netlink *nl = arg;
	struct nlattr *id;

	if (hdr->nlmsg_type == nl->family) {
		nl->event(hdr, nl->arg);
	} else if (hdr->nlmsg_type == GENL_ID_CTRL &&
		   genlmsg_hdr(hdr)->cmd == CTRL_CMD_DELFAMILY) {
		/* Of another one, maybe. */
		id = nlmsg_find_attr(hdr, GENL_HDRLEN, CTRL_ATTR_FAMILY_ID);
		nl->unloaded |= id && nla_get_u16(id) == nl->family;
	}
	return NL_OK;
}

bool netlink_listen(struct netlink *nl, netlink_fn event, void *arg)
{
	const int group = genl_ctrl_resolve_grp(nl->sock, KVXFER_NL_FAMILY,
						KVXFER_NL_GROUP_EVENTS);
	/* Where the kernel tells of families that come and go. */
	const int families = genl_ctrl_resolve_grp(nl->sock, "nlctrl", "notify");

	nl->event = event;
	nl->arg = arg;
	nl_socket_disable_seq_check(nl->sock);
	nl_socket_modify_cb(nl->sock, NL_CB_VALID, NL_CB_CUSTOM, on_event, nl);
	/* A burst is more than the default holds. */
	nl_socket_set_buffer_size(nl->sock, EVENTS_BYTES, 0);
	if (group >= 0 && families >= 0 && !nl_socket_add_membership(nl->sock, group) &&
	    !nl_socket_add_membership(nl->sock, families) && !nl_socket_set_nonblocking(nl->sock))
		return true;
	cli_error("the kernel tells of no events");
	return false;
}

int netlink_fd(const struct netlink *nl)
{
	return nl_socket_get_fd(nl->sock);
}

enum netlink_heard netlink_hear(struct netlink *nl)
{
	const int err = nl_recvmsgs_default(nl->sock);

	/* It is how the library says ENOBUFS. */
	if (err == -NLE_NOMEM)
		return NETLINK_LOST;
	if (err < 0 && err != -NLE_AGAIN)
		cli_error("netlink: %s", nl_geterror(err));
	else if (nl->unloaded)
		cli_error("the module was unloaded");
	else
		return NETLINK_HEARD;
	return NETLINK_FAILED;
}

int netlink_list(int cmd, const char *what, void (*heading)(void), netlink_fn each, bool json)
{
	struct json js = {};
	struct request req;
	struct netlink nl;

	if (!netlink_open(&nl))
		return CLI_FAILED;
	if (!gather(&nl, cmd, &req))
		return netlink_failed(&nl, "list %s", what);
	if (json)
		json_begin(&js, NULL, '[');
	else
		heading();
	for (size_t i = 0; i < req.nr; i++)
		each(nlmsg_hdr(req.answers[i]), json ? &js : NULL);
	if (json)
		json_end(&js, ']');
	forget(&req);
	netlink_close(&nl);
	return CLI_OK;
}

bool netlink_bool(struct nlattr *attr)
{
	return attr && nla_get_u8(attr);
}

uint32_t netlink_u32(struct nlattr *attr)
{
	return attr ? nla_get_u32(attr) : 0;
}

uint64_t netlink_u64(struct nlattr *attr)
{
	return attr ? nla_get_u64(attr) : 0;
}

const char *netlink_text(struct nlattr *attr)
{
	return attr ? nla_get_string(attr) : "";
}

int netlink_failed(const struct netlink *nl, const char *fmt, ...)
{
	char what[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (nl->error == EPERM && !nl->text[0])
		cli_error("%s: only root may do that (CAP_NET_ADMIN)", what);
	else
		cli_error("%s: %s", what, nl->text[0] ? nl->text : strerror(nl->error));
	return CLI_FAILED;
}
