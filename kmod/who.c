// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who a worker_id means, for those who send to it.
 *
 * A worker_id is a number that programs choose: an agent of this node can have the same as one of
 * another node that was imported, and anybody can take that of an agent that has ended. With the
 * epoch, of a handle, one agent is meant and no other. Without it a worker_id must not mean two,
 * and what was said to one user does not go to another who has taken the number.
 */
#include "abi.h"
#include "grant.h"
#include "kvx.h"
#include "peer.h"

/* How many an agent remembers. */
#define KVX_MET_MAX	4096

/* As the table of those that were met has it. */
static void *kvx_who_user(const struct kvx_agent *other)
{
	return xa_mk_value(from_kuid(&init_user_ns, other->uid));
}

/**
 * kvx_who_met() - an agent has to do with one of this node
 * @agent: the agent
 * @worker_id: by which number
 * @other: with whom
 *
 * Context: process, may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvx_who_met(struct kvx_agent *agent, u64 worker_id, const struct kvx_agent *other)
{
	unsigned long first = 0;
	void *before;

	mutex_lock(&agent->imports_lock);
	/* Of very many, some are forgotten: nobody is to have the kernel remember without end. */
	if (agent->nr_met >= KVX_MET_MAX && xa_find(&agent->met, &first, ULONG_MAX, XA_PRESENT)) {
		xa_erase(&agent->met, first);
		agent->nr_met--;
	}
	before = xa_store(&agent->met, worker_id, kvx_who_user(other), GFP_KERNEL_ACCOUNT);
	if (!before)
		agent->nr_met++;
	mutex_unlock(&agent->imports_lock);
	return xa_err(before);
}

/**
 * kvx_who_drop() - an agent is closing
 * @agent: nobody uses it any more
 *
 * Context: process.
 */
void kvx_who_drop(struct kvx_agent *agent)
{
	xa_destroy(&agent->met);
}

/*
 * Which of the agents of other nodes that were imported? @nr is set to how many it could be. Of a
 * node that was started anew, one counts only if there is no other.
 */
static struct kvx_import *__kvx_who_far(struct kvx_agent *agent, u64 worker_id, u64 epoch, u32 *nr)
{
	struct kvx_import *import, *found = NULL;
	u32 gone = 0;

	lockdep_assert_held(&agent->imports_lock);
	*nr = 0;
	for (import = xa_load(&agent->imports, worker_id); import; import = import->next) {
		if (!import->peer || (epoch && import->epoch != epoch))
			continue;
		if (READ_ONCE(import->peer->gone)) {
			gone++;
			found = found ?: import;
		} else {
			++*nr;
			found = import;
		}
	}
	*nr = *nr ?: min(gone, 1U);
	return found;
}

static int kvx_who_here(struct kvx_agent *agent, struct kvx_agent *here, u64 worker_id, u64 epoch,
			u32 unknown, struct kvxfer_hdr *hdr)
{
	const void *met;

	if (!here || (epoch && epoch != here->epoch))
		return kvx_refuse(hdr, -ENOENT, unknown, 0);
	if (epoch)
		return 0;
	met = xa_load(&agent->met, worker_id);
	if (!met)
		return kvx_who_met(agent, worker_id, here);
	return met == kvx_who_user(here) ? 0 :
	       kvx_refuse(hdr, -ESTALE, KVXFER_REASON_WORKER_ID_CHANGED, 0);
}

/**
 * kvx_who_find() - the agent that is meant
 * @agent: who means it
 * @worker_id: its number
 * @epoch: its epoch; 0 when that was not said
 * @want: its node is to be wanted, for kvx_peer_unwant()
 * @unknown: the reason when there is none
 * @hdr: where a refusal is noted
 * @who: to be filled in, with references: either @here or @peer
 *
 * Context: process, may sleep.
 * Return: 0; -ENOENT with @unknown; -ENOTUNIQ when it could mean two; -ESTALE when it has become
 * another user's; or -ENOMEM.
 */
int kvx_who_find(struct kvx_agent *agent, u64 worker_id, u64 epoch, bool want, u32 unknown,
		 struct kvxfer_hdr *hdr, struct kvx_who *who)
{
	struct kvx_import *import;
	u32 nr;
	int err;

	*who = (struct kvx_who){ .here = kvx_agent_find(worker_id) };
	mutex_lock(&agent->imports_lock);
	import = __kvx_who_far(agent, worker_id, epoch, &nr);
	if (nr == 1 && (epoch || !who->here)) {
		who->peer = import->peer;
		who->epoch = import->epoch;
		kref_get(&who->peer->ref);
		/* While the import does, so that nobody forgets it in between. */
		if (want)
			kvx_peer_want_too(who->peer);
	}
	mutex_unlock(&agent->imports_lock);
	if (who->peer) {
		err = 0;
	} else if (!epoch && nr + !!who->here > 1) {
		err = kvx_refuse(hdr, -ENOTUNIQ, KVXFER_REASON_WORKER_ID_AMBIGUOUS,
				 nr + !!who->here);
	} else {
		err = kvx_who_here(agent, who->here, worker_id, epoch, unknown, hdr);
		if (!err)
			who->epoch = who->here->epoch;
	}
	if (who->here && (err || who->peer)) {
		kvx_agent_put(who->here);
		who->here = NULL;
	}
	return err;
}
