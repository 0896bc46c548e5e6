// SPDX-License-Identifier: GPL-2.0-only
/*
 * In place of the other files here, for a kernel without RDMA (CONFIG_INFINIBAND_ADDR_TRANS): no
 * device, no address, no peer. Commands that name another node fail with EOPNOTSUPP first, so the
 * functions of a peer, a rail or a flow are never called with one.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <net/net_namespace.h>

#include "../kvx.h"
#include "../peer.h"
#include "address.h"
#include "flow.h"
#include "net.h"
#include "rail.h"
#include "rdma.h"

const bool kvx_has_rdma;

/*
 * --- devices and memory -------------------------------------------------------------------------
 */

int kvx_devs_init(void)
{
	return 0;
}

void kvx_devs_exit(void)
{
}

void kvx_dev_put(struct kvx_dev *dev)
{
}

struct kvx_dev *kvx_dev_use_id(u32 id)
{
	return NULL;
}

void kvx_dev_unuse(struct kvx_dev *dev)
{
}

struct kvx_dev *kvx_dev_after(u32 id)
{
	return NULL;
}

void kvx_dev_look(struct kvx_dev *dev, struct kvx_dev_view *view)
{
	*view = (struct kvx_dev_view){};
}

void kvx_maps_drop(struct kvx_pool *pool)
{
}

struct kvx_window *kvx_window_make(struct kvx_dev *dev, struct kvx_link *link,
				   const struct kvx_range *ranges, u32 nr, int access,
				   struct kvx_peer *peer)
{
	return ERR_PTR(-EOPNOTSUPP);
}

struct kvx_peer *kvx_window_end(struct kvx_dev *dev, u32 key)
{
	return NULL;
}

void kvx_window_free(struct kvx_window *window)
{
}

/*
 * --- network namespaces and addresses -----------------------------------------------------------
 */

struct kvx_net kvx_host_net = {
	.ref	= KREF_INIT(1),
	.link	= LIST_HEAD_INIT(kvx_host_net.link),
	.net	= &init_net,
};

struct kvx_net *kvx_net_open(struct net *ns)
{
	return &kvx_host_net;
}

void kvx_net_close(struct kvx_net *net)
{
}

void kvx_net_get(struct kvx_net *net)
{
}

void kvx_net_put(struct kvx_net *net)
{
}

void kvx_nets_listen(void)
{
}

void kvx_nets_unlisten(void)
{
}

struct kvx_net *kvx_agent_net(struct kvx_agent *agent)
{
	return &kvx_host_net;
}

bool kvx_address_decode(const struct kvxfer_address *from, struct sockaddr_storage *to)
{
	return false;
}

/* As on a node with no device: there is no address by which others can reach it. */
int kvx_node_addresses(struct kvx_agent *agent, struct kvxfer_node_addresses *cmd)
{
	cmd->out_nr = 0;
	return 0;
}

/*
 * --- connections and data -----------------------------------------------------------------------
 */

int kvx_rails_init(void)
{
	return 0;
}

void kvx_rails_quiesce(void)
{
}

void kvx_rails_exit(void)
{
}

void kvx_rail_connect(struct kvx_peer *peer, struct kvx_net *net,
		      const struct sockaddr_storage *dst)
{
}

void kvx_rail_fail(struct kvx_rail *rail, int err, enum kvxfer_refusal refusal)
{
}

void kvx_rail_put(struct kvx_rail *rail)
{
}

bool kvx_rail_lanes_up(const struct kvx_rail *rail)
{
	return false;
}

bool __kvx_rail_post(struct kvx_rail *rail, struct kvx_msg *msg, u64 ack)
{
	return false;
}

const struct kvx_transport_ops kvx_flow_ops;

struct kvx_flow *kvx_flow_new(struct kvx_peer *peer, struct kvx_registered *local, bool write,
			      u32 rails)
{
	return NULL;
}

void kvx_flow_aim(struct kvx_flow *flow, struct kvx_remote *remote)
{
}

struct kvx_job *kvx_flow_job(struct kvx_flow *flow)
{
	return NULL;
}

void kvx_flow_free(struct kvx_flow *flow)
{
}

void kvx_flows_kick(struct kvx_peer *peer)
{
}

void kvx_fence_ask(struct kvx_rail *rail)
{
}

bool kvx_fence_asked(struct kvx_peer *peer, const void *frame)
{
	return false;
}

bool kvx_fence_answered(struct kvx_peer *peer, const void *frame)
{
	return false;
}

void kvx_fences_gone(struct kvx_peer *peer, bool confirmed)
{
}
