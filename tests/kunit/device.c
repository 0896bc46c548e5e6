// SPDX-License-Identifier: GPL-2.0-only
/* RDMA devices that lack something, as no lab has them: what is said of each. */
#include <kunit/test.h>
#include <rdma/ib_verbs.h>

#include "../../kmod/kvx.h"
#include "../../kmod/rdma/rdma.h"

#define PORTS	2

/* All that there has to be, and nothing more; by the connection manager of IB on the last port. */
static int device_init(struct kunit *test)
{
	struct ib_device *ib = kunit_kzalloc(test, sizeof(*ib), GFP_KERNEL);
	struct ib_port_data *ports;

	KUNIT_ASSERT_NOT_NULL(test, ib);
	/* Ports are counted from 1 on. */
	ports = kunit_kcalloc(test, PORTS + 1, sizeof(*ports), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ports);
	ports[PORTS].immutable.core_cap_flags = RDMA_CORE_CAP_IB_CM;
	ib->port_data = ports;
	ib->phys_port_cnt = PORTS;
	ib->kverbs_provider = 1;
	ib->attrs.device_cap_flags = IB_DEVICE_MEM_MGT_EXTENSIONS;
	ib->attrs.max_fast_reg_page_list_len = 17;
	ib->attrs.page_size_cap = PAGE_SIZE;
	test->priv = ib;
	return 0;
}

static void expect_words(struct kunit *test, const char *words)
{
	const char *lacks = kvx_dev_lacks(test->priv);

	KUNIT_ASSERT_NOT_NULL(test, lacks);
	KUNIT_EXPECT_STREQ(test, lacks, words);
}

static void one_that_has_all_can_be_used(struct kunit *test)
{
	struct ib_device *ib = test->priv;

	KUNIT_EXPECT_NULL(test, kvx_dev_lacks(ib));
	/* Sizes of pages need not be told; more of them are no harm. */
	ib->attrs.page_size_cap = 0;
	KUNIT_EXPECT_NULL(test, kvx_dev_lacks(ib));
	ib->attrs.page_size_cap = PAGE_SIZE | SZ_2M | SZ_1G;
	KUNIT_EXPECT_NULL(test, kvx_dev_lacks(ib));
	ib->attrs.max_fast_reg_page_list_len = U32_MAX;
	KUNIT_EXPECT_NULL(test, kvx_dev_lacks(ib));
	ib->attrs.device_cap_flags = ~0ULL;
	KUNIT_EXPECT_NULL(test, kvx_dev_lacks(ib));
}

static void any_port_and_either_manager_will_do(struct kunit *test)
{
	static const u32 managers[] = { RDMA_CORE_CAP_IB_CM, RDMA_CORE_CAP_IW_CM };
	struct ib_device *ib = test->priv;
	u32 port;
	int i;

	for (port = 1; port <= PORTS; port++) {
		for (i = 0; i < ARRAY_SIZE(managers); i++) {
			ib->port_data[1].immutable.core_cap_flags = 0;
			ib->port_data[PORTS].immutable.core_cap_flags = 0;
			ib->port_data[port].immutable.core_cap_flags = managers[i];
			KUNIT_EXPECT_NULL(test, kvx_dev_lacks(ib));
		}
	}
}

static void it_needs_verbs_for_the_kernel(struct kunit *test)
{
	struct ib_device *ib = test->priv;

	ib->kverbs_provider = 0;
	expect_words(test, "its driver gives the kernel no verbs (as Amazon's EFA)");
}

static void it_needs_registration_by_work_request(struct kunit *test)
{
	struct ib_device *ib = test->priv;

	ib->attrs.device_cap_flags = ~(u64)IB_DEVICE_MEM_MGT_EXTENSIONS;
	expect_words(test, "it cannot register memory by work requests");
}

/* 16, and the one that is left free. */
static void it_needs_to_register_enough_pages(struct kunit *test)
{
	struct ib_device *ib = test->priv;

	ib->attrs.max_fast_reg_page_list_len = 16;
	expect_words(test, "it registers fewer than 16 pages at once");
	ib->attrs.max_fast_reg_page_list_len = 0;
	expect_words(test, "it registers fewer than 16 pages at once");
}

static void it_needs_to_take_pages_of_the_kernel_s_size(struct kunit *test)
{
	struct ib_device *ib = test->priv;

	ib->attrs.page_size_cap = ~(u64)PAGE_SIZE;
	expect_words(test, "it takes no pages of the size that this kernel's are of");
}

static void it_needs_a_connection_manager(struct kunit *test)
{
	struct ib_device *ib = test->priv;

	ib->port_data[PORTS].immutable.core_cap_flags =
		~(RDMA_CORE_CAP_IB_CM | RDMA_CORE_CAP_IW_CM);
	expect_words(test, "none of its ports has a connection manager");
}

static struct kunit_case kvxfer_device_cases[] = {
	KUNIT_CASE(one_that_has_all_can_be_used),
	KUNIT_CASE(any_port_and_either_manager_will_do),
	KUNIT_CASE(it_needs_verbs_for_the_kernel),
	KUNIT_CASE(it_needs_registration_by_work_request),
	KUNIT_CASE(it_needs_to_register_enough_pages),
	KUNIT_CASE(it_needs_to_take_pages_of_the_kernel_s_size),
	KUNIT_CASE(it_needs_a_connection_manager),
	{}
};

static struct kunit_suite kvxfer_device_suite = {
	.name = "kvxfer_device",
	.init = device_init,
	.test_cases = kvxfer_device_cases,
};

kunit_test_suite(kvxfer_device_suite);
