/* SPDX-License-Identifier: GPL-2.0-only */
/* Where nodes can be reached: see address.c. */
#ifndef KVX_ADDRESS_H
#define KVX_ADDRESS_H

#include <linux/socket.h>
#include <linux/kvxfer.h>

struct kvx_agent;
struct kvx_net;

bool kvx_address_decode(const struct kvxfer_address *from, struct sockaddr_storage *to);
struct kvx_net *kvx_agent_net(struct kvx_agent *agent);
int kvx_node_addresses(struct kvx_agent *agent, struct kvxfer_node_addresses *cmd);

#endif /* KVX_ADDRESS_H */
