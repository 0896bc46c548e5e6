// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other nodes.
 *
 * A peer is another node from its start to its end: its name is its boot id. It is known by the
 * addresses that its agents' metadata gave, or because it has asked itself. While somebody here
 * wants it, its connect work makes the rails that are missing, later each time that it fails.
 */
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <net/ipv6.h>

#include "kvx.h"
#include "peer.h"
#include "rdma/flow.h"
#include "rdma/rail.h"
#include "remote.h"
#include "serve.h"

/* Between two attempts to connect. */
#define KVX_BACKOFF_MIN_MS	100
#define KVX_BACKOFF_MAX_MS	5000

/* Rails of a peer, of all states. */
#define KVX_RAILS_MAX		32

static DEFINE_MUTEX(kvx_peers_lock);
static DEFINE_HASHTABLE(kvx_peers, 8);
static unsigned int kvx_nr_peers;
static bool kvx_peers_leaving;

struct workqueue_struct *kvx_peer_wq;

static void kvx_peer_connect(struct work_struct *work);

static void kvx_peer_free(struct kref *ref)
{
	struct kvx_peer *peer = container_of(ref, struct kvx_peer, ref);
	struct kvx_msg *msg, *next;

	list_for_each_entry_safe(msg, next, &peer->unacked, link)
		kvx_msg_free(msg);
	xa_destroy(&peer->remotes);
	xa_destroy(&peer->served);
	mutex_destroy(&peer->rx_lock);
	kfree(peer);
}

/**
 * kvx_peer_put() - drop a reference
 * @peer: the peer
 *
 * Context: process.
 */
void kvx_peer_put(struct kvx_peer *peer)
{
	kref_put(&peer->ref, kvx_peer_free);
}

static struct kvx_peer *__kvx_peer_find(u64 boot_id)
{
	struct kvx_peer *peer;

	lockdep_assert_held(&kvx_peers_lock);
	hash_for_each_possible(kvx_peers, peer, hash, boot_id)
		if (peer->boot_id == boot_id)
			return peer;
	return NULL;
}

/**
 * kvx_peer_find() - a peer that is known
 * @boot_id: its name
 *
 * Context: process, may sleep.
 * Return: the peer with a reference, or NULL.
 */
struct kvx_peer *kvx_peer_find(u64 boot_id)
{
	struct kvx_peer *peer;

	mutex_lock(&kvx_peers_lock);
	peer = __kvx_peer_find(boot_id);
	if (peer)
		kref_get(&peer->ref);
	mutex_unlock(&kvx_peers_lock);
	return peer;
}

static bool kvx_peer_is_idle(struct kvx_peer *peer)
{
	bool idle;

	spin_lock(&peer->lock);
	idle = !peer->wanted && list_empty(&peer->rails) && list_empty(&peer->notes);
	spin_unlock(&peer->lock);
	return idle && xa_empty(&peer->remotes) && xa_empty(&peer->served);
}

/* Those that nobody uses make room for others. */
static void kvx_peers_prune(void)
{
	struct hlist_node *next;
	struct kvx_peer *peer;
	int i;

	lockdep_assert_held(&kvx_peers_lock);
	hash_for_each_safe(kvx_peers, i, next, peer, hash) {
		/* Who has it in hand may be about to use it. */
		if (kref_read(&peer->ref) > 1 || !kvx_peer_is_idle(peer))
			continue;
		hash_del(&peer->hash);
		kvx_nr_peers--;
		cancel_delayed_work_sync(&peer->connect);
		kvx_peer_put(peer);
	}
}

static struct kvx_peer *kvx_peer_new(u64 boot_id)
{
	struct kvx_peer *peer = kzalloc(sizeof(*peer), GFP_KERNEL);

	if (!peer)
		return NULL;
	kref_init(&peer->ref);
	peer->boot_id = boot_id;
	spin_lock_init(&peer->lock);
	INIT_LIST_HEAD(&peer->rails);
	INIT_LIST_HEAD(&peer->unacked);
	mutex_init(&peer->rx_lock);
	init_waitqueue_head(&peer->wait);
	INIT_DELAYED_WORK(&peer->connect, kvx_peer_connect);
	xa_init_flags(&peer->remotes, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	xa_init(&peer->served);
	INIT_LIST_HEAD(&peer->notes);
	spin_lock_init(&peer->flow_lock);
	INIT_LIST_HEAD(&peer->flows[0]);
	INIT_LIST_HEAD(&peer->flows[1]);
	INIT_LIST_HEAD(&peer->parked);
	return peer;
}

/**
 * kvx_peer_get() - a peer, whether or not it is known yet
 * @boot_id: its name
 *
 * Context: process, may sleep.
 * Return: the peer with a reference, or NULL when there is no room for another.
 */
struct kvx_peer *kvx_peer_get(u64 boot_id)
{
	struct kvx_peer *peer;

	mutex_lock(&kvx_peers_lock);
	peer = __kvx_peer_find(boot_id);
	if (!peer && kvx_nr_peers >= KVX_PEERS_MAX)
		kvx_peers_prune();
	if (!peer && !kvx_peers_leaving && kvx_nr_peers < KVX_PEERS_MAX) {
		peer = kvx_peer_new(boot_id);
		if (peer) {
			hash_add(kvx_peers, &peer->hash, boot_id);
			kvx_nr_peers++;
		}
	}
	if (peer)
		kref_get(&peer->ref);
	mutex_unlock(&kvx_peers_lock);
	return peer;
}

/*
 * --- where it can be asked ----------------------------------------------------------------------
 */

/* Ports do not count: who asks does so from any. */
static bool kvx_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->ss_family == AF_INET6 && ipv6_addr_equal(&a6->sin6_addr, &b6->sin6_addr);
}

static struct kvx_address *__kvx_peer_address(struct kvx_peer *peer,
					      const struct sockaddr_storage *addr)
{
	u32 i;

	lockdep_assert_held(&peer->lock);
	for (i = 0; i < peer->nr_addresses; i++)
		if (kvx_same_host(&peer->addresses[i].addr, addr))
			return &peer->addresses[i];
	return NULL;
}

static struct kvx_address *__kvx_peer_add_address(struct kvx_peer *peer)
{
	struct kvx_address *address;

	lockdep_assert_held(&peer->lock);
	if (peer->nr_addresses == KVX_PEER_ADDRESSES_MAX)
		return NULL;
	address = &peer->addresses[peer->nr_addresses++];
	*address = (struct kvx_address){};
	return address;
}

/**
 * kvx_peer_want() - somebody wants to be connected
 * @peer: with whom; kvx_peer_unwant() must follow
 * @addresses: where it can be asked, perhaps among others that are known
 * @nr: how many
 *
 * Context: process.
 * Return: 0; -ESTALE when it is no more; -ENOSPC when it has too many addresses.
 */
int kvx_peer_want(struct kvx_peer *peer, const struct sockaddr_storage *addresses, u32 nr)
{
	struct kvx_address *address;
	int err = 0;
	u32 i;

	spin_lock(&peer->lock);
	if (peer->gone)
		err = -ESTALE;
	for (i = 0; i < nr && !err; i++) {
		address = __kvx_peer_address(peer, &addresses[i]);
		if (!address)
			address = __kvx_peer_add_address(peer);
		if (!address) {
			err = -ENOSPC;
			break;
		}
		/* Where it was asked and met is its address, whatever a program says of it. */
		if (!address->proven || address->passive) {
			address->addr = addresses[i];
			address->passive = false;
			address->proven = false;
		}
		/* Whoever asks anew does not wait for what was decided before. */
		address->other_node = false;
		address->next = jiffies;
	}
	if (!err)
		peer->wanted++;
	spin_unlock(&peer->lock);
	if (!err)
		mod_delayed_work(kvx_peer_wq, &peer->connect, 0);
	return err;
}

/**
 * kvx_peer_want_too() - somebody else wants what is wanted already
 * @peer: the peer; kvx_peer_unwant() must follow
 *
 * Context: process.
 */
void kvx_peer_want_too(struct kvx_peer *peer)
{
	spin_lock(&peer->lock);
	peer->wanted++;
	spin_unlock(&peer->lock);
}

/**
 * kvx_peer_unwant() - somebody does not want it any more
 * @peer: the peer
 *
 * Context: process.
 */
void kvx_peer_unwant(struct kvx_peer *peer)
{
	u32 i;

	spin_lock(&peer->lock);
	/* What programs said of it, and was never found true, goes with them. */
	if (!--peer->wanted)
		for (i = peer->nr_addresses; i-- > 0;)
			if (!peer->addresses[i].proven && !peer->addresses[i].rail)
				peer->addresses[i] = peer->addresses[--peer->nr_addresses];
	spin_unlock(&peer->lock);
}

/* Is there something to be asked at the address in place @i, now? */
static bool kvx_peer_next_address(struct kvx_peer *peer, u32 i, struct sockaddr_storage *addr)
{
	bool now = false;

	spin_lock(&peer->lock);
	if (peer->wanted && !peer->gone && i < peer->nr_addresses &&
	    !peer->addresses[i].passive && !peer->addresses[i].rail &&
	    time_after_eq(jiffies, peer->addresses[i].next)) {
		*addr = peer->addresses[i].addr;
		now = true;
		/* Should nothing come of it. */
		peer->addresses[i].next = jiffies + msecs_to_jiffies(KVX_BACKOFF_MAX_MS / 5);
	}
	spin_unlock(&peer->lock);
	return now;
}

static void kvx_peer_connect(struct work_struct *work)
{
	struct kvx_peer *peer = container_of(to_delayed_work(work), struct kvx_peer, connect);
	struct sockaddr_storage addr;
	unsigned long next = 0;
	bool again = false;
	u32 i;

	if (READ_ONCE(peer->broken))
		kvx_peer_gone(peer, peer->broken);
	for (i = 0; i < KVX_PEER_ADDRESSES_MAX; i++)
		if (kvx_peer_next_address(peer, i, &addr))
			kvx_rail_connect(peer, &addr);
	spin_lock(&peer->lock);
	for (i = 0; i < peer->nr_addresses && peer->wanted && !peer->gone; i++) {
		if (peer->addresses[i].rail || peer->addresses[i].passive)
			continue;
		if (!again || time_before(peer->addresses[i].next, next))
			next = peer->addresses[i].next;
		again = true;
	}
	if (again)
		queue_delayed_work(kvx_peer_wq, &peer->connect,
				   time_after(next, jiffies) ? next - jiffies : 1);
	spin_unlock(&peer->lock);
}

/**
 * kvx_peers_try() - a device has come: what could not be reached perhaps can be
 *
 * Context: process, may sleep.
 */
void kvx_peers_try(void)
{
	struct kvx_peer *peer;
	u32 i;
	int b;

	mutex_lock(&kvx_peers_lock);
	hash_for_each(kvx_peers, b, peer, hash) {
		spin_lock(&peer->lock);
		for (i = 0; i < peer->nr_addresses; i++)
			peer->addresses[i].next = jiffies;
		if (peer->wanted && !peer->gone && !kvx_peers_leaving)
			mod_delayed_work(kvx_peer_wq, &peer->connect, 0);
		spin_unlock(&peer->lock);
	}
	mutex_unlock(&kvx_peers_lock);
}

/**
 * kvx_peers_kick() - transfers to any peer may go on
 *
 * Context: process, may sleep.
 */
void kvx_peers_kick(void)
{
	struct kvx_peer *peer;
	int b;

	mutex_lock(&kvx_peers_lock);
	hash_for_each(kvx_peers, b, peer, hash)
		kvx_flows_kick(peer);
	mutex_unlock(&kvx_peers_lock);
}

/*
 * --- rails --------------------------------------------------------------------------------------
 */

/* Another rail to or from the same host: may @rail be beside it? */
static enum kvxfer_refusal __kvx_peer_judge(struct kvx_peer *peer, const struct kvx_rail *rail,
					    struct kvx_rail *other)
{
	lockdep_assert_held(&peer->lock);
	/* What has failed has to be over: what it had on its way could come still. */
	if (rail->active || other->state == KVX_RAIL_ENDING || READ_ONCE(other->failed))
		return KVXFER_REFUSAL_BUSY;
	if (other->active && other->state < KVX_RAIL_READY) {
		/* Both ask at once: the one with the lower name is the one who does. */
		if (kvx_boot_id < peer->boot_id)
			return KVXFER_REFUSAL_YOURS;
		kvx_rail_fail(other, -ECONNABORTED, KVXFER_REFUSAL_YOURS);
		return KVXFER_REFUSAL_NONE;
	}
	/* Who asks again has left what it had asked for before. */
	if (!other->active)
		kvx_rail_fail(other, -ECONNRESET, KVXFER_REFUSAL_NONE);
	return KVXFER_REFUSAL_BUSY;
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
	if (peer->gone || READ_ONCE(kvx_peers_leaving))
		refusal = KVXFER_REFUSAL_LEAVING;
	list_for_each_entry(other, &peer->rails, link) {
		if (!refusal && ++nr >= KVX_RAILS_MAX)
			refusal = KVXFER_REFUSAL_RESOURCES;
		if (refusal)
			break;
		if (kvx_same_host(&other->dst, &rail->dst) &&
		    (!other->src.ss_family || !rail->src.ss_family ||
		     kvx_same_host(&other->src, &rail->src)))
			refusal = __kvx_peer_judge(peer, rail, other);
	}
	if (!refusal) {
		list_add_tail(&rail->link, &peer->rails);
		address = rail->active ? __kvx_peer_address(peer, &rail->dst) : NULL;
		if (address)
			address->rail = rail;
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

	spin_lock(&peer->lock);
	peer->nr_ready++;
	peer->error = 0;
	peer->refusal = KVXFER_REFUSAL_NONE;
	memcpy(peer->name, name, sizeof(peer->name));
	address = __kvx_peer_address(peer, &rail->dst);
	if (!address) {
		address = __kvx_peer_add_address(peer);
		/* At which port it can be asked we have not been told. */
		if (address)
			*address = (struct kvx_address){ .addr = rail->dst, .passive = true };
	}
	if (address) {
		address->attempts = 0;
		address->proven = true;
		address->other_node = false;
	}
	__kvx_peer_choose_tx(peer);
	spin_unlock(&peer->lock);
	pr_debug("node %016llx (%s): connected\n", peer->boot_id, peer->name);
	kvx_peers_supersede(peer->boot_id, &rail->dst);
	kvx_remotes_rail_ready(peer, rail->their_dev);
	kvx_peer_pump(peer);
	kvx_flows_kick(peer);
	wake_up_all(&peer->wait);
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
 * Is another node wherever it was to be? Where it has been met before, that means that it is no
 * more; where it was only said to be, perhaps somebody was wrong.
 */
static bool __kvx_peer_is_lost(struct kvx_peer *peer, bool proven)
{
	bool lost = true;
	u32 i, asked = 0;

	lockdep_assert_held(&peer->lock);
	for (i = 0; i < peer->nr_addresses; i++) {
		if (peer->addresses[i].passive)
			continue;
		asked++;
		lost &= peer->addresses[i].other_node && !peer->addresses[i].rail &&
			(!proven || peer->addresses[i].proven);
	}
	return lost && asked && !peer->nr_ready;
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

/* When is its address to be tried again? */
static void __kvx_peer_back_off(struct kvx_peer *peer, struct kvx_rail *rail)
{
	struct kvx_address *address = __kvx_peer_address(peer, &rail->dst);
	u32 ms = KVX_BACKOFF_MIN_MS, i;

	lockdep_assert_held(&peer->lock);
	for (i = 0; i < peer->nr_addresses; i++)
		if (peer->addresses[i].rail == rail)
			peer->addresses[i].rail = NULL;
	if (!address)
		return;
	address->error = rail->error;
	address->refusal = rail->refusal;
	address->other_node = __kvx_rail_met_other(rail);
	if (!rail->was_ready && rail->refusal != KVXFER_REFUSAL_YOURS &&
	    rail->refusal != KVXFER_REFUSAL_BUSY)
		address->attempts++;
	ms = min_t(u32, ms << min(address->attempts, 16U), KVX_BACKOFF_MAX_MS);
	ms += (u32)get_random_u32() % (ms / 2);
	address->next = jiffies + msecs_to_jiffies(ms);
}

/**
 * kvx_peer_rail_ended() - a rail is over: nothing of it is on its way any more
 * @rail: the rail
 *
 * Context: process, may sleep.
 */
void kvx_peer_rail_ended(struct kvx_rail *rail)
{
	struct kvx_peer *peer = rail->peer;
	bool gone, again;

	spin_lock(&peer->lock);
	list_del_init(&rail->link);
	__kvx_peer_back_off(peer, rail);
	__kvx_peer_choose_tx(peer);
	if (!peer->nr_ready) {
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
	if (gone)
		kvx_peer_give_up(peer, -ESTALE);
	kvx_peer_pump(peer);
	kvx_flows_kick(peer);
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
 * kvx_peers_fail_dev() - a device is going
 * @dev: which nobody new uses
 *
 * Context: process, may sleep.
 */
void kvx_peers_fail_dev(struct kvx_dev *dev)
{
	struct kvx_peer *peer;
	int b;

	mutex_lock(&kvx_peers_lock);
	hash_for_each(kvx_peers, b, peer, hash)
		kvx_peer_fail_rails(peer, dev, -ENODEV);
	mutex_unlock(&kvx_peers_lock);
}

/**
 * kvx_peer_gone() - it will not come back
 * @peer: the peer; the caller has a reference
 * @error: why: a negative errno
 *
 * Context: process, may sleep.
 */
void kvx_peer_gone(struct kvx_peer *peer, int error)
{
	bool first;

	spin_lock(&peer->lock);
	first = !peer->gone;
	peer->gone = true;
	if (first)
		peer->error = error;
	spin_unlock(&peer->lock);
	if (!first)
		return;
	kvx_peer_fail_rails(peer, NULL, error);
	kvx_remotes_gone(peer, error);
	kvx_serves_gone(peer);
	kvx_notes_gone(peer);
	kvx_flows_kick(peer);
	wake_up_all(&peer->wait);
}

/**
 * kvx_peer_give_up() - it is to go for good
 * @peer: the peer; its connect work does that
 * @error: why: a negative errno
 *
 * Context: process.
 */
void kvx_peer_give_up(struct kvx_peer *peer, int error)
{
	spin_lock(&peer->lock);
	if (!peer->broken)
		WRITE_ONCE(peer->broken, error);
	if (!READ_ONCE(kvx_peers_leaving))
		mod_delayed_work(kvx_peer_wq, &peer->connect, 0);
	spin_unlock(&peer->lock);
}

/**
 * kvx_peers_supersede() - a node has come: whoever was met at its address before is no more
 * @boot_id: of the node
 * @addr: its address
 *
 * Context: process, may sleep.
 */
void kvx_peers_supersede(u64 boot_id, const struct sockaddr_storage *addr)
{
	struct kvx_peer *peer, *old;
	struct kvx_address *address;
	int b;

	do {
		old = NULL;
		mutex_lock(&kvx_peers_lock);
		hash_for_each(kvx_peers, b, peer, hash) {
			if (old || peer->boot_id == boot_id)
				continue;
			spin_lock(&peer->lock);
			address = __kvx_peer_address(peer, addr);
			if (address && address->proven && !peer->gone && !peer->broken) {
				kref_get(&peer->ref);
				old = peer;
			}
			spin_unlock(&peer->lock);
		}
		mutex_unlock(&kvx_peers_lock);
		if (old) {
			kvx_peer_give_up(old, -ESTALE);
			kvx_peer_put(old);
		}
	} while (old);
}

/*
 * --- all of them --------------------------------------------------------------------------------
 */

/**
 * kvx_peers_init() - before the first peer
 *
 * Return: 0 or an errno.
 */
int kvx_peers_init(void)
{
	int err;

	kvx_peers_leaving = false;
	/* Where devices tell that they are done, one may wait for what is done here. */
	kvx_peer_wq = alloc_workqueue("kvxfer_peer", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!kvx_peer_wq)
		return -ENOMEM;
	err = kvx_rails_init();
	if (err)
		destroy_workqueue(kvx_peer_wq);
	return err;
}

/**
 * kvx_peers_exit() - leave all; no agent is left, and nobody asks any more
 *
 * Context: process, may sleep.
 */
void kvx_peers_exit(void)
{
	struct hlist_node *next;
	struct kvx_peer *peer;
	int b;

	mutex_lock(&kvx_peers_lock);
	WRITE_ONCE(kvx_peers_leaving, true);
	mutex_unlock(&kvx_peers_lock);
	/* Nobody adds or takes away any more. */
	hash_for_each(kvx_peers, b, peer, hash) {
		cancel_delayed_work_sync(&peer->connect);
		kvx_peer_gone(peer, -ESHUTDOWN);
		kvx_peer_fail_rails(peer, NULL, -ESHUTDOWN);
		cancel_delayed_work_sync(&peer->connect);
	}
	flush_workqueue(kvx_peer_wq);
	/* A rail holds its peer. */
	kvx_rails_quiesce();
	flush_workqueue(kvx_peer_wq);
	hash_for_each_safe(kvx_peers, b, next, peer, hash) {
		cancel_delayed_work_sync(&peer->connect);
		/* Devices come and go still, parameters are set: then all are gone through. */
		mutex_lock(&kvx_peers_lock);
		hash_del(&peer->hash);
		kvx_nr_peers--;
		mutex_unlock(&kvx_peers_lock);
		kvx_peer_put(peer);
	}
	kvx_rails_exit();
	destroy_workqueue(kvx_peer_wq);
}
