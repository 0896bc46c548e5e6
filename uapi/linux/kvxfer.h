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
 * @KVXFER_REASON_WORKER_ID_TAKEN: another agent of this node has this worker_id
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
 * WORKER_ID_TAKEN.
 */
struct kvxfer_agent_set {
	struct kvxfer_hdr hdr;
	__aligned_u64 worker_id;
	__u8 name[KVXFER_NAME_MAX];
};

#define KVXFER_IOC_AGENT_SET	_IO(KVXFER_IOC_TYPE, 0x01)

#endif /* _UAPI_LINUX_KVXFER_H */
