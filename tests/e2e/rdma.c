// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks from node to node: layouts are exported on one and imported on the other, and read and
 * written by RDMA.
 * Nodes: 2
 */
#define _GNU_SOURCE
#include "two.h"

#define BLOCKS	16

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static char blob[65536];

/* Let the other node have a side, with all rights. */
static void offer(struct side *side)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant grant;
	size_t bytes;
	void *data;

	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	OK(kvx_grant(side->agent, &grant, side->handle, &opts));
	OK(kvx_export_metadata(side->agent, &grant, 1, &data, &bytes));
	tell(data, bytes);
	free(data);
}

/* Have what the other node offers. */
static struct kvx_handle take(struct kvx_agent *agent)
{
	struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
	size_t bytes = hear(blob, sizeof(blob));
	struct kvx_peer *peer;

	OK(kvx_import_metadata(agent, blob, bytes, &peer));
	OK(kvx_peer_layout(peer, 0, &layout));
	kvx_peer_free(peer);
	return layout.handle;
}

static void go(struct kvx_agent *agent, struct kvx_handle src, const uint32_t *src_ids,
	       struct kvx_handle dst, const uint32_t *dst_ids, size_t nr)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_xfer_exec(agent, src, src_ids, nr, dst, dst_ids, nr, NULL, &result));
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
}

static void read_and_write(enum memory memory, const struct kvx_layout_config *config)
{
	struct kvx_agent *agent = open_agent();
	struct side mine = make_side(agent, memory, *config);
	struct side shadow = make_side(agent, KERNEL, *config);
	struct kvx_handle theirs;
	unsigned char *want;

	fill(&mine, node(), 0xa0 + node());
	/* What the other node has, as it has it before anything is moved. */
	fill(&shadow, 3 - node(), 0xa0 + 3 - node());
	if (node() == 2) {
		offer(&mine);
		meet();
		want = snapshot(&mine);
		expect(want, &shadow, &mine, ids + 12, ids + 1, 3, 0, 2);
		check_memory(&mine, want);
	} else {
		theirs = take(agent);
		want = snapshot(&mine);
		expect(want, &shadow, &mine, ids, ids + 4, 4, 0, 2);
		go(agent, theirs, ids, mine.handle, ids + 4, 4);
		check_memory(&mine, want);
		go(agent, mine.handle, ids + 12, theirs, ids + 1, 3);
		meet();
	}
	meet();
	drop_side(&mine);
	drop_side(&shadow);
	kvx_close(agent);
}

TEST(blocks_are_read_and_written)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		rdma_up(type);
		for (int memory = 0; memory < MEMORIES; memory++)
			read_and_write(memory, &config);
		rdma_down();
	}
}

