/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the module's files know of each other.
 *
 * DOC: Locking
 *
 * Locks are taken in this order, the first first:
 *
 * mmap_lock of an address space
 *	Not ours, but held when a mapping comes or goes. So no user memory is touched under ours.
 *
 * kvx_agents_lock (mutex, agent.c)
 *	The table of agents, the hash of worker_ids, and the name and worker_id of every agent.
 *	Process context only.
 *
 * The lock of a memfd's inode, and inside kvx_memfds_lock (mutex, memfd.c)
 *	Not ours, taken when a memfd becomes a pool. Which memfds are pools. Process context only.
 *
 * kvx_pools_lock (mutex, pool.c)
 *	The table of pools and the hash of their names. Process context only.
 *
 * kvx_nets_change, kvx_nets_lock (mutexes, rdma/net.c)
 *	Which network namespaces agents are in; where is listened there. Who sets a port has the
 *	second only, and is waited for under the first. The connection manager's locks are inside,
 *	its handlers take neither. Process context only.
 *
 * kvx_peers_lock (mutex, peer.c)
 *	The table of peers. Their connect works, which are waited for under it, do not take it.
 *	Process context only.
 *
 * kvx_rail.adopt (mutex, rail.c)
 *	Held while a link of a rail is begun, or the rail is closed for more. Taken in the
 *	connection manager's handlers. Process context only.
 *
 * kvx_peer.rx_lock (mutex, msg.c)
 *	Held while a numbered frame is taken. What waits for a device is not done under it: the
 *	device tells where this is taken. Process context only.
 *
 * kvx_hold.lock (mutex, serve.c)
 *	By which devices a peer reaches a grant. Held while a device makes keys, so it is never
 *	taken where devices tell that they have done something. Process context only.
 *
 * kvx_serve_lock (mutex, serve.c)
 *	Who has which grant. Process context only.
 *
 * kvx_pool.dev_maps_lock, kvx_map.lock, kvx_dev.lock, kvx_devs_lock (mutexes, rdma/)
 *	How devices see a pool; what reads on iWARP write through, held while a device makes keys;
 *	what a device reaches; which devices there are. Process context only.
 *
 * kvx_export.lock (mutex, dmabuf.c)
 *	Who has attached a dma-buf of a pool. Taken inside the dma-buf's reservation lock when it is
 *	mapped for a device, without it when a device comes or goes or the CPU begins and ends; no
 *	lock of ours is taken inside. Process context only.
 *
 * kvx_pool.cpu_lock (mutex, dmabuf.c)
 *	Who uses a dma-buf's mapping. The exporter's locks are inside. Process context only.
 *
 * kvx_quota_lock (mutex, quota.c)
 *	The users' accounts. Process context only.
 *
 * xa_lock of struct kvx_agent.pools, .layouts, .imports, .met, .connects and .xfers (spinlocks)
 *	The pools that the agent has open; its layouts; what it has imported; whom it has met; the
 *	nodes it wants to be connected with; its transfers. None is taken inside another. Process
 *	context only.
 *
 * kvx_registered.grants_lock (spinlock, grant.c)
 *	The list of a layout's grants. Process context only.
 *
 * kvx_gate.lock (spinlock, gate.c)
 *	Who has joined a gate, and who is inside. Nothing is taken inside but references. Process
 *	context only.
 *
 * kvx_xfer.lock (spinlock, xfer.c)
 *	Where a transfer is, and what it has for its run. How a run ends is told under it: to the
 *	ring and to the note's receiver, so both of their locks are inside. Process context only.
 *
 * kvx_ring.lock (spinlock, ring.c), kvx_notes.lock (spinlock, note.c), kvx_cost_lock (cost.c)
 *	An agent's completions; its notes; what transfers took. None is taken inside another of
 *	these. Process context only.
 *
 * kvx_messages.lock (spinlock, message.c)
 *	What waits in an agent's mailboxes, and what has met. Nothing is taken inside but
 *	references. Process context only.
 *
 * kvx_watch_lock (spinlock, watch.c)
 *	Room for messages, by whose messages it waits for; which peers are told of which agents.
 *	Nothing is taken inside. Process context only.
 *
 * xa_lock of struct kvx_peer.sends and .offers (spinlocks, message_far.c)
 *	Messages to a peer and from it, until they have ended. Nothing is taken inside. Process
 *	context only.
 *
 * kvx_copy_lock (spinlock, copy.c), kvx_copy_part.lock (spinlock, copy.c)
 *	Which copies wait for a CPU; the bytes that one CPU writes. Neither is taken inside another
 *	lock of ours. Process context only.
 *
 * kvx_peer.flow_lock (spinlock, rdma/flow.c)
 *	What waits for a lane to a peer, and how much of each is on its way; which lost rails it
 *	waits for. Nothing is taken inside. Process context only.
 *
 * kvx_strangers_lock (spinlock, rdma/stranger.c)
 *	The rails that others asked for and that are not ready. Nothing is taken inside. Process
 *	context only.
 *
 * kvx_key_lock (mutex, key.c)
 *	The cluster key. Nothing is taken inside. Process context only.
 *
 * kvx_peer.lock, kvx_remote.lock, kvx_lane.lock, kvx_rail.lock, kvx_link.lock (spinlocks)
 *	What is known of a peer, with its rails and the frames that go to it; a layout of a peer's;
 *	a lane's room; how far a rail has come; and whether a queue pair may be posted on. Process
 *	context only: completions are told by workers.
 *
 * DOC: Lifetimes
 *
 * struct kvx_agent
 *	A kref. The open file holds one reference; whoever else keeps a pointer beyond a command
 *	holds another, and so does a mapping of its ring or states: of the struct, which owns
 *	nothing once the file is closed. Closing removes the agent from the tables first, so no new
 *	reference is taken. The last reference may be dropped under a spinlock: a work frees it.
 *
 * struct kvx_pool
 *	A kref, see pool.c. Pools hold the module, agents (being files) do as well.
 *
 * struct kvx_registered
 *	A layout. A kref, see layouts.c. It holds its pools until its gate is quiet.
 *
 * struct kvx_grant
 *	A kref. The list of its layout holds one reference, each import and each transfer another.
 *	It holds its layout.
 *
 * struct kvx_xfer
 *	A kref, see xfer.c. It holds its agent, layouts and grants; its agent's table holds it until
 *	it is released and quiet; the agent's closing releases all and waits for that. Each run
 *	holds it, too.
 *
 * struct kvx_peer
 *	A kref. The table holds one reference; rails, remotes, what is served and flows hold others.
 *
 * struct kvx_rail
 *	A kref, the first its own until it has ended: then its device does nothing for it any more.
 *	One that was lost with what it wrote is held by its peer until the other end is over, too.
 *
 * struct kvx_net
 *	A kref: of the agents in it together, which goes when after the last of them its rails have
 *	ended; and of each rail. Only until then it has its namespace.
 *
 * struct kvx_remote
 *	A kref: of its peer's table and of its layout. The layout's end takes it from the table.
 *
 * struct kvx_dev
 *	A kref. Its removal waits for its users, which rails are.
 *
 * struct kvx_note
 *	Has one owner at a time, and holds its sender and its receiver.
 *
 * struct kvx_message
 *	Is a part of its transfer. It holds the other agent or its peer, and while it runs what it
 *	has met.
 *
 * struct kvx_offer
 *	A message, as its receiver has it. A kref: of whoever is to end it, of its sender and of
 *	what it has met. It holds its receiver, and the peer that it came from.
 *
 * struct kvx_export
 *	Lives as long as its dma-buf, and holds its pool.
 */
#ifndef KVX_H
#define KVX_H

#include <linux/gfp.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/xarray.h>
#include <linux/kvxfer.h>

#include "copy.h"
#include "message.h"
#include "note.h"

struct kvx_net;
struct kvx_ring;
struct pid;

/* For what is as large as a user wants: that it cannot be had is told the user, not the log. */
#define KVX_GFP_LIST	(GFP_KERNEL_ACCOUNT | __GFP_NOWARN)

/**
 * struct kvx_agent - one open /dev/kvxfer
 * @ref: see DOC: Lifetimes
 * @id: number on this node, for people; never 0
 * @epoch: new for each open, KVXFER_EPOCH_BITS wide, never 0
 * @worker_id: unique on this node; under kvx_agents_lock
 * @name: padded with NUL; under kvx_agents_lock
 * @pid: of the process that opened it
 * @uid: of its user
 * @net: the network namespace that it was opened in
 * @hash: link in the hash of worker_ids; under kvx_agents_lock
 * @worker_id_used: handles hold its worker_id; under kvx_agents_lock
 * @pools: the pools it has open, by their numbers in it
 * @layouts: the layouts it has registered, by their ids
 * @layout_ids: how many ids have been given; they are never given again
 * @imports: what it has imported of other agents, by their worker_ids
 * @connects: the nodes that it wants to be connected with, by their boot ids
 * @nr_connects: how many those are
 * @nr_imports: how many agents those are
 * @imports_lock: held while these are used
 * @met: users of agents of this node that it has had to do with, by worker_ids; see who.c
 * @nr_met: how many; under @imports_lock
 * @free_work: frees it, when the last reference has gone
 * @xfers: its transfers, by the slots of their numbers
 * @xfer_last: the last number that a transfer was given
 * @states: pages of the transfers' states, as they are shown; see ring.c
 * @ring: its completions; set once
 * @notes: that have come, and how many of its own are on their way
 * @messages: that others send it
 * @copies: its copies that wait for a CPU
 * @wait: where poll and XFER_WAIT sleep
 */
struct kvx_agent {
	struct kref ref;
	u32 id;
	u64 epoch;
	u64 worker_id;
	char name[KVXFER_NAME_MAX];
	struct pid *pid;
	kuid_t uid;
	struct kvx_net *net;
	struct hlist_node hash;
	bool worker_id_used;
	struct xarray pools;
	struct xarray layouts;
	atomic_t layout_ids;
	struct xarray imports;
	struct xarray connects;
	atomic_t nr_connects;
	u32 nr_imports;
	struct mutex imports_lock;	/* see above */
	struct xarray met;
	u32 nr_met;
	struct work_struct free_work;
	struct xarray xfers;
	atomic_t xfer_last;
	unsigned long states[KVXFER_XFERS_MAX * sizeof(u32) / PAGE_SIZE];
	struct kvx_ring *ring;
	struct kvx_notes notes;
	struct kvx_messages messages;
	struct kvx_copy_queue copies;
	wait_queue_head_t wait;
};

/* What an administrator sees of an agent. */
struct kvx_agent_view {
	u32 id;
	u64 worker_id;
	u64 epoch;
	char name[KVXFER_NAME_MAX];
	u32 pid;
	u32 uid;
	u32 pools;
	u32 layouts;
	u32 xfers;
	u32 notes;
};

/* main.c */
extern u64 kvx_boot_id;

/* chardev.c */
int kvx_chardev_register(void);
void kvx_chardev_unregister(void);

/* agent.c */
int kvx_agents_init(void);
void kvx_agents_exit(void);
struct kvx_agent *kvx_agent_open(void);
void kvx_agent_close(struct kvx_agent *agent);
void kvx_agent_put(struct kvx_agent *agent);
int kvx_agent_query(struct kvx_agent *agent, struct kvxfer_query *cmd);
int kvx_agent_set(struct kvx_agent *agent, struct kvxfer_agent_set *cmd);
u64 kvx_agent_fix_worker_id(struct kvx_agent *agent);
struct kvx_agent *kvx_agent_find(u64 worker_id);
bool kvx_agent_look_after(unsigned long id, struct kvx_agent_view *view);

#endif /* KVX_H */
