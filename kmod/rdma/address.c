// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where nodes can be reached: IP addresses of network interfaces that an RDMA device goes by. Which
 * these are only the connection manager knows: what can be bound to a device is one.
 */
#include <linux/inetdevice.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <net/addrconf.h>
#include <net/if_inet6.h>
#include <rdma/rdma_cm.h>

#include "../kvx.h"
#include "address.h"
#include "net.h"
#include "rdma.h"

/* How many addresses of the machine are looked at. */
#define KVX_CANDIDATES	256

/* Of a listener that may be nowhere: whether an address works does not hang on its port. */
#define KVX_ANY_PORT	1

static struct kvxfer_address kvx_address4(__be32 addr)
{
	struct kvxfer_address to = { .family = AF_INET, .port = KVX_ANY_PORT };

	memcpy(to.addr, &addr, sizeof(addr));
	return to;
}

static struct kvxfer_address kvx_address6(const struct in6_addr *addr)
{
	struct kvxfer_address to = { .family = AF_INET6, .port = KVX_ANY_PORT };

	memcpy(to.addr, addr, sizeof(*addr));
	return to;
}

/**
 * kvx_address_decode() - an address, as the connection manager wants it
 * @from: as a program gave it
 * @to: set to the same
 *
 * Context: any.
 * Return: false when it is none.
 */
bool kvx_address_decode(const struct kvxfer_address *from, struct sockaddr_storage *to)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
	struct sockaddr_in *in = (struct sockaddr_in *)to;

	memset(to, 0, sizeof(*to));
	if (from->reserved || from->reserved2 || !from->port)
		return false;
	switch (from->family) {
	case AF_INET:
		in->sin_family = AF_INET;
		in->sin_port = htons(from->port);
		memcpy(&in->sin_addr, from->addr, sizeof(in->sin_addr));
		return in->sin_addr.s_addr && !memchr_inv(from->addr + 4, 0, 12);
	case AF_INET6:
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(from->port);
		memcpy(&in6->sin6_addr, from->addr, sizeof(in6->sin6_addr));
		return !ipv6_addr_any(&in6->sin6_addr);
	default:
		return false;
	}
}

static u32 kvx_candidates(const struct kvx_net *net, struct kvxfer_address *found, u32 room)
{
	struct inet6_ifaddr *ifa6;
	struct net_device *ndev;
	struct inet6_dev *in6;
	struct in_device *in4;
	struct in_ifaddr *ifa;
	u32 nr = 0;

	rtnl_lock();
	for_each_netdev(net->net, ndev) {
		if (!(ndev->flags & IFF_UP) || ndev->flags & IFF_LOOPBACK)
			continue;
		in4 = __in_dev_get_rtnl(ndev);
		if (in4)
			in_dev_for_each_ifa_rtnl(ifa, in4)
				if (nr < room)
					found[nr++] = kvx_address4(ifa->ifa_local);
		in6 = __in6_dev_get(ndev);
		if (!in6)
			continue;
		read_lock_bh(&in6->lock);
		/* Those of the link alone mean nothing without it. */
		list_for_each_entry(ifa6, &in6->addr_list, if_list)
			if (nr < room && ipv6_addr_type(&ifa6->addr) & IPV6_ADDR_UNICAST &&
			    !(ipv6_addr_type(&ifa6->addr) & IPV6_ADDR_LINKLOCAL))
				found[nr++] = kvx_address6(&ifa6->addr);
		read_unlock_bh(&in6->lock);
	}
	rtnl_unlock();
	return nr;
}

static int kvx_address_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	return 0;
}

/* Is there a device by which it can be reached? */
static bool kvx_address_works(const struct kvx_net *net, const struct kvxfer_address *address)
{
	struct sockaddr_storage addr;
	struct rdma_cm_id *id;
	struct kvx_dev *dev;
	bool works = false;

	if (!kvx_address_decode(address, &addr))
		return false;
	((struct sockaddr_in *)&addr)->sin_port = 0;
	id = rdma_create_id(net->net, kvx_address_event, NULL, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(id))
		return false;
	if (!rdma_bind_addr(id, (struct sockaddr *)&addr) && id->device) {
		dev = kvx_dev_use(id->device);
		works = dev;
		if (dev)
			kvx_dev_unuse(dev);
	}
	rdma_destroy_id(id);
	return works;
}

/* Those by which a device can be reached in a namespace: @room of them at most. */
static int kvx_net_addresses(const struct kvx_net *net, struct kvxfer_address *found, u32 room)
{
	struct kvxfer_address *candidates;
	u32 nr, i, n = 0;

	candidates = kcalloc(KVX_CANDIDATES, sizeof(*candidates), GFP_KERNEL_ACCOUNT);
	if (!candidates)
		return -ENOMEM;
	nr = kvx_candidates(net, candidates, KVX_CANDIDATES);
	for (i = 0; i < nr && n < room; i++)
		if (kvx_address_works(net, &candidates[i]))
			found[n++] = candidates[i];
	kfree(candidates);
	return n;
}

/**
 * kvx_agent_net() - by which network namespace an agent reaches others, and is reached
 * @agent: the agent
 *
 * Its own, if a device can be reached by an address there; else the host's: so a container needs no
 * network device of its own.
 *
 * Context: process, may sleep.
 * Return: the namespace, which is there for as long as the agent is.
 */
struct kvx_net *kvx_agent_net(struct kvx_agent *agent)
{
	struct kvxfer_address any;

	if (agent->net != &kvx_host_net && kvx_net_addresses(agent->net, &any, 1) > 0)
		return agent->net;
	return &kvx_host_net;
}

/**
 * kvx_node_addresses() - KVXFER_IOC_NODE_ADDRESSES
 * @agent: who asks
 * @cmd: see &struct kvxfer_node_addresses
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_node_addresses(struct kvx_agent *agent, struct kvxfer_node_addresses *cmd)
{
	struct kvxfer_address __user *to = u64_to_user_ptr(cmd->addresses);
	const struct kvx_net *net = kvx_agent_net(agent);
	const u16 port = kvx_net_port(net);
	struct kvxfer_address *found;
	int nr = 0, err = 0;
	u32 i;

	found = kcalloc(KVXFER_ADDRESSES_MAX, sizeof(*found), GFP_KERNEL_ACCOUNT);
	if (!found)
		return -ENOMEM;
	if (port)
		nr = kvx_net_addresses(net, found, KVXFER_ADDRESSES_MAX);
	if (nr < 0) {
		err = nr;
		goto out_free;
	}
	for (i = 0; i < nr; i++)
		found[i].port = port;
	if (copy_to_user(to, found, min_t(u32, nr, cmd->nr_addresses) * sizeof(*to)))
		err = -EFAULT;
	cmd->out_nr = nr;
out_free:
	kfree(found);
	return err;
}
