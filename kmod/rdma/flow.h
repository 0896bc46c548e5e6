/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs that go to or from a peer: see flow.c. */
#ifndef KVX_FLOW_H
#define KVX_FLOW_H

#include "../transport.h"

struct kvx_flow;
struct kvx_peer;
struct kvx_rail;
struct kvx_registered;
struct kvx_remote;

extern const struct kvx_transport_ops kvx_flow_ops;

struct kvx_flow *kvx_flow_new(struct kvx_peer *peer, struct kvx_registered *local, bool write,
			      u32 rails);
void kvx_flow_aim(struct kvx_flow *flow, struct kvx_remote *remote);
struct kvx_job *kvx_flow_job(struct kvx_flow *flow);
void kvx_flow_free(struct kvx_flow *flow);
void kvx_flows_kick(struct kvx_peer *peer);
void kvx_flows_unfence(struct kvx_peer *peer);

/* fence.c */
u64 kvx_fence_rail(struct kvx_rail *rail);
void kvx_fence_ask(struct kvx_rail *rail);
bool kvx_fence_asked(struct kvx_peer *peer, const void *frame);
bool kvx_fence_answered(struct kvx_peer *peer, const void *frame);
void kvx_fences_gone(struct kvx_peer *peer, bool confirmed);

#endif /* KVX_FLOW_H */
