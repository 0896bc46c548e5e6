/* SPDX-License-Identifier: GPL-2.0-only */
/* Pools: see pool.c. */
#ifndef KVX_POOL_H
#define KVX_POOL_H

#include <linux/cred.h>
#include <linux/iosys-map.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "pages.h"

/*
 * mmap() offsets: the pool's number in its agent above this many bits, the place in the pool below.
 */
#define KVX_POOL_MMAP_SHIFT	44
#define KVX_POOL_HANDLE_MAX	((1U << (63 - KVX_POOL_MMAP_SHIFT)) - 1)

struct dma_buf;
struct file;
struct kvx_agent;
struct kvx_pool_open;
struct kvx_quota;
struct pid;

/**
 * struct kvx_pool - memory that the system owns
 * @ref: of each open, each mapping, the name; see pool.c
 * @id: number on this node; 0 until it is published
 * @kind: where the memory is from
 * @bytes: size; constant
 * @page_bytes: of a page of @file, or PAGE_SIZE
 * @pages: the memory; constant once it is published
 * @readonly: of memory that may not be written, by whatever way
 * @file: the memfd
 * @read_file: the same, open for reading; of a memfd of huge pages
 * @memfd_link: among the pools of memfds; see memfd.c
 * @dmabuf: the dma-buf; then there are no @pages
 * @map: where the kernel sees it
 * @cpu_lock: held while that comes into use or goes out of it
 * @cpu_users: how many use it; under @cpu_lock
 * @mm: whose pinned_vm is charged
 * @quota: of the user who made it; until it is retired
 * @name: padded with NUL; empty for none
 * @name_link: in the hash of names; under kvx_pools_lock
 * @linked: it is in there; under kvx_pools_lock
 * @uid: owner
 * @gid: group
 * @mode: bits of 0666
 * @pid: who made it
 * @born_ns: when
 * @opens: how many agents have it open
 * @maps: how many mappings there are
 * @exports: how many dma-bufs of it there are
 * @layouts: how many layouts are in it
 * @dev_maps_lock: held while @dev_maps changes
 * @dev_maps: how RDMA devices see it; read under RCU
 * @free_work: for kvx_pool_put_async()
 */
struct kvx_pool {
	struct kref ref;
	u32 id;
	enum kvxfer_pool_kind kind;
	u64 bytes;
	u32 page_bytes;
	struct kvx_pages pages;
	bool readonly;
	struct file *file;
	struct file *read_file;
	struct list_head memfd_link;
	struct dma_buf *dmabuf;
	struct iosys_map map;
	struct mutex cpu_lock;		/* see above */
	u32 cpu_users;
	struct mm_struct *mm;
	struct kvx_quota *quota;
	char name[KVXFER_NAME_MAX];
	struct hlist_node name_link;
	bool linked;
	kuid_t uid;
	kgid_t gid;
	u16 mode;
	struct pid *pid;
	u64 born_ns;
	atomic_t opens;
	atomic_t maps;
	atomic_t exports;
	atomic_t layouts;
	struct mutex dev_maps_lock;	/* see above */
	struct list_head dev_maps;
	struct work_struct free_work;
};

/*
 * Are two pools of the same bytes, at the same places? Two are that begin with the same page, and
 * have the same where the shorter one ends: those of one memfd, of a range that was pinned twice,
 * of a mapping of a pool that was pinned. That one begins in the midst of another is not seen.
 */
static inline bool kvx_pool_same(const struct kvx_pool *a, const struct kvx_pool *b)
{
	const unsigned long last = min(a->pages.nr, b->pages.nr) - 1;

	if (a->dmabuf || b->dmabuf)
		return a->dmabuf == b->dmabuf;
	return kvx_pages_at(&a->pages, 0) == kvx_pages_at(&b->pages, 0) &&
	       kvx_pages_at(&a->pages, last) == kvx_pages_at(&b->pages, last);
}

static inline bool kvx_pool_is_huge(const struct kvx_pool *pool)
{
	return pool->page_bytes != PAGE_SIZE;
}

extern struct mutex kvx_pools_lock;

struct kvx_pool *kvx_pool_get(struct kvx_agent *agent, u32 handle, bool *write);
struct kvx_pool *kvx_pool_named(const char *name);
struct kvx_pool *kvx_pool_after(unsigned long id);
void kvx_pool_put(struct kvx_pool *pool);
void kvx_pool_put_async(struct kvx_pool *pool);
void kvx_pool_opened(struct kvx_agent *agent, u32 handle, struct kvx_pool_open *open);
void kvx_pool_undo(struct kvx_agent *agent, u32 handle, struct kvx_pool_open *open, bool made);
void kvx_pools_drop(struct kvx_agent *agent);
int kvx_pools_init(void);
void kvx_pools_exit(void);

int kvx_pool_create(struct kvx_agent *agent, struct kvxfer_pool_create *cmd,
		    struct kvx_pool_open **out);
int kvx_pool_open(struct kvx_agent *agent, struct kvxfer_pool_open *cmd,
		  struct kvx_pool_open **out);
int kvx_pool_pin(struct kvx_agent *agent, struct kvxfer_pool_pin *cmd, struct kvx_pool_open **out);
int kvx_pool_unlink(struct kvx_agent *agent, struct kvxfer_pool_unlink *cmd);
int kvx_pool_close(struct kvx_agent *agent, struct kvxfer_pool_close *cmd);
int kvx_pool_stat(struct kvx_agent *agent, struct kvxfer_pool_stat *cmd);
int kvx_pool_export(struct kvx_agent *agent, struct kvxfer_pool_export *cmd, struct file **file);
int kvx_pool_dmabuf(struct kvx_agent *agent, struct kvxfer_pool_dmabuf *cmd,
		    struct kvx_pool_open **out);

/* dmabuf.c */
struct dma_buf *kvx_dmabuf_export(struct kvx_pool *pool);
struct kvx_pool *kvx_dmabuf_pool(const struct dma_buf *dmabuf);
int kvx_dmabuf_map(struct kvx_pool *pool, struct kvxfer_hdr *hdr);
void kvx_dmabuf_drop(struct kvx_pool *pool);
int kvx_dmabuf_begin(struct kvx_pool *pool);
void kvx_dmabuf_end(struct kvx_pool *pool);

/* memfd.c */
int kvx_memfd_take(struct kvx_pool *pool, struct kvxfer_pool_create *cmd, u64 *bytes);
int kvx_memfd_seal(struct kvx_pool *pool, struct kvxfer_hdr *hdr);
void kvx_memfd_drop(struct kvx_pool *pool);

/* pool_map.c */
int kvx_mmap_by(struct vm_area_struct *vma, const char *name, const struct file_operations *fops,
		void *held, int flags);
void kvx_pool_show(struct kvx_pool *pool, struct vm_area_struct *vma);
int kvx_pool_mmap(struct kvx_agent *agent, struct vm_area_struct *vma);
unsigned long kvx_pool_get_unmapped_area(struct kvx_agent *agent, struct file *file,
					 unsigned long addr, unsigned long len,
					 unsigned long pgoff, unsigned long flags);

#endif /* KVX_POOL_H */
