// SPDX-License-Identifier: GPL-2.0-only
/* Agents that want to be connected with other nodes. */
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "kvx.h"
#include "peer.h"
#include "rdma/address.h"
#include "rdma/net.h"
#include "rdma/rdma.h"

/* Where a node can be reached, as a program says: user addresses of &struct kvxfer_address. */
static int kvx_addresses_take(struct kvxfer_hdr *hdr, u64 from, u32 nr,
			      struct sockaddr_storage *addresses)
{
	const struct kvxfer_address __user *uaddresses = u64_to_user_ptr(from);
	struct kvxfer_address one;
	u32 i;

	for (i = 0; i < nr; i++) {
		if (i == KVXFER_ADDRESSES_MAX)
			return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_PEER_ADDRESS, i);
		if (copy_from_user(&one, &uaddresses[i], sizeof(one)))
			return -EFAULT;
		if (!kvx_address_decode(&one, &addresses[i]))
			return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_PEER_ADDRESS, i);
	}
	return 0;
}

/**
 * kvx_peer_refuse() - say why a node is not connected
 * @peer: the node
 * @hdr: of the command that wanted it
 *
 * Context: process.
 * Return: a negative errno.
 */
int kvx_peer_refuse(struct kvx_peer *peer, struct kvxfer_hdr *hdr)
{
	const bool lost = kvx_peer_is_lost(peer);
	int err;

	spin_lock(&peer->lock);
	if (peer->gone || lost)
		err = kvx_refuse(hdr, -ESTALE, KVXFER_REASON_PEER_REBOOTED, 0);
	else if (peer->refusal)
		err = kvx_refuse(hdr, -EHOSTUNREACH, KVXFER_REASON_PEER_REFUSED, peer->refusal);
	else
		err = kvx_refuse(hdr, -EHOSTUNREACH, KVXFER_REASON_PEER_REMOTE,
				 peer->error ? -peer->error : ETIMEDOUT);
	spin_unlock(&peer->lock);
	return err;
}

/**
 * kvx_peer_want_from() - a program wants to be connected with another node
 * @agent: the program's
 * @hdr: of its command
 * @boot_id: of the node
 * @from: where it can be reached: user address of an array of &struct kvxfer_address
 * @nr: how many addresses; 0 when it is known
 * @out: set to the node, with a reference; kvx_peer_unwant() must follow
 *
 * Context: process, may sleep.
 * Return: 0 or a negative errno.
 */
int kvx_peer_want_from(struct kvx_agent *agent, struct kvxfer_hdr *hdr, u64 boot_id, u64 from,
		       u32 nr, struct kvx_peer **out)
{
	struct sockaddr_storage *addresses;
	struct kvx_peer *peer = NULL;
	int err;

	if (!kvx_has_rdma)
		return kvx_refuse(hdr, -EOPNOTSUPP, KVXFER_REASON_PEER_NO_RDMA, 0);
	addresses = kcalloc(KVXFER_ADDRESSES_MAX, sizeof(*addresses), GFP_KERNEL);
	if (!addresses)
		return -ENOMEM;
	err = kvx_addresses_take(hdr, from, nr, addresses);
	if (err)
		goto out_free;
	peer = nr ? kvx_peer_get(boot_id) : kvx_peer_find(boot_id);
	if (!peer) {
		err = kvx_refuse(hdr, -EHOSTUNREACH, KVXFER_REASON_PEER_REMOTE,
				 nr ? ENOMEM : EADDRNOTAVAIL);
		goto out_free;
	}
	err = kvx_peer_want(peer, nr ? kvx_agent_net(agent) : &kvx_host_net, addresses, nr);
	if (err == -ESTALE)
		err = kvx_peer_refuse(peer, hdr);
	else if (err)
		err = kvx_refuse(hdr, -EINVAL, KVXFER_REASON_PEER_ADDRESS, nr);
	if (err)
		kvx_peer_put(peer);
	else
		*out = peer;
out_free:
	kfree(addresses);
	return err;
}

static bool kvx_peer_is_settled(struct kvx_peer *peer)
{
	return READ_ONCE(peer->nr_ready) || READ_ONCE(peer->gone) || kvx_peer_is_lost(peer);
}

static int kvx_peer_await(struct kvx_peer *peer, struct kvxfer_peer_connect *cmd)
{
	const u64 timeout = nsecs_to_jiffies64(cmd->timeout_ns ?: KVX_CONNECT_NS);
	long left = 1;

	if (!(cmd->hdr.flags & KVXFER_PEER_CONNECT_NOWAIT))
		left = wait_event_interruptible_timeout(peer->wait, kvx_peer_is_settled(peer),
							min_t(u64, timeout + 1,
							      MAX_SCHEDULE_TIMEOUT - 1));
	if (left < 0)
		return kvx_refuse(&cmd->hdr, -EINTR, KVXFER_REASON_INTERRUPTED, 0);
	if (READ_ONCE(peer->nr_ready))
		return 0;
	if (left && !kvx_peer_is_settled(peer))
		return kvx_refuse(&cmd->hdr, -EAGAIN, KVXFER_REASON_PEER_CONNECTING,
				  -READ_ONCE(peer->error));
	return kvx_peer_refuse(peer, &cmd->hdr);
}

/**
 * kvx_agent_connect() - KVXFER_IOC_PEER_CONNECT
 * @agent: who asks
 * @cmd: see &struct kvxfer_peer_connect
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_agent_connect(struct kvx_agent *agent, struct kvxfer_peer_connect *cmd)
{
	struct kvx_peer *peer;
	int err, nr;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_peer_connect, reserved));
	if (err || cmd->boot_id == kvx_boot_id)
		return err;
	nr = atomic_inc_return(&agent->nr_connects);
	if (nr > KVXFER_CONNECTS_MAX && !xa_load(&agent->connects, cmd->boot_id)) {
		atomic_dec(&agent->nr_connects);
		return kvx_refuse(&cmd->hdr, -ENOSPC, KVXFER_REASON_PEER_MANY, nr - 1);
	}
	err = kvx_peer_want_from(agent, &cmd->hdr, cmd->boot_id, cmd->addresses,
				 cmd->nr_addresses, &peer);
	if (err) {
		atomic_dec(&agent->nr_connects);
		return err;
	}
	/* Once is enough; what holds it is not dropped while a command runs. */
	err = xa_insert(&agent->connects, cmd->boot_id, peer, GFP_KERNEL_ACCOUNT);
	if (!err) {
		kref_get(&peer->ref);
	} else {
		kvx_peer_unwant(peer);
		atomic_dec(&agent->nr_connects);
	}
	if (!err || err == -EBUSY)
		err = kvx_peer_await(peer, cmd);
	kvx_peer_put(peer);
	return err;
}

/**
 * kvx_connects_drop() - an agent is closing
 * @agent: nobody uses it any more
 *
 * Context: process, may sleep.
 */
void kvx_connects_drop(struct kvx_agent *agent)
{
	struct kvx_peer *peer;
	unsigned long boot_id;

	xa_for_each(&agent->connects, boot_id, peer) {
		kvx_peer_unwant(peer);
		kvx_peer_put(peer);
		cond_resched();
	}
	xa_destroy(&agent->connects);
}
