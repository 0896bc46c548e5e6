/* SPDX-License-Identifier: GPL-2.0-only */
/* Other nodes: see peer.c. */
#ifndef KVX_PEER_H
#define KVX_PEER_H

#include <linux/errno.h>
#include <linux/hashtable.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/socket.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <rdma/ib_verbs.h>

#include "proto.h"

struct kvx_agent;
struct kvx_dev;
struct kvx_flow;
struct kvx_grant;
struct kvx_net;
struct kvx_rail;

#define KVX_PEERS_MAX		1024

/* Rails of a peer, of all states. */
#define KVX_RAILS_MAX		32

/* Between two attempts to connect; and up to half of it more. */
#define KVX_BACKOFF_MIN_MS	100
#define KVX_BACKOFF_MAX_MS	5000

/* How often in a row nothing is told of an attempt that nobody answered, by iWARP. */
#define KVX_UNANSWERED_MAX	16

/**
 * kvx_backoff_ms() - how long until an address is tried again
 * @attempts: how often in a row that came to nothing
 * @random: any number: so that nodes that lost each other at once do not come back at once
 *
 * Return: milliseconds, twice as many after each attempt, up to a limit.
 */
static inline u32 kvx_backoff_ms(u32 attempts, u32 random)
{
	const u32 ms = min_t(u32, KVX_BACKOFF_MIN_MS << min(attempts, 16U), KVX_BACKOFF_MAX_MS);

	return ms + random % (ms / 2);
}

#define KVX_PEER_ADDRESSES_MAX	16

/**
 * struct kvx_msg - a frame that is to go
 * @link: among the peer's, until it has been acknowledged; under the peer's lock
 * @rail: by which it is on its way; NULL when it is not; under the peer's lock
 * @acked: the other has taken it, or nobody waits for that; under the peer's lock
 * @cqe: what is told when it has gone
 * @dma: where it is, for the device
 * @head: how it begins
 * @hello: the whole, as its type has it; so are those that follow
 * @beat: the same
 * @proof: the same
 * @refused: the same
 * @flush: the same
 * @quiesce: the same
 * @quiesced: the same
 * @attach: the same
 * @attached: the same
 * @table: the same
 * @want_keys: the same
 * @keys: the same
 * @id: the same
 * @note: the same
 * @note_done: the same
 * @offer: the same
 * @taken: the same
 * @agent: the same
 */
struct kvx_msg {
	struct list_head link;
	struct kvx_rail *rail;
	bool acked;
	struct ib_cqe cqe;
	u64 dma;
	union {
		struct kvx_wire_head head;
		struct kvx_wire_hello hello;
		struct kvx_wire_beat beat;
		struct kvx_wire_proof proof;
		struct kvx_wire_refused refused;
		struct kvx_wire_flush flush;
		struct kvx_wire_quiesce quiesce;
		struct kvx_wire_quiesced quiesced;
		struct kvx_wire_attach attach;
		struct kvx_wire_attached attached;
		struct kvx_wire_table table;
		struct kvx_wire_want_keys want_keys;
		struct kvx_wire_keys keys;
		struct kvx_wire_id id;
		struct kvx_wire_note note;
		struct kvx_wire_note_done note_done;
		struct kvx_wire_offer offer;
		struct kvx_wire_taken taken;
		struct kvx_wire_agent agent;
	};
};

/**
 * struct kvx_address - where a peer can be asked
 * @addr: it; family 0 for none
 * @net: in which network namespace, without a reference: it is gone before that is
 * @rail: what is there, or is being made; without a reference, under the peer's lock
 * @attempts: how often in a row that came to nothing
 * @unanswered: how often in a row nobody was asked, or the answer was lost; by iWARP
 * @error: why, the last time
 * @refusal: why, if the other said so
 * @next: when it may be tried again, in jiffies
 * @proven: the peer has been met there
 * @passive: it came from there, and where it can be asked is not known
 * @other_node: the last time another node was met there
 * @down: an administrator does not want it to be used
 * @bytes: what came and went by rails to it that are no more, by &enum kvx_way
 */
struct kvx_address {
	struct sockaddr_storage addr;
	struct kvx_net *net;
	struct kvx_rail *rail;
	u32 attempts;
	u32 unanswered;
	int error;
	u32 refusal;
	unsigned long next;
	bool proven;
	bool passive;
	bool other_node;
	bool down;
	u64 bytes[2];
};

/**
 * struct kvx_peer - another node
 * @ref: of the table, and of whoever uses it
 * @hash: link in the table; under kvx_peers_lock
 * @boot_id: its name
 * @name: what it calls itself; under @lock
 * @lock: for what follows, to @rx_seq
 * @gone: it will not come back: it was started anew, or we go
 * @broken: why it is to go for good, which its connect work sees to: a negative errno; or 0
 * @down: an administrator does not want it to be connected
 * @held: an administrator wants it to be connected; it counts in @wanted
 * @orders: how often an administrator has ordered it to be connected
 * @probe: it stands for whoever is at an address: its name is nobody's
 * @addresses: where it can be asked; those without a family are free
 * @wanted: how many want to be connected
 * @rails: its rails, of all states
 * @nr_ready: how many of those are ready
 * @error: why the last attempt to have one came to nothing
 * @refusal: the same
 * @tx_rail: by which frames go; NULL when none is ready
 * @tx_seq: the number of the last frame
 * @tx_acked: of the last one that the other has taken
 * @unacked: frames that the other has not taken, in order
 * @unacked_bytes: how long they are together
 * @unsent: the first of those that has not been sent by @tx_rail; NULL for none
 * @rx_seq: the number of the last frame that was taken
 * @rx_lock: held while one is taken
 * @answer: by which that one can be answered; under @rx_lock
 * @wait: woken when something about it has changed
 * @connect: makes rails that are missing
 * @remote_next: the id of the next one of @remotes
 * @remotes: layouts of its agents, by the ids that they were asked for by
 * @served: layouts of our agents that it has, by its ids for them
 * @nr_served: how many; under kvx_serve_lock
 * @notes: notes that it has not said to have been received, by their serials; under @lock
 * @note_serial: the last one; under @lock
 * @notes_out: how many of our agents' notes have room there, or are kept for it; under @lock
 * @notes_in: how many of its notes our agents have not received; under @lock
 * @sends: messages to its agents that it has not said to have been taken, by their serials
 * @send_next: the next serial
 * @nr_sends: how many; under the lock of @sends
 * @offers: messages of its agents that ours have not taken, by its serials
 * @nr_offers: how many; under the lock of @offers
 * @watches: those of its agents that are waited for; under kvx_watch_lock, as is what follows
 * @watchers: by which it is told when ours go; see watch.c
 * @flow_lock: for what follows
 * @kicks: how often something came that may have been waited for
 * @flows: what wants to be sent: reads, and writes
 * @parked: what waits for a rail
 * @fence_last: the number of the last rail that was lost with what it wrote
 * @fence_quiet: of those up to this it is known that nothing is still to come
 * @fences: those after it, in order
 * @fenced: what waits for them
 * @fences_lost: nobody will say of them that they are over
 */
struct kvx_peer {
	struct kref ref;
	struct hlist_node hash;
	u64 boot_id;
	char name[KVXFER_NAME_MAX];
	spinlock_t lock;		/* see above */
	bool gone;
	int broken;
	bool down;
	bool held;
	u32 orders;
	bool probe;
	struct kvx_address addresses[KVX_PEER_ADDRESSES_MAX];
	u32 wanted;
	struct list_head rails;
	u32 nr_ready;
	int error;
	u32 refusal;
	struct kvx_rail *tx_rail;
	u64 tx_seq;
	u64 tx_acked;
	struct list_head unacked;
	u64 unacked_bytes;
	struct kvx_msg *unsent;
	u64 rx_seq;
	struct mutex rx_lock;		/* see above */
	struct kvx_msg *answer;
	wait_queue_head_t wait;
	struct delayed_work connect;
	u32 remote_next;
	struct xarray remotes;
	struct xarray served;
	u32 nr_served;
	struct list_head notes;
	u64 note_serial;
	u32 notes_out;
	u32 notes_in;
	struct xarray sends;
	u32 send_next;
	u32 nr_sends;
	struct xarray offers;
	u32 nr_offers;
	DECLARE_HASHTABLE(watches, 4);
	struct list_head watchers;
	spinlock_t flow_lock;		/* see above */
	u32 kicks;
	struct list_head flows[2];
	struct list_head parked;
	u64 fence_last;
	u64 fence_quiet;
	struct list_head fences;
	struct list_head fenced;
	bool fences_lost;
};

/* Why not, as a peer says: a positive errno, and none of those that a kernel keeps for itself. */
static inline u32 kvx_peer_errno(__le32 error)
{
	return le32_to_cpu(error) < ERESTARTSYS ? le32_to_cpu(error) : EREMOTEIO;
}

static inline const struct kvx_address *kvx_addresses_end(const struct kvx_peer *peer)
{
	return peer->addresses + KVX_PEER_ADDRESSES_MAX;
}

/* What an administrator sees of a peer, and of a rail. */
struct kvx_peer_view {
	u64 boot_id;
	char name[KVXFER_NAME_MAX];
	bool down;
	bool gone;
	u32 wanted;
	u32 rails;
	u32 ready;
	u32 error;
	u32 refusal;
	u32 layouts;
	u32 served;
};

struct kvx_rail_view {
	u64 boot_id;
	u32 id;
	u32 state;
	bool down;
	char dev[IB_DEVICE_NAME_MAX];
	struct sockaddr_storage local;
	struct sockaddr_storage remote;
	u16 port;
	bool asked;
	u32 lanes;
	u32 attempts;
	u32 error;
	u32 refusal;
	u32 next_ms;
	u32 netns;
	u64 bytes[2];
};

extern struct workqueue_struct *kvx_peer_wq;
extern bool kvx_peers_leaving;

/* peer.c */
struct kvx_peer *kvx_peer_find(u64 boot_id);
struct kvx_peer *kvx_peer_get(u64 boot_id);
struct kvx_peer *kvx_peer_get_probe(void);
struct kvx_peer *kvx_peer_nth(unsigned long nth, unsigned int *seq);
void kvx_peer_put(struct kvx_peer *peer);
int kvx_peer_want(struct kvx_peer *peer, struct kvx_net *net,
		  const struct sockaddr_storage *addresses, u32 nr);
void kvx_peer_want_too(struct kvx_peer *peer);
void kvx_peer_unwant(struct kvx_peer *peer);
void kvx_peer_gone(struct kvx_peer *peer, int error);
void kvx_peers_try(void);
void kvx_peers_kick(void);
void kvx_peers_fail_dev(struct kvx_dev *dev);
void kvx_peers_leave(const struct kvx_net *net);
int kvx_peers_init(void);
void kvx_peers_exit(void);

/* peer.c, for peer_rail.c */
bool kvx_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
struct kvx_address *__kvx_peer_address(struct kvx_peer *peer, const struct kvx_net *net,
				       const struct sockaddr_storage *addr);
struct kvx_address *__kvx_peer_find_address(struct kvx_peer *peer, struct kvx_net *net,
					    const struct sockaddr_storage *addr);

/* peer_rail.c */
struct kvx_rail *__kvx_peer_rail_at(struct kvx_peer *peer, u32 id);
void kvx_peer_fail_rails(struct kvx_peer *peer, const struct kvx_dev *dev, int err);
void kvx_peer_end_sending(struct kvx_peer *peer);
void kvx_peer_refuse_rails(struct kvx_peer *peer, int id);

/* How long a program waits for another node, if it does not say. */
#define KVX_CONNECT_NS		(30ULL * NSEC_PER_SEC)

/* peer_connect.c */
int kvx_peer_refuse(struct kvx_peer *peer, struct kvxfer_hdr *hdr);
int kvx_peer_want_from(struct kvx_agent *agent, struct kvxfer_hdr *hdr, u64 boot_id, u64 from,
		       u32 nr, struct kvx_peer **out);
int kvx_agent_connect(struct kvx_agent *agent, struct kvxfer_peer_connect *cmd);
void kvx_connects_drop(struct kvx_agent *agent);

/* peer_admin.c */
void kvx_peer_look(struct kvx_peer *peer, struct kvx_peer_view *view);
bool kvx_rail_look(struct kvx_peer *peer, u32 id, struct kvx_rail_view *view);
int kvx_peer_order(struct kvx_peer *peer, const struct sockaddr_storage *addr, bool down);
int kvx_rail_order(struct kvx_peer *peer, u32 id, bool down);
int kvx_peer_probe(const struct sockaddr_storage *addr);
void kvx_peer_probed(struct kvx_peer *probe, const struct sockaddr_storage *addr, u64 boot_id);

/* msg.c */
struct kvx_msg *kvx_msg_new(u32 type, u32 bytes);
struct kvx_msg *kvx_peer_answer(struct kvx_peer *peer, u32 type, u32 bytes);
void kvx_msg_free(struct kvx_msg *msg);
void kvx_msg_gone(struct kvx_msg *msg);
void kvx_peer_send(struct kvx_peer *peer, struct kvx_msg *msg);
bool kvx_peer_is_behind(struct kvx_peer *peer);

/* peer.c, peer_rail.c, msg.c, for rail.c */
enum kvxfer_refusal kvx_peer_rail_new(struct kvx_peer *peer, struct kvx_rail *rail);
enum kvxfer_refusal kvx_peer_rail_proven(struct kvx_rail *rail);
void kvx_peer_rail_ready(struct kvx_rail *rail, const char *name);
void kvx_peer_rail_ending(struct kvx_rail *rail);
void kvx_peer_rail_stopped(struct kvx_rail *rail);
void kvx_peer_rail_ended(struct kvx_rail *rail);
int kvx_peer_receive(struct kvx_rail *rail, const void *frame);
void kvx_peer_acked(struct kvx_peer *peer, u64 ack);
void kvx_peer_pump(struct kvx_peer *peer);
u64 kvx_peer_rx_seq(struct kvx_peer *peer);
struct kvx_rail *kvx_peer_rail_after(struct kvx_peer *peer, struct kvx_rail *before);
bool kvx_peer_is_lost(struct kvx_peer *peer);
void kvx_peer_give_up(struct kvx_peer *peer, int error);
void kvx_peers_supersede(const struct kvx_rail *rail);
struct kvx_rail *kvx_peer_rail_on(struct kvx_peer *peer, const struct kvx_dev *dev);
bool kvx_peer_has_rail_to(struct kvx_peer *peer, u32 device);

#endif /* KVX_PEER_H */
