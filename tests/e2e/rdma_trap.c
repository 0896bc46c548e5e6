// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is asked may not be who was meant: a program on node 2 that listens, and says to be a node
 * that knows the cluster key. Node 1, which asks, proves itself to it, and believes it nothing.
 * Nodes: 2
 * Time: 150
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>

#include "foe_rail.h"
#include "netlink.h"

#define NAME	0xf0e0f0e0f0e0f0e0ULL
#define PORT	19999

static struct {
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
} trap;

static void set_trap(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	at.sin_addr.s_addr = htonl(0x0a4d0002);
	trap.events = rdma_create_event_channel();
	CHECK(trap.events);
	CHECK_EQ(rdma_create_id(trap.events, &trap.id, NULL, RDMA_PS_TCP), 0);
	CHECK_EQ(rdma_bind_addr(trap.id, (struct sockaddr *)&at), 0);
	CHECK_EQ(rdma_listen(trap.id, 8), 0);
}

/* Who asks next: for a rail, as nobody here has proven anything by which it would ask for lanes. */
static struct rdma_cm_id *somebody_asks(void)
{
	struct pollfd wait = { .fd = trap.events->fd, .events = POLLIN };
	struct kvx_wire_greeting greeting;
	struct rdma_cm_event *event;
	struct rdma_cm_id *id;

	CHECK_EQ(poll(&wait, 1, FOE_PATIENCE), 1);
	CHECK_EQ(rdma_get_cm_event(trap.events, &event), 0);
	CHECK_EQ(event->event, RDMA_CM_EVENT_CONNECT_REQUEST);
	CHECK(event->param.conn.private_data_len >= sizeof(greeting));
	memcpy(&greeting, event->param.conn.private_data, sizeof(greeting));
	CHECK_EQ(greeting.lane, 0);
	CHECK_EQ(le64toh(greeting.expected), NAME);
	id = event->id;
	rdma_ack_cm_event(event);
	return id;
}

/* Let it in, and be told who it is. */
static void let_in(void)
{
	const size_t bytes = (FOE_RECVS + 1) * FOE_SLOT;
	struct foe_link *link = &foe.links[0];
	const struct kvx_wire_greeting greeting = foe_greeting();
	struct rdma_conn_param param = {
		.private_data = &greeting, .private_data_len = sizeof(greeting),
		.responder_resources = 4, .initiator_depth = 4, .rnr_retry_count = 7,
	};
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = 128, .max_recv_wr = FOE_RECVS, .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};

	foe_end();
	foe.room = calloc(1, bytes);
	CHECK(foe.room);
	foe.out = (union foe_frame *)(foe.room + FOE_RECVS * FOE_SLOT);
	link->id = somebody_asks();
	link->events = rdma_create_event_channel();
	CHECK(link->events);
	fcntl(link->events->fd, F_SETFL, O_NONBLOCK);
	CHECK_EQ(rdma_migrate_id(link->id, link->events), 0);
	foe.pd = ibv_alloc_pd(link->id->verbs);
	link->cq = ibv_create_cq(link->id->verbs, FOE_CQES, NULL, NULL, 0);
	CHECK(foe.pd && link->cq);
	attr.send_cq = link->cq;
	attr.recv_cq = link->cq;
	CHECK_EQ(rdma_create_qp(link->id, foe.pd, &attr), 0);
	foe.mr = ibv_reg_mr(foe.pd, foe.room, bytes, IBV_ACCESS_LOCAL_WRITE);
	CHECK(foe.mr);
	for (uint32_t i = 0; i < FOE_RECVS; i++)
		foe_post_recv(i);
	CHECK_EQ(rdma_accept(link->id, &param), 0);
	CHECK_EQ(foe_event(link, FOE_PATIENCE), RDMA_CM_EVENT_ESTABLISHED);
	CHECK(foe_hear(KVX_FRAME_HELLO, FOE_PATIENCE));
}

static void say_hello(bool keyed)
{
	foe_frame_hello(keyed);
	CHECK(foe_say());
}

static void is_refused(void)
{
	union foe_frame *f = foe_hear(KVX_FRAME_REFUSED, FOE_PATIENCE);

	CHECK(f);
	CHECK_EQ(le32toh(f->refused.refusal), KVXFER_REFUSAL_KEY);
}

static void be_a_trap(void)
{
	struct kvx_wire_proof theirs;
	union foe_frame *f;

	foe_name = NAME;
	set_trap();
	/* A proof that is none; and its own one, told back to it. */
	for (int own = 0; own < 2; own++) {
		let_in();
		say_hello(true);
		f = foe_hear(KVX_FRAME_PROOF, FOE_PATIENCE);
		CHECK(f);
		theirs = f->proof;
		f = foe_frame(KVX_FRAME_PROOF);
		if (own)
			memcpy(f->proof.proof, theirs.proof, sizeof(theirs.proof));
		CHECK(foe_say());
		is_refused();
	}
	/* As if it had been proven. */
	let_in();
	say_hello(true);
	foe_frame(KVX_FRAME_READY);
	foe_say();
	foe_cut("ready before the proof");
	let_in();
	say_hello(true);
	foe_frame(KVX_FRAME_NOTE);
	foe_say();
	foe_cut("a note before the proof");
	/* As if no key were needed. */
	let_in();
	say_hello(false);
	is_refused();
	/* It asks again, and is kept waiting. */
	while (access("/run/lab/trap.seen", F_OK))
		poll(NULL, 0, 2);
	foe_end();
}

static uint32_t of_trap(uint16_t attr)
{
	struct nl_message msg = nl_message(nl_family(), KVXFER_NL_CMD_PEER_GET);
	const uint64_t name = NAME;

	nl_put(&msg, KVXFER_NL_PEER_BOOT_ID, &name, sizeof(name));
	CHECK_EQ(nl_ask(&msg), 0);
	return *(const uint32_t *)nl_get(&msg, attr);
}

TEST(who_is_asked_has_to_prove_itself)
{
	struct kvxfer_address address = {
		.family = AF_INET, .port = PORT, .addr = { 10, 77, 0, 2 },
	};
	struct kvxfer_peer_connect connect = {
		.hdr.size = sizeof(connect), .hdr.flags = KVXFER_PEER_CONNECT_NOWAIT,
		.boot_id = NAME, .addresses = (uintptr_t)&address, .nr_addresses = 1,
	};
	struct kvx_agent *agent = open_agent();
	int status = 0;

	rdma_up("rxe");
	if (strncmp(getenv("LAB"), "uml", 3))
		shell("modprobe -a ib_uverbs rdma_ucm");
	if (node() == 1) {
		shell("printf %%032d 7 >/run/secret && chmod 600 /run/secret");
		cli("key set /run/secret");
		CHECK_EQ(ioctl(kvx_fd(agent), KVXFER_IOC_PEER_CONNECT, &connect), -1);
		CHECK_EQ(errno, EAGAIN);
		/* All that it does comes to this in the end. */
		for (int i = 0; of_trap(KVXFER_NL_PEER_REFUSAL) != KVXFER_REFUSAL_KEY; i++) {
			CHECK_EQ(of_trap(KVXFER_NL_PEER_READY), 0);
			if (i == 30000)
				FAIL("it is not refused");
			poll(NULL, 0, 2);
		}
		shell("touch /run/lab/trap.seen");
	} else {
		waitpid(foe_start(be_a_trap), &status, 0);
	}
	meet();
	if (node() == 1) {
		CHECK_EQ(of_trap(KVXFER_NL_PEER_READY), 0);
		cli("key remove");
	}
	kvx_close(agent);
	CHECK_EQ(status, 0);
	meet();
	/* Nothing of it is known any more. */
	shell("rmmod kvxfer && insmod $KVX_LAB_MODULE");
	rdma_down();
}
