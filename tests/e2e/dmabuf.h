/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of dma-bufs have in common. */
#ifndef DMABUF_TEST_H
#define DMABUF_TEST_H

#include "kvx.h"

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

#endif /* DMABUF_TEST_H */
