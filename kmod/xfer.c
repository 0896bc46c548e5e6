// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers.
 *
 * A transfer is prepared once: its handles are looked up, everything that can be wrong with it is
 * found, and it joins the gates of its layouts and grants. What is prepared does not change. Then
 * it runs, as often as its owner wants: a run enters the gates, copies, and ends when nothing
 * touches its blocks any more. How it ends is told in one moment, under its lock: state, ring,
 * note.
 *
 * A transfer is held by its agent's table until it is released and quiet, by each run until that
 * has ended, and by its deadline while that waits. What may be used by a run that another thread
 * ends is used under its lock; what is constant is not.
 */
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "compat.h"
#include "cost.h"
#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "message.h"
#include "pool.h"
#include "rdma/flow.h"
#include "ring.h"
#include "trace.h"
#include "xfer.h"
#include "xfer_state.h"

/* How far one look at a deadline may be from the next. */
#define KVX_XFER_TIMER_MAX	(3600 * HZ)

/* How long what runs may take when its agent is closed, until its connections are ended. */
static unsigned int close_ms = 2000;
module_param(close_ms, uint, 0644);
MODULE_PARM_DESC(close_ms, "how long closing waits for transfers before it ends connections");

static struct workqueue_struct *kvx_xfer_wq;

static_assert(sizeof(struct kvx_xfer) + KVX_COPY_PARTS_MAX * sizeof(struct kvx_copy_part) <=
	      KVX_XFER_BYTES_MAX);

static void kvx_xfer_free(struct kref *ref)
{
	struct kvx_xfer *xfer = container_of(ref, struct kvx_xfer, ref);
	int i;

	for (i = 0; i < KVX_XFER_GATES; i++)
		kvx_gate_part(&xfer->uses[i]);
	for (i = 0; i < 2; i++)
		kvx_grant_put(xfer->grants[i]);
	kvx_message_free(xfer->message);
	kvx_flow_free(xfer->flow);
	kvx_layout_put(xfer->src);
	kvx_layout_put(xfer->dst);
	kvx_note_free(xfer->note);
	kvfree(xfer->ids);
	kvx_agent_put(xfer->agent);
	kfree(xfer);
}

/**
 * kvx_xfer_put() - drop a reference
 * @xfer: the transfer
 *
 * Context: process, may sleep.
 */
void kvx_xfer_put(struct kvx_xfer *xfer)
{
	kref_put(&xfer->ref, kvx_xfer_free);
}

/* Returns the transfer that has a slot, with a reference, or NULL. */
static struct kvx_xfer *kvx_xfer_get_slot(struct kvx_agent *agent, u32 slot)
{
	struct kvx_xfer *xfer;

	/* It leaves the table before the table's reference goes. */
	xa_lock(&agent->xfers);
	xfer = xa_load(&agent->xfers, slot);
	if (xfer)
		kref_get(&xfer->ref);
	xa_unlock(&agent->xfers);
	return xfer;
}

/**
 * kvx_xfer_get() - a transfer of an agent
 * @agent: the agent
 * @id: its number
 *
 * Context: process.
 * Return: the transfer with a reference; or NULL, also for one that is released.
 */
struct kvx_xfer *kvx_xfer_get(struct kvx_agent *agent, u32 id)
{
	struct kvx_xfer *xfer = kvx_xfer_get_slot(agent, KVXFER_XFER_SLOT(id));

	if (!xfer || (xfer->id == id && READ_ONCE(xfer->state) != KVXFER_XFER_RELEASING))
		return xfer;
	kvx_xfer_put(xfer);
	return NULL;
}

/* Show its state, as long as it is in the table: then its word may be another's. */
static void __kvx_xfer_show(struct kvx_xfer *xfer)
{
	lockdep_assert_held(&xfer->lock);
	/* Whoever sees it ended sees the bytes, too. */
	smp_store_release(kvx_state_word(xfer->agent, xfer->id),
			  (xfer->id & 0xffff0000U) | xfer->state);
}

static void kvx_xfer_unprepare(struct kvx_xfer *xfer)
{
	int i;

	for (i = 0; i < KVX_XFER_GATES; i++)
		kvx_gate_unprepare(&xfer->uses[i]);
}

/* It is released, and quiet: from here on its number may be another's. */
static void kvx_xfer_strike(struct kvx_xfer *xfer)
{
	xa_erase(&xfer->agent->xfers, KVXFER_XFER_SLOT(xfer->id));
	/* It may be closing. */
	kvx_agent_wake(xfer->agent);
	kvx_xfer_put(xfer);
}

/*
 * Its owner is done with it. The caller has a reference. Returns false when it was before. One that
 * runs stays in the table until it is quiet.
 */
static bool kvx_xfer_let_go(struct kvx_xfer *xfer)
{
	bool ok, active;

	spin_lock(&xfer->lock);
	ok = kvx_xfer_step(&xfer->state, KVX_XFER_RELEASE);
	active = ok && kvx_xfer_state_active(xfer->state);
	if (active)
		WRITE_ONCE(xfer->job->stop, true);
	if (ok)
		__kvx_xfer_show(xfer);
	spin_unlock(&xfer->lock);
	if (!ok)
		return false;
	if (active)
		xfer->ops->stop(xfer->job);
	kvx_xfer_unprepare(xfer);
	if (!active)
		kvx_xfer_strike(xfer);
	return true;
}

/*
 * --- a run's end --------------------------------------------------------------------------------
 */

static void kvx_xfer_end_cpu(struct kvx_xfer *xfer, u32 nr_src, u32 nr_dst)
{
	while (nr_dst)
		kvx_dmabuf_end(xfer->dst->pools[--nr_dst]);
	while (nr_src)
		kvx_dmabuf_end(xfer->src->pools[--nr_src]);
}

/* Its deadline is nothing to it any more. */
static void kvx_xfer_untime(struct kvx_xfer *xfer)
{
	bool timed;

	spin_lock(&xfer->lock);
	timed = xfer->timed;
	xfer->timed = false;
	spin_unlock(&xfer->lock);
	if (timed && cancel_delayed_work(&xfer->deadline))
		kvx_xfer_put(xfer);
}

/* Nothing touches its blocks any more: the last thing that happens to a run. */
static void kvx_xfer_quiet(struct kvx_job *job)
{
	struct kvx_xfer *xfer = job->xfer;
	struct kvxfer_completion *result = &xfer->result;
	bool once, gone;
	int i;

	if (xfer->src->dmabufs || xfer->dst->dmabufs)
		kvx_xfer_end_cpu(xfer, xfer->src->nr_pools, xfer->dst->nr_pools);
	kvx_xfer_untime(xfer);
	/* Whoever is told of its end may unregister its layouts. */
	if (xfer->once)
		kvx_xfer_unprepare(xfer);

	spin_lock(&xfer->lock);
	if (xfer->state == KVXFER_XFER_RELEASING) {
		/* So it stays until we change it. */
		spin_unlock(&xfer->lock);
		kvx_xfer_unprepare(xfer);
		spin_lock(&xfer->lock);
	}
	WARN_ON_ONCE(!kvx_xfer_step(&xfer->state, KVX_XFER_QUIET));
	if (xfer->run_note && xfer->state != KVXFER_XFER_DONE)
		kvx_note_unreserve(xfer->run_note);
	else if (xfer->run_note && !kvx_note_deliver(xfer->run_note))
		xfer->flags |= KVXFER_COMPLETION_NOTE_LOST;
	xfer->run_note = NULL;
	result->bytes = xfer->ops->bytes(job);
	result->rails = xfer->ops->rails ? xfer->ops->rails(job) : 0;
	result->index = xfer->ops->index ? xfer->ops->index(job) : 0;
	result->end_ns = ktime_get_ns();
	result->state = xfer->state;
	result->error = xfer->error;
	result->reason = xfer->reason;
	result->flags = xfer->flags | (xfer->ops->flags ? xfer->ops->flags(job) : 0);
	trace_kvx_xfer_end(xfer, result);
	/* How long another agent makes wait is nobody's cost. */
	if (xfer->state == KVXFER_XFER_DONE && !xfer->message)
		kvx_cost_measured(xfer->path, result->bytes, result->end_ns - result->post_ns);
	gone = xfer->state == KVXFER_XFER_GONE;
	once = xfer->once && !gone;
	__kvx_xfer_show(xfer);
	if (xfer->entry) {
		xfer->entry->completion = *result;
		kvx_ring_put(xfer->agent, xfer->entry);
		kvx_agent_signal(xfer->agent);
	}
	xfer->entry = NULL;
	spin_unlock(&xfer->lock);
	kvx_agent_wake(xfer->agent);

	/* It may run again already: from here on only what is constant is used. */
	for (i = 0; i < KVX_XFER_GATES; i++)
		if (xfer->uses[i].gate)
			kvx_gate_leave(xfer->uses[i].gate);
	if (gone)
		kvx_xfer_strike(xfer);
	else if (once)
		kvx_xfer_let_go(xfer);
	kvx_xfer_put(xfer);
}

/*
 * End it early, if it runs, and if it is that run; 0: any. What is copied on this node writes
 * nothing any more on return.
 */
static void kvx_xfer_stop_run(struct kvx_xfer *xfer, u32 run, enum kvx_xfer_event event, u32 error,
			      u32 reason)
{
	bool active;
	u32 was;

	spin_lock(&xfer->lock);
	was = xfer->state;
	/* That of an earlier run comes to nothing. */
	active = (!run || run == xfer->run) &&
		 (event != KVX_XFER_EXPIRE || ktime_get_ns() >= xfer->job->deadline_ns) &&
		 kvx_xfer_step(&xfer->state, event) && kvx_xfer_state_active(xfer->state);
	/* Only the first cause counts; and what is released has no word any more. */
	if (xfer->state != was) {
		xfer->error = error;
		xfer->reason = reason;
		WRITE_ONCE(xfer->job->stop, true);
		__kvx_xfer_show(xfer);
	}
	spin_unlock(&xfer->lock);
	if (active)
		xfer->ops->stop(xfer->job);
}

static void kvx_xfer_stop(struct kvx_xfer *xfer, enum kvx_xfer_event event, u32 error, u32 reason)
{
	kvx_xfer_stop_run(xfer, 0, event, error, reason);
}

/**
 * kvx_xfer_fail_run() - one of its runs cannot be done
 * @xfer: the transfer; the caller has a reference
 * @run: which run; nothing is done when it has ended
 * @error: why: a positive errno
 * @reason: &enum kvxfer_reason
 *
 * Context: process, may sleep.
 */
void kvx_xfer_fail_run(struct kvx_xfer *xfer, u32 run, u32 error, u32 reason)
{
	kvx_xfer_stop_run(xfer, run, KVX_XFER_FAIL, error, reason);
}

static void kvx_xfer_expire(struct kvx_job *job)
{
	kvx_xfer_stop(job->xfer, KVX_XFER_EXPIRE, ETIMEDOUT, KVXFER_REASON_XFER_DEADLINE);
}

static void kvx_xfer_fail(struct kvx_job *job, u32 error, u32 reason)
{
	kvx_xfer_stop(job->xfer, KVX_XFER_FAIL, error, reason);
}

/* Have @deadline called when it is time. The caller gives a reference, which is not the last. */
static void kvx_xfer_time(struct kvx_xfer *xfer)
{
	const u64 now = ktime_get_ns(), then = READ_ONCE(xfer->job->deadline_ns);
	const u64 jiffies_left = nsecs_to_jiffies64(then > now ? then - now : 0) + 1;

	/* It may wait already: by an earlier run's, which has seen that there is a later one. */
	if (!queue_delayed_work(kvx_xfer_wq, &xfer->deadline,
				min_t(u64, jiffies_left, KVX_XFER_TIMER_MAX)))
		kvx_xfer_put(xfer);
}

static void kvx_xfer_deadline(struct work_struct *work)
{
	struct kvx_xfer *xfer = container_of(to_delayed_work(work), struct kvx_xfer, deadline);
	bool again;

	spin_lock(&xfer->lock);
	/* Timers do not reach as far as deadlines may. */
	again = xfer->timed && ktime_get_ns() < xfer->job->deadline_ns;
	if (again)
		kvx_xfer_time(xfer);
	spin_unlock(&xfer->lock);
	if (again)
		return;
	kvx_xfer_expire(xfer->job);
	kvx_xfer_put(xfer);
}

static struct kvx_xfer *kvx_xfer_of_use(struct kvx_use *use)
{
	return kref_get_unless_zero(&use->xfer->ref) ? use->xfer : NULL;
}

static void kvx_xfer_cut(struct kvx_xfer *xfer)
{
	kvx_xfer_stop(xfer, KVX_XFER_FAIL, ESTALE, KVXFER_REASON_XFER_CUT);
	kvx_xfer_put(xfer);
}

/**
 * kvx_xfers_cut() - end all that runs through a gate
 * @gate: closed
 *
 * Context: process, may sleep.
 */
void kvx_xfers_cut(struct kvx_gate *gate)
{
	kvx_gate_cut(gate, kvx_xfer_of_use, kvx_xfer_cut);
}

/*
 * --- a run's beginning --------------------------------------------------------------------------
 */

static int kvx_xfer_begin_cpu(struct kvx_xfer *xfer, struct kvxfer_hdr *hdr)
{
	u32 nr_src, nr_dst = 0;
	int err = 0;

	for (nr_src = 0; nr_src < xfer->src->nr_pools && !err; nr_src++)
		err = kvx_dmabuf_begin(xfer->src->pools[nr_src]);
	for (; nr_dst < xfer->dst->nr_pools && !err; nr_dst++)
		err = kvx_dmabuf_begin(xfer->dst->pools[nr_dst]);
	if (!err)
		return 0;
	/* The one that failed has not begun. */
	if (nr_dst)
		nr_dst--;
	else
		nr_src--;
	kvx_xfer_end_cpu(xfer, nr_src, nr_dst);
	if (err == -EINTR)
		return kvx_refuse(hdr, err, KVXFER_REASON_INTERRUPTED, 0);
	if (err == -EAGAIN)
		return kvx_refuse(hdr, err, KVXFER_REASON_DMABUF_BUSY, 0);
	return kvx_refuse(hdr, -EIO, KVXFER_REASON_DMABUF_CPU, -err);
}

static void kvx_xfer_leave(struct kvx_xfer *xfer, int entered)
{
	while (entered--)
		if (xfer->uses[entered].gate)
			kvx_gate_leave(xfer->uses[entered].gate);
}

static int kvx_xfer_enter(struct kvx_xfer *xfer, struct kvxfer_hdr *hdr)
{
	int i;

	for (i = 0; i < KVX_XFER_GATES; i++) {
		if (!xfer->uses[i].gate || kvx_gate_enter(xfer->uses[i].gate))
			continue;
		kvx_xfer_leave(xfer, i);
		return kvx_refuse(hdr, -ESTALE, KVXFER_REASON_HANDLE_STALE, kvx_xfer_side(i));
	}
	return 0;
}

/* When a run that begins now has to end: by its own time, and by that of its grants. */
static int kvx_xfer_when(const struct kvx_xfer *xfer, u64 now, u64 *deadline_ns,
			 struct kvxfer_hdr *hdr)
{
	int i;

	if (check_add_overflow(now, xfer->timeout_ns, deadline_ns))
		*deadline_ns = U64_MAX;
	for (i = 0; i < 2; i++) {
		if (!xfer->grants[i])
			continue;
		if (now >= xfer->grants[i]->expires_ns)
			return kvx_refuse(hdr, -EKEYEXPIRED, KVXFER_REASON_GRANT_EXPIRED, i);
		*deadline_ns = min(*deadline_ns, xfer->grants[i]->expires_ns);
	}
	return 0;
}

/* May it begin? Then it has, and what a run needs is its own. */
static int __kvx_xfer_take(struct kvx_xfer *xfer, struct kvx_note *note,
			   struct kvx_ring_entry *entry, u64 now, u64 deadline_ns,
			   struct kvxfer_hdr *hdr)
{
	const u32 was = xfer->state;

	lockdep_assert_held(&xfer->lock);
	if (!kvx_xfer_step(&xfer->state, KVX_XFER_POST)) {
		if (was == KVXFER_XFER_GONE || was == KVXFER_XFER_RELEASING)
			return kvx_refuse(hdr, -ENOENT, KVXFER_REASON_XFER_UNKNOWN, 0);
		return kvx_xfer_state_active(was) ?
		       kvx_refuse(hdr, -EBUSY, KVXFER_REASON_XFER_RUNNING, was) :
		       kvx_refuse(hdr, -EINVAL, KVXFER_REASON_XFER_STATE, was);
	}
	kref_get(&xfer->ref);
	if (!++xfer->run)
		xfer->run = 1;
	xfer->error = 0;
	xfer->reason = 0;
	xfer->flags = !xfer->flow && !xfer->message && xfer->shape.bytes <= KVX_COPY_INLINE ?
		      KVXFER_COMPLETION_INLINE : 0;
	xfer->run_note = note;
	xfer->entry = entry;
	xfer->result = (struct kvxfer_completion){
		.user_data = xfer->user_data,
		.post_ns = now,
		.xfer = xfer->id,
		.path = xfer->path,
	};
	WRITE_ONCE(xfer->job->stop, false);
	WRITE_ONCE(xfer->job->deadline_ns, deadline_ns);
	__kvx_xfer_show(xfer);
	trace_kvx_xfer_post(xfer);
	return 0;
}

/* Begin a run. @note is for this one, and taken over; NULL for that of the transfer. */
static int kvx_xfer_begin(struct kvx_xfer *xfer, struct kvx_note *note, struct kvxfer_hdr *hdr)
{
	const u64 now = ktime_get_ns();
	struct kvx_ring_entry *entry;
	bool reserved = false;
	u64 deadline_ns;
	int err, i;

	entry = kvx_ring_reserve(xfer->agent, hdr);
	if (IS_ERR(entry)) {
		err = PTR_ERR(entry);
		entry = NULL;
		goto err_free;
	}
	if (!note && xfer->note) {
		note = kvx_note_copy(xfer->note);
		err = -ENOMEM;
		if (!note)
			goto err_free;
	}
	if (note) {
		err = kvx_note_reserve(note, hdr);
		if (err)
			goto err_free;
		reserved = true;
	}
	err = kvx_xfer_when(xfer, now, &deadline_ns, hdr);
	if (!err)
		err = kvx_xfer_enter(xfer, hdr);
	if (err)
		goto err_free;
	if (xfer->src->dmabufs || xfer->dst->dmabufs)
		err = kvx_xfer_begin_cpu(xfer, hdr);
	if (err)
		goto err_leave;
	spin_lock(&xfer->lock);
	err = __kvx_xfer_take(xfer, note, entry, now, deadline_ns, hdr);
	spin_unlock(&xfer->lock);
	if (err)
		goto err_end_cpu;
	if (!(xfer->flags & KVXFER_COMPLETION_INLINE)) {
		kref_get(&xfer->ref);
		spin_lock(&xfer->lock);
		xfer->timed = true;
		kvx_xfer_time(xfer);
		spin_unlock(&xfer->lock);
	}
	for (i = 0; i < KVX_XFER_GATES; i++)
		if (kvx_gate_is_cut(&xfer->uses[i]))
			kvx_xfer_stop(xfer, KVX_XFER_FAIL, ESTALE, KVXFER_REASON_XFER_CUT);
	xfer->ops->begin(xfer->job, &xfer->shape);
	return 0;

err_end_cpu:
	if (xfer->src->dmabufs || xfer->dst->dmabufs)
		kvx_xfer_end_cpu(xfer, xfer->src->nr_pools, xfer->dst->nr_pools);
err_leave:
	kvx_xfer_leave(xfer, KVX_XFER_GATES);
err_free:
	if (reserved)
		kvx_note_unreserve(note);
	else
		kvx_note_free(note);
	kfree(entry);
	return err;
}

/**
 * kvx_xfer_report() - how it ended, or where it is
 * @xfer: the transfer
 * @result: set to that
 *
 * Context: process.
 */
void kvx_xfer_report(struct kvx_xfer *xfer, struct kvxfer_completion *result)
{
	spin_lock(&xfer->lock);
	if (kvx_xfer_state_active(xfer->state) || xfer->state == KVXFER_XFER_IDLE)
		*result = (struct kvxfer_completion){
			.user_data = xfer->user_data,
			.xfer = xfer->id,
			.state = xfer->state,
		};
	else
		*result = xfer->result;
	spin_unlock(&xfer->lock);
}

/*
 * --- the table ----------------------------------------------------------------------------------
 */

/**
 * kvx_xfer_set_job() - how its bytes go
 * @xfer: that has not been posted
 * @job: what the transport knows it by
 * @ops: the transport
 *
 * Context: any.
 */
void kvx_xfer_set_job(struct kvx_xfer *xfer, struct kvx_job *job,
		      const struct kvx_transport_ops *ops)
{
	job->xfer = xfer;
	job->expire = kvx_xfer_expire;
	job->fail = kvx_xfer_fail;
	job->quiet = kvx_xfer_quiet;
	xfer->job = job;
	xfer->ops = ops;
}

/**
 * kvx_xfer_init() - make a new one fit to run
 * @xfer: zeroed, with room for its parts
 * @agent: whose it will be
 * @parts: how many
 *
 * Context: any.
 */
void kvx_xfer_init(struct kvx_xfer *xfer, struct kvx_agent *agent, u32 parts)
{
	kref_init(&xfer->ref);
	spin_lock_init(&xfer->lock);
	INIT_DELAYED_WORK(&xfer->deadline, kvx_xfer_deadline);
	kref_get(&agent->ref);
	xfer->agent = agent;
	xfer->state = KVXFER_XFER_IDLE;
	kvx_copy_init(&xfer->copy, parts);
	xfer->copy.queue = &agent->copies;
	kvx_xfer_set_job(xfer, &xfer->copy.job, &kvx_copy_ops);
}

/**
 * kvx_xfer_publish() - give it a number, by which it can be found from then on
 * @xfer: made; the table has a reference of its own
 * @hdr: where a refusal is noted
 *
 * Context: process, may sleep.
 * Return: 0, -ENOSPC or -ENOMEM.
 */
int kvx_xfer_publish(struct kvx_xfer *xfer, struct kvxfer_hdr *hdr)
{
	struct kvx_agent *agent = xfer->agent;
	u32 slot, seq;
	int err;

	err = xa_alloc(&agent->xfers, &slot, NULL, XA_LIMIT(0, KVXFER_XFERS_MAX - 1),
		       GFP_KERNEL_ACCOUNT);
	if (err == -EBUSY)
		return kvx_refuse(hdr, -ENOSPC, KVXFER_REASON_XFER_MANY, KVXFER_XFERS_MAX);
	if (err)
		return err;
	/* Never 0, and another for each that has this slot in turn. */
	seq = (u32)atomic_inc_return(&agent->xfer_last) % 0x7fff + 1;
	xfer->id = seq << 16 | slot;
	if (!kvx_state_word(agent, xfer->id)) {
		xa_release(&agent->xfers, slot);
		return -ENOMEM;
	}
	spin_lock(&xfer->lock);
	__kvx_xfer_show(xfer);
	spin_unlock(&xfer->lock);
	/* In a place that is reserved this cannot fail. */
	kref_get(&xfer->ref);
	xa_store(&agent->xfers, slot, xfer, GFP_KERNEL_ACCOUNT);
	return 0;
}

/*
 * --- commands -----------------------------------------------------------------------------------
 */

/**
 * kvx_xfer_prep() - KVXFER_IOC_XFER_PREP
 * @agent: who asks
 * @cmd: see &struct kvxfer_xfer_prep
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_xfer_prep(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd)
{
	struct kvx_xfer *xfer;
	int err;

	err = kvx_xfer_make(agent, cmd, false, &xfer);
	if (err)
		return err;
	if (cmd->hdr.flags & KVXFER_XFER_POST)
		return kvx_xfer_run(agent, xfer, &cmd->hdr, &cmd->out_result);
	kvx_xfer_put(xfer);
	return 0;
}

/**
 * kvx_xfer_run() - post what was just made, and wait for its end if the command says so
 * @agent: whose
 * @xfer: the transfer, which is released if it cannot be posted, or was waited for; the caller's
 * reference goes with this call
 * @hdr: the command's: with XFER_WAIT
 * @result: set to how it ended, if it has
 *
 * Context: process, may sleep, with XFER_WAIT for as long as the transfer takes.
 * Return: 0 or what XFER_POST promises; -EINTR.
 */
int kvx_xfer_run(struct kvx_agent *agent, struct kvx_xfer *xfer, struct kvxfer_hdr *hdr,
		 struct kvxfer_completion *result)
{
	const bool wait = hdr->flags & KVXFER_XFER_WAIT;
	int err;

	err = kvx_xfer_begin(xfer, NULL, hdr);
	if (!err && wait &&
	    wait_event_interruptible(agent->wait, kvx_xfer_has_ended(xfer))) {
		kvx_xfer_stop(xfer, KVX_XFER_CANCEL, ECANCELED, KVXFER_REASON_XFER_CANCELED);
		wait_event(agent->wait, kvx_xfer_has_ended(xfer));
	}
	if (!err) {
		kvx_xfer_report(xfer, result);
		if (wait && result->state == KVXFER_XFER_CANCELED && signal_pending(current))
			err = kvx_refuse(hdr, -EINTR, KVXFER_REASON_INTERRUPTED,
					 result->bytes >> 20);
	}
	if (err || wait)
		kvx_xfer_let_go(xfer);
	kvx_xfer_put(xfer);
	return err;
}

/**
 * kvx_xfer_exec() - KVXFER_IOC_XFER_EXEC
 * @agent: who asks
 * @cmd: see &struct kvxfer_xfer_prep
 *
 * Context: process, may sleep, with XFER_WAIT for as long as the transfer takes.
 * Return: 0 or what the command promises.
 */
int kvx_xfer_exec(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd)
{
	struct kvx_xfer *xfer;
	int err;

	err = kvx_xfer_make(agent, cmd, !(cmd->hdr.flags & KVXFER_XFER_WAIT), &xfer);
	return err ?: kvx_xfer_run(agent, xfer, &cmd->hdr, &cmd->out_result);
}

/**
 * kvx_xfer_undo() - release a transfer, if there is one
 * @agent: whose
 * @id: its number
 *
 * Context: process, may sleep.
 */
void kvx_xfer_undo(struct kvx_agent *agent, u32 id)
{
	struct kvx_xfer *xfer = kvx_xfer_get(agent, id);

	if (!xfer)
		return;
	kvx_xfer_let_go(xfer);
	kvx_xfer_put(xfer);
}

/**
 * kvx_xfer_post() - KVXFER_IOC_XFER_POST
 * @agent: who asks
 * @cmd: see &struct kvxfer_xfer_post
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_xfer_post(struct kvx_agent *agent, struct kvxfer_xfer_post *cmd)
{
	struct kvx_xfer *xfer;
	struct kvx_note *note;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_xfer_post, reserved));
	if (err)
		return err;
	note = kvx_xfer_take_note(agent, &cmd->hdr, &cmd->note,
				  offsetof(struct kvxfer_xfer_post, note));
	if (IS_ERR(note))
		return PTR_ERR(note);
	xfer = kvx_xfer_get(agent, cmd->xfer);
	/* One that releases itself is nobody's to post. */
	if (xfer && !xfer->once) {
		err = kvx_xfer_begin(xfer, note, &cmd->hdr);
		if (!err)
			kvx_xfer_report(xfer, &cmd->out_result);
	} else {
		kvx_note_free(note);
		err = kvx_xfer_unknown(&cmd->hdr, 0);
	}
	if (xfer)
		kvx_xfer_put(xfer);
	return err;
}

/**
 * kvx_xfer_cancel() - KVXFER_IOC_XFER_CANCEL
 * @agent: who asks
 * @cmd: see &struct kvxfer_xfer_cancel
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_xfer_cancel(struct kvx_agent *agent, struct kvxfer_xfer_cancel *cmd)
{
	struct kvx_xfer *xfer = kvx_xfer_get(agent, cmd->xfer);

	if (!xfer)
		return kvx_xfer_unknown(&cmd->hdr, 0);
	kvx_xfer_stop(xfer, KVX_XFER_CANCEL, ECANCELED, KVXFER_REASON_XFER_CANCELED);
	cmd->out_state = READ_ONCE(xfer->state);
	kvx_xfer_put(xfer);
	return 0;
}

/**
 * kvx_xfer_release() - KVXFER_IOC_XFER_RELEASE
 * @agent: who asks
 * @cmd: see &struct kvxfer_xfer_release
 *
 * Context: process, may sleep, with XFER_RELEASE_WAIT until the transfer is quiet.
 * Return: 0 or what the command promises.
 */
int kvx_xfer_release(struct kvx_agent *agent, struct kvxfer_xfer_release *cmd)
{
	const bool wait = cmd->hdr.flags & KVXFER_XFER_RELEASE_WAIT;
	struct kvx_xfer *xfer;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_xfer_release, reserved));
	if (err)
		return err;
	/* One that is released already, and not quiet yet, can still be waited for. */
	xfer = kvx_xfer_get_slot(agent, KVXFER_XFER_SLOT(cmd->xfer));
	if (!xfer)
		return kvx_xfer_unknown(&cmd->hdr, 0);
	if (xfer->id != cmd->xfer || (!kvx_xfer_let_go(xfer) && !wait))
		err = kvx_xfer_unknown(&cmd->hdr, 0);
	else if (wait && wait_event_interruptible(agent->wait, kvx_xfer_has_ended(xfer)))
		err = kvx_refuse(&cmd->hdr, -EINTR, KVXFER_REASON_INTERRUPTED, 0);
	else if (wait && xfer->result.flags & KVXFER_COMPLETION_UNCONFIRMED)
		err = kvx_refuse(&cmd->hdr, -EREMOTEIO, KVXFER_REASON_XFER_UNCONFIRMED, 0);
	kvx_xfer_put(xfer);
	return err;
}

static void kvx_xfers_each(struct kvx_agent *agent, void (*what)(struct kvx_xfer *xfer))
{
	struct kvx_xfer *xfer;
	unsigned long slot;

	xa_for_each(&agent->xfers, slot, xfer) {
		xfer = kvx_xfer_get_slot(agent, slot);
		/* It may be on its way out. */
		if (!xfer)
			continue;
		what(xfer);
		kvx_xfer_put(xfer);
		cond_resched();
	}
}

static void kvx_xfer_drop(struct kvx_xfer *xfer)
{
	kvx_xfer_let_go(xfer);
}

static void kvx_xfer_sever(struct kvx_xfer *xfer)
{
	if (xfer->ops->sever)
		xfer->ops->sever(xfer->job);
}

/**
 * kvx_xfers_drop() - an agent is closing
 * @agent: nobody uses it any more
 *
 * Nothing by its transfers is written any more when this returns, on which who waits for a process
 * that was killed relies. What takes longer than close_ms loses its connections.
 *
 * Context: process, may sleep.
 */
void kvx_xfers_drop(struct kvx_agent *agent)
{
	const unsigned long patience = msecs_to_jiffies(READ_ONCE(close_ms));

	kvx_xfers_each(agent, kvx_xfer_drop);
	if (wait_event_timeout(agent->wait, xa_empty(&agent->xfers), patience))
		return;
	kvx_xfers_each(agent, kvx_xfer_sever);
	wait_event(agent->wait, xa_empty(&agent->xfers));
}

/**
 * kvx_xfers_init() - before the first open
 *
 * Return: 0 or -ENOMEM.
 */
int kvx_xfers_init(void)
{
	int err;

	kvx_xfer_wq = alloc_workqueue("kvxfer_deadline", WQ_UNBOUND, 0);
	if (!kvx_xfer_wq)
		return -ENOMEM;
	err = kvx_copy_engine_init();
	if (err)
		destroy_workqueue(kvx_xfer_wq);
	return err;
}

/**
 * kvx_xfers_exit() - after the last close
 */
void kvx_xfers_exit(void)
{
	kvx_copy_engine_exit();
	destroy_workqueue(kvx_xfer_wq);
}
