/* SPDX-License-Identifier: GPL-2.0-only */
/* A node that grants a layout and lies: what is true, what is not, and how it is said. */
#ifndef KVX_TEST_GRANTER_H
#define KVX_TEST_GRANTER_H

#include <sys/ioctl.h>

#include "victim.h"

/* One that was met and left is no more: so it is another each time. */
#define NAME		(0x6772616e746572ULL + two_steps)
#define WORKER		5
#define EPOCH		6
#define LAYOUT		3

/*
 * What is true: of 24 blocks those from 4 to 19 are granted. They are in two ranges, for each layer
 * one, in which K and V of a block lie side by side; each range has three spans.
 */
#define ALL_BLOCKS	24
#define LOW		4
#define NR		16
#define REGION		4096
#define RANGES_NR	2
#define RANGE		(NR * 2 * REGION)
#define START		0x3000
#define SHIFT		16
#define SPANS		3
#define KEYS_NR		(RANGES_NR * SPANS)
/* There are so many of them in the first frame. */
#define KEYS_FIRST	4
/* Between the ranges, and around them. */
#define GUARD		65536
#define MEMORY		(RANGES_NR * (GUARD + RANGE) + GUARD)

/*
 * --- lies ---------------------------------------------------------------------------------------
 */

/* What it says, in order; and what it may say beside. */
enum say { NOTHING, ATTACHED, RANGES, BASES, KEYS, MORE_KEYS, ALL, REVOKED };

/* What is wrong in a frame. */
struct bend {
	enum say of;
	uint32_t at, bytes;
	uint64_t value;
};

/*
 * @bends: what is not true. @at: the frame by which that is found out; or, with @extra, the one
 * before which another is said, of which @bends are then; or, if it is @silent, the first that is
 * not said. @cut: the connection goes. @anew: keys are asked for again. @err, @reason: what becomes
 * of the import; or, where that is to be well, of a transfer of block @id, which is read, or, with
 * @write, written.
 */
struct lie {
	const char *what;
	struct bend bends[4];
	enum say at, extra;
	bool silent, cut, anew, write;
	int err;
	uint32_t reason, id;
};

#define F(frame, field, to)							\
	{ frame, offsetof(union foe_frame, field),				\
	  sizeof(((union foe_frame *)NULL)->field), to }
#define AT(range, at)		((uint64_t)(range) << KVX_PLACE_SHIFT | (at))
#define TABLE_BYTES(words)	(sizeof(struct kvx_wire_table) + 8 * (words))
#define KEYS_BYTES(nr)		(sizeof(struct kvx_wire_keys) + 4 * (nr))

/* A frame that is none: it counts as not said, and when it is said as it should be, all is well. */
#define NONE(say)	.at = say, .cut = true
/* It is one, but what it says cannot be. */
#define FALSE(say)	.at = say, .cut = true, .err = EPROTO
/* The same of keys: the layout is known, and they are asked for by the next connection. */
#define BAD_KEYS(say)	.at = say, .cut = true, .anew = true

/*
 * --- who grants ---------------------------------------------------------------------------------
 */

static unsigned char *memory, *truth;
static struct ibv_mr *mrs[KEYS_NR];
static uint32_t the_id, the_device;

static inline unsigned char *place(unsigned char *mem, int range, uint64_t at)
{
	return mem + GUARD + range * (GUARD + RANGE) + at;
}

static inline unsigned char *block(unsigned char *mem, int b, int layer, int outer)
{
	return place(mem, layer, (b * 2 + outer) * REGION);
}

static inline void get_ready(void)
{
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	truth = malloc(MEMORY);
	CHECK(truth);
	memset(truth, 0xee, MEMORY);
	for (int b = 0; b < NR; b++)
		for (int e = 0; e < 4; e++)
			fill_region(block(truth, b, e / 2, e % 2), REGION, 20, b, e / 2, e % 2);
	memcpy(memory, truth, MEMORY);
}

/* A key for each span, by which it is counted from 0; they outlast the connection. */
static inline void make_keys(void)
{
	foe_pd = foe.pd;
	for (int k = 0; k < KEYS_NR; k++) {
		const int64_t from = ((int64_t)(k % SPANS) << SHIFT) - START;
		const int64_t to = from + (1 << SHIFT), first = from < 0 ? 0 : from;
		const int64_t end = to > RANGE ? RANGE : to;

		mrs[k] = ibv_reg_mr_iova(foe.pd, place(memory, k / SPANS, first), end - first, 0,
					 IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
					 IBV_ACCESS_REMOTE_WRITE);
		CHECK(mrs[k]);
	}
}

/* It is there, or there again: then both go on from what the other has taken. */
static inline void come(void)
{
	static typeof(foe) before;

	before = foe;
	foe_hello(false);
	foe.seq = foe.acked;
	foe.ack = before.ack;
	foe_go_on();
	/* What had come and was not looked at does not come again: it is before what has since. */
	while (foe.read != foe.in)
		before.inbox[before.in++ % FOE_INBOX] = foe.inbox[foe.read++ % FOE_INBOX];
	memcpy(foe.inbox, before.inbox, sizeof(foe.inbox));
	foe.in = before.in;
	foe.read = before.read;
	if (!foe_pd)
		make_keys();
}

static inline void is_cut(const char *what)
{
	if (!foe_is_cut(FOE_PATIENCE))
		FAIL("%s: the connection is still there", what);
	come();
}

/* Nothing of a connection that it has left is under way. */
static inline void say_quiesced(uint64_t id)
{
	foe_frame(KVX_FRAME_QUIESCED)->quiesced.id = id;
	CHECK(foe_say());
}

/*
 * The next of a type, and of the layout if it is about one that is known. That the last layout is
 * not wanted any more may be said when the next one is asked for already.
 */
static inline union foe_frame *hear_frame(uint32_t type)
{
	const uint64_t end = now_ms() + FOE_PATIENCE;
	static union foe_frame attach;
	static bool early;

	if (type == KVX_FRAME_ATTACH && early) {
		early = false;
		return &attach;
	}
	for (;;) {
		while (foe.read != foe.in) {
			union foe_frame *f = &foe.inbox[foe.read++ % FOE_INBOX];

			if (f->head.type == type &&
			    (type == KVX_FRAME_ATTACH || le32toh(f->id.id) == the_id))
				return f;
			if (f->head.type == KVX_FRAME_ATTACH) {
				attach = *f;
				early = true;
			}
			if (f->head.type == KVX_FRAME_QUIESCE)
				say_quiesced(f->quiesce.id);
		}
		if (foe.links[0].cut || now_ms() > end)
			return NULL;
		foe_look();
	}
}

static inline void say_what_it_is(struct kvx_wire_attached *a)
{
	a->rights = htole32(KVXFER_GRANT_READ | KVXFER_GRANT_WRITE);
	a->first = htole32(LOW);
	a->end = htole32(LOW + NR);
	a->num_blocks = htole32(ALL_BLOCKS);
	a->num_layers = htole32(2);
	a->outer_dim = htole32(2);
	a->page_size = htole32(16);
	a->inner_dim = htole32(128);
	a->dtype_width = htole32(2);
	a->alignment = htole32(1);
	a->format = htole32(KVXFER_FORMAT_NHD);
	a->kind = htole32(KVXFER_LAYOUT_TABLE);
	a->nr_ranges = htole32(RANGES_NR);
	a->block_stride = htole64(2 * REGION);
}

static inline void say_where_it_is(struct kvx_wire_table *t, enum say say)
{
	t->table = htole32(say == RANGES ? KVX_TABLE_RANGES : KVX_TABLE_BASES);
	t->nr = htole32(say == RANGES ? RANGES_NR : 4);
	t->head.bytes = htole32(TABLE_BYTES(4));
	for (int i = 0; i < 4; i++)
		t->words[i] = htole64(say == BASES ? AT(i / 2, i % 2 * REGION) :
				      i % 2 ? START : RANGE);
}

static inline void say_keys_of(struct kvx_wire_keys *k, enum say say)
{
	const int first = say == KEYS ? 0 : KEYS_FIRST;
	const int nr = say == KEYS ? KEYS_FIRST : KEYS_NR - KEYS_FIRST;

	k->device = htole32(the_device);
	k->shift = htole32(SHIFT);
	k->total = htole32(KEYS_NR);
	k->first = htole32(first);
	k->nr = htole32(nr);
	k->head.bytes = htole32(KEYS_BYTES(nr));
	for (int i = 0; i < nr; i++)
		k->keys[i] = htole32(mrs[first + i]->rkey);
}

/* A frame as it should be, but for what is wrong in it. */
static inline void make_frame(enum say say, const struct lie *lie)
{
	static const uint8_t types[] = {
		[ATTACHED] = KVX_FRAME_ATTACHED, [RANGES] = KVX_FRAME_TABLE,
		[BASES] = KVX_FRAME_TABLE, [KEYS] = KVX_FRAME_KEYS, [MORE_KEYS] = KVX_FRAME_KEYS,
		[REVOKED] = KVX_FRAME_REVOKED,
	};
	union foe_frame *f = foe_frame(types[say]);

	/* All of them have it at the same place. */
	f->id.id = htole32(the_id);
	if (say == ATTACHED)
		say_what_it_is(&f->attached);
	if (say == RANGES || say == BASES)
		say_where_it_is(&f->table, say);
	if (say == KEYS || say == MORE_KEYS)
		say_keys_of(&f->keys, say);
	for (size_t i = 0; lie && i < ARRAY_SIZE(lie->bends); i++) {
		const uint64_t value = htole64(lie->bends[i].value);

		if (lie->bends[i].of == say)
			memcpy(&f->bytes[lie->bends[i].at], &value, lie->bends[i].bytes);
	}
}

static inline void hear_attach(void)
{
	union foe_frame *f = hear_frame(KVX_FRAME_ATTACH);

	CHECK(f);
	CHECK_EQ(le32toh(f->attach.layout), LAYOUT);
	CHECK_EQ(le64toh(f->attach.worker_id), WORKER);
	CHECK_EQ(le64toh(f->attach.epoch), EPOCH);
	CHECK_EQ(f->attach.key[3], 0x42);
	the_id = le32toh(f->attach.id);
}

static inline void hear_want_keys(const char *what)
{
	union foe_frame *f = hear_frame(KVX_FRAME_WANT_KEYS);

	if (!f)
		FAIL("%s: nobody wants keys", what);
	the_device = le32toh(f->want_keys.device);
}

/* The layout is asked for, and it says what there is to say. */
static inline void answer(const struct lie *lie)
{
	const char *what = lie ? lie->what : "the truth";
	enum say next = ATTACHED;
	bool asked = false, lies_here;

	hear_attach();
	while (next < ALL) {
		lies_here = lie && lie->at == next;
		if (lies_here && lie->silent)
			return;
		if (next == KEYS && !asked) {
			hear_want_keys(what);
			asked = true;
		}
		make_frame(lies_here && lie->extra ? lie->extra : next,
			   lies_here || (lie && !lie->extra) ? lie : NULL);
		if (!lies_here) {
			if (!foe_say())
				FAIL("%s: the connection was cut", what);
			next++;
			continue;
		}
		if (lie->cut) {
			/* That may be before it is known that this has come. */
			foe_say();
			is_cut(what);
		} else if (!foe_say()) {
			FAIL("%s: the connection was cut", what);
		}
		if (lie->err)
			return;
		if (lie->anew) {
			asked = false;
			next = KEYS;
		} else if (!lie->cut && !lie->extra) {
			next++;
		}
		lie = NULL;
	}
}

/* It is not wanted any more. By all that was done, just this is different in its memory. */
static inline void let_go(const char *what, const int *to, const int *from, int nr)
{
	unsigned char *want = malloc(MEMORY);

	if (!hear_frame(KVX_FRAME_DETACH))
		FAIL("%s: it is not let go", what);
	CHECK(want);
	memcpy(want, truth, MEMORY);
	for (int i = 0; i < nr; i++)
		for (int e = 0; e < 4; e++)
			memcpy(block(want, to[i], e / 2, e % 2),
			       block(truth, from[i], e / 2, e % 2), REGION);
	if (memcmp(memory, want, MEMORY))
		FAIL("%s: the memory is not as it should be", what);
	memcpy(memory, truth, MEMORY);
	free(want);
}

#endif /* KVX_TEST_GRANTER_H */
