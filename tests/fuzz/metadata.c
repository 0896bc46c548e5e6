// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metadata from anywhere: whatever the bytes, it ends, reads nothing beyond them, and says of
 * nothing that it is sound that cannot be told again in the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ulib/crc32c.c"
#include "../../ulib/metadata.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int cond)
{
	if (!cond)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvx_metadata metadata = {};
	struct kvx_metadata_layout one;
	unsigned char *blob, *again;
	bool sound = true;
	size_t bytes, first;

	if (size < 2)
		return 0;
	/* Chance finds neither the magic nor the sum: some get one, some both. */
	bytes = size - 1;
	blob = malloc(bytes);
	memcpy(blob, data + 1, bytes);
	if (data[0] & 1 && bytes >= 8)
		memcpy(blob, "KVXM\1\0\40", 8);
	first = KVX_METADATA_HEAD + (data[0] >> 2 & 1) * KVX_METADATA_ADDRESS;
	if (data[0] & 4 && bytes >= first) {
		put(blob + KVX_METADATA_HEAD, blob[KVX_METADATA_HEAD] & 1 ? 4 : 6, 2);
		put(blob + KVX_METADATA_HEAD + 4, 0, 4);
		put(blob + KVX_METADATA_HEAD + 24, 0, 8);
	}
	if (data[0] & 2 && bytes >= first) {
		put(blob + 8, bytes, 4);
		put(blob + 40, data[0] >> 2 & 1, 4);
		put(blob + 44, (bytes - first) / KVX_METADATA_LAYOUT, 4);
		put(blob + 48, KVX_METADATA_LAYOUT, 4);
	}
	if (data[0] & 8 && bytes >= KVX_METADATA_HEAD) {
		put(blob + 52, 0, 4);
		put(blob + 32, get(blob + 32, 6) | 1, 8);
		memset(blob + 57, 0, KVX_NAME_MAX - 1);
		blob[56] = 'a' + blob[56] % 26;
	}
	/* Layouts that could be, but for what is left to chance. */
	for (size_t at = first; data[0] & 16 && at + KVX_METADATA_LAYOUT <= bytes;
	     at += KVX_METADATA_LAYOUT) {
		put(blob + at, 1 + blob[at], 4);
		put(blob + at + 16, 1 + blob[at + 16] % 8, 4);
		put(blob + at + 28, 1 + blob[at + 28] % 8, 4);
		put(blob + at + 32, get(blob + at + 20, 4) * get(blob + at + 24, 4) *
				    get(blob + at + 28, 4), 8);
		put(blob + at + 40, 1 + blob[at + 40] % 3, 4);
		put(blob + at + 44, 0, 4);
		put(blob + at + 48, get(blob + at + 8, 4), 4);
		put(blob + at + 52, 0, 4);
	}
	if (bytes >= KVX_METADATA_HEAD)
		put(blob + CRC_AT, sum(blob, bytes), 4);
	if (kvx_metadata_check(blob, bytes, &metadata.info)) {
		free(blob);
		return 0;
	}
	metadata.layouts = calloc(metadata.info.layouts + 1, sizeof(*metadata.layouts));
	for (size_t i = 0; i < metadata.info.layouts; i++) {
		sound &= !kvx_metadata_layout(blob, &metadata.info, i, &one);
		metadata.layouts[i] = one;
	}
	for (size_t i = 0; i < metadata.info.addresses; i++)
		sound &= !kvx_metadata_address(blob, i, &metadata.addresses[i]);
	/* What is sound says the same when it is told again. */
	if (sound) {
		must(kvx_metadata_bytes(metadata.info.addresses, metadata.info.layouts) == bytes);
		again = malloc(bytes);
		kvx_metadata_encode(&metadata, again);
		memset(blob + CRC_AT, 0, 4);
		memset(again + CRC_AT, 0, 4);
		must(!memcmp(blob, again, bytes));
		free(again);
	}
	free(metadata.layouts);
	free(blob);
	return 0;
}
