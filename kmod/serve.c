// SPDX-License-Identifier: GPL-2.0-only
/*
 * What peers have of our agents' layouts.
 *
 * A peer that presents a grant's key is told the layout: where its blocks are in *ranges*, which
 * are the pages that the granted blocks lie in, and no address. For a device by which it wants to
 * reach them it is given keys: a *window*, made once for the peer, the grant and the device. Who
 * has been served is inside of the gates of the layout and of the grant, so that neither is quiet
 * before it has been cut off: the windows are taken away, from then on the device refuses, and the
 * peer is told.
 */
#include <linux/errno.h>
#include <linux/ktime.h>
#include <linux/slab.h>

#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "message.h"
#include "peer.h"
#include "pool.h"
#include "rdma/rail.h"
#include "serve.h"
#include "share.h"

/* What a peer may have, and may have asked of each and not been answered. */
#define KVX_SERVED_MAX		16384
#define KVX_SERVED_WORKS_MAX	16

/* Who has what is under this; the windows are not. */
static DEFINE_MUTEX(kvx_serve_lock);

/**
 * struct kvx_hold - the windows by which a peer reaches a grant, however often it has it
 * @ref: of those that it is for
 * @link: in the share's list; under kvx_serve_lock
 * @nr: how many of those are inside; under kvx_serve_lock
 * @peer: who, who is kept by those
 * @lock: for @windows; held while a device makes keys
 * @windows: one for each device
 */
struct kvx_hold {
	struct kref ref;
	struct list_head link;
	u32 nr;
	struct kvx_peer *peer;
	struct mutex lock;		/* see above */
	struct list_head windows;
};

/**
 * struct kvx_served - a layout that a peer has
 * @ref: of the table and the list, and of whoever works for it
 * @inside: it is in there, and inside of the gates; under kvx_serve_lock
 * @link: in the share's list; under kvx_serve_lock
 * @peer: who, with a reference
 * @id: by which the peer speaks of it
 * @grant: what, with a reference
 * @works: how much it has asked for that is not done
 * @hold: how it is reached; set before it is inside
 * @revoked: by which the peer will be told that it cannot have it any more
 * @detach: what is done when it does not want it any more
 * @told: the devices for which it has been told keys that work; under the lock of @hold
 */
struct kvx_served {
	struct kref ref;
	bool inside;
	struct list_head link;
	struct kvx_peer *peer;
	u32 id;
	struct kvx_grant *grant;
	atomic_t works;
	struct kvx_hold *hold;
	struct kvx_msg *revoked;
	struct work_struct detach;
	struct xarray told;
};

/* What is asked for, with the answer when there is nothing; or a @key that was ended. */
struct kvx_serve_work {
	struct work_struct work;
	struct kvx_served *served;
	struct kvx_msg *none;
	u32 device;
	u32 key;
};

/*
 * --- who has what -------------------------------------------------------------------------------
 */

static void kvx_hold_free(struct kref *ref)
{
	kfree(container_of(ref, struct kvx_hold, ref));
}

/* That of a peer; it is made if there is none, and is in the list when the first is inside. */
static struct kvx_hold *__kvx_hold_get(struct kvx_share *share, struct kvx_peer *peer)
{
	struct kvx_hold *hold;

	lockdep_assert_held(&kvx_serve_lock);
	list_for_each_entry(hold, &share->holds, link) {
		if (hold->peer != peer)
			continue;
		kref_get(&hold->ref);
		return hold;
	}
	hold = kzalloc(sizeof(*hold), GFP_KERNEL_ACCOUNT);
	if (!hold)
		return NULL;
	kref_init(&hold->ref);
	INIT_LIST_HEAD(&hold->link);
	hold->peer = peer;
	mutex_init(&hold->lock);
	INIT_LIST_HEAD(&hold->windows);
	return hold;
}

/* If nobody has it any more. Who makes a window for it has done so, or sees that it is out. */
static void kvx_hold_drop(struct kvx_hold *hold)
{
	struct kvx_window *window, *next;

	/* From 0 on it stays so. */
	if (READ_ONCE(hold->nr))
		return;
	mutex_lock(&hold->lock);
	list_for_each_entry_safe(window, next, &hold->windows, of_hold) {
		list_del(&window->of_hold);
		kvx_window_free(window);
	}
	mutex_unlock(&hold->lock);
}

static void kvx_served_free(struct kref *ref)
{
	struct kvx_served *served = container_of(ref, struct kvx_served, ref);

	kvx_grant_put(served->grant);
	kvx_peer_put(served->peer);
	if (served->hold)
		kref_put(&served->hold->ref, kvx_hold_free);
	kvx_msg_free(served->revoked);
	xa_destroy(&served->told);
	kfree(served);
}

static void kvx_served_put(struct kvx_served *served)
{
	kref_put(&served->ref, kvx_served_free);
}

static struct kvx_served *kvx_served_get(struct kvx_peer *peer, u32 id)
{
	struct kvx_served *served;

	xa_lock(&peer->served);
	served = xa_load(&peer->served, id);
	if (served)
		kref_get(&served->ref);
	xa_unlock(&peer->served);
	return served;
}

/* It has been taken out of table and list: it is not inside any more. */
static void kvx_served_leave(struct kvx_served *served)
{
	kvx_gate_leave(&served->grant->gate);
	kvx_gate_leave(&served->grant->reg->gate);
	kvx_served_put(served);
}

/* Take it out. Returns false when somebody else has. */
static bool __kvx_served_out(struct kvx_served *served)
{
	lockdep_assert_held(&kvx_serve_lock);
	/* Not by the link: who has taken it out may have put it into a list of its own. */
	if (!served->inside)
		return false;
	served->inside = false;
	list_del_init(&served->link);
	xa_erase(&served->peer->served, served->id);
	served->peer->nr_served--;
	/* Who comes from now on has windows of its own. */
	WRITE_ONCE(served->hold->nr, served->hold->nr - 1);
	if (!served->hold->nr)
		list_del_init(&served->hold->link);
	return true;
}

/* One that a peer does not want, or will not come back for. */
static void kvx_served_end(struct kvx_served *served)
{
	bool ours;

	mutex_lock(&kvx_serve_lock);
	ours = __kvx_served_out(served);
	mutex_unlock(&kvx_serve_lock);
	if (!ours)
		return;
	kvx_hold_drop(served->hold);
	kvx_served_leave(served);
}

/* Nobody has it any more. Unless it may be @used still, nobody is told. */
static void __kvx_serve_cut(struct kvx_share *share, bool used)
{
	struct kvx_served *served, *next;
	LIST_HEAD(out);

	mutex_lock(&kvx_serve_lock);
	WRITE_ONCE(share->cut, true);
	list_for_each_entry_safe(served, next, &share->served, link) {
		__kvx_served_out(served);
		list_add(&served->link, &out);
	}
	mutex_unlock(&kvx_serve_lock);
	list_for_each_entry(served, &out, link)
		kvx_hold_drop(served->hold);
	if (used)
		list_for_each_entry(served, &out, link)
			kvx_peer_end_sending(served->peer);
	list_for_each_entry_safe(served, next, &out, link) {
		/* Who takes it out, and nobody else, says so. */
		if (used) {
			kvx_peer_send(served->peer, served->revoked);
			served->revoked = NULL;
		}
		kvx_served_leave(served);
	}
}

static void kvx_share_expire(struct work_struct *work)
{
	struct kvx_share *share = container_of(to_delayed_work(work), struct kvx_share, expire);
	const u64 now = ktime_get_ns(), then = share->grant->expires_ns;

	if (now < then && !READ_ONCE(share->cut)) {
		if (!queue_delayed_work(kvx_peer_wq, &share->expire,
					min_t(u64, nsecs_to_jiffies64(then - now) + 1, 3600 * HZ)))
			kvx_grant_put(share->grant);
		return;
	}
	__kvx_serve_cut(share, true);
	kvx_grant_put(share->grant);
}

/**
 * kvx_serve_cut() - nobody has a grant any more
 * @grant: whose gate, or whose layout's, is closed
 * @used: it may be used still; else whoever had it has said that it does not use it any more
 *
 * When this returns no device lets anybody in by it.
 *
 * Context: process, may sleep.
 */
void kvx_serve_cut(struct kvx_grant *grant, bool used)
{
	struct kvx_share *share;

	/* Who was let in before the gate was closed has made it, or is no more. */
	mutex_lock(&kvx_serve_lock);
	share = grant->share;
	mutex_unlock(&kvx_serve_lock);
	if (!share)
		return;
	__kvx_serve_cut(share, used);
	if (cancel_delayed_work_sync(&share->expire))
		kvx_grant_put(grant);
}

/**
 * kvx_serves_gone() - a peer will not come back
 * @peer: the peer
 *
 * Context: process, may sleep.
 */
void kvx_serves_gone(struct kvx_peer *peer)
{
	struct kvx_served *served;
	unsigned long id;

	xa_for_each(&peer->served, id, served) {
		served = kvx_served_get(peer, id);
		if (!served)
			continue;
		kvx_served_end(served);
		kvx_served_put(served);
		cond_resched();
	}
}

/*
 * --- being asked --------------------------------------------------------------------------------
 */

/* Which grant is asked for; with a reference. */
static struct kvx_grant *kvx_serve_find(const struct kvx_wire_attach *ask, u32 *reason)
{
	struct kvx_agent *agent = kvx_agent_find(le64_to_cpu(ask->worker_id));
	struct kvx_grant *grant = NULL;
	struct kvx_registered *reg;
	int err = -ESTALE;

	*reason = KVXFER_REASON_PEER_GONE;
	if (!agent)
		return ERR_PTR(err);
	*reason = KVXFER_REASON_PEER_EPOCH;
	if (agent->epoch != le64_to_cpu(ask->epoch))
		goto out_put;
	err = -ENOENT;
	*reason = KVXFER_REASON_PEER_LAYOUT;
	reg = kvx_layout_get(agent, le32_to_cpu(ask->layout));
	if (!reg)
		goto out_put;
	err = -EACCES;
	*reason = KVXFER_REASON_GRANT_KEY;
	grant = kvx_grant_find(reg, ask->key);
	if (grant && ktime_get_ns() >= grant->expires_ns) {
		err = -EKEYEXPIRED;
		*reason = KVXFER_REASON_GRANT_EXPIRED;
		kvx_grant_put(grant);
		grant = NULL;
	} else if (grant && reg->dmabufs) {
		err = -EOPNOTSUPP;
		*reason = KVXFER_REASON_POOL_KIND;
		kvx_grant_put(grant);
		grant = NULL;
	}
	kvx_layout_put(reg);
out_put:
	kvx_agent_put(agent);
	return grant ?: ERR_PTR(err);
}

/* Let the peer in. */
static int __kvx_serve_enter(struct kvx_served *served)
{
	struct kvx_grant *grant = served->grant;
	int err;

	lockdep_assert_held(&kvx_serve_lock);
	if (!kvx_gate_enter(&grant->reg->gate))
		return -ESTALE;
	err = -ESTALE;
	if (!kvx_gate_enter(&grant->gate))
		goto err_leave_layout;
	err = -ENOMEM;
	if (!grant->share) {
		grant->share = kvx_share_new(grant, kvx_share_expire);
		if (!grant->share)
			goto err_leave;
		if (grant->expires_ns != U64_MAX) {
			kref_get(&grant->ref);
			queue_delayed_work(kvx_peer_wq, &grant->share->expire, 0);
		}
	}
	err = -ESTALE;
	if (grant->share->cut)
		goto err_leave;
	err = -ENOSPC;
	if (served->peer->nr_served >= KVX_SERVED_MAX)
		goto err_leave;
	err = -ENOMEM;
	served->hold = __kvx_hold_get(grant->share, served->peer);
	if (!served->hold)
		goto err_leave;
	err = xa_insert(&served->peer->served, served->id, served, GFP_KERNEL);
	if (err)
		goto err_leave;
	err = -ESHUTDOWN;
	/* Either we see that it is gone, or who takes away what it has sees this. */
	if (READ_ONCE(served->peer->gone)) {
		xa_erase(&served->peer->served, served->id);
		goto err_leave;
	}
	served->peer->nr_served++;
	served->inside = true;
	list_add(&served->link, &grant->share->served);
	if (!served->hold->nr++)
		list_add(&served->hold->link, &grant->share->holds);
	return 0;

err_leave:
	kvx_gate_leave(&grant->gate);
err_leave_layout:
	kvx_gate_leave(&grant->reg->gate);
	return err;
}

static void kvx_serve_tell(struct kvx_peer *peer, const struct kvx_wire_attach *ask, int err,
			   u32 reason)
{
	struct kvx_msg *msg = kvx_peer_answer(peer, KVX_FRAME_ATTACHED, sizeof(msg->attached));

	msg->attached.id = ask->id;
	msg->attached.error = cpu_to_le32(-err);
	msg->attached.reason = cpu_to_le32(reason);
	kvx_peer_send(peer, msg);
}

static bool kvx_serve_make_table(struct list_head *msgs, u32 id, u32 table, const u64 *words,
				 u32 nr, u32 each)
{
	const u32 most = KVX_TABLE_WORDS / each;
	struct kvx_msg *msg;
	u32 first, part, i;

	for (first = 0; first < nr; first += part) {
		part = min(nr - first, most);
		msg = kvx_msg_new(KVX_FRAME_TABLE, struct_size(&msg->table, words, part * each));
		if (!msg)
			return false;
		msg->table.id = cpu_to_le32(id);
		msg->table.table = cpu_to_le32(table);
		msg->table.first = cpu_to_le32(first);
		msg->table.nr = cpu_to_le32(part);
		for (i = 0; i < part * each; i++)
			msg->table.words[i] = cpu_to_le64(words[first * each + i]);
		list_add_tail(&msg->link, msgs);
	}
	return true;
}

/* All that there is to say. Returns false when there is no memory for it, and nothing was said. */
static bool kvx_serve_tell_layout(struct kvx_served *served)
{
	const struct kvx_grant *grant = served->grant;
	const struct kvx_geometry *geo = &grant->reg->layout.geo;
	const struct kvx_share *share = grant->share;
	const u64 now = ktime_get_ns();
	struct kvx_msg *msg = kvx_msg_new(KVX_FRAME_ATTACHED, sizeof(msg->attached)), *next;
	LIST_HEAD(msgs);
	u64 *words;
	bool ok;
	u32 i;

	words = kvmalloc_array(2 * share->nr_ranges, sizeof(*words), GFP_KERNEL);
	if (!msg || !words) {
		kvx_msg_free(msg);
		kvfree(words);
		return false;
	}
	msg->attached.id = cpu_to_le32(served->id);
	msg->attached.rights = cpu_to_le32(grant->rights);
	msg->attached.first = cpu_to_le32(grant->first);
	msg->attached.end = cpu_to_le32(grant->end);
	msg->attached.num_blocks = cpu_to_le32(geo->num_blocks);
	msg->attached.num_layers = cpu_to_le32(geo->num_layers);
	msg->attached.outer_dim = cpu_to_le32(geo->outer_dim);
	msg->attached.page_size = cpu_to_le32(geo->page_size);
	msg->attached.inner_dim = cpu_to_le32(geo->inner_dim);
	msg->attached.dtype_width = cpu_to_le32(geo->dtype_width);
	msg->attached.alignment = cpu_to_le32(geo->alignment);
	msg->attached.format = cpu_to_le32(geo->format);
	msg->attached.kind = cpu_to_le32(grant->reg->kind);
	msg->attached.nr_ranges = cpu_to_le32(share->nr_ranges);
	msg->attached.block_stride = cpu_to_le64(grant->reg->layout.block_stride);
	msg->attached.expires_ns = cpu_to_le64(grant->expires_ns == U64_MAX ? 0 :
					       max_t(s64, grant->expires_ns - now, 1));
	list_add(&msg->link, &msgs);
	for (i = 0; i < share->nr_ranges; i++) {
		words[2 * i] = share->ranges[i].bytes;
		/* As much of where it is as spans need. */
		words[2 * i + 1] = share->ranges[i].start & ((1ULL << KVX_SPAN_SHIFT_MAX) - 1);
	}
	ok = kvx_serve_make_table(&msgs, served->id, KVX_TABLE_RANGES, words, share->nr_ranges,
				  2) &&
	     kvx_serve_make_table(&msgs, served->id, KVX_TABLE_BASES, share->bases,
				  grant->reg->layout.nr_entries, 1);
	kvfree(words);
	list_for_each_entry_safe(msg, next, &msgs, link) {
		list_del_init(&msg->link);
		if (ok)
			kvx_peer_send(served->peer, msg);
		else
			kvx_msg_free(msg);
	}
	return ok;
}

static void kvx_served_detach(struct work_struct *work)
{
	struct kvx_served *served = container_of(work, struct kvx_served, detach);

	kvx_served_end(served);
	kvx_served_put(served);
}

/* What waits for a device is not done where frames are taken. The reference goes with it. */
static void kvx_served_end_later(struct kvx_served *served)
{
	/* Once is enough. */
	if (!queue_work(kvx_peer_wq, &served->detach))
		kvx_served_put(served);
}

/* Takes over the reference to the grant, if it does not fail. */
static struct kvx_served *kvx_served_new(struct kvx_peer *peer, u32 id, struct kvx_grant *grant)
{
	struct kvx_served *served = kzalloc(sizeof(*served), GFP_KERNEL_ACCOUNT);
	struct kvx_msg *revoked = kvx_msg_new(KVX_FRAME_REVOKED, sizeof(revoked->id));

	if (!served || !revoked) {
		kvx_msg_free(revoked);
		kfree(served);
		return NULL;
	}
	revoked->id.id = cpu_to_le32(id);
	kref_init(&served->ref);
	INIT_LIST_HEAD(&served->link);
	INIT_WORK(&served->detach, kvx_served_detach);
	xa_init(&served->told);
	kref_get(&peer->ref);
	served->peer = peer;
	served->id = id;
	served->grant = grant;
	served->revoked = revoked;
	return served;
}

/**
 * kvx_serve_attach() - a peer wants a layout
 * @peer: who
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: false when it breaks the protocol.
 */
bool kvx_serve_attach(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_attach *ask = frame;
	struct kvx_served *served;
	struct kvx_grant *grant;
	u32 reason = 0;
	int err;

	if (ask->layout)
		grant = kvx_serve_find(ask, &reason);
	else
		grant = kvx_send_grant(peer, ask->key, &reason);
	if (IS_ERR(grant)) {
		kvx_serve_tell(peer, ask, PTR_ERR(grant), reason);
		return true;
	}
	served = kvx_served_new(peer, le32_to_cpu(ask->id), grant);
	if (!served) {
		kvx_grant_put(grant);
		kvx_serve_tell(peer, ask, -ENOMEM, 0);
		return true;
	}
	/* One of the list, one of ours. */
	kref_get(&served->ref);
	mutex_lock(&kvx_serve_lock);
	err = __kvx_serve_enter(served);
	mutex_unlock(&kvx_serve_lock);
	if (err) {
		kvx_served_put(served);
	} else if (!kvx_serve_tell_layout(served)) {
		kref_get(&served->ref);
		kvx_served_end_later(served);
		err = -ENOMEM;
	}
	kvx_served_put(served);
	if (err && err != -EBUSY)
		kvx_serve_tell(peer, ask, err, err == -ESTALE ? KVXFER_REASON_HANDLE_STALE : 0);
	/* An id that is in use is not given again. */
	return err != -EBUSY;
}

/* @msg is for KVX_FRAME_KEYS. */
static void kvx_serve_tell_no_keys(struct kvx_served *served, struct kvx_msg *msg, u32 device,
				   int err)
{
	msg->keys.id = cpu_to_le32(served->id);
	msg->keys.device = cpu_to_le32(device);
	msg->keys.error = cpu_to_le32(-err);
	kvx_peer_send(served->peer, msg);
}

/* The keys; the lock is held that the window is under, so they are good when they are sent. */
static int __kvx_serve_tell_keys(struct kvx_served *served, const struct kvx_window *window)
{
	struct kvx_msg *msg;
	u32 first, part, i;
	int err;

	lockdep_assert_held(&served->hold->lock);
	/* What has been told is not taken back for want of memory to remember it by. */
	err = xa_reserve(&served->told, window->dev->id, GFP_KERNEL);
	if (err)
		return err;
	for (first = 0; first < window->nr; first += part) {
		part = min_t(u32, window->nr - first, KVX_KEYS_PART);
		msg = kvx_msg_new(KVX_FRAME_KEYS, struct_size(&msg->keys, keys, part));
		if (!msg) {
			xa_release(&served->told, window->dev->id);
			return -ENOMEM;
		}
		msg->keys.id = cpu_to_le32(served->id);
		msg->keys.device = cpu_to_le32(window->dev->id);
		msg->keys.shift = cpu_to_le32(window->shift);
		msg->keys.total = cpu_to_le32(window->nr);
		msg->keys.first = cpu_to_le32(first);
		msg->keys.nr = cpu_to_le32(part);
		for (i = 0; i < part; i++)
			msg->keys.keys[i] = cpu_to_le32(window->mrs[first + i]->rkey);
		kvx_peer_send(served->peer, msg);
	}
	return xa_err(xa_store(&served->told, window->dev->id, xa_mk_value(1), GFP_KERNEL));
}

static int kvx_serve_access(const struct kvx_grant *grant)
{
	int access = 0;

	if (grant->rights & KVXFER_GRANT_READ)
		access |= IB_ACCESS_REMOTE_READ;
	if (grant->rights & KVXFER_GRANT_WRITE)
		access |= IB_ACCESS_REMOTE_WRITE | IB_ACCESS_LOCAL_WRITE;
	return access;
}

/*
 * The window for a device; it is made if there is none. While the lock is held who has been served
 * stays inside of the gates, if it is: so the pools are there.
 */
static struct kvx_window *__kvx_served_window(struct kvx_served *served, struct kvx_dev *dev,
					      struct kvx_rail *rail)
{
	const struct kvx_share *share = served->grant->share;
	struct kvx_hold *hold = served->hold;
	struct kvx_window *window, *next;
	bool out;

	lockdep_assert_held(&hold->lock);
	mutex_lock(&kvx_serve_lock);
	out = !served->inside;
	mutex_unlock(&kvx_serve_lock);
	if (out)
		return ERR_PTR(-ESTALE);
	list_for_each_entry_safe(window, next, &hold->windows, of_hold) {
		if (window->dev == dev)
			return window;
		/* Its device has gone, and comes as another, if it does. */
		if (READ_ONCE(window->mrs))
			continue;
		list_del(&window->of_hold);
		kvx_window_free(window);
	}
	window = kvx_window_make(dev, &rail->links[0], share->ranges, share->nr_ranges,
				 kvx_serve_access(share->grant), hold->peer);
	if (!IS_ERR(window))
		list_add(&window->of_hold, &hold->windows);
	return window;
}

static void kvx_serve_keys_work(struct work_struct *work)
{
	struct kvx_serve_work *todo = container_of(work, struct kvx_serve_work, work);
	struct kvx_served *served = todo->served;
	struct kvx_dev *dev = kvx_dev_use_id(todo->device);
	struct kvx_window *window;
	struct kvx_rail *rail;
	int err = -ENODEV;

	/* A connection on the device, to make the keys by. */
	rail = dev ? kvx_peer_rail_on(served->peer, dev) : NULL;
	if (rail) {
		mutex_lock(&served->hold->lock);
		window = __kvx_served_window(served, dev, rail);
		err = IS_ERR(window) ? PTR_ERR(window) : __kvx_serve_tell_keys(served, window);
		mutex_unlock(&served->hold->lock);
		/* What a connection that has failed could not do the next may: it is asked. */
		if (err && READ_ONCE(rail->failed))
			err = -EIO;
		kvx_rail_put(rail);
	}
	if (err)
		kvx_serve_tell_no_keys(served, todo->none, todo->device, err);
	else
		kvx_msg_free(todo->none);
	if (dev)
		kvx_dev_unuse(dev);
	atomic_dec(&served->works);
	kvx_served_put(served);
	kfree(todo);
}

/*
 * What waits for a device is not done where the device tells that it is ready. Takes over the
 * reference, unless it returns false.
 */
static bool kvx_serve_keys_later(struct kvx_served *served, u32 device)
{
	struct kvx_serve_work *todo = NULL;

	if (atomic_inc_return(&served->works) > KVX_SERVED_WORKS_MAX)
		goto err_dec;
	todo = kzalloc(sizeof(*todo), GFP_KERNEL);
	if (!todo)
		goto err_dec;
	todo->none = kvx_msg_new(KVX_FRAME_KEYS, sizeof(todo->none->keys));
	if (!todo->none)
		goto err_dec;
	INIT_WORK(&todo->work, kvx_serve_keys_work);
	todo->served = served;
	todo->device = device;
	queue_work(kvx_peer_wq, &todo->work);
	return true;

err_dec:
	kfree(todo);
	atomic_dec(&served->works);
	return false;
}

/**
 * kvx_serve_keys() - a peer wants the keys of a layout that it has
 * @peer: who
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: false when it breaks the protocol.
 */
bool kvx_serve_keys(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_want_keys *want = frame;
	struct kvx_served *served = kvx_served_get(peer, le32_to_cpu(want->id));
	const u32 device = le32_to_cpu(want->device);
	struct kvx_msg *msg;

	/* It may have been taken away while they asked. */
	if (served && !kvx_serve_keys_later(served, device)) {
		msg = kvx_peer_answer(peer, KVX_FRAME_KEYS, sizeof(msg->keys));
		kvx_serve_tell_no_keys(served, msg, device, -ENOMEM);
		kvx_served_put(served);
	}
	return true;
}

/* The windows whose keys were ended go, and who was told them asks anew. */
static void kvx_hold_renew(struct kvx_hold *hold, struct kvx_share *share)
{
	struct kvx_window *window, *next;
	struct kvx_served *served;
	struct kvx_msg *msg;

	mutex_lock(&hold->lock);
	list_for_each_entry_safe(window, next, &hold->windows, of_hold) {
		if (!READ_ONCE(window->ended))
			continue;
		mutex_lock(&kvx_serve_lock);
		list_for_each_entry(served, &share->served, link) {
			if (served->hold != hold || !xa_erase(&served->told, window->dev->id))
				continue;
			msg = kvx_msg_new(KVX_FRAME_KEYS, sizeof(msg->keys));
			/* Then it has to import anew. */
			if (msg)
				kvx_serve_tell_no_keys(served, msg, window->dev->id, -EAGAIN);
		}
		mutex_unlock(&kvx_serve_lock);
		list_del(&window->of_hold);
		kvx_window_free(window);
	}
	mutex_unlock(&hold->lock);
}

static void kvx_serve_ended_work(struct work_struct *work)
{
	struct kvx_serve_work *todo = container_of(work, struct kvx_serve_work, work);
	struct kvx_dev *dev = kvx_dev_use_id(todo->device);
	struct kvx_peer *peer = dev ? kvx_window_end(dev, todo->key) : NULL;
	struct kvx_served *served;
	unsigned long id;

	if (peer) {
		pr_warn_ratelimited("a key of node %016llx was ended by somebody: it gets others\n",
				    peer->boot_id);
		xa_for_each(&peer->served, id, served) {
			served = kvx_served_get(peer, id);
			if (!served)
				continue;
			kvx_hold_renew(served->hold, served->grant->share);
			kvx_served_put(served);
			cond_resched();
		}
		kvx_peer_put(peer);
	}
	if (dev)
		kvx_dev_unuse(dev);
	kfree(todo);
}

/**
 * kvx_serve_ended() - somebody has ended a key, perhaps another's
 * @device: on which device
 * @key: which
 *
 * Context: process, may sleep; also where devices tell of completions.
 */
void kvx_serve_ended(u32 device, u32 key)
{
	struct kvx_serve_work *todo = kzalloc(sizeof(*todo), GFP_KERNEL);

	/* Then whose it was has to import anew. */
	if (!todo)
		return;
	INIT_WORK(&todo->work, kvx_serve_ended_work);
	todo->device = device;
	todo->key = key;
	queue_work(kvx_peer_wq, &todo->work);
}

/**
 * kvx_serve_detach() - a peer does not want a layout any more
 * @peer: who
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: true.
 */
bool kvx_serve_detach(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_id *which = frame;
	struct kvx_served *served = kvx_served_get(peer, le32_to_cpu(which->id));

	if (served)
		kvx_served_end_later(served);
	return true;
}
