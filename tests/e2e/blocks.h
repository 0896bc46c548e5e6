/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Layouts for tests, in memory that the test can see: where each region is, is worked out here anew
 * and by itself, and what is in it mixes who, block, layer, outer and place, so that nothing can be
 * taken for anything else.
 */
#ifndef KVX_TEST_BLOCKS_H
#define KVX_TEST_BLOCKS_H

#include "kvx.h"

enum memory { KERNEL, MEMFD, USER, MEMORIES };

static const char *const memory_names[] = { "kernel", "memfd", "user" };

/* One side of a copy: a layout, and the memory that it is in. */
struct side {
	struct kvx_agent *agent;
	enum memory memory;
	struct kvx_layout_config config;
	struct kvx_pool *pool;
	unsigned char *mem;
	uint64_t bytes;
	uint64_t bases[64];
	struct kvx_handle handle;
};

static inline uint64_t region_bytes(const struct side *side)
{
	return (uint64_t)side->config.page_size * side->config.inner_dim *
	       side->config.dtype_width;
}

/* The standard of the trade: 2 layers, K and V, regions of 4 KiB, blocks of 16 KiB. */
static inline struct kvx_layout_config standard(uint32_t kind, uint32_t blocks)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;

	config.kind = kind;
	config.num_blocks = blocks;
	config.num_layers = 2;
	config.page_size = 16;
	config.inner_dim = 128;
	return config;
}

static inline size_t nr_bases(const struct side *side)
{
	switch (side->config.kind) {
	case KVX_LAYOUT_CONTIGUOUS:
		return 1;
	case KVX_LAYOUT_TABLE:
		return side->config.num_layers * side->config.outer_dim;
	default:
		return side->config.num_layers;
	}
}

static inline unsigned char *region(const struct side *side, uint32_t block, uint32_t layer,
				    uint32_t outer)
{
	const struct kvx_layout_config *c = &side->config;
	const uint64_t r = region_bytes(side);

	switch (c->kind) {
	case KVX_LAYOUT_CONTIGUOUS:
		return side->mem + side->bases[0] +
		       ((uint64_t)block * c->num_layers * c->outer_dim +
			layer * c->outer_dim + outer) * r;
	case KVX_LAYOUT_BLOCK_FIRST:
		return side->mem + side->bases[layer] + (block * c->outer_dim + outer) * r;
	case KVX_LAYOUT_BLOCK_SECOND:
		return side->mem + side->bases[layer] +
		       ((uint64_t)outer * c->num_blocks + block) * r;
	default:
		return side->mem + side->bases[layer * c->outer_dim + outer] +
		       block * c->block_stride;
	}
}

static inline void get_memory(struct side *side, uint64_t bytes)
{
	void *addr;
	int fd;

	side->bytes = (bytes + PAGE - 1) / PAGE * PAGE;
	if (side->memory == USER) {
		addr = mmap(NULL, side->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(addr != MAP_FAILED);
		OK(kvx_pool_pin(side->agent, &side->pool, addr, side->bytes, KVX_POOL_WRITE));
	} else if (side->memory == MEMFD) {
		struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;

		fd = sealed_memfd(0, side->bytes, F_SEAL_SHRINK);
		opts.memfd = fd;
		addr = mmap(NULL, side->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CHECK(addr != MAP_FAILED);
		OK(kvx_pool_create(side->agent, &side->pool, 0, &opts));
		close(fd);
	} else {
		OK(kvx_pool_create(side->agent, &side->pool, side->bytes, NULL));
		OK(kvx_pool_map(side->pool, &addr, 0, 0, KVX_POOL_WRITE));
	}
	side->mem = addr;
}

/* A side of its own memory, @lead bytes from where that begins; tables have gaps. */
static inline struct side make_side_at(struct kvx_agent *agent, enum memory memory,
				       struct kvx_layout_config config, uint64_t lead)
{
	struct side side = { .agent = agent, .memory = memory, .config = config };
	const uint64_t r = region_bytes(&side), nr = nr_bases(&side);
	const uint64_t all = r * config.num_blocks * config.num_layers * config.outer_dim;
	struct kvx_layout_base bases[64];
	uint64_t each = all / nr;

	CHECK(nr <= 64);
	if (config.kind == KVX_LAYOUT_TABLE) {
		side.config.block_stride = r + 24;
		each = (r + 24) * config.num_blocks;
	}
	get_memory(&side, lead + nr * (each + 72));
	for (uint64_t i = 0; i < nr; i++) {
		side.bases[i] = lead + i * (each + 72);
		bases[i].pool = side.pool;
		bases[i].offset = side.bases[i];
	}
	OK(kvx_layout_register(agent, &side.handle, &side.config, bases, nr));
	return side;
}

/* The same, at an odd place. */
static inline struct side make_side(struct kvx_agent *agent, enum memory memory,
				    struct kvx_layout_config config)
{
	return make_side_at(agent, memory, config, 40);
}

static inline void drop_side(struct side *side)
{
	kvx_layout_unregister_flags(side->agent, side->handle, KVX_UNREGISTER_CUT);
	munmap(side->mem, side->bytes);
	kvx_pool_close(side->pool);
}

static inline uint64_t word_of(uint64_t who, uint64_t block, uint64_t layer, uint64_t outer,
			       uint64_t at)
{
	uint64_t x = (((who * 131 + block) * 137 + layer) * 139 + outer) * 1000003 + at;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline unsigned char byte_of(uint64_t who, uint32_t block, uint32_t layer, uint32_t outer,
				    uint64_t at)
{
	return word_of(who, block, layer, outer, at / 8) >> at % 8 * 8;
}

static inline void fill_region(unsigned char *to, uint64_t bytes, uint64_t who, uint32_t block,
			       uint32_t layer, uint32_t outer)
{
	uint64_t word = 0;

	for (uint64_t i = 0; i < bytes; i += 8) {
		word = word_of(who, block, layer, outer, i / 8);
		memcpy(to + i, &word, bytes - i < 8 ? bytes - i : 8);
	}
}

/* Every byte of the memory that is in no region is @gap. */
static inline void fill(struct side *side, uint64_t who, unsigned char gap)
{
	memset(side->mem, gap, side->bytes);
	for (uint32_t b = 0; b < side->config.num_blocks; b++)
		for (uint32_t l = 0; l < side->config.num_layers; l++)
			for (uint32_t o = 0; o < side->config.outer_dim; o++)
				fill_region(region(side, b, l, o), region_bytes(side), who, b, l,
					    o);
}

/* A copy of what a side's memory is, or should come to be. */
static inline unsigned char *snapshot(const struct side *side)
{
	unsigned char *copy = malloc(side->bytes);

	CHECK(copy);
	memcpy(copy, side->mem, side->bytes);
	return copy;
}

/* What a copy of whole regions does to a @copy of the destination's memory. */
static inline void expect(unsigned char *copy, const struct side *src, const struct side *dst,
			  const uint32_t *src_ids, const uint32_t *dst_ids, size_t nr,
			  uint32_t first_layer, uint32_t nr_layers)
{
	for (size_t i = 0; i < nr; i++)
		for (uint32_t l = first_layer; l < first_layer + nr_layers; l++)
			for (uint32_t o = 0; o < src->config.outer_dim; o++)
				memcpy(copy + (region(dst, dst_ids[i], l, o) - dst->mem),
				       region(src, src_ids[i], l, o), region_bytes(src));
}

/* Every byte, those among them that are nobody's. Frees @want. */
static inline void check_memory(const struct side *side, unsigned char *want)
{
	if (memcmp(side->mem, want, side->bytes))
		for (uint64_t i = 0; i < side->bytes; i++)
			if (side->mem[i] != want[i])
				FAIL("byte %llu of %llu is %02x, not %02x",
				     (unsigned long long)i, (unsigned long long)side->bytes,
				     side->mem[i], want[i]);
	free(want);
}

/* Copy, in one call. */
static inline void copy_blocks(const struct side *src, const struct side *dst,
			       const uint32_t *src_ids, const uint32_t *dst_ids, size_t nr,
			       const struct kvx_xfer_opts *opts)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_xfer_exec(dst->agent, src->handle, src_ids, nr, dst->handle, dst_ids, nr, opts,
			 &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.path, KVX_PATH_LOCAL);
}

/* Large copies wait, from here until they are let go: for tests of what has begun and not ended. */
static inline void hold_copies(void)
{
	put_param("copy_workers", "0");
}

static inline void let_copies_go(unsigned int workers)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", workers);
	put_param("copy_workers", text);
}

#endif /* KVX_TEST_BLOCKS_H */
