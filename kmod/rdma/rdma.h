/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the RDMA transport know of each other: devices (device.c), memory that they may
 * reach (reg.c), connections (link.c, rail.c), and data on its way (lane.c).
 */
#ifndef KVX_RDMA_H
#define KVX_RDMA_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

#include "../proto.h"

struct kvx_peer;
struct kvx_pool;
struct kvx_rail;

/*
 * --- devices ------------------------------------------------------------------------------------
 */

/**
 * struct kvx_dev - an RDMA device
 * @ref: of the list, until it is removed, and of whoever uses it
 * @link: in the list of devices; under kvx_devs_lock
 * @id: number on this node, for the peers; never 0, and never another's
 * @ib: the device
 * @pd: where all that is ours on it is
 * @why: why it cannot be used, in words; NULL when it can
 * @iwarp: its rules are those of iWARP
 * @numa_node: where it is; or none
 * @key_pages: how many pages a key can cover, a power of two
 * @page_sizes: of which sizes those may be, as a mask
 * @key_max: how many bytes a key covers at most, a power of two
 * @send_sge: how many places a write may gather from
 * @read_sge: how many a read may scatter to
 * @gone: it is being removed; under kvx_devs_lock
 * @users: links that are on it, and whoever works with it for a while
 * @unused: woken when the last of those has gone
 * @lock: for what follows
 * @maps: what of pools it can reach
 * @windows: what of pools peers can reach by it
 * @nr_keys: how many keys those have
 * @keys_ended: how many were ended by work requests, ever
 * @reg_bytes: how many bytes were made reachable by keys, ever
 * @reg_ns: how long that took
 * @ports: how many ports it has
 * @active_ports: how many of them are active
 * @events: what tells of ports
 * @ports_work: looks at them then
 */
struct kvx_dev {
	struct kref ref;
	struct list_head link;
	u32 id;
	struct ib_device *ib;
	struct ib_pd *pd;
	const char *why;
	bool iwarp;
	int numa_node;
	u32 key_pages;
	u64 page_sizes;
	u64 key_max;
	u32 send_sge;
	u32 read_sge;
	bool gone;
	atomic_t users;
	wait_queue_head_t unused;
	struct mutex lock;		/* see above */
	struct list_head maps;
	struct list_head windows;
	u32 nr_keys;
	u64 keys_ended;
	u64 reg_bytes;
	u64 reg_ns;
	u32 ports;
	u32 active_ports;
	struct ib_event_handler events;
	struct work_struct ports_work;
};

/* How far it is from one NUMA node to another; what is not known is as good as the nearest. */
static inline int kvx_numa_distance(int a, int b)
{
	return a == NUMA_NO_NODE || b == NUMA_NO_NODE ? LOCAL_DISTANCE : node_distance(a, b);
}

/* What an administrator sees of a device. */
struct kvx_dev_view {
	u32 id;
	char name[IB_DEVICE_NAME_MAX];
	const char *why;
	bool iwarp;
	int numa_node;
	u32 ports;
	u32 active_ports;
	u64 key_bytes;
	u32 keys;
	u64 keys_ended;
	u64 reg_bytes;
	u64 reg_ns;
};

/* Whether this kernel has RDMA. If not, none.c is linked in place of the other files here. */
extern const bool kvx_has_rdma;

int kvx_devs_init(void);
void kvx_devs_exit(void);
const char *kvx_dev_lacks(const struct ib_device *ib);
void kvx_dev_put(struct kvx_dev *dev);
struct kvx_dev *kvx_dev_use(struct ib_device *ib);
struct kvx_dev *kvx_dev_use_id(u32 id);
bool kvx_dev_is_going(struct kvx_dev *dev);
void kvx_dev_use_more(struct kvx_dev *dev);
void kvx_dev_unuse(struct kvx_dev *dev);
struct kvx_dev *kvx_dev_after(u32 id);
void kvx_dev_look(struct kvx_dev *dev, struct kvx_dev_view *view);

/*
 * --- memory -------------------------------------------------------------------------------------
 */

/**
 * struct kvx_map - a pool, as a device sees it
 * @pool_link: in the pool's list; under its maps_lock
 * @dev_link: in the device's list; under the device's lock
 * @pool: the pool
 * @dev: the device, with a reference
 * @slots: for each slot of the pool's pages where it is, if it is one run; NULL when the device
 * uses the kernel's own addresses
 * @tables: for each slot that is not, where its pages are
 * @lock: held by who makes @window
 * @window: what reads on iWARP write through; NULL for none
 * @dead: the device has gone, and nothing is mapped any more
 */
struct kvx_map {
	struct list_head pool_link;
	struct list_head dev_link;
	struct kvx_pool *pool;
	struct kvx_dev *dev;
	u64 *slots;
	u64 **tables;
	struct mutex lock;		/* see above */
	struct kvx_window *window;
	bool dead;
};

struct kvx_map *kvx_map_get(struct kvx_pool *pool, struct kvx_dev *dev);
struct kvx_map *kvx_map_find(struct kvx_pool *pool, const struct kvx_dev *dev);
u64 kvx_map_at(const struct kvx_map *map, u64 offset, u64 *bytes);
void kvx_maps_drop(struct kvx_pool *pool);
void kvx_maps_drop_dev(struct kvx_dev *dev);

/**
 * struct kvx_range - bytes of a pool
 * @pool: which
 * @start: the first
 * @bytes: how many
 * @granted: which pages of them are meant, a bit for each; NULL when all are
 */
struct kvx_range {
	struct kvx_pool *pool;
	u64 start;
	u64 bytes;
	unsigned long *granted;
};

/**
 * struct kvx_window - what of pools can be reached by keys, on one device
 * @link: in the device's list; under the device's lock
 * @of_hold: in the list of who made it; under that one's lock
 * @dev: the device, with a reference
 * @peer: whom the keys are for, which lasts as long as it; NULL for what reads write through
 * @ended: somebody has made a key invalid
 * @page_shift: of which pages the keys are
 * @shift: of the span that each covers
 * @made: all of its keys have been made
 * @blank: what is reached in place of the pages that are not granted; NULL when all are
 * @blank_at: where that is, for the device
 * @nr: how many keys there are
 * @mrs: one for each; NULL when there are none any more
 */
struct kvx_window {
	struct list_head link;
	struct list_head of_hold;
	struct kvx_dev *dev;
	struct kvx_peer *peer;
	bool ended;
	u32 page_shift;
	u32 shift;
	bool made;
	struct page *blank;
	u64 blank_at;
	u32 nr;
	struct ib_mr **mrs;
};

struct kvx_link;

struct kvx_window *kvx_window_make(struct kvx_dev *dev, struct kvx_link *link,
				   const struct kvx_range *ranges, u32 nr, int access,
				   struct kvx_peer *peer);
struct kvx_peer *kvx_window_end(struct kvx_dev *dev, u32 key);
void kvx_window_free(struct kvx_window *window);
void kvx_windows_kill(struct kvx_dev *dev);

#endif /* KVX_RDMA_H */
