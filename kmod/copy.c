// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local path: bytes copied by the CPUs.
 *
 * A small copy is made at once, by whoever posts it. A large one is split into parts, which wait in
 * their agent's queue. Workers, as many as there are CPUs, take from the queues in turn: first the
 * agents, then each agent's parts, a slice at a time. So a large copy does not keep others waiting,
 * nor many copies of one agent those of another. Without work there is no worker.
 *
 * A part writes under its lock, a step at a time, and looks at @stop before each. So whoever has
 * set @stop and has then held each part's lock knows that nothing is written any more: this takes
 * as long as a step does.
 */
#include <linux/cpumask.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "copy.h"
#include "pool.h"

/* What is worth a part of its own. */
#define KVX_COPY_SPLIT		(1 << 20)
/* What is written between two looks at what is wanted. */
#define KVX_COPY_STEP		(64 << 10)
/* What a segment counts for beside its bytes, so that many small ones are a step, too. */
#define KVX_COPY_EACH		256
/* What a part may write before it is another's turn. */
#define KVX_COPY_SLICE		(1 << 20)

#define KVX_COPY_WORKERS	256

static DEFINE_SPINLOCK(kvx_copy_lock);
static LIST_HEAD(kvx_copy_queues);
static struct workqueue_struct *kvx_copy_wq;
static struct work_struct kvx_copy_works[KVX_COPY_WORKERS];
/* Which of them are at work, and how many. */
static DECLARE_BITMAP(kvx_copy_busy, KVX_COPY_WORKERS);
static unsigned int kvx_copy_running;
static unsigned int copy_workers = KVX_COPY_WORKERS;

static unsigned int kvx_copy_workers_max(void)
{
	return min3(READ_ONCE(copy_workers), num_online_cpus(), (unsigned int)KVX_COPY_WORKERS);
}

/* As many workers as there is work for, and may be. */
static void __kvx_copy_kick(unsigned int wanted)
{
	unsigned int i;

	lockdep_assert_held(&kvx_copy_lock);
	while (wanted-- && kvx_copy_running < kvx_copy_workers_max()) {
		i = find_first_zero_bit(kvx_copy_busy, KVX_COPY_WORKERS);
		__set_bit(i, kvx_copy_busy);
		kvx_copy_running++;
		queue_work(kvx_copy_wq, &kvx_copy_works[i]);
	}
}

static int kvx_copy_workers_set(const char *value, const struct kernel_param *param)
{
	int err = param_set_uint(value, param);

	if (err)
		return err;
	spin_lock(&kvx_copy_lock);
	if (kvx_copy_wq && !list_empty(&kvx_copy_queues))
		__kvx_copy_kick(KVX_COPY_WORKERS);
	spin_unlock(&kvx_copy_lock);
	return 0;
}

static const struct kernel_param_ops kvx_copy_workers_ops = {
	.set = kvx_copy_workers_set,
	.get = param_get_uint,
};
module_param_cb(copy_workers, &kvx_copy_workers_ops, &copy_workers, 0644);
MODULE_PARM_DESC(copy_workers, "how many CPUs may make large copies at once; 0: such copies wait");

/* Where a place is, and how many bytes from there on are in a row. */
static void *kvx_copy_at(struct kvx_pool **pools, u64 place, u64 *bytes)
{
	const struct kvx_pool *pool = pools[kvx_place_pool(place)];
	const u64 offset = kvx_place_offset(place);
	unsigned long index;
	u64 row;

	if (pool->dmabuf)
		return pool->map.vaddr + offset;
	index = offset >> PAGE_SHIFT;
	row = ((u64)kvx_pages_run(&pool->pages, index,
				  DIV_ROUND_UP_ULL(offset_in_page(offset) + *bytes, PAGE_SIZE))
	       << PAGE_SHIFT) - offset_in_page(offset);
	*bytes = min(*bytes, row);
	return page_address(kvx_pages_at(&pool->pages, index)) + offset_in_page(offset);
}

/* Returns how many bytes were copied: fewer when the source's memory is broken. */
static u64 kvx_copy_segment(struct kvx_copy *copy, const struct kvx_segment *segment)
{
	u64 done = 0, n;
	unsigned long lost;
	void *src, *dst;

	while (done < segment->bytes) {
		n = segment->bytes - done;
		src = kvx_copy_at(copy->src_pools, segment->src + done, &n);
		dst = kvx_copy_at(copy->dst_pools, segment->dst + done, &n);
		lost = kvx_memcpy(dst, src, n);
		done += n - lost;
		if (lost)
			break;
	}
	return done;
}

/* Copy for a while; returns true when the part has ended. */
static bool kvx_copy_step(struct kvx_copy_part *part)
{
	struct kvx_copy *copy = part->copy;
	struct kvx_segment segment;
	u64 left = KVX_COPY_STEP, n;
	bool ended = false, broken = false;

	if (ktime_get_ns() >= copy->job.deadline_ns)
		copy->job.expire(&copy->job);
	spin_lock(&part->lock);
	while (left && !ended) {
		ended = READ_ONCE(copy->job.stop) ||
			!kvx_cursor_next(&part->cursor, &segment, left);
		if (ended)
			break;
		n = kvx_copy_segment(copy, &segment);
		part->bytes += n;
		left -= min(left, n + KVX_COPY_EACH);
		broken = n < segment.bytes;
		ended = broken;
	}
	spin_unlock(&part->lock);
	if (broken)
		copy->job.fail(&copy->job, EIO, KVXFER_REASON_XFER_MEMORY);
	return ended;
}

/* A part has ended; the last one ends the copy, which then may be no more. */
static void kvx_copy_part_ended(struct kvx_copy *copy)
{
	if (atomic_dec_and_test(&copy->left))
		copy->job.quiet(&copy->job);
}

/* Returns false when it shall not wait any more, but end. */
static bool __kvx_copy_enqueue(struct kvx_copy_part *part)
{
	struct kvx_copy *copy = part->copy;

	lockdep_assert_held(&kvx_copy_lock);
	if (READ_ONCE(copy->job.stop))
		return false;
	if (list_empty(&copy->queue->parts))
		list_add_tail(&copy->queue->link, &kvx_copy_queues);
	list_add_tail(&part->link, &copy->queue->parts);
	return true;
}

static void __kvx_copy_dequeue(struct kvx_copy_part *part)
{
	lockdep_assert_held(&kvx_copy_lock);
	list_del_init(&part->link);
	if (list_empty(&part->copy->queue->parts))
		list_del_init(&part->copy->queue->link);
}

/* The next one: of the agent whose turn it is, the first. */
static struct kvx_copy_part *__kvx_copy_take(void)
{
	struct kvx_copy_queue *queue;
	struct kvx_copy_part *part;

	lockdep_assert_held(&kvx_copy_lock);
	queue = list_first_entry_or_null(&kvx_copy_queues, struct kvx_copy_queue, link);
	if (!queue)
		return NULL;
	part = list_first_entry(&queue->parts, struct kvx_copy_part, link);
	list_move_tail(&queue->link, &kvx_copy_queues);
	__kvx_copy_dequeue(part);
	return part;
}

static void kvx_copy_work(struct work_struct *work)
{
	struct kvx_copy_part *part = NULL;
	struct kvx_copy *copy;
	unsigned int steps;
	bool ended, waits;

	for (;;) {
		spin_lock(&kvx_copy_lock);
		part = kvx_copy_running > kvx_copy_workers_max() ? NULL : __kvx_copy_take();
		if (!part) {
			__clear_bit(work - kvx_copy_works, kvx_copy_busy);
			kvx_copy_running--;
		}
		spin_unlock(&kvx_copy_lock);
		if (!part)
			return;
		copy = part->copy;
		ended = false;
		for (steps = KVX_COPY_SLICE / KVX_COPY_STEP; steps && !ended; steps--) {
			ended = kvx_copy_step(part);
			cond_resched();
		}
		if (!ended) {
			spin_lock(&kvx_copy_lock);
			waits = __kvx_copy_enqueue(part);
			spin_unlock(&kvx_copy_lock);
			ended = !waits;
		}
		if (ended)
			kvx_copy_part_ended(copy);
	}
}

/**
 * kvx_copy_queue_init() - an agent's
 * @queue: to be set
 *
 * Context: any.
 */
void kvx_copy_queue_init(struct kvx_copy_queue *queue)
{
	INIT_LIST_HEAD(&queue->link);
	INIT_LIST_HEAD(&queue->parts);
}

/**
 * kvx_copy_parts() - of how many parts a copy is to be
 * @shape: what is copied
 *
 * Context: any.
 * Return: 1 to KVX_COPY_PARTS_MAX.
 */
u32 kvx_copy_parts(const struct kvx_shape *shape)
{
	return clamp_t(u64, shape->bytes / KVX_COPY_SPLIT, 1,
		       min_t(u32, num_online_cpus(), KVX_COPY_PARTS_MAX));
}

/**
 * kvx_copy_init() - make a copy ready for its first beginning
 * @copy: its queue, pools and functions are set, or will be
 * @nr: how many parts it has room for
 *
 * Context: any.
 */
void kvx_copy_init(struct kvx_copy *copy, u32 nr)
{
	u32 i;

	copy->nr = nr;
	for (i = 0; i < nr; i++) {
		copy->parts[i].copy = copy;
		INIT_LIST_HEAD(&copy->parts[i].link);
		spin_lock_init(&copy->parts[i].lock);
	}
}

static void kvx_copy_begin(struct kvx_job *job, const struct kvx_shape *shape)
{
	struct kvx_copy *copy = container_of(job, struct kvx_copy, job);
	const u32 nr = copy->nr;
	u32 i, stopped = 0;

	atomic_set(&copy->left, nr);
	for (i = 0; i < nr; i++) {
		spin_lock(&copy->parts[i].lock);
		kvx_cursor_init(&copy->parts[i].cursor, shape, i, nr);
		copy->parts[i].bytes = 0;
		spin_unlock(&copy->parts[i].lock);
	}
	if (shape->bytes <= KVX_COPY_INLINE) {
		while (!kvx_copy_step(&copy->parts[0]))
			cond_resched();
		kvx_copy_part_ended(copy);
		return;
	}
	spin_lock(&kvx_copy_lock);
	for (i = 0; i < nr; i++)
		stopped += !__kvx_copy_enqueue(&copy->parts[i]);
	__kvx_copy_kick(nr);
	spin_unlock(&kvx_copy_lock);
	/* While one is left that is counted, the copy is there. */
	while (stopped--)
		kvx_copy_part_ended(copy);
}

/* When this returns, nothing is written any more. */
static void kvx_copy_stop(struct kvx_job *job)
{
	struct kvx_copy *copy = container_of(job, struct kvx_copy, job);
	u32 i, stopped = 0;

	spin_lock(&kvx_copy_lock);
	/* It may have ended, and run anew: then it is not what was to stop. */
	for (i = 0; i < copy->nr && READ_ONCE(copy->job.stop); i++) {
		if (list_empty(&copy->parts[i].link))
			continue;
		__kvx_copy_dequeue(&copy->parts[i]);
		stopped++;
	}
	spin_unlock(&kvx_copy_lock);
	for (i = 0; i < copy->nr; i++) {
		spin_lock(&copy->parts[i].lock);
		spin_unlock(&copy->parts[i].lock);
	}
	while (stopped--)
		kvx_copy_part_ended(copy);
}

static u64 kvx_copy_bytes(struct kvx_job *job)
{
	struct kvx_copy *copy = container_of(job, struct kvx_copy, job);
	u64 bytes = 0;
	u32 i;

	for (i = 0; i < copy->nr; i++)
		bytes += copy->parts[i].bytes;
	return bytes;
}

const struct kvx_transport_ops kvx_copy_ops = {
	.begin	= kvx_copy_begin,
	.stop	= kvx_copy_stop,
	.bytes	= kvx_copy_bytes,
};

/**
 * kvx_copy_engine_init() - before the first copy
 *
 * Return: 0 or -ENOMEM.
 */
int kvx_copy_engine_init(void)
{
	unsigned int i;

	for (i = 0; i < KVX_COPY_WORKERS; i++)
		INIT_WORK(&kvx_copy_works[i], kvx_copy_work);
	kvx_copy_wq = alloc_workqueue("kvxfer_copy", WQ_UNBOUND, KVX_COPY_WORKERS);
	return kvx_copy_wq ? 0 : -ENOMEM;
}

/**
 * kvx_copy_engine_exit() - after the last copy has ended
 */
void kvx_copy_engine_exit(void)
{
	destroy_workqueue(kvx_copy_wq);
	kvx_copy_wq = NULL;
	WARN_ON_ONCE(!list_empty(&kvx_copy_queues));
}
