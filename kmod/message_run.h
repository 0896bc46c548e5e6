/* SPDX-License-Identifier: GPL-2.0-only */
/* What message.c and message_far.c know of each other. */
#ifndef KVX_MESSAGE_RUN_H
#define KVX_MESSAGE_RUN_H

#include <linux/kref.h>
#include <linux/workqueue.h>

#include "cursor.h"
#include "gate.h"
#include "message.h"
#include "transport.h"

struct kvx_agent;
struct kvx_grant;
struct kvx_msg;
struct kvx_peer;
struct kvx_registered;
struct kvx_remote;
struct kvx_xfer;

/*
 * Messages to a peer, and from one, that have not ended; and of those to peers, an agent's. Each
 * costs a few frames, see KVX_UNACKED_MAX.
 */
#define KVX_OFFERS_MAX	8192
#define KVX_SENDS_MAX	1024

/**
 * struct kvx_mailbox - what one agent sends to another, and the room for it
 * @hash: among the receiver's; under the receiver's lock
 * @peer: whose agent the sender is, without a reference; NULL for one of this node's
 * @epoch: of the sender
 * @users: how many have it; under the receiver's lock, as is what follows
 * @offers: messages that wait for room
 * @recvs: room that waits for messages
 */
struct kvx_mailbox {
	struct hlist_node hash;
	struct kvx_peer *peer;
	u64 epoch;
	u32 users;
	struct list_head offers;
	struct list_head recvs;
};

/**
 * struct kvx_offer - a message, as its receiver has it
 * @ref: of whoever has to end it, and of who has met it
 * @link: in the mailbox, while it waits; under the receiver's lock
 * @recv: what it has met; under the receiver's lock
 * @to: who shall have it, with a reference
 * @box: the mailbox, with a use
 * @bytes: how many
 * @skew: where they begin in the one region of what they are in
 * @send: who sends it; NULL for an agent of a peer's
 * @peer: that peer, with a reference; NULL for none
 * @serial: by which the peer knows it
 * @key: by which the peer lets it be read
 * @stopped: it is not to be had any more, though it waits nowhere; under the receiver's lock
 * @answer: to the peer
 */
struct kvx_offer {
	struct kref ref;
	struct list_head link;
	struct kvx_message *recv;
	struct kvx_agent *to;
	struct kvx_mailbox *box;
	u64 bytes;
	u32 skew;
	struct kvx_message *send;
	struct kvx_peer *peer;
	u32 serial;
	u8 key[KVXFER_KEY_BYTES];
	bool stopped;
	struct kvx_msg *answer;
};

/**
 * enum kvx_recv_phase - how far room for a message has come
 * @KVX_RECV_IDLE: it does not run
 * @KVX_RECV_WAITS: for a message
 * @KVX_RECV_BEGINS: it has met one
 * @KVX_RECV_ASKS: the peer has been asked for it
 * @KVX_RECV_RUNS: the bytes are on their way
 */
enum kvx_recv_phase {
	KVX_RECV_IDLE,
	KVX_RECV_WAITS,
	KVX_RECV_BEGINS,
	KVX_RECV_ASKS,
	KVX_RECV_RUNS,
};

/**
 * struct kvx_message - a transfer that another agent has to want as well: to send, or to receive
 * @job: what its transfer knows of it
 * @reg: the pages that the bytes are in; held by the transfer
 * @skew: where in them they begin
 * @bytes: how many; to receive: room for how many
 * @other: the other agent, with a reference; NULL for one of a peer's
 * @peer: that peer, with a reference, and wanted; NULL for none
 * @worker_id: of the other agent, as it was named
 * @epoch: of the other agent
 * @box: where it waits, or what it sends does, with a use; NULL to send to a peer
 * @box_of: whose mailbox that is: its own agent, or @other
 * @moved: how many bytes are where they should be
 * @used: by which rails, as a mask
 * @error: what went wrong, as far as the other agent is told: a positive errno; or 0
 * @reason: &enum kvxfer_reason
 * @index: where
 * @offer: what it sends, or has met, with a reference; under the receiver's lock
 * @phase: to receive: &enum kvx_recv_phase; under the receiver's lock, as is what follows
 * @link: in the mailbox
 * @await: among what waits for the other agent; under kvx_watch_lock
 * @parts: of how many parts a copy may be
 * @inner: what moves the bytes
 * @ops: how
 * @shape: what it moves
 * @id: the one block of each side
 * @remote: what was asked for, until it is known
 * @grant: by what right it is read
 * @use: its place at the gate of what is read
 * @step: what is done when the peer has answered
 * @serial: to send to a peer: by which it knows it; under the lock of the peer's sends, as is what
 * follows
 * @lent: by what right it reads
 * @withdraw: by which it will be told that it shall not, if that is so
 * @offered: it has been told
 * @withdrawn: it has been told that it shall not
 * @late: it was to stop and has to do so soon
 * @taken: it has said what became of it
 * @stuck: what happens when it does not
 * @end: the end
 */
struct kvx_message {
	struct kvx_job job;
	struct kvx_registered *reg;
	u32 skew;
	u64 bytes;
	struct kvx_agent *other;
	struct kvx_peer *peer;
	u64 worker_id;
	u64 epoch;
	struct kvx_mailbox *box;
	struct kvx_agent *box_of;
	u64 moved;
	u32 used;
	u32 error;
	u32 reason;
	u32 index;
	struct kvx_offer *offer;

	enum kvx_recv_phase phase;
	struct list_head link;
	struct list_head await;
	u32 parts;
	struct kvx_job *inner;
	const struct kvx_transport_ops *ops;
	struct kvx_shape shape;
	u32 id;
	struct kvx_remote *remote;
	struct kvx_grant *grant;
	struct kvx_use use;
	struct work_struct step;

	u32 serial;
	struct kvx_grant *lent;
	struct kvx_msg *withdraw;
	bool offered;
	bool withdrawn;
	bool late;
	bool taken;
	struct delayed_work stuck;
	struct work_struct end;
};

static inline struct kvx_message *kvx_message_of(struct kvx_job *job)
{
	return container_of(job, struct kvx_message, job);
}

/* message.c */
struct kvx_mailbox *kvx_mailbox_get(struct kvx_agent *agent, struct kvx_peer *peer, u64 epoch);
void kvx_mailbox_put(struct kvx_agent *agent, struct kvx_mailbox *box);
void kvx_offer_put(struct kvx_offer *offer);
void kvx_offer_post(struct kvx_offer *offer);
void kvx_offer_stop(struct kvx_offer *offer, u32 error, u32 reason);
void kvx_offer_end(struct kvx_offer *offer, u32 error, u32 reason, u32 index);
u64 kvx_message_bytes(struct kvx_job *job);
u32 kvx_message_index(struct kvx_job *job);

/* message_recv.c */
extern const struct kvx_transport_ops kvx_recv_ops;
bool kvx_recv_init(struct kvx_message *recv, struct kvx_xfer *xfer, u32 rails);
void __kvx_recv_meet(struct kvx_message *recv, struct kvx_offer *offer);
void kvx_recv_start(struct kvx_message *recv);
void kvx_recv_step(struct work_struct *work);
bool kvx_await_next(struct list_head *awaited, u32 error, u32 reason);

/* message_far.c */
extern const struct kvx_transport_ops kvx_send_far_ops;
void kvx_send_far_init(struct kvx_message *message);
void kvx_offer_answer(struct kvx_offer *offer, u32 error, u32 reason, u32 index);

#endif /* KVX_MESSAGE_RUN_H */
