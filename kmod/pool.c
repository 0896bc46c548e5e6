// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools: memory that the system owns.
 *
 * A pool is held by references: one of each agent that has it open (struct kvx_pool_open), one of
 * each mapping, one of each layout and of each dma-buf of it, one of its name. When the last goes,
 * so does the memory. All pools of the node are in kvx_pools from when they are complete until
 * then; those with a name are in kvx_pool_names, too. Neither table holds a reference of its own:
 * the last one goes only under kvx_pools_lock, and takes the pool out; who finds a pool there under
 * that lock may take one.
 */
#include <linux/cred.h>
#include <linux/dma-buf.h>
#include <linux/file.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/stringhash.h>
#include <linux/uaccess.h>
#include <linux/fcntl.h>

#include "abi.h"
#include "compat.h"
#include "kvx.h"
#include "pool.h"
#include "quota.h"
#include "rdma/rdma.h"
#include "trace.h"

#define KVX_POOL_NAMES_HASH_BITS	12
#define KVX_POOL_MODE_BITS		0666

/* See kvx.h. */
DEFINE_MUTEX(kvx_pools_lock);
static DEFINE_XARRAY_ALLOC1(kvx_pools);
static DEFINE_HASHTABLE(kvx_pool_names, KVX_POOL_NAMES_HASH_BITS);
static u32 kvx_pool_id_last;
static struct workqueue_struct *kvx_pool_wq;

static u32 kvx_pool_name_hash(const char *name)
{
	return full_name_hash(NULL, name, strlen(name));
}

static struct kvx_pool *__kvx_pool_find(const char *name)
{
	struct kvx_pool *pool;

	lockdep_assert_held(&kvx_pools_lock);
	hash_for_each_possible(kvx_pool_names, pool, name_link, kvx_pool_name_hash(name))
		if (!strcmp(pool->name, name))
			return pool;
	return NULL;
}

/* Gives back what kvx_pool_publish() and the makers took, in the reverse order. */
static void kvx_pool_free(struct kvx_pool *pool)
{
	u64 bytes = pool->bytes;

	kvx_maps_drop(pool);
	kvx_pages_free(&pool->pages);
	kvx_dmabuf_drop(pool);
	if (pool->mm) {
		atomic64_sub(bytes >> PAGE_SHIFT, &pool->mm->pinned_vm);
		mmdrop(pool->mm);
	}
	kvx_memfd_drop(pool);
	put_pid(pool->pid);
	mutex_destroy(&pool->cpu_lock);
	kvx_quota_pool_freed(bytes);
	kfree(pool);
	module_put(THIS_MODULE);
}

static void kvx_pool_free_work(struct work_struct *work)
{
	kvx_pool_free(container_of(work, struct kvx_pool, free_work));
}

/* The last reference has gone: nobody finds the pool any more, and its owner may have another. */
static void __kvx_pool_retire(struct kref *ref)
{
	struct kvx_pool *pool = container_of(ref, struct kvx_pool, ref);

	lockdep_assert_held(&kvx_pools_lock);
	trace_kvx_pool_free(pool);
	if (pool->id)
		xa_erase(&kvx_pools, pool->id);
	kvx_quota_uncharge(pool->quota, pool->bytes);
	mutex_unlock(&kvx_pools_lock);
}

/**
 * kvx_pool_put() - drop a reference, and free the pool if it was the last
 * @pool: the pool
 *
 * Context: process, may sleep, for long when the pool is large.
 */
void kvx_pool_put(struct kvx_pool *pool)
{
	if (kref_put_mutex(&pool->ref, __kvx_pool_retire, &kvx_pools_lock))
		kvx_pool_free(pool);
}
EXPORT_SYMBOL_IF_KUNIT(kvx_pool_put);

/**
 * kvx_pool_put_async() - the same where one must not stay: the pool is freed by a worker
 * @pool: the pool
 *
 * Context: process, may sleep for a mutex.
 */
void kvx_pool_put_async(struct kvx_pool *pool)
{
	if (kref_put_mutex(&pool->ref, __kvx_pool_retire, &kvx_pools_lock))
		queue_work(kvx_pool_wq, &pool->free_work);
}

static struct kvx_pool *kvx_pool_new(enum kvxfer_pool_kind kind)
{
	struct kvx_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL_ACCOUNT);

	if (!pool)
		return NULL;
	/* A pool has code of ours to run when it dies, whoever holds it. */
	__module_get(THIS_MODULE);
	kref_init(&pool->ref);
	mutex_init(&pool->cpu_lock);
	mutex_init(&pool->dev_maps_lock);
	INIT_LIST_HEAD(&pool->dev_maps);
	INIT_LIST_HEAD(&pool->memfd_link);
	INIT_WORK(&pool->free_work, kvx_pool_free_work);
	pool->kind = kind;
	pool->page_bytes = PAGE_SIZE;
	pool->uid = current_fsuid();
	pool->gid = current_fsgid();
	pool->pid = get_pid(task_tgid(current));
	return pool;
}

/* Make it known: from now on others may find it. */
static int kvx_pool_publish(struct kvx_pool *pool, struct kvxfer_hdr *hdr)
{
	int err = 0;

	pool->born_ns = ktime_get_ns();
	mutex_lock(&kvx_pools_lock);
	/* Somebody may have taken the name while the memory was being had. */
	if (pool->name[0] && __kvx_pool_find(pool->name))
		err = kvx_refuse(hdr, -EEXIST, KVXFER_REASON_POOL_NAME_TAKEN, 0);
	if (!err)
		err = xa_alloc_cyclic(&kvx_pools, &pool->id, pool, xa_limit_31b, &kvx_pool_id_last,
				      GFP_KERNEL_ACCOUNT);
	if (err < 0) {
		pool->id = 0;
	} else {
		err = 0;
		if (pool->name[0]) {
			hash_add(kvx_pool_names, &pool->name_link, kvx_pool_name_hash(pool->name));
			pool->linked = true;
			kref_get(&pool->ref);
		}
		trace_kvx_pool_create(pool);
	}
	mutex_unlock(&kvx_pools_lock);
	return err;
}

static void __kvx_pool_unname(struct kvx_pool *pool)
{
	lockdep_assert_held(&kvx_pools_lock);
	hash_del(&pool->name_link);
	pool->linked = false;
}

/* Take the name away, and the reference that it held; the caller has one of its own. */
static void kvx_pool_unname(struct kvx_pool *pool)
{
	bool was;

	mutex_lock(&kvx_pools_lock);
	was = pool->linked;
	if (was)
		__kvx_pool_unname(pool);
	mutex_unlock(&kvx_pools_lock);
	if (was)
		kvx_pool_put(pool);
}

static bool kvx_pool_name_taken(const char *name)
{
	bool taken;

	mutex_lock(&kvx_pools_lock);
	taken = __kvx_pool_find(name);
	mutex_unlock(&kvx_pools_lock);
	return taken;
}

static bool kvx_pool_allows(const struct kvx_pool *pool, bool write)
{
	unsigned int want = write ? 06 : 04, mode = pool->mode;

	if (uid_eq(pool->uid, current_fsuid()))
		mode >>= 6;
	else if (in_group_p(pool->gid))
		mode >>= 3;
	return (mode & want) == want || capable(CAP_DAC_OVERRIDE);
}

/*
 * --- what an agent has open ---------------------------------------------------------------------
 */

/**
 * struct kvx_pool_open - a pool that an agent has open; in the agent's xarray
 * @pool: with a reference
 * @write: for both ways
 */
struct kvx_pool_open {
	struct kvx_pool *pool;
	bool write;
};

/*
 * A number for @pool in @agent, which is only reserved yet: kvx_pool_opened() or kvx_pool_undo()
 * must follow. Takes over the caller's reference to @pool, when it succeeds.
 */
static int kvx_pool_attach(struct kvx_agent *agent, struct kvx_pool *pool, bool write, u32 *handle,
			   struct kvx_pool_open **out)
{
	struct kvx_pool_open *open = kmalloc(sizeof(*open), GFP_KERNEL_ACCOUNT);
	int err;

	if (!open)
		return -ENOMEM;
	open->pool = pool;
	open->write = write;
	err = xa_alloc(&agent->pools, handle, NULL, XA_LIMIT(1, KVX_POOL_HANDLE_MAX),
		       GFP_KERNEL_ACCOUNT);
	if (err) {
		kfree(open);
		return err;
	}
	atomic_inc(&pool->opens);
	*out = open;
	return 0;
}

static void kvx_pool_detach(struct kvx_pool_open *open)
{
	atomic_dec(&open->pool->opens);
	kvx_pool_put(open->pool);
	kfree(open);
}

/**
 * kvx_pool_get() - a pool that an agent has open
 * @agent: the agent
 * @handle: the pool's number in it
 * @write: set to whether it is open for both ways; may be NULL
 *
 * Context: process, may sleep.
 * Return: the pool, with a reference; or NULL.
 */
struct kvx_pool *kvx_pool_get(struct kvx_agent *agent, u32 handle, bool *write)
{
	struct kvx_pool *pool = NULL;
	struct kvx_pool_open *open;

	/* An open is freed only after it has left the xarray. */
	xa_lock(&agent->pools);
	open = xa_load(&agent->pools, handle);
	if (open) {
		pool = open->pool;
		kref_get(&pool->ref);
		if (write)
			*write = open->write;
	}
	xa_unlock(&agent->pools);
	return pool;
}
EXPORT_SYMBOL_IF_KUNIT(kvx_pool_get);

/**
 * kvx_pool_opened() - the caller has been told of a pool that it has just got
 * @agent: who asked
 * @handle: the pool's number in it
 * @open: the pool
 *
 * Context: process, may sleep.
 */
void kvx_pool_opened(struct kvx_agent *agent, u32 handle, struct kvx_pool_open *open)
{
	/* In a place that is reserved this cannot fail. */
	xa_store(&agent->pools, handle, open, GFP_KERNEL_ACCOUNT);
}
EXPORT_SYMBOL_IF_KUNIT(kvx_pool_opened);

/**
 * kvx_pool_undo() - the caller could not be told of a pool that it has just got
 * @agent: who asked
 * @handle: the pool's number in it
 * @open: the pool
 * @made: it was made, not opened: its name goes, too
 *
 * Context: process, may sleep, for long when the pool is large.
 */
void kvx_pool_undo(struct kvx_agent *agent, u32 handle, struct kvx_pool_open *open, bool made)
{
	xa_release(&agent->pools, handle);
	if (made)
		kvx_pool_unname(open->pool);
	kvx_pool_detach(open);
}

/**
 * kvx_pools_drop() - an agent is closing
 * @agent: nobody uses it any more
 *
 * Context: process, may sleep, for long when pools are large.
 */
void kvx_pools_drop(struct kvx_agent *agent)
{
	struct kvx_pool_open *open;
	unsigned long handle;

	xa_for_each(&agent->pools, handle, open)
		kvx_pool_detach(open);
	xa_destroy(&agent->pools);
}

/*
 * --- commands -----------------------------------------------------------------------------------
 */

static u64 kvx_pool_mmap_offset(u32 handle)
{
	return (u64)handle << KVX_POOL_MMAP_SHIFT;
}

static u64 __user *kvx_progress_ptr(u64 value)
{
	return u64_to_user_ptr(value);
}

static int kvx_pool_check_create(struct kvxfer_pool_create *cmd)
{
	const u32 flags = cmd->hdr.flags;
	int err = 0;

	if (!(flags & KVXFER_POOL_CREATE_NODE))
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->node, sizeof(cmd->node),
					   offsetof(struct kvxfer_pool_create, node));
	else if (flags & KVXFER_POOL_CREATE_MEMFD || cmd->node < 0 || cmd->node >= MAX_NUMNODES ||
		 !node_state(cmd->node, N_MEMORY))
		err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_POOL_NODE, cmd->node);
	if (!err && !(flags & KVXFER_POOL_CREATE_MEMFD))
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->fd, sizeof(cmd->fd),
					   offsetof(struct kvxfer_pool_create, fd));
	if (!err && !(flags & KVXFER_POOL_CREATE_GROUP))
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->gid, sizeof(cmd->gid),
					   offsetof(struct kvxfer_pool_create, gid));
	if (!err && cmd->mode & ~KVX_POOL_MODE_BITS)
		err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_POOL_MODE,
				 cmd->mode & ~KVX_POOL_MODE_BITS);
	if (!err && cmd->name[0])
		err = kvx_abi_check_name(&cmd->hdr, cmd->name, sizeof(cmd->name));
	else if (!err)
		err = kvx_abi_check_unused(&cmd->hdr, cmd->name, sizeof(cmd->name),
					   offsetof(struct kvxfer_pool_create, name));
	return err;
}

static int kvx_pool_take_group(struct kvx_pool *pool, struct kvxfer_pool_create *cmd)
{
	if (!(cmd->hdr.flags & KVXFER_POOL_CREATE_GROUP))
		return 0;
	pool->gid = make_kgid(current_user_ns(), cmd->gid);
	if (!gid_valid(pool->gid) || (!in_group_p(pool->gid) && !capable(CAP_CHOWN)))
		return kvx_refuse(&cmd->hdr, -EPERM, KVXFER_REASON_POOL_GROUP, cmd->gid);
	return 0;
}

static bool kvx_pool_size_is_sound(u64 bytes)
{
	return bytes && !(bytes & ~PAGE_MASK) && bytes < 1ULL << KVX_POOL_MMAP_SHIFT;
}

static bool kvx_pool_size_fits(u64 bytes)
{
	return kvx_pool_size_is_sound(bytes) && bytes >> PAGE_SHIFT <= totalram_pages();
}

/* Charge, fill, publish, attach: what all pools go through. @fill has the pages. */
static int kvx_pool_finish(struct kvx_agent *agent, struct kvx_pool *pool, u64 bytes,
			   struct kvxfer_hdr *hdr, u32 *handle, struct kvx_pool_open **out,
			   int (*fill)(struct kvx_pool *pool, unsigned long nr, void *cmd),
			   void *cmd)
{
	int err;

	pool->quota = kvx_quota_charge(bytes, hdr);
	if (IS_ERR(pool->quota)) {
		err = PTR_ERR(pool->quota);
		pool->quota = NULL;
		return err;
	}
	pool->bytes = bytes;
	err = fill(pool, bytes >> PAGE_SHIFT, cmd);
	if (!err) {
		kvx_pages_count(&pool->pages);
		err = kvx_pool_publish(pool, hdr);
	}
	if (!err)
		err = kvx_pool_attach(agent, pool, !pool->readonly, handle, out);
	if (err)
		kvx_pool_unname(pool);
	return err;
}

static int kvx_pool_fill(struct kvx_pool *pool, unsigned long nr, void *arg)
{
	struct kvxfer_pool_create *cmd = arg;
	struct kvx_progress progress = { kvx_progress_ptr(cmd->progress) };
	int err, node = NUMA_NO_NODE;

	if (cmd->hdr.flags & KVXFER_POOL_CREATE_NODE)
		node = array_index_nospec(cmd->node, MAX_NUMNODES);
	if (pool->file) {
		err = kvx_pages_pin_file(&pool->pages, pool->file, nr, &cmd->hdr, progress);
		return err ?: kvx_memfd_seal(pool, &cmd->hdr);
	}
	return kvx_pages_alloc(&pool->pages, nr, node, &cmd->hdr, progress);
}

/**
 * kvx_pool_create() - KVXFER_IOC_POOL_CREATE
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_create
 * @out: set to what kvx_pool_opened() is to be given
 *
 * Context: process, may sleep, for long when the pool is large.
 * Return: 0 or what the command promises.
 */
int kvx_pool_create(struct kvx_agent *agent, struct kvxfer_pool_create *cmd,
		    struct kvx_pool_open **out)
{
	const bool memfd = cmd->hdr.flags & KVXFER_POOL_CREATE_MEMFD;
	struct kvx_pool *pool;
	u64 bytes = cmd->bytes;
	int err;

	err = kvx_pool_check_create(cmd);
	if (err)
		return err;
	pool = kvx_pool_new(memfd ? KVXFER_POOL_MEMFD : KVXFER_POOL_KERNEL);
	if (!pool)
		return -ENOMEM;
	pool->mode = cmd->mode;
	strscpy_pad(pool->name, cmd->name, sizeof(pool->name));
	err = kvx_pool_take_group(pool, cmd);
	if (!err && memfd)
		err = kvx_memfd_take(pool, cmd, &bytes);
	if (!err && !kvx_pool_size_fits(bytes))
		err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_POOL_SIZE, 0);
	/* Asked again when it is published; here it spares the making of a pool that cannot be. */
	if (!err && pool->name[0] && kvx_pool_name_taken(pool->name))
		err = kvx_refuse(&cmd->hdr, -EEXIST, KVXFER_REASON_POOL_NAME_TAKEN, 0);
	if (!err)
		err = kvx_pool_finish(agent, pool, bytes, &cmd->hdr, &cmd->out_pool, out,
				      kvx_pool_fill, cmd);
	if (err) {
		kvx_pool_put(pool);
		return err;
	}
	cmd->out_bytes = bytes;
	cmd->out_mmap_offset = kvx_pool_mmap_offset(cmd->out_pool);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(kvx_pool_create);

/**
 * kvx_pool_open() - KVXFER_IOC_POOL_OPEN
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_open
 * @out: set to what kvx_pool_opened() is to be given
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_pool_open(struct kvx_agent *agent, struct kvxfer_pool_open *cmd, struct kvx_pool_open **out)
{
	const bool write = cmd->hdr.flags & KVXFER_POOL_OPEN_WRITE;
	struct kvx_pool *pool;
	int err;

	err = kvx_abi_check_name(&cmd->hdr, cmd->name, sizeof(cmd->name));
	if (err)
		return err;
	mutex_lock(&kvx_pools_lock);
	pool = __kvx_pool_find(cmd->name);
	if (!pool)
		err = kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_POOL_NAME_UNKNOWN, 0);
	else if (!kvx_pool_allows(pool, write))
		err = kvx_refuse(&cmd->hdr, -EACCES, KVXFER_REASON_POOL_RIGHTS, pool->mode);
	else
		kref_get(&pool->ref);
	mutex_unlock(&kvx_pools_lock);
	if (err)
		return err;
	err = kvx_pool_attach(agent, pool, write, &cmd->out_pool, out);
	if (err) {
		kvx_pool_put(pool);
		return err;
	}
	cmd->out_kind = pool->kind;
	cmd->out_bytes = pool->bytes;
	cmd->out_mmap_offset = kvx_pool_mmap_offset(cmd->out_pool);
	return 0;
}

static int kvx_pool_fill_user(struct kvx_pool *pool, unsigned long nr, void *arg)
{
	struct kvxfer_pool_pin *cmd = arg;
	struct kvx_progress progress = { kvx_progress_ptr(cmd->progress) };
	const unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct mm_struct *mm = current->mm;

	if (!can_do_mlock())
		return kvx_refuse(&cmd->hdr, -ENOMEM, KVXFER_REASON_MEMLOCK, 0);
	if (atomic64_add_return(nr, &mm->pinned_vm) > limit && !capable(CAP_IPC_LOCK)) {
		atomic64_sub(nr, &mm->pinned_vm);
		return kvx_refuse(&cmd->hdr, -ENOMEM, KVXFER_REASON_MEMLOCK,
				  limit >> (20 - PAGE_SHIFT));
	}
	/*
	 * The struct, so that the account can be settled whoever closes; never the address space.
	 */
	mmgrab(mm);
	pool->mm = mm;
	return kvx_pages_pin(&pool->pages, cmd->addr, nr, pool->readonly, &cmd->hdr, progress);
}

/**
 * kvx_pool_pin() - KVXFER_IOC_POOL_PIN
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_pin
 * @out: set to what kvx_pool_opened() is to be given
 *
 * Context: process, may sleep, for long when the range is large.
 * Return: 0 or what the command promises.
 */
int kvx_pool_pin(struct kvx_agent *agent, struct kvxfer_pool_pin *cmd, struct kvx_pool_open **out)
{
	struct kvx_pool *pool;
	u64 end;
	int err;

	if (!kvx_pool_size_fits(cmd->bytes) || cmd->addr & ~PAGE_MASK ||
	    check_add_overflow(cmd->addr, cmd->bytes, &end) || end > TASK_SIZE)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_RANGE, 0);
	pool = kvx_pool_new(KVXFER_POOL_USER);
	if (!pool)
		return -ENOMEM;
	pool->readonly = cmd->hdr.flags & KVXFER_POOL_PIN_READONLY;
	err = kvx_pool_finish(agent, pool, cmd->bytes, &cmd->hdr, &cmd->out_pool, out,
			      kvx_pool_fill_user, cmd);
	if (err)
		kvx_pool_put(pool);
	return err;
}

/**
 * kvx_pool_unlink() - KVXFER_IOC_POOL_UNLINK
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_unlink
 *
 * Context: process, may sleep, for long when the pool is large and nobody else has it.
 * Return: 0 or what the command promises.
 */
int kvx_pool_unlink(struct kvx_agent *agent, struct kvxfer_pool_unlink *cmd)
{
	struct kvx_pool *pool;
	int err;

	err = kvx_abi_check_name(&cmd->hdr, cmd->name, sizeof(cmd->name));
	if (err)
		return err;
	mutex_lock(&kvx_pools_lock);
	pool = __kvx_pool_find(cmd->name);
	if (!pool)
		err = kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_POOL_NAME_UNKNOWN, 0);
	else if (!uid_eq(pool->uid, current_fsuid()) && !capable(CAP_FOWNER))
		err = kvx_refuse(&cmd->hdr, -EPERM, KVXFER_REASON_POOL_RIGHTS, pool->mode);
	else
		__kvx_pool_unname(pool);
	mutex_unlock(&kvx_pools_lock);
	/* The name's reference. */
	if (!err)
		kvx_pool_put(pool);
	return err;
}

/**
 * kvx_pool_close() - KVXFER_IOC_POOL_CLOSE
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_close
 *
 * Context: process, may sleep, for long when the pool is large and nobody else has it.
 * Return: 0 or what the command promises.
 */
int kvx_pool_close(struct kvx_agent *agent, struct kvxfer_pool_close *cmd)
{
	struct kvx_pool_open *open;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_pool_close, reserved));
	if (err)
		return err;
	/* Only what is open: a number may be reserved for a pool that is on its way. */
	xa_lock(&agent->pools);
	open = xa_load(&agent->pools, cmd->pool);
	if (open)
		__xa_erase(&agent->pools, cmd->pool);
	xa_unlock(&agent->pools);
	if (!open)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_POOL_UNKNOWN, cmd->pool);
	kvx_pool_detach(open);
	return 0;
}

/**
 * kvx_pool_named() - the pool that has a name
 * @name: padded with NUL
 *
 * Context: process, may sleep.
 * Return: the pool with a reference, or NULL.
 */
struct kvx_pool *kvx_pool_named(const char *name)
{
	struct kvx_pool *pool;

	mutex_lock(&kvx_pools_lock);
	pool = __kvx_pool_find(name);
	if (pool)
		kref_get(&pool->ref);
	mutex_unlock(&kvx_pools_lock);
	return pool;
}

/**
 * kvx_pool_after() - one pool of this node after the other
 * @id: the number of the one before; 0 for the first
 *
 * Context: process, may sleep.
 * Return: the pool with a reference, or NULL.
 */
struct kvx_pool *kvx_pool_after(unsigned long id)
{
	struct kvx_pool *pool;

	mutex_lock(&kvx_pools_lock);
	pool = xa_find_after(&kvx_pools, &id, ULONG_MAX, XA_PRESENT);
	if (pool)
		kref_get(&pool->ref);
	mutex_unlock(&kvx_pools_lock);
	return pool;
}

/**
 * kvx_pool_export() - KVXFER_IOC_POOL_EXPORT
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_export; its descriptor is reserved
 * @file: set to what is to be installed there
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_pool_export(struct kvx_agent *agent, struct kvxfer_pool_export *cmd, struct file **file)
{
	struct dma_buf *dmabuf;
	struct kvx_pool *pool;
	int fd, err = 0;
	bool write;

	pool = kvx_pool_get(agent, cmd->pool, &write);
	if (!pool)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_POOL_UNKNOWN, cmd->pool);
	if (pool->kind != KVXFER_POOL_KERNEL)
		err = kvx_refuse(&cmd->hdr, -EOPNOTSUPP, KVXFER_REASON_POOL_KIND, pool->kind);
	else if (!write)
		err = kvx_refuse(&cmd->hdr, -EACCES, KVXFER_REASON_POOL_READONLY, 0);
	if (err)
		goto out_put;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto out_put;
	}
	dmabuf = kvx_dmabuf_export(pool);
	if (IS_ERR(dmabuf)) {
		put_unused_fd(fd);
		err = PTR_ERR(dmabuf);
		goto out_put;
	}
	cmd->out_fd = fd;
	*file = dmabuf->file;
out_put:
	kvx_pool_put(pool);
	return err;
}

static int kvx_pool_fill_dmabuf(struct kvx_pool *pool, unsigned long nr, void *arg)
{
	struct kvxfer_pool_dmabuf *cmd = arg;

	return kvx_dmabuf_map(pool, &cmd->hdr);
}

/* A pool of another driver's dma-buf. Takes over the caller's reference to it. */
static int kvx_pool_import(struct kvx_agent *agent, struct dma_buf *dmabuf, bool write,
			   struct kvxfer_pool_dmabuf *cmd, struct kvx_pool_open **out)
{
	struct kvx_pool *pool = kvx_pool_new(KVXFER_POOL_DMABUF);
	int err;

	if (!pool) {
		dma_buf_put(dmabuf);
		return -ENOMEM;
	}
	pool->dmabuf = dmabuf;
	pool->readonly = !write;
	cmd->out_bytes = dmabuf->size;
	if (kvx_pool_size_is_sound(dmabuf->size))
		err = kvx_pool_finish(agent, pool, dmabuf->size, &cmd->hdr, &cmd->out_pool, out,
				      kvx_pool_fill_dmabuf, cmd);
	else
		err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_POOL_SIZE, 0);
	if (err)
		kvx_pool_put(pool);
	return err;
}

/**
 * kvx_pool_dmabuf() - KVXFER_IOC_POOL_DMABUF
 * @agent: who asks
 * @cmd: see &struct kvxfer_pool_dmabuf
 * @out: set to what kvx_pool_opened() is to be given
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_pool_dmabuf(struct kvx_agent *agent, struct kvxfer_pool_dmabuf *cmd,
		    struct kvx_pool_open **out)
{
	const bool write = !(cmd->hdr.flags & KVXFER_POOL_DMABUF_READONLY);
	struct dma_buf *dmabuf = dma_buf_get(cmd->fd);
	struct kvx_pool *own;
	fmode_t mode;
	int err;

	if (IS_ERR(dmabuf)) {
		err = PTR_ERR(dmabuf);
		return err == -EINVAL ? kvx_refuse(&cmd->hdr, err, KVXFER_REASON_DMABUF_KIND, 0) :
					err;
	}
	own = kvx_dmabuf_pool(dmabuf);
	mode = write ? FMODE_READ | FMODE_WRITE : FMODE_READ;
	if ((dmabuf->file->f_mode & mode) != mode) {
		err = kvx_refuse(&cmd->hdr, -EACCES, KVXFER_REASON_DMABUF_ACCESS, 0);
		dma_buf_put(dmabuf);
	} else if (own) {
		kref_get(&own->ref);
		dma_buf_put(dmabuf);
		cmd->out_bytes = own->bytes;
		err = kvx_pool_attach(agent, own, write, &cmd->out_pool, out);
		if (err)
			kvx_pool_put(own);
	} else {
		err = kvx_pool_import(agent, dmabuf, write, cmd, out);
	}
	cmd->out_mmap_offset = kvx_pool_mmap_offset(cmd->out_pool);
	return err;
}

/**
 * kvx_pools_init() - before the first open
 *
 * Return: 0 or -ENOMEM.
 */
int kvx_pools_init(void)
{
	kvx_pool_wq = alloc_workqueue("kvxfer_pool", WQ_UNBOUND, 0);
	return kvx_pool_wq ? 0 : -ENOMEM;
}

/**
 * kvx_pools_exit() - after the last close; pools hold the module, so there is none
 */
void kvx_pools_exit(void)
{
	destroy_workqueue(kvx_pool_wq);
	WARN_ON_ONCE(!xa_empty(&kvx_pools));
	xa_destroy(&kvx_pools);
	kvx_quota_exit();
}
