// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Layer by layer: prefill writes each layer of a prompt into decode's blocks as soon as it is
 * computed, and goes on with the next. A note follows each layer, so that decode knows what it has.
 *
 *	cc -o layer_stream layer_stream.c $(pkg-config --cflags --libs kvxfer)
 *	./layer_stream [BLOCKS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kvxfer.h>

/* Qwen3-8B, for one of 8 ranks: 36 layers, 1 KV head of 128, blocks of 16 tokens. */
#define LAYERS		36
#define TOKENS		16
#define INNER		128
#define REGION		(TOKENS * INNER * 2)
#define BLOCKS_MAX	4096

struct invitation {
	struct kvx_handle handle;
	uint32_t metadata_bytes;
};

static void die(const char *who)
{
	fprintf(stderr, "%s: %s\n", who, kvx_last_error()->text);
	exit(1);
}

static uint64_t word(uint32_t block, uint32_t layer, uint32_t outer, uint64_t i)
{
	return (((uint64_t)layer * BLOCKS_MAX + block) * 2 + outer + 1) * 0x9e3779b97f4a7c15 + i;
}

/* An agent with a layout of its own; where layer, outer and block are is layers first. */
static uint64_t *set_up(const char *name, uint32_t blocks, struct kvx_agent **agent,
			struct kvx_handle *handle)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;
	struct kvx_layout_base bases[LAYERS];
	struct kvx_pool *pool;
	void *addr;

	config.kind = KVX_LAYOUT_BLOCK_SECOND;
	config.num_blocks = blocks;
	config.num_layers = LAYERS;
	config.page_size = TOKENS;
	config.inner_dim = INNER;
	if (kvx_open(agent, NULL) || kvx_set_name(*agent, name) ||
	    kvx_pool_create(*agent, &pool, (uint64_t)LAYERS * 2 * blocks * REGION, NULL) ||
	    kvx_pool_map(pool, &addr, 0, 0, KVX_POOL_WRITE))
		die(name);
	for (uint32_t l = 0; l < LAYERS; l++) {
		bases[l].pool = pool;
		bases[l].offset = (uint64_t)l * 2 * blocks * REGION;
	}
	if (kvx_layout_register(*agent, handle, &config, bases, LAYERS))
		die(name);
	return addr;
}

static uint64_t *region(uint64_t *cache, uint32_t blocks, uint32_t layer, uint32_t outer,
			uint32_t block)
{
	return cache + (((uint64_t)layer * 2 + outer) * blocks + block) * (REGION / 8);
}

static void be_prefill(int sock, uint32_t blocks)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_xfer *xfers[LAYERS];
	struct invitation invitation;
	struct kvx_agent *agent;
	struct kvx_handle mine;
	uint32_t ids[BLOCKS_MAX];
	uint64_t *cache, *words;
	void *blob;

	cache = set_up("prefill", blocks, &agent, &mine);
	if (recv(sock, &invitation, sizeof(invitation), MSG_WAITALL) != sizeof(invitation))
		exit(1);
	blob = malloc(invitation.metadata_bytes);
	if (recv(sock, blob, invitation.metadata_bytes, MSG_WAITALL) !=
	    (ssize_t)invitation.metadata_bytes)
		exit(1);
	if (kvx_import_metadata(agent, blob, invitation.metadata_bytes, NULL))
		die("prefill");
	free(blob);
	for (uint32_t b = 0; b < blocks; b++)
		ids[b] = b;
	opts.nr_layers = 1;
	opts.note_bytes = sizeof(uint32_t);
	for (uint32_t l = 0; l < LAYERS; l++) {
		for (uint32_t b = 0; b < blocks * 2; b++) {
			words = region(cache, blocks, l, b % 2, b / 2);
			for (uint64_t i = 0; i < REGION / 8; i++)
				words[i] = word(b / 2, l, b % 2, i);
		}
		/* This layer goes while the next is computed. */
		opts.src_layer = l;
		opts.dst_layer = l;
		opts.note = &l;
		if (kvx_transfer(agent, &xfers[l], mine, ids, blocks, invitation.handle, ids,
				 blocks, &opts))
			die("prefill");
	}
	if (kvx_wait_all(xfers, LAYERS, KVX_FOREVER))
		die("prefill");
	for (uint32_t l = 0; l < LAYERS; l++) {
		if (kvx_xfer_check(xfers[l]) != KVX_XFER_DONE)
			exit(1);
		kvx_xfer_release(xfers[l]);
	}
	printf("prefill: %d layers of %u blocks were sent as they came\n", LAYERS, blocks);
	kvx_close(agent);
}

static int be_decode(int sock, uint32_t blocks)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct invitation invitation;
	struct kvx_agent *agent;
	struct kvx_grant grant;
	struct kvx_note note;
	uint64_t *cache, wrong = 0;
	unsigned int events;
	uint32_t layer;
	size_t bytes;
	void *blob;

	cache = set_up("decode", blocks, &agent, &invitation.handle);
	opts.rights = KVX_GRANT_WRITE;
	if (kvx_grant(agent, &grant, invitation.handle, &opts) ||
	    kvx_export_metadata(agent, &grant, 1, &blob, &bytes))
		die("decode");
	invitation.metadata_bytes = bytes;
	if (send(sock, &invitation, sizeof(invitation), MSG_NOSIGNAL) != sizeof(invitation) ||
	    send(sock, blob, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		return 1;
	free(blob);
	for (int n = 0; n < LAYERS; n++) {
		while (kvx_note_recv(agent, &note))
			if (kvx_wait_event(agent, KVX_FOREVER, &events))
				die("decode");
		memcpy(&layer, note.data, sizeof(layer));
		/* When the note is here, the layer is: now, whole. */
		for (uint32_t b = 0; b < blocks * 2; b++) {
			const uint64_t *words = region(cache, blocks, layer, b % 2, b / 2);

			for (uint64_t i = 0; i < REGION / 8; i++)
				wrong += words[i] != word(b / 2, layer, b % 2, i);
		}
	}
	printf("decode: %d layers have come, each with its note; %llu words are wrong\n", LAYERS,
	       (unsigned long long)wrong);
	/* Nobody may write here any more. */
	if (kvx_revoke(agent, &grant))
		die("decode");
	kvx_close(agent);
	return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
	const unsigned long blocks = argc > 1 ? strtoul(argv[1], NULL, 10) : 128;
	int socks[2], status, err;
	pid_t pid;

	if (!blocks || blocks > BLOCKS_MAX) {
		fprintf(stderr, "usage: %s [BLOCKS]   (1 to %d)\n", argv[0], BLOCKS_MAX);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, socks))
		return 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		close(socks[0]);
		be_prefill(socks[1], blocks);
		return 0;
	}
	close(socks[1]);
	err = be_decode(socks[0], blocks);
	if (waitpid(pid, &status, 0) != pid || status)
		err = 1;
	return err;
}
