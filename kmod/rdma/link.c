// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links: the connections that a rail is made of, one queue pair each.
 *
 * The connection manager's handler does what can be done at once and tells the rail, whose work
 * does the rest; so it never waits for anything, and a link is ended by the rail's work alone.
 * Completions are told in process context, by the device core's workers. What posts does so under
 * the link's lock and looks at @broken first: from then on nobody posts, and it can be drained.
 */
#include <linux/inet.h>
#include <linux/slab.h>
#include <rdma/ib_cm.h>
#include <rdma/rdma_cm.h>

#include "../kvx.h"
#include "../serve.h"
#include "link.h"
#include "net.h"
#include "rail.h"

/* Reads that a queue pair may have on their way, where both devices can. */
#define KVX_READS		32
/* 4.096 us * 2^16: a quarter of a second until something is sent again. */
#define KVX_ACK_TIMEOUT		16
#define KVX_RETRIES		7
/* 0.64 ms: a frame that came when there was no room, which credits prevent. */
#define KVX_RNR_TIMER		12

/* How long it may take to make keys, and to end them: then their connection ends. */
#define KVX_KEYS_PATIENCE	(5 * HZ)
#define KVX_END_PATIENCE	(2 * HZ)

static void kvx_link_greet(const struct kvx_link *link, struct kvx_wire_greeting *greeting)
{
	const struct kvx_rail *rail = link->rail;

	*greeting = (struct kvx_wire_greeting){
		.magic = cpu_to_le32(KVX_PROTO_MAGIC),
		.version = cpu_to_le16(KVX_PROTO_VERSION),
		.oldest = cpu_to_le16(KVX_PROTO_VERSION),
		.boot_id = cpu_to_le64(kvx_boot_id),
		.expected = cpu_to_le64(rail->boot_id),
		.nonce = cpu_to_le64(rail->nonce),
		.token = cpu_to_le64(link->index ? rail->their_token : 0),
		.lane = link->index,
		.lanes = rail->nr_lanes,
		.port = cpu_to_le16(kvx_net_port(rail->net)),
	};
}

/*
 * --- frames -------------------------------------------------------------------------------------
 */

static int kvx_recv_post(struct kvx_recv *recv)
{
	struct kvx_link *link = recv->link;
	struct ib_sge sge = {
		.addr = recv->dma, .length = KVX_FRAME_MAX,
		.lkey = link->dev->pd->local_dma_lkey,
	};
	const struct ib_recv_wr wr = { .wr_cqe = &recv->cqe, .sg_list = &sge, .num_sge = 1 };
	int err = -ENOTCONN;

	spin_lock(&link->lock);
	if (!link->broken)
		err = ib_post_recv(link->id->qp, &wr, NULL);
	spin_unlock(&link->lock);
	return err;
}

static void kvx_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct kvx_recv *recv = container_of(wc->wr_cqe, struct kvx_recv, cqe);
	struct kvx_link *link = recv->link;
	bool numbered;

	if (wc->status != IB_WC_SUCCESS) {
		kvx_link_failed(link, wc->status);
		return;
	}
	/* A write leaves nothing here to be read, and nobody has a key of ours to end. */
	if (wc->opcode != IB_WC_RECV || wc->wc_flags & (IB_WC_WITH_IMM | IB_WC_WITH_INVALIDATE)) {
		pr_warn_ratelimited("node %016llx sent what is no frame\n", link->rail->boot_id);
		if (wc->wc_flags & IB_WC_WITH_INVALIDATE)
			kvx_serve_ended(link->dev->id, wc->ex.invalidate_rkey);
		kvx_rail_fail(link->rail, -EPROTO, KVXFER_REFUSAL_NONE);
		return;
	}
	ib_dma_sync_single_for_cpu(link->dev->ib, recv->dma, KVX_FRAME_MAX, DMA_FROM_DEVICE);
	if (link->index)
		numbered = kvx_rail_receive_flush(link->rail, link->index, recv->frame,
						  wc->byte_len);
	else
		numbered = kvx_rail_receive(link->rail, recv->frame, wc->byte_len);
	ib_dma_sync_single_for_device(link->dev->ib, recv->dma, KVX_FRAME_MAX, DMA_FROM_DEVICE);
	if (!kvx_recv_post(recv) && numbered)
		kvx_rail_took(link->rail);
}

static void kvx_recvs_free(struct kvx_link *link)
{
	u32 i;

	if (!link->recvs)
		return;
	for (i = 0; i < link->nr_recvs; i++) {
		if (link->recvs[i].dma)
			ib_dma_unmap_single(link->dev->ib, link->recvs[i].dma, KVX_FRAME_MAX,
					    DMA_FROM_DEVICE);
		kfree(link->recvs[i].frame);
	}
	kvfree(link->recvs);
	link->recvs = NULL;
}

static int kvx_recvs_make(struct kvx_link *link, u32 nr)
{
	struct ib_device *ib = link->dev->ib;
	struct kvx_recv *recv;
	u64 dma;
	int err;
	u32 i;

	link->recvs = kvcalloc(nr, sizeof(*link->recvs), GFP_KERNEL);
	if (!link->recvs)
		return -ENOMEM;
	link->nr_recvs = nr;
	for (i = 0; i < nr; i++) {
		recv = &link->recvs[i];
		recv->cqe.done = kvx_recv_done;
		recv->link = link;
		recv->frame = kmalloc(KVX_FRAME_MAX, GFP_KERNEL);
		if (!recv->frame)
			return -ENOMEM;
		dma = ib_dma_map_single(ib, recv->frame, KVX_FRAME_MAX, DMA_FROM_DEVICE);
		if (ib_dma_mapping_error(ib, dma))
			return -EIO;
		recv->dma = dma;
		err = kvx_recv_post(recv);
		if (err)
			return err;
	}
	return 0;
}

/**
 * kvx_link_send() - send a frame
 * @link: a control link, or a lane
 * @cqe: what is told when it has gone, if 0 is returned
 * @dma: where it is for the device
 * @bytes: how long
 *
 * Context: process.
 * Return: 0 or an errno.
 */
int kvx_link_send(struct kvx_link *link, struct ib_cqe *cqe, u64 dma, u32 bytes)
{
	struct ib_sge sge = { .addr = dma, .length = bytes };
	struct ib_send_wr wr = {
		.wr_cqe = cqe, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	int err = -ENOTCONN;

	spin_lock(&link->lock);
	if (!link->broken) {
		sge.lkey = link->dev->pd->local_dma_lkey;
		err = ib_post_send(link->id->qp, &wr, NULL);
	}
	spin_unlock(&link->lock);
	return err;
}

/**
 * kvx_link_failed() - a completion says that it is at its end
 * @link: the link
 * @status: what it says
 *
 * Context: process.
 */
void kvx_link_failed(struct kvx_link *link, enum ib_wc_status status)
{
	/* What is flushed was not the cause. */
	if (status == IB_WC_SUCCESS || status == IB_WC_WR_FLUSH_ERR)
		return;
	pr_debug("link %u: %s\n", link->index, ib_wc_status_msg(status));
	kvx_rail_fail(link->rail, status == IB_WC_RETRY_EXC_ERR ? -ETIMEDOUT : -EIO,
		      KVXFER_REFUSAL_NONE);
}

/*
 * --- registration -------------------------------------------------------------------------------
 */

static void kvx_reg_failed(struct ib_cq *cq, struct ib_wc *wc)
{
	kvx_link_failed(cq->cq_context, wc->status);
}

/* Of the last one: it comes in any case, after all others. */
static void kvx_reg_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct kvx_link *link = cq->cq_context;

	link->reg_status = wc->status;
	kvx_reg_failed(cq, wc);
	complete(&link->reg_done);
}

static struct ib_cqe kvx_reg_cqe = { .done = kvx_reg_failed };
static struct ib_cqe kvx_reg_last_cqe = { .done = kvx_reg_done };

/* Have the device do what makes keys work, or ends them: requests in a chain. */
static int kvx_link_post_keys(struct kvx_link *link, const struct ib_send_wr *first)
{
	const struct ib_send_wr *bad = NULL;
	int err = -ENOTCONN;

	spin_lock(&link->lock);
	if (!link->broken) {
		err = ib_post_send(link->id->qp, first, &bad);
		/* Those before it are on their way, and nobody will say when they are done. */
		if (err)
			pr_debug("link %u: work on keys was not taken: %d\n", link->index, err);
	}
	spin_unlock(&link->lock);
	if (err && err != -ENOTCONN)
		kvx_rail_fail(link->rail, err, KVXFER_REFUSAL_NONE);
	return err;
}

/* Until it has been done; who does not take our frames holds up what is behind them. */
static int kvx_link_do_keys(struct kvx_link *link, const struct ib_send_wr *first,
			    unsigned long patience)
{
	int err;

	lockdep_assert_held(&link->reg_lock);
	reinit_completion(&link->reg_done);
	err = kvx_link_post_keys(link, first);
	if (err)
		return err;
	if (!wait_for_completion_timeout(&link->reg_done, patience)) {
		kvx_rail_fail(link->rail, -ETIMEDOUT, KVXFER_REFUSAL_NONE);
		wait_for_completion(&link->reg_done);
	}
	err = link->reg_status == IB_WC_SUCCESS ? 0 : -EIO;
	/* What was flushed was not the cause; but the connection is over. */
	if (err)
		kvx_rail_fail(link->rail, err, KVXFER_REFUSAL_NONE);
	return err;
}

/* Only the last is told of when all goes well. */
static void kvx_link_chain(struct ib_send_wr *wr, struct ib_send_wr *next)
{
	wr->next = next;
	wr->wr_cqe = next ? &kvx_reg_cqe : &kvx_reg_last_cqe;
	wr->send_flags = next ? 0 : IB_SEND_SIGNALED;
}

/**
 * kvx_link_register() - make keys work
 * @link: a control link
 * @mrs: the keys' memory, mapped
 * @nr: how many
 * @access: IB_ACCESS_*
 *
 * Context: process, may sleep until the device has done it.
 * Return: 0 or an errno.
 */
int kvx_link_register(struct kvx_link *link, struct ib_mr **mrs, u32 nr, int access)
{
	struct ib_reg_wr *wrs;
	int err;
	u32 i;

	wrs = kcalloc(nr, sizeof(*wrs), GFP_KERNEL);
	if (!wrs)
		return -ENOMEM;
	mutex_lock(&link->reg_lock);
	for (i = 0; i < nr; i++) {
		ib_update_fast_reg_key(mrs[i], ib_inc_rkey(mrs[i]->rkey));
		wrs[i].wr.opcode = IB_WR_REG_MR;
		kvx_link_chain(&wrs[i].wr, i + 1 < nr ? &wrs[i + 1].wr : NULL);
		wrs[i].mr = mrs[i];
		wrs[i].key = mrs[i]->rkey;
		wrs[i].access = access;
	}
	err = kvx_link_do_keys(link, &wrs[0].wr, KVX_KEYS_PATIENCE);
	mutex_unlock(&link->reg_lock);
	kfree(wrs);
	return err;
}

/**
 * kvx_link_invalidate() - have keys work no more
 * @link: a control link on their device
 * @mrs: the keys' memory
 * @nr: how many
 *
 * Context: process, may sleep until the device has done it.
 * Return: 0; or an errno, and the keys may work still.
 */
int kvx_link_invalidate(struct kvx_link *link, struct ib_mr **mrs, u32 nr)
{
	struct ib_send_wr *wrs;
	int err;
	u32 i;

	wrs = kcalloc(nr, sizeof(*wrs), GFP_KERNEL);
	if (!wrs)
		return -ENOMEM;
	mutex_lock(&link->reg_lock);
	for (i = 0; i < nr; i++) {
		wrs[i].opcode = IB_WR_LOCAL_INV;
		kvx_link_chain(&wrs[i], i + 1 < nr ? &wrs[i + 1] : NULL);
		wrs[i].ex.invalidate_rkey = mrs[i]->rkey;
	}
	err = kvx_link_do_keys(link, &wrs[0], KVX_END_PATIENCE);
	mutex_unlock(&link->reg_lock);
	kfree(wrs);
	return err;
}

/*
 * --- beginning ----------------------------------------------------------------------------------
 */

/**
 * kvx_link_init() - one that is not there yet
 * @link: to be set
 * @rail: whose
 * @index: which one
 *
 * Context: any.
 */
void kvx_link_init(struct kvx_link *link, struct kvx_rail *rail, u32 index)
{
	link->rail = rail;
	link->index = index;
	spin_lock_init(&link->lock);
	mutex_init(&link->reg_lock);
	init_completion(&link->reg_done);
}

/* The queue pair, on the device that @id is bound to. */
static int kvx_link_setup(struct kvx_link *link, struct rdma_cm_id *id)
{
	/* And a flush. */
	const u32 sends = link->index ? KVX_LANE_SENDS + 1 : KVX_CONTROL_SENDS;
	u32 recvs = link->index ? 0 : KVX_CONTROL_RECVS;
	struct ib_qp_init_attr attr = {
		.cap = {
			/* And one of each to know when all before have come out. */
			.max_send_wr = sends + 1,
			.max_recv_sge = 1,
			.max_send_sge = 1,
		},
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
	};
	int err;

	link->dev = kvx_dev_use(id->device);
	/* Either its removal finds that we use it, or we find that it is being removed. */
	if (!link->dev || kvx_dev_is_going(link->dev))
		return -ENODEV;
	link->rail->siw = id->device->ops.driver_id == RDMA_DRIVER_SIW;
	/* A rail is of one device at each end: keys are. */
	if (link->index && link->dev != link->rail->links[0].dev)
		return -EXDEV;
	if (link->index)
		attr.cap.max_send_sge = link->dev->send_sge;
	if (link->dev->iwarp && kvx_lane_writes(link))
		recvs = KVX_LANE_RECVS;
	attr.cap.max_recv_wr = recvs + 1;
	link->cq = ib_alloc_cq_any(id->device, link, sends + recvs + 2, IB_POLL_WORKQUEUE);
	if (IS_ERR(link->cq)) {
		err = PTR_ERR(link->cq);
		link->cq = NULL;
		return err;
	}
	attr.send_cq = link->cq;
	attr.recv_cq = link->cq;
	err = rdma_create_qp(id, link->dev->pd, &attr);
	if (!err && recvs)
		err = kvx_recvs_make(link, recvs);
	if (!err && link->index)
		err = kvx_lane_make(link);
	return err;
}

/* From then on nothing is told of it any more. */
static void kvx_link_silence(struct kvx_link *link)
{
	if (link->id->qp)
		rdma_destroy_qp(link->id);
	if (link->cq)
		ib_free_cq(link->cq);
	link->cq = NULL;
}

/* What kvx_link_setup() made, whether or not it came to its end. Nobody posts. */
static void kvx_link_unmake(struct kvx_link *link)
{
	kvx_link_silence(link);
	if (link->lane)
		kvx_lane_free(link);
	kvx_recvs_free(link);
	if (link->dev)
		kvx_dev_unuse(link->dev);
	link->dev = NULL;
}

static int kvx_link_ask(struct kvx_link *link)
{
	const struct ib_device_attr *attrs = &link->dev->ib->attrs;
	struct kvx_wire_greeting greeting;
	struct rdma_conn_param param = {
		.private_data = &greeting,
		.private_data_len = sizeof(greeting),
		.responder_resources = clamp(attrs->max_qp_rd_atom, 1, KVX_READS),
		.initiator_depth = clamp(attrs->max_qp_init_rd_atom, 1, KVX_READS),
		.retry_count = KVX_RETRIES,
		.rnr_retry_count = KVX_RETRIES,
	};
	int err;

	kvx_link_greet(link, &greeting);
	err = rdma_connect_locked(link->id, &param);
	/*
	 * On iWARP the port that we ask from is a socket's, and the connection manager knows only
	 * of its own: the one it chose may be taken, or have been, between the same two ends.
	 */
	return link->dev->iwarp && err == -EADDRNOTAVAIL ? -EADDRINUSE : err;
}

/* Who was asked has answered: is it who was meant? */
static int kvx_link_answered(struct kvx_link *link, const struct rdma_conn_param *conn)
{
	struct kvx_wire_greeting greeting;
	u16 version;

	if (conn->private_data_len < sizeof(greeting) || !conn->private_data)
		return -EPROTO;
	memcpy(&greeting, conn->private_data, sizeof(greeting));
	if (kvx_greeting_check(&greeting, sizeof(greeting), &version))
		return -EPROTO;
	return kvx_rail_answered(link->rail, le64_to_cpu(greeting.boot_id));
}

static enum kvxfer_refusal kvx_link_refusal(struct kvx_link *link, struct rdma_cm_id *id,
					    struct rdma_cm_event *event)
{
	struct kvx_wire_greeting greeting;
	const void *data;
	u8 bytes = 0;
	u16 version;

	data = rdma_consumer_reject_data(id, event, &bytes);
	/* Of a refusal by siw it does not know that it is one. */
	if (!data && rdma_protocol_iwarp(id->device, id->port_num)) {
		data = event->param.conn.private_data;
		bytes = event->param.conn.private_data_len;
	}
	if (!data || bytes < sizeof(greeting))
		return KVXFER_REFUSAL_NONE;
	memcpy(&greeting, data, sizeof(greeting));
	if (kvx_greeting_check(&greeting, sizeof(greeting), &version) == KVXFER_REFUSAL_MAGIC)
		return KVXFER_REFUSAL_NONE;
	if (le16_to_cpu(greeting.refusal) == KVXFER_REFUSAL_BOOT)
		link->rail->met = le64_to_cpu(greeting.boot_id);
	return le16_to_cpu(greeting.refusal);
}

/*
 * Frames are sent: whoever is at the other end of a control link, and has proven nothing yet, is
 * not to reach memory by it, whatever keys it guesses. The connection manager lets all in.
 */
static int kvx_link_shut(struct kvx_link *link, struct rdma_cm_id *id)
{
	struct ib_qp_attr attr = { .qp_access_flags = 0 };

	return link->index ? 0 : ib_modify_qp(id->qp, &attr, IB_QP_ACCESS_FLAGS);
}

static int kvx_link_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	enum kvxfer_refusal refusal = KVXFER_REFUSAL_NONE;
	struct kvx_link *link = id->context;
	int err = 0;

	/* Set under the lock that this is called under. */
	if (link->broken)
		return 0;
	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		/* Lanes go where the control link goes. */
		if (!link->index)
			kvx_rail_from(link->rail, &id->route.addr.src_addr);
		err = kvx_link_setup(link, id);
		if (!err)
			err = rdma_resolve_route(id, kvx_connect_ms);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		err = kvx_link_ask(link);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		if (link->rail->active)
			err = kvx_link_answered(link, &event->param.conn);
		if (!err)
			err = kvx_link_shut(link, id);
		if (!err) {
			WRITE_ONCE(link->up, true);
			kvx_rail_kick(link->rail);
		}
		break;
	case RDMA_CM_EVENT_REJECTED:
		refusal = kvx_link_refusal(link, id, event);
		err = -ECONNREFUSED;
		/* Who refuses says why, but if the connection ends behind that, siw loses it. */
		if (link->dev->iwarp && event->status == -ECONNRESET &&
		    !event->param.conn.private_data_len) {
			err = -ECONNRESET;
			link->rail->unanswered = true;
		}
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_CONNECT_ERROR:
		err = event->status < 0 ? event->status : -EHOSTUNREACH;
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		err = -ECONNRESET;
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		err = -ENODEV;
		break;
	case RDMA_CM_EVENT_ADDR_CHANGE:
		err = -EADDRNOTAVAIL;
		break;
	default:
		break;
	}
	if (err)
		kvx_rail_fail(link->rail, err, refusal);
	return 0;
}

/**
 * kvx_link_connect() - begin to ask the other end
 * @link: a rail's that asks
 *
 * Context: process, may sleep.
 * Return: 0, and the rail will be told how it went; or an errno.
 */
int kvx_link_connect(struct kvx_link *link)
{
	struct kvx_rail *rail = link->rail;
	struct rdma_cm_id *id;

	id = rdma_create_id(rail->net->net, kvx_link_event, link, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(id))
		return PTR_ERR(id);
	link->id = id;
	rdma_set_ack_timeout(id, KVX_ACK_TIMEOUT);
	rdma_set_min_rnr_timer(id, KVX_RNR_TIMER);
	return rdma_resolve_addr(id, rail->src.ss_family ? (struct sockaddr *)&rail->src : NULL,
				 (struct sockaddr *)&rail->dst, kvx_connect_ms);
}

/**
 * kvx_link_accept() - take what was asked for
 * @link: a rail's that was asked
 * @id: who asks, which is the link's when 0 is returned
 * @asked: how
 *
 * Context: the connection manager's handler.
 * Return: 0 or an errno.
 */
int kvx_link_accept(struct kvx_link *link, struct rdma_cm_id *id,
		    const struct rdma_conn_param *asked)
{
	const struct ib_device_attr *attrs = &id->device->attrs;
	struct kvx_wire_greeting greeting;
	struct rdma_conn_param param = {
		.private_data = &greeting,
		.private_data_len = sizeof(greeting),
		.responder_resources = min_t(int, asked->responder_resources,
					     clamp(attrs->max_qp_rd_atom, 1, KVX_READS)),
		.initiator_depth = min_t(int, asked->initiator_depth,
					 clamp(attrs->max_qp_init_rd_atom, 1, KVX_READS)),
		.rnr_retry_count = KVX_RETRIES,
	};
	int err;

	link->id = id;
	id->context = link;
	id->event_handler = kvx_link_event;
	rdma_set_ack_timeout(id, KVX_ACK_TIMEOUT);
	rdma_set_min_rnr_timer(id, KVX_RNR_TIMER);
	err = kvx_link_setup(link, id);
	if (!err) {
		kvx_link_greet(link, &greeting);
		err = rdma_accept(id, &param);
		/* Who asked may send before we hear of it; on iWARP it is us who begin. */
		if (!err && !link->dev->iwarp && kvx_link_shut(link, id))
			kvx_rail_fail(link->rail, -EIO, KVXFER_REFUSAL_NONE);
	}
	if (err) {
		kvx_link_unmake(link);
		link->id = NULL;
	}
	return err;
}

/**
 * kvx_link_stop() - have it do nothing any more, wherever it is
 * @link: the link, which nobody else ends
 *
 * When this returns nothing that was posted is on its way, everything of it has been told, and
 * nothing that the other sends by it is placed.
 *
 * Context: process, may sleep.
 */
void kvx_link_stop(struct kvx_link *link)
{
	struct ib_qp_attr attr = { .qp_state = IB_QPS_ERR };
	struct rdma_cm_id *id = link->id;

	if (!id)
		return;
	/* From here on its handler does nothing, and nobody posts. */
	rdma_lock_handler(id);
	spin_lock(&link->lock);
	link->broken = true;
	spin_unlock(&link->lock);
	rdma_unlock_handler(id);
	/* Who was asked may send before it is told that the other knows. */
	if (id->qp && (link->up || !link->rail->active)) {
		rdma_disconnect(id);
		/* A device that has failed may not be drained: then only its end stops it. */
		if (ib_modify_qp(id->qp, &attr, IB_QP_STATE))
			kvx_link_silence(link);
		else
			ib_drain_qp(id->qp);
	}
}

/**
 * kvx_link_end() - have it go
 * @link: what kvx_link_stop() has stopped
 *
 * A device may take its time: soft-RoCE has frames that it has handed to a network interface hold
 * their queue pair, and one that is set down may hold those.
 *
 * Context: process, may sleep.
 */
void kvx_link_end(struct kvx_link *link)
{
	if (!link->id)
		return;
	kvx_link_unmake(link);
	rdma_destroy_id(link->id);
	link->id = NULL;
}
