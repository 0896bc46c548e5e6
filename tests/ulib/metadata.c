// SPDX-License-Identifier: GPL-2.0-only
/* Metadata: what goes in comes out, and whatever else comes is refused by name. */
#include <stdlib.h>

#include "../../ulib/crc32c.c"
#include "../../ulib/metadata.c"
#include "../ktap.h"

#define LAYOUTS	5

static struct kvx_metadata_layout layouts[LAYOUTS];
static struct kvx_metadata all = { .layouts = layouts };

/* How many addresses what is encoded has. */
static size_t nr_addresses;

static unsigned char *encode(size_t nr, size_t *bytes)
{
	unsigned char *blob;

	all.info = (struct kvx_peer_info){
		.boot_id = 0x0123456789abcdef, .worker_id = 0xfedcba9876543210,
		.epoch = 0xabcdef123456, .layouts = nr, .name = "prefill-3",
	};
	for (size_t i = 0; i < nr; i++) {
		layouts[i].layout = (struct kvx_peer_layout){
			.handle = { all.info.worker_id, all.info.epoch << 16 | (i + 1) },
			.format = 1 + i % 4, .num_blocks = 1000 + i, .num_layers = 80,
			.outer_dim = 2, .page_size = 16, .inner_dim = 1024, .dtype_width = 2,
			.rights = 1 + i % 3, .first_block = i, .nr_blocks = 900,
			.region_bytes = 16 * 1024 * 2,
		};
		for (size_t k = 0; k < 16; k++)
			layouts[i].key[k] = i * 16 + k;
	}
	all.info.addresses = nr_addresses;
	for (size_t i = 0; i < nr_addresses; i++) {
		all.addresses[i] = (struct kvx_metadata_address){
			.family = i & 1 ? 6 : 4, .port = 19875 + i };
		memset(all.addresses[i].addr, 10 + i, i & 1 ? 16 : 4);
	}
	*bytes = kvx_metadata_bytes(nr_addresses, nr);
	blob = malloc(*bytes);
	CHECK(blob);
	kvx_metadata_encode(&all, blob);
	return blob;
}

static void sign(unsigned char *blob, size_t bytes)
{
	put(blob + CRC_AT, sum(blob, bytes), 4);
}

TEST(what_goes_in_comes_out)
{
	for (size_t nr = 0; nr <= LAYOUTS; nr++) {
		struct kvx_metadata_address address;
		struct kvx_metadata_layout one;
		struct kvx_peer_info info;
		size_t bytes;
		unsigned char *blob;

		nr_addresses = nr * 3;
		blob = encode(nr, &bytes);
		CHECK_EQ(bytes, 120 + 32 * nr_addresses + 72 * nr);
		CHECK_EQ(kvx_metadata_check(blob, bytes, &info), KVX_METADATA_OK);
		CHECK_EQ(info.boot_id, all.info.boot_id);
		CHECK_EQ(info.worker_id, all.info.worker_id);
		CHECK_EQ(info.epoch, all.info.epoch);
		CHECK_EQ(info.layouts, nr);
		CHECK_EQ(info.addresses, nr_addresses);
		for (size_t i = 0; i < nr_addresses; i++) {
			memset(&address, 0xff, sizeof(address));
			CHECK_EQ(kvx_metadata_address(blob, i, &address), KVX_METADATA_OK);
			CHECK(!memcmp(&address, &all.addresses[i], sizeof(address)));
		}
		CHECK(!strcmp(info.name, "prefill-3"));
		for (size_t i = 0; i < nr; i++) {
			CHECK_EQ(kvx_metadata_layout(blob, &info, i, &one), KVX_METADATA_OK);
			layouts[i].layout.size = sizeof(one.layout);
			CHECK(!memcmp(&one, &layouts[i], sizeof(one)));
		}
		free(blob);
	}
	nr_addresses = 0;
}

/* The bytes are the same on every machine. */
TEST(the_format_is_what_is_written_down)
{
	size_t bytes;
	unsigned char *blob = encode(1, &bytes);
	static const unsigned char head[] = {
		'K', 'V', 'X', 'M', 1, 0, 32, 0, 192, 0, 0, 0,
	};
	static const unsigned char middle[] = {
		0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
		0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
		0x56, 0x34, 0x12, 0xef, 0xcd, 0xab, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 72, 0, 0, 0,
	};

	CHECK(!memcmp(blob, head, sizeof(head)));
	CHECK(!memcmp(blob + 16, middle, sizeof(middle)));
	CHECK(!memcmp(blob + 120, "\1\0\0\0\1\0\0\0\350\3\0\0\120\0\0\0\2\0\0\0\20\0\0\0", 24));
	CHECK_EQ(get(blob + CRC_AT, 4), 0xaa7d8512);
	free(blob);
}

TEST(every_truncation_is_named)
{
	struct kvx_peer_info info;
	size_t bytes;
	unsigned char *blob = encode(3, &bytes);

	for (size_t n = 0; n < bytes; n++) {
		/* Just so many bytes, so that ASan sees a read beyond them. */
		unsigned char *cut = malloc(n ? n : 1);

		memcpy(cut, blob, n);
		CHECK_EQ(kvx_metadata_check(cut, n, &info), KVX_METADATA_TRUNCATED);
		free(cut);
	}
	free(blob);
}

TEST(every_changed_bit_is_found)
{
	struct kvx_peer_info info;
	size_t bytes;
	unsigned char *blob = encode(3, &bytes);

	for (size_t bit = 0; bit < bytes * 8; bit++) {
		blob[bit / 8] ^= 1 << bit % 8;
		CHECK(kvx_metadata_check(blob, bytes, &info) != KVX_METADATA_OK);
		blob[bit / 8] ^= 1 << bit % 8;
	}
	CHECK_EQ(kvx_metadata_check(blob, bytes, &info), KVX_METADATA_OK);
	free(blob);
}

/* With a right sum, from a program that means harm or does not know better. */
TEST(what_cannot_be_is_refused_by_name)
{
	struct kvx_metadata_layout one;
	struct kvx_peer_info info;
	size_t bytes;
	unsigned char *blob;

#define CHANGED(error, at, value, size) do {					\
	blob = encode(2, &bytes);						\
	put(blob + (at), value, size);						\
	sign(blob, bytes);							\
	CHECK_EQ(kvx_metadata_check(blob, bytes, &info), KVX_METADATA_##error);	\
	free(blob);								\
} while (0)
#define LAYOUT(at, value) do {							\
	blob = encode(2, &bytes);						\
	put(blob + 120 + 72 + (at), value, 4);					\
	sign(blob, bytes);							\
	CHECK_EQ(kvx_metadata_check(blob, bytes, &info), KVX_METADATA_OK);	\
	CHECK_EQ(kvx_metadata_layout(blob, &info, 0, &one), KVX_METADATA_OK);	\
	CHECK_EQ(kvx_metadata_layout(blob, &info, 1, &one), KVX_METADATA_FIELD);	\
	free(blob);								\
} while (0)
	CHANGED(MAGIC, 0, 0, 1);
	CHANGED(NEWER, 4, 2, 2);
	CHANGED(NEWER, 4, 0xffff, 2);
	CHANGED(FIELD, 4, 0, 2);
	CHANGED(LENGTH, 6, 31, 2);
	CHANGED(TRUNCATED, 8, 265, 4);
	CHANGED(LENGTH, 8, 263, 4);
	CHANGED(LENGTH, 40, 1, 4);
	CHANGED(LENGTH, 40, 0xffffffff, 4);
	CHANGED(LENGTH, 44, 3, 4);
	CHANGED(LENGTH, 44, 0xffffffff, 4);
	CHANGED(LENGTH, 48, 71, 4);
	CHANGED(FIELD, 32, 0, 8);
	CHANGED(FIELD, 32, 1ULL << 48, 8);
	CHANGED(FIELD, 52, 1, 4);
	CHANGED(FIELD, 56, 0, 1);
	CHANGED(FIELD, 119, 'x', 1);
	CHANGED(FIELD, 57, 27, 1);
	CHANGED(FIELD, 58, 0, 1);
	LAYOUT(0, 0);
	LAYOUT(0, 0x10000);
	LAYOUT(8, 0);
	LAYOUT(44, 1001);
	LAYOUT(48, 0);
	LAYOUT(48, 0xffffffff);
	LAYOUT(52, 1);
	LAYOUT(4, 0);
	LAYOUT(12, 0);
	LAYOUT(16, 0);
	LAYOUT(16, 9);
	LAYOUT(20, 0);
	LAYOUT(20, 17);
	LAYOUT(24, 0);
	LAYOUT(28, 0);
	LAYOUT(28, 9);
	LAYOUT(32, 0);
	LAYOUT(40, 0);
	LAYOUT(40, 4);
	nr_addresses = 2;
#define ADDRESS(at, value, size) do {						\
	struct kvx_metadata_address address;					\
										\
	blob = encode(2, &bytes);						\
	put(blob + 120 + (at), value, size);					\
	sign(blob, bytes);							\
	CHECK_EQ(kvx_metadata_check(blob, bytes, &info), KVX_METADATA_OK);	\
	CHECK_EQ(kvx_metadata_address(blob, (at) < 32, &address), KVX_METADATA_OK);	\
	CHECK_EQ(kvx_metadata_address(blob, (at) >= 32, &address), KVX_METADATA_FIELD);	\
	free(blob);								\
} while (0)
	ADDRESS(0, 5, 2);
	ADDRESS(0, 0, 2);
	ADDRESS(2, 0, 2);
	ADDRESS(4, 1, 4);
	ADDRESS(8, 0, 4);
	ADDRESS(12, 1, 1);
	ADDRESS(24, 1, 8);
	ADDRESS(32 + 4, 1, 4);
	ADDRESS(32 + 24, 1, 8);
	nr_addresses = 0;
#undef ADDRESS
#undef CHANGED
#undef LAYOUT
}
