// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Layouts: register, unregister, stat. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

_Static_assert(KVXFER_LAYOUT_ID_BITS == 16, "handles");
_Static_assert(KVX_UNREGISTER_WAIT == KVXFER_LAYOUT_UNREGISTER_WAIT, "flags");
_Static_assert(KVX_UNREGISTER_CUT == KVXFER_LAYOUT_UNREGISTER_CUT, "flags");

int kvx_layout_register(struct kvx_agent *agent, struct kvx_handle *handle,
			const struct kvx_layout_config *from, const struct kvx_layout_base *bases,
			size_t nr_bases)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;
	struct kvxfer_layout_register cmd = {};
	struct kvxfer_layout_base *list;
	int err;

	memset(handle, 0, sizeof(*handle));
	err = kvx_take_opts(&config, sizeof(config), from, "register layout");
	if (err)
		return err;
	/* More than any layout has; the kernel says how many it should be. */
	if (nr_bases > KVXFER_LAYOUT_ENTRIES_MAX)
		nr_bases = KVXFER_LAYOUT_ENTRIES_MAX + 1;
	list = calloc(nr_bases + 1, sizeof(*list));
	if (!list)
		return kvx_fail(ENOMEM, "register layout: no memory");
	for (size_t i = 0; i < nr_bases; i++) {
		/* Numbers are the agent's own: another's would name another pool. */
		if (bases[i].pool->agent != agent) {
			free(list);
			return kvx_fail(EINVAL,
					"register layout: base %zu is in another agent's pool", i);
		}
		list[i].pool = bases[i].pool->handle;
		list[i].offset = bases[i].offset;
	}
	cmd.kind = config.kind;
	cmd.format = config.format;
	cmd.num_blocks = config.num_blocks;
	cmd.num_layers = config.num_layers;
	cmd.outer_dim = config.outer_dim;
	cmd.page_size = config.page_size;
	cmd.inner_dim = config.inner_dim;
	cmd.dtype_width = config.dtype_width;
	cmd.alignment = config.alignment;
	cmd.block_stride = config.block_stride;
	cmd.nr_bases = nr_bases;
	cmd.bases = (uintptr_t)list;
	err = kvx_command(agent, KVXFER_IOC_LAYOUT_REGISTER, "register layout", &cmd.hdr,
			  sizeof(cmd));
	free(list);
	if (err)
		return err;
	handle->worker_id = cmd.out_worker_id;
	handle->rest = cmd.out_rest;
	return 0;
}

static int stat_command(struct kvx_agent *agent, struct kvxfer_layout_stat *cmd,
			struct kvx_layout_stat *stat)
{
	struct kvx_layout_stat full = {};
	int err;

	err = kvx_command(agent, KVXFER_IOC_LAYOUT_STAT, "stat layout", &cmd->hdr, sizeof(*cmd));
	if (err)
		return err;
	full.handle.worker_id = cmd->out_worker_id;
	full.handle.rest = cmd->out_rest;
	full.kind = cmd->out_kind;
	full.format = cmd->out_format;
	full.num_blocks = cmd->out_num_blocks;
	full.num_layers = cmd->out_num_layers;
	full.outer_dim = cmd->out_outer_dim;
	full.page_size = cmd->out_page_size;
	full.inner_dim = cmd->out_inner_dim;
	full.dtype_width = cmd->out_dtype_width;
	full.alignment = cmd->out_alignment;
	full.region_bytes = cmd->out_region_bytes;
	full.block_stride = cmd->out_block_stride;
	full.bytes = cmd->out_bytes;
	full.pools = cmd->out_pools;
	full.writable = cmd->out_writable;
	return kvx_give_struct(stat, &full, sizeof(full), "stat layout");
}

/* Ids are an agent's own: a handle of another, or of another life of it, is none of this one's. */
static int check_handle(struct kvx_agent *agent, struct kvx_handle handle, const char *what)
{
	struct kvx_info info = KVX_INFO_INIT;
	int err = kvx_query(agent, &info);

	if (err)
		return err;
	if (info.worker_id != handle.worker_id || info.epoch != kvx_handle_epoch(handle))
		return kvx_fail(ESTALE, "%s: the handle is not of this agent [ESTALE]", what);
	return 0;
}

int kvx_layout_unregister(struct kvx_agent *agent, struct kvx_handle handle)
{
	return kvx_layout_unregister_flags(agent, handle, 0);
}

int kvx_layout_unregister_flags(struct kvx_agent *agent, struct kvx_handle handle,
				unsigned int flags)
{
	struct kvxfer_layout_unregister cmd = {
		.hdr.flags = flags,
		.id = kvx_handle_layout_id(handle),
	};
	int err = check_handle(agent, handle, "unregister layout");

	if (err)
		return err;
	return kvx_wait_command(agent, KVXFER_IOC_LAYOUT_UNREGISTER, "unregister layout", &cmd.hdr,
				sizeof(cmd), NULL, 0);
}

int kvx_layout_stat(struct kvx_agent *agent, struct kvx_handle handle, struct kvx_layout_stat *stat)
{
	struct kvxfer_layout_stat cmd = { .id = kvx_handle_layout_id(handle) };
	int err = check_handle(agent, handle, "stat layout");

	return err ? err : stat_command(agent, &cmd, stat);
}

int kvx_layout_stat_next(struct kvx_agent *agent, unsigned int after, struct kvx_layout_stat *stat)
{
	struct kvxfer_layout_stat cmd = { .hdr.flags = KVXFER_LAYOUT_STAT_NEXT, .id = after };

	return stat_command(agent, &cmd, stat);
}
