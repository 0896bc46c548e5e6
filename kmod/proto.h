/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * proto: what the kernels of two nodes say to each other. Pure, as abi.h says it.
 *
 * A *rail* is a connection between two nodes: a control link, on which frames go, and lanes, on
 * which data goes. Each link begins with a *greeting* in the private data of its connection request
 * and answer; a refusal says why. On the control link follow frames. All numbers are little-endian.
 *
 * A frame is a head and a body; the body's form follows from the type. Some types belong to the
 * rail, and are numbered 0. The others belong to the two nodes: they are numbered from 1 on without
 * a gap, are kept by who sent them until the other has said that they came, and are sent again by
 * another rail when one has failed; so each is taken once and in order.
 *
 * No address is ever told. What an agent grants is told as *ranges* of bytes, each numbered from 0,
 * and keys, one for each span of a range: see span.h.
 */
#ifndef KVX_PROTO_H
#define KVX_PROTO_H

#ifndef __KERNEL__
#include <stdbool.h>
#include <stddef.h>
#endif

#include "layout.h"
#include "span.h"

#define KVX_PROTO_MAGIC		0x4658564bU	/* "KVXF" */
#define KVX_PROTO_VERSION	1

/* Room for a frame, which is what is posted to receive one. */
#define KVX_FRAME_MAX		8192
/* What each end gives the other to be proved by, and the proof. */
#define KVX_CHALLENGE_BYTES	16
#define KVX_PROOF_BYTES		32

/* How many frames one may have on their way that the other has not taken. */
#define KVX_FRAME_CREDITS	32

#define KVX_RANGES_MAX		65536
#define KVX_KEYS_MAX		(1U << 24)

/**
 * struct kvx_wire_greeting - private data of a connection's request, answer and refusal
 * @magic: KVX_PROTO_MAGIC
 * @version: the highest that is known
 * @oldest: the lowest
 * @boot_id: of who says this
 * @expected: boot id of who shall hear it; 0 for any
 * @nonce: which rail, by who asks
 * @token: of a lane: what the control link was given
 * @lane: 0 for the control link
 * @lanes: how many lanes the rail will have
 * @refusal: &enum kvxfer_refusal
 * @port: where who asks can be asked
 * @zero: 0
 */
struct kvx_wire_greeting {
	__le32 magic;
	__le16 version;
	__le16 oldest;
	__le64 boot_id;
	__le64 expected;
	__le64 nonce;
	__le64 token;
	__u8 lane;
	__u8 lanes;
	__le16 refusal;
	__le16 port;
	__le16 zero;
};

/**
 * enum kvx_frame_type - what a frame is
 * @KVX_FRAME_HELLO: first of all, by both
 * @KVX_FRAME_READY: all lanes are there; by who asked first
 * @KVX_FRAME_CREDIT: nothing but what is in the head
 * @KVX_FRAME_BEAT: the same, and to be answered if it is asked for
 * @KVX_FRAME_PROOF: who says it knows the cluster key; by who asked first
 * @KVX_FRAME_REFUSED: the rail is not wanted, and will end
 * @KVX_FRAME_FLUSH: on a lane, behind what was written on it
 * @KVX_FRAME_FLUSHED: it has come, and with it what was before it
 * @KVX_FRAME_ATTACH: a layout is wanted, by a grant's key
 * @KVX_FRAME_ATTACHED: what it is like, or why not
 * @KVX_FRAME_TABLE: a part of its bases or ranges
 * @KVX_FRAME_WANT_KEYS: the keys of a layout for a device are wanted
 * @KVX_FRAME_KEYS: a part of them, or why not
 * @KVX_FRAME_DETACH: a layout is not wanted any more
 * @KVX_FRAME_REVOKED: a layout can not be had any more
 * @KVX_FRAME_NOTE: a note from agent to agent
 * @KVX_FRAME_NOTE_DONE: a note was received, or cannot be
 * @KVX_FRAME_QUIESCE: is a rail that has failed over, so that nothing comes by it any more?
 * @KVX_FRAME_QUIESCED: it is
 * @KVX_FRAME_OFFER: a message from agent to agent, to be fetched when there is room for it
 * @KVX_FRAME_WITHDRAW: it is not to be had any more
 * @KVX_FRAME_TAKEN: it was fetched, or will not be
 * @KVX_FRAME_WATCH: it is to be said when an agent goes
 * @KVX_FRAME_LEFT: an agent has gone, or is not there
 * @KVX_FRAME_TYPES: how many there are
 */
enum kvx_frame_type {
	KVX_FRAME_HELLO		= 1,
	KVX_FRAME_READY		= 2,
	KVX_FRAME_CREDIT	= 3,
	KVX_FRAME_BEAT		= 4,
	KVX_FRAME_PROOF		= 5,
	KVX_FRAME_REFUSED	= 6,
	KVX_FRAME_FLUSH		= 7,
	KVX_FRAME_FLUSHED	= 8,
	KVX_FRAME_ATTACH	= 9,
	KVX_FRAME_ATTACHED	= 10,
	KVX_FRAME_TABLE		= 11,
	KVX_FRAME_WANT_KEYS	= 12,
	KVX_FRAME_KEYS		= 13,
	KVX_FRAME_DETACH	= 14,
	KVX_FRAME_REVOKED	= 15,
	KVX_FRAME_NOTE		= 16,
	KVX_FRAME_NOTE_DONE	= 17,
	KVX_FRAME_QUIESCE	= 18,
	KVX_FRAME_QUIESCED	= 19,
	KVX_FRAME_OFFER		= 20,
	KVX_FRAME_WITHDRAW	= 21,
	KVX_FRAME_TAKEN		= 22,
	KVX_FRAME_WATCH		= 23,
	KVX_FRAME_LEFT		= 24,
	KVX_FRAME_TYPES,
};

/**
 * struct kvx_wire_head - how every frame begins
 * @type: &enum kvx_frame_type
 * @flags: 0
 * @credits: how many frames of the other were taken since this was said last
 * @bytes: of the frame, this head among them
 * @seq: its number; 0 for what belongs to the rail
 * @ack: the number of the other's last frame that was taken
 */
struct kvx_wire_head {
	__u8 type;
	__u8 flags;
	__le16 credits;
	__le32 bytes;
	__le64 seq;
	__le64 ack;
};

/*
 * @token: what lanes of this rail must bring; @device: which of the node's devices it is by;
 * @keyed: there is a cluster key; @challenge: by which the other has to prove that it has it.
 */
struct kvx_wire_hello {
	struct kvx_wire_head head;
	__le64 token;
	__le32 device;
	__le32 keyed;
	__u8 challenge[KVX_CHALLENGE_BYTES];
	char name[KVXFER_NAME_MAX];
};

/* @proof: see key.h. */
struct kvx_wire_proof {
	struct kvx_wire_head head;
	__u8 proof[KVX_PROOF_BYTES];
};

/* @refusal: &enum kvxfer_refusal, and not none. */
struct kvx_wire_refused {
	struct kvx_wire_head head;
	__le32 refusal;
	__le32 zero;
};

/* @ask: it is to be answered. */
struct kvx_wire_beat {
	struct kvx_wire_head head;
	__le32 ask;
	__le32 zero;
};

/*
 * On iWARP what was written is known to be there only when something that was sent behind it has
 * come. @lane: which; @token: as it was asked.
 */
struct kvx_wire_flush {
	struct kvx_wire_head head;
	__le32 lane;
	__le32 token;
};

/* @id: by which it is answered; @nonce: of the rail; @asked: who says this had asked for it. */
struct kvx_wire_quiesce {
	struct kvx_wire_head head;
	__le64 id;
	__le64 nonce;
	__le32 asked;
	__le32 zero;
};

/* @id: as it was asked. */
struct kvx_wire_quiesced {
	struct kvx_wire_head head;
	__le64 id;
};

/* @id: by which who asks will speak of it; @layout: 0 for what a message is in. */
struct kvx_wire_attach {
	struct kvx_wire_head head;
	__le32 id;
	__le32 layout;
	__le64 worker_id;
	__le64 epoch;
	__u8 key[KVXFER_KEY_BYTES];
};

/* @error: an errno, and then only @id and @reason count; or 0. Bases are of block @first. */
struct kvx_wire_attached {
	struct kvx_wire_head head;
	__le32 id;
	__le32 error;
	__le32 reason;
	__le32 rights;
	__le32 first;
	__le32 end;
	__le32 num_blocks;
	__le32 num_layers;
	__le32 outer_dim;
	__le32 page_size;
	__le32 inner_dim;
	__le32 dtype_width;
	__le32 alignment;
	__le32 format;
	__le32 kind;
	__le32 nr_ranges;
	__le64 block_stride;
	__le64 expires_ns;
};

/* What a part of a table is of. A range is its bytes, and where it begins in its memory. */
enum kvx_table {
	KVX_TABLE_BASES		= 1,
	KVX_TABLE_RANGES	= 2,
};

/* @first: where the part begins in the table; @nr words of 8 bytes follow, for a range two. */
struct kvx_wire_table {
	struct kvx_wire_head head;
	__le32 id;
	__le32 table;
	__le32 first;
	__le32 nr;
	__le64 words[];
};

struct kvx_wire_want_keys {
	struct kvx_wire_head head;
	__le32 id;
	__le32 device;
};

/*
 * @error: an errno, and then there are none; @total: in all. Once they have been told an error says
 * that they are worth nothing any more: EAGAIN that there are others, if they are asked for.
 */
struct kvx_wire_keys {
	struct kvx_wire_head head;
	__le32 id;
	__le32 device;
	__le32 error;
	__le32 shift;
	__le32 total;
	__le32 first;
	__le32 nr;
	__le32 zero;
	__le32 keys[];
};

/* DETACH: @id is of who attached. REVOKED: the same. */
struct kvx_wire_id {
	struct kvx_wire_head head;
	__le32 id;
	__le32 zero;
};

/* @serial: by which the sender will be told what became of it; @bytes bytes follow. */
struct kvx_wire_note {
	struct kvx_wire_head head;
	__le64 serial;
	__le64 from_worker_id;
	__le64 from_epoch;
	__le64 to_worker_id;
	__le64 to_epoch;
	__le32 bytes;
	__le32 zero;
	__u8 data[];
};

/* @lost: there is no such agent. */
struct kvx_wire_note_done {
	struct kvx_wire_head head;
	__le64 serial;
	__le32 lost;
	__le32 zero;
};

/*
 * @serial: by which both will speak of it; @bytes: how many it has, from @skew on in the one region
 * of what is attached by @key.
 */
struct kvx_wire_offer {
	struct kvx_wire_head head;
	__le64 from_worker_id;
	__le64 from_epoch;
	__le64 to_worker_id;
	__le64 to_epoch;
	__le64 bytes;
	__le32 serial;
	__le32 skew;
	__u8 key[KVXFER_KEY_BYTES];
};

/* @error: an errno, and why; or 0, and all of it was read. */
struct kvx_wire_taken {
	struct kvx_wire_head head;
	__le32 serial;
	__le32 error;
	__le32 reason;
	__le32 index;
};

/* WATCH and LEFT: which agent, of who is asked. */
struct kvx_wire_agent {
	struct kvx_wire_head head;
	__le64 worker_id;
	__le64 epoch;
};

#define KVX_TABLE_WORDS		((KVX_FRAME_MAX - sizeof(struct kvx_wire_table)) / 8)
#define KVX_KEYS_PART		((KVX_FRAME_MAX - sizeof(struct kvx_wire_keys)) / 4)

/**
 * enum kvx_frame_error - what is wrong with a frame
 * @KVX_FRAME_OK: nothing
 * @KVX_FRAME_SHORT: it is shorter than a head, or than its type is
 * @KVX_FRAME_LENGTH: it says another length than it has, or its parts do
 * @KVX_FRAME_TYPE: no such type
 * @KVX_FRAME_FIELD: a field has a value that it may not have
 * @KVX_FRAME_SEQ: it has a number and may not, or the other way round
 */
enum kvx_frame_error {
	KVX_FRAME_OK,
	KVX_FRAME_SHORT,
	KVX_FRAME_LENGTH,
	KVX_FRAME_TYPE,
	KVX_FRAME_FIELD,
	KVX_FRAME_SEQ,
};

enum kvx_frame_error kvx_frame_check(const void *frame, __u32 bytes);
bool kvx_frame_is_numbered(__u32 type);
enum kvxfer_refusal kvx_greeting_check(const void *data, __u32 bytes, __u16 *version);

#endif /* KVX_PROTO_H */
