/* SPDX-License-Identifier: GPL-2.0-only */
/* The cluster key: see key.c. */
#ifndef KVX_KEY_H
#define KVX_KEY_H

#include <linux/types.h>

#include "proto.h"

/**
 * struct kvx_challenge - what a proof is about: of both who say it, and nothing of it secret
 * @boot_id: of who proves, then of who is to be convinced
 * @nonce: the rail
 * @random: of who proves, then of who is to be convinced
 * @addr: where who proves is, then where who is to be convinced is: as IPv6 has it. So nobody in
 * between can have one prove itself to the other
 * @active: who proves is who asked
 */
struct kvx_challenge {
	__le64 boot_id[2];
	__le64 nonce;
	__u8 random[2][KVX_CHALLENGE_BYTES];
	__u8 addr[2][16];
	__u8 active;
} __packed;

bool kvx_key_is_set(void);
int kvx_key_set(const void *secret, u32 bytes);
int kvx_key_prove(const struct kvx_challenge *challenge, u8 proof[KVX_PROOF_BYTES]);

#endif /* KVX_KEY_H */
