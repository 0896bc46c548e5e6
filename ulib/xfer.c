// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Transfers: prepare, post, check, wait, cancel, release; the completion ring. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#define STATES_BYTES	(KVXFER_XFERS_MAX * sizeof(uint32_t))

_Static_assert((int)KVX_XFER_FAILED == (int)KVXFER_XFER_FAILED, "states");
_Static_assert((int)KVX_PATH_RDMA == (int)KVXFER_PATH_RDMA, "paths");
_Static_assert(KVX_RESULT_INLINE == KVXFER_COMPLETION_INLINE, "flags");
_Static_assert(KVX_RESULT_UNCONFIRMED == KVXFER_COMPLETION_UNCONFIRMED, "flags");
_Static_assert(KVX_RESULT_NOTE_LOST == KVXFER_COMPLETION_NOTE_LOST, "flags");

struct kvx_xfer {
	struct kvx_agent *agent;
	const uint32_t *state;
	uint64_t bytes;
	uint64_t user_data;
	uint32_t id;
};

const char *kvx_state_name(unsigned int state)
{
	static const char *const names[] = {
		[KVX_XFER_GONE] = "GONE",
		[KVX_XFER_IDLE] = "IDLE",
		[KVX_XFER_RUNNING] = "RUNNING",
		[KVX_XFER_CANCELING] = "CANCELING",
		[KVX_XFER_EXPIRING] = "EXPIRING",
		[KVX_XFER_FAILING] = "FAILING",
		[KVX_XFER_RELEASING] = "RELEASING",
		[KVX_XFER_DONE] = "DONE",
		[KVX_XFER_CANCELED] = "CANCELED",
		[KVX_XFER_TIMEDOUT] = "TIMEDOUT",
		[KVX_XFER_FAILED] = "FAILED",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "UNKNOWN";
}

int kvx_give_result(struct kvx_result *result, const struct kvxfer_completion *from,
		    const char *what)
{
	const struct kvx_result full = {
		.user_data = from->user_data,
		.bytes = from->bytes,
		.post_ns = from->post_ns,
		.end_ns = from->end_ns,
		.xfer = from->xfer,
		.state = from->state,
		.error = from->error,
		.reason = from->reason,
		.index = from->index,
		.path = from->path,
		.flags = from->flags,
		.rails = from->rails,
	};

	return result ? kvx_give_struct(result, &full, sizeof(full), what) : 0;
}

static int check_result(const struct kvx_result *result, const char *what)
{
	return result ? kvx_check_struct(result, what) : 0;
}

/* 0 for one that is done, and the thread's error for one that has ended badly. */
static int result_errno(const struct kvxfer_completion *result, const char *what)
{
	const struct kvxfer_hdr hdr = { .reason = result->reason, .index = result->index };

	if (result->state == KVX_XFER_DONE)
		return 0;
	if (result->state == KVX_XFER_GONE)
		return kvx_fail(ENOENT, "%s: it was released meanwhile", what);
	return kvx_fail_refused(result->error, what, &hdr);
}

static int map_errno(struct kvx_agent *agent, int err)
{
	struct kvx_info info = KVX_INFO_INIT;

	if (!kvx_query(agent, &info) && !(info.features & KVXFER_FEATURE_XFER))
		return kvx_fail(ENOTTY, "this kernel's kvxfer has no transfers");
	return kvx_fail(err, "map the states of transfers: %s",
			strerrordesc_np(err) ?: "unknown error");
}

/* The mapping of the states: made when it is first needed, and then there for all threads. */
static int map_states(struct kvx_agent *agent)
{
	void *states;
	int err = 0;

	if (__atomic_load_n(&agent->states, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&agent->lock);
	if (!__atomic_load_n(&agent->states, __ATOMIC_ACQUIRE)) {
		states = mmap(NULL, STATES_BYTES, PROT_READ, MAP_SHARED, agent->fd,
			      KVXFER_MMAP_STATES);
		if (states == MAP_FAILED)
			err = map_errno(agent, errno);
		else
			__atomic_store_n(&agent->states, states, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&agent->lock);
	return err;
}

void kvx_unmap_states(struct kvx_agent *agent)
{
	uint32_t *states = __atomic_load_n(&agent->states, __ATOMIC_ACQUIRE);

	if (states)
		munmap(states, STATES_BYTES);
}

static struct kvxfer_piece piece_of(const struct kvx_piece *piece)
{
	return (struct kvxfer_piece){
		.offset = piece->offset,
		.bytes = piece->bytes,
		.stride = piece->stride,
		.count = piece->count,
	};
}

/* A list may be longer than what the kernel's number holds: then it is too long in any case. */
static uint32_t count_of(size_t nr)
{
	return nr > UINT32_MAX ? UINT32_MAX : nr;
}

/* The agent that is not this one, of two handles'. */
static int note_receiver(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd)
{
	struct kvx_info info = KVX_INFO_INIT;
	const struct kvxfer_handle *other = &cmd->dst;
	int err = kvx_query(agent, &info);

	if (err)
		return err;
	if (other->worker_id == info.worker_id)
		other = &cmd->src;
	cmd->note.worker_id = other->worker_id;
	cmd->note.epoch = other->rest >> KVXFER_LAYOUT_ID_BITS;
	return 0;
}

static int prep_command(struct kvx_agent *agent, struct kvxfer_xfer_prep *cmd,
			struct kvx_handle src, const uint32_t *src_ids, size_t nr_src,
			struct kvx_handle dst, const uint32_t *dst_ids, size_t nr_dst,
			const struct kvx_xfer_opts *from, unsigned long nr, const char *what)
{
	struct kvx_xfer_opts opts = KVX_XFER_OPTS_INIT;
	int err = kvx_take_opts(&opts, sizeof(opts), from, what);

	if (err)
		return err;
	cmd->src = (struct kvxfer_handle){ src.worker_id, src.rest };
	cmd->dst = (struct kvxfer_handle){ dst.worker_id, dst.rest };
	cmd->src_ids = (uintptr_t)src_ids;
	cmd->dst_ids = (uintptr_t)dst_ids;
	cmd->nr_src = count_of(nr_src);
	cmd->nr_dst = count_of(nr_dst);
	cmd->src_layer = opts.src_layer;
	cmd->dst_layer = opts.dst_layer;
	cmd->nr_layers = opts.nr_layers;
	cmd->outers = opts.outers;
	cmd->src_piece = piece_of(&opts.src_piece);
	cmd->dst_piece = piece_of(&opts.dst_piece);
	cmd->user_data = opts.user_data;
	cmd->deadline_ns = opts.deadline_ns;
	cmd->path = opts.path;
	cmd->rails = opts.rails;
	if (opts.note) {
		cmd->hdr.flags |= KVXFER_XFER_NOTE;
		cmd->note.data = (uintptr_t)opts.note;
		cmd->note.bytes = count_of(opts.note_bytes);
		if (opts.note_worker_id)
			cmd->note.worker_id = opts.note_worker_id;
		else
			err = note_receiver(agent, cmd);
	}
	if (err)
		return err;
	/* What a signal has kept from beginning was not made, either: it can be asked for again. */
	return kvx_wait_command(agent, nr, what, &cmd->hdr, sizeof(*cmd), NULL, 0);
}

int kvx_xfer_new(struct kvx_agent *agent, struct kvx_xfer **xfer, const char *what)
{
	int err;

	*xfer = NULL;
	err = map_states(agent);
	if (err)
		return err;
	*xfer = malloc(sizeof(**xfer));
	if (!*xfer)
		return kvx_fail(ENOMEM, "%s: no memory", what);
	(*xfer)->agent = agent;
	return 0;
}

void kvx_xfer_made(struct kvx_xfer *xfer, uint32_t id, uint64_t bytes, uint64_t user_data)
{
	xfer->id = id;
	xfer->bytes = bytes;
	xfer->user_data = user_data;
	xfer->state = xfer->agent->states + KVXFER_XFER_SLOT(id);
}

static int make(struct kvx_agent *agent, struct kvx_xfer **out, struct kvx_handle src,
		const uint32_t *src_ids, size_t nr_src, struct kvx_handle dst,
		const uint32_t *dst_ids, size_t nr_dst, const struct kvx_xfer_opts *opts,
		uint32_t flags, const char *what)
{
	struct kvxfer_xfer_prep cmd = { .hdr.flags = flags };
	struct kvx_xfer *xfer;
	int err;

	*out = NULL;
	err = kvx_xfer_new(agent, &xfer, what);
	if (err)
		return err;
	err = prep_command(agent, &cmd, src, src_ids, nr_src, dst, dst_ids, nr_dst, opts,
			   KVXFER_IOC_XFER_PREP, what);
	if (err) {
		free(xfer);
		return err;
	}
	kvx_xfer_made(xfer, cmd.out_xfer, cmd.out_bytes, cmd.user_data);
	*out = xfer;
	return 0;
}

int kvx_transfer(struct kvx_agent *agent, struct kvx_xfer **xfer, struct kvx_handle src,
		 const uint32_t *src_ids, size_t nr_src, struct kvx_handle dst,
		 const uint32_t *dst_ids, size_t nr_dst, const struct kvx_xfer_opts *opts)
{
	return make(agent, xfer, src, src_ids, nr_src, dst, dst_ids, nr_dst, opts,
		    KVXFER_XFER_POST, "transfer");
}

int kvx_xfer_prep(struct kvx_agent *agent, struct kvx_xfer **xfer, struct kvx_handle src,
		  const uint32_t *src_ids, size_t nr_src, struct kvx_handle dst,
		  const uint32_t *dst_ids, size_t nr_dst, const struct kvx_xfer_opts *opts)
{
	return make(agent, xfer, src, src_ids, nr_src, dst, dst_ids, nr_dst, opts, 0,
		    "prepare transfer");
}

/* When a signal ends a wait in there, it has not begun. */
static int post_command(struct kvx_agent *agent, struct kvxfer_xfer_post *cmd)
{
	return kvx_wait_command(agent, KVXFER_IOC_XFER_POST, "post transfer", &cmd->hdr,
				sizeof(*cmd), NULL, 0);
}

int kvx_xfer_post(struct kvx_xfer *xfer)
{
	struct kvxfer_xfer_post cmd = { .xfer = xfer->id };

	return post_command(xfer->agent, &cmd);
}

int kvx_xfer_post_note(struct kvx_xfer *xfer, uint64_t worker_id, const void *note, size_t bytes)
{
	struct kvxfer_xfer_post cmd = {
		.hdr.flags = KVXFER_XFER_NOTE,
		.xfer = xfer->id,
		.note = {
			.data = (uintptr_t)note,
			.bytes = count_of(bytes),
			.worker_id = worker_id,
		},
	};

	return post_command(xfer->agent, &cmd);
}

unsigned int kvx_xfer_check(const struct kvx_xfer *xfer)
{
	const uint32_t word = __atomic_load_n(xfer->state, __ATOMIC_ACQUIRE);

	return KVXFER_XFER_IS(xfer->id, word) ? KVXFER_XFER_STATE(word) : KVX_XFER_GONE;
}

/* Wait, and have the results of all in @results, if there is room. */
static int wait_command(struct kvx_agent *agent, const uint32_t *ids, size_t nr, uint32_t flags,
			uint64_t timeout_ns, struct kvxfer_completion *results, uint32_t *index)
{
	struct kvxfer_xfer_wait cmd = {
		.hdr.flags = flags,
		.xfers = (uintptr_t)ids,
		.results = (uintptr_t)results,
		.timeout_ns = timeout_ns,
		.nr = count_of(nr),
	};
	int err = kvx_wait_command(agent, KVXFER_IOC_XFER_WAIT, "wait for transfers", &cmd.hdr,
				   sizeof(cmd), &cmd.timeout_ns, 0);

	*index = cmd.out_index;
	return err;
}

static bool is_active(const struct kvxfer_completion *completion)
{
	return completion->state >= KVX_XFER_RUNNING && completion->state <= KVX_XFER_RELEASING;
}

static int wait_for_end(struct kvx_agent *agent, uint32_t id, uint64_t timeout_ns,
			struct kvxfer_completion *completion)
{
	uint32_t index;
	int err;

	/* Another thread may have posted it again between its end and the telling of it. */
	do {
		err = wait_command(agent, &id, 1, 0, timeout_ns, completion, &index);
	} while (!err && is_active(completion));
	return err;
}

int kvx_xfer_wait(struct kvx_xfer *xfer, uint64_t timeout_ns, struct kvx_result *result)
{
	struct kvxfer_completion completion = {};
	int err = check_result(result, "wait for transfer");

	if (!err)
		err = wait_for_end(xfer->agent, xfer->id, timeout_ns, &completion);
	if (!err)
		err = kvx_give_result(result, &completion, "wait for transfer");
	return err ? err : result_errno(&completion, "wait for transfer");
}

int kvx_xfer_result(struct kvx_xfer *xfer, struct kvx_result *result)
{
	const struct kvx_error before = kvx_error_save();
	struct kvxfer_completion completion = {};
	uint32_t index;
	int err;

	err = wait_command(xfer->agent, &xfer->id, 1, 0, 0, &completion, &index);
	/* Not ended: that is an answer, too. */
	if (err && kvx_last_error()->reason != KVXFER_REASON_XFER_TIMEOUT &&
	    kvx_last_error()->reason != KVXFER_REASON_XFER_STATE)
		return err;
	if (err)
		kvx_error_restore(&before);
	if (!completion.xfer) {
		completion.user_data = xfer->user_data;
		completion.xfer = xfer->id;
		completion.state = kvx_xfer_check(xfer);
	}
	return kvx_give_result(result, &completion, "result of transfer");
}

static int wait_set(struct kvx_xfer *const *xfers, size_t nr, uint32_t flags, uint64_t timeout_ns,
		    uint32_t *index)
{
	uint32_t few[64], *ids = few;
	int err;

	if (!nr)
		return kvx_fail(EINVAL, "wait for transfers: there are none");
	if (nr > ARRAY_SIZE(few)) {
		ids = calloc(nr, sizeof(*ids));
		if (!ids)
			return kvx_fail(ENOMEM, "wait for transfers: no memory");
	}
	err = 0;
	for (size_t i = 0; i < nr && !err; i++) {
		/* Numbers are the agent's own: another's would name another transfer. */
		if (xfers[i]->agent != xfers[0]->agent)
			err = kvx_fail(EINVAL, "wait for transfers: number %zu is another agent's",
				       i);
		ids[i] = xfers[i]->id;
	}
	if (!err)
		err = wait_command(xfers[0]->agent, ids, nr, flags, timeout_ns, NULL, index);
	if (ids != few)
		free(ids);
	return err;
}

int kvx_wait_all(struct kvx_xfer *const *xfers, size_t nr, uint64_t timeout_ns)
{
	uint32_t index;

	return wait_set(xfers, nr, 0, timeout_ns, &index);
}

int kvx_wait_any(struct kvx_xfer *const *xfers, size_t nr, uint64_t timeout_ns, size_t *index)
{
	uint32_t first = 0;
	int err = wait_set(xfers, nr, KVXFER_XFER_WAIT_ANY, timeout_ns, &first);

	if (!err && index)
		*index = first;
	return err;
}

int kvx_xfer_cancel(struct kvx_xfer *xfer)
{
	struct kvxfer_xfer_cancel cmd = { .xfer = xfer->id };

	return kvx_command(xfer->agent, KVXFER_IOC_XFER_CANCEL, "cancel transfer", &cmd.hdr,
			   sizeof(cmd));
}

static void release_command(struct kvx_agent *agent, uint32_t id)
{
	struct kvxfer_xfer_release cmd = { .xfer = id };

	kvx_command(agent, KVXFER_IOC_XFER_RELEASE, "release transfer", &cmd.hdr, sizeof(cmd));
}

void kvx_xfer_release(struct kvx_xfer *xfer)
{
	if (!xfer)
		return;
	release_command(xfer->agent, xfer->id);
	free(xfer);
}

int kvx_xfer_release_wait(struct kvx_xfer *xfer)
{
	struct kvxfer_xfer_release cmd = { .hdr.flags = KVXFER_XFER_RELEASE_WAIT };
	int err;

	if (!xfer)
		return 0;
	cmd.xfer = xfer->id;
	/* It comes to its end by itself: a signal is no reason to leave it. */
	do {
		err = kvx_command(xfer->agent, KVXFER_IOC_XFER_RELEASE, "release transfer",
				  &cmd.hdr, sizeof(cmd));
	} while (err == -EINTR);
	/* It was quiet before we could ask again. */
	if (err == -ENOENT)
		err = 0;
	free(xfer);
	return err;
}

int kvx_xfer_exec(struct kvx_agent *agent, struct kvx_handle src, const uint32_t *src_ids,
		  size_t nr_src, struct kvx_handle dst, const uint32_t *dst_ids, size_t nr_dst,
		  const struct kvx_xfer_opts *opts, struct kvx_result *result)
{
	struct kvxfer_xfer_prep cmd = {
		.hdr.flags = agent->eintr ? KVXFER_XFER_WAIT : KVXFER_XFER_POST,
	};
	int err = check_result(result, "transfer");

	/*
	 * XFER_EXEC does it all, but a signal cancels it, and what was canceled can only be begun
	 * anew. What was posted goes on when a signal ends the waiting for it; what is small has
	 * ended when it is posted.
	 */
	if (!err)
		err = prep_command(agent, &cmd, src, src_ids, nr_src, dst, dst_ids, nr_dst, opts,
				   agent->eintr ? KVXFER_IOC_XFER_EXEC : KVXFER_IOC_XFER_PREP,
				   "transfer");
	if (err)
		return err;
	if (!agent->eintr) {
		if (is_active(&cmd.out_result))
			err = wait_for_end(agent, cmd.out_xfer, KVX_FOREVER, &cmd.out_result);
		release_command(agent, cmd.out_xfer);
	}
	if (!err)
		err = kvx_give_result(result, &cmd.out_result, "transfer");
	return err ? err : result_errno(&cmd.out_result, "transfer");
}

uint32_t kvx_xfer_id(const struct kvx_xfer *xfer)
{
	return xfer->id;
}

uint64_t kvx_xfer_bytes(const struct kvx_xfer *xfer)
{
	return xfer->bytes;
}

int kvx_xfer_cost(struct kvx_xfer *xfer, struct kvx_cost *cost)
{
	struct kvxfer_xfer_cost cmd = { .xfer = xfer->id };
	struct kvx_cost full = {};
	int err;

	err = kvx_command(xfer->agent, KVXFER_IOC_XFER_COST, "cost of transfer", &cmd.hdr,
			  sizeof(cmd));
	if (err)
		return err;
	full.ns = cmd.out_ns;
	full.margin_ns = cmd.out_margin_ns;
	full.samples = cmd.out_samples;
	full.path = cmd.out_path;
	return kvx_give_struct(cost, &full, sizeof(full), "cost of transfer");
}

int kvx_ring_setup(struct kvx_agent *agent, uint32_t entries, int eventfd)
{
	struct kvxfer_ring_setup cmd = {
		.hdr.flags = eventfd >= 0 ? KVXFER_RING_SETUP_EVENTFD : 0,
		.entries = entries,
		.eventfd = eventfd >= 0 ? eventfd : 0,
	};
	void *ring;
	int err;

	pthread_mutex_lock(&agent->lock);
	/* One that could not be mapped is there, and can be mapped when there is room for it. */
	if (agent->ring_bytes && !agent->ring) {
		err = entries == agent->ring_entries ? 0 :
		      kvx_fail(EEXIST, "set up ring: there is one of %u entries",
			       agent->ring_entries);
	} else {
		err = kvx_command(agent, KVXFER_IOC_RING_SETUP, "set up ring", &cmd.hdr,
				  sizeof(cmd));
		if (!err) {
			agent->ring_bytes = cmd.out_mmap_bytes;
			agent->ring_entries = entries;
		}
	}
	if (!err) {
		ring = mmap(NULL, agent->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, agent->fd,
			    KVXFER_MMAP_RING);
		if (ring == MAP_FAILED)
			err = kvx_fail(errno, "map ring: %s",
				       strerrordesc_np(errno) ?: "unknown error");
		else
			agent->ring = ring;
	}
	pthread_mutex_unlock(&agent->lock);
	return err;
}

/* Take one, if there is one. Under the agent's lock. */
static bool ring_take(struct kvx_agent *agent, struct kvxfer_completion *completion)
{
	struct kvxfer_ring *ring = agent->ring;
	const struct kvxfer_completion *entries = (void *)((char *)ring + KVXFER_RING_ENTRIES);

	if (__atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) == agent->ring_head)
		return false;
	*completion = entries[agent->ring_head++ & (agent->ring_entries - 1)];
	__atomic_store_n(&ring->head, agent->ring_head, __ATOMIC_RELEASE);
	return true;
}

int kvx_ring_next(struct kvx_agent *agent, struct kvx_result *result)
{
	struct pollfd pollfd = { .fd = agent->fd, .events = POLLIN };
	struct kvxfer_completion completion;
	bool got = false;
	int err = kvx_check_struct(result, "next result");

	if (err)
		return err;
	pthread_mutex_lock(&agent->lock);
	if (agent->ring) {
		got = ring_take(agent, &completion);
		/* Those that found no room are put in by poll(). */
		if (!got && __atomic_load_n(&agent->ring->overflow, __ATOMIC_RELAXED) &&
		    poll(&pollfd, 1, 0) >= 0)
			got = ring_take(agent, &completion);
	}
	pthread_mutex_unlock(&agent->lock);
	if (got)
		return kvx_give_result(result, &completion, "next result");
	return agent->ring ? kvx_fail(EAGAIN, "next result: there is none") :
			     kvx_fail(EINVAL, "next result: the agent has no ring");
}

int kvx_wait_event(struct kvx_agent *agent, uint64_t timeout_ns, unsigned int *events)
{
	struct pollfd pollfd = { .fd = agent->fd, .events = POLLIN | POLLRDNORM | POLLRDBAND };
	const uint64_t end_ns = kvx_wait_end(timeout_ns);
	__u64 left_ns = timeout_ns;
	struct timespec ts;
	int nr;

	*events = 0;
	do {
		ts.tv_sec = left_ns / 1000000000;
		ts.tv_nsec = left_ns % 1000000000;
		nr = ppoll(&pollfd, 1, timeout_ns == KVX_FOREVER ? NULL : &ts, NULL);
	} while (nr < 0 && kvx_wait_again(agent, errno, end_ns, &left_ns, 0));
	/* Nothing was there at the last look, and the time is over. */
	if (nr < 0 && errno == EINTR && !agent->eintr)
		return 0;
	if (nr < 0)
		return kvx_fail(errno, "wait for an event: %s",
				strerrordesc_np(errno) ?: "unknown error");
	if (pollfd.revents & POLLRDNORM)
		*events |= KVX_EVENT_RESULT;
	if (pollfd.revents & POLLRDBAND)
		*events |= KVX_EVENT_NOTE;
	return 0;
}
