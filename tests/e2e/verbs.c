// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mapping of a pool is memory like any other for user-space RDMA: ibv_reg_mr() takes it, and data
 * goes through it. On soft-RoCE, over the loopback device.
 * Lanes: uml-smp debian-6.12
 * Emulated: pinned by ib_umem with GUP-fast
 */
#define _GNU_SOURCE
#include <infiniband/verbs.h>

#include "kvx.h"

#define BYTES	(5 * MIB)

static struct ibv_context *open_rxe(void)
{
	struct ibv_device **list;
	struct ibv_context *context;

	/* User Mode Linux has it built in. */
	if (!strncmp(getenv("LAB"), "debian", 6))
		CHECK_EQ(system("modprobe -a rdma_rxe ib_uverbs"), 0);
	CHECK_EQ(system("rdma link add kvxrxe type rxe netdev lo"), 0);
	list = ibv_get_device_list(NULL);
	CHECK(list);
	for (int i = 0; list[i]; i++) {
		if (strcmp(ibv_get_device_name(list[i]), "kvxrxe"))
			continue;
		context = ibv_open_device(list[i]);
		ibv_free_device_list(list);
		CHECK(context);
		return context;
	}
	FAIL("there is no rxe device");
}

/* A queue pair that is connected to itself. */
static struct ibv_qp *loop_qp(struct ibv_context *context, struct ibv_pd *pd, struct ibv_cq *cq)
{
	struct ibv_qp_init_attr init = {
		.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
	};
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
	};
	struct ibv_qp *qp = ibv_create_qp(pd, &init);
	union ibv_gid gid;
	int index;

	CHECK(qp);
	CHECK_EQ(ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			       IBV_QP_ACCESS_FLAGS), 0);
	/* The loopback device has an address that is mapped into IPv6: ::ffff:127.0.0.1. */
	for (index = 0; index < 16; index++)
		if (!ibv_query_gid(context, 1, index, &gid) && gid.raw[10] == 0xff &&
		    gid.raw[12] == 127)
			break;
	CHECK(index < 16);
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = qp->qp_num,
		.max_dest_rd_atomic = 1, .min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1,
			     .grh = { .dgid = gid, .sgid_index = index, .hop_limit = 1 } },
	};
	CHECK_EQ(ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
			       IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
			       IBV_QP_MIN_RNR_TIMER), 0);
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7,
		.max_rd_atomic = 1,
	};
	CHECK_EQ(ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
			       IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC), 0);
	return qp;
}

static void rdma_write(struct ibv_qp *qp, struct ibv_cq *cq, struct ibv_mr *mr, void *from,
		       void *to, uint32_t bytes)
{
	struct ibv_sge sge = { (uintptr_t)from, bytes, mr->lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = { .remote_addr = (uintptr_t)to, .rkey = mr->rkey },
	}, *bad;
	struct ibv_wc wc = {};
	int n;

	CHECK_EQ(ibv_post_send(qp, &wr, &bad), 0);
	while (!(n = ibv_poll_cq(cq, 1, &wc)))
		sched_yield();
	CHECK_EQ(n, 1);
	CHECK_EQ(wc.status, IBV_WC_SUCCESS);
}

TEST(a_mapping_is_registered_and_written_by_rdma)
{
	struct ibv_context *context = open_rxe();
	struct kvx_agent *agent = open_agent();
	struct ibv_pd *pd = ibv_alloc_pd(context);
	struct ibv_cq *cq = ibv_create_cq(context, 8, NULL, NULL, 0);
	struct kvx_pool *pool;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	unsigned char *at;

	CHECK(pd && cq);
	qp = loop_qp(context, pd, cq);
	OK(kvx_pool_create(agent, &pool, BYTES, NULL));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	mr = ibv_reg_mr(pd, at, BYTES, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
			IBV_ACCESS_REMOTE_WRITE);
	CHECK(mr);
	for (uint64_t i = 0; i < MIB; i++)
		at[i] = i * 7 + (i >> 12);
	/* Over the border of a chunk, from and to what is no page's beginning. */
	rdma_write(qp, cq, mr, at + 5, at + 3 * MIB + 77, MIB - 5);
	CHECK_EQ(memcmp(at + 5, at + 3 * MIB + 77, MIB - 5), 0);

	/* The pool goes, and its mapping: the region keeps its pages for itself. */
	kvx_pool_close(pool);
	munmap(at, BYTES);
	settle(agent);
	CHECK_EQ(ibv_destroy_qp(qp), 0);
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	CHECK_EQ(ibv_destroy_cq(cq), 0);
	CHECK_EQ(ibv_dealloc_pd(pd), 0);
	CHECK_EQ(ibv_close_device(context), 0);
	CHECK_EQ(system("rdma link del kvxrxe"), 0);
	kvx_close(agent);
}
