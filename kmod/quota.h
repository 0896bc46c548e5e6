/* SPDX-License-Identifier: GPL-2.0-only */
/* How much of pools a user may have: see quota.c. */
#ifndef KVX_QUOTA_H
#define KVX_QUOTA_H

#include <linux/kvxfer.h>

struct kvx_quota;

struct kvx_quota *kvx_quota_charge(u64 bytes, struct kvxfer_hdr *hdr);
void kvx_quota_uncharge(struct kvx_quota *quota, u64 bytes);
void kvx_quota_pool_freed(u64 bytes);
void kvx_quota_query(struct kvxfer_query *cmd);
void kvx_quota_exit(void);

#endif /* KVX_QUOTA_H */
