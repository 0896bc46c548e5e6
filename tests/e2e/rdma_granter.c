// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who grants may lie. A program on node 2 says to have a layout, which node 1 imports, and what it
 * says of it is wrong in one way each time: node 1 has to refuse it by name, not a byte of its
 * memory may change, and in the end it has to have the layout of the same program, when that says
 * what is true. By soft-RoCE only, as rdma_hostile.c.
 * Nodes: 2
 * Time: 200
 * Labs: uml uml-smp uml-debug debian-6.1 debian-6.12
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 180
#include "granter.h"

/*
 * --- who imports --------------------------------------------------------------------------------
 */

static struct side mine;

/* What is gone through by both nodes. */
static const struct lie *lies;
static size_t nr_lies;

static const struct kvx_handle theirs = { WORKER, (uint64_t)EPOCH << 16 | LAYOUT };

/* These are read; then two of what was read is written. */
static const uint32_t read_theirs[] = { LOW, LOW + 1, LOW + 5, LOW + 7, LOW + 15 };
static const uint32_t read_mine[] = { 3, 4, 9, 8, 31 };
static const uint32_t write_mine[] = { 3, 9 };
static const uint32_t write_theirs[] = { LOW + 8, LOW + 9 };
static const int written_to[] = { 8, 9 }, written_from[] = { 0, 5 };

static void clear(void)
{
	memset(mine.mem, 0x77, mine.bytes);
}

static void check_clear(const char *what)
{
	for (uint64_t i = 0; i < mine.bytes; i++)
		if (mine.mem[i] != 0x77)
			FAIL("%s: byte %llu is written", what, (unsigned long long)i);
}

static void import_it(const char *what, bool silent, int err, uint32_t reason)
{
	struct kvxfer_import one = { .layout = LAYOUT, .key = { 0, 0, 0, 0x42 } };
	struct kvxfer_layout_import import = {
		.hdr.size = sizeof(import), .boot_id = NAME, .worker_id = WORKER, .epoch = EPOCH,
		.imports = (uintptr_t)&one, .nr_imports = 1,
		.timeout_ns = silent ? 300000000 : 0,
	};
	int got;

	got = ioctl(kvx_fd(victim.agent), KVXFER_IOC_LAYOUT_IMPORT, &import) ? errno : 0;
	if (got != err || import.hdr.reason != reason)
		FAIL("%s: errno %d, reason %u, index %u, not errno %d, reason %u", what, got,
		     import.hdr.reason, import.hdr.index, err, reason);
}

/* What is to be read of a block of theirs, as it is in a layout of mine. */
static void expect_block(unsigned char *want, uint32_t from, uint32_t to)
{
	for (int e = 0; e < 4; e++)
		fill_region(want + (region(&mine, to, e / 2, e % 2) - mine.mem), REGION, 20,
			    from - LOW, e / 2, e % 2);
}

static void transfer_both_ways(const char *what)
{
	const size_t nr = ARRAY_SIZE(read_mine);
	struct kvx_result result = KVX_RESULT_INIT;
	unsigned char *want;

	clear();
	want = snapshot(&mine);
	for (size_t i = 0; i < nr; i++)
		expect_block(want, read_theirs[i], read_mine[i]);
	if (kvx_xfer_exec(victim.agent, theirs, read_theirs, nr, mine.handle, read_mine, nr, NULL,
			  &result))
		FAIL("%s: %s", what, kvx_last_error()->text);
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	if (memcmp(mine.mem, want, mine.bytes))
		FAIL("%s: something else was read", what);
	if (kvx_xfer_exec(victim.agent, mine.handle, write_mine, ARRAY_SIZE(write_mine), theirs,
			  write_theirs, ARRAY_SIZE(write_theirs), NULL, &result))
		FAIL("%s: %s", what, kvx_last_error()->text);
	CHECK_EQ(result.state, KVX_XFER_DONE);
	check_memory(&mine, want);
}

static void open_mine(void)
{
	mine = make_side(victim.agent, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 32));
	await("there");
}

/* Both go through the lies in step: each is followed by the truth. */
static void say_lies(void)
{
	foe_name = NAME;
	get_ready();
	come();
	mark("there");
	for (size_t i = 0; i < nr_lies; i++) {
		answer(&lies[i]);
		if (lies[i].err)
			answer(NULL);
		let_go(lies[i].what, written_to, written_from, ARRAY_SIZE(written_to));
	}
}

static void hear_lies(void)
{
	open_mine();
	for (size_t i = 0; i < nr_lies; i++) {
		clear();
		import_it(lies[i].what, lies[i].silent, lies[i].err, lies[i].reason);
		check_clear(lies[i].what);
		if (lies[i].err)
			import_it(lies[i].what, false, 0, 0);
		transfer_both_ways(lies[i].what);
		OK(kvx_forget(victim.agent, WORKER));
	}
	drop_side(&mine);
}

static void lie_about(const struct lie *what, size_t nr)
{
	lies = what;
	nr_lies = nr;
	under_attack(say_lies, hear_lies);
}

/*
 * --- what it is like ----------------------------------------------------------------------------
 */

TEST(who_lies_about_what_it_is_like_is_refused)
{
	static const struct lie of_it[] = {
		{ "the truth" },
		{ "an id that nobody has asked for", { F(ATTACHED, attached.id, 77777) },
		  .at = ATTACHED, .extra = ATTACHED },
		{ "twice", .at = RANGES, .extra = ATTACHED, .cut = true },
		{ "twice, at the end", .at = KEYS, .extra = ATTACHED, .cut = true },
		{ "an error after it", { F(ATTACHED, attached.error, ESTALE) }, .at = RANGES,
		  .extra = ATTACHED, .cut = true },
		{ "an error", { F(ATTACHED, attached.error, EACCES),
				F(ATTACHED, attached.reason, KVXFER_REASON_GRANT_KEY) },
		  .at = ATTACHED, .err = EACCES, .reason = KVXFER_REASON_GRANT_KEY },
		{ "an error without a reason", { F(ATTACHED, attached.error, EMLINK) },
		  .at = ATTACHED, .err = EMLINK },
		{ "an error that is none of a program's", { F(ATTACHED, attached.error, 512) },
		  .at = ATTACHED, .err = EREMOTEIO },
		{ "the last error", { F(ATTACHED, attached.error, 4095) }, .at = ATTACHED,
		  .err = EREMOTEIO },
		{ "an error that is none", { F(ATTACHED, attached.error, 4096) }, NONE(ATTACHED) },
		{ "an error below 0", { F(ATTACHED, attached.error, -EACCES) }, NONE(ATTACHED) },
		{ "nothing", .at = ATTACHED, .silent = true, .err = EHOSTUNREACH,
		  .reason = KVXFER_REASON_PEER_REMOTE },
		{ "no rights", { F(ATTACHED, attached.rights, 0) }, NONE(ATTACHED) },
		{ "other rights", { F(ATTACHED, attached.rights, 7) }, NONE(ATTACHED) },
		{ "no blocks", { F(ATTACHED, attached.num_blocks, 0) }, NONE(ATTACHED) },
		{ "no blocks granted", { F(ATTACHED, attached.end, LOW) }, NONE(ATTACHED) },
		{ "an end before the first", { F(ATTACHED, attached.first, -1) }, NONE(ATTACHED) },
		{ "an end beyond all", { F(ATTACHED, attached.end, ALL_BLOCKS + 1) },
		  NONE(ATTACHED) },
		{ "no layers", { F(ATTACHED, attached.num_layers, 0) }, FALSE(ATTACHED) },
		{ "too many layers", { F(ATTACHED, attached.num_layers, 2049) }, FALSE(ATTACHED) },
		{ "layers that wrap around", { F(ATTACHED, attached.num_layers, 0x80000001) },
		  FALSE(ATTACHED) },
		{ "as many layers as there can be", { F(ATTACHED, attached.num_layers, 2048) },
		  .at = KEYS, .silent = true, .err = EHOSTUNREACH,
		  .reason = KVXFER_REASON_PEER_REMOTE },
		{ "no outer", { F(ATTACHED, attached.outer_dim, 0) }, FALSE(ATTACHED) },
		{ "too many outer", { F(ATTACHED, attached.outer_dim, 9) }, FALSE(ATTACHED) },
		{ "no tokens", { F(ATTACHED, attached.page_size, 0) }, FALSE(ATTACHED) },
		{ "no elements", { F(ATTACHED, attached.inner_dim, 0) }, FALSE(ATTACHED) },
		{ "no width", { F(ATTACHED, attached.dtype_width, 0) }, FALSE(ATTACHED) },
		{ "too wide", { F(ATTACHED, attached.dtype_width, 9) }, FALSE(ATTACHED) },
		{ "no alignment", { F(ATTACHED, attached.alignment, 0) }, FALSE(ATTACHED) },
		{ "no format", { F(ATTACHED, attached.format, 0) }, NONE(ATTACHED) },
		{ "an unknown format", { F(ATTACHED, attached.format, 99) }, FALSE(ATTACHED) },
		/* From here on nobody asks of what kind it was. */
		{ "an unknown kind", { F(ATTACHED, attached.kind, 99) }, .at = ATTACHED },
		{ "regions longer than any number", { F(ATTACHED, attached.page_size, -1),
						      F(ATTACHED, attached.inner_dim, -1),
						      F(ATTACHED, attached.dtype_width, 8) },
		  FALSE(ATTACHED) },
		{ "a whole longer than any number", { F(ATTACHED, attached.page_size, 1U << 31),
						      F(ATTACHED, attached.inner_dim, 1 << 28),
						      F(ATTACHED, attached.block_stride, -1) },
		  FALSE(ATTACHED) },
		{ "regions over each other", { F(ATTACHED, attached.block_stride, REGION - 1) },
		  FALSE(ATTACHED) },
		{ "no ranges", { F(ATTACHED, attached.nr_ranges, 0) }, NONE(ATTACHED) },
		{ "too many ranges", { F(ATTACHED, attached.nr_ranges, KVX_RANGES_MAX + 1) },
		  NONE(ATTACHED) },
		{ "more ranges than bases", { F(ATTACHED, attached.nr_ranges, 5) },
		  FALSE(ATTACHED) },
		{ "as many ranges as there can be",
		  { F(ATTACHED, attached.nr_ranges, KVX_RANGES_MAX) }, FALSE(ATTACHED) },
		{ "a time that never ends", { F(ATTACHED, attached.expires_ns, -1) },
		  .at = ATTACHED },
	};

	lie_about(of_it, ARRAY_SIZE(of_it));
}

/*
 * --- where it is --------------------------------------------------------------------------------
 */

TEST(who_lies_about_where_it_is_is_refused)
{
	static const struct lie of_it[] = {
		{ "no such table", { F(RANGES, table.table, 0) }, NONE(RANGES) },
		{ "another table", { F(RANGES, table.table, 3) }, NONE(RANGES) },
		{ "no words", { F(RANGES, table.nr, 0), F(RANGES, head.bytes, TABLE_BYTES(0)) },
		  NONE(RANGES) },
		{ "more words than are said", { F(RANGES, table.nr, 1) }, NONE(RANGES) },
		{ "fewer words than are said", { F(BASES, table.nr, 5) }, NONE(BASES) },
		{ "words that wrap around", { F(BASES, table.nr, 0x80000004) }, NONE(BASES) },
		{ "a place beyond all tables", { F(BASES, table.first, -1) }, NONE(BASES) },
		{ "a layout that is not there", { F(RANGES, table.id, 77777) }, .at = BASES,
		  .extra = RANGES },
		{ "the second part first", { F(RANGES, table.first, 1) }, FALSE(RANGES) },
		{ "a part of the ranges", { F(RANGES, table.nr, 1),
					    F(RANGES, head.bytes, TABLE_BYTES(2)) },
		  .at = KEYS, .silent = true, .err = EHOSTUNREACH,
		  .reason = KVXFER_REASON_PEER_REMOTE },
		{ "a part of the bases", { F(BASES, table.nr, 3),
					   F(BASES, head.bytes, TABLE_BYTES(3)) },
		  .at = KEYS, .silent = true, .err = EHOSTUNREACH,
		  .reason = KVXFER_REASON_PEER_REMOTE },
		{ "no bases", .at = BASES, .silent = true, .err = EHOSTUNREACH,
		  .reason = KVXFER_REASON_PEER_REMOTE },
		{ "more ranges than it has", { F(ATTACHED, attached.nr_ranges, 1) },
		  FALSE(RANGES) },
		{ "more bases than it has", { F(ATTACHED, attached.num_layers, 1) },
		  FALSE(BASES) },
		{ "more ranges, in another frame", .at = BASES, .extra = RANGES, .cut = true,
		  .err = EPROTO },
		{ "one more range", { F(RANGES, table.first, 2), F(RANGES, table.nr, 1),
				      F(RANGES, head.bytes, TABLE_BYTES(2)) },
		  .at = BASES, .extra = RANGES, .cut = true, .err = EPROTO },
		{ "all bases again", { F(BASES, table.first, 4) }, .at = KEYS, .extra = BASES,
		  .cut = true },
		{ "all ranges again", .at = KEYS, .extra = RANGES, .cut = true },
		{ "a range of 0 bytes", { F(RANGES, table.words[0], 0) }, FALSE(BASES) },
		{ "a range of most bytes", { F(RANGES, table.words[0], -1) }, FALSE(BASES) },
		{ "a range longer than any pool",
		  { F(RANGES, table.words[2], KVX_PLACE_MASK + 1) }, FALSE(BASES) },
		{ "a range too short", { F(RANGES, table.words[2], RANGE - 1) }, FALSE(BASES) },
		{ "a range that is one region", { F(RANGES, table.words[0], REGION) },
		  FALSE(BASES) },
		{ "a start beyond the longest span",
		  { F(RANGES, table.words[1], 1U << KVX_SPAN_SHIFT_MAX) }, FALSE(BASES) },
		{ "the last start", { F(RANGES, table.words[3], -1) }, FALSE(BASES) },
		{ "a base in no range", { F(BASES, table.words[3], AT(2, 0)) },
		  FALSE(BASES) },
		{ "a base in the last range", { F(BASES, table.words[0], AT(0xfffff, 0)) },
		  FALSE(BASES) },
		{ "a base 1 byte too far", { F(BASES, table.words[1], REGION + 1) },
		  FALSE(BASES) },
		{ "a base beyond its range", { F(BASES, table.words[0], RANGE) }, FALSE(BASES) },
		{ "a base at the end of places", { F(BASES, table.words[0], KVX_PLACE_MASK) },
		  FALSE(BASES) },
		{ "a base before its range",
		  { F(BASES, table.words[2], AT(1, 0) - REGION) }, FALSE(BASES) },
		{ "the last base", { F(BASES, table.words[3], -1) }, FALSE(BASES) },
		{ "a base that wraps around", { F(BASES, table.words[0], -RANGE) }, FALSE(BASES) },
		{ "blocks 1 byte too far apart",
		  { F(ATTACHED, attached.block_stride, 2 * REGION + 1) }, FALSE(BASES) },
		{ "blocks that wrap around",
		  { F(ATTACHED, attached.block_stride, (1ULL << 60) + REGION) }, FALSE(BASES) },
		{ "blocks that wrap around twice",
		  { F(ATTACHED, attached.block_stride, 1ULL << 63) }, FALSE(BASES) },
		{ "blocks farthest apart", { F(ATTACHED, attached.block_stride, -1) },
		  FALSE(BASES) },
		{ "one block more", { F(ATTACHED, attached.end, LOW + NR + 1) }, FALSE(BASES) },
		{ "the most blocks",
		  { F(ATTACHED, attached.first, 0), F(ATTACHED, attached.end, -1),
		    F(ATTACHED, attached.num_blocks, -1) }, FALSE(BASES) },
		{ "regions longer than all ranges",
		  { F(ATTACHED, attached.page_size, 1U << 31),
		    F(ATTACHED, attached.inner_dim, 1 << 20),
		    F(ATTACHED, attached.block_stride, 1ULL << 56) }, FALSE(BASES) },
	};

	lie_about(of_it, ARRAY_SIZE(of_it));
}

/*
 * --- keys ---------------------------------------------------------------------------------------
 */

TEST(who_lies_about_keys_is_refused)
{
	static const struct lie of_it[] = {
		{ "before anybody can ask", .at = ATTACHED, .extra = KEYS, .cut = true },
		{ "before anybody asks", .at = BASES, .extra = KEYS, .cut = true },
		{ "of a layout that is not there", { F(KEYS, keys.id, 77777) }, .at = KEYS,
		  .extra = KEYS },
		{ "of another device", { F(KEYS, keys.device, 7) }, .at = KEYS, .cut = true },
		{ "no shift", { F(KEYS, keys.shift, 0) }, NONE(KEYS) },
		{ "a short shift", { F(KEYS, keys.shift, KVX_SPAN_SHIFT_MIN - 1) }, NONE(KEYS) },
		{ "a long shift", { F(KEYS, keys.shift, KVX_SPAN_SHIFT_MAX + 1) }, NONE(KEYS) },
		{ "a shift by all bits", { F(KEYS, keys.shift, 64) }, NONE(KEYS) },
		{ "a shift by more", { F(KEYS, keys.shift, 255) }, NONE(KEYS) },
		{ "none in all", { F(KEYS, keys.total, 0) }, NONE(KEYS) },
		{ "too many in all", { F(KEYS, keys.total, KVX_KEYS_MAX + 1) }, NONE(KEYS) },
		{ "none", { F(KEYS, keys.nr, 0), F(KEYS, head.bytes, KEYS_BYTES(0)) }, NONE(KEYS) },
		{ "more than in all", { F(KEYS, keys.total, 3) }, NONE(KEYS) },
		{ "beyond all", { F(MORE_KEYS, keys.first, 5) }, NONE(MORE_KEYS) },
		{ "beyond all numbers", { F(MORE_KEYS, keys.first, -1) }, NONE(MORE_KEYS) },
		{ "fewer than are said", { F(KEYS, keys.nr, 5) }, NONE(KEYS) },
		{ "more than are said", { F(KEYS, keys.nr, 3) }, NONE(KEYS) },
		{ "a word that is not 0", { F(KEYS, keys.zero, 1) }, NONE(KEYS) },
		{ "an error with keys", { F(KEYS, keys.error, EIO) }, NONE(KEYS) },
		{ "an error that is none", { F(KEYS, keys.error, 4096), F(KEYS, keys.nr, 0),
					     F(KEYS, head.bytes, KEYS_BYTES(0)) }, NONE(KEYS) },
		{ "an error below 0", { F(KEYS, keys.error, -EIO), F(KEYS, keys.nr, 0),
					F(KEYS, head.bytes, KEYS_BYTES(0)) }, NONE(KEYS) },
		{ "an error that is none of a program's",
		  { F(KEYS, keys.error, 512), F(KEYS, keys.nr, 0),
		    F(KEYS, head.bytes, KEYS_BYTES(0)) }, .at = KEYS, .err = EREMOTEIO },
		{ "an error", { F(KEYS, keys.error, EACCES), F(KEYS, keys.nr, 0),
				F(KEYS, head.bytes, KEYS_BYTES(0)) }, .at = KEYS, .err = EACCES },
		{ "no memory", { F(KEYS, keys.error, ENOMEM), F(KEYS, keys.nr, 0),
				 F(KEYS, head.bytes, KEYS_BYTES(0)) }, .at = KEYS, .err = ENOMEM },
		{ "others, if they are asked for", { F(KEYS, keys.error, EAGAIN),
						     F(KEYS, keys.nr, 0),
						     F(KEYS, head.bytes, KEYS_BYTES(0)) },
		  .at = KEYS, .anew = true },
		{ "the same, in the midst", { F(MORE_KEYS, keys.error, EAGAIN),
					      F(MORE_KEYS, keys.nr, 0),
					      F(MORE_KEYS, head.bytes, KEYS_BYTES(0)) },
		  .at = MORE_KEYS, .anew = true },
		{ "a part", .at = MORE_KEYS, .silent = true, .err = EHOSTUNREACH,
		  .reason = KVXFER_REASON_PEER_REMOTE },
		{ "one too few in all", { F(KEYS, keys.total, KEYS_NR - 1) }, BAD_KEYS(KEYS) },
		{ "one too many in all", { F(KEYS, keys.total, KEYS_NR + 1) }, BAD_KEYS(KEYS) },
		{ "the most in all", { F(KEYS, keys.total, KVX_KEYS_MAX) }, BAD_KEYS(KEYS) },
		{ "longer spans", { F(KEYS, keys.shift, SHIFT + 1) }, BAD_KEYS(KEYS) },
		{ "the longest spans", { F(KEYS, keys.shift, KVX_SPAN_SHIFT_MAX) },
		  BAD_KEYS(KEYS) },
		{ "the second part first", { F(KEYS, keys.first, 1) }, BAD_KEYS(KEYS) },
		{ "more in all, then", { F(MORE_KEYS, keys.total, KEYS_NR + 1) },
		  BAD_KEYS(MORE_KEYS) },
		{ "longer spans, then", { F(MORE_KEYS, keys.shift, SHIFT + 1) },
		  BAD_KEYS(MORE_KEYS) },
		{ "some again", { F(MORE_KEYS, keys.first, KEYS_FIRST - 1) },
		  BAD_KEYS(MORE_KEYS) },
		{ "a layout that is revoked and not there", { F(REVOKED, id.id, 77777) },
		  .at = KEYS, .extra = REVOKED },
		{ "revoked before all", .at = ATTACHED, .extra = REVOKED, .err = ESTALE,
		  .reason = KVXFER_REASON_HANDLE_STALE },
		{ "revoked before the ranges", .at = RANGES, .extra = REVOKED, .err = ESTALE,
		  .reason = KVXFER_REASON_HANDLE_STALE },
		{ "revoked before the bases", .at = BASES, .extra = REVOKED, .err = ESTALE,
		  .reason = KVXFER_REASON_HANDLE_STALE },
		{ "revoked before the keys", .at = KEYS, .extra = REVOKED, .err = ESTALE,
		  .reason = KVXFER_REASON_HANDLE_STALE },
		{ "revoked in the midst of keys", .at = MORE_KEYS, .extra = REVOKED, .err = ESTALE,
		  .reason = KVXFER_REASON_HANDLE_STALE },
	};

	lie_about(of_it, ARRAY_SIZE(of_it));
}

/*
 * --- transfers ----------------------------------------------------------------------------------
 */

/* It can be had, but not be used for all that it is said to be; or not at all. */
static const struct lie limits[] = {
	{ "no right to write", { F(ATTACHED, attached.rights, KVXFER_GRANT_READ) },
	  .write = true, .id = LOW, .err = EACCES, .reason = KVXFER_REASON_XFER_RIGHTS },
	{ "no right to read", { F(ATTACHED, attached.rights, KVXFER_GRANT_WRITE) },
	  .id = LOW, .err = EACCES, .reason = KVXFER_REASON_XFER_RIGHTS },
	{ "a time that is over", { F(ATTACHED, attached.expires_ns, 1) },
	  .id = LOW, .err = EKEYEXPIRED, .reason = KVXFER_REASON_GRANT_EXPIRED },
	{ "a block before the first", .id = LOW - 1, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_SRC_RANGE },
	{ "a block behind the last", .id = LOW + NR, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_SRC_RANGE },
	{ "a block to write before the first", .write = true, .id = LOW - 1, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_DST_RANGE },
	{ "fewer blocks", { F(ATTACHED, attached.end, LOW + 8) }, .id = LOW + 8, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_SRC_RANGE },
	{ "another format", { F(ATTACHED, attached.format, KVXFER_FORMAT_HND) }, .id = LOW,
	  .err = EINVAL, .reason = KVXFER_REASON_XFER_FORMAT },
	{ "another width", { F(ATTACHED, attached.dtype_width, 1) }, .id = LOW, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_ELEMENT },
	{ "other tokens", { F(ATTACHED, attached.inner_dim, 64) }, .id = LOW, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_ELEMENT },
	{ "fewer tokens", { F(ATTACHED, attached.page_size, 8) }, .id = LOW, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_LENGTH },
	{ "more layers", { F(ATTACHED, attached.num_layers, 4),
			   F(ATTACHED, attached.outer_dim, 1) }, .id = LOW, .err = EINVAL,
	  .reason = KVXFER_REASON_XFER_OUTER },
	/* Then it does not matter how far apart they are. */
	{ "one block", { F(ATTACHED, attached.end, LOW + 1),
			 F(ATTACHED, attached.block_stride, -1) }, .id = LOW },
	/* The first by which it goes, or another. */
	{ "a key that is none", { F(KEYS, keys.keys[0], 0x12345678) }, .id = LOW, .cut = true,
	  .err = ESTALE, .reason = KVXFER_REASON_XFER_CUT },
	{ "a key that is none, then", { F(KEYS, keys.keys[3], 0) }, .id = LOW, .cut = true,
	  .err = ESTALE, .reason = KVXFER_REASON_XFER_CUT },
	{ "keys that are none, to write by", { F(KEYS, keys.keys[2], -1),
					       F(MORE_KEYS, keys.keys[1], -1) }, .write = true,
	  .id = LOW + NR - 1, .cut = true, .err = ESTALE, .reason = KVXFER_REASON_XFER_CUT },
	/* As many as there would be: but what they are of is as short as it was. */
	{ "spans that are longer than what keys are of",
	  { F(KEYS, keys.shift, SHIFT + 1), F(KEYS, keys.total, 4) }, .at = MORE_KEYS,
	  .silent = true, .id = LOW + NR / 2, .cut = true, .err = ESTALE,
	  .reason = KVXFER_REASON_XFER_CUT },
};

static void say_limits(void)
{
	foe_name = NAME;
	get_ready();
	come();
	mark("there");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		answer(&limits[i]);
		if (limits[i].cut)
			is_cut(limits[i].what);
		let_go(limits[i].what, NULL, NULL, 0);
	}
	answer(NULL);
	let_go("the truth", written_to, written_from, ARRAY_SIZE(written_to));
}

/* Nothing but what may have been read has changed. */
static void check_limit(const struct lie *lie, uint32_t to)
{
	if (!lie->err) {
		for (int e = 0; e < 4; e++) {
			unsigned char want[REGION];

			fill_region(want, REGION, 20, lie->id - LOW, e / 2, e % 2);
			CHECK(!memcmp(region(&mine, to, e / 2, e % 2), want, REGION));
		}
	}
	if (!lie->err || (lie->cut && !lie->write))
		for (int e = 0; e < 4; e++)
			memset(region(&mine, to, e / 2, e % 2), 0x77, REGION);
	check_clear(lie->what);
}

static void meet_limits(void)
{
	const uint32_t to = 17;

	open_mine();
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const struct lie *lie = &limits[i];
		struct kvx_result result = KVX_RESULT_INIT;
		int err;

		clear();
		import_it(lie->what, false, 0, 0);
		if (lie->write)
			err = kvx_xfer_exec(victim.agent, mine.handle, &to, 1, theirs, &lie->id, 1,
					    NULL, &result);
		else
			err = kvx_xfer_exec(victim.agent, theirs, &lie->id, 1, mine.handle, &to, 1,
					    NULL, &result);
		if (err != -lie->err || (err && kvx_last_error()->reason != lie->reason))
			FAIL("%s: %d, not %d: %s", lie->what, err, -lie->err,
			     kvx_last_error()->text);
		CHECK_EQ(result.flags & KVX_RESULT_UNCONFIRMED, 0);
		check_limit(lie, to);
		OK(kvx_forget(victim.agent, WORKER));
	}
	import_it("the truth", false, 0, 0);
	transfer_both_ways("the truth");
	OK(kvx_forget(victim.agent, WORKER));
	drop_side(&mine);
}

TEST(who_has_said_what_cannot_be_used_is_found_out)
{
	under_attack(say_limits, meet_limits);
}

/*
 * --- while transfers wait -----------------------------------------------------------------------
 */

static void no_keys_any_more(void)
{
	static const struct lie gone = {
		"gone", { F(KEYS, keys.error, EAGAIN), F(KEYS, keys.nr, 0),
			  F(KEYS, head.bytes, KEYS_BYTES(0)) },
	};

	make_frame(KEYS, &gone);
	CHECK(foe_say());
	hear_want_keys(gone.what);
}

static void take_it_away(void)
{
	static const struct lie bad = { "bad", { F(KEYS, keys.total, KEYS_NR + 1) } };

	foe_name = NAME;
	get_ready();
	come();
	mark("there");
	/* Revoked, twice. */
	answer(NULL);
	await("waiting");
	for (int i = 0; i < 2; i++) {
		make_frame(REVOKED, NULL);
		CHECK(foe_say());
	}
	let_go("revoked", NULL, NULL, 0);
	/* Told again its keys are worth nothing, and there are no others until much later. */
	answer(NULL);
	await("imported");
	make_frame(KEYS, NULL);
	foe_say();
	is_cut("keys again");
	hear_want_keys("keys again");
	mark("keyless");
	await("patient");
	for (int i = 0; i < 3; i++) {
		make_frame(KEYS, &bad);
		foe_say();
		is_cut("bad keys while a transfer waits");
		hear_want_keys("again");
	}
	make_frame(KEYS, NULL);
	CHECK(foe_say());
	make_frame(MORE_KEYS, NULL);
	CHECK(foe_say());
	let_go("keys at last", NULL, NULL, 0);
	/* Nobody waits for them any more. */
	answer(NULL);
	await("had");
	no_keys_any_more();
	mark("leaving");
	await("left");
	let_go("no keys", NULL, NULL, 0);
	answer(NULL);
	let_go("the truth", written_to, written_from, ARRAY_SIZE(written_to));
}

static struct kvx_xfer *begin(bool write, uint64_t deadline_ns)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	const size_t nr = ARRAY_SIZE(read_mine);
	struct kvx_xfer *xfer;

	opts.deadline_ns = deadline_ns;
	if (write)
		OK(kvx_transfer(victim.agent, &xfer, mine.handle, read_mine, nr, theirs,
				read_theirs, nr, &opts));
	else
		OK(kvx_transfer(victim.agent, &xfer, theirs, read_theirs, nr, mine.handle,
				read_mine, nr, &opts));
	return xfer;
}

static void ends_as(struct kvx_xfer *xfer, int error, uint32_t reason)
{
	struct kvx_result result = KVX_RESULT_INIT;

	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -error);
	CHECK_EQ(result.reason, reason);
	kvx_xfer_release(xfer);
}

static void lose_it(void)
{
	struct kvx_xfer *reads, *writes;
	unsigned char *want;

	open_mine();
	clear();
	want = snapshot(&mine);
	for (size_t i = 0; i < ARRAY_SIZE(read_mine); i++)
		expect_block(want, read_theirs[i], read_mine[i]);
	import_it("revoked", false, 0, 0);
	hold_lanes();
	reads = begin(false, 0);
	writes = begin(true, 0);
	mark("waiting");
	ends_as(reads, ESTALE, KVXFER_REASON_XFER_CUT);
	ends_as(writes, ESTALE, KVXFER_REASON_XFER_CUT);
	let_lanes_go();
	CHECK_EQ(kvx_xfer_exec(victim.agent, theirs, read_theirs, 1, mine.handle, read_mine, 1,
			       NULL, NULL), -ESTALE);
	REASON(HANDLE_STALE);
	check_clear("revoked");
	OK(kvx_forget(victim.agent, WORKER));

	import_it("no keys", false, 0, 0);
	mark("imported");
	await("keyless");
	ends_as(begin(false, 300000000), ETIMEDOUT, KVXFER_REASON_XFER_DEADLINE);
	ends_as(begin(true, 300000000), ETIMEDOUT, KVXFER_REASON_XFER_DEADLINE);
	check_clear("no keys");
	reads = begin(false, 0);
	mark("patient");
	ends_as(reads, 0, 0);
	check_memory(&mine, want);
	OK(kvx_forget(victim.agent, WORKER));

	clear();
	import_it("no keys", false, 0, 0);
	mark("had");
	await("leaving");
	reads = begin(false, 0);
	OK(kvx_forget(victim.agent, WORKER));
	mark("left");
	kvx_xfer_release(reads);
	check_clear("forgotten");

	import_it("the truth", false, 0, 0);
	transfer_both_ways("the truth");
	OK(kvx_forget(victim.agent, WORKER));
	drop_side(&mine);
}

TEST(who_takes_it_away_while_transfers_wait_ends_them)
{
	under_attack(take_it_away, lose_it);
}
