// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much of pools a user may have.
 *
 * A user's account is there as long as it has a pool. It is charged before memory is had, and
 * settled when the last reference to the pool goes, which may be a moment before the memory does.
 */
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include "abi.h"
#include "quota.h"

#define KVX_QUOTA_HASH_BITS	6
#define KVX_QUOTA_POOLS_DEFAULT	16384

static unsigned long quota_mib;
module_param(quota_mib, ulong, 0644);
MODULE_PARM_DESC(quota_mib, "MiB of pools each user may have (0: half of the machine's memory)");

static unsigned long quota_pools = KVX_QUOTA_POOLS_DEFAULT;
module_param(quota_pools, ulong, 0644);
MODULE_PARM_DESC(quota_pools, "pools each user may have");

static bool quota_root;
module_param(quota_root, bool, 0644);
MODULE_PARM_DESC(quota_root, "do the quotas hold for who has CAP_SYS_RESOURCE, too?");

/**
 * struct kvx_quota - a user's account
 * @uid: the user
 * @bytes: what its pools come to
 * @pools: how many there are; the account goes when this is 0
 * @link: in the hash
 */
struct kvx_quota {
	kuid_t uid;
	u64 bytes;
	u64 pools;
	struct hlist_node link;
};

/* kvx_quota_lock (mutex): the accounts. Taken inside kvx_pools_lock; process context only. */
static DEFINE_MUTEX(kvx_quota_lock);
static DEFINE_HASHTABLE(kvx_quotas, KVX_QUOTA_HASH_BITS);

/* Of all pools, until their memory has been given back. */
static atomic64_t kvx_pool_bytes;

static u64 kvx_quota_bytes_max(void)
{
	unsigned long mib = READ_ONCE(quota_mib);

	if (!READ_ONCE(quota_root) && capable(CAP_SYS_RESOURCE))
		return U64_MAX;
	if (!mib)
		return (u64)totalram_pages() << (PAGE_SHIFT - 1);
	return mib > U64_MAX >> 20 ? U64_MAX : (u64)mib << 20;
}

static u64 kvx_quota_pools_max(void)
{
	if (!READ_ONCE(quota_root) && capable(CAP_SYS_RESOURCE))
		return U64_MAX;
	return READ_ONCE(quota_pools);
}

static struct kvx_quota *__kvx_quota_find(kuid_t uid)
{
	struct kvx_quota *quota;

	lockdep_assert_held(&kvx_quota_lock);
	hash_for_each_possible(kvx_quotas, quota, link, __kuid_val(uid))
		if (uid_eq(quota->uid, uid))
			return quota;
	return NULL;
}

/**
 * kvx_quota_charge() - one more pool of the caller's
 * @bytes: its size
 * @hdr: where a refusal is noted
 *
 * Context: process, may sleep.
 * Return: the account, for kvx_quota_uncharge(); or ERR_PTR: -EDQUOT or -ENOMEM.
 */
struct kvx_quota *kvx_quota_charge(u64 bytes, struct kvxfer_hdr *hdr)
{
	struct kvx_quota *quota, *new;
	u64 bytes_max = kvx_quota_bytes_max(), pools_max = kvx_quota_pools_max();
	int err = 0;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return ERR_PTR(-ENOMEM);
	new->uid = current_fsuid();

	mutex_lock(&kvx_quota_lock);
	quota = __kvx_quota_find(new->uid) ?: new;
	if (quota->pools >= pools_max)
		err = kvx_refuse(hdr, -EDQUOT, KVXFER_REASON_QUOTA_POOLS, 0);
	else if (quota->bytes >= bytes_max || bytes > bytes_max - quota->bytes)
		err = kvx_refuse(hdr, -EDQUOT, KVXFER_REASON_QUOTA_BYTES, 0);
	if (!err) {
		quota->bytes += bytes;
		quota->pools++;
		atomic64_add(bytes, &kvx_pool_bytes);
		if (quota == new) {
			hash_add(kvx_quotas, &new->link, __kuid_val(new->uid));
			new = NULL;
		}
	}
	mutex_unlock(&kvx_quota_lock);
	kfree(new);
	return err ? ERR_PTR(err) : quota;
}

/**
 * kvx_quota_uncharge() - a pool is nobody's any more
 * @quota: the account, or NULL for a pool that was never charged
 * @bytes: its size
 *
 * Context: process, may sleep.
 */
void kvx_quota_uncharge(struct kvx_quota *quota, u64 bytes)
{
	if (!quota)
		return;
	mutex_lock(&kvx_quota_lock);
	quota->bytes -= bytes;
	if (!--quota->pools) {
		hash_del(&quota->link);
		kfree(quota);
	}
	mutex_unlock(&kvx_quota_lock);
}

/**
 * kvx_quota_pool_freed() - a pool's memory has been given back
 * @bytes: its size
 *
 * Context: any.
 */
void kvx_quota_pool_freed(u64 bytes)
{
	atomic64_sub(bytes, &kvx_pool_bytes);
}

/**
 * kvx_quota_query() - the caller's account
 * @cmd: its quota fields are filled
 *
 * Context: process, may sleep.
 */
void kvx_quota_query(struct kvxfer_query *cmd)
{
	struct kvx_quota *quota;

	cmd->out_quota_bytes = kvx_quota_bytes_max();
	cmd->out_quota_pools = kvx_quota_pools_max();
	cmd->out_pool_bytes = atomic64_read(&kvx_pool_bytes);
	mutex_lock(&kvx_quota_lock);
	quota = __kvx_quota_find(current_fsuid());
	cmd->out_quota_bytes_used = quota ? quota->bytes : 0;
	cmd->out_quota_pools_used = quota ? quota->pools : 0;
	mutex_unlock(&kvx_quota_lock);
}

/**
 * kvx_quota_exit() - after the last pool
 */
void kvx_quota_exit(void)
{
	WARN_ON_ONCE(!hash_empty(kvx_quotas));
	WARN_ON_ONCE(atomic64_read(&kvx_pool_bytes));
}
