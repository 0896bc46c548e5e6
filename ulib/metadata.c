// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* See metadata.h. Nothing here trusts a byte of what it is given. */
#include <stdbool.h>
#include <string.h>

#include "crc32c.h"
#include "metadata.h"

#define CRC_AT	12
#define WORDS	8

static void put(unsigned char *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = value >> 8 * i;
}

static uint64_t get(const unsigned char *at, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static bool zeros(const unsigned char *at, size_t bytes)
{
	while (bytes--)
		if (*at++)
			return false;
	return true;
}

static uint32_t sum(const unsigned char *blob, size_t bytes)
{
	static const unsigned char none[4];
	uint32_t crc = kvx_crc32c(0, blob, CRC_AT);

	crc = kvx_crc32c(crc, none, sizeof(none));
	return kvx_crc32c(crc, blob + CRC_AT + 4, bytes - CRC_AT - 4);
}

size_t kvx_metadata_bytes(size_t addresses, size_t layouts)
{
	return KVX_METADATA_HEAD + addresses * KVX_METADATA_ADDRESS + layouts * KVX_METADATA_LAYOUT;
}

void kvx_metadata_encode(const struct kvx_metadata *metadata, unsigned char *blob)
{
	const struct kvx_peer_info *info = &metadata->info;
	const size_t bytes = kvx_metadata_bytes(info->addresses, info->layouts);
	unsigned char *at = blob + KVX_METADATA_HEAD;

	memset(blob, 0, bytes);
	memcpy(blob, "KVXM", 4);
	put(blob + 4, KVX_METADATA_VERSION, 2);
	put(blob + 6, KVX_METADATA_ADDRESS, 2);
	put(blob + 8, bytes, 4);
	put(blob + 16, info->boot_id, 8);
	put(blob + 24, info->worker_id, 8);
	put(blob + 32, info->epoch, 8);
	put(blob + 40, info->addresses, 4);
	put(blob + 44, info->layouts, 4);
	put(blob + 48, KVX_METADATA_LAYOUT, 4);
	memcpy(blob + 56, info->name, strnlen(info->name, KVX_NAME_MAX - 1));
	for (size_t i = 0; i < info->addresses; i++) {
		put(at, metadata->addresses[i].family, 2);
		put(at + 2, metadata->addresses[i].port, 2);
		memcpy(at + 8, metadata->addresses[i].addr, sizeof(metadata->addresses[i].addr));
		at += KVX_METADATA_ADDRESS;
	}
	for (size_t i = 0; i < info->layouts; i++) {
		const struct kvx_peer_layout *layout = &metadata->layouts[i].layout;
		const uint32_t words[WORDS] = {
			kvx_handle_layout_id(layout->handle), layout->format, layout->num_blocks,
			layout->num_layers, layout->outer_dim, layout->page_size,
			layout->inner_dim, layout->dtype_width,
		};

		for (size_t w = 0; w < WORDS; w++)
			put(at + 4 * w, words[w], 4);
		put(at + 32, layout->region_bytes, 8);
		put(at + 40, layout->rights, 4);
		put(at + 44, layout->first_block, 4);
		put(at + 48, layout->nr_blocks, 4);
		memcpy(at + 56, metadata->layouts[i].key, sizeof(metadata->layouts[i].key));
		at += KVX_METADATA_LAYOUT;
	}
	put(blob + CRC_AT, sum(blob, bytes), 4);
}

/* What a name may hold, as the kernel sees it: it may be printed. */
static bool name_is_sound(const char name[KVX_NAME_MAX])
{
	const size_t length = strnlen(name, KVX_NAME_MAX);

	if (!length || length == KVX_NAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (name[i] < ' ' || name[i] > '~')
			return false;
	return zeros((const unsigned char *)name + length, KVX_NAME_MAX - length);
}

/* Could a layout be so? Who reads it may divide by what it says. */
static bool layout_is_sound(const struct kvx_peer_layout *l)
{
	uint64_t region;

	if (!l->format || !l->num_blocks || !l->num_layers || !l->outer_dim || l->outer_dim > 8 ||
	    !l->page_size || !l->inner_dim || !l->dtype_width || l->dtype_width > 8)
		return false;
	if (__builtin_mul_overflow((uint64_t)l->page_size * l->inner_dim,
				   (uint64_t)l->dtype_width, &region) || region != l->region_bytes)
		return false;
	return l->rights && !(l->rights & ~(KVX_GRANT_READ | KVX_GRANT_WRITE)) &&
	       l->first_block < l->num_blocks && l->nr_blocks &&
	       l->nr_blocks <= l->num_blocks - l->first_block;
}

enum kvx_metadata_error kvx_metadata_check(const unsigned char *blob, size_t bytes,
					   struct kvx_peer_info *info)
{
	uint64_t said, addresses, layouts;

	if (memcmp(blob, "KVXM", bytes < 4 ? bytes : 4))
		return KVX_METADATA_MAGIC;
	if (bytes >= 6 && get(blob + 4, 2) > KVX_METADATA_VERSION)
		return KVX_METADATA_NEWER;
	if (bytes < KVX_METADATA_HEAD)
		return KVX_METADATA_TRUNCATED;
	said = get(blob + 8, 4);
	addresses = get(blob + 40, 4);
	layouts = get(blob + 44, 4);
	if (bytes < said)
		return KVX_METADATA_TRUNCATED;
	if (said != bytes || sum(blob, bytes) != get(blob + CRC_AT, 4))
		return said != bytes ? KVX_METADATA_LENGTH : KVX_METADATA_CRC;
	if (addresses > KVX_METADATA_ADDRESSES_MAX || layouts > KVX_METADATA_LAYOUTS_MAX ||
	    get(blob + 6, 2) != KVX_METADATA_ADDRESS || get(blob + 48, 4) != KVX_METADATA_LAYOUT ||
	    said != KVX_METADATA_HEAD + addresses * KVX_METADATA_ADDRESS +
		    layouts * KVX_METADATA_LAYOUT)
		return KVX_METADATA_LENGTH;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->boot_id = get(blob + 16, 8);
	info->worker_id = get(blob + 24, 8);
	info->epoch = get(blob + 32, 8);
	info->addresses = addresses;
	info->layouts = layouts;
	memcpy(info->name, blob + 56, KVX_NAME_MAX);
	/* There is no version 0, nor an epoch 0. */
	if (!get(blob + 4, 2) || !info->epoch || info->epoch >> 48 || !zeros(blob + 52, 4) ||
	    !name_is_sound(info->name))
		return KVX_METADATA_FIELD;
	return KVX_METADATA_OK;
}

enum kvx_metadata_error kvx_metadata_address(const unsigned char *blob, size_t index,
					     struct kvx_metadata_address *address)
{
	const unsigned char *at = blob + KVX_METADATA_HEAD + index * KVX_METADATA_ADDRESS;

	address->family = get(at, 2);
	address->port = get(at + 2, 2);
	memcpy(address->addr, at + 8, sizeof(address->addr));
	if ((address->family != 4 && address->family != 6) || !address->port ||
	    !zeros(at + 4, 4) || !zeros(at + 24, 8) ||
	    zeros(address->addr, address->family == 4 ? 4 : 16) ||
	    (address->family == 4 && !zeros(address->addr + 4, 12)))
		return KVX_METADATA_FIELD;
	return KVX_METADATA_OK;
}

enum kvx_metadata_error kvx_metadata_layout(const unsigned char *blob,
					    const struct kvx_peer_info *info, size_t index,
					    struct kvx_metadata_layout *out)
{
	const unsigned char *at = blob + KVX_METADATA_HEAD +
				  get(blob + 40, 4) * KVX_METADATA_ADDRESS +
				  index * KVX_METADATA_LAYOUT;
	const uint64_t id = get(at, 4);
	struct kvx_peer_layout *layout = &out->layout;

	memset(out, 0, sizeof(*out));
	layout->size = sizeof(*layout);
	layout->handle.worker_id = info->worker_id;
	layout->handle.rest = info->epoch << 16 | id;
	layout->format = get(at + 4, 4);
	layout->num_blocks = get(at + 8, 4);
	layout->num_layers = get(at + 12, 4);
	layout->outer_dim = get(at + 16, 4);
	layout->page_size = get(at + 20, 4);
	layout->inner_dim = get(at + 24, 4);
	layout->dtype_width = get(at + 28, 4);
	layout->region_bytes = get(at + 32, 8);
	layout->rights = get(at + 40, 4);
	layout->first_block = get(at + 44, 4);
	layout->nr_blocks = get(at + 48, 4);
	memcpy(out->key, at + 56, sizeof(out->key));
	if (!id || id > 0xffff || !zeros(at + 52, 4) || !layout_is_sound(layout))
		return KVX_METADATA_FIELD;
	return KVX_METADATA_OK;
}
