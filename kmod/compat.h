/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one file that knows that kernels differ. The sources are written for the newest interface;
 * what older kernels lack is supplied here.
 */
#ifndef KVX_COMPAT_H
#define KVX_COMPAT_H

#ifdef KVX_HAVE_KUNIT_VISIBILITY
#include <kunit/visibility.h>
#else
#define EXPORT_SYMBOL_IF_KUNIT(symbol)
#endif
#include <linux/dma-buf.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <linux/version.h>

extern const struct vm_operations_struct kvx_pool_vm_ops;

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "kvxfer needs Linux 6.1 or newer"
#endif

/* Copies go through the direct map, which has to have all of memory. */
#ifndef CONFIG_64BIT
#error "kvxfer needs a 64-bit kernel"
#endif

/*
 * Pools are exported and imported as dma-bufs. Drivers for graphics, cameras and RDMA select it, as
 * does udmabuf: Debian's kernels have it in every flavour, and kernels without RDMA usually do.
 */
#ifndef CONFIG_DMA_SHARED_BUFFER
#error "kvxfer needs a kernel with CONFIG_DMA_SHARED_BUFFER"
#endif

/* The namespace's name became a string. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define KVX_IMPORT_NS(ns)	MODULE_IMPORT_NS(ns)
#else
#define KVX_IMPORT_NS(ns)	MODULE_IMPORT_NS(#ns)
#endif

/*
 * Which mappings may be pinned for long. A shared mapping of a file on a disk may not: its file
 * system must hear of each write (newer kernels refuse it themselves, if the mapping is writable).
 * Memory file systems and our own pools may.
 */
static inline bool kvx_sb_is_memory(const struct super_block *sb)
{
	return sb->s_magic == TMPFS_MAGIC || sb->s_magic == HUGETLBFS_MAGIC ||
	       sb->s_magic == DAXFS_MAGIC;
}

static inline bool kvx_vma_may_be_pinned(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & VM_MAYSHARE) || !vma->vm_file ||
	       kvx_sb_is_memory(file_inode(vma->vm_file)->i_sb) ||
	       vma->vm_ops == &kvx_pool_vm_ops;
}

/*
 * How to pin. Before 6.3 a long-term pin for reading did not break the sharing of all private
 * pages, so that it could go stale: there it must be made as if for writing, which only private
 * mappings allow. @nr is cut where the mapping that @addr is in ends.
 */
static inline unsigned int kvx_pin_flags(unsigned long addr, unsigned long *nr, bool readonly)
{
	unsigned int flags = FOLL_LONGTERM;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	struct vm_area_struct *vma;

	if (readonly) {
		mmap_read_lock(current->mm);
		vma = vma_lookup(current->mm, addr);
		if (vma) {
			*nr = min(*nr, (vma->vm_end - addr) >> PAGE_SHIFT);
			if (!(vma->vm_flags & VM_MAYSHARE))
				flags |= FOLL_WRITE | FOLL_FORCE;
		}
		mmap_read_unlock(current->mm);
	}
#endif
	return readonly ? flags : flags | FOLL_WRITE;
}

/* The seals of a memfd of huge pages. A kernel without those has no such memfd. */
static inline unsigned int *kvx_hugetlb_seals(struct inode *inode)
{
#ifdef CONFIG_HUGETLBFS
	return &HUGETLBFS_I(inode)->seals;
#else
	return NULL;
#endif
}

/* Mappings that show no ordinary pages, or pages that another driver may take away. */
static inline bool kvx_vma_is_device(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_IO | VM_PFNMAP) ||
	       (vma->vm_file && vma->vm_ops != &kvx_pool_vm_ops &&
		file_inode(vma->vm_file)->i_sb->s_magic == DMA_BUF_MAGIC);
}

/*
 * Copy @bytes between two places of memory, and return how many could not be: broken memory is an
 * answer then, and not the end of the node. It uses the copy that the processor is best at, to
 * which User Mode Linux, which does not patch itself, would never come.
 */
static inline unsigned long kvx_memcpy(void *dst, const void *src, unsigned long bytes)
{
#if defined(CONFIG_UML) && defined(CONFIG_X86_64)
	unsigned long words = bytes / 8, rest = bytes % 8;

	asm volatile("rep movsq\n\tmov %3, %2\n\trep movsb"
		     : "+D" (dst), "+S" (src), "+c" (words) : "r" (rest) : "memory");
	return 0;
#else
	return copy_mc_to_kernel(dst, src, bytes);
#endif
}

/* It is told no number any more. */
static inline void kvx_eventfd_signal(struct eventfd_ctx *event)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	eventfd_signal(event, 1);
#else
	eventfd_signal(event);
#endif
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
static inline int dma_buf_vmap_unlocked(struct dma_buf *dmabuf, struct iosys_map *map)
{
	return dma_buf_vmap(dmabuf, map);
}

static inline void dma_buf_vunmap_unlocked(struct dma_buf *dmabuf, struct iosys_map *map)
{
	dma_buf_vunmap(dmabuf, map);
}
#endif

/*
 * A free range in the address space of the current process. The kernel's function lost its argument
 * for the address space in 6.19. Before 6.10 there is only the address space's own function.
 */
static inline unsigned long kvx_unmapped_area(struct file *file, unsigned long addr,
					      unsigned long len, unsigned long pgoff,
					      unsigned long flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	return current->mm->get_unmapped_area(file, addr, len, pgoff, flags);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
	return mm_get_unmapped_area(current->mm, file, addr, len, pgoff, flags);
#else
	return mm_get_unmapped_area(file, addr, len, pgoff, flags);
#endif
}

/* A file that only has the newer mmap_prepare() needs the newer name. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
static inline int vfs_mmap(struct file *file, struct vm_area_struct *vma)
{
	return call_mmap(file, vma);
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* Tables became constant for those who look at them, and are told their length, not their end. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
#define kvx_ctl_table	struct ctl_table
#else
#define kvx_ctl_table	const struct ctl_table
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define kvx_register_net_sysctl(net, path, table, nr)	register_net_sysctl(net, path, table)
#else
#define kvx_register_net_sysctl(net, path, table, nr)	register_net_sysctl_sz(net, path, table, nr)
#endif

#endif /* KVX_COMPAT_H */
