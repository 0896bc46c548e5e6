// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer pool fill and sum: a known pattern into a pool, and what is in there in one number. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "crc32c.h"

/* So much is mapped at a time: what a process's page tables cost is bounded by it. */
#define WINDOW	(1ULL << 30)
#define STEP	(1ULL << 20)

/* Each word says where it is; a pool that holds another's bytes, or its own elsewhere, is found. */
static void fill_words(uint64_t *words, uint64_t offset, uint64_t bytes, uint64_t seed)
{
	for (uint64_t i = 0; i < bytes / sizeof(*words); i++) {
		uint64_t x = seed + offset + i * sizeof(*words);

		x = (x ^ x >> 31) * 0x9e3779b97f4a7c15;
		words[i] = x ^ x >> 29;
	}
}

/* Windows of a pool, one after the other. */
struct walk {
	struct kvx_pool *pool;
	unsigned int flags;
	struct cli_bar bar;
	void (*each)(struct walk *walk, void *at, uint64_t offset, uint64_t bytes);
	uint64_t seed;
	bool zero;
	uint32_t crc;
};

static bool walk_pool(struct walk *walk)
{
	const uint64_t total = kvx_pool_bytes(walk->pool);
	uint64_t offset, bytes, step;
	bool ok = true;
	void *at;

	for (offset = 0; ok && offset < total; offset += bytes) {
		bytes = total - offset < WINDOW ? total - offset : WINDOW;
		ok = !kvx_pool_map(walk->pool, &at, offset, bytes, walk->flags);
		for (uint64_t i = 0; ok && i < bytes; i += step) {
			step = bytes - i < STEP ? bytes - i : STEP;
			walk->each(walk, (char *)at + i, offset + i, step);
			walk->bar.done = offset + i + step;
		}
		if (ok)
			kvx_pool_unmap(at, bytes);
	}
	return ok;
}

static void fill_step(struct walk *walk, void *at, uint64_t offset, uint64_t bytes)
{
	if (walk->zero)
		memset(at, 0, bytes);
	else
		fill_words(at, offset, bytes, walk->seed);
	walk->crc = kvx_crc32c(walk->crc, at, bytes);
}

static void sum_step(struct walk *walk, void *at, uint64_t offset, uint64_t bytes)
{
	(void)offset;
	walk->crc = kvx_crc32c(walk->crc, at, bytes);
}

static int run(struct walk *walk, const char *what, const char *name, bool json)
{
	struct kvx_agent *agent = cli_open(NULL);
	struct json js = {};
	bool ok;

	if (!agent)
		return CLI_FAILED;
	if (kvx_pool_open(agent, &walk->pool, name, walk->flags))
		return cli_failed();
	cli_bar_begin(&walk->bar, what, kvx_pool_bytes(walk->pool));
	ok = walk_pool(walk);
	cli_bar_end(&walk->bar);
	if (!ok)
		return cli_failed();
	if (json) {
		json_begin(&js, NULL, '{');
		json_text(&js, "name", name);
		json_number(&js, "bytes", kvx_pool_bytes(walk->pool));
		json_hex(&js, "crc32c", walk->crc, 8);
		json_end(&js, '}');
	} else {
		printf("%08" PRIx32 "  %" PRIu64 "  %s\n", walk->crc, kvx_pool_bytes(walk->pool),
		       name);
	}
	kvx_pool_close(walk->pool);
	kvx_close(agent);
	return CLI_OK;
}

int pool_fill(const char *name, uint64_t seed, bool zero, bool json)
{
	struct walk walk = {
		.flags = KVX_POOL_WRITE, .each = fill_step, .seed = seed, .zero = zero,
	};

	return run(&walk, "fill", name, json);
}

int pool_sum(const char *name, bool json)
{
	struct walk walk = { .flags = KVX_POOL_READ, .each = sum_step };

	return run(&walk, "sum", name, json);
}
