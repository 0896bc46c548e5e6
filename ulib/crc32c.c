// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* crc32c: by the processor's instruction where it has one, by a table elsewhere. */
#include <pthread.h>
#include <string.h>

#include "crc32c.h"

#define POLYNOMIAL	0x82f63b78

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[byte] = crc;
	}
}

uint32_t kvx_crc32c_by_table(uint32_t crc, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	pthread_once(&table_once, make_table);
	crc = ~crc;
	while (bytes--)
		crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
	return ~crc;
}

#ifdef __x86_64__

__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t bytes)
{
	uint64_t wide = (uint32_t)~crc, word;

	for (; bytes >= sizeof(word); bytes -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = wide;
	while (bytes--)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return ~crc;
}

uint32_t kvx_crc32c(uint32_t crc, const void *data, size_t bytes)
{
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(crc, data, bytes);
	return kvx_crc32c_by_table(crc, data, bytes);
}

#else

uint32_t kvx_crc32c(uint32_t crc, const void *data, size_t bytes)
{
	return kvx_crc32c_by_table(crc, data, bytes);
}

#endif
