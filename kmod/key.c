// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cluster key: who does not know it is no node of ours.
 *
 * It is never sent. Each end gives the other a random number, and proves that it knows the key by
 * an HMAC of both, of who both are and of who asked: so a proof is of use once, and to nobody else.
 * Those connections stay that were made before it was set.
 */
#include <crypto/hash.h>
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/string.h>

#include "key.h"

static DEFINE_MUTEX(kvx_key_lock);
static struct crypto_shash *kvx_key_hash;

/**
 * kvx_key_is_set() - do strangers have to prove themselves?
 *
 * Context: any.
 * Return: true when they do.
 */
bool kvx_key_is_set(void)
{
	return READ_ONCE(kvx_key_hash);
}

/**
 * kvx_key_set() - from now on it is another
 * @secret: the key
 * @bytes: how long; 0 for none
 *
 * Context: process, may sleep.
 * Return: 0 or an errno.
 */
int kvx_key_set(const void *secret, u32 bytes)
{
	struct crypto_shash *hash = NULL, *before;
	int err;

	if (bytes) {
		hash = crypto_alloc_shash("hmac(sha256)", 0, 0);
		if (IS_ERR(hash))
			return PTR_ERR(hash);
		err = crypto_shash_setkey(hash, secret, bytes);
		if (err) {
			crypto_free_shash(hash);
			return err;
		}
	}
	mutex_lock(&kvx_key_lock);
	before = kvx_key_hash;
	WRITE_ONCE(kvx_key_hash, hash);
	mutex_unlock(&kvx_key_lock);
	/* With all that it has made of the key. */
	if (before)
		crypto_free_shash(before);
	return 0;
}

/**
 * kvx_key_prove() - what only who knows the key can say
 * @challenge: about what
 * @proof: to be set
 *
 * Context: process, may sleep.
 * Return: 0 or an errno: -ENOKEY when there is none.
 */
int kvx_key_prove(const struct kvx_challenge *challenge, u8 proof[KVX_PROOF_BYTES])
{
	int err = -ENOKEY;

	mutex_lock(&kvx_key_lock);
	if (kvx_key_hash)
		err = crypto_shash_tfm_digest(kvx_key_hash, (const u8 *)challenge,
					      sizeof(*challenge), proof);
	mutex_unlock(&kvx_key_lock);
	return err;
}
