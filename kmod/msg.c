// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames to and from peers, by whichever rail.
 *
 * What is numbered is kept until the other has said that it took it, and when the rail by which it
 * went has ended, it is sent again by another. What came twice by that is dropped by its number.
 */
#include <linux/slab.h>

#include "kvx.h"
#include "peer.h"
#include "rdma/flow.h"
#include "rdma/rail.h"
#include "remote.h"
#include "serve.h"
#include "watch.h"

/*
 * Frames that are kept for who does not take them, and their bytes; then it is left. The keys of
 * the largest window are 64 MiB.
 */
#define KVX_UNACKED_MAX		65536
#define KVX_UNACKED_BYTES	(80U << 20)

/**
 * kvx_msg_new() - a frame to be filled
 * @type: &enum kvx_frame_type
 * @bytes: how long
 *
 * Context: process, may sleep.
 * Return: the message, zeroed but for its head; or NULL.
 */
struct kvx_msg *kvx_msg_new(u32 type, u32 bytes)
{
	struct kvx_msg *msg = kzalloc(max(offsetof(struct kvx_msg, head) + bytes, sizeof(*msg)),
				      GFP_KERNEL);

	if (!msg)
		return NULL;
	INIT_LIST_HEAD(&msg->link);
	msg->head.type = type;
	msg->head.bytes = cpu_to_le32(bytes);
	return msg;
}

/**
 * kvx_peer_answer() - a frame that says what became of the one that is being taken
 * @peer: whose frame that is
 * @type: &enum kvx_frame_type
 * @bytes: how long; &struct kvx_msg has room for it
 *
 * None is taken before there is one, so it can be had once while one is taken, and is there.
 *
 * Context: process.
 * Return: the message, zeroed but for its head.
 */
struct kvx_msg *kvx_peer_answer(struct kvx_peer *peer, u32 type, u32 bytes)
{
	struct kvx_msg *msg = peer->answer;

	lockdep_assert_held(&peer->rx_lock);
	peer->answer = NULL;
	msg->head.type = type;
	msg->head.bytes = cpu_to_le32(bytes);
	return msg;
}

/**
 * kvx_msg_free() - done with a frame that is not on its way
 * @msg: the message; may be NULL
 *
 * Context: any.
 */
void kvx_msg_free(struct kvx_msg *msg)
{
	kfree(msg);
}

/**
 * kvx_msg_gone() - a frame is not on its way any more
 * @msg: the message
 *
 * Context: process.
 */
void kvx_msg_gone(struct kvx_msg *msg)
{
	struct kvx_peer *peer = msg->rail->peer;
	bool done;

	spin_lock(&peer->lock);
	msg->rail = NULL;
	done = msg->acked;
	spin_unlock(&peer->lock);
	if (done)
		kvx_msg_free(msg);
}

/**
 * kvx_peer_pump() - send what waits, as far as the other has room
 * @peer: to whom
 *
 * Context: process.
 */
void kvx_peer_pump(struct kvx_peer *peer)
{
	struct kvx_msg *msg;

	spin_lock(&peer->lock);
	while (peer->tx_rail && peer->unsent) {
		msg = peer->unsent;
		/* It still goes by the rail before this one: it is sent when that has ended. */
		if (msg->rail)
			break;
		if (!__kvx_rail_post(peer->tx_rail, msg, READ_ONCE(peer->rx_seq)))
			break;
		peer->unsent = list_is_last(&msg->link, &peer->unacked) ?
			       NULL : list_next_entry(msg, link);
	}
	spin_unlock(&peer->lock);
}

/**
 * kvx_peer_send() - have a frame taken by the other, once and in order
 * @peer: the other
 * @msg: the frame, of a type that is numbered; it is not the caller's any more
 *
 * Context: process.
 */
void kvx_peer_send(struct kvx_peer *peer, struct kvx_msg *msg)
{
	bool many;

	spin_lock(&peer->lock);
	many = peer->tx_seq - peer->tx_acked >= KVX_UNACKED_MAX ||
	       peer->unacked_bytes >= KVX_UNACKED_BYTES;
	if (peer->gone || many) {
		spin_unlock(&peer->lock);
		kvx_msg_free(msg);
		/* What is lost cannot be made good. */
		if (many)
			kvx_peer_give_up(peer, -EPROTO);
		return;
	}
	msg->head.seq = cpu_to_le64(++peer->tx_seq);
	list_add_tail(&msg->link, &peer->unacked);
	peer->unacked_bytes += le32_to_cpu(msg->head.bytes);
	if (peer->tx_rail && !peer->unsent)
		peer->unsent = msg;
	spin_unlock(&peer->lock);
	kvx_peer_pump(peer);
}

/**
 * kvx_peer_is_behind() - does it take so little that what can wait should not be sent?
 * @peer: the other
 *
 * Context: process.
 * Return: true when it does.
 */
bool kvx_peer_is_behind(struct kvx_peer *peer)
{
	bool behind;

	spin_lock(&peer->lock);
	behind = peer->tx_seq - peer->tx_acked >= KVX_UNACKED_MAX / 4;
	spin_unlock(&peer->lock);
	return behind;
}

/**
 * kvx_peer_acked() - the other has taken frames
 * @peer: the other
 * @ack: the number of the last one
 *
 * Context: process.
 */
void kvx_peer_acked(struct kvx_peer *peer, u64 ack)
{
	struct kvx_msg *msg, *next;

	spin_lock(&peer->lock);
	list_for_each_entry_safe(msg, next, &peer->unacked, link) {
		/* What was never sent is not taken, whatever they say. */
		if (le64_to_cpu(msg->head.seq) > ack || msg == peer->unsent)
			break;
		peer->tx_acked = le64_to_cpu(msg->head.seq);
		list_del_init(&msg->link);
		peer->unacked_bytes -= le32_to_cpu(msg->head.bytes);
		msg->acked = true;
		if (!msg->rail)
			kvx_msg_free(msg);
	}
	spin_unlock(&peer->lock);
}

/**
 * kvx_peer_rx_seq() - what was taken of the other's frames
 * @peer: the other
 *
 * Context: any.
 * Return: the number of the last one.
 */
u64 kvx_peer_rx_seq(struct kvx_peer *peer)
{
	return READ_ONCE(peer->rx_seq);
}

/* Returns 0, -EPROTO, or -ENOMEM when it was not taken. */
static int kvx_peer_take(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_head *head = frame;
	bool ok = false;

	switch (head->type) {
	case KVX_FRAME_ATTACH:
		ok = kvx_serve_attach(peer, frame);
		break;
	case KVX_FRAME_WANT_KEYS:
		ok = kvx_serve_keys(peer, frame);
		break;
	case KVX_FRAME_DETACH:
		ok = kvx_serve_detach(peer, frame);
		break;
	case KVX_FRAME_ATTACHED:
		ok = kvx_remote_attached(peer, frame);
		break;
	case KVX_FRAME_TABLE:
		ok = kvx_remote_table(peer, frame);
		break;
	case KVX_FRAME_KEYS:
		ok = kvx_remote_keys(peer, frame);
		break;
	case KVX_FRAME_REVOKED:
		ok = kvx_remote_revoked(peer, frame);
		break;
	case KVX_FRAME_QUIESCE:
		ok = kvx_fence_asked(peer, frame);
		break;
	case KVX_FRAME_QUIESCED:
		ok = kvx_fence_answered(peer, frame);
		break;
	case KVX_FRAME_NOTE:
		return kvx_note_came(peer, frame);
	case KVX_FRAME_NOTE_DONE:
		ok = kvx_note_was_taken(peer, frame);
		break;
	case KVX_FRAME_OFFER:
		ok = kvx_offer_came(peer, frame);
		break;
	case KVX_FRAME_WITHDRAW:
		ok = kvx_offer_withdrawn(peer, frame);
		break;
	case KVX_FRAME_TAKEN:
		ok = kvx_send_taken(peer, frame);
		break;
	case KVX_FRAME_WATCH:
		return kvx_watch_came(peer, frame);
	case KVX_FRAME_LEFT:
		ok = kvx_watch_left(peer, frame);
		break;
	}
	return ok ? 0 : -EPROTO;
}

/**
 * kvx_peer_receive() - a numbered frame has come
 * @rail: by this
 * @frame: the frame, which has been checked
 *
 * Context: process, may sleep.
 * Return: 0; -EPROTO when it breaks the protocol; -ENOMEM when it has not been taken: it comes
 * again by the next rail, if this one is ended.
 */
int kvx_peer_receive(struct kvx_rail *rail, const void *frame)
{
	const u64 seq = le64_to_cpu(((const struct kvx_wire_head *)frame)->seq);
	struct kvx_peer *peer = rail->peer;
	int err = 0;

	mutex_lock(&peer->rx_lock);
	if (seq == peer->rx_seq + 1) {
		if (!peer->answer)
			peer->answer = kvx_msg_new(0, sizeof(struct kvx_wire_head));
		err = peer->answer ? kvx_peer_take(peer, frame) : -ENOMEM;
		if (err != -ENOMEM)
			WRITE_ONCE(peer->rx_seq, seq);
	} else if (seq > peer->rx_seq) {
		err = -EPROTO;
	}
	mutex_unlock(&peer->rx_lock);
	return err;
}
