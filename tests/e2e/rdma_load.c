// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many at once to another node, and what comes in between: processes that are killed on either
 * side, a cable that is pulled, a device that comes and goes.
 * Nodes: 2
 * Time: 300
 * Lanes: uml-smp uml-debug
 */
#define _GNU_SOURCE
#define TWO_ONE_KIND_IN_DEBUG
#define KTAP_CASE_LIMIT_S 250
#include <pthread.h>

#include "two.h"

#define AGENTS	64
#define EACH	16
#define BLOCKS	(AGENTS * EACH)

static struct kvx_layout_config config_of(uint32_t blocks)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_BLOCK_FIRST, blocks);

	config.inner_dim = 256;
	return config;
}

/* Is a block of @side what @who filled it with? */
static bool block_is(const struct side *side, uint32_t block, uint64_t who, uint32_t as)
{
	unsigned char *want = malloc(region_bytes(side));
	bool same = true;

	for (uint32_t l = 0; l < side->config.num_layers; l++) {
		for (uint32_t o = 0; o < side->config.outer_dim; o++) {
			fill_region(want, region_bytes(side), who, as, l, o);
			same &= !memcmp(want, region(side, block, l, o), region_bytes(side));
		}
	}
	free(want);
	return same;
}

/* All are on their way at once, before any may end; each reads a block and writes another. */
TEST(many_agents_share_a_connection)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_agent *agents[AGENTS];
		struct side mine[AGENTS], all;
		struct kvx_handle theirs[AGENTS];
		struct kvx_xfer *xfers[AGENTS][EACH];

		rdma_up(type);
		if (node() == 2) {
			struct kvx_agent *agent = open_agent();

			all = make_side(agent, KERNEL, config_of(BLOCKS));
			fill(&all, 2, 0);
			offer(&all);
			meet();
			for (uint32_t b = 0; b < BLOCKS; b++)
				if (b % 2)
					CHECK(block_is(&all, b, 100 + b / EACH, b % EACH));
				else
					CHECK(block_is(&all, b, 2, b));
			drop_side(&all);
			kvx_close(agent);
		} else {
			struct kvx_result result = KVX_RESULT_INIT;

			hear_offer();
			for (uint32_t a = 0; a < AGENTS; a++) {
				agents[a] = open_agent();
				mine[a] = make_side(agents[a], KERNEL, config_of(EACH));
				fill(&mine[a], 100 + a, 0);
				theirs[a] = take_heard(agents[a]);
			}
			hold_lanes();
			for (uint32_t i = 0; i < EACH; i++) {
				for (uint32_t a = 0; a < AGENTS; a++) {
					const uint32_t far = a * EACH + i;
					struct kvx_handle src = i % 2 ? mine[a].handle : theirs[a];
					struct kvx_handle dst = i % 2 ? theirs[a] : mine[a].handle;

					OK(kvx_transfer(agents[a], &xfers[a][i], src,
							i % 2 ? &i : &far, 1, dst,
							i % 2 ? &far : &i, 1, NULL));
				}
			}
			for (uint32_t n = 0; n < BLOCKS; n++)
				CHECK_EQ(kvx_xfer_check(xfers[n / EACH][n % EACH]),
					 KVX_XFER_RUNNING);
			let_lanes_go();
			for (uint32_t a = 0; a < AGENTS; a++) {
				for (uint32_t i = 0; i < EACH; i++) {
					OK(kvx_xfer_wait(xfers[a][i], KVX_FOREVER, &result));
					CHECK_EQ(result.state, KVX_XFER_DONE);
					kvx_xfer_release(xfers[a][i]);
					if (i % 2)
						CHECK(block_is(&mine[a], i, 100 + a, i));
					else
						CHECK(block_is(&mine[a], i, 2, a * EACH + i));
				}
			}
			meet();
			for (uint32_t a = 0; a < AGENTS; a++) {
				drop_side(&mine[a]);
				kvx_close(agents[a]);
			}
		}
		rdma_down();
	}
}

/* Reads and writes without an end, until it is killed; a byte for each round. */
static void go_on_for_ever(int out)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	struct kvx_agent *agent;
	struct kvx_handle theirs;
	struct kvx_xfer *xfers[16];
	struct side mine;
	uint32_t from[16], to[16];

	agent = open_agent();
	mine = make_side(agent, KERNEL, config_of(64));
	theirs = take_heard(agent);
	for (uint32_t i = 0; i < 16; i++) {
		from[i] = 4 * i;
		to[i] = 63 - i;
	}
	for (;;) {
		for (int i = 0; i < 16; i++)
			OK(kvx_transfer(agent, &xfers[i], i % 2 ? theirs : mine.handle, from, 16,
					i % 2 ? mine.handle : theirs, to, 16, &opts));
		if (write(out, "", 1) != 1)
			_exit(1);
		for (int i = 0; i < 16; i++) {
			if (kvx_xfer_wait(xfers[i], KVX_FOREVER, NULL))
				_exit(1);
			kvx_xfer_release(xfers[i]);
		}
	}
}

/* Who moves is killed in the midst of it; others go on, and nothing is left behind. */
TEST(who_moves_is_killed)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_agent *agent = open_agent();
		struct side mine = make_side(agent, KERNEL, config_of(64));
		const uint32_t one = 1;
		struct kvx_handle theirs;
		int pipes[2], status;
		char byte;

		rdma_up(type);
		fill(&mine, node(), 0);
		if (node() == 2) {
			offer(&mine);
			meet();
		} else {
			hear_offer();
			theirs = take_heard(agent);
			for (int round = 0; round < 12; round++) {
				pid_t pid;

				CHECK_EQ(pipe(pipes), 0);
				pid = fork();
				if (!pid) {
					go_on_for_ever(pipes[1]);
					_exit(0);
				}
				for (int i = 0; i <= round % 4; i++)
					CHECK_EQ(read(pipes[0], &byte, 1), 1);
				CHECK_EQ(kill(pid, SIGKILL), 0);
				CHECK_EQ(waitpid(pid, &status, 0), pid);
				close(pipes[0]);
				close(pipes[1]);
				OK(kvx_xfer_exec(agent, theirs, &one, 1, mine.handle, &one, 1, NULL,
						 NULL));
			}
			meet();
		}
		drop_side(&mine);
		close_and_settle(agent);
		rdma_down();
	}
}

static int move(struct kvx_agent *agent, struct kvx_handle src, struct kvx_handle dst,
		const uint32_t *ids)
{
	struct kvx_result result = KVX_RESULT_INIT;
	int err = kvx_xfer_exec(agent, src, ids, 32, dst, ids, 32, NULL, &result);

	return err || result.state == KVX_XFER_DONE ? err : -(int)result.error;
}

/* Who was moved from and to is killed: whoever moves is told, and others go on. */
TEST(who_is_moved_to_is_killed)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_agent *agent = open_agent();
		struct side mine;
		uint32_t ids[32];
		int err, rounds;

		for (uint32_t i = 0; i < 32; i++)
			ids[i] = i;
		rdma_up(type);
		for (int round = 0; round < 6; round++) {
			if (node() == 2) {
				int pipes[2], status;
				char byte;
				pid_t pid;

				CHECK_EQ(pipe(pipes), 0);
				fflush(stdout);
				pid = fork();
				if (!pid) {
					struct kvx_agent *a = open_agent();
					struct side side = make_side(a, KERNEL, config_of(64));

					fill(&side, 2, 0);
					offer(&side);
					if (write(pipes[1], "", 1) != 1)
						_exit(1);
					pause();
					_exit(0);
				}
				two_steps++;
				CHECK_EQ(read(pipes[0], &byte, 1), 1);
				/* It has some under way when this is heard. */
				hear(&byte, 1);
				CHECK_EQ(kill(pid, SIGKILL), 0);
				CHECK_EQ(waitpid(pid, &status, 0), pid);
				close(pipes[0]);
				close(pipes[1]);
			} else {
				struct kvx_handle theirs;

				mine = make_side(agent, KERNEL, config_of(64));
				hear_offer();
				theirs = take_heard(agent);
				rounds = 0;
				for (err = 0; !err; rounds++) {
					err = move(agent, theirs, mine.handle, ids);
					if (!err)
						err = move(agent, mine.handle, theirs, ids);
					if (rounds == 2)
						tell("", 1);
				}
				CHECK_EQ(err, -ESTALE);
				drop_side(&mine);
			}
			meet();
		}
		close_and_settle(agent);
		rdma_down();
	}
}

/* The cable is pulled, and put in again before or after the deadline. */
TEST(a_cable_is_pulled)
{
	const char *type;

	for (int t = 0; (type = rdma_type(t)); t++) {
		struct kvx_agent *agent = open_agent();
		struct side mine = make_side(agent, KERNEL, config_of(64));
		struct kvx_result result = KVX_RESULT_INIT;
		struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
		struct kvx_handle theirs;
		struct kvx_xfer *xfer;
		unsigned char *before;
		uint32_t ids[32];

		for (uint32_t i = 0; i < 32; i++)
			ids[i] = i;
		rdma_up(type);
		fill(&mine, node(), 0);
		if (node() == 2) {
			offer(&mine);
			meet();
			meet();
		} else {
			hear_offer();
			theirs = take_heard(agent);
			/* Within it. */
			pull_cable(0, true);
			opts.deadline_ns = 60000000000;
			OK(kvx_transfer(agent, &xfer, theirs, ids, 32, mine.handle, ids, 32,
					&opts));
			pull_cable(0, false);
			OK(kvx_xfer_wait(xfer, KVX_FOREVER, &result));
			CHECK_EQ(result.state, KVX_XFER_DONE);
			kvx_xfer_release(xfer);
			for (uint32_t i = 0; i < 32; i++)
				CHECK(block_is(&mine, i, 2, i));
			/* Beyond it: it ends, and then nothing comes any more. */
			fill(&mine, 1, 0);
			pull_cable(0, true);
			opts.deadline_ns = 300000000;
			OK(kvx_transfer(agent, &xfer, theirs, ids, 32, mine.handle, ids, 32,
					&opts));
			CHECK_EQ(kvx_xfer_wait(xfer, KVX_FOREVER, &result), -ETIMEDOUT);
			CHECK_EQ(result.state, KVX_XFER_TIMEDOUT);
			kvx_xfer_release(xfer);
			before = snapshot(&mine);
			pull_cable(0, false);
			meet();
			check_memory(&mine, before);
			OK(kvx_xfer_exec(agent, theirs, ids, 32, mine.handle, ids, 32, NULL,
					 &result));
			CHECK_EQ(result.state, KVX_XFER_DONE);
			for (uint32_t i = 0; i < 32; i++)
				CHECK(block_is(&mine, i, 2, i));
			meet();
		}
		drop_side(&mine);
		close_and_settle(agent);
		rdma_down();
	}
}
