// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Errors in words: a thread's last one, and the kernel's reasons. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static _Thread_local struct kvx_error last;

#define SIDE		": %u (0: the source, 1: the destination)"

static const struct {
	const char *name;
	const char *text;
	const char *index;	/* how to say the index; NULL: it says nothing */
} reasons[] = {
	[KVXFER_REASON_NONE] = { "NONE", "the kernel gave no reason", NULL },
	[KVXFER_REASON_NR_UNKNOWN] = {
		"NR_UNKNOWN", "this kernel's kvxfer has no such command", ": number %u" },
	[KVXFER_REASON_SIZE_SHORT] = {
		"SIZE_SHORT", "the struct is too short", ": at least %u bytes are needed" },
	[KVXFER_REASON_SIZE_HUGE] = {
		"SIZE_HUGE", "the struct is too long", ": at most %u bytes are taken" },
	[KVXFER_REASON_TAIL_NONZERO] = {
		"TAIL_NONZERO", "a field is set that this kernel's kvxfer does not know",
		": at byte %u" },
	[KVXFER_REASON_FLAG_UNKNOWN] = {
		"FLAG_UNKNOWN", "a flag is set that this kernel's kvxfer does not know",
		": bit %u" },
	[KVXFER_REASON_FIELD_UNUSED] = {
		"FIELD_UNUSED", "a field is set whose flag is not", ": at byte %u" },
	[KVXFER_REASON_NAME_EMPTY] = { "NAME_EMPTY", "the name is empty", NULL },
	[KVXFER_REASON_NAME_LONG] = {
		"NAME_LONG", "the name is too long", ": with its ending NUL it may have %u bytes" },
	[KVXFER_REASON_NAME_CHAR] = {
		"NAME_CHAR", "the name holds a byte that is not printable ASCII", ": at byte %u" },
	[KVXFER_REASON_WORKER_ID_TAKEN] = {
		"WORKER_ID_TAKEN", "another agent of this node has this worker_id", ": agent %u" },
	[KVXFER_REASON_POOL_UNKNOWN] = {
		"POOL_UNKNOWN", "there is no such pool", ": number %u" },
	[KVXFER_REASON_POOL_SIZE] = {
		"POOL_SIZE", "the size is 0, no multiple of the page size, or more than there is",
		NULL },
	[KVXFER_REASON_POOL_MODE] = {
		"POOL_MODE", "a mode may have the bits 0666 and no others", NULL },
	[KVXFER_REASON_POOL_NODE] = {
		"POOL_NODE", "there is no such NUMA node with memory", ": node %d" },
	[KVXFER_REASON_POOL_NAME_TAKEN] = {
		"POOL_NAME_TAKEN", "a pool of this name exists already", NULL },
	[KVXFER_REASON_POOL_NAME_UNKNOWN] = {
		"POOL_NAME_UNKNOWN", "no pool has this name", NULL },
	[KVXFER_REASON_POOL_RIGHTS] = {
		"POOL_RIGHTS", "the pool's owner, group and mode do not allow it", ": mode %04o" },
	[KVXFER_REASON_POOL_GROUP] = {
		"POOL_GROUP", "you are not in that group", ": gid %u" },
	[KVXFER_REASON_QUOTA_BYTES] = {
		"QUOTA_BYTES", "your pools would be larger than your quota", NULL },
	[KVXFER_REASON_QUOTA_POOLS] = {
		"QUOTA_POOLS", "your pools would be more than your quota", NULL },
	[KVXFER_REASON_NO_MEMORY] = {
		"NO_MEMORY", "there is not that much memory", ": %u MiB were got" },
	[KVXFER_REASON_INTERRUPTED] = {
		"INTERRUPTED", "it was interrupted, and nothing is left of it", ": after %u MiB" },
	[KVXFER_REASON_MEMFD_KIND] = { "MEMFD_KIND", "the file is no memfd", NULL },
	[KVXFER_REASON_MEMFD_SEAL] = {
		"MEMFD_SEAL",
		"the memfd must be sealed against shrinking (of huge pages: and growing), and not against writing",
		": its seals are %u" },
	[KVXFER_REASON_MEMFD_HOLE] = {
		"MEMFD_HOLE", "memory was taken out of the memfd while the pool was made", NULL },
	[KVXFER_REASON_MEMFD_ACCESS] = {
		"MEMFD_ACCESS", "the memfd must be open for reading and writing", NULL },
	[KVXFER_REASON_RANGE] = {
		"RANGE", "the range is empty, not page aligned, or not in user memory", NULL },
	[KVXFER_REASON_RANGE_UNMAPPED] = {
		"RANGE_UNMAPPED", "nothing is mapped in a part of the range", ": from page %u" },
	[KVXFER_REASON_RANGE_READONLY] = {
		"RANGE_READONLY", "a part of the range may not be written", ": from page %u" },
	[KVXFER_REASON_RANGE_DEVICE] = {
		"RANGE_DEVICE", "a part of the range is a device's", ": from page %u" },
	[KVXFER_REASON_RANGE_FILE] = {
		"RANGE_FILE", "a part of the range is a file's on a disk", ": from page %u" },
	[KVXFER_REASON_RANGE_FAULT] = {
		"RANGE_FAULT", "a page of the range cannot be had", ": page %u" },
	[KVXFER_REASON_MEMLOCK] = {
		"MEMLOCK", "it is more than RLIMIT_MEMLOCK allows to pin",
		": the limit is %u MiB (ulimit -l)" },
	[KVXFER_REASON_POOL_KIND] = {
		"POOL_KIND", "a pool of this kind cannot do that", ": kind %u" },
	[KVXFER_REASON_POOL_READONLY] = {
		"POOL_READONLY", "the pool is open for reading only", NULL },
	[KVXFER_REASON_DMABUF_KIND] = { "DMABUF_KIND", "the file is no dma-buf", NULL },
	[KVXFER_REASON_DMABUF_ACCESS] = {
		"DMABUF_ACCESS", "the dma-buf is not open for what is asked of it", NULL },
	[KVXFER_REASON_DMABUF_CPU] = {
		"DMABUF_CPU", "the dma-buf's exporter gives the CPU no way to its memory",
		": it says errno %u" },
	[KVXFER_REASON_DMABUF_IOMEM] = {
		"DMABUF_IOMEM", "the dma-buf's memory is a device's, not the machine's", NULL },
	[KVXFER_REASON_WORKER_ID_USED] = {
		"WORKER_ID_USED", "the worker_id is in handles already, and stays", NULL },
	[KVXFER_REASON_LAYOUT_KIND] = { "LAYOUT_KIND", "there is no such kind of layout", NULL },
	[KVXFER_REASON_LAYOUT_FORMAT] = { "LAYOUT_FORMAT", "there is no such format", NULL },
	[KVXFER_REASON_LAYOUT_BLOCKS] = { "LAYOUT_BLOCKS", "num_blocks is 0", NULL },
	[KVXFER_REASON_LAYOUT_LAYERS] = { "LAYOUT_LAYERS", "num_layers is 0", NULL },
	[KVXFER_REASON_LAYOUT_OUTER] = { "LAYOUT_OUTER", "outer_dim is not 1 to 8", NULL },
	[KVXFER_REASON_LAYOUT_PAGE] = { "LAYOUT_PAGE", "page_size is 0", NULL },
	[KVXFER_REASON_LAYOUT_INNER] = { "LAYOUT_INNER", "inner_dim is 0", NULL },
	[KVXFER_REASON_LAYOUT_DTYPE] = { "LAYOUT_DTYPE", "dtype_width is not 1 to 8", NULL },
	[KVXFER_REASON_LAYOUT_ALIGNMENT] = {
		"LAYOUT_ALIGNMENT", "alignment is 0", NULL },
	[KVXFER_REASON_LAYOUT_ENTRIES] = {
		"LAYOUT_ENTRIES", "num_layers times outer_dim is more than 4096", NULL },
	[KVXFER_REASON_LAYOUT_OVERFLOW] = {
		"LAYOUT_OVERFLOW", "the layout is larger than any number of bytes", NULL },
	[KVXFER_REASON_LAYOUT_BASES] = {
		"LAYOUT_BASES", "a layout of this kind has another number of bases", ": %u" },
	[KVXFER_REASON_LAYOUT_STRIDE] = {
		"LAYOUT_STRIDE", "block_stride is less than a region, or more than a pool",
		NULL },
	[KVXFER_REASON_LAYOUT_POOL] = {
		"LAYOUT_POOL", "a base is in no pool that the agent has open", ": base %u" },
	[KVXFER_REASON_LAYOUT_BOUNDS] = {
		"LAYOUT_BOUNDS", "regions lie beyond their pool", ": those of entry %u" },
	[KVXFER_REASON_LAYOUT_OVERLAP] = {
		"LAYOUT_OVERLAP", "regions lie over those of an earlier entry",
		": those of entry %u" },
	[KVXFER_REASON_LAYOUT_IDS] = {
		"LAYOUT_IDS", "this agent has registered 65535 layouts, and ids are not used again",
		NULL },
	[KVXFER_REASON_LAYOUT_UNKNOWN] = {
		"LAYOUT_UNKNOWN", "the agent has no such layout", ": id %u" },
	[KVXFER_REASON_LAYOUT_BASE] = {
		"LAYOUT_BASE", "a reserved word of a base is set", ": base %u" },
	[KVXFER_REASON_LAYOUT_BASE_ALIGNMENT] = {
		"LAYOUT_BASE_ALIGNMENT", "a base's offset is no multiple of alignment",
		": base %u" },
	[KVXFER_REASON_LAYOUT_BUSY] = {
		"LAYOUT_BUSY", "transfers are prepared with the layout", ": %u" },
	[KVXFER_REASON_HANDLE_UNKNOWN] = {
		"HANDLE_UNKNOWN", "the handle names nothing that the agent has or has imported",
		SIDE },
	[KVXFER_REASON_HANDLE_STALE] = {
		"HANDLE_STALE", "what the handle named is no more", SIDE },
	[KVXFER_REASON_XFER_EMPTY] = { "XFER_EMPTY", "a list is empty", NULL },
	[KVXFER_REASON_XFER_IDS] = { "XFER_IDS", "a list is too long", NULL },
	[KVXFER_REASON_XFER_FORMAT] = { "XFER_FORMAT", "the layouts' formats differ", NULL },
	[KVXFER_REASON_XFER_ELEMENT] = {
		"XFER_ELEMENT", "the layouts' elements or tokens differ in bytes", NULL },
	[KVXFER_REASON_XFER_OUTER] = {
		"XFER_OUTER", "outer dimensions differ, or the mask names one that is not there",
		NULL },
	[KVXFER_REASON_XFER_LAYERS] = {
		"XFER_LAYERS", "the layers are not there, or the layouts differ in their number",
		NULL },
	[KVXFER_REASON_XFER_PIECE] = {
		"XFER_PIECE", "a piece does not fit its region, or the two differ in bytes", NULL },
	[KVXFER_REASON_XFER_PAGE] = {
		"XFER_PAGE", "blocks differ in tokens, and this format cannot be regrouped", NULL },
	[KVXFER_REASON_XFER_LENGTH] = {
		"XFER_LENGTH", "the lists come to different numbers of bytes", NULL },
	[KVXFER_REASON_XFER_SRC_RANGE] = {
		"XFER_SRC_RANGE", "a source block is not in the layout, or not granted",
		": entry %u of the list" },
	[KVXFER_REASON_XFER_DST_RANGE] = {
		"XFER_DST_RANGE", "a destination block is not in the layout, or not granted",
		": entry %u of the list" },
	[KVXFER_REASON_XFER_DST_TWICE] = {
		"XFER_DST_TWICE", "a destination block comes twice", ": entry %u of the list" },
	[KVXFER_REASON_XFER_OVERLAP] = {
		"XFER_OVERLAP", "bytes are both read and written", ": the destination's entry %u" },
	[KVXFER_REASON_XFER_READONLY] = {
		"XFER_READONLY", "the destination may not be written", NULL },
	[KVXFER_REASON_XFER_RIGHTS] = { "XFER_RIGHTS", "the grant does not allow it", SIDE },
	[KVXFER_REASON_XFER_PATH] = {
		"XFER_PATH", "there is no such path between the two", ": path %u" },
	[KVXFER_REASON_XFER_MANY] = { "XFER_MANY", "the agent has too many transfers", ": %u" },
	[KVXFER_REASON_XFER_UNKNOWN] = {
		"XFER_UNKNOWN", "there is no such transfer", ": entry %u of the list" },
	[KVXFER_REASON_XFER_RUNNING] = {
		"XFER_RUNNING", "the transfer has not ended", ": state %u" },
	[KVXFER_REASON_XFER_STATE] = {
		"XFER_STATE", "the transfer is in a state that does not allow it", ": state %u" },
	[KVXFER_REASON_XFER_TIMEOUT] = {
		"XFER_TIMEOUT", "the time to wait is over", ": %u have ended" },
	[KVXFER_REASON_XFER_CANCELED] = { "XFER_CANCELED", "it was canceled", NULL },
	[KVXFER_REASON_XFER_DEADLINE] = { "XFER_DEADLINE", "its deadline came", NULL },
	[KVXFER_REASON_XFER_CUT] = {
		"XFER_CUT", "a layout was unregistered, its agent went, or a grant was revoked",
		NULL },
	[KVXFER_REASON_XFER_MEMORY] = { "XFER_MEMORY", "memory could not be read", NULL },
	[KVXFER_REASON_XFER_RATE] = {
		"XFER_RATE", "nothing has been measured yet to judge by", NULL },
	[KVXFER_REASON_PEER_RESERVED] = {
		"PEER_RESERVED", "a reserved word of an import is set", ": entry %u of the list" },
	[KVXFER_REASON_RING_SIZE] = {
		"RING_SIZE", "a ring has a power of two of entries, at most 65536", ": not %u" },
	[KVXFER_REASON_RING_EXISTS] = { "RING_EXISTS", "the agent has its ring", NULL },
	[KVXFER_REASON_RING_EVENTFD] = { "RING_EVENTFD", "the file is no eventfd", NULL },
	[KVXFER_REASON_RING_BACKLOG] = {
		"RING_BACKLOG", "results wait for room in the ring: take some", ": %u" },
	[KVXFER_REASON_GRANT_RIGHTS] = {
		"GRANT_RIGHTS", "there are no such rights to give", ": %u" },
	[KVXFER_REASON_GRANT_BLOCKS] = {
		"GRANT_BLOCKS", "no blocks, or more than the layout has", ": it has %u" },
	[KVXFER_REASON_GRANT_MANY] = { "GRANT_MANY", "the layout has too many grants", ": %u" },
	[KVXFER_REASON_GRANT_KEY] = {
		"GRANT_KEY", "no grant has this key", ": entry %u of the list" },
	[KVXFER_REASON_GRANT_EXPIRED] = { "GRANT_EXPIRED", "the grant's time is over", SIDE },
	[KVXFER_REASON_PEER_SELF] = { "PEER_SELF", "an agent does not import itself", NULL },
	[KVXFER_REASON_PEER_LOADED] = { "PEER_LOADED", "this agent is imported already", NULL },
	[KVXFER_REASON_PEER_UNKNOWN] = { "PEER_UNKNOWN", "no such agent is imported", NULL },
	[KVXFER_REASON_PEER_GONE] = { "PEER_GONE", "the agent has gone", NULL },
	[KVXFER_REASON_PEER_EPOCH] = {
		"PEER_EPOCH", "the agent has been opened anew since", NULL },
	[KVXFER_REASON_PEER_REMOTE] = {
		"PEER_REMOTE", "the agent is on another node, which cannot be reached",
		": errno %u" },
	[KVXFER_REASON_PEER_LAYOUTS] = {
		"PEER_LAYOUTS", "too many layouts at once", ": at most %u" },
	[KVXFER_REASON_PEER_LAYOUT] = {
		"PEER_LAYOUT", "the agent has no such layout", ": entry %u of the list" },
	[KVXFER_REASON_NOTE_SIZE] = { "NOTE_SIZE", "a note has at most 4096 bytes", ": not %u" },
	[KVXFER_REASON_PEER_MANY] = {
		"PEER_MANY", "too many agents are imported, or nodes connected with", ": %u" },
	[KVXFER_REASON_XFER_REACH] = {
		"XFER_REACH", "memory of this node could not be made reachable for a device",
		NULL },
	[KVXFER_REASON_PEER_ADDRESS] = {
		"PEER_ADDRESS", "this is no address of a node", ": number %u" },
	[KVXFER_REASON_PEER_REFUSED] = {
		"PEER_REFUSED", "the other node does not want to be connected", NULL },
	[KVXFER_REASON_PEER_REBOOTED] = {
		"PEER_REBOOTED", "the other node was started anew since", NULL },
	[KVXFER_REASON_MSG_AGENT] = {
		"MSG_AGENT", "no agent here, or imported, has this worker_id and epoch", NULL },
	[KVXFER_REASON_MSG_RANGE] = {
		"MSG_RANGE", "the message has no bytes, or lies beyond its pool", NULL },
	[KVXFER_REASON_MSG_TRUNCATED] = {
		"MSG_TRUNCATED", "the message is longer than the room for it", ": it has %u KiB" },
	[KVXFER_REASON_MSG_WITHDRAWN] = {
		"MSG_WITHDRAWN", "whoever sends the message does not want to any more", NULL },
	[KVXFER_REASON_MSG_REFUSED] = {
		"MSG_REFUSED", "whoever was to receive the message does not want to any more",
		NULL },
	[KVXFER_REASON_MSG_FULL] = {
		"MSG_FULL", "too many messages to other nodes have not ended", NULL },
	[KVXFER_REASON_PEER_NO_RDMA] = {
		"PEER_NO_RDMA",
		"this kernel has no RDMA (CONFIG_INFINIBAND), so other nodes cannot be reached",
		NULL },
	[KVXFER_REASON_WORKER_ID_AMBIGUOUS] = {
		"WORKER_ID_AMBIGUOUS",
		"more than one agent has this worker_id: a handle, or an epoch, says which is meant",
		": %u have it" },
	[KVXFER_REASON_WORKER_ID_CHANGED] = {
		"WORKER_ID_CHANGED", "the worker_id has become that of another user's agent",
		NULL },
	[KVXFER_REASON_XFER_UNCONFIRMED] = {
		"XFER_UNCONFIRMED",
		"the other node did not say whether all that was written to it is over", NULL },
	[KVXFER_REASON_PEER_CONNECTING] = {
		"PEER_CONNECTING", "the other node is not connected yet",
		": the last attempt ended with errno %u" },
	[KVXFER_REASON_XFER_RAILS] = {
		"XFER_RAILS", "there can be no rails of these numbers", ": mask %#x" },
	[KVXFER_REASON_DMABUF_BUSY] = {
		"DMABUF_BUSY", "another driver works with the dma-buf still", NULL },
	[KVXFER_REASON_NOTE_FULL] = {
		"NOTE_FULL", "there is no room for the note",
		": %u (0: at the receiver; 1: too many of yours are on their way)" },
	[KVXFER_REASON_NOTE_NONE] = { "NOTE_NONE", "no note waits", NULL },
	[KVXFER_REASON_NOTE_ROOM] = {
		"NOTE_ROOM", "the next note does not fit", ": it needs %u bytes" },
	[KVXFER_REASON_NOTE_AGENT] = { "NOTE_AGENT", "there is no such agent to send to", NULL },
};

static const char *const refusals[] = {
	[KVXFER_REFUSAL_NONE] = "nobody said why",
	[KVXFER_REFUSAL_MAGIC] = "the other end does not take this for kvxfer",
	[KVXFER_REFUSAL_VERSION] = "there is no version of the protocol that both nodes know",
	[KVXFER_REFUSAL_BOOT] = "it is another node than the one that was meant",
	[KVXFER_REFUSAL_SELF] = "it is this node itself",
	[KVXFER_REFUSAL_YOURS] = "both nodes asked at once, and the other's connection is to be",
	[KVXFER_REFUSAL_BUSY] = "what was there before is not gone yet",
	[KVXFER_REFUSAL_LANE] = "there is no such lane",
	[KVXFER_REFUSAL_RESOURCES] = "it has no memory, or no room for another node",
	[KVXFER_REFUSAL_LEAVING] = "the other node goes away",
	[KVXFER_REFUSAL_DOWN] = "an administrator does not want the connection",
	[KVXFER_REFUSAL_KEY] = "the two nodes do not have the same cluster key",
};

_Static_assert(ARRAY_SIZE(reasons) == KVXFER_REASON_NR, "a reason has no text");

const struct kvx_error *kvx_last_error(void)
{
	return &last;
}

struct kvx_error kvx_error_save(void)
{
	return last;
}

void kvx_error_restore(const struct kvx_error *error)
{
	last = *error;
}

const char *kvx_reason_name(unsigned int reason)
{
	return reason < KVXFER_REASON_NR ? reasons[reason].name : "UNKNOWN";
}

const char *kvx_reason_text(unsigned int reason)
{
	return reason < KVXFER_REASON_NR ? reasons[reason].text :
	       "the kernel gave a reason that this library is too old to know";
}

const char *kvx_refusal_text(unsigned int refusal)
{
	return refusal < ARRAY_SIZE(refusals) && refusals[refusal] ? refusals[refusal] :
	       "for a reason that this library is too old to know";
}

int kvx_fail(int err, const char *fmt, ...)
{
	va_list args;

	last.error = err;
	last.reason = KVXFER_REASON_NONE;
	last.index = 0;
	va_start(args, fmt);
	vsnprintf(last.text, sizeof(last.text), fmt, args);
	va_end(args);
	return -err;
}

int kvx_fail_refused(int err, const char *what, const struct kvxfer_hdr *hdr)
{
	const char *name = strerrorname_np(err);
	char index[96] = "";

	if (hdr->reason == KVXFER_REASON_NONE)
		return kvx_fail(err, "%s: %s", what, strerrordesc_np(err) ?: "unknown error");
	if (hdr->reason >= KVXFER_REASON_NR)
		snprintf(index, sizeof(index), ": reason %u, index %u", hdr->reason, hdr->index);
	else if (hdr->reason == KVXFER_REASON_PEER_REFUSED)
		snprintf(index, sizeof(index), ": %s", kvx_refusal_text(hdr->index));
	else if (reasons[hdr->reason].index)
		snprintf(index, sizeof(index), reasons[hdr->reason].index, hdr->index);
	kvx_fail(err, "%s: %s%s [%s]", what, kvx_reason_text(hdr->reason), index, name ?: "?");
	return kvx_fail_again(hdr->reason, hdr->index);
}

int kvx_fail_again(unsigned int reason, unsigned int index)
{
	last.reason = reason;
	last.index = index;
	return -last.error;
}
