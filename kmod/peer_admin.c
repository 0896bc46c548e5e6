// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other nodes, as an administrator sees and orders them.
 *
 * Who is at an address may be unknown. Then a *probe* asks: a peer whose name is nobody's, which
 * whoever is there refuses, and with that says its own name.
 */
#include <linux/nospec.h>
#include <linux/random.h>

#include "kvx.h"
#include "netlink.h"
#include "peer.h"
#include "rdma/net.h"
#include "rdma/rail.h"
#include "rdma/rdma.h"

/**
 * kvx_peer_look() - what is to be seen of a peer
 * @peer: the peer
 * @view: to be filled in
 *
 * Context: process.
 */
void kvx_peer_look(struct kvx_peer *peer, struct kvx_peer_view *view)
{
	struct kvx_remote *remote;
	struct kvx_rail *rail;
	unsigned long id;

	*view = (struct kvx_peer_view){ .boot_id = peer->probe ? 0 : peer->boot_id };
	spin_lock(&peer->lock);
	memcpy(view->name, peer->name, sizeof(view->name));
	view->down = peer->down;
	view->gone = peer->gone;
	view->wanted = peer->wanted;
	list_for_each_entry(rail, &peer->rails, link)
		view->rails++;
	view->ready = peer->nr_ready;
	view->error = -peer->error;
	view->refusal = peer->refusal;
	spin_unlock(&peer->lock);
	view->served = READ_ONCE(peer->nr_served);
	xa_for_each(&peer->remotes, id, remote)
		view->layouts++;
}

static u32 __kvx_rail_state(const struct kvx_address *address, const struct kvx_rail *rail)
{
	if (rail && (rail->state == KVX_RAIL_ENDING || READ_ONCE(rail->failed)))
		return KVXFER_NL_RAIL_STATE_ENDING;
	if (address->down)
		return KVXFER_NL_RAIL_STATE_DOWN;
	if (!rail)
		return KVXFER_NL_RAIL_STATE_WAITING;
	return rail->state == KVX_RAIL_READY ? KVXFER_NL_RAIL_STATE_READY :
					       KVXFER_NL_RAIL_STATE_CONNECTING;
}

static void __kvx_rail_look(struct kvx_rail *rail, struct kvx_rail_view *view)
{
	struct kvx_link *link = &rail->links[0];

	view->local = rail->src;
	view->asked = rail->active;
	view->lanes = rail->nr_lanes;
	view->bytes[0] += atomic64_read(&rail->bytes[0]);
	view->bytes[1] += atomic64_read(&rail->bytes[1]);
	spin_lock(&link->lock);
	if (!link->broken && link->dev)
		strscpy(view->dev, dev_name(&link->dev->ib->dev), sizeof(view->dev));
	spin_unlock(&link->lock);
}

/**
 * kvx_rail_look() - what is to be seen of a rail
 * @peer: of this peer
 * @id: its number
 * @view: to be filled in
 *
 * Context: process.
 * Return: false when there is none of that number.
 */
bool kvx_rail_look(struct kvx_peer *peer, u32 id, struct kvx_rail_view *view)
{
	const struct kvx_address *address = &peer->addresses[id];
	struct kvx_rail *rail;

	*view = (struct kvx_rail_view){ .id = id, .boot_id = peer->probe ? 0 : peer->boot_id };
	spin_lock(&peer->lock);
	if (!address->addr.ss_family) {
		spin_unlock(&peer->lock);
		return false;
	}
	rail = __kvx_peer_rail_at(peer, id);
	view->remote = address->addr;
	view->state = __kvx_rail_state(address, rail);
	view->down = address->down;
	/* Where it came from it can not be asked. */
	if (!address->passive)
		view->port = ntohs(((struct sockaddr_in *)&view->remote)->sin_port);
	view->attempts = address->attempts;
	view->error = -address->error;
	view->refusal = address->refusal;
	if (!rail && time_before(jiffies, address->next))
		view->next_ms = jiffies_to_msecs(address->next - jiffies);
	view->netns = address->net->inum;
	view->bytes[0] = address->bytes[0];
	view->bytes[1] = address->bytes[1];
	if (rail)
		__kvx_rail_look(rail, view);
	spin_unlock(&peer->lock);
	return true;
}

/*
 * --- orders -------------------------------------------------------------------------------------
 */

/* From now on somebody wants it who is no agent. */
static int kvx_peer_hold(struct kvx_peer *peer, const struct sockaddr_storage *addr)
{
	bool held;
	int err;

	/* Orders come from there. */
	err = kvx_peer_want(peer, &kvx_host_net, addr, addr ? 1 : 0);
	if (err)
		return err;
	spin_lock(&peer->lock);
	held = peer->held;
	peer->held = true;
	spin_unlock(&peer->lock);
	/* Once is enough. */
	if (held)
		kvx_peer_unwant(peer);
	return 0;
}

/**
 * kvx_peer_order() - an administrator wants a peer to be connected, or not to be
 * @peer: which
 * @addr: where it can be asked; NULL for where it is known to be
 * @down: it is not to be
 *
 * Context: process, may sleep.
 * Return: 0; -ESTALE when it is no more; -ENOSPC when it has too many addresses.
 */
int kvx_peer_order(struct kvx_peer *peer, const struct sockaddr_storage *addr, bool down)
{
	struct kvx_address *address;
	bool held = false;

	spin_lock(&peer->lock);
	peer->down = down;
	peer->orders += !down;
	/* Whoever orders it does not wait for what was decided before. */
	for (address = peer->addresses; address < kvx_addresses_end(peer); address++)
		address->next = jiffies;
	if (down) {
		held = peer->held;
		peer->held = false;
	}
	spin_unlock(&peer->lock);
	if (!down)
		return kvx_peer_hold(peer, addr);
	kvx_peer_refuse_rails(peer, -1);
	if (held)
		kvx_peer_unwant(peer);
	return 0;
}

/**
 * kvx_rail_order() - an administrator wants a rail to be used, or not to be
 * @peer: of this peer
 * @id: its number
 * @down: it is not to be
 *
 * Context: process, may sleep.
 * Return: 0, or -ENOENT when there is none of that number.
 */
int kvx_rail_order(struct kvx_peer *peer, u32 id, bool down)
{
	struct kvx_address *address;

	if (id >= KVX_PEER_ADDRESSES_MAX)
		return -ENOENT;
	id = array_index_nospec(id, KVX_PEER_ADDRESSES_MAX);
	address = &peer->addresses[id];
	spin_lock(&peer->lock);
	if (!address->addr.ss_family) {
		spin_unlock(&peer->lock);
		return -ENOENT;
	}
	address->down = down;
	address->next = jiffies;
	if (peer->wanted && !peer->gone)
		mod_delayed_work(kvx_peer_wq, &peer->connect, 0);
	spin_unlock(&peer->lock);
	if (down)
		kvx_peer_refuse_rails(peer, id);
	return 0;
}

/**
 * kvx_peer_probe() - an administrator wants to be connected with whoever is at an address
 * @addr: the address
 *
 * How it went is told as an event.
 *
 * Context: process, may sleep.
 * Return: 0, or -ENOMEM when there is no room for another node.
 */
int kvx_peer_probe(const struct sockaddr_storage *addr)
{
	struct kvx_peer *peer;
	int err;

	peer = kvx_peer_get_probe();
	if (!peer)
		return -ENOMEM;
	err = kvx_peer_hold(peer, addr);
	kvx_peer_put(peer);
	return err;
}

/**
 * kvx_peer_probed() - a probe has come to its end
 * @probe: the probe
 * @addr: where it asked
 * @boot_id: who is there; 0 when that could not be told
 *
 * Context: process, may sleep.
 */
void kvx_peer_probed(struct kvx_peer *probe, const struct sockaddr_storage *addr, u64 boot_id)
{
	struct kvx_peer *peer = NULL;
	bool held;

	spin_lock(&probe->lock);
	held = probe->held;
	probe->held = false;
	spin_unlock(&probe->lock);
	/* Another rail of it may have been first. */
	if (!held)
		return;
	kvx_peer_unwant(probe);
	if (boot_id && boot_id != kvx_boot_id)
		peer = kvx_peer_get(boot_id);
	if (peer) {
		kvx_peer_order(peer, addr, false);
		kvx_peer_put(peer);
	}
	kvx_peer_give_up(probe, -ESTALE);
}
