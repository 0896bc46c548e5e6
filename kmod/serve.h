/* SPDX-License-Identifier: GPL-2.0-only */
/* What peers have of our agents' layouts: see serve.c. */
#ifndef KVX_SERVE_H
#define KVX_SERVE_H

#include <linux/types.h>

struct kvx_grant;
struct kvx_peer;
struct kvx_rail;
struct kvx_registered;

bool kvx_serve_attach(struct kvx_peer *peer, const void *frame);
bool kvx_serve_keys(struct kvx_peer *peer, const void *frame);
bool kvx_serve_detach(struct kvx_peer *peer, const void *frame);
void kvx_serves_gone(struct kvx_peer *peer);
void kvx_serve_ended(u32 device, u32 key);
void kvx_serve_cut(struct kvx_grant *grant, bool used);

#endif /* KVX_SERVE_H */
