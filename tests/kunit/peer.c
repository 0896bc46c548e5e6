// SPDX-License-Identifier: GPL-2.0-only
/* When a node that cannot be connected with is tried again. */
#include <kunit/test.h>

#include "../../kmod/kvx.h"
#include "../../kmod/peer.h"

static void it_takes_twice_as_long_each_time(struct kunit *test)
{
	u32 attempts, ms = KVX_BACKOFF_MIN_MS;

	for (attempts = 0; ms < KVX_BACKOFF_MAX_MS; attempts++, ms *= 2)
		KUNIT_EXPECT_EQ(test, kvx_backoff_ms(attempts, 0), ms);
	KUNIT_EXPECT_GT(test, attempts, 3U);
	/* However often it has been tried, it is tried again. */
	for (; attempts < 100; attempts++)
		KUNIT_EXPECT_EQ(test, kvx_backoff_ms(attempts, 0), KVX_BACKOFF_MAX_MS);
	KUNIT_EXPECT_EQ(test, kvx_backoff_ms(U32_MAX, 0), KVX_BACKOFF_MAX_MS);
}

static void chance_makes_it_up_to_half_as_long_again(struct kunit *test)
{
	u32 attempts, random, ms, got, least, most;

	for (attempts = 0; attempts < 10; attempts++) {
		ms = kvx_backoff_ms(attempts, 0);
		least = U32_MAX;
		most = 0;
		for (random = 0; random < KVX_BACKOFF_MAX_MS; random++) {
			got = kvx_backoff_ms(attempts, U32_MAX - random);
			least = min(least, got);
			most = max(most, got);
		}
		KUNIT_EXPECT_EQ(test, least, ms);
		KUNIT_EXPECT_EQ(test, most, ms + ms / 2 - 1);
	}
}

static struct kunit_case kvxfer_peer_cases[] = {
	KUNIT_CASE(it_takes_twice_as_long_each_time),
	KUNIT_CASE(chance_makes_it_up_to_half_as_long_again),
	{}
};

static struct kunit_suite kvxfer_peer_suite = {
	.name = "kvxfer_peer",
	.test_cases = kvxfer_peer_cases,
};

kunit_test_suite(kvxfer_peer_suite);
