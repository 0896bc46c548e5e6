// SPDX-License-Identifier: GPL-2.0-only
/* Where a transfer may go from where it is: every pair of state and event. */
#include <kunit/test.h>

#include "../../kmod/xfer_state.h"

#define NEVER	0xff

/* Said here once more, by rules and not by a table: what follows when it is legal. */
static u32 should_be(u32 state, enum kvx_xfer_event event)
{
	if (state == KVXFER_XFER_GONE)
		return NEVER;
	switch (event) {
	case KVX_XFER_POST:
		/* Again only when it is done, and never before. */
		return state == KVXFER_XFER_IDLE || state == KVXFER_XFER_DONE ?
		       KVXFER_XFER_RUNNING : NEVER;
	case KVX_XFER_CANCEL:
		return state == KVXFER_XFER_RUNNING ? KVXFER_XFER_CANCELING : state;
	case KVX_XFER_EXPIRE:
		return state == KVXFER_XFER_RUNNING ? KVXFER_XFER_EXPIRING : state;
	case KVX_XFER_FAIL:
		return state == KVXFER_XFER_RUNNING ? KVXFER_XFER_FAILING : state;
	case KVX_XFER_RELEASE:
		if (state == KVXFER_XFER_RELEASING)
			return NEVER;
		/* Memory is kept until it is quiet. */
		return kvx_xfer_state_active(state) ? KVXFER_XFER_RELEASING : KVXFER_XFER_GONE;
	default:
		break;
	}
	/* Quiet: only what was active can become so. */
	switch (state) {
	case KVXFER_XFER_RUNNING:
		return KVXFER_XFER_DONE;
	case KVXFER_XFER_CANCELING:
		return KVXFER_XFER_CANCELED;
	case KVXFER_XFER_EXPIRING:
		return KVXFER_XFER_TIMEDOUT;
	case KVXFER_XFER_FAILING:
		return KVXFER_XFER_FAILED;
	case KVXFER_XFER_RELEASING:
		return KVXFER_XFER_GONE;
	default:
		return NEVER;
	}
}

static void every_pair_of_state_and_event(struct kunit *test)
{
	u32 state, next, want, legal = 0;
	int event;
	bool ok;

	for (state = 0; state < KVX_XFER_STATES; state++) {
		for (event = 0; event < KVX_XFER_EVENTS; event++) {
			want = should_be(state, event);
			next = state;
			ok = kvx_xfer_step(&next, event);
			KUNIT_EXPECT_EQ_MSG(test, ok, want != NEVER, "state %u, event %d", state,
					    event);
			KUNIT_EXPECT_EQ_MSG(test, next, ok ? want : state, "state %u, event %d",
					    state, event);
			legal += ok;
		}
	}
	KUNIT_EXPECT_EQ(test, legal, 46U);
}

/* However it goes, from anywhere it ends: active only until it is quiet, and gone when released. */
static void every_path_ends(struct kunit *test)
{
	u32 state, next;

	for (state = KVXFER_XFER_IDLE; state < KVX_XFER_STATES; state++) {
		next = state;
		KUNIT_EXPECT_NE(test, kvx_xfer_state_active(state), kvx_xfer_state_ended(state) ||
				state == KVXFER_XFER_IDLE);
		if (kvx_xfer_state_active(state)) {
			KUNIT_EXPECT_TRUE(test, kvx_xfer_step(&next, KVX_XFER_QUIET));
			KUNIT_EXPECT_TRUE(test, kvx_xfer_state_ended(next));
		}
		if (state == KVXFER_XFER_RELEASING)
			continue;
		next = state;
		KUNIT_EXPECT_TRUE(test, kvx_xfer_step(&next, KVX_XFER_RELEASE));
		if (next == KVXFER_XFER_RELEASING)
			KUNIT_EXPECT_TRUE(test, kvx_xfer_step(&next, KVX_XFER_QUIET));
		KUNIT_EXPECT_EQ(test, next, (u32)KVXFER_XFER_GONE);
	}
}

static struct kunit_case kvxfer_xfer_cases[] = {
	KUNIT_CASE(every_pair_of_state_and_event),
	KUNIT_CASE(every_path_ends),
	{}
};

static struct kunit_suite kvxfer_xfer_suite = {
	.name = "kvxfer_xfer",
	.test_cases = kvxfer_xfer_cases,
};

kunit_test_suite(kvxfer_xfer_suite);
