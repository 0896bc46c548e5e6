// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grants, and what is imported by them.
 *
 * A grant is in its layout's list from when its owner knows its key until it is revoked or the
 * layout is closed. Who has the key imports the layout: what it then holds is the grant. Revoking
 * closes the grant's gate; closing the layout closes the layout's, through which all transfers
 * pass, so that nothing needs to be told to those who have imported.
 */
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "abi.h"
#include "grant.h"
#include "kvx.h"
#include "layouts.h"
#include "peer.h"
#include "remote.h"
#include "serve.h"
#include "share.h"
#include "xfer.h"

static void kvx_grant_free(struct kref *ref)
{
	struct kvx_grant *grant = container_of(ref, struct kvx_grant, ref);

	kvx_share_free(grant);
	kvx_layout_put(grant->reg);
	kfree(grant);
}

/**
 * kvx_grant_new() - a right to a layout
 * @reg: the layout; the caller's reference is the grant's
 * @rights: KVXFER_GRANT_*
 * @first: the first block
 * @end: behind the last
 * @expires_ns: when it ends, by CLOCK_MONOTONIC; U64_MAX for never
 *
 * Context: process, may sleep.
 * Return: the grant, or NULL; then the reference is still the caller's.
 */
struct kvx_grant *kvx_grant_new(struct kvx_registered *reg, u32 rights, u32 first, u32 end,
				u64 expires_ns)
{
	struct kvx_grant *grant = kzalloc(sizeof(*grant), GFP_KERNEL_ACCOUNT);

	if (!grant)
		return NULL;
	kref_init(&grant->ref);
	INIT_LIST_HEAD(&grant->link);
	kvx_gate_init(&grant->gate, NULL);
	grant->reg = reg;
	grant->rights = rights;
	grant->first = first;
	grant->end = end;
	grant->expires_ns = expires_ns;
	return grant;
}

/**
 * kvx_grant_put() - drop a reference
 * @grant: the grant; may be NULL
 *
 * Context: process; may sleep, unless the caller has a reference to the layout.
 */
void kvx_grant_put(struct kvx_grant *grant)
{
	if (grant)
		kref_put(&grant->ref, kvx_grant_free);
}

/**
 * kvx_grant_key_is() - is it the key of a grant?
 * @grant: the grant
 * @key: what somebody says it is
 *
 * Context: any.
 * Return: true when it is.
 */
bool kvx_grant_key_is(const struct kvx_grant *grant, const u8 *key)
{
	u64 words[2];

	/* All of it is looked at, so that the time tells nothing. */
	memcpy(words, key, sizeof(words));
	return !((grant->key[0] ^ words[0]) | (grant->key[1] ^ words[1]));
}

/**
 * kvx_grant_find() - a grant of a layout
 * @reg: the layout
 * @key: whoever has it
 *
 * Context: process.
 * Return: the grant with a reference; or NULL.
 */
struct kvx_grant *kvx_grant_find(struct kvx_registered *reg, const u8 *key)
{
	struct kvx_grant *grant, *found = NULL;

	spin_lock(&reg->grants_lock);
	list_for_each_entry(grant, &reg->grants, link)
		if (kvx_grant_key_is(grant, key))
			found = grant;
	if (found)
		kref_get(&found->ref);
	spin_unlock(&reg->grants_lock);
	return found;
}

/* Take it from its layout's list, if it is there still, and with it the list's reference. */
static void kvx_grant_unlist(struct kvx_grant *grant)
{
	struct kvx_registered *reg = grant->reg;
	bool listed;

	spin_lock(&reg->grants_lock);
	listed = !list_empty(&grant->link);
	if (listed) {
		list_del_init(&grant->link);
		reg->nr_grants--;
	}
	spin_unlock(&reg->grants_lock);
	if (listed)
		kvx_grant_put(grant);
}

/**
 * kvx_grants_close() - a layout is closed: nobody imports it any more
 * @reg: the layout; the caller has a reference
 *
 * Context: process, may sleep.
 */
void kvx_grants_close(struct kvx_registered *reg)
{
	struct kvx_grant *grant;

	spin_lock(&reg->grants_lock);
	reg->grants_closed = true;
	while ((grant = list_first_entry_or_null(&reg->grants, struct kvx_grant, link))) {
		list_del_init(&grant->link);
		reg->nr_grants--;
		spin_unlock(&reg->grants_lock);
		kvx_serve_cut(grant, true);
		kvx_grant_put(grant);
		spin_lock(&reg->grants_lock);
	}
	spin_unlock(&reg->grants_lock);
}

/* Those whose time is over make room for others; who has imported them has them still. */
static void kvx_grants_prune(struct kvx_registered *reg)
{
	const u64 now = ktime_get_ns();
	struct kvx_grant *grant, *next;
	LIST_HEAD(over);

	spin_lock(&reg->grants_lock);
	list_for_each_entry_safe(grant, next, &reg->grants, link) {
		if (now < grant->expires_ns)
			continue;
		list_move(&grant->link, &over);
	}
	/* While it is not empty it would be taken for listed. */
	while (!list_empty(&over)) {
		grant = list_first_entry(&over, struct kvx_grant, link);
		list_del_init(&grant->link);
		reg->nr_grants--;
		spin_unlock(&reg->grants_lock);
		kvx_grant_put(grant);
		spin_lock(&reg->grants_lock);
	}
	spin_unlock(&reg->grants_lock);
}

/**
 * kvx_grant() - KVXFER_IOC_GRANT
 * @agent: who asks
 * @cmd: see &struct kvxfer_grant
 * @out: set to the grant, which kvx_granted() or kvx_grant_undo() must follow
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_grant(struct kvx_agent *agent, struct kvxfer_grant *cmd, struct kvx_grant **out)
{
	struct kvx_registered *reg = kvx_layout_get(agent, cmd->layout);
	struct kvx_grant *grant;
	u64 expires_ns;
	u32 blocks;
	int err;

	if (!reg)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_LAYOUT_UNKNOWN, cmd->layout);
	blocks = reg->layout.geo.num_blocks;
	if (!cmd->rights || cmd->rights & ~(KVXFER_GRANT_READ | KVXFER_GRANT_WRITE) ||
	    (cmd->rights & KVXFER_GRANT_WRITE && !reg->write)) {
		err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_GRANT_RIGHTS, cmd->rights);
		goto err_put;
	}
	if (cmd->first_block >= blocks || cmd->nr_blocks > blocks - cmd->first_block) {
		err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_GRANT_BLOCKS, blocks);
		goto err_put;
	}
	err = -ENOMEM;
	if (!cmd->expires_ns || check_add_overflow(ktime_get_ns(), cmd->expires_ns, &expires_ns))
		expires_ns = U64_MAX;
	grant = kvx_grant_new(reg, cmd->rights, cmd->first_block,
			      cmd->nr_blocks ? cmd->first_block + cmd->nr_blocks : blocks,
			      expires_ns);
	if (!grant)
		goto err_put;
	get_random_bytes(grant->key, sizeof(grant->key));
	if (READ_ONCE(reg->nr_grants) >= KVXFER_GRANTS_MAX)
		kvx_grants_prune(reg);
	spin_lock(&reg->grants_lock);
	if (reg->grants_closed)
		err = kvx_refuse(&cmd->hdr, -ESTALE, KVXFER_REASON_HANDLE_STALE, 0);
	else if (reg->nr_grants >= KVXFER_GRANTS_MAX)
		err = kvx_refuse(&cmd->hdr, -ENOSPC, KVXFER_REASON_GRANT_MANY, reg->nr_grants);
	else
		err = 0;
	reg->nr_grants += !err;
	spin_unlock(&reg->grants_lock);
	if (err) {
		kvx_grant_put(grant);
		return err;
	}
	memcpy(cmd->out_key, grant->key, sizeof(cmd->out_key));
	*out = grant;
	return 0;

err_put:
	kvx_layout_put(reg);
	return err;
}

/**
 * kvx_granted() - the owner has been told of a grant that it has just made
 * @agent: who asked
 * @grant: the grant; its layout has the reference
 *
 * Context: process, may sleep.
 */
void kvx_granted(struct kvx_agent *agent, struct kvx_grant *grant)
{
	struct kvx_registered *reg = grant->reg;
	bool closed;

	spin_lock(&reg->grants_lock);
	/* It may have been closed meanwhile, and then nobody takes it from the list. */
	closed = reg->grants_closed;
	if (!closed)
		list_add(&grant->link, &reg->grants);
	spin_unlock(&reg->grants_lock);
	if (closed)
		kvx_grant_undo(agent, grant);
}

/**
 * kvx_grant_undo() - the owner could not be told of a grant that it has just made
 * @agent: who asked
 * @grant: the grant
 *
 * Context: process, may sleep.
 */
void kvx_grant_undo(struct kvx_agent *agent, struct kvx_grant *grant)
{
	struct kvx_registered *reg = grant->reg;

	spin_lock(&reg->grants_lock);
	reg->nr_grants--;
	spin_unlock(&reg->grants_lock);
	kvx_grant_put(grant);
}

/**
 * kvx_revoke() - KVXFER_IOC_REVOKE
 * @agent: who asks
 * @cmd: see &struct kvxfer_revoke
 *
 * Context: process, may sleep until what runs is quiet.
 * Return: 0 or what the command promises.
 */
int kvx_revoke(struct kvx_agent *agent, struct kvxfer_revoke *cmd)
{
	struct kvx_registered *reg;
	struct kvx_grant *grant;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_revoke, reserved));
	if (err)
		return err;
	reg = kvx_layout_get(agent, cmd->layout);
	if (!reg)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_LAYOUT_UNKNOWN, cmd->layout);
	grant = kvx_grant_find(reg, cmd->key);
	if (!grant) {
		err = kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_GRANT_KEY, 0);
		goto out_put;
	}
	kvx_gate_close(&grant->gate);
	kvx_xfers_cut(&grant->gate);
	kvx_serve_cut(grant, true);
	/* Until it is quiet it stays in the list, so that this can be repeated. */
	if (kvx_gate_wait(&grant->gate))
		err = kvx_refuse(&cmd->hdr, -EINTR, KVXFER_REASON_INTERRUPTED, 0);
	else
		kvx_grant_unlist(grant);
	kvx_grant_put(grant);
out_put:
	kvx_layout_put(reg);
	return err;
}

/*
 * --- what an agent has imported -----------------------------------------------------------------
 */

static void kvx_import_free(struct kvx_import *import)
{
	struct kvx_grant *grant;
	unsigned long id;

	xa_for_each(&import->grants, id, grant) {
		kvx_grant_put(grant);
		cond_resched();
	}
	xa_destroy(&import->grants);
	if (import->peer) {
		kvx_peer_unwant(import->peer);
		kvx_peer_put(import->peer);
	}
	kfree(import);
}

static void kvx_imports_free(struct kvx_import *import)
{
	struct kvx_import *next;

	for (; import; import = next) {
		next = import->next;
		kvx_import_free(import);
		cond_resched();
	}
}

static struct kvx_import *kvx_import_new(const struct kvxfer_layout_import *cmd)
{
	struct kvx_import *import = kzalloc(sizeof(*import), GFP_KERNEL_ACCOUNT);

	if (!import)
		return NULL;
	import->worker_id = cmd->worker_id;
	import->epoch = cmd->epoch;
	xa_init_flags(&import->grants, XA_FLAGS_ACCOUNT);
	return import;
}

/**
 * kvx_import_find() - the grant behind a handle of another agent's
 * @agent: who has imported it
 * @worker_id: first word of the handle
 * @rest: second word
 * @err: set to -ENOENT or -ESTALE, when there is none
 *
 * Context: process, may sleep.
 * Return: the grant, with a reference; or NULL.
 */
struct kvx_grant *kvx_import_find(struct kvx_agent *agent, u64 worker_id, u64 rest, int *err)
{
	const u32 id = rest & ((1U << KVXFER_LAYOUT_ID_BITS) - 1);
	struct kvx_grant *grant = NULL;
	struct kvx_import *import;

	mutex_lock(&agent->imports_lock);
	*err = -ENOENT;
	for (import = xa_load(&agent->imports, worker_id); import; import = import->next) {
		*err = -ESTALE;
		if (import->epoch == rest >> KVXFER_LAYOUT_ID_BITS)
			break;
	}
	if (import) {
		*err = -ENOENT;
		grant = xa_load(&import->grants, id);
	}
	if (grant)
		kref_get(&grant->ref);
	mutex_unlock(&agent->imports_lock);
	return grant;
}

/* One layout of @other, for @import. */
static int kvx_import_one(struct kvx_import *import, struct kvx_agent *other,
			  const struct kvxfer_import *one, struct kvxfer_hdr *hdr, u32 index)
{
	struct kvx_registered *reg;
	struct kvx_grant *grant;
	int err;

	if (one->reserved)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_PEER_RESERVED, index);
	reg = kvx_layout_get(other, one->layout);
	if (!reg)
		return kvx_refuse(hdr, -ENOENT, KVXFER_REASON_PEER_LAYOUT, index);
	grant = kvx_grant_find(reg, one->key);
	kvx_layout_put(reg);
	if (!grant)
		return kvx_refuse(hdr, -EACCES, KVXFER_REASON_GRANT_KEY, index);
	err = xa_insert(&import->grants, one->layout, grant, GFP_KERNEL_ACCOUNT);
	if (err)
		kvx_grant_put(grant);
	return err == -EBUSY ? kvx_refuse(hdr, -EINVAL, KVXFER_REASON_PEER_LAYOUT, index) : err;
}

static int kvx_import_all(struct kvx_import *import, struct kvx_agent *other,
			  struct kvxfer_layout_import *cmd)
{
	const struct kvxfer_import __user *uimports = u64_to_user_ptr(cmd->imports);
	struct kvxfer_import one;
	int err = 0;
	u32 i;

	for (i = 0; i < cmd->nr_imports && !err; i++) {
		if (copy_from_user(&one, &uimports[i], sizeof(one)))
			return -EFAULT;
		err = kvx_import_one(import, other, &one, &cmd->hdr, i);
		cond_resched();
	}
	return err;
}

/* An import replaces one from the same node, and one from a node that has rebooted. */
static bool kvx_import_replaces(const struct kvx_import *import, const struct kvx_import *old)
{
	return old->peer == import->peer || (old->peer && READ_ONCE(old->peer->gone));
}

/* Link the imports to keep behind @import. Return the list of imports that @import replaces. */
static struct kvx_import *__kvx_imports_replace(struct kvx_import *import, struct kvx_import *old)
{
	struct kvx_import *dropped = NULL, **stay = &import->next, **drop = &dropped, *next;

	for (; old; old = next) {
		next = old->next;
		old->next = NULL;
		if (kvx_import_replaces(import, old)) {
			*drop = old;
			drop = &old->next;
		} else {
			*stay = old;
			stay = &old->next;
		}
	}
	return dropped;
}

/* Add @import to the table, unless its epoch is there already; @dropped are replaced imports. */
static int kvx_import_place(struct kvx_agent *agent, struct kvx_import *import,
			    struct kvxfer_hdr *hdr, struct kvx_import **dropped)
{
	struct kvx_import *first, *old;
	bool more = true;
	int err = 0;

	mutex_lock(&agent->imports_lock);
	first = xa_load(&agent->imports, import->worker_id);
	for (old = first; old && !err; old = old->next) {
		if (old->epoch == import->epoch)
			err = kvx_refuse(hdr, -EEXIST, KVXFER_REASON_PEER_LOADED, 0);
		more &= !kvx_import_replaces(import, old);
	}
	if (!err && more && agent->nr_imports >= KVXFER_PEERS_MAX)
		err = kvx_refuse(hdr, -ENOSPC, KVXFER_REASON_PEER_MANY, agent->nr_imports);
	if (!err)
		err = xa_err(xa_store(&agent->imports, import->worker_id, import,
				      GFP_KERNEL_ACCOUNT));
	if (!err) {
		agent->nr_imports++;
		*dropped = __kvx_imports_replace(import, first);
		for (old = *dropped; old; old = old->next)
			agent->nr_imports--;
	}
	mutex_unlock(&agent->imports_lock);
	return err;
}

/*
 * --- of another node ----------------------------------------------------------------------------
 */

static bool kvx_remotes_settled(struct kvx_peer *peer, struct kvx_remote **remotes, u32 nr)
{
	bool settled = READ_ONCE(peer->nr_ready);
	u32 i;

	if (READ_ONCE(peer->gone) || kvx_peer_is_lost(peer))
		return true;
	for (i = 0; i < nr && settled; i++)
		settled = kvx_remote_settled(remotes[i]);
	return settled;
}

/* Ask for all of them, and wait until the peer has answered. */
static int kvx_import_ask(struct kvx_peer *peer, struct kvxfer_layout_import *cmd,
			  struct kvx_remote **remotes, u32 *layouts)
{
	const struct kvxfer_import __user *uimports = u64_to_user_ptr(cmd->imports);
	const u64 timeout = nsecs_to_jiffies64(cmd->timeout_ns ?: KVX_CONNECT_NS);
	struct kvxfer_import one;
	long left;
	u32 i;

	for (i = 0; i < cmd->nr_imports; i++) {
		if (copy_from_user(&one, &uimports[i], sizeof(one)))
			return -EFAULT;
		if (one.reserved)
			return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_PEER_RESERVED, i);
		if (!one.layout || one.layout >> KVXFER_LAYOUT_ID_BITS)
			return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_PEER_LAYOUT, i);
		layouts[i] = one.layout;
		/* It will not be asked so much that it is left for that. */
		if (kvx_peer_is_behind(peer))
			return kvx_refuse(&cmd->hdr, -EHOSTUNREACH, KVXFER_REASON_PEER_REMOTE,
					  ENOBUFS);
		remotes[i] = kvx_remote_ask(peer, cmd->worker_id, cmd->epoch, one.layout, one.key);
		if (!remotes[i])
			return -ENOMEM;
		cond_resched();
	}
	left = wait_event_interruptible_timeout(peer->wait,
						kvx_remotes_settled(peer, remotes, cmd->nr_imports),
						min_t(u64, timeout + 1, MAX_SCHEDULE_TIMEOUT - 1));
	if (left < 0)
		return kvx_refuse(&cmd->hdr, -EINTR, KVXFER_REASON_INTERRUPTED, 0);
	return !left || READ_ONCE(peer->gone) || kvx_peer_is_lost(peer) ?
	       kvx_peer_refuse(peer, &cmd->hdr) : 0;
}

static int kvx_import_take(struct kvx_import *import, struct kvxfer_layout_import *cmd,
			   struct kvx_remote **remotes, const u32 *layouts)
{
	struct kvx_grant *grant;
	u32 i, reason;
	int err = 0;

	for (i = 0; i < cmd->nr_imports && !err; i++) {
		grant = kvx_remote_take(remotes[i], &err, &reason);
		if (!grant)
			return reason ? kvx_refuse(&cmd->hdr, err, reason, i) : err;
		remotes[i] = NULL;
		err = xa_insert(&import->grants, layouts[i], grant, GFP_KERNEL_ACCOUNT);
		if (err)
			kvx_grant_put(grant);
		if (err == -EBUSY)
			err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_PEER_LAYOUT, i);
	}
	return err;
}

static int kvx_import_from_peer(struct kvx_agent *agent, struct kvxfer_layout_import *cmd)
{
	struct kvx_import *import = NULL, *dropped = NULL;
	struct kvx_remote **remotes;
	struct kvx_peer *peer;
	u32 *layouts, i;
	int err;

	remotes = kvcalloc(cmd->nr_imports + 1, sizeof(*remotes), KVX_GFP_LIST);
	layouts = kvcalloc(cmd->nr_imports + 1, sizeof(*layouts), KVX_GFP_LIST);
	err = -ENOMEM;
	if (!remotes || !layouts)
		goto out_free;
	err = kvx_peer_want_from(agent, &cmd->hdr, cmd->boot_id, cmd->addresses,
				 cmd->nr_addresses, &peer);
	if (err)
		goto out_free;
	import = kvx_import_new(cmd);
	if (!import) {
		kvx_peer_unwant(peer);
		kvx_peer_put(peer);
		err = -ENOMEM;
		goto out_free;
	}
	import->peer = peer;
	err = kvx_import_ask(peer, cmd, remotes, layouts);
	if (!err)
		err = kvx_import_take(import, cmd, remotes, layouts);
	if (!err)
		err = kvx_import_place(agent, import, &cmd->hdr, &dropped);
	for (i = 0; i < cmd->nr_imports; i++)
		if (remotes[i])
			kvx_remote_forget(remotes[i]);
	kvx_imports_free(err ? import : dropped);
out_free:
	kvfree(layouts);
	kvfree(remotes);
	return err;
}

/**
 * kvx_layout_import() - KVXFER_IOC_LAYOUT_IMPORT
 * @agent: who asks
 * @cmd: see &struct kvxfer_layout_import
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_layout_import(struct kvx_agent *agent, struct kvxfer_layout_import *cmd)
{
	struct kvx_import *import, *dropped = NULL;
	struct kvx_agent *other;
	int err;

	err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved, sizeof(cmd->reserved),
				   offsetof(struct kvxfer_layout_import, reserved));
	if (!err)
		err = kvx_abi_check_unused(&cmd->hdr, &cmd->reserved2, sizeof(cmd->reserved2),
					   offsetof(struct kvxfer_layout_import, reserved2));
	if (err)
		return err;
	if (cmd->nr_imports > KVXFER_IMPORT_MAX)
		return kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_PEER_LAYOUTS,
				  KVXFER_IMPORT_MAX);
	if (cmd->boot_id != kvx_boot_id)
		return kvx_import_from_peer(agent, cmd);
	other = kvx_agent_find(cmd->worker_id);
	if (!other)
		return kvx_refuse(&cmd->hdr, -ESTALE, KVXFER_REASON_PEER_GONE, 0);
	if (other == agent)
		err = kvx_refuse(&cmd->hdr, -EINVAL, KVXFER_REASON_PEER_SELF, 0);
	else if (other->epoch != cmd->epoch)
		err = kvx_refuse(&cmd->hdr, -ESTALE, KVXFER_REASON_PEER_EPOCH, 0);
	if (err)
		goto out_put;
	import = kvx_import_new(cmd);
	err = -ENOMEM;
	if (!import)
		goto out_put;
	err = kvx_import_all(import, other, cmd);
	if (!err)
		err = kvx_who_met(agent, cmd->worker_id, other);
	if (!err)
		err = kvx_import_place(agent, import, &cmd->hdr, &dropped);
	kvx_imports_free(err ? import : dropped);
out_put:
	kvx_agent_put(other);
	return err;
}

static u64 kvx_import_boot_id(const struct kvx_import *import)
{
	return import->peer ? import->peer->boot_id : kvx_boot_id;
}

/**
 * kvx_layout_forget() - KVXFER_IOC_LAYOUT_FORGET
 * @agent: who asks
 * @cmd: see &struct kvxfer_layout_forget
 *
 * Context: process, may sleep.
 * Return: 0 or what the command promises.
 */
int kvx_layout_forget(struct kvx_agent *agent, struct kvxfer_layout_forget *cmd)
{
	struct kvx_import *import, *first, *before = NULL, *found = NULL, *found_before = NULL;
	u32 nr = 0;

	mutex_lock(&agent->imports_lock);
	first = xa_load(&agent->imports, cmd->worker_id);
	for (import = first; import; before = import, import = import->next) {
		if (cmd->boot_id && cmd->boot_id != kvx_import_boot_id(import))
			continue;
		nr++;
		found = import;
		found_before = before;
	}
	if (nr == 1 && found_before)
		found_before->next = found->next;
	else if (nr == 1 && found->next)
		/* In a place that is taken this cannot fail. */
		xa_store(&agent->imports, cmd->worker_id, found->next, GFP_KERNEL_ACCOUNT);
	else if (nr == 1)
		xa_erase(&agent->imports, cmd->worker_id);
	agent->nr_imports -= nr == 1;
	mutex_unlock(&agent->imports_lock);
	if (!nr)
		return kvx_refuse(&cmd->hdr, -ENOENT, KVXFER_REASON_PEER_UNKNOWN, 0);
	if (nr > 1)
		return kvx_refuse(&cmd->hdr, -ENOTUNIQ, KVXFER_REASON_WORKER_ID_AMBIGUOUS, nr);
	kvx_import_free(found);
	return 0;
}

/**
 * kvx_imports_drop() - an agent is closing
 * @agent: nobody uses it any more
 *
 * Context: process, may sleep.
 */
void kvx_imports_drop(struct kvx_agent *agent)
{
	struct kvx_import *import;
	unsigned long worker_id;

	xa_for_each(&agent->imports, worker_id, import)
		kvx_imports_free(import);
	xa_destroy(&agent->imports);
}
