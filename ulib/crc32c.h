/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* crc32c (Castagnoli), as iSCSI, ext4 and the kernel's crc32c() have it. */
#ifndef KVX_CRC32C_H
#define KVX_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The sum of @bytes more at @data after those whose sum is @crc; 0 at the beginning. */
uint32_t kvx_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same without the processor's help, for where there is none, and to compare. */
uint32_t kvx_crc32c_by_table(uint32_t crc, const void *data, size_t bytes);

#endif /* KVX_CRC32C_H */
