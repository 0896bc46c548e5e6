/* SPDX-License-Identifier: GPL-2.0-only */
/* Layouts of peers' agents, as ours have them: see remote.c. */
#ifndef KVX_REMOTE_H
#define KVX_REMOTE_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "proto.h"

struct kvx_grant;
struct kvx_msg;
struct kvx_peer;
struct kvx_registered;
struct kvxfer_hdr;
struct kvxfer_import;

/**
 * enum kvx_remote_state - how far it has come
 * @KVX_REMOTE_ASKED: the peer has not answered
 * @KVX_REMOTE_TOLD: it has said what it is like, but not all of it
 * @KVX_REMOTE_KNOWN: all of it
 * @KVX_REMOTE_ENDED: it cannot be had, or not any more
 */
enum kvx_remote_state {
	KVX_REMOTE_ASKED,
	KVX_REMOTE_TOLD,
	KVX_REMOTE_KNOWN,
	KVX_REMOTE_ENDED,
};

/**
 * struct kvx_keys - the keys of a remote layout for a device of the peer's
 * @ref: of the remote's list, and of whoever works with them
 * @link: in the remote's list, under its lock
 * @device: which, as the peer counts
 * @shift: of the spans
 * @total: how many keys; 0 while none has come
 * @got: how many have come, in order
 * @error: why there are none: an errno
 * @over: no more of them is on its way
 * @again: since they were asked for, there has been another connection to ask by
 * @first: for each range its first key's place
 * @keys: they; constant once all have come
 */
struct kvx_keys {
	struct kref ref;
	struct list_head link;
	u32 device;
	u32 shift;
	u32 total;
	u32 got;
	int error;
	bool over;
	bool again;
	u32 *first;
	u32 *keys;
};

/**
 * struct kvx_remote - a layout of an agent of a peer
 * @ref: of the peer's table, of the layout, and of whoever works with it
 * @peer: with a reference
 * @id: by which we speak of it to the peer
 * @lock: for what follows
 * @state: &enum kvx_remote_state
 * @error: why it ended: a negative errno
 * @reason: &enum kvxfer_reason
 * @reg: the layout, from when it is told; without a reference
 * @rights: KVXFER_GRANT_*
 * @first: the first block that may be used
 * @end: behind the last
 * @expires_ns: when the grant ends, by our clock; U64_MAX for never
 * @nr_ranges: how many ranges; the tables are constant once it is known
 * @got_ranges: how many have come
 * @got_bases: how many bases
 * @range_bytes: of each
 * @range_start: and where spans are counted from
 * @keys: the keys that have come, or were asked for
 * @again: asks for those that there was no memory for; queued with a reference, and under @lock
 * @watcher: is queued when something about it has changed; NULL for nobody
 * @detach: by which the peer will be told that it is not wanted any more
 */
struct kvx_remote {
	struct kref ref;
	struct kvx_peer *peer;
	u32 id;
	spinlock_t lock;		/* see above */
	enum kvx_remote_state state;
	int error;
	u32 reason;
	struct kvx_registered *reg;
	u32 rights;
	u32 first;
	u32 end;
	u64 expires_ns;
	u32 nr_ranges;
	u32 got_ranges;
	u32 got_bases;
	u64 *range_bytes;
	u64 *range_start;
	struct list_head keys;
	struct delayed_work again;
	struct kvx_message *watcher;
	struct kvx_msg *detach;
};

struct kvx_remote *kvx_remote_ask(struct kvx_peer *peer, u64 worker_id, u64 epoch, u32 layout,
				  const u8 *key);
void kvx_remote_watch(struct kvx_remote *remote, struct kvx_message *watcher);
bool kvx_remote_is_late(struct kvx_remote *remote);
bool kvx_remote_settled(struct kvx_remote *remote);
struct kvx_grant *kvx_remote_take(struct kvx_remote *remote, int *err, u32 *reason);
void kvx_remote_forget(struct kvx_remote *remote);
void kvx_remote_release(struct kvx_remote *remote);
struct kvx_keys *kvx_remote_keys_for(struct kvx_remote *remote, u32 device);
bool kvx_remote_has_keys_for(struct kvx_remote *remote, u32 device);
void kvx_keys_put(struct kvx_keys *keys);

/* A place in a remote layout, as the device wants it. */
static inline u32 kvx_remote_at(const struct kvx_remote *remote, const struct kvx_keys *keys,
				u64 place, u64 *address, u64 *bytes)
{
	const u32 range = kvx_place_pool(place);
	const struct kvx_span span = kvx_span_at(remote->range_start[range],
						 remote->range_bytes[range], keys->shift,
						 kvx_place_offset(place));

	*address = span.offset;
	*bytes = span.bytes;
	return keys->keys[keys->first[range] + span.key];
}

/* for peer.c */
bool kvx_remote_attached(struct kvx_peer *peer, const void *frame);
bool kvx_remote_table(struct kvx_peer *peer, const void *frame);
bool kvx_remote_keys(struct kvx_peer *peer, const void *frame);
bool kvx_remote_revoked(struct kvx_peer *peer, const void *frame);
void kvx_remotes_rail_ready(struct kvx_peer *peer, u32 device);
void kvx_remotes_gone(struct kvx_peer *peer, int error);

#endif /* KVX_REMOTE_H */
