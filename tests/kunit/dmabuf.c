// SPDX-License-Identifier: GPL-2.0-only
/* dma-bufs seen from the drivers' side: what no program can bring about. */
#include <kunit/test.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>

#include "../../kmod/compat.h"
#include "../../kmod/kvx.h"
#include "../../kmod/pool.h"

#define POOL_BYTES	(5 * SZ_1M + PAGE_SIZE)

struct fixture {
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	struct dma_buf *dmabuf;
	struct platform_device *device;
};

static int fixture_init(struct kunit *test)
{
	struct fixture *fix = kunit_kzalloc(test, sizeof(*fix), GFP_KERNEL);
	struct kvxfer_pool_create cmd = { .bytes = POOL_BYTES, .mode = 0600 };
	struct kvx_pool_open *open;

	KUNIT_ASSERT_NOT_NULL(test, fix);
	test->priv = fix;
	fix->agent = kvx_agent_open();
	KUNIT_ASSERT_FALSE(test, IS_ERR(fix->agent));
	KUNIT_ASSERT_EQ(test, kvx_pool_create(fix->agent, &cmd, &open), 0);
	kvx_pool_opened(fix->agent, cmd.out_pool, open);
	fix->pool = kvx_pool_get(fix->agent, cmd.out_pool, NULL);
	KUNIT_ASSERT_NOT_NULL(test, fix->pool);
	fix->dmabuf = kvx_dmabuf_export(fix->pool);
	KUNIT_ASSERT_FALSE(test, IS_ERR(fix->dmabuf));
	fix->device = platform_device_register_simple("kvxfer-test", -1, NULL, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(fix->device));
	return 0;
}

static void fixture_exit(struct kunit *test)
{
	struct fixture *fix = test->priv;

	platform_device_unregister(fix->device);
	dma_buf_put(fix->dmabuf);
	kvx_pool_put(fix->pool);
	kvx_agent_close(fix->agent);
}

static void a_device_attaches_and_sees_every_page_in_its_place(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct dma_buf_attachment *attachment;
	unsigned long index = 0, i;
	struct scatterlist *sg;
	struct sg_table *table;
	int n;

	KUNIT_ASSERT_EQ(test, dma_coerce_mask_and_coherent(&fix->device->dev, DMA_BIT_MASK(64)), 0);
	attachment = dma_buf_attach(fix->dmabuf, &fix->device->dev);
	KUNIT_ASSERT_FALSE(test, IS_ERR(attachment));
	dma_resv_lock(fix->dmabuf->resv, NULL);
	table = dma_buf_map_attachment(attachment, DMA_BIDIRECTIONAL);
	dma_resv_unlock(fix->dmabuf->resv);
	KUNIT_ASSERT_FALSE(test, IS_ERR(table));
	/* Beneath there is no translation: an address tells the page. */
	for_each_sgtable_dma_sg(table, sg, n) {
		for (i = 0; i < sg_dma_len(sg) >> PAGE_SHIFT; i++, index++)
			KUNIT_EXPECT_EQ(test, sg_dma_address(sg) + (i << PAGE_SHIFT),
					page_to_phys(kvx_pages_at(&fix->pool->pages, index)));
	}
	KUNIT_EXPECT_EQ(test, (u64)index << PAGE_SHIFT, POOL_BYTES);
	KUNIT_EXPECT_EQ(test, dma_buf_begin_cpu_access(fix->dmabuf, DMA_FROM_DEVICE), 0);
	KUNIT_EXPECT_EQ(test, dma_buf_end_cpu_access(fix->dmabuf, DMA_FROM_DEVICE), 0);
	dma_resv_lock(fix->dmabuf->resv, NULL);
	dma_buf_unmap_attachment(attachment, table, DMA_BIDIRECTIONAL);
	dma_resv_unlock(fix->dmabuf->resv);
	dma_buf_detach(fix->dmabuf, attachment);
}

static void a_device_without_dma_cannot_attach(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct dma_buf_attachment *attachment;

	fix->device->dev.dma_mask = NULL;
	attachment = dma_buf_attach(fix->dmabuf, &fix->device->dev);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(attachment), -ENODEV);
}

static void the_kernel_sees_all_of_it(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct iosys_map map;
	unsigned long i;

	KUNIT_ASSERT_EQ(test, dma_buf_vmap_unlocked(fix->dmabuf, &map), 0);
	for (i = 0; i < POOL_BYTES >> PAGE_SHIFT; i++) {
		memset(map.vaddr + (i << PAGE_SHIFT), i, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, *(u8 *)page_address(kvx_pages_at(&fix->pool->pages, i)),
				(u8)i);
	}
	dma_buf_vunmap_unlocked(fix->dmabuf, &map);
}

/* An exporter that says where its memory is. */
static struct {
	bool iomem;
	int vmaps;
	int releases;
	int begins;
	int ends;
	int begin_errno;
} fake;

static int fake_begin_cpu(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	fake.begins += !fake.begin_errno;
	return fake.begin_errno;
}

static int fake_end_cpu(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	fake.ends++;
	return 0;
}

static int fake_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	fake.vmaps++;
	if (fake.iomem)
		iosys_map_set_vaddr_iomem(map, (void __iomem *)&fake);
	else
		iosys_map_set_vaddr(map, &fake);
	return 0;
}

static void fake_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	fake.vmaps--;
}

static struct sg_table *fake_map(struct dma_buf_attachment *attachment, enum dma_data_direction dir)
{
	return ERR_PTR(-ENODEV);
}

static void fake_unmap(struct dma_buf_attachment *attachment, struct sg_table *table,
		       enum dma_data_direction dir)
{
}

static void fake_release(struct dma_buf *dmabuf)
{
	fake.releases++;
}

static const struct dma_buf_ops fake_ops = {
	.map_dma_buf	= fake_map,
	.unmap_dma_buf	= fake_unmap,
	.release	= fake_release,
	.vmap		= fake_vmap,
	.vunmap		= fake_vunmap,
	.begin_cpu_access = fake_begin_cpu,
	.end_cpu_access	= fake_end_cpu,
};

static void a_devices_memory_is_refused(struct kunit *test)
{
	int i;

	for (i = 0; i < 2; i++) {
		DEFINE_DMA_BUF_EXPORT_INFO(info);
		struct kvx_pool pool = {};
		struct kvxfer_hdr hdr = {};

		fake = (typeof(fake)){ .iomem = i };
		info.ops = &fake_ops;
		info.size = PAGE_SIZE;
		info.priv = &fake;
		pool.dmabuf = dma_buf_export(&info);
		KUNIT_ASSERT_FALSE(test, IS_ERR(pool.dmabuf));
		KUNIT_EXPECT_EQ(test, kvx_dmabuf_map(&pool, &hdr), i ? -EOPNOTSUPP : 0);
		KUNIT_EXPECT_EQ(test, hdr.reason, i ? KVXFER_REASON_DMABUF_IOMEM : 0);
		KUNIT_EXPECT_EQ(test, fake.vmaps, 1);
		kvx_dmabuf_drop(&pool);
		KUNIT_EXPECT_EQ(test, fake.vmaps, 0);
		flush_delayed_fput();
		KUNIT_EXPECT_EQ(test, fake.releases, 1);
	}
}

static const char *fake_fence_name(struct dma_fence *fence)
{
	return "kvxfer-test";
}

static const struct dma_fence_ops fake_fence_ops = {
	.get_driver_name	= fake_fence_name,
	.get_timeline_name	= fake_fence_name,
};

/* The first who copies begins, the last ends; and nobody waits for another driver. */
static void the_cpu_begins_once_and_does_not_wait(struct kunit *test)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct kvx_pool pool = {};
	struct dma_fence *fence;
	spinlock_t lock;		/* of the fence */

	fake = (typeof(fake)){};
	mutex_init(&pool.cpu_lock);
	spin_lock_init(&lock);
	info.ops = &fake_ops;
	info.size = PAGE_SIZE;
	info.priv = &fake;
	pool.dmabuf = dma_buf_export(&info);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pool.dmabuf));
	KUNIT_EXPECT_EQ(test, kvx_dmabuf_begin(&pool), 0);
	KUNIT_EXPECT_EQ(test, kvx_dmabuf_begin(&pool), 0);
	KUNIT_EXPECT_EQ(test, fake.begins, 1);
	kvx_dmabuf_end(&pool);
	KUNIT_EXPECT_EQ(test, fake.ends, 0);
	kvx_dmabuf_end(&pool);
	KUNIT_EXPECT_EQ(test, fake.ends, 1);

	fake.begin_errno = -EIO;
	KUNIT_EXPECT_EQ(test, kvx_dmabuf_begin(&pool), -EIO);
	fake.begin_errno = -ERESTARTSYS;
	KUNIT_EXPECT_EQ(test, kvx_dmabuf_begin(&pool), -EINTR);
	fake.begin_errno = 0;
	KUNIT_EXPECT_EQ(test, pool.cpu_users, 0U);

	fence = kzalloc(sizeof(*fence), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fence);
	dma_fence_init(fence, &fake_fence_ops, &lock, dma_fence_context_alloc(1), 1);
	dma_resv_lock(pool.dmabuf->resv, NULL);
	KUNIT_ASSERT_EQ(test, dma_resv_reserve_fences(pool.dmabuf->resv, 1), 0);
	dma_resv_add_fence(pool.dmabuf->resv, fence, DMA_RESV_USAGE_WRITE);
	dma_resv_unlock(pool.dmabuf->resv);
	KUNIT_EXPECT_EQ(test, kvx_dmabuf_begin(&pool), -EAGAIN);
	dma_fence_signal(fence);
	KUNIT_EXPECT_EQ(test, kvx_dmabuf_begin(&pool), 0);
	kvx_dmabuf_end(&pool);
	KUNIT_EXPECT_EQ(test, fake.begins, fake.ends);
	dma_fence_put(fence);
	kvx_dmabuf_drop(&pool);
	flush_delayed_fput();
	KUNIT_EXPECT_EQ(test, fake.releases, 1);
	mutex_destroy(&pool.cpu_lock);
}

static struct kunit_case kvxfer_dmabuf_cases[] = {
	KUNIT_CASE(a_device_attaches_and_sees_every_page_in_its_place),
	KUNIT_CASE(a_device_without_dma_cannot_attach),
	KUNIT_CASE(the_kernel_sees_all_of_it),
	KUNIT_CASE(a_devices_memory_is_refused),
	KUNIT_CASE(the_cpu_begins_once_and_does_not_wait),
	{}
};

static struct kunit_suite kvxfer_dmabuf_suite = {
	.name = "kvxfer_dmabuf",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = kvxfer_dmabuf_cases,
};

kunit_test_suite(kvxfer_dmabuf_suite);
