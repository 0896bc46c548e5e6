// SPDX-License-Identifier: GPL-2.0-only
/* What nodes say to each other: frames that are sound are taken, all others are refused by name. */
#include <stdlib.h>

#include "../../kmod/proto.c"
#include "../ktap.h"

static union {
	struct kvx_wire_head head;
	struct kvx_wire_hello hello;
	struct kvx_wire_refused refused;
	struct kvx_wire_quiesce quiesce;
	struct kvx_wire_attach attach;
	struct kvx_wire_attached attached;
	struct kvx_wire_table table;
	struct kvx_wire_keys keys;
	struct kvx_wire_note note;
	struct kvx_wire_offer offer;
	struct kvx_wire_taken taken;
	unsigned char bytes[KVX_FRAME_MAX + 64];
} frame;

/* A sound frame of a type. */
static __u32 make(__u32 type)
{
	__u32 bytes = kvx_frames[type].bytes;

	memset(&frame, 0, sizeof(frame));
	switch (type) {
	case KVX_FRAME_HELLO:
		memcpy(frame.hello.name, "node", 4);
		break;
	case KVX_FRAME_REFUSED:
		frame.refused.refusal = htole32(KVXFER_REFUSAL_KEY);
		break;
	case KVX_FRAME_ATTACH:
		frame.attach.layout = htole32(7);
		break;
	case KVX_FRAME_ATTACHED:
		frame.attached.rights = htole32(KVXFER_GRANT_READ);
		frame.attached.end = htole32(10);
		frame.attached.num_blocks = htole32(10);
		frame.attached.nr_ranges = htole32(1);
		frame.attached.format = htole32(1);
		break;
	case KVX_FRAME_TABLE:
		frame.table.table = htole32(KVX_TABLE_RANGES);
		frame.table.nr = htole32(3);
		bytes += 48;
		break;
	case KVX_FRAME_KEYS:
		frame.keys.shift = htole32(20);
		frame.keys.total = htole32(9);
		frame.keys.first = htole32(4);
		frame.keys.nr = htole32(5);
		bytes += 20;
		break;
	case KVX_FRAME_NOTE:
		frame.note.bytes = htole32(33);
		bytes += 33;
		break;
	case KVX_FRAME_OFFER:
		frame.offer.bytes = htole64(1);
		break;
	}
	frame.head.type = type;
	frame.head.bytes = htole32(bytes);
	frame.head.seq = htole64(kvx_frames[type].numbered ? 1 : 0);
	return bytes;
}

TEST(sound_frames_are_taken)
{
	for (__u32 type = 1; type < KVX_FRAME_TYPES; type++) {
		const __u32 bytes = make(type);

		CHECK_EQ(kvx_frame_check(&frame, bytes), KVX_FRAME_OK);
		CHECK_EQ(kvx_frame_is_numbered(type), type >= KVX_FRAME_ATTACH);
	}
	CHECK(!kvx_frame_is_numbered(0));
	CHECK(!kvx_frame_is_numbered(KVX_FRAME_TYPES));
	CHECK(!kvx_frame_is_numbered(~0U));
}

/* In memory that ends with them, so that ASan sees a read beyond. */
TEST(every_length_but_the_right_one_is_refused)
{
	for (__u32 type = 1; type < KVX_FRAME_TYPES; type++) {
		const __u32 bytes = make(type);

		for (__u32 n = 0; n < bytes + 16; n++) {
			void *cut = malloc(n ? n : 1);

			memcpy(cut, &frame, n);
			CHECK_EQ(kvx_frame_check(cut, n) == KVX_FRAME_OK, n == bytes);
			/* And when it says so itself. */
			if (n >= sizeof(frame.head)) {
				((struct kvx_wire_head *)cut)->bytes = htole32(n);
				CHECK_EQ(kvx_frame_check(cut, n) == KVX_FRAME_OK, n == bytes);
			}
			free(cut);
		}
	}
	make(KVX_FRAME_NOTE);
	frame.head.bytes = htole32(KVX_FRAME_MAX + 1);
	CHECK_EQ(kvx_frame_check(&frame, KVX_FRAME_MAX + 1), KVX_FRAME_LENGTH);
}

TEST(what_a_head_may_not_say)
{
	__u32 bytes;

	for (__u32 type = 0; type < 256; type++) {
		if (type && type < KVX_FRAME_TYPES)
			continue;
		bytes = make(KVX_FRAME_BEAT);
		frame.head.type = type;
		CHECK_EQ(kvx_frame_check(&frame, bytes), KVX_FRAME_TYPE);
	}
	for (__u32 type = 1; type < KVX_FRAME_TYPES; type++) {
		bytes = make(type);
		frame.head.seq = htole64(kvx_frames[type].numbered ? 0 : 1);
		CHECK_EQ(kvx_frame_check(&frame, bytes), KVX_FRAME_SEQ);
		bytes = make(type);
		frame.head.flags = 1;
		CHECK_EQ(kvx_frame_check(&frame, bytes), KVX_FRAME_FIELD);
		bytes = make(type);
		frame.head.credits = htole16(KVX_FRAME_CREDITS + 1);
		CHECK_EQ(kvx_frame_check(&frame, bytes), KVX_FRAME_FIELD);
	}
}

#define REFUSED(type, change) do {						\
	const __u32 bytes = make(KVX_FRAME_##type);				\
	change;									\
	CHECK(kvx_frame_check(&frame, bytes) != KVX_FRAME_OK);			\
} while (0)

TEST(what_a_body_may_not_say)
{
	REFUSED(HELLO, memset(frame.hello.name, 'x', KVXFER_NAME_MAX));
	REFUSED(HELLO, frame.hello.name[0] = 27);
	REFUSED(HELLO, frame.hello.name[20] = 'x');
	REFUSED(HELLO, frame.hello.keyed = htole32(2));
	REFUSED(REFUSED, frame.refused.refusal = 0);
	REFUSED(REFUSED, frame.refused.refusal = htole32(256));
	REFUSED(REFUSED, frame.refused.zero = htole32(1));
	REFUSED(QUIESCE, frame.quiesce.asked = htole32(2));
	REFUSED(QUIESCE, frame.quiesce.zero = htole32(1));
	REFUSED(ATTACH, frame.attach.layout = htole32(0x10000));
	REFUSED(OFFER, frame.offer.bytes = 0);
	REFUSED(TAKEN, frame.taken.error = htole32(4096));
	REFUSED(ATTACHED, frame.attached.error = htole32(4096));
	REFUSED(ATTACHED, frame.attached.rights = 0);
	REFUSED(ATTACHED, frame.attached.rights = htole32(4));
	REFUSED(ATTACHED, frame.attached.first = htole32(10));
	REFUSED(ATTACHED, frame.attached.end = htole32(11));
	REFUSED(ATTACHED, frame.attached.nr_ranges = 0);
	REFUSED(ATTACHED, frame.attached.nr_ranges = htole32(KVX_RANGES_MAX + 1));
	REFUSED(ATTACHED, frame.attached.format = 0);
	REFUSED(TABLE, frame.table.table = 0);
	REFUSED(TABLE, frame.table.table = htole32(3));
	REFUSED(TABLE, frame.table.table = htole32(KVX_TABLE_BASES));
	REFUSED(TABLE, frame.table.nr = 0);
	REFUSED(TABLE, frame.table.nr = htole32(0xffffffff));
	REFUSED(TABLE, frame.table.first = htole32(0xffffffff));
	REFUSED(TABLE, frame.table.first = htole32(KVX_RANGES_MAX - 2));
	REFUSED(KEYS, frame.keys.error = htole32(4096));
	REFUSED(KEYS, frame.keys.error = htole32(5));
	REFUSED(KEYS, frame.keys.shift = htole32(KVX_SPAN_SHIFT_MIN - 1));
	REFUSED(KEYS, frame.keys.shift = htole32(KVX_SPAN_SHIFT_MAX + 1));
	REFUSED(KEYS, frame.keys.total = 0);
	REFUSED(KEYS, frame.keys.total = htole32(8));
	REFUSED(KEYS, frame.keys.total = htole32(KVX_KEYS_MAX + 1));
	REFUSED(KEYS, frame.keys.first = htole32(0xfffffffc));
	REFUSED(KEYS, frame.keys.nr = 0);
	REFUSED(KEYS, frame.keys.nr = htole32(4));
	REFUSED(KEYS, frame.keys.zero = htole32(1));
	REFUSED(NOTE, frame.note.bytes = htole32(32));
	REFUSED(NOTE, frame.note.bytes = htole32(KVXFER_NOTE_MAX + 1));
	REFUSED(NOTE, frame.note.zero = htole32(1));
}

TEST(greetings)
{
	struct kvx_wire_greeting greeting = {
		.magic = htole32(KVX_PROTO_MAGIC), .version = htole16(1), .oldest = htole16(1),
	};
	__u16 version;

	CHECK_EQ(kvx_greeting_check(&greeting, sizeof(greeting), &version), KVXFER_REFUSAL_NONE);
	CHECK_EQ(version, 1);
	CHECK_EQ(kvx_greeting_check(&greeting, sizeof(greeting) - 1, &version),
		 KVXFER_REFUSAL_MAGIC);
	CHECK_EQ(kvx_greeting_check(NULL, 0, &version), KVXFER_REFUSAL_MAGIC);
	/* One that knows later ones, too, is understood; one that knows only those is not. */
	greeting.version = htole16(9);
	CHECK_EQ(kvx_greeting_check(&greeting, sizeof(greeting), &version), KVXFER_REFUSAL_NONE);
	CHECK_EQ(version, 1);
	greeting.oldest = htole16(2);
	CHECK_EQ(kvx_greeting_check(&greeting, sizeof(greeting), &version),
		 KVXFER_REFUSAL_VERSION);
	greeting.version = 0;
	greeting.oldest = 0;
	CHECK_EQ(kvx_greeting_check(&greeting, sizeof(greeting), &version),
		 KVXFER_REFUSAL_VERSION);
	greeting.magic = 0;
	CHECK_EQ(kvx_greeting_check(&greeting, sizeof(greeting), &version), KVXFER_REFUSAL_MAGIC);
}

/* Each byte of a range is under one key, in a row, and each key within its span. */
TEST(spans_cover_a_range_without_a_gap)
{
	for (__u64 start = 0; start < 4 << 16; start += 4096) {
		for (__u64 bytes = 4096; bytes < 5 << 16; bytes += 4096 * 3) {
			const __u64 keys = kvx_span_keys(start, bytes, 16);
			__u64 key = 0, in_key = 0;

			for (__u64 at = 0; at < bytes;) {
				struct kvx_span span = kvx_span_at(start, bytes, 16, at);

				CHECK_EQ(span.key, key);
				CHECK_EQ(span.offset, in_key);
				CHECK(span.bytes && at + span.bytes <= bytes);
				/* From the middle of it one sees the same. */
				if (span.bytes > 100) {
					struct kvx_span mid = kvx_span_at(start, bytes, 16,
									  at + 100);

					CHECK_EQ(mid.key, key);
					CHECK_EQ(mid.offset, in_key + 100);
					CHECK_EQ(mid.bytes, span.bytes - 100);
				}
				at += span.bytes;
				CHECK(at == bytes || (start + at) % (1 << 16) == 0);
				key++;
				in_key = 0;
			}
			CHECK_EQ(key, keys);
		}
	}
}
