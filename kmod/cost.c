// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long transfers take, by what was measured: for each path and each power of two of bytes, the
 * moving means of the time for a byte and of how far it is off.
 */
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/spinlock.h>
#include <linux/kvxfer.h>

#include "cost.h"

#define KVX_COST_PATHS	(KVXFER_PATH_RDMA + 1)
/* Times for a byte are kept in these parts of a nanosecond; a mean forgets in these many steps. */
#define KVX_COST_SHIFT	16
#define KVX_COST_STEPS	8

struct kvx_cost_class {
	u64 rate;
	u64 off;
	u64 samples;
};

static DEFINE_SPINLOCK(kvx_cost_lock);
static struct kvx_cost_class kvx_costs[KVX_COST_PATHS][64];

/**
 * kvx_cost_measured() - a transfer is done
 * @path: &enum kvxfer_path that it took
 * @bytes: how many went over, at least 1
 * @ns: in what time
 *
 * Context: process.
 */
void kvx_cost_measured(u32 path, u64 bytes, u64 ns)
{
	struct kvx_cost_class *class = &kvx_costs[path][ilog2(bytes)];
	const u64 rate = div64_u64(min(ns, U64_MAX >> KVX_COST_SHIFT) << KVX_COST_SHIFT, bytes);
	u64 off;

	spin_lock(&kvx_cost_lock);
	if (!class->samples++) {
		class->rate = rate;
		class->off = rate;
	} else {
		off = rate > class->rate ? rate - class->rate : class->rate - rate;
		class->off = (class->off * (KVX_COST_STEPS - 1) + off) / KVX_COST_STEPS;
		class->rate = (class->rate * (KVX_COST_STEPS - 1) + rate) / KVX_COST_STEPS;
	}
	spin_unlock(&kvx_cost_lock);
}

/**
 * kvx_cost_expect() - how long will one take?
 * @path: &enum kvxfer_path that it takes
 * @bytes: how many go over, at least 1
 * @cost: set to the answer, by those measured that are nearest in size
 *
 * Context: process.
 * Return: false when none was measured.
 */
bool kvx_cost_expect(u32 path, u64 bytes, struct kvx_cost *cost)
{
	const int at = ilog2(bytes);
	struct kvx_cost_class class = {};
	int apart;

	spin_lock(&kvx_cost_lock);
	for (apart = 0; apart < 64 && !class.samples; apart++) {
		if (at + apart < 64)
			class = kvx_costs[path][at + apart];
		if (!class.samples && at >= apart)
			class = kvx_costs[path][at - apart];
	}
	spin_unlock(&kvx_cost_lock);
	cost->ns = mul_u64_u64_shr(class.rate, bytes, KVX_COST_SHIFT);
	cost->margin_ns = mul_u64_u64_shr(class.off, bytes, KVX_COST_SHIFT);
	cost->samples = class.samples;
	return class.samples;
}
