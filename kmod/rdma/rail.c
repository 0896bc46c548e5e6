// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rails: connections with other nodes, from the first request to the end.
 *
 * Who asks makes the control link; both say hello on it; who asked makes the lanes, which bring the
 * token that the other's hello gave; when all are there both say so, and the rail is ready. A rail
 * is never mended: what fails ends as a whole, and another one is made. All that happens to a rail
 * is done by its work, one thing after the other; events only leave word and kick it. When a rail
 * has ended its device does nothing for it any more.
 */
#include <crypto/algapi.h>
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/utsname.h>
#include <net/ipv6.h>

#include "../key.h"
#include "../kvx.h"
#include "../peer.h"
#include "net.h"
#include "rail.h"

unsigned int kvx_connect_ms = 10000;
module_param_named(connect_ms, kvx_connect_ms, uint, 0644);
MODULE_PARM_DESC(connect_ms, "how long it may take to connect to another node");

static unsigned int beat_ms = 1000;
module_param(beat_ms, uint, 0644);
MODULE_PARM_DESC(beat_ms, "how long another node may be silent until it is asked whether it lives");

static unsigned int dead_ms = 10000;
module_param(dead_ms, uint, 0644);
MODULE_PARM_DESC(dead_ms, "how long another node may be silent until it is taken for dead");

static unsigned int lanes = 2;
module_param(lanes, uint, 0644);
MODULE_PARM_DESC(lanes, "how many queue pairs for data a connection has, 2 to 8; half are for reads");

/* How often is looked at one that is not ready yet. */
#define KVX_RAIL_NUDGE_MS	100

/* Rails of all peers. */
#define KVX_RAILS_ALL	4096

static struct workqueue_struct *kvx_rail_wq;
static atomic_t kvx_rails_alive = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(kvx_rails_none);

static void kvx_rail_free(struct kref *ref)
{
	struct kvx_rail *rail = container_of(ref, struct kvx_rail, ref);

	kvx_msg_free(rail->quiesce);
	kvx_msg_free(rail->quiesced);
	kvx_peer_put(rail->peer);
	kvx_net_put(rail->net);
	kfree(rail);
	if (atomic_dec_and_test(&kvx_rails_alive))
		wake_up_all(&kvx_rails_none);
}

/**
 * kvx_rail_put() - drop a reference
 * @rail: the rail
 *
 * Context: process.
 */
void kvx_rail_put(struct kvx_rail *rail)
{
	kref_put(&rail->ref, kvx_rail_free);
}

/**
 * kvx_rail_use_dev() - our device that a rail goes by
 * @rail: the rail
 *
 * Context: process.
 * Return: the device, for kvx_dev_unuse(); NULL when the rail is at its end.
 */
struct kvx_dev *kvx_rail_use_dev(struct kvx_rail *rail)
{
	struct kvx_link *link = &rail->links[0];
	struct kvx_dev *dev = NULL;

	spin_lock(&link->lock);
	if (!link->broken && link->dev) {
		dev = link->dev;
		kvx_dev_use_more(dev);
	}
	spin_unlock(&link->lock);
	return dev;
}

/**
 * kvx_rail_kick() - something has happened to it
 * @rail: the rail; the caller keeps it from going
 *
 * Context: process.
 */
void kvx_rail_kick(struct kvx_rail *rail)
{
	kref_get(&rail->ref);
	if (!queue_work(kvx_rail_wq, &rail->work))
		kvx_rail_put(rail);
}

/**
 * kvx_rail_fail() - it is to end
 * @rail: the rail; the caller keeps it from going
 * @err: why: a negative errno
 * @refusal: why, if the other said so
 *
 * Context: process.
 */
void kvx_rail_fail(struct kvx_rail *rail, int err, enum kvxfer_refusal refusal)
{
	bool first;

	spin_lock(&rail->lock);
	first = !rail->failed;
	if (first) {
		rail->failed = true;
		rail->error = err;
		rail->refusal = refusal;
	}
	spin_unlock(&rail->lock);
	if (first)
		kvx_rail_kick(rail);
}

/* After so many milliseconds look at it. */
static void kvx_rail_time(struct kvx_rail *rail, unsigned int ms)
{
	kref_get(&rail->ref);
	if (!queue_delayed_work(kvx_rail_wq, &rail->timer, msecs_to_jiffies(ms)))
		kvx_rail_put(rail);
}

/*
 * --- frames -------------------------------------------------------------------------------------
 */

static void kvx_msg_sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct kvx_msg *msg = container_of(wc->wr_cqe, struct kvx_msg, cqe);
	struct kvx_link *link = cq->cq_context;
	struct kvx_rail *rail = link->rail;

	kvx_link_failed(link, wc->status);
	ib_dma_unmap_single(cq->device, msg->dma, le32_to_cpu(msg->head.bytes), DMA_TO_DEVICE);
	spin_lock(&rail->lock);
	rail->out--;
	spin_unlock(&rail->lock);
	kvx_msg_gone(msg);
}

/**
 * __kvx_rail_post() - have a frame go
 * @rail: by which it goes
 * @msg: the frame; its peer's lock is held if it is numbered
 * @ack: what the other is told to have been taken
 *
 * Context: process.
 * Return: false when it cannot go now.
 */
bool __kvx_rail_post(struct kvx_rail *rail, struct kvx_msg *msg, u64 ack)
{
	const bool numbered = msg->head.seq;
	const u32 bytes = le32_to_cpu(msg->head.bytes);
	struct kvx_link *link = &rail->links[0];
	struct ib_device *ib = link->dev->ib;
	bool ok;

	spin_lock(&rail->lock);
	/* What is not numbered is little, and has room of its own. */
	ok = !rail->failed && (numbered ? rail->credits : rail->out < 2 * KVX_FRAME_CREDITS);
	if (ok) {
		rail->credits -= numbered;
		rail->out++;
		msg->head.credits = cpu_to_le16(rail->owed);
		rail->owed = 0;
	}
	spin_unlock(&rail->lock);
	if (!ok)
		return false;
	msg->head.ack = cpu_to_le64(ack);
	msg->cqe.done = kvx_msg_sent;
	msg->rail = rail;
	msg->dma = ib_dma_map_single(ib, &msg->head, bytes, DMA_TO_DEVICE);
	if (!ib_dma_mapping_error(ib, msg->dma)) {
		if (!kvx_link_send(link, &msg->cqe, msg->dma, bytes))
			return true;
		ib_dma_unmap_single(ib, msg->dma, bytes, DMA_TO_DEVICE);
	}
	msg->rail = NULL;
	spin_lock(&rail->lock);
	rail->out--;
	spin_unlock(&rail->lock);
	kvx_rail_fail(rail, -EIO, KVXFER_REFUSAL_NONE);
	return false;
}

/* Send what belongs to the rail, and is not kept. */
static void kvx_rail_say(struct kvx_rail *rail, struct kvx_msg *msg)
{
	if (!msg) {
		kvx_rail_fail(rail, -ENOMEM, KVXFER_REFUSAL_NONE);
		return;
	}
	msg->acked = true;
	if (!__kvx_rail_post(rail, msg, kvx_peer_rx_seq(rail->peer)))
		kvx_msg_free(msg);
}

static void kvx_rail_beat(struct kvx_rail *rail, bool ask)
{
	struct kvx_msg *msg = kvx_msg_new(KVX_FRAME_BEAT, sizeof(msg->beat));

	if (msg)
		msg->beat.ask = cpu_to_le32(ask);
	kvx_rail_say(rail, msg);
}

static void kvx_rail_hello(struct kvx_rail *rail)
{
	struct kvx_msg *msg = kvx_msg_new(KVX_FRAME_HELLO, sizeof(msg->hello));

	if (msg) {
		msg->hello.token = cpu_to_le64(rail->our_token);
		msg->hello.device = cpu_to_le32(rail->links[0].dev->id);
		msg->hello.keyed = cpu_to_le32(rail->keyed);
		memcpy(msg->hello.challenge, rail->challenge, sizeof(msg->hello.challenge));
		strscpy(msg->hello.name, utsname()->nodename, sizeof(msg->hello.name));
	}
	kvx_rail_say(rail, msg);
}

static void kvx_rail_addr(const struct sockaddr_storage *from, u8 to[16])
{
	const struct sockaddr_in6 *in6 = (const void *)from;
	const struct sockaddr_in *in = (const void *)from;
	struct in6_addr addr;

	if (from->ss_family == AF_INET6)
		addr = in6->sin6_addr;
	else
		ipv6_addr_set_v4mapped(in->sin_addr.s_addr, &addr);
	memcpy(to, &addr, sizeof(addr));
}

/* What one of the two ends has to say to prove itself. */
static int kvx_rail_prove(const struct kvx_rail *rail, bool ours, u8 *proof)
{
	const u64 boot_ids[2] = { kvx_boot_id, rail->boot_id };
	struct kvx_challenge about = {
		.boot_id = { cpu_to_le64(boot_ids[!ours]), cpu_to_le64(boot_ids[ours]) },
		.nonce = cpu_to_le64(rail->nonce),
		.active = rail->active == ours,
	};

	kvx_rail_addr(&rail->src, about.addr[!ours]);
	kvx_rail_addr(&rail->dst, about.addr[ours]);
	memcpy(about.random[!ours], rail->challenge, KVX_CHALLENGE_BYTES);
	memcpy(about.random[ours], rail->their_challenge, KVX_CHALLENGE_BYTES);
	return kvx_key_prove(&about, proof);
}

/* It will end, and the other shall know why: it has until the timer looks at it again. */
static void kvx_rail_refuse(struct kvx_rail *rail, enum kvxfer_refusal refusal)
{
	struct kvx_msg *msg = kvx_msg_new(KVX_FRAME_REFUSED, sizeof(msg->refused));

	if (msg)
		msg->refused.refusal = cpu_to_le32(refusal);
	kvx_rail_say(rail, msg);
	WRITE_ONCE(rail->refusing, refusal);
	/* A whole period, and what is pending already has its reference. */
	kref_get(&rail->ref);
	if (mod_delayed_work(kvx_rail_wq, &rail->timer, msecs_to_jiffies(KVX_RAIL_NUDGE_MS)))
		kvx_rail_put(rail);
}

/* Whoever asked proves itself first: to strangers nothing is said. */
static void kvx_rail_authenticate(struct kvx_rail *rail)
{
	u8 proof[KVX_PROOF_BYTES];
	struct kvx_msg *msg;

	if (rail->keyed != rail->their_keyed) {
		kvx_rail_refuse(rail, KVXFER_REFUSAL_KEY);
		return;
	}
	/* As kvx_rail_take_proof() left it. */
	if (rail->keyed && !rail->proven && smp_load_acquire(&rail->proof_came)) {
		if (kvx_rail_prove(rail, false, proof) ||
		    crypto_memneq(proof, rail->their_proof, sizeof(proof))) {
			pr_warn_ratelimited("node %016llx (%s) does not know the cluster key\n",
					    rail->boot_id, rail->name);
			kvx_rail_refuse(rail, KVXFER_REFUSAL_KEY);
			return;
		}
		WRITE_ONCE(rail->proven, true);
	}
	if (!rail->keyed || rail->proof_sent || (!rail->active && !rail->proven))
		return;
	msg = kvx_msg_new(KVX_FRAME_PROOF, sizeof(msg->proof));
	if (msg && kvx_rail_prove(rail, true, msg->proof.proof)) {
		kvx_msg_free(msg);
		kvx_rail_refuse(rail, KVXFER_REFUSAL_KEY);
		return;
	}
	kvx_rail_say(rail, msg);
	rail->proof_sent = true;
}

/**
 * kvx_rail_took() - there is room for another frame
 * @rail: the rail
 *
 * Context: process.
 */
void kvx_rail_took(struct kvx_rail *rail)
{
	bool tell;

	spin_lock(&rail->lock);
	tell = ++rail->owed >= KVX_FRAME_CREDITS / 2;
	spin_unlock(&rail->lock);
	if (tell)
		kvx_rail_say(rail, kvx_msg_new(KVX_FRAME_CREDIT, sizeof(struct kvx_wire_head)));
}

/* Returns false when it may not come now. */
static bool kvx_rail_take_hello(struct kvx_rail *rail, const struct kvx_wire_hello *hello)
{
	bool first;

	spin_lock(&rail->lock);
	first = !rail->hello_came;
	if (first) {
		rail->hello_came = true;
		rail->their_token = le64_to_cpu(hello->token);
		rail->their_dev = le32_to_cpu(hello->device);
		rail->their_keyed = le32_to_cpu(hello->keyed);
		memcpy(rail->their_challenge, hello->challenge, sizeof(rail->their_challenge));
		/* Nobody here wants to know. */
		if (!rail->keyed && !rail->their_keyed)
			rail->proven = true;
		memcpy(rail->name, hello->name, sizeof(rail->name));
	}
	spin_unlock(&rail->lock);
	return first;
}

/* Returns false when it may not come now. */
static bool kvx_rail_take_proof(struct kvx_rail *rail, const struct kvx_wire_proof *proof)
{
	bool first;

	spin_lock(&rail->lock);
	first = rail->keyed && !rail->proof_came;
	if (first) {
		memcpy(rail->their_proof, proof->proof, sizeof(rail->their_proof));
		/* It is not looked at before. */
		smp_store_release(&rail->proof_came, true);
	}
	spin_unlock(&rail->lock);
	return first;
}

/* Take what is in every head. Returns false when it cannot be. */
static bool kvx_rail_take_head(struct kvx_rail *rail, const struct kvx_wire_head *head)
{
	const u32 credits = le16_to_cpu(head->credits);
	bool ok;

	spin_lock(&rail->lock);
	rail->heard = jiffies;
	rail->asked = false;
	ok = credits <= KVX_FRAME_CREDITS - rail->credits;
	if (ok)
		rail->credits += credits;
	/* First they greet; then they prove themselves; then we listen to what is about others. */
	if (head->type != KVX_FRAME_HELLO && !rail->hello_came)
		ok = false;
	if ((kvx_frame_is_numbered(head->type) || head->type == KVX_FRAME_READY) && !rail->proven)
		ok = false;
	spin_unlock(&rail->lock);
	return ok;
}

/**
 * kvx_rail_receive() - a frame has come
 * @rail: by this
 * @frame: the frame, which is nobody's when this returns
 * @bytes: how long
 *
 * Context: process.
 * Return: true when it was numbered.
 */
bool kvx_rail_receive(struct kvx_rail *rail, const void *frame, u32 bytes)
{
	const enum kvx_frame_error error = kvx_frame_check(frame, bytes);
	const struct kvx_wire_head *head = frame;
	const struct kvx_wire_refused *refused = frame;
	const struct kvx_wire_flush *flush = frame;
	const struct kvx_wire_beat *beat = frame;
	int err = 0;

	if (error || !kvx_rail_take_head(rail, head)) {
		pr_warn_ratelimited("node %016llx broke the protocol (frame error %d)\n",
				    rail->boot_id, error);
		kvx_rail_fail(rail, -EPROTO, KVXFER_REFUSAL_NONE);
		return false;
	}
	if (READ_ONCE(rail->proven))
		kvx_peer_acked(rail->peer, le64_to_cpu(head->ack));
	switch (head->type) {
	case KVX_FRAME_HELLO:
		err = kvx_rail_take_hello(rail, frame) ? 0 : -EPROTO;
		kvx_rail_kick(rail);
		break;
	case KVX_FRAME_READY:
		WRITE_ONCE(rail->ready_came, true);
		kvx_rail_kick(rail);
		break;
	case KVX_FRAME_PROOF:
		err = kvx_rail_take_proof(rail, frame) ? 0 : -EPROTO;
		kvx_rail_kick(rail);
		break;
	case KVX_FRAME_REFUSED:
		kvx_rail_fail(rail, -ECONNREFUSED, le32_to_cpu(refused->refusal));
		break;
	case KVX_FRAME_BEAT:
		if (beat->ask)
			kvx_rail_beat(rail, false);
		break;
	case KVX_FRAME_CREDIT:
		break;
	case KVX_FRAME_FLUSH:
		err = -EPROTO;
		break;
	case KVX_FRAME_FLUSHED:
		if (!READ_ONCE(rail->proven) ||
		    !kvx_lane_flushed(rail, le32_to_cpu(flush->lane), le32_to_cpu(flush->token)))
			err = -EPROTO;
		break;
	default:
		err = kvx_peer_receive(rail, frame);
		break;
	}
	if (err)
		kvx_rail_fail(rail, err, KVXFER_REFUSAL_NONE);
	else if (head->credits)
		kvx_peer_pump(rail->peer);
	return kvx_frame_is_numbered(head->type);
}

/**
 * kvx_rail_receive_flush() - a frame has come on a lane
 * @rail: by this
 * @lane: on which
 * @frame: the frame, which is nobody's when this returns
 * @bytes: how long
 *
 * Context: process.
 * Return: false: it was not numbered.
 */
bool kvx_rail_receive_flush(struct kvx_rail *rail, u32 lane, const void *frame, u32 bytes)
{
	const struct kvx_wire_flush *flush = frame;
	struct kvx_msg *msg;

	if (kvx_frame_check(frame, bytes) || flush->head.type != KVX_FRAME_FLUSH) {
		kvx_rail_fail(rail, -EPROTO, KVXFER_REFUSAL_NONE);
		return false;
	}
	msg = kvx_msg_new(KVX_FRAME_FLUSHED, sizeof(msg->flush));
	if (msg) {
		msg->flush.lane = cpu_to_le32(lane);
		msg->flush.token = flush->token;
	}
	kvx_rail_say(rail, msg);
	return false;
}

/*
 * --- its life -----------------------------------------------------------------------------------
 */

/**
 * kvx_rail_lanes_up() - are all its lanes connected?
 * @rail: the rail
 *
 * Context: any.
 * Return: true when they are, or were.
 */
bool kvx_rail_lanes_up(const struct kvx_rail *rail)
{
	u32 i;

	for (i = 1; i <= rail->nr_lanes; i++)
		if (!READ_ONCE(rail->links[i].up))
			return false;
	return true;
}

static void kvx_rail_set_state(struct kvx_rail *rail, enum kvx_rail_state state)
{
	spin_lock(&rail->lock);
	rail->state = state;
	spin_unlock(&rail->lock);
}

/* It is known who asks. Returns whether it may go on. */
static bool kvx_rail_is_welcome(struct kvx_rail *rail)
{
	enum kvxfer_refusal refusal = KVXFER_REFUSAL_NONE;

	if (!rail->active)
		refusal = kvx_peer_rail_proven(rail);
	if (refusal)
		kvx_rail_refuse(rail, refusal);
	return !refusal;
}

/* One step further, if it can be made. */
static void kvx_rail_step(struct kvx_rail *rail)
{
	int err = 0;
	u32 i;

	if (rail->refusing)
		return;
	if (rail->state == KVX_RAIL_CONNECTING && READ_ONCE(rail->links[0].up))
		kvx_rail_set_state(rail, KVX_RAIL_GREETING);
	if (rail->state == KVX_RAIL_GREETING && !rail->hello_sent &&
	    (rail->active || READ_ONCE(rail->hello_came))) {
		/* On iWARP it is who asked that has to speak first. */
		kvx_rail_hello(rail);
		/* Now something else may follow it. */
		WRITE_ONCE(rail->hello_sent, true);
	}
	if (rail->state == KVX_RAIL_GREETING && READ_ONCE(rail->hello_came))
		kvx_rail_authenticate(rail);
	if (rail->state == KVX_RAIL_GREETING && !rail->refusing && READ_ONCE(rail->proven) &&
	    kvx_rail_is_welcome(rail)) {
		kvx_rail_set_state(rail, KVX_RAIL_LANES);
		for (i = 1; rail->active && i <= rail->nr_lanes && !err; i++)
			err = kvx_link_connect(&rail->links[i]);
		if (err)
			kvx_rail_fail(rail, err, KVXFER_REFUSAL_NONE);
	}
	if (rail->state == KVX_RAIL_LANES && kvx_rail_lanes_up(rail) && !rail->ready_sent &&
	    (rail->active || READ_ONCE(rail->ready_came))) {
		rail->ready_sent = true;
		kvx_rail_say(rail, kvx_msg_new(KVX_FRAME_READY, sizeof(struct kvx_wire_head)));
	}
	if (rail->state == KVX_RAIL_LANES && rail->ready_sent && READ_ONCE(rail->ready_came)) {
		rail->was_ready = true;
		kvx_rail_set_state(rail, KVX_RAIL_READY);
		kvx_stranger_del(rail);
		kvx_peer_rail_ready(rail, rail->name);
	}
}

static void kvx_rail_end(struct kvx_rail *rail)
{
	u32 i;

	kvx_rail_set_state(rail, KVX_RAIL_ENDING);
	kvx_peer_rail_ending(rail);
	mutex_lock(&rail->adopt);
	rail->closed = true;
	mutex_unlock(&rail->adopt);
	/* It sends, for which the control link has to be there. */
	if (cancel_delayed_work_sync(&rail->timer))
		kvx_rail_put(rail);
	for (i = rail->nr_lanes + 1; i-- > 0;)
		kvx_link_stop(&rail->links[i]);
	for (i = 1; i <= rail->nr_lanes; i++)
		if (rail->links[i].lane)
			kvx_lane_give_back(rail->links[i].lane);
	/* What was lost goes by others now: it does not wait for the device. */
	kvx_peer_rail_stopped(rail);
	for (i = rail->nr_lanes + 1; i-- > 0;)
		kvx_link_end(&rail->links[i]);
	kvx_stranger_del(rail);
	kvx_peer_rail_ended(rail);
	/* Its own. */
	kvx_rail_put(rail);
}

static void kvx_rail_work(struct work_struct *work)
{
	struct kvx_rail *rail = container_of(work, struct kvx_rail, work);

	if (rail->state != KVX_RAIL_ENDING) {
		if (READ_ONCE(rail->failed))
			kvx_rail_end(rail);
		else
			kvx_rail_step(rail);
	}
	kvx_rail_put(rail);
}

static void kvx_rail_timer(struct work_struct *work)
{
	struct kvx_rail *rail = container_of(to_delayed_work(work), struct kvx_rail, timer);
	unsigned long silent;
	bool ask = false, nudge, ready, dead, over;

	spin_lock(&rail->lock);
	over = rail->failed;
	ready = rail->state == KVX_RAIL_READY;
	silent = jiffies - rail->heard;
	dead = ready ? silent >= msecs_to_jiffies(dead_ms) :
		       time_after(jiffies, rail->born + msecs_to_jiffies(kvx_connect_ms));
	/*
	 * siw does not look at what comes while it is about to accept, until something else comes:
	 * what was said first would be heard never.
	 */
	nudge = !ready && READ_ONCE(rail->hello_sent);
	if (ready && !rail->asked && silent >= msecs_to_jiffies(beat_ms)) {
		rail->asked = true;
		ask = true;
	}
	spin_unlock(&rail->lock);
	if (!over && READ_ONCE(rail->refusing)) {
		kvx_rail_fail(rail, -ECONNREFUSED, rail->refusing);
	} else if (dead && !over) {
		kvx_rail_fail(rail, -ETIMEDOUT, KVXFER_REFUSAL_NONE);
	} else if (!over) {
		if (ask || nudge)
			kvx_rail_beat(rail, ask);
		kvx_rail_time(rail, ready ? max(beat_ms, 10U) : KVX_RAIL_NUDGE_MS);
	}
	kvx_rail_put(rail);
}

static struct kvx_rail *kvx_rail_new(struct kvx_peer *peer, struct kvx_net *net, bool active,
				     u32 nr_lanes)
{
	struct kvx_rail *rail = kzalloc(sizeof(*rail), GFP_KERNEL);
	u32 i;

	/* Who waits for the answer would do so for ever if it could not be asked for. */
	if (rail)
		rail->quiesce = kvx_msg_new(KVX_FRAME_QUIESCE, sizeof(rail->quiesce->quiesce));
	if (!rail || !rail->quiesce) {
		kfree(rail);
		return NULL;
	}
	atomic_inc(&kvx_rails_alive);
	kref_init(&rail->ref);
	kref_get(&peer->ref);
	rail->peer = peer;
	kvx_net_get(net);
	rail->net = net;
	rail->active = active;
	rail->id = -1;
	rail->boot_id = peer->boot_id;
	rail->our_token = get_random_u64();
	rail->keyed = kvx_key_is_set();
	get_random_bytes(rail->challenge, sizeof(rail->challenge));
	rail->nr_lanes = nr_lanes;
	rail->credits = KVX_FRAME_CREDITS;
	rail->born = jiffies;
	rail->heard = jiffies;
	spin_lock_init(&rail->lock);
	mutex_init(&rail->adopt);
	INIT_LIST_HEAD(&rail->link);
	INIT_LIST_HEAD(&rail->stranger);
	INIT_LIST_HEAD(&rail->fence_link);
	INIT_WORK(&rail->work, kvx_rail_work);
	INIT_DELAYED_WORK(&rail->timer, kvx_rail_timer);
	for (i = 0; i <= nr_lanes; i++)
		kvx_link_init(&rail->links[i], rail, i);
	return rail;
}

/**
 * kvx_rail_connect() - ask another node
 * @peer: which
 * @net: from which network namespace
 * @dst: where
 *
 * If a rail comes of it, the peer will be told of its end.
 *
 * Context: process, may sleep.
 */
void kvx_rail_connect(struct kvx_peer *peer, struct kvx_net *net,
		      const struct sockaddr_storage *dst)
{
	struct kvx_rail *rail;
	int err;

	rail = kvx_rail_new(peer, net, true, clamp(lanes, 2U, (unsigned int)KVX_LANES_MAX));
	if (!rail)
		return;
	rail->nonce = get_random_u64();
	rail->dst = *dst;
	/* Who is told of it may end it at once. */
	kref_get(&rail->ref);
	if (kvx_peer_rail_new(peer, rail)) {
		kvx_rail_put(rail);
		kvx_rail_put(rail);
		return;
	}
	mutex_lock(&rail->adopt);
	err = rail->closed ? -ECONNABORTED : kvx_link_connect(&rail->links[0]);
	if (!rail->closed)
		kvx_rail_time(rail, KVX_RAIL_NUDGE_MS);
	mutex_unlock(&rail->adopt);
	if (err)
		kvx_rail_fail(rail, err, KVXFER_REFUSAL_NONE);
	kvx_rail_put(rail);
}

/**
 * kvx_rail_from() - it is known by which of our addresses it goes
 * @rail: a rail that this node asked for
 * @src: the address
 *
 * Context: process.
 */
void kvx_rail_from(struct kvx_rail *rail, const struct sockaddr_storage *src)
{
	spin_lock(&rail->peer->lock);
	rail->src = *src;
	/* Of both families the port is at the same place. */
	((struct sockaddr_in *)&rail->src)->sin_port = 0;
	spin_unlock(&rail->peer->lock);
}

/**
 * kvx_rail_answered() - who was asked has said who it is
 * @rail: a rail that this node asked for
 * @boot_id: who it is
 *
 * Context: process.
 * Return: 0, or -ESTALE when it is not who was meant.
 */
int kvx_rail_answered(struct kvx_rail *rail, u64 boot_id)
{
	return rail->boot_id == boot_id && !rail->peer->probe ? 0 : -ESTALE;
}

/* A lane of a rail that is there. */
static enum kvxfer_refusal kvx_rail_asked_lane(struct kvx_peer *peer, struct rdma_cm_id *id,
					       const struct kvx_wire_greeting *greeting,
					       const struct rdma_conn_param *asked)
{
	const u64 nonce = le64_to_cpu(greeting->nonce);
	struct kvx_rail *rail = NULL, *r;
	enum kvxfer_refusal refusal = KVXFER_REFUSAL_LANE;
	struct kvx_link *link;

	spin_lock(&peer->lock);
	list_for_each_entry(r, &peer->rails, link)
		if (!r->active && r->nonce == nonce)
			rail = r;
	if (rail)
		kref_get(&rail->ref);
	spin_unlock(&peer->lock);
	if (!rail)
		return KVXFER_REFUSAL_LANE;
	mutex_lock(&rail->adopt);
	if (!rail->closed && greeting->lane <= rail->nr_lanes && READ_ONCE(rail->proven) &&
	    le64_to_cpu(greeting->token) == rail->our_token) {
		link = &rail->links[greeting->lane];
		if (!link->id)
			refusal = kvx_link_accept(link, id, asked) ? KVXFER_REFUSAL_RESOURCES :
								     KVXFER_REFUSAL_NONE;
	}
	mutex_unlock(&rail->adopt);
	kvx_rail_put(rail);
	return refusal;
}

static enum kvxfer_refusal kvx_rail_asked_new(struct kvx_peer *peer, struct kvx_net *net,
					      struct rdma_cm_id *id,
					      const struct kvx_wire_greeting *greeting,
					      const struct rdma_conn_param *asked)
{
	enum kvxfer_refusal refusal;
	struct kvx_rail *rail;
	int err;

	if (greeting->lanes < 2 || greeting->lanes > KVX_LANES_MAX)
		return KVXFER_REFUSAL_LANE;
	if (atomic_read(&kvx_rails_alive) >= KVX_RAILS_ALL)
		return KVXFER_REFUSAL_RESOURCES;
	rail = kvx_rail_new(peer, net, false, greeting->lanes);
	if (!rail)
		return KVXFER_REFUSAL_RESOURCES;
	rail->nonce = le64_to_cpu(greeting->nonce);
	rail->src = id->route.addr.src_addr;
	rail->dst = id->route.addr.dst_addr;
	kref_get(&rail->ref);
	refusal = kvx_peer_rail_new(peer, rail);
	if (refusal) {
		kvx_rail_put(rail);
		kvx_rail_put(rail);
		return refusal;
	}
	mutex_lock(&rail->adopt);
	/* From here on its end takes it out. */
	if (!rail->closed)
		kvx_stranger_add(rail);
	err = rail->closed ? -ECONNABORTED : kvx_link_accept(&rail->links[0], id, asked);
	if (!rail->closed)
		kvx_rail_time(rail, KVX_RAIL_NUDGE_MS);
	mutex_unlock(&rail->adopt);
	if (err)
		kvx_rail_fail(rail, err, KVXFER_REFUSAL_NONE);
	kvx_rail_put(rail);
	return err ? KVXFER_REFUSAL_RESOURCES : KVXFER_REFUSAL_NONE;
}

/**
 * kvx_rail_asked() - another node asks
 * @net: in which network namespace
 * @id: by this
 * @greeting: what it says
 * @asked: how
 *
 * Context: the connection manager's handler.
 * Return: KVXFER_REFUSAL_NONE when @id has been taken over.
 */
enum kvxfer_refusal kvx_rail_asked(struct kvx_net *net, struct rdma_cm_id *id,
				   const struct kvx_wire_greeting *greeting,
				   const struct rdma_conn_param *asked)
{
	const u64 boot_id = le64_to_cpu(greeting->boot_id);
	const u64 expected = le64_to_cpu(greeting->expected);
	enum kvxfer_refusal refusal;
	struct kvx_peer *peer;

	if (boot_id == kvx_boot_id)
		return KVXFER_REFUSAL_SELF;
	if (expected && expected != kvx_boot_id)
		return KVXFER_REFUSAL_BOOT;
	/* Before anything is kept of it. */
	if (!greeting->lane && kvx_strangers_full(net, &id->route.addr.dst_addr))
		return KVXFER_REFUSAL_RESOURCES;
	peer = greeting->lane ? kvx_peer_find(boot_id) : kvx_peer_get(boot_id);
	if (!peer)
		return greeting->lane ? KVXFER_REFUSAL_LANE : KVXFER_REFUSAL_RESOURCES;
	/* Nobody's name is ours to give. */
	if (peer->probe) {
		kvx_peer_put(peer);
		return KVXFER_REFUSAL_BOOT;
	}
	refusal = greeting->lane ? kvx_rail_asked_lane(peer, id, greeting, asked) :
				   kvx_rail_asked_new(peer, net, id, greeting, asked);
	kvx_peer_put(peer);
	return refusal;
}

/**
 * kvx_rails_init() - before the first rail
 *
 * Return: 0 or -ENOMEM.
 */
int kvx_rails_init(void)
{
	kvx_rail_wq = alloc_workqueue("kvxfer_rail", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return kvx_rail_wq ? 0 : -ENOMEM;
}

/**
 * kvx_rails_quiesce() - until all have ended, which have been told to; nobody asks any more
 *
 * Context: process, may sleep.
 */
void kvx_rails_quiesce(void)
{
	wait_event(kvx_rails_none, !atomic_read(&kvx_rails_alive));
}

/**
 * kvx_rails_exit() - after the last
 *
 * Context: process, may sleep.
 */
void kvx_rails_exit(void)
{
	destroy_workqueue(kvx_rail_wq);
}
