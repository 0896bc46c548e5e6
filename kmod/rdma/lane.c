// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lanes: queue pairs for data.
 *
 * A lane is filled by one at a time, from one flow at a time, a slice of it. Work requests go in a
 * chain; only some are signalled, and what was posted before is done when they are. What has not
 * been done when the lane has come to its end is given back to its flows, to be sent by another.
 */
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "../kvx.h"
#include "../layouts.h"
#include "../peer.h"
#include "../pool.h"
#include "../remote.h"
#include "flow.h"
#include "lane.h"
#include "rail.h"

/* The longest work request. */
#define KVX_WR_BYTES		(1U << 20)
/* How many go without being signalled. */
#define KVX_LANE_SIGNAL		8

/* What comes behind has to wait for that. */
static unsigned int lane_bytes = 2U << 20;

static int kvx_lane_bytes_set(const char *value, const struct kernel_param *param)
{
	int err = param_set_uint(value, param);

	if (!err)
		kvx_peers_kick();
	return err;
}

static const struct kernel_param_ops kvx_lane_bytes_ops = {
	.set = kvx_lane_bytes_set,
	.get = param_get_uint,
};
module_param_cb(lane_bytes, &kvx_lane_bytes_ops, &lane_bytes, 0644);
MODULE_PARM_DESC(lane_bytes, "how much a queue pair may have on its way; 0: transfers wait");

static struct kvx_request *kvx_lane_slot(struct kvx_lane *lane, u32 index)
{
	return &lane->slots[index % KVX_LANE_SENDS];
}

/*
 * --- done ---------------------------------------------------------------------------------------
 */

/* Those up to @end are done: tell their flows. */
static void kvx_lane_retire(struct kvx_lane *lane, u32 end)
{
	struct kvx_flow *flow = NULL;
	struct kvx_request *slot;
	u64 bytes = 0;
	u32 nr = 0, i;

	/* Completions of a lane come one after the other, so the tail is ours. */
	for (i = lane->tail; i != end; i++) {
		slot = kvx_lane_slot(lane, i);
		if (flow && slot->flow != flow) {
			kvx_flow_retire(flow, nr, bytes, NULL, 0, 0);
			nr = 0;
			bytes = 0;
		}
		flow = slot->flow;
		bytes += slot->bytes;
		nr++;
		atomic64_add(slot->bytes, &lane->link->rail->bytes[lane->way]);
		spin_lock(&lane->lock);
		lane->bytes -= slot->bytes;
		/* From then on it may be filled anew. */
		smp_store_release(&lane->tail, lane->tail + 1);
		spin_unlock(&lane->lock);
	}
	if (flow)
		kvx_flow_retire(flow, nr, bytes, NULL, 0, 0);
}

/*
 * --- iWARP --------------------------------------------------------------------------------------
 *
 * That a write is done says only that it has been sent. So behind what was sent goes a frame on the
 * same lane; when the other has it, it has what was before it, and says so on the control link.
 * Only then that is done.
 */

/**
 * kvx_lane_writes() - is it a lane by which is written?
 * @link: any link
 *
 * Context: any.
 * Return: true when it is.
 */
bool kvx_lane_writes(const struct kvx_link *link)
{
	return link->index && !(link->index & 1);
}

static void kvx_flush_sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct kvx_msg *msg = container_of(wc->wr_cqe, struct kvx_msg, cqe);
	struct kvx_link *link = cq->cq_context;

	kvx_link_failed(link, wc->status);
	ib_dma_unmap_single(cq->device, msg->dma, le32_to_cpu(msg->head.bytes), DMA_TO_DEVICE);
	kvx_msg_free(msg);
}

static int kvx_lane_post_flush(struct kvx_lane *lane, u32 token)
{
	struct kvx_msg *msg = kvx_msg_new(KVX_FRAME_FLUSH, sizeof(msg->flush));
	struct kvx_link *link = lane->link;
	struct ib_device *ib = link->dev->ib;
	int err = -EIO;

	if (!msg)
		return -ENOMEM;
	msg->flush.lane = cpu_to_le32(link->index);
	msg->flush.token = cpu_to_le32(token);
	msg->cqe.done = kvx_flush_sent;
	msg->dma = ib_dma_map_single(ib, &msg->head, sizeof(msg->flush), DMA_TO_DEVICE);
	if (!ib_dma_mapping_error(ib, msg->dma)) {
		err = kvx_link_send(link, &msg->cqe, msg->dma, sizeof(msg->flush));
		if (!err)
			return 0;
		ib_dma_unmap_single(ib, msg->dma, sizeof(msg->flush), DMA_TO_DEVICE);
	}
	kvx_msg_free(msg);
	return err;
}

/* Ask about what has been sent, one question at a time. */
static void kvx_lane_flush(struct kvx_lane *lane)
{
	bool ask;
	int err;

	spin_lock(&lane->lock);
	ask = !lane->flushing && lane->sent != lane->tail;
	if (ask) {
		lane->flushing = true;
		lane->asked = lane->sent;
	}
	spin_unlock(&lane->lock);
	err = ask ? kvx_lane_post_flush(lane, lane->asked) : 0;
	if (err)
		kvx_rail_fail(lane->link->rail, err, KVXFER_REFUSAL_NONE);
}

/**
 * kvx_lane_flushed() - the other has what was written
 * @rail: by this
 * @index: on which lane
 * @token: up to which request
 *
 * Context: process, may sleep.
 * Return: false when it was not asked.
 */
bool kvx_lane_flushed(struct kvx_rail *rail, u32 index, u32 token)
{
	struct kvx_lane *lane = NULL;
	struct kvx_link *link;
	bool asked = true;

	if (!index || index > rail->nr_lanes)
		return false;
	link = &rail->links[index];
	spin_lock(&link->lock);
	/* From its end on it waits for this before it goes. */
	if (!link->broken && link->lane) {
		lane = link->lane;
		spin_lock(&lane->lock);
		asked = lane->flushing && !lane->retiring && lane->asked == token;
		if (asked)
			lane->retiring = true;
		spin_unlock(&lane->lock);
	}
	spin_unlock(&link->lock);
	if (!lane || !asked)
		return asked;
	kvx_lane_retire(lane, token);
	spin_lock(&lane->lock);
	lane->flushing = false;
	spin_unlock(&lane->lock);
	kvx_lane_flush(lane);
	kvx_flows_room(rail->peer, lane->way);
	spin_lock(&lane->lock);
	lane->retiring = false;
	wake_up_all(&lane->idle);
	spin_unlock(&lane->lock);
	return true;
}

static void kvx_request_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct kvx_request *slot = container_of(wc->wr_cqe, struct kvx_request, cqe);
	struct kvx_lane *lane = slot->lane;
	struct kvx_peer *peer = lane->link->rail->peer;
	const u32 at = slot - lane->slots;

	if (wc->status == IB_WC_SUCCESS && lane->way == KVX_WAY_WRITE && lane->link->dev->iwarp) {
		/* Beyond what was sent before: the tail may be moved meanwhile. */
		spin_lock(&lane->lock);
		lane->sent += (at - lane->sent) % KVX_LANE_SENDS + 1;
		spin_unlock(&lane->lock);
		kvx_lane_flush(lane);
		return;
	}
	if (wc->status == IB_WC_SUCCESS) {
		kvx_lane_retire(lane, lane->tail + (at - lane->tail) % KVX_LANE_SENDS + 1);
		kvx_flows_room(peer, lane->way);
		return;
	}
	/* The peer does not let this one; for the others it is as if the wire were cut. */
	if (wc->status == IB_WC_REM_ACCESS_ERR || wc->status == IB_WC_REM_INV_REQ_ERR ||
	    wc->status == IB_WC_REM_OP_ERR)
		kvx_flow_retire(slot->flow, 0, 0, NULL, ESTALE, KVXFER_REASON_XFER_CUT);
	kvx_link_failed(lane->link, wc->status);
}

/* Its segments, to be sent again. Returns false when there is no memory to remember them by. */
static bool kvx_request_redo(struct kvx_request *slot, struct list_head *redo)
{
	const bool write = slot->lane->way == KVX_WAY_WRITE;
	u64 remote = slot->remote;
	struct kvx_redo *again;
	int i;

	for (i = 0; i < slot->wr.wr.num_sge; i++) {
		again = kmalloc(sizeof(*again), GFP_KERNEL);
		if (!again)
			return false;
		again->segment.bytes = slot->sge[i].length;
		again->segment.src = write ? slot->local[i] : remote;
		again->segment.dst = write ? remote : slot->local[i];
		list_add_tail(&again->link, redo);
		remote += slot->sge[i].length;
	}
	return true;
}

static bool kvx_lane_is_idle(struct kvx_lane *lane)
{
	bool idle;

	spin_lock(&lane->lock);
	idle = !lane->claimed && !lane->retiring;
	spin_unlock(&lane->lock);
	return idle;
}

/**
 * kvx_lane_give_back() - what a lane has not done is to go another way
 * @lane: of a queue pair that does nothing any more; nobody claims it
 *
 * Context: process, may sleep.
 */
void kvx_lane_give_back(struct kvx_lane *lane)
{
	struct kvx_request *slot;
	LIST_HEAD(redo);
	bool ok;

	/* Whoever fills it finds out that it cannot be posted on. */
	wait_event(lane->idle, kvx_lane_is_idle(lane));
	for (; lane->tail != lane->head; lane->tail++) {
		slot = kvx_lane_slot(lane, lane->tail);
		ok = kvx_request_redo(slot, &redo);
		/* What was written may be on its way there still. */
		if (lane->way == KVX_WAY_WRITE)
			kvx_flow_fence(slot->flow, kvx_fence_rail(lane->link->rail));
		kvx_flow_retire(slot->flow, 1, 0, &redo, ok ? 0 : ENOMEM, 0);
	}
}

/**
 * kvx_lane_free() - a lane has come to its end
 * @link: its queue pair, which is no more; what was posted on it has been given back
 *
 * Context: process.
 */
void kvx_lane_free(struct kvx_link *link)
{
	kvfree(link->lane);
	link->lane = NULL;
}

/**
 * kvx_lane_make() - a lane for a queue pair
 * @link: the queue pair
 *
 * Context: process, may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvx_lane_make(struct kvx_link *link)
{
	struct kvx_lane *lane = kvzalloc(sizeof(*lane), GFP_KERNEL);
	u32 i;

	if (!lane)
		return -ENOMEM;
	lane->link = link;
	lane->way = kvx_lane_writes(link) ? KVX_WAY_WRITE : KVX_WAY_READ;
	spin_lock_init(&lane->lock);
	init_waitqueue_head(&lane->idle);
	for (i = 0; i < KVX_LANE_SENDS; i++) {
		lane->slots[i].lane = lane;
		lane->slots[i].cqe.done = kvx_request_done;
	}
	link->lane = lane;
	return 0;
}

/*
 * --- filling ------------------------------------------------------------------------------------
 */

static bool kvx_lane_has_room(struct kvx_lane *lane)
{
	return lane->head - lane->tail < KVX_LANE_SENDS && lane->bytes < READ_ONCE(lane_bytes);
}

/* May it go by a rail, of those that are ready? */
static bool kvx_rail_takes(const struct kvx_rail *rail, const struct kvx_flow *flow)
{
	return rail->state == KVX_RAIL_READY && !READ_ONCE(rail->failed) && rail->id >= 0 &&
	       (!flow->rails || flow->rails & BIT(rail->id)) &&
	       kvx_remote_has_keys_for(flow->remote, rail->their_dev);
}

/* How near a rail's device is to the flow's memory; what is not known is as good as the nearest. */
static int kvx_rail_distance(const struct kvx_rail *rail, const struct kvx_flow *flow)
{
	/* Who is named is taken. */
	return flow->rails ? LOCAL_DISTANCE :
			     kvx_numa_distance(rail->links[0].dev->numa_node, flow->node);
}

/**
 * kvx_lane_claim() - a lane that can take more
 * @peer: to which peer
 * @flow: of what
 *
 * Of the nearest rails the one with the least on its way: so that each gets what it gets done.
 *
 * Context: process.
 * Return: the lane, for kvx_lane_unclaim(); or ERR_PTR: -EBUSY when those that there are have no
 * room, -EAGAIN when there is none by which the peer has given keys.
 */
struct kvx_lane *kvx_lane_claim(struct kvx_peer *peer, const struct kvx_flow *flow)
{
	struct kvx_lane *lane, *best = NULL;
	int err = -EAGAIN, nearest = INT_MAX;
	struct kvx_rail *rail;
	u32 i;

	spin_lock(&peer->lock);
	list_for_each_entry(rail, &peer->rails, link)
		if (kvx_rail_takes(rail, flow))
			nearest = min(nearest, kvx_rail_distance(rail, flow));
	list_for_each_entry(rail, &peer->rails, link) {
		if (!kvx_rail_takes(rail, flow) || kvx_rail_distance(rail, flow) > nearest)
			continue;
		err = -EBUSY;
		for (i = 1; i <= rail->nr_lanes; i++) {
			lane = rail->links[i].lane;
			if (lane->way == flow->way && !READ_ONCE(lane->claimed) &&
			    kvx_lane_has_room(lane) && (!best || lane->bytes < best->bytes))
				best = lane;
		}
	}
	if (best) {
		spin_lock(&best->lock);
		if (best->claimed)
			best = NULL;
		else
			best->claimed = true;
		spin_unlock(&best->lock);
	}
	if (best)
		kref_get(&best->link->rail->ref);
	spin_unlock(&peer->lock);
	return best ?: ERR_PTR(err);
}

/**
 * kvx_lane_unclaim() - done with filling it
 * @lane: what kvx_lane_claim() gave
 *
 * Context: process.
 */
void kvx_lane_unclaim(struct kvx_lane *lane)
{
	struct kvx_rail *rail = lane->link->rail;

	spin_lock(&lane->lock);
	lane->claimed = false;
	/* It may be no more as soon as the lock is not held. */
	wake_up_all(&lane->idle);
	spin_unlock(&lane->lock);
	kvx_rail_put(rail);
}

/* Where @place of the local layout is for the lane's device, and how much of @bytes is in a row. */
static int kvx_lane_local(struct kvx_lane *lane, struct kvx_flow *flow, u64 place, u64 *bytes,
			  struct ib_sge *sge)
{
	struct kvx_pool *pool = flow->local->pools[kvx_place_pool(place)];
	const u64 offset = kvx_place_offset(place);
	struct kvx_dev *dev = lane->link->dev;
	struct kvx_map *map = kvx_map_find(pool, dev);
	struct kvx_window *window;
	struct kvx_span span;

	if (!map)
		return -ENOENT;
	if (!dev->iwarp || lane->way == KVX_WAY_WRITE) {
		sge->addr = kvx_map_at(map, offset, bytes);
		sge->lkey = dev->pd->local_dma_lkey;
		return 0;
	}
	/* On iWARP what is read to is addressed as what is written to by others. */
	window = smp_load_acquire(&map->window); /* as kvx_flow_reach() left it */
	if (!window)
		return -ENOENT;
	span = kvx_span_at(0, pool->bytes, window->shift, offset);
	*bytes = min(*bytes, span.bytes);
	sge->addr = span.offset;
	sge->lkey = window->mrs[span.key]->lkey;
	return 0;
}

/* Fill a slot with what comes next. Returns 0, 1 when there is nothing, or an errno. */
static int kvx_request_fill(struct kvx_request *slot, struct kvx_flow *flow,
			    const struct kvx_keys *keys, u32 max)
{
	struct kvx_lane *lane = slot->lane;
	const bool write = lane->way == KVX_WAY_WRITE;
	const u32 sges = write ? lane->link->dev->send_sge : lane->link->dev->read_sge;
	u64 remote, local, address, span, n;
	struct ib_sge sge, *last;
	int nr = 0, err = 0;
	u32 key;

	slot->bytes = 0;
	while (slot->bytes < max && kvx_flow_next(flow)) {
		remote = write ? flow->rest.dst : flow->rest.src;
		local = write ? flow->rest.src : flow->rest.dst;
		if (nr && remote != slot->remote + slot->bytes)
			break;
		key = kvx_remote_at(flow->remote, keys, remote, &address, &span);
		if (nr && key != slot->wr.rkey)
			break;
		n = min3(flow->rest.bytes, span, (u64)max - slot->bytes);
		err = kvx_lane_local(lane, flow, local, &n, &sge);
		if (err)
			break;
		last = nr ? &slot->sge[nr - 1] : NULL;
		if (last && sge.lkey == last->lkey && sge.addr == last->addr + last->length &&
		    local == slot->local[nr - 1] + last->length) {
			last->length += n;
		} else if (nr < sges) {
			slot->local[nr] = local;
			slot->sge[nr] = sge;
			slot->sge[nr++].length = n;
		} else {
			break;
		}
		if (!slot->bytes) {
			slot->remote = remote;
			slot->wr.remote_addr = address;
			slot->wr.rkey = key;
		}
		slot->bytes += n;
		flow->rest.src += n;
		flow->rest.dst += n;
		flow->rest.bytes -= n;
	}
	if (!slot->bytes)
		return err ?: 1;
	slot->flow = flow;
	slot->wr.wr = (struct ib_send_wr){
		.wr_cqe = &slot->cqe,
		.sg_list = slot->sge,
		.num_sge = nr,
		.opcode = write ? IB_WR_RDMA_WRITE : IB_WR_RDMA_READ,
	};
	return 0;
}

/* Post a chain of @nr slots from the head on. Returns false when the lane is at its end. */
static bool kvx_lane_post(struct kvx_lane *lane, u32 nr, u32 bytes)
{
	struct kvx_link *link = lane->link;
	const struct ib_send_wr *bad = NULL;
	struct kvx_request *slot;
	int err = -ENOTCONN;
	u32 i;

	for (i = 0; i < nr; i++) {
		slot = kvx_lane_slot(lane, lane->head + i);
		slot->wr.wr.next = i + 1 < nr ? &kvx_lane_slot(lane, lane->head + i + 1)->wr.wr :
						NULL;
		if (i + 1 == nr || (lane->head + i) % KVX_LANE_SIGNAL == KVX_LANE_SIGNAL - 1)
			slot->wr.wr.send_flags = IB_SEND_SIGNALED;
	}
	slot = kvx_lane_slot(lane, lane->head);
	/* From here on they count as posted: they are when somebody is told that one is done. */
	spin_lock(&lane->lock);
	lane->head += nr;
	lane->bytes += bytes;
	spin_unlock(&lane->lock);
	spin_lock(&link->lock);
	if (!link->broken)
		err = ib_post_send(link->id->qp, &slot->wr.wr, &bad);
	spin_unlock(&link->lock);
	if (!err)
		return true;
	/* Its end gives back what was posted, and what was not. */
	kvx_rail_fail(link->rail, err, KVXFER_REFUSAL_NONE);
	return false;
}

/**
 * kvx_lane_fill() - post a slice of a flow
 * @lane: claimed
 * @flow: taken
 * @budget: how many bytes
 *
 * Context: process.
 * Return: 0; -ENOENT when something is missing that it can be reached by, which is to be prepared;
 * -EAGAIN when the peer's keys are missing, which will come.
 */
int kvx_lane_fill(struct kvx_lane *lane, struct kvx_flow *flow, u32 budget)
{
	struct kvx_keys *keys = kvx_remote_keys_for(flow->remote, lane->link->rail->their_dev);
	u32 nr = 0, bytes = 0, room;
	int err = 0;

	if (!keys)
		return -EAGAIN;
	/* Whoever retired a slot has read what it wanted of it. */
	room = KVX_LANE_SENDS - (lane->head - smp_load_acquire(&lane->tail));
	budget = clamp(READ_ONCE(lane_bytes), 1U, budget);
	while (nr < room && bytes < budget && !READ_ONCE(flow->job.stop) &&
	       !READ_ONCE(flow->error)) {
		err = kvx_request_fill(kvx_lane_slot(lane, lane->head + nr), flow, keys,
				       min(budget - bytes, KVX_WR_BYTES));
		if (err)
			break;
		bytes += kvx_lane_slot(lane, lane->head + nr)->bytes;
		nr++;
	}
	kvx_keys_put(keys);
	if (nr) {
		kvx_flow_posted(flow, nr, lane->link->rail->id);
		kvx_lane_post(lane, nr, bytes);
	}
	return err < 0 ? err : 0;
}
