/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages in tests: who sends and receives, what, and how it ends. */
#ifndef KVX_TEST_ENDS_H
#define KVX_TEST_ENDS_H

#include "blocks.h"

#define ROOM	(8 * MIB)

/* An agent with a pool that the test can see. */
struct end {
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	unsigned char *mem;
	uint64_t id;
};

static struct kvx_result result = KVX_RESULT_INIT;
/* By which path all messages of the test go. */
static uint32_t path_of_all = KVX_PATH_LOCAL;

static inline struct end make_end(void)
{
	struct end end = { .agent = open_agent() };

	OK(kvx_pool_create(end.agent, &end.pool, ROOM, NULL));
	OK(kvx_pool_map(end.pool, (void **)&end.mem, 0, 0, KVX_POOL_WRITE));
	end.id = query(end.agent).worker_id;
	return end;
}

static inline void drop_end(struct end *end)
{
	OK(kvx_pool_unmap(end->mem, ROOM));
	kvx_pool_close(end->pool);
	kvx_close(end->agent);
}

/* Of the other end only its id matters. */
static inline struct kvx_xfer *sends(struct end *from, const struct end *to, uint64_t at,
				     uint64_t bytes)
{
	struct kvx_xfer *xfer;

	OK(kvx_msg_send(from->agent, &xfer, to->id, from->pool, at, bytes, NULL));
	return xfer;
}

static inline struct kvx_xfer *receives(struct end *to, const struct end *from, uint64_t at,
					uint64_t bytes)
{
	struct kvx_xfer *xfer;

	OK(kvx_msg_recv(to->agent, &xfer, from->id, to->pool, at, bytes, NULL));
	return xfer;
}

/* It ends well, with so many bytes; and is released. */
static inline void well(struct kvx_xfer *xfer, uint64_t bytes)
{
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.bytes, bytes);
	CHECK_EQ(result.path, path_of_all);
	kvx_xfer_release(xfer);
}

/* It does not: in which state, with which errno and reason. */
#define BADLY(x, st, err, why) do {					\
	struct kvx_xfer *_x = (x);					\
									\
	CHECK_EQ(kvx_xfer_wait(_x, KVX_FOREVER, &result), -(err));	\
	CHECK_EQ(result.state, KVX_XFER_##st);				\
	CHECK_EQ(result.error, err);					\
	CHECK_EQ(result.reason, KVXFER_REASON_##why);			\
	CHECK_EQ(result.bytes, 0);					\
	kvx_xfer_release(_x);						\
} while (0)

static inline void fill_bytes(unsigned char *mem, uint64_t seed)
{
	for (uint64_t i = 0; i < ROOM; i++)
		mem[i] = (i * 2654435761ULL + seed) >> 7;
}

/* Bytes of @from are at @to, and nothing around them was written. */
static inline void check_bytes(const unsigned char *from, struct end *to, uint64_t at,
			       uint64_t bytes)
{
	for (uint64_t i = 0; i < ROOM; i++) {
		const bool in = i >= at && i < at + bytes;

		if (to->mem[i] != (in ? from[i - at] : 0xee))
			FAIL("byte %llu is %#x", (unsigned long long)i, to->mem[i]);
	}
}

#endif /* KVX_TEST_ENDS_H */
