/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * transport: how bytes go from one layout to another. See copy.c and rdma/flow.c.
 *
 * A transfer knows its transport by a table of functions, and the transport knows the transfer by
 * the functions of its run. A run begins, and ends by @quiet, once; in between it may be told to
 * stop, by anybody and at any moment.
 */
#ifndef KVX_TRANSPORT_H
#define KVX_TRANSPORT_H

#include <linux/types.h>

struct kvx_shape;
struct kvx_xfer;

/**
 * struct kvx_job - what a transport and a transfer have in common
 * @xfer: the transfer
 * @deadline_ns: when it shall end; set before it begins
 * @stop: it shall end now; set before the transport's stop is called
 * @expire: called when the deadline is found to have passed
 * @fail: called when it cannot be done: errno and reason
 * @quiet: called when nothing touches its blocks any more, once for each beginning. Then it may
 * be no more
 *
 * All three are called in process context, without locks, and may sleep.
 */
struct kvx_job {
	struct kvx_xfer *xfer;
	u64 deadline_ns;
	bool stop;
	void (*expire)(struct kvx_job *job);
	void (*fail)(struct kvx_job *job, u32 error, u32 reason);
	void (*quiet)(struct kvx_job *job);
};

/**
 * struct kvx_transport_ops - a transport
 * @begin: have it done. @quiet may be called before this returns
 * @stop: end it early; the caller has a reference of its own to what the run is in. @quiet may have
 * been called, or be called before this returns, or after
 * @sever: it was to stop and takes too long: end the connections that it goes by; NULL where
 * nothing takes long
 * @bytes: how many are where they should be; of one that is quiet
 * @rails: by which rails, as a mask; NULL where there are none
 * @flags: KVXFER_COMPLETION_*; NULL for none
 * @index: where it went wrong, in the unit that the reason names; NULL for nowhere
 */
struct kvx_transport_ops {
	void (*begin)(struct kvx_job *job, const struct kvx_shape *shape);
	void (*stop)(struct kvx_job *job);
	void (*sever)(struct kvx_job *job);
	u64 (*bytes)(struct kvx_job *job);
	u32 (*rails)(struct kvx_job *job);
	u32 (*flags)(struct kvx_job *job);
	u32 (*index)(struct kvx_job *job);
};

#endif /* KVX_TRANSPORT_H */
