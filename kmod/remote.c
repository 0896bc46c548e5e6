// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts of peers' agents, as ours have them.
 *
 * Whoever imports one asks the peer for it by the grant's key. The peer tells what it is like, then
 * its tables; of all that nothing is believed: every block has to lie within its range. What comes
 * of it is a layout as others are, with a gate that is closed when the peer takes it back, so that
 * transfers know no difference. Keys are asked for when a connection is there, for the device that
 * it goes to.
 */
#include <linux/ktime.h>
#include <linux/slab.h>

#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "message.h"
#include "peer.h"
#include "rdma/flow.h"
#include "rdma/rail.h"
#include "remote.h"
#include "xfer.h"

/* For so many devices a layout's keys are kept. */
#define KVX_REMOTE_KEYS_MAX	64
/* When there was no memory for keys they are asked for again after so long. */
#define KVX_REMOTE_AGAIN_MS	1000

static void kvx_keys_free(struct kref *ref)
{
	struct kvx_keys *keys = container_of(ref, struct kvx_keys, ref);

	kvfree(keys->first);
	kvfree(keys->keys);
	kfree(keys);
}

/**
 * kvx_keys_put() - drop a reference
 * @keys: what kvx_remote_keys_for() gave
 *
 * Context: process.
 */
void kvx_keys_put(struct kvx_keys *keys)
{
	kref_put(&keys->ref, kvx_keys_free);
}

static void kvx_remote_free(struct kref *ref)
{
	struct kvx_remote *remote = container_of(ref, struct kvx_remote, ref);
	struct kvx_keys *keys, *next;

	list_for_each_entry_safe(keys, next, &remote->keys, link)
		kvx_keys_put(keys);
	kvfree(remote->range_bytes);
	kvfree(remote->range_start);
	kvx_msg_free(remote->detach);
	kvx_peer_put(remote->peer);
	kfree(remote);
}

static void kvx_remote_put(struct kvx_remote *remote)
{
	kref_put(&remote->ref, kvx_remote_free);
}

static struct kvx_remote *kvx_remote_get(struct kvx_peer *peer, u32 id)
{
	struct kvx_remote *remote;

	xa_lock(&peer->remotes);
	remote = xa_load(&peer->remotes, id);
	if (remote)
		kref_get(&remote->ref);
	xa_unlock(&peer->remotes);
	return remote;
}

static void kvx_remote_again_work(struct work_struct *work);

/**
 * kvx_remote_ask() - ask a peer for a layout
 * @peer: the peer
 * @worker_id: of the layout's agent
 * @epoch: the same
 * @layout: its id
 * @key: of the grant
 *
 * Context: process, may sleep.
 * Return: the layout to come, for kvx_remote_take() or kvx_remote_forget(); or NULL.
 */
struct kvx_remote *kvx_remote_ask(struct kvx_peer *peer, u64 worker_id, u64 epoch, u32 layout,
				  const u8 *key)
{
	struct kvx_remote *remote = kzalloc(sizeof(*remote), GFP_KERNEL_ACCOUNT);
	struct kvx_msg *msg = kvx_msg_new(KVX_FRAME_ATTACH, sizeof(msg->attach));
	struct kvx_msg *detach = kvx_msg_new(KVX_FRAME_DETACH, sizeof(detach->id));

	if (!remote || !msg || !detach)
		goto err_free;
	kref_init(&remote->ref);
	spin_lock_init(&remote->lock);
	INIT_LIST_HEAD(&remote->keys);
	INIT_DELAYED_WORK(&remote->again, kvx_remote_again_work);
	remote->peer = peer;
	/* One is the table's. */
	kref_get(&remote->ref);
	kref_get(&peer->ref);
	/* Ids are used again late, so that what is under way is not taken for another's. */
	if (xa_alloc_cyclic(&peer->remotes, &remote->id, remote, xa_limit_31b, &peer->remote_next,
			    GFP_KERNEL_ACCOUNT) < 0) {
		kvx_peer_put(peer);
		goto err_free;
	}
	detach->id.id = cpu_to_le32(remote->id);
	remote->detach = detach;
	msg->attach.id = cpu_to_le32(remote->id);
	msg->attach.layout = cpu_to_le32(layout);
	msg->attach.worker_id = cpu_to_le64(worker_id);
	msg->attach.epoch = cpu_to_le64(epoch);
	memcpy(msg->attach.key, key, sizeof(msg->attach.key));
	kvx_peer_send(peer, msg);
	return remote;

err_free:
	kvx_msg_free(detach);
	kvx_msg_free(msg);
	kfree(remote);
	return NULL;
}

/* From here on nobody finds it, and the peer keeps nothing for it. */
static void kvx_remote_unlist(struct kvx_remote *remote)
{
	struct kvx_peer *peer = remote->peer;
	struct kvx_msg *msg = NULL;
	bool listed;

	/* Its owner has seen to it that it is not queued any more. */
	if (cancel_delayed_work(&remote->again))
		kvx_remote_put(remote);
	xa_lock(&peer->remotes);
	listed = xa_load(&peer->remotes, remote->id) == remote;
	if (listed) {
		__xa_erase(&peer->remotes, remote->id);
		swap(msg, remote->detach);
	}
	xa_unlock(&peer->remotes);
	if (!listed)
		return;
	kvx_peer_send(peer, msg);
	kvx_remote_put(remote);
}

/**
 * kvx_remote_forget() - what was asked for is not wanted any more
 * @remote: the layout that has not been taken
 *
 * Context: process, may sleep.
 */
void kvx_remote_forget(struct kvx_remote *remote)
{
	struct kvx_registered *reg;

	spin_lock(&remote->lock);
	remote->state = KVX_REMOTE_ENDED;
	reg = remote->reg;
	spin_unlock(&remote->lock);
	kvx_remote_unlist(remote);
	kvx_remote_put(remote);
	/* It is held by nobody but us. */
	if (reg)
		kvx_layout_put(reg);
}

/**
 * kvx_remote_release() - its layout is no more
 * @remote: the remote
 *
 * Context: process, may sleep.
 */
void kvx_remote_release(struct kvx_remote *remote)
{
	spin_lock(&remote->lock);
	remote->reg = NULL;
	spin_unlock(&remote->lock);
	kvx_remote_unlist(remote);
	kvx_remote_put(remote);
}

static void kvx_remote_changed(struct kvx_remote *remote)
{
	wake_up_all(&remote->peer->wait);
	spin_lock(&remote->lock);
	if (remote->watcher)
		kvx_message_go_on(remote->watcher);
	spin_unlock(&remote->lock);
}

/**
 * kvx_remote_watch() - who is to be told when something about it has changed
 * @remote: what was asked for
 * @watcher: the message; NULL for nobody any more
 *
 * Context: process.
 */
void kvx_remote_watch(struct kvx_remote *remote, struct kvx_message *watcher)
{
	spin_lock(&remote->lock);
	remote->watcher = watcher;
	spin_unlock(&remote->lock);
}

/* It ended; whatever goes to it or from it does as well. */
static void kvx_remote_end(struct kvx_remote *remote, int error, u32 reason)
{
	struct kvx_registered *reg = NULL;

	spin_lock(&remote->lock);
	if (remote->state != KVX_REMOTE_ENDED) {
		remote->state = KVX_REMOTE_ENDED;
		remote->error = error;
		remote->reason = reason;
	}
	if (remote->reg && kref_get_unless_zero(&remote->reg->ref))
		reg = remote->reg;
	spin_unlock(&remote->lock);
	if (reg) {
		kvx_gate_close(&reg->gate);
		kvx_xfers_cut(&reg->gate);
		kvx_layout_put(reg);
	}
	kvx_remote_changed(remote);
}

/**
 * kvx_remotes_gone() - a peer will not come back
 * @peer: the peer
 * @error: why: a negative errno
 *
 * Context: process, may sleep.
 */
void kvx_remotes_gone(struct kvx_peer *peer, int error)
{
	struct kvx_remote *remote;
	unsigned long id;

	xa_for_each(&peer->remotes, id, remote) {
		remote = kvx_remote_get(peer, id);
		if (!remote)
			continue;
		kvx_remote_end(remote, error, KVXFER_REASON_PEER_GONE);
		kvx_remote_put(remote);
	}
}

/*
 * --- what the peer says -------------------------------------------------------------------------
 */

/* When there are too many, those for devices that there is no connection to any more go. */
static void kvx_remote_drop_lost(struct kvx_remote *remote)
{
	struct kvx_keys *keys, *next;
	u32 devices[KVX_REMOTE_KEYS_MAX];
	LIST_HEAD(lost);
	u32 nr = 0;

	spin_lock(&remote->lock);
	list_for_each_entry(keys, &remote->keys, link)
		if (nr < KVX_REMOTE_KEYS_MAX)
			devices[nr++] = keys->device;
	spin_unlock(&remote->lock);
	if (nr < KVX_REMOTE_KEYS_MAX)
		return;
	while (nr--) {
		if (kvx_peer_has_rail_to(remote->peer, devices[nr]))
			continue;
		spin_lock(&remote->lock);
		list_for_each_entry_safe(keys, next, &remote->keys, link)
			if (keys->device == devices[nr] && keys->over)
				list_move(&keys->link, &lost);
		spin_unlock(&remote->lock);
	}
	list_for_each_entry_safe(keys, next, &lost, link)
		kvx_keys_put(keys);
}

static void kvx_remote_want_keys(struct kvx_remote *remote, u32 device)
{
	struct kvx_keys *keys = kzalloc(sizeof(*keys), GFP_KERNEL), *other, *old = NULL;
	struct kvx_msg *msg = kvx_msg_new(KVX_FRAME_WANT_KEYS, sizeof(msg->want_keys));
	bool wanted;
	u32 nr = 0;

	if (!keys || !msg) {
		/* The next connection asks. */
		kvx_peer_fail_rails(remote->peer, NULL, -ENOMEM);
		goto out_free;
	}
	kvx_remote_drop_lost(remote);
	spin_lock(&remote->lock);
	wanted = remote->state == KVX_REMOTE_KNOWN;
	list_for_each_entry(other, &remote->keys, link) {
		nr++;
		if (other->device != device)
			continue;
		/* What is on its way of these would be taken for the others. */
		wanted = wanted && other->error && (other->over || other->error != -ENOMEM);
		other->again = true;
		old = other;
	}
	/* Who gives its device another number each time is not to fill our memory. */
	wanted = wanted && (old || nr < KVX_REMOTE_KEYS_MAX);
	if (wanted) {
		kref_init(&keys->ref);
		keys->device = device;
		list_add(&keys->link, &remote->keys);
		if (old)
			list_del(&old->link);
	}
	spin_unlock(&remote->lock);
	if (wanted && old)
		kvx_keys_put(old);
	if (!wanted)
		goto out_free;
	msg->want_keys.id = cpu_to_le32(remote->id);
	msg->want_keys.device = cpu_to_le32(device);
	kvx_peer_send(remote->peer, msg);
	return;

out_free:
	kvx_msg_free(msg);
	kfree(keys);
}

/* There may be memory for keys now. */
static void kvx_remote_again_work(struct work_struct *work)
{
	struct kvx_remote *remote = container_of(to_delayed_work(work), struct kvx_remote, again);
	u32 devices[KVX_REMOTE_KEYS_MAX];
	struct kvx_keys *keys;
	u32 nr = 0;

	spin_lock(&remote->lock);
	list_for_each_entry(keys, &remote->keys, link)
		if (keys->error == -ENOMEM && nr < KVX_REMOTE_KEYS_MAX)
			devices[nr++] = keys->device;
	spin_unlock(&remote->lock);
	while (nr--)
		kvx_remote_want_keys(remote, devices[nr]);
	kvx_remote_put(remote);
}

static void kvx_remote_ask_again(struct kvx_remote *remote)
{
	spin_lock(&remote->lock);
	/* Else nobody has it, or not any more. */
	if (remote->state == KVX_REMOTE_KNOWN && remote->reg) {
		kref_get(&remote->ref);
		/* Not the last one: who calls has another. */
		if (!queue_delayed_work(kvx_peer_wq, &remote->again,
					msecs_to_jiffies(KVX_REMOTE_AGAIN_MS)))
			kvx_remote_put(remote);
	}
	spin_unlock(&remote->lock);
}

/**
 * kvx_remotes_rail_ready() - there is a connection to a device of a peer's
 * @peer: the peer
 * @device: the device, as the peer counts
 *
 * Context: process, may sleep.
 */
void kvx_remotes_rail_ready(struct kvx_peer *peer, u32 device)
{
	struct kvx_remote *remote;
	unsigned long id;

	xa_for_each(&peer->remotes, id, remote) {
		remote = kvx_remote_get(peer, id);
		if (!remote)
			continue;
		kvx_remote_want_keys(remote, device);
		kvx_remote_put(remote);
	}
}

/* Every block within its range: then nothing that is posted is beyond. Returns false if not. */
static bool kvx_remote_check_bases(struct kvx_remote *remote, struct kvx_layout *layout)
{
	const u64 blocks = remote->end - remote->first;
	u64 extent, base, skip;
	u32 e, range;

	if (check_mul_overflow(blocks - 1, layout->block_stride, &extent) ||
	    check_add_overflow(extent, layout->region_bytes, &extent))
		return false;
	/* Places are counted from block 0, which may lie anywhere: only sums are looked at. */
	skip = remote->first * layout->block_stride;
	for (e = 0; e < layout->nr_entries; e++) {
		base = layout->base[e];
		range = kvx_place_pool(base);
		if (range >= remote->nr_ranges || extent > remote->range_bytes[range] ||
		    kvx_place_offset(base) > remote->range_bytes[range] - extent)
			return false;
		layout->base[e] = base - skip;
	}
	return true;
}

/* All of its tables are there. Returns false when they make no sense. */
static bool kvx_remote_known(struct kvx_remote *remote, struct kvx_registered *reg)
{
	struct kvx_rail *rail;
	u32 i;

	for (i = 0; i < remote->nr_ranges; i++)
		if (!remote->range_bytes[i] || remote->range_bytes[i] > KVX_PLACE_MASK ||
		    remote->range_start[i] >> KVX_SPAN_SHIFT_MAX)
			return false;
	if (!kvx_remote_check_bases(remote, &reg->layout))
		return false;
	spin_lock(&remote->lock);
	if (remote->state == KVX_REMOTE_TOLD)
		remote->state = KVX_REMOTE_KNOWN;
	spin_unlock(&remote->lock);
	/* Those that come later ask by themselves. */
	for (rail = NULL; (rail = kvx_peer_rail_after(remote->peer, rail));)
		kvx_remote_want_keys(remote, rail->their_dev);
	kvx_remote_changed(remote);
	return true;
}

static struct kvx_registered *kvx_remote_make(struct kvx_remote *remote,
					      const struct kvx_wire_attached *a, u32 *reason)
{
	const struct kvx_geometry geo = {
		.num_blocks = le32_to_cpu(a->num_blocks),
		.num_layers = le32_to_cpu(a->num_layers),
		.outer_dim = le32_to_cpu(a->outer_dim),
		.page_size = le32_to_cpu(a->page_size),
		.inner_dim = le32_to_cpu(a->inner_dim),
		.dtype_width = le32_to_cpu(a->dtype_width),
		.alignment = le32_to_cpu(a->alignment),
		.format = le32_to_cpu(a->format),
	};
	const u32 nr = le32_to_cpu(a->nr_ranges);
	struct kvx_registered *reg;

	*reason = 0;
	reg = kvx_layout_new_remote(remote, &geo, le32_to_cpu(a->kind),
				    le64_to_cpu(a->block_stride), reason);
	if (!reg)
		return NULL;
	/* Each has a base in it. */
	if (nr > reg->layout.nr_entries) {
		*reason = KVXFER_REASON_LAYOUT_BASES;
		goto err_put;
	}
	remote->range_bytes = kvcalloc(nr, sizeof(*remote->range_bytes), KVX_GFP_LIST);
	remote->range_start = kvcalloc(nr, sizeof(*remote->range_start), KVX_GFP_LIST);
	if (!remote->range_bytes || !remote->range_start)
		goto err_put;
	remote->nr_ranges = nr;
	remote->rights = le32_to_cpu(a->rights);
	remote->first = le32_to_cpu(a->first);
	remote->end = le32_to_cpu(a->end);
	remote->expires_ns = U64_MAX;
	if (a->expires_ns && check_add_overflow(ktime_get_ns(), le64_to_cpu(a->expires_ns),
						&remote->expires_ns))
		remote->expires_ns = U64_MAX;
	reg->write = remote->rights & KVXFER_GRANT_WRITE;
	return reg;

err_put:
	kvx_layout_put(reg);
	return NULL;
}

/**
 * kvx_remote_attached() - a peer has said what a layout is like
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: false when it breaks the protocol.
 */
bool kvx_remote_attached(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_attached *a = frame;
	struct kvx_remote *remote = kvx_remote_get(peer, le32_to_cpu(a->id));
	struct kvx_registered *reg;
	bool ok = true, told;
	u32 reason;

	if (!remote)
		return true;
	if (remote->state != KVX_REMOTE_ASKED) {
		ok = remote->state == KVX_REMOTE_ENDED;
	} else if (a->error) {
		kvx_remote_end(remote, -(int)kvx_peer_errno(a->error), le32_to_cpu(a->reason));
	} else {
		reg = kvx_remote_make(remote, a, &reason);
		ok = reg || !reason;
		if (!reg)
			kvx_remote_end(remote, ok ? -ENOMEM : -EPROTO, 0);
		spin_lock(&remote->lock);
		/* Whoever asked may have given up. */
		told = reg && remote->state == KVX_REMOTE_ASKED;
		if (told) {
			remote->reg = reg;
			remote->state = KVX_REMOTE_TOLD;
		}
		spin_unlock(&remote->lock);
		if (reg && !told)
			kvx_layout_put(reg);
	}
	kvx_remote_put(remote);
	return ok;
}

/**
 * kvx_remote_table() - a part of a layout's tables has come
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: false when it breaks the protocol.
 */
bool kvx_remote_table(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_table *t = frame;
	struct kvx_remote *remote = kvx_remote_get(peer, le32_to_cpu(t->id));
	const u32 first = le32_to_cpu(t->first), nr = le32_to_cpu(t->nr);
	struct kvx_registered *reg = NULL;
	bool ok = false;
	u32 i;

	if (!remote)
		return true;
	spin_lock(&remote->lock);
	if (remote->state == KVX_REMOTE_TOLD && remote->reg &&
	    kref_get_unless_zero(&remote->reg->ref))
		reg = remote->reg;
	spin_unlock(&remote->lock);
	if (!reg) {
		/* Nobody wants it any more. */
		ok = remote->state != KVX_REMOTE_KNOWN;
		goto out_put;
	}
	if (le32_to_cpu(t->table) == KVX_TABLE_RANGES) {
		if (first != remote->got_ranges || nr > remote->nr_ranges - first)
			goto out_put;
		for (i = 0; i < nr; i++) {
			remote->range_bytes[first + i] = le64_to_cpu(t->words[2 * i]);
			remote->range_start[first + i] = le64_to_cpu(t->words[2 * i + 1]);
		}
		remote->got_ranges += nr;
	} else {
		if (first != remote->got_bases || nr > reg->layout.nr_entries - first)
			goto out_put;
		for (i = 0; i < nr; i++)
			reg->layout.base[first + i] = le64_to_cpu(t->words[i]);
		remote->got_bases += nr;
	}
	ok = remote->got_ranges < remote->nr_ranges ||
	     remote->got_bases < reg->layout.nr_entries || kvx_remote_known(remote, reg);
out_put:
	/* It is not told anew: who waits for it is to hear that. */
	if (reg && !ok)
		kvx_remote_end(remote, -EPROTO, 0);
	if (reg)
		kvx_layout_put(reg);
	kvx_remote_put(remote);
	return ok;
}

/* The first part: now it is known how many there are, which has to be what the ranges say. */
static int kvx_keys_begin(struct kvx_remote *remote, struct kvx_keys *keys, u32 shift, u32 total)
{
	u64 sum = 0;
	u32 r;

	for (r = 0; r < remote->nr_ranges; r++)
		sum += kvx_span_keys(remote->range_start[r], remote->range_bytes[r], shift);
	if (sum != total)
		return -EPROTO;
	keys->first = kvcalloc(remote->nr_ranges, sizeof(*keys->first), KVX_GFP_LIST);
	keys->keys = kvcalloc(total, sizeof(*keys->keys), KVX_GFP_LIST);
	if (!keys->first || !keys->keys)
		return -ENOMEM;
	for (r = 0, sum = 0; r < remote->nr_ranges; r++) {
		keys->first[r] = sum;
		sum += kvx_span_keys(remote->range_start[r], remote->range_bytes[r], shift);
	}
	keys->shift = shift;
	keys->total = total;
	return 0;
}

static bool kvx_keys_came(struct kvx_remote *remote, struct kvx_keys *keys,
			  const struct kvx_wire_keys *k)
{
	const u32 first = le32_to_cpu(k->first), nr = le32_to_cpu(k->nr);
	int err = -(int)kvx_peer_errno(k->error);
	u32 i;

	if (!err && !keys->total)
		err = kvx_keys_begin(remote, keys, le32_to_cpu(k->shift), le32_to_cpu(k->total));
	if (!err && (first != keys->got || le32_to_cpu(k->total) != keys->total ||
		     le32_to_cpu(k->shift) != keys->shift))
		err = -EPROTO;
	for (i = 0; i < nr && !err; i++)
		keys->keys[first + i] = le32_to_cpu(k->keys[i]);
	spin_lock(&remote->lock);
	if (err)
		keys->error = err;
	else
		keys->got += nr;
	spin_unlock(&remote->lock);
	return err != -EPROTO;
}

/* There are none only because a connection was lost. */
static bool kvx_keys_are_late(const struct kvx_keys *keys)
{
	return keys->error == -EIO || keys->error == -ENODEV;
}

/* No more of them comes. */
static bool kvx_keys_are_over(const struct kvx_wire_keys *k)
{
	return k->error || le32_to_cpu(k->first) + le32_to_cpu(k->nr) == le32_to_cpu(k->total);
}

/**
 * kvx_remote_keys() - a part of a layout's keys has come
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: false when it breaks the protocol.
 */
bool kvx_remote_keys(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_keys *k = frame;
	struct kvx_remote *remote = kvx_remote_get(peer, le32_to_cpu(k->id));
	struct kvx_keys *keys, *found = NULL;
	bool ok;

	if (!remote)
		return true;
	spin_lock(&remote->lock);
	list_for_each_entry(keys, &remote->keys, link)
		if (keys->device == le32_to_cpu(k->device))
			found = keys;
	if (found)
		kref_get(&found->ref);
	spin_unlock(&remote->lock);
	/* If there was no memory for them, the rest may be on its way. */
	if (found && found->error == -ENOMEM)
		ok = true;
	else
		ok = found && !found->error && kvx_keys_came(remote, found, k);
	if (ok && kvx_keys_are_over(k)) {
		spin_lock(&remote->lock);
		found->over = true;
		spin_unlock(&remote->lock);
	}
	/* They were made invalid, and there are others; or the next connection is there already. */
	if (ok && (found->error == -EAGAIN || (found->again && kvx_keys_are_late(found))))
		kvx_remote_want_keys(remote, found->device);
	if (ok && found->error == -ENOMEM && kvx_keys_are_over(k))
		kvx_remote_ask_again(remote);
	if (ok && (found->error || found->got == found->total)) {
		kvx_flows_kick(peer);
		kvx_remote_changed(remote);
	}
	if (found)
		kvx_keys_put(found);
	kvx_remote_put(remote);
	return ok;
}

static struct kvx_keys *__kvx_remote_keys_for(struct kvx_remote *remote, u32 device)
{
	struct kvx_keys *keys;

	lockdep_assert_held(&remote->lock);
	list_for_each_entry(keys, &remote->keys, link)
		if (keys->device == device && !keys->error && keys->total &&
		    keys->got == keys->total)
			return keys;
	return NULL;
}

/**
 * kvx_remote_keys_for() - the keys for a device
 * @remote: a layout that is known
 * @device: as the peer counts
 *
 * Context: process.
 * Return: the keys, for kvx_keys_put(); or NULL.
 */
struct kvx_keys *kvx_remote_keys_for(struct kvx_remote *remote, u32 device)
{
	struct kvx_keys *keys;

	spin_lock(&remote->lock);
	keys = __kvx_remote_keys_for(remote, device);
	if (keys)
		kref_get(&keys->ref);
	spin_unlock(&remote->lock);
	return keys;
}

/**
 * kvx_remote_has_keys_for() - are there keys for a device?
 * @remote: a layout that is known
 * @device: as the peer counts
 *
 * Context: process.
 * Return: true when there are.
 */
bool kvx_remote_has_keys_for(struct kvx_remote *remote, u32 device)
{
	bool has;

	spin_lock(&remote->lock);
	has = __kvx_remote_keys_for(remote, device);
	spin_unlock(&remote->lock);
	return has;
}

/**
 * kvx_remote_revoked() - a peer has taken a layout back
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: true.
 */
bool kvx_remote_revoked(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_id *which = frame;
	struct kvx_remote *remote = kvx_remote_get(peer, le32_to_cpu(which->id));

	if (remote) {
		kvx_remote_end(remote, -ESTALE, KVXFER_REASON_HANDLE_STALE);
		kvx_remote_put(remote);
	}
	return true;
}

/*
 * --- for who imports ----------------------------------------------------------------------------
 */

/* Are there keys for any device, or is it known that there will be none? */
static bool __kvx_remote_has_keys(struct kvx_remote *remote, int *err)
{
	struct kvx_keys *keys;
	bool pending = list_empty(&remote->keys);

	lockdep_assert_held(&remote->lock);
	*err = 0;
	list_for_each_entry(keys, &remote->keys, link) {
		if (!keys->error && keys->total && keys->got == keys->total) {
			*err = 0;
			return true;
		}
		if (keys->error)
			*err = keys->error;
		else
			pending = true;
	}
	return !pending;
}

/**
 * kvx_remote_is_late() - are there no keys only because a connection was lost?
 * @remote: what was asked for
 *
 * They are asked for again by the next.
 *
 * Context: process.
 * Return: true when it is so.
 */
bool kvx_remote_is_late(struct kvx_remote *remote)
{
	bool late;
	int err;

	spin_lock(&remote->lock);
	late = remote->state == KVX_REMOTE_KNOWN && __kvx_remote_has_keys(remote, &err) &&
	       (err == -EIO || err == -ENODEV);
	spin_unlock(&remote->lock);
	return late;
}

/**
 * kvx_remote_settled() - is it known whether it can be had?
 * @remote: what was asked for
 *
 * Context: process.
 * Return: true when it is.
 */
bool kvx_remote_settled(struct kvx_remote *remote)
{
	bool settled;
	int err;

	spin_lock(&remote->lock);
	settled = remote->state == KVX_REMOTE_ENDED ||
		  (remote->state == KVX_REMOTE_KNOWN && __kvx_remote_has_keys(remote, &err));
	spin_unlock(&remote->lock);
	return settled;
}

/**
 * kvx_remote_take() - have what was asked for
 * @remote: what was asked for, which is settled; not to be used any more if this succeeds
 * @err: set to why not: a negative errno
 * @reason: &enum kvxfer_reason
 *
 * Context: process, may sleep.
 * Return: the right to the layout; or NULL.
 */
struct kvx_grant *kvx_remote_take(struct kvx_remote *remote, int *err, u32 *reason)
{
	struct kvx_registered *reg = NULL;
	struct kvx_grant *grant;

	*err = 0;
	*reason = 0;
	spin_lock(&remote->lock);
	if (remote->state != KVX_REMOTE_KNOWN)
		*err = remote->error ?: -EAGAIN;
	else
		__kvx_remote_has_keys(remote, err);
	*reason = remote->reason;
	if (!*err)
		reg = remote->reg;
	spin_unlock(&remote->lock);
	if (*err)
		return NULL;
	grant = kvx_grant_new(reg, remote->rights, remote->first, remote->end, remote->expires_ns);
	if (!grant) {
		*err = -ENOMEM;
		return NULL;
	}
	/* The layout is the grant's, and the layout has the remote. */
	kvx_remote_put(remote);
	return grant;
}
