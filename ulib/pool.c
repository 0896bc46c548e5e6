// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Pools: create, open, pin, export, import, map, stat, unlink, close. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

_Static_assert(KVX_CHUNK_ORDERS == KVXFER_CHUNK_ORDERS, "chunk orders");
_Static_assert(KVX_NODES == KVXFER_NODES, "nodes");

/* One that is too long arrives without its NUL, and is refused. */
static void put_name(uint8_t field[KVXFER_NAME_MAX], const char *name)
{
	memcpy(field, name, strnlen(name, KVXFER_NAME_MAX));
}

/* The kernel says which quota; how much of it there is, it says when asked. */
static int explain_quota(struct kvx_agent *agent, int err, const char *what, uint64_t bytes)
{
	struct kvx_error was = *kvx_last_error();
	struct kvx_info info = KVX_INFO_INIT;

	if (err != -EDQUOT || kvx_query(agent, &info))
		return err;
	if (was.reason == KVXFER_REASON_QUOTA_BYTES)
		kvx_fail(EDQUOT, "%s: your quota is %" PRIu64 " MiB of pools, you have %" PRIu64
			 " MiB and asked for %" PRIu64 " MiB (parameter quota_mib) [EDQUOT]", what,
			 info.quota_bytes >> 20, info.quota_bytes_used >> 20, bytes >> 20);
	else
		kvx_fail(EDQUOT, "%s: your quota is %" PRIu64 " pools and you have %" PRIu64
			 " (parameter quota_pools) [EDQUOT]", what, info.quota_pools,
			 info.quota_pools_used);
	return kvx_fail_again(was.reason, was.index);
}

/* Of a memfd or a dma-buf, which both can say it. */
static uint64_t file_bytes(int fd)
{
	const off_t end = lseek(fd, 0, SEEK_END);

	return end < 0 ? 0 : end;
}

static struct kvx_pool *new_pool(struct kvx_agent *agent, const char *what)
{
	struct kvx_pool *pool = calloc(1, sizeof(*pool));

	if (pool)
		pool->agent = agent;
	else
		kvx_fail(ENOMEM, "%s: no memory", what);
	return pool;
}

int kvx_pool_create(struct kvx_agent *agent, struct kvx_pool **out, uint64_t bytes,
		    const struct kvx_pool_opts *from)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvxfer_pool_create create = { .bytes = bytes };
	struct kvx_pool *pool;
	int err;

	*out = NULL;
	err = kvx_take_opts(&opts, sizeof(opts), from, "create pool");
	if (err)
		return err;
	create.mode = opts.mode;
	create.progress = (uintptr_t)opts.progress;
	if (opts.name) {
		/* In the kernel's interface no characters mean no name. */
		if (!opts.name[0])
			return kvx_fail(EINVAL, "create pool: the name is empty");
		put_name(create.name, opts.name);
	}
	if (opts.node != -1) {
		create.hdr.flags |= KVXFER_POOL_CREATE_NODE;
		create.node = opts.node;
	}
	if (opts.gid != -1) {
		create.hdr.flags |= KVXFER_POOL_CREATE_GROUP;
		create.gid = opts.gid;
	}
	if (opts.memfd != -1) {
		create.hdr.flags |= KVXFER_POOL_CREATE_MEMFD;
		create.fd = opts.memfd;
	}
	pool = new_pool(agent, "create pool");
	if (!pool)
		return -ENOMEM;
	err = kvx_command(agent, KVXFER_IOC_POOL_CREATE, "create pool", &create.hdr,
			  sizeof(create));
	if (err) {
		free(pool);
		if (!bytes)
			bytes = file_bytes(opts.memfd);
		return explain_quota(agent, err, "create pool", bytes);
	}
	pool->handle = create.out_pool;
	pool->bytes = create.out_bytes;
	pool->mmap_offset = create.out_mmap_offset;
	*out = pool;
	return 0;
}

int kvx_pool_open(struct kvx_agent *agent, struct kvx_pool **out, const char *name,
		  unsigned int flags)
{
	struct kvxfer_pool_open open = {};
	struct kvx_pool *pool;
	int err;

	*out = NULL;
	pool = new_pool(agent, "open pool");
	if (!pool)
		return -ENOMEM;
	put_name(open.name, name);
	if (flags & KVX_POOL_WRITE)
		open.hdr.flags |= KVXFER_POOL_OPEN_WRITE;
	err = kvx_command(agent, KVXFER_IOC_POOL_OPEN, "open pool", &open.hdr, sizeof(open));
	if (err) {
		free(pool);
		return err;
	}
	pool->handle = open.out_pool;
	pool->bytes = open.out_bytes;
	pool->mmap_offset = open.out_mmap_offset;
	*out = pool;
	return 0;
}

int kvx_pool_pin(struct kvx_agent *agent, struct kvx_pool **out, void *addr, uint64_t bytes,
		 unsigned int flags)
{
	struct kvxfer_pool_pin pin = { .addr = (uintptr_t)addr, .bytes = bytes };
	struct kvx_pool *pool;
	int err;

	*out = NULL;
	pool = new_pool(agent, "pin pool");
	if (!pool)
		return -ENOMEM;
	if (!(flags & KVX_POOL_WRITE))
		pin.hdr.flags |= KVXFER_POOL_PIN_READONLY;
	err = kvx_command(agent, KVXFER_IOC_POOL_PIN, "pin pool", &pin.hdr, sizeof(pin));
	if (err) {
		free(pool);
		return explain_quota(agent, err, "pin pool", bytes);
	}
	pool->handle = pin.out_pool;
	pool->bytes = bytes;
	*out = pool;
	return 0;
}

int kvx_pool_export(struct kvx_pool *pool, int *fd)
{
	struct kvxfer_pool_export cmd = { .pool = pool->handle };
	int err;

	err = kvx_command(pool->agent, KVXFER_IOC_POOL_EXPORT, "export pool", &cmd.hdr,
			  sizeof(cmd));
	*fd = err ? -1 : cmd.out_fd;
	return err;
}

int kvx_pool_import(struct kvx_agent *agent, struct kvx_pool **out, int dmabuf, unsigned int flags)
{
	struct kvxfer_pool_dmabuf cmd = { .fd = dmabuf };
	struct kvx_pool *pool;
	int err;

	*out = NULL;
	pool = new_pool(agent, "import pool");
	if (!pool)
		return -ENOMEM;
	if (!(flags & KVX_POOL_WRITE))
		cmd.hdr.flags |= KVXFER_POOL_DMABUF_READONLY;
	err = kvx_command(agent, KVXFER_IOC_POOL_DMABUF, "import pool", &cmd.hdr, sizeof(cmd));
	if (err) {
		free(pool);
		return explain_quota(agent, err, "import pool", file_bytes(dmabuf));
	}
	pool->handle = cmd.out_pool;
	pool->bytes = cmd.out_bytes;
	pool->mmap_offset = cmd.out_mmap_offset;
	*out = pool;
	return 0;
}

void kvx_pool_close(struct kvx_pool *pool)
{
	struct kvxfer_pool_close close = {};

	if (!pool)
		return;
	close.pool = pool->handle;
	kvx_command(pool->agent, KVXFER_IOC_POOL_CLOSE, "close pool", &close.hdr, sizeof(close));
	free(pool);
}

uint64_t kvx_pool_bytes(const struct kvx_pool *pool)
{
	return pool->bytes;
}

int kvx_pool_map(struct kvx_pool *pool, void **addr, uint64_t offset, uint64_t bytes,
		 unsigned int flags)
{
	const int prot = PROT_READ | (flags & KVX_POOL_WRITE ? PROT_WRITE : 0);

	*addr = NULL;
	if (!pool->mmap_offset)
		return kvx_fail(EINVAL, "map pool: this one is the program's own memory");
	if (offset > pool->bytes || bytes > pool->bytes - offset)
		return kvx_fail(EINVAL, "map pool: the range goes beyond the pool's %" PRIu64
				" bytes", pool->bytes);
	if (!bytes)
		bytes = pool->bytes - offset;
	*addr = mmap(NULL, bytes, prot, MAP_SHARED, pool->agent->fd, pool->mmap_offset + offset);
	if (*addr != MAP_FAILED)
		return 0;
	*addr = NULL;
	if (errno == EACCES)
		return kvx_fail(EACCES, "map pool: it is open for reading only");
	return kvx_fail(errno, "map pool: %s", strerrordesc_np(errno) ?: "unknown error");
}

int kvx_pool_unmap(void *addr, uint64_t bytes)
{
	if (!munmap(addr, bytes))
		return 0;
	return kvx_fail(errno, "unmap pool: %s", strerrordesc_np(errno) ?: "unknown error");
}

static int stat_command(struct kvx_agent *agent, struct kvxfer_pool_stat *cmd,
			struct kvx_pool_stat *stat)
{
	struct kvx_pool_stat full = {};
	int err;

	err = kvx_command(agent, KVXFER_IOC_POOL_STAT, "stat pool", &cmd->hdr, sizeof(*cmd));
	if (err)
		return err;
	full.id = cmd->out_id;
	full.kind = cmd->out_kind;
	full.bytes = cmd->out_bytes;
	full.age_ns = cmd->out_age_ns;
	memcpy(full.chunks, cmd->out_chunks, sizeof(full.chunks));
	memcpy(full.node_bytes, cmd->out_node_bytes, sizeof(full.node_bytes));
	full.uid = cmd->out_uid;
	full.gid = cmd->out_gid;
	full.mode = cmd->out_mode;
	full.opens = cmd->out_opens;
	full.maps = cmd->out_maps;
	full.linked = cmd->out_linked;
	full.pid = cmd->out_pid;
	full.page_bytes = cmd->out_page_bytes;
	memcpy(full.name, cmd->out_name, sizeof(full.name) - 1);
	full.exports = cmd->out_exports;
	full.layouts = cmd->out_layouts;
	return kvx_give_struct(stat, &full, sizeof(full), "stat pool");
}

int kvx_pool_stat(struct kvx_pool *pool, struct kvx_pool_stat *stat)
{
	struct kvxfer_pool_stat cmd = { .pool = pool->handle };

	return stat_command(pool->agent, &cmd, stat);
}

int kvx_pool_stat_name(struct kvx_agent *agent, const char *name, struct kvx_pool_stat *stat)
{
	struct kvxfer_pool_stat cmd = { .hdr.flags = KVXFER_POOL_STAT_NAME };

	put_name(cmd.name, name);
	return stat_command(agent, &cmd, stat);
}

int kvx_pool_stat_next(struct kvx_agent *agent, uint32_t after, struct kvx_pool_stat *stat)
{
	struct kvxfer_pool_stat cmd = { .hdr.flags = KVXFER_POOL_STAT_NEXT, .pool = after };

	return stat_command(agent, &cmd, stat);
}

int kvx_pool_unlink(struct kvx_agent *agent, const char *name)
{
	struct kvxfer_pool_unlink unlink = {};

	put_name(unlink.name, name);
	return kvx_command(agent, KVXFER_IOC_POOL_UNLINK, "unlink pool", &unlink.hdr,
			   sizeof(unlink));
}
