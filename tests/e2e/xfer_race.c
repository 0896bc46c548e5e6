// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads of two agents that do to each other, at once and to the same numbers, all that can be
 * done: prepare, post, cancel, release, wait, register, unregister, grant, revoke, import, forget,
 * send and receive notes and messages, and close. Whatever each is told, nothing breaks, and
 * nothing is left.
 * Time: 200
 * Lanes: uml-smp uml-debug debian-6.12
 * Emulated: threads on two real processors
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "blocks.h"

#define THREADS		6
#define SLOTS		4
#define AGENTS		2

/* What all know of, and take from each other. */
static uint32_t xfers[AGENTS][SLOTS], layouts[AGENTS][SLOTS], pools[AGENTS];
static struct kvxfer_import granted[AGENTS][SLOTS];
static struct kvxfer_query who[AGENTS];
static int fds[AGENTS];
static uint64_t succeeded[32];

struct thread {
	pthread_t thread;
	uint64_t seed;
};

static uint32_t rnd(struct thread *t, uint32_t below)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return (t->seed >> 11) % below;
}

static bool run(int fd, unsigned long nr, void *cmd)
{
	if (ioctl(fd, nr, cmd))
		return false;
	__atomic_fetch_add(&succeeded[_IOC_NR(nr)], 1, __ATOMIC_RELAXED);
	return true;
}

static struct kvxfer_handle handle(int agent, uint32_t layout)
{
	return (struct kvxfer_handle){
		who[agent].out_worker_id, who[agent].out_epoch << 16 | layout
	};
}

static void register_layout(int a, int slot)
{
	/* Of 64 KiB: all in all 4 MiB, so that a whole one is large enough for the workers. */
	struct kvxfer_layout_base base = { .pool = pools[a], .offset = slot * MIB };
	struct kvxfer_layout_register reg = {
		.hdr.size = sizeof(reg), .kind = KVXFER_LAYOUT_CONTIGUOUS,
		.format = KVXFER_FORMAT_NHD, .num_blocks = 16, .num_layers = 2, .outer_dim = 2,
		.page_size = 16, .inner_dim = 512, .dtype_width = 2, .alignment = 1, .nr_bases = 1,
		.bases = (uintptr_t)&base,
	};

	if (run(fds[a], KVXFER_IOC_LAYOUT_REGISTER, &reg))
		layouts[a][slot] = reg.out_rest & 0xffff;
}

static void prep(struct thread *t, int a, int slot)
{
	const uint32_t ids[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	const int from = rnd(t, AGENTS), to = rnd(t, AGENTS);
	struct kvxfer_xfer_prep cmd = {
		.hdr = { sizeof(cmd), rnd(t, 2) ? KVXFER_XFER_POST : 0, 0, 0 },
		.src = handle(from, layouts[from][rnd(t, SLOTS)]),
		.dst = handle(to, layouts[to][rnd(t, SLOTS)]),
		.src_ids = (uintptr_t)ids, .dst_ids = (uintptr_t)ids,
		.nr_src = rnd(t, 2) ? 16 : 1,
		.deadline_ns = rnd(t, 4) ? 0 : 1 + rnd(t, 1000000),
	};
	unsigned long nr = KVXFER_IOC_XFER_PREP;

	cmd.nr_dst = cmd.nr_src;
	if (rnd(t, 2)) {
		cmd.hdr.flags |= KVXFER_XFER_NOTE;
		cmd.note.worker_id = who[rnd(t, AGENTS)].out_worker_id;
	}
	if (!rnd(t, 4)) {
		nr = KVXFER_IOC_XFER_EXEC;
		cmd.hdr.flags &= ~KVXFER_XFER_POST;
		cmd.hdr.flags |= rnd(t, 2) ? KVXFER_XFER_WAIT : 0;
	}
	if (run(fds[a], nr, &cmd))
		xfers[a][slot] = cmd.out_xfer;
}

static void grant(struct thread *t, int a, int slot)
{
	struct kvxfer_grant cmd = {
		.hdr.size = sizeof(cmd), .layout = layouts[a][slot], .rights = 3,
		.expires_ns = rnd(t, 8) ? 0 : 1000000,
	};

	if (!run(fds[a], KVXFER_IOC_GRANT, &cmd))
		return;
	granted[a][slot].layout = cmd.layout;
	memcpy(granted[a][slot].key, cmd.out_key, sizeof(cmd.out_key));
}

/* Mostly there is a partner; one that does not come is not waited for. */
static void message(struct thread *t, int a, int slot)
{
	static const uint32_t flags[] = { 0, 0, KVXFER_XFER_ONCE, KVXFER_XFER_WAIT };
	const bool send = rnd(t, 2);
	struct kvxfer_msg cmd = {
		.hdr = { sizeof(cmd), flags[rnd(t, ARRAY_SIZE(flags))], 0, 0 },
		.worker_id = who[rnd(t, 8) ? !a : a].out_worker_id,
		.offset = rnd(t, 2 * MIB), .bytes = rnd(t, 4) ? rnd(t, 70000) : 2 * MIB,
		.pool = pools[a], .deadline_ns = 1 + rnd(t, rnd(t, 4) ? 2000000 : 50000),
	};

	if (run(fds[a], send ? KVXFER_IOC_MSG_SEND : KVXFER_IOC_MSG_RECV, &cmd))
		xfers[a][slot] = cmd.out_xfer;
}

static void act(struct thread *t)
{
	const int a = rnd(t, AGENTS), other = !a, slot = rnd(t, SLOTS), fd = fds[a];
	const uint32_t xfer = __atomic_load_n(&xfers[a][slot], __ATOMIC_RELAXED);
	char buffer[512];

	switch (rnd(t, 20)) {
	case 0:
	case 1:
	case 2:
		prep(t, a, slot);
		break;
	case 3:
	case 4: {
		struct kvxfer_xfer_post cmd = { .hdr.size = sizeof(cmd), .xfer = xfer };

		run(fd, KVXFER_IOC_XFER_POST, &cmd);
		break;
	}
	case 5: {
		struct kvxfer_xfer_cancel cmd = { .hdr.size = sizeof(cmd), .xfer = xfer };

		run(fd, KVXFER_IOC_XFER_CANCEL, &cmd);
		break;
	}
	case 6:
	case 7: {
		struct kvxfer_xfer_release cmd = { .hdr.size = sizeof(cmd), .xfer = xfer };

		run(fd, KVXFER_IOC_XFER_RELEASE, &cmd);
		break;
	}
	case 8: {
		struct kvxfer_completion result;
		struct kvxfer_xfer_wait cmd = {
			.hdr.size = sizeof(cmd), .xfers = (uintptr_t)&xfer, .nr = 1,
			.results = (uintptr_t)&result, .timeout_ns = rnd(t, 2000000),
		};

		run(fd, KVXFER_IOC_XFER_WAIT, &cmd);
		break;
	}
	case 9:
		register_layout(a, slot);
		break;
	case 10: {
		struct kvxfer_layout_unregister cmd = {
			.hdr = { sizeof(cmd), rnd(t, 3), 0, 0 }, .id = layouts[a][slot],
		};

		if (run(fd, KVXFER_IOC_LAYOUT_UNREGISTER, &cmd))
			register_layout(a, slot);
		break;
	}
	case 11:
		grant(t, a, slot);
		break;
	case 12: {
		struct kvxfer_revoke cmd = {
			.hdr.size = sizeof(cmd), .layout = granted[a][slot].layout,
		};

		memcpy(cmd.key, granted[a][slot].key, sizeof(cmd.key));
		run(fd, KVXFER_IOC_REVOKE, &cmd);
		break;
	}
	case 13: {
		struct kvxfer_import one = granted[other][slot];
		struct kvxfer_layout_import cmd = {
			.hdr.size = sizeof(cmd), .boot_id = who[0].out_boot_id,
			.worker_id = who[other].out_worker_id, .epoch = who[other].out_epoch,
			.imports = (uintptr_t)&one, .nr_imports = 1,
		};
		struct kvxfer_layout_forget forget = {
			.hdr.size = sizeof(forget), .worker_id = cmd.worker_id,
		};

		run(fd, KVXFER_IOC_LAYOUT_FORGET, &forget);
		run(fd, KVXFER_IOC_LAYOUT_IMPORT, &cmd);
		break;
	}
	case 14: {
		struct kvxfer_note_send cmd = {
			.hdr.size = sizeof(cmd),
			.note = { .data = (uintptr_t)buffer, .bytes = rnd(t, 64),
				  .worker_id = who[rnd(t, AGENTS)].out_worker_id },
		};

		memset(buffer, 7, sizeof(buffer));
		run(fd, KVXFER_IOC_NOTE_SEND, &cmd);
		break;
	}
	case 15:
	case 16:
	case 17:
	case 18:
		message(t, a, slot);
		break;
	default: {
		struct kvxfer_note_recv cmd = {
			.hdr.size = sizeof(cmd), .buffer = (uintptr_t)buffer,
			.bytes = sizeof(buffer),
		};
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };

		poll(&pollfd, 1, 0);
		run(fd, KVXFER_IOC_NOTE_RECV, &cmd);
		break;
	}
	}
}

static void *acts(void *arg)
{
	struct thread *t = arg;

	for (int i = rounds(2000, 500, 500, 20000); i > 0; i--)
		act(t);
	return NULL;
}

TEST(all_against_each_other)
{
	static const unsigned char must[] = {
		_IOC_NR(KVXFER_IOC_LAYOUT_REGISTER), _IOC_NR(KVXFER_IOC_LAYOUT_UNREGISTER),
		_IOC_NR(KVXFER_IOC_XFER_PREP), _IOC_NR(KVXFER_IOC_XFER_POST),
		_IOC_NR(KVXFER_IOC_XFER_EXEC), _IOC_NR(KVXFER_IOC_XFER_WAIT),
		_IOC_NR(KVXFER_IOC_XFER_CANCEL), _IOC_NR(KVXFER_IOC_XFER_RELEASE),
		_IOC_NR(KVXFER_IOC_GRANT), _IOC_NR(KVXFER_IOC_REVOKE),
		_IOC_NR(KVXFER_IOC_LAYOUT_IMPORT), _IOC_NR(KVXFER_IOC_LAYOUT_FORGET),
		_IOC_NR(KVXFER_IOC_NOTE_SEND), _IOC_NR(KVXFER_IOC_NOTE_RECV),
		_IOC_NR(KVXFER_IOC_MSG_SEND), _IOC_NR(KVXFER_IOC_MSG_RECV),
	};
	struct kvx_agent *agent;
	struct thread threads[THREADS];

	for (int round = 0; round < 6; round++) {
		for (int a = 0; a < AGENTS; a++) {
			struct kvxfer_pool_create create = {
				.hdr.size = sizeof(create), .bytes = (SLOTS + 1) * MIB,
				.mode = 0600,
			};
			struct kvxfer_ring_setup ring = { .hdr.size = sizeof(ring), .entries = 64 };

			fds[a] = open(KVXFER_DEVICE, O_RDWR);
			CHECK(fds[a] >= 0);
			who[a].hdr.size = sizeof(who[a]);
			CHECK_EQ(ioctl(fds[a], KVXFER_IOC_QUERY, &who[a]), 0);
			CHECK_EQ(ioctl(fds[a], KVXFER_IOC_POOL_CREATE, &create), 0);
			pools[a] = create.out_pool;
			/* With a ring that is never read, and without. */
			if (round % 2)
				CHECK_EQ(ioctl(fds[a], KVXFER_IOC_RING_SETUP, &ring), 0);
			for (int slot = 0; slot < SLOTS; slot++)
				register_layout(a, slot);
		}
		for (int i = 0; i < THREADS; i++) {
			threads[i].seed = 1 + i + round * 1000003ULL;
			CHECK(!pthread_create(&threads[i].thread, NULL, acts, &threads[i]));
		}
		for (int i = 0; i < THREADS; i++)
			CHECK(!pthread_join(threads[i].thread, NULL));
		/* With whatever is under way. */
		for (int a = 0; a < AGENTS; a++)
			close(fds[a]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(must); i++)
		if (!succeeded[must[i]])
			FAIL("command %u never succeeded", must[i]);
	agent = open_agent();
	settle(agent);
	CHECK_EQ(query(agent).agents, 1);
	kvx_close(agent);
}
