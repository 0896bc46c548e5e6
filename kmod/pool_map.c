// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools in address spaces.
 *
 * A mapping shows ordinary pages with a count each, never page frame numbers: so what GUP serves
 * (O_DIRECT, ibv_reg_mr, process_vm_readv, our own POOL_PIN) works on it. Nothing is filled in when
 * it is made, so that this costs the same for any size; a fault fills in the whole slot around it.
 *
 * A mapping holds a reference to its pool. Every page it shows has a count of its own, too: pages
 * stay what they are until the last mapping of each has gone.
 *
 * A mapping has a file of its own, which holds the pool and not the agent: a process that was
 * forked keeps the memory that it has mapped, and nothing else of an agent that ends. The kernel
 * maps that file again by itself (remap_file_pages()), so it knows how far the pool goes, and
 * allows what the agent's open of the pool allows.
 *
 * A pool of a dma-buf is mapped as that file is; so is a memfd of huge pages, which no other file
 * can show. Its seals keep mapping and pinned pages the same, see kvx_memfd_seal().
 */
#include <linux/anon_inodes.h>
#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/mm.h>

#include "compat.h"
#include "kvx.h"
#include "pool.h"

static void kvx_vma_open(struct vm_area_struct *vma)
{
	struct kvx_pool *pool = vma->vm_private_data;

	kref_get(&pool->ref);
	atomic_inc(&pool->maps);
}

static void kvx_vma_close(struct vm_area_struct *vma)
{
	struct kvx_pool *pool = vma->vm_private_data;

	atomic_dec(&pool->maps);
	/* The address space is locked: not the place to free what may be a terabyte. */
	kvx_pool_put_async(pool);
}

/* The place in the pool that is shown at @addr, in pages. */
static unsigned long kvx_vma_index(const struct vm_area_struct *vma, unsigned long addr)
{
	const unsigned long mask = (1UL << (KVX_POOL_MMAP_SHIFT - PAGE_SHIFT)) - 1;

	return (vma->vm_pgoff & mask) + ((addr - vma->vm_start) >> PAGE_SHIFT);
}

/* Fill in @nr pages, but for those that are there already. */
static int kvx_vma_fill(struct vm_area_struct *vma, unsigned long addr, struct page **table,
			unsigned long nr)
{
	unsigned long left;
	int err;

	while (nr) {
		left = nr;
		err = vm_insert_pages(vma, addr, table, &left);
		table += nr - left;
		addr += (nr - left) << PAGE_SHIFT;
		nr = left;
		if (err && err != -EBUSY)
			return err;
		/* Somebody was quicker with this one. */
		if (err && nr) {
			table++;
			addr += PAGE_SIZE;
			nr--;
		}
	}
	return 0;
}

static vm_fault_t kvx_vma_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct kvx_pool *pool = vma->vm_private_data;
	unsigned long index = kvx_vma_index(vma, vmf->address & PAGE_MASK);
	unsigned long first = max(round_down(index, KVX_SLOT_PAGES),
				  kvx_vma_index(vma, vma->vm_start));
	unsigned long end = min3(round_down(index, KVX_SLOT_PAGES) + KVX_SLOT_PAGES, pool->pages.nr,
				 kvx_vma_index(vma, vma->vm_end));
	unsigned long addr = (vmf->address & PAGE_MASK) - ((index - first) << PAGE_SHIFT);
	struct page *batch[16];
	unsigned int n;
	int err = 0;

	while (first < end && !err) {
		for (n = 0; n < ARRAY_SIZE(batch) && first + n < end; n++)
			batch[n] = kvx_pages_at(&pool->pages, first + n);
		err = kvx_vma_fill(vma, addr, batch, n);
		first += n;
		addr += (unsigned long)n << PAGE_SHIFT;
	}
	return err ? vmf_error(err) : VM_FAULT_NOPAGE;
}

const struct vm_operations_struct kvx_pool_vm_ops = {
	.open	= kvx_vma_open,
	.close	= kvx_vma_close,
	.fault	= kvx_vma_fault,
};

/**
 * kvx_mmap_by() - let a mapping hold something else than the file that was mapped
 * @vma: the mapping, which is being made
 * @name: of the file that it is to have
 * @fops: of that file; their release() gives back @held
 * @held: what it holds: a reference that is the file's when 0 is returned
 * @flags: O_RDONLY or O_RDWR: what mappings of it may allow
 *
 * Context: process, the address space is locked for writing.
 * Return: 0 or an errno.
 */
int kvx_mmap_by(struct vm_area_struct *vma, const char *name, const struct file_operations *fops,
		void *held, int flags)
{
	struct file *file = anon_inode_getfile(name, fops, held, flags);

	if (IS_ERR(file))
		return PTR_ERR(file);
	vma_set_file(vma, file);
	fput(file);
	return 0;
}

static int kvx_pool_file_release(struct inode *inode, struct file *file)
{
	/* Perhaps the address space is locked. */
	kvx_pool_put_async(file->private_data);
	return 0;
}

static int kvx_pool_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kvx_pool *pool = file->private_data;

	if (!(vma->vm_flags & VM_MAYSHARE) ||
	    kvx_vma_index(vma, vma->vm_end) > pool->bytes >> PAGE_SHIFT)
		return -EINVAL;
	kref_get(&pool->ref);
	kvx_pool_show(pool, vma);
	return 0;
}

static const struct file_operations kvx_pool_file_fops = {
	.owner		= THIS_MODULE,
	.mmap		= kvx_pool_file_mmap,
	.release	= kvx_pool_file_release,
};

/* Takes over the caller's reference to the pool when it succeeds. */
static int kvx_pool_mmap_pages(struct kvx_pool *pool, struct vm_area_struct *vma, bool write)
{
	int err;

	vma->vm_pgoff = kvx_vma_index(vma, vma->vm_start);
	err = kvx_mmap_by(vma, "[kvxfer-pool]", &kvx_pool_file_fops, pool,
			  write ? O_RDWR : O_RDONLY);
	if (err)
		return err;
	kref_get(&pool->ref);
	kvx_pool_show(pool, vma);
	return 0;
}

static int kvx_pool_mmap_huge(struct kvx_pool *pool, struct vm_area_struct *vma, bool write)
{
	const vm_flags_t writable = vma->vm_flags & (VM_WRITE | VM_MAYWRITE);
	int err;

	/* Between the choice of the address and now the number may have become another pool's. */
	if ((vma->vm_start | vma->vm_end) & (pool->page_bytes - 1) ||
	    vma->vm_pgoff & ((pool->page_bytes >> PAGE_SHIFT) - 1))
		return -EINVAL;
	vma->vm_pgoff = kvx_vma_index(vma, vma->vm_start);
	vma_set_file(vma, write ? pool->file : pool->read_file);
	/* The seal against writing is ours, and is for those who come by another way. */
	vm_flags_mod(vma, 0, VM_WRITE);
	err = vfs_mmap(vma->vm_file, vma);
	vm_flags_mod(vma, writable, 0);
	return err;
}

/**
 * kvx_pool_show() - make a mapping show the pages of a pool
 * @pool: with a reference, which goes to the mapping
 * @vma: the mapping
 *
 * Context: process, the address space is locked for writing.
 */
void kvx_pool_show(struct kvx_pool *pool, struct vm_area_struct *vma)
{
	vm_flags_mod(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP, 0);
	vma->vm_private_data = pool;
	vma->vm_ops = &kvx_pool_vm_ops;
	atomic_inc(&pool->maps);
}

/**
 * kvx_pool_mmap() - map a pool, whole or in part
 * @agent: whose file is mapped
 * @vma: its offset says which pool, and where in it
 *
 * Context: process, the address space is locked for writing.
 * Return: 0; -EINVAL for no such pool, a range beyond it, or a private mapping; -EACCES for
 * writing to a pool that is open for reading.
 */
int kvx_pool_mmap(struct kvx_agent *agent, struct vm_area_struct *vma)
{
	unsigned long handle = vma->vm_pgoff >> (KVX_POOL_MMAP_SHIFT - PAGE_SHIFT);
	struct kvx_pool *pool;
	bool write;
	int err = -EINVAL;

	if (handle > KVX_POOL_HANDLE_MAX)
		return -EINVAL;
	pool = kvx_pool_get(agent, handle, &write);
	if (!pool)
		return -EINVAL;
	if (!(vma->vm_flags & VM_SHARED) || pool->kind == KVXFER_POOL_USER ||
	    kvx_vma_index(vma, vma->vm_end) > pool->bytes >> PAGE_SHIFT)
		goto out_put;
	err = -EACCES;
	if (!write && vma->vm_flags & VM_WRITE)
		goto out_put;
	if (!write)
		vm_flags_mod(vma, 0, VM_MAYWRITE);
	if (kvx_pool_is_huge(pool)) {
		err = kvx_pool_mmap_huge(pool, vma, write);
		goto out_put;
	}
	if (pool->dmabuf) {
		/*
		 * From its beginning: graphics drivers show what is there whatever the offset, and
		 * other memory than was asked for would be worse than none.
		 */
		err = -EINVAL;
		if (!kvx_vma_index(vma, vma->vm_start))
			err = dma_buf_mmap(pool->dmabuf, vma, 0);
		goto out_put;
	}
	err = kvx_pool_mmap_pages(pool, vma, write);
	if (!err)
		return 0;
out_put:
	kvx_pool_put_async(pool);
	return err;
}

/**
 * kvx_pool_get_unmapped_area() - where a mapping may go
 * @agent: whose file is to be mapped
 * @file: that file
 * @addr: wish
 * @len: length
 * @pgoff: offset, which says which pool
 * @flags: of mmap()
 *
 * Huge pages want addresses that suit them, and their file knows which.
 *
 * Context: process, the address space is locked.
 * Return: an address or an errno.
 */
unsigned long kvx_pool_get_unmapped_area(struct kvx_agent *agent, struct file *file,
					 unsigned long addr, unsigned long len,
					 unsigned long pgoff, unsigned long flags)
{
	unsigned long handle = pgoff >> (KVX_POOL_MMAP_SHIFT - PAGE_SHIFT);
	struct kvx_pool *pool = NULL;

	if (handle && handle <= KVX_POOL_HANDLE_MAX)
		pool = kvx_pool_get(agent, handle, NULL);
	if (pool && kvx_pool_is_huge(pool) && pool->file->f_op->get_unmapped_area) {
		pgoff &= (1UL << (KVX_POOL_MMAP_SHIFT - PAGE_SHIFT)) - 1;
		addr = pool->file->f_op->get_unmapped_area(pool->file, addr, len, pgoff, flags);
	} else {
		addr = kvx_unmapped_area(file, addr, len, pgoff, flags);
	}
	if (pool)
		kvx_pool_put_async(pool);
	return addr;
}
