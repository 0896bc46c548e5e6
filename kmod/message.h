/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages from agent to agent: see message.c. */
#ifndef KVX_MESSAGE_H
#define KVX_MESSAGE_H

#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/kvxfer.h>

struct kvx_agent;
struct kvx_grant;
struct kvx_message;
struct kvx_peer;

/**
 * struct kvx_messages - what others send to an agent
 * @lock: for what follows, for the lists in the boxes, and for what has met
 * @boxes: one for each sender, by its epoch
 * @closed: the agent has gone
 * @out: how many of its own are on their way to peers
 * @awaited: room that others have for messages of this agent; see message.c
 * @watchers: peers that are told when it has gone; see watch.c
 */
struct kvx_messages {
	spinlock_t lock;		/* see above */
	DECLARE_HASHTABLE(boxes, 6);
	bool closed;
	atomic_t out;
	struct list_head awaited;
	struct list_head watchers;
};

void kvx_messages_init(struct kvx_messages *messages);
void kvx_messages_close(struct kvx_agent *agent);
void kvx_message_free(struct kvx_message *message);
void kvx_message_go_on(struct kvx_message *message);

int kvx_msg_send(struct kvx_agent *agent, struct kvxfer_msg *cmd);
int kvx_msg_recv(struct kvx_agent *agent, struct kvxfer_msg *cmd);

/* message_far.c */
bool kvx_offer_came(struct kvx_peer *peer, const void *frame);
bool kvx_offer_withdrawn(struct kvx_peer *peer, const void *frame);
bool kvx_send_taken(struct kvx_peer *peer, const void *frame);
struct kvx_grant *kvx_send_grant(struct kvx_peer *peer, const u8 *key, u32 *reason);
void kvx_messages_gone(struct kvx_peer *peer, int error);

#endif /* KVX_MESSAGE_H */
