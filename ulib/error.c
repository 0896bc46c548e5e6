// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Errors in words: a thread's last one, and the kernel's reasons. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static _Thread_local struct kvx_error last;

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
};

_Static_assert(ARRAY_SIZE(reasons) == KVXFER_REASON_NR, "a reason has no text");

const struct kvx_error *kvx_last_error(void)
{
	return &last;
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
	char index[64] = "";

	if (hdr->reason == KVXFER_REASON_NONE)
		return kvx_fail(err, "%s: %s", what, strerrordesc_np(err) ?: "unknown error");
	if (hdr->reason >= KVXFER_REASON_NR)
		snprintf(index, sizeof(index), ": reason %u, index %u", hdr->reason, hdr->index);
	else if (reasons[hdr->reason].index)
		snprintf(index, sizeof(index), reasons[hdr->reason].index, hdr->index);
	kvx_fail(err, "%s: %s%s [%s]", what, kvx_reason_text(hdr->reason), index, name ?: "?");
	last.reason = hdr->reason;
	last.index = hdr->index;
	return -err;
}
