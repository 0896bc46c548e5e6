/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvxfer: LLM KV-cache blocks, pinned and moved by the kernel.
 * This is the ioctl interface of /dev/kvxfer.
 */
#ifndef _UAPI_LINUX_KVXFER_H
#define _UAPI_LINUX_KVXFER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: how every command works
 *
 * An open file of /dev/kvxfer is an *agent*. Commands are ioctls on it. The argument of each points
 * to a struct that begins with the four words of &struct kvxfer_hdr; it may stand at any address.
 *
 * @size is what the caller believes the struct's size to be. A kernel that knows a longer struct
 * takes the missing tail for zeros. A kernel that knows a shorter one accepts the rest only if it
 * is zero. So structs grow at their end, and old programs and old kernels keep working.
 *
 * @flags holds bits of the command. A bit the kernel does not know is refused, never ignored.
 *
 * @reason and @index are written by the kernel, and both are zeroed before a command begins: memory
 * that cannot be written fails with EFAULT before anything is done. A refused command says in
 * @reason what was wrong (&enum kvxfer_reason) and in @index where; what @index counts is said with
 * each reason. Of a refused struct nothing else is changed.
 *
 * A command that succeeds returns 0, and the outputs (fields named out_*) that lie within @size are
 * written.
 *
 * What each errno means, for all commands:
 *
 * ============  =================================  ================================================
 * errno         reason                             cause
 * ============  =================================  ================================================
 * ENOTTY        NR_UNKNOWN                         there is no command with this number
 * EINVAL        SIZE_SHORT                         @size is below the least this command takes
 * EMSGSIZE      SIZE_HUGE                          @size is above KVXFER_SIZE_MAX
 * E2BIG         TAIL_NONZERO                       bytes that this kernel does not know are not 0
 * EOPNOTSUPP    FLAG_UNKNOWN                       a flag that this kernel does not know is set
 * EFAULT        (none)                             the struct, or memory it names, is out of reach
 * EINVAL        as the command says                a field has a value it may not have
 * EEXIST        as the command says                the thing is there already
 * ============  =================================  ================================================
 *
 * The checks are made in this order: number, size, access, tail, flags, fields. With a @size below
 * sizeof(struct kvxfer_hdr) no reason is written, as the caller says that there is no room for it.
 *
 * An agent belongs to its open file: dup, fork and SCM_RIGHTS share it, and closing the last copy
 * ends it and frees all that it owns, however the process came to its end.
 */

#define KVXFER_DEVICE		"/dev/kvxfer"

/* Raised when something is added that a program may want to know of; never lowered. */
#define KVXFER_ABI_VERSION	1

#define KVXFER_IOC_TYPE		0xbf

/* The greatest @size of any command's struct. */
#define KVXFER_SIZE_MAX		4096

/* Bytes of an agent's name, the ending NUL among them. */
#define KVXFER_NAME_MAX		64

/* Bytes of a version text, the ending NUL among them. */
#define KVXFER_VERSION_MAX	32

/* An epoch has this many bits; it is never 0. */
#define KVXFER_EPOCH_BITS	48

/**
 * enum kvxfer_reason - what was wrong with a refused command
 * @KVXFER_REASON_NONE: nothing to say beyond the errno
 * @KVXFER_REASON_NR_UNKNOWN: no command has this number; @index is the number
 * @KVXFER_REASON_SIZE_SHORT: @size is too small; @index is the least size
 * @KVXFER_REASON_SIZE_HUGE: @size is too large; @index is the greatest size
 * @KVXFER_REASON_TAIL_NONZERO: a byte beyond what this kernel knows is set; @index is its offset
 * @KVXFER_REASON_FLAG_UNKNOWN: a flag is not known; @index is the number of the lowest such bit
 * @KVXFER_REASON_FIELD_UNUSED: a field is set whose flag is not; @index is the field's offset
 * @KVXFER_REASON_NAME_EMPTY: a name has no characters
 * @KVXFER_REASON_NAME_LONG: a name has no NUL in its field; @index is the field's size
 * @KVXFER_REASON_NAME_CHAR: a name holds a byte that is not printable ASCII; @index is its place
 * @KVXFER_REASON_WORKER_ID_TAKEN: another agent of this node has this worker_id; @index is its
 *	out_agent_id
 * @KVXFER_REASON_POOL_UNKNOWN: the agent has no such pool; @index is the number
 * @KVXFER_REASON_POOL_SIZE: the size is 0, no multiple of the page size, or more than there is
 * @KVXFER_REASON_POOL_MODE: a mode has other bits than 0666; @index is those bits
 * @KVXFER_REASON_POOL_NODE: there is no such NUMA node, or it has no memory
 * @KVXFER_REASON_POOL_NAME_TAKEN: a pool of this name exists
 * @KVXFER_REASON_POOL_NAME_UNKNOWN: no pool has this name
 * @KVXFER_REASON_POOL_RIGHTS: owner, group and mode of the pool do not allow this
 * @KVXFER_REASON_POOL_GROUP: the caller is not in the group it wants to give the pool to
 * @KVXFER_REASON_QUOTA_BYTES: the user's pools would be larger than its quota; QUERY says both
 * @KVXFER_REASON_QUOTA_POOLS: the user's pools would be more than its quota; QUERY says both
 * @KVXFER_REASON_NO_MEMORY: there is not that much memory; @index is how many MiB were got
 * @KVXFER_REASON_INTERRUPTED: a signal came; @index is how many MiB were done
 * @KVXFER_REASON_MEMFD_KIND: the file is no memfd
 * @KVXFER_REASON_MEMFD_SEAL: the memfd is not sealed against shrinking (F_SEAL_SHRINK)
 * @KVXFER_REASON_MEMFD_ACCESS: the descriptor does not allow reading and writing
 * @KVXFER_REASON_RANGE: the range is not page aligned, is empty or wraps around
 * @KVXFER_REASON_RANGE_UNMAPPED: nothing is mapped in the range; @index is the page within it
 * @KVXFER_REASON_RANGE_READONLY: memory in the range may not be written; @index is the page
 * @KVXFER_REASON_RANGE_DEVICE: the range maps a device; @index is the page
 * @KVXFER_REASON_RANGE_FILE: the range maps a file on a disk; @index is the page
 * @KVXFER_REASON_RANGE_FAULT: a page in the range cannot be had; @index is the page
 * @KVXFER_REASON_MEMLOCK: RLIMIT_MEMLOCK would be exceeded; @index is the limit in MiB
 * @KVXFER_REASON_POOL_KIND: a pool of this kind cannot do that; @index is &enum kvxfer_pool_kind
 * @KVXFER_REASON_POOL_READONLY: the agent has the pool open for reading only
 * @KVXFER_REASON_DMABUF_KIND: the file is no dma-buf
 * @KVXFER_REASON_DMABUF_ACCESS: the dma-buf's descriptor does not allow what is asked for
 * @KVXFER_REASON_DMABUF_CPU: the dma-buf's exporter gives the CPU no way to its memory; @index is
 *	the errno it gave
 * @KVXFER_REASON_DMABUF_IOMEM: the dma-buf's memory is a device's, not the machine's
 * @KVXFER_REASON_WORKER_ID_USED: the agent's handles hold its worker_id, so it stays
 * @KVXFER_REASON_LAYOUT_KIND: there is no such kind of layout
 * @KVXFER_REASON_LAYOUT_FORMAT: there is no such format
 * @KVXFER_REASON_LAYOUT_BLOCKS: no blocks
 * @KVXFER_REASON_LAYOUT_LAYERS: no layers
 * @KVXFER_REASON_LAYOUT_OUTER: the outer dimension is not 1 to 8
 * @KVXFER_REASON_LAYOUT_PAGE: no tokens in a block
 * @KVXFER_REASON_LAYOUT_INNER: no elements in a token
 * @KVXFER_REASON_LAYOUT_DTYPE: an element's width is not 1 to 8 bytes
 * @KVXFER_REASON_LAYOUT_ALIGNMENT: the alignment is 0
 * @KVXFER_REASON_LAYOUT_ENTRIES: more layers times outer than KVXFER_LAYOUT_ENTRIES_MAX
 * @KVXFER_REASON_LAYOUT_OVERFLOW: the whole is larger than any number of bytes
 * @KVXFER_REASON_LAYOUT_BASES: not as many bases as this kind has; @index is how many it has
 * @KVXFER_REASON_LAYOUT_STRIDE: blocks are nearer to each other than a region is long, or farther
 *	than any pool
 * @KVXFER_REASON_LAYOUT_POOL: a base's pool is none of the agent's; @index is the base
 * @KVXFER_REASON_LAYOUT_BOUNDS: regions of an entry lie beyond their pool; @index is the entry
 * @KVXFER_REASON_LAYOUT_OVERLAP: regions of two entries lie over each other; @index is the later
 *	entry
 * @KVXFER_REASON_LAYOUT_IDS: the agent has used up its 65535 layout ids
 * @KVXFER_REASON_LAYOUT_UNKNOWN: the agent has no such layout; @index is the id
 * @KVXFER_REASON_LAYOUT_BASE: a base's reserved word is set; @index is the base
 * @KVXFER_REASON_LAYOUT_BASE_ALIGNMENT: a base's offset is no multiple of the alignment; @index is
 *	the base
 * @KVXFER_REASON_NR: how many reasons this header knows
 */
enum kvxfer_reason {
	KVXFER_REASON_NONE		= 0,
	KVXFER_REASON_NR_UNKNOWN	= 1,
	KVXFER_REASON_SIZE_SHORT	= 2,
	KVXFER_REASON_SIZE_HUGE		= 3,
	KVXFER_REASON_TAIL_NONZERO	= 4,
	KVXFER_REASON_FLAG_UNKNOWN	= 5,
	KVXFER_REASON_FIELD_UNUSED	= 6,
	KVXFER_REASON_NAME_EMPTY	= 7,
	KVXFER_REASON_NAME_LONG		= 8,
	KVXFER_REASON_NAME_CHAR		= 9,
	KVXFER_REASON_WORKER_ID_TAKEN	= 10,
	KVXFER_REASON_POOL_UNKNOWN	= 11,
	KVXFER_REASON_POOL_SIZE		= 12,
	KVXFER_REASON_POOL_MODE		= 13,
	KVXFER_REASON_POOL_NODE		= 14,
	KVXFER_REASON_POOL_NAME_TAKEN	= 15,
	KVXFER_REASON_POOL_NAME_UNKNOWN	= 16,
	KVXFER_REASON_POOL_RIGHTS	= 17,
	KVXFER_REASON_POOL_GROUP	= 18,
	KVXFER_REASON_QUOTA_BYTES	= 19,
	KVXFER_REASON_QUOTA_POOLS	= 20,
	KVXFER_REASON_NO_MEMORY		= 21,
	KVXFER_REASON_INTERRUPTED	= 22,
	KVXFER_REASON_MEMFD_KIND	= 23,
	KVXFER_REASON_MEMFD_SEAL	= 24,
	KVXFER_REASON_MEMFD_ACCESS	= 25,
	KVXFER_REASON_RANGE		= 26,
	KVXFER_REASON_RANGE_UNMAPPED	= 27,
	KVXFER_REASON_RANGE_READONLY	= 28,
	KVXFER_REASON_RANGE_DEVICE	= 29,
	KVXFER_REASON_RANGE_FILE	= 30,
	KVXFER_REASON_RANGE_FAULT	= 31,
	KVXFER_REASON_MEMLOCK		= 32,
	KVXFER_REASON_POOL_KIND		= 33,
	KVXFER_REASON_POOL_READONLY	= 34,
	KVXFER_REASON_DMABUF_KIND	= 35,
	KVXFER_REASON_DMABUF_ACCESS	= 36,
	KVXFER_REASON_DMABUF_CPU	= 37,
	KVXFER_REASON_DMABUF_IOMEM	= 38,
	KVXFER_REASON_WORKER_ID_USED	= 39,
	KVXFER_REASON_LAYOUT_KIND	= 40,
	KVXFER_REASON_LAYOUT_FORMAT	= 41,
	KVXFER_REASON_LAYOUT_BLOCKS	= 42,
	KVXFER_REASON_LAYOUT_LAYERS	= 43,
	KVXFER_REASON_LAYOUT_OUTER	= 44,
	KVXFER_REASON_LAYOUT_PAGE	= 45,
	KVXFER_REASON_LAYOUT_INNER	= 46,
	KVXFER_REASON_LAYOUT_DTYPE	= 47,
	KVXFER_REASON_LAYOUT_ALIGNMENT	= 48,
	KVXFER_REASON_LAYOUT_ENTRIES	= 49,
	KVXFER_REASON_LAYOUT_OVERFLOW	= 50,
	KVXFER_REASON_LAYOUT_BASES	= 51,
	KVXFER_REASON_LAYOUT_STRIDE	= 52,
	KVXFER_REASON_LAYOUT_POOL	= 53,
	KVXFER_REASON_LAYOUT_BOUNDS	= 54,
	KVXFER_REASON_LAYOUT_OVERLAP	= 55,
	KVXFER_REASON_LAYOUT_IDS	= 56,
	KVXFER_REASON_LAYOUT_UNKNOWN	= 57,
	KVXFER_REASON_LAYOUT_BASE	= 58,
	KVXFER_REASON_LAYOUT_BASE_ALIGNMENT	= 59,

	KVXFER_REASON_NR
};

/**
 * struct kvxfer_hdr - how every command's struct begins
 * @size: in: size of the whole struct, as the caller knows it
 * @flags: in: bits of the command
 * @reason: out: &enum kvxfer_reason
 * @index: out: where, in the unit that the reason names
 */
struct kvxfer_hdr {
	__u32 size;
	__u32 flags;
	__u32 reason;
	__u32 index;
};

/* Features, bits of kvxfer_query.out_features. */
#define KVXFER_FEATURE_AGENT	(1ULL << 0)	/* QUERY, AGENT_SET */
#define KVXFER_FEATURE_POOL	(1ULL << 1)	/* POOL_CREATE to POOL_STAT */
#define KVXFER_FEATURE_DMABUF	(1ULL << 2)	/* POOL_EXPORT, POOL_DMABUF */
#define KVXFER_FEATURE_LAYOUT	(1ULL << 3)	/* LAYOUT_REGISTER to LAYOUT_STAT */

/**
 * struct kvxfer_query - ioctl(KVXFER_IOC_QUERY): this kernel, and the agent that asks
 * @hdr: no flags
 * @out_abi_version: KVXFER_ABI_VERSION of the kernel
 * @out_size_max: KVXFER_SIZE_MAX of the kernel
 * @out_features: KVXFER_FEATURE_* bits of what the kernel can do
 * @out_boot_id: the node's id, random for each load of the module
 * @out_epoch: the agent's epoch: KVXFER_EPOCH_BITS wide, new for each open
 * @out_worker_id: the agent's worker_id
 * @out_agent_id: the agent's number on this node, for people to tell agents apart
 * @out_agents: agents open on this node
 * @out_agents_max: how many may be
 * @out_name_max: KVXFER_NAME_MAX of the kernel
 * @out_version: version of the module, a text
 * @out_name: the agent's name, a text
 * @out_quota_bytes: how many bytes of pools the caller's user may have; all ones for no limit
 * @out_quota_bytes_used: how many it has
 * @out_quota_pools: how many pools it may have; all ones for no limit
 * @out_quota_pools_used: how many it has
 * @out_pool_bytes: bytes of all pools of this node, those among them that are being freed
 */
struct kvxfer_query {
	struct kvxfer_hdr hdr;
	__u32 out_abi_version;
	__u32 out_size_max;
	__aligned_u64 out_features;
	__aligned_u64 out_boot_id;
	__aligned_u64 out_epoch;
	__aligned_u64 out_worker_id;
	__u32 out_agent_id;
	__u32 out_agents;
	__u32 out_agents_max;
	__u32 out_name_max;
	__u8 out_version[KVXFER_VERSION_MAX];
	__u8 out_name[KVXFER_NAME_MAX];
	__aligned_u64 out_quota_bytes;
	__aligned_u64 out_quota_bytes_used;
	__aligned_u64 out_quota_pools;
	__aligned_u64 out_quota_pools_used;
	__aligned_u64 out_pool_bytes;
};

#define KVXFER_IOC_QUERY	_IO(KVXFER_IOC_TYPE, 0x00)

/* Flags of AGENT_SET: which fields are to be taken. */
#define KVXFER_AGENT_SET_NAME		(1U << 0)
#define KVXFER_AGENT_SET_WORKER_ID	(1U << 1)

/**
 * struct kvxfer_agent_set - ioctl(KVXFER_IOC_AGENT_SET): name this agent
 * @hdr: flags: KVXFER_AGENT_SET_*; none is allowed and changes nothing
 * @worker_id: any number that no other agent of this node has; a new agent has a random one
 * @name: printable ASCII, ended by NUL; a new agent has its process's name. Need not be unique.
 *
 * All that the flags name is set, or nothing. A field whose flag is not set must be 0.
 *
 * Return: 0; EINVAL with NAME_EMPTY, NAME_LONG, NAME_CHAR or FIELD_UNUSED; EEXIST with
 * WORKER_ID_TAKEN; EBUSY with WORKER_ID_USED.
 */
struct kvxfer_agent_set {
	struct kvxfer_hdr hdr;
	__aligned_u64 worker_id;
	__u8 name[KVXFER_NAME_MAX];
};

#define KVXFER_IOC_AGENT_SET	_IO(KVXFER_IOC_TYPE, 0x01)

/* Kinds of pools, kvxfer_pool_stat.out_kind. */
enum kvxfer_pool_kind {
	KVXFER_POOL_KERNEL	= 1,	/* pages of the kernel's own */
	KVXFER_POOL_MEMFD	= 2,	/* a memfd, plain or of huge pages */
	KVXFER_POOL_USER	= 3,	/* a range of a process's memory */
	KVXFER_POOL_DMABUF	= 4,	/* another driver's memory */
};

/* Flags of POOL_CREATE. */
#define KVXFER_POOL_CREATE_NODE		(1U << 0)	/* on NUMA node @node, and nowhere else */
#define KVXFER_POOL_CREATE_GROUP	(1U << 1)	/* owned by group @gid */
#define KVXFER_POOL_CREATE_MEMFD	(1U << 2)	/* of the memfd @fd */

/**
 * struct kvxfer_pool_create - ioctl(KVXFER_IOC_POOL_CREATE): memory that the system owns
 * @hdr: flags: KVXFER_POOL_CREATE_*
 * @bytes: a multiple of the page size; for a memfd, 0 means all of it
 * @progress: where the kernel shall count the bytes it has, a __u64; 0 for nowhere
 * @node: NUMA node, with CREATE_NODE; a memfd brings its own
 * @fd: memfd sealed with F_SEAL_SHRINK and open for both ways, with CREATE_MEMFD
 * @mode: who may open it by name: bits of 0666, for owner, group and others. Owner is the caller.
 * @gid: group, with CREATE_GROUP; else it is the caller's
 * @name: if not empty, the pool can be opened by this name, and lives until it is unlinked and
 * unused. Without
 *	a name it lives as long as its agent, and as it is mapped.
 * @out_pool: its number in this agent, open for both ways
 * @out_reserved: 0
 * @out_bytes: its size
 * @out_mmap_offset: mmap() of the device there and beyond maps it
 *
 * Memory is zeroed, in chunks of 2 MiB where they can be had, and charged to the caller's memory
 * cgroup (a memfd's is charged to who made it). A signal ends the making, and nothing is left.
 *
 * Return: 0; EINVAL with POOL_SIZE, POOL_MODE, POOL_NODE, NAME_LONG, NAME_CHAR, FIELD_UNUSED,
 * MEMFD_KIND, MEMFD_SEAL; EBADF for no file; EACCES with MEMFD_ACCESS; EPERM with POOL_GROUP;
 * EEXIST with POOL_NAME_TAKEN; EDQUOT with QUOTA_BYTES, QUOTA_POOLS; ENOMEM with NO_MEMORY; EINTR
 * with INTERRUPTED.
 */
struct kvxfer_pool_create {
	struct kvxfer_hdr hdr;
	__aligned_u64 bytes;
	__aligned_u64 progress;
	__s32 node;
	__s32 fd;
	__u32 mode;
	__u32 gid;
	__u8 name[KVXFER_NAME_MAX];
	__u32 out_pool;
	__u32 out_reserved;
	__aligned_u64 out_bytes;
	__aligned_u64 out_mmap_offset;
};

#define KVXFER_IOC_POOL_CREATE	_IO(KVXFER_IOC_TYPE, 0x02)

/* Flags of POOL_OPEN. */
#define KVXFER_POOL_OPEN_WRITE	(1U << 0)	/* for both ways, not for reading only */

/**
 * struct kvxfer_pool_open - ioctl(KVXFER_IOC_POOL_OPEN): a pool by its name
 * @hdr: flags: KVXFER_POOL_OPEN_*
 * @name: the name
 * @out_pool: its number in this agent
 * @out_kind: &enum kvxfer_pool_kind
 * @out_bytes: its size
 * @out_mmap_offset: mmap() of the device there and beyond maps it
 *
 * Return: 0; EINVAL with NAME_*; ENOENT with POOL_NAME_UNKNOWN; EACCES with POOL_RIGHTS.
 */
struct kvxfer_pool_open {
	struct kvxfer_hdr hdr;
	__u8 name[KVXFER_NAME_MAX];
	__u32 out_pool;
	__u32 out_kind;
	__aligned_u64 out_bytes;
	__aligned_u64 out_mmap_offset;
};

#define KVXFER_IOC_POOL_OPEN	_IO(KVXFER_IOC_TYPE, 0x03)

/* Flags of POOL_PIN. */
#define KVXFER_POOL_PIN_READONLY	(1U << 0)	/* nothing will be written there */

/**
 * struct kvxfer_pool_pin - ioctl(KVXFER_IOC_POOL_PIN): a range of the caller's own memory
 * @hdr: flags: KVXFER_POOL_PIN_*
 * @addr: page aligned
 * @bytes: a multiple of the page size
 * @progress: where the kernel shall count the bytes it has, a __u64; 0 for nowhere
 * @out_pool: its number in this agent
 * @out_reserved: 0
 *
 * The pages count against RLIMIT_MEMLOCK of the caller (unless it has CAP_IPC_LOCK), once, until
 * the pool is closed. What is unmapped after the call stays pinned, and is no longer what the range
 * shows.
 *
 * Return: 0; EINVAL with RANGE; EFAULT with RANGE_UNMAPPED, RANGE_FAULT; EACCES with
 * RANGE_READONLY; EOPNOTSUPP with RANGE_DEVICE, RANGE_FILE; ENOMEM with MEMLOCK, NO_MEMORY; EDQUOT
 * as POOL_CREATE; EINTR with INTERRUPTED.
 */
struct kvxfer_pool_pin {
	struct kvxfer_hdr hdr;
	__aligned_u64 addr;
	__aligned_u64 bytes;
	__aligned_u64 progress;
	__u32 out_pool;
	__u32 out_reserved;
};

#define KVXFER_IOC_POOL_PIN	_IO(KVXFER_IOC_TYPE, 0x04)

/**
 * struct kvxfer_pool_unlink - ioctl(KVXFER_IOC_POOL_UNLINK): take a pool's name away
 * @hdr: no flags
 * @name: the name
 *
 * The name is free at once; the memory goes when nobody uses the pool: has it open, mapped, in a
 * layout or as a dma-buf. Only the owner may, and who has CAP_FOWNER.
 *
 * Return: 0; EINVAL with NAME_*; ENOENT with POOL_NAME_UNKNOWN; EPERM with POOL_RIGHTS.
 */
struct kvxfer_pool_unlink {
	struct kvxfer_hdr hdr;
	__u8 name[KVXFER_NAME_MAX];
};

#define KVXFER_IOC_POOL_UNLINK	_IO(KVXFER_IOC_TYPE, 0x05)

/**
 * struct kvxfer_pool_close - ioctl(KVXFER_IOC_POOL_CLOSE): this agent is done with a pool
 * @hdr: no flags
 * @pool: its number in this agent; mappings stay
 * @reserved: 0
 *
 * Return: 0; ENOENT with POOL_UNKNOWN; EINVAL with FIELD_UNUSED.
 */
struct kvxfer_pool_close {
	struct kvxfer_hdr hdr;
	__u32 pool;
	__u32 reserved;
};

#define KVXFER_IOC_POOL_CLOSE	_IO(KVXFER_IOC_TYPE, 0x06)

/* Flags of POOL_STAT: which pool; without any, it is @pool of this agent. */
#define KVXFER_POOL_STAT_NAME	(1U << 0)	/* the one called @name */
#define KVXFER_POOL_STAT_NEXT	(1U << 1)	/* the first on this node whose id is above @pool */

/* How kvxfer_pool_stat counts chunks and nodes; the last node stands for all above it. */
#define KVXFER_CHUNK_ORDERS	10
#define KVXFER_NODES		16

/**
 * struct kvxfer_pool_stat - ioctl(KVXFER_IOC_POOL_STAT): what a pool is
 * @hdr: flags: KVXFER_POOL_STAT_*
 * @pool: see the flags
 * @reserved: 0
 * @name: with STAT_NAME; else 0
 * @out_name: its name, empty for none
 * @out_id: its number on this node, which is not that in an agent
 * @out_kind: &enum kvxfer_pool_kind
 * @out_uid: owner
 * @out_gid: group
 * @out_mode: as given to POOL_CREATE
 * @out_opens: how many agents have it open
 * @out_maps: how many mappings there are
 * @out_linked: 1 as long as it has its name
 * @out_pid: process that made it, as the caller's PID namespace sees it; 0 if it is not in there
 * @out_page_bytes: bytes of a page of the file it is of; the page size for others
 * @out_bytes: its size
 * @out_age_ns: how long ago it was made
 * @out_chunks: of how many contiguous pieces it is, by their size: page size << index; larger ones
 * count
 *	as several of the largest
 * @out_node_bytes: how much of it is on which NUMA node; of a dma-buf, neither is known
 * @out_exports: how many dma-bufs of it there are
 * @out_layouts: how many layouts are in it
 *
 * Anyone who may open the device may ask about every pool.
 *
 * Return: 0; ENOENT with POOL_UNKNOWN (with STAT_NEXT: there are no more), POOL_NAME_UNKNOWN;
 * EINVAL with NAME_*, FIELD_UNUSED.
 */
struct kvxfer_pool_stat {
	struct kvxfer_hdr hdr;
	__u32 pool;
	__u32 reserved;
	__u8 name[KVXFER_NAME_MAX];
	__u8 out_name[KVXFER_NAME_MAX];
	__u32 out_id;
	__u32 out_kind;
	__u32 out_uid;
	__u32 out_gid;
	__u32 out_mode;
	__u32 out_opens;
	__u32 out_maps;
	__u32 out_linked;
	__u32 out_pid;
	__u32 out_page_bytes;
	__aligned_u64 out_bytes;
	__aligned_u64 out_age_ns;
	__aligned_u64 out_chunks[KVXFER_CHUNK_ORDERS];
	__aligned_u64 out_node_bytes[KVXFER_NODES];
	__u32 out_exports;
	__u32 out_layouts;
};

#define KVXFER_IOC_POOL_STAT	_IO(KVXFER_IOC_TYPE, 0x07)

/**
 * struct kvxfer_pool_export - ioctl(KVXFER_IOC_POOL_EXPORT): a pool as a dma-buf
 * @hdr: no flags
 * @pool: its number in this agent, open for both ways; a pool of the kernel's own pages
 * @out_fd: descriptor of a new dma-buf of the whole pool, close-on-exec, open for both ways
 *
 * Other drivers attach it and do DMA to it, and it can be mapped by whoever has the descriptor. It
 * keeps the memory, not the name, until its last user goes. Who is given the descriptor has the
 * pool, whatever owner, group and mode say.
 *
 * Return: 0; ENOENT with POOL_UNKNOWN; EOPNOTSUPP with POOL_KIND; EACCES with POOL_READONLY; EMFILE
 * when the process has too many descriptors.
 */
struct kvxfer_pool_export {
	struct kvxfer_hdr hdr;
	__u32 pool;
	__s32 out_fd;
};

#define KVXFER_IOC_POOL_EXPORT	_IO(KVXFER_IOC_TYPE, 0x08)

/* Flags of POOL_DMABUF. */
#define KVXFER_POOL_DMABUF_READONLY	(1U << 0)	/* nothing will be written there */

/**
 * struct kvxfer_pool_dmabuf - ioctl(KVXFER_IOC_POOL_DMABUF): another driver's memory
 * @hdr: flags: KVXFER_POOL_DMABUF_*
 * @fd: a dma-buf, open for both ways; with DMABUF_READONLY, for reading
 * @out_pool: its number in this agent
 * @out_bytes: its size
 * @out_mmap_offset: mmap() of the device just there maps it, if its exporter can
 *
 * Blocks in it are moved by the CPU, so the exporter must give the kernel a mapping, and the memory
 * must be the machine's. The pool has no name and lives as long as its agent. A dma-buf that
 * POOL_EXPORT made gives the pool that it is of, as POOL_OPEN would.
 *
 * Return: 0; EBADF for no file; EINVAL with DMABUF_KIND, POOL_SIZE; EACCES with DMABUF_ACCESS;
 * EOPNOTSUPP with DMABUF_CPU, DMABUF_IOMEM; ENOMEM with DMABUF_CPU; EDQUOT as POOL_CREATE.
 */
struct kvxfer_pool_dmabuf {
	struct kvxfer_hdr hdr;
	__s32 fd;
	__u32 out_pool;
	__aligned_u64 out_bytes;
	__aligned_u64 out_mmap_offset;
};

#define KVXFER_IOC_POOL_DMABUF	_IO(KVXFER_IOC_TYPE, 0x09)

/*
 * A handle names a layout, on all nodes: the worker_id of its agent, and in the other word the
 * layout's id below and the agent's epoch above KVXFER_LAYOUT_ID_BITS bits.
 */
#define KVXFER_LAYOUT_ID_BITS	16

/* Layers times outer of a layout. */
#define KVXFER_LAYOUT_ENTRIES_MAX	4096

/* How the bytes of a region are to be read; what is copied to each other must be of one format. */
enum kvxfer_format {
	KVXFER_FORMAT_NHD	= 1,	/* token, head, dimension */
	KVXFER_FORMAT_HND	= 2,	/* head, token, dimension */
	KVXFER_FORMAT_LATENT	= 3,	/* token, latent: MLA */
	KVXFER_FORMAT_OPAQUE	= 4,	/* nobody's business */
};

/* Which bases a layout is given, and what follows each. */
enum kvxfer_layout_kind {
	KVXFER_LAYOUT_CONTIGUOUS	= 1,	/* one: [block][layer][outer] */
	KVXFER_LAYOUT_BLOCK_FIRST	= 2,	/* for each layer: [block][outer] */
	KVXFER_LAYOUT_BLOCK_SECOND	= 3,	/* for each layer: [outer][block] */
	KVXFER_LAYOUT_TABLE		= 4,	/* for each (layer, outer), and block_stride */
};

/**
 * struct kvxfer_layout_base - where something of a layout begins
 * @offset: byte of the pool
 * @pool: number of a pool that the agent has open
 * @reserved: 0
 */
struct kvxfer_layout_base {
	__aligned_u64 offset;
	__u32 pool;
	__u32 reserved;
};

/**
 * struct kvxfer_layout_register - ioctl(KVXFER_IOC_LAYOUT_REGISTER): where KV blocks are
 * @hdr: no flags
 * @kind: &enum kvxfer_layout_kind
 * @format: &enum kvxfer_format
 * @num_blocks: at least 1
 * @num_layers: at least 1
 * @outer_dim: 2 for K and V, 1 for latents; at most 8
 * @page_size: tokens of a block, at least 1
 * @inner_dim: elements of a token, at least 1: heads times their dimension, or the latent
 * @dtype_width: bytes of an element, 1 to 8
 * @alignment: of the bases' offsets; 1 for none
 * @nr_bases: as the kind says
 * @bases: where they are: an array of &struct kvxfer_layout_base, layers first
 * @block_stride: with LAYOUT_TABLE, bytes from a block to the next; else 0
 * @out_worker_id: first word of the handle
 * @out_rest: second word of the handle
 * @out_region_bytes: of a region: one (block, layer, outer)
 * @out_block_stride: bytes from a block to the next
 * @out_bytes: of all regions
 *
 * A region is page_size * inner_dim * dtype_width bytes; none of these has to be a power of two,
 * nor aligned to anything. The layout holds its pools until it is unregistered. Ids begin at 1 and
 * are never used again. The agent's worker_id is fixed from then on. That two pools are of the same
 * bytes (a range that was pinned twice) is not seen.
 *
 * Return: 0; ENOENT with LAYOUT_POOL; EOVERFLOW with LAYOUT_OVERFLOW; ENOSPC with LAYOUT_IDS;
 * EINVAL with the other LAYOUT_* or FIELD_UNUSED; EFAULT for bases that cannot be read; ENOMEM;
 * EINTR when the caller is being killed.
 */
struct kvxfer_layout_register {
	struct kvxfer_hdr hdr;
	__u32 kind;
	__u32 format;
	__u32 num_blocks;
	__u32 num_layers;
	__u32 outer_dim;
	__u32 page_size;
	__u32 inner_dim;
	__u32 dtype_width;
	__u32 alignment;
	__u32 nr_bases;
	__aligned_u64 bases;
	__aligned_u64 block_stride;
	__aligned_u64 out_worker_id;
	__aligned_u64 out_rest;
	__aligned_u64 out_region_bytes;
	__aligned_u64 out_block_stride;
	__aligned_u64 out_bytes;
};

#define KVXFER_IOC_LAYOUT_REGISTER	_IO(KVXFER_IOC_TYPE, 0x0a)

/**
 * struct kvxfer_layout_unregister - ioctl(KVXFER_IOC_LAYOUT_UNREGISTER): done with a layout
 * @hdr: no flags
 * @id: of the layout, as in its handle
 * @reserved: 0
 *
 * Return: 0; ENOENT with LAYOUT_UNKNOWN; EINVAL with FIELD_UNUSED.
 */
struct kvxfer_layout_unregister {
	struct kvxfer_hdr hdr;
	__u32 id;
	__u32 reserved;
};

#define KVXFER_IOC_LAYOUT_UNREGISTER	_IO(KVXFER_IOC_TYPE, 0x0b)

/* Flags of LAYOUT_STAT: which layout; without any, it is @id. */
#define KVXFER_LAYOUT_STAT_NEXT	(1U << 0)	/* the agent's first whose id is above @id */

/**
 * struct kvxfer_layout_stat - ioctl(KVXFER_IOC_LAYOUT_STAT): what a layout of the agent is
 * @hdr: flags: KVXFER_LAYOUT_STAT_*
 * @id: see the flags
 * @out_id: its id
 * @out_kind: these as they were registered
 * @out_format: the same
 * @out_num_blocks: the same
 * @out_num_layers: the same
 * @out_outer_dim: the same
 * @out_page_size: the same
 * @out_inner_dim: the same
 * @out_dtype_width: the same
 * @out_alignment: the same
 * @out_pools: how many pools it is in
 * @out_worker_id: first word of its handle
 * @out_rest: second word
 * @out_region_bytes: of a region
 * @out_block_stride: bytes from a block to the next
 * @out_bytes: of all regions
 * @out_writable: 1 when all of its pools were open for both ways
 * @out_reserved: 0
 *
 * Return: 0; ENOENT with LAYOUT_UNKNOWN (with STAT_NEXT: there are no more).
 */
struct kvxfer_layout_stat {
	struct kvxfer_hdr hdr;
	__u32 id;
	__u32 out_id;
	__u32 out_kind;
	__u32 out_format;
	__u32 out_num_blocks;
	__u32 out_num_layers;
	__u32 out_outer_dim;
	__u32 out_page_size;
	__u32 out_inner_dim;
	__u32 out_dtype_width;
	__u32 out_alignment;
	__u32 out_pools;
	__aligned_u64 out_worker_id;
	__aligned_u64 out_rest;
	__aligned_u64 out_region_bytes;
	__aligned_u64 out_block_stride;
	__aligned_u64 out_bytes;
	__u32 out_writable;
	__u32 out_reserved;
};

#define KVXFER_IOC_LAYOUT_STAT	_IO(KVXFER_IOC_TYPE, 0x0c)

#endif /* _UAPI_LINUX_KVXFER_H */
