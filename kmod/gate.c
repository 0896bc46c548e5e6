// SPDX-License-Identifier: GPL-2.0-only
/* See gate.h. */
#include <linux/sched/signal.h>

#include "gate.h"

/**
 * kvx_gate_init() - open a gate
 * @gate: to be set
 * @on_quiet: what to do when it is closed and quiet; NULL for nothing
 *
 * Context: any.
 */
void kvx_gate_init(struct kvx_gate *gate, void (*on_quiet)(struct kvx_gate *gate))
{
	*gate = (struct kvx_gate){ .on_quiet = on_quiet };
	spin_lock_init(&gate->lock);
	INIT_LIST_HEAD(&gate->uses);
	init_waitqueue_head(&gate->wait);
}

/**
 * kvx_gate_join() - a transfer is prepared that will pass through
 * @gate: the gate
 * @use: the transfer's place at it, to be given to kvx_gate_part()
 * @xfer: the transfer
 *
 * Context: process.
 * Return: false when it is closed, and @use is none.
 */
bool kvx_gate_join(struct kvx_gate *gate, struct kvx_use *use, struct kvx_xfer *xfer)
{
	bool closed;

	spin_lock(&gate->lock);
	closed = gate->closed;
	if (!closed) {
		*use = (struct kvx_use){ .gate = gate, .xfer = xfer, .counted = true };
		list_add(&use->link, &gate->uses);
		gate->prepared++;
	}
	spin_unlock(&gate->lock);
	return !closed;
}

/**
 * kvx_gate_unprepare() - the transfer is released, though it may run still
 * @use: its place; may be none, or be so already
 *
 * Context: process.
 */
void kvx_gate_unprepare(struct kvx_use *use)
{
	struct kvx_gate *gate = use->gate;

	if (!gate)
		return;
	spin_lock(&gate->lock);
	gate->prepared -= use->counted;
	use->counted = false;
	spin_unlock(&gate->lock);
}

/**
 * kvx_gate_part() - the transfer is no more
 * @use: its place; may be none
 *
 * Context: process.
 */
void kvx_gate_part(struct kvx_use *use)
{
	struct kvx_gate *gate = use->gate;

	if (!gate)
		return;
	kvx_gate_unprepare(use);
	spin_lock(&gate->lock);
	list_del(&use->link);
	spin_unlock(&gate->lock);
}

/**
 * kvx_gate_is_cut() - has the transfer been told to end?
 * @use: its place; may be none
 *
 * Who begins asks this when the transfer can be seen to run: either it learns here that it was told
 * to end when it could not hear it, or it is told when it can.
 *
 * Context: process.
 * Return: true when it has.
 */
bool kvx_gate_is_cut(struct kvx_use *use)
{
	bool cut;

	if (!use->gate)
		return false;
	spin_lock(&use->gate->lock);
	cut = use->cut;
	spin_unlock(&use->gate->lock);
	return cut;
}

static void kvx_gate_be_quiet(struct kvx_gate *gate)
{
	if (gate->on_quiet)
		gate->on_quiet(gate);
	spin_lock(&gate->lock);
	gate->quiet = true;
	wake_up_all(&gate->wait);
	spin_unlock(&gate->lock);
}

/**
 * kvx_gate_enter() - a transfer begins
 * @gate: the gate
 *
 * Context: process.
 * Return: false when it is closed; else kvx_gate_leave() must follow.
 */
bool kvx_gate_enter(struct kvx_gate *gate)
{
	bool closed;

	spin_lock(&gate->lock);
	closed = gate->closed;
	if (!closed)
		gate->running++;
	spin_unlock(&gate->lock);
	return !closed;
}

/**
 * kvx_gate_leave() - a transfer has ended
 * @gate: the gate
 *
 * Context: process, may sleep as on_quiet does.
 */
void kvx_gate_leave(struct kvx_gate *gate)
{
	bool last;

	spin_lock(&gate->lock);
	last = !--gate->running && gate->closed;
	spin_unlock(&gate->lock);
	if (last)
		kvx_gate_be_quiet(gate);
}

/**
 * kvx_gate_close_unused() - close it, unless transfers are prepared
 * @gate: the gate
 *
 * Context: process, may sleep as on_quiet does.
 * Return: how many are; 0 when it is closed now.
 */
u32 kvx_gate_close_unused(struct kvx_gate *gate)
{
	bool last = false;
	u32 prepared;

	spin_lock(&gate->lock);
	prepared = gate->prepared;
	if (!prepared && !gate->closed) {
		gate->closed = true;
		/* One that was released may still be on its way out. */
		last = !gate->running;
	}
	spin_unlock(&gate->lock);
	if (last)
		kvx_gate_be_quiet(gate);
	return prepared;
}

/**
 * kvx_gate_close() - nobody joins or enters any more
 * @gate: the gate; it may be closed already
 *
 * Context: process, may sleep as on_quiet does.
 */
void kvx_gate_close(struct kvx_gate *gate)
{
	bool last;

	spin_lock(&gate->lock);
	last = !gate->closed && !gate->running;
	gate->closed = true;
	spin_unlock(&gate->lock);
	if (last)
		kvx_gate_be_quiet(gate);
}

/**
 * kvx_gate_cut() - end those that are inside
 * @gate: closed
 * @get: takes a reference to a use's transfer, or returns NULL when it is going anyway
 * @cut: ends a transfer, and gives the reference back
 *
 * Context: process, may sleep as @cut does.
 */
void kvx_gate_cut(struct kvx_gate *gate, struct kvx_xfer *(*get)(struct kvx_use *use),
		  void (*cut)(struct kvx_xfer *xfer))
{
	struct kvx_xfer *xfer;
	struct kvx_use *use;

	spin_lock(&gate->lock);
	while ((use = list_first_entry_or_null(&gate->uses, struct kvx_use, link)) && !use->cut) {
		/* Those that have been told go to the end, and nobody new comes. */
		use->cut = true;
		list_move_tail(&use->link, &gate->uses);
		xfer = get(use);
		spin_unlock(&gate->lock);
		if (xfer)
			cut(xfer);
		cond_resched();
		spin_lock(&gate->lock);
	}
	spin_unlock(&gate->lock);
}

/**
 * kvx_gate_wait() - until it is quiet
 * @gate: closed
 *
 * Context: process, may sleep for as long as the transfers inside take.
 * Return: 0, or -ERESTARTSYS when a signal came.
 */
int kvx_gate_wait(struct kvx_gate *gate)
{
	return wait_event_interruptible(gate->wait, READ_ONCE(gate->quiet));
}
