/* SPDX-License-Identifier: GPL-2.0-only */
/* Notes from agent to agent: see note.c. */
#ifndef KVX_NOTE_H
#define KVX_NOTE_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/kvxfer.h>

struct kvx_agent;
struct kvx_msg;
struct kvx_peer;

/* What an agent may have waiting for it; and a part of that, which it may have on its way. */
#define KVX_NOTES_MAX		4096
#define KVX_NOTES_BYTES_MAX	(4U << 20)
#define KVX_NOTES_OUT_MAX	(KVX_NOTES_MAX / 16)
#define KVX_NOTES_OUT_BYTES_MAX	(KVX_NOTES_BYTES_MAX / 16)

/**
 * struct kvx_note - bytes from one agent to another
 * @link: in the receiver's queue, or in the list of those being received
 * @from: who sends it, with a reference; NULL for an agent of a peer's
 * @to: who shall have it, with a reference; NULL for an agent of a peer's
 * @peer: that peer, with a reference; NULL for none
 * @msg: to go to it; made when there is room for it; of one that came: to say that it was received
 * @serial: by which the peer is told of it, or tells
 * @to_worker_id: of who shall have it, if it is a peer's
 * @to_epoch: the same
 * @worker_id: of the sender, when it was sent
 * @epoch: of the sender
 * @sent_ns: when
 * @bytes: how many
 * @data: they
 */
struct kvx_note {
	struct list_head link;
	struct kvx_agent *from;
	struct kvx_agent *to;
	struct kvx_peer *peer;
	struct kvx_msg *msg;
	u64 serial;
	u64 to_worker_id;
	u64 to_epoch;
	u64 worker_id;
	u64 epoch;
	u64 sent_ns;
	u32 bytes;
	u8 data[];
};

/**
 * struct kvx_notes - what waits for an agent, and for others of it
 * @lock: for what follows
 * @list: the notes, in order
 * @nr: how many
 * @held: for how many there is room: @nr, and those that are on their way
 * @held_bytes: for how many bytes
 * @out: how many of its own are on their way, or wait at others
 * @out_bytes: how many bytes those are
 * @overflows: how often more came than there was room for; never
 * @closed: the agent has gone
 * @room: where those wait who wait for room here
 * @out_room: where its own threads wait that have too many on their way
 */
struct kvx_notes {
	spinlock_t lock;		/* see above */
	struct list_head list;
	u32 nr;
	u32 held;
	u32 held_bytes;
	u32 out;
	u32 out_bytes;
	u32 overflows;
	bool closed;
	wait_queue_head_t room;
	wait_queue_head_t out_room;
};

void kvx_notes_init(struct kvx_notes *notes);
void kvx_notes_close(struct kvx_agent *agent);
bool kvx_notes_wait(struct kvx_agent *agent);

struct kvx_note *kvx_note_make(struct kvx_agent *from, const struct kvxfer_note_to *to,
			       struct kvxfer_hdr *hdr);
struct kvx_note *kvx_note_copy(const struct kvx_note *note);
void kvx_note_free(struct kvx_note *note);
int kvx_note_reserve(struct kvx_note *note, struct kvxfer_hdr *hdr);
void kvx_note_unreserve(struct kvx_note *note);
bool kvx_note_deliver(struct kvx_note *note);

/* Notes that agents of one peer may have here; and those that all of ours may have there. */
#define KVX_NOTES_PEER_MAX	65536
#define KVX_NOTES_PEER_OUT_MAX	8192

int kvx_note_came(struct kvx_peer *peer, const void *frame);
bool kvx_note_was_taken(struct kvx_peer *peer, const void *frame);
void kvx_notes_gone(struct kvx_peer *peer);

int kvx_note_send(struct kvx_agent *agent, struct kvxfer_note_send *cmd);
int kvx_note_recv(struct kvx_agent *agent, struct kvxfer_note_recv *cmd, struct list_head *taken);
void kvx_note_received(struct kvx_agent *agent, struct list_head *taken);
void kvx_note_recv_undo(struct kvx_agent *agent, struct list_head *taken);

#endif /* KVX_NOTE_H */
