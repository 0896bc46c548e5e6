// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: what an administrator sees and sets. uapi/kvxfer.yaml says what each
 * attribute is.
 *
 * What is told is looked at first, by a view, and put into a message then, without a lock. Lists go
 * by the objects' order, and say so when they have changed since the list was begun.
 */
#include <linux/sched.h>
#include <linux/uidgid.h>
#include <net/genetlink.h>

#include "key.h"
#include "kvx.h"
#include "netlink.h"
#include "peer.h"
#include "pool.h"
#include "rdma/rdma.h"

static struct genl_family kvx_family;
static bool kvx_netlink_is_on;

/* How a message is put together: the first thing that has no room is enough to know. */
struct kvx_reply {
	struct sk_buff *skb;
	void *head;
};

static int kvx_reply_begin(struct kvx_reply *reply, struct sk_buff *skb, u32 port, u32 seq,
			   int flags, u8 cmd)
{
	reply->skb = skb;
	reply->head = genlmsg_put(skb, port, seq, &kvx_family, flags, cmd);
	return reply->head ? 0 : -EMSGSIZE;
}

static int kvx_reply_end(struct kvx_reply *reply, int err)
{
	if (err)
		genlmsg_cancel(reply->skb, reply->head);
	else
		genlmsg_end(reply->skb, reply->head);
	return err;
}

/* An address as IPv6 has it. */
static int kvx_put_addr(struct sk_buff *skb, int attr, const struct sockaddr_storage *addr)
{
	const struct sockaddr_in6 *in6 = (const void *)addr;
	const struct sockaddr_in *in = (const void *)addr;
	struct in6_addr mapped;

	if (addr->ss_family == AF_INET6)
		return nla_put_in6_addr(skb, attr, &in6->sin6_addr);
	if (addr->ss_family != AF_INET)
		return 0;
	ipv6_addr_set_v4mapped(in->sin_addr.s_addr, &mapped);
	return nla_put_in6_addr(skb, attr, &mapped);
}

static int kvx_put_event(struct sk_buff *skb, int attr, enum kvxfer_nl_event event)
{
	return event ? nla_put_u32(skb, attr, event) : 0;
}

static int kvx_put_dev(struct sk_buff *skb, const struct kvx_dev_view *view,
		       enum kvxfer_nl_event event)
{
	if (nla_put_u32(skb, KVXFER_NL_DEV_ID, view->id) ||
	    nla_put_string(skb, KVXFER_NL_DEV_NAME, view->name) ||
	    nla_put_u8(skb, KVXFER_NL_DEV_USABLE, !view->why) ||
	    (view->why && nla_put_string(skb, KVXFER_NL_DEV_WHY, view->why)) ||
	    nla_put_u8(skb, KVXFER_NL_DEV_IWARP, view->iwarp) ||
	    nla_put_s32(skb, KVXFER_NL_DEV_NUMA_NODE, view->numa_node) ||
	    nla_put_u32(skb, KVXFER_NL_DEV_PORTS, view->ports) ||
	    nla_put_u32(skb, KVXFER_NL_DEV_ACTIVE_PORTS, view->active_ports) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_DEV_KEY_BYTES, view->key_bytes,
			      KVXFER_NL_DEV_PAD) ||
	    nla_put_u32(skb, KVXFER_NL_DEV_KEYS, view->keys) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_DEV_REG_BYTES, view->reg_bytes,
			      KVXFER_NL_DEV_PAD) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_DEV_REG_NS, view->reg_ns, KVXFER_NL_DEV_PAD) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_DEV_KEYS_ENDED, view->keys_ended,
			      KVXFER_NL_DEV_PAD))
		return -EMSGSIZE;
	return kvx_put_event(skb, KVXFER_NL_DEV_EVENT, event);
}

static int kvx_put_peer(struct sk_buff *skb, const struct kvx_peer_view *view,
			enum kvxfer_nl_event event)
{
	if (nla_put_u64_64bit(skb, KVXFER_NL_PEER_BOOT_ID, view->boot_id, KVXFER_NL_PEER_PAD) ||
	    nla_put_string(skb, KVXFER_NL_PEER_NAME, view->name) ||
	    nla_put_u8(skb, KVXFER_NL_PEER_DOWN, view->down) ||
	    nla_put_u8(skb, KVXFER_NL_PEER_GONE, view->gone) ||
	    nla_put_u32(skb, KVXFER_NL_PEER_WANTED, view->wanted) ||
	    nla_put_u32(skb, KVXFER_NL_PEER_RAILS, view->rails) ||
	    nla_put_u32(skb, KVXFER_NL_PEER_READY, view->ready) ||
	    nla_put_u32(skb, KVXFER_NL_PEER_ERROR, view->error) ||
	    nla_put_u32(skb, KVXFER_NL_PEER_REFUSAL, view->refusal) ||
	    nla_put_u32(skb, KVXFER_NL_PEER_LAYOUTS, view->layouts) ||
	    nla_put_u32(skb, KVXFER_NL_PEER_SERVED, view->served))
		return -EMSGSIZE;
	return kvx_put_event(skb, KVXFER_NL_PEER_EVENT, event);
}

static int kvx_put_rail(struct sk_buff *skb, const struct kvx_rail_view *view,
			enum kvxfer_nl_event event)
{
	if (nla_put_u64_64bit(skb, KVXFER_NL_RAIL_BOOT_ID, view->boot_id, KVXFER_NL_RAIL_PAD) ||
	    nla_put_u32(skb, KVXFER_NL_RAIL_ID, view->id) ||
	    nla_put_u32(skb, KVXFER_NL_RAIL_STATE, view->state) ||
	    nla_put_u8(skb, KVXFER_NL_RAIL_DOWN, view->down) ||
	    (view->dev[0] && nla_put_string(skb, KVXFER_NL_RAIL_DEV, view->dev)) ||
	    kvx_put_addr(skb, KVXFER_NL_RAIL_LOCAL, &view->local) ||
	    kvx_put_addr(skb, KVXFER_NL_RAIL_REMOTE, &view->remote) ||
	    nla_put_u16(skb, KVXFER_NL_RAIL_PORT, view->port) ||
	    nla_put_u8(skb, KVXFER_NL_RAIL_ASKED, view->asked) ||
	    nla_put_u32(skb, KVXFER_NL_RAIL_LANES, view->lanes) ||
	    nla_put_u32(skb, KVXFER_NL_RAIL_ATTEMPTS, view->attempts) ||
	    nla_put_u32(skb, KVXFER_NL_RAIL_ERROR, view->error) ||
	    nla_put_u32(skb, KVXFER_NL_RAIL_REFUSAL, view->refusal) ||
	    (view->netns && nla_put_u32(skb, KVXFER_NL_RAIL_NETNS, view->netns)) ||
	    nla_put_u32(skb, KVXFER_NL_RAIL_NEXT_MS, view->next_ms) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_RAIL_READ_BYTES, view->bytes[0],
			      KVXFER_NL_RAIL_PAD) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_RAIL_WRITE_BYTES, view->bytes[1],
			      KVXFER_NL_RAIL_PAD))
		return -EMSGSIZE;
	return kvx_put_event(skb, KVXFER_NL_RAIL_EVENT, event);
}

static int kvx_put_pool(struct sk_buff *skb, const struct kvx_pool *pool)
{
	if (nla_put_u32(skb, KVXFER_NL_POOL_ID, pool->id) ||
	    nla_put_string(skb, KVXFER_NL_POOL_NAME, pool->name) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_KIND, pool->kind) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_POOL_BYTES, pool->bytes, KVXFER_NL_POOL_PAD) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_UID, from_kuid_munged(&init_user_ns, pool->uid)) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_GID, from_kgid_munged(&init_user_ns, pool->gid)) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_MODE, pool->mode) ||
	    nla_put_u8(skb, KVXFER_NL_POOL_LINKED, READ_ONCE(pool->linked)) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_OPENS, atomic_read(&pool->opens)) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_MAPS, atomic_read(&pool->maps)) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_LAYOUTS, atomic_read(&pool->layouts)) ||
	    nla_put_u32(skb, KVXFER_NL_POOL_PID, pid_nr(pool->pid)) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_POOL_AGE_NS, ktime_get_ns() - pool->born_ns,
			      KVXFER_NL_POOL_PAD))
		return -EMSGSIZE;
	return 0;
}

static int kvx_put_agent(struct sk_buff *skb, const struct kvx_agent_view *view)
{
	if (nla_put_u64_64bit(skb, KVXFER_NL_AGENT_WORKER_ID, view->worker_id,
			      KVXFER_NL_AGENT_PAD) ||
	    nla_put_u64_64bit(skb, KVXFER_NL_AGENT_EPOCH, view->epoch, KVXFER_NL_AGENT_PAD) ||
	    nla_put_string(skb, KVXFER_NL_AGENT_NAME, view->name) ||
	    nla_put_u32(skb, KVXFER_NL_AGENT_PID, view->pid) ||
	    nla_put_u32(skb, KVXFER_NL_AGENT_UID, view->uid) ||
	    nla_put_u32(skb, KVXFER_NL_AGENT_POOLS, view->pools) ||
	    nla_put_u32(skb, KVXFER_NL_AGENT_LAYOUTS, view->layouts) ||
	    nla_put_u32(skb, KVXFER_NL_AGENT_XFERS, view->xfers) ||
	    nla_put_u32(skb, KVXFER_NL_AGENT_NOTES, view->notes))
		return -EMSGSIZE;
	return 0;
}

/*
 * --- lists --------------------------------------------------------------------------------------
 */

/* Where a list goes on: it is the callback's own room. */
struct kvx_list_at {
	unsigned long at;
	unsigned long part;
};

static struct kvx_list_at *kvx_list_at(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct kvx_list_at) > sizeof(cb->ctx));
	return (struct kvx_list_at *)cb->ctx;
}

static int kvx_list_begin(struct kvx_reply *reply, struct sk_buff *skb,
			  struct netlink_callback *cb, u8 cmd)
{
	const int err = kvx_reply_begin(reply, skb, NETLINK_CB(cb->skb).portid,
					cb->nlh->nlmsg_seq, NLM_F_MULTI, cmd);

	if (!err)
		genl_dump_check_consistent(cb, reply->head);
	return err;
}

static int kvx_list_devs(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct kvx_list_at *list = kvx_list_at(cb);
	struct kvx_dev_view view;
	struct kvx_reply reply;
	struct kvx_dev *dev;
	int err = 0;

	while (!err && (dev = kvx_dev_after(list->at))) {
		kvx_dev_look(dev, &view);
		kvx_dev_put(dev);
		err = kvx_list_begin(&reply, skb, cb, KVXFER_NL_CMD_DEV_GET);
		if (!err)
			err = kvx_reply_end(&reply, kvx_put_dev(skb, &view, 0));
		if (!err)
			list->at = view.id;
	}
	return skb->len;
}

static int kvx_list_peers(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct kvx_list_at *list = kvx_list_at(cb);
	struct kvx_peer_view view;
	struct kvx_reply reply;
	struct kvx_peer *peer;
	int err = 0;

	while (!err && (peer = kvx_peer_nth(list->at, &cb->seq))) {
		kvx_peer_look(peer, &view);
		kvx_peer_put(peer);
		err = kvx_list_begin(&reply, skb, cb, KVXFER_NL_CMD_PEER_GET);
		if (!err)
			err = kvx_reply_end(&reply, kvx_put_peer(skb, &view, 0));
		list->at += !err;
	}
	return skb->len;
}

static int kvx_list_rails(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct kvx_list_at *list = kvx_list_at(cb);
	struct kvx_rail_view view;
	struct kvx_reply reply;
	struct kvx_peer *peer;
	int err = 0;

	while (!err && (peer = kvx_peer_nth(list->at, &cb->seq))) {
		while (!err && list->part < KVX_PEER_ADDRESSES_MAX) {
			if (kvx_rail_look(peer, list->part, &view))
				err = kvx_list_begin(&reply, skb, cb, KVXFER_NL_CMD_RAIL_GET) ?:
				      kvx_reply_end(&reply, kvx_put_rail(skb, &view, 0));
			list->part += !err;
		}
		kvx_peer_put(peer);
		if (!err) {
			list->at++;
			list->part = 0;
		}
	}
	return skb->len;
}

static int kvx_list_pools(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct kvx_list_at *list = kvx_list_at(cb);
	struct kvx_reply reply;
	struct kvx_pool *pool;
	int err = 0;

	while (!err && (pool = kvx_pool_after(list->at))) {
		err = kvx_list_begin(&reply, skb, cb, KVXFER_NL_CMD_POOL_GET);
		if (!err)
			err = kvx_reply_end(&reply, kvx_put_pool(skb, pool));
		if (!err)
			list->at = pool->id;
		kvx_pool_put(pool);
	}
	return skb->len;
}

static int kvx_list_agents(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct kvx_list_at *list = kvx_list_at(cb);
	struct kvx_agent_view view;
	struct kvx_reply reply;
	int err = 0;

	while (!err && kvx_agent_look_after(list->at, &view)) {
		err = kvx_list_begin(&reply, skb, cb, KVXFER_NL_CMD_AGENT_GET);
		if (!err)
			err = kvx_reply_end(&reply, kvx_put_agent(skb, &view));
		if (!err)
			list->at = view.id;
	}
	return skb->len;
}

/*
 * --- one ----------------------------------------------------------------------------------------
 */

static struct sk_buff *kvx_answer_new(struct genl_info *info, struct kvx_reply *reply, u8 cmd)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);

	if (skb && kvx_reply_begin(reply, skb, info->snd_portid, info->snd_seq, 0, cmd)) {
		nlmsg_free(skb);
		skb = NULL;
	}
	return skb;
}

static int kvx_answer(struct genl_info *info, struct kvx_reply *reply, int err)
{
	err = kvx_reply_end(reply, err);
	if (!err)
		return genlmsg_reply(reply->skb, info);
	nlmsg_free(reply->skb);
	return err;
}

/* Which node is meant; with a reference. */
static struct kvx_peer *kvx_peer_meant(struct genl_info *info, int attr)
{
	struct kvx_peer *peer;

	if (!info->attrs[attr]) {
		NL_SET_ERR_MSG(info->extack, "which node? Its boot id is missing");
		return ERR_PTR(-EINVAL);
	}
	peer = kvx_peer_find(nla_get_u64(info->attrs[attr]));
	if (!peer || peer->probe) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[attr],
				    "no node of this boot id is known");
		if (peer)
			kvx_peer_put(peer);
		return ERR_PTR(-ENOENT);
	}
	return peer;
}

static int kvx_do_peer_get(struct sk_buff *skb, struct genl_info *info)
{
	struct kvx_peer *peer = kvx_peer_meant(info, KVXFER_NL_PEER_BOOT_ID);
	struct kvx_peer_view view;
	struct kvx_reply reply;

	if (IS_ERR(peer))
		return PTR_ERR(peer);
	kvx_peer_look(peer, &view);
	kvx_peer_put(peer);
	if (!kvx_answer_new(info, &reply, KVXFER_NL_CMD_PEER_GET))
		return -ENOMEM;
	return kvx_answer(info, &reply, kvx_put_peer(reply.skb, &view, 0));
}

/* Where a node is to be asked. */
static int kvx_addr_meant(struct genl_info *info, struct sockaddr_storage *addr)
{
	const struct nlattr *port = info->attrs[KVXFER_NL_PEER_PORT];
	const struct in6_addr in6 = nla_get_in6_addr(info->attrs[KVXFER_NL_PEER_ADDRESS]);

	*addr = (struct sockaddr_storage){};
	if (!port || !nla_get_u16(port)) {
		NL_SET_ERR_MSG(info->extack, "an address needs a port");
		return -EINVAL;
	}
	if (ipv6_addr_any(&in6) || ipv6_addr_is_multicast(&in6) ||
	    (ipv6_addr_v4mapped(&in6) && (!in6.s6_addr32[3] ||
					  ipv4_is_multicast(in6.s6_addr32[3])))) {
		NL_SET_ERR_MSG(info->extack, "that is no node's address");
		return -EINVAL;
	}
	if (ipv6_addr_v4mapped(&in6))
		*(struct sockaddr_in *)addr = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_port = htons(nla_get_u16(port)),
			.sin_addr.s_addr = in6.s6_addr32[3],
		};
	else
		*(struct sockaddr_in6 *)addr = (struct sockaddr_in6){
			.sin6_family = AF_INET6,
			.sin6_port = htons(nla_get_u16(port)),
			.sin6_addr = in6,
		};
	return 0;
}

static int kvx_do_peer_connect(struct sk_buff *skb, struct genl_info *info)
{
	const bool addressed = info->attrs[KVXFER_NL_PEER_ADDRESS];
	struct sockaddr_storage addr;
	struct kvx_peer *peer;
	int err = 0;

	if (!kvx_has_rdma) {
		NL_SET_ERR_MSG(info->extack, "this kernel has no RDMA (CONFIG_INFINIBAND)");
		return -EOPNOTSUPP;
	}
	if (addressed)
		err = kvx_addr_meant(info, &addr);
	if (err)
		return err;
	if (addressed && !info->attrs[KVXFER_NL_PEER_BOOT_ID]) {
		err = kvx_peer_probe(&addr);
		if (err)
			NL_SET_ERR_MSG(info->extack, "there is no room for another node");
		return err;
	}
	peer = kvx_peer_meant(info, KVXFER_NL_PEER_BOOT_ID);
	if (IS_ERR(peer))
		return PTR_ERR(peer);
	err = kvx_peer_order(peer, addressed ? &addr : NULL, false);
	if (err == -ESTALE)
		NL_SET_ERR_MSG(info->extack, "this node is no more: it was started anew");
	else if (err)
		NL_SET_ERR_MSG(info->extack, "this node has too many addresses");
	kvx_peer_put(peer);
	return err;
}

static int kvx_do_peer_disconnect(struct sk_buff *skb, struct genl_info *info)
{
	struct kvx_peer *peer = kvx_peer_meant(info, KVXFER_NL_PEER_BOOT_ID);

	if (IS_ERR(peer))
		return PTR_ERR(peer);
	kvx_peer_order(peer, NULL, true);
	kvx_peer_put(peer);
	return 0;
}

static int kvx_do_rail_set(struct sk_buff *skb, struct genl_info *info)
{
	struct kvx_peer *peer = kvx_peer_meant(info, KVXFER_NL_RAIL_BOOT_ID);
	int err = -EINVAL;

	if (IS_ERR(peer))
		return PTR_ERR(peer);
	if (!info->attrs[KVXFER_NL_RAIL_ID] || !info->attrs[KVXFER_NL_RAIL_DOWN]) {
		NL_SET_ERR_MSG(info->extack, "which rail, up or down?");
		goto out_put;
	}
	err = kvx_rail_order(peer, nla_get_u32(info->attrs[KVXFER_NL_RAIL_ID]),
			     nla_get_u8(info->attrs[KVXFER_NL_RAIL_DOWN]));
	if (err)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[KVXFER_NL_RAIL_ID],
				    "this node has no rail of that number");
out_put:
	kvx_peer_put(peer);
	return err;
}

static int kvx_do_key_get(struct sk_buff *skb, struct genl_info *info)
{
	struct kvx_reply reply;

	if (!kvx_answer_new(info, &reply, KVXFER_NL_CMD_KEY_GET))
		return -ENOMEM;
	return kvx_answer(info, &reply,
			  nla_put_u8(reply.skb, KVXFER_NL_KEY_IS_SET, kvx_key_is_set()));
}

static int kvx_do_key_set(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *secret = info->attrs[KVXFER_NL_KEY_SECRET];
	int err;

	err = kvx_key_set(secret ? nla_data(secret) : NULL, secret ? nla_len(secret) : 0);
	if (err)
		NL_SET_ERR_MSG(info->extack, "this kernel has no hmac(sha256)");
	return err;
}

/*
 * --- the family ---------------------------------------------------------------------------------
 */

/* What takes nothing says so. */
static const struct nla_policy kvx_none_policy[2] = {
	[1]				= { .type = NLA_REJECT },
};

static const struct nla_policy kvx_peer_policy[KVXFER_NL_PEER_PORT + 1] = {
	[KVXFER_NL_PEER_BOOT_ID]	= { .type = NLA_U64 },
	[KVXFER_NL_PEER_ADDRESS]	= NLA_POLICY_EXACT_LEN(sizeof(struct in6_addr)),
	[KVXFER_NL_PEER_PORT]		= { .type = NLA_U16 },
};

static const struct nla_policy kvx_rail_policy[KVXFER_NL_RAIL_DOWN + 1] = {
	[KVXFER_NL_RAIL_BOOT_ID]	= { .type = NLA_U64 },
	[KVXFER_NL_RAIL_ID]		= { .type = NLA_U32 },
	[KVXFER_NL_RAIL_DOWN]		= NLA_POLICY_MAX(NLA_U8, 1),
};

static const struct nla_policy kvx_key_policy[KVXFER_NL_KEY_SECRET + 1] = {
	[KVXFER_NL_KEY_SECRET]		= NLA_POLICY_RANGE(NLA_BINARY, KVXFER_NL_SECRET_MIN,
							   KVXFER_NL_SECRET_MAX),
};

static const struct genl_ops kvx_netlink_ops[] = {
	{
		.cmd = KVXFER_NL_CMD_DEV_GET,
		.dumpit = kvx_list_devs,
		.policy = kvx_none_policy,
		.maxattr = ARRAY_SIZE(kvx_none_policy) - 1,
	},
	{
		.cmd = KVXFER_NL_CMD_PEER_GET,
		.doit = kvx_do_peer_get,
		.dumpit = kvx_list_peers,
		.policy = kvx_peer_policy,
		.maxattr = ARRAY_SIZE(kvx_peer_policy) - 1,
	},
	{
		.cmd = KVXFER_NL_CMD_PEER_CONNECT,
		.doit = kvx_do_peer_connect,
		.policy = kvx_peer_policy,
		.maxattr = ARRAY_SIZE(kvx_peer_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = KVXFER_NL_CMD_PEER_DISCONNECT,
		.doit = kvx_do_peer_disconnect,
		.policy = kvx_peer_policy,
		.maxattr = ARRAY_SIZE(kvx_peer_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = KVXFER_NL_CMD_RAIL_GET,
		.dumpit = kvx_list_rails,
		.policy = kvx_none_policy,
		.maxattr = ARRAY_SIZE(kvx_none_policy) - 1,
	},
	{
		.cmd = KVXFER_NL_CMD_RAIL_SET,
		.doit = kvx_do_rail_set,
		.policy = kvx_rail_policy,
		.maxattr = ARRAY_SIZE(kvx_rail_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = KVXFER_NL_CMD_KEY_GET,
		.doit = kvx_do_key_get,
		.policy = kvx_none_policy,
		.maxattr = ARRAY_SIZE(kvx_none_policy) - 1,
	},
	{
		.cmd = KVXFER_NL_CMD_KEY_SET,
		.doit = kvx_do_key_set,
		.policy = kvx_key_policy,
		.maxattr = ARRAY_SIZE(kvx_key_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = KVXFER_NL_CMD_POOL_GET,
		.dumpit = kvx_list_pools,
		.policy = kvx_none_policy,
		.maxattr = ARRAY_SIZE(kvx_none_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = KVXFER_NL_CMD_AGENT_GET,
		.dumpit = kvx_list_agents,
		.policy = kvx_none_policy,
		.maxattr = ARRAY_SIZE(kvx_none_policy) - 1,
		.flags = GENL_ADMIN_PERM,
	},
};

static const struct genl_multicast_group kvx_netlink_groups[] = {
	{ .name = KVXFER_NL_GROUP_EVENTS },
};

static struct genl_family kvx_family __ro_after_init = {
	.name		= KVXFER_NL_FAMILY,
	.version	= KVXFER_NL_VERSION,
	.ops		= kvx_netlink_ops,
	.n_ops		= ARRAY_SIZE(kvx_netlink_ops),
	.mcgrps		= kvx_netlink_groups,
	.n_mcgrps	= ARRAY_SIZE(kvx_netlink_groups),
	.parallel_ops	= true,
	.module		= THIS_MODULE,
};

/*
 * --- events -------------------------------------------------------------------------------------
 */

static bool kvx_event_begin(struct kvx_reply *reply, u8 cmd)
{
	struct sk_buff *skb;

	if (!READ_ONCE(kvx_netlink_is_on) || !genl_has_listeners(&kvx_family, &init_net, 0))
		return false;
	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return false;
	if (!kvx_reply_begin(reply, skb, 0, 0, 0, cmd))
		return true;
	nlmsg_free(skb);
	return false;
}

static void kvx_event_end(struct kvx_reply *reply, int err)
{
	if (kvx_reply_end(reply, err))
		nlmsg_free(reply->skb);
	else
		genlmsg_multicast(&kvx_family, reply->skb, 0, 0, GFP_KERNEL);
}

/**
 * kvx_tell_dev() - something has happened to a device
 * @dev: the device
 * @event: what
 *
 * Context: process, may sleep.
 */
void kvx_tell_dev(struct kvx_dev *dev, enum kvxfer_nl_event event)
{
	struct kvx_dev_view view;
	struct kvx_reply reply;

	if (!kvx_event_begin(&reply, KVXFER_NL_CMD_DEV_NTF))
		return;
	kvx_dev_look(dev, &view);
	kvx_event_end(&reply, kvx_put_dev(reply.skb, &view, event));
}

/**
 * kvx_tell_peer() - something has happened to another node
 * @peer: the node
 * @event: what
 *
 * Context: process, may sleep.
 */
void kvx_tell_peer(struct kvx_peer *peer, enum kvxfer_nl_event event)
{
	struct kvx_peer_view view;
	struct kvx_reply reply;

	if (peer->probe || !kvx_event_begin(&reply, KVXFER_NL_CMD_PEER_NTF))
		return;
	kvx_peer_look(peer, &view);
	kvx_event_end(&reply, kvx_put_peer(reply.skb, &view, event));
}

/**
 * kvx_tell_rail() - something has happened to a rail
 * @peer: with whom
 * @id: its number; of one that has none nothing is told
 * @event: what
 *
 * Context: process, may sleep.
 */
void kvx_tell_rail(struct kvx_peer *peer, int id, enum kvxfer_nl_event event)
{
	struct kvx_rail_view view;
	struct kvx_reply reply;

	if (id < 0 || !kvx_event_begin(&reply, KVXFER_NL_CMD_RAIL_NTF))
		return;
	if (kvx_rail_look(peer, id, &view))
		kvx_event_end(&reply, kvx_put_rail(reply.skb, &view, event));
	else
		nlmsg_free(reply.skb);
}

/**
 * kvx_netlink_init() - from now on an administrator can ask
 *
 * Context: process, may sleep.
 * Return: 0 or an errno.
 */
int kvx_netlink_init(void)
{
	const int err = genl_register_family(&kvx_family);

	WRITE_ONCE(kvx_netlink_is_on, !err);
	return err;
}

/**
 * kvx_netlink_exit() - nobody asks any more
 *
 * Context: process, may sleep.
 */
void kvx_netlink_exit(void)
{
	WRITE_ONCE(kvx_netlink_is_on, false);
	genl_unregister_family(&kvx_family);
}
