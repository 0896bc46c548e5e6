/* SPDX-License-Identifier: GPL-2.0-only */
/* The node that is attacked, and how an attack is gone through by both: see foe.h. */
#ifndef KVX_TEST_VICTIM_H
#define KVX_TEST_VICTIM_H

#include "foe_rail.h"

/* So many, and so that keys have small pages: what is granted of them has more keys than one. */
#define BLOCKS		256
#define FIRST		8
#define GRANTED		200
#define BLOCK_BYTES	(4 * 4096)

/* There may be more of the last kind: VICTIM_GRANTS in all, and then none is wide, or sparse. */
enum { BOTH, READ_ONLY, OTHER };

static const uint32_t ids[] = { 0, 9, 100, 255 };

struct resources {
	int cq, qp, cm_id, mr;
};

static struct {
	struct kvx_agent *agent;
	struct side sides[VICTIM_GRANTS];
	struct kvx_grant grants[VICTIM_GRANTS];
	struct resources before;
} victim;

/* A word that one node leaves for the other while an attack is under way. */
static inline void mark(const char *word)
{
	shell("touch /run/lab/%s.%d.%s", program_invocation_short_name, two_steps, word);
}

static inline void await(const char *word)
{
	char path[128];

	snprintf(path, sizeof(path), "/run/lab/%s.%d.%s", program_invocation_short_name, two_steps,
		 word);
	wait_for_file(path, word);
}

static inline struct resources resources(void)
{
	struct resources r = {};
	char line[256] = "", *at;
	FILE *f = popen("rdma resource show kvx0", "r");

	CHECK(f && fgets(line, sizeof(line), f));
	pclose(f);
#define NUMBER(name) do {						\
	at = strstr(line, " " #name " ");				\
	if (!at)							\
		FAIL("no %s in: %s", #name, line);			\
	r.name = atoi(at + strlen(#name) + 2);				\
} while (0)
	NUMBER(cq);
	NUMBER(qp);
	NUMBER(cm_id);
	NUMBER(mr);
	return r;
}

/* All is as it was; memory regions of who may come back are not counted before they are gone. */
static inline void settle_to(const struct resources *was, bool mrs)
{
	struct resources r;

	for (int i = 0; i < 3000; i++) {
		r = resources();
		if (r.cq == was->cq && r.qp == was->qp && r.cm_id == was->cm_id &&
		    (!mrs || r.mr == was->mr))
			return;
		poll(NULL, 0, 10);
	}
	FAIL("cq %d qp %d cm_id %d mr %d, and before: %d %d %d %d", r.cq, r.qp, r.cm_id, r.mr,
	     was->cq, was->qp, was->cm_id, was->mr);
}

/* Of the blocks of another side just the second region each. */
static inline struct side sparse_side(const struct side *of)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_TABLE, BLOCKS);
	const struct kvx_layout_base base = { of->pool, of->bases[0] + region_bytes(of) };
	struct side side = *of;

	config.num_layers = 1;
	config.outer_dim = 1;
	config.block_stride = BLOCK_BYTES;
	OK(kvx_layout_register(of->agent, &side.handle, &config, &base, 1));
	return side;
}

static inline void victim_opens(void)
{
	struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	size_t bytes;
	void *data;

	victim.agent = open_agent();
	told.worker_id = query(victim.agent).worker_id;
	told.epoch = query(victim.agent).epoch;
	for (int g = 0; g < VICTIM_GRANTS; g++) {
		/* What is to be told of this one is long. */
		if (g == WIDE) {
			config.num_layers = 2048;
			config.page_size = 1;
			config.inner_dim = 1;
		}
		if (g == SPARSE)
			victim.sides[g] = sparse_side(&victim.sides[OTHER]);
		else
			victim.sides[g] = make_side_at(victim.agent, KERNEL, config, PAGE + 40);
		if (g != WIDE && g != SPARSE)
			fill(&victim.sides[g], 10 + g, 0xa0);
		opts.rights = g == READ_ONLY ? KVX_GRANT_READ : KVX_GRANT_READ | KVX_GRANT_WRITE;
		opts.first_block = FIRST;
		opts.nr_blocks = GRANTED;
		OK(kvx_grant(victim.agent, &victim.grants[g], victim.sides[g].handle, &opts));
		told.grants[g].layout = kvx_handle_layout_id(victim.sides[g].handle);
		memcpy(told.grants[g].key, victim.grants[g].key, KVXFER_KEY_BYTES);
	}
	OK(kvx_export_metadata(victim.agent, &victim.grants[BOTH], 1, &data, &bytes));
	CHECK(bytes <= sizeof(told.blob));
	memcpy(told.blob, data, bytes);
	told.blob_bytes = bytes;
	free(data);
	tell(&told, sizeof(told));
}

/* The module of node 2 comes anew, as whoever was met at its address before is taken to be gone. */
static inline void the_honest_are_served(void)
{
	const struct kvx_layout_config config = standard(KVX_LAYOUT_CONTIGUOUS, BLOCKS);
	const size_t nr = ARRAY_SIZE(ids);
	struct kvx_result result = KVX_RESULT_INIT;
	struct kvx_agent *agent;
	struct side mine, shadow;
	struct kvx_handle theirs;
	unsigned char *want;

	if (node() == 1) {
		mine = make_side(victim.agent, KERNEL, config);
		fill(&mine, 1, 0xa1);
		offer(&mine);
		meet();
		shadow = make_side(victim.agent, KERNEL, config);
		fill(&shadow, 2, 0xa2);
		for (size_t i = 0; i < nr; i++)
			CHECK(!memcmp(region(&mine, ids[i], 1, 1), region(&shadow, ids[i], 1, 1),
				      region_bytes(&mine)));
		meet();
		drop_side(&shadow);
		drop_side(&mine);
		return;
	}
	shell("rmmod kvxfer && insmod $KVX_LAB_MODULE");
	agent = open_agent();
	mine = make_side(agent, KERNEL, config);
	shadow = make_side(agent, KERNEL, config);
	fill(&mine, 2, 0xa2);
	fill(&shadow, 1, 0xa1);
	theirs = take(agent);
	OK(kvx_xfer_exec(agent, mine.handle, ids, nr, theirs, ids, nr, NULL, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	CHECK_EQ(result.path, KVX_PATH_RDMA);
	memset(mine.mem, 0x77, mine.bytes);
	want = snapshot(&mine);
	fill(&mine, 2, 0xa2);
	for (size_t i = 0; i < nr; i++)
		for (int r = 0; r < 4; r++)
			memcpy(want + (region(&mine, ids[i], r / 2, r % 2) - mine.mem),
			       region(&mine, ids[i], r / 2, r % 2), region_bytes(&mine));
	memset(mine.mem, 0x77, mine.bytes);
	result = (struct kvx_result)KVX_RESULT_INIT;
	OK(kvx_xfer_exec(agent, theirs, ids, nr, mine.handle, ids, nr, NULL, &result));
	CHECK_EQ(result.state, KVX_XFER_DONE);
	check_memory(&mine, want);
	meet();
	meet();
	drop_side(&mine);
	drop_side(&shadow);
	kvx_close(agent);
}

/* How long the victim waits for who says nothing. */
static inline void wait_for_others(const char *ms)
{
	put_param("connect_ms", ms);
	put_param("dead_ms", ms);
}

/* Nodes run this in step; what fails is said when both are through. */
static inline void under_attack(void (*attack)(void), void (*defend)(void))
{
	int status = 0;

	rdma_up("rxe");
	if (strncmp(getenv("LAB"), "uml", 3))
		shell("modprobe -a ib_uverbs rdma_ucm");
	if (node() == 1) {
		victim.before = resources();
		/* Longer than an attack does: it is to be cut off for what it does. */
		wait_for_others("60000");
		victim_opens();
		if (defend)
			defend();
		meet();
		settle_to(&victim.before, false);
		wait_for_others("10000");
	} else {
		hear(&told, sizeof(told));
		waitpid(foe_start(attack), &status, 0);
		meet();
	}
	the_honest_are_served();
	if (node() == 1) {
		/* What is mapped keeps its agent open. */
		for (int g = 0; g < VICTIM_GRANTS; g++) {
			if (g != SPARSE)
				drop_side(&victim.sides[g]);
			else
				OK(kvx_layout_unregister(victim.agent, victim.sides[g].handle));
		}
		kvx_close(victim.agent);
		meet();
		settle_to(&victim.before, true);
	} else {
		/* It leaves, so that nothing of it is connected. */
		shell("rmmod kvxfer && insmod $KVX_LAB_MODULE");
		meet();
	}
	rdma_down();
	CHECK_EQ(status, 0);
}

#endif /* KVX_TEST_VICTIM_H */
