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
#include "netlink.h"
#include "peer.h"
#include "rdma/flow.h"
#include "rdma/net.h"
#include "rdma/rail.h"
#include "remote.h"
#include "serve.h"
#include "watch.h"

static DEFINE_MUTEX(kvx_peers_lock);
static DEFINE_HASHTABLE(kvx_peers, 8);
static unsigned int kvx_nr_peers;
/* Changes with the table; also where its lock may not be taken. */
static atomic_t kvx_peers_seq = ATOMIC_INIT(1);
bool kvx_peers_leaving;

struct workqueue_struct *kvx_peer_wq;

static void kvx_peer_connect(struct work_struct *work);

static void kvx_peer_free(struct kref *ref)
{
	struct kvx_peer *peer = container_of(ref, struct kvx_peer, ref);
	struct kvx_msg *msg, *next;

	list_for_each_entry_safe(msg, next, &peer->unacked, link)
		kvx_msg_free(msg);
	kvx_msg_free(peer->answer);
	xa_destroy(&peer->remotes);
	xa_destroy(&peer->served);
	xa_destroy(&peer->sends);
	xa_destroy(&peer->offers);
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
	/* It goes on from the frames that were numbered, and so have we to. */
	idle = idle && (peer->gone || (!peer->tx_seq && !peer->rx_seq));
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
		atomic_inc(&kvx_peers_seq);
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
	xa_init_flags(&peer->sends, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	xa_init(&peer->offers);
	hash_init(peer->watches);
	INIT_LIST_HEAD(&peer->watchers);
	INIT_LIST_HEAD(&peer->notes);
	spin_lock_init(&peer->flow_lock);
	INIT_LIST_HEAD(&peer->flows[0]);
	INIT_LIST_HEAD(&peer->flows[1]);
	INIT_LIST_HEAD(&peer->parked);
	INIT_LIST_HEAD(&peer->fences);
	INIT_LIST_HEAD(&peer->fenced);
	return peer;
}

static struct kvx_peer *__kvx_peer_make(u64 boot_id)
{
	struct kvx_peer *peer = NULL;

	lockdep_assert_held(&kvx_peers_lock);
	/* Then they are gone through without the lock. */
	if (kvx_peers_leaving)
		return NULL;
	if (kvx_nr_peers >= KVX_PEERS_MAX)
		kvx_peers_prune();
	if (kvx_nr_peers < KVX_PEERS_MAX)
		peer = kvx_peer_new(boot_id);
	if (peer) {
		hash_add(kvx_peers, &peer->hash, boot_id);
		kvx_nr_peers++;
		atomic_inc(&kvx_peers_seq);
	}
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
	bool made = false;

	mutex_lock(&kvx_peers_lock);
	peer = __kvx_peer_find(boot_id);
	if (!peer) {
		peer = __kvx_peer_make(boot_id);
		made = peer;
	}
	if (peer)
		kref_get(&peer->ref);
	mutex_unlock(&kvx_peers_lock);
	if (made)
		kvx_tell_peer(peer, KVXFER_NL_EVENT_NEW);
	return peer;
}

/**
 * kvx_peer_get_probe() - one that stands for whoever is at an address
 *
 * Context: process, may sleep.
 * Return: the peer with a reference, or NULL when there is no room for another.
 */
struct kvx_peer *kvx_peer_get_probe(void)
{
	struct kvx_peer *peer = NULL;
	u64 name;

	mutex_lock(&kvx_peers_lock);
	do {
		name = get_random_u64();
	} while (!name || name == kvx_boot_id || __kvx_peer_find(name));
	peer = __kvx_peer_make(name);
	if (peer) {
		peer->probe = true;
		kref_get(&peer->ref);
	}
	mutex_unlock(&kvx_peers_lock);
	return peer;
}

/**
 * kvx_peer_nth() - one peer after the other, but for those that are over
 * @nth: how many are before it
 * @seq: set to what changes when the order of them does
 *
 * Context: process, may sleep.
 * Return: the peer with a reference, or NULL.
 */
struct kvx_peer *kvx_peer_nth(unsigned long nth, unsigned int *seq)
{
	struct kvx_peer *peer, *found = NULL;
	int b;

	mutex_lock(&kvx_peers_lock);
	*seq = atomic_read(&kvx_peers_seq);
	hash_for_each(kvx_peers, b, peer, hash) {
		if (found || peer->probe || READ_ONCE(peer->gone))
			continue;
		if (nth--)
			continue;
		kref_get(&peer->ref);
		found = peer;
	}
	mutex_unlock(&kvx_peers_lock);
	return found;
}

/*
 * --- where it can be asked ----------------------------------------------------------------------
 */

/**
 * kvx_same_host() - are two addresses the same, but for their ports?
 * @a: the one
 * @b: the other
 *
 * Ports do not count: who asks does so from any.
 *
 * Context: any.
 * Return: true when they are.
 */
bool kvx_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->ss_family == AF_INET6 && ipv6_addr_equal(&a6->sin6_addr, &b6->sin6_addr);
}

/**
 * __kvx_peer_address() - what is known of an address
 * @peer: whose; its lock is held
 * @net: in which network namespace
 * @addr: the address
 *
 * Context: any.
 * Return: what is known, or NULL.
 */
struct kvx_address *__kvx_peer_address(struct kvx_peer *peer, const struct kvx_net *net,
				       const struct sockaddr_storage *addr)
{
	u32 i;

	lockdep_assert_held(&peer->lock);
	for (i = 0; i < KVX_PEER_ADDRESSES_MAX; i++)
		if (peer->addresses[i].net == net &&
		    kvx_same_host(&peer->addresses[i].addr, addr))
			return &peer->addresses[i];
	return NULL;
}

/*
 * One more, of which nothing is known yet; NULL when there are too many. Its place does not change
 * for as long as it is known: it is the number of the rail to it.
 */
static struct kvx_address *__kvx_peer_add_address(struct kvx_peer *peer, struct kvx_net *net,
						  const struct sockaddr_storage *addr)
{
	u32 i;

	lockdep_assert_held(&peer->lock);
	for (i = 0; i < KVX_PEER_ADDRESSES_MAX; i++) {
		if (peer->addresses[i].addr.ss_family)
			continue;
		peer->addresses[i] = (struct kvx_address){ .addr = *addr, .net = net };
		return &peer->addresses[i];
	}
	return NULL;
}

/* What is known of it is not worth anything, and no rail is called by its place. */
static bool __kvx_address_is_idle(struct kvx_peer *peer, const struct kvx_address *address)
{
	return !address->proven && !address->rail && !address->down &&
	       !__kvx_peer_rail_at(peer, address - peer->addresses);
}

/**
 * __kvx_peer_find_address() - where what is known of an address can be put
 * @peer: whose; its lock is held
 * @net: in which network namespace
 * @addr: the address, where a rail has been made
 *
 * Context: any.
 * Return: what is known; perhaps in place of what programs only said; NULL when there is no room.
 */
struct kvx_address *__kvx_peer_find_address(struct kvx_peer *peer, struct kvx_net *net,
					    const struct sockaddr_storage *addr)
{
	struct kvx_address *address = __kvx_peer_address(peer, net, addr);
	bool known = address;

	if (!address)
		address = __kvx_peer_add_address(peer, net, addr);
	if (!address) {
		for (address = peer->addresses; address < kvx_addresses_end(peer); address++)
			if (__kvx_address_is_idle(peer, address))
				break;
		if (address == kvx_addresses_end(peer))
			return NULL;
		*address = (struct kvx_address){ .addr = *addr, .net = net };
	}
	/* At which port it can be asked we have not been told. */
	address->passive |= !known;
	return address;
}

/* One where there has been nobody so far. */
static struct kvx_address *__kvx_peer_vain_address(struct kvx_peer *peer)
{
	struct kvx_address *address;

	for (address = peer->addresses; address < kvx_addresses_end(peer); address++)
		if (address->attempts && __kvx_address_is_idle(peer, address))
			return address;
	return NULL;
}

/**
 * kvx_peer_want() - somebody wants to be connected
 * @peer: with whom; kvx_peer_unwant() must follow
 * @net: from which network namespace, which an agent is in
 * @addresses: where it can be asked, perhaps among others that are known
 * @nr: how many
 *
 * Context: process.
 * Return: 0; -ESTALE when it is no more; -ENOSPC when it has too many addresses.
 */
int kvx_peer_want(struct kvx_peer *peer, struct kvx_net *net,
		  const struct sockaddr_storage *addresses, u32 nr)
{
	struct kvx_address *address;
	int err = 0;
	u32 i;

	spin_lock(&peer->lock);
	if (peer->gone)
		err = -ESTALE;
	for (i = 0; i < nr && !err; i++) {
		address = __kvx_peer_address(peer, net, &addresses[i]);
		if (!address)
			address = __kvx_peer_add_address(peer, net, &addresses[i]);
		if (!address) {
			address = __kvx_peer_vain_address(peer);
			if (address)
				*address = (struct kvx_address){ .net = net };
		}
		if (!address) {
			err = -ENOSPC;
			break;
		}
		/* Where it was asked and met is its address, whatever a program says of it. */
		if (!address->proven || address->passive) {
			address->addr = addresses[i];
			/* Only the port is new: if it was met there, it still was. */
			address->passive = false;
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
	struct kvx_address *address;

	spin_lock(&peer->lock);
	/* What programs said of it, and was never found true, goes with them. */
	if (!--peer->wanted)
		for (address = peer->addresses; address < kvx_addresses_end(peer); address++)
			if (__kvx_address_is_idle(peer, address))
				*address = (struct kvx_address){};
	spin_unlock(&peer->lock);
}

/* Is it to be asked there, now or later? */
static bool __kvx_address_is_due(const struct kvx_peer *peer, const struct kvx_address *address)
{
	return peer->wanted && !peer->gone && !peer->down && address->addr.ss_family &&
	       !address->passive && !address->rail && !address->down;
}

/* Is there something to be asked at an address, now? Returns in which namespace, or NULL. */
static struct kvx_net *kvx_peer_next_address(struct kvx_peer *peer, struct kvx_address *address,
					     struct sockaddr_storage *addr)
{
	struct kvx_net *net = NULL;

	spin_lock(&peer->lock);
	if (__kvx_address_is_due(peer, address) && time_after_eq(jiffies, address->next)) {
		*addr = address->addr;
		net = address->net;
		kvx_net_get(net);
		/* Should nothing come of it. */
		address->next = jiffies + msecs_to_jiffies(KVX_BACKOFF_MAX_MS / 5);
	}
	spin_unlock(&peer->lock);
	return net;
}

static void kvx_peer_connect(struct work_struct *work)
{
	struct kvx_peer *peer = container_of(to_delayed_work(work), struct kvx_peer, connect);
	struct kvx_address *address;
	struct sockaddr_storage addr;
	unsigned long next = 0;
	struct kvx_net *net;
	bool again = false;

	if (READ_ONCE(peer->broken))
		kvx_peer_gone(peer, peer->broken);
	for (address = peer->addresses; address < kvx_addresses_end(peer); address++) {
		net = kvx_peer_next_address(peer, address, &addr);
		if (!net)
			continue;
		kvx_rail_connect(peer, net, &addr);
		kvx_net_put(net);
	}
	spin_lock(&peer->lock);
	for (address = peer->addresses; address < kvx_addresses_end(peer); address++) {
		if (!__kvx_address_is_due(peer, address))
			continue;
		if (!again || time_before(address->next, next))
			next = address->next;
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
	struct kvx_address *address;
	struct kvx_peer *peer;
	int b;

	mutex_lock(&kvx_peers_lock);
	hash_for_each(kvx_peers, b, peer, hash) {
		spin_lock(&peer->lock);
		for (address = peer->addresses; address < kvx_addresses_end(peer); address++)
			address->next = jiffies;
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

static bool __kvx_peer_is_in(struct kvx_peer *peer, const struct kvx_net *net)
{
	struct kvx_rail *rail;

	lockdep_assert_held(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link)
		if (rail->net == net)
			return true;
	return false;
}

static bool kvx_peer_is_in(struct kvx_peer *peer, const struct kvx_net *net)
{
	bool in;

	spin_lock(&peer->lock);
	in = __kvx_peer_is_in(peer, net);
	spin_unlock(&peer->lock);
	return in;
}

/* Its rails in a namespace are to end; if there are none, its addresses there are forgotten. */
static bool kvx_peer_leave(struct kvx_peer *peer, const struct kvx_net *net)
{
	struct kvx_address *address;
	struct kvx_rail *rail;
	bool in;

	spin_lock(&peer->lock);
	in = __kvx_peer_is_in(peer, net);
	list_for_each_entry(rail, &peer->rails, link)
		if (rail->net == net)
			kvx_rail_fail(rail, -ENETDOWN, KVXFER_REFUSAL_NONE);
	for (address = peer->addresses; !in && address < kvx_addresses_end(peer); address++)
		if (address->net == net)
			*address = (struct kvx_address){};
	spin_unlock(&peer->lock);
	return in;
}

/**
 * kvx_peers_leave() - nobody is in a network namespace any more
 * @net: which is closed, so that no rail is made in it
 *
 * When this returns there is no rail in it either, and no address of any peer.
 *
 * Context: process, may sleep.
 */
void kvx_peers_leave(const struct kvx_net *net)
{
	struct kvx_peer *peer, *in;
	int b;

	do {
		in = NULL;
		mutex_lock(&kvx_peers_lock);
		hash_for_each(kvx_peers, b, peer, hash) {
			if (!kvx_peer_leave(peer, net) || in)
				continue;
			kref_get(&peer->ref);
			in = peer;
		}
		mutex_unlock(&kvx_peers_lock);
		if (in) {
			wait_event(in->wait, !kvx_peer_is_in(in, net));
			kvx_peer_put(in);
		}
	} while (in);
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
	kvx_messages_gone(peer, error);
	kvx_watches_gone(peer, error);
	/* What a node did that is no more is over. */
	kvx_fences_gone(peer, error == -ESTALE);
	kvx_flows_kick(peer);
	wake_up_all(&peer->wait);
	kvx_tell_peer(peer, KVXFER_NL_EVENT_GONE);
	/* In lists it is not seen any more. */
	atomic_inc(&kvx_peers_seq);
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
 * @rail: the one by which it has
 *
 * Context: process, may sleep.
 */
void kvx_peers_supersede(const struct kvx_rail *rail)
{
	struct kvx_peer *peer, *old;
	struct kvx_address *address;
	int b;

	do {
		old = NULL;
		mutex_lock(&kvx_peers_lock);
		hash_for_each(kvx_peers, b, peer, hash) {
			if (old || peer == rail->peer)
				continue;
			spin_lock(&peer->lock);
			address = __kvx_peer_address(peer, rail->net, &rail->dst);
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
