// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever the bytes: the checks end, read nothing beyond what they were given, and keep their
 * promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../kmod/abi.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int cond)
{
	if (!cond)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvxfer_hdr hdr;
	__u32 min, known;
	__u8 *name;
	int err;

	if (size < 16 || size > 4096)
		return 0;
	memcpy(&hdr.size, data, 4);
	memcpy(&hdr.flags, data + 4, 4);
	memcpy(&min, data + 8, 4);
	memcpy(&known, data + 12, 4);
	hdr.reason = 0;
	hdr.index = 0;
	err = kvx_abi_check_size(&hdr, min % KVXFER_SIZE_MAX);
	must(!err == (hdr.size >= min % KVXFER_SIZE_MAX && hdr.size <= KVXFER_SIZE_MAX));
	must(!err == !hdr.reason);
	err = kvx_abi_check_flags(&hdr, known);
	must(!err == !(hdr.flags & ~known));
	must(!err || (hdr.index < 32 && (hdr.flags & ~known & (1U << hdr.index))));

	/* Just the bytes there are, so that ASan sees a read beyond them. */
	size -= 16;
	name = malloc(size ?: 1);
	memcpy(name, data + 16, size);
	err = kvx_abi_check_name(&hdr, name, size);
	must(err || (size && memchr(name, 0, size) && name[0]));
	err = kvx_abi_check_unused(&hdr, name, size, 0);
	for (size_t i = 0; !err && i < size; i++)
		must(!name[i]);
	free(name);
	return 0;
}
