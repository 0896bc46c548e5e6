// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who means harm to others than node 1: an honest node that has the same grant, or one that comes
 * when many strangers have come. As in rdma_hostile.c, of which this is a part, and as there by
 * soft-RoCE only.
 * Labs: uml uml-debug debian-6.1 debian-6.12
 * Nodes: 2
 * Time: 400
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 300
#include "victim.h"

/*
 * --- keys that are ended ------------------------------------------------------------------------
 */

/* It ends a key, its own or another's, and loses its connection. */
static void end_key(uint32_t key)
{
	foe_frame(KVX_FRAME_BEAT);
	foe_send_raw(sizeof(foe.out->beat), IBV_WR_SEND_WITH_INV, key);
	foe_cut("a key is made invalid");
}

/* Read what is granted by @theirs to the foe, too; says whether that was done. */
static bool honest_read(struct kvx_agent *agent, struct side *mine, struct kvx_handle theirs)
{
	static const uint32_t some[] = { FIRST, FIRST + 77, FIRST + GRANTED - 1 };
	const size_t nr = ARRAY_SIZE(some);
	struct kvx_result result = KVX_RESULT_INIT;
	unsigned char want[4096];

	memset(mine->mem, 0x77, mine->bytes);
	if (kvx_xfer_exec(agent, theirs, some, nr, mine->handle, some, nr, NULL, &result) ||
	    result.state != KVX_XFER_DONE)
		return false;
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	for (size_t i = 0; i < nr; i++) {
		for (int p = 0; p < 4; p++) {
			fill_region(want, sizeof(want), 10 + BOTH, some[i], p / 2, p % 2);
			CHECK(!memcmp(region(mine, some[i], p / 2, p % 2), want, sizeof(want)));
		}
	}
	return true;
}

/* The keys that there are on the victim. */
static int heard_keys(uint32_t *keys, int most)
{
	char line[256], *at;
	int nr = 0;
	FILE *f;

	await("keys");
	f = fopen("/run/lab/foes.mrs", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, "rkey ");
		if (at && nr < most)
			keys[nr++] = strtoul(at + strlen("rkey "), NULL, 16);
	}
	fclose(f);
	return nr;
}

static void say_keys(void)
{
	await("imported");
	shell("rdma -d resource show mr dev kvx0 >/run/lab/foes.mrs");
	mark("keys");
}

/* The module of the foe's node has the same grant, and knows nothing of all this. */
static void end_keys(void)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct kvx_agent *agent = open_agent();
	struct side mine = make_side(agent, KERNEL, config);
	struct kvx_handle theirs;
	uint32_t keys[16];
	int nr, tries;

	memcpy(blob, told.blob, sizeof(told.blob));
	blob_bytes = told.blob_bytes;
	theirs = take_heard(agent);
	mark("imported");
	nr = heard_keys(keys, ARRAY_SIZE(keys));
	CHECK(nr > 1);
	CHECK(honest_read(agent, &mine, theirs));
	foe_come_from(101);
	/* All that were given to it. */
	for (int i = 0; i < 3; i++) {
		const struct loot loot = (foe_ready(), foe_attach(1, BOTH));

		for (int k = 0; k < nr; k++)
			CHECK(loot.keys[i % loot.nr] != keys[k]);
		end_key(loot.keys[i % loot.nr]);
		CHECK(honest_read(agent, &mine, theirs));
	}
	/* Then those that it would find by guessing, one for each connection that it has. */
	for (int k = 0; k < nr; k++) {
		foe_ready();
		end_key(keys[k]);
	}
	/* Who has had them is told a little later: what is read before that fails. */
	for (tries = 0; !honest_read(agent, &mine, theirs); tries++)
		CHECK(tries < 200);
	CHECK(honest_read(agent, &mine, theirs));
	drop_side(&mine);
	kvx_close(agent);
	shell("ip addr del 10.77.0.101/32 dev $KVX_LAB_NIC");
}

TEST(who_ends_a_key_ends_it_for_nobody_else)
{
	under_attack(end_keys, say_keys);
}

/*
 * --- strangers ----------------------------------------------------------------------------------
 */

#define CROWD		8
#define CROWDS		8

static void be_patient(void)
{
	/* Until all have come. */
	wait_for_others("300000");
	await("crowded");
	wait_for_others("1000");
	settle_to(&victim.before, false);
	wait_for_others("60000");
	mark("alone");
}

/* As many as are let in, by which nothing is said. */
static void come_in_crowds(void)
{
	static struct foe_link many[CROWDS * CROWD];
	struct kvx_wire_greeting greeting;
	struct foe_link one;

	for (int i = 0; i < CROWDS * CROWD; i++) {
		if (i % CROWD == 0)
			foe_come_from(101 + i / CROWD);
		greeting = foe_greeting();
		CHECK_EQ(foe_knock(&many[i], &greeting, sizeof(greeting)),
			 RDMA_CM_EVENT_ESTABLISHED);
		if (i != CROWD - 1)
			continue;
		/* Of one address there are enough; another's is let in. */
		greeting = foe_greeting();
		CHECK_EQ(foe_refused(&one, &greeting, sizeof(greeting)), KVXFER_REFUSAL_RESOURCES);
		foe_come_from(0);
		foe_ready();
		foe_still_there("it is no stranger");
	}
	/* Of all there are enough; who has come before is there still. */
	foe_come_from(101 + CROWDS);
	greeting = foe_greeting();
	CHECK_EQ(foe_refused(&one, &greeting, sizeof(greeting)), KVXFER_REFUSAL_RESOURCES);
	foe_still_there("it has company");
	foe_end();
	mark("crowded");
	await("alone");
	/* They are held here still. */
	foe_come_from(101);
	foe_ready();
	foe_still_there("it is alone");
	foe_end();
	for (int i = 0; i < CROWDS * CROWD; i++)
		foe_link_close(&many[i]);
	for (int i = 0; i <= CROWDS; i++)
		shell("ip addr del 10.77.0.%d/32 dev $KVX_LAB_NIC", 101 + i);
}

TEST(strangers_take_little)
{
	under_attack(come_in_crowds, be_patient);
}
