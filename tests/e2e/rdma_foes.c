// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who means harm to others than node 1: an honest node that has the same grant, or one that comes
 * when many strangers have come; and who sends messages that are none. As in rdma_hostile.c, of
 * which this is a part, and as there by soft-RoCE only.
 * Nodes: 2
 * Time: 400
 * Labs: uml uml-smp uml-debug debian-6.1 debian-6.12
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 300
#include <sys/ioctl.h>

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

/*
 * --- messages -----------------------------------------------------------------------------------
 */

#define NAME		0x6d657373616765ULL
#define WORKER		5
#define EPOCH		6
#define MESSAGE		5000

static bool say_offer(uint32_t serial, uint64_t bytes)
{
	union foe_frame *f = foe_frame(KVX_FRAME_OFFER);

	f->offer.serial = htole32(serial);
	f->offer.bytes = htole64(bytes);
	f->offer.from_worker_id = htole64(WORKER);
	f->offer.from_epoch = htole64(EPOCH);
	f->offer.to_worker_id = htole64(told.worker_id);
	f->offer.to_epoch = htole64(told.epoch);
	memset(f->offer.key, serial, sizeof(f->offer.key));
	return foe_say();
}

static void offer_message(uint32_t serial, uint64_t bytes)
{
	CHECK(say_offer(serial, bytes));
}

/* What the victim says has become of it. */
static void hear_taken(uint32_t serial, uint32_t error, uint32_t reason)
{
	union foe_frame *f = foe_hear(KVX_FRAME_TAKEN, FOE_PATIENCE);

	CHECK(f);
	CHECK_EQ(le32toh(f->taken.serial), serial);
	CHECK_EQ(le32toh(f->taken.error), error);
	CHECK_EQ(le32toh(f->taken.reason), reason);
}

/* The victim wants what the message is in: by which id it will speak of it. */
static uint32_t hear_attach(uint32_t serial)
{
	union foe_frame *f = foe_hear(KVX_FRAME_ATTACH, FOE_PATIENCE);

	CHECK(f);
	CHECK_EQ(f->attach.layout, 0);
	CHECK_EQ(f->attach.key[7], serial);
	return le32toh(f->attach.id);
}

static void say_attached(uint32_t id, uint32_t grains, uint32_t rights)
{
	union foe_frame *f = foe_frame(KVX_FRAME_ATTACHED);
	uint32_t device;

	f->attached.id = htole32(id);
	f->attached.rights = htole32(rights);
	f->attached.end = htole32(1);
	f->attached.num_blocks = htole32(1);
	f->attached.num_layers = htole32(1);
	f->attached.outer_dim = htole32(1);
	f->attached.page_size = htole32(grains);
	f->attached.inner_dim = htole32(4096);
	f->attached.dtype_width = htole32(1);
	f->attached.alignment = htole32(1);
	f->attached.format = htole32(KVXFER_FORMAT_OPAQUE);
	f->attached.kind = htole32(KVXFER_LAYOUT_CONTIGUOUS);
	f->attached.nr_ranges = htole32(1);
	f->attached.block_stride = htole64(grains * 4096);
	CHECK(foe_say());
	f = foe_frame(KVX_FRAME_TABLE);
	f->table.id = htole32(id);
	f->table.table = htole32(KVX_TABLE_RANGES);
	f->table.nr = htole32(1);
	f->table.words[0] = htole64(grains * 4096);
	f->head.bytes = htole32(sizeof(f->table) + 16);
	CHECK(foe_say());
	f = foe_frame(KVX_FRAME_TABLE);
	f->table.id = htole32(id);
	f->table.table = htole32(KVX_TABLE_BASES);
	f->table.nr = htole32(1);
	f->head.bytes = htole32(sizeof(f->table) + 8);
	CHECK(foe_say());
	f = foe_hear(KVX_FRAME_WANT_KEYS, FOE_PATIENCE);
	CHECK(f);
	device = f->want_keys.device;
	f = foe_frame(KVX_FRAME_KEYS);
	f->keys.id = htole32(id);
	f->keys.device = device;
	f->keys.shift = htole32(20);
	f->keys.total = htole32(1);
	f->keys.nr = htole32(1);
	f->keys.keys[0] = htole32(0x1234);
	f->head.bytes = htole32(sizeof(f->keys) + 4);
	CHECK(foe_say());
}

/* The honest victim sends a message: what it is in may be read just until it has been taken. */
static void read_on(void)
{
	union foe_frame *f = foe_hear(KVX_FRAME_OFFER, FOE_PATIENCE);
	unsigned char key[KVXFER_KEY_BYTES];
	uint64_t place, address;
	uint32_t serial, rkey;

	CHECK(f);
	serial = le32toh(f->offer.serial);
	CHECK_EQ(le64toh(f->offer.bytes), MESSAGE);
	place = le32toh(f->offer.skew);
	memcpy(key, f->offer.key, sizeof(key));
	for (int i = 0; i < 2; i++) {
		f = foe_frame(KVX_FRAME_ATTACH);
		f->attach.id = htole32(40 + i);
		f->attach.worker_id = htole64(told.worker_id);
		f->attach.epoch = htole64(told.epoch);
		memcpy(f->attach.key, key, sizeof(key));
		/* First by one that is guessed. */
		f->attach.key[15] ^= !i;
		CHECK(foe_say());
		f = foe_hear(KVX_FRAME_ATTACHED, FOE_PATIENCE);
		CHECK(f);
		CHECK_EQ(le32toh(f->attached.error), i ? 0 : EACCES);
	}
	CHECK_EQ(le32toh(f->attached.rights), KVXFER_GRANT_READ);
	f = foe_hear(KVX_FRAME_TABLE, FOE_PATIENCE);
	CHECK(f);
	/* Just the pages that it is in. */
	CHECK_EQ(le64toh(f->table.words[0]), 3 * 4096);
	foe_want_keys(41, foe.device);
	f = foe_hear(KVX_FRAME_KEYS, FOE_PATIENCE);
	CHECK(f && !f->keys.error && f->keys.nr);
	rkey = le32toh(f->keys.keys[0]);
	address = place;
	CHECK_EQ(foe_rdma(1, IBV_WR_RDMA_READ, rkey, address, 64), IBV_WC_SUCCESS);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(foe.data[i], 0x5a);
	foe_frame(KVX_FRAME_TAKEN)->taken.serial = htole32(serial);
	CHECK(foe_say());
	await("sent");
	CHECK_EQ(foe_rdma(1, IBV_WR_RDMA_READ, rkey, address, 64), IBV_WC_REM_ACCESS_ERR);
}

/* Who is to be told when an agent goes. */
static void say_agent(uint32_t type, uint64_t worker_id, uint64_t epoch)
{
	union foe_frame *f = foe_frame(type);

	f->agent.worker_id = htole64(worker_id);
	f->agent.epoch = htole64(epoch);
	CHECK(foe_say());
}

static void watch_wrongly(void)
{
	union foe_frame *f;

	say_agent(KVX_FRAME_LEFT, WORKER, EPOCH);
	foe_still_there("nobody asked whether it has left");
	for (int i = 0; i < 100; i++)
		say_agent(KVX_FRAME_WATCH, told.worker_id, told.epoch);
	foe_still_there("it is there, how often that may be asked");
	CHECK(!foe_hear(KVX_FRAME_LEFT, 20));
	for (int i = 0; i < 2; i++) {
		say_agent(KVX_FRAME_WATCH, told.worker_id ^ i, told.epoch ^ !i);
		f = foe_hear(KVX_FRAME_LEFT, FOE_PATIENCE);
		CHECK(f);
		CHECK(le64toh(f->agent.worker_id) == (told.worker_id ^ i));
		CHECK(le64toh(f->agent.epoch) == (told.epoch ^ !i));
	}
}

static void send_wrongly(void)
{
	union foe_frame *f;
	uint32_t id;

	foe_name = NAME;
	foe_ready();
	foe_frame(KVX_FRAME_TAKEN)->taken.serial = htole32(7);
	CHECK(foe_say());
	foe_frame(KVX_FRAME_WITHDRAW)->id.id = htole32(7);
	CHECK(foe_say());
	foe_still_there("messages that are not there");
	watch_wrongly();
	told.epoch++;
	offer_message(1, 10);
	hear_taken(1, ESTALE, KVXFER_REASON_PEER_GONE);
	told.epoch--;
	/* As long as can be said. */
	offer_message(2, ~0ULL);
	foe_still_there("a message that fits nowhere");
	mark("offered");
	hear_taken(2, EMSGSIZE, KVXFER_REASON_MSG_TRUNCATED);
	/* It cannot be had after all. */
	offer_message(3, MESSAGE);
	id = hear_attach(3);
	f = foe_frame(KVX_FRAME_ATTACHED);
	f->attached.id = htole32(id);
	f->attached.error = htole32(EACCES);
	CHECK(foe_say());
	hear_taken(3, EACCES, 0);
	/* It is not as long as it was said to be; it may not be read. */
	offer_message(4, MESSAGE);
	say_attached(hear_attach(4), 1, KVXFER_GRANT_READ);
	hear_taken(4, EPROTO, 0);
	offer_message(5, MESSAGE);
	say_attached(hear_attach(5), 2, KVXFER_GRANT_WRITE);
	hear_taken(5, EPROTO, 0);
	/* It never says where it is. */
	offer_message(6, MESSAGE);
	hear_attach(6);
	hear_taken(6, ECANCELED, KVXFER_REASON_MSG_REFUSED);
	read_on();
	foe_end();
	foe_name = 0;
	/* The same one twice, before there is room for it. */
	foe_ready();
	offer_message(1, 10);
	say_offer(1, 11);
	foe_cut("the same message twice");
}

static struct kvx_xfer *has_room(const struct kvx_pool *pool, uint64_t deadline_ns)
{
	struct kvx_msg_opts opts = KVX_MSG_OPTS_INIT;
	struct kvx_xfer *xfer;

	opts.deadline_ns = deadline_ns;
	OK(kvx_msg_recv(victim.agent, &xfer, WORKER, pool, 100, MESSAGE, &opts));
	return xfer;
}

static void ends_badly(struct kvx_xfer *xfer, int error, uint32_t reason)
{
	struct kvx_result result = KVX_RESULT_INIT;

	CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -error);
	CHECK_EQ(result.reason, reason);
	CHECK_EQ(result.bytes, 0);
	kvx_xfer_release(xfer);
}

static void be_sent_to(void)
{
	struct kvxfer_layout_import import = {
		.hdr.size = sizeof(import), .boot_id = NAME, .worker_id = WORKER, .epoch = EPOCH,
	};
	struct kvx_pool *pool;
	struct kvx_xfer *xfer;
	unsigned char *mem;

	OK(kvx_pool_create(victim.agent, &pool, MIB, NULL));
	OK(kvx_pool_map(pool, (void **)&mem, 0, 0, KVX_POOL_WRITE));
	memset(mem, 0x5a, MIB);
	await("offered");
	CHECK_EQ(ioctl(kvx_fd(victim.agent), KVXFER_IOC_LAYOUT_IMPORT, &import), 0);
	ends_badly(has_room(pool, 0), EMSGSIZE, KVXFER_REASON_MSG_TRUNCATED);
	ends_badly(has_room(pool, 0), EACCES, 0);
	ends_badly(has_room(pool, 0), EPROTO, 0);
	ends_badly(has_room(pool, 0), EPROTO, 0);
	ends_badly(has_room(pool, 3000000000), ETIMEDOUT, KVXFER_REASON_XFER_DEADLINE);
	OK(kvx_msg_send(victim.agent, &xfer, WORKER, pool, 4000, MESSAGE, NULL));
	OK(kvx_xfer_wait(xfer, KVX_FOREVER, NULL));
	kvx_xfer_release(xfer);
	mark("sent");
	for (uint64_t i = 0; i < MIB; i++)
		CHECK_EQ(mem[i], 0x5a);
	OK(kvx_pool_unmap(mem, MIB));
	kvx_pool_close(pool);
	OK(kvx_forget(victim.agent, WORKER));
}

TEST(messages_that_are_none_do_no_harm)
{
	under_attack(send_wrongly, be_sent_to);
}
