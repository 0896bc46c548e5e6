// SPDX-License-Identifier: GPL-2.0-only
/*
 * Room for messages: see message.c.
 *
 * It waits until it meets a message. One of this node is copied; one of a peer's is asked for as a
 * layout is, and read when the peer has told where it is. What is read is let go before its sender
 * is told, and that before its own end.
 */
#include <linux/slab.h>

#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "message_run.h"
#include "peer.h"
#include "pool.h"
#include "rdma/flow.h"
#include "remote.h"
#include "watch.h"
#include "xfer.h"

static struct kvx_messages *kvx_recv_messages(const struct kvx_message *recv)
{
	return &recv->job.xfer->agent->messages;
}

/* Be found when whoever it waits for goes. Returns 0, -ESTALE when that has gone, or -ENOMEM. */
static int kvx_recv_await(struct kvx_message *recv)
{
	bool gone;

	if (recv->peer)
		return kvx_watch(recv->peer, recv->worker_id, recv->epoch, &recv->await);
	spin_lock(&kvx_watch_lock);
	/* Either we see that it goes, or who looks for us then finds us. */
	gone = READ_ONCE(recv->other->messages.closed);
	if (!gone)
		list_add_tail(&recv->await, &recv->other->messages.awaited);
	spin_unlock(&kvx_watch_lock);
	return gone ? -ESTALE : 0;
}

/* Whatever becomes of who it waits for, it is none of its concern any more. */
static void kvx_recv_unawait(struct kvx_message *recv)
{
	spin_lock(&kvx_watch_lock);
	list_del_init(&recv->await);
	spin_unlock(&kvx_watch_lock);
}

static void kvx_recv_quiet(struct kvx_message *recv)
{
	kvx_recv_unawait(recv);
	recv->job.quiet(&recv->job);
}

/**
 * kvx_await_next() - an agent or a peer has gone: fail one of those that wait for it
 * @awaited: its list, which nobody joins any more
 * @error: why: a positive errno
 * @reason: &enum kvxfer_reason
 *
 * Context: process, may sleep.
 * Return: false when there is none.
 */
bool kvx_await_next(struct list_head *awaited, u32 error, u32 reason)
{
	struct kvx_xfer *xfer = NULL;
	struct kvx_message *recv;
	u32 run;

	spin_lock(&kvx_watch_lock);
	recv = list_first_entry_or_null(awaited, struct kvx_message, await);
	if (recv) {
		list_del_init(&recv->await);
		xfer = recv->job.xfer;
		kref_get(&xfer->ref);
		run = xfer->run;
	}
	spin_unlock(&kvx_watch_lock);
	if (!xfer)
		return false;
	kvx_xfer_fail_run(xfer, run, error, reason);
	kvx_xfer_put(xfer);
	return true;
}

/**
 * __kvx_recv_meet() - a message, and room for it
 * @recv: the room
 * @offer: the message
 *
 * Context: process; the receiver's lock is held. kvx_recv_start() is to follow without it.
 */
void __kvx_recv_meet(struct kvx_message *recv, struct kvx_offer *offer)
{
	lockdep_assert_held(&offer->to->messages.lock);
	list_del_init(&recv->link);
	list_del_init(&offer->link);
	recv->phase = KVX_RECV_BEGINS;
	kref_get(&offer->ref);
	recv->offer = offer;
	offer->recv = recv;
}

/* Nothing of it is on its way: both sides end. */
static void kvx_recv_end(struct kvx_message *recv, u32 error, u32 reason)
{
	struct kvx_messages *messages = kvx_recv_messages(recv);
	struct kvx_offer *offer = recv->offer;

	if (recv->inner) {
		recv->moved = recv->ops->bytes(recv->inner);
		recv->used = recv->ops->rails ? recv->ops->rails(recv->inner) : 0;
	}
	/* As soon as the sender is told it may go. */
	kvx_recv_unawait(recv);
	spin_lock(&messages->lock);
	recv->phase = KVX_RECV_IDLE;
	recv->offer = NULL;
	offer->recv = NULL;
	spin_unlock(&messages->lock);
	if (error)
		recv->job.fail(&recv->job, error, reason);
	else
		error = recv->error;
	if (recv->moved == offer->bytes)
		kvx_offer_end(offer, 0, 0, 0);
	else if (error)
		kvx_offer_end(offer, error, reason ?: recv->reason, recv->index);
	else
		kvx_offer_end(offer, ECANCELED, KVXFER_REASON_MSG_REFUSED, 0);
	kvx_offer_put(offer);
	kvx_recv_quiet(recv);
}

/* What is read is let go: from then on its sender may have it. */
static void kvx_recv_leave(struct kvx_message *recv)
{
	if (recv->use.gate) {
		kvx_gate_leave(recv->use.gate);
		kvx_gate_part(&recv->use);
		recv->use.gate = NULL;
	}
	kvx_grant_put(recv->grant);
	recv->grant = NULL;
}

static void kvx_recv_inner_expire(struct kvx_job *inner)
{
	struct kvx_job *job = &inner->xfer->message->job;

	job->expire(job);
}

static void kvx_recv_inner_fail(struct kvx_job *inner, u32 error, u32 reason)
{
	struct kvx_message *recv = inner->xfer->message;

	recv->error = error;
	recv->reason = reason;
	recv->job.fail(&recv->job, error, reason);
}

static void kvx_recv_inner_quiet(struct kvx_job *inner)
{
	struct kvx_message *recv = inner->xfer->message;

	kvx_recv_leave(recv);
	kvx_recv_end(recv, 0, 0);
}

static bool kvx_recv_shape(struct kvx_message *recv, const struct kvx_layout *src)
{
	const struct kvx_offer *offer = recv->offer;
	u32 scratch[KVX_SHAPE_SCRATCH_MIN], index;

	recv->shape = (struct kvx_shape){
		.src = {
			.layout = src, .ids = &recv->id, .nr = 1,
			.piece = { .offset = offer->skew, .bytes = offer->bytes, .count = 1 },
		},
		.dst = {
			.layout = &recv->reg->layout, .ids = &recv->id, .nr = 1,
			.piece = { .offset = recv->skew, .bytes = offer->bytes, .count = 1 },
		},
	};
	return kvx_shape_init(&recv->shape, scratch, NULL, &index) == KVX_SHAPE_OK;
}

static void kvx_recv_run(struct kvx_message *recv, struct kvx_job *inner,
			 const struct kvx_transport_ops *ops)
{
	struct kvx_messages *messages = kvx_recv_messages(recv);

	WRITE_ONCE(inner->deadline_ns, READ_ONCE(recv->job.deadline_ns));
	spin_lock(&messages->lock);
	recv->inner = inner;
	recv->ops = ops;
	/* Either it begins stopped, or who stops it sees that it runs. */
	WRITE_ONCE(inner->stop, READ_ONCE(recv->job.stop));
	recv->phase = KVX_RECV_RUNS;
	spin_unlock(&messages->lock);
	ops->begin(inner, &recv->shape);
}

/* Where in its pool a message begins. */
static u64 kvx_message_at(const struct kvx_message *message)
{
	return kvx_place_offset(message->reg->layout.base[0]) + message->skew;
}

/* From an agent of this node, which keeps its pages until its transfer has ended. */
static void kvx_recv_copy(struct kvx_message *recv)
{
	struct kvx_message *send = recv->offer->send;
	struct kvx_copy *copy = &recv->job.xfer->copy;
	const u64 src = kvx_message_at(send), dst = kvx_message_at(recv);

	if (kvx_pool_same(send->reg->pools[0], recv->reg->pools[0]) &&
	    src < dst + send->bytes && dst < src + send->bytes) {
		kvx_recv_end(recv, EINVAL, KVXFER_REASON_XFER_OVERLAP);
		return;
	}
	if (WARN_ON_ONCE(!kvx_recv_shape(recv, &send->reg->layout))) {
		kvx_recv_end(recv, EINVAL, 0);
		return;
	}
	copy->src_pools = send->reg->pools;
	copy->dst_pools = recv->reg->pools;
	copy->nr = min(recv->parts, kvx_copy_parts(&recv->shape));
	kvx_recv_run(recv, &copy->job, &kvx_copy_ops);
}

/* From a peer, which has to tell what it is in, and the keys for it. */
static void kvx_recv_ask(struct kvx_message *recv)
{
	struct kvx_messages *messages = kvx_recv_messages(recv);
	struct kvx_xfer *xfer = recv->job.xfer;
	struct kvx_offer *offer = recv->offer;
	struct kvx_remote *remote;

	remote = kvx_remote_ask(offer->peer, recv->worker_id, recv->epoch, 0, offer->key);
	if (!remote) {
		kvx_recv_end(recv, ENOMEM, 0);
		return;
	}
	kref_get(&xfer->ref);
	/* What changes before it asks is looked at when it does. */
	kvx_remote_watch(remote, recv);
	spin_lock(&messages->lock);
	recv->remote = remote;
	recv->phase = KVX_RECV_ASKS;
	spin_unlock(&messages->lock);
	/* From here on it may end. */
	kvx_message_go_on(recv);
	kvx_xfer_put(xfer);
}

/**
 * kvx_recv_start() - take what it has met
 * @recv: the room
 *
 * Context: process, may sleep.
 */
void kvx_recv_start(struct kvx_message *recv)
{
	const struct kvx_offer *offer = recv->offer;

	if (offer->bytes > recv->bytes) {
		recv->index = min_t(u64, (offer->bytes - 1) / 1024 + 1, U32_MAX);
		kvx_recv_end(recv, EMSGSIZE, KVXFER_REASON_MSG_TRUNCATED);
	} else if (offer->peer) {
		kvx_recv_ask(recv);
	} else {
		kvx_recv_copy(recv);
	}
}

/* The peer has said all, or it is to stop. Nobody watches any more. */
static void kvx_recv_fetch(struct kvx_message *recv, struct kvx_remote *remote, bool stop)
{
	struct kvx_flow *flow = recv->job.xfer->flow;
	struct kvx_registered *src;
	u32 reason = 0;
	int err = 0;

	recv->grant = stop ? NULL : kvx_remote_take(remote, &err, &reason);
	if (!recv->grant) {
		kvx_remote_forget(remote);
		kvx_recv_end(recv, -err, reason);
		return;
	}
	src = recv->grant->reg;
	if (!kvx_gate_join(&src->gate, &recv->use, recv->job.xfer)) {
		kvx_recv_leave(recv);
		kvx_recv_end(recv, ESTALE, KVXFER_REASON_XFER_CUT);
		return;
	}
	if (!kvx_gate_enter(&src->gate)) {
		kvx_gate_part(&recv->use);
		recv->use.gate = NULL;
		kvx_recv_leave(recv);
		kvx_recv_end(recv, ESTALE, KVXFER_REASON_XFER_CUT);
		return;
	}
	/* What a peer says may be anything. */
	if (!(recv->grant->rights & KVXFER_GRANT_READ) || recv->grant->first ||
	    !kvx_recv_shape(recv, &src->layout)) {
		kvx_recv_leave(recv);
		kvx_recv_end(recv, EPROTO, 0);
		return;
	}
	kvx_flow_aim(flow, src->remote);
	kvx_recv_run(recv, kvx_flow_job(flow), &kvx_flow_ops);
}

/**
 * kvx_recv_step() - the peer may have said all, or it is to stop
 * @work: @step of a message
 *
 * Context: process, may sleep.
 */
void kvx_recv_step(struct work_struct *work)
{
	struct kvx_message *recv = container_of(work, struct kvx_message, step);
	struct kvx_messages *messages = kvx_recv_messages(recv);
	struct kvx_xfer *xfer = recv->job.xfer;
	struct kvx_remote *remote;
	bool stop;

	spin_lock(&messages->lock);
	remote = recv->phase == KVX_RECV_ASKS ? recv->remote : NULL;
	stop = READ_ONCE(recv->job.stop);
	spin_unlock(&messages->lock);
	/* Only we take it further. */
	if (remote && (stop || (kvx_remote_settled(remote) && !kvx_remote_is_late(remote)))) {
		kvx_remote_watch(remote, NULL);
		spin_lock(&messages->lock);
		recv->phase = KVX_RECV_BEGINS;
		spin_unlock(&messages->lock);
		kvx_recv_fetch(recv, remote, stop);
	}
	kvx_xfer_put(xfer);
}

/**
 * kvx_message_go_on() - something has changed that room for a message waits for
 * @message: which runs, or is held
 *
 * Context: any.
 */
void kvx_message_go_on(struct kvx_message *message)
{
	kref_get(&message->job.xfer->ref);
	/* If it is queued already, that has a reference. */
	if (!queue_work(kvx_peer_wq, &message->step))
		kvx_xfer_put(message->job.xfer);
}

static void kvx_recv_begin(struct kvx_job *job, const struct kvx_shape *shape)
{
	struct kvx_message *recv = kvx_message_of(job);
	struct kvx_messages *messages = kvx_recv_messages(recv);
	struct kvx_offer *found = NULL;
	bool stop;
	int err;

	recv->moved = 0;
	recv->used = 0;
	recv->error = 0;
	recv->reason = 0;
	recv->index = 0;
	recv->inner = NULL;
	err = kvx_recv_await(recv);
	if (err) {
		job->fail(job, -err, err == -ESTALE ? KVXFER_REASON_PEER_GONE : 0);
		kvx_recv_quiet(recv);
		return;
	}
	spin_lock(&messages->lock);
	stop = READ_ONCE(job->stop);
	if (!stop) {
		found = list_first_entry_or_null(&recv->box->offers, struct kvx_offer, link);
		if (found) {
			__kvx_recv_meet(recv, found);
		} else {
			recv->phase = KVX_RECV_WAITS;
			list_add_tail(&recv->link, &recv->box->recvs);
		}
	}
	spin_unlock(&messages->lock);
	if (stop)
		kvx_recv_quiet(recv);
	else if (found)
		kvx_recv_start(recv);
}

/* When this returns, nothing is copied any more. */
static void kvx_recv_stop(struct kvx_job *job)
{
	struct kvx_message *recv = kvx_message_of(job);
	struct kvx_messages *messages = kvx_recv_messages(recv);
	enum kvx_recv_phase phase;
	struct kvx_job *inner;

	spin_lock(&messages->lock);
	/* One that runs anew is not what was to stop. */
	phase = READ_ONCE(job->stop) ? recv->phase : KVX_RECV_IDLE;
	inner = recv->inner;
	if (phase == KVX_RECV_WAITS) {
		list_del_init(&recv->link);
		recv->phase = KVX_RECV_IDLE;
	} else if (phase == KVX_RECV_RUNS) {
		WRITE_ONCE(inner->stop, true);
	}
	spin_unlock(&messages->lock);
	if (phase == KVX_RECV_WAITS)
		kvx_recv_quiet(recv);
	else if (phase == KVX_RECV_ASKS)
		kvx_message_go_on(recv);
	else if (phase == KVX_RECV_RUNS)
		recv->ops->stop(inner);
}

static void kvx_recv_sever(struct kvx_job *job)
{
	struct kvx_message *recv = kvx_message_of(job);
	struct kvx_messages *messages = kvx_recv_messages(recv);
	struct kvx_job *inner = NULL;

	spin_lock(&messages->lock);
	if (recv->phase == KVX_RECV_RUNS && recv->ops->sever)
		inner = recv->inner;
	spin_unlock(&messages->lock);
	if (inner)
		recv->ops->sever(inner);
}

static u32 kvx_recv_rails(struct kvx_job *job)
{
	return kvx_message_of(job)->used;
}

const struct kvx_transport_ops kvx_recv_ops = {
	.begin	= kvx_recv_begin,
	.stop	= kvx_recv_stop,
	.sever	= kvx_recv_sever,
	.bytes	= kvx_message_bytes,
	.rails	= kvx_recv_rails,
	.index	= kvx_message_index,
};

/**
 * kvx_recv_init() - have what moves the bytes
 * @recv: the message
 * @xfer: its transfer
 * @rails: by which rails only; 0 for the nearest
 *
 * Context: process, may sleep.
 * Return: false when there is no memory.
 */
bool kvx_recv_init(struct kvx_message *recv, struct kvx_xfer *xfer, u32 rails)
{
	struct kvx_job *inner = &xfer->copy.job;

	if (recv->peer) {
		xfer->flow = kvx_flow_new(recv->peer, recv->reg, false, rails);
		if (!xfer->flow)
			return false;
		inner = kvx_flow_job(xfer->flow);
	}
	inner->xfer = xfer;
	inner->expire = kvx_recv_inner_expire;
	inner->fail = kvx_recv_inner_fail;
	inner->quiet = kvx_recv_inner_quiet;
	return true;
}
