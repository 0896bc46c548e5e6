// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/kvxfer: files are agents, ioctls are commands.
 *
 * One table says of each command its struct's size now, the least size (its first version), the
 * flags it knows and its handler. One function does what is common: it reads the struct once,
 * checks it as <linux/kvxfer.h> promises, calls the handler on the kernel's copy and writes back
 * what is due. A handler sees no user memory but what its struct points to.
 */
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "peer.h"
#include "note.h"
#include "pool.h"
#include "rdma/address.h"
#include "ring.h"
#include "trace.h"
#include "xfer.h"

/*
 * What a command makes stands behind its struct, where no user sees it, and is given to the agent
 * or to the process only when the caller has been told: before that nobody else can have taken it
 * away.
 */
union kvx_cmd {
	struct kvxfer_hdr hdr;
	struct kvxfer_query query;
	struct kvxfer_agent_set agent_set;
	struct {
		struct kvxfer_pool_create cmd;
		struct kvx_pool_open *open;
	} pool_create;
	struct {
		struct kvxfer_pool_open cmd;
		struct kvx_pool_open *open;
	} pool_open;
	struct {
		struct kvxfer_pool_pin cmd;
		struct kvx_pool_open *open;
	} pool_pin;
	struct kvxfer_pool_unlink pool_unlink;
	struct kvxfer_pool_close pool_close;
	struct kvxfer_pool_stat pool_stat;
	struct {
		struct kvxfer_pool_export cmd;
		struct file *file;
	} pool_export;
	struct {
		struct kvxfer_pool_dmabuf cmd;
		struct kvx_pool_open *open;
	} pool_dmabuf;
	struct {
		struct kvxfer_layout_register cmd;
		struct kvx_registered *reg;
	} layout_register;
	struct kvxfer_layout_unregister layout_unregister;
	struct kvxfer_layout_stat layout_stat;
	struct kvxfer_ring_setup ring_setup;
	struct kvxfer_xfer_prep xfer_prep;
	struct kvxfer_xfer_post xfer_post;
	struct kvxfer_xfer_wait xfer_wait;
	struct kvxfer_xfer_cancel xfer_cancel;
	struct kvxfer_xfer_release xfer_release;
	struct kvxfer_xfer_cost xfer_cost;
	struct {
		struct kvxfer_grant cmd;
		struct kvx_grant *grant;
	} grant;
	struct kvxfer_revoke revoke;
	struct kvxfer_layout_import layout_import;
	struct kvxfer_layout_forget layout_forget;
	struct kvxfer_node_addresses node_addresses;
	struct kvxfer_peer_connect peer_connect;
	struct kvxfer_msg msg;
	struct kvxfer_note_send note_send;
	struct {
		struct kvxfer_note_recv cmd;
		struct list_head taken;
	} note_recv;
};

/**
 * struct kvx_op - a command
 * @size: size of its struct in this kernel
 * @min: size of its struct's first version
 * @flags: flags it knows
 * @out: does it have outputs besides the header?
 * @handler: what does it; must not change the inputs in the struct
 * @done: for what makes something: gives it, now that the caller has been told
 * @undo: for what makes something: unmakes it, when the caller cannot be told what it has got
 */
struct kvx_op {
	u32 size;
	u32 min;
	u32 flags;
	bool out;
	int (*handler)(struct kvx_agent *agent, union kvx_cmd *cmd);
	void (*done)(struct kvx_agent *agent, union kvx_cmd *cmd);
	void (*undo)(struct kvx_agent *agent, union kvx_cmd *cmd);
};

static int kvx_op_query(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_agent_query(agent, &cmd->query);
}

static int kvx_op_agent_set(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_agent_set(agent, &cmd->agent_set);
}

static int kvx_op_pool_create(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_create(agent, &cmd->pool_create.cmd, &cmd->pool_create.open);
}

static int kvx_op_pool_open(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_open(agent, &cmd->pool_open.cmd, &cmd->pool_open.open);
}

static int kvx_op_pool_pin(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_pin(agent, &cmd->pool_pin.cmd, &cmd->pool_pin.open);
}

static int kvx_op_pool_unlink(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_unlink(agent, &cmd->pool_unlink);
}

static int kvx_op_pool_close(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_close(agent, &cmd->pool_close);
}

static int kvx_op_pool_stat(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_stat(agent, &cmd->pool_stat);
}

static int kvx_op_pool_export(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_export(agent, &cmd->pool_export.cmd, &cmd->pool_export.file);
}

static int kvx_op_pool_dmabuf(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_pool_dmabuf(agent, &cmd->pool_dmabuf.cmd, &cmd->pool_dmabuf.open);
}

static int kvx_op_layout_register(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_layout_register(agent, &cmd->layout_register.cmd, &cmd->layout_register.reg);
}

static int kvx_op_layout_unregister(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_layout_unregister(agent, &cmd->layout_unregister);
}

static int kvx_op_layout_stat(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_layout_stat(agent, &cmd->layout_stat);
}

static int kvx_op_ring_setup(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_ring_setup(agent, &cmd->ring_setup);
}

static int kvx_op_xfer_prep(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_xfer_prep(agent, &cmd->xfer_prep);
}

static int kvx_op_xfer_post(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_xfer_post(agent, &cmd->xfer_post);
}

static int kvx_op_xfer_exec(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_xfer_exec(agent, &cmd->xfer_prep);
}

static int kvx_op_xfer_wait(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_xfer_wait(agent, &cmd->xfer_wait);
}

static int kvx_op_xfer_cancel(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_xfer_cancel(agent, &cmd->xfer_cancel);
}

static int kvx_op_xfer_release(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_xfer_release(agent, &cmd->xfer_release);
}

static int kvx_op_xfer_cost(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_xfer_cost(agent, &cmd->xfer_cost);
}

static int kvx_op_grant(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_grant(agent, &cmd->grant.cmd, &cmd->grant.grant);
}

static int kvx_op_revoke(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_revoke(agent, &cmd->revoke);
}

static int kvx_op_layout_import(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_layout_import(agent, &cmd->layout_import);
}

static int kvx_op_layout_forget(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_layout_forget(agent, &cmd->layout_forget);
}

static int kvx_op_node_addresses(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_node_addresses(agent, &cmd->node_addresses);
}

static int kvx_op_peer_connect(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_agent_connect(agent, &cmd->peer_connect);
}

static int kvx_op_msg_send(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_msg_send(agent, &cmd->msg);
}

static int kvx_op_msg_recv(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_msg_recv(agent, &cmd->msg);
}

static int kvx_op_note_send(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_note_send(agent, &cmd->note_send);
}

static int kvx_op_note_recv(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_note_recv(agent, &cmd->note_recv.cmd, &cmd->note_recv.taken);
}

static void kvx_done_pool_create(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_opened(agent, cmd->pool_create.cmd.out_pool, cmd->pool_create.open);
}

static void kvx_done_pool_open(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_opened(agent, cmd->pool_open.cmd.out_pool, cmd->pool_open.open);
}

static void kvx_done_pool_pin(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_opened(agent, cmd->pool_pin.cmd.out_pool, cmd->pool_pin.open);
}

static void kvx_done_pool_dmabuf(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_opened(agent, cmd->pool_dmabuf.cmd.out_pool, cmd->pool_dmabuf.open);
}

static void kvx_done_pool_export(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	fd_install(cmd->pool_export.cmd.out_fd, cmd->pool_export.file);
}

static void kvx_done_layout_register(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_layout_registered(agent, cmd->layout_register.reg);
}

static void kvx_done_grant(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_granted(agent, cmd->grant.grant);
}

static void kvx_done_note_recv(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_note_received(agent, &cmd->note_recv.taken);
}

static void kvx_undo_pool_create(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_undo(agent, cmd->pool_create.cmd.out_pool, cmd->pool_create.open, true);
}

static void kvx_undo_pool_open(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_undo(agent, cmd->pool_open.cmd.out_pool, cmd->pool_open.open, false);
}

static void kvx_undo_pool_pin(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_undo(agent, cmd->pool_pin.cmd.out_pool, cmd->pool_pin.open, false);
}

static void kvx_undo_pool_export(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	put_unused_fd(cmd->pool_export.cmd.out_fd);
	fput(cmd->pool_export.file);
}

static void kvx_undo_pool_dmabuf(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_pool_undo(agent, cmd->pool_dmabuf.cmd.out_pool, cmd->pool_dmabuf.open, false);
}

static void kvx_undo_layout_register(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_layout_undo(agent, cmd->layout_register.reg);
}

static void kvx_undo_xfer(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_xfer_undo(agent, cmd->xfer_prep.out_xfer);
}

static void kvx_undo_msg(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_xfer_undo(agent, cmd->msg.out_xfer);
}

static void kvx_undo_grant(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_grant_undo(agent, cmd->grant.grant);
}

static void kvx_undo_note_recv(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	kvx_note_recv_undo(agent, &cmd->note_recv.taken);
}

static const struct kvx_op kvx_ops[] = {
	[_IOC_NR(KVXFER_IOC_QUERY)] = {
		.size = sizeof(struct kvxfer_query),
		.min = offsetofend(struct kvxfer_query, out_boot_id),
		.out = true,
		.handler = kvx_op_query,
	},
	[_IOC_NR(KVXFER_IOC_AGENT_SET)] = {
		.size = sizeof(struct kvxfer_agent_set),
		.min = offsetofend(struct kvxfer_agent_set, worker_id),
		.flags = KVXFER_AGENT_SET_NAME | KVXFER_AGENT_SET_WORKER_ID,
		.handler = kvx_op_agent_set,
	},
	[_IOC_NR(KVXFER_IOC_POOL_CREATE)] = {
		.size = sizeof(struct kvxfer_pool_create),
		.min = offsetofend(struct kvxfer_pool_create, out_mmap_offset),
		.flags = KVXFER_POOL_CREATE_NODE | KVXFER_POOL_CREATE_GROUP |
			 KVXFER_POOL_CREATE_MEMFD,
		.out = true,
		.handler = kvx_op_pool_create,
		.done = kvx_done_pool_create,
		.undo = kvx_undo_pool_create,
	},
	[_IOC_NR(KVXFER_IOC_POOL_OPEN)] = {
		.size = sizeof(struct kvxfer_pool_open),
		.min = offsetofend(struct kvxfer_pool_open, out_mmap_offset),
		.flags = KVXFER_POOL_OPEN_WRITE,
		.out = true,
		.handler = kvx_op_pool_open,
		.done = kvx_done_pool_open,
		.undo = kvx_undo_pool_open,
	},
	[_IOC_NR(KVXFER_IOC_POOL_PIN)] = {
		.size = sizeof(struct kvxfer_pool_pin),
		.min = offsetofend(struct kvxfer_pool_pin, out_pool),
		.flags = KVXFER_POOL_PIN_READONLY,
		.out = true,
		.handler = kvx_op_pool_pin,
		.done = kvx_done_pool_pin,
		.undo = kvx_undo_pool_pin,
	},
	[_IOC_NR(KVXFER_IOC_POOL_UNLINK)] = {
		.size = sizeof(struct kvxfer_pool_unlink),
		.min = offsetofend(struct kvxfer_pool_unlink, name),
		.handler = kvx_op_pool_unlink,
	},
	[_IOC_NR(KVXFER_IOC_POOL_CLOSE)] = {
		.size = sizeof(struct kvxfer_pool_close),
		.min = offsetofend(struct kvxfer_pool_close, pool),
		.handler = kvx_op_pool_close,
	},
	[_IOC_NR(KVXFER_IOC_POOL_STAT)] = {
		.size = sizeof(struct kvxfer_pool_stat),
		.min = offsetofend(struct kvxfer_pool_stat, out_bytes),
		.flags = KVXFER_POOL_STAT_NAME | KVXFER_POOL_STAT_NEXT,
		.out = true,
		.handler = kvx_op_pool_stat,
	},
	[_IOC_NR(KVXFER_IOC_POOL_EXPORT)] = {
		.size = sizeof(struct kvxfer_pool_export),
		.min = offsetofend(struct kvxfer_pool_export, out_fd),
		.out = true,
		.handler = kvx_op_pool_export,
		.done = kvx_done_pool_export,
		.undo = kvx_undo_pool_export,
	},
	[_IOC_NR(KVXFER_IOC_POOL_DMABUF)] = {
		.size = sizeof(struct kvxfer_pool_dmabuf),
		.min = offsetofend(struct kvxfer_pool_dmabuf, out_mmap_offset),
		.flags = KVXFER_POOL_DMABUF_READONLY,
		.out = true,
		.handler = kvx_op_pool_dmabuf,
		.done = kvx_done_pool_dmabuf,
		.undo = kvx_undo_pool_dmabuf,
	},
	[_IOC_NR(KVXFER_IOC_LAYOUT_REGISTER)] = {
		.size = sizeof(struct kvxfer_layout_register),
		.min = offsetofend(struct kvxfer_layout_register, out_bytes),
		.out = true,
		.handler = kvx_op_layout_register,
		.done = kvx_done_layout_register,
		.undo = kvx_undo_layout_register,
	},
	[_IOC_NR(KVXFER_IOC_LAYOUT_UNREGISTER)] = {
		.size = sizeof(struct kvxfer_layout_unregister),
		.min = offsetofend(struct kvxfer_layout_unregister, id),
		.flags = KVXFER_LAYOUT_UNREGISTER_WAIT | KVXFER_LAYOUT_UNREGISTER_CUT,
		.handler = kvx_op_layout_unregister,
	},
	[_IOC_NR(KVXFER_IOC_LAYOUT_STAT)] = {
		.size = sizeof(struct kvxfer_layout_stat),
		.min = offsetofend(struct kvxfer_layout_stat, out_bytes),
		.flags = KVXFER_LAYOUT_STAT_NEXT,
		.out = true,
		.handler = kvx_op_layout_stat,
	},
	[_IOC_NR(KVXFER_IOC_RING_SETUP)] = {
		.size = sizeof(struct kvxfer_ring_setup),
		.min = offsetofend(struct kvxfer_ring_setup, out_mmap_bytes),
		.flags = KVXFER_RING_SETUP_EVENTFD,
		.out = true,
		.handler = kvx_op_ring_setup,
	},
	[_IOC_NR(KVXFER_IOC_XFER_PREP)] = {
		.size = sizeof(struct kvxfer_xfer_prep),
		.min = offsetofend(struct kvxfer_xfer_prep, out_result),
		.flags = KVXFER_XFER_NOTE | KVXFER_XFER_POST,
		.out = true,
		.handler = kvx_op_xfer_prep,
		.undo = kvx_undo_xfer,
	},
	[_IOC_NR(KVXFER_IOC_XFER_POST)] = {
		.size = sizeof(struct kvxfer_xfer_post),
		.min = offsetofend(struct kvxfer_xfer_post, out_result),
		.flags = KVXFER_XFER_NOTE,
		.out = true,
		.handler = kvx_op_xfer_post,
	},
	[_IOC_NR(KVXFER_IOC_XFER_EXEC)] = {
		.size = sizeof(struct kvxfer_xfer_prep),
		.min = offsetofend(struct kvxfer_xfer_prep, out_result),
		.flags = KVXFER_XFER_NOTE | KVXFER_XFER_WAIT,
		.out = true,
		.handler = kvx_op_xfer_exec,
		.undo = kvx_undo_xfer,
	},
	[_IOC_NR(KVXFER_IOC_XFER_WAIT)] = {
		.size = sizeof(struct kvxfer_xfer_wait),
		.min = offsetofend(struct kvxfer_xfer_wait, out_index),
		.flags = KVXFER_XFER_WAIT_ANY,
		.out = true,
		.handler = kvx_op_xfer_wait,
	},
	[_IOC_NR(KVXFER_IOC_XFER_CANCEL)] = {
		.size = sizeof(struct kvxfer_xfer_cancel),
		.min = offsetofend(struct kvxfer_xfer_cancel, out_state),
		.out = true,
		.handler = kvx_op_xfer_cancel,
	},
	[_IOC_NR(KVXFER_IOC_XFER_RELEASE)] = {
		.size = sizeof(struct kvxfer_xfer_release),
		.min = offsetofend(struct kvxfer_xfer_release, xfer),
		.flags = KVXFER_XFER_RELEASE_WAIT,
		.handler = kvx_op_xfer_release,
	},
	[_IOC_NR(KVXFER_IOC_XFER_COST)] = {
		.size = sizeof(struct kvxfer_xfer_cost),
		.min = offsetofend(struct kvxfer_xfer_cost, out_samples),
		.out = true,
		.handler = kvx_op_xfer_cost,
	},
	[_IOC_NR(KVXFER_IOC_GRANT)] = {
		.size = sizeof(struct kvxfer_grant),
		.min = offsetofend(struct kvxfer_grant, out_key),
		.out = true,
		.handler = kvx_op_grant,
		.done = kvx_done_grant,
		.undo = kvx_undo_grant,
	},
	[_IOC_NR(KVXFER_IOC_REVOKE)] = {
		.size = sizeof(struct kvxfer_revoke),
		.min = offsetofend(struct kvxfer_revoke, key),
		.handler = kvx_op_revoke,
	},
	[_IOC_NR(KVXFER_IOC_LAYOUT_IMPORT)] = {
		.size = sizeof(struct kvxfer_layout_import),
		.min = offsetofend(struct kvxfer_layout_import, nr_imports),
		.handler = kvx_op_layout_import,
	},
	[_IOC_NR(KVXFER_IOC_LAYOUT_FORGET)] = {
		.size = sizeof(struct kvxfer_layout_forget),
		.min = offsetofend(struct kvxfer_layout_forget, worker_id),
		.handler = kvx_op_layout_forget,
	},
	[_IOC_NR(KVXFER_IOC_NODE_ADDRESSES)] = {
		.size = sizeof(struct kvxfer_node_addresses),
		.min = offsetofend(struct kvxfer_node_addresses, out_nr),
		.out = true,
		.handler = kvx_op_node_addresses,
	},
	[_IOC_NR(KVXFER_IOC_PEER_CONNECT)] = {
		.size = sizeof(struct kvxfer_peer_connect),
		.min = offsetofend(struct kvxfer_peer_connect, reserved),
		.flags = KVXFER_PEER_CONNECT_NOWAIT,
		.handler = kvx_op_peer_connect,
	},
	[_IOC_NR(KVXFER_IOC_MSG_SEND)] = {
		.size = sizeof(struct kvxfer_msg),
		.min = offsetofend(struct kvxfer_msg, out_result),
		.flags = KVXFER_XFER_WAIT | KVXFER_XFER_ONCE,
		.out = true,
		.handler = kvx_op_msg_send,
		.undo = kvx_undo_msg,
	},
	[_IOC_NR(KVXFER_IOC_MSG_RECV)] = {
		.size = sizeof(struct kvxfer_msg),
		.min = offsetofend(struct kvxfer_msg, out_result),
		.flags = KVXFER_XFER_WAIT | KVXFER_XFER_ONCE,
		.out = true,
		.handler = kvx_op_msg_recv,
		.undo = kvx_undo_msg,
	},
	[_IOC_NR(KVXFER_IOC_NOTE_SEND)] = {
		.size = sizeof(struct kvxfer_note_send),
		.min = offsetofend(struct kvxfer_note_send, note),
		.flags = KVXFER_NOTE_SEND_WAIT,
		.handler = kvx_op_note_send,
	},
	[_IOC_NR(KVXFER_IOC_NOTE_RECV)] = {
		.size = sizeof(struct kvxfer_note_recv),
		.min = offsetofend(struct kvxfer_note_recv, out_overflows),
		.out = true,
		.handler = kvx_op_note_recv,
		.done = kvx_done_note_recv,
		.undo = kvx_undo_note_recv,
	},
};

/* The commands' own checks rely on these. */
static_assert(sizeof(union kvx_cmd) <= KVXFER_SIZE_MAX);
static_assert(KVXFER_SIZE_MAX <= PAGE_SIZE);

static const struct kvx_op *kvx_op_find(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (_IOC_DIR(cmd) != _IOC_NONE || _IOC_SIZE(cmd) || nr >= ARRAY_SIZE(kvx_ops))
		return NULL;
	nr = array_index_nospec(nr, ARRAY_SIZE(kvx_ops));
	return kvx_ops[nr].handler ? &kvx_ops[nr] : NULL;
}

/* Only the two words are written: of a refused struct nothing else changes. */
static int kvx_put_refusal(struct kvxfer_hdr __user *uhdr, const struct kvxfer_hdr *hdr)
{
	if (put_user(hdr->reason, &uhdr->reason) || put_user(hdr->index, &uhdr->index))
		return -EFAULT;
	return 0;
}

/* Where in a tail that ought to be zero is it not? Asked on the way to a refusal only. */
static u32 kvx_tail_offset(const u8 __user *ubuf, u32 from, u32 to)
{
	u8 byte;
	u32 i;

	for (i = from; i < to; i++)
		if (!get_user(byte, ubuf + i) && byte)
			return i;
	return from;
}

static int kvx_cmd_read(union kvx_cmd *cmd, const struct kvx_op *op,
			struct kvxfer_hdr __user *uhdr)
{
	u32 size = cmd->hdr.size;
	int err;

	err = kvx_abi_check_size(&cmd->hdr, op->min);
	if (err)
		return err;
	/* Memory that cannot be written is found out before anything is done. */
	err = kvx_put_refusal(uhdr, &cmd->hdr);
	if (err)
		return err;
	err = copy_struct_from_user(cmd, op->size, uhdr, size);
	/* What counts is the size that was checked, whatever the caller makes of it meanwhile. */
	cmd->hdr.size = size;
	cmd->hdr.reason = KVXFER_REASON_NONE;
	cmd->hdr.index = 0;
	if (err == -E2BIG)
		return kvx_refuse(&cmd->hdr, err, KVXFER_REASON_TAIL_NONZERO,
				  kvx_tail_offset((void __user *)uhdr, op->size, size));
	if (err)
		return err;
	return kvx_abi_check_flags(&cmd->hdr, op->flags);
}

static long kvx_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct kvxfer_hdr __user *uhdr = (void __user *)arg;
	struct kvx_agent *agent = file->private_data;
	const struct kvx_op *op;
	union kvx_cmd cmd = {};
	int err;

	/* Somebody else's number, isatty()'s for one: its argument is none of ours. */
	if (_IOC_TYPE(nr) != KVXFER_IOC_TYPE)
		return -ENOTTY;

	op = kvx_op_find(nr);
	if (get_user(cmd.hdr.size, &uhdr->size))
		return op ? -EFAULT : -ENOTTY;
	if (op)
		err = kvx_cmd_read(&cmd, op, uhdr);
	else
		err = kvx_refuse(&cmd.hdr, -ENOTTY, KVXFER_REASON_NR_UNKNOWN, _IOC_NR(nr));
	if (!err)
		err = op->handler(agent, &cmd);
	if (err) {
		trace_kvx_refused(agent, _IOC_NR(nr), err, &cmd.hdr);
		/* The errno is the answer, whether or not its reason can still be written. */
		if (cmd.hdr.size >= sizeof(cmd.hdr))
			kvx_put_refusal(uhdr, &cmd.hdr);
		return err;
	}
	if (op->out && copy_to_user(uhdr, &cmd, min(op->size, cmd.hdr.size))) {
		if (op->undo)
			op->undo(agent, &cmd);
		return -EFAULT;
	}
	if (op->done)
		op->done(agent, &cmd);
	return 0;
}

static int kvx_mmap(struct file *file, struct vm_area_struct *vma)
{
	/* Pools have numbers, and what is below the first is for the rest. */
	if (vma->vm_pgoff >> (KVX_POOL_MMAP_SHIFT - PAGE_SHIFT))
		return kvx_pool_mmap(file->private_data, vma);
	return kvx_ring_mmap(file->private_data, vma);
}

static unsigned long kvx_get_unmapped_area(struct file *file, unsigned long addr,
					   unsigned long len, unsigned long pgoff,
					   unsigned long flags)
{
	return kvx_pool_get_unmapped_area(file->private_data, file, addr, len, pgoff, flags);
}

static __poll_t kvx_poll(struct file *file, poll_table *pt)
{
	struct kvx_agent *agent = file->private_data;

	__poll_t events = 0;

	poll_wait(file, &agent->wait, pt);
	if (kvx_ring_flush(agent))
		events |= EPOLLIN | EPOLLRDNORM;
	if (kvx_notes_wait(agent))
		events |= EPOLLIN | EPOLLRDBAND;
	return events;
}

static int kvx_open(struct inode *inode, struct file *file)
{
	struct kvx_agent *agent = kvx_agent_open();

	if (IS_ERR(agent))
		return PTR_ERR(agent);
	file->private_data = agent;
	return nonseekable_open(inode, file);
}

static int kvx_release(struct inode *inode, struct file *file)
{
	kvx_agent_close(file->private_data);
	return 0;
}

static const struct file_operations kvx_fops = {
	.owner		= THIS_MODULE,
	.open		= kvx_open,
	.release	= kvx_release,
	.unlocked_ioctl	= kvx_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.poll		= kvx_poll,
	.mmap		= kvx_mmap,
	.get_unmapped_area = kvx_get_unmapped_area,
};

static struct miscdevice kvx_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "kvxfer",
	.fops	= &kvx_fops,
	.mode	= 0660,
};

/**
 * kvx_chardev_register() - from now on agents may come
 *
 * Context: process, may sleep.
 * Return: 0 or what misc_register() says.
 */
int kvx_chardev_register(void)
{
	return misc_register(&kvx_misc);
}

/**
 * kvx_chardev_unregister() - no agent is left and none can come
 *
 * Context: process, may sleep.
 */
void kvx_chardev_unregister(void)
{
	misc_deregister(&kvx_misc);
}
