// SPDX-License-Identifier: GPL-2.0-only
/* The table of agents, without files around it. */
#include <kunit/test.h>
#include <linux/slab.h>

#include "../../kmod/kvx.h"

#define MANY	300

static struct kvx_agent *open_agent(struct kunit *test)
{
	struct kvx_agent *agent = kvx_agent_open();

	KUNIT_ASSERT_FALSE(test, IS_ERR(agent));
	return agent;
}

static void agents_differ_in_id_epoch_and_worker_id(struct kunit *test)
{
	struct kvx_agent **agents = kunit_kcalloc(test, MANY, sizeof(*agents), GFP_KERNEL);
	int i, j;

	KUNIT_ASSERT_NOT_NULL(test, agents);
	for (i = 0; i < MANY; i++)
		agents[i] = open_agent(test);
	for (i = 0; i < MANY; i++) {
		KUNIT_EXPECT_NE(test, agents[i]->id, 0U);
		KUNIT_EXPECT_NE(test, agents[i]->epoch, 0ULL);
		KUNIT_EXPECT_EQ(test, agents[i]->epoch >> KVXFER_EPOCH_BITS, 0ULL);
		for (j = 0; j < i; j++) {
			KUNIT_EXPECT_NE(test, agents[i]->id, agents[j]->id);
			KUNIT_EXPECT_NE(test, agents[i]->epoch, agents[j]->epoch);
			KUNIT_EXPECT_NE(test, agents[i]->worker_id, agents[j]->worker_id);
		}
	}
	for (i = 0; i < MANY; i++)
		kvx_agent_close(agents[i]);
}

static void a_worker_id_has_one_holder_until_it_closes(struct kunit *test)
{
	struct kvx_agent *a = open_agent(test), *b = open_agent(test);
	struct kvxfer_agent_set set = {
		.hdr.flags = KVXFER_AGENT_SET_WORKER_ID,
		.worker_id = 0xfeedfacecafebeef,
	};

	KUNIT_EXPECT_EQ(test, kvx_agent_set(a, &set), 0);
	KUNIT_EXPECT_EQ(test, kvx_agent_set(a, &set), 0);
	KUNIT_EXPECT_EQ(test, kvx_agent_set(b, &set), -EEXIST);
	KUNIT_EXPECT_EQ(test, set.hdr.reason, (u32)KVXFER_REASON_WORKER_ID_TAKEN);
	KUNIT_EXPECT_EQ(test, set.hdr.index, a->id);
	kvx_agent_close(a);
	KUNIT_EXPECT_EQ(test, kvx_agent_set(b, &set), 0);
	KUNIT_EXPECT_EQ(test, b->worker_id, set.worker_id);
	kvx_agent_close(b);
}

static void a_refused_set_changes_nothing(struct kunit *test)
{
	struct kvx_agent *a = open_agent(test), *b = open_agent(test);
	const u64 before = b->worker_id;
	struct kvxfer_agent_set set = {
		.hdr.flags = KVXFER_AGENT_SET_WORKER_ID | KVXFER_AGENT_SET_NAME,
		.worker_id = a->worker_id,
		.name = "decode-0",
	};

	KUNIT_EXPECT_EQ(test, kvx_agent_set(b, &set), -EEXIST);
	KUNIT_EXPECT_EQ(test, b->worker_id, before);
	KUNIT_EXPECT_STRNEQ(test, b->name, "decode-0");

	set.worker_id = before + 1;
	set.name[3] = '\n';
	KUNIT_EXPECT_EQ(test, kvx_agent_set(b, &set), -EINVAL);
	KUNIT_EXPECT_EQ(test, set.hdr.reason, (u32)KVXFER_REASON_NAME_CHAR);
	KUNIT_EXPECT_EQ(test, set.hdr.index, 3U);
	KUNIT_EXPECT_EQ(test, b->worker_id, before);
	kvx_agent_close(a);
	kvx_agent_close(b);
}

static struct kunit_case kvxfer_agent_cases[] = {
	KUNIT_CASE(agents_differ_in_id_epoch_and_worker_id),
	KUNIT_CASE(a_worker_id_has_one_holder_until_it_closes),
	KUNIT_CASE(a_refused_set_changes_nothing),
	{}
};

static struct kunit_suite kvxfer_agent_suite = {
	.name = "kvxfer_agent",
	.test_cases = kvxfer_agent_cases,
};

kunit_test_suite(kvxfer_agent_suite);
