// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages: bytes that one agent sends and another has room for.
 *
 * Either side is a transfer: posted, waited for, canceled and released as others are. What is sent
 * is an *offer* to its receiver, and waits in that one's mailbox for the sender until there is room
 * for it; or the room waits there for an offer. When both have met, the receiver's transfer moves
 * the bytes, by the same means as others: it copies, or reads from the peer that the offer came
 * from, see message_far.c. Then the offer ends, and with it the sender's transfer.
 *
 * Whatever ends a transfer that waits takes it out of the mailbox, under the receiver's lock. What
 * has met is ended by the receiver alone; a sender that wants it to end fails the receiver.
 */
#include <linux/hashtable.h>
#include <linux/slab.h>

#include "abi.h"
#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "message_run.h"
#include "peer.h"
#include "pool.h"
#include "rdma/flow.h"
#include "remote.h"
#include "xfer.h"

/**
 * kvx_message_bytes() - how many bytes of a message are where they should be
 * @job: of a message
 *
 * Context: any.
 * Return: the number.
 */
u64 kvx_message_bytes(struct kvx_job *job)
{
	return kvx_message_of(job)->moved;
}

/**
 * kvx_message_index() - where it went wrong
 * @job: of a message
 *
 * Context: any.
 * Return: the index of its reason.
 */
u32 kvx_message_index(struct kvx_job *job)
{
	return kvx_message_of(job)->index;
}

/*
 * --- mailboxes ----------------------------------------------------------------------------------
 */

/**
 * kvx_messages_init() - an agent's
 * @messages: to be set
 *
 * Context: any.
 */
void kvx_messages_init(struct kvx_messages *messages)
{
	spin_lock_init(&messages->lock);
	hash_init(messages->boxes);
	INIT_LIST_HEAD(&messages->awaited);
	INIT_LIST_HEAD(&messages->watchers);
}

/**
 * kvx_mailbox_get() - where an agent finds what another sends
 * @agent: the agent
 * @peer: whose agent the other is; NULL for one of this node's
 * @epoch: of the other
 *
 * Context: process, may sleep.
 * Return: the mailbox, for kvx_mailbox_put(); or NULL.
 */
struct kvx_mailbox *kvx_mailbox_get(struct kvx_agent *agent, struct kvx_peer *peer, u64 epoch)
{
	struct kvx_mailbox *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	struct kvx_mailbox *box, *found = NULL;
	struct kvx_messages *messages = &agent->messages;

	if (!fresh)
		return NULL;
	fresh->peer = peer;
	fresh->epoch = epoch;
	INIT_LIST_HEAD(&fresh->offers);
	INIT_LIST_HEAD(&fresh->recvs);
	spin_lock(&messages->lock);
	hash_for_each_possible(messages->boxes, box, hash, epoch)
		if (box->epoch == epoch && box->peer == peer)
			found = box;
	if (!found) {
		hash_add(messages->boxes, &fresh->hash, epoch);
		swap(found, fresh);
	}
	found->users++;
	spin_unlock(&messages->lock);
	kfree(fresh);
	return found;
}

/**
 * kvx_mailbox_put() - done with a mailbox
 * @agent: whose
 * @box: the mailbox; may be NULL
 *
 * Context: process.
 */
void kvx_mailbox_put(struct kvx_agent *agent, struct kvx_mailbox *box)
{
	bool last;

	if (!box)
		return;
	spin_lock(&agent->messages.lock);
	last = !--box->users;
	if (last)
		hash_del(&box->hash);
	spin_unlock(&agent->messages.lock);
	if (last)
		kfree(box);
}

/*
 * --- what is sent -------------------------------------------------------------------------------
 */

static void kvx_offer_free(struct kref *ref)
{
	struct kvx_offer *offer = container_of(ref, struct kvx_offer, ref);

	kvx_mailbox_put(offer->to, offer->box);
	kvx_agent_put(offer->to);
	if (offer->peer)
		kvx_peer_put(offer->peer);
	kvx_msg_free(offer->answer);
	kfree(offer);
}

/**
 * kvx_offer_put() - drop a reference
 * @offer: the offer
 *
 * Context: process.
 */
void kvx_offer_put(struct kvx_offer *offer)
{
	kref_put(&offer->ref, kvx_offer_free);
}

static void kvx_send_quiet(struct kvx_message *send, u32 error, u32 reason, u32 index)
{
	send->moved = error ? 0 : send->bytes;
	send->index = index;
	if (error)
		send->job.fail(&send->job, error, reason);
	send->job.quiet(&send->job);
}

/**
 * kvx_offer_end() - what becomes of it is known: whoever sends it is told
 * @offer: which nobody else ends; is not the caller's any more
 * @error: a positive errno; or 0
 * @reason: &enum kvxfer_reason
 * @index: where
 *
 * Context: process, may sleep.
 */
void kvx_offer_end(struct kvx_offer *offer, u32 error, u32 reason, u32 index)
{
	struct kvx_message *send = offer->send;

	if (send) {
		spin_lock(&offer->to->messages.lock);
		send->offer = NULL;
		spin_unlock(&offer->to->messages.lock);
		kvx_offer_put(offer);
		kvx_send_quiet(send, error, reason, index);
	} else {
		kvx_offer_answer(offer, error, reason, index);
	}
	kvx_offer_put(offer);
}

/**
 * kvx_offer_post() - it meets room that waits for it, or waits
 * @offer: is not the caller's any more
 *
 * Context: process, may sleep.
 */
void kvx_offer_post(struct kvx_offer *offer)
{
	struct kvx_messages *messages = &offer->to->messages;
	struct kvx_message *found = NULL;
	bool closed, stopped;

	spin_lock(&messages->lock);
	closed = messages->closed;
	stopped = offer->stopped;
	if (!closed && !stopped) {
		found = list_first_entry_or_null(&offer->box->recvs, struct kvx_message, link);
		if (found)
			__kvx_recv_meet(found, offer);
		else
			list_add_tail(&offer->link, &offer->box->offers);
	}
	spin_unlock(&messages->lock);
	if (closed)
		kvx_offer_end(offer, ESTALE, KVXFER_REASON_PEER_GONE, 0);
	else if (stopped)
		kvx_offer_end(offer, ECANCELED, KVXFER_REASON_MSG_WITHDRAWN, 0);
	else if (found)
		kvx_recv_start(found);
}

/**
 * kvx_offer_stop() - whoever sends it does not want to any more
 * @offer: the caller has a reference
 * @error: what its receiver is told: a positive errno
 * @reason: &enum kvxfer_reason
 *
 * Context: process, may sleep.
 */
void kvx_offer_stop(struct kvx_offer *offer, u32 error, u32 reason)
{
	struct kvx_messages *messages = &offer->to->messages;
	struct kvx_xfer *xfer = NULL;
	bool waits;
	u32 run;

	spin_lock(&messages->lock);
	waits = !list_empty(&offer->link);
	list_del_init(&offer->link);
	offer->stopped = true;
	/* What has met something runs. */
	if (offer->recv) {
		xfer = offer->recv->job.xfer;
		kref_get(&xfer->ref);
		run = xfer->run;
	}
	spin_unlock(&messages->lock);
	if (waits)
		kvx_offer_end(offer, error, reason, 0);
	if (!xfer)
		return;
	kvx_xfer_fail_run(xfer, run, error, reason);
	kvx_xfer_put(xfer);
}

static void kvx_send_begin(struct kvx_job *job, const struct kvx_shape *shape)
{
	struct kvx_message *send = kvx_message_of(job);
	struct kvx_offer *offer = kzalloc(sizeof(*offer), GFP_KERNEL_ACCOUNT);
	bool stop;

	if (!offer) {
		kvx_send_quiet(send, ENOMEM, 0, 0);
		return;
	}
	kref_init(&offer->ref);
	INIT_LIST_HEAD(&offer->link);
	kref_get(&send->other->ref);
	offer->to = send->other;
	offer->bytes = send->bytes;
	offer->skew = send->skew;
	offer->send = send;
	send->moved = 0;
	send->index = 0;
	spin_lock(&send->other->messages.lock);
	send->box->users++;
	offer->box = send->box;
	stop = READ_ONCE(job->stop);
	if (!stop) {
		kref_get(&offer->ref);
		send->offer = offer;
	}
	spin_unlock(&send->other->messages.lock);
	if (stop) {
		kvx_offer_put(offer);
		job->quiet(job);
		return;
	}
	kvx_offer_post(offer);
}

static void kvx_send_stop(struct kvx_job *job)
{
	struct kvx_message *send = kvx_message_of(job);
	struct kvx_offer *offer;

	spin_lock(&send->other->messages.lock);
	offer = send->offer;
	if (offer)
		kref_get(&offer->ref);
	spin_unlock(&send->other->messages.lock);
	if (!offer)
		return;
	kvx_offer_stop(offer, ECANCELED, KVXFER_REASON_MSG_WITHDRAWN);
	kvx_offer_put(offer);
}

static const struct kvx_transport_ops kvx_send_ops = {
	.begin	= kvx_send_begin,
	.stop	= kvx_send_stop,
	.bytes	= kvx_message_bytes,
	.index	= kvx_message_index,
};

/*
 * --- commands -----------------------------------------------------------------------------------
 */

/**
 * kvx_message_free() - done with a message
 * @message: which does not run; may be NULL
 *
 * Context: process.
 */
void kvx_message_free(struct kvx_message *message)
{
	if (!message)
		return;
	kvx_mailbox_put(message->box_of, message->box);
	if (message->other)
		kvx_agent_put(message->other);
	if (message->peer) {
		kvx_peer_unwant(message->peer);
		kvx_peer_put(message->peer);
	}
	kfree(message);
}

/* Who the other is, and where both meet. */
static struct kvx_message *kvx_message_new(struct kvx_agent *agent, const struct kvxfer_msg *cmd,
					   bool send, struct kvxfer_hdr *hdr)
{
	struct kvx_message *message = kzalloc(sizeof(*message), GFP_KERNEL_ACCOUNT);
	struct kvx_who who;
	int err;

	if (!message)
		return ERR_PTR(-ENOMEM);
	/* Others know it by this. */
	kvx_agent_fix_worker_id(agent);
	INIT_LIST_HEAD(&message->link);
	INIT_LIST_HEAD(&message->await);
	INIT_WORK(&message->step, kvx_recv_step);
	kvx_send_far_init(message);
	message->worker_id = cmd->worker_id;
	message->bytes = cmd->bytes;
	message->skew = offset_in_page(cmd->offset);
	err = kvx_who_find(agent, cmd->worker_id, cmd->epoch, true, KVXFER_REASON_MSG_AGENT, hdr,
			   &who);
	if (err)
		goto err_free;
	message->other = who.here;
	message->peer = who.peer;
	message->epoch = who.epoch;
	err = kvx_xfer_check_path(message->peer, cmd->path, cmd->rails, hdr);
	if (err)
		goto err_free;
	if (send && message->peer)
		return message;
	message->box_of = send ? message->other : agent;
	message->box = kvx_mailbox_get(message->box_of, message->peer,
				       send ? agent->epoch : message->epoch);
	err = -ENOMEM;
	if (!message->box)
		goto err_free;
	return message;

err_free:
	kvx_message_free(message);
	return ERR_PTR(err);
}

static int kvx_message_make(struct kvx_agent *agent, struct kvxfer_msg *cmd, bool send,
			    struct kvx_xfer **out)
{
	const struct kvx_shape size = { .bytes = cmd->bytes };
	struct kvx_message *message;
	struct kvx_registered *reg;
	struct kvx_xfer *xfer;
	int err;

	message = kvx_message_new(agent, cmd, send, &cmd->hdr);
	if (IS_ERR(message))
		return PTR_ERR(message);
	reg = kvx_layout_new_range(agent, cmd->pool, cmd->offset, cmd->bytes, &cmd->hdr);
	if (IS_ERR(reg)) {
		err = PTR_ERR(reg);
		goto err_free;
	}
	if (!send && !reg->write) {
		err = kvx_refuse(&cmd->hdr, -EACCES, KVXFER_REASON_XFER_READONLY, 0);
		goto err_put;
	}
	message->reg = reg;
	message->parts = send || message->peer ? 1 : kvx_copy_parts(&size);
	xfer = kzalloc(struct_size(xfer, copy.parts, message->parts), GFP_KERNEL_ACCOUNT);
	err = -ENOMEM;
	if (!xfer)
		goto err_put;
	kvx_xfer_init(xfer, agent, message->parts);
	xfer->message = message;
	/* It has one layout, which stands for both. */
	xfer->src = reg;
	kref_get(&reg->ref);
	xfer->dst = reg;
	xfer->shape.bytes = cmd->bytes;
	xfer->path = message->peer ? KVXFER_PATH_RDMA : KVXFER_PATH_LOCAL;
	xfer->user_data = cmd->user_data;
	xfer->timeout_ns = kvx_xfer_timeout(cmd->deadline_ns);
	xfer->once = cmd->hdr.flags & KVXFER_XFER_ONCE && !(cmd->hdr.flags & KVXFER_XFER_WAIT);
	if (send)
		kvx_xfer_set_job(xfer, &message->job,
				 message->peer ? &kvx_send_far_ops : &kvx_send_ops);
	else
		kvx_xfer_set_job(xfer, &message->job, &kvx_recv_ops);
	err = 0;
	if (!send && !kvx_recv_init(message, xfer, cmd->rails))
		err = -ENOMEM;
	/* Nobody else finds the layout: it cannot be closed. */
	if (!err)
		kvx_gate_join(&reg->gate, &xfer->uses[0], xfer);
	if (!err)
		err = kvx_xfer_publish(xfer, &cmd->hdr);
	if (err) {
		kvx_xfer_put(xfer);
		return err;
	}
	cmd->out_xfer = xfer->id;
	cmd->out_path = xfer->path;
	cmd->out_result = (struct kvxfer_completion){};
	*out = xfer;
	return 0;

err_put:
	kvx_layout_put(reg);
err_free:
	kvx_message_free(message);
	return err;
}

/**
 * kvx_msg_send() - KVXFER_IOC_MSG_SEND
 * @agent: who asks
 * @cmd: see &struct kvxfer_msg
 *
 * Context: process, may sleep, with XFER_WAIT until it was received.
 * Return: 0 or what the command promises.
 */
int kvx_msg_send(struct kvx_agent *agent, struct kvxfer_msg *cmd)
{
	struct kvx_xfer *xfer;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->rails, sizeof(cmd->rails),
				   offsetof(struct kvxfer_msg, rails));
	if (!err)
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
					   offsetof(struct kvxfer_msg, reserved));
	if (!err)
		err = kvx_message_make(agent, cmd, true, &xfer);
	return err ?: kvx_xfer_run(agent, xfer, &cmd->hdr, &cmd->out_result);
}

/**
 * kvx_msg_recv() - KVXFER_IOC_MSG_RECV
 * @agent: who asks
 * @cmd: see &struct kvxfer_msg
 *
 * Context: process, may sleep, with XFER_WAIT until something was received.
 * Return: 0 or what the command promises.
 */
int kvx_msg_recv(struct kvx_agent *agent, struct kvxfer_msg *cmd)
{
	struct kvx_xfer *xfer;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_msg, reserved));
	if (!err)
		err = kvx_message_make(agent, cmd, false, &xfer);
	return err ?: kvx_xfer_run(agent, xfer, &cmd->hdr, &cmd->out_result);
}

static struct kvx_offer *__kvx_messages_first(struct kvx_messages *messages)
{
	struct kvx_mailbox *box;
	int bucket;

	lockdep_assert_held(&messages->lock);
	hash_for_each(messages->boxes, bucket, box, hash)
		if (!list_empty(&box->offers))
			return list_first_entry(&box->offers, struct kvx_offer, link);
	return NULL;
}

/**
 * kvx_messages_close() - an agent goes: nobody sends it anything any more, nor waits for it
 * @agent: the agent
 *
 * Context: process, may sleep.
 */
void kvx_messages_close(struct kvx_agent *agent)
{
	struct kvx_messages *messages = &agent->messages;
	struct kvx_offer *offer;

	do {
		spin_lock(&messages->lock);
		WRITE_ONCE(messages->closed, true);
		offer = __kvx_messages_first(messages);
		if (offer)
			list_del_init(&offer->link);
		spin_unlock(&messages->lock);
		if (offer)
			kvx_offer_end(offer, ESTALE, KVXFER_REASON_PEER_GONE, 0);
		cond_resched();
	} while (offer);
	while (kvx_await_next(&messages->awaited, ESTALE, KVXFER_REASON_PEER_GONE))
		cond_resched();
}
