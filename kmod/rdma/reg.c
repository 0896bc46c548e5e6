// SPDX-License-Identifier: GPL-2.0-only
/*
 * What RDMA devices can reach of pools.
 *
 * A *map* is a whole pool as a device sees it: made once for a pool and a device when it is needed
 * first, and used for all that this node reads and writes there on its own account. A *window* is
 * bytes that others may reach by keys: each key covers a span of them, with the least rights, and
 * counts from 0. Windows are made for grants, one for a grant, a peer and a device, and are gone
 * when the grant is revoked: the device is told by work requests that their keys are worth nothing,
 * and has done so when kvx_window_free() goes on. Where there is no connection with the peer to
 * tell it by, or none that works, giving the keys back does the same.
 *
 * A key covers a row of pages of the device's, which are as large as the device has them and the
 * memory of the whole window lies: so the keys of a window, which have to be made, and told, and
 * looked up by the device, are few.
 *
 * What is granted may lie between what is not: then the keys have 4 KiB pages, and in place of the
 * others a blank one, that is the window's own. So what is beside a block cannot be reached either,
 * and places are counted as if it could.
 *
 * Peers share no windows, as who knows a key can end it, by a send that says so. What is left is
 * that a peer guesses: all keys of a device are in one protection domain, so one that was found is
 * good for another's queue pair, too, and rxe ends it even from another domain. Each wrong guess
 * costs the connection. When a guess has ended a key, the device says which, and whose it was gets
 * new ones. To have none guessed would take a domain for each peer, which would be given to whoever
 * says to be that peer, as a queue pair is there before anything is proven by it; and on iWARP what
 * is read to would have to be made writable for each peer anew.
 */
#include <linux/ktime.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "../kvx.h"
#include "../peer.h"
#include "../pool.h"
#include "rail.h"
#include "rdma.h"

/* How many keys are made between two waits for the device. */
#define KVX_REG_BATCH	32

/*
 * --- maps ---------------------------------------------------------------------------------------
 */

static void kvx_map_unmap(struct kvx_map *map)
{
	const struct kvx_pages *pages = &map->pool->pages;
	struct ib_device *ib = map->dev->ib;
	unsigned long s, i;

	for (s = 0; map->slots && s < pages->nr_slots; s++) {
		if (!map->tables[s]) {
			if (map->slots[s])
				ib_dma_unmap_page(ib, map->slots[s],
						  kvx_slot_pages(pages, s) << PAGE_SHIFT,
						  DMA_BIDIRECTIONAL);
			continue;
		}
		for (i = 0; i < kvx_slot_pages(pages, s) && map->tables[s][i]; i++)
			ib_dma_unmap_page(ib, map->tables[s][i], PAGE_SIZE, DMA_BIDIRECTIONAL);
		kvfree(map->tables[s]);
		cond_resched();
	}
	kvfree(map->slots);
	kvfree(map->tables);
	map->slots = NULL;
	map->tables = NULL;
}

static int kvx_map_page(struct kvx_map *map, struct page *page, size_t bytes, u64 *at)
{
	struct ib_device *ib = map->dev->ib;

	*at = ib_dma_map_page(ib, page, 0, bytes, DMA_BIDIRECTIONAL);
	if (!ib_dma_mapping_error(ib, *at) && *at)
		return 0;
	*at = 0;
	return -EIO;
}

static int kvx_map_slot(struct kvx_map *map, unsigned long s)
{
	const struct kvx_pages *pages = &map->pool->pages;
	const unsigned long nr = kvx_slot_pages(pages, s);
	struct page **table = pages->slots[s].table;
	unsigned long i;
	int err = 0;

	if (!table)
		return kvx_map_page(map, pages->slots[s].first, nr << PAGE_SHIFT, &map->slots[s]);
	map->tables[s] = kvcalloc(nr, sizeof(**map->tables), KVX_GFP_LIST);
	if (!map->tables[s])
		return -ENOMEM;
	for (i = 0; i < nr && !err; i++)
		err = kvx_map_page(map, table[i], PAGE_SIZE, &map->tables[s][i]);
	return err;
}

/* One that uses the kernel's own addresses needs no table of them. */
static int kvx_map_fill(struct kvx_map *map)
{
	const unsigned long nr = map->pool->pages.nr_slots;
	unsigned long s;
	int err = 0;

	if (ib_uses_virt_dma(map->dev->ib))
		return 0;
	map->tables = kvcalloc(nr, sizeof(*map->tables), KVX_GFP_LIST);
	map->slots = kvcalloc(nr, sizeof(*map->slots), KVX_GFP_LIST);
	if (!map->slots || !map->tables)
		return -ENOMEM;
	for (s = 0; s < nr && !err; s++) {
		err = kvx_map_slot(map, s);
		cond_resched();
	}
	return err;
}

/**
 * kvx_map_find() - a pool, as a device sees it
 * @pool: the pool
 * @dev: the device; the caller keeps both from going, and so the map
 *
 * Context: process.
 * Return: the map, or NULL when there is none.
 */
struct kvx_map *kvx_map_find(struct kvx_pool *pool, const struct kvx_dev *dev)
{
	struct kvx_map *map, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(map, &pool->dev_maps, pool_link)
		if (map->dev == dev)
			found = map;
	rcu_read_unlock();
	return found;
}

/**
 * kvx_map_get() - the same; if there is none, it is made
 * @pool: the pool
 * @dev: the device; the caller keeps both from going
 *
 * Context: process, may sleep, for long when the pool is large.
 * Return: the map; or ERR_PTR.
 */
struct kvx_map *kvx_map_get(struct kvx_pool *pool, struct kvx_dev *dev)
{
	struct kvx_map *map;
	int err;

	if (pool->dmabuf)
		return ERR_PTR(-EOPNOTSUPP);
	mutex_lock(&pool->dev_maps_lock);
	map = kvx_map_find(pool, dev);
	if (map)
		goto out;
	map = kzalloc(sizeof(*map), GFP_KERNEL_ACCOUNT);
	if (!map) {
		map = ERR_PTR(-ENOMEM);
		goto out;
	}
	mutex_init(&map->lock);
	map->pool = pool;
	map->dev = dev;
	err = kvx_map_fill(map);
	if (err) {
		kvx_map_unmap(map);
		kfree(map);
		map = ERR_PTR(err);
		goto out;
	}
	kref_get(&dev->ref);
	mutex_lock(&dev->lock);
	list_add(&map->dev_link, &dev->maps);
	mutex_unlock(&dev->lock);
	list_add_rcu(&map->pool_link, &pool->dev_maps);
out:
	mutex_unlock(&pool->dev_maps_lock);
	return map;
}

/**
 * kvx_map_at() - where a byte of the pool is, for the device
 * @map: the map
 * @offset: which byte
 * @bytes: how many are wanted; set to how many of them are in a row
 *
 * Context: any.
 * Return: the address.
 */
u64 kvx_map_at(const struct kvx_map *map, u64 offset, u64 *bytes)
{
	const struct kvx_pages *pages = &map->pool->pages;
	const unsigned long index = offset >> PAGE_SHIFT, s = index >> KVX_SLOT_ORDER;
	const unsigned long in_slot = offset & ((KVX_SLOT_PAGES << PAGE_SHIFT) - 1);
	u64 row;

	if (!map->slots) {
		row = ((u64)kvx_pages_run(pages, index, DIV_ROUND_UP_ULL(offset_in_page(offset) +
									 *bytes, PAGE_SIZE))
		       << PAGE_SHIFT) - offset_in_page(offset);
		*bytes = min(*bytes, row);
		return (uintptr_t)page_address(kvx_pages_at(pages, index)) + offset_in_page(offset);
	}
	if (!map->tables[s]) {
		row = (kvx_slot_pages(pages, s) << PAGE_SHIFT) - in_slot;
		*bytes = min(*bytes, row);
		return map->slots[s] + in_slot;
	}
	*bytes = min_t(u64, *bytes, PAGE_SIZE - offset_in_page(offset));
	return map->tables[s][in_slot >> PAGE_SHIFT] + offset_in_page(offset);
}

/*
 * --- windows ------------------------------------------------------------------------------------
 */

/*
 * Have the device end the keys, by a connection with whom they are for: should something be wrong
 * with them, it is nobody else's that ends. Returns how many it has ended.
 */
static u32 kvx_window_invalidate(struct kvx_window *window)
{
	struct kvx_rail *rail = kvx_peer_rail_on(window->peer, window->dev);
	struct kvx_dev *dev;
	u32 at, nr = 0;

	if (!rail)
		return 0;
	/* From here on the device does not go, and so does not kill the window. */
	dev = kvx_rail_use_dev(rail);
	for (at = 0; dev && window->mrs && at < window->nr; at += KVX_REG_BATCH) {
		const u32 part = min_t(u32, window->nr - at, KVX_REG_BATCH);

		if (kvx_link_invalidate(&rail->links[0], window->mrs + at, part))
			break;
		nr += part;
	}
	if (dev)
		kvx_dev_unuse(dev);
	kvx_rail_put(rail);
	return nr;
}

/* The keys are worth nothing any more when this returns. */
static void __kvx_window_kill(struct kvx_window *window)
{
	u32 i;

	lockdep_assert_held(&window->dev->lock);
	if (!window->mrs)
		return;
	for (i = 0; i < window->nr; i++) {
		if (window->mrs[i])
			ib_dereg_mr(window->mrs[i]);
		cond_resched();
	}
	window->dev->nr_keys -= window->nr;
	list_del(&window->link);
	kvfree(window->mrs);
	window->mrs = NULL;
	if (window->blank) {
		ib_dma_unmap_page(window->dev->ib, window->blank_at, PAGE_SIZE, DMA_BIDIRECTIONAL);
		__free_page(window->blank);
		window->blank = NULL;
	}
}

/**
 * kvx_windows_kill() - a device is going: nothing can be reached by it any more
 * @dev: the device, which nobody uses
 *
 * Context: process, may sleep.
 */
void kvx_windows_kill(struct kvx_dev *dev)
{
	struct kvx_window *window;

	mutex_lock(&dev->lock);
	while ((window = list_first_entry_or_null(&dev->windows, struct kvx_window, link)))
		__kvx_window_kill(window);
	mutex_unlock(&dev->lock);
}

/**
 * kvx_window_free() - done with a window
 * @window: the window; its keys are worth nothing any more when this returns
 *
 * Context: process, may sleep. One that is for a peer: not where devices tell of completions.
 */
void kvx_window_free(struct kvx_window *window)
{
	struct kvx_dev *dev = window->dev;
	u32 ended = 0;

	/*
	 * What somebody else has ended is not to be ended again. Those that are for nobody go with
	 * their pool, perhaps where devices tell of completions: there is not to be waited for one.
	 */
	if (window->peer && window->made && !READ_ONCE(window->ended))
		ended = kvx_window_invalidate(window);

	mutex_lock(&dev->lock);
	__kvx_window_kill(window);
	dev->keys_ended += ended;
	mutex_unlock(&dev->lock);
	kvx_dev_put(dev);
	kfree(window);
}

static bool __kvx_window_has(const struct kvx_window *window, u32 key)
{
	u32 i;

	lockdep_assert_held(&window->dev->lock);
	for (i = 0; i < window->nr; i++)
		if (window->mrs[i] && window->mrs[i]->rkey == key)
			return true;
	return false;
}

/**
 * kvx_window_end() - a key has been made invalid
 * @dev: on which device; the caller keeps it from going
 * @key: which
 *
 * Context: process, may sleep.
 * Return: for whom it was, with a reference; NULL when it was nobody's. The window is @ended.
 */
struct kvx_peer *kvx_window_end(struct kvx_dev *dev, u32 key)
{
	struct kvx_peer *peer = NULL;
	struct kvx_window *window;

	mutex_lock(&dev->lock);
	list_for_each_entry(window, &dev->windows, link) {
		cond_resched();
		/* What reads on iWARP write through is used without a lock: it is not made anew. */
		if (!window->peer || !__kvx_window_has(window, key))
			continue;
		WRITE_ONCE(window->ended, true);
		peer = window->peer;
		kref_get(&peer->ref);
		break;
	}
	mutex_unlock(&dev->lock);
	return peer;
}

/* How many bytes from a page on are granted as that page is, or are not. */
static u64 kvx_range_row(const struct kvx_range *range, u64 at, u64 bytes, bool *granted)
{
	const unsigned long page = (at - range->start) >> PAGE_SHIFT;
	const unsigned long end = page + DIV_ROUND_UP_ULL(bytes, PAGE_SIZE);
	unsigned long next;

	*granted = !range->granted || test_bit(page, range->granted);
	if (!range->granted)
		return bytes;
	next = *granted ? find_next_zero_bit(range->granted, end, page) :
			  find_next_bit(range->granted, end, page);
	return min(bytes, (u64)(next - page) << PAGE_SHIFT);
}

/* Where the bytes of one key are, for the device: an element for each that are in a row. */
static int kvx_window_sg(const struct kvx_window *window, const struct kvx_map *map,
			 const struct kvx_range *range, u64 at, u64 bytes, struct scatterlist *sg)
{
	bool granted;
	u32 nr = 0;
	u64 row;

	while (bytes && nr < window->dev->key_pages) {
		row = kvx_range_row(range, at, bytes, &granted);
		if (!granted)
			row = min_t(u64, row, PAGE_SIZE);
		sg_dma_address(&sg[nr]) = granted ? kvx_map_at(map, at, &row) : window->blank_at;
		sg_dma_len(&sg[nr]) = row;
		sg[nr].length = row;
		at += row;
		bytes -= row;
		nr++;
	}
	return bytes ? -E2BIG : (int)nr;
}

/* One key. @sg has been initialised, and is as long as a key has pages. */
static int kvx_window_key(struct kvx_window *window, u32 key, const struct kvx_map *map,
			  const struct kvx_range *range, u64 at, u64 bytes, struct scatterlist *sg)
{
	const u32 pages = DIV_ROUND_UP_ULL(bytes, 1ULL << window->page_shift);
	unsigned int none = 0;
	struct ib_mr *mr;
	int nr, err;

	mr = ib_alloc_mr(window->dev->pd, IB_MR_TYPE_MEM_REG, pages + 1);
	if (IS_ERR(mr))
		return PTR_ERR(mr);
	window->mrs[key] = mr;
	nr = kvx_window_sg(window, map, range, at, bytes, sg);
	if (nr < 0)
		return nr;
	err = ib_map_mr_sg_zbva(mr, sg, nr, &none, 1U << window->page_shift);
	if (err < 0)
		return err;
	return err == nr && mr->length == bytes ? 0 : -EINVAL;
}

static int kvx_window_fill(struct kvx_window *window, struct kvx_link *link,
			   const struct kvx_range *ranges, u32 nr, int access,
			   struct scatterlist *sg)
{
	const u32 shift = window->shift;
	u32 r, key = 0, posted = 0;
	struct kvx_map *map;
	int err = 0;
	u64 at, end;

	for (r = 0; r < nr; r++) {
		map = kvx_map_get(ranges[r].pool, window->dev);
		if (IS_ERR(map))
			return PTR_ERR(map);
		for (at = ranges[r].start; at < ranges[r].start + ranges[r].bytes; at = end) {
			end = min(((at >> shift) + 1) << shift, ranges[r].start + ranges[r].bytes);
			err = kvx_window_key(window, key++, map, &ranges[r], at, end - at, sg);
			if (!err && (key - posted == KVX_REG_BATCH || key == window->nr)) {
				err = kvx_link_register(link, window->mrs + posted, key - posted,
							access);
				posted = key;
			}
			if (err)
				return err;
			cond_resched();
		}
	}
	return 0;
}

/*
 * Which pages the whole of it lies in as the device wants that: each begins where such a page does.
 * Spans begin at multiples of them from where a slot does, or where a range does.
 */
static int kvx_window_lay(struct kvx_window *window, const struct kvx_range *ranges, u32 nr)
{
	u64 at = BIT_ULL(PAGE_SHIFT + KVX_SLOT_ORDER), row;
	struct kvx_dev *dev = window->dev;
	const struct kvx_pages *pages;
	struct kvx_map *map;
	unsigned long s;
	u32 r;

	for (r = 0; r < nr; r++) {
		map = kvx_map_get(ranges[r].pool, dev);
		if (IS_ERR(map))
			return PTR_ERR(map);
		pages = &ranges[r].pool->pages;
		at |= ranges[r].start | (ranges[r].granted ? PAGE_SIZE : 0);
		for (s = ranges[r].start >> PAGE_SHIFT >> KVX_SLOT_ORDER;
		     s << KVX_SLOT_ORDER << PAGE_SHIFT < ranges[r].start + ranges[r].bytes &&
		     !(at & PAGE_SIZE); s++) {
			row = PAGE_SIZE;
			/* Of one that is in pieces nothing is known but that they are pages. */
			at |= pages->slots[s].table ? PAGE_SIZE :
			      kvx_map_at(map, (u64)s << KVX_SLOT_ORDER << PAGE_SHIFT, &row);
			cond_resched();
		}
	}
	window->page_shift = __fls(dev->page_sizes & GENMASK_ULL(__ffs64(at), 0));
	window->shift = min_t(u32, window->page_shift + ilog2(dev->key_pages),
			      ilog2(dev->key_max));
	return 0;
}

/* What is there in place of what is not granted. */
static int kvx_window_blank(struct kvx_window *window, const struct kvx_range *ranges, u32 nr)
{
	struct ib_device *ib = window->dev->ib;
	bool holes = false;
	u32 r;

	for (r = 0; r < nr; r++)
		holes = holes || ranges[r].granted;
	if (!holes)
		return 0;
	window->blank = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!window->blank)
		return -ENOMEM;
	window->blank_at = ib_dma_map_page(ib, window->blank, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (!ib_dma_mapping_error(ib, window->blank_at))
		return 0;
	__free_page(window->blank);
	window->blank = NULL;
	return -EIO;
}

/**
 * kvx_window_make() - make bytes of pools reachable
 * @dev: by which device; the caller keeps it from going
 * @link: a connection on it, which is up, to do it by
 * @ranges: which bytes; they begin and end with pages
 * @nr: how many ranges
 * @access: IB_ACCESS_*
 * @peer: for whom; lasts as long as the window. NULL for nobody
 *
 * Context: process, may sleep.
 * Return: the window, whose keys work; or ERR_PTR.
 */
struct kvx_window *kvx_window_make(struct kvx_dev *dev, struct kvx_link *link,
				   const struct kvx_range *ranges, u32 nr, int access,
				   struct kvx_peer *peer)
{
	const u64 began = ktime_get_ns();
	struct kvx_window *window;
	struct scatterlist *sg;
	u64 keys = 0, bytes = 0;
	int err = -ENOMEM;
	u32 r;

	window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	sg = kvmalloc_array(dev->key_pages, sizeof(*sg), GFP_KERNEL);
	if (!window || !sg)
		goto err_free;
	sg_init_table(sg, dev->key_pages);
	window->dev = dev;
	window->peer = peer;
	err = kvx_window_lay(window, ranges, nr);
	if (err)
		goto err_free;
	for (r = 0; r < nr; r++) {
		keys += kvx_span_keys(ranges[r].start, ranges[r].bytes, window->shift);
		bytes += ranges[r].bytes;
	}
	err = -E2BIG;
	if (keys > KVX_KEYS_MAX)
		goto err_free;
	err = -ENOMEM;
	window->mrs = kvcalloc(keys, sizeof(*window->mrs), KVX_GFP_LIST);
	if (!window->mrs)
		goto err_free;
	err = kvx_window_blank(window, ranges, nr);
	if (err)
		goto err_mrs;
	window->nr = keys;
	kref_get(&dev->ref);
	mutex_lock(&dev->lock);
	list_add(&window->link, &dev->windows);
	dev->nr_keys += keys;
	mutex_unlock(&dev->lock);
	err = kvx_window_fill(window, link, ranges, nr, access, sg);
	kvfree(sg);
	if (err) {
		kvx_window_free(window);
		return ERR_PTR(err);
	}
	window->made = true;
	mutex_lock(&dev->lock);
	dev->reg_bytes += bytes;
	dev->reg_ns += ktime_get_ns() - began;
	mutex_unlock(&dev->lock);
	return window;

err_mrs:
	kvfree(window->mrs);
err_free:
	kvfree(sg);
	kfree(window);
	return ERR_PTR(err);
}

/*
 * --- ends ---------------------------------------------------------------------------------------
 */

/**
 * kvx_maps_drop() - a pool is going: devices see it no more
 * @pool: the pool, which nobody uses
 *
 * Context: process, may sleep.
 */
void kvx_maps_drop(struct kvx_pool *pool)
{
	struct kvx_map *map, *next;

	list_for_each_entry_safe(map, next, &pool->dev_maps, pool_link) {
		if (map->window)
			kvx_window_free(map->window);
		/* Either the device's removal ends it, or we do, and the device waits for us. */
		mutex_lock(&map->dev->lock);
		if (!map->dead) {
			list_del(&map->dev_link);
			kvx_map_unmap(map);
		}
		mutex_unlock(&map->dev->lock);
		kvx_dev_put(map->dev);
		kfree(map);
	}
	INIT_LIST_HEAD(&pool->dev_maps);
}

/**
 * kvx_maps_drop_dev() - a device is going: it sees pools no more
 * @dev: the device, which nobody uses
 *
 * Context: process, may sleep.
 */
void kvx_maps_drop_dev(struct kvx_dev *dev)
{
	struct kvx_map *map;

	mutex_lock(&dev->lock);
	while ((map = list_first_entry_or_null(&dev->maps, struct kvx_map, dev_link))) {
		list_del(&map->dev_link);
		kvx_map_unmap(map);
		map->dead = true;
	}
	mutex_unlock(&dev->lock);
}
