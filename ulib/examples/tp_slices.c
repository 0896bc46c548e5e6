// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tensor parallel 4 to 8: each of 8 decode ranks takes its one KV head out of the two that a rank
 * of 4 prefill ranks has, by a piece of each region. In HND the head is one run of bytes; in NHD it
 * is a run for each token. Nothing is staged and nothing is transposed.
 *
 *	cc -o tp_slices tp_slices.c $(pkg-config --cflags --libs kvxfer)
 *	./tp_slices [BLOCKS]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kvxfer.h>

/* 8 KV heads of 128 in all, blocks of 16 tokens, 2 bytes for each element; 4 layers will do. */
#define PREFILL		4
#define DECODE		8
#define HEADS		8
#define HEAD_DIM	128
#define TOKENS		16
#define LAYERS		4
#define BLOCKS_MAX	256

struct offer {
	struct kvx_handle handle;
	uint32_t metadata_bytes;
};

static void die(const char *who)
{
	fprintf(stderr, "%s: %s\n", who, kvx_last_error()->text);
	exit(1);
}

/* An element of the whole model's cache: whoever has it, has this. */
static uint16_t element(uint32_t block, uint32_t lo, uint32_t token, uint32_t head, uint32_t d)
{
	const uint64_t x = ((((uint64_t)block * LAYERS * 2 + lo) * TOKENS + token) * HEADS + head) *
			   HEAD_DIM + d;

	return (x * 0x9e3779b97f4a7c15) >> 48;
}

/* A rank: an agent with a layout of @heads heads. */
static uint16_t *set_up(const char *name, bool nhd, uint32_t heads, uint32_t blocks,
			struct kvx_agent **agent, struct kvx_handle *handle)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;
	struct kvx_layout_base base = { NULL, 0 };
	void *addr;

	config.format = nhd ? KVX_FORMAT_NHD : KVX_FORMAT_HND;
	config.num_blocks = blocks;
	config.num_layers = LAYERS;
	config.page_size = TOKENS;
	config.inner_dim = heads * HEAD_DIM;
	if (kvx_open(agent, NULL) || kvx_set_name(*agent, name) ||
	    kvx_pool_create(*agent, &base.pool, (uint64_t)blocks * LAYERS * 2 * TOKENS * heads *
			    HEAD_DIM * 2, NULL) ||
	    kvx_pool_map(base.pool, &addr, 0, 0, KVX_POOL_WRITE) ||
	    kvx_layout_register(*agent, handle, &config, &base, 1))
		die(name);
	return addr;
}

/* Where an element of a rank's cache is: block and layer and outer, then as the format says. */
static uint64_t place(bool nhd, uint32_t heads, uint64_t region, uint32_t token, uint32_t head)
{
	const uint64_t at = nhd ? token * heads + head : head * TOKENS + token;

	return (region * TOKENS * heads + at) * HEAD_DIM;
}

static void prefill_ranks(int sock, bool nhd, uint32_t blocks)
{
	struct kvx_agent *agents[PREFILL];
	struct kvx_grant grant;
	struct offer offer;
	uint16_t *cache;
	size_t bytes;
	void *blob;
	char byte;

	for (uint32_t rank = 0; rank < PREFILL; rank++) {
		const uint32_t heads = HEADS / PREFILL;

		cache = set_up("prefill", nhd, heads, blocks, &agents[rank], &offer.handle);
		for (uint32_t r = 0; r < blocks * LAYERS * 2; r++)
			for (uint32_t t = 0; t < TOKENS; t++)
				for (uint32_t h = 0; h < heads; h++)
					for (uint32_t d = 0; d < HEAD_DIM; d++)
						cache[place(nhd, heads, r, t, h) + d] =
							element(r / (LAYERS * 2), r % (LAYERS * 2),
								t, rank * heads + h, d);
		if (kvx_grant(agents[rank], &grant, offer.handle, NULL) ||
		    kvx_export_metadata(agents[rank], &grant, 1, &blob, &bytes))
			die("prefill");
		offer.metadata_bytes = bytes;
		if (send(sock, &offer, sizeof(offer), MSG_NOSIGNAL) != sizeof(offer) ||
		    send(sock, blob, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			exit(1);
		free(blob);
	}
	/* The other end closes when all have what they want. */
	if (recv(sock, &byte, 1, 0) != 0)
		exit(1);
	for (uint32_t rank = 0; rank < PREFILL; rank++)
		kvx_close(agents[rank]);
}

static uint64_t decode_ranks(int sock, bool nhd, uint32_t blocks)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_handle handles[DECODE];
	struct kvx_agent *agents[DECODE];
	struct kvx_xfer *xfers[DECODE];
	uint16_t *caches[DECODE];
	struct offer offers[PREFILL];
	void *blobs[PREFILL];
	uint32_t ids[BLOCKS_MAX];
	uint64_t wrong = 0;

	for (int i = 0; i < PREFILL; i++) {
		if (recv(sock, &offers[i], sizeof(offers[i]), MSG_WAITALL) != sizeof(offers[i]))
			exit(1);
		blobs[i] = malloc(offers[i].metadata_bytes);
		if (recv(sock, blobs[i], offers[i].metadata_bytes, MSG_WAITALL) !=
		    (ssize_t)offers[i].metadata_bytes)
			exit(1);
	}
	for (uint32_t b = 0; b < blocks; b++)
		ids[b] = b;
	for (uint32_t rank = 0; rank < DECODE; rank++) {
		const uint32_t from = rank * PREFILL / DECODE, part = rank % (DECODE / PREFILL);
		const uint64_t head = HEAD_DIM * 2;

		caches[rank] = set_up("decode", nhd, 1, blocks, &agents[rank], &handles[rank]);
		if (kvx_import_metadata(agents[rank], blobs[from], offers[from].metadata_bytes,
					NULL))
			die("decode");
		opts.src_piece = nhd ?
			(struct kvx_piece){ part * head, head, HEADS / PREFILL * head, TOKENS } :
			(struct kvx_piece){ part * TOKENS * head, TOKENS * head, 0, 1 };
		if (kvx_transfer(agents[rank], &xfers[rank], offers[from].handle, ids, blocks,
				 handles[rank], ids, blocks, &opts))
			die("decode");
	}
	for (uint32_t rank = 0; rank < DECODE; rank++) {
		if (kvx_xfer_wait(xfers[rank], KVX_FOREVER, NULL))
			die("decode");
		for (uint32_t r = 0; r < blocks * LAYERS * 2; r++)
			for (uint32_t t = 0; t < TOKENS; t++)
				for (uint32_t d = 0; d < HEAD_DIM; d++)
					wrong += caches[rank][place(nhd, 1, r, t, 0) + d] !=
						 element(r / (LAYERS * 2), r % (LAYERS * 2), t,
							 rank, d);
		kvx_xfer_release(xfers[rank]);
		kvx_close(agents[rank]);
	}
	for (int i = 0; i < PREFILL; i++)
		free(blobs[i]);
	return wrong;
}

/* Both formats, in turn. */
static int one_format(bool nhd, uint32_t blocks)
{
	int socks[2], status;
	uint64_t wrong;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, socks))
		return 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		close(socks[0]);
		prefill_ranks(socks[1], nhd, blocks);
		exit(0);
	}
	close(socks[1]);
	wrong = decode_ranks(socks[0], nhd, blocks);
	close(socks[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	printf("%s: %d ranks to %d, %u blocks: %llu elements are wrong\n", nhd ? "NHD" : "HND",
	       PREFILL, DECODE, blocks, (unsigned long long)wrong);
	return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
	const unsigned long blocks = argc > 1 ? strtoul(argv[1], NULL, 10) : 16;

	if (!blocks || blocks > BLOCKS_MAX) {
		fprintf(stderr, "usage: %s [BLOCKS]   (1 to %d)\n", argv[0], BLOCKS_MAX);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	return one_format(false, blocks) | one_format(true, blocks);
}
