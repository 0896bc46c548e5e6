// SPDX-License-Identifier: GPL-2.0-only
/* Waiting for transfers: one, any, all. */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "kvx.h"
#include "xfer.h"

/* What a waiting thread waits for. */
struct kvx_xfer_set {
	struct kvx_xfer **xfers;
	u32 nr;
	u32 ended;
	u32 first;
	bool any;
};

/* Those before @first have all been seen to have ended when all are waited for. */
static bool kvx_xfer_set_ready(struct kvx_xfer_set *set)
{
	u32 i;

	if (!set->any) {
		while (set->ended < set->nr && kvx_xfer_has_ended(set->xfers[set->ended]))
			set->ended++;
		return set->ended == set->nr;
	}
	for (i = 0; i < set->nr; i++)
		if (kvx_xfer_has_ended(set->xfers[i])) {
			set->first = i;
			return true;
		}
	return false;
}

/* How many, and which first: as it is now, or was when one was seen to have ended. */
static void kvx_xfer_set_count(struct kvx_xfer_set *set)
{
	u32 i;

	set->ended = 0;
	for (i = set->nr; i > 0; i--)
		if (kvx_xfer_has_ended(set->xfers[i - 1])) {
			set->ended++;
			set->first = i - 1;
		}
}

static int kvx_xfer_set_find(struct kvx_agent *agent, struct kvx_xfer_set *set,
			     struct kvxfer_xfer_wait *cmd)
{
	const u32 __user *uids = u64_to_user_ptr(cmd->xfers);
	struct kvx_xfer *xfer;
	u32 id;

	for (; set->nr < cmd->nr; set->nr++) {
		if (get_user(id, &uids[set->nr]))
			return -EFAULT;
		xfer = kvx_xfer_get(agent, id);
		if (!xfer)
			return kvx_xfer_unknown(&cmd->hdr, set->nr);
		set->xfers[set->nr] = xfer;
		if (READ_ONCE(xfer->state) == KVXFER_XFER_IDLE) {
			set->nr++;
			return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_XFER_STATE,
					  KVXFER_XFER_IDLE);
		}
	}
	return 0;
}

static int kvx_xfer_set_report(const struct kvx_xfer_set *set, u64 results)
{
	struct kvxfer_completion __user *uresults = u64_to_user_ptr(results);
	struct kvxfer_completion result;
	u32 i;

	for (i = 0; results && i < set->nr; i++) {
		kvx_xfer_report(set->xfers[i], &result);
		if (copy_to_user(&uresults[i], &result, sizeof(result)))
			return -EFAULT;
	}
	return 0;
}

/* Returns 0, -EINTR or -ETIME. */
static int kvx_xfer_set_wait(struct kvx_agent *agent, struct kvx_xfer_set *set, u64 timeout_ns)
{
	int err;

	if (kvx_xfer_set_ready(set))
		return 0;
	/* A look is no wait: no signal ends it. */
	if (!timeout_ns)
		return -ETIME;
	if (timeout_ns > KTIME_MAX)
		err = wait_event_interruptible(agent->wait, kvx_xfer_set_ready(set));
	else
		err = wait_event_interruptible_hrtimeout(agent->wait, kvx_xfer_set_ready(set),
							 ns_to_ktime(timeout_ns));
	return err == -ERESTARTSYS ? -EINTR : err;
}

/**
 * kvx_xfer_wait() - KVXFER_IOC_XFER_WAIT
 * @agent: who asks
 * @cmd: see &struct kvxfer_xfer_wait
 *
 * Context: process, may sleep for as long as the command says.
 * Return: 0 or what the command promises.
 */
int kvx_xfer_wait(struct kvx_agent *agent, struct kvxfer_xfer_wait *cmd)
{
	struct kvx_xfer_set set = { .any = cmd->hdr.flags & KVXFER_XFER_WAIT_ANY };
	struct kvx_xfer *few[8];
	int err, report;

	if (!cmd->nr)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_XFER_EMPTY, 0);
	if (cmd->nr > KVXFER_XFERS_MAX)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_XFER_IDS, 0);
	set.xfers = few;
	if (cmd->nr > ARRAY_SIZE(few)) {
		set.xfers = kvmalloc_array(cmd->nr, sizeof(*set.xfers), KVX_GFP_LIST);
		if (!set.xfers)
			return -ENOMEM;
	}
	err = kvx_xfer_set_find(agent, &set, cmd);
	if (!err) {
		err = kvx_xfer_set_wait(agent, &set, cmd->timeout_ns);
		kvx_xfer_set_count(&set);
		cmd->out_ended = set.ended;
		cmd->out_index = set.first;
		cmd->out_reserved = 0;
		if (err == -ETIME)
			kvx_refuse(&cmd->hdr, err, KVXFER_REASON_XFER_TIMEOUT, set.ended);
		report = kvx_xfer_set_report(&set, cmd->results);
		if (!err)
			err = report;
	}
	while (set.nr)
		kvx_xfer_put(set.xfers[--set.nr]);
	if (set.xfers != few)
		kvfree(set.xfers);
	return err;
}
