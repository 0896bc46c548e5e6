// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a segment costs before anything is copied: the cursor over the shapes that serving has, for
 * a prompt of 32K tokens; beside it, the walk over a list of as many {from, to, bytes}, which is
 * what a caller of today's libraries builds and passes.
 * Labs: native
 */
#define _GNU_SOURCE
#include "bench.h"
#include "../../kmod/layout.c"
#include "../../kmod/cursor.c"

struct piece {
	uint64_t from, to, bytes;
};

static const struct scene {
	const char *name;
	uint32_t blocks, layers, outer, page, inner, kind, used;
} scenes[] = {
	{ "Llama-8B, one tensor", 2048, 32, 2, 16, 1024, KVXFER_LAYOUT_CONTIGUOUS, 32 },
	{ "Llama-8B, by layer", 2048, 32, 2, 16, 1024, KVXFER_LAYOUT_BLOCK_SECOND, 32 },
	{ "Llama-70B TP8, one tensor", 2048, 80, 2, 16, 128, KVXFER_LAYOUT_CONTIGUOUS, 80 },
	{ "Llama-70B TP8, by layer", 2048, 80, 2, 16, 128, KVXFER_LAYOUT_BLOCK_SECOND, 80 },
	{ "Llama-70B TP8, one layer", 2048, 80, 2, 16, 128, KVXFER_LAYOUT_BLOCK_SECOND, 1 },
	{ "DeepSeek-V3, by layer", 512, 61, 1, 64, 576, KVXFER_LAYOUT_BLOCK_FIRST, 61 },
	{ "64 blocks of Qwen3-8B, by layer", 64, 36, 2, 16, 1024, KVXFER_LAYOUT_BLOCK_SECOND, 36 },
};

struct run {
	const struct scene *scene;
	struct kvx_layout layout[2];
	struct kvx_shape shape;
	uint32_t *ids[2], *scratch;
	uint64_t segments;
	struct piece *list;
};

/* Read by nobody: so that the compiler cannot leave the work out. */
static volatile uint64_t sink;

/* From a free list: all in a row when it is fresh; runs of 1 to 4 when it has aged. */
static void make_ids(uint32_t *ids, uint32_t nr, uint32_t of, bool aged, uint64_t seed)
{
	uint32_t *jumps = malloc(of * sizeof(*jumps)), n = 0;

	for (uint32_t i = 0; i < of; i++)
		jumps[i] = i;
	for (uint32_t i = 0; aged && i + 4 < of; i += 4) {
		uint32_t other;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		other = (seed >> 33) % (of / 4) * 4;
		for (int k = 0; k < 4 && k < 1 + (int)(seed >> 60) % 4; k++) {
			const uint32_t was = jumps[i + k];

			jumps[i + k] = jumps[other + k];
			jumps[other + k] = was;
		}
	}
	for (uint32_t i = 0; i < nr; i++)
		ids[i] = jumps[n++];
	free(jumps);
}

static void set_up(struct run *run, const struct scene *scene, bool aged)
{
	const uint32_t of = scene->blocks * 4;
	struct kvx_geometry geo = {
		of, scene->layers, scene->outer, scene->page, scene->inner, 2, 1, KVXFER_FORMAT_HND,
	};
	__u64 given[128];
	const uint32_t nr = scene->kind == KVXFER_LAYOUT_CONTIGUOUS ? 1 : scene->layers;
	uint32_t index;

	run->scene = scene;
	run->shape = (struct kvx_shape){ .nr_layers = scene->used };
	for (int i = 0; i < 2; i++) {
		struct kvx_layout *layout = &run->layout[i];
		struct kvx_side *side = i ? &run->shape.dst : &run->shape.src;

		MUST(!kvx_layout_init(layout, &geo));
		layout->base = malloc(layout->nr_entries * sizeof(*layout->base));
		for (uint32_t l = 0; l < scene->layers; l++)
			given[l] = kvx_place(i, l * of * scene->outer * layout->region_bytes);
		MUST(!kvx_layout_bases(layout, scene->kind, given, nr, 0, &index));
		run->ids[i] = malloc(scene->blocks * sizeof(*run->ids[i]));
		make_ids(run->ids[i], scene->blocks, of, aged, i + 1);
		side->layout = layout;
		side->ids = run->ids[i];
		side->nr = scene->blocks;
	}
	run->scratch = malloc(kvx_shape_scratch(scene->blocks) * sizeof(*run->scratch));
	MUST(!kvx_shape_init(&run->shape, run->scratch, NULL, &index));
}

static void tear_down(struct run *run)
{
	for (int i = 0; i < 2; i++) {
		free(run->layout[i].base);
		free(run->ids[i]);
	}
	free(run->scratch);
	free(run->list);
	*run = (struct run){};
}

static double walk(void *arg)
{
	struct run *run = arg;
	const int times = bench_quick ? 1 : 20;
	struct kvx_segment segment;
	struct kvx_cursor cursor;
	uint64_t sum = 0;
	double t = bench_now();

	for (int i = 0; i < times; i++) {
		run->segments = 0;
		kvx_cursor_init(&cursor, &run->shape, 0, 1);
		while (kvx_cursor_next(&cursor, &segment, UINT64_MAX)) {
			sum += segment.src ^ segment.dst ^ segment.bytes;
			run->segments++;
		}
	}
	sink = sum;
	return (bench_now() - t) / times;
}

/* What is walked today has first been built, at a place for every region. */
static double build_list(void *arg)
{
	struct run *run = arg;
	const struct kvx_layout *src = &run->layout[0], *dst = &run->layout[1];
	const struct kvx_shape *shape = &run->shape;
	const uint64_t n = (uint64_t)run->scene->blocks * shape->nr_entries;
	const uint64_t region = run->layout[0].region_bytes;
	double t = bench_now();
	struct piece *piece;

	run->list = realloc(run->list, n * sizeof(*run->list));
	piece = run->list;
	for (uint32_t b = 0; b < run->scene->blocks; b++)
		for (uint32_t e = 0; e < shape->nr_entries; e++) {
			piece->from = src->base[e] + run->ids[0][b] * src->block_stride;
			piece->to = dst->base[e] + run->ids[1][b] * dst->block_stride;
			piece++->bytes = region;
		}
	sink = run->list[n / 2].from;
	return bench_now() - t;
}

/* The module takes a random seed for each transfer, so a new one is measured each time. */
static double prepare(void *arg)
{
	static uint64_t seed = 1;
	struct run *run = arg;
	uint32_t index;
	double t;

	seed = seed * 6364136223846793005 + 1442695040888963407;
	run->shape.seed = seed;
	t = bench_now();
	MUST(!kvx_shape_init(&run->shape, run->scratch, NULL, &index));
	return bench_now() - t;
}

int main(int argc, char **argv)
{
	bench_options(argc, argv);
	printf("%-32s %5s %9s %9s %8s %8s | %9s %9s\n", "", "ids", "regions", "segments", "ns/seg",
	       "check us", "list us", "list KiB");
	for (size_t s = 0; s < ARRAY_SIZE(scenes); s++) {
		for (int aged = 0; aged < 2; aged++) {
			struct run run = {};
			double ours, theirs, check, none;
			uint64_t regions;

			set_up(&run, &scenes[s], aged);
			regions = (uint64_t)scenes[s].blocks * run.shape.nr_entries;
			bench_pair(walk, build_list, &run, &ours, &theirs);
			bench_pair(prepare, NULL, &run, &check, &none);
			printf("%-32s %5s %9llu %9llu %8.2f %8.1f | %9.1f %9.1f\n", scenes[s].name,
			       aged ? "aged" : "fresh", (unsigned long long)regions,
			       (unsigned long long)run.segments, ours * 1e9 / run.segments,
			       check * 1e6, theirs * 1e6,
			       (double)regions * sizeof(struct piece) / 1024);
			tear_down(&run);
		}
	}
	printf("a transfer keeps its ids, %zu bytes of shape, %zu of cursor, and no regions\n",
	       sizeof(struct kvx_shape), sizeof(struct kvx_cursor));
	return 0;
}
