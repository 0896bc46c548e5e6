/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copies of all shapes: which blocks in what order, which layers of them, K or V, heads, tokens in
 * other groups. They are the same within a node and between two.
 */
#ifndef KVX_TEST_SHAPES_H
#define KVX_TEST_SHAPES_H

#include "blocks.h"

#define BLOCKS	8
#define KINDS	4
#define KIND_PAIRS	(KINDS * KINDS)
#define MANY_MAX	16384

/* As many blocks to where they go, when no other number is given there; no layers: all. */
struct shape {
	size_t nr, nr_to;
	uint32_t from[BLOCKS], to[BLOCKS];
	uint32_t src_layer, dst_layer, nr_layers, outers;
	struct kvx_piece src_piece, dst_piece;
};

static const struct shape orders[] = {
	{ 2, 0, { 0, 1 }, { 2, 3 } },
	{ 5, 0, { 0, 1, 2, 3, 4 }, { 4, 3, 2, 1, 0 } },
	/* Only one of them steps by one. */
	{ 4, 0, { 0, 1, 2, 3 }, { 1, 3, 5, 7 } },
	{ 4, 0, { 0, 2, 4, 6 }, { 0, 1, 2, 3 } },
	/* One source, many destinations. */
	{ 4, 0, { 2, 2, 2, 2 }, { 0, 1, 2, 3 } },
	{ 8, 0, { 0, 1, 2, 3, 4, 5, 6, 7 }, { 0, 1, 2, 3, 4, 5, 6, 7 } },
	{ 1, 0, { 7 }, { 0 } },
};

/* Rows of blocks to rows, backwards, and with gaps on either side. */
static const struct shape rows[] = {
	{ 4, 0, { 0, 1, 2, 3 }, { 4, 5, 6, 7 } },
	{ 4, 0, { 3, 2, 1, 0 }, { 4, 5, 6, 7 } },
	{ 6, 0, { 1, 2, 3, 5, 6, 7 }, { 0, 1, 2, 3, 4, 5 } },
	{ 6, 0, { 0, 1, 2, 3, 4, 5 }, { 1, 2, 3, 5, 6, 7 } },
};

/* Of blocks in a row, one layer: there is a gap between. */
static const struct shape layers_alone[] = {
	{ 3, 0, { 0, 1, 2 }, { 3, 4, 6 }, .nr_layers = 1 },
	{ 3, 0, { 0, 1, 2 }, { 3, 4, 6 }, 1, 1, 1 },
	{ 3, 0, { 0, 1, 2 }, { 0, 1, 2 }, 1, 1, 1 },
};

static const struct shape keys_and_values[] = {
	{ 3, 0, { 0, 3, 4 }, { 0, 3, 4 }, .outers = 1 },
	{ 3, 0, { 0, 3, 4 }, { 0, 3, 4 }, .outers = 2 },
	{ 3, 0, { 0, 1, 2 }, { 5, 6, 7 }, 1, 1, 1, .outers = 2 },
};

static const struct shape other_layers[] = {
	{ 2, 0, { 6, 7 }, { 6, 7 }, 1, 0, 1 },
	{ 3, 0, { 4, 5, 1 }, { 0, 1, 2 }, 0, 1, 1 },
	{ 2, 0, { 2, 3 }, { 1, 6 }, 1, 0, 1, .outers = 1 },
};

/* Four blocks of 4 tokens are one of 16, and the other way round. */
static const struct shape merge_tokens = { 8, 2, { 4, 7, 1, 0, 2, 3, 6, 5 }, { 3, 1 } };
static const struct shape split_tokens = { 2, 8, { 3, 1 }, { 4, 7, 1, 0, 2, 3, 6, 5 } };

static inline struct kvx_layout_config plain_config(int i)
{
	return standard(1 + i % KINDS, BLOCKS);
}

/* The first four have 16 tokens in each block, the next 4; 656 bytes are a token, too. */
static inline struct kvx_layout_config tokens_config(int i)
{
	const bool few = i / KINDS % 2;
	struct kvx_layout_config config = standard(1 + i % KINDS, few ? 8 : 4);

	config.format = i / KINDS / 2 ? KVX_FORMAT_NHD : KVX_FORMAT_LATENT;
	config.inner_dim = 656;
	config.dtype_width = 1;
	if (few)
		config.page_size = 4;
	return config;
}

/* The first four have all heads, the next half of them; all that in HND, and in NHD. */
static inline struct kvx_layout_config heads_config(int i)
{
	struct kvx_layout_config config = plain_config(i);

	config.format = i / KINDS / 2 ? KVX_FORMAT_NHD : KVX_FORMAT_HND;
	if (i / KINDS % 2)
		config.inner_dim /= 2;
	return config;
}

/* Half of the heads: one run in HND, one for each token in NHD. */
static inline struct kvx_piece heads(bool nhd, int half)
{
	return nhd ? (struct kvx_piece){ half * 128, 128, 256, 16 } :
		     (struct kvx_piece){ half * 2048, 2048, 0, 1 };
}

/* A rank of 8 takes its heads from a rank of 4. */
static inline struct shape cut_heads(bool nhd, int half)
{
	return (struct shape){ 3, 0, { 5, 0, 3 }, { 0, 1, 2 }, .src_piece = heads(nhd, half) };
}

/* And gives them to one. */
static inline struct shape join_heads(bool nhd, int half)
{
	return (struct shape){ 3, 0, { 0, 1, 2 }, { 7, 4, 2 }, .dst_piece = heads(nhd, half) };
}

static inline struct kvx_layout_config many_config(uint32_t kind, uint32_t nr)
{
	struct kvx_layout_config config = standard(kind, nr);

	config.page_size = 1;
	config.inner_dim = 37;
	return config;
}

/* Odd numbers go round all of a power of two. */
static inline void many_ids(uint32_t *from, uint32_t *to, uint32_t nr, int kinds)
{
	for (uint32_t i = 0; i < nr; i++) {
		from[i] = kinds % 2 ? i : i * 7919 % nr;
		to[i] = kinds < 8 ? i : (nr - 1 - i) * 5 % nr;
	}
}

static inline struct kvx_xfer_opts shape_opts(const struct shape *shape)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;

	opts.src_layer = shape->src_layer;
	opts.dst_layer = shape->dst_layer;
	opts.nr_layers = shape->nr_layers;
	opts.outers = shape->outers;
	opts.src_piece = shape->src_piece;
	opts.dst_piece = shape->dst_piece;
	return opts;
}

static inline size_t shape_nr_to(const struct shape *shape)
{
	return shape->nr_to ?: shape->nr;
}

static inline uint64_t piece_at(const struct kvx_piece *piece, uint64_t at)
{
	return piece->offset + at / piece->bytes * piece->stride + at % piece->bytes;
}

/* Runs that pair up, each from and to where its side has it. */
static inline void expect_pieces(unsigned char *to, const unsigned char *from, uint64_t bytes,
				 struct kvx_piece src, struct kvx_piece dst)
{
	uint64_t step;

	if (!src.count)
		src = (struct kvx_piece){ .bytes = bytes, .count = 1 };
	if (!dst.count)
		dst = (struct kvx_piece){ .bytes = src.bytes * src.count, .count = 1 };
	step = src.bytes < dst.bytes ? src.bytes : dst.bytes;
	for (uint64_t at = 0; at < dst.bytes * dst.count; at += step)
		memcpy(to + piece_at(&dst, at), from + piece_at(&src, at), step);
}

/* Token by token, wherever each is. */
static inline void expect_tokens(unsigned char *copy, const struct side *src,
				 const struct side *dst, const struct shape *shape)
{
	const uint32_t s = src->config.page_size, d = dst->config.page_size;
	const uint32_t bytes = src->config.inner_dim * src->config.dtype_width;

	for (uint32_t i = 0; i < shape->nr * s * 4; i++) {
		const uint32_t t = i / 4, l = i % 4 / 2, o = i % 2;

		memcpy(copy + (region(dst, shape->to[t / d], l, o) - dst->mem) + t % d * bytes,
		       region(src, shape->from[t / s], l, o) + t % s * bytes, bytes);
	}
}

/* What such a copy does to a @copy of the destination's memory. */
static inline void expect_shape(unsigned char *copy, const struct side *src,
				const struct side *dst, const struct shape *shape)
{
	const uint32_t layers = shape->nr_layers ?: src->config.num_layers;
	const uint32_t outers = shape->outers ?: 3;

	if (src->config.page_size != dst->config.page_size) {
		expect_tokens(copy, src, dst, shape);
		return;
	}
	for (uint32_t i = 0; i < shape->nr * layers * 2; i++) {
		const uint32_t b = i / 2 / layers, l = i / 2 % layers, o = i % 2;

		if (outers & 1 << o)
			expect_pieces(copy + (region(dst, shape->to[b], shape->dst_layer + l, o) -
					      dst->mem),
				      region(src, shape->from[b], shape->src_layer + l, o),
				      region_bytes(src), shape->src_piece, shape->dst_piece);
	}
}

/* How many bytes that are. */
static inline uint64_t shape_bytes(const struct side *src, const struct side *dst,
				   const struct shape *shape)
{
	const uint64_t layers = shape->nr_layers ?: src->config.num_layers;
	const uint64_t s = region_bytes(src), d = region_bytes(dst);
	const uint64_t outers = shape->outers == 1 || shape->outers == 2 ? 1 : 2;

	if (src->config.page_size != dst->config.page_size)
		return shape->nr * s * 4;
	return shape->nr * layers * outers * (s < d ? s : d);
}

#endif /* KVX_TEST_SHAPES_H */
