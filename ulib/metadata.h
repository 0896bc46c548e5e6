/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Metadata: what an agent tells others of itself, as bytes.
 *
 * All numbers are little-endian. A head, then the addresses of the agent's node, then its layouts:
 *
 *	 0  "KVXM"			 4  version: 1		 6  bytes of an address
 *	 8  bytes in all		12  crc32c of all, with zeros here
 *	16  boot id of the node		24  worker_id		32  epoch
 *	40  addresses			44  layouts		48  bytes of a layout
 *	52  zeros, 4 bytes		56  name, 64 bytes, padded with zeros
 *	120 the addresses, then the layouts
 *
 * An address is its family (4 for IPv4, 6 for IPv6) and port, 2 bytes each, zeros, 4, the address
 * in network order, 16, of which one of IPv4 has the first four, and zeros, 8.
 *
 * A layout is its id, format, blocks, layers, outers, tokens, elements, bytes of an element, all 4
 * bytes, the bytes of a region, 8; rights, first block, blocks, zeros, 4 each; and the key, 16.
 */
#ifndef KVX_METADATA_H
#define KVX_METADATA_H

#include <stddef.h>
#include <stdint.h>

#include "kvxfer.h"

#define KVX_METADATA_VERSION		1
#define KVX_METADATA_HEAD		120
#define KVX_METADATA_LAYOUT		72
#define KVX_METADATA_ADDRESS		32
#define KVX_METADATA_LAYOUTS_MAX	4096
#define KVX_METADATA_ADDRESSES_MAX	16

/* What is wrong with bytes that are no metadata. */
enum kvx_metadata_error {
	KVX_METADATA_OK,
	KVX_METADATA_MAGIC,	/* it is something else */
	KVX_METADATA_NEWER,	/* it is of a version that is not known here */
	KVX_METADATA_TRUNCATED,	/* it is shorter than it says */
	KVX_METADATA_LENGTH,	/* its lengths do not fit each other */
	KVX_METADATA_CRC,	/* its sum is wrong */
	KVX_METADATA_FIELD	/* a number in it cannot be */
};

/* A layout and the right to it, as it is told. */
struct kvx_metadata_layout {
	struct kvx_peer_layout layout;
	uint8_t key[16];
};

/* Where the node can be reached. */
struct kvx_metadata_address {
	uint16_t family;	/* 4 or 6 */
	uint16_t port;
	uint8_t addr[16];
};

/* What is told. */
struct kvx_metadata {
	struct kvx_peer_info info;
	struct kvx_metadata_address addresses[KVX_METADATA_ADDRESSES_MAX];
	struct kvx_metadata_layout *layouts;
};

size_t kvx_metadata_bytes(size_t addresses, size_t layouts);
void kvx_metadata_encode(const struct kvx_metadata *metadata, unsigned char *blob);

/* First the head, which says how many there are; then them, into the room for so many. */
enum kvx_metadata_error kvx_metadata_check(const unsigned char *blob, size_t bytes,
					   struct kvx_peer_info *info);
enum kvx_metadata_error kvx_metadata_address(const unsigned char *blob, size_t index,
					     struct kvx_metadata_address *address);
enum kvx_metadata_error kvx_metadata_layout(const unsigned char *blob,
					    const struct kvx_peer_info *info, size_t index,
					    struct kvx_metadata_layout *layout);

#endif /* KVX_METADATA_H */
