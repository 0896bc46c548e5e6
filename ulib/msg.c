// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Messages: send, receive. What comes of it are transfers, see xfer.c. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

static int make(struct kvx_agent *agent, struct kvx_xfer **out, unsigned long nr,
		uint64_t worker_id, const struct kvx_pool *pool, uint64_t offset, uint64_t bytes,
		const struct kvx_msg_opts *from, const char *what)
{
	struct kvx_msg_opts opts = KVX_MSG_OPTS_INIT;
	struct kvxfer_msg cmd = {
		.worker_id = worker_id,
		.offset = offset,
		.bytes = bytes,
		.pool = pool->handle,
	};
	struct kvx_xfer *xfer;
	int err;

	*out = NULL;
	/* Numbers are the agent's own: another's would name another pool, with other bytes. */
	if (pool->agent != agent)
		return kvx_fail(EINVAL, "%s: the pool is another agent's", what);
	err = kvx_take_opts(&opts, sizeof(opts), from, what);
	if (!err)
		err = kvx_xfer_new(agent, &xfer, what);
	if (err)
		return err;
	cmd.epoch = opts.epoch;
	cmd.user_data = opts.user_data;
	cmd.deadline_ns = opts.deadline_ns;
	cmd.path = opts.path;
	cmd.rails = opts.rails;
	err = kvx_command(agent, nr, what, &cmd.hdr, sizeof(cmd));
	if (err) {
		free(xfer);
		return err;
	}
	kvx_xfer_made(xfer, cmd.out_xfer, bytes, opts.user_data);
	*out = xfer;
	return 0;
}

int kvx_msg_send(struct kvx_agent *agent, struct kvx_xfer **xfer, uint64_t worker_id,
		 const struct kvx_pool *pool, uint64_t offset, uint64_t bytes,
		 const struct kvx_msg_opts *opts)
{
	return make(agent, xfer, KVXFER_IOC_MSG_SEND, worker_id, pool, offset, bytes, opts,
		    "send message");
}

int kvx_msg_recv(struct kvx_agent *agent, struct kvx_xfer **xfer, uint64_t worker_id,
		 const struct kvx_pool *pool, uint64_t offset, uint64_t bytes,
		 const struct kvx_msg_opts *opts)
{
	return make(agent, xfer, KVXFER_IOC_MSG_RECV, worker_id, pool, offset, bytes, opts,
		    "receive message");
}
