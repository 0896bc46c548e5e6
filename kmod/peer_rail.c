// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rails of a peer: which may be, by which frames go, and what their ends mean.
 */
#include <linux/random.h>

#include "kvx.h"
#include "netlink.h"
#include "peer.h"
#include "rdma/flow.h"
#include "rdma/net.h"
#include "rdma/rail.h"
#include "remote.h"

/* Has it said who it is, and can no stranger have done so? */
static bool kvx_rail_is_known(const struct kvx_rail *rail)
{
	return rail->active || READ_ONCE(rail->proven);
}

/*
 * Another rail to or from the same host: may @rail be beside it? What it is in the place of ends
 * when it is known; until then who asks may be anybody.
 */
static enum kvxfer_refusal __kvx_peer_judge(struct kvx_peer *peer, const struct kvx_rail *rail,
					    struct kvx_rail *other)
{
	const bool known = kvx_rail_is_known(rail);

	lockdep_assert_held(&peer->lock);
	/* A stranger has nothing on its way, and may be who it says to be or not. */
	if (!kvx_rail_is_known(other))
		return KVXFER_REFUSAL_NONE;
	/* What has failed has to be over: what it had on its way could come still. */
	if (rail->active || other->state == KVX_RAIL_ENDING || READ_ONCE(other->failed))
		return KVXFER_REFUSAL_BUSY;
	if (other->active && other->state < KVX_RAIL_READY) {
		/* Both ask at once: the one with the lower name is the one who does. */
		if (kvx_boot_id < peer->boot_id)
			return KVXFER_REFUSAL_YOURS;
		if (known)
			kvx_rail_fail(other, -ECONNABORTED, KVXFER_REFUSAL_YOURS);
		return KVXFER_REFUSAL_NONE;
	}
	if (!known)
		return KVXFER_REFUSAL_NONE;
	/* Who asks again has left what it had asked for before. */
	if (!other->active)
		kvx_rail_fail(other, -ECONNRESET, KVXFER_REFUSAL_NONE);
	return KVXFER_REFUSAL_BUSY;
}

/* The rails between the same two hosts: may it be beside them? */
static enum kvxfer_refusal __kvx_peer_judge_all(struct kvx_peer *peer, const struct kvx_rail *rail)
{
	enum kvxfer_refusal refusal = KVXFER_REFUSAL_NONE;
	struct kvx_rail *other;

	lockdep_assert_held(&peer->lock);
	list_for_each_entry(other, &peer->rails, link) {
		if (other != rail && other->net->net == rail->net->net &&
		    kvx_same_host(&other->dst, &rail->dst) &&
		    (!other->src.ss_family || !rail->src.ss_family ||
		     kvx_same_host(&other->src, &rail->src)))
			refusal = __kvx_peer_judge(peer, rail, other);
		if (refusal)
			break;
	}
	return refusal;
}

/**
 * kvx_peer_rail_proven() - it is known that a rail is to the peer that it says to be to
 * @rail: a rail that has been asked for by the other
 *
 * Context: process.
 * Return: KVXFER_REFUSAL_NONE, or why it cannot be.
 */
enum kvxfer_refusal kvx_peer_rail_proven(struct kvx_rail *rail)
{
	enum kvxfer_refusal refusal;

	spin_lock(&rail->peer->lock);
	refusal = __kvx_peer_judge_all(rail->peer, rail);
	spin_unlock(&rail->peer->lock);
	return refusal;
}

/**
 * __kvx_peer_rail_at() - the rail of a number
 * @peer: whose; its lock is held
 * @id: the number
 *
 * Context: any.
 * Return: one that is ready rather than one that is not; or NULL.
 */
struct kvx_rail *__kvx_peer_rail_at(struct kvx_peer *peer, u32 id)
{
	struct kvx_rail *rail, *found = NULL;

	lockdep_assert_held(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link)
		if (rail->id == (int)id && (!found || found->state != KVX_RAIL_READY))
			found = rail;
	return found;
}

/**
 * kvx_peer_rail_new() - there is to be another rail
 * @peer: with whom
 * @rail: the rail, which is the peer's until kvx_peer_rail_ended()
 *
 * Context: process.
 * Return: KVXFER_REFUSAL_NONE, or why not.
 */
enum kvxfer_refusal kvx_peer_rail_new(struct kvx_peer *peer, struct kvx_rail *rail)
{
	enum kvxfer_refusal refusal = KVXFER_REFUSAL_NONE;
	struct kvx_address *address;
	struct kvx_rail *other;
	u32 nr = 0;

	spin_lock(&peer->lock);
	if (peer->gone || READ_ONCE(kvx_peers_leaving) || READ_ONCE(rail->net->closed))
		refusal = KVXFER_REFUSAL_LEAVING;
	address = __kvx_peer_address(peer, rail->net, &rail->dst);
	if (peer->down || (address && address->down))
		refusal = KVXFER_REFUSAL_DOWN;
	/* Of strangers there is a limit already. */
	list_for_each_entry(other, &peer->rails, link)
		nr += kvx_rail_is_known(other);
	if (!refusal && nr >= KVX_RAILS_MAX)
		refusal = KVXFER_REFUSAL_RESOURCES;
	if (!refusal)
		refusal = __kvx_peer_judge_all(peer, rail);
	if (!refusal) {
		rail->order = peer->orders;
		list_add_tail(&rail->link, &peer->rails);
		if (address && rail->active) {
			address->rail = rail;
			rail->id = address - peer->addresses;
		}
	}
	spin_unlock(&peer->lock);
	return refusal;
}

/* By which rail frames go, from their first that has not been taken. */
static void __kvx_peer_choose_tx(struct kvx_peer *peer)
{
	struct kvx_rail *rail;

	lockdep_assert_held(&peer->lock);
	if (peer->tx_rail)
		return;
	list_for_each_entry(rail, &peer->rails, link) {
		if (rail->state != KVX_RAIL_READY)
			continue;
		peer->tx_rail = rail;
		peer->unsent = list_first_entry_or_null(&peer->unacked, struct kvx_msg, link);
		return;
	}
}

/**
 * kvx_peer_rail_ready() - a rail can be used
 * @rail: the rail
 * @name: what the other calls itself
 *
 * Context: process, may sleep.
 */
void kvx_peer_rail_ready(struct kvx_rail *rail, const char *name)
{
	struct kvx_peer *peer = rail->peer;
	struct kvx_address *address;
	bool first;

	spin_lock(&peer->lock);
	first = !peer->nr_ready++;
	peer->error = 0;
	peer->refusal = KVXFER_REFUSAL_NONE;
	memcpy(peer->name, name, sizeof(peer->name));
	address = __kvx_peer_find_address(peer, rail->net, &rail->dst);
	if (address) {
		rail->id = address - peer->addresses;
		address->attempts = 0;
		address->error = 0;
		address->refusal = KVXFER_REFUSAL_NONE;
		address->proven = true;
		address->other_node = false;
	}
	/* It was not known by its number when that was ordered. */
	if (peer->down || (address && address->down))
		kvx_rail_fail(rail, -ENETDOWN, KVXFER_REFUSAL_DOWN);
	__kvx_peer_choose_tx(peer);
	spin_unlock(&peer->lock);
	pr_debug("node %016llx (%s): connected\n", peer->boot_id, peer->name);
	kvx_peers_supersede(rail);
	kvx_remotes_rail_ready(peer, rail->their_dev);
	kvx_peer_pump(peer);
	kvx_flows_kick(peer);
	wake_up_all(&peer->wait);
	kvx_tell_rail(peer, rail->id, KVXFER_NL_EVENT_UP);
	if (first)
		kvx_tell_peer(peer, KVXFER_NL_EVENT_UP);
}

/**
 * kvx_peer_rail_ending() - a rail is not to be used any more
 * @rail: the rail; it was ready, or not
 *
 * Context: process.
 */
void kvx_peer_rail_ending(struct kvx_rail *rail)
{
	struct kvx_peer *peer = rail->peer;

	spin_lock(&peer->lock);
	if (rail->was_ready)
		peer->nr_ready--;
	if (peer->tx_rail == rail) {
		peer->tx_rail = NULL;
		peer->unsent = NULL;
	}
	spin_unlock(&peer->lock);
}

/* There is a node, but not the one that was meant. */
static bool __kvx_rail_met_other(const struct kvx_rail *rail)
{
	return rail->refusal == KVXFER_REFUSAL_BOOT || rail->error == -ESTALE;
}

/*
 * Is another node where it was to be, and nobody anywhere else? Where it has been met before, that
 * means that it is no more; where it was only said to be, perhaps somebody was wrong.
 */
static bool __kvx_peer_is_lost(struct kvx_peer *peer, bool proven)
{
	const struct kvx_address *address;
	bool lost = true, any = false, met;

	lockdep_assert_held(&peer->lock);
	for (address = peer->addresses; address < kvx_addresses_end(peer); address++) {
		if (!address->addr.ss_family || address->passive)
			continue;
		met = address->other_node && (!proven || address->proven);
		any |= met;
		lost &= met || address->attempts;
	}
	return lost && any && !peer->nr_ready;
}

/**
 * kvx_peer_is_lost() - is another node wherever it was said to be?
 * @peer: the peer
 *
 * Context: process.
 * Return: true when it is.
 */
bool kvx_peer_is_lost(struct kvx_peer *peer)
{
	bool lost;

	spin_lock(&peer->lock);
	lost = __kvx_peer_is_lost(peer, false);
	spin_unlock(&peer->lock);
	return lost;
}

/*
 * By iWARP a port of our own may be taken, so that nobody was asked, see kvx_link_ask(); another
 * will be chosen. And a connection may end before the answer was read, see kvx_link_event().
 */
static bool __kvx_rail_is_unanswered(const struct kvx_rail *rail)
{
	return rail->error == -EADDRINUSE || READ_ONCE(rail->unanswered);
}

/* When is its address to be tried again? Returns false when it has not been tried. */
static bool __kvx_peer_back_off(struct kvx_peer *peer, struct kvx_rail *rail)
{
	struct kvx_address *address;

	lockdep_assert_held(&peer->lock);
	/* Of a stranger nothing is learned of the peer. */
	if (!kvx_rail_is_known(rail))
		return true;
	for (address = peer->addresses; address < kvx_addresses_end(peer); address++)
		if (address->rail == rail)
			address->rail = NULL;
	address = __kvx_peer_address(peer, rail->net, &rail->dst);
	if (!address)
		return true;
	address->next = jiffies;
	/* Begun before an order, so it is no answer to that: the next attempt is. */
	if (rail->active && !rail->was_ready && rail->order != peer->orders) {
		address->other_node = __kvx_rail_met_other(rail);
		return false;
	}
	if (__kvx_rail_is_unanswered(rail) && address->unanswered < KVX_UNANSWERED_MAX) {
		address->unanswered++;
		return false;
	}
	address->unanswered = 0;
	address->error = rail->error;
	address->refusal = rail->refusal;
	address->bytes[0] += atomic64_read(&rail->bytes[0]);
	address->bytes[1] += atomic64_read(&rail->bytes[1]);
	address->other_node = __kvx_rail_met_other(rail);
	if (!rail->was_ready && rail->refusal != KVXFER_REFUSAL_YOURS &&
	    rail->refusal != KVXFER_REFUSAL_BUSY)
		address->attempts++;
	address->next += msecs_to_jiffies(kvx_backoff_ms(address->attempts, get_random_u32()));
	return true;
}

/**
 * kvx_peer_rail_stopped() - nothing of a rail is on its way any more
 * @rail: the rail, which is ending
 *
 * Context: process, may sleep.
 */
void kvx_peer_rail_stopped(struct kvx_rail *rail)
{
	struct kvx_peer *peer = rail->peer;
	struct kvx_msg *quiesced = NULL;

	spin_lock(&peer->lock);
	rail->stopped = true;
	swap(quiesced, rail->quiesced);
	__kvx_peer_choose_tx(peer);
	spin_unlock(&peer->lock);
	if (quiesced)
		kvx_peer_send(peer, quiesced);
	kvx_fence_ask(rail);
	kvx_peer_pump(peer);
	kvx_flows_kick(peer);
}

/**
 * kvx_peer_rail_ended() - a rail is over: nobody knows of it any more
 * @rail: the rail, of which kvx_peer_rail_stopped() has been told
 *
 * Context: process, may sleep.
 */
void kvx_peer_rail_ended(struct kvx_rail *rail)
{
	struct kvx_peer *peer = rail->peer;
	bool gone, again, last, tried;

	spin_lock(&peer->lock);
	list_del_init(&rail->link);
	tried = __kvx_peer_back_off(peer, rail);
	last = rail->was_ready && !peer->nr_ready;
	if (tried && !peer->nr_ready) {
		peer->error = rail->error;
		peer->refusal = rail->refusal;
	}
	gone = !peer->gone && __kvx_peer_is_lost(peer, true);
	again = peer->wanted && !peer->gone && !READ_ONCE(kvx_peers_leaving);
	if (again && !gone)
		mod_delayed_work(kvx_peer_wq, &peer->connect,
				 msecs_to_jiffies(KVX_BACKOFF_MIN_MS));
	spin_unlock(&peer->lock);
	pr_debug("node %016llx: a connection is over: %d, refusal %d\n", peer->boot_id,
		 rail->error, rail->refusal);
	if (tried)
		kvx_tell_rail(peer, rail->id, KVXFER_NL_EVENT_DOWN);
	if (last)
		kvx_tell_peer(peer, KVXFER_NL_EVENT_DOWN);
	if (peer->probe && tried)
		kvx_peer_probed(peer, &rail->dst, rail->met);
	if (gone)
		kvx_peer_give_up(peer, -ESTALE);
	wake_up_all(&peer->wait);
}

/**
 * kvx_peer_rail_on() - a rail by a device, of which both ends have said who they are
 * @peer: with whom
 * @dev: our device; NULL for any
 *
 * The other end may take a rail for ready, and ask for keys by it, before this one does.
 *
 * Context: process.
 * Return: the rail with a reference, or NULL when there is none.
 */
struct kvx_rail *kvx_peer_rail_on(struct kvx_peer *peer, const struct kvx_dev *dev)
{
	struct kvx_rail *rail, *found = NULL;

	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link)
		if ((rail->state == KVX_RAIL_LANES || rail->state == KVX_RAIL_READY) &&
		    !READ_ONCE(rail->failed) && (!dev || READ_ONCE(rail->links[0].dev) == dev))
			found = rail;
	if (found)
		kref_get(&found->ref);
	spin_unlock(&peer->lock);
	return found;
}

/**
 * kvx_peer_has_rail_to() - is there a connection to a device of a peer's?
 * @peer: the peer
 * @device: as the peer counts
 *
 * Context: process.
 * Return: true when there is, whatever its state.
 */
bool kvx_peer_has_rail_to(struct kvx_peer *peer, u32 device)
{
	struct kvx_rail *rail;
	bool has = false;

	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link)
		has = has || rail->their_dev == device;
	spin_unlock(&peer->lock);
	return has;
}

/**
 * kvx_peer_rail_after() - one ready rail after the other
 * @peer: with whom
 * @before: the last one, whose reference is given back; NULL at first
 *
 * Context: process.
 * Return: the next one with a reference; NULL when there are no more.
 */
struct kvx_rail *kvx_peer_rail_after(struct kvx_peer *peer, struct kvx_rail *before)
{
	struct kvx_rail *rail, *found = NULL;

	spin_lock(&peer->lock);
	/* If it has gone meanwhile, it was the last one. */
	rail = list_prepare_entry(before, &peer->rails, link);
	if (!before || !list_empty(&before->link)) {
		list_for_each_entry_continue(rail, &peer->rails, link) {
			if (rail->state != KVX_RAIL_READY || READ_ONCE(rail->failed))
				continue;
			kref_get(&rail->ref);
			found = rail;
			break;
		}
	}
	spin_unlock(&peer->lock);
	if (before)
		kvx_rail_put(before);
	return found;
}

/**
 * kvx_peer_fail_rails() - end rails
 * @peer: with whom
 * @dev: those by this device of ours; NULL for all
 * @err: why: a negative errno
 *
 * Context: process.
 */
void kvx_peer_fail_rails(struct kvx_peer *peer, const struct kvx_dev *dev, int err)
{
	struct kvx_rail *rail;
	bool on;
	u32 i;

	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link) {
		on = !dev;
		for (i = 0; i <= rail->nr_lanes && !on; i++)
			on = READ_ONCE(rail->links[i].dev) == dev;
		if (on)
			kvx_rail_fail(rail, err, KVXFER_REFUSAL_NONE);
	}
	spin_unlock(&peer->lock);
}

/* May siw be sending an answer by it? */
static bool kvx_rail_may_answer(const struct kvx_rail *rail)
{
	/* Until the lanes are there nobody asks by them; and one that connects may take minutes. */
	return rail->siw && kvx_rail_lanes_up(rail);
}

static bool kvx_peer_still_answers(struct kvx_peer *peer)
{
	struct kvx_rail *rail;
	bool still = false;

	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link)
		still |= READ_ONCE(rail->failed) && kvx_rail_may_answer(rail);
	spin_unlock(&peer->lock);
	return still;
}

/**
 * kvx_peer_end_sending() - a device that still sends what it must not any more is to be stopped
 * @peer: to whom it may send
 *
 * When a key is gone, devices do nothing by it any more; but siw goes on with an answer that it has
 * begun, until the queue pair is gone. So its connections are ended, and made anew.
 *
 * Context: process, may sleep. Not where rails are ended, nor where devices tell of completions.
 */
void kvx_peer_end_sending(struct kvx_peer *peer)
{
	struct kvx_rail *rail;
	bool any = false;

	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link) {
		if (!kvx_rail_may_answer(rail))
			continue;
		kvx_rail_fail(rail, -ECONNRESET, KVXFER_REFUSAL_NONE);
		any = true;
	}
	spin_unlock(&peer->lock);
	if (any)
		wait_event(peer->wait, !kvx_peer_still_answers(peer));
}

/**
 * kvx_peer_refuse_rails() - end rails that an administrator does not want
 * @peer: with whom
 * @id: the one of this number; negative for all
 *
 * Context: process.
 */
void kvx_peer_refuse_rails(struct kvx_peer *peer, int id)
{
	struct kvx_rail *rail;

	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link)
		if (id < 0 || rail->id == id)
			kvx_rail_fail(rail, -ENETDOWN, KVXFER_REFUSAL_DOWN);
	spin_unlock(&peer->lock);
}
