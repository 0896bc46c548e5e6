// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts that agents have registered.
 *
 * A layout is constant from when it is made, and held by references: one of its agent, until it is
 * unregistered, and one of whoever uses it. It holds its pools until its gate is quiet: a transfer
 * that another agent keeps prepared does not keep the memory. What layout.c knows of places in
 * pools by their number, this knows the pools of.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "compat.h"
#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "pool.h"
#include "remote.h"
#include "xfer.h"

#define KVX_LAYOUT_ID_MAX	((1U << KVXFER_LAYOUT_ID_BITS) - 1)

/* What a range is counted by: the same on all nodes, and no page is smaller. */
#define KVX_RANGE_GRAIN		4096

static void kvx_layout_let_go(struct kvx_registered *reg)
{
	u32 i;

	if (reg->dropped)
		return;
	reg->dropped = true;
	for (i = 0; i < reg->nr_pools; i++) {
		atomic_dec(&reg->pools[i]->layouts);
		kvx_pool_put(reg->pools[i]);
	}
}

static void kvx_layout_quiet(struct kvx_gate *gate)
{
	kvx_layout_let_go(container_of(gate, struct kvx_registered, gate));
}

static void kvx_layout_free(struct kref *ref)
{
	struct kvx_registered *reg = container_of(ref, struct kvx_registered, ref);

	/* One that was never known to anybody has not been closed. */
	kvx_layout_let_go(reg);
	if (reg->remote)
		kvx_remote_release(reg->remote);
	kvfree(reg->pools);
	kvfree(reg->layout.base);
	kfree(reg);
}

/**
 * kvx_layout_put() - drop a reference
 * @reg: the layout
 *
 * Context: process, may sleep, for long when it is the last that has a large pool.
 */
void kvx_layout_put(struct kvx_registered *reg)
{
	kref_put(&reg->ref, kvx_layout_free);
}

/**
 * kvx_layout_get() - a layout of an agent
 * @agent: the agent
 * @id: the layout's id in it
 *
 * Context: process.
 * Return: the layout, with a reference; or NULL.
 */
struct kvx_registered *kvx_layout_get(struct kvx_agent *agent, u32 id)
{
	struct kvx_registered *reg;

	/* It leaves the table before its agent's reference goes. */
	xa_lock(&agent->layouts);
	reg = xa_load(&agent->layouts, id);
	if (reg)
		kref_get(&reg->ref);
	xa_unlock(&agent->layouts);
	return reg;
}

/**
 * kvx_layout_new_remote() - a layout of a peer's
 * @remote: what the peer calls it; the layout takes a reference
 * @geo: what it says of it
 * @kind: the same
 * @stride: the same
 * @reason: set to what is wrong with that, if something is
 *
 * Its bases are not there yet.
 *
 * Context: process, may sleep.
 * Return: the layout; or NULL.
 */
struct kvx_registered *kvx_layout_new_remote(struct kvx_remote *remote,
					     const struct kvx_geometry *geo, u32 kind,
					     u64 stride, u32 *reason)
{
	struct kvx_registered *reg = kzalloc(sizeof(*reg), GFP_KERNEL_ACCOUNT);

	if (!reg)
		return NULL;
	*reason = kvx_layout_init(&reg->layout, geo);
	if (!*reason && stride < reg->layout.region_bytes)
		*reason = KVXFER_REASON_LAYOUT_STRIDE;
	if (*reason)
		goto err_free;
	reg->layout.base = kvcalloc(reg->layout.nr_entries, sizeof(*reg->layout.base),
				    KVX_GFP_LIST);
	if (!reg->layout.base)
		goto err_free;
	reg->layout.block_stride = stride;
	kref_init(&reg->ref);
	kvx_gate_init(&reg->gate, NULL);
	spin_lock_init(&reg->grants_lock);
	INIT_LIST_HEAD(&reg->grants);
	reg->kind = kind;
	kref_get(&remote->ref);
	reg->remote = remote;
	return reg;

err_free:
	kfree(reg);
	return NULL;
}

/* What every layout begins with. */
static struct kvx_registered *kvx_layout_new(void)
{
	struct kvx_registered *reg = kzalloc(sizeof(*reg), GFP_KERNEL_ACCOUNT);

	if (!reg)
		return NULL;
	kref_init(&reg->ref);
	kvx_gate_init(&reg->gate, kvx_layout_quiet);
	spin_lock_init(&reg->grants_lock);
	INIT_LIST_HEAD(&reg->grants);
	return reg;
}

/**
 * kvx_layout_new_range() - the pages that bytes of a pool are in, as one block
 * @agent: whose pool
 * @handle: the pool's number in it
 * @offset: the first byte
 * @bytes: how many
 * @hdr: where a refusal is noted
 *
 * Context: process, may sleep.
 * Return: the layout, which nobody finds by an id; or ERR_PTR.
 */
struct kvx_registered *kvx_layout_new_range(struct kvx_agent *agent, u32 handle, u64 offset,
					    u64 bytes, struct kvxfer_hdr *hdr)
{
	struct kvx_geometry geo = {
		.num_blocks = 1, .num_layers = 1, .outer_dim = 1, .inner_dim = KVX_RANGE_GRAIN,
		.dtype_width = 1, .alignment = 1, .format = KVXFER_FORMAT_OPAQUE,
	};
	struct kvx_registered *reg = kvx_layout_new();
	const u64 start = round_down(offset, PAGE_SIZE);
	struct kvx_pool *pool;
	u32 index;
	u64 end;
	int err;

	if (!reg)
		return ERR_PTR(-ENOMEM);
	err = -ENOMEM;
	reg->pools = kvmalloc(sizeof(*reg->pools), GFP_KERNEL_ACCOUNT);
	reg->layout.base = kvmalloc(sizeof(*reg->layout.base), GFP_KERNEL_ACCOUNT);
	if (!reg->pools || !reg->layout.base)
		goto err_put;
	pool = kvx_pool_get(agent, handle, &reg->write);
	if (!pool) {
		err = kvx_refuse(hdr, -ENOENT, KVXFER_REASON_POOL_UNKNOWN, handle);
		goto err_put;
	}
	atomic_inc(&pool->layouts);
	reg->pools[reg->nr_pools++] = pool;
	if (pool->dmabuf) {
		err = kvx_refuse(hdr, -EOPNOTSUPP, KVXFER_REASON_POOL_KIND, KVXFER_POOL_DMABUF);
		goto err_put;
	}
	if (!bytes || check_add_overflow(offset, bytes, &end) || end > pool->bytes ||
	    (round_up(end, PAGE_SIZE) - start) / KVX_RANGE_GRAIN > U32_MAX) {
		err = kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MSG_RANGE, offset < pool->bytes);
		goto err_put;
	}
	geo.page_size = (round_up(end, PAGE_SIZE) - start) / KVX_RANGE_GRAIN;
	reg->kind = KVXFER_LAYOUT_CONTIGUOUS;
	err = -EINVAL;
	if (WARN_ON_ONCE(kvx_layout_init(&reg->layout, &geo) ||
			 kvx_layout_bases(&reg->layout, reg->kind,
					  &(const u64){ kvx_place(0, start) }, 1, 0, &index)))
		goto err_put;
	return reg;

err_put:
	kvx_layout_put(reg);
	return ERR_PTR(err);
}

/* The number of the pool of @base among those that @reg has; it is added if it is new. */
static int kvx_layout_pool(struct kvx_agent *agent, struct kvx_registered *reg, u32 handle,
			   u32 *handles)
{
	struct kvx_pool *pool;
	bool write;
	u32 i;

	/* Mostly it is the one that was met last. */
	for (i = reg->nr_pools; i > 0; i--)
		if (handles[i - 1] == handle)
			return i - 1;
	pool = kvx_pool_get(agent, handle, &write);
	if (!pool)
		return -ENOENT;
	reg->write &= write;
	/* An agent may have a pool open under several numbers: its bytes are the same. */
	for (i = 0; i < reg->nr_pools; i++) {
		if (reg->pools[i] == pool) {
			kvx_pool_put(pool);
			return i;
		}
	}
	reg->dmabufs |= !!pool->dmabuf;
	atomic_inc(&pool->layouts);
	handles[reg->nr_pools] = handle;
	reg->pools[reg->nr_pools] = pool;
	return reg->nr_pools++;
}

/* Turn the bases that the caller gave into places. */
static int kvx_layout_read_bases(struct kvx_agent *agent, struct kvx_registered *reg,
				 struct kvxfer_layout_register *cmd, u64 *places, u32 *handles)
{
	const struct kvxfer_layout_base __user *ubases = u64_to_user_ptr(cmd->bases);
	struct kvxfer_layout_base base;
	int pool;
	u32 i;

	for (i = 0; i < cmd->nr_bases; i++) {
		if (copy_from_user(&base, &ubases[i], sizeof(base)))
			return -EFAULT;
		if (base.reserved)
			return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_LAYOUT_BASE, i);
		pool = kvx_layout_pool(agent, reg, base.pool, handles);
		if (pool < 0)
			return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_LAYOUT_POOL, i);
		if (base.offset & ~KVX_PLACE_MASK)
			return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_LAYOUT_BOUNDS,
					  i * (reg->layout.nr_entries / cmd->nr_bases));
		places[i] = kvx_place(pool, base.offset);
	}
	return 0;
}

static int kvx_layout_check_all(const struct kvx_registered *reg, struct kvxfer_hdr *hdr)
{
	u64 *bytes;
	u32 reason, i;
	int err = 0;

	bytes = kvmalloc_array(reg->nr_pools, sizeof(*bytes), GFP_KERNEL_ACCOUNT);
	if (!bytes)
		return -ENOMEM;
	for (i = 0; i < reg->nr_pools; i++)
		bytes[i] = reg->pools[i]->bytes;
	for (i = 0; i < reg->layout.nr_entries && !err; i++) {
		reason = kvx_layout_check(&reg->layout, bytes, reg->nr_pools, i);
		if (reason)
			err = kvx_refuse(hdr, reason == KVXFER_REASON_LAYOUT_OVERFLOW ?
					      -EOVERFLOW : -EINVAL, reason, i);
		else if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	kvfree(bytes);
	return err;
}

static int kvx_layout_make(struct kvx_agent *agent, struct kvx_registered *reg,
			   struct kvxfer_layout_register *cmd)
{
	struct kvx_layout *layout = &reg->layout;
	u32 *handles = NULL, reason, index = 0;
	u64 *places = NULL;
	int err = -ENOMEM;

	layout->base = kvmalloc_array(layout->nr_entries, sizeof(*layout->base),
				      GFP_KERNEL_ACCOUNT);
	places = kvmalloc_array(cmd->nr_bases, sizeof(*places), GFP_KERNEL_ACCOUNT);
	handles = kvmalloc_array(cmd->nr_bases, sizeof(*handles), GFP_KERNEL_ACCOUNT);
	reg->pools = kvmalloc_array(cmd->nr_bases, sizeof(*reg->pools), GFP_KERNEL_ACCOUNT);
	if (!layout->base || !places || !handles || !reg->pools)
		goto out_free;
	err = kvx_layout_read_bases(agent, reg, cmd, places, handles);
	if (err)
		goto out_free;
	reason = kvx_layout_bases(layout, cmd->kind, places, cmd->nr_bases, cmd->block_stride,
				  &index);
	if (reason)
		err = kvx_refuse(&cmd->hdr, -EINVAL, reason, index);
	else
		err = kvx_layout_check_all(reg, &cmd->hdr);
out_free:
	kvfree(handles);
	kvfree(places);
	return err;
}

static int kvx_layout_take(struct kvx_registered *reg, struct kvxfer_layout_register *cmd)
{
	const struct kvx_geometry geo = {
		.num_blocks = cmd->num_blocks,
		.num_layers = cmd->num_layers,
		.outer_dim = cmd->outer_dim,
		.page_size = cmd->page_size,
		.inner_dim = cmd->inner_dim,
		.dtype_width = cmd->dtype_width,
		.alignment = cmd->alignment,
		.format = cmd->format,
	};
	u32 reason, nr_bases;

	if (cmd->kind < KVXFER_LAYOUT_CONTIGUOUS || cmd->kind > KVXFER_LAYOUT_TABLE)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_LAYOUT_KIND, 0);
	if (cmd->kind != KVXFER_LAYOUT_TABLE && cmd->block_stride)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_FIELD_UNUSED,
				  offsetof(struct kvxfer_layout_register, block_stride));
	reason = kvx_layout_init(&reg->layout, &geo);
	if (reason)
		return kvx_refuse(&cmd->hdr, reason == KVXFER_REASON_LAYOUT_OVERFLOW ?
					     -EOVERFLOW : -EINVAL, reason, 0);
	reg->kind = cmd->kind;
	reg->write = true;
	/* Before any of them is read. */
	nr_bases = kvx_layout_nr_bases(&reg->layout, cmd->kind);
	if (cmd->nr_bases != nr_bases)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_LAYOUT_BASES, nr_bases);
	return 0;
}

static u64 kvx_layout_bytes(const struct kvx_layout *layout)
{
	return layout->region_bytes * layout->nr_entries * layout->geo.num_blocks;
}

/**
 * kvx_layout_register() - KVXFER_IOC_LAYOUT_REGISTER
 * @agent: who asks
 * @cmd: see &struct kvxfer_layout_register
 * @out: set to what kvx_layout_registered() is to be given
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_layout_register(struct kvx_agent *agent, struct kvxfer_layout_register *cmd,
			struct kvx_registered **out)
{
	struct kvx_registered *reg;
	int err, id;

	reg = kvx_layout_new();
	if (!reg)
		return -ENOMEM;
	err = kvx_layout_take(reg, cmd);
	if (!err)
		err = kvx_layout_make(agent, reg, cmd);
	if (err)
		goto err_put;
	/* Never again, whatever becomes of this one. */
	id = atomic_fetch_add_unless(&agent->layout_ids, 1, KVX_LAYOUT_ID_MAX);
	if (id == KVX_LAYOUT_ID_MAX) {
		err = kvx_refuse(&cmd->hdr, -ENOSPC, KVXFER_REASON_LAYOUT_IDS, 0);
		goto err_put;
	}
	reg->id = id + 1;
	err = xa_reserve(&agent->layouts, reg->id, GFP_KERNEL_ACCOUNT);
	if (err)
		goto err_put;
	reg->worker_id = kvx_agent_fix_worker_id(agent);
	reg->rest = agent->epoch << KVXFER_LAYOUT_ID_BITS | reg->id;
	cmd->out_worker_id = reg->worker_id;
	cmd->out_rest = reg->rest;
	cmd->out_region_bytes = reg->layout.region_bytes;
	cmd->out_block_stride = reg->layout.block_stride;
	cmd->out_bytes = kvx_layout_bytes(&reg->layout);
	*out = reg;
	return 0;

err_put:
	kvx_layout_put(reg);
	return err;
}

/**
 * kvx_layout_registered() - the caller has been told of a layout that it has just got
 * @agent: who asked
 * @reg: the layout; the agent has the reference
 *
 * Context: process, may sleep.
 */
void kvx_layout_registered(struct kvx_agent *agent, struct kvx_registered *reg)
{
	/* In a place that is reserved this cannot fail. */
	xa_store(&agent->layouts, reg->id, reg, GFP_KERNEL_ACCOUNT);
}

/**
 * kvx_layout_undo() - the caller could not be told of a layout that it has just got
 * @agent: who asked
 * @reg: the layout
 *
 * Context: process, may sleep.
 */
void kvx_layout_undo(struct kvx_agent *agent, struct kvx_registered *reg)
{
	xa_release(&agent->layouts, reg->id);
	kvx_layout_put(reg);
}

/**
 * kvx_layout_unregister() - KVXFER_IOC_LAYOUT_UNREGISTER
 * @agent: who asks
 * @cmd: see &struct kvxfer_layout_unregister
 *
 * Context: process, may sleep, for as long as what runs takes, and for long when it is the last
 * that has a large pool.
 * Return: 0 or what the command promises.
 */
int kvx_layout_unregister(struct kvx_agent *agent, struct kvxfer_layout_unregister *cmd)
{
	struct kvx_registered *reg;
	u32 prepared;
	bool listed;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_layout_unregister, reserved));
	if (err)
		return err;
	reg = kvx_layout_get(agent, cmd->id);
	if (!reg)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_LAYOUT_UNKNOWN, cmd->id);
	if (cmd->hdr.flags) {
		kvx_gate_close(&reg->gate);
		if (cmd->hdr.flags & KVXFER_LAYOUT_UNREGISTER_CUT)
			kvx_xfers_cut(&reg->gate);
	} else {
		prepared = kvx_gate_close_unused(&reg->gate);
		if (prepared) {
			err = kvx_refuse(&cmd->hdr, -EBUSY, KVXFER_REASON_LAYOUT_BUSY, prepared);
			goto out_put;
		}
	}
	kvx_grants_close(reg);
	/* Until it is quiet it stays in the table, so that this can be repeated. */
	if (kvx_gate_wait(&reg->gate)) {
		err = kvx_refuse(&cmd->hdr, -EINTR, KVXFER_REASON_INTERRUPTED, 0);
		goto out_put;
	}
	/* Only one of several who ask takes it out, and with it the table's reference. */
	xa_lock(&agent->layouts);
	listed = xa_load(&agent->layouts, cmd->id) == reg;
	if (listed)
		__xa_erase(&agent->layouts, cmd->id);
	xa_unlock(&agent->layouts);
	if (listed)
		kvx_layout_put(reg);
out_put:
	kvx_layout_put(reg);
	return err;
}

/**
 * kvx_layout_stat() - KVXFER_IOC_LAYOUT_STAT
 * @agent: who asks
 * @cmd: see &struct kvxfer_layout_stat
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_layout_stat(struct kvx_agent *agent, struct kvxfer_layout_stat *cmd)
{
	const struct kvx_layout *layout;
	struct kvx_registered *reg;
	unsigned long id = cmd->id;

	if (cmd->hdr.flags & KVXFER_LAYOUT_STAT_NEXT) {
		/* The table's lock does not last from the finding to the taking. */
		do {
			if (!xa_find_after(&agent->layouts, &id, KVX_LAYOUT_ID_MAX, XA_PRESENT))
				id = 0;
			reg = kvx_layout_get(agent, id);
		} while (!reg && id);
	} else {
		reg = kvx_layout_get(agent, id);
	}
	if (!reg)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_LAYOUT_UNKNOWN, cmd->id);
	layout = &reg->layout;
	cmd->out_id = reg->id;
	cmd->out_kind = reg->kind;
	cmd->out_format = layout->geo.format;
	cmd->out_num_blocks = layout->geo.num_blocks;
	cmd->out_num_layers = layout->geo.num_layers;
	cmd->out_outer_dim = layout->geo.outer_dim;
	cmd->out_page_size = layout->geo.page_size;
	cmd->out_inner_dim = layout->geo.inner_dim;
	cmd->out_dtype_width = layout->geo.dtype_width;
	cmd->out_alignment = layout->geo.alignment;
	cmd->out_pools = reg->nr_pools;
	cmd->out_worker_id = reg->worker_id;
	cmd->out_rest = reg->rest;
	cmd->out_region_bytes = layout->region_bytes;
	cmd->out_block_stride = layout->block_stride;
	cmd->out_bytes = kvx_layout_bytes(layout);
	cmd->out_writable = reg->write;
	kvx_layout_put(reg);
	return 0;
}

/**
 * kvx_layouts_drop() - an agent is closing
 * @agent: nobody uses it any more
 *
 * Context: process, may sleep, for long when pools are large.
 */
void kvx_layouts_drop(struct kvx_agent *agent)
{
	struct kvx_registered *reg;
	unsigned long id;

	xa_for_each(&agent->layouts, id, reg) {
		kvx_gate_close(&reg->gate);
		kvx_xfers_cut(&reg->gate);
		kvx_grants_close(reg);
		/* Others look into the table, to import: what it has is alive. */
		xa_erase(&agent->layouts, id);
		kvx_layout_put(reg);
		cond_resched();
	}
	xa_destroy(&agent->layouts);
}
