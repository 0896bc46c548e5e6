/* SPDX-License-Identifier: GPL-2.0-only */
/* Network namespaces in which this node is to be reached: see net.c. */
#ifndef KVX_NET_H
#define KVX_NET_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/sysctl.h>
#include <linux/workqueue.h>

struct net;
struct rdma_cm_id;

/**
 * struct kvx_net - a network namespace that agents are in
 * @ref: of its agents together, of rails in it, and of whoever uses it
 * @link: in the list of them; under kvx_nets_change, as are @users and @sysctl
 * @net: the namespace; kept until the last agent in it has closed, and the last rail has ended
 * @inum: its number, as lsns(8) shows it; 0 for the host's
 * @users: how many agents are in it; the host's is always there
 * @port: where is listened; under kvx_nets_lock, as is what follows
 * @closed: the last agent has closed: no rail is made in it any more
 * @listeners: where others connect to, by IPv4 and by IPv6
 * @sysctl: by which the port is set
 * @table: how that is done, and an end
 * @leave: what is done after the last agent
 */
struct kvx_net {
	struct kref ref;
	struct list_head link;
	struct net *net;
	u32 inum;
	u32 users;
	unsigned int port;
	bool closed;
	struct rdma_cm_id *listeners[2];
	struct ctl_table_header *sysctl;
	struct ctl_table table[2];
	struct work_struct leave;
};

extern struct kvx_net kvx_host_net;
extern unsigned short kvx_port;

struct kvx_net *kvx_net_open(struct net *ns);
void kvx_net_close(struct kvx_net *net);
void kvx_net_get(struct kvx_net *net);
void kvx_net_put(struct kvx_net *net);
u16 kvx_net_port(const struct kvx_net *net);
void kvx_nets_listen(void);
void kvx_nets_unlisten(void);

#endif /* KVX_NET_H */
