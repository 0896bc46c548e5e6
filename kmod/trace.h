/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints. They carry ids and numbers, never addresses.
 *
 *	perf trace -e 'kvxfer:*'	or	/sys/kernel/tracing/events/kvxfer/
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvxfer

#if !defined(KVX_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVX_TRACE_H

#include <linux/tracepoint.h>

#include "kvx.h"
#include "pool.h"
#include "xfer.h"

DECLARE_EVENT_CLASS(kvx_agent_class,
	TP_PROTO(const struct kvx_agent *agent),
	TP_ARGS(agent),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u64, epoch)
		__field(u64, worker_id)
		__array(char, name, KVXFER_NAME_MAX)
	),
	TP_fast_assign(
		__entry->id = agent->id;
		__entry->epoch = agent->epoch;
		__entry->worker_id = agent->worker_id;
		memcpy(__entry->name, agent->name, KVXFER_NAME_MAX);
	),
	TP_printk("agent=%u epoch=%012llx worker_id=%016llx name=\"%s\"", __entry->id,
		  __entry->epoch, __entry->worker_id, __entry->name)
);

DEFINE_EVENT(kvx_agent_class, kvx_agent_open,
	TP_PROTO(const struct kvx_agent *agent),
	TP_ARGS(agent)
);

DEFINE_EVENT(kvx_agent_class, kvx_agent_set,
	TP_PROTO(const struct kvx_agent *agent),
	TP_ARGS(agent)
);

DEFINE_EVENT(kvx_agent_class, kvx_agent_close,
	TP_PROTO(const struct kvx_agent *agent),
	TP_ARGS(agent)
);

DECLARE_EVENT_CLASS(kvx_pool_class,
	TP_PROTO(const struct kvx_pool *pool),
	TP_ARGS(pool),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, kind)
		__field(u64, bytes)
		__array(char, name, KVXFER_NAME_MAX)
	),
	TP_fast_assign(
		__entry->id = pool->id;
		__entry->kind = pool->kind;
		__entry->bytes = pool->bytes;
		memcpy(__entry->name, pool->name, KVXFER_NAME_MAX);
	),
	TP_printk("pool=%u kind=%u bytes=%llu name=\"%s\"", __entry->id, __entry->kind,
		  __entry->bytes, __entry->name)
);

DEFINE_EVENT(kvx_pool_class, kvx_pool_create,
	TP_PROTO(const struct kvx_pool *pool),
	TP_ARGS(pool)
);

DEFINE_EVENT(kvx_pool_class, kvx_pool_free,
	TP_PROTO(const struct kvx_pool *pool),
	TP_ARGS(pool)
);

TRACE_EVENT(kvx_xfer_post,
	TP_PROTO(const struct kvx_xfer *xfer),
	TP_ARGS(xfer),
	TP_STRUCT__entry(
		__field(u32, agent)
		__field(u32, xfer)
		__field(u32, path)
		__field(u64, bytes)
		__field(u64, user_data)
	),
	TP_fast_assign(
		__entry->agent = xfer->agent->id;
		__entry->xfer = xfer->id;
		__entry->path = xfer->path;
		__entry->bytes = xfer->shape.bytes;
		__entry->user_data = xfer->user_data;
	),
	TP_printk("agent=%u xfer=%u path=%u bytes=%llu user_data=%llu", __entry->agent,
		  __entry->xfer, __entry->path, __entry->bytes, __entry->user_data)
);

TRACE_EVENT(kvx_xfer_end,
	TP_PROTO(const struct kvx_xfer *xfer, const struct kvxfer_completion *result),
	TP_ARGS(xfer, result),
	TP_STRUCT__entry(
		__field(u32, agent)
		__field(u32, xfer)
		__field(u32, state)
		__field(u32, reason)
		__field(u64, bytes)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->agent = xfer->agent->id;
		__entry->xfer = xfer->id;
		__entry->state = result->state;
		__entry->reason = result->reason;
		__entry->bytes = result->bytes;
		__entry->ns = result->end_ns - result->post_ns;
	),
	TP_printk("agent=%u xfer=%u state=%u reason=%u bytes=%llu ns=%llu", __entry->agent,
		  __entry->xfer, __entry->state, __entry->reason, __entry->bytes, __entry->ns)
);

/* One for each refusal, so that a wrong program can be found without touching it. */
TRACE_EVENT(kvx_refused,
	TP_PROTO(const struct kvx_agent *agent, u32 nr, int err, const struct kvxfer_hdr *hdr),
	TP_ARGS(agent, nr, err, hdr),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, nr)
		__field(int, err)
		__field(u32, reason)
		__field(u32, index)
	),
	TP_fast_assign(
		__entry->id = agent->id;
		__entry->nr = nr;
		__entry->err = err;
		__entry->reason = hdr->reason;
		__entry->index = hdr->index;
	),
	TP_printk("agent=%u nr=%u err=%d reason=%u index=%u", __entry->id, __entry->nr,
		  __entry->err, __entry->reason, __entry->index)
);

#endif /* KVX_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
