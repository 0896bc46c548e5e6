// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Notes: send, receive. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Room for the longest note, so that any fits; and for many short ones. */
#define ROOM	(64 << 10)

_Static_assert(KVX_NOTE_MAX == KVXFER_NOTE_MAX, "the longest note");
_Static_assert(KVX_NOTE_WAIT == KVXFER_NOTE_SEND_WAIT, "flags");

static int send_command(struct kvx_agent *agent, uint64_t worker_id, uint64_t epoch,
			const void *data, size_t bytes, unsigned int flags)
{
	struct kvxfer_note_send cmd = {
		.hdr.flags = flags,
		.note = {
			.data = (uintptr_t)data,
			.bytes = bytes > UINT32_MAX ? UINT32_MAX : bytes,
			.worker_id = worker_id,
			.epoch = epoch,
		},
	};

	return kvx_wait_command(agent, KVXFER_IOC_NOTE_SEND, "send note", &cmd.hdr, sizeof(cmd),
				NULL, 0);
}

int kvx_note_send(struct kvx_agent *agent, uint64_t worker_id, const void *data, size_t bytes,
		  unsigned int flags)
{
	return send_command(agent, worker_id, 0, data, bytes, flags);
}

int kvx_note_send_handle(struct kvx_agent *agent, struct kvx_handle handle, const void *data,
			 size_t bytes, unsigned int flags)
{
	return send_command(agent, handle.worker_id, kvx_handle_epoch(handle), data, bytes, flags);
}

static int recv_command(struct kvx_agent *agent, void *buffer, uint32_t bytes, uint32_t max,
			struct kvxfer_note_recv *cmd)
{
	*cmd = (struct kvxfer_note_recv){
		.buffer = (uintptr_t)buffer,
		.bytes = bytes,
		.max = max,
	};
	return kvx_command(agent, KVXFER_IOC_NOTE_RECV, "receive note", &cmd->hdr, sizeof(*cmd));
}

/* The note at @at, as the kernel wrote it. Returns where the next one is. */
static const unsigned char *take(const unsigned char *at, struct kvx_note *note)
{
	struct kvxfer_note head;

	memcpy(&head, at, sizeof(head));
	/* A kernel that knows longer ones does not send them to a program that does not. */
	if (head.bytes > sizeof(note->data))
		head.bytes = sizeof(note->data);
	note->worker_id = head.worker_id;
	note->epoch = head.epoch;
	note->sent_ns = head.sent_ns;
	note->bytes = head.bytes;
	memcpy(note->data, at + sizeof(head), head.bytes);
	return at + sizeof(head) + (head.bytes + 7) / 8 * 8;
}

int kvx_note_recv(struct kvx_agent *agent, struct kvx_note *note)
{
	unsigned char buffer[sizeof(struct kvxfer_note) + KVXFER_NOTE_MAX];
	struct kvxfer_note_recv cmd;
	int err = recv_command(agent, buffer, sizeof(buffer), 1, &cmd);

	if (!err)
		take(buffer, note);
	return err;
}

int kvx_note_recv_all(struct kvx_agent *agent,
		      void (*each)(const struct kvx_note *note, void *arg), void *arg)
{
	unsigned char *buffer = malloc(ROOM);
	struct kvx_note *note = malloc(sizeof(*note));
	const struct kvx_error before = kvx_error_save();
	struct kvxfer_note_recv cmd = {};
	const unsigned char *at;
	uint32_t left = 0;
	int err = 0, nr = 0;

	if (!buffer || !note) {
		free(buffer);
		free(note);
		return kvx_fail(ENOMEM, "receive notes: no memory");
	}
	do {
		/* Those that had come by the first call: others may come as fast as they go. */
		err = recv_command(agent, buffer, ROOM, left, &cmd);
		left = (nr ? left : cmd.out_nr + cmd.out_left) - cmd.out_nr;
		at = buffer;
		for (uint32_t i = 0; !err && i < cmd.out_nr; i++) {
			at = take(at, note);
			each(note, arg);
			nr++;
		}
	} while (!err && left);
	free(buffer);
	free(note);
	/* Those that have come have been taken; an error is told when there was none. */
	if (err == -EAGAIN || nr) {
		kvx_error_restore(&before);
		return nr;
	}
	return err;
}
