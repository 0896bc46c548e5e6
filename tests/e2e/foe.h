/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A node that means harm: it speaks the protocol from user space, by librdmacm and libibverbs, as
 * well or as badly as a test wants. There is one in a process. Each attack is a program of its own,
 * so that nothing of it is left when it is over, or when it is killed.
 */
#ifndef KVX_TEST_FOE_H
#define KVX_TEST_FOE_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include "../../kmod/proto.c"
#include "two.h"

/* How much is granted, see victim.h. */
#ifndef VICTIM_GRANTS
#define VICTIM_GRANTS	5
#define WIDE		3
#define SPARSE		4
#endif

#define FOE_RECVS	64
#define FOE_CQES	256
/* How many may have come that nobody has looked at. */
#define FOE_INBOX	256
#define FOE_LANES	2
#define FOE_SLOT	(KVX_FRAME_MAX + 64)
#define FOE_DATA	65536
/* Until something that has to come has come: in milliseconds. */
#define FOE_PATIENCE	patient(20000)

union foe_frame {
	struct kvx_wire_head head;
	struct kvx_wire_hello hello;
	struct kvx_wire_proof proof;
	struct kvx_wire_refused refused;
	struct kvx_wire_beat beat;
	struct kvx_wire_quiesce quiesce;
	struct kvx_wire_quiesced quiesced;
	struct kvx_wire_attach attach;
	struct kvx_wire_attached attached;
	struct kvx_wire_table table;
	struct kvx_wire_want_keys want_keys;
	struct kvx_wire_keys keys;
	struct kvx_wire_id id;
	struct kvx_wire_note note;
	struct kvx_wire_note_done note_done;
	struct kvx_wire_offer offer;
	struct kvx_wire_taken taken;
	struct kvx_wire_agent agent;
	unsigned char bytes[FOE_SLOT];
};

struct foe_link {
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
	struct ibv_cq *cq;
	bool cut;
	/* What a refusal says. */
	struct kvx_wire_greeting answer;
};

/* What the victim tells of what it grants. */
struct told {
	uint64_t worker_id, epoch;
	struct {
		uint32_t layout;
		unsigned char key[KVXFER_KEY_BYTES];
	} grants[VICTIM_GRANTS];
	/* One of them as programs are told. */
	unsigned char blob[4096];
	uint64_t blob_bytes;
};

static struct told told;

/* What it calls itself; 0: each time another. */
static uint64_t foe_name;
/* What its memory is registered with; without one, each connection has its own. */
static struct ibv_pd *foe_pd;
/* From where it asks; without a family: from wherever it is. */
static struct sockaddr_in foe_src;

static struct {
	struct kvx_wire_greeting greeting;
	struct foe_link links[1 + FOE_LANES];
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	/* Slots for what comes, one for what goes, and data. */
	unsigned char *room;
	union foe_frame *out;
	unsigned char *data;
	uint64_t seq, ack;
	/* The number of its last frame that the other has taken. */
	uint64_t acked;
	uint32_t taken;
	bool miser;
	uint64_t token;
	uint32_t device;
	unsigned char challenge[KVX_CHALLENGE_BYTES];
	union foe_frame inbox[FOE_INBOX];
	uint32_t in, read;
} foe;

static inline uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

/*
 * --- connections --------------------------------------------------------------------------------
 */

/* What the connection manager says; -1 when it says nothing for so long. */
static inline int foe_event(struct foe_link *link, int ms)
{
	struct pollfd wait = { .fd = link->events->fd, .events = POLLIN };
	struct rdma_cm_event *event;
	int what;

	if (poll(&wait, 1, ms) != 1 || rdma_get_cm_event(link->events, &event))
		return -1;
	what = event->event;
	if (what == RDMA_CM_EVENT_REJECTED && event->param.conn.private_data &&
	    event->param.conn.private_data_len >= sizeof(link->answer))
		memcpy(&link->answer, event->param.conn.private_data, sizeof(link->answer));
	rdma_ack_cm_event(event);
	if (what == RDMA_CM_EVENT_DISCONNECTED)
		link->cut = true;
	return what;
}

/* From now on it asks from another address of its node's; 0: from the first. */
static inline void foe_come_from(int host)
{
	memset(&foe_src, 0, sizeof(foe_src));
	if (!host)
		return;
	shell("ip addr replace 10.77.0.%d/32 dev $KVX_LAB_NIC", host);
	/* The device hears of it a little later. */
	shell("timeout 30 sh -c 'until grep -q 0a4d:%04x %s; do sleep 0.01; done'", host,
	      "/sys/class/infiniband/kvx0/ports/1/gids/*");
	foe_src.sin_family = AF_INET;
	foe_src.sin_addr.s_addr = htonl(0x0a4d0000 + host);
}

static inline void foe_link_open(struct foe_link *link)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(19875) };
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = 128, .max_recv_wr = FOE_RECVS, .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};

	memset(link, 0, sizeof(*link));
	to.sin_addr.s_addr = htonl(0x0a4d0001);
	link->events = rdma_create_event_channel();
	CHECK(link->events);
	fcntl(link->events->fd, F_SETFL, O_NONBLOCK);
	CHECK_EQ(rdma_create_id(link->events, &link->id, NULL, RDMA_PS_TCP), 0);
	CHECK_EQ(rdma_resolve_addr(link->id,
				   foe_src.sin_family ? (struct sockaddr *)&foe_src : NULL,
				   (struct sockaddr *)&to, 5000), 0);
	CHECK_EQ(foe_event(link, FOE_PATIENCE), RDMA_CM_EVENT_ADDR_RESOLVED);
	CHECK_EQ(rdma_resolve_route(link->id, 5000), 0);
	CHECK_EQ(foe_event(link, FOE_PATIENCE), RDMA_CM_EVENT_ROUTE_RESOLVED);
	if (!foe.pd)
		foe.pd = foe_pd ? foe_pd : ibv_alloc_pd(link->id->verbs);
	CHECK(foe.pd);
	link->cq = ibv_create_cq(link->id->verbs, FOE_CQES, NULL, NULL, 0);
	CHECK(link->cq);
	attr.send_cq = link->cq;
	attr.recv_cq = link->cq;
	CHECK_EQ(rdma_create_qp(link->id, foe.pd, &attr), 0);
}

static inline void foe_link_close(struct foe_link *link)
{
	if (!link->id)
		return;
	rdma_disconnect(link->id);
	rdma_destroy_qp(link->id);
	rdma_destroy_id(link->id);
	ibv_destroy_cq(link->cq);
	rdma_destroy_event_channel(link->events);
	link->id = NULL;
}

static inline void foe_ask(struct foe_link *link, const void *data, uint8_t bytes)
{
	struct rdma_conn_param param = {
		.private_data = bytes ? data : NULL, .private_data_len = bytes,
		.responder_resources = 4, .initiator_depth = 4, .retry_count = 7,
		.rnr_retry_count = 7,
	};

	CHECK_EQ(rdma_connect(link->id, &param), 0);
}

/* Ask, and say what came of it. */
static inline int foe_knock(struct foe_link *link, const void *data, uint8_t bytes)
{
	foe_link_open(link);
	foe_ask(link, data, bytes);
	return foe_event(link, FOE_PATIENCE);
}

/* Of a request that was not accepted: why. */
static inline int foe_refused(struct foe_link *link, const void *data, uint8_t bytes)
{
	const int what = foe_knock(link, data, bytes);

	foe_link_close(link);
	if (what != RDMA_CM_EVENT_REJECTED)
		FAIL("%s, not rejected", what < 0 ? "silence" : rdma_event_str(what));
	CHECK_EQ(le32toh(link->answer.magic), KVX_PROTO_MAGIC);
	return le16toh(link->answer.refusal);
}

/*
 * --- frames -------------------------------------------------------------------------------------
 */

static inline void foe_post_recv(uint32_t slot)
{
	struct ibv_sge sge = { (uintptr_t)foe.room + slot * FOE_SLOT, FOE_SLOT, foe.mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 }, *bad;

	CHECK_EQ(ibv_post_recv(foe.links[0].id->qp, &wr, &bad), 0);
}

#define FOE_SENT	1000

/* One completion of the control link: says whether a send was done. */
static inline bool foe_poll(void)
{
	struct foe_link *link = &foe.links[0];
	union foe_frame *frame;
	struct ibv_wc wc;

	if (ibv_poll_cq(link->cq, 1, &wc) != 1) {
		sched_yield();
		return false;
	}
	if (wc.status) {
		link->cut = true;
		return false;
	}
	if (wc.wr_id == FOE_SENT)
		return true;
	frame = &foe.inbox[foe.in++ % FOE_INBOX];
	memcpy(frame, foe.room + wc.wr_id * FOE_SLOT, FOE_SLOT);
	CHECK_EQ(kvx_frame_check(frame, wc.byte_len), KVX_FRAME_OK);
	foe.acked = le64toh(frame->head.ack);
	if (frame->head.seq) {
		CHECK_EQ(le64toh(frame->head.seq), foe.ack + 1);
		foe.ack++;
		foe.taken++;
	}
	if (!foe.miser)
		foe_post_recv(wc.wr_id);
	return false;
}

/* Whatever has come, also what came just before the end: says whether a send was done. */
static inline bool foe_look(void)
{
	const bool over = foe_event(&foe.links[0], 0) == RDMA_CM_EVENT_DISCONNECTED;
	bool sent = foe_poll();

	for (int i = 0; over && i < FOE_CQES; i++)
		sent |= foe_poll();
	return sent;
}

/*
 * What is in foe.out goes as it is; false when the connection was cut. That may be by what it says:
 * who takes it as a reason to cut may do so before it is acknowledged.
 */
static inline bool foe_send_raw(uint32_t bytes, enum ibv_wr_opcode opcode, uint32_t key)
{
	struct foe_link *link = &foe.links[0];
	struct ibv_sge sge = { (uintptr_t)foe.out, bytes, foe.mr->lkey };
	struct ibv_send_wr wr = {
		.wr_id = FOE_SENT, .sg_list = &sge, .num_sge = 1, .opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED, .invalidate_rkey = key,
	}, *bad;
	const uint64_t end = now_ms() + FOE_PATIENCE;

	if (link->cut || ibv_post_send(link->id->qp, &wr, &bad))
		return false;
	while (!link->cut) {
		if (foe_look())
			return true;
		if (now_ms() > end)
			FAIL("a frame is not taken");
	}
	return false;
}

static inline bool foe_send(uint32_t bytes)
{
	return foe_send_raw(bytes, IBV_WR_SEND, 0);
}

/* A frame of a type that is sound so far; its body is to be filled. */
static inline union foe_frame *foe_frame(uint32_t type)
{
	union foe_frame *f = foe.out;

	memset(f, 0, sizeof(*f));
	f->head.type = type;
	f->head.bytes = htole32(kvx_frames[type].bytes);
	f->head.seq = htole64(kvx_frames[type].numbered ? ++foe.seq : 0);
	f->head.ack = htole64(foe.ack);
	f->head.credits = htole16(foe.taken);
	foe.taken = 0;
	return f;
}

/* It goes, of the length that it says. */
static inline bool foe_say(void)
{
	return foe_send(le32toh(foe.out->head.bytes));
}

/* The next frame of a type; NULL when none comes, or the connection was cut. */
static inline union foe_frame *foe_hear(uint32_t type, int ms)
{
	const uint64_t end = now_ms() + ms;

	for (;;) {
		while (foe.read != foe.in) {
			union foe_frame *frame = &foe.inbox[foe.read++ % FOE_INBOX];

			if (frame->head.type == type)
				return frame;
		}
		if (foe.links[0].cut || now_ms() > end)
			return NULL;
		foe_look();
	}
}

/* Is the connection over, or will be soon? */
static inline bool foe_is_cut(int ms)
{
	const uint64_t end = now_ms() + ms;

	while (!foe.links[0].cut && now_ms() < end)
		foe_look();
	return foe.links[0].cut;
}

#endif /* KVX_TEST_FOE_H */
