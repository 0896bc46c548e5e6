// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames from anywhere: whatever the bytes, it ends, reads nothing beyond them, and what is taken
 * can be gone through by its own counts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../kmod/proto.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile __u64 sink;

static void walk(const void *frame, __u32 bytes)
{
	const struct kvx_wire_head *head = frame;
	const struct kvx_wire_table *table = frame;
	const struct kvx_wire_keys *keys = frame;
	const struct kvx_wire_note *note = frame;
	__u32 each, i;

	if (!!head->seq != kvx_frame_is_numbered(head->type) || le32_to_cpu(head->bytes) != bytes)
		abort();
	switch (head->type) {
	case KVX_FRAME_TABLE:
		each = le32_to_cpu(table->table) == KVX_TABLE_RANGES ? 2 : 1;
		for (i = 0; i < each * le32_to_cpu(table->nr); i++)
			sink += le64_to_cpu(table->words[i]);
		break;
	case KVX_FRAME_KEYS:
		for (i = 0; i < le32_to_cpu(keys->nr) && !keys->error; i++)
			sink += le32_to_cpu(keys->keys[i]);
		break;
	case KVX_FRAME_NOTE:
		for (i = 0; i < le32_to_cpu(note->bytes); i++)
			sink += note->data[i];
		break;
	}
}

/* Some are as long as a frame may be, or longer: of the same bytes again and again. */
static size_t length(const uint8_t *data, size_t size)
{
	if (!(data[0] & 8) || size < 4)
		return size;
	return 4 + (data[1] + data[2] * 256) % (KVX_FRAME_MAX + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvx_wire_head *head;
	size_t given = size, i;
	__u16 version;

	if (!size)
		return 0;
	size = length(data, size);
	head = malloc(size - 1 ? size - 1 : 1);
	for (i = 0; i < size - 1; i++)
		((uint8_t *)head)[i] = data[1 + i % (given - 1)];
	/* Chance does not find the length, nor often a type. */
	if (data[0] & 1 && size - 1 >= sizeof(*head)) {
		head->type %= KVX_FRAME_TYPES + 1;
		head->flags = 0;
		head->credits = 0;
		head->bytes = htole32(size - 1);
		head->seq = htole64(kvx_frame_is_numbered(head->type));
	}
	if (data[0] & 2 && size - 1 >= sizeof(struct kvx_wire_table) &&
	    head->type == KVX_FRAME_TABLE) {
		((struct kvx_wire_table *)head)->nr =
			htole32((size - 1 - sizeof(struct kvx_wire_table)) / 8);
		((struct kvx_wire_table *)head)->table = htole32(1 + (data[0] >> 2 & 1));
	}
	if (kvx_frame_check(head, size - 1) == KVX_FRAME_OK)
		walk(head, size - 1);
	kvx_greeting_check(head, size - 1, &version);
	free(head);
	return 0;
}
