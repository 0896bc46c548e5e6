// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers, until they are prepared: what is named is looked up, and everything that can be wrong
 * is found, by name and place, before a byte is moved.
 */
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "cost.h"
#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "overlap.h"
#include "pool.h"
#include "rdma/flow.h"
#include "remote.h"
#include "xfer.h"

/* No state waits for ever: this long at most, if its owner does not say otherwise. */
#define KVX_DEADLINE_MS_DEFAULT	30000

static unsigned int deadline_ms = KVX_DEADLINE_MS_DEFAULT;
module_param(deadline_ms, uint, 0644);
MODULE_PARM_DESC(deadline_ms, "how long a transfer may take that is given no deadline");

/* What a handle names: the layout, and by what right. Both with references. */
static int kvx_xfer_resolve(struct kvx_agent *agent, const struct kvxfer_handle *handle, u32 side,
			    struct kvx_registered **reg, struct kvx_grant **grant,
			    struct kvxfer_hdr *hdr)
{
	const u32 id = handle->rest & ((1U << KVXFER_LAYOUT_ID_BITS) - 1);
	const u32 right = side ? KVXFER_GRANT_WRITE : KVXFER_GRANT_READ;
	const bool mine = handle->worker_id == READ_ONCE(agent->worker_id);
	int err = -ENOENT;

	if (mine && handle->rest >> KVXFER_LAYOUT_ID_BITS == agent->epoch) {
		*reg = kvx_layout_get(agent, id);
		if (!*reg && id && id <= atomic_read(&agent->layout_ids))
			err = -ESTALE;
	} else {
		/* One of another node may have the same worker_id. */
		*grant = kvx_import_find(agent, handle->worker_id, handle->rest, &err);
		if (!*grant && mine)
			err = -ESTALE;
		if (*grant) {
			if (!((*grant)->rights & right))
				return kvx_refuse(hdr, -EACCES, KVXFER_REASON_XFER_RIGHTS, side);
			*reg = (*grant)->reg;
			kref_get(&(*reg)->ref);
		}
	}
	if (!*reg)
		return kvx_refuse(hdr, err, err == -ESTALE ? KVXFER_REASON_HANDLE_STALE :
							     KVXFER_REASON_HANDLE_UNKNOWN, side);
	return 0;
}

static int kvx_xfer_check(struct kvxfer_xfer_prep *cmd)
{
	int err;

	if (!cmd->nr_src || !cmd->nr_dst)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_XFER_EMPTY, !!cmd->nr_src);
	if (cmd->nr_src > KVXFER_XFER_IDS_MAX || cmd->nr_dst > KVXFER_XFER_IDS_MAX)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_XFER_IDS,
				  cmd->nr_src <= KVXFER_XFER_IDS_MAX);
	err = kvx_abi_check_unused(&cmd->hdr, &cmd->src_piece.reserved,
				   sizeof(cmd->src_piece.reserved),
				   offsetof(struct kvxfer_xfer_prep, src_piece.reserved));
	if (!err)
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->dst_piece.reserved,
					   sizeof(cmd->dst_piece.reserved),
					   offsetof(struct kvxfer_xfer_prep, dst_piece.reserved));
	if (!err)
		err = cmd->rails >> KVXFER_ADDRESSES_MAX ?
		      kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_XFER_RAILS, cmd->rails) : 0;
	if (err)
		return err;
	if (cmd->path > KVXFER_PATH_RDMA)
		return kvx_refuse(&cmd->hdr, -EOPNOTSUPP, KVXFER_REASON_XFER_PATH, cmd->path);
	return 0;
}

/**
 * kvx_xfer_take_note() - a note that a command may have with it
 * @agent: who asks
 * @hdr: the command's header
 * @to: the note in it
 * @offset: where in the command that is
 *
 * Context: process, may sleep.
 * Return: the note, NULL for none, or ERR_PTR.
 */
struct kvx_note *kvx_xfer_take_note(struct kvx_agent *agent, struct kvxfer_hdr *hdr,
				    const struct kvxfer_note_to *to, u32 offset)
{
	const bool with = hdr->flags & KVXFER_XFER_NOTE;
	int err;

	if (with)
		err = kvx_abi_check_unused(hdr, &to->reserved, sizeof(to->reserved),
					   offset + offsetof(struct kvxfer_note_to, reserved));
	else
		err = kvx_abi_check_unused(hdr, to, sizeof(*to), offset);
	if (err)
		return ERR_PTR(err);
	return with ? kvx_note_make(agent, to, hdr) : NULL;
}

static int kvx_xfer_read_ids(struct kvxfer_xfer_prep *cmd, u32 **ids)
{
	*ids = kvmalloc_array(cmd->nr_src + cmd->nr_dst, sizeof(**ids), KVX_GFP_LIST);
	if (!*ids)
		return -ENOMEM;
	if (copy_from_user(*ids, u64_to_user_ptr(cmd->src_ids), cmd->nr_src * sizeof(**ids)) ||
	    copy_from_user(*ids + cmd->nr_src, u64_to_user_ptr(cmd->dst_ids),
			   cmd->nr_dst * sizeof(**ids)))
		return -EFAULT;
	return 0;
}

static struct kvx_piece kvx_xfer_piece(const struct kvxfer_piece *piece)
{
	return (struct kvx_piece){
		.offset = piece->offset,
		.bytes = piece->bytes,
		.stride = piece->stride,
		.count = piece->count ?: 1,
	};
}

static void kvx_xfer_breathe(void)
{
	cond_resched();
}

static int kvx_xfer_shape(struct kvx_shape *shape, struct kvxfer_xfer_prep *cmd)
{
	static const u32 reasons[] = {
		[KVX_SHAPE_EMPTY]	= KVXFER_REASON_XFER_EMPTY,
		[KVX_SHAPE_FORMAT]	= KVXFER_REASON_XFER_FORMAT,
		[KVX_SHAPE_ELEMENT]	= KVXFER_REASON_XFER_ELEMENT,
		[KVX_SHAPE_OUTER]	= KVXFER_REASON_XFER_OUTER,
		[KVX_SHAPE_LAYERS]	= KVXFER_REASON_XFER_LAYERS,
		[KVX_SHAPE_PIECE]	= KVXFER_REASON_XFER_PIECE,
		[KVX_SHAPE_PAGE]	= KVXFER_REASON_XFER_PAGE,
		[KVX_SHAPE_LENGTH]	= KVXFER_REASON_XFER_LENGTH,
		[KVX_SHAPE_SRC_RANGE]	= KVXFER_REASON_XFER_SRC_RANGE,
		[KVX_SHAPE_DST_RANGE]	= KVXFER_REASON_XFER_DST_RANGE,
		[KVX_SHAPE_DST_TWICE]	= KVXFER_REASON_XFER_DST_TWICE,
	};
	enum kvx_shape_error error;
	u32 *scratch, index = 0;

	scratch = kvmalloc_array(kvx_shape_scratch(cmd->nr_dst), sizeof(*scratch), KVX_GFP_LIST);
	if (!scratch)
		return -ENOMEM;
	error = kvx_shape_init(shape, scratch, kvx_xfer_breathe, &index);
	kvfree(scratch);
	return error ? kvx_refuse(&cmd->hdr, -EINVAL, reasons[error], index) : 0;
}

/* Are all ids of a side within its grant? */
static int kvx_xfer_check_range(const struct kvx_side *side, const struct kvx_grant *grant,
				u32 reason, struct kvxfer_hdr *hdr)
{
	u32 i;

	for (i = 0; grant && i < side->nr; i++)
		if (side->ids[i] < grant->first || side->ids[i] >= grant->end)
			return kvx_refuse(hdr, -EINVAL, reason, i);
	return 0;
}

static bool kvx_xfer_pause(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}

static int kvx_xfer_look_for_overlap(struct kvx_overlap *overlap, struct kvxfer_hdr *hdr)
{
	const u32 nr = overlap->shape->nr_entries;
	bool meet = false;
	u32 dst, src;

	kvx_overlap_init(overlap);
	for (dst = 0; dst < nr && !overlap->given_up; dst++) {
		for (src = 0; src < nr && !meet && !overlap->given_up; src++)
			meet = kvx_overlap_pair(overlap, dst, src);
		if (meet)
			break;
	}
	if (overlap->given_up)
		return -EINTR;
	return meet ? kvx_refuse(hdr, -EINVAL, KVXFER_REASON_XFER_OVERLAP, dst) : 0;
}

/* Which pools of the two are of the same memory. Returns whether any are, of one and the other. */
static bool kvx_xfer_same_pools(const struct kvx_registered *src, const struct kvx_registered *dst,
				u32 *dst_pool, u32 *dst_same)
{
	bool any = false;
	u32 s, d, first;

	for (d = 0; d < dst->nr_pools; d++) {
		for (first = 0; !kvx_pool_same(dst->pools[first], dst->pools[d]); first++)
			;
		dst_same[d] = first;
		cond_resched();
	}
	for (s = 0; s < src->nr_pools; s++) {
		for (d = 0; d < dst->nr_pools; d++)
			if (kvx_pool_same(src->pools[s], dst->pools[d]))
				break;
		dst_pool[s] = d < dst->nr_pools ? d : KVX_NO_POOL;
		any |= d < dst->nr_pools;
		cond_resched();
	}
	return any;
}

/* The same, while the pools are there: as long as the gates are not quiet. */
static int kvx_xfer_compare_pools(struct kvx_registered *src, struct kvx_registered *dst,
				  u32 *dst_pool, u32 *dst_same, bool *any, struct kvxfer_hdr *hdr)
{
	int err = 0;

	if (!kvx_gate_enter(&src->gate))
		return kvx_refuse(hdr, -ESTALE, KVXFER_REASON_HANDLE_STALE, 0);
	if (kvx_gate_enter(&dst->gate)) {
		*any = kvx_xfer_same_pools(src, dst, dst_pool, dst_same);
		kvx_gate_leave(&dst->gate);
	} else {
		err = kvx_refuse(hdr, -ESTALE, KVXFER_REASON_HANDLE_STALE, 1);
	}
	kvx_gate_leave(&src->gate);
	return err;
}

/* Are bytes both read and written? By bytes: layouts may differ, and pools may be of one memory. */
static int kvx_xfer_check_overlap(const struct kvx_shape *shape, struct kvx_registered *src,
				  struct kvx_registered *dst, struct kvxfer_hdr *hdr)
{
	struct kvx_overlap overlap = { .shape = shape, .pause = kvx_xfer_pause };
	u32 *pools, *ids = NULL;
	bool any = false;
	int err;

	pools = kvmalloc_array(src->nr_pools + dst->nr_pools, sizeof(*pools), GFP_KERNEL_ACCOUNT);
	if (!pools)
		return -ENOMEM;
	overlap.dst_pool = pools;
	overlap.dst_same = pools + src->nr_pools;
	err = kvx_xfer_compare_pools(src, dst, pools, pools + src->nr_pools, &any, hdr);
	if (err || !any)
		goto out_free;
	ids = kvmalloc_array(shape->src.nr + shape->dst.nr, sizeof(*ids), KVX_GFP_LIST);
	err = -ENOMEM;
	if (!ids)
		goto out_free;
	overlap.src_ids = ids;
	overlap.dst_ids = ids + shape->src.nr;
	err = kvx_xfer_look_for_overlap(&overlap, hdr);
out_free:
	kvfree(ids);
	kvfree(pools);
	return err;
}

/**
 * kvx_xfer_timeout() - how long it may take
 * @deadline_ns: what its owner says; 0 for nothing
 *
 * Context: any.
 * Return: nanoseconds.
 */
u64 kvx_xfer_timeout(u64 deadline_ns)
{
	return deadline_ns ?: (u64)READ_ONCE(deadline_ms) * NSEC_PER_MSEC;
}

/**
 * kvx_xfer_check_path() - is there a way as it is wanted?
 * @far: to or from another node
 * @path: &enum kvxfer_path that is wanted
 * @rails: by which rails only
 * @hdr: where a refusal is noted
 *
 * Context: any.
 * Return: 0, -EINVAL or -EOPNOTSUPP.
 */
int kvx_xfer_check_path(bool far, u32 path, u32 rails, struct kvxfer_hdr *hdr)
{
	if (rails >> KVXFER_ADDRESSES_MAX)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_XFER_RAILS, rails);
	if (path > KVXFER_PATH_RDMA || (far && path == KVXFER_PATH_LOCAL) ||
	    (!far && (path == KVXFER_PATH_RDMA || rails)))
		return kvx_refuse(hdr, -EOPNOTSUPP, KVXFER_REASON_XFER_PATH, path);
	return 0;
}

static int kvx_xfer_check_way(const struct kvx_registered *src, const struct kvx_registered *dst,
			      struct kvxfer_xfer_prep *cmd)
{
	const bool far = src->remote || dst->remote;
	int err;

	if (src->remote && dst->remote)
		return kvx_refuse(&cmd->hdr, -EOPNOTSUPP, KVXFER_REASON_XFER_PATH, cmd->path);
	err = kvx_xfer_check_path(far, cmd->path, cmd->rails, &cmd->hdr);
	if (err)
		return err;
	/* What another driver's memory is to a device only that driver can say. */
	if (far && (src->dmabufs || dst->dmabufs))
		return kvx_refuse(&cmd->hdr, -EOPNOTSUPP, KVXFER_REASON_POOL_KIND,
				  KVXFER_POOL_DMABUF);
	return 0;
}

/* Everything that can be wrong with what is asked for; the sides are set. */
static int kvx_xfer_approve(struct kvx_shape *shape, struct kvx_registered *src,
			    struct kvx_registered *dst, struct kvx_grant *const *grants,
			    struct kvxfer_xfer_prep *cmd)
{
	int err;

	if (!dst->write)
		return kvx_refuse(&cmd->hdr, -EACCES, KVXFER_REASON_XFER_READONLY, 0);
	err = kvx_xfer_check_way(src, dst, cmd);
	if (!err)
		err = kvx_xfer_shape(shape, cmd);
	if (!err)
		err = kvx_xfer_check_range(&shape->src, grants[0], KVXFER_REASON_XFER_SRC_RANGE,
					   &cmd->hdr);
	if (!err)
		err = kvx_xfer_check_range(&shape->dst, grants[1], KVXFER_REASON_XFER_DST_RANGE,
					   &cmd->hdr);
	/* What is on two nodes is no memory that both have. */
	if (err || src->remote || dst->remote)
		return err;
	return kvx_xfer_check_overlap(shape, src, dst, &cmd->hdr);
}

static int kvx_xfer_join(struct kvx_xfer *xfer, struct kvxfer_hdr *hdr)
{
	struct kvx_gate *gates[KVX_XFER_GATES] = { &xfer->src->gate, &xfer->dst->gate };
	int i;

	for (i = 0; i < 2; i++)
		if (xfer->grants[i])
			gates[2 + i] = &xfer->grants[i]->gate;
	for (i = 0; i < KVX_XFER_GATES; i++)
		if (gates[i] && !kvx_gate_join(gates[i], &xfer->uses[i], xfer))
			return kvx_refuse(hdr, -ESTALE, KVXFER_REASON_HANDLE_STALE,
					  kvx_xfer_side(i));
	return 0;
}

/* Takes over all that it is given, unless there is no memory: then it returns NULL. */
static struct kvx_xfer *kvx_xfer_new(struct kvx_agent *agent, const struct kvx_shape *shape,
				     struct kvx_registered *src, struct kvx_registered *dst,
				     struct kvx_grant *const *grants, u32 *ids,
				     struct kvx_note *note, u32 rails)
{
	struct kvx_remote *remote = src->remote ?: dst->remote;
	const u32 parts = remote ? 1 : kvx_copy_parts(shape);
	struct kvx_flow *flow = NULL;
	struct kvx_xfer *xfer;

	xfer = kzalloc(struct_size(xfer, copy.parts, parts), GFP_KERNEL_ACCOUNT);
	if (!xfer)
		return NULL;
	if (remote) {
		flow = kvx_flow_new(remote->peer, dst->remote ? src : dst, dst->remote, rails);
		if (!flow) {
			kfree(xfer);
			return NULL;
		}
		kvx_flow_aim(flow, remote);
	}
	kvx_xfer_init(xfer, agent, parts);
	if (flow)
		kvx_xfer_set_job(xfer, kvx_flow_job(flow), &kvx_flow_ops);
	xfer->flow = flow;
	xfer->path = flow ? KVXFER_PATH_RDMA : KVXFER_PATH_LOCAL;
	xfer->src = src;
	xfer->dst = dst;
	xfer->grants[0] = grants[0];
	xfer->grants[1] = grants[1];
	xfer->ids = ids;
	xfer->note = note;
	xfer->shape = *shape;
	xfer->copy.src_pools = src->pools;
	xfer->copy.dst_pools = dst->pools;
	return xfer;
}

/**
 * kvx_xfer_make() - prepare a transfer
 * @agent: who asks
 * @cmd: what is asked for
 * @once: it shall release itself when it has ended
 * @out: set to the transfer, which is known by its number then; with a reference
 *
 * Context: process, may sleep.
 * Return: 0 or what XFER_PREP promises.
 */
int kvx_xfer_make(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd, bool once,
		  struct kvx_xfer **out)
{
	struct kvx_shape shape = {
		.seed = get_random_u64(),
		.nr_layers = cmd->nr_layers,
		.outers = cmd->outers,
	};
	struct kvx_registered *src = NULL, *dst = NULL;
	struct kvx_grant *grants[2] = {};
	struct kvx_note *note = NULL;
	struct kvx_xfer *xfer;
	u32 *ids = NULL;
	int err;

	err = kvx_xfer_check(cmd);
	if (err)
		return err;
	note = kvx_xfer_take_note(agent, &cmd->hdr, &cmd->note,
				  offsetof(struct kvxfer_xfer_prep, note));
	if (IS_ERR(note))
		return PTR_ERR(note);
	err = kvx_xfer_resolve(agent, &cmd->src, 0, &src, &grants[0], &cmd->hdr);
	if (!err)
		err = kvx_xfer_resolve(agent, &cmd->dst, 1, &dst, &grants[1], &cmd->hdr);
	if (!err)
		err = kvx_xfer_read_ids(cmd, &ids);
	if (err)
		goto err_free;
	shape.src = (struct kvx_side){
		.layout = &src->layout, .ids = ids, .nr = cmd->nr_src, .layer = cmd->src_layer,
		.piece = kvx_xfer_piece(&cmd->src_piece),
	};
	shape.dst = (struct kvx_side){
		.layout = &dst->layout, .ids = ids + cmd->nr_src, .nr = cmd->nr_dst,
		.layer = cmd->dst_layer, .piece = kvx_xfer_piece(&cmd->dst_piece),
	};
	err = kvx_xfer_approve(&shape, src, dst, grants, cmd);
	if (err)
		goto err_free;

	xfer = kvx_xfer_new(agent, &shape, src, dst, grants, ids, note,
			    cmd->rails);
	err = -ENOMEM;
	if (!xfer)
		goto err_free;
	xfer->once = once;
	xfer->user_data = cmd->user_data;
	xfer->timeout_ns = kvx_xfer_timeout(cmd->deadline_ns);
	err = kvx_xfer_join(xfer, &cmd->hdr);
	if (!err)
		err = kvx_xfer_publish(xfer, &cmd->hdr);
	if (err) {
		kvx_xfer_put(xfer);
		return err;
	}
	cmd->out_xfer = xfer->id;
	cmd->out_path = xfer->path;
	cmd->out_bytes = shape.bytes;
	cmd->out_result = (struct kvxfer_completion){};
	*out = xfer;
	return 0;

err_free:
	kvfree(ids);
	kvx_note_free(note);
	kvx_grant_put(grants[0]);
	kvx_grant_put(grants[1]);
	if (src)
		kvx_layout_put(src);
	if (dst)
		kvx_layout_put(dst);
	return err;
}

/**
 * kvx_xfer_cost() - KVXFER_IOC_XFER_COST
 * @agent: who asks
 * @cmd: see &struct kvxfer_xfer_cost
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_xfer_cost(struct kvx_agent *agent, struct kvxfer_xfer_cost *cmd)
{
	struct kvx_xfer *xfer = kvx_xfer_get(agent, cmd->xfer);
	struct kvx_cost cost;
	int err = 0;

	if (!xfer)
		return kvx_xfer_unknown(&cmd->hdr, 0);
	if (!kvx_cost_expect(xfer->path, xfer->shape.bytes, &cost))
		err = kvx_refuse(&cmd->hdr, -ENODATA, KVXFER_REASON_XFER_RATE, 0);
	cmd->out_path = xfer->path;
	cmd->out_ns = cost.ns;
	cmd->out_margin_ns = cost.margin_ns;
	cmd->out_samples = cost.samples;
	kvx_xfer_put(xfer);
	return err;
}
