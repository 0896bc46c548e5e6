// SPDX-License-Identifier: GPL-2.0-only
/*
 * Agents that another node waits for.
 *
 * That an agent of this node goes is seen by whoever waits for it. For one of a peer's the peer is
 * asked, once, to say when it goes; it does so at once when the agent is not there.
 */
#include <linux/slab.h>

#include "kvx.h"
#include "message_run.h"
#include "peer.h"
#include "watch.h"

/**
 * struct kvx_watch - an agent of a peer's that we are told of when it goes
 * @hash: among the peer's, by its epoch
 * @worker_id: its number
 * @epoch: its epoch
 * @awaited: who waits for it
 */
struct kvx_watch {
	struct hlist_node hash;
	u64 worker_id;
	u64 epoch;
	struct list_head awaited;
};

/**
 * struct kvx_watcher - a peer that is told when an agent of ours goes
 * @of_agent: among the agent's
 * @of_peer: among the peer's
 * @peer: the peer, which drops it before it goes
 * @left: what it is told
 */
struct kvx_watcher {
	struct list_head of_agent;
	struct list_head of_peer;
	struct kvx_peer *peer;
	struct kvx_msg *left;
};

DEFINE_SPINLOCK(kvx_watch_lock);

/*
 * --- of peers -----------------------------------------------------------------------------------
 */

static struct kvx_watch *__kvx_watch_find(struct kvx_peer *peer, u64 worker_id, u64 epoch)
{
	struct kvx_watch *watch;

	lockdep_assert_held(&kvx_watch_lock);
	hash_for_each_possible(peer->watches, watch, hash, epoch)
		if (watch->epoch == epoch && watch->worker_id == worker_id)
			return watch;
	return NULL;
}

/* Wait for an agent that is watched, or that @fresh is for. Returns -ENOENT when it is not. */
static int __kvx_watch_join(struct kvx_peer *peer, u64 worker_id, u64 epoch,
			    struct list_head *await, struct kvx_watch *fresh)
{
	struct kvx_watch *watch = __kvx_watch_find(peer, worker_id, epoch);

	/* Either we see that it is gone, or what it has is dropped after this. */
	if (READ_ONCE(peer->gone))
		return -ESTALE;
	if (!watch && fresh) {
		hash_add(peer->watches, &fresh->hash, epoch);
		watch = fresh;
	}
	if (!watch)
		return -ENOENT;
	list_add_tail(await, &watch->awaited);
	return 0;
}

/**
 * kvx_watch() - wait for an agent of a peer's, which is told of when it goes
 * @peer: the peer
 * @worker_id: which agent
 * @epoch: its epoch
 * @await: who waits, for kvx_await_next(); under kvx_watch_lock
 *
 * Context: process, may sleep.
 * Return: 0, -ENOMEM, or -ESTALE when the peer itself has gone.
 */
int kvx_watch(struct kvx_peer *peer, u64 worker_id, u64 epoch, struct list_head *await)
{
	struct kvx_watch *watch;
	struct kvx_msg *msg;
	bool first = false;
	int err;

	spin_lock(&kvx_watch_lock);
	err = __kvx_watch_join(peer, worker_id, epoch, await, NULL);
	spin_unlock(&kvx_watch_lock);
	if (err != -ENOENT)
		return err;
	watch = kmalloc(sizeof(*watch), GFP_KERNEL_ACCOUNT);
	msg = kvx_msg_new(KVX_FRAME_WATCH, sizeof(msg->agent));
	err = -ENOMEM;
	if (!watch || !msg)
		goto out_free;
	INIT_LIST_HEAD(&watch->awaited);
	watch->worker_id = worker_id;
	watch->epoch = epoch;
	msg->agent.worker_id = cpu_to_le64(worker_id);
	msg->agent.epoch = cpu_to_le64(epoch);
	spin_lock(&kvx_watch_lock);
	err = __kvx_watch_join(peer, worker_id, epoch, await, watch);
	first = !err && __kvx_watch_find(peer, worker_id, epoch) == watch;
	spin_unlock(&kvx_watch_lock);
	if (first) {
		kvx_peer_send(peer, msg);
		return 0;
	}
out_free:
	kfree(watch);
	kvx_msg_free(msg);
	return err;
}

/* Nobody finds it any more: who waits by it fails. */
static void kvx_watch_end(struct kvx_watch *watch, u32 error)
{
	while (kvx_await_next(&watch->awaited, error, KVXFER_REASON_PEER_GONE))
		cond_resched();
	kfree(watch);
}

/**
 * kvx_watch_left() - a peer says that an agent of its has gone
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: true.
 */
bool kvx_watch_left(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_agent *which = frame;
	const u64 worker_id = le64_to_cpu(which->worker_id), epoch = le64_to_cpu(which->epoch);
	struct kvx_watch *watch;

	spin_lock(&kvx_watch_lock);
	watch = __kvx_watch_find(peer, worker_id, epoch);
	if (watch)
		hash_del(&watch->hash);
	spin_unlock(&kvx_watch_lock);
	/* Whoever begins to wait for it from now on has it asked for again. */
	if (watch)
		kvx_watch_end(watch, ESTALE);
	return true;
}

/*
 * --- for peers ----------------------------------------------------------------------------------
 */

static void __kvx_watcher_unlink(struct kvx_watcher *watcher)
{
	lockdep_assert_held(&kvx_watch_lock);
	list_del(&watcher->of_agent);
	list_del(&watcher->of_peer);
}

static void kvx_watcher_free(struct kvx_watcher *watcher)
{
	if (!watcher)
		return;
	kvx_msg_free(watcher->left);
	kfree(watcher);
}

static bool __kvx_watcher_is_there(const struct kvx_agent *agent, const struct kvx_peer *peer)
{
	struct kvx_watcher *watcher;

	lockdep_assert_held(&kvx_watch_lock);
	list_for_each_entry(watcher, &agent->messages.watchers, of_agent)
		if (watcher->peer == peer)
			return true;
	return false;
}

/* Have a peer told when an agent goes. Returns 0, -ENOMEM, or -ESTALE when it has gone. */
static int kvx_watcher_add(struct kvx_agent *agent, struct kvx_peer *peer,
			   const struct kvx_wire_agent *which)
{
	struct kvx_watcher *watcher = kmalloc(sizeof(*watcher), GFP_KERNEL);
	struct kvx_msg *left = kvx_msg_new(KVX_FRAME_LEFT, sizeof(left->agent));
	int err;

	if (!watcher || !left) {
		kfree(watcher);
		kvx_msg_free(left);
		return -ENOMEM;
	}
	left->agent.worker_id = which->worker_id;
	left->agent.epoch = which->epoch;
	watcher->peer = peer;
	watcher->left = left;
	spin_lock(&kvx_watch_lock);
	/* Either we see that it goes, or who tells the others finds this one. */
	err = READ_ONCE(agent->messages.closed) ? -ESTALE : 0;
	if (!err && !READ_ONCE(peer->gone) && !__kvx_watcher_is_there(agent, peer)) {
		list_add_tail(&watcher->of_agent, &agent->messages.watchers);
		list_add_tail(&watcher->of_peer, &peer->watchers);
		watcher = NULL;
	}
	spin_unlock(&kvx_watch_lock);
	kvx_watcher_free(watcher);
	return err;
}

/**
 * kvx_watch_came() - a peer wants to be told when an agent goes
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: 0, or -ENOMEM when it has not been taken.
 */
int kvx_watch_came(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_agent *which = frame;
	struct kvx_agent *agent = kvx_agent_find(le64_to_cpu(which->worker_id));
	struct kvx_msg *msg;
	int err = -ESTALE;

	if (agent && agent->epoch == le64_to_cpu(which->epoch))
		err = kvx_watcher_add(agent, peer, which);
	if (agent)
		kvx_agent_put(agent);
	if (err != -ESTALE)
		return err;
	msg = kvx_peer_answer(peer, KVX_FRAME_LEFT, sizeof(msg->agent));
	msg->agent.worker_id = which->worker_id;
	msg->agent.epoch = which->epoch;
	kvx_peer_send(peer, msg);
	return 0;
}

/**
 * kvx_watches_tell() - an agent goes: tell the peers that want to know
 * @agent: the agent, to which nobody sends anything any more, and which sends nothing
 *
 * Context: process, may sleep.
 */
void kvx_watches_tell(struct kvx_agent *agent)
{
	struct kvx_watcher *watcher;
	struct kvx_peer *peer;

	for (;;) {
		spin_lock(&kvx_watch_lock);
		watcher = list_first_entry_or_null(&agent->messages.watchers, struct kvx_watcher,
						   of_agent);
		if (watcher) {
			__kvx_watcher_unlink(watcher);
			peer = watcher->peer;
			kref_get(&peer->ref);
		}
		spin_unlock(&kvx_watch_lock);
		if (!watcher)
			return;
		kvx_peer_send(peer, watcher->left);
		kvx_peer_put(peer);
		kfree(watcher);
	}
}

static struct kvx_watch *kvx_watch_next(struct kvx_peer *peer)
{
	struct kvx_watch *watch;
	int bucket;

	spin_lock(&kvx_watch_lock);
	hash_for_each(peer->watches, bucket, watch, hash) {
		hash_del(&watch->hash);
		spin_unlock(&kvx_watch_lock);
		return watch;
	}
	spin_unlock(&kvx_watch_lock);
	return NULL;
}

static struct kvx_watcher *kvx_watcher_next(struct kvx_peer *peer)
{
	struct kvx_watcher *watcher;

	spin_lock(&kvx_watch_lock);
	watcher = list_first_entry_or_null(&peer->watchers, struct kvx_watcher, of_peer);
	if (watcher)
		__kvx_watcher_unlink(watcher);
	spin_unlock(&kvx_watch_lock);
	return watcher;
}

/**
 * kvx_watches_gone() - a peer will not come back: who waits for its agents fails
 * @peer: the peer
 * @error: why: a negative errno
 *
 * Context: process, may sleep.
 */
void kvx_watches_gone(struct kvx_peer *peer, int error)
{
	struct kvx_watcher *watcher;
	struct kvx_watch *watch;

	while ((watch = kvx_watch_next(peer)))
		kvx_watch_end(watch, -error);
	while ((watcher = kvx_watcher_next(peer))) {
		kvx_watcher_free(watcher);
		cond_resched();
	}
}
