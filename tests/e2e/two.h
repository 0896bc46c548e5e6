/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests of two nodes: the same program runs on both, and each case is gone through by both in step.
 * What one has to tell the other goes through the folder that the run shares.
 */
#ifndef KVX_TEST_TWO_H
#define KVX_TEST_TWO_H

#include <errno.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "blocks.h"

static int two_steps;

static inline int node(void)
{
	return atoi(getenv("NODE"));
}

static inline void shell(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		FAIL("this failed: %s", command);
}

static inline void said(char *path, size_t room, int who)
{
	snprintf(path, room, "/run/lab/%s.%d.%d", program_invocation_short_name, two_steps, who);
}

/* Leave bytes for the other; in the same step it calls hear(). */
static inline void tell(const void *bytes, size_t nr)
{
	char path[128], final[128];
	FILE *f;

	two_steps++;
	/* Several programs run one after the other, each with steps of its own. */
	snprintf(path, sizeof(path), "/run/lab/new.%d", node());
	said(final, sizeof(final), node());
	f = fopen(path, "w");
	CHECK(f);
	CHECK_EQ(fwrite(bytes, 1, nr, f), nr);
	CHECK_EQ(fclose(f), 0);
	CHECK_EQ(rename(path, final), 0);
}

/* Whether the other node's part of this test has ended: then nothing more comes from it. */
static inline bool partner_has_ended(void)
{
	const char *path = getenv("KVX_PARTNER");

	return path && !access(path, F_OK);
}

/* Until a file of the other node is there: a file system of the host notifies nobody. */
static inline void wait_for_file(const char *path, const char *what)
{
	bool ended = false;

	for (unsigned int i = 0; access(path, F_OK); i++) {
		if (ended)
			FAIL("the other node has ended without %s in step %d", what, two_steps);
		/* If it has, what it left before is seen in one more look. */
		ended = partner_has_ended();
		if (i == patient(60000))
			FAIL("%s does not come from the other node in step %d", what, two_steps);
		if (!ended)
			poll(NULL, 0, 2);
	}
}

/* What the other has left in this step; as much as there is room for. */
static inline size_t hear(void *bytes, size_t room)
{
	char path[128];
	size_t nr;
	FILE *f;

	two_steps++;
	said(path, sizeof(path), 3 - node());
	wait_for_file(path, "a word");
	f = fopen(path, "r");
	CHECK(f);
	nr = fread(bytes, 1, room, f);
	fclose(f);
	return nr;
}

/* Until the other has come here, too. */
static inline void meet(void)
{
	char byte = 0;

	if (node() == 1) {
		tell(&byte, 1);
		hear(&byte, 1);
	} else {
		hear(&byte, 1);
		tell(&byte, 1);
	}
}

/* How much is on its way at once: little, so that a transfer takes its time; none; or as usual. */
static inline void slow_lanes(void)
{
	put_param("lane_bytes", "1");
}

static inline void hold_lanes(void)
{
	put_param("lane_bytes", "0");
}

static inline void let_lanes_go(void)
{
	put_param("lane_bytes", "2097152");
}

/* A connection that is dead is found to be in seconds, not in ten. */
static inline void be_hasty(bool hasty)
{
	char dead_ms[16];

	snprintf(dead_ms, sizeof(dead_ms), "%u", hasty ? patient(3000) : 10000);
	put_param("beat_ms", hasty ? "200" : "1000");
	put_param("dead_ms", dead_ms);
}

/* The command, which was built beside this. */
static inline void cli(const char *words)
{
	char path[256] = "";

	CHECK(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	shell("$(dirname %s)/../../bin/kvxfer %s", path, words);
}

/*
 * The kinds of RDMA that this kernel has in software. A test whose subject does not depend on the
 * kind defines TWO_ONE_KIND_IN_DEBUG: on the slow kernel with all checkers it uses rxe alone,
 * except in a long run.
 */
static inline const char *rdma_type(int i)
{
	bool siw = lab_is("uml") || lab_is("uml-smp") || lab_is("uml-debug");

#ifdef TWO_ONE_KIND_IN_DEBUG
	siw = siw && (long_run() || !lab_is("uml-debug"));
#endif
	if (i == 0)
		return "rxe";
	return i == 1 && siw ? "siw" : NULL;
}

static inline void delete_device(int wire)
{
	shell("[ ! -e /sys/class/infiniband/kvx%d ] || rdma link delete kvx%d", wire, wire);
}

static inline void rdma_up(const char *type)
{
	/* What a test before, that failed, has left. */
	delete_device(0);
	delete_device(1);
	if (strncmp(getenv("LAB"), "uml", 3))
		shell("modprobe rdma_%s", type);
	shell("rdma link add kvx0 type %s netdev %s", type, getenv("KVX_LAB_NIC"));
	meet();
}

/* Pages for which no NUMA node is named come from all of them in turns; or from where they may. */
static inline void spread_memory(bool spread)
{
	const unsigned long all = 3;

	/* Not every kernel knows of such nodes. */
	syscall(SYS_set_mempolicy, spread ? MPOL_INTERLEAVE : MPOL_DEFAULT, spread ? &all : NULL,
		spread ? 8 * sizeof(all) : 0);
}

/* By both wires: each may be at a NUMA node of its own, so memory is near to neither. */
static inline void rdma_up_twice(const char *type)
{
	spread_memory(true);
	rdma_up(type);
	shell("rdma link add kvx1 type %s netdev %s", type, getenv("KVX_LAB_NIC2"));
	meet();
}

static inline void rdma_down(void)
{
	meet();
	spread_memory(false);
	shell("rdma link delete kvx0");
	delete_device(1);
	meet();
}

/*
 * As if a cable were pulled, and nothing told the network device: what the other node sends comes
 * from where it should not, and is dropped without a word.
 */
static inline void pull_cable(int wire, bool pulled)
{
	const char *nic = getenv(wire ? "KVX_LAB_NIC2" : "KVX_LAB_NIC");
	const int net = 77 + wire, other = 3 - node();

	if (pulled) {
		shell("echo 1 >/proc/sys/net/ipv4/conf/%s/rp_filter", nic);
		shell("[ -e /sys/class/net/hole ] || ip link add hole type dummy");
		shell("ip link set hole up");
		shell("ip route add 10.%d.0.%d/32 dev hole src 10.%d.0.%d", net, other, net,
		      node());
	} else {
		shell("ip route del 10.%d.0.%d/32 dev hole", net, other);
	}
}

/* What the device holds, by kind: what `rdma resource show` says, but for its number. */
static inline void held_by_device(char *line, size_t room)
{
	char *at = NULL;
	FILE *f = popen("rdma resource show", "r");

	CHECK(f);
	while (!at && fgets(line, room, f))
		at = strstr(line, "kvx0:");
	while (fgetc(f) != EOF)
		;
	pclose(f);
	CHECK(at);
	memmove(line, at, strlen(at) + 1);
	line[strcspn(line, "\n")] = 0;
}

/* What is not used any more is given back by workers: until they have. */
static inline void check_held(const char *before)
{
	char held[256];

	for (int i = 0; i < 5000; i++) {
		held_by_device(held, sizeof(held));
		if (!strcmp(held, before))
			return;
		poll(NULL, 0, 2);
	}
	FAIL("\"%s\" was \"%s\"", held, before);
}

/* What the other node has offered. */
static char blob[65536];
static size_t blob_bytes;

/* Let the other node have a side, with all rights. */
static inline void offer(struct side *side)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_grant grant;
	size_t bytes;
	void *data;

	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	OK(kvx_grant(side->agent, &grant, side->handle, &opts));
	OK(kvx_export_metadata(side->agent, &grant, 1, &data, &bytes));
	tell(data, bytes);
	free(data);
}

static inline void hear_offer(void)
{
	blob_bytes = hear(blob, sizeof(blob));
}

/* Have what the other node has offered. */
static inline struct kvx_handle take_heard(struct kvx_agent *agent)
{
	struct kvx_peer_layout layout = KVX_PEER_LAYOUT_INIT;
	struct kvx_peer *peer;

	OK(kvx_import_metadata(agent, blob, blob_bytes, &peer));
	OK(kvx_peer_layout(peer, 0, &layout));
	kvx_peer_free(peer);
	return layout.handle;
}

static inline struct kvx_handle take(struct kvx_agent *agent)
{
	hear_offer();
	return take_heard(agent);
}

#endif /* KVX_TEST_TWO_H */
