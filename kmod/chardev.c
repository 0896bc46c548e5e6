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
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "kvx.h"
#include "trace.h"

union kvx_cmd {
	struct kvxfer_hdr hdr;
	struct kvxfer_query query;
	struct kvxfer_agent_set agent_set;
};

/**
 * struct kvx_op - a command
 * @size: size of its struct in this kernel
 * @min: size of its struct's first version
 * @flags: flags it knows
 * @out: does it have outputs besides the header?
 * @handler: what does it; must not change the inputs in the struct
 */
struct kvx_op {
	u32 size;
	u32 min;
	u32 flags;
	bool out;
	int (*handler)(struct kvx_agent *agent, union kvx_cmd *cmd);
};

static int kvx_op_query(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_agent_query(agent, &cmd->query);
}

static int kvx_op_agent_set(struct kvx_agent *agent, union kvx_cmd *cmd)
{
	return kvx_agent_set(agent, &cmd->agent_set);
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
	if (op->out && copy_to_user(uhdr, &cmd, min(op->size, cmd.hdr.size)))
		return -EFAULT;
	return 0;
}

static __poll_t kvx_poll(struct file *file, poll_table *pt)
{
	struct kvx_agent *agent = file->private_data;

	poll_wait(file, &agent->wait, pt);
	return 0;
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
