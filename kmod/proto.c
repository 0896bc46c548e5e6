// SPDX-License-Identifier: GPL-2.0-only
/* Pure: see proto.h. Nothing here trusts a byte of what it is given. */
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <asm/byteorder.h>
#else
#include <assert.h>
#include <endian.h>
#define le16_to_cpu(x)	le16toh((__u16)(x))
#define le32_to_cpu(x)	le32toh((__u32)(x))
#define le64_to_cpu(x)	le64toh((__u64)(x))
#endif

#include "proto.h"

/* What a connection request has room for, beside what is the connection manager's. */
#define KVX_GREETING_MAX	56

static_assert(sizeof(struct kvx_wire_greeting) <= KVX_GREETING_MAX, "too long");
static_assert(sizeof(struct kvx_wire_head) == 24, "it has no holes");
static_assert(sizeof(struct kvx_wire_note) + KVXFER_NOTE_MAX <= KVX_FRAME_MAX, "a note fits");

static const struct {
	__u16 bytes;
	bool open;
	bool numbered;
} kvx_frames[KVX_FRAME_TYPES] = {
	[KVX_FRAME_HELLO]	= { sizeof(struct kvx_wire_hello) },
	[KVX_FRAME_READY]	= { sizeof(struct kvx_wire_head) },
	[KVX_FRAME_CREDIT]	= { sizeof(struct kvx_wire_head) },
	[KVX_FRAME_BEAT]	= { sizeof(struct kvx_wire_beat) },
	[KVX_FRAME_PROOF]	= { sizeof(struct kvx_wire_proof) },
	[KVX_FRAME_REFUSED]	= { sizeof(struct kvx_wire_refused) },
	[KVX_FRAME_FLUSH]	= { sizeof(struct kvx_wire_flush) },
	[KVX_FRAME_FLUSHED]	= { sizeof(struct kvx_wire_flush) },
	[KVX_FRAME_ATTACH]	= { sizeof(struct kvx_wire_attach), false, true },
	[KVX_FRAME_ATTACHED]	= { sizeof(struct kvx_wire_attached), false, true },
	[KVX_FRAME_TABLE]	= { sizeof(struct kvx_wire_table), true, true },
	[KVX_FRAME_WANT_KEYS]	= { sizeof(struct kvx_wire_want_keys), false, true },
	[KVX_FRAME_KEYS]	= { sizeof(struct kvx_wire_keys), true, true },
	[KVX_FRAME_DETACH]	= { sizeof(struct kvx_wire_id), false, true },
	[KVX_FRAME_REVOKED]	= { sizeof(struct kvx_wire_id), false, true },
	[KVX_FRAME_NOTE]	= { sizeof(struct kvx_wire_note), true, true },
	[KVX_FRAME_QUIESCE]	= { sizeof(struct kvx_wire_quiesce), false, true },
	[KVX_FRAME_QUIESCED]	= { sizeof(struct kvx_wire_quiesced), false, true },
	[KVX_FRAME_NOTE_DONE]	= { sizeof(struct kvx_wire_note_done), false, true },
	[KVX_FRAME_OFFER]	= { sizeof(struct kvx_wire_offer), false, true },
	[KVX_FRAME_WITHDRAW]	= { sizeof(struct kvx_wire_id), false, true },
	[KVX_FRAME_TAKEN]	= { sizeof(struct kvx_wire_taken), false, true },
	[KVX_FRAME_WATCH]	= { sizeof(struct kvx_wire_agent), false, true },
	[KVX_FRAME_LEFT]	= { sizeof(struct kvx_wire_agent), false, true },
};

/**
 * kvx_frame_is_numbered() - does it belong to the nodes, not to the rail?
 * @type: &enum kvx_frame_type
 *
 * Context: any.
 * Return: true when it does.
 */
bool kvx_frame_is_numbered(__u32 type)
{
	return type < KVX_FRAME_TYPES && kvx_frames[type].numbered;
}

static bool kvx_name_is_sound(const char *name)
{
	__u32 i, end = 0;

	while (end < KVXFER_NAME_MAX && name[end]) {
		if (name[end] < ' ' || name[end] > '~')
			return false;
		end++;
	}
	for (i = end; i < KVXFER_NAME_MAX; i++)
		if (name[i])
			return false;
	return end < KVXFER_NAME_MAX;
}

/* An errno, or none. */
static bool kvx_error_is_sound(__le32 error)
{
	return le32_to_cpu(error) < 4096;
}

static enum kvx_frame_error kvx_check_attached(const struct kvx_wire_attached *a)
{
	const __u32 rights = le32_to_cpu(a->rights), first = le32_to_cpu(a->first);
	const __u32 end = le32_to_cpu(a->end), ranges = le32_to_cpu(a->nr_ranges);
	const __u32 format = le32_to_cpu(a->format);

	if (!kvx_error_is_sound(a->error))
		return KVX_FRAME_FIELD;
	if (a->error)
		return KVX_FRAME_OK;
	if (!rights || rights & ~(KVXFER_GRANT_READ | KVXFER_GRANT_WRITE) || first >= end ||
	    end > le32_to_cpu(a->num_blocks) || !ranges || ranges > KVX_RANGES_MAX || !format)
		return KVX_FRAME_FIELD;
	return KVX_FRAME_OK;
}

static enum kvx_frame_error kvx_check_table(const struct kvx_wire_table *t, __u32 bytes)
{
	const __u32 table = le32_to_cpu(t->table), nr = le32_to_cpu(t->nr);
	const __u64 first = le32_to_cpu(t->first);
	__u64 most, words;

	if (table != KVX_TABLE_BASES && table != KVX_TABLE_RANGES)
		return KVX_FRAME_FIELD;
	most = table == KVX_TABLE_BASES ? KVXFER_LAYOUT_ENTRIES_MAX : KVX_RANGES_MAX;
	words = table == KVX_TABLE_BASES ? nr : 2ULL * nr;
	if (!nr || first + nr > most)
		return KVX_FRAME_FIELD;
	return sizeof(*t) + words * 8 == bytes ? KVX_FRAME_OK : KVX_FRAME_LENGTH;
}

static enum kvx_frame_error kvx_check_keys(const struct kvx_wire_keys *k, __u32 bytes)
{
	const __u32 shift = le32_to_cpu(k->shift), total = le32_to_cpu(k->total);
	const __u64 first = le32_to_cpu(k->first), nr = le32_to_cpu(k->nr);

	if (!kvx_error_is_sound(k->error) || k->zero)
		return KVX_FRAME_FIELD;
	if (k->error)
		return nr || bytes != sizeof(*k) ? KVX_FRAME_LENGTH : KVX_FRAME_OK;
	if (shift < KVX_SPAN_SHIFT_MIN || shift > KVX_SPAN_SHIFT_MAX || !total ||
	    total > KVX_KEYS_MAX || !nr || first + nr > total)
		return KVX_FRAME_FIELD;
	return sizeof(*k) + nr * 4 == bytes ? KVX_FRAME_OK : KVX_FRAME_LENGTH;
}

static enum kvx_frame_error kvx_check_note(const struct kvx_wire_note *n, __u32 bytes)
{
	const __u32 length = le32_to_cpu(n->bytes);

	if (length > KVXFER_NOTE_MAX || n->zero)
		return KVX_FRAME_FIELD;
	return sizeof(*n) + length == bytes ? KVX_FRAME_OK : KVX_FRAME_LENGTH;
}

static enum kvx_frame_error kvx_check_body(const void *frame, __u32 type, __u32 bytes)
{
	const struct kvx_wire_hello *hello = frame;
	const struct kvx_wire_refused *refused = frame;
	const struct kvx_wire_quiesce *quiesce = frame;
	const struct kvx_wire_attach *attach = frame;
	const struct kvx_wire_offer *offer = frame;
	const struct kvx_wire_taken *taken = frame;

	switch (type) {
	case KVX_FRAME_HELLO:
		return le32_to_cpu(hello->keyed) > 1 || !kvx_name_is_sound(hello->name) ?
			       KVX_FRAME_FIELD : KVX_FRAME_OK;
	case KVX_FRAME_REFUSED:
		return !refused->refusal || le32_to_cpu(refused->refusal) > 255 || refused->zero ?
			       KVX_FRAME_FIELD : KVX_FRAME_OK;
	case KVX_FRAME_ATTACH:
		return le32_to_cpu(attach->layout) >> KVXFER_LAYOUT_ID_BITS ? KVX_FRAME_FIELD :
									      KVX_FRAME_OK;
	case KVX_FRAME_ATTACHED:
		return kvx_check_attached(frame);
	case KVX_FRAME_TABLE:
		return kvx_check_table(frame, bytes);
	case KVX_FRAME_KEYS:
		return kvx_check_keys(frame, bytes);
	case KVX_FRAME_QUIESCE:
		return le32_to_cpu(quiesce->asked) > 1 || quiesce->zero ? KVX_FRAME_FIELD :
									  KVX_FRAME_OK;
	case KVX_FRAME_NOTE:
		return kvx_check_note(frame, bytes);
	case KVX_FRAME_OFFER:
		return !offer->bytes ? KVX_FRAME_FIELD : KVX_FRAME_OK;
	case KVX_FRAME_TAKEN:
		return kvx_error_is_sound(taken->error) ? KVX_FRAME_OK : KVX_FRAME_FIELD;
	default:
		return KVX_FRAME_OK;
	}
}

/**
 * kvx_frame_check() - is it a frame that can be looked into?
 * @frame: what has come, at an address that is a multiple of 8
 * @bytes: how much
 *
 * Everything that who takes it relies on is looked at here: lengths, counts, and values that it
 * may not have. What the numbers name may be anything.
 *
 * Context: any.
 * Return: KVX_FRAME_OK or what is wrong.
 */
enum kvx_frame_error kvx_frame_check(const void *frame, __u32 bytes)
{
	const struct kvx_wire_head *head = frame;

	if (bytes < sizeof(*head))
		return KVX_FRAME_SHORT;
	if (bytes > KVX_FRAME_MAX || le32_to_cpu(head->bytes) != bytes)
		return KVX_FRAME_LENGTH;
	if (head->type >= KVX_FRAME_TYPES || !kvx_frames[head->type].bytes)
		return KVX_FRAME_TYPE;
	if (bytes < kvx_frames[head->type].bytes)
		return KVX_FRAME_SHORT;
	if (!kvx_frames[head->type].open && bytes != kvx_frames[head->type].bytes)
		return KVX_FRAME_LENGTH;
	if (!head->seq == kvx_frames[head->type].numbered)
		return KVX_FRAME_SEQ;
	if (head->flags || le16_to_cpu(head->credits) > KVX_FRAME_CREDITS)
		return KVX_FRAME_FIELD;
	return kvx_check_body(frame, head->type, bytes);
}

/**
 * kvx_greeting_check() - is it a greeting, of a version that is known here?
 * @data: private data, which may be longer than what was sent
 * @bytes: how much
 * @version: set to the one that both know
 *
 * Context: any.
 * Return: KVXFER_REFUSAL_NONE, _MAGIC or _VERSION.
 */
enum kvxfer_refusal kvx_greeting_check(const void *data, __u32 bytes, __u16 *version)
{
	const struct kvx_wire_greeting *greeting = data;

	*version = 0;
	if (!data || bytes < sizeof(*greeting) || le32_to_cpu(greeting->magic) != KVX_PROTO_MAGIC)
		return KVXFER_REFUSAL_MAGIC;
	if (le16_to_cpu(greeting->oldest) > KVX_PROTO_VERSION || !greeting->version ||
	    le16_to_cpu(greeting->version) < KVX_PROTO_VERSION)
		return KVXFER_REFUSAL_VERSION;
	*version = KVX_PROTO_VERSION;
	return KVXFER_REFUSAL_NONE;
}
