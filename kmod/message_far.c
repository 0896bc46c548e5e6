// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages to and from agents of peers.
 *
 * A message to a peer is offered to it with a key, by which it may read the pages that the bytes
 * are in, as layouts are read by grants. It says when it has, or that it will not; then the key is
 * worth nothing any more, and the message ends. Who does not want to send any more withdraws the
 * offer and waits for that word, but not for long: then the key goes whatever the peer does.
 */
#include <linux/random.h>
#include <linux/slab.h>

#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "message_run.h"
#include "peer.h"
#include "serve.h"
#include "xfer.h"

/* How long a peer may take to leave alone what it has read from. */
#define KVX_SEND_STUCK	(5 * HZ)
/* The same when its deadline has come. */
#define KVX_SEND_LATE	(4 * HZ / 5)

/*
 * --- to a peer ----------------------------------------------------------------------------------
 */

/* The peer knows nothing of it any more, or is not asked: it ends. */
static void kvx_send_end(struct work_struct *work)
{
	struct kvx_message *send = container_of(work, struct kvx_message, end);

	cancel_delayed_work_sync(&send->stuck);
	kvx_gate_close(&send->lent->gate);
	kvx_serve_cut(send->lent, !send->taken);
	/* Who has said so before may be at taking the keys away. A worker has no signals. */
	kvx_gate_wait(&send->lent->gate);
	kvx_grant_put(send->lent);
	send->lent = NULL;
	kvx_msg_free(send->withdraw);
	send->withdraw = NULL;
	atomic_dec(&send->job.xfer->agent->messages.out);
	send->moved = send->error ? 0 : send->bytes;
	if (send->error)
		send->job.fail(&send->job, send->error, send->reason);
	send->job.quiet(&send->job);
}

/* Take it from those that the peer knows. Returns it, for its end; or NULL. */
static struct kvx_message *kvx_send_unlist(struct kvx_peer *peer, u32 serial, bool taken,
					   u32 error, u32 reason, u32 index)
{
	struct kvx_message *send;

	xa_lock(&peer->sends);
	send = __xa_erase(&peer->sends, serial);
	if (send) {
		peer->nr_sends--;
		send->taken = taken;
		send->error = error;
		send->reason = reason;
		send->index = error ? index : 0;
	}
	xa_unlock(&peer->sends);
	return send;
}

static void kvx_send_stuck(struct work_struct *work)
{
	struct kvx_message *send = container_of(to_delayed_work(work), struct kvx_message, stuck);

	/* It waits for this before it ends: it is there. */
	if (kvx_send_unlist(send->peer, send->serial, false, ECANCELED,
			    KVXFER_REASON_XFER_CANCELED, 0))
		queue_work(kvx_peer_wq, &send->end);
}

/**
 * kvx_send_far_init() - make it fit to be sent to a peer
 * @message: the message
 *
 * Context: any.
 */
void kvx_send_far_init(struct kvx_message *message)
{
	INIT_DELAYED_WORK(&message->stuck, kvx_send_stuck);
	INIT_WORK(&message->end, kvx_send_end);
}

static void kvx_send_far_stop(struct kvx_job *job)
{
	struct kvx_message *send = kvx_message_of(job);
	struct kvx_peer *peer = send->peer;
	const bool late = ktime_get_ns() >= READ_ONCE(job->deadline_ns);
	struct kvx_msg *msg = NULL;
	bool listed, tell;
	u32 serial;

	xa_lock(&peer->sends);
	serial = send->serial;
	listed = READ_ONCE(job->stop) && send->offered && xa_load(&peer->sends, serial) == send;
	tell = listed && !send->withdrawn;
	if (tell) {
		send->withdrawn = true;
		swap(msg, send->withdraw);
		queue_delayed_work(kvx_peer_wq, &send->stuck, KVX_SEND_STUCK);
	}
	if (listed && late && !send->late) {
		send->late = true;
		mod_delayed_work(kvx_peer_wq, &send->stuck, KVX_SEND_LATE);
	}
	xa_unlock(&peer->sends);
	if (!tell)
		return;
	msg->id.id = cpu_to_le32(serial);
	kvx_peer_send(peer, msg);
}

static void kvx_send_far_sever(struct kvx_job *job)
{
	struct kvx_message *send = kvx_message_of(job);
	struct kvx_peer *peer = send->peer;

	xa_lock(&peer->sends);
	/* It is there, and waits for the peer's word. */
	if (send->withdrawn && xa_load(&peer->sends, send->serial) == send)
		mod_delayed_work(kvx_peer_wq, &send->stuck, 0);
	xa_unlock(&peer->sends);
}

static void kvx_send_fill(const struct kvx_message *send, struct kvx_msg *msg)
{
	const struct kvx_xfer *xfer = send->job.xfer;

	msg->offer.from_worker_id = cpu_to_le64(READ_ONCE(xfer->agent->worker_id));
	msg->offer.from_epoch = cpu_to_le64(xfer->agent->epoch);
	msg->offer.to_worker_id = cpu_to_le64(send->worker_id);
	msg->offer.to_epoch = cpu_to_le64(send->epoch);
	msg->offer.bytes = cpu_to_le64(send->bytes);
	msg->offer.serial = cpu_to_le32(send->serial);
	msg->offer.skew = cpu_to_le32(send->skew);
	memcpy(msg->offer.key, send->lent->key, sizeof(msg->offer.key));
}

/*
 * Have the peer know it by a serial. From then on it may end: all that is told is filled in before
 * anybody else finds it. Returns 0, -ENOMEM or -ENOSPC.
 */
static int kvx_send_list(struct kvx_message *send, struct kvx_msg *msg, u32 *serial)
{
	struct kvx_peer *peer = send->peer;
	u64 key[2];
	int err;

	static_assert(sizeof(key) == sizeof(send->lent->key));
	get_random_bytes(key, sizeof(key));
	xa_lock(&peer->sends);
	if (peer->nr_sends >= KVX_OFFERS_MAX) {
		xa_unlock(&peer->sends);
		return -ENOSPC;
	}
	err = __xa_alloc_cyclic(&peer->sends, &send->serial, send, xa_limit_31b, &peer->send_next,
				GFP_KERNEL_ACCOUNT);
	if (err >= 0) {
		peer->nr_sends++;
		*serial = send->serial;
		/* By this it is found again. */
		memcpy(key, serial, sizeof(*serial));
		memcpy(send->lent->key, key, sizeof(key));
		kvx_send_fill(send, msg);
	}
	xa_unlock(&peer->sends);
	return err < 0 ? -ENOMEM : 0;
}

static void kvx_send_far_begin(struct kvx_job *job, const struct kvx_shape *shape)
{
	struct kvx_message *send = kvx_message_of(job);
	struct kvx_peer *peer = send->peer;
	struct kvx_msg *msg;
	u32 serial;
	int err;

	send->moved = 0;
	send->index = 0;
	send->offered = false;
	send->withdrawn = false;
	send->late = false;
	err = -ENOSPC;
	if (kvx_peer_is_behind(peer))
		goto err_quiet;
	if (atomic_inc_return(&job->xfer->agent->messages.out) > KVX_SENDS_MAX) {
		atomic_dec(&job->xfer->agent->messages.out);
		goto err_quiet;
	}
	msg = kvx_msg_new(KVX_FRAME_OFFER, sizeof(msg->offer));
	send->withdraw = kvx_msg_new(KVX_FRAME_WITHDRAW, sizeof(send->withdraw->id));
	kref_get(&send->reg->ref);
	send->lent = kvx_grant_new(send->reg, KVXFER_GRANT_READ, 0, 1, U64_MAX);
	if (!send->lent)
		kvx_layout_put(send->reg);
	err = -ENOMEM;
	if (!msg || !send->withdraw || !send->lent)
		goto err_fail;
	err = kvx_send_list(send, msg, &serial);
	if (err)
		goto err_fail;
	kvx_peer_send(peer, msg);
	/* Either we see that it is gone, or who ends what it has not taken sees this. */
	if (READ_ONCE(peer->gone) && kvx_send_unlist(peer, serial, false, ESTALE,
						     KVXFER_REASON_PEER_GONE, 0))
		queue_work(kvx_peer_wq, &send->end);
	/* It may have ended, and run anew. */
	xa_lock(&peer->sends);
	if (xa_load(&peer->sends, serial) == send)
		send->offered = true;
	xa_unlock(&peer->sends);
	if (READ_ONCE(job->stop))
		kvx_send_far_stop(job);
	return;

err_fail:
	kvx_msg_free(msg);
	kvx_msg_free(send->withdraw);
	send->withdraw = NULL;
	kvx_grant_put(send->lent);
	send->lent = NULL;
	atomic_dec(&job->xfer->agent->messages.out);
err_quiet:
	job->fail(job, -err, err == -ENOSPC ? KVXFER_REASON_MSG_FULL : 0);
	job->quiet(job);
}

const struct kvx_transport_ops kvx_send_far_ops = {
	.begin	= kvx_send_far_begin,
	.stop	= kvx_send_far_stop,
	.sever	= kvx_send_far_sever,
	.bytes	= kvx_message_bytes,
	.index	= kvx_message_index,
};

/**
 * kvx_send_grant() - a peer wants what a message is in
 * @peer: who
 * @key: as it was offered
 * @reason: set to why not
 *
 * Context: process.
 * Return: the grant, with a reference; or ERR_PTR.
 */
struct kvx_grant *kvx_send_grant(struct kvx_peer *peer, const u8 *key, u32 *reason)
{
	struct kvx_grant *grant = NULL;
	struct kvx_message *send;
	u32 serial;

	memcpy(&serial, key, sizeof(serial));
	xa_lock(&peer->sends);
	send = xa_load(&peer->sends, serial);
	/* One that has not been offered has no key that anybody could know. */
	if (send && kvx_grant_key_is(send->lent, key)) {
		grant = send->lent;
		kref_get(&grant->ref);
	}
	xa_unlock(&peer->sends);
	*reason = KVXFER_REASON_GRANT_KEY;
	return grant ?: ERR_PTR(-EACCES);
}

/**
 * kvx_send_taken() - a peer says what became of a message
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process.
 * Return: true.
 */
bool kvx_send_taken(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_taken *taken = frame;
	struct kvx_message *send;

	/* One that was withdrawn may have ended without this word. */
	send = kvx_send_unlist(peer, le32_to_cpu(taken->serial), true, kvx_peer_errno(taken->error),
			       le32_to_cpu(taken->reason), le32_to_cpu(taken->index));
	/* What waits for a device is not done here. */
	if (send)
		queue_work(kvx_peer_wq, &send->end);
	return true;
}

/*
 * --- from a peer --------------------------------------------------------------------------------
 */

/**
 * kvx_offer_answer() - tell a peer what became of what it offered
 * @offer: which nobody else ends; the caller has a reference
 * @error: a positive errno; or 0
 * @reason: &enum kvxfer_reason
 * @index: where
 *
 * Context: process.
 */
void kvx_offer_answer(struct kvx_offer *offer, u32 error, u32 reason, u32 index)
{
	struct kvx_peer *peer = offer->peer;
	struct kvx_msg *msg = offer->answer;

	xa_lock(&peer->offers);
	__xa_erase(&peer->offers, offer->serial);
	peer->nr_offers--;
	xa_unlock(&peer->offers);
	offer->answer = NULL;
	msg->taken.serial = cpu_to_le32(offer->serial);
	msg->taken.error = cpu_to_le32(error);
	msg->taken.reason = cpu_to_le32(reason);
	msg->taken.index = cpu_to_le32(index);
	kvx_peer_send(peer, msg);
}

static struct kvx_offer *kvx_offer_new(struct kvx_peer *peer, const struct kvx_wire_offer *o,
				       struct kvx_agent *to)
{
	struct kvx_offer *offer = kzalloc(sizeof(*offer), GFP_KERNEL_ACCOUNT);

	if (!offer)
		return NULL;
	offer->box = kvx_mailbox_get(to, peer, le64_to_cpu(o->from_epoch));
	offer->answer = kvx_msg_new(KVX_FRAME_TAKEN, sizeof(offer->answer->taken));
	if (!offer->box || !offer->answer) {
		kvx_mailbox_put(to, offer->box);
		kvx_msg_free(offer->answer);
		kfree(offer);
		return NULL;
	}
	kref_init(&offer->ref);
	INIT_LIST_HEAD(&offer->link);
	kref_get(&to->ref);
	offer->to = to;
	offer->bytes = le64_to_cpu(o->bytes);
	offer->skew = le32_to_cpu(o->skew);
	kref_get(&peer->ref);
	offer->peer = peer;
	offer->serial = le32_to_cpu(o->serial);
	memcpy(offer->key, o->key, sizeof(offer->key));
	return offer;
}

static void kvx_offer_refuse(struct kvx_peer *peer, const struct kvx_wire_offer *o, u32 error,
			     u32 reason)
{
	struct kvx_msg *msg = kvx_peer_answer(peer, KVX_FRAME_TAKEN, sizeof(msg->taken));

	msg->taken.serial = o->serial;
	msg->taken.error = cpu_to_le32(error);
	msg->taken.reason = cpu_to_le32(reason);
	kvx_peer_send(peer, msg);
}

/* Returns what it is known by, with a reference; or NULL. */
static struct kvx_offer *kvx_offer_get(struct kvx_peer *peer, unsigned long serial)
{
	struct kvx_offer *offer;

	xa_lock(&peer->offers);
	offer = xa_load(&peer->offers, serial);
	if (offer)
		kref_get(&offer->ref);
	xa_unlock(&peer->offers);
	return offer;
}

/* Have it known by its serial, which must be no other's. */
static int kvx_offer_list(struct kvx_offer *offer)
{
	struct kvx_peer *peer = offer->peer;
	int err = -ENOSPC;

	xa_lock(&peer->offers);
	if (peer->nr_offers < KVX_OFFERS_MAX)
		err = __xa_insert(&peer->offers, offer->serial, offer, GFP_KERNEL);
	peer->nr_offers += !err;
	xa_unlock(&peer->offers);
	return err;
}

/**
 * kvx_offer_came() - a peer offers a message
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: false when it breaks the protocol.
 */
bool kvx_offer_came(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_offer *o = frame;
	struct kvx_agent *to = kvx_agent_find(le64_to_cpu(o->to_worker_id));
	struct kvx_offer *offer;
	int err;

	if (!to || to->epoch != le64_to_cpu(o->to_epoch)) {
		kvx_offer_refuse(peer, o, ESTALE, KVXFER_REASON_PEER_GONE);
		if (to)
			kvx_agent_put(to);
		return true;
	}
	offer = kvx_offer_new(peer, o, to);
	kvx_agent_put(to);
	err = offer ? kvx_offer_list(offer) : -ENOMEM;
	if (err) {
		if (offer)
			kvx_offer_put(offer);
		if (err != -EBUSY)
			kvx_offer_refuse(peer, o, -err,
					 err == -ENOSPC ? KVXFER_REASON_MSG_FULL : 0);
		return err != -EBUSY;
	}
	kref_get(&offer->ref);
	kvx_offer_post(offer);
	/* Either we see that it is gone, or who ends what it has offered sees this. */
	if (READ_ONCE(peer->gone))
		kvx_offer_stop(offer, ESTALE, KVXFER_REASON_PEER_GONE);
	kvx_offer_put(offer);
	return true;
}

/**
 * kvx_offer_withdrawn() - a peer does not offer a message any more
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: true.
 */
bool kvx_offer_withdrawn(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_id *which = frame;
	struct kvx_offer *offer = kvx_offer_get(peer, le32_to_cpu(which->id));

	/* It may just have been taken. */
	if (offer) {
		kvx_offer_stop(offer, ECANCELED, KVXFER_REASON_MSG_WITHDRAWN);
		kvx_offer_put(offer);
	}
	return true;
}

/**
 * kvx_messages_gone() - a peer will not come back: nobody takes what was sent there, or sends
 * @peer: the peer
 * @error: why: a negative errno
 *
 * Context: process, may sleep.
 */
void kvx_messages_gone(struct kvx_peer *peer, int error)
{
	struct kvx_message *send;
	struct kvx_offer *offer;
	unsigned long serial;

	xa_for_each(&peer->sends, serial, send) {
		send = kvx_send_unlist(peer, serial, false, -error, KVXFER_REASON_PEER_GONE, 0);
		if (send)
			queue_work(kvx_peer_wq, &send->end);
	}
	xa_for_each(&peer->offers, serial, offer) {
		offer = kvx_offer_get(peer, serial);
		if (!offer)
			continue;
		kvx_offer_stop(offer, -error, KVXFER_REASON_PEER_GONE);
		kvx_offer_put(offer);
		cond_resched();
	}
}
