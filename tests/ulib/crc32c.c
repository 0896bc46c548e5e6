// SPDX-License-Identifier: GPL-2.0-only
/* crc32c: the known sums of RFC 3720, and that all ways to come to one agree. */
#include "../ktap.h"
#include "../../ulib/crc32c.c"

TEST(the_sums_of_the_standard)
{
	uint8_t bytes[32];

	CHECK_EQ(kvx_crc32c(0, "", 0), 0);
	CHECK_EQ(kvx_crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, 32);
	CHECK_EQ(kvx_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	CHECK_EQ(kvx_crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = i;
	CHECK_EQ(kvx_crc32c(0, bytes, 32), 0x46dd794e);
	CHECK_EQ(kvx_crc32c_by_table(0, bytes, 32), 0x46dd794e);
}

TEST(pieces_give_what_the_whole_gives_with_and_without_the_instruction)
{
	static uint8_t bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i * 7 + (i >> 3);
	for (size_t from = 0; from < 9; from++) {
		for (size_t n = 0; from + n <= sizeof(bytes); n += 13) {
			const uint32_t whole = kvx_crc32c_by_table(0, bytes + from, n);

			CHECK_EQ(kvx_crc32c(0, bytes + from, n), whole);
			for (size_t cut = 0; cut <= n; cut += 5)
				CHECK_EQ(kvx_crc32c(kvx_crc32c(0, bytes + from, cut),
						    bytes + from + cut, n - cut), whole);
		}
	}
}
