/* SPDX-License-Identifier: GPL-2.0-only */
/* How long transfers take: see cost.c. */
#ifndef KVX_COST_H
#define KVX_COST_H

#include <linux/types.h>

/**
 * struct kvx_cost - what is expected
 * @ns: from post to end
 * @margin_ns: how far those that were measured were from each other
 * @samples: how many those were
 */
struct kvx_cost {
	u64 ns;
	u64 margin_ns;
	u64 samples;
};

void kvx_cost_measured(u32 path, u64 bytes, u64 ns);
bool kvx_cost_expect(u32 path, u64 bytes, struct kvx_cost *cost);

#endif /* KVX_COST_H */
