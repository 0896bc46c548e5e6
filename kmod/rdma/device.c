// SPDX-License-Identifier: GPL-2.0-only
/*
 * RDMA devices, as they come and go.
 *
 * All are kept, those that cannot be used with the reason in words. One that is removed is closed
 * for newcomers first; then its connections are ended and gone, and with them everything that uses
 * it; then what it could reach is unmapped. All of that is done when kvx_dev_remove() returns.
 */
#include <linux/netdevice.h>
#include <linux/slab.h>
#include <rdma/ib_cache.h>

#include "../compat.h"
#include "../kvx.h"
#include "../netlink.h"
#include "../peer.h"
#include "../pages.h"
#include "link.h"
#include "rail.h"
#include "rdma.h"

/* A key covers no more pages than this: more cost memory, and bring little. */
#define KVX_KEY_PAGES_MAX	512U
#define KVX_SGE_MAX		KVX_LANE_SGE

const bool kvx_has_rdma = true;

static DEFINE_MUTEX(kvx_devs_lock);
static LIST_HEAD(kvx_devs);
static u32 kvx_dev_last;

static void kvx_dev_free(struct kref *ref)
{
	struct kvx_dev *dev = container_of(ref, struct kvx_dev, ref);

	mutex_destroy(&dev->lock);
	kfree(dev);
}

/**
 * kvx_dev_put() - drop a reference
 * @dev: the device
 *
 * Context: process.
 */
void kvx_dev_put(struct kvx_dev *dev)
{
	kref_put(&dev->ref, kvx_dev_free);
}

/**
 * kvx_dev_lacks() - is there all at a device that we need?
 * @ib: the device
 *
 * Context: any.
 * Return: what is not there, in words; NULL when it can be used.
 */
const char *kvx_dev_lacks(const struct ib_device *ib)
{
	u32 port;

	if (!ib->kverbs_provider)
		return "its driver gives the kernel no verbs (as Amazon's EFA)";
	if (!(ib->attrs.device_cap_flags & IB_DEVICE_MEM_MGT_EXTENSIONS))
		return "it cannot register memory by work requests";
	if (ib->attrs.max_fast_reg_page_list_len < 17)
		return "it registers fewer than 16 pages at once";
	if (ib->attrs.page_size_cap && !(ib->attrs.page_size_cap & PAGE_SIZE))
		return "it takes no pages of the size that this kernel's are of";
	rdma_for_each_port(ib, port)
		if (rdma_cap_ib_cm(ib, port) || rdma_cap_iw_cm(ib, port))
			return NULL;
	return "none of its ports has a connection manager";
}
EXPORT_SYMBOL_IF_KUNIT(kvx_dev_lacks);

/*
 * Does its driver tell the device of what size the pages of a registration are? What sizes it says
 * to take holds for programs' memory; some drivers take each page of a registration by work request
 * for one of PAGE_SIZE, whatever it is. These were looked at.
 */
static bool kvx_dev_knows_pages(const struct ib_device *ib)
{
	switch (ib->ops.driver_id) {
	case RDMA_DRIVER_BNXT_RE:
	case RDMA_DRIVER_IRDMA:
	case RDMA_DRIVER_MLX4:
	case RDMA_DRIVER_MLX5:
	case RDMA_DRIVER_RXE:
		return true;
	default:
		return false;
	}
}

static int kvx_dev_setup(struct kvx_dev *dev)
{
	const struct ib_device_attr *attrs = &dev->ib->attrs;
	u64 most;

	dev->iwarp = rdma_protocol_iwarp(dev->ib, rdma_start_port(dev->ib));
	/* A page more than is needed is left free: rxe of 6.1 looks one page too far. */
	dev->key_pages = rounddown_pow_of_two(min(attrs->max_fast_reg_page_list_len - 1,
						  KVX_KEY_PAGES_MAX));
	dev->page_sizes = PAGE_SIZE;
	/* Memory comes in no larger pieces than slots. */
	if (kvx_dev_knows_pages(dev->ib))
		dev->page_sizes |= attrs->page_size_cap &
				   GENMASK_ULL(PAGE_SHIFT + KVX_SLOT_ORDER, PAGE_SHIFT);
	most = min_t(u64, attrs->max_mr_size ?: U64_MAX, 1ULL << KVX_SPAN_SHIFT_MAX);
	most = min(most, (u64)dev->key_pages << __fls(dev->page_sizes));
	dev->key_max = rounddown_pow_of_two(most);
	dev->send_sge = clamp_t(u32, attrs->max_send_sge, 1, KVX_SGE_MAX);
	dev->read_sge = clamp_t(u32, attrs->max_sge_rd, 1, dev->send_sge);
	dev->pd = ib_alloc_pd(dev->ib, 0);
	return PTR_ERR_OR_ZERO(dev->pd);
}

/* Where it is: a device made of software is where its network device is. */
static int kvx_dev_node(struct ib_device *ib)
{
	const struct ib_gid_attr *gid;
	int node = ibdev_to_node(ib);
	struct net_device *ndev;
	u32 port;

	rdma_for_each_port(ib, port) {
		gid = node == NUMA_NO_NODE ? rdma_get_gid_attr(ib, port, 0) : ERR_PTR(-ENODATA);
		if (IS_ERR(gid))
			continue;
		rcu_read_lock();
		ndev = rdma_read_gid_attr_ndev_rcu(gid);
		if (!IS_ERR(ndev) && ndev->dev.parent)
			node = dev_to_node(ndev->dev.parent);
		rcu_read_unlock();
		rdma_put_gid_attr(gid);
	}
	return node;
}

static u32 kvx_dev_count_active(struct ib_device *ib)
{
	struct ib_port_attr attr;
	u32 port, active = 0;

	rdma_for_each_port(ib, port)
		if (!ib_query_port(ib, port, &attr) && attr.state == IB_PORT_ACTIVE)
			active++;
	return active;
}

static void kvx_dev_ports(struct work_struct *work)
{
	struct kvx_dev *dev = container_of(work, struct kvx_dev, ports_work);
	const u32 active = kvx_dev_count_active(dev->ib), before = dev->active_ports;

	if (active == before)
		return;
	WRITE_ONCE(dev->active_ports, active);
	kvx_tell_dev(dev, active > before ? KVXFER_NL_EVENT_UP : KVXFER_NL_EVENT_DOWN);
	/* What could not be reached perhaps can be. */
	if (active > before && !dev->why)
		kvx_peers_try();
}

/* Devices are not asked where they tell: their own locks may be outside of that. */
static void kvx_dev_event(struct ib_event_handler *handler, struct ib_event *event)
{
	struct kvx_dev *dev = container_of(handler, struct kvx_dev, events);

	if (event->event == IB_EVENT_PORT_ACTIVE || event->event == IB_EVENT_PORT_ERR)
		schedule_work(&dev->ports_work);
}

static int kvx_dev_add(struct ib_device *ib)
{
	struct kvx_dev *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	int err;

	if (!dev)
		return -ENOMEM;
	kref_init(&dev->ref);
	atomic_set(&dev->users, 0);
	init_waitqueue_head(&dev->unused);
	mutex_init(&dev->lock);
	INIT_LIST_HEAD(&dev->maps);
	INIT_LIST_HEAD(&dev->windows);
	dev->ib = ib;
	dev->ports = ib->phys_port_cnt;
	dev->active_ports = kvx_dev_count_active(ib);
	dev->numa_node = kvx_dev_node(ib);
	dev->why = kvx_dev_lacks(ib);
	if (!dev->why) {
		err = kvx_dev_setup(dev);
		if (err) {
			kvx_dev_put(dev);
			return err;
		}
	}
	mutex_lock(&kvx_devs_lock);
	dev->id = ++kvx_dev_last;
	list_add_tail(&dev->link, &kvx_devs);
	ib_set_client_data(ib, &kvx_ib_client, dev);
	mutex_unlock(&kvx_devs_lock);
	kvx_tell_dev(dev, KVXFER_NL_EVENT_NEW);
	INIT_WORK(&dev->ports_work, kvx_dev_ports);
	INIT_IB_EVENT_HANDLER(&dev->events, ib, kvx_dev_event);
	ib_register_event_handler(&dev->events);
	/* Something may have happened before that. */
	schedule_work(&dev->ports_work);
	if (!dev->why)
		kvx_peers_try();
	return 0;
}

static void kvx_dev_remove(struct ib_device *ib, void *data)
{
	struct kvx_dev *dev = data;

	if (!dev)
		return;
	ib_unregister_event_handler(&dev->events);
	cancel_work_sync(&dev->ports_work);
	mutex_lock(&kvx_devs_lock);
	dev->gone = true;
	list_del(&dev->link);
	/* The connection manager goes after us, and asks until then. */
	ib_set_client_data(ib, &kvx_ib_client, NULL);
	mutex_unlock(&kvx_devs_lock);
	if (!dev->why) {
		kvx_peers_fail_dev(dev);
		wait_event(dev->unused, !atomic_read(&dev->users));
		kvx_windows_kill(dev);
		kvx_maps_drop_dev(dev);
		ib_dealloc_pd(dev->pd);
	}
	kvx_tell_dev(dev, KVXFER_NL_EVENT_GONE);
	mutex_lock(&kvx_devs_lock);
	dev->ib = NULL;
	mutex_unlock(&kvx_devs_lock);
	kvx_dev_put(dev);
}

struct ib_client kvx_ib_client = {
	.name		= "kvxfer",
	.add		= kvx_dev_add,
	.remove		= kvx_dev_remove,
	/* To be able to say of such devices that they cannot be used. */
	.no_kverbs_req	= 1,
};

/* The caller gives the device back by kvx_dev_unuse(). */
static struct kvx_dev *__kvx_dev_use(struct kvx_dev *dev)
{
	lockdep_assert_held(&kvx_devs_lock);
	if (!dev || dev->why || dev->gone)
		return NULL;
	kref_get(&dev->ref);
	atomic_inc(&dev->users);
	return dev;
}

/**
 * kvx_dev_use() - keep a device from going
 * @ib: the device, which cannot go while this runs
 *
 * Context: process, may sleep.
 * Return: the device, for kvx_dev_unuse(); NULL when it cannot be used.
 */
struct kvx_dev *kvx_dev_use(struct ib_device *ib)
{
	struct kvx_dev *dev;

	mutex_lock(&kvx_devs_lock);
	dev = __kvx_dev_use(ib_get_client_data(ib, &kvx_ib_client));
	mutex_unlock(&kvx_devs_lock);
	return dev;
}

/**
 * kvx_dev_use_id() - the same by its number
 * @id: the number
 *
 * Context: process, may sleep.
 * Return: as kvx_dev_use().
 */
struct kvx_dev *kvx_dev_use_id(u32 id)
{
	struct kvx_dev *dev, *found = NULL;

	mutex_lock(&kvx_devs_lock);
	list_for_each_entry(dev, &kvx_devs, link)
		if (dev->id == id)
			found = __kvx_dev_use(dev);
	mutex_unlock(&kvx_devs_lock);
	return found;
}

/**
 * kvx_dev_is_going() - is it being removed?
 * @dev: the device
 *
 * Context: process, may sleep.
 * Return: true when it is.
 */
bool kvx_dev_is_going(struct kvx_dev *dev)
{
	bool gone;

	mutex_lock(&kvx_devs_lock);
	gone = dev->gone;
	mutex_unlock(&kvx_devs_lock);
	return gone;
}

/**
 * kvx_dev_use_more() - once more what is kept from going already
 * @dev: the device
 *
 * Context: any.
 */
void kvx_dev_use_more(struct kvx_dev *dev)
{
	kref_get(&dev->ref);
	atomic_inc(&dev->users);
}

/**
 * kvx_dev_unuse() - let it go
 * @dev: what kvx_dev_use() gave
 *
 * Context: process.
 */
void kvx_dev_unuse(struct kvx_dev *dev)
{
	if (atomic_dec_and_test(&dev->users))
		wake_up_all(&dev->unused);
	kvx_dev_put(dev);
}

/**
 * kvx_dev_after() - one device after the other, whether or not it can be used
 * @id: the number of the one before; 0 for the first
 *
 * Context: process, may sleep.
 * Return: the device, for kvx_dev_put(), which may go meanwhile; or NULL.
 */
struct kvx_dev *kvx_dev_after(u32 id)
{
	struct kvx_dev *dev, *found = NULL;

	mutex_lock(&kvx_devs_lock);
	list_for_each_entry(dev, &kvx_devs, link) {
		if (dev->id <= id)
			continue;
		kref_get(&dev->ref);
		found = dev;
		break;
	}
	mutex_unlock(&kvx_devs_lock);
	return found;
}

/**
 * kvx_dev_look() - what is to be seen of a device
 * @dev: the device
 * @view: to be filled in
 *
 * Context: process, may sleep.
 */
void kvx_dev_look(struct kvx_dev *dev, struct kvx_dev_view *view)
{
	*view = (struct kvx_dev_view){
		.id = dev->id,
		.why = dev->why,
		.iwarp = dev->iwarp,
		.numa_node = dev->numa_node,
		.ports = dev->ports,
		.active_ports = READ_ONCE(dev->active_ports),
		.key_bytes = dev->key_max,
	};
	mutex_lock(&kvx_devs_lock);
	/* Until it has gone, it waits for this lock at least once more. */
	if (dev->ib)
		strscpy(view->name, dev_name(&dev->ib->dev), sizeof(view->name));
	mutex_unlock(&kvx_devs_lock);
	mutex_lock(&dev->lock);
	view->keys = dev->nr_keys;
	view->keys_ended = dev->keys_ended;
	view->reg_bytes = dev->reg_bytes;
	view->reg_ns = dev->reg_ns;
	mutex_unlock(&dev->lock);
}

/**
 * kvx_devs_init() - look for devices
 *
 * Context: process, may sleep.
 * Return: 0 or an errno.
 */
int kvx_devs_init(void)
{
	return ib_register_client(&kvx_ib_client);
}

/**
 * kvx_devs_exit() - let all go
 *
 * Context: process, may sleep.
 */
void kvx_devs_exit(void)
{
	ib_unregister_client(&kvx_ib_client);
}
