// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network namespaces: who is in one without a device goes by the host's; each that an agent is in
 * is listened in, at a port of its own; and none is kept for longer than by who is in it.
 * Nodes: 2
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <rdma/rdma_cma.h>
#include <sched.h>
#include <sys/stat.h>

#include "netlink.h"
#include "two.h"

#define BLOCKS	16
#define PORT	"/proc/sys/net/kvxfer/port"

static const uint32_t ids[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* What a case's child leaves the namespaces of its parent for. */
static void in_namespace(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		fn();
		fflush(NULL);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void new_namespace(void)
{
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
}

/* Does somebody listen here, for all addresses? */
static bool is_taken(uint16_t port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct rdma_event_channel *events = rdma_create_event_channel();
	struct rdma_cm_id *id;
	bool taken;

	CHECK(events);
	CHECK_EQ(rdma_create_id(events, &id, NULL, RDMA_PS_TCP), 0);
	taken = rdma_bind_addr(id, (struct sockaddr *)&any);
	if (taken)
		CHECK(errno == EADDRINUSE || errno == EADDRNOTAVAIL);
	rdma_destroy_id(id);
	rdma_destroy_event_channel(events);
	return taken;
}

static int set_port(const char *value)
{
	int fd = open(PORT, O_WRONLY), err;

	CHECK(fd >= 0);
	err = write(fd, value, strlen(value)) < 0 ? errno : 0;
	close(fd);
	return err;
}

/* Read what the other node offers into blocks of our own. */
static void read_theirs(struct kvx_agent *agent)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct side mine = make_side(agent, KERNEL, config);
	struct side full = make_side(agent, KERNEL, config);
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_handle theirs;

	fill(&mine, 1, 0x11);
	fill(&full, 2, 0x11);
	theirs = take_heard(agent);
	OK(kvx_xfer_exec(agent, theirs, ids, BLOCKS, mine.handle, ids, BLOCKS, NULL, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	check_memory(&mine, snapshot(&full));
	drop_side(&mine);
	drop_side(&full);
}

static struct side offer_ours(struct kvx_agent *agent)
{
	struct side mine = make_side(agent, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS));

	fill(&mine, 2, 0);
	offer(&mine);
	return mine;
}

static void read_from_a_namespace(void)
{
	struct kvx_agent *agent;

	new_namespace();
	agent = open_agent();
	read_theirs(agent);
	kvx_close(agent);
}

static void offer_in_a_namespace(void)
{
	struct kvx_agent *agent;
	struct side mine;

	new_namespace();
	agent = open_agent();
	mine = offer_ours(agent);
	meet();
	drop_side(&mine);
	kvx_close(agent);
}

/* As in a container: there is no network at all in it. */
TEST(a_namespace_without_devices_goes_by_the_hosts)
{
	rdma_up("rxe");
	if (node() == 2) {
		in_namespace(offer_in_a_namespace);
		two_steps += 3;
	} else {
		hear_offer();
		in_namespace(read_from_a_namespace);
		meet();
	}
	rdma_down();
}

static void listen_by_port(void)
{
	struct kvx_agent *agent, *second;
	struct rdma_event_channel *events;
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(20002) };
	struct rdma_cm_id *id;

	new_namespace();
	CHECK(access(PORT, F_OK));
	CHECK(!is_taken(19875));
	agent = open_agent();
	second = open_agent();
	CHECK_EQ(proc_value(PORT), 19875);
	CHECK(is_taken(19875));
	CHECK_EQ(set_port("20001"), 0);
	CHECK(!is_taken(19875));
	CHECK(is_taken(20001));
	CHECK_EQ(set_port("65536"), EINVAL);
	CHECK_EQ(set_port("-1"), EINVAL);
	CHECK_EQ(proc_value(PORT), 20001);
	/* What is another's is not to be had, and what was had before stays. */
	events = rdma_create_event_channel();
	CHECK(events);
	CHECK_EQ(rdma_create_id(events, &id, NULL, RDMA_PS_TCP), 0);
	CHECK_EQ(rdma_bind_addr(id, (struct sockaddr *)&any), 0);
	CHECK_EQ(rdma_listen(id, 1), 0);
	CHECK(set_port("20002"));
	CHECK_EQ(proc_value(PORT), 20001);
	CHECK(is_taken(20001));
	rdma_destroy_id(id);
	rdma_destroy_event_channel(events);
	CHECK_EQ(set_port("0"), 0);
	CHECK(!is_taken(20001));
	CHECK_EQ(set_port("20003"), 0);
	/* The last one is the last. */
	kvx_close(agent);
	CHECK(is_taken(20003));
	kvx_close(second);
	CHECK(!is_taken(20003));
	CHECK(access(PORT, F_OK));
	/* A new beginning. */
	agent = open_agent();
	CHECK_EQ(proc_value(PORT), 19875);
	kvx_close(agent);
}

TEST(each_namespace_has_a_listener_and_a_port)
{
	rdma_up("rxe");
	CHECK(is_taken(19875));
	in_namespace(listen_by_port);
	CHECK(is_taken(19875));
	CHECK_EQ(proc_value(PORT), 19875);
	/* The host's can be changed while agents are open, and when none is. */
	CHECK_EQ(set_port("20004"), 0);
	CHECK(!is_taken(19875));
	CHECK(is_taken(20004));
	CHECK_EQ(set_port("19875"), 0);
	CHECK(is_taken(19875));
	rdma_down();
}

static void enter(const char *namespace)
{
	int fd = open(namespace, O_RDONLY);

	CHECK(fd >= 0);
	CHECK_EQ(setns(fd, CLONE_NEWNET), 0);
	close(fd);
}

static void count_rail(const struct nl_message *msg, void *arg)
{
	const uint32_t *netns = nl_get(msg, KVXFER_NL_RAIL_NETNS);
	uint32_t *nr = arg;
	struct stat st;

	CHECK_EQ(stat("/run/netns/far", &st), 0);
	if (netns && *netns == st.st_ino)
		++*nr;
}

/* How many rails there are in the namespace that is behind node 2. */
static uint32_t rails_in_far(void)
{
	uint32_t nr = 0;

	nl_dump(KVXFER_NL_CMD_RAIL_GET, count_rail, &nr);
	return nr;
}

static void check_rails_in_far(uint32_t nr)
{
	for (int i = 0; i < 5000 && rails_in_far() != nr; i++)
		poll(NULL, 0, 2);
	CHECK_EQ(rails_in_far(), nr);
}

/* Behind node 2, which forwards what goes there. */
static void make_far(void)
{
	shell("ip netns add far");
	shell("ip link add near type veth peer name end netns far");
	shell("ip addr add 10.79.0.1/24 dev near");
	shell("ip link set near up");
	shell("ip -n far addr add 10.79.0.2/24 dev end");
	shell("ip -n far link set end up");
	shell("ip -n far route add default via 10.79.0.1");
	put_file("/proc/sys/net/ipv4/ip_forward", "1");
	shell("ip netns exec far rdma link add kvx1 type siw netdev end");
}

/* With the namespace the other end of its wire goes, too, when nobody holds it any more. */
static void unmake_far(void)
{
	shell("ip netns exec far rdma link delete kvx1");
	shell("ip netns del far");
	for (int i = 0; i < 5000 && !access("/sys/class/net/near", F_OK); i++)
		poll(NULL, 0, 2);
	CHECK(access("/sys/class/net/near", F_OK));
	put_file("/proc/sys/net/ipv4/ip_forward", "0");
}

/*
 * Devices of software belong to the host's namespace, but for soft-iWARP's, which connects from
 * there only, and can be asked anywhere.
 */
TEST(a_node_is_reached_in_a_namespace)
{
	struct kvx_agent *agent;
	struct side mine;

	if (!rdma_type(1))
		return;
	rdma_up("siw");
	if (node() == 2) {
		make_far();
		enter("/run/netns/far");
		/* It is where it was opened, wherever who opened it goes. */
		agent = open_agent();
		/* The host's listener is at the usual one on this device, as siw has it. */
		CHECK_EQ(set_port("20001"), 0);
		enter("/proc/1/ns/net");
		mine = offer_ours(agent);
		meet();
		/* The other node may use a rail before this one takes it for ready. */
		check_rails_in_far(1);
		meet();
		drop_side(&mine);
		kvx_close(agent);
		/* With the last agent go its rails, and what was known of addresses there. */
		check_rails_in_far(0);
		unmake_far();
	} else {
		shell("ip route add 10.79.0.0/24 via 10.77.0.2");
		agent = open_agent();
		hear_offer();
		read_theirs(agent);
		meet();
		meet();
		kvx_close(agent);
		shell("ip route del 10.79.0.0/24");
	}
	rdma_down();
	/* Elsewhere the other node's second rail is by its second wire. */
	meet();
	shell("rmmod kvxfer && insmod $KVX_LAB_MODULE");
	meet();
}
