// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs: pools given to other drivers, and other drivers' memory taken for a pool.
 *
 * An export holds a reference to its pool. Each device that attaches has a table of its own, of the
 * pool's contiguous runs, since mapping writes the device's addresses into it.
 *
 * An import has no pages that we may look at: it is seen by the mapping that its exporter gives.
 * (An exporter that fails to give one makes the kernel's dma-buf core warn, once per boot.) The
 * import of an export is the pool itself.
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "abi.h"
#include "compat.h"
#include "pool.h"

KVX_IMPORT_NS(DMA_BUF);

/**
 * struct kvx_export - a pool as a dma-buf
 * @pool: with a reference
 * @lock: of @users; see kvx.h
 * @users: the devices that have attached it
 */
struct kvx_export {
	struct kvx_pool *pool;
	struct mutex lock;	/* of @users */
	struct list_head users;
};

/**
 * struct kvx_export_user - a device that has attached a pool
 * @link: in &struct kvx_export.users
 * @dev: the device
 * @table: the pool's runs, and the addresses that the device sees them at
 * @mapped: it sees them; under &struct kvx_export.lock
 */
struct kvx_export_user {
	struct list_head link;
	struct device *dev;
	struct sg_table table;
	bool mapped;
};

/* The pool's runs, none longer than the device takes. */
static int kvx_sg_fill(struct sg_table *table, const struct kvx_pages *pages, struct device *dev)
{
	const size_t limit = min_t(size_t, dma_get_max_seg_size(dev), dma_max_mapping_size(dev));
	const unsigned long max = max(limit >> PAGE_SHIFT, 1UL);
	unsigned long index, run, runs = 0;
	struct scatterlist *sg;
	int err;

	for (index = 0; index < pages->nr; index += run) {
		run = min(kvx_pages_run(pages, index, KVX_SLOT_PAGES), max);
		runs++;
		cond_resched();
	}
	if (runs > INT_MAX)
		return -E2BIG;
	err = sg_alloc_table(table, runs, GFP_KERNEL_ACCOUNT);
	if (err)
		return err;
	sg = table->sgl;
	for (index = 0; index < pages->nr; index += run) {
		run = min(kvx_pages_run(pages, index, KVX_SLOT_PAGES), max);
		sg_set_page(sg, kvx_pages_at(pages, index), run << PAGE_SHIFT, 0);
		sg = sg_next(sg);
		cond_resched();
	}
	return 0;
}

static int kvx_export_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attachment)
{
	struct kvx_export *export = dmabuf->priv;
	struct kvx_export_user *user;
	int err;

	/* A device that can do no DMA of its own. */
	if (!attachment->dev->dma_mask)
		return -ENODEV;
	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		return -ENOMEM;
	err = kvx_sg_fill(&user->table, &export->pool->pages, attachment->dev);
	if (err) {
		kfree(user);
		return err;
	}
	user->dev = attachment->dev;
	attachment->priv = user;
	mutex_lock(&export->lock);
	list_add(&user->link, &export->users);
	mutex_unlock(&export->lock);
	return 0;
}

static void kvx_export_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attachment)
{
	struct kvx_export *export = dmabuf->priv;
	struct kvx_export_user *user = attachment->priv;

	mutex_lock(&export->lock);
	list_del(&user->link);
	mutex_unlock(&export->lock);
	sg_free_table(&user->table);
	kfree(user);
}

static struct sg_table *kvx_export_map(struct dma_buf_attachment *attachment,
				       enum dma_data_direction dir)
{
	struct kvx_export *export = attachment->dmabuf->priv;
	struct kvx_export_user *user = attachment->priv;
	int err;

	err = dma_map_sgtable(user->dev, &user->table, dir, 0);
	if (err)
		return ERR_PTR(err);
	mutex_lock(&export->lock);
	user->mapped = true;
	mutex_unlock(&export->lock);
	return &user->table;
}

static void kvx_export_unmap(struct dma_buf_attachment *attachment, struct sg_table *table,
			     enum dma_data_direction dir)
{
	struct kvx_export *export = attachment->dmabuf->priv;
	struct kvx_export_user *user = attachment->priv;

	mutex_lock(&export->lock);
	user->mapped = false;
	mutex_unlock(&export->lock);
	dma_unmap_sgtable(user->dev, table, dir, 0);
}

static int kvx_export_begin_cpu(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct kvx_export *export = dmabuf->priv;
	struct kvx_export_user *user;

	mutex_lock(&export->lock);
	list_for_each_entry(user, &export->users, link)
		if (user->mapped)
			dma_sync_sgtable_for_cpu(user->dev, &user->table, dir);
	mutex_unlock(&export->lock);
	return 0;
}

static int kvx_export_end_cpu(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct kvx_export *export = dmabuf->priv;
	struct kvx_export_user *user;

	mutex_lock(&export->lock);
	list_for_each_entry(user, &export->users, link)
		if (user->mapped)
			dma_sync_sgtable_for_device(user->dev, &user->table, dir);
	mutex_unlock(&export->lock);
	return 0;
}

static int kvx_export_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct kvx_export *export = dmabuf->priv;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	kref_get(&export->pool->ref);
	kvx_pool_show(export->pool, vma);
	return 0;
}

static int kvx_export_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct kvx_export *export = dmabuf->priv;
	const struct kvx_pages *pages = &export->pool->pages;
	struct page **table;
	unsigned long i;
	void *at;

	table = kvmalloc_array(pages->nr, sizeof(*table), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!table)
		return -ENOMEM;
	for (i = 0; i < pages->nr; i++)
		table[i] = kvx_pages_at(pages, i);
	at = vmap(table, pages->nr, VM_MAP, PAGE_KERNEL);
	kvfree(table);
	if (!at)
		return -ENOMEM;
	iosys_map_set_vaddr(map, at);
	return 0;
}

static void kvx_export_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	vunmap(map->vaddr);
}

static void kvx_export_release(struct dma_buf *dmabuf)
{
	struct kvx_export *export = dmabuf->priv;

	atomic_dec(&export->pool->exports);
	kvx_pool_put_async(export->pool);
	mutex_destroy(&export->lock);
	kfree(export);
}

static const struct dma_buf_ops kvx_export_ops = {
	.attach			= kvx_export_attach,
	.detach			= kvx_export_detach,
	.map_dma_buf		= kvx_export_map,
	.unmap_dma_buf		= kvx_export_unmap,
	.begin_cpu_access	= kvx_export_begin_cpu,
	.end_cpu_access		= kvx_export_end_cpu,
	.mmap			= kvx_export_mmap,
	.vmap			= kvx_export_vmap,
	.vunmap			= kvx_export_vunmap,
	.release		= kvx_export_release,
};

/**
 * kvx_dmabuf_export() - a dma-buf of a whole pool
 * @pool: of the kernel's own pages; the dma-buf takes a reference
 *
 * Context: process, may sleep.
 * Return: the dma-buf or ERR_PTR.
 */
struct dma_buf *kvx_dmabuf_export(struct kvx_pool *pool)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct kvx_export *export;
	struct dma_buf *dmabuf;

	export = kzalloc(sizeof(*export), GFP_KERNEL_ACCOUNT);
	if (!export)
		return ERR_PTR(-ENOMEM);
	export->pool = pool;
	mutex_init(&export->lock);
	INIT_LIST_HEAD(&export->users);
	info.ops = &kvx_export_ops;
	info.size = pool->bytes;
	info.flags = O_RDWR;
	info.priv = export;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		kfree(export);
		return dmabuf;
	}
	kref_get(&pool->ref);
	atomic_inc(&pool->exports);
	return dmabuf;
}
EXPORT_SYMBOL_IF_KUNIT(kvx_dmabuf_export);

/**
 * kvx_dmabuf_pool() - which pool is it?
 * @dmabuf: any
 *
 * Context: any.
 * Return: the pool that it is an export of, which it holds; NULL when it is none of ours.
 */
struct kvx_pool *kvx_dmabuf_pool(const struct dma_buf *dmabuf)
{
	const struct kvx_export *export = dmabuf->priv;

	return dmabuf->ops == &kvx_export_ops ? export->pool : NULL;
}

/*
 * udmabuf of 6.12 takes the first page of a large folio for each of its pages: then the same page
 * is seen again and again, and not what the exporter's other mappings show.
 */
static bool kvx_map_is_sound(const struct iosys_map *map, u64 bytes)
{
	struct page *page, *next;
	u64 at;

	if (!is_vmalloc_addr(map->vaddr))
		return true;
	page = vmalloc_to_page(map->vaddr);
	for (at = PAGE_SIZE; page; at += PAGE_SIZE) {
		next = at < bytes ? vmalloc_to_page(map->vaddr + at) : NULL;
		/* A large folio's first page without its second tells nothing: better refused. */
		if (PageHead(page) && next != page + 1)
			return false;
		if (at >= bytes)
			return true;
		page = next;
		cond_resched();
	}
	return false;
}

/**
 * kvx_dmabuf_map() - get at the memory of a dma-buf that a pool is of
 * @pool: its dmabuf is set
 * @hdr: where a refusal is noted
 *
 * Context: process, may sleep.
 * Return: 0, -EOPNOTSUPP when the CPU cannot get at it, -ENOMEM or -EINTR.
 */
int kvx_dmabuf_map(struct kvx_pool *pool, struct kvxfer_hdr *hdr)
{
	int err = dma_buf_vmap_unlocked(pool->dmabuf, &pool->map);

	if (err) {
		iosys_map_clear(&pool->map);
		return kvx_refuse(hdr, err == -ENOMEM || err == -EINTR ? err : -EOPNOTSUPP,
				  KVXFER_REASON_DMABUF_CPU, -err);
	}
	/* kvx_dmabuf_drop() undoes it. */
	if (pool->map.is_iomem)
		return kvx_refuse(hdr, -EOPNOTSUPP, KVXFER_REASON_DMABUF_IOMEM, 0);
	if (!kvx_map_is_sound(&pool->map, pool->dmabuf->size))
		return kvx_refuse(hdr, -EOPNOTSUPP, KVXFER_REASON_DMABUF_CPU, EIO);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(kvx_dmabuf_map);

/**
 * kvx_dmabuf_drop() - done with the dma-buf that a pool is of
 * @pool: nobody uses it any more; it may be of no dma-buf
 *
 * Context: process, may sleep.
 */
void kvx_dmabuf_drop(struct kvx_pool *pool)
{
	if (!pool->dmabuf)
		return;
	if (!iosys_map_is_null(&pool->map))
		dma_buf_vunmap_unlocked(pool->dmabuf, &pool->map);
	dma_buf_put(pool->dmabuf);
}
EXPORT_SYMBOL_IF_KUNIT(kvx_dmabuf_drop);

static enum dma_data_direction kvx_dmabuf_cpu_dir(const struct kvx_pool *pool)
{
	return pool->readonly ? DMA_FROM_DEVICE : DMA_BIDIRECTIONAL;
}

/**
 * kvx_dmabuf_begin() - the CPU is about to use a pool that is of a dma-buf
 * @pool: any; if it is of none, nothing is done
 *
 * Only the first who uses it begins, and the last ends: what one has just written is not to be lost
 * to another's beginning. What another driver does already is not waited for, as it may take as
 * long as it likes; for what it begins in just this moment the exporter may wait, until a signal
 * comes.
 *
 * Context: process, may sleep.
 * Return: 0, -EAGAIN when another driver works with it, -EINTR, or what the exporter says.
 */
int kvx_dmabuf_begin(struct kvx_pool *pool)
{
	int err = 0;

	if (!pool->dmabuf)
		return 0;
	if (mutex_lock_interruptible(&pool->cpu_lock))
		return -EINTR;
	if (!pool->cpu_users) {
		if (!dma_resv_test_signaled(pool->dmabuf->resv,
					    dma_resv_usage_rw(!pool->readonly)))
			err = -EAGAIN;
		else
			err = dma_buf_begin_cpu_access(pool->dmabuf, kvx_dmabuf_cpu_dir(pool));
	}
	pool->cpu_users += !err;
	mutex_unlock(&pool->cpu_lock);
	return err == -ERESTARTSYS ? -EINTR : err;
}
EXPORT_SYMBOL_IF_KUNIT(kvx_dmabuf_begin);

/**
 * kvx_dmabuf_end() - the CPU is done
 * @pool: as it was given to kvx_dmabuf_begin()
 *
 * Context: process, may sleep.
 */
void kvx_dmabuf_end(struct kvx_pool *pool)
{
	if (!pool->dmabuf)
		return;
	mutex_lock(&pool->cpu_lock);
	/* What an exporter would say of its end nobody could do anything about. */
	if (!--pool->cpu_users)
		dma_buf_end_cpu_access(pool->dmabuf, kvx_dmabuf_cpu_dir(pool));
	mutex_unlock(&pool->cpu_lock);
}
EXPORT_SYMBOL_IF_KUNIT(kvx_dmabuf_end);
