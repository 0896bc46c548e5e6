/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of dma-bufs have in common. */
#ifndef DMABUF_TEST_H
#define DMABUF_TEST_H

#include "blocks.h"

static inline void *map_file(int fd, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(at != MAP_FAILED);
	return at;
}

/* @fd is a dma-buf of @bytes, seen at @at; it becomes a pool, and shows the same. */
static inline void import_and_compare(struct kvx_agent *agent, int fd, unsigned char *at,
				      uint64_t bytes)
{
	struct kvx_pool *pool;
	unsigned char *seen;

	OK(kvx_pool_import(agent, &pool, fd, KVX_POOL_WRITE));
	CHECK_EQ(kvx_pool_bytes(pool), bytes);
	CHECK_EQ(stat_of(pool).kind, KVX_POOL_DMABUF);
	CHECK_EQ(stat_of(pool).bytes, bytes);
	/* Drivers differ in what they show from elsewhere than the beginning. */
	CHECK_EQ(kvx_pool_map(pool, (void **)&seen, PAGE, 0, KVX_POOL_WRITE), -EINVAL);
	OK(kvx_pool_map(pool, (void **)&seen, 0, 0, KVX_POOL_WRITE));
	for (uint64_t i = 0; i < bytes; i += 509) {
		at[i] = i;
		CHECK_EQ(seen[i], (unsigned char)i);
	}
	seen[PAGE + 5] = 99;
	CHECK_EQ(at[PAGE + 5], 99);
	CHECK_EQ(kvx_pool_export(pool, &fd), -EOPNOTSUPP);
	REASON(POOL_KIND);
	OK(kvx_pool_unmap(seen, bytes));
	kvx_pool_close(pool);
}

/* Blocks go into a dma-buf of at least a MiB, seen at @at, and out of it again. */
static inline void copy_through(struct kvx_agent *agent, int fd, unsigned char *at)
{
	const uint32_t ids[] = { 3, 0, 7 }, to[] = { 1, 2, 5 };
	struct kvx_layout_config config = standard(KVX_LAYOUT_BLOCK_SECOND, 8);
	struct side src = make_side(agent, KERNEL, config), back = make_side(agent, USER, config);
	struct kvx_layout_base bases[2] = { { NULL, 24 }, { NULL, 24 + 8 * 8192 } };
	struct side through = {
		.agent = agent, .config = config, .mem = at, .bases = { 24, 24 + 8 * 8192 },
	};

	fill(&src, 5, 0);
	OK(kvx_pool_import(agent, &bases[0].pool, fd, KVX_POOL_WRITE));
	bases[1].pool = bases[0].pool;
	OK(kvx_layout_register(agent, &through.handle, &config, bases, 2));
	copy_blocks(&src, &through, ids, to, 3, NULL);
	copy_blocks(&through, &back, to, ids, 3, NULL);
	for (int i = 0; i < 12; i++) {
		CHECK(!memcmp(region(&through, to[i / 4], i % 4 / 2, i % 2),
			      region(&src, ids[i / 4], i % 4 / 2, i % 2), 4096));
		CHECK(!memcmp(region(&back, ids[i / 4], i % 4 / 2, i % 2),
			      region(&src, ids[i / 4], i % 4 / 2, i % 2), 4096));
	}
	OK(kvx_layout_unregister(agent, through.handle));
	kvx_pool_close(bases[0].pool);
	drop_side(&src);
	drop_side(&back);
}

#endif /* DMABUF_TEST_H */
