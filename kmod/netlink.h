/* SPDX-License-Identifier: GPL-2.0-only */
/* What an administrator sees and sets: see netlink.c. */
#ifndef KVX_NETLINK_H
#define KVX_NETLINK_H

#include <linux/kvxfer_netlink.h>
#include <linux/types.h>

struct kvx_dev;
struct kvx_peer;

int kvx_netlink_init(void);
void kvx_netlink_exit(void);

/* What has happened to them; may sleep. */
void kvx_tell_dev(struct kvx_dev *dev, enum kvxfer_nl_event event);
void kvx_tell_peer(struct kvx_peer *peer, enum kvxfer_nl_event event);
void kvx_tell_rail(struct kvx_peer *peer, int id, enum kvxfer_nl_event event);

#endif /* KVX_NETLINK_H */
