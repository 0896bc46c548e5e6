// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches of scattered blocks to and from another node, by RDMA: kvxfer, beside a loop that posts
 * the same pieces by libibverbs and spins until they are done, by the same device and the same
 * memory; and beside what ib_read_bw and ib_write_bw say of pieces of that size. And how long a
 * small transfer takes, alone and while large ones go the same way.
 * Nodes: 2
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "bench.h"
#include "kvxfer.h"

/* How many pieces the loop has on its way at once, of which every so many-th is signalled. */
#define WINDOW	64
#define SIGNAL	8
#define READS	32
#define PORT	18515

/* What both ends tell each other. */
struct end {
	uint64_t addr;
	uint32_t rkey;
	uint32_t qpn;
	union ibv_gid gid;
	uint32_t blob_bytes;
	char blob[4096];
};

static struct {
	uint32_t nr;
	uint32_t piece;
} batches[] = {
	{ 160, 8 << 10 }, { 64, 64 << 10 }, { 16, 1 << 20 },
};

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static int wire;
static long cpus;

static int node(void)
{
	return atoi(getenv("NODE"));
}

/*
 * --- the other node ----------------------------------------------------------------------------
 */

static void find_other(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const int one = 1;
	int fd;

	/* Node 2 listens, when it has come so far. */
	inet_pton(AF_INET, "10.77.0.2", &addr.sin_addr);
	if (node() == 1) {
		for (;;) {
			wire = socket(AF_INET, SOCK_STREAM, 0);
			if (!connect(wire, (struct sockaddr *)&addr, sizeof(addr)))
				break;
			close(wire);
			sched_yield();
		}
	} else {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		MUST(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
		MUST(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)) && !listen(fd, 1));
		wire = accept(fd, NULL, NULL);
		MUST(wire >= 0);
		close(fd);
	}
	MUST(!setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
}

/* Tell the other, and hear the same of it. */
static void swap(const void *ours, void *theirs, size_t bytes)
{
	MUST(send(wire, ours, bytes, 0) == (ssize_t)bytes);
	MUST(recv(wire, theirs, bytes, MSG_WAITALL) == (ssize_t)bytes);
}

static void meet(void)
{
	char byte = 0;

	swap(&byte, &byte, 1);
}

/*
 * --- the device --------------------------------------------------------------------------------
 */

static void shell(const char *format, const char *arg)
{
	char command[256];

	snprintf(command, sizeof(command), format, arg);
	MUST(!system(command));
}

static void open_device(void)
{
	struct ibv_device **list;

	/* User Mode Linux has it built in. */
	if (!strncmp(getenv("LAB"), "debian", 6))
		shell("modprobe -a %s ib_uverbs", "rdma_rxe");
	shell("rdma link add kvx0 type rxe netdev %s", getenv("KVX_LAB_NIC"));
	list = ibv_get_device_list(NULL);
	MUST(list);
	for (int i = 0; list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), "kvx0"))
			context = ibv_open_device(list[i]);
	ibv_free_device_list(list);
	MUST(context);
	pd = ibv_alloc_pd(context);
	cq = ibv_create_cq(context, 2 * WINDOW, NULL, NULL, 0);
	MUST(pd && cq);
}

static void close_device(void)
{
	MUST(!ibv_destroy_cq(cq) && !ibv_dealloc_pd(pd) && !ibv_close_device(context));
	shell("rdma link delete %s", "kvx0");
}

/* The one that is an address of IPv4. */
static int gid_index(union ibv_gid *gid)
{
	for (int i = 0; i < 16; i++)
		if (!ibv_query_gid(context, 1, i, gid) && gid->raw[10] == 0xff &&
		    gid->raw[12] == 10)
			return i;
	MUST(!"an address of IPv4");
	return -1;
}

/*
 * --- what is moved -----------------------------------------------------------------------------
 */

/* A batch of blocks of one piece each: every other of all, in no order that helps. */
struct job {
	uint32_t nr;
	uint32_t piece;
	bool write;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	struct kvx_handle mine;
	struct kvx_handle theirs;
	unsigned char *mem;
	uint64_t bytes;
	uint32_t *from;
	uint32_t *to;
	struct kvx_xfer *xfer;
	struct ibv_mr *mr;
	struct ibv_qp *qp;
	struct end other;
	int trips;
};

static unsigned char byte_of(int who, uint64_t i)
{
	return i * 7 + (i >> 11) + who;
}

static void make_memory(struct job *job)
{
	struct kvx_layout_config config = KVX_LAYOUT_CONFIG_INIT;
	struct kvx_layout_base base = {};
	void *mem;

	config.kind = KVX_LAYOUT_CONTIGUOUS;
	config.num_blocks = job->nr * 2;
	config.num_layers = 1;
	config.outer_dim = 1;
	config.page_size = 1;
	config.inner_dim = job->piece / config.dtype_width;
	job->bytes = 2ULL * job->nr * job->piece;
	MUST(!kvx_open(&job->agent, NULL));
	MUST(!kvx_pool_create(job->agent, &job->pool, job->bytes, NULL));
	MUST(!kvx_pool_map(job->pool, &mem, 0, 0, KVX_POOL_WRITE));
	job->mem = mem;
	for (uint64_t i = 0; i < job->bytes; i++)
		job->mem[i] = byte_of(node(), i);
	base.pool = job->pool;
	MUST(!kvx_layout_register(job->agent, &job->mine, &config, &base, 1));
}

static void offer(struct job *job, struct end *end)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant grant;
	size_t bytes;
	void *data;

	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	MUST(!kvx_grant(job->agent, &grant, job->mine, &opts));
	MUST(!kvx_export_metadata(job->agent, &grant, 1, &data, &bytes));
	MUST(bytes <= sizeof(end->blob));
	memcpy(end->blob, data, bytes);
	end->blob_bytes = bytes;
	free(data);
}

static void take(struct job *job)
{
	struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
	struct kvx_peer *peer;

	MUST(!kvx_import_metadata(job->agent, job->other.blob, job->other.blob_bytes, &peer));
	MUST(!kvx_peer_layout(peer, 0, &layout));
	job->theirs = layout.handle;
	kvx_peer_free(peer);
}

static void make_qp(struct job *job)
{
	struct ibv_qp_init_attr init = {
		.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 256, .max_recv_wr = 1, .max_send_sge = 1,
			 .max_recv_sge = 1 },
	};
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
	};

	job->qp = ibv_create_qp(pd, &init);
	MUST(job->qp);
	MUST(!ibv_modify_qp(job->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			    IBV_QP_ACCESS_FLAGS));
}

static void connect_qp(struct job *job, int index)
{
	struct ibv_port_attr port;
	struct ibv_qp_attr attr;

	MUST(!ibv_query_port(context, 1, &port));
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTR, .path_mtu = port.active_mtu,
		.dest_qp_num = job->other.qpn, .max_dest_rd_atomic = READS, .min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1,
			     .grh = { .dgid = job->other.gid, .sgid_index = index,
				      .hop_limit = 1 } },
	};
	MUST(!ibv_modify_qp(job->qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
			    IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
			    IBV_QP_MIN_RNR_TIMER));
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = 16, .retry_cnt = 7, .rnr_retry = 7,
		.max_rd_atomic = READS,
	};
	MUST(!ibv_modify_qp(job->qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
			    IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC));
}

static void set_up(struct job *job)
{
	struct end end = {};
	int index;

	make_memory(job);
	job->mr = ibv_reg_mr(pd, job->mem, job->bytes, IBV_ACCESS_LOCAL_WRITE |
			     IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
	MUST(job->mr);
	make_qp(job);
	index = gid_index(&end.gid);
	end.addr = (uintptr_t)job->mem;
	end.rkey = job->mr->rkey;
	end.qpn = job->qp->qp_num;
	offer(job, &end);
	swap(&end, &job->other, sizeof(end));
	connect_qp(job, index);
	job->from = calloc(job->nr, sizeof(*job->from));
	job->to = calloc(job->nr, sizeof(*job->to));
	MUST(job->from && job->to);
	for (uint32_t i = 0; i < job->nr; i++) {
		job->from[i] = i * 2;
		job->to[i] = (job->nr - 1 - i) * 2 + 1;
	}
	if (node() == 1)
		take(job);
	meet();
}

static void tear_down(struct job *job)
{
	/* The other may be in the midst of it still. */
	meet();
	MUST(!ibv_destroy_qp(job->qp) && !ibv_dereg_mr(job->mr));
	kvx_layout_unregister_flags(job->agent, job->mine, KVX_UNREGISTER_CUT);
	munmap(job->mem, job->bytes);
	kvx_pool_close(job->pool);
	kvx_close(job->agent);
	free(job->from);
	free(job->to);
	meet();
}

/*
 * --- both ways ---------------------------------------------------------------------------------
 */

static double by_kvxfer(void *arg)
{
	struct job *job = arg;
	double t = bench_now();

	for (int i = 0; i < job->trips; i++) {
		MUST(!kvx_xfer_post(job->xfer));
		MUST(!kvx_xfer_wait(job->xfer, KVX_FOREVER, NULL));
	}
	return (bench_now() - t) / job->trips;
}

static void post_piece(struct job *job, uint32_t i)
{
	/* What is read comes from, and what is written goes to, the other's memory. */
	const uint64_t local = (uint64_t)(job->write ? job->from : job->to)[i] * job->piece;
	const uint64_t remote = (uint64_t)(job->write ? job->to : job->from)[i] * job->piece;
	struct ibv_sge sge = { (uintptr_t)job->mem + local, job->piece, job->mr->lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge, .num_sge = 1,
		.opcode = job->write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
		.send_flags = i % SIGNAL == SIGNAL - 1 || i == job->nr - 1 ? IBV_SEND_SIGNALED : 0,
		.wr_id = i + 1,
		.wr.rdma = { .remote_addr = job->other.addr + remote, .rkey = job->other.rkey },
	}, *bad;

	MUST(!ibv_post_send(job->qp, &wr, &bad));
}

static double by_verbs(void *arg)
{
	struct job *job = arg;
	double t = bench_now();
	struct ibv_wc wc;
	int n;

	for (int trip = 0; trip < job->trips; trip++) {
		uint32_t posted = 0, done = 0;

		while (done < job->nr) {
			while (posted < job->nr && posted - done < WINDOW)
				post_piece(job, posted++);
			n = ibv_poll_cq(cq, 1, &wc);
			MUST(!n || (n == 1 && wc.status == IBV_WC_SUCCESS));
			if (n)
				done = wc.wr_id;
			else if (cpus == 1)
				sched_yield();
		}
	}
	return (bench_now() - t) / job->trips;
}

/* What was moved last is where it should be: it was read, or is read back. */
static void check(struct job *job)
{
	const int who = job->write ? 1 : 2;

	if (job->write)
		MUST(!kvx_xfer_exec(job->agent, job->theirs, job->to, job->nr, job->mine, job->to,
				    job->nr, NULL, NULL));
	for (uint32_t i = 0; i < job->nr; i++)
		for (uint64_t b = 0; b < job->piece; b++)
			MUST(job->mem[(uint64_t)job->to[i] * job->piece + b] ==
			     byte_of(who, (uint64_t)job->from[i] * job->piece + b));
	/* Not to be there already the next time; the other's is not looked at again. */
	for (uint32_t i = 0; i < job->nr; i++)
		memset(job->mem + (uint64_t)job->to[i] * job->piece, 0, job->piece);
}

/* Each once, whose bytes are looked at, and which finds all connected and registered. */
static void rehearse(struct job *job)
{
	const int trips = job->trips;

	job->trips = 1;
	by_kvxfer(job);
	check(job);
	by_verbs(job);
	check(job);
	job->trips = trips;
}

/*
 * What perftest's own program says of pieces of this size, in MiB/s. 0 when there is no time for
 * it, and where it finds no clock to measure by, as under User Mode Linux. Both nodes run it.
 */
static double by_perftest(const struct job *job)
{
	const char *name = job->write ? "ib_write_bw" : "ib_read_bw";
	const int trips = job->trips * ROUNDS * job->nr / 4;
	char command[256], line[128];
	union ibv_gid gid;
	double mib = 0;
	FILE *f;

	if (bench_quick)
		return 0;
	/* Both have as many iterations, or they wait for each other; it wants five at least. */
	snprintf(command, sizeof(command), "timeout 200 %s -d kvx0 -x %d -s %u -n %d -F %s %s",
		 name, gid_index(&gid), job->piece, trips < 128 ? 128 : trips,
		 node() == 1 ? "--output=bandwidth 10.77.0.2" : ">/dev/null", "2>/dev/null");
	meet();
	if (node() == 2) {
		MUST(!system(command));
		return 0;
	}
	/* It does not wait until the other one listens. */
	do {
		f = popen(command, "r");
		MUST(f);
		while (fgets(line, sizeof(line), f))
			mib = strtod(line, NULL);
	} while (pclose(f));
	return mib;
}

static void line(const struct job *job, double ours, double theirs, double perftest)
{
	const double mib = (double)job->nr * job->piece / MIB;

	printf("| %-5s | %10u | %18u | %11d | %11.3f | %11.3f | %12.1f | %12.1f | %5.2f |",
	       job->write ? "WRITE" : "READ", job->nr, job->piece, job->trips * ROUNDS,
	       ours * 1000, theirs * 1000, mib / ours, mib / theirs, theirs / ours);
	if (perftest)
		printf(" %12.1f | %5.2f |\n", perftest, mib / ours / perftest);
	else
		printf(" %12s | %5s |\n", "", "");
}

/* Its blocks from @first on. */
static struct kvx_xfer *prepare(struct job *job, uint32_t first, uint32_t nr)
{
	const struct kvx_handle src = job->write ? job->mine : job->theirs;
	const struct kvx_handle dst = job->write ? job->theirs : job->mine;
	struct kvx_xfer *xfer;

	MUST(!kvx_xfer_prep(job->agent, &xfer, src, job->from + first, nr, dst, job->to + first,
			    nr, NULL));
	return xfer;
}

static void measure(struct job *job)
{
	double a, b;

	job->xfer = prepare(job, 0, job->nr);
	rehearse(job);
	bench_pair(by_kvxfer, by_verbs, job, &a, &b);
	line(job, a, b, by_perftest(job));
	kvx_xfer_release(job->xfer);
}

/*
 * --- a small one beside large ones --------------------------------------------------------------
 */

#define HALVES		2
#define SAMPLES		2000
/* Where all is slow there are fewer, but no fewer than these. */
#define SAMPLES_MIN	200
#define SAMPLES_S	15

/* Large ones, of which one is always under way while the other is posted anew. */
static struct load {
	struct kvx_xfer *halves[HALVES];
	atomic_bool stop;
	uint32_t nr;
	double each;
} load;

static void *keep_moving(void *arg)
{
	struct kvx_result result = KVX_RESULT_INIT;
	size_t i;

	(void)arg;
	while (!load.stop) {
		MUST(!kvx_wait_any(load.halves, HALVES, KVX_FOREVER, &i));
		MUST(!kvx_xfer_wait(load.halves[i], KVX_FOREVER, &result));
		load.each += (result.end_ns - result.post_ns) / 1e9;
		load.nr++;
		MUST(!kvx_xfer_post(load.halves[i]));
	}
	return NULL;
}

static pthread_t load_begin(struct job *job)
{
	const uint32_t n = job->nr / HALVES;
	pthread_t thread;

	load = (struct load){};
	for (int i = 0; i < HALVES; i++) {
		load.halves[i] = prepare(job, i * n, n);
		MUST(!kvx_xfer_post(load.halves[i]));
	}
	MUST(!pthread_create(&thread, NULL, keep_moving, NULL));
	return thread;
}

static void load_end(pthread_t thread)
{
	bool under_way = false;

	/* What was measured beside it was. */
	for (int i = 0; i < HALVES; i++)
		under_way |= kvx_xfer_check(load.halves[i]) == KVX_XFER_RUNNING;
	MUST(under_way);
	load.stop = true;
	MUST(!pthread_join(thread, NULL));
	for (int i = 0; i < HALVES; i++) {
		MUST(!kvx_xfer_wait(load.halves[i], KVX_FOREVER, NULL));
		kvx_xfer_release(load.halves[i]);
	}
}

/* How long each takes, from its post to where its end is seen. */
struct latency {
	double p50, p99, max;
	int nr;
};

static struct latency latencies(struct job *job)
{
	static double took[SAMPLES];
	const int most = bench_quick ? 20 : SAMPLES, least = bench_quick ? 20 : SAMPLES_MIN;
	const double begin = bench_now();
	struct latency l = {};
	double t;

	while (l.nr < most && (l.nr < least || bench_now() - begin < SAMPLES_S)) {
		t = bench_now();
		MUST(!kvx_xfer_post(job->xfer));
		MUST(!kvx_xfer_wait(job->xfer, KVX_FOREVER, NULL));
		took[l.nr++] = bench_now() - t;
	}
	l.p50 = bench_median(took, l.nr);
	l.p99 = took[l.nr * 99 / 100];
	l.max = took[l.nr - 1];
	return l;
}

static void latency_line(const struct job *job, const char *beside, const struct latency *l,
			 const struct latency *alone)
{
	printf("| %-5s | %-24s | %7d | %9.3f | %9.3f | %9.3f | %9.2f | %9.2f |\n",
	       job->write ? "WRITE" : "READ", beside, l->nr, l->p50 * 1000, l->p99 * 1000,
	       l->max * 1000, l->p50 / alone->p50, l->p99 / alone->p99);
}

static void measure_beside(struct job *small, struct job *large)
{
	struct latency alone, beside;
	pthread_t thread;
	char name[32];

	small->xfer = prepare(small, 0, small->nr);
	large->xfer = prepare(large, 0, large->nr);
	small->trips = 1;
	large->trips = 1;
	by_kvxfer(small);
	by_kvxfer(large);
	check(large);
	alone = latencies(small);
	thread = load_begin(large);
	beside = latencies(small);
	load_end(thread);
	check(small);
	check(large);
	latency_line(small, "nothing", &alone, &alone);
	/* A small one that were stuck behind one would take as long. */
	snprintf(name, sizeof(name), "large ones of %.1f ms", load.each / load.nr * 1000);
	latency_line(small, load.nr ? name : "large ones", &beside, &alone);
	kvx_xfer_release(small->xfer);
	kvx_xfer_release(large->xfer);
}

static void small_beside_large(void)
{
	static const char dashes[] = "--------------------------";
	const uint32_t nr = bench_quick ? 8 : 128;

	if (node() == 1) {
		printf("\nA transfer of 4 KiB beside large ones of another agent, %u MiB each\n",
		       nr / HALVES);
		printf("| %-5s | %-24s | %7s | %9s | %9s | %9s | %9s | %9s |\n", "Way",
		       "Beside", "Trips", "p50 (ms)", "p99 (ms)", "max (ms)", "p50 ratio",
		       "p99 ratio");
		printf("|-------|%.26s|%.9s|%.11s|%.11s|%.11s|%.11s|%.11s|\n", dashes, dashes,
		       dashes, dashes, dashes, dashes, dashes);
	}
	for (int write = 0; write < 2; write++) {
		struct job large = { .nr = nr, .piece = MIB, .write = write };
		struct job small = { .nr = 1, .piece = PAGE, .write = write };

		set_up(&large);
		set_up(&small);
		if (node() == 1)
			measure_beside(&small, &large);
		tear_down(&small);
		tear_down(&large);
	}
}

int main(int argc, char **argv)
{
	static const char dashes[] = "--------------------";
	uint64_t each;

	bench_options(argc, argv);
	each = (bench_quick ? 1 : 32) * MIB;
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	open_device();
	find_other();
	if (node() == 1) {
		printf("\nFrom node to node by soft-RoCE, beside libibverbs with %d on their way\n",
		       WINDOW);
		printf("| %-5s | %10s | %18s | %11s | %11s | %11s ", "Way", "Batch Size",
		       "Block Size (Bytes)", "Trips", "kvxfer (ms)", "verbs (ms)");
		printf("| %12s | %12s | %5s | %12s | %5s |\n", "kvxfer MiB/s", "verbs MiB/s",
		       "Ratio", "ib_*_bw", "Ratio");
		printf("|-------|%.12s|%.20s|%.13s|%.13s|%.13s|%.14s|%.14s|-------|", dashes,
		       dashes, dashes, dashes, dashes, dashes, dashes);
		printf("%.14s|-------|\n", dashes);
	}
	for (int write = 0; write < 2; write++) {
		for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
			struct job job = { .nr = batches[i].nr, .piece = batches[i].piece,
					   .write = write };

			job.trips = each / job.nr / job.piece ?: 1;
			set_up(&job);
			if (node() == 1)
				measure(&job);
			else
				by_perftest(&job);
			tear_down(&job);
		}
	}
	small_beside_large();
	close_device();
	close(wire);
	return 0;
}
