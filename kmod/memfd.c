// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of memfds: which may become one, and what keeps their memory where it is.
 */
#include <linux/cred.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/shmem_fs.h>

#include "abi.h"
#include "compat.h"
#include "kvx.h"
#include "pool.h"

/* While a memfd is a pool: no holes, no writing by other ways, and no seals of others. */
#define KVX_MEMFD_SEALS	(F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static DEFINE_MUTEX(kvx_memfds_lock);
/*
 * Pools of memfds that are sealed; under kvx_memfds_lock. An inode's lock is outside: a program can
 * have the kernel hold that for as long as it likes, so nobody waits for it who holds ours.
 */
static LIST_HEAD(kvx_memfds);

/* Where the seals of a memfd are, which change under its inode's lock; NULL for another file. */
static unsigned int *kvx_memfd_seals(const struct file *file)
{
	struct inode *inode = file_inode(file);

	if (!S_ISREG(inode->i_mode))
		return NULL;
	if (inode->i_sb->s_magic == TMPFS_MAGIC)
		return &SHMEM_I(inode)->seals;
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC)
		return kvx_hugetlb_seals(inode);
	return NULL;
}

/* A pool of the same memfd, of any user. */
static struct kvx_pool *__kvx_memfd_pool(const struct inode *inode)
{
	struct kvx_pool *pool;

	lockdep_assert_held(&kvx_memfds_lock);
	list_for_each_entry(pool, &kvx_memfds, memfd_link)
		if (file_inode(pool->file) == inode)
			return pool;
	return NULL;
}

/*
 * Nothing of the memory may go away, and whoever hands it over may write it. If there is a pool of
 * it already, its seals are ours, and its user may have another.
 */
static bool __kvx_memfd_seals_are_sound(const struct kvx_pool *pool, unsigned int seals)
{
	const struct kvx_pool *other = __kvx_memfd_pool(file_inode(pool->file));

	if (!(seals & F_SEAL_SHRINK) || (kvx_pool_is_huge(pool) && !(seals & F_SEAL_GROW)) ||
	    seals & F_SEAL_WRITE)
		return false;
	if (other)
		return uid_eq(other->uid, pool->uid);
	return !(seals & KVX_MEMFD_SEALS);
}

static int kvx_memfd_check(struct kvx_pool *pool, struct kvxfer_hdr *hdr)
{
	const unsigned int *where = kvx_memfd_seals(pool->file);
	const fmode_t both = FMODE_READ | FMODE_WRITE;
	struct inode *inode = file_inode(pool->file);
	unsigned int seals;
	bool sound;

	if (!where)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_KIND, 0);
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC)
		pool->page_bytes = inode->i_sb->s_blocksize;
	mutex_lock(&kvx_memfds_lock);
	seals = READ_ONCE(*where);
	sound = __kvx_memfd_seals_are_sound(pool, seals);
	mutex_unlock(&kvx_memfds_lock);
	if (!sound)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_SEAL, seals);
	if ((pool->file->f_mode & both) != both)
		return kvx_refuse(hdr, -EACCES, KVXFER_REASON_MEMFD_ACCESS, 0);
	return 0;
}

/**
 * kvx_memfd_take() - take the memfd of a new pool, after checking its kind, seals and size
 * @pool: new pool, not published
 * @cmd: command with the memfd's descriptor
 * @bytes: set to the size of the pool
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_memfd_take(struct kvx_pool *pool, struct kvxfer_pool_create *cmd, u64 *bytes)
{
	u64 have;
	int err;

	pool->file = fget(cmd->fd);
	if (!pool->file)
		return -EBADF;
	err = kvx_memfd_check(pool, &cmd->hdr);
	if (err)
		return err;
	have = i_size_read(file_inode(pool->file));
	*bytes = cmd->bytes ?: have;
	/* Huge pages are mapped by their file, which knows no other end than its own. */
	if (*bytes > have || *bytes & (pool->page_bytes - 1) ||
	    (kvx_pool_is_huge(pool) && *bytes != have))
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_POOL_SIZE, 0);
	if (!kvx_pool_is_huge(pool))
		return 0;
	pool->read_file = dentry_open(&pool->file->f_path, O_RDONLY | O_LARGEFILE, current_cred());
	err = PTR_ERR_OR_ZERO(pool->read_file);
	if (err)
		pool->read_file = NULL;
	return err;
}

/**
 * kvx_memfd_seal() - forbid holes in a memfd, and check that there were none since it was pinned
 * @pool: pool with pinned pages
 * @hdr: header that receives the reason of a refusal
 *
 * Transfers use the pinned pages and mappings use the file, so both must be the same pages.
 * F_SEAL_SEAL keeps user space from setting seals that kvx_memfd_drop() would have to preserve.
 *
 * Context: process, may sleep.
 * Return: 0, -EINVAL or -EINTR.
 */
int kvx_memfd_seal(struct kvx_pool *pool, struct kvxfer_hdr *hdr)
{
	struct inode *inode = file_inode(pool->file);
	unsigned int *where = kvx_memfd_seals(pool->file);
	unsigned int seals;
	bool sound;

	if (down_write_killable(&inode->i_rwsem))
		return kvx_refuse(hdr, -EINTR, KVXFER_REASON_INTERRUPTED,
				  pool->bytes >> 20);
	mutex_lock(&kvx_memfds_lock);
	seals = *where;
	sound = __kvx_memfd_seals_are_sound(pool, seals);
	if (sound) {
		*where = seals | KVX_MEMFD_SEALS;
		list_add(&pool->memfd_link, &kvx_memfds);
	}
	mutex_unlock(&kvx_memfds_lock);
	inode_unlock(inode);
	if (!sound)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_SEAL, seals);
	if (!kvx_pages_are_of(&pool->pages, pool->file->f_mapping))
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_HOLE, 0);
	return 0;
}

/**
 * kvx_memfd_drop() - release the memfd of a pool, and remove the seals with its last pool
 * @pool: pool that is being freed, of any kind
 *
 * Context: process, may sleep.
 */
void kvx_memfd_drop(struct kvx_pool *pool)
{
	struct inode *inode;

	if (pool->read_file)
		fput(pool->read_file);
	if (!pool->file)
		return;
	inode = file_inode(pool->file);
	mutex_lock(&kvx_memfds_lock);
	if (!list_empty(&pool->memfd_link)) {
		list_del_init(&pool->memfd_link);
		/* Without the inode's lock: with F_SEAL_SEAL only we change them. */
		if (!__kvx_memfd_pool(inode))
			*kvx_memfd_seals(pool->file) &= ~KVX_MEMFD_SEALS;
	}
	mutex_unlock(&kvx_memfds_lock);
	fput(pool->file);
}
