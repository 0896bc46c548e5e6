// SPDX-License-Identifier: GPL-2.0-only
/*
 * A node that means harm attacks node 1 from user space on node 2: it loses its connection, and
 * nobody else anything. After each attack nothing of it is left on node 1, which still serves node
 * 2's own module.
 *
 * By soft-RoCE only, which all labs have: soft-iWARP refuses, and ends, in ways of its own.
 * Nodes: 2
 * Time: 400
 * Labs: uml uml-smp uml-debug debian-6.1 debian-6.12
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 300
#include "victim.h"

/*
 * --- greetings ----------------------------------------------------------------------------------
 */

static uint64_t boot_id_of_victim(void)
{
	struct kvx_wire_greeting greeting = foe_greeting();

	greeting.expected = 1;
	foe_end();
	CHECK_EQ(foe_refused(&foe.links[0], &greeting, sizeof(greeting)), KVXFER_REFUSAL_BOOT);
	return foe.links[0].answer.boot_id;
}

#define REFUSED(why, change) do {						\
	struct kvx_wire_greeting g = foe_greeting();				\
										\
	change;									\
	foe_end();								\
	CHECK_EQ(foe_refused(&foe.links[0], &g, bytes), KVXFER_REFUSAL_##why);	\
} while (0)

static void greet_wrongly(void)
{
	const uint64_t boot_id = boot_id_of_victim();
	struct foe_link lane;
	uint8_t bytes = 0;

	CHECK(boot_id);
	REFUSED(MAGIC, (void)g);
	bytes = 3;
	REFUSED(MAGIC, (void)g);
	/* What is missing is 0: there are no lanes. */
	bytes = 20;
	REFUSED(LANE, (void)g);
	bytes = sizeof(struct kvx_wire_greeting);
	REFUSED(MAGIC, g.magic ^= htole32(1));
	REFUSED(VERSION, g.version = 0);
	REFUSED(VERSION, (g.version = htole16(9), g.oldest = htole16(2)));
	REFUSED(BOOT, g.expected = boot_id ^ 1);
	REFUSED(SELF, g.boot_id = boot_id);
	REFUSED(LANE, g.lanes = 0);
	REFUSED(LANE, g.lanes = 1);
	REFUSED(LANE, g.lanes = 9);
	REFUSED(LANE, g.lanes = 200);
	REFUSED(LANE, g.lane = 1);
	REFUSED(LANE, g.lane = 255);
	/* Of a rail that is there, but did not say hello; then with a wrong token, or number. */
#define LANE_REFUSED(change) do {						\
	struct kvx_wire_greeting g = foe_lane(1);				\
										\
	change;									\
	CHECK_EQ(foe_refused(&lane, &g, sizeof(g)), KVXFER_REFUSAL_LANE);	\
} while (0)
	foe_begin();
	LANE_REFUSED((void)g);
	LANE_REFUSED(g.nonce ^= 1);
	foe_hello(false);
	LANE_REFUSED(g.token ^= 1);
	LANE_REFUSED(g.token = 0);
	LANE_REFUSED(g.nonce ^= 1);
	LANE_REFUSED(g.lane = FOE_LANES + 1);
	LANE_REFUSED(g.lane = 255);
	LANE_REFUSED(g.boot_id ^= 1);
	foe_ready();
	/* It is there. */
	LANE_REFUSED((void)g);
	foe_still_there("lanes that are too many");
	foe_end();
}

TEST(who_does_not_greet_as_is_right_is_refused)
{
	under_attack(greet_wrongly, NULL);
}

/*
 * --- frames -------------------------------------------------------------------------------------
 */

static void garbage(void)
{
	/* Of every length up to a head's and those of the types; then further apart. */
	for (uint32_t bytes = 0; bytes <= KVX_FRAME_MAX + 1; bytes += 1 + bytes / 8) {
		foe_hello(false);
		CHECK_EQ(getrandom(foe.out, bytes > 256 ? 256 : bytes, 0),
			 bytes > 256 ? 256 : bytes);
		foe_send(bytes);
		foe_cut("noise");
	}
	/* It is garbage behind a sound head, too. */
	for (uint32_t type = KVX_FRAME_HELLO; type < KVX_FRAME_TYPES; type++) {
		foe_hello(false);
		foe_frame(type);
		memset(foe.out->bytes + sizeof(foe.out->head), 0xff, 500);
		foe.out->head.bytes = htole32(sizeof(foe.out->head) + 500);
		foe_say();
		foe_cut("noise behind a head");
	}
}

/* On a rail that is ready, and on one that only was greeted. */
#define BREAKS(what, begin, type, change) do {		\
	begin;						\
	foe_frame(type);				\
	change;						\
	foe_say();					\
	foe_cut(what);					\
} while (0)

static void speak_wrongly(void)
{
	garbage();
	BREAKS("a frame before hello", foe_begin(), KVX_FRAME_CREDIT, (void)0);
	BREAKS("a beat before hello", foe_begin(), KVX_FRAME_BEAT, (void)0);
	BREAKS("ready before hello", foe_begin(), KVX_FRAME_READY, (void)0);
	BREAKS("an attach before hello", foe_begin(), KVX_FRAME_ATTACH,
	       foe_frame_attach(1, BOTH));
	BREAKS("hello twice", foe_hello(false), KVX_FRAME_HELLO, foe_frame_hello(false));
	BREAKS("a name that does not end", foe_begin(), KVX_FRAME_HELLO,
	       memset(foe.out->hello.name, 'x', sizeof(foe.out->hello.name)));
	BREAKS("a proof that nobody wants", foe_hello(false), KVX_FRAME_PROOF, (void)0);
	BREAKS("a refusal", foe_hello(false), KVX_FRAME_REFUSED, foe.out->refused.refusal = 1);
	BREAKS("no such type", foe_ready(), KVX_FRAME_CREDIT, foe.out->head.type = 0);
	BREAKS("no such type", foe_ready(), KVX_FRAME_CREDIT, foe.out->head.type = KVX_FRAME_TYPES);
	BREAKS("no such type", foe_ready(), KVX_FRAME_CREDIT, foe.out->head.type = 255);
	BREAKS("a flag", foe_ready(), KVX_FRAME_CREDIT, foe.out->head.flags = 1);
	BREAKS("a number too many", foe_ready(), KVX_FRAME_CREDIT, foe.out->head.seq = htole64(1));
	BREAKS("a number too few", foe_ready(), KVX_FRAME_DETACH, foe.out->head.seq = 0);
	BREAKS("a gap", foe_ready(), KVX_FRAME_DETACH, foe.out->head.seq = htole64(2));
	BREAKS("the last number", foe_ready(), KVX_FRAME_DETACH, foe.out->head.seq = ~0ULL);
	BREAKS("credits for nothing", foe_ready(), KVX_FRAME_CREDIT,
	       foe.out->head.credits = htole16(1));
	BREAKS("too many credits", foe_ready(), KVX_FRAME_CREDIT,
	       foe.out->head.credits = htole16(KVX_FRAME_CREDITS + 1));
	BREAKS("all credits", foe_ready(), KVX_FRAME_CREDIT, foe.out->head.credits = 0xffff);
	BREAKS("it says it is longer", foe_ready(), KVX_FRAME_BEAT,
	       foe.out->head.bytes = htole32(sizeof(foe.out->beat) + 1);
	       foe_send(sizeof(foe.out->beat)));
	BREAKS("it says it is shorter", foe_ready(), KVX_FRAME_BEAT,
	       foe.out->head.bytes = htole32(sizeof(foe.out->beat) - 1);
	       foe_send(sizeof(foe.out->beat)));
	BREAKS("a note that is not there", foe_ready(), KVX_FRAME_NOTE,
	       foe.out->note.bytes = htole32(1));
	BREAKS("a message of no bytes", foe_ready(), KVX_FRAME_OFFER, (void)0);
	BREAKS("an error that is none", foe_ready(), KVX_FRAME_TAKEN,
	       foe.out->taken.error = htole32(4096));
	/* What they say to have taken may be anything. */
	foe_ready();
	foe_frame(KVX_FRAME_CREDIT)->head.ack = ~0ULL;
	CHECK(foe_say());
	foe_still_there("taken what was never sent");
	foe_frame(KVX_FRAME_READY);
	CHECK(foe_say());
	foe_still_there("ready twice");
	/* One that is sent again is taken once. */
	foe_frame_attach(1, BOTH)->attach.key[0] ^= 1;
	CHECK(foe_say());
	CHECK(foe_hear(KVX_FRAME_ATTACHED, FOE_PATIENCE));
	for (int i = 0; i < 5; i++) {
		foe_frame_attach(1, BOTH);
		foe.out->head.seq = htole64(1);
		foe.seq = 1;
		CHECK(foe_say());
		foe_still_there("the same again");
		CHECK(!foe_hear(KVX_FRAME_ATTACHED, 20));
	}
	foe_end();
}

TEST(who_does_not_speak_as_is_right_is_cut_off)
{
	under_attack(speak_wrongly, NULL);
}

/* What comes on a control link is sent, and is nothing but a frame. */
static void send_no_frames(void)
{
	const struct loot loot = (foe_ready(), foe_attach(1, BOTH));

	foe_frame(KVX_FRAME_BEAT);
	foe_send_raw(sizeof(foe.out->beat), IBV_WR_SEND_WITH_INV, loot.keys[0]);
	foe_cut("a key is made invalid");
	foe_ready();
	foe_frame(KVX_FRAME_BEAT);
	foe_send_raw(sizeof(foe.out->beat), IBV_WR_SEND_WITH_IMM, 0);
	foe_cut("a frame with more beside it");
	foe_ready();
	foe_send_raw(0, IBV_WR_RDMA_WRITE_WITH_IMM, 0);
	foe_cut("a write instead of a frame");
	/* A frame has no room for it. */
	foe_ready();
	foe_frame(KVX_FRAME_BEAT)->head.bytes = htole32(FOE_SLOT);
	foe_say();
	foe_cut("a frame that is too long");
}

TEST(who_does_not_send_frames_is_cut_off)
{
	under_attack(send_no_frames, NULL);
}

/*
 * --- what is not there --------------------------------------------------------------------------
 */

static void refused_attach(uint32_t error)
{
	union foe_frame *f;

	CHECK(foe_say());
	f = foe_hear(KVX_FRAME_ATTACHED, FOE_PATIENCE);
	CHECK(f);
	CHECK_EQ(le32toh(f->attached.error), error);
}

/* They are about what this node never asked for. */
static void unasked(void)
{
	union foe_frame *f;

	f = foe_frame(KVX_FRAME_ATTACHED);
	f->attached.id = htole32(1);
	f->attached.rights = htole32(KVXFER_GRANT_READ);
	f->attached.end = htole32(10);
	f->attached.num_blocks = htole32(10);
	f->attached.nr_ranges = htole32(1);
	f->attached.format = htole32(1);
	CHECK(foe_say());
	foe_still_there("attached to nothing");
	f = foe_frame(KVX_FRAME_TABLE);
	f->table.id = htole32(1);
	f->table.table = htole32(KVX_TABLE_RANGES);
	f->table.nr = htole32(3);
	f->head.bytes = htole32(sizeof(f->table) + 48);
	CHECK(foe_say());
	foe_still_there("a table of nothing");
	f = foe_frame(KVX_FRAME_KEYS);
	f->keys.id = htole32(1);
	f->keys.shift = htole32(20);
	f->keys.total = htole32(4);
	f->keys.nr = htole32(4);
	f->head.bytes = htole32(sizeof(f->keys) + 16);
	CHECK(foe_say());
	foe_still_there("keys of nothing");
	foe_frame(KVX_FRAME_REVOKED)->id.id = htole32(1);
	CHECK(foe_say());
	foe_still_there("nothing is revoked");
	foe_frame(KVX_FRAME_QUIESCED)->quiesced.id = htole64(1);
	CHECK(foe_say());
	foe_still_there("nothing is quiet");
	foe_frame(KVX_FRAME_QUIESCE)->quiesce.id = htole64(77);
	CHECK(foe_say());
	f = foe_hear(KVX_FRAME_QUIESCED, FOE_PATIENCE);
	CHECK(f && le64toh(f->quiesced.id) == 77);
	f = foe_frame(KVX_FRAME_NOTE);
	f->note.serial = htole64(5);
	f->note.to_worker_id = htole64(told.worker_id ^ 1);
	CHECK(foe_say());
	f = foe_hear(KVX_FRAME_NOTE_DONE, FOE_PATIENCE);
	CHECK(f && le64toh(f->note_done.serial) == 5 && f->note_done.lost);
}

static void name_what_is_not_there(void)
{
	struct loot loot;
	union foe_frame *f;

	foe_ready();
	foe_frame_attach(1, BOTH)->attach.key[15] ^= 1;
	refused_attach(EACCES);
	memcpy(foe_frame_attach(1, BOTH)->attach.key, told.grants[OTHER].key, KVXFER_KEY_BYTES);
	refused_attach(EACCES);
	foe_frame_attach(1, BOTH)->attach.worker_id ^= 1;
	refused_attach(ESTALE);
	foe_frame_attach(1, BOTH)->attach.epoch ^= 1;
	refused_attach(ESTALE);
	foe_frame_attach(1, BOTH)->attach.layout = htole32(60000);
	refused_attach(ENOENT);
	foe_want_keys(1, foe.device);
	foe_want_keys(~0U, foe.device);
	foe_still_there("keys of what it does not have");
	foe_frame(KVX_FRAME_DETACH)->id.id = htole32(1);
	CHECK(foe_say());
	foe_still_there("what it does not have is given back");
	unasked();
	loot = foe_attach(7, BOTH);
	foe_want_keys(7, foe.device + 1000);
	f = foe_hear(KVX_FRAME_KEYS, FOE_PATIENCE);
	CHECK(f && le32toh(f->keys.error) == ENODEV);
	CHECK_EQ(foe_rdma(1, IBV_WR_RDMA_READ, loot.keys[0], 0, 8), IBV_WC_SUCCESS);
	for (int i = 0; i < 3; i++) {
		foe_frame(KVX_FRAME_DETACH)->id.id = htole32(7);
		CHECK(foe_say());
		foe_still_there("given back again");
	}
	foe_end();
	/* Notes that were never sent are received. */
	BREAKS("a note is done that was never sent", foe_ready(), KVX_FRAME_NOTE_DONE,
	       foe.out->note_done.serial = htole64(1));
	BREAKS("an id is used twice", (foe_ready(), foe_attach(7, BOTH)), KVX_FRAME_ATTACH,
	       foe.seq--; foe_frame_attach(7, READ_ONLY));
	BREAKS("it asks when it itself is over", foe_ready(), KVX_FRAME_QUIESCE,
	       foe.out->quiesce.nonce = foe.greeting.nonce; foe.out->quiesce.asked = htole32(1));
}

TEST(what_is_not_there_is_not_given)
{
	under_attack(name_what_is_not_there, NULL);
}

/*
 * --- floods, and silence ------------------------------------------------------------------------
 */

/* They go without a look at what comes, as long as any are taken: how many were. */
static uint32_t flood(uint32_t most, int grant, uint8_t wrong)
{
	struct foe_link *link = &foe.links[0];
	struct ibv_sge sge = { .length = sizeof(struct kvx_wire_attach), .lkey = foe.mr->lkey };
	struct ibv_send_wr wr = {
		.wr_id = FOE_SENT, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	}, *bad;
	const uint64_t each = sizeof(struct kvx_wire_attach), room = FOE_DATA / each;
	const uint64_t end = now_ms() + 5 * FOE_PATIENCE;
	uint32_t out = 0, nr = 0, turns = 0;

	while (nr < most && !link->cut) {
		if (out < 32) {
			foe_frame_attach(nr, grant)->attach.key[1] ^= wrong;
			foe.out->head.credits = 0;
			sge.addr = (uintptr_t)foe.data + nr % room * each;
			memcpy(foe.data + nr % room * each, foe.out, each);
			if (ibv_post_send(link->id->qp, &wr, &bad))
				break;
			out++;
			nr++;
		}
		while (out && foe_poll())
			out--;
		if (++turns % 256 == 0)
			foe_event(link, 0);
		if (now_ms() > end)
			FAIL("%u frames, %u of them not taken, and it is not cut off", nr, out);
	}
	return nr;
}

/* What the victim has to say piles up, until it has enough of it. */
static void flood_it(void)
{
	/* All of it takes too long where all is slow. */
	const uint32_t most = lab_is("uml") || lab_is("uml-smp") ? 200000 : 5000;
	uint32_t nr;

	foe_ready();
	foe.miser = true;
	nr = flood(most, BOTH, 1);
	CHECK(nr > 1000);
	if (most > 65536) {
		foe_cut("a flood");
		CHECK(nr < most);
	}
	/* And by one that hears nothing at all, as it has no room for what comes. */
	foe_ready();
	foe_frame(KVX_FRAME_BEAT);
	for (int i = 0; i < 1000; i++) {
		foe.out->beat.ask = htole32(1);
		foe.miser = true;
		if (!foe_say())
			break;
	}
	foe_end();
}

/* The same by what is long: then it is less that is kept. */
static void flood_it_by_bytes(void)
{
	/* Each is answered by five frames that are full or nearly so, and two others. */
	const uint32_t most = 65536 / 7;

	foe_ready();
	foe.miser = true;
	CHECK(flood(most, WIDE, 0) < most);
	foe_cut("a flood of bytes");
}

TEST(who_does_not_listen_is_cut_off)
{
	under_attack(flood_it, NULL);
}

TEST(who_does_not_listen_to_much_is_cut_off)
{
	under_attack(flood_it_by_bytes, NULL);
}

static void be_impatient(void)
{
	wait_for_others("1500");
	put_param("beat_ms", "300");
	await("asked");
	settle_to(&victim.before, false);
	mark("settled");
}

static void say_nothing(void)
{
	static struct foe_link many[200];
	struct kvx_wire_greeting greeting;
	int taken = 0;

	/* Before hello, before its lanes are there, before it says ready, and after. */
	foe_begin();
	foe_cut("silence");
	foe_hello(false);
	foe_cut("silence after hello");
	foe_ready();
	foe_cut("silence on a rail");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		foe_link_open(&many[i]);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		greeting = foe_greeting();
		foe_ask(&many[i], &greeting, sizeof(greeting));
	}
	/* Where all is slow, some are over before they are answered. */
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		taken += foe_event(&many[i], FOE_PATIENCE) == RDMA_CM_EVENT_ESTABLISHED;
	CHECK(taken);
	mark("asked");
	/* The victim is done with all of them, while they are still held here. */
	await("settled");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		foe_link_close(&many[i]);
	foe_end();
}

TEST(who_says_nothing_is_cut_off)
{
	under_attack(say_nothing, be_impatient);
	put_param("beat_ms", "1000");
}

static void die_before_hello(void)
{
	foe_begin();
	kill(getpid(), SIGKILL);
}

static void die_after_hello(void)
{
	foe_hello(false);
	kill(getpid(), SIGKILL);
}

static void die_with_keys(void)
{
	foe_ready();
	foe_attach(1, BOTH);
	foe_attach(2, OTHER);
	kill(getpid(), SIGKILL);
}

/* With reads and writes under way. */
static void die_at_work(void)
{
	struct ibv_sge sge;
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;
	struct loot loot;

	foe_ready();
	loot = foe_attach(1, BOTH);
	sge = (struct ibv_sge){ (uintptr_t)foe.data, FOE_DATA, foe.mr->lkey };
	wr.wr.rdma.rkey = loot.keys[0];
	for (int i = 0; i < 32; i++) {
		wr.opcode = i % 2 ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
		CHECK_EQ(ibv_post_send(foe.links[1 + i % 2].id->qp, &wr, &bad), 0);
	}
	kill(getpid(), SIGKILL);
}

static void die(void)
{
	static void (*const ways[])(void) = {
		die_before_hello, die_after_hello, die_with_keys, die_at_work,
	};
	int status;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		waitpid(foe_start(ways[i]), &status, 0);
		CHECK(WIFSIGNALED(status));
	}
}

TEST(who_is_killed_leaves_nothing)
{
	under_attack(die, NULL);
}

/*
 * --- rights -------------------------------------------------------------------------------------
 */

static struct loot equip(int grant)
{
	foe_ready();
	return foe_attach(1, grant);
}

/* Each costs the queue pair, and is tried by a new one. */
static void denied(const char *what, enum ibv_wr_opcode opcode, uint32_t key, uint64_t at,
		   uint32_t bytes)
{
	enum ibv_wc_status status;

	memset(foe.data, 0x5a, FOE_DATA);
	status = foe_rdma(1, opcode, key, at, bytes);
	if (status != IBV_WC_REM_ACCESS_ERR && status != IBV_WC_REM_INV_REQ_ERR &&
	    status != IBV_WC_REM_OP_ERR)
		FAIL("%s: %s", what, ibv_wc_status_str(status));
	for (uint32_t i = 0; i < FOE_DATA; i++)
		if (foe.data[i] != 0x5a)
			FAIL("%s: byte %u has come", what, i);
	foe_end();
}

/* How long what a key covers is. */
static uint64_t span_bytes(const struct loot *loot, uint32_t key)
{
	const uint64_t span = 1ULL << loot->shift, skew = loot->start & (span - 1);
	const uint64_t end = (key + 1) * span < skew + loot->bytes ? (key + 1) * span :
							      skew + loot->bytes;

	return end - (key ? key * span : skew);
}

/* The first granted block is what it should be, by its first key. */
static void check_block(const struct loot *loot, uint64_t who)
{
	unsigned char want[4096];

	CHECK_EQ(foe_rdma(2, IBV_WR_RDMA_READ, loot->keys[0], loot->base, BLOCK_BYTES),
		 IBV_WC_SUCCESS);
	for (int r = 0; r < 4; r++) {
		fill_region(want, sizeof(want), who, FIRST, r / 2, r % 2);
		CHECK(!memcmp(foe.data + r * sizeof(want), want, sizeof(want)));
	}
}

static void take_more(void)
{
	static const enum ibv_wr_opcode ways[] = { IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE };
	struct loot loot = equip(BOTH), other;
	enum ibv_wc_status status;
	uint64_t end;

	CHECK(loot.nr > 1);
	check_block(&loot, 10 + BOTH);
	/* The first and the last bytes of each key. */
	for (uint32_t k = 0; k < loot.nr; k++) {
		end = span_bytes(&loot, k);
		/* What is written is what was read. */
		for (int w = 0; w < 2; w++)
			CHECK_EQ(foe_rdma(1, ways[w], loot.keys[k], 0, 64), IBV_WC_SUCCESS);
		for (int w = 0; w < 2; w++)
			CHECK_EQ(foe_rdma(2, ways[w], loot.keys[k], end - 64, 64), IBV_WC_SUCCESS);
	}
	for (uint32_t k = 0; k < loot.nr; k++) {
		for (int w = 0; w < 2; w++) {
			end = span_bytes(&loot, k);
#define DENIED(what, opcode, key, at, bytes) do {				\
	loot = equip(BOTH);							\
	denied(what, opcode, key, at, bytes);					\
} while (0)
			DENIED("a byte too many", ways[w], loot.keys[k], end - 63, 64);
			DENIED("behind it", ways[w], loot.keys[k], end, 1);
			DENIED("far behind it", ways[w], loot.keys[k], end + (1ULL << 40), 64);
			DENIED("a byte before it", ways[w], loot.keys[k], ~0ULL, 64);
			DENIED("all around", ways[w], loot.keys[k], -32ULL, 64);
		}
	}
	DENIED("an atomic", IBV_WR_ATOMIC_FETCH_AND_ADD, loot.keys[0], 0, 8);
	for (int w = 0; w < 2; w++) {
		DENIED("another key", ways[w], loot.keys[0] + 1, 0, 64);
		DENIED("another key", ways[w], loot.keys[0] - 1, 0, 64);
		DENIED("no key", ways[w], 0, 0, 64);
		DENIED("no key", ways[w], ~0U, 0, 64);
		/* Next to it there may be keys of its own. */
		DENIED("another index", ways[w], (loot.keys[loot.nr - 1] ^ 0x80) + 256, 0, 64);
		DENIED("another index", ways[w], (loot.keys[0] ^ 0x80) - 256, 0, 64);
	}
	/* What may be read is not written. */
	for (uint32_t k = 0; k < loot.nr; k++) {
		loot = equip(READ_ONLY);
		check_block(&loot, 10 + READ_ONLY);
		denied("a write", IBV_WR_RDMA_WRITE, loot.keys[k], 0, 1);
	}
	/* What it has given back is not its own any more. */
	loot = equip(BOTH);
	other = foe_attach(2, OTHER);
	check_block(&other, 10 + OTHER);
	foe_frame(KVX_FRAME_DETACH)->id.id = htole32(2);
	CHECK(foe_say());
	foe_still_there("one was given back");
	check_block(&loot, 10 + BOTH);
	/* It is done a little later. */
	end = now_ms() + FOE_PATIENCE;
	do
		status = foe_rdma(1, IBV_WR_RDMA_READ, other.keys[0], 0, 64);
	while (status == IBV_WC_SUCCESS && now_ms() < end);
	CHECK_EQ(status, IBV_WC_REM_ACCESS_ERR);
	/* And a control link is for frames: no key is good for anything there. */
	for (int w = 0; w < 2; w++) {
		loot = equip(BOTH);
		CHECK(foe_rdma(0, ways[w], loot.keys[0], 0, 64) != IBV_WC_SUCCESS);
		foe_cut("by the control link");
	}
}

TEST(keys_are_good_for_what_was_granted)
{
	under_attack(take_more, NULL);
}

/* Is it such a page, counted from where what is granted begins, that a granted region lies in? */
static bool is_granted(uint32_t page)
{
	return page % (BLOCK_BYTES / PAGE) < 2;
}

/* It looks at the pages between the granted regions, and writes there. */
static void look_between(void)
{
	struct loot loot = equip(SPARSE);
	unsigned char want[4096], none[PAGE] = {};

	CHECK_EQ(loot.base, 40);
	for (uint32_t page = 0; page < 8; page++) {
		memset(foe.data, 0x5a, PAGE);
		CHECK_EQ(foe_rdma(1, IBV_WR_RDMA_READ, loot.keys[0], page * PAGE, PAGE),
			 IBV_WC_SUCCESS);
		CHECK_EQ(!memcmp(foe.data, none, PAGE), !is_granted(page));
	}
	memset(foe.data, 0x5a, PAGE);
	for (uint32_t page = 0; page < 8; page++)
		if (!is_granted(page))
			CHECK_EQ(foe_rdma(2, IBV_WR_RDMA_WRITE, loot.keys[0], page * PAGE, PAGE),
				 IBV_WC_SUCCESS);
	/* What is granted is all there, by the last key, too. */
	for (uint32_t b = FIRST; b < FIRST + GRANTED; b += GRANTED - 1) {
		const struct kvx_span span = kvx_span_at(loot.start, loot.bytes, loot.shift,
							 loot.base + (b - FIRST) * BLOCK_BYTES);

		CHECK_EQ(foe_rdma(1, IBV_WR_RDMA_READ, loot.keys[span.key], span.offset,
				  sizeof(want)), IBV_WC_SUCCESS);
		fill_region(want, sizeof(want), 10 + OTHER, b, 0, 1);
		CHECK(!memcmp(foe.data, want, sizeof(want)));
	}
	mark("looked");
}

static void is_untouched(void)
{
	const struct side *side = &victim.sides[OTHER];
	unsigned char *want = snapshot(side);

	await("looked");
	check_memory(side, want);
}

TEST(pages_between_what_was_granted_cannot_be_reached)
{
	under_attack(look_between, is_untouched);
}

/* It reads all the time while it is taken back. */
static void hold_on(void)
{
	struct loot loot = equip(BOTH), other = foe_attach(2, OTHER);
	enum ibv_wc_status status;
	union foe_frame *f;
	bool told_so = false;

	check_block(&loot, 10 + BOTH);
	check_block(&other, 10 + OTHER);
	mark("attached");
	do {
		memset(foe.data, 0x5a, FOE_DATA);
		status = foe_rdma(1, IBV_WR_RDMA_READ, loot.keys[0], loot.base, FOE_DATA);
		for (uint32_t i = 0; i < FOE_DATA; i += 8)
			if (!memcmp(foe.data + i, "revoked!", 8))
				FAIL("byte %u came after it was revoked", i);
		f = foe_hear(KVX_FRAME_REVOKED, 0);
		told_so |= f && le32toh(f->id.id) == loot.id;
	} while (status == IBV_WC_SUCCESS);
	CHECK(status == IBV_WC_REM_ACCESS_ERR || status == IBV_WC_WR_FLUSH_ERR);
	/* Only now is there something new. */
	if (!told_so)
		CHECK(foe_hear(KVX_FRAME_REVOKED, FOE_PATIENCE));
	/* The other it has still. */
	check_block(&other, 10 + OTHER);
	await("revoked");
	foe_end();
	foe_ready();
	foe_frame_attach(1, BOTH);
	refused_attach(EACCES);
	/* Nor does the key work for who has another connection. */
	other = foe_attach(2, OTHER);
	denied("what was revoked", IBV_WR_RDMA_READ, loot.keys[0], loot.base, 64);
	other = equip(OTHER);
	denied("what was revoked", IBV_WR_RDMA_WRITE, loot.keys[0], loot.base, 64);
}

static void take_back(void)
{
	struct side *side = &victim.sides[BOTH];

	await("attached");
	OK(kvx_revoke(victim.agent, &victim.grants[BOTH]));
	for (uint64_t i = 0; i + 8 <= side->bytes; i += 8)
		memcpy(side->mem + i, "revoked!", 8);
	mark("revoked");
}

TEST(keys_that_are_revoked_are_worth_nothing)
{
	under_attack(hold_on, take_back);
}

/*
 * --- the cluster key ----------------------------------------------------------------------------
 */

static void refused_by_key(void)
{
	union foe_frame *f = foe_hear(KVX_FRAME_REFUSED, FOE_PATIENCE);

	CHECK(f);
	CHECK_EQ(le32toh(f->refused.refusal), KVXFER_REFUSAL_KEY);
	foe_cut("it does not know the key");
}

static void be_a_stranger(void)
{
	struct kvx_wire_greeting greeting;
	struct foe_link lane;

	await("locked");
	foe_hello(false);
	refused_by_key();
	foe_hello(true);
	foe_frame(KVX_FRAME_PROOF);
	CHECK(foe_say());
	refused_by_key();
	/* What it was given to prove itself by is no proof. */
	foe_hello(true);
	memcpy(foe_frame(KVX_FRAME_PROOF)->proof.proof, foe.challenge, sizeof(foe.challenge));
	CHECK(foe_say());
	refused_by_key();
	BREAKS("ready before the proof", foe_hello(true), KVX_FRAME_READY, (void)0);
	BREAKS("an attach before the proof", foe_hello(true), KVX_FRAME_ATTACH,
	       foe.seq--; foe_frame_attach(1, BOTH));
	BREAKS("a note before the proof", foe_hello(true), KVX_FRAME_NOTE, (void)0);
	BREAKS("the proof before hello", foe_begin(), KVX_FRAME_PROOF, (void)0);
	foe_hello(true);
	greeting = foe_lane(1);
	CHECK_EQ(foe_refused(&lane, &greeting, sizeof(greeting)), KVXFER_REFUSAL_LANE);
	foe_end();
}

static void lock_up(void)
{
	shell("head -c 32 /dev/urandom >/run/secret && chmod 600 /run/secret");
	cli("key set /run/secret");
	mark("locked");
	await("done");
	cli("key remove");
}

static void knock_until_it_is_open(void)
{
	const pid_t pid = foe_start(be_a_stranger);
	int status;

	waitpid(pid, &status, 0);
	mark("done");
	CHECK_EQ(status, 0);
}

TEST(strangers_do_not_know_the_cluster_key)
{
	under_attack(knock_until_it_is_open, lock_up);
}

/* What both nodes know, a program on one of them does not, whoever it says to be. */
static void say_to_be_it(void)
{
	foe_hello(false);
	refused_by_key();
	foe_hello(true);
	foe_frame(KVX_FRAME_PROOF);
	CHECK(foe_say());
	refused_by_key();
	foe_hello(true);
	foe_end();
	foe_begin();
	foe_end();
}

/* The queue pairs of the connections that there are, and the device's own; how many? */
static int connections(char *lines, size_t room)
{
	int nr = 0;
	FILE *f = popen("rdma resource show qp | grep 'state RTS' | grep -o 'lqpn [0-9]*' | sort",
			"r");

	CHECK(f);
	lines[fread(lines, 1, room - 1, f)] = 0;
	pclose(f);
	while ((lines = strchr(lines, '\n'))) {
		lines++;
		nr++;
	}
	return nr;
}

TEST(who_only_says_to_be_a_node_ends_nothing_of_it)
{
	static char before[4096], now[4096];
	struct kvx_agent *agent;
	struct side mine;
	int status = 0;

	rdma_up("rxe");
	if (strncmp(getenv("LAB"), "uml", 3))
		shell("modprobe -a ib_uverbs rdma_ucm");
	shell("printf %%032d 7 >/run/secret && chmod 600 /run/secret");
	cli("key set /run/secret");
	meet();
	agent = open_agent();
	mine = make_side(agent, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 2));
	if (node() == 1)
		offer(&mine);
	else
		take(agent);
	meet();
	/* Of one connection: another that both had begun may be about to go. */
	for (int i = 0; connections(before, sizeof(before)) != 1 + 3; i++) {
		if (i == 1000)
			FAIL("there are:\n%s", before);
		poll(NULL, 0, 10);
	}
	meet();
	if (node() == 2) {
		foe_name = query(agent).boot_id;
		for (int i = 0; i < 3 && !status; i++)
			waitpid(foe_start(say_to_be_it), &status, 0);
		foe_name = 0;
	}
	meet();
	/* Those of who was let in to say who it is go a little later; the others are the same. */
	for (int i = 0; connections(now, sizeof(now)), strcmp(now, before); i++) {
		if (i == 1000)
			FAIL("there were:\n%s\nand are:\n%s", before, now);
		poll(NULL, 0, 10);
	}
	CHECK_EQ(status, 0);
	meet();
	drop_side(&mine);
	kvx_close(agent);
	cli("key remove");
	rdma_down();
}
