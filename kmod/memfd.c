// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of memfds: which may become one, and what keeps their memory where it is.
 */
#include <linux/cred.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/shmem_fs.h>

#include "abi.h"
#include "compat.h"
#include "kvx.h"
#include "pool.h"

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

/* Has the caller's user made a pool of this memfd, which is there still? */
static bool kvx_memfd_is_pool(const struct file *file)
{
	struct kvx_pool *pool;
	unsigned long id = 0;
	bool is = false;

	while (!is && (pool = kvx_pool_after(id))) {
		id = pool->id;
		is = pool->file && file_inode(pool->file) == file_inode(file) &&
		     uid_eq(pool->uid, current_fsuid());
		kvx_pool_put_async(pool);
	}
	return is;
}

/*
 * Nothing of the memory may go away, and whoever hands it over may write it. F_SEAL_FUTURE_WRITE
 * may be ours, see kvx_memfd_seal().
 */
static bool kvx_memfd_seals_are_sound(const struct file *file, unsigned int seals, bool huge)
{
	if (!(seals & F_SEAL_SHRINK) || (huge && !(seals & F_SEAL_GROW)) || seals & F_SEAL_WRITE)
		return false;
	if (seals & F_SEAL_FUTURE_WRITE)
		return kvx_memfd_is_pool(file);
	return !(seals & F_SEAL_SEAL);
}

static int kvx_memfd_check(struct kvx_pool *pool, struct kvxfer_hdr *hdr)
{
	const unsigned int *where = kvx_memfd_seals(pool->file);
	const fmode_t both = FMODE_READ | FMODE_WRITE;
	struct inode *inode = file_inode(pool->file);
	unsigned int seals;

	if (!where)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_KIND, 0);
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC)
		pool->page_bytes = inode->i_sb->s_blocksize;
	seals = READ_ONCE(*where);
	if (!kvx_memfd_seals_are_sound(pool->file, seals, kvx_pool_is_huge(pool)))
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_SEAL, seals);
	if ((pool->file->f_mode & both) != both)
		return kvx_refuse(hdr, -EACCES, KVXFER_REASON_MEMFD_ACCESS, 0);
	return 0;
}

/**
 * kvx_memfd_take() - a pool is to be made of a memfd
 * @pool: the pool
 * @cmd: which says which memfd
 * @bytes: set to its size
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
 * kvx_memfd_seal() - from now on nobody takes pages out of a memfd
 * @pool: whose pages are pinned
 * @hdr: where a refusal is noted
 *
 * So transfers, which go to the pages that are pinned, and mappings see the same memory. Holes were
 * possible until here.
 *
 * Context: process, may sleep.
 * Return: 0 or -EINVAL.
 */
int kvx_memfd_seal(struct kvx_pool *pool, struct kvxfer_hdr *hdr)
{
	struct inode *inode = file_inode(pool->file);
	unsigned int *seals = kvx_memfd_seals(pool->file);
	bool sound;

	inode_lock(inode);
	sound = kvx_memfd_seals_are_sound(pool->file, *seals, kvx_pool_is_huge(pool));
	if (sound)
		*seals |= F_SEAL_FUTURE_WRITE;
	inode_unlock(inode);
	if (!sound)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_SEAL, *seals);
	if (!kvx_pages_are_of(&pool->pages, pool->file->f_mapping))
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_MEMFD_HOLE, 0);
	return 0;
}
