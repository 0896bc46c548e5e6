// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network namespaces. The host's is always listened in; another one while an agent has the device
 * open that was in it when it opened it: so a namespace is not kept by this module for longer than
 * by the processes in it. Each has a port of its own, the sysctl net.kvxfer.port, which is there
 * for as long; the host's begins as the module's parameter, another's as the host's then is.
 *
 * A node is one, whatever namespaces it is reached by: a peer has one set of rails, of which some
 * may be in one namespace and some in another. When the last agent of a namespace has closed, the
 * rails in it end, and with them all that was known of addresses there.
 */
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sysctl.h>
#include <net/net_namespace.h>
#include <rdma/ib_cm.h>
#include <rdma/rdma_cm.h>

#include "../compat.h"
#include "../kvx.h"
#include "../peer.h"
#include "link.h"
#include "net.h"
#include "rail.h"

unsigned short kvx_port = 19875;
module_param_named(port, kvx_port, ushort, 0444);
MODULE_PARM_DESC(port, "where other nodes connect to, unless net.kvxfer.port says it; 0: nowhere");

/* Held while one comes or goes. */
static DEFINE_MUTEX(kvx_nets_change);
/* Which namespaces there are, where is listened in each, and at which port. */
static DEFINE_MUTEX(kvx_nets_lock);
static LIST_HEAD(kvx_nets);

struct kvx_net kvx_host_net = {
	.ref	= KREF_INIT(1),
	.link	= LIST_HEAD_INIT(kvx_host_net.link),
	.net	= &init_net,
};

/**
 * kvx_net_port() - where others connect to
 * @net: in this namespace
 *
 * Context: any.
 * Return: the port; 0 for nowhere.
 */
u16 kvx_net_port(const struct kvx_net *net)
{
	return READ_ONCE(net->port);
}

/*
 * --- listening ----------------------------------------------------------------------------------
 */

static int kvx_listen_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	const struct rdma_conn_param *asked = &event->param.conn;
	struct kvx_wire_greeting greeting = {};
	enum kvxfer_refusal refusal;
	u16 version;

	if (event->event != RDMA_CM_EVENT_CONNECT_REQUEST)
		return 0;
	if (asked->private_data && asked->private_data_len >= sizeof(greeting))
		memcpy(&greeting, asked->private_data, sizeof(greeting));
	refusal = kvx_greeting_check(&greeting, sizeof(greeting), &version);
	/* Who asks has the listener's context, which is its namespace. */
	if (!refusal)
		refusal = kvx_rail_asked(id->context, id, &greeting, asked);
	if (!refusal)
		return 0;
	greeting = (struct kvx_wire_greeting){
		.magic = cpu_to_le32(KVX_PROTO_MAGIC),
		.version = cpu_to_le16(KVX_PROTO_VERSION),
		.oldest = cpu_to_le16(KVX_PROTO_VERSION),
		.boot_id = cpu_to_le64(kvx_boot_id),
		.refusal = cpu_to_le16(refusal),
	};
	rdma_reject(id, &greeting, sizeof(greeting), IB_CM_REJ_CONSUMER_DEFINED);
	/* The connection manager does away with what we do not want. */
	return -ECONNREFUSED;
}

static int __kvx_net_listen_on(struct kvx_net *net, int which, struct sockaddr *addr)
{
	struct rdma_cm_id *id;
	int err;

	lockdep_assert_held(&kvx_nets_lock);
	id = rdma_create_id(net->net, kvx_listen_event, net, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(id))
		return PTR_ERR(id);
	err = addr->sa_family == AF_INET6 ? rdma_set_afonly(id, 1) : 0;
	if (!err)
		err = rdma_bind_addr(id, addr);
	if (!err)
		err = rdma_listen(id, 64);
	if (err)
		rdma_destroy_id(id);
	else
		net->listeners[which] = id;
	return err;
}

static void __kvx_net_unlisten(struct kvx_net *net)
{
	int i;

	lockdep_assert_held(&kvx_nets_lock);
	for (i = 0; i < ARRAY_SIZE(net->listeners); i++) {
		if (net->listeners[i])
			rdma_destroy_id(net->listeners[i]);
		net->listeners[i] = NULL;
	}
}

/* From now on other nodes may ask, at the port that there is now. */
static int __kvx_net_listen(struct kvx_net *net)
{
	const __be16 port = htons(kvx_net_port(net));
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = port };
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = port };
	int err;

	__kvx_net_unlisten(net);
	if (!port)
		return 0;
	err = __kvx_net_listen_on(net, 0, (struct sockaddr *)&any4);
	/* A kernel may be without IPv6. */
	if (!err)
		__kvx_net_listen_on(net, 1, (struct sockaddr *)&any6);
	return err;
}

/* The same, where nobody is told that it failed; who cannot be reached may reach others. */
static void __kvx_net_try_to_listen(struct kvx_net *net)
{
	const int err = __kvx_net_listen(net);

	if (err)
		pr_warn_ratelimited("no other node can connect to port %u%s: error %d\n",
				    kvx_net_port(net),
				    net->inum ? " of a container's network namespace" : "", err);
}

/*
 * --- the port -----------------------------------------------------------------------------------
 */

/* One that cannot be had is not taken: the one before stays. */
static int kvx_net_set_port(struct kvx_net *net, unsigned int to)
{
	unsigned int before;
	int err = 0;

	if (to > U16_MAX)
		return -EINVAL;
	mutex_lock(&kvx_nets_lock);
	before = net->port;
	WRITE_ONCE(net->port, to);
	if (to != before && !net->closed)
		err = __kvx_net_listen(net);
	if (err) {
		WRITE_ONCE(net->port, before);
		__kvx_net_try_to_listen(net);
	}
	mutex_unlock(&kvx_nets_lock);
	return err;
}

static int kvx_net_port_sysctl(kvx_ctl_table *ctl, int write, void *buffer, size_t *bytes,
			       loff_t *at)
{
	struct kvx_net *net = container_of(ctl->data, struct kvx_net, port);
	unsigned int value = READ_ONCE(net->port);
	struct ctl_table table = { .data = &value, .maxlen = sizeof(value) };
	int err;

	/* Some devices listen where who has them do so is. */
	if (write && current->nsproxy->net_ns != net->net)
		return -EPERM;
	err = proc_douintvec(&table, write, buffer, bytes, at);
	return err || !write ? err : kvx_net_set_port(net, value);
}

/* Without the sysctl, if there is no memory for it or the kernel has none, the port stays. */
static void kvx_net_show(struct kvx_net *net)
{
	lockdep_assert_held(&kvx_nets_change);
	net->table[0] = (struct ctl_table){
		.procname = "port",
		.data = &net->port,
		.maxlen = sizeof(net->port),
		.mode = 0644,
		.proc_handler = kvx_net_port_sysctl,
	};
	net->sysctl = kvx_register_net_sysctl(net->net, "net/kvxfer", net->table, 1);
}

/* Whoever is setting it has done so when this returns. */
static void kvx_net_hide(struct kvx_net *net)
{
	lockdep_assert_held(&kvx_nets_change);
	if (net->sysctl)
		unregister_net_sysctl_table(net->sysctl);
	net->sysctl = NULL;
}

/*
 * --- agents -------------------------------------------------------------------------------------
 */

/**
 * kvx_net_get() - hold it
 * @net: the namespace, which the caller keeps
 *
 * Context: any.
 */
void kvx_net_get(struct kvx_net *net)
{
	kref_get(&net->ref);
}

/* The host's is nobody's to free: it holds itself. */
static void kvx_net_free(struct kref *ref)
{
	kfree(container_of(ref, struct kvx_net, ref));
}

/**
 * kvx_net_put() - drop a reference
 * @net: the namespace
 *
 * Context: any.
 */
void kvx_net_put(struct kvx_net *net)
{
	kref_put(&net->ref, kvx_net_free);
}

static void kvx_net_leave(struct work_struct *work)
{
	struct kvx_net *net = container_of(work, struct kvx_net, leave);

	kvx_peers_leave(net);
	put_net(net->net);
	kvx_net_put(net);
}

static struct kvx_net *kvx_net_find(const struct net *ns)
{
	struct kvx_net *net;

	lockdep_assert_held(&kvx_nets_change);
	list_for_each_entry(net, &kvx_nets, link)
		if (net->net == ns)
			return net;
	return NULL;
}

static struct kvx_net *kvx_net_new(struct net *ns)
{
	struct kvx_net *net = kzalloc(sizeof(*net), GFP_KERNEL_ACCOUNT);

	if (!net)
		return ERR_PTR(-ENOMEM);
	kref_init(&net->ref);
	INIT_WORK(&net->leave, kvx_net_leave);
	net->net = get_net(ns);
	net->inum = ns->ns.inum;
	net->port = kvx_net_port(&kvx_host_net);
	return net;
}

/* From here on others may ask in it, and its port may be set. */
static void kvx_net_begin(struct kvx_net *net)
{
	lockdep_assert_held(&kvx_nets_change);
	list_add(&net->link, &kvx_nets);
	mutex_lock(&kvx_nets_lock);
	__kvx_net_try_to_listen(net);
	mutex_unlock(&kvx_nets_lock);
	kvx_net_show(net);
}

static void kvx_net_end(struct kvx_net *net)
{
	lockdep_assert_held(&kvx_nets_change);
	list_del_init(&net->link);
	mutex_lock(&kvx_nets_lock);
	WRITE_ONCE(net->closed, true);
	__kvx_net_unlisten(net);
	mutex_unlock(&kvx_nets_lock);
	kvx_net_hide(net);
}

/**
 * kvx_net_open() - an agent is being opened
 * @ns: by somebody in this namespace, which is kept
 *
 * Context: process, may sleep.
 * Return: what is to be closed with the agent; or ERR_PTR.
 */
struct kvx_net *kvx_net_open(struct net *ns)
{
	struct kvx_net *net = &kvx_host_net;

	if (ns == &init_net)
		return net;
	mutex_lock(&kvx_nets_change);
	net = kvx_net_find(ns);
	if (!net) {
		net = kvx_net_new(ns);
		if (!IS_ERR(net))
			kvx_net_begin(net);
	}
	if (!IS_ERR(net))
		net->users++;
	mutex_unlock(&kvx_nets_change);
	return net;
}

/**
 * kvx_net_close() - an agent has closed
 * @net: what kvx_net_open() gave
 *
 * Context: process, may sleep.
 */
void kvx_net_close(struct kvx_net *net)
{
	bool last;

	if (net == &kvx_host_net)
		return;
	mutex_lock(&kvx_nets_change);
	last = !--net->users;
	if (last)
		kvx_net_end(net);
	mutex_unlock(&kvx_nets_change);
	/* It may wait for devices: who closes does not. */
	if (last)
		queue_work(kvx_peer_wq, &net->leave);
}

/**
 * kvx_nets_listen() - from now on other nodes may ask
 *
 * Context: process, may sleep.
 */
void kvx_nets_listen(void)
{
	mutex_lock(&kvx_nets_change);
	kvx_host_net.port = kvx_port;
	kvx_net_begin(&kvx_host_net);
	mutex_unlock(&kvx_nets_change);
}

/**
 * kvx_nets_unlisten() - nobody may ask any more; no agent is left
 *
 * Context: process, may sleep.
 */
void kvx_nets_unlisten(void)
{
	mutex_lock(&kvx_nets_change);
	kvx_net_end(&kvx_host_net);
	mutex_unlock(&kvx_nets_change);
}
