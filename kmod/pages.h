/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pages: the memory of a pool, whoever it came from.
 *
 * It is a row of slots of KVX_SLOT_PAGES pages (2 MiB with 4 KiB pages); the last may be shorter. A
 * slot is one physically contiguous run, and then its first page says all, or it has a table of its
 * pages. So a pool in good memory costs 16 bytes for 2 MiB, and a page is found in two steps.
 */
#ifndef KVX_PAGES_H
#define KVX_PAGES_H

#include <linux/mm.h>
#include <linux/kvxfer.h>

#define KVX_SLOT_ORDER	9
#define KVX_SLOT_PAGES	(1UL << KVX_SLOT_ORDER)

struct kvx_slot {
	struct page *first;
	struct page **table;	/* NULL: contiguous from first */
};

/**
 * enum kvx_pages_origin - how the pages were had, which is how they are given back
 * @KVX_PAGES_OWN: allocated by us
 * @KVX_PAGES_PINNED: pinned by us, and to be marked dirty
 * @KVX_PAGES_PINNED_CLEAN: pinned for reading
 */
enum kvx_pages_origin {
	KVX_PAGES_OWN,
	KVX_PAGES_PINNED,
	KVX_PAGES_PINNED_CLEAN,
};

/**
 * struct kvx_pages - the memory of a pool; constant once it is complete
 * @slots: the row
 * @nr_slots: how many slots there are
 * @nr: pages in all
 * @origin: see &enum kvx_pages_origin
 * @chunks: as in &struct kvxfer_pool_stat
 * @node_bytes: as in &struct kvxfer_pool_stat
 */
struct kvx_pages {
	struct kvx_slot *slots;
	unsigned long nr_slots;
	unsigned long nr;
	enum kvx_pages_origin origin;
	u64 chunks[KVXFER_CHUNK_ORDERS];
	u64 node_bytes[KVXFER_NODES];
};

/* How many pages a slot has; fewer than it will have, or none, while the memory is being had. */
static inline unsigned long kvx_slot_pages(const struct kvx_pages *pages, unsigned long slot)
{
	unsigned long before = slot * KVX_SLOT_PAGES;

	return before < pages->nr ? min(KVX_SLOT_PAGES, pages->nr - before) : 0;
}

/* The page at @index, which must lie within. */
static inline struct page *kvx_pages_at(const struct kvx_pages *pages, unsigned long index)
{
	const struct kvx_slot *slot = &pages->slots[index >> KVX_SLOT_ORDER];

	index &= KVX_SLOT_PAGES - 1;
	return slot->table ? slot->table[index] : slot->first + index;
}

/*
 * The contiguous run of pages that begins at @index, which must lie within: how long it is. It ends
 * with its slot at the latest, and behind @max pages nobody looks.
 */
static inline unsigned long kvx_pages_run(const struct kvx_pages *pages, unsigned long index,
					  unsigned long max)
{
	const struct kvx_slot *slot = &pages->slots[index >> KVX_SLOT_ORDER];
	unsigned long nr = kvx_slot_pages(pages, index >> KVX_SLOT_ORDER), i;

	index &= KVX_SLOT_PAGES - 1;
	if (!slot->table)
		return nr - index;
	nr = index + min(nr - index, max);
	for (i = index + 1; i < nr; i++)
		if (page_to_pfn(slot->table[i]) != page_to_pfn(slot->table[i - 1]) + 1)
			break;
	return i - index;
}

/**
 * struct kvx_progress - a counter of bytes in the caller's memory, or none
 * @user: where, NULL for nowhere
 */
struct kvx_progress {
	u64 __user *user;
};

int kvx_pages_alloc(struct kvx_pages *pages, unsigned long nr, int node, struct kvxfer_hdr *hdr,
		    struct kvx_progress progress);
int kvx_pages_pin(struct kvx_pages *pages, unsigned long addr, unsigned long nr, bool readonly,
		  struct kvxfer_hdr *hdr, struct kvx_progress progress);
bool kvx_pages_are_of(const struct kvx_pages *pages, const struct address_space *mapping);
int kvx_pages_pin_file(struct kvx_pages *pages, struct file *file, unsigned long nr,
		       struct kvxfer_hdr *hdr, struct kvx_progress progress);
void kvx_pages_free(struct kvx_pages *pages);
void kvx_pages_count(struct kvx_pages *pages);

#endif /* KVX_PAGES_H */
