// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Prefill in one process, decode in another, of the same node or of two: the blocks of a prompt are
 * computed in the first and read by the second, which says when the first may use them again.
 *
 *	cc -o prefill_decode prefill_decode.c $(pkg-config --cflags --libs kvxfer)
 *	./prefill_decode [BLOCKS]
 *	./prefill_decode prefill PORT [BLOCKS]		on one node
 *	./prefill_decode decode HOST PORT [SECONDS]	on the other
 *
 * The two know of each other by a socket only. What goes over it is the metadata of prefill's
 * layout, some hundred bytes, and the numbers of the blocks; between nodes the blocks go by RDMA.
 * The layouts differ: prefill has one tensor for all, decode one for each layer, K and V apart.
 *
 * With SECONDS, decode then reads batches of pieces again and again for as long, by one transfer
 * that is prepared once, and says how fast that was.
 */
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kvxfer.h>

/* Llama-3-8B: 32 layers, 8 KV heads of 128, blocks of 16 tokens, 2 bytes for each element. */
#define LAYERS		32
#define TOKENS		16
#define INNER		(8 * 128)
#define REGION		(TOKENS * INNER * 2)
#define BLOCK		(LAYERS * 2 * REGION)
#define BLOCKS_MAX	512
/* In how many parts they are read. */
#define PARTS		8
/* What is measured: so many pieces at once, of 16 layers, K and V, of 5 blocks. */
#define BATCH_LAYERS	16
#define BATCH_BLOCKS	5
#define BATCH		(BATCH_BLOCKS * BATCH_LAYERS * 2)
#define PIECES		4

/* What prefill tells decode, beside the metadata. */
struct offer {
	struct kvx_handle handle;
	uint32_t nr;
	uint32_t ids[BLOCKS_MAX];
	uint32_t metadata_bytes;
};

static void die(const char *who)
{
	fprintf(stderr, "%s: %s\n", who, kvx_last_error()->text);
	exit(1);
}

static void tell(int sock, const void *data, size_t bytes)
{
	if (send(sock, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		exit(1);
}

static void hear(int sock, void *data, size_t bytes)
{
	if (recv(sock, data, bytes, MSG_WAITALL) != (ssize_t)bytes)
		exit(1);
}

/* Stands for what attention would compute for a block, layer, K or V. */
static uint64_t word(uint32_t token_block, uint32_t layer, uint32_t outer, uint64_t i)
{
	const uint64_t x = (((uint64_t)token_block * LAYERS + layer) * 2 + outer) * REGION + i + 1;

	return x * 0x9e3779b97f4a7c15;
}

static struct kvx_layout_config config_of(uint32_t kind, uint32_t blocks)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;

	config.kind = kind;
	config.num_blocks = blocks;
	config.num_layers = LAYERS;
	config.page_size = TOKENS;
	config.inner_dim = INNER;
	return config;
}

static void *make_pool(struct kvx_agent *agent, struct kvx_pool **pool, uint64_t bytes,
		       const char *who)
{
	void *addr;

	if (kvx_pool_create(agent, pool, bytes, NULL) ||
	    kvx_pool_map(*pool, &addr, 0, 0, KVX_POOL_WRITE))
		die(who);
	return addr;
}

static void be_prefill(int sock, uint32_t blocks)
{
	struct kvx_layout_config config = config_of(KVX_LAYOUT_CONTIGUOUS, 2 * blocks);
	struct kvx_layout_base base = { NULL, 0 };
	struct kvx_agent *agent;
	struct kvx_grant grant;
	struct offer offer = { .nr = blocks };
	struct kvx_note note;
	unsigned int events;
	uint64_t *words;
	char *cache;
	size_t bytes;
	void *blob;

	if (kvx_open(&agent, NULL) || kvx_set_name(agent, "prefill-0"))
		die("prefill");
	cache = make_pool(agent, &base.pool, 2ULL * blocks * BLOCK, "prefill");
	if (kvx_layout_register(agent, &offer.handle, &config, &base, 1) ||
	    kvx_grant(agent, &grant, offer.handle, NULL) ||
	    kvx_export_metadata(agent, &grant, 1, &blob, &bytes))
		die("prefill");

	/* The prompt's blocks are those that were free: here, every other one. */
	for (uint32_t b = 0; b < blocks; b++) {
		offer.ids[b] = 2 * b + 1;
		words = (void *)(cache + (uint64_t)offer.ids[b] * BLOCK);
		for (uint32_t lo = 0; lo < 2 * LAYERS; lo++)
			for (uint64_t i = 0; i < REGION / 8; i++)
				*words++ = word(b, lo / 2, lo % 2, i);
	}
	printf("prefill: %u blocks are computed; %zu bytes of metadata go to decode\n", blocks,
	       bytes);
	offer.metadata_bytes = bytes;
	tell(sock, &offer, sizeof(offer));
	tell(sock, blob, bytes);
	free(blob);

	/* No polling: the kernel says when decode has them. */
	if (kvx_wait_event(agent, KVX_FOREVER, &events) || kvx_note_recv(agent, &note))
		die("prefill");
	printf("prefill: agent %016" PRIx64 " says: %.*s\n", note.worker_id, (int)note.bytes,
	       (char *)note.data);
	/* It goes when decode does not want anything any more. */
	if (recv(sock, &bytes, 1, 0))
		exit(1);
	kvx_close(agent);
}

/* A bar that moves on a terminal, and nothing elsewhere. */
static void show_progress(uint32_t done, uint32_t all)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\rdecode: [%-32.*s] %u of %u blocks%s", (int)(done * 32 / all),
		"################################", done, all, done == all ? "\n" : "");
}

/* Batches of pieces, again and again: what one transfer of its kind takes. */
static void measure(struct kvx_agent *agent, const struct offer *offer, struct kvx_handle mine,
		    double seconds)
{
	static const uint32_t pieces[PIECES] = { 4096, 8192, 16384, REGION };
	const uint32_t ids[BATCH_BLOCKS] = { 0, 1, 2, 3, 4 };
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_xfer *xfer;

	printf("| batch | piece, bytes | trips | moved, MiB | seconds | ms/trip | MiB/s |\n");
	printf("|---|---|---|---|---|---|---|\n");
	opts.nr_layers = BATCH_LAYERS;
	opts.src_piece.count = 1;
	for (size_t p = 0; p < PIECES; p++) {
		uint64_t trips = 0, ns = 0;
		double moved;

		opts.src_piece.bytes = pieces[p];
		opts.dst_piece = opts.src_piece;
		if (kvx_xfer_prep(agent, &xfer, offer->handle, offer->ids, BATCH_BLOCKS, mine, ids,
				  BATCH_BLOCKS, &opts))
			die("decode");
		while (ns < seconds * 1e9) {
			if (kvx_xfer_post(xfer) || kvx_xfer_wait(xfer, KVX_FOREVER, &result))
				die("decode");
			ns += result.end_ns - result.post_ns;
			trips++;
		}
		moved = (double)trips * kvx_xfer_bytes(xfer) / (1 << 20);
		kvx_xfer_release(xfer);
		printf("| %d | %u | %" PRIu64 " | %.1f | %.2f | %.3f | %.1f |\n", BATCH, pieces[p],
		       trips, moved, ns / 1e9, ns / 1e6 / trips, moved / (ns / 1e9));
	}
}

static int be_decode(int sock, double seconds)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_peer_info info = KVX_PEER_INFO_INIT;
	struct kvx_layout_base bases[LAYERS];
	struct kvx_layout_config config;
	struct kvx_handle mine;
	struct kvx_agent *agent;
	struct kvx_peer *peer;
	struct kvx_xfer *xfer;
	struct offer offer;
	uint32_t ids[BLOCKS_MAX];
	uint64_t wrong = 0, bytes = 0, ns = 0;
	uint32_t rails = 0;
	char *cache, *blob;

	hear(sock, &offer, sizeof(offer));
	blob = malloc(offer.metadata_bytes);
	hear(sock, blob, offer.metadata_bytes);
	if (kvx_open(&agent, NULL) || kvx_set_name(agent, "decode-0"))
		die("decode");
	if (kvx_import_metadata(agent, blob, offer.metadata_bytes, &peer) ||
	    kvx_peer_info(peer, &info))
		die("decode");
	free(blob);
	config = config_of(KVX_LAYOUT_BLOCK_SECOND, offer.nr);
	cache = make_pool(agent, &bases[0].pool, (uint64_t)offer.nr * BLOCK, "decode");
	for (uint32_t l = 0; l < LAYERS; l++) {
		bases[l].pool = bases[0].pool;
		bases[l].offset = (uint64_t)l * 2 * offer.nr * REGION;
	}
	if (kvx_layout_register(agent, &mine, &config, bases, LAYERS))
		die("decode");

	/* In which order, is decode's own affair. */
	for (uint32_t b = 0; b < offer.nr; b++)
		ids[b] = offer.nr - 1 - b;
	opts.deadline_ns = 60000000000;
	for (uint32_t done = 0, nr; done < offer.nr; done += nr) {
		/* In parts, so that there is something to show. The last says that all are here. */
		nr = (offer.nr + PARTS - 1) / PARTS;
		nr = offer.nr - done < nr ? offer.nr - done : nr;
		if (done + nr == offer.nr) {
			opts.note = "the blocks are here: free them";
			opts.note_bytes = strlen(opts.note);
		}
		if (kvx_transfer(agent, &xfer, offer.handle, offer.ids + done, nr, mine,
				 ids + done, nr, &opts) ||
		    kvx_xfer_wait(xfer, KVX_FOREVER, &result))
			die("decode");
		kvx_xfer_release(xfer);
		bytes += result.bytes;
		ns += result.end_ns - result.post_ns;
		rails |= result.rails;
		show_progress(done + nr, offer.nr);
	}
	printf("decode: %" PRIu64 " bytes from %s, %u regions of %d KiB, ", bytes, info.name,
	       offer.nr * 2 * LAYERS, REGION >> 10);
	printf("in %.1f ms (%.0f MB/s), by ", ns / 1e6, bytes * 1e3 / ns);
	if (result.path == KVX_PATH_LOCAL)
		printf("a local copy\n");
	else
		printf("RDMA, rails in use: %d\n", __builtin_popcount(rails));

	for (uint32_t b = 0; b < offer.nr; b++) {
		for (uint32_t lo = 0; lo < 2 * LAYERS; lo++) {
			const uint64_t *words = (void *)(cache + bases[lo / 2].offset +
				((uint64_t)(lo % 2) * offer.nr + ids[b]) * REGION);

			for (uint64_t i = 0; i < REGION / 8; i++)
				wrong += words[i] != word(b, lo / 2, lo % 2, i);
		}
	}
	printf("decode: every word was looked at, %" PRIu64 " are wrong\n", wrong);
	if (seconds > 0 && offer.nr >= BATCH_BLOCKS)
		measure(agent, &offer, mine, seconds);
	kvx_peer_free(peer);
	kvx_close(agent);
	close(sock);
	return wrong ? 1 : 0;
}

/* A connection with the other node: as the one who is called, or who calls until it is answered. */
static int meet(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *info;
	int sock, one = 1;

	if (!host)
		hints.ai_flags = AI_PASSIVE;
	if (getaddrinfo(host, port, &hints, &info)) {
		fprintf(stderr, "%s: no such host or port\n", host ? host : port);
		exit(2);
	}
	for (;;) {
		sock = socket(info->ai_family, SOCK_STREAM, 0);
		setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (host && !connect(sock, info->ai_addr, info->ai_addrlen))
			break;
		if (!host && !bind(sock, info->ai_addr, info->ai_addrlen) && !listen(sock, 1)) {
			int other = accept(sock, NULL, NULL);

			close(sock);
			sock = other;
			break;
		}
		close(sock);
		/* It may still be on its way up. */
		poll(NULL, 0, 100);
	}
	freeaddrinfo(info);
	return sock;
}

static int explain(const char *name)
{
	fprintf(stderr,
		"usage: %s [BLOCKS]   (1 to %d, of 2 MiB each)\n"
		"       %s prefill PORT [BLOCKS]\n"
		"       %s decode HOST PORT [SECONDS]\n", name, BLOCKS_MAX, name, name);
	return 2;
}

int main(int argc, char **argv)
{
	const int is_prefill = argc > 2 && !strcmp(argv[1], "prefill");
	const int is_decode = argc > 3 && !strcmp(argv[1], "decode");
	const int at = is_prefill ? 3 : 1;
	const unsigned long blocks = argc > at && !is_decode ? strtoul(argv[at], NULL, 10) : 24;
	int socks[2], status, err;
	pid_t pid;

	if (!blocks || blocks > BLOCKS_MAX)
		return explain(argv[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (is_prefill) {
		be_prefill(meet(NULL, argv[2]), blocks);
		return 0;
	}
	if (is_decode)
		return be_decode(meet(argv[2], argv[3]), argc > 4 ? strtod(argv[4], NULL) : 0);
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
	err = be_decode(socks[0], 0);
	if (waitpid(pid, &status, 0) != pid || status)
		err = 1;
	return err;
}
