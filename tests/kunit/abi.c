// SPDX-License-Identifier: GPL-2.0-only
/* The pure checks, in the kernel's own compilation of them. */
#include <kunit/test.h>

#include "../../kmod/abi.c"

static void size_is_checked_from_both_ends(struct kunit *test)
{
	static const struct {
		u32 size, min;
		int err;
		u32 reason, index;
	} cases[] = {
		{ 0, 16, -EINVAL, KVXFER_REASON_SIZE_SHORT, 16 },
		{ 15, 16, -EINVAL, KVXFER_REASON_SIZE_SHORT, 16 },
		{ 16, 16, 0, 0, 0 },
		{ KVXFER_SIZE_MAX, 16, 0, 0, 0 },
		{ KVXFER_SIZE_MAX + 1, 16, -EMSGSIZE, KVXFER_REASON_SIZE_HUGE, KVXFER_SIZE_MAX },
		{ U32_MAX, 16, -EMSGSIZE, KVXFER_REASON_SIZE_HUGE, KVXFER_SIZE_MAX },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kvxfer_hdr hdr = { .size = cases[i].size };

		KUNIT_EXPECT_EQ(test, kvx_abi_check_size(&hdr, cases[i].min), cases[i].err);
		KUNIT_EXPECT_EQ(test, hdr.reason, cases[i].reason);
		KUNIT_EXPECT_EQ(test, hdr.index, cases[i].index);
	}
}

static void every_unknown_flag_is_named(struct kunit *test)
{
	u32 bit;

	for (bit = 0; bit < 32; bit++) {
		struct kvxfer_hdr hdr = { .flags = ~0U << bit };

		KUNIT_EXPECT_EQ(test, kvx_abi_check_flags(&hdr, 0), -EOPNOTSUPP);
		KUNIT_EXPECT_EQ(test, hdr.reason, (u32)KVXFER_REASON_FLAG_UNKNOWN);
		KUNIT_EXPECT_EQ(test, hdr.index, bit);
		KUNIT_EXPECT_EQ(test, kvx_abi_check_flags(&hdr, ~0U), 0);
	}
}

static void epochs_stay_in_range_and_skip_zero(struct kunit *test)
{
	const u64 last = (1ULL << KVXFER_EPOCH_BITS) - 1;

	KUNIT_EXPECT_EQ(test, kvx_epoch_after(0), 1ULL);
	KUNIT_EXPECT_EQ(test, kvx_epoch_after(last - 1), last);
	KUNIT_EXPECT_EQ(test, kvx_epoch_after(last), 1ULL);
	KUNIT_EXPECT_EQ(test, kvx_epoch_after(U64_MAX), 1ULL);
	KUNIT_EXPECT_LE(test, kvx_epoch_after(0xfedcba9876543210), last);
}

static struct kunit_case kvxfer_abi_cases[] = {
	KUNIT_CASE(size_is_checked_from_both_ends),
	KUNIT_CASE(every_unknown_flag_is_named),
	KUNIT_CASE(epochs_stay_in_range_and_skip_zero),
	{}
};

static struct kunit_suite kvxfer_abi_suite = {
	.name = "kvxfer_abi",
	.test_cases = kvxfer_abi_cases,
};

kunit_test_suite(kvxfer_abi_suite);
