/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate: what transfers pass through to get at blocks, and what can be shut.
 *
 * A layout has one, and so has each grant. A transfer joins its gates when it is prepared, enters
 * them when it is posted and leaves them when it has ended. Once a gate is closed nobody joins or
 * enters; it is quiet when the last has left, which happens once and is never undone.
 */
#ifndef KVX_GATE_H
#define KVX_GATE_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

struct kvx_gate;
struct kvx_xfer;

/**
 * struct kvx_gate - see above
 * @lock: for all but @wait
 * @closed: nobody may enter
 * @quiet: closed, and nobody is inside
 * @prepared: how many have joined and are not released
 * @running: how many are inside
 * @uses: those who have joined
 * @wait: for @quiet
 * @on_quiet: what to do then, before others are told; may sleep
 */
struct kvx_gate {
	spinlock_t lock;		/* see above */
	bool closed;
	bool quiet;
	u32 prepared;
	u32 running;
	struct list_head uses;
	wait_queue_head_t wait;
	void (*on_quiet)(struct kvx_gate *gate);
};

/**
 * struct kvx_use - a transfer at a gate
 * @gate: which one; NULL for none
 * @xfer: which transfer
 * @link: in @gate->uses; under its lock
 * @cut: it has been told to end; under that lock
 * @counted: it is one of @gate->prepared; under that lock
 */
struct kvx_use {
	struct kvx_gate *gate;
	struct kvx_xfer *xfer;
	struct list_head link;
	bool cut;
	bool counted;
};

void kvx_gate_init(struct kvx_gate *gate, void (*on_quiet)(struct kvx_gate *gate));
bool kvx_gate_join(struct kvx_gate *gate, struct kvx_use *use, struct kvx_xfer *xfer);
void kvx_gate_unprepare(struct kvx_use *use);
void kvx_gate_part(struct kvx_use *use);
bool kvx_gate_is_cut(struct kvx_use *use);
bool kvx_gate_enter(struct kvx_gate *gate);
void kvx_gate_leave(struct kvx_gate *gate);
u32 kvx_gate_close_unused(struct kvx_gate *gate);
void kvx_gate_close(struct kvx_gate *gate);
void kvx_gate_cut(struct kvx_gate *gate, struct kvx_xfer *(*get)(struct kvx_use *use),
		  void (*cut)(struct kvx_xfer *xfer));
int kvx_gate_wait(struct kvx_gate *gate);

#endif /* KVX_GATE_H */
