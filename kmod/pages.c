// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a pool: allocated by us, or pinned where somebody else has it.
 *
 * While memory is being had, pages->nr grows with it: at every moment kvx_pages_free() gives back
 * just what is there, so that any failure and any signal ends in the one way out. Slots are filled
 * in order, and a slot with a table may be filled in part.
 */
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "compat.h"
#include "pages.h"

/* How much of a file is mapped at a time, to be pinned: bounds the address space that it takes. */
#define KVX_FILE_WINDOW_PAGES	(SZ_1G >> PAGE_SHIFT)

/* Pinned pages come in batches of this many; a slot is a whole number of them. */
#define KVX_PIN_BATCH		128UL

/* No process is killed to make room for a pool: it is the pool that is refused. */
#define KVX_TABLE_GFP		(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static u32 kvx_mib(unsigned long nr)
{
	return nr >> (20 - PAGE_SHIFT);
}

/* Between slots: tell how far it is, be a good neighbour, and stop for a signal. */
static int kvx_pages_pause(const struct kvx_pages *pages, struct kvxfer_hdr *hdr,
			   struct kvx_progress progress)
{
	u64 bytes = (u64)pages->nr << PAGE_SHIFT;

	if (progress.user && put_user(bytes, progress.user))
		return -EFAULT;
	cond_resched();
	if (signal_pending(current))
		return kvx_refuse(hdr, -EINTR, KVXFER_REASON_INTERRUPTED, kvx_mib(pages->nr));
	return 0;
}

static int kvx_pages_init(struct kvx_pages *pages, unsigned long nr, enum kvx_pages_origin origin)
{
	*pages = (struct kvx_pages){ .origin = origin };
	pages->nr_slots = DIV_ROUND_UP(nr, KVX_SLOT_PAGES);
	pages->slots = kvcalloc(pages->nr_slots, sizeof(*pages->slots), KVX_TABLE_GFP);
	if (pages->slots)
		return 0;
	pages->nr_slots = 0;
	return -ENOMEM;
}

static struct page **kvx_slot_table(unsigned long nr)
{
	return kvcalloc(nr, sizeof(struct page *), KVX_TABLE_GFP);
}

/*
 * Large pieces are worth a try at compaction but no more; for single pages much is done, but see
 * above.
 */
static struct page *kvx_piece_alloc(unsigned int order, int node)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN;
	struct page *page;

	gfp |= order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL;
	if (node == NUMA_NO_NODE)
		page = alloc_pages(gfp, order);
	else
		page = alloc_pages_node(node, gfp | __GFP_THISNODE, order);
	/* Each page with a count of its own: that is how they are mapped and freed. */
	if (page && order)
		split_page(page, order);
	return page;
}

/* A slot of pieces as large as they can be had, from @order on. */
static int kvx_slot_alloc_pieces(struct kvx_pages *pages, struct kvx_slot *slot, unsigned long want,
				 unsigned int order, int node)
{
	unsigned long have = 0, i;
	struct page *page;

	slot->table = kvx_slot_table(want);
	if (!slot->table)
		return -ENOMEM;
	while (have < want) {
		while (1UL << order > want - have)
			order--;
		page = kvx_piece_alloc(order, node);
		if (!page) {
			if (!order)
				return -ENOMEM;
			order--;
			continue;
		}
		for (i = 0; i < 1UL << order; i++)
			slot->table[have++] = page + i;
		pages->nr += 1UL << order;
	}
	return 0;
}

/**
 * kvx_pages_alloc() - zeroed pages of our own
 * @pages: to be filled; on failure it is empty again
 * @nr: how many, not 0
 * @node: NUMA node they must be on, or NUMA_NO_NODE
 * @hdr: where a refusal is noted
 * @progress: how far it is
 *
 * Memory is charged to the caller's memory cgroup.
 *
 * Context: process, may sleep.
 * Return: 0, -ENOMEM, -EINTR when a signal came, or -EFAULT.
 */
int kvx_pages_alloc(struct kvx_pages *pages, unsigned long nr, int node, struct kvxfer_hdr *hdr,
		    struct kvx_progress progress)
{
	unsigned long slot, want;
	int err;

	err = kvx_pages_init(pages, nr, KVX_PAGES_OWN);
	if (err)
		return kvx_refuse(hdr, err, KVXFER_REASON_NO_MEMORY, 0);
	for (slot = 0; slot < pages->nr_slots; slot++) {
		struct page *page = NULL;

		want = min(KVX_SLOT_PAGES, nr - slot * KVX_SLOT_PAGES);
		if (want == KVX_SLOT_PAGES)
			page = kvx_piece_alloc(KVX_SLOT_ORDER, node);
		if (page) {
			pages->slots[slot].first = page;
			pages->nr += want;
		} else {
			err = kvx_slot_alloc_pieces(pages, &pages->slots[slot], want,
						    KVX_SLOT_ORDER - 1, node);
		}
		if (err) {
			kvx_refuse(hdr, err, KVXFER_REASON_NO_MEMORY, kvx_mib(pages->nr));
			goto err_free;
		}
		err = kvx_pages_pause(pages, hdr, progress);
		if (err)
			goto err_free;
	}
	return 0;

err_free:
	kvx_pages_free(pages);
	return err;
}

/* A table that turns out to be one contiguous run is not needed. */
static void kvx_slot_compress(struct kvx_slot *slot, unsigned long nr)
{
	unsigned long i;

	for (i = 1; i < nr; i++)
		if (slot->table[i] != slot->table[0] + i ||
		    page_to_pfn(slot->table[i]) != page_to_pfn(slot->table[0]) + i)
			return;
	slot->first = slot->table[0];
	kvfree(slot->table);
	slot->table = NULL;
}

/* Why can page @index of the range not be had? Asked on the way to a refusal only. */
static int kvx_pin_why(unsigned long addr, unsigned long index, bool readonly,
		       struct kvxfer_hdr *hdr)
{
	u32 reason = KVXFER_REASON_RANGE_FAULT;
	struct vm_area_struct *vma;
	int err = -EFAULT;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr + (index << PAGE_SHIFT));
	if (!vma) {
		reason = KVXFER_REASON_RANGE_UNMAPPED;
	} else if (kvx_vma_is_device(vma)) {
		reason = KVXFER_REASON_RANGE_DEVICE;
		err = -EOPNOTSUPP;
	} else if (!readonly && !(vma->vm_flags & VM_WRITE)) {
		reason = KVXFER_REASON_RANGE_READONLY;
		err = -EACCES;
	} else if (!kvx_vma_may_be_pinned(vma)) {
		reason = KVXFER_REASON_RANGE_FILE;
		err = -EOPNOTSUPP;
	}
	mmap_read_unlock(current->mm);
	return kvx_refuse(hdr, err, reason, index);
}

/*
 * Refuse by name what pinning would refuse without one, and what it would let pass on some kernels
 * only: a mapping of a file on a disk, whose file system must hear of writes, and one without
 * access.
 */
static int kvx_pin_check(unsigned long addr, unsigned long nr, bool readonly,
			 struct kvxfer_hdr *hdr)
{
	unsigned long at = addr, end = addr + (nr << PAGE_SHIFT);
	struct vm_area_struct *vma;
	bool bad = false;

	mmap_read_lock(current->mm);
	while (at < end && !bad) {
		vma = vma_lookup(current->mm, at);
		bad = !vma || kvx_vma_is_device(vma) || !(vma->vm_flags & VM_READ) ||
		      (!readonly && !(vma->vm_flags & VM_WRITE)) ||
		      !kvx_vma_may_be_pinned(vma);
		if (!bad)
			at = vma->vm_end;
	}
	mmap_read_unlock(current->mm);
	return bad ? kvx_pin_why(addr, (at - addr) >> PAGE_SHIFT, readonly, hdr) : 0;
}

/*
 * How many of these, from the first on, are what was asked for? The mapping that was looked at may
 * have been replaced since. With @mapping, they must be that file's; without, of no file that is on
 * a disk.
 */
static unsigned long kvx_pages_right(struct page **table, unsigned long nr,
				     const struct address_space *mapping)
{
	const struct address_space *has;
	unsigned long i;
	bool right;

	for (i = 0; i < nr; i++) {
		struct folio *folio = page_folio(table[i]);

		if (folio_test_anon(folio)) {
			if (mapping)
				break;
			continue;
		}
		/* A file that is truncated meanwhile takes its inode away, but not at once. */
		rcu_read_lock();
		has = READ_ONCE(folio->mapping);
		if (mapping)
			right = has == mapping;
		else
			right = !has || kvx_sb_is_memory(has->host->i_sb);
		rcu_read_unlock();
		if (!right)
			break;
	}
	return i;
}

/*
 * Append @nr pages from @addr, of @mapping if that is not NULL. Where it stops, pages->nr says.
 */
static int kvx_pages_pin_range(struct kvx_pages *pages, unsigned long addr, unsigned long nr,
			       bool readonly, const struct address_space *mapping,
			       struct kvxfer_hdr *hdr, struct kvx_progress progress)
{
	const unsigned long start = pages->nr, end = start + nr;
	unsigned long at, used, want;
	struct kvx_slot *slot;
	unsigned int flags;
	int got, err;

	while (pages->nr < end) {
		slot = &pages->slots[pages->nr >> KVX_SLOT_ORDER];
		used = pages->nr & (KVX_SLOT_PAGES - 1);
		want = min(KVX_SLOT_PAGES - used, end - pages->nr);
		if (!slot->table) {
			slot->table = kvx_slot_table(used + want);
			if (!slot->table)
				return kvx_refuse(hdr, -ENOMEM, KVXFER_REASON_NO_MEMORY,
						  kvx_mib(pages->nr));
		}
		at = addr + ((pages->nr - start) << PAGE_SHIFT);
		want = min(want, KVX_PIN_BATCH);
		flags = kvx_pin_flags(at, &want, readonly);
		got = pin_user_pages_fast(at, want, flags, slot->table + used);
		if (got > 0) {
			unsigned long right = kvx_pages_right(slot->table + used, got, mapping);

			pages->nr += got;
			if (right < got)
				return kvx_refuse(hdr, -EFAULT, KVXFER_REASON_RANGE_FAULT,
						  pages->nr - start - got + right);
			used += got;
			if (used == KVX_SLOT_PAGES || pages->nr == end)
				kvx_slot_compress(slot, used);
		} else if (got == -ENOMEM) {
			return kvx_refuse(hdr, got, KVXFER_REASON_NO_MEMORY, kvx_mib(pages->nr));
		} else if (!signal_pending(current)) {
			return kvx_pin_why(addr, pages->nr - start, readonly, hdr);
		}
		err = kvx_pages_pause(pages, hdr, progress);
		if (err)
			return err;
	}
	return 0;
}

/**
 * kvx_pages_pin() - pages of the caller's own memory
 * @pages: to be filled; on failure it is empty again
 * @addr: page aligned
 * @nr: how many, not 0; the range does not wrap around
 * @readonly: nothing will be written there
 * @hdr: where a refusal is noted
 * @progress: how far it is
 *
 * Context: process, may sleep.
 * Return: 0, -ENOMEM, -EINTR, -EFAULT, -EACCES (not writable) or -EOPNOTSUPP (a kind of mapping
 * that cannot be pinned).
 */
int kvx_pages_pin(struct kvx_pages *pages, unsigned long addr, unsigned long nr, bool readonly,
		  struct kvxfer_hdr *hdr, struct kvx_progress progress)
{
	int err;

	err = kvx_pin_check(addr, nr, readonly, hdr);
	if (err)
		return err;
	err = kvx_pages_init(pages, nr, readonly ? KVX_PAGES_PINNED_CLEAN : KVX_PAGES_PINNED);
	if (err)
		return kvx_refuse(hdr, err, KVXFER_REASON_NO_MEMORY, 0);
	err = kvx_pages_pin_range(pages, addr, nr, readonly, NULL, hdr, progress);
	if (err)
		kvx_pages_free(pages);
	return err;
}

/**
 * kvx_pages_pin_file() - pages of a memfd
 * @pages: to be filled; on failure it is empty again
 * @file: the memfd
 * @nr: how many from its beginning, not 0
 * @hdr: where a refusal is noted
 * @progress: how far it is
 *
 * The file is mapped into the caller a window at a time and pinned there: the way that is the same
 * for plain and for huge pages and on every kernel. Holes are filled. The mapping is for reading,
 * because a memfd that already is a pool cannot be mapped for writing. A shared mapping has the
 * pages of the file, whether it is writable or not.
 *
 * Context: process, may sleep.
 * Return: 0, -ENOMEM, -EINTR or -EFAULT.
 */
int kvx_pages_pin_file(struct kvx_pages *pages, struct file *file, unsigned long nr,
		       struct kvxfer_hdr *hdr, struct kvx_progress progress)
{
	unsigned long addr, window;
	int err;

	err = kvx_pages_init(pages, nr, KVX_PAGES_PINNED);
	if (err)
		return kvx_refuse(hdr, err, KVXFER_REASON_NO_MEMORY, 0);
	while (pages->nr < nr) {
		window = min_t(unsigned long, nr - pages->nr, KVX_FILE_WINDOW_PAGES);
		addr = vm_mmap(file, 0, window << PAGE_SHIFT, PROT_READ, MAP_SHARED,
			       pages->nr << PAGE_SHIFT);
		if (IS_ERR_VALUE(addr)) {
			err = kvx_refuse(hdr, (int)addr, KVXFER_REASON_NO_MEMORY,
					 kvx_mib(pages->nr));
			break;
		}
		err = kvx_pages_pin_range(pages, addr, window, true, file->f_mapping, hdr,
					  progress);
		vm_munmap(addr, window << PAGE_SHIFT);
		if (err)
			break;
	}
	if (err)
		kvx_pages_free(pages);
	return err;
}

/**
 * kvx_pages_are_of() - are pages still those of a file?
 * @pages: complete
 * @mapping: the file's
 *
 * Context: process, may sleep.
 * Return: false when one of them has been taken out of the file.
 */
bool kvx_pages_are_of(const struct kvx_pages *pages, const struct address_space *mapping)
{
	unsigned long index;

	for (index = 0; index < pages->nr; index++) {
		if (READ_ONCE(page_folio(kvx_pages_at(pages, index))->mapping) != mapping)
			return false;
		if (!(index % KVX_SLOT_PAGES))
			cond_resched();
	}
	return true;
}

static void kvx_pages_free_run(enum kvx_pages_origin origin, struct page **table,
			       struct page *first, unsigned long nr)
{
	unsigned long i;

	switch (origin) {
	case KVX_PAGES_OWN:
		for (i = 0; i < nr; i++)
			__free_page(table ? table[i] : first + i);
		break;
	case KVX_PAGES_PINNED:
	case KVX_PAGES_PINNED_CLEAN:
		if (table)
			unpin_user_pages_dirty_lock(table, nr, origin == KVX_PAGES_PINNED);
		else
			unpin_user_page_range_dirty_lock(first, nr, origin == KVX_PAGES_PINNED);
		break;
	}
}

/**
 * kvx_pages_free() - give all pages back
 * @pages: filled or half filled; it is empty then
 *
 * A page that is still mapped somewhere is freed when the last mapping goes.
 *
 * Context: process, may sleep.
 */
void kvx_pages_free(struct kvx_pages *pages)
{
	unsigned long slot, nr;

	for (slot = 0; slot < pages->nr_slots; slot++) {
		nr = kvx_slot_pages(pages, slot);
		if (nr)
			kvx_pages_free_run(pages->origin, pages->slots[slot].table,
					   pages->slots[slot].first, nr);
		kvfree(pages->slots[slot].table);
		cond_resched();
	}
	kvfree(pages->slots);
	*pages = (struct kvx_pages){};
}

/**
 * kvx_pages_count() - of which chunks, and on which nodes
 * @pages: complete; its counts are filled in
 *
 * Context: process, may sleep.
 */
void kvx_pages_count(struct kvx_pages *pages)
{
	unsigned long index, run, left;
	unsigned int node, order;

	for (index = 0; index < pages->nr; index += run) {
		run = kvx_pages_run(pages, index, KVX_SLOT_PAGES);
		node = page_to_nid(kvx_pages_at(pages, index));
		pages->node_bytes[min_t(unsigned int, node, KVXFER_NODES - 1)] +=
			(u64)run << PAGE_SHIFT;
		for (left = run; left; left -= 1UL << order) {
			order = min_t(unsigned int, ilog2(left), KVXFER_CHUNK_ORDERS - 1);
			pages->chunks[order]++;
		}
		cond_resched();
	}
}
