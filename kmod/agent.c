// SPDX-License-Identifier: GPL-2.0-only
/*
 * Agents: who has the device open.
 *
 * An agent is found by its id (kvx_agents) and by its worker_id (kvx_workers). Both tables hold no
 * reference: an agent leaves them in kvx_agent_close(), before the file's reference is dropped, so
 * that what a table holds is alive for as long as kvx_agents_lock is held.
 */
#include <linux/hashtable.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "abi.h"
#include "compat.h"
#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "peer.h"
#include "pool.h"
#include "quota.h"
#include "rdma/net.h"
#include "rdma/rdma.h"
#include "ring.h"
#include "trace.h"
#include "watch.h"
#include "xfer.h"

#define KVX_AGENTS_MAX_DEFAULT	65536
#define KVX_WORKERS_HASH_BITS	10

static unsigned int max_agents = KVX_AGENTS_MAX_DEFAULT;
module_param(max_agents, uint, 0644);
MODULE_PARM_DESC(max_agents, "how many opens of /dev/kvxfer may exist at once on this node");

static DEFINE_MUTEX(kvx_agents_lock);
static DEFINE_XARRAY_ALLOC1(kvx_agents);
static DEFINE_HASHTABLE(kvx_workers, KVX_WORKERS_HASH_BITS);
static unsigned int kvx_agents_count;
static u32 kvx_agent_id_last;
static u64 kvx_epoch_last;
static struct workqueue_struct *kvx_agent_wq;

static struct kvx_agent *__kvx_worker_find(u64 worker_id)
{
	struct kvx_agent *agent;

	lockdep_assert_held(&kvx_agents_lock);
	hash_for_each_possible(kvx_workers, agent, hash, worker_id)
		if (agent->worker_id == worker_id)
			return agent;
	return NULL;
}

/* Until it has somewhere to be told from another, any number that is free will do. */
static u64 __kvx_worker_id_random(void)
{
	u64 worker_id;

	do {
		worker_id = get_random_u64();
	} while (__kvx_worker_find(worker_id));
	return worker_id;
}

/* A process may call itself anything: keep of its name what a name may hold. */
static void kvx_agent_name_from_task(char name[KVXFER_NAME_MAX])
{
	struct kvxfer_hdr hdr = {};
	char comm[TASK_COMM_LEN] = {};

	get_task_comm(comm, current);
	while (kvx_abi_check_name(&hdr, comm, sizeof(comm)) &&
	       hdr.reason == KVXFER_REASON_NAME_CHAR)
		comm[hdr.index] = '?';
	strscpy_pad(name, comm[0] ? comm : "?", KVXFER_NAME_MAX);
}

/*
 * All that it owned went when it was closed, but for what is mapped: the states, of which a
 * transfer that is being released writes its own until it is no more, and the ring.
 */
static void kvx_agent_free_work(struct work_struct *work)
{
	struct kvx_agent *agent = container_of(work, struct kvx_agent, free_work);

	kvx_states_free(agent);
	kvx_ring_free(agent);
	put_pid(agent->pid);
	mutex_destroy(&agent->imports_lock);
	kfree(agent);
}

/**
 * kvx_agent_open() - make an agent for a file that is being opened
 *
 * Context: process, may sleep.
 * Return: the agent with one reference, to be given back by kvx_agent_close(); or ERR_PTR: -ENOMEM,
 * or -ENFILE when max_agents are open.
 */
struct kvx_agent *kvx_agent_open(void)
{
	struct kvx_agent *agent;
	int err;

	agent = kzalloc(sizeof(*agent), GFP_KERNEL_ACCOUNT);
	if (!agent)
		return ERR_PTR(-ENOMEM);
	kref_init(&agent->ref);
	INIT_WORK(&agent->free_work, kvx_agent_free_work);
	init_waitqueue_head(&agent->wait);
	xa_init_flags(&agent->pools, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	xa_init_flags(&agent->layouts, XA_FLAGS_ACCOUNT);
	xa_init_flags(&agent->imports, XA_FLAGS_ACCOUNT);
	xa_init_flags(&agent->connects, XA_FLAGS_ACCOUNT);
	mutex_init(&agent->imports_lock);
	xa_init_flags(&agent->met, XA_FLAGS_ACCOUNT);
	xa_init_flags(&agent->xfers, XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT);
	kvx_notes_init(&agent->notes);
	kvx_messages_init(&agent->messages);
	kvx_copy_queue_init(&agent->copies);
	kvx_agent_name_from_task(agent->name);
	agent->pid = get_pid(task_tgid(current));
	agent->uid = current_uid();

	agent->net = kvx_net_open(current->nsproxy->net_ns);
	if (IS_ERR(agent->net)) {
		err = PTR_ERR(agent->net);
		goto err_free;
	}

	mutex_lock(&kvx_agents_lock);
	if (kvx_agents_count >= READ_ONCE(max_agents)) {
		pr_warn_ratelimited("%s (pid %d) refused: %u agents are open, and max_agents is %u\n",
				    agent->name, task_tgid_nr(current), kvx_agents_count,
				    READ_ONCE(max_agents));
		err = -ENFILE;
		goto err_unlock;
	}
	err = xa_alloc_cyclic(&kvx_agents, &agent->id, agent, xa_limit_31b, &kvx_agent_id_last,
			      GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto err_unlock;
	kvx_epoch_last = kvx_epoch_after(kvx_epoch_last);
	agent->epoch = kvx_epoch_last;
	agent->worker_id = __kvx_worker_id_random();
	hash_add(kvx_workers, &agent->hash, agent->worker_id);
	kvx_agents_count++;
	trace_kvx_agent_open(agent);
	mutex_unlock(&kvx_agents_lock);
	return agent;

err_unlock:
	mutex_unlock(&kvx_agents_lock);
	kvx_net_close(agent->net);
err_free:
	put_pid(agent->pid);
	kfree(agent);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_IF_KUNIT(kvx_agent_open);

/* Perhaps under a lock, of a note's sender: not the place to free a ring. */
static void kvx_agent_free(struct kref *ref)
{
	queue_work(kvx_agent_wq, &container_of(ref, struct kvx_agent, ref)->free_work);
}

/**
 * kvx_agent_put() - drop a reference
 * @agent: the agent
 *
 * Context: any.
 */
void kvx_agent_put(struct kvx_agent *agent)
{
	kref_put(&agent->ref, kvx_agent_free);
}

/**
 * kvx_agent_close() - its file is gone: nobody finds the agent any more
 * @agent: the agent; the file's reference goes with this call
 *
 * Context: process, may sleep.
 */
void kvx_agent_close(struct kvx_agent *agent)
{
	mutex_lock(&kvx_agents_lock);
	trace_kvx_agent_close(agent);
	hash_del(&agent->hash);
	xa_erase(&kvx_agents, agent->id);
	kvx_agents_count--;
	mutex_unlock(&kvx_agents_lock);
	kvx_notes_close(agent);
	kvx_messages_close(agent);
	kvx_xfers_drop(agent);
	kvx_watches_tell(agent);
	kvx_imports_drop(agent);
	kvx_who_drop(agent);
	kvx_connects_drop(agent);
	kvx_layouts_drop(agent);
	kvx_pools_drop(agent);
	kvx_net_close(agent->net);
	kvx_agent_put(agent);
}
EXPORT_SYMBOL_IF_KUNIT(kvx_agent_close);

/**
 * kvx_agent_query() - KVXFER_IOC_QUERY
 * @agent: who asks
 * @cmd: see &struct kvxfer_query
 *
 * Context: process, may sleep.
 * Return: 0.
 */
int kvx_agent_query(struct kvx_agent *agent, struct kvxfer_query *cmd)
{
	cmd->out_abi_version = KVXFER_ABI_VERSION;
	cmd->out_size_max = KVXFER_SIZE_MAX;
	cmd->out_features = KVXFER_FEATURE_AGENT | KVXFER_FEATURE_POOL |
			    KVXFER_FEATURE_DMABUF | KVXFER_FEATURE_LAYOUT |
			    KVXFER_FEATURE_XFER | KVXFER_FEATURE_GRANT | KVXFER_FEATURE_NOTE |
			    KVXFER_FEATURE_MSG;
	if (kvx_has_rdma)
		cmd->out_features |= KVXFER_FEATURE_RDMA;
	cmd->out_boot_id = kvx_boot_id;
	cmd->out_epoch = agent->epoch;
	cmd->out_agent_id = agent->id;
	cmd->out_agents_max = READ_ONCE(max_agents);
	cmd->out_name_max = KVXFER_NAME_MAX;
	strscpy_pad(cmd->out_version, KVX_VERSION, sizeof(cmd->out_version));
	kvx_quota_query(cmd);
	mutex_lock(&kvx_agents_lock);
	cmd->out_worker_id = agent->worker_id;
	cmd->out_agents = kvx_agents_count;
	memcpy(cmd->out_name, agent->name, sizeof(cmd->out_name));
	mutex_unlock(&kvx_agents_lock);
	return 0;
}

/**
 * kvx_agent_set() - KVXFER_IOC_AGENT_SET
 * @agent: who asks
 * @cmd: see &struct kvxfer_agent_set
 *
 * Context: process, may sleep.
 * Return: 0, -EINVAL, -EEXIST when another agent has the worker_id, or -EBUSY when handles hold the
 * one that the agent has.
 */
int kvx_agent_set(struct kvx_agent *agent, struct kvxfer_agent_set *cmd)
{
	const bool set_name = cmd->hdr.flags & KVXFER_AGENT_SET_NAME;
	const bool set_worker_id = cmd->hdr.flags & KVXFER_AGENT_SET_WORKER_ID;
	struct kvx_agent *holder;
	int err;

	if (!set_worker_id) {
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->worker_id, sizeof(cmd->worker_id),
					   offsetof(struct kvxfer_agent_set, worker_id));
		if (err)
			return err;
	}
	if (set_name)
		err = kvx_abi_check_name(&cmd->hdr, cmd->name, sizeof(cmd->name));
	else
		err = kvx_abi_check_unused(&cmd->hdr, cmd->name, sizeof(cmd->name),
					   offsetof(struct kvxfer_agent_set, name));
	if (err)
		return err;

	mutex_lock(&kvx_agents_lock);
	if (set_worker_id) {
		holder = __kvx_worker_find(cmd->worker_id);
		if (holder && holder != agent) {
			err = kvx_refuse(&cmd->hdr, -EEXIST, KVXFER_REASON_WORKER_ID_TAKEN,
					 holder->id);
			goto out_unlock;
		}
		if (agent->worker_id_used && !holder) {
			err = kvx_refuse(&cmd->hdr, -EBUSY, KVXFER_REASON_WORKER_ID_USED, 0);
			goto out_unlock;
		}
		hash_del(&agent->hash);
		agent->worker_id = cmd->worker_id;
		hash_add(kvx_workers, &agent->hash, agent->worker_id);
	}
	if (set_name)
		strscpy_pad(agent->name, cmd->name, sizeof(agent->name));
	trace_kvx_agent_set(agent);
out_unlock:
	mutex_unlock(&kvx_agents_lock);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(kvx_agent_set);

/**
 * kvx_agent_fix_worker_id() - its worker_id goes into a handle: from now on it stays
 * @agent: the agent
 *
 * Context: process, may sleep.
 * Return: the worker_id.
 */
u64 kvx_agent_fix_worker_id(struct kvx_agent *agent)
{
	u64 worker_id;

	mutex_lock(&kvx_agents_lock);
	agent->worker_id_used = true;
	worker_id = agent->worker_id;
	mutex_unlock(&kvx_agents_lock);
	return worker_id;
}

/**
 * kvx_agent_find() - the agent that has a worker_id
 * @worker_id: the number
 *
 * Context: process, may sleep.
 * Return: the agent, with a reference; or NULL.
 */
struct kvx_agent *kvx_agent_find(u64 worker_id)
{
	struct kvx_agent *agent;

	mutex_lock(&kvx_agents_lock);
	agent = __kvx_worker_find(worker_id);
	if (agent)
		kref_get(&agent->ref);
	mutex_unlock(&kvx_agents_lock);
	return agent;
}

static u32 kvx_count(struct xarray *xa)
{
	unsigned long index;
	void *entry;
	u32 nr = 0;

	xa_for_each(xa, index, entry) {
		nr++;
		cond_resched();
	}
	return nr;
}

/**
 * kvx_agent_look_after() - what is to be seen of one agent after the other
 * @id: the number of the one before; 0 for the first
 * @view: to be filled in
 *
 * Context: process, may sleep.
 * Return: false when there are no more.
 */
bool kvx_agent_look_after(unsigned long id, struct kvx_agent_view *view)
{
	struct kvx_agent *agent;

	mutex_lock(&kvx_agents_lock);
	agent = xa_find_after(&kvx_agents, &id, ULONG_MAX, XA_PRESENT);
	if (agent) {
		kref_get(&agent->ref);
		view->id = agent->id;
		view->worker_id = agent->worker_id;
		memcpy(view->name, agent->name, sizeof(view->name));
	}
	mutex_unlock(&kvx_agents_lock);
	if (!agent)
		return false;
	view->epoch = agent->epoch;
	view->pid = pid_nr(agent->pid);
	view->uid = from_kuid_munged(&init_user_ns, agent->uid);
	view->pools = kvx_count(&agent->pools);
	view->layouts = kvx_count(&agent->layouts);
	view->xfers = kvx_count(&agent->xfers);
	view->notes = READ_ONCE(agent->notes.nr);
	kvx_agent_put(agent);
	return true;
}

/**
 * kvx_agents_init() - before the first open
 *
 * Return: 0 or -ENOMEM.
 */
int kvx_agents_init(void)
{
	/* Epochs of this load of the module are unlikely to be those of another. */
	kvx_epoch_last = get_random_u64();
	kvx_agent_wq = alloc_workqueue("kvxfer_agent", WQ_UNBOUND, 0);
	return kvx_agent_wq ? 0 : -ENOMEM;
}

/**
 * kvx_agents_exit() - after the last close
 */
void kvx_agents_exit(void)
{
	destroy_workqueue(kvx_agent_wq);
	WARN_ON_ONCE(kvx_agents_count);
	xa_destroy(&kvx_agents);
}
