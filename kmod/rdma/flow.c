// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flows: runs that go to or from a peer.
 *
 * What wants to be sent waits in the peer's list, one for each way. Whoever finds a lane with room
 * takes the first flow, fills the lane with a slice of it, and puts it back at the end: so a small
 * one does not wait for a large one. A flow that is taken is nobody else's. It has ended when
 * nothing of it is on its way and nothing is left, or it shall stop: only then is its transfer
 * told.
 */
#include <linux/slab.h>

#include "../kvx.h"
#include "../layouts.h"
#include "../peer.h"
#include "../pool.h"
#include "../remote.h"
#include "../xfer.h"
#include "flow.h"
#include "lane.h"
#include "rail.h"

/* What of a flow goes until it is another's turn. */
#define KVX_FLOW_SLICE		(256U << 10)
/* How long what is on its way may take when it is not wanted any more. */
#define KVX_FLOW_STUCK		(5 * HZ)
/*
 * The same when its deadline has come, or its agent is closing: twice that long it takes at most.
 */
#define KVX_FLOW_LATE		(2 * HZ / 5)

static void __kvx_flow_drop_redo(struct kvx_flow *flow)
{
	struct kvx_redo *redo, *next;

	list_for_each_entry_safe(redo, next, &flow->redo, link) {
		list_del(&redo->link);
		kfree(redo);
	}
}

/* It is to end as soon as nothing of it is on its way. */
static bool kvx_flow_stops(const struct kvx_flow *flow)
{
	return READ_ONCE(flow->job.stop) || READ_ONCE(flow->error);
}

static bool __kvx_flow_has_more(const struct kvx_flow *flow)
{
	lockdep_assert_held(&flow->peer->flow_lock);
	return !flow->exhausted || flow->rest.bytes || !list_empty(&flow->redo);
}

/* Something that it has written may be on its way still, by a rail that is no more. */
static bool __kvx_flow_is_fenced(const struct kvx_flow *flow)
{
	lockdep_assert_held(&flow->peer->flow_lock);
	return flow->fence > flow->peer->fence_quiet;
}

/* Is it over? Then it is the caller's to tell so, once, without the lock. */
static bool __kvx_flow_over(struct kvx_flow *flow)
{
	lockdep_assert_held(&flow->peer->flow_lock);
	if (!flow->running || flow->busy || flow->taken || __kvx_flow_is_fenced(flow))
		return false;
	if (!kvx_flow_stops(flow) && __kvx_flow_has_more(flow))
		return false;
	flow->unconfirmed |= flow->fence && flow->peer->fences_lost;
	/* One that is to stop is in a list still. */
	list_del_init(&flow->link);
	__kvx_flow_drop_redo(flow);
	flow->running = false;
	return true;
}

static void __kvx_flow_tell(struct kvx_flow *flow)
{
	if (flow->error)
		flow->job.fail(&flow->job, flow->error, flow->reason);
	flow->job.quiet(&flow->job);
}

static void kvx_flow_tell(struct kvx_flow *flow)
{
	cancel_delayed_work_sync(&flow->stuck);
	__kvx_flow_tell(flow);
}

/* Where it waits for its turn, unless it is over. */
static void __kvx_flow_queue(struct kvx_flow *flow)
{
	lockdep_assert_held(&flow->peer->flow_lock);
	if (!list_empty(&flow->link) || !flow->running || flow->taken)
		return;
	if (__kvx_flow_is_fenced(flow))
		list_add_tail(&flow->link, &flow->peer->fenced);
	else if (!kvx_flow_stops(flow))
		list_add_tail(&flow->link, &flow->peer->flows[flow->way]);
}

/**
 * kvx_flow_fence() - something that it was to write has been lost with a rail
 * @flow: the flow, which counts it as on its way still
 * @fence: the rail's number
 *
 * Context: process.
 */
void kvx_flow_fence(struct kvx_flow *flow, u64 fence)
{
	spin_lock(&flow->peer->flow_lock);
	flow->fence = max(flow->fence, fence);
	if (__kvx_flow_is_fenced(flow) && !list_empty(&flow->link))
		list_move_tail(&flow->link, &flow->peer->fenced);
	spin_unlock(&flow->peer->flow_lock);
}

/**
 * kvx_flow_next() - is there anything left to be sent?
 * @flow: taken
 *
 * Context: process.
 * Return: true when its @rest has bytes.
 */
bool kvx_flow_next(struct kvx_flow *flow)
{
	struct kvx_redo *redo;

	if (flow->rest.bytes)
		return true;
	spin_lock(&flow->peer->flow_lock);
	redo = list_first_entry_or_null(&flow->redo, struct kvx_redo, link);
	if (redo)
		list_del(&redo->link);
	spin_unlock(&flow->peer->flow_lock);
	if (redo) {
		flow->rest = redo->segment;
		kfree(redo);
		return true;
	}
	if (!flow->exhausted)
		flow->exhausted = !kvx_cursor_next(&flow->cursor, &flow->rest, U64_MAX);
	if (flow->exhausted)
		flow->rest.bytes = 0;
	return !flow->exhausted;
}

/**
 * kvx_flow_posted() - work requests of it are about to be posted
 * @flow: taken
 * @nr: how many
 * @rail: the number of the rail that they go by
 *
 * Context: process.
 */
void kvx_flow_posted(struct kvx_flow *flow, u32 nr, int rail)
{
	spin_lock(&flow->peer->flow_lock);
	flow->used |= BIT(rail);
	flow->busy += nr;
	flow->posted += nr;
	spin_unlock(&flow->peer->flow_lock);
}

/**
 * kvx_flow_retire() - work requests of it are not on their way any more
 * @flow: which may be no more when this returns
 * @nr: how many; 0 when only something is known to be wrong
 * @bytes: how many are where they should be
 * @redo: what is to be sent again, which is the flow's then; NULL for nothing
 * @error: what is wrong: a positive errno; or 0
 * @reason: &enum kvxfer_reason
 *
 * Context: process, may sleep.
 */
void kvx_flow_retire(struct kvx_flow *flow, u32 nr, u64 bytes, struct list_head *redo,
		     u32 error, u32 reason)
{
	struct kvx_peer *peer = flow->peer;
	bool over;

	spin_lock(&peer->flow_lock);
	flow->busy -= nr;
	flow->posted -= nr;
	flow->bytes += bytes;
	if (error && !flow->error) {
		WRITE_ONCE(flow->error, error);
		flow->reason = reason;
	}
	if (redo)
		list_splice_tail_init(redo, &flow->redo);
	over = nr && __kvx_flow_over(flow);
	if (!over && redo)
		__kvx_flow_queue(flow);
	spin_unlock(&peer->flow_lock);
	if (over)
		kvx_flow_tell(flow);
}

static struct kvx_flow *kvx_flow_take(struct kvx_peer *peer, enum kvx_way way, u32 *kicks)
{
	struct kvx_flow *flow;

	spin_lock(&peer->flow_lock);
	*kicks = peer->kicks;
	flow = list_first_entry_or_null(&peer->flows[way], struct kvx_flow, link);
	if (flow) {
		list_del_init(&flow->link);
		flow->taken = true;
	}
	spin_unlock(&peer->flow_lock);
	return flow;
}

/*
 * Put it where it belongs, after what @err says of why it did not get further. @kicks: how often
 * something had come when it was taken: what has come since it may have been waiting for. @claimed:
 * there was a lane for it, which is free again. Returns false when there is none for anything.
 */
static bool kvx_flow_give_back(struct kvx_flow *flow, int err, u32 kicks, bool claimed)
{
	struct kvx_peer *peer = flow->peer;
	bool over, prepare = false, again = true;

	spin_lock(&peer->flow_lock);
	flow->taken = false;
	peer->kicks += claimed;
	over = __kvx_flow_over(flow);
	if (!over && __kvx_flow_is_fenced(flow)) {
		__kvx_flow_queue(flow);
	} else if (!over && err == -ENOENT && !kvx_flow_stops(flow)) {
		/* Held by its own work until that has put it where it belongs. */
		flow->busy++;
		prepare = true;
	} else if (!over && err == -EAGAIN && kicks == peer->kicks && !kvx_flow_stops(flow)) {
		list_add_tail(&flow->link, &peer->parked);
	} else if (!over && err == -EBUSY && !kvx_flow_stops(flow)) {
		/* It is its turn still. A lane that got room meanwhile has left word. */
		list_add(&flow->link, &peer->flows[flow->way]);
		again = kicks != peer->kicks;
	} else if (!over && __kvx_flow_has_more(flow)) {
		__kvx_flow_queue(flow);
	}
	spin_unlock(&peer->flow_lock);
	if (prepare)
		queue_work(kvx_peer_wq, &flow->prepare);
	if (over)
		kvx_flow_tell(flow);
	return again;
}

/**
 * kvx_flows_pump() - fill lanes that have room with what waits
 * @peer: to which peer
 * @way: which way
 *
 * Context: process, may sleep.
 */
void kvx_flows_pump(struct kvx_peer *peer, enum kvx_way way)
{
	struct kvx_lane *lane;
	struct kvx_flow *flow;
	bool claimed;
	u32 kicks;
	int err;

	while ((flow = kvx_flow_take(peer, way, &kicks))) {
		lane = kvx_lane_claim(peer, flow);
		claimed = !IS_ERR(lane);
		err = PTR_ERR_OR_ZERO(lane);
		if (claimed) {
			err = kvx_lane_fill(lane, flow, KVX_FLOW_SLICE);
			/* Its device and its rail are known while it is claimed. */
			kvx_lane_unclaim(lane);
		}
		if (!kvx_flow_give_back(flow, err, kicks, claimed))
			return;
		cond_resched();
	}
}

/**
 * kvx_flows_room() - a lane has got room
 * @peer: to which peer
 * @way: which way
 *
 * Context: process, may sleep.
 */
void kvx_flows_room(struct kvx_peer *peer, enum kvx_way way)
{
	spin_lock(&peer->flow_lock);
	peer->kicks++;
	spin_unlock(&peer->flow_lock);
	kvx_flows_pump(peer, way);
}

/**
 * kvx_flows_kick() - something has come that flows may wait for
 * @peer: to which peer
 *
 * Context: process, may sleep.
 */
void kvx_flows_kick(struct kvx_peer *peer)
{
	struct kvx_flow *flow, *next;

	spin_lock(&peer->flow_lock);
	peer->kicks++;
	list_for_each_entry_safe(flow, next, &peer->parked, link)
		list_move_tail(&flow->link, &peer->flows[flow->way]);
	spin_unlock(&peer->flow_lock);
	kvx_flows_pump(peer, KVX_WAY_READ);
	kvx_flows_pump(peer, KVX_WAY_WRITE);
}

/**
 * kvx_flows_unfence() - rails are known to be over
 * @peer: with whom
 *
 * Context: process, may sleep.
 */
void kvx_flows_unfence(struct kvx_peer *peer)
{
	struct kvx_flow *flow, *next;
	LIST_HEAD(over);

	spin_lock(&peer->flow_lock);
	list_for_each_entry_safe(flow, next, &peer->fenced, link) {
		if (__kvx_flow_is_fenced(flow))
			continue;
		list_del_init(&flow->link);
		if (__kvx_flow_over(flow))
			list_add_tail(&flow->link, &over);
		else
			__kvx_flow_queue(flow);
	}
	spin_unlock(&peer->flow_lock);
	while ((flow = list_first_entry_or_null(&over, struct kvx_flow, link))) {
		list_del_init(&flow->link);
		kvx_flow_tell(flow);
	}
	kvx_flows_pump(peer, KVX_WAY_WRITE);
}

/*
 * --- reaching memory ----------------------------------------------------------------------------
 */

/* A pool by a device: as the way of the flow needs it. */
static int kvx_flow_reach(struct kvx_flow *flow, struct kvx_pool *pool, struct kvx_rail *rail,
			  struct kvx_dev *dev)
{
	const struct kvx_range whole = { .pool = pool, .bytes = pool->bytes };
	struct kvx_map *map = kvx_map_get(pool, dev);
	struct kvx_window *window;

	if (IS_ERR(map))
		return PTR_ERR(map);
	if (!dev->iwarp || flow->way == KVX_WAY_WRITE || READ_ONCE(map->window))
		return 0;
	mutex_lock(&map->lock);
	window = NULL;
	if (!map->window)
		window = kvx_window_make(dev, &rail->links[0], &whole, 1,
					 IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE, NULL);
	if (!IS_ERR_OR_NULL(window))
		smp_store_release(&map->window, window); /* for kvx_lane_local() */
	mutex_unlock(&map->lock);
	return PTR_ERR_OR_ZERO(window);
}

/* Everything that it goes through, by every device that it may go by. */
static int kvx_flow_reach_all(struct kvx_flow *flow)
{
	struct kvx_rail *rail = NULL;
	struct kvx_dev *dev;
	int err = 0;
	u32 i;

	while (!err && (rail = kvx_peer_rail_after(flow->peer, rail))) {
		dev = kvx_rail_use_dev(rail);
		for (i = 0; dev && i < flow->local->nr_pools && !err; i++)
			err = kvx_flow_reach(flow, flow->local->pools[i], rail, dev);
		if (dev)
			kvx_dev_unuse(dev);
		/* What a connection that has failed could not do another may. */
		if (err && READ_ONCE(rail->failed))
			err = 0;
	}
	if (err && rail)
		kvx_rail_put(rail);
	return err;
}

static void kvx_flow_prepare(struct work_struct *work)
{
	struct kvx_flow *flow = container_of(work, struct kvx_flow, prepare);
	struct kvx_peer *peer = flow->peer;
	const int err = kvx_flow_reach_all(flow);
	bool over;

	kref_get(&peer->ref);
	spin_lock(&peer->flow_lock);
	flow->busy--;
	if (err && !flow->error) {
		flow->error = -err;
		flow->reason = KVXFER_REASON_XFER_REACH;
	}
	over = __kvx_flow_over(flow);
	if (!over)
		__kvx_flow_queue(flow);
	spin_unlock(&peer->flow_lock);
	if (over)
		kvx_flow_tell(flow);
	kvx_flows_kick(peer);
	kvx_peer_put(peer);
}

/*
 * --- for transfers ------------------------------------------------------------------------------
 */

static void kvx_flow_begin(struct kvx_job *job, const struct kvx_shape *shape)
{
	struct kvx_flow *flow = container_of(job, struct kvx_flow, job);
	struct kvx_peer *peer = flow->peer;

	kvx_cursor_init(&flow->cursor, shape, 0, 1);
	flow->rest = (struct kvx_segment){};
	kref_get(&peer->ref);
	spin_lock(&peer->flow_lock);
	flow->busy = 1;
	flow->exhausted = false;
	flow->bytes = 0;
	flow->used = 0;
	flow->fence = 0;
	flow->unconfirmed = false;
	flow->hurry = false;
	flow->cut = false;
	flow->error = 0;
	flow->reason = 0;
	flow->running = true;
	spin_unlock(&peer->flow_lock);
	kvx_flow_prepare(&flow->prepare);
	kvx_peer_put(peer);
}

/*
 * A peer may keep what is on its way from being done, and be alive: then the connection goes. And
 * it may not be there to say that what was lost is over: then nobody knows.
 */
static void kvx_flow_stuck(struct work_struct *work)
{
	struct kvx_flow *flow = container_of(to_delayed_work(work), struct kvx_flow, stuck);
	struct kvx_peer *peer = flow->peer;
	bool cut = false, over = false;

	kref_get(&peer->ref);
	spin_lock(&peer->flow_lock);
	/* The flow may have ended, or have been posted again: then there is nothing to stop. */
	if (flow->running && kvx_flow_stops(flow)) {
		if (flow->posted) {
			/* Once: those that were made since are not to blame. */
			cut = !flow->cut;
			flow->cut = true;
		} else if (__kvx_flow_is_fenced(flow)) {
			flow->unconfirmed = true;
			flow->fence = 0;
			over = __kvx_flow_over(flow);
		}
		/* What is only being prepared is no peer's fault. */
		if (!over)
			queue_delayed_work(kvx_peer_wq, &flow->stuck,
					   flow->hurry ? KVX_FLOW_LATE : KVX_FLOW_STUCK);
	}
	spin_unlock(&peer->flow_lock);
	if (cut)
		kvx_peer_fail_rails(peer, NULL, -ETIMEDOUT);
	/* Whoever else tells it waits for this; but it may have been stopped again meanwhile. */
	if (over) {
		cancel_delayed_work(&flow->stuck);
		__kvx_flow_tell(flow);
	}
	kvx_peer_put(peer);
}

/* Its end is awaited: what is on its way loses its connections soon. */
static void __kvx_flow_hurry(struct kvx_flow *flow)
{
	lockdep_assert_held(&flow->peer->flow_lock);
	if (flow->hurry)
		return;
	flow->hurry = true;
	mod_delayed_work(kvx_peer_wq, &flow->stuck, KVX_FLOW_LATE);
}

static void kvx_flow_stop(struct kvx_job *job)
{
	struct kvx_flow *flow = container_of(job, struct kvx_flow, job);
	const bool late = ktime_get_ns() >= READ_ONCE(job->deadline_ns);
	bool over, stops;

	spin_lock(&flow->peer->flow_lock);
	over = __kvx_flow_over(flow);
	/* Nobody queues it any more once it does not run. */
	stops = !over && flow->running && kvx_flow_stops(flow);
	if (stops && late)
		__kvx_flow_hurry(flow);
	else if (stops)
		queue_delayed_work(kvx_peer_wq, &flow->stuck, KVX_FLOW_STUCK);
	spin_unlock(&flow->peer->flow_lock);
	if (over)
		kvx_flow_tell(flow);
}

static void kvx_flow_sever(struct kvx_job *job)
{
	struct kvx_flow *flow = container_of(job, struct kvx_flow, job);
	bool cut = false;

	spin_lock(&flow->peer->flow_lock);
	if (flow->running && kvx_flow_stops(flow)) {
		flow->hurry = true;
		mod_delayed_work(kvx_peer_wq, &flow->stuck, KVX_FLOW_LATE);
		cut = flow->posted && !flow->cut;
		flow->cut |= cut;
	}
	spin_unlock(&flow->peer->flow_lock);
	if (cut)
		kvx_peer_fail_rails(flow->peer, NULL, -ETIMEDOUT);
}

static u64 kvx_flow_bytes(struct kvx_job *job)
{
	return container_of(job, struct kvx_flow, job)->bytes;
}

static u32 kvx_flow_flags(struct kvx_job *job)
{
	return container_of(job, struct kvx_flow, job)->unconfirmed ?
	       KVXFER_COMPLETION_UNCONFIRMED : 0;
}

static u32 kvx_flow_rails(struct kvx_job *job)
{
	return container_of(job, struct kvx_flow, job)->used;
}

const struct kvx_transport_ops kvx_flow_ops = {
	.begin	= kvx_flow_begin,
	.stop	= kvx_flow_stop,
	.sever	= kvx_flow_sever,
	.bytes	= kvx_flow_bytes,
	.rails	= kvx_flow_rails,
	.flags	= kvx_flow_flags,
};

/* The NUMA node that all of a layout's memory is on; or none. */
static int kvx_layout_node(const struct kvx_registered *local)
{
	int node = NUMA_NO_NODE, n;
	u32 i;

	for (i = 0; i < local->nr_pools; i++) {
		const struct kvx_pool *pool = local->pools[i];

		for (n = 0; n < KVXFER_NODES; n++)
			if (pool->pages.node_bytes[n] == pool->bytes)
				break;
		if (n == KVXFER_NODES || (i && n != node))
			return NUMA_NO_NODE;
		node = n;
	}
	return node;
}

/**
 * kvx_flow_new() - a run to or from a peer
 * @peer: the peer
 * @local: our layout; the caller holds it for as long as the flow
 * @write: to the peer
 * @rails: by which rails only; 0 for the nearest
 *
 * Context: process, may sleep.
 * Return: the flow, or NULL.
 */
struct kvx_flow *kvx_flow_new(struct kvx_peer *peer, struct kvx_registered *local, bool write,
			      u32 rails)
{
	struct kvx_flow *flow = kzalloc(sizeof(*flow), GFP_KERNEL_ACCOUNT);

	if (!flow)
		return NULL;
	kref_get(&peer->ref);
	flow->peer = peer;
	/* Whatever becomes of the import that it came from. */
	kvx_peer_want_too(flow->peer);
	flow->local = local;
	flow->rails = rails;
	flow->node = kvx_layout_node(local);
	flow->way = write ? KVX_WAY_WRITE : KVX_WAY_READ;
	INIT_LIST_HEAD(&flow->link);
	INIT_LIST_HEAD(&flow->redo);
	INIT_WORK(&flow->prepare, kvx_flow_prepare);
	INIT_DELAYED_WORK(&flow->stuck, kvx_flow_stuck);
	return flow;
}

/**
 * kvx_flow_aim() - to or from which layout it goes
 * @flow: which does not run
 * @remote: the layout; the caller holds it for as long as the flow runs
 *
 * Context: any.
 */
void kvx_flow_aim(struct kvx_flow *flow, struct kvx_remote *remote)
{
	flow->remote = remote;
}

/**
 * kvx_flow_job() - a flow, as a transfer knows it
 * @flow: the flow
 *
 * Context: any.
 * Return: its job.
 */
struct kvx_job *kvx_flow_job(struct kvx_flow *flow)
{
	return &flow->job;
}

/**
 * kvx_flow_free() - done with a flow
 * @flow: which does not run; may be NULL
 *
 * Context: process.
 */
void kvx_flow_free(struct kvx_flow *flow)
{
	if (!flow)
		return;
	kvx_peer_unwant(flow->peer);
	kvx_peer_put(flow->peer);
	kfree(flow);
}
