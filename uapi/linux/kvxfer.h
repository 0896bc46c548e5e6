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
 * ends it and frees all that it owns, however the process came to its end. Mappings do not hold it:
 * those of its pools keep the memory, and those of its ring and states show what was there last.
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
 * @KVXFER_REASON_MEMFD_SEAL: the memfd's seals, in @index, are not those that POOL_CREATE needs
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
 * @KVXFER_REASON_LAYOUT_BUSY: transfers are prepared with the layout; @index is how many
 * @KVXFER_REASON_HANDLE_UNKNOWN: a handle names nothing that the agent has or has imported; @index
 *	is 0 for the source, 1 for the destination
 * @KVXFER_REASON_HANDLE_STALE: what a handle named is no more: its agent has gone or was opened
 *	anew, or the layout is unregistered; @index as before
 * @KVXFER_REASON_XFER_EMPTY: a list has no ids
 * @KVXFER_REASON_XFER_IDS: a list has more than KVXFER_XFER_IDS_MAX ids; @index is 0 or 1
 * @KVXFER_REASON_XFER_FORMAT: the layouts' formats differ
 * @KVXFER_REASON_XFER_ELEMENT: the layouts' elements or tokens differ in bytes
 * @KVXFER_REASON_XFER_OUTER: the outer dimensions differ, or the mask names one that is not there
 * @KVXFER_REASON_XFER_LAYERS: layers that are not there; or all of them, and the layouts differ
 * @KVXFER_REASON_XFER_PIECE: a piece lies beyond its region or over itself, or they differ in bytes
 * @KVXFER_REASON_XFER_PAGE: blocks differ in tokens, and the format cannot be regrouped
 * @KVXFER_REASON_XFER_LENGTH: the lists come to different numbers of bytes
 * @KVXFER_REASON_XFER_SRC_RANGE: a source id is not in the layout, or not in the grant; @index is
 *	its place in the list
 * @KVXFER_REASON_XFER_DST_RANGE: a destination id is not; @index is its place in the list
 * @KVXFER_REASON_XFER_DST_TWICE: a destination id comes twice; @index is the later one
 * @KVXFER_REASON_XFER_OVERLAP: bytes are both read and written; @index is the destination's entry,
 *	counted from the first layer that is asked for
 * @KVXFER_REASON_XFER_READONLY: the destination is in a pool that may not be written
 * @KVXFER_REASON_XFER_RIGHTS: the grant does not allow it; @index is 0 for the source, 1 for the
 *	destination
 * @KVXFER_REASON_XFER_PATH: there is no such path between the two; @index is the path
 * @KVXFER_REASON_XFER_MANY: the agent has KVXFER_XFERS_MAX transfers
 * @KVXFER_REASON_XFER_UNKNOWN: the agent has no such transfer; @index is its place in the list
 * @KVXFER_REASON_XFER_RUNNING: the transfer has not ended; @index is &enum kvxfer_xfer_state
 * @KVXFER_REASON_XFER_STATE: the transfer has ended badly, which stays; or it was not posted, and
 *	there is nothing to wait for; @index is &enum kvxfer_xfer_state
 * @KVXFER_REASON_XFER_TIMEOUT: the time to wait is over; @index is how many have ended
 * @KVXFER_REASON_XFER_CANCELED: of a completion: it was canceled
 * @KVXFER_REASON_XFER_DEADLINE: of a completion: its deadline came
 * @KVXFER_REASON_XFER_CUT: of a completion: a layout was unregistered, its agent went, or a grant
 *	was revoked
 * @KVXFER_REASON_XFER_MEMORY: of a completion: memory could not be read
 * @KVXFER_REASON_XFER_RATE: nothing has been measured yet to judge by
 * @KVXFER_REASON_PEER_RESERVED: a reserved word is set; @index is the place in the list
 * @KVXFER_REASON_RING_SIZE: not a power of two, or not from 1 to KVXFER_RING_MAX
 * @KVXFER_REASON_RING_EXISTS: the agent has its ring
 * @KVXFER_REASON_RING_EVENTFD: the file is no eventfd
 * @KVXFER_REASON_RING_BACKLOG: so many completions wait for room in the ring that nothing can be
 *	posted; @index is how many
 * @KVXFER_REASON_GRANT_RIGHTS: no rights, unknown ones, or to write what may not be written
 * @KVXFER_REASON_GRANT_BLOCKS: no blocks, or beyond the layout's
 * @KVXFER_REASON_GRANT_MANY: the layout has KVXFER_GRANTS_MAX grants
 * @KVXFER_REASON_GRANT_KEY: no grant has this key; @index is the place in the list
 * @KVXFER_REASON_GRANT_EXPIRED: the grant's time is over; @index is 0 for the source, 1 for the
 *	destination
 * @KVXFER_REASON_PEER_SELF: an agent does not import itself
 * @KVXFER_REASON_PEER_LOADED: the agent with this epoch is imported already
 * @KVXFER_REASON_PEER_UNKNOWN: no agent with this worker_id is imported
 * @KVXFER_REASON_PEER_GONE: there is no agent with this worker_id
 * @KVXFER_REASON_PEER_EPOCH: the agent has been opened anew since
 * @KVXFER_REASON_PEER_REMOTE: the agent is on another node, which cannot be reached; @index is the
 *	errno of the last attempt
 * @KVXFER_REASON_PEER_LAYOUTS: more layouts than KVXFER_IMPORT_MAX
 * @KVXFER_REASON_PEER_LAYOUT: the agent has no such layout; @index is the place in the list
 * @KVXFER_REASON_NOTE_SIZE: the note is longer than KVXFER_NOTE_MAX
 * @KVXFER_REASON_NOTE_FULL: there is no room for the note; @index is 0 when the receiver, or its
 *	node, has not taken earlier ones, 1 when too many of the sender's own are on their way
 * @KVXFER_REASON_NOTE_NONE: no note waits
 * @KVXFER_REASON_NOTE_ROOM: the next note does not fit; @index is how many bytes it needs
 * @KVXFER_REASON_NOTE_AGENT: no agent to send to has this worker_id and epoch
 * @KVXFER_REASON_PEER_MANY: KVXFER_PEERS_MAX agents are imported, or KVXFER_CONNECTS_MAX nodes are
 *	connected with; @index is how many
 * @KVXFER_REASON_DMABUF_BUSY: another driver works with the dma-buf still; poll() of the dma-buf
 *	tells when it has done
 * @KVXFER_REASON_XFER_REACH: of a completion: memory of this node could not be made reachable for
 *	a device
 * @KVXFER_REASON_PEER_ADDRESS: an address is none; @index is the place in the list
 * @KVXFER_REASON_PEER_REFUSED: the other node does not want to be connected; @index is why, as
 *	&enum kvxfer_refusal says
 * @KVXFER_REASON_PEER_REBOOTED: the other node was started anew since
 * @KVXFER_REASON_XFER_RAILS: there can be no rails of these numbers; @index is the mask
 * @KVXFER_REASON_PEER_CONNECTING: its node is not connected yet; @index is the errno of the last
 *	attempt, or 0
 * @KVXFER_REASON_MSG_AGENT: no agent that is here or imported has this worker_id and epoch
 * @KVXFER_REASON_MSG_RANGE: no bytes, or beyond the pool; @index is 0 for the offset, 1 for how
 *	many
 * @KVXFER_REASON_MSG_TRUNCATED: of a completion: the message is longer than the room for it; @index
 *	is how many KiB it has, rounded up
 * @KVXFER_REASON_MSG_WITHDRAWN: of a completion: whoever sends it does not want to any more
 * @KVXFER_REASON_MSG_REFUSED: of a completion: whoever was to receive it does not want to any more
 * @KVXFER_REASON_MSG_FULL: of a completion: so many of the agent's messages, or of those between
 *	the two nodes, have not ended that no more can be sent
 * @KVXFER_REASON_PEER_NO_RDMA: this node's kernel has no RDMA, so it reaches no other node
 * @KVXFER_REASON_MEMFD_HOLE: memory was taken out of the memfd while the pool was made
 * @KVXFER_REASON_WORKER_ID_AMBIGUOUS: the worker_id is that of more than one agent, of this node,
 * or
 *	imported from others, and there is no epoch that says which; @index is how many
 * @KVXFER_REASON_WORKER_ID_CHANGED: the agent of this node that has the worker_id now is another
 *	user's than when this agent had to do with it last
 * @KVXFER_REASON_XFER_UNCONFIRMED: the other node could not be asked whether all that was written
 * to
 *	it is over, see KVXFER_COMPLETION_UNCONFIRMED
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
	KVXFER_REASON_LAYOUT_BUSY	= 60,
	KVXFER_REASON_HANDLE_UNKNOWN	= 61,
	KVXFER_REASON_HANDLE_STALE	= 62,
	KVXFER_REASON_XFER_EMPTY	= 63,
	KVXFER_REASON_XFER_IDS		= 64,
	KVXFER_REASON_XFER_FORMAT	= 65,
	KVXFER_REASON_XFER_ELEMENT	= 66,
	KVXFER_REASON_XFER_OUTER	= 67,
	KVXFER_REASON_XFER_LAYERS	= 68,
	KVXFER_REASON_XFER_PIECE	= 69,
	KVXFER_REASON_XFER_PAGE		= 70,
	KVXFER_REASON_XFER_LENGTH	= 71,
	KVXFER_REASON_XFER_SRC_RANGE	= 72,
	KVXFER_REASON_XFER_DST_RANGE	= 73,
	KVXFER_REASON_XFER_DST_TWICE	= 74,
	KVXFER_REASON_XFER_OVERLAP	= 75,
	KVXFER_REASON_XFER_READONLY	= 76,
	KVXFER_REASON_XFER_RIGHTS	= 77,
	KVXFER_REASON_XFER_PATH		= 78,
	KVXFER_REASON_XFER_MANY		= 79,
	KVXFER_REASON_XFER_UNKNOWN	= 80,
	KVXFER_REASON_XFER_RUNNING	= 81,
	KVXFER_REASON_XFER_STATE	= 82,
	KVXFER_REASON_XFER_TIMEOUT	= 83,
	KVXFER_REASON_XFER_CANCELED	= 84,
	KVXFER_REASON_XFER_DEADLINE	= 85,
	KVXFER_REASON_XFER_CUT		= 86,
	KVXFER_REASON_XFER_MEMORY	= 87,
	KVXFER_REASON_XFER_RATE		= 88,
	KVXFER_REASON_PEER_RESERVED	= 89,
	KVXFER_REASON_RING_SIZE		= 90,
	KVXFER_REASON_RING_EXISTS	= 91,
	KVXFER_REASON_RING_EVENTFD	= 92,
	KVXFER_REASON_RING_BACKLOG	= 93,
	KVXFER_REASON_GRANT_RIGHTS	= 94,
	KVXFER_REASON_GRANT_BLOCKS	= 95,
	KVXFER_REASON_GRANT_MANY	= 96,
	KVXFER_REASON_GRANT_KEY		= 97,
	KVXFER_REASON_GRANT_EXPIRED	= 98,
	KVXFER_REASON_PEER_SELF		= 99,
	KVXFER_REASON_PEER_LOADED	= 100,
	KVXFER_REASON_PEER_UNKNOWN	= 101,
	KVXFER_REASON_PEER_GONE		= 102,
	KVXFER_REASON_PEER_EPOCH	= 103,
	KVXFER_REASON_PEER_REMOTE	= 104,
	KVXFER_REASON_PEER_LAYOUTS	= 105,
	KVXFER_REASON_PEER_LAYOUT	= 106,
	KVXFER_REASON_NOTE_SIZE		= 107,
	KVXFER_REASON_NOTE_FULL		= 108,
	KVXFER_REASON_NOTE_NONE		= 109,
	KVXFER_REASON_NOTE_ROOM		= 110,
	KVXFER_REASON_NOTE_AGENT	= 111,
	KVXFER_REASON_PEER_MANY		= 112,
	KVXFER_REASON_DMABUF_BUSY	= 113,
	KVXFER_REASON_XFER_REACH	= 114,
	KVXFER_REASON_PEER_ADDRESS	= 115,
	KVXFER_REASON_PEER_REFUSED	= 116,
	KVXFER_REASON_PEER_REBOOTED	= 117,
	KVXFER_REASON_XFER_RAILS	= 118,
	KVXFER_REASON_PEER_CONNECTING	= 119,
	KVXFER_REASON_MSG_AGENT		= 120,
	KVXFER_REASON_MSG_RANGE		= 121,
	KVXFER_REASON_MSG_TRUNCATED	= 122,
	KVXFER_REASON_MSG_WITHDRAWN	= 123,
	KVXFER_REASON_MSG_REFUSED	= 124,
	KVXFER_REASON_MSG_FULL		= 125,
	KVXFER_REASON_PEER_NO_RDMA	= 126,
	KVXFER_REASON_MEMFD_HOLE	= 127,
	KVXFER_REASON_WORKER_ID_AMBIGUOUS = 128,
	KVXFER_REASON_WORKER_ID_CHANGED	= 129,
	KVXFER_REASON_XFER_UNCONFIRMED	= 130,

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
#define KVXFER_FEATURE_XFER	(1ULL << 4)	/* RING_SETUP to XFER_COST */
#define KVXFER_FEATURE_GRANT	(1ULL << 5)	/* GRANT to LAYOUT_FORGET */
#define KVXFER_FEATURE_NOTE	(1ULL << 6)	/* NOTE_SEND, NOTE_RECV */
/*
 * Other nodes; NODE_ADDRESSES, PEER_CONNECT. Not set if the kernel has no RDMA (CONFIG_INFINIBAND):
 * NODE_ADDRESSES then returns no address, and commands that name another node fail with EOPNOTSUPP.
 */
#define KVXFER_FEATURE_RDMA	(1ULL << 7)
#define KVXFER_FEATURE_MSG	(1ULL << 8)	/* MSG_SEND, MSG_RECV */

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
 * @bytes: a multiple of the page size; for a memfd, 0 means all of it, which a memfd of huge pages
 *	must be
 * @progress: where the kernel shall count the bytes it has, a __u64; 0 for nowhere
 * @node: NUMA node, with CREATE_NODE; a memfd brings its own
 * @fd: memfd that is open for both ways, with CREATE_MEMFD. It must be sealed with F_SEAL_SHRINK,
 * of
 *	huge pages with F_SEAL_GROW, too, and neither against writing nor against seals.
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
 * While there is a pool of a memfd it is sealed with F_SEAL_FUTURE_WRITE and F_SEAL_SEAL: its
 * memory is the pool's, and nobody makes holes in it. Mappings of the memfd that are there stay;
 * new ones for writing are made of the pool. Its user can make another pool of it.
 *
 * Return: 0; EINVAL with POOL_SIZE, POOL_MODE, POOL_NODE, NAME_LONG, NAME_CHAR, FIELD_UNUSED,
 * MEMFD_KIND, MEMFD_SEAL, MEMFD_HOLE; EBADF for no file; EACCES with MEMFD_ACCESS; EPERM with
 * POOL_GROUP; EEXIST with POOL_NAME_TAKEN; EDQUOT with QUOTA_BYTES, QUOTA_POOLS; ENOMEM with
 * NO_MEMORY; EINTR with INTERRUPTED.
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
 * are never used again. The agent's worker_id is fixed from then on.
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

/* Flags of LAYOUT_UNREGISTER. Without any, a layout with which transfers are prepared is busy. */
#define KVXFER_LAYOUT_UNREGISTER_WAIT	(1U << 0)	/* wait for those that run */
#define KVXFER_LAYOUT_UNREGISTER_CUT	(1U << 1)	/* end those that run, and wait */

/**
 * struct kvxfer_layout_unregister - ioctl(KVXFER_IOC_LAYOUT_UNREGISTER): done with a layout
 * @hdr: flags: KVXFER_LAYOUT_UNREGISTER_*
 * @id: of the layout, as in its handle
 * @reserved: 0
 *
 * With a flag, no transfer can be prepared or posted with the layout any more, from the first
 * moment on; when the command returns, nothing touches its blocks, and its pools are let go. If a
 * signal ends the waiting, the layout is closed all the same, and the command can be repeated.
 *
 * Return: 0; ENOENT with LAYOUT_UNKNOWN; EBUSY with LAYOUT_BUSY; EINTR with INTERRUPTED; EINVAL
 * with FIELD_UNUSED.
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

/*
 * What mmap() of the device maps besides pools, at these offsets: the states of all transfers (for
 * reading only), and the completion ring.
 */
#define KVXFER_MMAP_STATES	0x10000000U
#define KVXFER_MMAP_RING	0x20000000U

/* Entries of a completion ring. */
#define KVXFER_RING_MAX		65536

/**
 * struct kvxfer_ring - how the mapping of a completion ring begins
 * @tail: written by the kernel: how many completions it has put in
 * @overflow: written by the kernel: how many wait for room; poll() puts in what there is room for
 * @reserved: written by the kernel, 0
 * @head: written by the program: how many it has taken
 * @reserved2: for what the program may write
 *
 * Both numbers wrap. Completion n is entry n modulo the ring's entries, which begin at byte
 * KVXFER_RING_ENTRIES of the mapping. The program reads @tail with acquire semantics before it
 * reads entries, and writes @head with release semantics when it has read them. The kernel believes
 * nothing that is written there: a wrong @head loses the program's own completions, and no more.
 */
struct kvxfer_ring {
	__u32 tail;
	__u32 overflow;
	__u32 reserved[14];
	__u32 head;
	__u32 reserved2[15];
};

#define KVXFER_RING_ENTRIES	128

/**
 * enum kvxfer_xfer_state - where a transfer is
 * @KVXFER_XFER_GONE: released
 * @KVXFER_XFER_IDLE: prepared, and not posted yet
 * @KVXFER_XFER_RUNNING: posted
 * @KVXFER_XFER_CANCELING: canceled, and not quiet yet
 * @KVXFER_XFER_EXPIRING: its deadline has come, and it is not quiet yet
 * @KVXFER_XFER_FAILING: something went wrong, and it is not quiet yet
 * @KVXFER_XFER_RELEASING: released, and not quiet yet
 * @KVXFER_XFER_DONE: all bytes are where they should be
 * @KVXFER_XFER_CANCELED: some may be; nothing touches its blocks any more
 * @KVXFER_XFER_TIMEDOUT: the same
 * @KVXFER_XFER_FAILED: the same
 *
 * From KVXFER_XFER_DONE on it has ended.
 */
enum kvxfer_xfer_state {
	KVXFER_XFER_GONE	= 0,
	KVXFER_XFER_IDLE	= 1,
	KVXFER_XFER_RUNNING	= 2,
	KVXFER_XFER_CANCELING	= 3,
	KVXFER_XFER_EXPIRING	= 4,
	KVXFER_XFER_FAILING	= 5,
	KVXFER_XFER_RELEASING	= 6,
	KVXFER_XFER_DONE	= 7,
	KVXFER_XFER_CANCELED	= 8,
	KVXFER_XFER_TIMEDOUT	= 9,
	KVXFER_XFER_FAILED	= 10,
};

/* Transfers of an agent, and ids in a list. */
#define KVXFER_XFERS_MAX	65536
#define KVXFER_XFER_IDS_MAX	(1U << 20)

/*
 * The state of transfer @xfer is the word at index (@xfer % KVXFER_XFERS_MAX) of the mapping at
 * KVXFER_MMAP_STATES: its lower byte is &enum kvxfer_xfer_state, and its upper half is that of
 * @xfer, or the word is another transfer's, and this one is gone. To be read with acquire
 * semantics.
 */
#define KVXFER_XFER_SLOT(xfer)		((xfer) % KVXFER_XFERS_MAX)
#define KVXFER_XFER_STATE(word)		((word) & 0xffU)
#define KVXFER_XFER_IS(xfer, word)	((xfer) >> 16 == (word) >> 16)

/* How bytes go. */
enum kvxfer_path {
	KVXFER_PATH_AUTO	= 0,	/* the best there is */
	KVXFER_PATH_LOCAL	= 1,	/* copied by the CPUs of this node */
	KVXFER_PATH_RDMA	= 2,	/* by RDMA devices */
};

/* Flags of a completion. */
#define KVXFER_COMPLETION_INLINE	(1U << 0)	/* done before the post returned */
#define KVXFER_COMPLETION_NOTE_LOST	(1U << 1)	/* the note's receiver is gone */
/*
 * It wrote to another node, did not end well, and that node could not be asked whether all that was
 * on its way is over: its blocks there may still be written to, until that node is heard of again.
 */
#define KVXFER_COMPLETION_UNCONFIRMED	(1U << 2)

/**
 * struct kvxfer_completion - how a transfer ended
 * @user_data: as it was prepared
 * @bytes: how many are where they should be
 * @post_ns: when it was posted, by CLOCK_MONOTONIC
 * @end_ns: when it ended
 * @xfer: which one
 * @state: &enum kvxfer_xfer_state
 * @error: errno for one that did not end well
 * @reason: &enum kvxfer_reason
 * @index: where, in the unit that the reason names
 * @path: &enum kvxfer_path that was taken
 * @flags: KVXFER_COMPLETION_*
 * @rails: by which rails bytes went: a mask of the numbers that they have among their peer's
 *
 * Where one is given of a transfer that has not ended, only @user_data, @xfer and @state are set.
 */
struct kvxfer_completion {
	__aligned_u64 user_data;
	__aligned_u64 bytes;
	__aligned_u64 post_ns;
	__aligned_u64 end_ns;
	__u32 xfer;
	__u32 state;
	__u32 error;
	__u32 reason;
	__u32 index;
	__u32 path;
	__u32 flags;
	__u32 rails;
};

/* Flags of RING_SETUP. */
#define KVXFER_RING_SETUP_EVENTFD	(1U << 0)	/* @eventfd counts completions and notes */

/**
 * struct kvxfer_ring_setup - ioctl(KVXFER_IOC_RING_SETUP): how transfers ended, without asking
 * @hdr: flags: KVXFER_RING_SETUP_*
 * @entries: a power of two, at most KVXFER_RING_MAX
 * @eventfd: with SETUP_EVENTFD
 * @out_mmap_offset: KVXFER_MMAP_RING
 * @out_mmap_bytes: how much to map there
 *
 * From then on each post ends in a completion there. Those for which there is no room are kept and
 * put in later; while as many are kept as the ring has entries, nothing can be posted.
 *
 * Return: 0; EINVAL with RING_SIZE, RING_EVENTFD, FIELD_UNUSED; EBADF for no file; EEXIST with
 * RING_EXISTS; ENOMEM.
 */
struct kvxfer_ring_setup {
	struct kvxfer_hdr hdr;
	__u32 entries;
	__s32 eventfd;
	__aligned_u64 out_mmap_offset;
	__aligned_u64 out_mmap_bytes;
};

#define KVXFER_IOC_RING_SETUP	_IO(KVXFER_IOC_TYPE, 0x0d)

/**
 * struct kvxfer_handle - the name of a layout
 * @worker_id: of its agent
 * @rest: its id below, its agent's epoch above
 */
struct kvxfer_handle {
	__aligned_u64 worker_id;
	__aligned_u64 rest;
};

/**
 * struct kvxfer_piece - which bytes of each region
 * @offset: where the first run begins
 * @bytes: of each run; all 0 for the whole region
 * @stride: from a run to the next
 * @count: how many runs; 0 stands for 1
 * @reserved: 0
 */
struct kvxfer_piece {
	__aligned_u64 offset;
	__aligned_u64 bytes;
	__aligned_u64 stride;
	__u32 count;
	__u32 reserved;
};

/* The longest note, and what a note that is sent with a transfer needs to be told. */
#define KVXFER_NOTE_MAX		4096

/**
 * struct kvxfer_note_to - a note, and who shall have it
 * @data: its bytes
 * @bytes: how many, 0 to KVXFER_NOTE_MAX
 * @reserved: 0
 * @worker_id: of the receiver
 * @epoch: of the receiver; 0 for any
 */
struct kvxfer_note_to {
	__aligned_u64 data;
	__u32 bytes;
	__u32 reserved;
	__aligned_u64 worker_id;
	__aligned_u64 epoch;
};

/* Flags of XFER_PREP, XFER_EXEC, MSG_SEND and MSG_RECV. */
#define KVXFER_XFER_NOTE	(1U << 0)	/* @note goes to its receiver after the data */
#define KVXFER_XFER_POST	(1U << 1)	/* PREP: post it at once */
#define KVXFER_XFER_WAIT	(1U << 2)	/* EXEC, MSG_*: wait for its end */
#define KVXFER_XFER_ONCE	(1U << 3)	/* MSG_*: it is released when it has ended */

/**
 * struct kvxfer_xfer_prep - ioctl(KVXFER_IOC_XFER_PREP or KVXFER_IOC_XFER_EXEC): copy blocks
 * @hdr: flags: KVXFER_XFER_*
 * @src: from the blocks of this layout
 * @dst: to those of this; either may be the agent's own or an imported one
 * @src_ids: which blocks: an array of __u32
 * @dst_ids: to which: the same, none twice
 * @nr_src: how many
 * @nr_dst: how many; other than @nr_src only where blocks of different size regroup
 * @src_layer: the first
 * @dst_layer: the first
 * @nr_layers: how many; 0 for all
 * @outers: mask of outer indices; 0 for all
 * @src_piece: of each region
 * @dst_piece: the same; both come to the same number of bytes
 * @user_data: comes back in the completion
 * @deadline_ns: how long it may take from the post on; 0 for the default
 * @note: with XFER_NOTE
 * @path: &enum kvxfer_path that is wanted
 * @rails: by which rails only, as a mask of their numbers; 0 for those that are nearest to the
 * memory, by NUMA, of all that are there
 * @out_xfer: its number in this agent, never 0
 * @out_path: &enum kvxfer_path that it will take
 * @out_bytes: how many bytes will go over
 * @out_result: how it ended, if it has: with XFER_POST or XFER_WAIT
 *
 * XFER_PREP makes a transfer that can be posted, and again when it is done, until it is released.
 * XFER_EXEC posts it at once and releases it when it has ended; with XFER_WAIT the command returns
 * then, and without, its end is told by the ring alone. A signal that comes while XFER_EXEC waits
 * cancels it.
 *
 * What is both read and written is found by bytes, in whichever layouts and pools they are; but a
 * range that was pinned and begins in the midst of another pool is not seen to do so.
 *
 * Return: 0; ENOTUNIQ with WORKER_ID_AMBIGUOUS; ESTALE with WORKER_ID_CHANGED;
 * ENOENT with HANDLE_UNKNOWN, NOTE_AGENT; ESTALE with HANDLE_STALE; EACCES with
 * XFER_READONLY, XFER_RIGHTS; EKEYEXPIRED with GRANT_EXPIRED; EINVAL with the other XFER_*,
 * FIELD_UNUSED or NOTE_SIZE; EOPNOTSUPP with XFER_PATH; ENOSPC with XFER_MANY; EFAULT; ENOMEM;
 * EINTR with INTERRUPTED; and, when it is posted, what XFER_POST says. With XFER_WAIT, a transfer
 * that ended badly is no error: see @out_result.
 */
struct kvxfer_xfer_prep {
	struct kvxfer_hdr hdr;
	struct kvxfer_handle src;
	struct kvxfer_handle dst;
	__aligned_u64 src_ids;
	__aligned_u64 dst_ids;
	__u32 nr_src;
	__u32 nr_dst;
	__u32 src_layer;
	__u32 dst_layer;
	__u32 nr_layers;
	__u32 outers;
	struct kvxfer_piece src_piece;
	struct kvxfer_piece dst_piece;
	__aligned_u64 user_data;
	__aligned_u64 deadline_ns;
	struct kvxfer_note_to note;
	__u32 path;
	__u32 rails;
	__u32 out_xfer;
	__u32 out_path;
	__aligned_u64 out_bytes;
	struct kvxfer_completion out_result;
};

#define KVXFER_IOC_XFER_PREP	_IO(KVXFER_IOC_TYPE, 0x0e)

/**
 * struct kvxfer_xfer_post - ioctl(KVXFER_IOC_XFER_POST): begin a transfer
 * @hdr: flags: KVXFER_XFER_NOTE: @note instead of the one it was prepared with, this time
 * @xfer: its number
 * @reserved: 0
 * @note: see the flag
 * @out_result: how it ended, if it has: small ones are done at once
 *
 * Return: 0; ENOTUNIQ with WORKER_ID_AMBIGUOUS; ESTALE with WORKER_ID_CHANGED;
 * ENOENT with XFER_UNKNOWN, NOTE_AGENT; EBUSY with XFER_RUNNING; EINVAL with XFER_STATE,
 * NOTE_SIZE, FIELD_UNUSED; ESTALE with HANDLE_STALE; EKEYEXPIRED with GRANT_EXPIRED; EAGAIN with
 * NOTE_FULL, RING_BACKLOG, DMABUF_BUSY; EIO with DMABUF_CPU; EINTR with INTERRUPTED; ENOMEM.
 */
struct kvxfer_xfer_post {
	struct kvxfer_hdr hdr;
	__u32 xfer;
	__u32 reserved;
	struct kvxfer_note_to note;
	struct kvxfer_completion out_result;
};

#define KVXFER_IOC_XFER_POST	_IO(KVXFER_IOC_TYPE, 0x0f)
#define KVXFER_IOC_XFER_EXEC	_IO(KVXFER_IOC_TYPE, 0x10)

/* Flags of XFER_WAIT. */
#define KVXFER_XFER_WAIT_ANY	(1U << 0)	/* until one has ended, not all */

/**
 * struct kvxfer_xfer_wait - ioctl(KVXFER_IOC_XFER_WAIT): until transfers have ended
 * @hdr: flags: KVXFER_XFER_WAIT_*
 * @xfers: their numbers: an array of __u32
 * @results: how each ended: an array of &struct kvxfer_completion; 0 for none
 * @timeout_ns: how long to wait; all ones for ever
 * @nr: how many, at least 1
 * @out_ended: how many have ended
 * @out_index: the first of those
 * @out_reserved: 0
 *
 * Return: 0; ENOENT with XFER_UNKNOWN; EINVAL with XFER_EMPTY, XFER_IDS,
 * XFER_STATE; ETIME with XFER_TIMEOUT;
 * EINTR; EFAULT; ENOMEM. One that is released meanwhile has ended.
 */
struct kvxfer_xfer_wait {
	struct kvxfer_hdr hdr;
	__aligned_u64 xfers;
	__aligned_u64 results;
	__aligned_u64 timeout_ns;
	__u32 nr;
	__u32 out_ended;
	__u32 out_index;
	__u32 out_reserved;
};

#define KVXFER_IOC_XFER_WAIT	_IO(KVXFER_IOC_TYPE, 0x11)

/**
 * struct kvxfer_xfer_cancel - ioctl(KVXFER_IOC_XFER_CANCEL): end a transfer early
 * @hdr: no flags
 * @xfer: its number
 * @out_state: &enum kvxfer_xfer_state: where it is now
 *
 * One that has ended already stays as it is.
 *
 * Return: 0; ENOENT with XFER_UNKNOWN.
 */
struct kvxfer_xfer_cancel {
	struct kvxfer_hdr hdr;
	__u32 xfer;
	__u32 out_state;
};

#define KVXFER_IOC_XFER_CANCEL	_IO(KVXFER_IOC_TYPE, 0x12)

/* Flags of XFER_RELEASE. */
#define KVXFER_XFER_RELEASE_WAIT	(1U << 0)	/* return when the transfer is quiet */

/**
 * struct kvxfer_xfer_release - ioctl(KVXFER_IOC_XFER_RELEASE): done with a transfer
 * @hdr: flags: KVXFER_XFER_RELEASE_*
 * @xfer: its number
 * @reserved: 0
 *
 * One that runs is ended. The command does not wait for that without XFER_RELEASE_WAIT: what is on
 * its way by RDMA may still be written, here and on the other node, until the transfer is quiet.
 * Until then its state is RELEASING and it keeps its number; then it posts a completion with the
 * state GONE to the ring, if it was posted when there was a ring. One that is released and not
 * quiet can be waited for by another XFER_RELEASE with XFER_RELEASE_WAIT, after EINTR for one. A
 * copy on this node writes nothing any more when the command returns.
 *
 * Return: 0; ENOENT with XFER_UNKNOWN; EINVAL with FIELD_UNUSED; with XFER_RELEASE_WAIT
 * EINTR with INTERRUPTED; EREMOTEIO with XFER_UNCONFIRMED, when it is released all the same.
 */
struct kvxfer_xfer_release {
	struct kvxfer_hdr hdr;
	__u32 xfer;
	__u32 reserved;
};

#define KVXFER_IOC_XFER_RELEASE	_IO(KVXFER_IOC_TYPE, 0x13)

/**
 * struct kvxfer_xfer_cost - ioctl(KVXFER_IOC_XFER_COST): how long a transfer would take
 * @hdr: no flags
 * @xfer: its number
 * @out_path: &enum kvxfer_path that it will take
 * @out_ns: from its post to its end, by what was measured of transfers of its size
 * @out_margin_ns: how far those were from each other
 * @out_samples: how many there were
 *
 * Return: 0; ENOENT with XFER_UNKNOWN; ENODATA with XFER_RATE.
 */
struct kvxfer_xfer_cost {
	struct kvxfer_hdr hdr;
	__u32 xfer;
	__u32 out_path;
	__aligned_u64 out_ns;
	__aligned_u64 out_margin_ns;
	__aligned_u64 out_samples;
};

#define KVXFER_IOC_XFER_COST	_IO(KVXFER_IOC_TYPE, 0x14)

/* Rights of a grant. */
#define KVXFER_GRANT_READ	(1U << 0)
#define KVXFER_GRANT_WRITE	(1U << 1)

/* Grants of a layout. */
#define KVXFER_GRANTS_MAX	1024

#define KVXFER_KEY_BYTES	16

/**
 * struct kvxfer_grant - ioctl(KVXFER_IOC_GRANT): let others use a layout
 * @hdr: no flags
 * @layout: its id
 * @rights: KVXFER_GRANT_*
 * @first_block: the first that may be used
 * @nr_blocks: how many; 0 for all that follow
 * @expires_ns: for how long; 0 for as long as the layout
 * @out_key: whoever has it has the right
 *
 * A transfer that is posted before the grant expires ends when it does.
 *
 * Return: 0; ENOENT with LAYOUT_UNKNOWN; EINVAL with GRANT_RIGHTS, GRANT_BLOCKS; ESTALE with
 * HANDLE_STALE; ENOSPC with GRANT_MANY; ENOMEM.
 */
struct kvxfer_grant {
	struct kvxfer_hdr hdr;
	__u32 layout;
	__u32 rights;
	__u32 first_block;
	__u32 nr_blocks;
	__aligned_u64 expires_ns;
	__u8 out_key[KVXFER_KEY_BYTES];
};

#define KVXFER_IOC_GRANT	_IO(KVXFER_IOC_TYPE, 0x15)

/**
 * struct kvxfer_revoke - ioctl(KVXFER_IOC_REVOKE): take a grant back
 * @hdr: no flags
 * @layout: its id
 * @reserved: 0
 * @key: of the grant
 *
 * Nobody can use it from the first moment on, what runs is cut off, and when the command returns
 * nothing by this grant touches a block. If a signal ends the waiting, it can be repeated.
 *
 * Return: 0; ENOENT with LAYOUT_UNKNOWN, GRANT_KEY; EINTR with INTERRUPTED; EINVAL with
 * FIELD_UNUSED.
 */
struct kvxfer_revoke {
	struct kvxfer_hdr hdr;
	__u32 layout;
	__u32 reserved;
	__u8 key[KVXFER_KEY_BYTES];
};

#define KVXFER_IOC_REVOKE	_IO(KVXFER_IOC_TYPE, 0x16)

/* Layouts that are imported of an agent, and agents that are imported by one. */
#define KVXFER_IMPORT_MAX	4096
#define KVXFER_PEERS_MAX	4096

/**
 * struct kvxfer_import - a layout of another agent
 * @layout: its id
 * @reserved: 0
 * @key: of the grant
 */
struct kvxfer_import {
	__u32 layout;
	__u32 reserved;
	__u8 key[KVXFER_KEY_BYTES];
};

/* Addresses of a node. */
#define KVXFER_ADDRESSES_MAX	16

/**
 * struct kvxfer_address - where a node can be reached by RDMA
 * @family: AF_INET or AF_INET6
 * @port: in host order
 * @reserved: 0
 * @addr: the address, in network order; one of IPv4 in the first four bytes, then zeros
 * @reserved2: 0
 */
struct kvxfer_address {
	__u16 family;
	__u16 port;
	__u32 reserved;
	__u8 addr[16];
	__aligned_u64 reserved2;
};

/**
 * enum kvxfer_refusal - why a node does not want to be connected
 * @KVXFER_REFUSAL_NONE: nobody said why
 * @KVXFER_REFUSAL_MAGIC: what asked is not kvxfer
 * @KVXFER_REFUSAL_VERSION: there is no version of the protocol that both know
 * @KVXFER_REFUSAL_BOOT: it is another node than the one that was meant
 * @KVXFER_REFUSAL_SELF: it is the same node
 * @KVXFER_REFUSAL_YOURS: both asked at once, and the other one's connection is to be
 * @KVXFER_REFUSAL_BUSY: what was there before is not gone yet
 * @KVXFER_REFUSAL_LANE: there is no such lane
 * @KVXFER_REFUSAL_RESOURCES: there is no memory, or no room for another node, or too many ask at
 *	once
 * @KVXFER_REFUSAL_LEAVING: the node goes away
 * @KVXFER_REFUSAL_DOWN: an administrator does not want the connection
 * @KVXFER_REFUSAL_KEY: the cluster keys of both are not the same
 */
enum kvxfer_refusal {
	KVXFER_REFUSAL_NONE		= 0,
	KVXFER_REFUSAL_MAGIC		= 1,
	KVXFER_REFUSAL_VERSION		= 2,
	KVXFER_REFUSAL_BOOT		= 3,
	KVXFER_REFUSAL_SELF		= 4,
	KVXFER_REFUSAL_YOURS		= 5,
	KVXFER_REFUSAL_BUSY		= 6,
	KVXFER_REFUSAL_LANE		= 7,
	KVXFER_REFUSAL_RESOURCES	= 8,
	KVXFER_REFUSAL_LEAVING		= 9,
	KVXFER_REFUSAL_DOWN		= 10,
	KVXFER_REFUSAL_KEY		= 11,
};

/**
 * struct kvxfer_layout_import - ioctl(KVXFER_IOC_LAYOUT_IMPORT): be able to name another's layouts
 * @hdr: no flags
 * @boot_id: of the other agent's node
 * @worker_id: of the other agent
 * @epoch: of the other agent
 * @imports: an array of &struct kvxfer_import
 * @nr_imports: how many; may be 0
 * @reserved: 0
 * @addresses: where the other agent's node can be reached, if it is not this one: an array of
 * &struct kvxfer_address
 * @timeout_ns: how long that may take; 0 for 30 s
 * @nr_addresses: how many
 * @reserved2: 0
 *
 * All of an agent's layouts come at once. With an epoch that is already there they are refused;
 * with another, they take the place of those that were of the same worker_id and node, whose
 * handles turn stale. Agents of several nodes may have the same worker_id.
 *
 * An agent of another node is connected with, if nobody here is yet, and asked; the command returns
 * when all is known.
 *
 * Return: 0; EEXIST with PEER_LOADED; EINVAL with PEER_SELF, PEER_LAYOUTS, PEER_RESERVED,
 * PEER_ADDRESS, FIELD_UNUSED; ESTALE with PEER_GONE, PEER_EPOCH, PEER_REBOOTED; ENOENT with
 * PEER_LAYOUT; EACCES with GRANT_KEY; EKEYEXPIRED with GRANT_EXPIRED; EOPNOTSUPP with POOL_KIND;
 * EOPNOTSUPP with PEER_NO_RDMA; EHOSTUNREACH with PEER_REMOTE, PEER_REFUSED; ENOSPC with PEER_MANY;
 * EINTR with INTERRUPTED; EFAULT; ENOMEM.
 */
struct kvxfer_layout_import {
	struct kvxfer_hdr hdr;
	__aligned_u64 boot_id;
	__aligned_u64 worker_id;
	__aligned_u64 epoch;
	__aligned_u64 imports;
	__u32 nr_imports;
	__u32 reserved;
	__aligned_u64 addresses;
	__aligned_u64 timeout_ns;
	__u32 nr_addresses;
	__u32 reserved2;
};

#define KVXFER_IOC_LAYOUT_IMPORT	_IO(KVXFER_IOC_TYPE, 0x17)

/**
 * struct kvxfer_layout_forget - ioctl(KVXFER_IOC_LAYOUT_FORGET): done with another agent
 * @hdr: no flags
 * @worker_id: of the other agent
 * @boot_id: of its node; 0 for any
 *
 * Its handles are unknown from then on. Transfers that are prepared stay what they are.
 *
 * Return: 0; ENOENT with PEER_UNKNOWN; ENOTUNIQ with WORKER_ID_AMBIGUOUS.
 */
struct kvxfer_layout_forget {
	struct kvxfer_hdr hdr;
	__aligned_u64 worker_id;
	__aligned_u64 boot_id;
};

#define KVXFER_IOC_LAYOUT_FORGET	_IO(KVXFER_IOC_TYPE, 0x18)

/* Flags of NOTE_SEND. */
#define KVXFER_NOTE_SEND_WAIT	(1U << 0)	/* wait for room at the receiver */

/**
 * struct kvxfer_note_send - ioctl(KVXFER_IOC_NOTE_SEND): bytes to another agent
 * @hdr: flags: KVXFER_NOTE_SEND_*
 * @note: what, and to whom
 *
 * Notes of one sender arrive in the order in which they were sent, each once.
 *
 * A worker_id without an epoch must mean one agent: of this node, or of those that were imported.
 * And one of this node must be the same user's as when this agent had to do with it last.
 *
 * Return: 0; EINVAL with NOTE_SIZE; ENOENT with NOTE_AGENT; ENOTUNIQ with WORKER_ID_AMBIGUOUS;
 * ESTALE with WORKER_ID_CHANGED; EAGAIN with NOTE_FULL; EINTR; EFAULT; ENOMEM.
 */
struct kvxfer_note_send {
	struct kvxfer_hdr hdr;
	struct kvxfer_note_to note;
};

#define KVXFER_IOC_NOTE_SEND	_IO(KVXFER_IOC_TYPE, 0x19)

/**
 * struct kvxfer_note - a note as it is received; its bytes follow, and zeros up to a multiple of 8
 * @worker_id: of the sender, by the kernel's word
 * @epoch: of the sender
 * @sent_ns: when, by CLOCK_MONOTONIC
 * @bytes: how many follow
 * @reserved: 0
 */
struct kvxfer_note {
	__aligned_u64 worker_id;
	__aligned_u64 epoch;
	__aligned_u64 sent_ns;
	__u32 bytes;
	__u32 reserved;
};

/**
 * struct kvxfer_note_recv - ioctl(KVXFER_IOC_NOTE_RECV): take notes that have come
 * @hdr: no flags
 * @buffer: where they go: &struct kvxfer_note and its bytes, one after the other
 * @bytes: how much room there is
 * @max: how many at most; 0 for all
 * @out_nr: how many were taken
 * @out_bytes: how much of @buffer they fill
 * @out_left: how many are left
 * @out_overflows: how many the agent's queue could not take, ever: none
 *
 * poll() tells when there are any: POLLIN with POLLRDBAND.
 *
 * Return: 0; EAGAIN with NOTE_NONE; EMSGSIZE with NOTE_ROOM; EFAULT.
 */
struct kvxfer_note_recv {
	struct kvxfer_hdr hdr;
	__aligned_u64 buffer;
	__u32 bytes;
	__u32 max;
	__u32 out_nr;
	__u32 out_bytes;
	__u32 out_left;
	__u32 out_overflows;
};

#define KVXFER_IOC_NOTE_RECV	_IO(KVXFER_IOC_TYPE, 0x1a)

/**
 * struct kvxfer_node_addresses - ioctl(KVXFER_IOC_NODE_ADDRESSES): where this node can be reached
 * @hdr: no flags
 * @addresses: where they go: an array of &struct kvxfer_address
 * @nr_addresses: room for how many
 * @out_nr: how many there are, at most KVXFER_ADDRESSES_MAX; as many as there is room for were
 * written
 *
 * They are those of network interfaces that an RDMA device goes by which can be used: those in the
 * network namespace that the agent was opened in, and if there are none, those in the host's. None:
 * other nodes cannot reach this one.
 *
 * Return: 0; EFAULT; ENOMEM.
 */
struct kvxfer_node_addresses {
	struct kvxfer_hdr hdr;
	__aligned_u64 addresses;
	__u32 nr_addresses;
	__u32 out_nr;
};

#define KVXFER_IOC_NODE_ADDRESSES	_IO(KVXFER_IOC_TYPE, 0x1b)

/* Nodes that an agent may want to be connected with ahead. */
#define KVXFER_CONNECTS_MAX	256

/* Flags of PEER_CONNECT. */
#define KVXFER_PEER_CONNECT_NOWAIT	(1U << 0)	/* begin, or say how far it is */

/**
 * struct kvxfer_peer_connect - ioctl(KVXFER_IOC_PEER_CONNECT): be connected with another node ahead
 * @hdr: flags: KVXFER_PEER_CONNECT_*
 * @boot_id: of the node
 * @addresses: where it can be reached: an array of &struct kvxfer_address
 * @timeout_ns: how long that may take; 0 for 30 s
 * @nr_addresses: how many; 0 when it is known
 * @reserved: 0
 *
 * From then on until the agent closes, whatever this returns, the node is connected with, and again
 * when that is lost: so that who imports from it does not wait for that. With NOWAIT it is begun,
 * and the command can be repeated to hear how far it is. With this node there is nothing to do.
 *
 * Return: 0; EAGAIN with PEER_CONNECTING; EHOSTUNREACH with PEER_REMOTE or PEER_REFUSED; ESTALE
 * with PEER_REBOOTED; ENOSPC with PEER_MANY; EINVAL with PEER_ADDRESS, FIELD_UNUSED; EOPNOTSUPP
 * with PEER_NO_RDMA; EINTR with INTERRUPTED; EFAULT; ENOMEM.
 */
struct kvxfer_peer_connect {
	struct kvxfer_hdr hdr;
	__aligned_u64 boot_id;
	__aligned_u64 addresses;
	__aligned_u64 timeout_ns;
	__u32 nr_addresses;
	__u32 reserved;
};

#define KVXFER_IOC_PEER_CONNECT	_IO(KVXFER_IOC_TYPE, 0x1c)

/**
 * struct kvxfer_msg - ioctl(KVXFER_IOC_MSG_SEND): bytes of a pool to another agent;
 * ioctl(KVXFER_IOC_MSG_RECV): room in a pool for what another agent sends
 * @hdr: flags: KVXFER_XFER_WAIT, KVXFER_XFER_ONCE
 * @worker_id: of the other agent, which is here or imported
 * @epoch: of the other agent; 0 for any
 * @offset: where in the pool
 * @bytes: how many; MSG_RECV: for how many there is room
 * @user_data: comes back in the completion
 * @deadline_ns: how long it may take from the post on; 0 for the default
 * @pool: its number in this agent; not of a dma-buf
 * @path: &enum kvxfer_path that is wanted
 * @rails: MSG_RECV: by which rails only, as in &struct kvxfer_xfer_prep
 * @reserved: 0
 * @out_xfer: its number in this agent, never 0
 * @out_path: &enum kvxfer_path that it will take
 * @out_result: how it ended, if it has
 *
 * What one agent sends to another and what that one has room for meet in the order in which they
 * were posted; then the bytes go over as those of a transfer do, from one pool to the other, and
 * both end: DONE, with the message's length as bytes. A message that is longer than the room for
 * it fails on both sides, and nothing is written. Either may be posted first.
 *
 * What is made is a transfer, posted already: it is waited for, canceled and released as others
 * are, and may be posted again by XFER_POST when it is done. With ONCE it releases itself when it
 * has ended, which is told by the ring alone; with WAIT the command returns then, and it is
 * released. Who cancels what has met another's fails that one, with MSG_WITHDRAWN or MSG_REFUSED.
 *
 * Return: 0; ENOTUNIQ with WORKER_ID_AMBIGUOUS; ESTALE with WORKER_ID_CHANGED;
 * ENOENT with MSG_AGENT, POOL_UNKNOWN; EINVAL with MSG_RANGE, XFER_RAILS, FIELD_UNUSED;
 * EACCES with XFER_READONLY; EOPNOTSUPP with XFER_PATH, POOL_KIND; ENOSPC with XFER_MANY; EAGAIN
 * with RING_BACKLOG; EINTR with INTERRUPTED; ENOMEM. With WAIT, one that ended badly is no error:
 * see @out_result.
 */
struct kvxfer_msg {
	struct kvxfer_hdr hdr;
	__aligned_u64 worker_id;
	__aligned_u64 epoch;
	__aligned_u64 offset;
	__aligned_u64 bytes;
	__aligned_u64 user_data;
	__aligned_u64 deadline_ns;
	__u32 pool;
	__u32 path;
	__u32 rails;
	__u32 reserved;
	__u32 out_xfer;
	__u32 out_path;
	struct kvxfer_completion out_result;
};

#define KVXFER_IOC_MSG_SEND	_IO(KVXFER_IOC_TYPE, 0x1d)
#define KVXFER_IOC_MSG_RECV	_IO(KVXFER_IOC_TYPE, 0x1e)

#endif /* _UAPI_LINUX_KVXFER_H */
