// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program sees of its transfers without asking: a word of state for each, and how they ended
 * in a ring.
 *
 * The states are pages that the program maps for reading. The ring it maps for writing, as it says
 * there how far it has read; so the kernel keeps numbers of its own, reads nothing but that one,
 * and uses it for nothing but to see whether there is room. A completion for which there is none
 * waits in the kernel. Room for it there was made when its transfer was posted, so that none is
 * ever lost.
 */
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "abi.h"
#include "compat.h"
#include "kvx.h"
#include "pool.h"
#include "ring.h"

#define KVX_WORDS_PER_PAGE	(PAGE_SIZE / sizeof(u32))

/*
 * --- the ring -----------------------------------------------------------------------------------
 */

/* NULL as long as there is none. */
static struct kvx_ring *kvx_ring_of(const struct kvx_agent *agent)
{
	/* Pairs with the cmpxchg() that makes it known. */
	return smp_load_acquire(&agent->ring);
}

static size_t kvx_ring_bytes(u32 entries)
{
	return PAGE_ALIGN(KVXFER_RING_ENTRIES +
			  (size_t)entries * sizeof(struct kvxfer_completion));
}

/**
 * kvx_ring_setup() - KVXFER_IOC_RING_SETUP
 * @agent: who asks
 * @cmd: see &struct kvxfer_ring_setup
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_ring_setup(struct kvx_agent *agent, struct kvxfer_ring_setup *cmd)
{
	const bool event = cmd->hdr.flags & KVXFER_RING_SETUP_EVENTFD;
	struct kvx_ring *ring;
	int err;

	if (!event) {
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->eventfd, sizeof(cmd->eventfd),
					   offsetof(struct kvxfer_ring_setup, eventfd));
		if (err)
			return err;
	}
	if (!is_power_of_2(cmd->entries) || cmd->entries > KVXFER_RING_MAX)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_RING_SIZE, cmd->entries);
	ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);
	if (!ring)
		return -ENOMEM;
	spin_lock_init(&ring->lock);
	INIT_LIST_HEAD(&ring->backlog);
	ring->entries = cmd->entries;
	cmd->out_mmap_offset = KVXFER_MMAP_RING;
	cmd->out_mmap_bytes = kvx_ring_bytes(cmd->entries);
	err = -ENOMEM;
	ring->shared = __vmalloc(cmd->out_mmap_bytes,
				 GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
	if (!ring->shared)
		goto err_free;
	if (event) {
		ring->event = eventfd_ctx_fdget(cmd->eventfd);
		err = PTR_ERR_OR_ZERO(ring->event);
		if (err == -EINVAL)
			kvx_refuse(&cmd->hdr, err, KVXFER_REASON_RING_EVENTFD, 0);
		if (err)
			goto err_vfree;
	}
	/* Whoever sees it sees all of it. */
	if (cmpxchg(&agent->ring, NULL, ring)) {
		err = kvx_refuse(&cmd->hdr, -EEXIST, KVXFER_REASON_RING_EXISTS, 0);
		goto err_put;
	}
	return 0;

err_put:
	if (ring->event)
		eventfd_ctx_put(ring->event);
err_vfree:
	vfree(ring->shared);
err_free:
	kfree(ring);
	return err;
}

/**
 * kvx_ring_reserve() - make room for a completion
 * @agent: whose
 * @hdr: where a refusal is noted
 *
 * Context: process, may sleep.
 * Return: the room; NULL when the agent has no ring; or ERR_PTR: -ENOMEM, or -EAGAIN when the
 * program takes none.
 */
struct kvx_ring_entry *kvx_ring_reserve(struct kvx_agent *agent, struct kvxfer_hdr *hdr)
{
	struct kvx_ring *ring = kvx_ring_of(agent);
	struct kvx_ring_entry *entry;
	u32 waiting;

	if (!ring)
		return NULL;
	waiting = READ_ONCE(ring->nr_backlog);
	if (waiting >= ring->entries) {
		/* It may have made room meanwhile. */
		kvx_ring_flush(agent);
		waiting = READ_ONCE(ring->nr_backlog);
	}
	if (waiting >= ring->entries)
		return ERR_PTR(kvx_refuse(hdr, -EAGAIN, KVXFER_REASON_RING_BACKLOG, waiting));
	entry = kmalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	return entry ?: ERR_PTR(-ENOMEM);
}

static bool __kvx_ring_has_room(const struct kvx_ring *ring)
{
	/* Pairs with the program's release: it has read what we are about to write over. */
	return ring->tail - smp_load_acquire(&ring->shared->head) < ring->entries;
}

static void __kvx_ring_write(struct kvx_ring *ring, struct kvx_ring_entry *entry)
{
	struct kvxfer_completion *entries = (void *)ring->shared + KVXFER_RING_ENTRIES;

	entries[ring->tail & (ring->entries - 1)] = entry->completion;
	ring->tail++;
	/* Pairs with the program's acquire: the entry is there when its number is. */
	smp_store_release(&ring->shared->tail, ring->tail);
	kfree(entry);
}

static void __kvx_ring_flush(struct kvx_ring *ring)
{
	struct kvx_ring_entry *entry, *next;

	lockdep_assert_held(&ring->lock);
	list_for_each_entry_safe(entry, next, &ring->backlog, link) {
		if (!__kvx_ring_has_room(ring))
			break;
		list_del(&entry->link);
		WRITE_ONCE(ring->nr_backlog, ring->nr_backlog - 1);
		__kvx_ring_write(ring, entry);
	}
	WRITE_ONCE(ring->shared->overflow, ring->nr_backlog);
}

/**
 * kvx_ring_put() - a transfer has ended
 * @agent: whose
 * @entry: from kvx_ring_reserve(), filled in
 *
 * Context: process.
 */
void kvx_ring_put(struct kvx_agent *agent, struct kvx_ring_entry *entry)
{
	struct kvx_ring *ring = agent->ring;

	spin_lock(&ring->lock);
	__kvx_ring_flush(ring);
	if (!ring->nr_backlog && __kvx_ring_has_room(ring)) {
		__kvx_ring_write(ring, entry);
	} else {
		list_add_tail(&entry->link, &ring->backlog);
		WRITE_ONCE(ring->nr_backlog, ring->nr_backlog + 1);
		WRITE_ONCE(ring->shared->overflow, ring->nr_backlog);
	}
	spin_unlock(&ring->lock);
}

/**
 * kvx_ring_flush() - put in what there is room for now
 * @agent: whose ring, if it has one
 *
 * Context: process.
 * Return: true when there is a completion that the program has not taken.
 */
bool kvx_ring_flush(struct kvx_agent *agent)
{
	struct kvx_ring *ring = kvx_ring_of(agent);
	bool any;

	if (!ring)
		return false;
	spin_lock(&ring->lock);
	if (ring->nr_backlog)
		__kvx_ring_flush(ring);
	any = ring->tail != READ_ONCE(ring->shared->head);
	spin_unlock(&ring->lock);
	return any;
}

/**
 * kvx_agent_wake() - something has changed that a thread of the agent may wait for
 * @agent: the agent
 *
 * Context: process.
 */
void kvx_agent_wake(struct kvx_agent *agent)
{
	if (wq_has_sleeper(&agent->wait))
		wake_up_poll(&agent->wait, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND);
}

/**
 * kvx_agent_signal() - something has come for the agent's program: a completion or a note
 * @agent: the agent, which is not closed, nor can it be meanwhile
 *
 * Context: process.
 */
void kvx_agent_signal(struct kvx_agent *agent)
{
	struct kvx_ring *ring = kvx_ring_of(agent);

	if (ring && ring->event)
		kvx_eventfd_signal(ring->event);
	kvx_agent_wake(agent);
}

/*
 * --- the states ---------------------------------------------------------------------------------
 */

static struct page *kvx_state_page(struct kvx_agent *agent, unsigned long index)
{
	unsigned long *slot = &agent->states[index], page, there;

	page = READ_ONCE(*slot);
	if (page)
		return virt_to_page((void *)page);
	page = get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!page)
		return NULL;
	there = cmpxchg(slot, 0, page);
	if (there) {
		free_page(page);
		page = there;
	}
	return virt_to_page((void *)page);
}

/**
 * kvx_state_word() - where the state of a transfer is shown
 * @agent: whose
 * @xfer: its number
 *
 * Context: process, may sleep.
 * Return: the word; NULL when there is no memory for it, which can be only the first time.
 */
u32 *kvx_state_word(struct kvx_agent *agent, u32 xfer)
{
	const u32 slot = KVXFER_XFER_SLOT(xfer);
	struct page *page = kvx_state_page(agent, slot / KVX_WORDS_PER_PAGE);

	return page ? (u32 *)page_address(page) + slot % KVX_WORDS_PER_PAGE : NULL;
}

/**
 * kvx_states_free() - the agent is no more
 * @agent: the last of its transfers has gone; mappings have what they show
 *
 * Context: any.
 */
void kvx_states_free(struct kvx_agent *agent)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(agent->states); i++)
		free_page(agent->states[i]);
}

/**
 * kvx_ring_free() - nobody has the agent any more
 * @agent: none of its transfers is told of here any more; mappings have the pages that they show
 *
 * Context: any.
 */
void kvx_ring_free(struct kvx_agent *agent)
{
	struct kvx_ring *ring = agent->ring;
	struct kvx_ring_entry *entry, *next;

	if (!ring)
		return;
	list_for_each_entry_safe(entry, next, &ring->backlog, link)
		kfree(entry);
	if (ring->event)
		eventfd_ctx_put(ring->event);
	vfree(ring->shared);
	kfree(ring);
}

/*
 * --- mappings -----------------------------------------------------------------------------------
 *
 * A mapping has a file of its own, which holds the agent's struct. So it may be that of a process
 * that was forked, and stay when the agent has ended.
 */

static int kvx_shown_release(struct inode *inode, struct file *file)
{
	kvx_agent_put(file->private_data);
	return 0;
}

static const struct file_operations kvx_shown_fops = {
	.owner		= THIS_MODULE,
	.release	= kvx_shown_release,
};

static vm_fault_t kvx_states_fault(struct vm_fault *vmf)
{
	struct kvx_agent *agent = vmf->vma->vm_private_data;
	const unsigned long index = vmf->pgoff - (KVXFER_MMAP_STATES >> PAGE_SHIFT);

	vmf->page = kvx_state_page(agent, index);
	if (!vmf->page)
		return VM_FAULT_OOM;
	get_page(vmf->page);
	return 0;
}

static vm_fault_t kvx_ring_fault(struct vm_fault *vmf)
{
	struct kvx_agent *agent = vmf->vma->vm_private_data;
	const unsigned long index = vmf->pgoff - (KVXFER_MMAP_RING >> PAGE_SHIFT);

	vmf->page = vmalloc_to_page((void *)agent->ring->shared + (index << PAGE_SHIFT));
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct kvx_states_vm_ops = {
	.fault = kvx_states_fault,
};

static const struct vm_operations_struct kvx_ring_vm_ops = {
	.fault = kvx_ring_fault,
};

/**
 * kvx_ring_mmap() - map the states or the ring
 * @agent: whose file is mapped
 * @vma: its offset says what
 *
 * Context: process, the address space is locked for writing.
 * Return: 0; -EINVAL for a range that is neither, or a private mapping; -EACCES for writing to the
 * states.
 */
int kvx_ring_mmap(struct kvx_agent *agent, struct vm_area_struct *vma)
{
	const unsigned long states = KVXFER_MMAP_STATES >> PAGE_SHIFT;
	const unsigned long ring_first = KVXFER_MMAP_RING >> PAGE_SHIFT;
	const struct kvx_ring *ring = kvx_ring_of(agent);
	const unsigned long first = vma->vm_pgoff, nr = vma_pages(vma);
	unsigned long ring_end = ring_first;
	bool is_states;
	int err;

	if (ring)
		ring_end += kvx_ring_bytes(ring->entries) >> PAGE_SHIFT;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	is_states = first >= states && first + nr <= states + ARRAY_SIZE(agent->states);
	if (!is_states && (first < ring_first || first + nr > ring_end))
		return -EINVAL;
	if (is_states && vma->vm_flags & VM_WRITE)
		return -EACCES;
	kref_get(&agent->ref);
	err = kvx_mmap_by(vma, is_states ? "[kvxfer-states]" : "[kvxfer-ring]", &kvx_shown_fops,
			  agent, is_states ? O_RDONLY : O_RDWR);
	if (err) {
		kvx_agent_put(agent);
		return err;
	}
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP, is_states ? VM_MAYWRITE : 0);
	vma->vm_ops = is_states ? &kvx_states_vm_ops : &kvx_ring_vm_ops;
	vma->vm_private_data = agent;
	return 0;
}
