// SPDX-License-Identifier: GPL-2.0-only
/* The pure checks, exhaustively where that is cheap, under ASan and UBSan. */
#include "../ktap.h"
#include "../../kmod/abi.c"

TEST(names_of_every_length_and_with_every_byte)
{
	for (unsigned int room = 1; room <= 80; room++) {
		/* Just the room, so that a read beyond it is seen. */
		__u8 *name = malloc(room);

		for (unsigned int len = 0; len <= room; len++) {
			struct kvxfer_hdr hdr = {};
			int err;

			memset(name, 'n', len);
			memset(name + len, 0, room - len);
			err = kvx_abi_check_name(&hdr, name, room);
			CHECK_EQ(err, len && len < room ? 0 : -EINVAL);
			if (!len)
				CHECK_EQ(hdr.reason, KVXFER_REASON_NAME_EMPTY);
			else if (len == room)
				CHECK_EQ(hdr.reason, KVXFER_REASON_NAME_LONG);
		}
		free(name);
	}
	for (unsigned int at = 0; at < 8; at++) {
		for (unsigned int byte = 1; byte < 256; byte++) {
			__u8 name[9] = "abcdefgh";
			struct kvxfer_hdr hdr = {};

			name[at] = byte;
			if (byte >= ' ' && byte <= '~') {
				CHECK_EQ(kvx_abi_check_name(&hdr, name, 9), 0);
				continue;
			}
			CHECK_EQ(kvx_abi_check_name(&hdr, name, 9), -EINVAL);
			CHECK_EQ(hdr.reason, KVXFER_REASON_NAME_CHAR);
			CHECK_EQ(hdr.index, at);
		}
	}
}

TEST(unused_fields_must_be_zero_to_the_last_byte)
{
	__u8 field[64] = {};
	struct kvxfer_hdr hdr = {};

	CHECK_EQ(kvx_abi_check_unused(&hdr, field, sizeof(field), 24), 0);
	for (unsigned int i = 0; i < sizeof(field); i++) {
		field[i] = 0x80;
		CHECK_EQ(kvx_abi_check_unused(&hdr, field, sizeof(field), 24), -EINVAL);
		CHECK_EQ(hdr.reason, KVXFER_REASON_FIELD_UNUSED);
		CHECK_EQ(hdr.index, 24);
		CHECK_EQ(kvx_abi_check_unused(&hdr, field, i, 24), 0);
		field[i] = 0;
	}
}

TEST(sizes_around_every_border)
{
	const __u32 borders[] = { 0, 16, 24, 100, KVXFER_SIZE_MAX, UINT32_MAX };

	for (size_t b = 0; b < ARRAY_SIZE(borders); b++) {
		for (int d = -1; d <= 1; d++) {
			struct kvxfer_hdr hdr = { .size = borders[b] + d };
			const int err = kvx_abi_check_size(&hdr, 24);

			if (hdr.size < 24)
				CHECK_EQ(err, -EINVAL);
			else
				CHECK_EQ(err, hdr.size > KVXFER_SIZE_MAX ? -EMSGSIZE : 0);
		}
	}
}

TEST(an_epoch_is_never_zero_and_never_wide)
{
	const uint64_t starts[] = { 0, 1, 0xffffffffffffULL, 0x1000000000000ULL, UINT64_MAX - 5 };

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		uint64_t epoch = starts[i];

		for (int n = 0; n < 10; n++) {
			const uint64_t next = kvx_epoch_after(epoch);

			CHECK(next && !(next >> KVXFER_EPOCH_BITS));
			CHECK(next != epoch);
			epoch = next;
		}
	}
}
