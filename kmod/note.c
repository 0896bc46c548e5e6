// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notes from agent to agent.
 *
 * Room at the receiver is had before a note is on its way: before it is sent, or before the
 * transfer is posted that it goes with. So a note that is on its way always arrives, unless the
 * receiver goes; and who sends more than is received has to wait. What an agent may have waiting at
 * others is bounded, too: one cannot take all of a receiver's room from the others.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "abi.h"
#include "kvx.h"
#include "peer.h"
#include "grant.h"
#include "ring.h"

/**
 * kvx_notes_init() - an agent's
 * @notes: to be set
 *
 * Context: any.
 */
void kvx_notes_init(struct kvx_notes *notes)
{
	spin_lock_init(&notes->lock);
	INIT_LIST_HEAD(&notes->list);
	init_waitqueue_head(&notes->room);
	init_waitqueue_head(&notes->out_room);
}

/**
 * kvx_note_make() - a note of what a program gave
 * @from: who sends it
 * @to: what, and to whom
 * @hdr: where a refusal is noted
 *
 * Context: process, may sleep.
 * Return: the note; or ERR_PTR: -EINVAL, -ENOENT, -EFAULT, -ENOMEM.
 */
struct kvx_note *kvx_note_make(struct kvx_agent *from, const struct kvxfer_note_to *to,
			       struct kvxfer_hdr *hdr)
{
	struct kvx_note *note;
	struct kvx_who who;
	int err;

	if (to->bytes > KVXFER_NOTE_MAX)
		return ERR_PTR(kvx_refuse(hdr, -EINVAL, KVXFER_REASON_NOTE_SIZE, to->bytes));
	note = kmalloc(struct_size(note, data, to->bytes), GFP_KERNEL_ACCOUNT);
	if (!note)
		return ERR_PTR(-ENOMEM);
	*note = (struct kvx_note){ .bytes = to->bytes };
	err = -EFAULT;
	if (copy_from_user(note->data, u64_to_user_ptr(to->data), to->bytes))
		goto err_free;
	err = kvx_who_find(from, to->worker_id, to->epoch, false, KVXFER_REASON_NOTE_AGENT, hdr,
			   &who);
	if (err)
		goto err_free;
	note->to = who.here;
	note->peer = who.peer;
	note->to_worker_id = to->worker_id;
	note->to_epoch = who.epoch;
	kref_get(&from->ref);
	note->from = from;
	return note;

err_free:
	kvx_note_free(note);
	return ERR_PTR(err);
}

/**
 * kvx_note_copy() - another one of the same
 * @note: which stays
 *
 * Context: process, may sleep.
 * Return: the copy or NULL.
 */
struct kvx_note *kvx_note_copy(const struct kvx_note *note)
{
	struct kvx_note *copy = kmemdup(note, struct_size(note, data, note->bytes),
					GFP_KERNEL_ACCOUNT);

	if (!copy)
		return NULL;
	copy->msg = NULL;
	kref_get(&copy->from->ref);
	if (copy->to)
		kref_get(&copy->to->ref);
	if (copy->peer)
		kref_get(&copy->peer->ref);
	return copy;
}

/**
 * kvx_note_free() - done with a note that has no room reserved
 * @note: the note; may be NULL
 *
 * Context: process.
 */
void kvx_note_free(struct kvx_note *note)
{
	if (!note)
		return;
	if (note->from)
		kvx_agent_put(note->from);
	if (note->to)
		kvx_agent_put(note->to);
	if (note->peer)
		kvx_peer_put(note->peer);
	kvx_msg_free(note->msg);
	kfree(note);
}

/* Of the sender's own limit. */
static bool kvx_note_take_out(struct kvx_notes *from, u32 bytes)
{
	bool ok;

	spin_lock(&from->lock);
	ok = from->out < KVX_NOTES_OUT_MAX && from->out_bytes + bytes <= KVX_NOTES_OUT_BYTES_MAX;
	if (ok) {
		from->out++;
		from->out_bytes += bytes;
	}
	spin_unlock(&from->lock);
	return ok;
}

static void kvx_note_put_out(struct kvx_notes *from, u32 bytes)
{
	spin_lock(&from->lock);
	from->out--;
	from->out_bytes -= bytes;
	spin_unlock(&from->lock);
	if (wq_has_sleeper(&from->out_room))
		wake_up_all(&from->out_room);
}

/* Of what all agents of this node may have at a peer, or kept for it while it cannot be reached. */
static bool kvx_note_take_far(struct kvx_peer *peer)
{
	bool ok;

	spin_lock(&peer->lock);
	ok = peer->notes_out < KVX_NOTES_PEER_OUT_MAX;
	peer->notes_out += ok;
	spin_unlock(&peer->lock);
	return ok;
}

static void kvx_note_put_far(struct kvx_peer *peer)
{
	spin_lock(&peer->lock);
	peer->notes_out--;
	spin_unlock(&peer->lock);
	if (wq_has_sleeper(&peer->wait))
		wake_up_all(&peer->wait);
}

/* Returns 0, -EAGAIN (the receiver has no room), -EDQUOT (the sender has too many) or -ENOENT. */
static int kvx_note_try_reserve(struct kvx_note *note)
{
	struct kvx_notes *notes;
	int err = 0;

	if (!note->to && READ_ONCE(note->peer->gone))
		return -ENOENT;
	/* It may be delivered where nothing can be had any more. */
	if (!note->to && !note->msg)
		note->msg = kvx_msg_new(KVX_FRAME_NOTE,
					struct_size(&note->msg->note, data, note->bytes));
	if (!note->to && !note->msg)
		return -ENOMEM;
	if (!kvx_note_take_out(&note->from->notes, note->bytes))
		return -EDQUOT;
	if (!note->to) {
		if (kvx_note_take_far(note->peer))
			return 0;
		kvx_note_put_out(&note->from->notes, note->bytes);
		return -EAGAIN;
	}
	notes = &note->to->notes;
	spin_lock(&notes->lock);
	if (notes->closed) {
		err = -ENOENT;
	} else if (notes->held >= KVX_NOTES_MAX ||
		   notes->held_bytes + note->bytes > KVX_NOTES_BYTES_MAX) {
		err = -EAGAIN;
	} else {
		notes->held++;
		notes->held_bytes += note->bytes;
	}
	spin_unlock(&notes->lock);
	if (err)
		kvx_note_put_out(&note->from->notes, note->bytes);
	return err;
}

static int kvx_note_refuse(struct kvxfer_hdr *hdr, int err)
{
	if (err == -ENOMEM)
		return err;
	if (err == -ENOENT)
		return kvx_refuse(hdr, err, KVXFER_REASON_NOTE_AGENT, 0);
	return kvx_refuse(hdr, -EAGAIN, KVXFER_REASON_NOTE_FULL, err == -EDQUOT);
}

/**
 * kvx_note_reserve() - have room for it at its receiver
 * @note: the note
 * @hdr: where a refusal is noted
 *
 * Context: process.
 * Return: 0, -EAGAIN when there is none, -ENOENT when the receiver has gone.
 */
int kvx_note_reserve(struct kvx_note *note, struct kvxfer_hdr *hdr)
{
	int err = kvx_note_try_reserve(note);

	return err ? kvx_note_refuse(hdr, err) : 0;
}

static void kvx_note_put_room(struct kvx_notes *notes, u32 bytes)
{
	spin_lock(&notes->lock);
	notes->held--;
	notes->held_bytes -= bytes;
	spin_unlock(&notes->lock);
	if (wq_has_sleeper(&notes->room))
		wake_up_all(&notes->room);
}

/* Tell a peer what became of a note of one of its agents. */
static void kvx_note_tell(struct kvx_peer *peer, struct kvx_msg *msg, u64 serial, bool lost)
{
	spin_lock(&peer->lock);
	peer->notes_in--;
	spin_unlock(&peer->lock);
	msg->note_done.serial = cpu_to_le64(serial);
	msg->note_done.lost = cpu_to_le32(lost);
	kvx_peer_send(peer, msg);
}

/**
 * kvx_note_unreserve() - it is not to be sent, or has been received: its room is another's
 * @note: the note, which is freed
 *
 * Context: process.
 */
void kvx_note_unreserve(struct kvx_note *note)
{
	if (note->to)
		kvx_note_put_room(&note->to->notes, note->bytes);
	else
		kvx_note_put_far(note->peer);
	if (note->from) {
		kvx_note_put_out(&note->from->notes, note->bytes);
	} else {
		kvx_note_tell(note->peer, note->msg, note->serial, false);
		note->msg = NULL;
	}
	kvx_note_free(note);
}

/* Have it go to its peer, where it stays ours until that one says that it was received. */
static bool kvx_note_deliver_far(struct kvx_note *note)
{
	struct kvx_peer *peer = note->peer;
	struct kvx_msg *msg = note->msg;
	bool gone;

	msg->note.from_worker_id = cpu_to_le64(note->worker_id);
	msg->note.from_epoch = cpu_to_le64(note->epoch);
	msg->note.to_worker_id = cpu_to_le64(note->to_worker_id);
	msg->note.to_epoch = cpu_to_le64(note->to_epoch);
	msg->note.bytes = cpu_to_le32(note->bytes);
	memcpy(msg->note.data, note->data, note->bytes);
	spin_lock(&peer->lock);
	gone = peer->gone;
	if (!gone) {
		/* From then on it may be taken, and be no more. */
		kref_get(&peer->ref);
		note->msg = NULL;
		note->serial = ++peer->note_serial;
		msg->note.serial = cpu_to_le64(note->serial);
		list_add_tail(&note->link, &peer->notes);
	}
	spin_unlock(&peer->lock);
	if (gone) {
		kvx_note_unreserve(note);
		return false;
	}
	kvx_peer_send(peer, msg);
	kvx_peer_put(peer);
	return true;
}

/**
 * kvx_note_deliver() - give it to its receiver
 * @note: has room reserved; is the receiver's now, or freed
 *
 * Context: process.
 * Return: false when the receiver has gone.
 */
bool kvx_note_deliver(struct kvx_note *note)
{
	struct kvx_agent *to = note->to;
	struct kvx_notes *notes;
	bool closed;

	note->sent_ns = ktime_get_ns();
	if (note->from) {
		note->worker_id = READ_ONCE(note->from->worker_id);
		note->epoch = note->from->epoch;
	}
	if (!to)
		return kvx_note_deliver_far(note);
	notes = &to->notes;
	spin_lock(&notes->lock);
	closed = notes->closed;
	if (!closed) {
		list_add_tail(&note->link, &notes->list);
		WRITE_ONCE(notes->nr, notes->nr + 1);
		if (note->from && notes->nr > KVX_NOTES_MAX)
			notes->overflows++;
		/* Still under the lock: the receiver cannot take the note, nor go, before. */
		kvx_agent_signal(to);
	}
	spin_unlock(&notes->lock);
	if (closed)
		kvx_note_unreserve(note);
	return !closed;
}

/**
 * kvx_notes_wait() - are there any?
 * @agent: for whom
 *
 * Context: any.
 * Return: true when a note waits.
 */
bool kvx_notes_wait(struct kvx_agent *agent)
{
	return READ_ONCE(agent->notes.nr);
}

/**
 * kvx_notes_close() - an agent goes: nobody sends it anything any more
 * @agent: the agent
 *
 * Context: process, may sleep.
 */
void kvx_notes_close(struct kvx_agent *agent)
{
	struct kvx_notes *notes = &agent->notes;
	struct kvx_note *note, *next;
	LIST_HEAD(left);

	spin_lock(&notes->lock);
	notes->closed = true;
	list_splice_init(&notes->list, &left);
	notes->nr = 0;
	spin_unlock(&notes->lock);
	list_for_each_entry_safe(note, next, &left, link)
		kvx_note_unreserve(note);
	wake_up_all(&notes->room);
}

/*
 * --- to and from other nodes --------------------------------------------------------------------
 */

/**
 * kvx_note_came() - a note has come from a peer
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: 0; -EPROTO when it breaks the protocol; -ENOMEM when it is to come again.
 */
int kvx_note_came(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_note *n = frame;
	const u32 bytes = le32_to_cpu(n->bytes);
	struct kvx_agent *to = kvx_agent_find(le64_to_cpu(n->to_worker_id));
	struct kvx_msg *done = NULL;
	struct kvx_note *note = NULL;
	bool many, lost;

	lost = !to || to->epoch != le64_to_cpu(n->to_epoch);
	if (!lost) {
		note = kmalloc(struct_size(note, data, bytes), GFP_KERNEL_ACCOUNT);
		done = kvx_msg_new(KVX_FRAME_NOTE_DONE, sizeof(done->note_done));
	}
	/* One that is on its way arrives. */
	if (!lost && (!note || !done)) {
		kvx_msg_free(done);
		kfree(note);
		kvx_agent_put(to);
		return -ENOMEM;
	}
	spin_lock(&peer->lock);
	many = peer->notes_in >= KVX_NOTES_PEER_MAX;
	peer->notes_in++;
	spin_unlock(&peer->lock);
	if (lost || many) {
		kvx_msg_free(done);
		kfree(note);
		if (to)
			kvx_agent_put(to);
		done = kvx_peer_answer(peer, KVX_FRAME_NOTE_DONE, sizeof(done->note_done));
		kvx_note_tell(peer, done, le64_to_cpu(n->serial), true);
		return many ? -EPROTO : 0;
	}
	kref_get(&peer->ref);
	*note = (struct kvx_note){
		.to = to, .peer = peer, .msg = done, .bytes = bytes,
		.serial = le64_to_cpu(n->serial),
		.worker_id = le64_to_cpu(n->from_worker_id), .epoch = le64_to_cpu(n->from_epoch),
	};
	memcpy(note->data, n->data, bytes);
	/* Who sent it has been let by its own node: there is room for what may be on its way. */
	spin_lock(&to->notes.lock);
	to->notes.held++;
	to->notes.held_bytes += bytes;
	spin_unlock(&to->notes.lock);
	kvx_note_deliver(note);
	return 0;
}

/**
 * kvx_note_was_taken() - a peer says what became of a note
 * @peer: the peer
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: false when it breaks the protocol.
 */
bool kvx_note_was_taken(struct kvx_peer *peer, const void *frame)
{
	const u64 serial = le64_to_cpu(((const struct kvx_wire_note_done *)frame)->serial);
	struct kvx_note *note, *found = NULL;

	spin_lock(&peer->lock);
	list_for_each_entry(note, &peer->notes, link) {
		if (note->serial != serial)
			continue;
		list_del(&note->link);
		found = note;
		break;
	}
	spin_unlock(&peer->lock);
	if (found)
		kvx_note_unreserve(found);
	return found;
}

/**
 * kvx_notes_gone() - a peer will not come back: nobody receives what was sent there
 * @peer: the peer
 *
 * Context: process, may sleep.
 */
void kvx_notes_gone(struct kvx_peer *peer)
{
	struct kvx_note *note, *next;
	LIST_HEAD(lost);

	spin_lock(&peer->lock);
	list_splice_init(&peer->notes, &lost);
	spin_unlock(&peer->lock);
	list_for_each_entry_safe(note, next, &lost, link)
		kvx_note_unreserve(note);
}

static bool kvx_note_try_again(struct kvx_note *note, int got, int *now)
{
	*now = kvx_note_try_reserve(note);
	return *now != got;
}

/* Wait where there is something to wait for: at the receiver, or for one's own to be received. */
static int kvx_note_wait_for_room(struct kvx_note *note)
{
	int got, now = kvx_note_try_reserve(note), err;
	wait_queue_head_t *where;

	/* A peer that goes gives back what was out. */
	while (now == -EAGAIN || now == -EDQUOT) {
		got = now;
		/* Two queues: who tries here in vain wakes nobody who waits as it does. */
		where = got == -EDQUOT ? &note->from->notes.out_room :
			note->to ? &note->to->notes.room : &note->peer->wait;
		err = wait_event_interruptible(*where, kvx_note_try_again(note, got, &now));
		if (err)
			return -EINTR;
	}
	return now;
}

/**
 * kvx_note_send() - KVXFER_IOC_NOTE_SEND
 * @agent: who asks
 * @cmd: see &struct kvxfer_note_send
 *
 * Context: process, may sleep, with NOTE_SEND_WAIT for as long as the receiver likes.
 * Return: 0 or what the command promises.
 */
int kvx_note_send(struct kvx_agent *agent, struct kvxfer_note_send *cmd)
{
	struct kvx_note *note;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->note.reserved, sizeof(cmd->note.reserved),
				   offsetof(struct kvxfer_note_send, note.reserved));
	if (err)
		return err;
	note = kvx_note_make(agent, &cmd->note, &cmd->hdr);
	if (IS_ERR(note))
		return PTR_ERR(note);
	err = cmd->hdr.flags & KVXFER_NOTE_SEND_WAIT ? kvx_note_wait_for_room(note) :
						       kvx_note_try_reserve(note);
	if (err) {
		kvx_note_free(note);
		return err == -EINTR ? err : kvx_note_refuse(&cmd->hdr, err);
	}
	if (!kvx_note_deliver(note))
		return kvx_note_refuse(&cmd->hdr, -ENOENT);
	return 0;
}

static u32 kvx_note_room(const struct kvx_note *note)
{
	return sizeof(struct kvxfer_note) + ALIGN(note->bytes, 8);
}

static int kvx_note_put_user(const struct kvx_note *note, u8 __user *at)
{
	const struct kvxfer_note head = {
		.worker_id = note->worker_id,
		.epoch = note->epoch,
		.sent_ns = note->sent_ns,
		.bytes = note->bytes,
	};
	const u32 pad = ALIGN(note->bytes, 8) - note->bytes;

	if (copy_to_user(at, &head, sizeof(head)) ||
	    copy_to_user(at + sizeof(head), note->data, note->bytes) ||
	    clear_user(at + sizeof(head) + note->bytes, pad))
		return -EFAULT;
	return 0;
}

/**
 * kvx_note_recv() - KVXFER_IOC_NOTE_RECV
 * @agent: who asks
 * @cmd: see &struct kvxfer_note_recv
 * @taken: set to the notes that the program has been given, once it has been told so
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_note_recv(struct kvx_agent *agent, struct kvxfer_note_recv *cmd, struct list_head *taken)
{
	struct kvx_notes *notes = &agent->notes;
	u8 __user *at = u64_to_user_ptr(cmd->buffer);
	struct kvx_note *note, *next;
	u32 room = 0, first = 0;

	INIT_LIST_HEAD(taken);
	cmd->out_nr = 0;
	spin_lock(&notes->lock);
	list_for_each_entry_safe(note, next, &notes->list, link) {
		if (!first)
			first = kvx_note_room(note);
		if (kvx_note_room(note) > cmd->bytes - room ||
		    (cmd->max && cmd->out_nr == cmd->max))
			break;
		room += kvx_note_room(note);
		list_move_tail(&note->link, taken);
		cmd->out_nr++;
		WRITE_ONCE(notes->nr, notes->nr - 1);
	}
	cmd->out_left = notes->nr;
	cmd->out_overflows = notes->overflows;
	spin_unlock(&notes->lock);
	if (!first)
		return kvx_refuse(&cmd->hdr, -EAGAIN, KVXFER_REASON_NOTE_NONE, 0);
	if (list_empty(taken))
		return kvx_refuse(&cmd->hdr, -EMSGSIZE, KVXFER_REASON_NOTE_ROOM, first);
	list_for_each_entry(note, taken, link) {
		if (kvx_note_put_user(note, at)) {
			kvx_note_recv_undo(agent, taken);
			return -EFAULT;
		}
		at += kvx_note_room(note);
	}
	cmd->out_bytes = room;
	return 0;
}

/**
 * kvx_note_received() - the program has been told of the notes that it has been given
 * @agent: who asked
 * @taken: the notes
 *
 * Context: process.
 */
void kvx_note_received(struct kvx_agent *agent, struct list_head *taken)
{
	struct kvx_note *note, *next;

	list_for_each_entry_safe(note, next, taken, link)
		kvx_note_unreserve(note);
}

/**
 * kvx_note_recv_undo() - it could not be told: they come again
 * @agent: who asked
 * @taken: the notes
 *
 * Context: process.
 */
void kvx_note_recv_undo(struct kvx_agent *agent, struct list_head *taken)
{
	struct kvx_notes *notes = &agent->notes;
	struct kvx_note *note;
	u32 nr = 0;

	list_for_each_entry(note, taken, link)
		nr++;
	/* The agent asks, so it is there: this is no race with kvx_notes_close(). */
	spin_lock(&notes->lock);
	list_splice(taken, &notes->list);
	WRITE_ONCE(notes->nr, notes->nr + nr);
	spin_unlock(&notes->lock);
	kvx_agent_wake(agent);
}
