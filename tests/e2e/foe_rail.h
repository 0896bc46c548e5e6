/* SPDX-License-Identifier: GPL-2.0-only */
/* A rail of a node that means harm, and what it is given by it: see foe.h. */
#ifndef KVX_TEST_FOE_RAIL_H
#define KVX_TEST_FOE_RAIL_H

#include "foe.h"

/*
 * --- a rail -------------------------------------------------------------------------------------
 */

static inline struct kvx_wire_greeting foe_greeting(void)
{
	struct kvx_wire_greeting greeting = {
		.magic = htole32(KVX_PROTO_MAGIC), .version = htole16(KVX_PROTO_VERSION),
		.oldest = htole16(KVX_PROTO_VERSION), .lanes = FOE_LANES,
	};

	if (foe_name)
		greeting.boot_id = htole64(foe_name);
	else
		CHECK_EQ(getrandom(&greeting.boot_id, 8, 0), 8);
	CHECK_EQ(getrandom(&greeting.nonce, 8, 0), 8);
	return greeting;
}

static inline void foe_end(void)
{
	for (size_t i = ARRAY_SIZE(foe.links); i-- > 0;)
		foe_link_close(&foe.links[i]);
	if (foe.mr)
		ibv_dereg_mr(foe.mr);
	if (foe.pd && foe.pd != foe_pd)
		ibv_dealloc_pd(foe.pd);
	free(foe.room);
	memset(&foe, 0, sizeof(foe));
}

/* Asks for the control link; says what came of it. */
static inline int foe_knock_first(void)
{
	const size_t bytes = (FOE_RECVS + 1) * FOE_SLOT + FOE_DATA;
	struct foe_link *link = &foe.links[0];

	foe_end();
	foe.greeting = foe_greeting();
	foe.room = calloc(1, bytes);
	CHECK(foe.room);
	foe.out = (union foe_frame *)(foe.room + FOE_RECVS * FOE_SLOT);
	foe.data = foe.room + (FOE_RECVS + 1) * FOE_SLOT;
	foe_link_open(link);
	foe.mr = ibv_reg_mr(foe.pd, foe.room, bytes, IBV_ACCESS_LOCAL_WRITE);
	CHECK(foe.mr);
	for (uint32_t i = 0; i < FOE_RECVS; i++)
		foe_post_recv(i);
	foe_ask(link, &foe.greeting, sizeof(foe.greeting));
	return foe_event(link, FOE_PATIENCE);
}

/* The control link is there, and nothing has been said on it. */
static inline void foe_begin(void)
{
	int event;

	/* What was there before under the same name may not be over yet. */
	do {
		event = foe_knock_first();
	} while (event == RDMA_CM_EVENT_REJECTED &&
		 le16toh(foe.links[0].answer.refusal) == KVXFER_REFUSAL_BUSY);
	CHECK_EQ(event, RDMA_CM_EVENT_ESTABLISHED);
}

static inline union foe_frame *foe_frame_hello(bool keyed)
{
	union foe_frame *f = foe_frame(KVX_FRAME_HELLO);

	f->hello.keyed = htole32(keyed);
	strcpy(f->hello.name, "foe");
	return f;
}

/* Both have said who they are. */
static inline void foe_hello(bool keyed)
{
	union foe_frame *f;

	foe_begin();
	foe_frame_hello(keyed);
	CHECK(foe_say());
	f = foe_hear(KVX_FRAME_HELLO, FOE_PATIENCE);
	CHECK(f);
	foe.token = f->hello.token;
	foe.device = le32toh(f->hello.device);
	memcpy(foe.challenge, f->hello.challenge, sizeof(foe.challenge));
}

static inline struct kvx_wire_greeting foe_lane(uint8_t lane)
{
	struct kvx_wire_greeting greeting = foe.greeting;

	greeting.lane = lane;
	greeting.token = foe.token;
	return greeting;
}

/* When both have: the lanes, and all is there. */
static inline void foe_go_on(void)
{
	struct kvx_wire_greeting greeting;

	for (uint8_t i = 1; i <= FOE_LANES; i++) {
		greeting = foe_lane(i);
		CHECK_EQ(foe_knock(&foe.links[i], &greeting, sizeof(greeting)),
			 RDMA_CM_EVENT_ESTABLISHED);
	}
	foe_frame(KVX_FRAME_READY);
	CHECK(foe_say());
	CHECK(foe_hear(KVX_FRAME_READY, FOE_PATIENCE));
}

/* A rail as it should be. */
static inline void foe_ready(void)
{
	foe_hello(false);
	foe_go_on();
}

/* What is said last has been looked at, and the connection is there. */
static inline void foe_still_there(const char *what)
{
	foe.read = foe.in;
	foe_frame(KVX_FRAME_BEAT)->beat.ask = htole32(1);
	if (!foe_say() || !foe_hear(KVX_FRAME_BEAT, FOE_PATIENCE))
		FAIL("%s: the connection was cut", what);
}

static inline void foe_cut(const char *what)
{
	if (!foe_is_cut(FOE_PATIENCE))
		FAIL("%s: the connection is still there", what);
	foe_end();
}

/*
 * --- what it is given ---------------------------------------------------------------------------
 */

/* A layout that it has. */
struct loot {
	uint32_t id;
	uint64_t bytes, start, base;
	uint32_t shift, nr;
	uint32_t keys[16];
};

static inline union foe_frame *foe_frame_attach(uint32_t id, int grant)
{
	union foe_frame *f = foe_frame(KVX_FRAME_ATTACH);

	f->attach.id = htole32(id);
	f->attach.layout = htole32(told.grants[grant].layout);
	f->attach.worker_id = htole64(told.worker_id);
	f->attach.epoch = htole64(told.epoch);
	memcpy(f->attach.key, told.grants[grant].key, sizeof(f->attach.key));
	return f;
}

static inline void foe_want_keys(uint32_t id, uint32_t device)
{
	union foe_frame *f = foe_frame(KVX_FRAME_WANT_KEYS);

	f->want_keys.id = htole32(id);
	f->want_keys.device = htole32(device);
	CHECK(foe_say());
}

static inline struct loot foe_attach(uint32_t id, int grant)
{
	struct loot loot = { .id = id };
	union foe_frame *f;

	foe_frame_attach(id, grant);
	CHECK(foe_say());
	f = foe_hear(KVX_FRAME_ATTACHED, FOE_PATIENCE);
	CHECK(f);
	CHECK_EQ(le32toh(f->attached.id), id);
	CHECK_EQ(le32toh(f->attached.error), 0);
	CHECK_EQ(le32toh(f->attached.nr_ranges), 1);
	f = foe_hear(KVX_FRAME_TABLE, FOE_PATIENCE);
	CHECK(f && le32toh(f->table.table) == KVX_TABLE_RANGES);
	loot.bytes = le64toh(f->table.words[0]);
	loot.start = le64toh(f->table.words[1]);
	f = foe_hear(KVX_FRAME_TABLE, FOE_PATIENCE);
	CHECK(f && le32toh(f->table.table) == KVX_TABLE_BASES);
	loot.base = le64toh(f->table.words[0]);
	foe_want_keys(id, foe.device);
	f = foe_hear(KVX_FRAME_KEYS, FOE_PATIENCE);
	CHECK(f && le32toh(f->keys.id) == id && !f->keys.error);
	loot.shift = le32toh(f->keys.shift);
	loot.nr = le32toh(f->keys.nr);
	CHECK(loot.nr <= ARRAY_SIZE(loot.keys));
	CHECK_EQ(loot.nr, kvx_span_keys(loot.start, loot.bytes, loot.shift));
	for (uint32_t i = 0; i < loot.nr; i++)
		loot.keys[i] = le32toh(f->keys.keys[i]);
	return loot;
}

/* By a lane, with foe.data from @place on as the other end: how it went. */
static inline enum ibv_wc_status foe_rdma_at(uint32_t lane, enum ibv_wr_opcode opcode, uint32_t key,
					     uint64_t at, uint32_t place, uint32_t bytes)
{
	struct foe_link *link = &foe.links[lane];
	struct ibv_sge sge = { (uintptr_t)foe.data + place, bytes, foe.mr->lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge, .num_sge = 1, .opcode = opcode, .send_flags = IBV_SEND_SIGNALED,
	}, *bad;
	const uint64_t end = now_ms() + FOE_PATIENCE;
	struct ibv_wc wc;

	if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr.wr.atomic.remote_addr = at;
		wr.wr.atomic.compare_add = 1;
		wr.wr.atomic.rkey = key;
	} else {
		wr.wr.rdma.remote_addr = at;
		wr.wr.rdma.rkey = key;
	}
	CHECK_EQ(ibv_post_send(link->id->qp, &wr, &bad), 0);
	while (ibv_poll_cq(link->cq, 1, &wc) != 1) {
		if (now_ms() > end)
			FAIL("opcode %d is never done", opcode);
		sched_yield();
	}
	return wc.status;
}

static inline enum ibv_wc_status foe_rdma(uint32_t lane, enum ibv_wr_opcode opcode, uint32_t key,
					  uint64_t at, uint32_t bytes)
{
	return foe_rdma_at(lane, opcode, key, at, 0, bytes);
}

/*
 * --- attacks ------------------------------------------------------------------------------------
 */

static inline pid_t foe_start(void (*attack)(void))
{
	const pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setjmp(ktap_failed))
		_exit(1);
	attack();
	_exit(0);
}

#endif /* KVX_TEST_FOE_RAIL_H */
