// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fences: what was written by a rail that has failed may be on its way to the other node's memory
 * still, until the other's end of that rail is over, too. So the other is asked, by another rail or
 * by the next; until it has answered, nothing of that is written again, and no transfer that had
 * something of it on its way ends, but for one whose time is over: that one ends unconfirmed.
 */
#include <linux/list.h>

#include "../kvx.h"
#include "../peer.h"
#include "flow.h"
#include "rail.h"

/**
 * kvx_fence_rail() - something that a rail was to write has been lost with it
 * @rail: the rail, which is ending
 *
 * Context: process.
 * Return: its number among such rails of its peer.
 */
u64 kvx_fence_rail(struct kvx_rail *rail)
{
	struct kvx_peer *peer = rail->peer;

	spin_lock(&peer->flow_lock);
	if (!rail->fence) {
		rail->fence = ++peer->fence_last;
		kref_get(&rail->ref);
		list_add_tail(&rail->fence_link, &peer->fences);
	}
	spin_unlock(&peer->flow_lock);
	return rail->fence;
}

/* Those that are over, as far as all before them are. */
static void kvx_fences_retire(struct kvx_peer *peer)
{
	struct kvx_rail *rail, *next;
	LIST_HEAD(over);

	spin_lock(&peer->flow_lock);
	list_for_each_entry_safe(rail, next, &peer->fences, fence_link) {
		if (!rail->fence_quiet)
			break;
		peer->fence_quiet = rail->fence;
		list_move_tail(&rail->fence_link, &over);
	}
	spin_unlock(&peer->flow_lock);
	list_for_each_entry_safe(rail, next, &over, fence_link) {
		list_del_init(&rail->fence_link);
		kvx_rail_put(rail);
	}
	kvx_flows_unfence(peer);
}

/**
 * kvx_fence_ask() - have the other node say when a rail is over
 * @rail: one that has stopped here
 *
 * Context: process, may sleep.
 */
void kvx_fence_ask(struct kvx_rail *rail)
{
	struct kvx_msg *msg = rail->quiesce;
	struct kvx_peer *peer = rail->peer;
	bool many;

	if (!rail->fence)
		return;
	/* Either who said so has seen it, or we see that there is nobody to ask. */
	if (READ_ONCE(peer->gone)) {
		kvx_fences_gone(peer, READ_ONCE(peer->broken) == -ESTALE);
		return;
	}
	spin_lock(&peer->flow_lock);
	many = peer->fence_last - peer->fence_quiet > KVX_RAILS_MAX;
	spin_unlock(&peer->flow_lock);
	/* Each is kept until it is answered. */
	if (many) {
		kvx_peer_give_up(peer, -EPROTO);
		return;
	}
	rail->quiesce = NULL;
	msg->quiesce.id = cpu_to_le64(rail->fence);
	msg->quiesce.nonce = cpu_to_le64(rail->nonce);
	msg->quiesce.asked = cpu_to_le32(rail->active);
	kvx_peer_send(peer, msg);
}

/**
 * kvx_fence_asked() - a peer wants to know when a rail is over
 * @peer: who
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: true.
 */
bool kvx_fence_asked(struct kvx_peer *peer, const void *frame)
{
	struct kvx_msg *msg = kvx_peer_answer(peer, KVX_FRAME_QUIESCED, sizeof(msg->quiesced));
	const struct kvx_wire_quiesce *ask = frame;
	struct kvx_rail *rail;
	bool there = false;

	msg->quiesced.id = ask->id;
	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link) {
		if (rail->nonce != le64_to_cpu(ask->nonce) ||
		    rail->active == le32_to_cpu(ask->asked) || rail->stopped)
			continue;
		/* Its end answers. */
		swap(rail->quiesced, msg);
		kvx_rail_fail(rail, -ECONNRESET, KVXFER_REFUSAL_NONE);
		there = true;
		break;
	}
	spin_unlock(&peer->lock);
	/* Who asks twice is answered the last time. */
	if (there)
		kvx_msg_free(msg);
	else
		kvx_peer_send(peer, msg);
	return true;
}

/**
 * kvx_fence_answered() - a peer says that a rail is over
 * @peer: who
 * @frame: what it says
 *
 * Context: process, may sleep.
 * Return: true.
 */
bool kvx_fence_answered(struct kvx_peer *peer, const void *frame)
{
	const struct kvx_wire_quiesced *answer = frame;
	struct kvx_rail *rail;

	spin_lock(&peer->flow_lock);
	list_for_each_entry(rail, &peer->fences, fence_link)
		rail->fence_quiet |= rail->fence == le64_to_cpu(answer->id);
	spin_unlock(&peer->flow_lock);
	kvx_fences_retire(peer);
	return true;
}

/**
 * kvx_fences_gone() - nobody will answer any more
 * @peer: who
 * @confirmed: because it is no more, and with it all that it did
 *
 * Context: process, may sleep.
 */
void kvx_fences_gone(struct kvx_peer *peer, bool confirmed)
{
	struct kvx_rail *rail;

	spin_lock(&peer->flow_lock);
	/* From here on what waits, or is about to, ends unconfirmed. */
	peer->fences_lost |= !confirmed;
	list_for_each_entry(rail, &peer->fences, fence_link)
		rail->fence_quiet = true;
	spin_unlock(&peer->flow_lock);
	kvx_fences_retire(peer);
}
