// SPDX-License-Identifier: GPL-2.0-only
/* What is to be seen of pools. */
#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/uidgid.h>

#include "abi.h"
#include "kvx.h"
#include "pool.h"

/* The pool that a STAT is about, with a reference. */
static struct kvx_pool *kvx_pool_find_stat(struct kvx_agent *agent, struct kvxfer_pool_stat *cmd)
{
	if (!cmd->hdr.flags)
		return kvx_pool_get(agent, cmd->pool, NULL);
	if (!(cmd->hdr.flags & KVXFER_POOL_STAT_NAME))
		return kvx_pool_after(cmd->pool);
	return kvx_pool_named(cmd->name);
}

static int kvx_pool_check_stat(struct kvxfer_pool_stat *cmd)
{
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_pool_stat, reserved));
	if (err)
		return err;
	if (!(cmd->hdr.flags & KVXFER_POOL_STAT_NAME))
		return kvx_abi_check_unused(&cmd->hdr, cmd->name, sizeof(cmd->name),
					    offsetof(struct kvxfer_pool_stat, name));
	if (cmd->hdr.flags & KVXFER_POOL_STAT_NEXT || cmd->pool)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_FIELD_UNUSED,
				  offsetof(struct kvxfer_pool_stat, pool));
	return kvx_abi_check_name(&cmd->hdr, cmd->name, sizeof(cmd->name));
}

/**
 * kvx_pool_stat() - KVXFER_IOC_POOL_STAT
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_stat
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_pool_stat(struct kvx_agent *agent, struct kvxfer_pool_stat *cmd)
{
	struct kvx_pool *pool;
	int err;

	err = kvx_pool_check_stat(cmd);
	if (err)
		return err;
	pool = kvx_pool_find_stat(agent, cmd);
	if (!pool && cmd->hdr.flags & KVXFER_POOL_STAT_NAME)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_POOL_NAME_UNKNOWN, 0);
	if (!pool)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_POOL_UNKNOWN, cmd->pool);
	/* What a caller of another age put there is not to be counted on. */
	memset_after(cmd, 0, name);
	strscpy(cmd->out_name, pool->name, sizeof(cmd->out_name));
	cmd->out_id = pool->id;
	cmd->out_kind = pool->kind;
	cmd->out_uid = from_kuid_munged(current_user_ns(), pool->uid);
	cmd->out_gid = from_kgid_munged(current_user_ns(), pool->gid);
	cmd->out_mode = pool->mode;
	cmd->out_opens = atomic_read(&pool->opens);
	cmd->out_maps = atomic_read(&pool->maps);
	cmd->out_linked = READ_ONCE(pool->linked);
	cmd->out_pid = pid_vnr(pool->pid);
	cmd->out_page_bytes = pool->page_bytes;
	cmd->out_bytes = pool->bytes;
	cmd->out_age_ns = ktime_get_ns() - pool->born_ns;
	cmd->out_exports = atomic_read(&pool->exports);
	cmd->out_layouts = atomic_read(&pool->layouts);
	memcpy(cmd->out_chunks, pool->pages.chunks, sizeof(cmd->out_chunks));
	memcpy(cmd->out_node_bytes, pool->pages.node_bytes, sizeof(cmd->out_node_bytes));
	kvx_pool_put(pool);
	return 0;
}
