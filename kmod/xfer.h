/* SPDX-License-Identifier: GPL-2.0-only */
/* Transfers: see xfer.c. */
#ifndef KVX_XFER_H
#define KVX_XFER_H

#include <linux/kref.h>
#include <linux/workqueue.h>

#include "abi.h"
#include "copy.h"
#include "cursor.h"
#include "gate.h"
#include "transport.h"
#include "xfer_state.h"

struct kvx_agent;
struct kvx_flow;
struct kvx_grant;
struct kvx_message;
struct kvx_note;
struct kvx_registered;
struct kvx_ring_entry;

/* A layout and a grant on each side. */
#define KVX_XFER_GATES	4

/**
 * struct kvx_xfer - two layouts, two lists of blocks, and what becomes of them
 * @ref: of its agent's table, of each run, and of whoever looks at it
 * @agent: whose it is, with a reference
 * @id: in its agent
 * @once: it releases itself when it has ended
 * @path: &enum kvxfer_path that it takes
 * @user_data: for its owner
 * @timeout_ns: how long a run may take
 * @src: the source's layout, with a reference
 * @dst: the destination's
 * @grants: by what right, source and destination, each with a reference; NULL for an own layout
 * @uses: its places at its gates
 * @ids: both lists, the source's first
 * @shape: what is copied; constant
 * @note: that goes with each run; NULL for none
 * @lock: for what follows, to @result
 * @state: &enum kvxfer_xfer_state
 * @error: errno of the first thing that went wrong in this run
 * @reason: why
 * @flags: KVXFER_COMPLETION_* of this run
 * @run: which run it is, counted from 1
 * @run_note: that goes with this run
 * @entry: room for its completion
 * @result: how the last run ended
 * @timed: @deadline waits, with a reference; under @lock
 * @deadline: what ends a run that takes too long
 * @ops: how its bytes go
 * @job: its run, as the transport knows it; constant
 * @message: what another agent has to want as well; NULL for none
 * @flow: the run that goes to or from a peer; NULL for none
 * @copy: the run that is made by the CPUs
 */
struct kvx_xfer {
	struct kref ref;
	struct kvx_agent *agent;
	u32 id;
	bool once;
	u32 path;
	u64 user_data;
	u64 timeout_ns;
	struct kvx_registered *src;
	struct kvx_registered *dst;
	struct kvx_grant *grants[2];
	struct kvx_use uses[KVX_XFER_GATES];
	u32 *ids;
	struct kvx_shape shape;
	struct kvx_note *note;
	spinlock_t lock;		/* see above */
	u32 state;
	u32 error;
	u32 reason;
	u32 flags;
	u32 run;
	struct kvx_note *run_note;
	struct kvx_ring_entry *entry;
	struct kvxfer_completion result;
	bool timed;
	struct delayed_work deadline;
	const struct kvx_transport_ops *ops;
	struct kvx_job *job;
	struct kvx_message *message;
	struct kvx_flow *flow;
	struct kvx_copy copy;
};

/* Which side a gate is of: layouts and grants take turns. */
static inline u32 kvx_xfer_side(int gate)
{
	return gate & 1;
}

/* Law 5: beside its ids, a transfer has this much. */
#define KVX_XFER_BYTES_MAX	4096

/* For whoever waits: nothing more will come of it. */
static inline bool kvx_xfer_has_ended(const struct kvx_xfer *xfer)
{
	return kvx_xfer_state_ended(READ_ONCE(xfer->state));
}

static inline int kvx_xfer_unknown(struct kvxfer_hdr *hdr, u32 index)
{
	return kvx_refuse(hdr, -ENOENT, KVXFER_REASON_XFER_UNKNOWN, index);
}

/* xfer.c, for xfer_prep.c, xfer_wait.c and message.c */
struct kvx_xfer *kvx_xfer_get(struct kvx_agent *agent, u32 id);
void kvx_xfer_report(struct kvx_xfer *xfer, struct kvxfer_completion *result);
void kvx_xfer_set_job(struct kvx_xfer *xfer, struct kvx_job *job,
		      const struct kvx_transport_ops *ops);
void kvx_xfer_init(struct kvx_xfer *xfer, struct kvx_agent *agent, u32 parts);
int kvx_xfer_publish(struct kvx_xfer *xfer, struct kvxfer_hdr *hdr);
void kvx_xfer_put(struct kvx_xfer *xfer);
void kvx_xfer_fail_run(struct kvx_xfer *xfer, u32 run, u32 error, u32 reason);
int kvx_xfer_run(struct kvx_agent *agent, struct kvx_xfer *xfer, struct kvxfer_hdr *hdr,
		 struct kvxfer_completion *result);

/* xfer_prep.c */
struct kvx_note *kvx_xfer_take_note(struct kvx_agent *agent, struct kvxfer_hdr *hdr,
				    const struct kvxfer_note_to *to, u32 offset);
u64 kvx_xfer_timeout(u64 deadline_ns);
int kvx_xfer_check_path(bool far, u32 path, u32 rails, struct kvxfer_hdr *hdr);
int kvx_xfer_make(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd, bool once,
		  struct kvx_xfer **out);
int kvx_xfer_cost(struct kvx_agent *agent, struct kvxfer_xfer_cost *cmd);

/* xfer.c */
void kvx_xfers_cut(struct kvx_gate *gate);
void kvx_xfers_drop(struct kvx_agent *agent);
int kvx_xfers_init(void);
void kvx_xfers_exit(void);

int kvx_xfer_prep(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd);
int kvx_xfer_exec(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd);
void kvx_xfer_undo(struct kvx_agent *agent, u32 id);
int kvx_xfer_post(struct kvx_agent *agent, struct kvxfer_xfer_post *cmd);
int kvx_xfer_cancel(struct kvx_agent *agent, struct kvxfer_xfer_cancel *cmd);
int kvx_xfer_release(struct kvx_agent *agent, struct kvxfer_xfer_release *cmd);

/* xfer_wait.c */
int kvx_xfer_wait(struct kvx_agent *agent, struct kvxfer_xfer_wait *cmd);

#endif /* KVX_XFER_H */
