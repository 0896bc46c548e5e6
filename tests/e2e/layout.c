// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts and their handles, through the library.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>

#include "kvx.h"

#define BYTES	(4 * MIB)

/* Two layers of K and V, 16 blocks, regions of 4096 bytes: 256 KiB. */
static struct kvx_layout_config small_config(void)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;

	config.num_blocks = 16;
	config.num_layers = 2;
	config.page_size = 16;
	config.inner_dim = 128;
	return config;
}

static struct kvx_pool *make_pool(struct kvx_agent *agent, uint64_t bytes)
{
	struct kvx_pool *pool;

	OK(kvx_pool_create(agent, &pool, bytes, NULL));
	return pool;
}

TEST(a_layout_gets_a_handle_and_holds_its_pools)
{
	struct kvx_agent *agent = open_agent(), *other = open_agent();
	struct kvx_layout_config config = small_config();
	struct kvx_layout_stat st = KVX_LAYOUT_STAT_INIT;
	struct kvx_layout_base bases[2] = {};
	struct kvx_handle handle, second;
	struct kvx_info info = query(agent);

	bases[0].pool = make_pool(agent, BYTES);
	bases[0].offset = 4097;
	OK(kvx_layout_register(agent, &handle, &config, bases, 1));
	CHECK_EQ(handle.worker_id, info.worker_id);
	CHECK_EQ(kvx_handle_layout_id(handle), 1);
	CHECK_EQ(kvx_handle_epoch(handle), info.epoch);
	OK(kvx_layout_stat(agent, handle, &st));
	CHECK_EQ(st.region_bytes, 4096);
	CHECK_EQ(st.block_stride, 4 * 4096);
	CHECK_EQ(st.bytes, 64 * 4096);
	CHECK_EQ(st.pools, 1);
	CHECK_EQ(st.num_blocks, 16);
	CHECK_EQ(st.kind, KVX_LAYOUT_CONTIGUOUS);
	CHECK_EQ(st.writable, 1);
	CHECK_EQ(stat_of(bases[0].pool).layouts, 1);
	CHECK_EQ(st.handle.rest, handle.rest);

	/* Layers in pools of their own. */
	config.kind = KVX_LAYOUT_BLOCK_SECOND;
	bases[0].offset = 0;
	bases[1].pool = make_pool(agent, BYTES);
	OK(kvx_layout_register(agent, &second, &config, bases, 2));
	CHECK_EQ(kvx_handle_layout_id(second), 2);
	st.size = sizeof(st);
	OK(kvx_layout_stat(agent, second, &st));
	CHECK_EQ(st.pools, 2);
	CHECK_EQ(st.block_stride, 4096);

	/* What is closed is kept for the layouts that are in it. */
	kvx_pool_close(bases[0].pool);
	kvx_pool_close(bases[1].pool);
	CHECK_EQ(query(other).pool_bytes, 2 * BYTES);
	OK(kvx_layout_unregister(agent, second));
	CHECK_EQ(query(other).pool_bytes, BYTES);
	CHECK_EQ(kvx_layout_unregister(agent, second), -ENOENT);
	REASON(LAYOUT_UNKNOWN);
	CHECK_EQ(kvx_layout_stat(agent, second, &st), -ENOENT);
	/* Another's handle is another's. */
	CHECK_EQ(kvx_layout_unregister(other, handle), -ESTALE);
	CHECK_EQ(kvx_layout_stat(other, handle, &st), -ESTALE);
	/* It is in handles now. */
	CHECK_EQ(kvx_set_worker_id(agent, 12345), -EBUSY);
	REASON(WORKER_ID_USED);
	OK(kvx_set_worker_id(agent, info.worker_id));
	kvx_close(agent);
	CHECK_EQ(query(other).pool_bytes, 0);
	kvx_close(other);
}

TEST(every_kind_of_pool_has_layouts)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_layout_config config = small_config();
	struct kvx_layout_stat st = KVX_LAYOUT_STAT_INIT;
	struct kvx_layout_base bases[4] = {};
	struct kvx_handle handle;
	void *own = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(own != MAP_FAILED);
	config.kind = KVX_LAYOUT_TABLE;
	config.block_stride = 4100;
	bases[0].pool = make_pool(agent, MIB);
	opts.memfd = sealed_memfd(0, MIB, F_SEAL_SHRINK);
	OK(kvx_pool_create(agent, &bases[1].pool, 0, &opts));
	OK(kvx_pool_pin(agent, &bases[2].pool, own, MIB, KVX_POOL_WRITE));
	bases[3] = bases[1];
	bases[3].offset = 16 * 4100;
	OK(kvx_layout_register(agent, &handle, &config, bases, 4));
	OK(kvx_layout_stat(agent, handle, &st));
	CHECK_EQ(st.pools, 3);
	CHECK_EQ(st.block_stride, 4100);
	close(opts.memfd);
	kvx_close(agent);
	munmap(own, MIB);
	agent = open_agent();
	settle(agent);
	kvx_close(agent);
}

TEST(a_pool_is_one_however_often_it_is_open)
{
	struct kvx_agent *agent = open_agent(), *other = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_layout_config config = small_config();
	struct kvx_layout_stat st = KVX_LAYOUT_STAT_INIT;
	struct kvx_layout_base bases[2] = {};
	struct kvx_handle handle;
	int fd;

	opts.name = "twice";
	OK(kvx_pool_create(agent, &bases[0].pool, BYTES, &opts));
	OK(kvx_pool_open(agent, &bases[1].pool, "twice", KVX_POOL_READ));
	config.kind = KVX_LAYOUT_BLOCK_FIRST;
	CHECK_EQ(kvx_layout_register(agent, &handle, &config, bases, 2), -EINVAL);
	REASON(LAYOUT_OVERLAP);
	bases[1].offset = BYTES / 2;
	OK(kvx_layout_register(agent, &handle, &config, bases, 2));
	OK(kvx_layout_stat(agent, handle, &st));
	CHECK_EQ(st.pools, 1);
	/* By one of the ways it is open for reading only. */
	CHECK_EQ(st.writable, 0);
	kvx_pool_close(bases[1].pool);
	/* A dma-buf of it is it, too. */
	OK(kvx_pool_export(bases[0].pool, &fd));
	OK(kvx_pool_import(agent, &bases[1].pool, fd, KVX_POOL_WRITE));
	bases[1].offset = 8;
	CHECK_EQ(kvx_layout_register(agent, &handle, &config, bases, 2), -EINVAL);
	REASON(LAYOUT_OVERLAP);
	close(fd);
	/* Another agent's pool has another number here. */
	OK(kvx_pool_create(other, &bases[1].pool, BYTES, NULL));
	CHECK_EQ(kvx_layout_register(agent, &handle, &config, bases, 2), -EINVAL);
	CHECK(strstr(kvx_last_error()->text, "base 1 is in another agent's pool"));
	OK(kvx_pool_unlink(agent, "twice"));
	kvx_close(agent);
	kvx_close(other);
	agent = open_agent();
	settle(agent);
	kvx_close(agent);
}

TEST(what_cannot_be_a_layout_is_refused_by_name)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_layout_config config;
	struct kvx_layout_base bases[5] = {};
	struct kvxfer_layout_register cmd;
	struct kvxfer_layout_base raw = {};
	struct kvx_handle handle;

	for (int i = 0; i < 5; i++)
		bases[i].pool = i ? bases[0].pool : make_pool(agent, BYTES);
#define REFUSED(err, reason, nr, change) do {						\
	config = small_config();							\
	change;										\
	CHECK_EQ(kvx_layout_register(agent, &handle, &config, bases, nr), -(err));	\
	REASON(reason);									\
	CHECK_EQ(handle.rest, 0);							\
} while (0)
	REFUSED(EINVAL, LAYOUT_KIND, 1, config.kind = 0);
	REFUSED(EINVAL, LAYOUT_KIND, 1, config.kind = 5);
	REFUSED(EINVAL, LAYOUT_FORMAT, 1, config.format = 99);
	REFUSED(EINVAL, LAYOUT_BLOCKS, 1, config.num_blocks = 0);
	REFUSED(EINVAL, LAYOUT_LAYERS, 1, config.num_layers = 0);
	REFUSED(EINVAL, LAYOUT_OUTER, 1, config.outer_dim = 0);
	REFUSED(EINVAL, LAYOUT_OUTER, 1, config.outer_dim = 9);
	REFUSED(EINVAL, LAYOUT_PAGE, 1, config.page_size = 0);
	REFUSED(EINVAL, LAYOUT_INNER, 1, config.inner_dim = 0);
	REFUSED(EINVAL, LAYOUT_DTYPE, 1, config.dtype_width = 16);
	REFUSED(EINVAL, LAYOUT_ALIGNMENT, 1, config.alignment = 0);
	REFUSED(EINVAL, LAYOUT_ENTRIES, 1, config.num_layers = 2049);
	REFUSED(EOVERFLOW, LAYOUT_OVERFLOW, 1, (config.page_size = UINT32_MAX,
						config.inner_dim = UINT32_MAX));
	REFUSED(EINVAL, FIELD_UNUSED, 1, config.block_stride = 4096);
	REFUSED(EINVAL, LAYOUT_BASES, 0, (void)0);
	CHECK_EQ(kvx_last_error()->index, 1);
	REFUSED(EINVAL, LAYOUT_BASES, 2, (void)0);
	REFUSED(EINVAL, LAYOUT_BASES, 5, config.kind = KVX_LAYOUT_TABLE);
	CHECK_EQ(kvx_last_error()->index, 4);
	REFUSED(EINVAL, LAYOUT_STRIDE, 4, (config.kind = KVX_LAYOUT_TABLE,
					   config.block_stride = 4095));
	REFUSED(EINVAL, LAYOUT_OVERLAP, 2, config.kind = KVX_LAYOUT_BLOCK_FIRST);
	CHECK_EQ(kvx_last_error()->index, 2);
	REFUSED(EINVAL, LAYOUT_BOUNDS, 1, config.num_blocks = BYTES / 16384 + 1);
	bases[1].offset = BYTES - 16 * 8192 + 1;
	REFUSED(EINVAL, LAYOUT_BOUNDS, 2, config.kind = KVX_LAYOUT_BLOCK_FIRST);
	CHECK_EQ(kvx_last_error()->index, 3);
	bases[1].offset = 1ULL << 63;
	REFUSED(EINVAL, LAYOUT_BOUNDS, 2, config.kind = KVX_LAYOUT_BLOCK_FIRST);
	CHECK_EQ(kvx_last_error()->index, 2);
	bases[1].offset = 16 * 8192 + 8;
	REFUSED(EINVAL, LAYOUT_BASE_ALIGNMENT, 2, (config.kind = KVX_LAYOUT_BLOCK_FIRST,
						   config.alignment = 16));
	CHECK_EQ(kvx_last_error()->index, 1);
#undef REFUSED

	/* What the library would not ask. */
	config = small_config();
	cmd = (struct kvxfer_layout_register){
		.hdr.size = sizeof(cmd), .kind = KVXFER_LAYOUT_CONTIGUOUS,
		.format = KVXFER_FORMAT_NHD, .num_blocks = 1, .num_layers = 1, .outer_dim = 1,
		.page_size = 1, .inner_dim = 1, .dtype_width = 1, .alignment = 1, .nr_bases = 1,
		.bases = (uintptr_t)&raw,
	};
	raw.pool = 4711;
	CHECK(ioctl(kvx_fd(agent), KVXFER_IOC_LAYOUT_REGISTER, &cmd) == -1 && errno == ENOENT);
	CHECK_EQ(cmd.hdr.reason, KVXFER_REASON_LAYOUT_POOL);
	raw.reserved = 1;
	CHECK(ioctl(kvx_fd(agent), KVXFER_IOC_LAYOUT_REGISTER, &cmd) == -1 && errno == EINVAL);
	CHECK_EQ(cmd.hdr.reason, KVXFER_REASON_LAYOUT_BASE);
	CHECK_EQ(cmd.hdr.index, 0);
	cmd.bases = 8;
	CHECK(ioctl(kvx_fd(agent), KVXFER_IOC_LAYOUT_REGISTER, &cmd) == -1 && errno == EFAULT);
	kvx_pool_close(bases[0].pool);
	CHECK_EQ(query(agent).pool_bytes, 0);
	kvx_close(agent);
}

TEST(ids_are_never_used_again_and_end)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_layout_config config = small_config();
	struct kvx_layout_stat st = KVX_LAYOUT_STAT_INIT;
	struct kvx_layout_base base = { make_pool(agent, BYTES), 0 };
	struct kvx_handle handle;
	unsigned int after = 0;

	for (unsigned int i = 1; i <= 65535; i++) {
		OK(kvx_layout_register(agent, &handle, &config, &base, 1));
		CHECK_EQ(kvx_handle_layout_id(handle), i);
		/* A few stay, to be listed. */
		if (i % 10000)
			OK(kvx_layout_unregister(agent, handle));
	}
	CHECK_EQ(kvx_layout_register(agent, &handle, &config, &base, 1), -ENOSPC);
	REASON(LAYOUT_IDS);
	for (unsigned int i = 10000; i <= 60000; i += 10000) {
		st.size = sizeof(st);
		OK(kvx_layout_stat_next(agent, after, &st));
		after = kvx_handle_layout_id(st.handle);
		CHECK_EQ(after, i);
	}
	CHECK_EQ(kvx_layout_stat_next(agent, after, &st), -ENOENT);
	close_and_settle(agent);
}
