/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libkvxfer: KV-cache blocks, pinned and moved by the kernel.
 *
 * Every function that can fail returns 0 or a negative errno, and leaves in kvx_last_error() of the
 * calling thread what was wrong, in words. Functions may be called from any thread at any time;
 * closing an agent while another thread uses it is the one thing a program must not do.
 *
 * A function that waits goes on waiting when a signal has come and its handler has run, for the
 * time that is left; unless the agent was opened with KVX_OPEN_EINTR: then it returns -EINTR.
 *
 * A struct that may grow begins with its size: initialise it with its _INIT macro, and programs and
 * libraries of different age understand each other.
 */
#ifndef KVXFER_H
#define KVXFER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of an agent's name and of a version, the ending NUL among them. */
#define KVX_NAME_MAX		64
#define KVX_VERSION_MAX		32

/* An agent: one open /dev/kvxfer. Everything a program owns in the kernel hangs on it. */
struct kvx_agent;

/**
 * struct kvx_error - why the last call of this thread failed
 * @error: the errno, positive; 0 when nothing has failed yet
 * @reason: the kernel's reason (KVXFER_REASON_* of <linux/kvxfer.h>), 0 when it gave none
 * @index: where, in the unit that the reason names
 * @text: all of it as a person would want to read it
 */
struct kvx_error {
	int error;
	unsigned int reason;
	unsigned int index;
	char text[256];
};

/**
 * struct kvx_open_opts - how to open
 * @size: sizeof(struct kvx_open_opts), by KVX_OPEN_OPTS_INIT
 * @device: path of the device; NULL: /dev/kvxfer
 * @name: a name for the agent; NULL: that of the process
 * @worker_id: a worker_id for the agent; NULL: a random one
 * @flags: KVX_OPEN_*
 */
struct kvx_open_opts {
	size_t size;
	const char *device;
	const char *name;
	const uint64_t *worker_id;
	uint32_t flags;
};

#define KVX_OPEN_OPTS_INIT	{ sizeof(struct kvx_open_opts), NULL, NULL, NULL, 0 }

/* A signal ends what waits (-EINTR), and cancels what kvx_xfer_exec() has begun. */
#define KVX_OPEN_EINTR	1U

/**
 * struct kvx_info - what the kernel says of itself and of an agent
 * @size: sizeof(struct kvx_info), by KVX_INFO_INIT
 * @abi_version: of the kernel's interface
 * @agent_id: the agent's number on this node
 * @features: KVXFER_FEATURE_* bits
 * @boot_id: the node's id, new for each load of the module
 * @epoch: new for each open, 48 bits
 * @worker_id: the agent's
 * @agents: agents open on this node
 * @agents_max: how many may be
 * @version: of the module
 * @name: the agent's
 * @quota_bytes: how many bytes of pools the caller's user may have; UINT64_MAX: any
 * @quota_bytes_used: how many it has
 * @quota_pools: how many pools it may have; UINT64_MAX: any
 * @quota_pools_used: how many it has
 * @pool_bytes: of all pools of this node, those among them that are being freed
 */
struct kvx_info {
	size_t size;
	uint32_t abi_version;
	uint32_t agent_id;
	uint64_t features;
	uint64_t boot_id;
	uint64_t epoch;
	uint64_t worker_id;
	uint32_t agents;
	uint32_t agents_max;
	char version[KVX_VERSION_MAX];
	char name[KVX_NAME_MAX];
	uint64_t quota_bytes;
	uint64_t quota_bytes_used;
	uint64_t quota_pools;
	uint64_t quota_pools_used;
	uint64_t pool_bytes;
};

#define KVX_INFO_INIT \
	{ sizeof(struct kvx_info), 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, { 0 }, 0, 0, 0, 0, 0 }

/* Open the device. @opts may be NULL. */
int kvx_open(struct kvx_agent **agent, const struct kvx_open_opts *opts);

/* Make an agent of a descriptor that came from elsewhere; it is then closed with the agent. */
int kvx_open_fd(struct kvx_agent **agent, int fd);

/*
 * Close. NULL is allowed. All that the agent owns goes, unless another process holds its
 * descriptor.
 */
void kvx_close(struct kvx_agent *agent);

/* The descriptor: to poll, or to hand to another process. It stays the agent's. */
int kvx_fd(const struct kvx_agent *agent);

int kvx_query(struct kvx_agent *agent, struct kvx_info *info);
int kvx_set_name(struct kvx_agent *agent, const char *name);
int kvx_set_worker_id(struct kvx_agent *agent, uint64_t worker_id);

/* A pool that an agent has open. */
struct kvx_pool;

/* Where the memory of a pool is from. */
enum kvx_pool_kind {
	KVX_POOL_KERNEL	= 1,	/* pages of the kernel's own */
	KVX_POOL_MEMFD	= 2,	/* a memfd, plain or of huge pages */
	KVX_POOL_USER	= 3,	/* a range of a process's memory */
	KVX_POOL_DMABUF	= 4	/* another driver's memory */
};

/**
 * struct kvx_pool_opts - how to make a pool
 * @size: sizeof(struct kvx_pool_opts), by KVX_POOL_OPTS_INIT
 * @name: others may open it by this name, and it lives until it is unlinked; NULL: it goes with the
 * agent
 * @mode: who may open it by name: bits of 0666
 * @node: NUMA node its memory must be on; -1: any
 * @gid: group that it belongs to; -1: the caller's
 * @memfd: memfd that its memory is of, sealed as kvx_pool_create(3) says; -1: the kernel's own
 * memory
 * @progress: where the kernel counts the bytes that it has, for another thread to show; NULL:
 * nowhere
 */
struct kvx_pool_opts {
	size_t size;
	const char *name;
	unsigned int mode;
	int node;
	int gid;
	int memfd;
	uint64_t *progress;
};

#define KVX_POOL_OPTS_INIT	{ sizeof(struct kvx_pool_opts), NULL, 0600, -1, -1, -1, NULL }

/* Flags of kvx_pool_open(), kvx_pool_pin(), kvx_pool_import() and kvx_pool_map(). */
#define KVX_POOL_READ	0U
#define KVX_POOL_WRITE	1U

/* How struct kvx_pool_stat counts chunks and nodes. */
#define KVX_CHUNK_ORDERS	10
#define KVX_NODES		16

/**
 * struct kvx_pool_stat - what a pool is
 * @size: sizeof(struct kvx_pool_stat), by KVX_POOL_STAT_INIT
 * @id: its number on this node
 * @kind: enum kvx_pool_kind
 * @bytes: its size
 * @age_ns: how long ago it was made
 * @chunks: of how many contiguous pieces it is: of 4 KiB, 8 KiB, ... with pages of 4 KiB
 * @node_bytes: how much of it is on which NUMA node
 * @uid: owner
 * @gid: group
 * @mode: permission bits
 * @opens: how many agents have it open
 * @maps: how many mappings there are
 * @linked: does it still have its name?
 * @pid: process that made it
 * @page_bytes: bytes of a page
 * @name: empty for none
 * @exports: how many dma-bufs of it there are
 * @layouts: how many layouts are in it
 */
struct kvx_pool_stat {
	size_t size;
	uint32_t id;
	uint32_t kind;
	uint64_t bytes;
	uint64_t age_ns;
	uint64_t chunks[KVX_CHUNK_ORDERS];
	uint64_t node_bytes[KVX_NODES];
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;
	uint32_t opens;
	uint32_t maps;
	uint32_t linked;
	uint32_t pid;
	uint32_t page_bytes;
	char name[KVX_NAME_MAX];
	uint32_t exports;
	uint32_t layouts;
};

#define KVX_POOL_STAT_INIT \
	{ sizeof(struct kvx_pool_stat), 0, 0, 0, 0, { 0 }, { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, \
	  0, 0 }

/* Make a pool of @bytes, a multiple of the page size. @opts may be NULL. */
int kvx_pool_create(struct kvx_agent *agent, struct kvx_pool **pool, uint64_t bytes,
		    const struct kvx_pool_opts *opts);

/* Open the pool called @name: KVX_POOL_READ or KVX_POOL_WRITE. */
int kvx_pool_open(struct kvx_agent *agent, struct kvx_pool **pool, const char *name,
		  unsigned int flags);

/*
 * A pool of the program's own memory, pinned: page aligned. KVX_POOL_READ: nothing is written
 * there.
 */
int kvx_pool_pin(struct kvx_agent *agent, struct kvx_pool **pool, void *addr, uint64_t bytes,
		 unsigned int flags);

/* A dma-buf of the whole pool, which is of the kernel's own memory: a new descriptor. */
int kvx_pool_export(struct kvx_pool *pool, int *fd);

/* A pool of another driver's memory: a dma-buf. KVX_POOL_READ: nothing is written there. */
int kvx_pool_import(struct kvx_agent *agent, struct kvx_pool **pool, int dmabuf,
		    unsigned int flags);

/* Close. NULL is allowed. Mappings stay. To be called before the agent is closed. */
void kvx_pool_close(struct kvx_pool *pool);

uint64_t kvx_pool_bytes(const struct kvx_pool *pool);

/*
 * Map @bytes from @offset, 0 for all that follows. KVX_POOL_READ or KVX_POOL_WRITE (which reads,
 * too).
 */
int kvx_pool_map(struct kvx_pool *pool, void **addr, uint64_t offset, uint64_t bytes,
		 unsigned int flags);
int kvx_pool_unmap(void *addr, uint64_t bytes);

/* What a pool is: one that is open, one by its name, or the first whose id is above @after. */
int kvx_pool_stat(struct kvx_pool *pool, struct kvx_pool_stat *stat);
int kvx_pool_stat_name(struct kvx_agent *agent, const char *name, struct kvx_pool_stat *stat);
int kvx_pool_stat_next(struct kvx_agent *agent, uint32_t after, struct kvx_pool_stat *stat);

/* Take the name away; the memory goes when nobody has the pool open or mapped. */
int kvx_pool_unlink(struct kvx_agent *agent, const char *name);

/*
 * A handle: the name of a layout, on all nodes. The first word is the worker_id of its agent; the
 * second has the layout's id in its low 16 bits and the agent's epoch above. Other than by these
 * functions nothing is to be made of it.
 */
struct kvx_handle {
	uint64_t worker_id;
	uint64_t rest;
};

static inline unsigned int kvx_handle_layout_id(struct kvx_handle handle)
{
	return handle.rest & 0xffff;
}

static inline uint64_t kvx_handle_epoch(struct kvx_handle handle)
{
	return handle.rest >> 16;
}

/* How the bytes of a region are to be read; what is copied to each other must be of one format. */
enum kvx_format {
	KVX_FORMAT_NHD		= 1,	/* token, head, dimension */
	KVX_FORMAT_HND		= 2,	/* head, token, dimension */
	KVX_FORMAT_LATENT	= 3,	/* token, latent: MLA */
	KVX_FORMAT_OPAQUE	= 4	/* nobody's business */
};

/* Which bases a layout is given, and what follows each. */
enum kvx_layout_kind {
	KVX_LAYOUT_CONTIGUOUS	= 1,	/* one: [block][layer][outer] */
	KVX_LAYOUT_BLOCK_FIRST	= 2,	/* for each layer: [block][outer] */
	KVX_LAYOUT_BLOCK_SECOND	= 3,	/* for each layer: [outer][block] */
	KVX_LAYOUT_TABLE	= 4	/* for each (layer, outer), and block_stride */
};

/**
 * struct kvx_layout_config - what a layout is
 * @size: sizeof(struct kvx_layout_config), by KVX_LAYOUT_CONFIG_INIT
 * @kind: enum kvx_layout_kind
 * @format: enum kvx_format
 * @num_blocks: at least 1
 * @num_layers: at least 1
 * @outer_dim: 2 for K and V, 1 for latents
 * @page_size: tokens of a block
 * @inner_dim: elements of a token: heads times their dimension, or the latent
 * @dtype_width: bytes of an element, 1 to 8
 * @alignment: of the bases' offsets
 * @block_stride: with KVX_LAYOUT_TABLE, bytes from a block to the next; else 0
 */
struct kvx_layout_config {
	size_t size;
	uint32_t kind;
	uint32_t format;
	uint32_t num_blocks;
	uint32_t num_layers;
	uint32_t outer_dim;
	uint32_t page_size;
	uint32_t inner_dim;
	uint32_t dtype_width;
	uint32_t alignment;
	uint64_t block_stride;
};

/* One tensor of K and V in 2-byte elements; the other numbers are to be set. */
#define KVX_LAYOUT_CONFIG_INIT \
	{ sizeof(struct kvx_layout_config), KVX_LAYOUT_CONTIGUOUS, KVX_FORMAT_NHD, 0, 0, 2, 0, 0, \
	  2, 1, 0 }

/* Where something of a layout begins. */
struct kvx_layout_base {
	struct kvx_pool *pool;
	uint64_t offset;
};

/**
 * struct kvx_layout_stat - what a layout has become
 * @size: sizeof(struct kvx_layout_stat), by KVX_LAYOUT_STAT_INIT
 * @handle: its handle
 * @kind: these as they were registered
 * @format: the same
 * @num_blocks: the same
 * @num_layers: the same
 * @outer_dim: the same
 * @page_size: the same
 * @inner_dim: the same
 * @dtype_width: the same
 * @alignment: the same
 * @pools: how many pools it is in
 * @region_bytes: of a region: one (block, layer, outer)
 * @block_stride: bytes from a block to the next
 * @bytes: of all regions
 * @writable: were all of its pools open for writing?
 */
struct kvx_layout_stat {
	size_t size;
	struct kvx_handle handle;
	uint32_t kind;
	uint32_t format;
	uint32_t num_blocks;
	uint32_t num_layers;
	uint32_t outer_dim;
	uint32_t page_size;
	uint32_t inner_dim;
	uint32_t dtype_width;
	uint32_t alignment;
	uint32_t pools;
	uint64_t region_bytes;
	uint64_t block_stride;
	uint64_t bytes;
	uint32_t writable;
};

#define KVX_LAYOUT_STAT_INIT \
	{ sizeof(struct kvx_layout_stat), { 0, 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Say where KV blocks are; the layout holds its pools until it is unregistered. */
int kvx_layout_register(struct kvx_agent *agent, struct kvx_handle *handle,
			const struct kvx_layout_config *config,
			const struct kvx_layout_base *bases, size_t nr_bases);

/*
 * Done with it. With transfers prepared it is busy, unless they are to be waited for
 * (KVX_UNREGISTER_WAIT) or ended (KVX_UNREGISTER_CUT); then nothing touches its blocks any more.
 */
#define KVX_UNREGISTER_WAIT	1U
#define KVX_UNREGISTER_CUT	2U

int kvx_layout_unregister(struct kvx_agent *agent, struct kvx_handle handle);
int kvx_layout_unregister_flags(struct kvx_agent *agent, struct kvx_handle handle,
				unsigned int flags);

/* What a layout of this agent is: that of @handle, or the first whose id is above @after. */
int kvx_layout_stat(struct kvx_agent *agent, struct kvx_handle handle,
		    struct kvx_layout_stat *stat);
int kvx_layout_stat_next(struct kvx_agent *agent, unsigned int after,
			 struct kvx_layout_stat *stat);

/*
 * Transfers: blocks of one layout to those of another. Both are named by handles, of this agent's
 * layouts or of imported ones; nothing else of where they are has to be known.
 */
struct kvx_xfer;

/* Where a transfer is; from KVX_XFER_DONE on it has ended. */
enum kvx_xfer_state {
	KVX_XFER_GONE		= 0,	/* released */
	KVX_XFER_IDLE		= 1,	/* prepared, and not posted yet */
	KVX_XFER_RUNNING	= 2,
	KVX_XFER_CANCELING	= 3,	/* these: it is to end early, and is not quiet yet */
	KVX_XFER_EXPIRING	= 4,
	KVX_XFER_FAILING	= 5,
	KVX_XFER_RELEASING	= 6,
	KVX_XFER_DONE		= 7,	/* all bytes are where they should be */
	KVX_XFER_CANCELED	= 8,	/* these: it has ended early, and nothing is written */
	KVX_XFER_TIMEDOUT	= 9,
	KVX_XFER_FAILED		= 10
};

/* How bytes go. */
enum kvx_path {
	KVX_PATH_AUTO	= 0,	/* the best there is */
	KVX_PATH_LOCAL	= 1,	/* copied by the CPUs of this node */
	KVX_PATH_RDMA	= 2	/* by RDMA devices */
};

/* Bits of struct kvx_result.flags. */
#define KVX_RESULT_INLINE	1U	/* done before the post returned */
#define KVX_RESULT_NOTE_LOST	2U	/* the note's receiver is gone */
/*
 * It wrote to another node, did not end well, and that node could not be asked whether all that was
 * on its way is over: do not take its blocks there for quiet until that node is heard of again.
 */
#define KVX_RESULT_UNCONFIRMED	4U

/* For ever, where a time is asked for. */
#define KVX_FOREVER		UINT64_MAX

/**
 * struct kvx_result - how a transfer ended
 * @size: sizeof(struct kvx_result), by KVX_RESULT_INIT
 * @user_data: as it was prepared
 * @bytes: how many are where they should be
 * @post_ns: when it was posted, by CLOCK_MONOTONIC
 * @end_ns: when it ended
 * @xfer: its number, kvx_xfer_id()
 * @state: enum kvx_xfer_state
 * @error: errno for one that did not end well
 * @reason: KVXFER_REASON_* of <linux/kvxfer.h>
 * @index: where, in the unit that the reason names
 * @path: enum kvx_path that it took
 * @flags: KVX_RESULT_*
 * @rails: by which rails bytes went: a mask of their numbers, see kvxfer-rail(8)
 */
struct kvx_result {
	size_t size;
	uint64_t user_data;
	uint64_t bytes;
	uint64_t post_ns;
	uint64_t end_ns;
	uint32_t xfer;
	uint32_t state;
	uint32_t error;
	uint32_t reason;
	uint32_t index;
	uint32_t path;
	uint32_t flags;
	uint32_t rails;
};

#define KVX_RESULT_INIT	{ sizeof(struct kvx_result), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Which bytes of each region: @count runs of @bytes, @stride apart. All 0: the whole region. */
struct kvx_piece {
	uint64_t offset;
	uint64_t bytes;
	uint64_t stride;
	uint32_t count;
};

/**
 * struct kvx_xfer_opts - what a transfer is beside its blocks
 * @size: sizeof(struct kvx_xfer_opts), by KVX_XFER_OPTS_INIT
 * @src_layer: the first of the source's layers
 * @dst_layer: the first of the destination's
 * @nr_layers: how many; 0: all
 * @outers: mask of outer indices, 1 for K and 2 for V; 0: all
 * @src_piece: which bytes of the source's regions
 * @dst_piece: which bytes of the destination's
 * @user_data: comes back with the result
 * @deadline_ns: how long it may take; 0: the default
 * @path: enum kvx_path
 * @note: comes to its receiver after the data; NULL: none
 * @note_bytes: how many
 * @note_worker_id: the receiver; 0: the agent of the layout that is not this agent's
 * @rails: by which rails only: a mask of their numbers, see kvxfer-rail(8); 0: all that are nearest
 * to the memory, by NUMA
 */
struct kvx_xfer_opts {
	size_t size;
	uint32_t src_layer;
	uint32_t dst_layer;
	uint32_t nr_layers;
	uint32_t outers;
	struct kvx_piece src_piece;
	struct kvx_piece dst_piece;
	uint64_t user_data;
	uint64_t deadline_ns;
	uint32_t path;
	const void *note;
	size_t note_bytes;
	uint64_t note_worker_id;
	uint32_t rails;
};

#define KVX_XFER_OPTS_INIT \
	{ sizeof(struct kvx_xfer_opts), 0, 0, 0, 0, { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, 0, 0, \
	  KVX_PATH_AUTO, NULL, 0, 0, 0 }

/*
 * Copy the blocks @src_ids of @src to the blocks @dst_ids of @dst, and do not wait. What comes out
 * is to be asked or waited for, and released in the end. @opts may be NULL.
 */
int kvx_transfer(struct kvx_agent *agent, struct kvx_xfer **xfer,
		 struct kvx_handle src, const uint32_t *src_ids, size_t nr_src,
		 struct kvx_handle dst, const uint32_t *dst_ids, size_t nr_dst,
		 const struct kvx_xfer_opts *opts);

/* The same without beginning: to be posted, and again whenever it is done. */
int kvx_xfer_prep(struct kvx_agent *agent, struct kvx_xfer **xfer,
		  struct kvx_handle src, const uint32_t *src_ids, size_t nr_src,
		  struct kvx_handle dst, const uint32_t *dst_ids, size_t nr_dst,
		  const struct kvx_xfer_opts *opts);

/*
 * The same in one call, to its end: 0 when all is done, else how it ended. @result may be NULL.
 * With KVX_OPEN_EINTR a signal cancels it.
 */
int kvx_xfer_exec(struct kvx_agent *agent,
		  struct kvx_handle src, const uint32_t *src_ids, size_t nr_src,
		  struct kvx_handle dst, const uint32_t *dst_ids, size_t nr_dst,
		  const struct kvx_xfer_opts *opts, struct kvx_result *result);

/* Begin. With a note: that one, this time. */
int kvx_xfer_post(struct kvx_xfer *xfer);
int kvx_xfer_post_note(struct kvx_xfer *xfer, uint64_t worker_id, const void *note, size_t bytes);

/* Where it is: enum kvx_xfer_state. A load from memory, no system call. */
unsigned int kvx_xfer_check(const struct kvx_xfer *xfer);

/*
 * Wait for its end, @timeout_ns at most: 0 when it is done, else how it ended; -ETIME when it has
 * not. @result may be NULL.
 */
int kvx_xfer_wait(struct kvx_xfer *xfer, uint64_t timeout_ns, struct kvx_result *result);

/* How it ended, or where it is. */
int kvx_xfer_result(struct kvx_xfer *xfer, struct kvx_result *result);

/* Wait until all have ended, however; or until one has, whose place in the list comes out. */
int kvx_wait_all(struct kvx_xfer *const *xfers, size_t nr, uint64_t timeout_ns);
int kvx_wait_any(struct kvx_xfer *const *xfers, size_t nr, uint64_t timeout_ns, size_t *index);

/* End it early. It has ended when it is seen to have, which on one node is at once. */
int kvx_xfer_cancel(struct kvx_xfer *xfer);

/*
 * Done with it, wherever it is. NULL is allowed. To be called before the agent is closed. The first
 * does not wait: by RDMA, what is on its way may still be written until the transfer is quiet,
 * which the ring tells with KVX_XFER_GONE. The second returns when it is quiet.
 */
void kvx_xfer_release(struct kvx_xfer *xfer);
int kvx_xfer_release_wait(struct kvx_xfer *xfer);

uint32_t kvx_xfer_id(const struct kvx_xfer *xfer);
uint64_t kvx_xfer_bytes(const struct kvx_xfer *xfer);

/* "DONE"; never NULL, for any number. */
const char *kvx_state_name(unsigned int state);

/**
 * struct kvx_cost - how long a transfer would take
 * @size: sizeof(struct kvx_cost), by KVX_COST_INIT
 * @ns: from its post to its end
 * @margin_ns: how far those that were measured were from each other
 * @samples: how many of about its size were measured
 * @path: enum kvx_path that it will take
 */
struct kvx_cost {
	size_t size;
	uint64_t ns;
	uint64_t margin_ns;
	uint64_t samples;
	uint32_t path;
};

#define KVX_COST_INIT	{ sizeof(struct kvx_cost), 0, 0, 0, 0 }

/* By what was measured on this node; -ENODATA when nothing was yet. */
int kvx_xfer_cost(struct kvx_xfer *xfer, struct kvx_cost *cost);

/*
 * A ring of @entries, a power of two, in which each post ends in a result, in the order of their
 * ends; it is read without a system call. @eventfd counts results and notes; -1: none.
 */
int kvx_ring_setup(struct kvx_agent *agent, uint32_t entries, int eventfd);

/* Take the next result; -EAGAIN when there is none. */
int kvx_ring_next(struct kvx_agent *agent, struct kvx_result *result);

/* What kvx_wait_event() says. */
#define KVX_EVENT_RESULT	1U
#define KVX_EVENT_NOTE		2U

/* Wait for a result in the ring or for a note: which of them is there. 0 when the time is over. */
int kvx_wait_event(struct kvx_agent *agent, uint64_t timeout_ns, unsigned int *events);

/*
 * Others may use a layout who have been given the key of a grant: by the metadata that
 * kvx_export_metadata() makes.
 */
#define KVX_GRANT_READ	1U
#define KVX_GRANT_WRITE	2U

/**
 * struct kvx_grant_opts - what is granted
 * @size: sizeof(struct kvx_grant_opts), by KVX_GRANT_OPTS_INIT
 * @rights: KVX_GRANT_*
 * @first_block: the first block
 * @nr_blocks: how many; 0: all that follow
 * @expires_ns: for how long; 0: as long as the layout
 */
struct kvx_grant_opts {
	size_t size;
	uint32_t rights;
	uint32_t first_block;
	uint32_t nr_blocks;
	uint64_t expires_ns;
};

#define KVX_GRANT_OPTS_INIT	{ sizeof(struct kvx_grant_opts), KVX_GRANT_READ, 0, 0, 0 }

/* A grant, to be exported or revoked. */
struct kvx_grant {
	struct kvx_handle handle;
	uint32_t rights;
	uint32_t first_block;
	uint32_t nr_blocks;
	uint8_t key[16];
};

/* @opts may be NULL: all blocks, for reading. */
int kvx_grant(struct kvx_agent *agent, struct kvx_grant *grant, struct kvx_handle handle,
	      const struct kvx_grant_opts *opts);

/* Take it back: when this returns, nobody uses it. */
int kvx_revoke(struct kvx_agent *agent, const struct kvx_grant *grant);

/*
 * What another agent has to know to use the layouts of @grants: some bytes, to be brought to it in
 * any way, and freed by free(). Who has them has the rights.
 */
int kvx_export_metadata(struct kvx_agent *agent, const struct kvx_grant *grants, size_t nr_grants,
			void **blob, size_t *bytes);

/* Another agent, as it was imported. */
struct kvx_peer;

/**
 * struct kvx_peer_info - another agent
 * @size: sizeof(struct kvx_peer_info), by KVX_PEER_INFO_INIT
 * @boot_id: of its node
 * @worker_id: its own
 * @epoch: its own
 * @layouts: how many of its layouts are imported
 * @name: its name
 * @addresses: at how many addresses its node can be reached by RDMA
 */
struct kvx_peer_info {
	size_t size;
	uint64_t boot_id;
	uint64_t worker_id;
	uint64_t epoch;
	uint64_t layouts;
	char name[KVX_NAME_MAX];
	uint64_t addresses;
};

#define KVX_PEER_INFO_INIT	{ sizeof(struct kvx_peer_info), 0, 0, 0, 0, { 0 }, 0 }

/**
 * struct kvx_peer_layout - a layout of another agent
 * @size: sizeof(struct kvx_peer_layout), by KVX_PEER_LAYOUT_INIT
 * @handle: its handle
 * @format: enum kvx_format
 * @num_blocks: these as it was registered
 * @num_layers: the same
 * @outer_dim: the same
 * @page_size: the same
 * @inner_dim: the same
 * @dtype_width: the same
 * @rights: KVX_GRANT_*
 * @first_block: the first block that may be used
 * @nr_blocks: how many may be
 * @region_bytes: of a region
 */
struct kvx_peer_layout {
	size_t size;
	struct kvx_handle handle;
	uint32_t format;
	uint32_t num_blocks;
	uint32_t num_layers;
	uint32_t outer_dim;
	uint32_t page_size;
	uint32_t inner_dim;
	uint32_t dtype_width;
	uint32_t rights;
	uint32_t first_block;
	uint32_t nr_blocks;
	uint64_t region_bytes;
};

#define KVX_PEER_LAYOUT_INIT \
	{ sizeof(struct kvx_peer_layout), { 0, 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/*
 * Be connected with the node of an agent that has exported @blob, so that kvx_import_metadata()
 * does not wait for that; until this agent is closed. @timeout_ns 0: only begin, or ask how far it
 * is: -EAGAIN until it is there.
 */
int kvx_connect(struct kvx_agent *agent, const void *blob, size_t bytes, uint64_t timeout_ns);

/*
 * Take what another agent has exported: from then on its handles can be used here. The same agent
 * again is refused (-EEXIST); when it was opened anew, the new one takes the place of the old.
 * @peer, which may be NULL, is freed by kvx_peer_free(): that forgets nothing.
 */
int kvx_import_metadata(struct kvx_agent *agent, const void *blob, size_t bytes,
			struct kvx_peer **peer);

/*
 * The same, but it waits for the agent's node no longer than @timeout_ns. 0: not until it is
 * connected: -EAGAIN till then; that is begun, as by kvx_connect(), and this is to be tried again.
 */
int kvx_import(struct kvx_agent *agent, const void *blob, size_t bytes, uint64_t timeout_ns,
	       struct kvx_peer **peer);
int kvx_peer_info(const struct kvx_peer *peer, struct kvx_peer_info *info);
int kvx_peer_layout(const struct kvx_peer *peer, size_t index, struct kvx_peer_layout *layout);
void kvx_peer_free(struct kvx_peer *peer);

/* Its handles are unknown here from then on. */
int kvx_forget(struct kvx_agent *agent, uint64_t worker_id);

/* The same of the one on a node, where agents of several nodes have the same worker_id. */
int kvx_forget_on(struct kvx_agent *agent, uint64_t worker_id, uint64_t boot_id);

/* The longest note. */
#define KVX_NOTE_MAX	4096

/**
 * struct kvx_note - a note that has come
 * @worker_id: of the sender, by the kernel's word
 * @epoch: of the sender
 * @sent_ns: when, by CLOCK_MONOTONIC
 * @bytes: how many
 * @data: they
 */
struct kvx_note {
	uint64_t worker_id;
	uint64_t epoch;
	uint64_t sent_ns;
	size_t bytes;
	unsigned char data[KVX_NOTE_MAX];
};

/* Flags of kvx_note_send(). */
#define KVX_NOTE_WAIT	1U	/* wait for room, when the receiver has not taken earlier ones */

/*
 * Send bytes to an agent of a worker_id, or to just the one that owns a layout. Without
 * KVX_NOTE_WAIT, -EAGAIN when there is no room.
 */
int kvx_note_send(struct kvx_agent *agent, uint64_t worker_id, const void *data, size_t bytes,
		  unsigned int flags);
int kvx_note_send_handle(struct kvx_agent *agent, struct kvx_handle handle, const void *data,
			 size_t bytes, unsigned int flags);

/* Take the next note; -EAGAIN when there is none. */
int kvx_note_recv(struct kvx_agent *agent, struct kvx_note *note);

/* Take all that have come: @each is called for each, in order. Returns how many, or an errno. */
int kvx_note_recv_all(struct kvx_agent *agent,
		      void (*each)(const struct kvx_note *note, void *arg), void *arg);

/**
 * struct kvx_msg_opts - what a message is beside its bytes
 * @size: sizeof(struct kvx_msg_opts), by KVX_MSG_OPTS_INIT
 * @epoch: of the other agent; 0: any
 * @user_data: comes back with the result
 * @deadline_ns: how long it may take; 0: the default
 * @path: enum kvx_path
 * @rails: to receive: by which rails only, as in struct kvx_xfer_opts
 */
struct kvx_msg_opts {
	size_t size;
	uint64_t epoch;
	uint64_t user_data;
	uint64_t deadline_ns;
	uint32_t path;
	uint32_t rails;
};

#define KVX_MSG_OPTS_INIT { sizeof(struct kvx_msg_opts), 0, 0, 0, KVX_PATH_AUTO, 0 }

/*
 * Send bytes of a pool to the agent of a worker_id, and have room in a pool for what it sends. What
 * one sends and the other has room for meet in the order of the calls; both end when the bytes are
 * there, and a result's bytes are the message's length. What comes out is a transfer, to be waited
 * for, canceled and released as others are, and posted again when it is done.
 */
int kvx_msg_send(struct kvx_agent *agent, struct kvx_xfer **xfer, uint64_t worker_id,
		 const struct kvx_pool *pool, uint64_t offset, uint64_t bytes,
		 const struct kvx_msg_opts *opts);
int kvx_msg_recv(struct kvx_agent *agent, struct kvx_xfer **xfer, uint64_t worker_id,
		 const struct kvx_pool *pool, uint64_t offset, uint64_t bytes,
		 const struct kvx_msg_opts *opts);

/* Never NULL; good until this thread's next failing call. */
const struct kvx_error *kvx_last_error(void);

/* "NAME_CHAR", and what it means; never NULL, for any number. */
const char *kvx_reason_name(unsigned int reason);
const char *kvx_reason_text(unsigned int reason);

/* Why another node does not want to be connected: the index of PEER_REFUSED; never NULL. */
const char *kvx_refusal_text(unsigned int refusal);

/* Version of the library. */
const char *kvx_version(void);

#ifdef __cplusplus
}
#endif

#endif /* KVXFER_H */
