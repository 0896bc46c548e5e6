// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two nodes with two wires, each wire at a NUMA node of its own: a transfer goes by the rail that
 * is nearest to the pools of whoever asked for it, unless it names rails, or that one is not there.
 * Labs: debian-6.1 debian-6.12
 * Nodes: 2
 * Time: 200
 * Lanes: debian-6.12
 * Emulated: two NUMA nodes with a wire at each
 */
#define _GNU_SOURCE
#include "netlink.h"
#include "two.h"

/* Of 128 KiB each: enough for both rails to get some. */
#define BLOCKS	48
#define LAYERS	2
#define REGION	(32ULL << 10)

#define WIRES	2
#define BOTH	3U

/* What nobody has written. */
#define JUNK	99

static uint32_t all[BLOCKS];

/* A layout of ours, each layer in a pool of its own, on a NUMA node of its own. */
struct ours {
	struct kvx_pool *pools[LAYERS];
	unsigned char *mem[LAYERS];
	struct kvx_handle handle;
};

/* What node 1 works with: a layout on each NUMA node, and one on both. */
static struct kvx_agent *agent;
static struct ours on[WIRES], astride;
static struct kvx_handle theirs;
static uint64_t other_boot_id;
/* By whom what is in theirs was filled. */
static uint64_t filler;

static struct kvx_layout_config blocks_of(uint32_t kind)
{
	struct kvx_layout_config config = standard(kind, BLOCKS);

	config.num_layers = LAYERS;
	config.page_size = 256;
	config.inner_dim = 64;
	return config;
}

static struct ours make_ours(int first, int second)
{
	const struct kvx_layout_config config = blocks_of(KVX_LAYOUT_BLOCK_FIRST);
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_layout_base bases[LAYERS];
	struct ours ours;
	void *at;

	for (int l = 0; l < LAYERS; l++) {
		opts.node = l ? second : first;
		OK(kvx_pool_create(agent, &ours.pools[l], BLOCKS * 2 * REGION, &opts));
		OK(kvx_pool_map(ours.pools[l], &at, 0, 0, KVX_POOL_WRITE));
		ours.mem[l] = at;
		bases[l] = (struct kvx_layout_base){ .pool = ours.pools[l] };
	}
	OK(kvx_layout_register(agent, &ours.handle, &config, bases, LAYERS));
	return ours;
}

static void drop_ours(struct ours *ours)
{
	OK(kvx_layout_unregister(agent, ours->handle));
	for (int l = 0; l < LAYERS; l++) {
		munmap(ours->mem[l], BLOCKS * 2 * REGION);
		kvx_pool_close(ours->pools[l]);
	}
}

static void fill_ours(const struct ours *ours, uint64_t who)
{
	for (uint32_t r = 0; r < BLOCKS * LAYERS * 2; r++)
		fill_region(ours->mem[r % 2] + r / 2 * REGION, REGION, who, r / 4, r % 2,
			    r / 2 % 2);
}

static void check_ours(const struct ours *ours, uint64_t who)
{
	static unsigned char want[REGION];

	for (uint32_t r = 0; r < BLOCKS * LAYERS * 2; r++) {
		fill_region(want, REGION, who, r / 4, r % 2, r / 2 % 2);
		if (memcmp(ours->mem[r % 2] + r / 2 * REGION, want, REGION))
			FAIL("block %u, layer %u, outer %u is not of %llu", r / 4, r % 2, r / 2 % 2,
			     (unsigned long long)who);
	}
}

static struct kvx_xfer *start(const struct ours *ours, bool write, uint32_t rails)
{
	const struct kvx_handle src = write ? ours->handle : theirs;
	const struct kvx_handle dst = write ? theirs : ours->handle;
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_xfer *xfer;

	if (write)
		filler++;
	fill_ours(ours, write ? filler : JUNK);
	opts.deadline_ns = 90000000000;
	opts.rails = rails;
	OK(kvx_transfer(agent, &xfer, src, all, BLOCKS, dst, all, BLOCKS, &opts));
	return xfer;
}

/* It is well done; by which rails? */
static uint32_t finish(struct kvx_xfer *xfer)
{
	struct kvx_result result = KVX_RESULT_INIT;

	OK(kvx_xfer_wait(xfer, KVX_FOREVER, &result));
	kvx_xfer_release(xfer);
	if (result.state != KVX_XFER_DONE)
		FAIL("state %u, error %u, reason %u", result.state, result.error, result.reason);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	CHECK_EQ(result.bytes, BLOCKS * LAYERS * 2 * REGION);
	CHECK_EQ(result.flags & KVX_RESULT_UNCONFIRMED, 0);
	return result.rails;
}

/* What is in theirs is what was written there, by whomever. */
static void check_theirs(const struct ours *ours, bool written)
{
	if (written)
		finish(start(ours, false, 0));
	check_ours(ours, filler);
}

static uint32_t move(const struct ours *ours, bool write, uint32_t rails)
{
	const uint32_t used = finish(start(ours, write, rails));

	check_theirs(ours, write);
	return used;
}

/* Until both rails are there. */
static void go_by_both(void)
{
	while (move(&astride, false, 0) != BOTH)
		sched_yield();
}

static const char *const devs[] = { "kvx0", "kvx1" };

static int node_of_dev(int wire)
{
	return nl_dev(devs[wire]).numa_node;
}

/* The number of the rail that goes by a wire, which is there. */
static uint32_t rail_of(int wire)
{
	return nl_rail(other_boot_id, devs[wire], 0).id;
}

static uint32_t state_of_rail(uint32_t id)
{
	return nl_rail(other_boot_id, NULL, id).state;
}

/* Where a wire's network device is, as the kernel says: what virtio makes of it is at no node. */
static long node_of_wire(int wire)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/../numa_node",
		 getenv(wire ? "KVX_LAB_NIC2" : "KVX_LAB_NIC"));
	return proc_value(path);
}

static void begin(void)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		all[i] = i;
	be_hasty(true);
	rdma_up_twice("rxe");
	agent = open_agent();
	filler = 2;
}

/* What node 2 has: where that is, nobody asks. */
static struct side give(void)
{
	struct side side = make_side(agent, KERNEL, blocks_of(KVX_LAYOUT_CONTIGUOUS));
	const uint64_t boot_id = query(agent).boot_id;

	fill(&side, filler, 0);
	offer(&side);
	tell(&boot_id, sizeof(boot_id));
	return side;
}

static void take_all(void)
{
	theirs = take(agent);
	hear(&other_boot_id, sizeof(other_boot_id));
	for (int n = 0; n < WIRES; n++)
		on[n] = make_ours(n, n);
	astride = make_ours(0, 1);
	go_by_both();
}

static void end(struct side *side)
{
	meet();
	if (side) {
		drop_side(side);
	} else {
		drop_ours(&on[0]);
		drop_ours(&on[1]);
		drop_ours(&astride);
	}
	close_and_settle(agent);
	rdma_down();
	be_hasty(false);
}

/* Node 2 gives, and node 1 does what is to be done. */
static void both_nodes(void (*one)(void))
{
	struct side side;

	begin();
	if (node() == 2) {
		side = give();
		end(&side);
	} else {
		take_all();
		one();
		end(NULL);
	}
}

static void go_near(void)
{
	for (int n = 0; n < WIRES; n++) {
		const uint32_t near = 1U << rail_of(n), far = 1U << rail_of(!n);

		CHECK_EQ(node_of_wire(n), n);
		CHECK_EQ(node_of_dev(n), n);
		CHECK_EQ(near | far, BOTH);
		for (int write = 0; write < 2; write++) {
			CHECK_EQ(move(&on[n], write, 0), near);
			/* Whoever names rails has a reason. */
			CHECK_EQ(move(&on[n], write, far), far);
			CHECK_EQ(move(&on[n], write, near), near);
			CHECK_EQ(move(&on[n], write, 0xffff), BOTH);
			CHECK_EQ(move(&on[n], write, 0), near);
		}
	}
}

TEST(the_nearest_rail_is_used_unless_others_are_named)
{
	both_nodes(go_near);
}

static void go_astride(void)
{
	for (int write = 0; write < 2; write++) {
		CHECK_EQ(move(&astride, write, 0), BOTH);
		for (uint32_t rail = 0; rail < WIRES; rail++)
			CHECK_EQ(move(&astride, write, 1U << rail), 1U << rail);
	}
}

TEST(pools_on_several_nodes_are_near_to_no_rail)
{
	both_nodes(go_astride);
}

enum cut { ORDER, CABLE, CUTS };

static void cut_wire(enum cut cut, int wire, uint32_t rail, bool off)
{
	if (cut == CABLE) {
		pull_cable(wire, off);
		return;
	}
	CHECK_EQ(nl_set_rail(other_boot_id, rail, off), 0);
	while (off && state_of_rail(rail) != KVXFER_NL_RAIL_STATE_DOWN)
		sched_yield();
}

/* What has begun goes on by the far rail, and so does what begins, until the near one is back. */
static void near_is_cut(enum cut cut, int n, bool write)
{
	const uint32_t near = rail_of(n), far = rail_of(!n);
	struct kvx_xfer *xfer;

	hold_lanes();
	xfer = start(&on[n], write, 0);
	cut_wire(cut, n, near, true);
	let_lanes_go();
	/* What was posted by a wire without an end is lost, but has been tried. */
	CHECK_EQ(finish(xfer), cut == CABLE ? BOTH : 1U << far);
	check_theirs(&on[n], write);
	CHECK_EQ(move(&on[n], write, 0), 1U << far);
	cut_wire(cut, n, near, false);
	go_by_both();
	CHECK_EQ(move(&on[n], write, 0), 1U << near);
}

static void go_far(void)
{
	for (int i = 0; i < CUTS * WIRES * 2; i++) {
		const int cut = i / WIRES / 2, n = i / 2 % WIRES, write = i % 2;

		/* To find out that there is no cable takes seconds: each wire and way once. */
		if (cut != CABLE || write == n)
			near_is_cut(cut, n, write);
	}
}

TEST(the_far_rail_is_used_while_the_near_one_is_not_there)
{
	both_nodes(go_far);
}

static void go_unknown(void)
{
	const uint32_t known = 1U << rail_of(0), unknown = 1U << rail_of(1);

	CHECK_EQ(node_of_dev(0), 0);
	CHECK_EQ(node_of_dev(1), -1);
	for (int write = 0; write < 2; write++) {
		CHECK_EQ(move(&on[0], write, 0), known | unknown);
		CHECK_EQ(move(&on[1], write, 0), unknown);
	}
}

/* A bridge is nowhere: node 1 goes by one to its second wire. */
TEST(a_device_at_no_node_is_as_near_as_the_nearest)
{
	char nic[16];

	snprintf(nic, sizeof(nic), "%s", getenv("KVX_LAB_NIC2"));
	if (node() == 1) {
		shell("ip addr del 10.78.0.1/24 dev %s", nic);
		shell("ip link add nowhere type bridge && ip link set %s master nowhere", nic);
		shell("ip addr add 10.78.0.1/24 dev nowhere && ip link set nowhere up");
		setenv("KVX_LAB_NIC2", "nowhere", 1);
	}
	both_nodes(go_unknown);
	if (node() == 1) {
		shell("ip link del nowhere && ip addr add 10.78.0.1/24 dev %s", nic);
		setenv("KVX_LAB_NIC2", nic, 1);
	}
}
