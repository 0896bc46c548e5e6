/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * span: which key a byte of a range is reached by. Pure, as abi.h says it.
 *
 * A range has a key for each *span*: 1 << shift bytes, counted not from the range's beginning but
 * from where its memory begins, so that spans lie as the memory does. The first may be cut short.
 */
#ifndef KVX_SPAN_H
#define KVX_SPAN_H

#include <linux/types.h>

/* Spans of windows: 64 KiB to 1 GiB. */
#define KVX_SPAN_SHIFT_MIN	16
#define KVX_SPAN_SHIFT_MAX	30

/* What of a range one key covers. */
struct kvx_span {
	__u64 key;
	__u64 offset;
	__u64 bytes;
};

/**
 * kvx_span_at() - which key, and where in what it covers
 * @start: where the range begins in its memory
 * @bytes: of the range
 * @shift: of the spans
 * @at: which byte of the range
 *
 * Context: any.
 * Return: the key's place among the range's; where the byte is in what it covers; and how many
 * bytes of it follow from there on.
 */
static inline struct kvx_span kvx_span_at(__u64 start, __u64 bytes, __u32 shift, __u64 at)
{
	const __u64 mask = (1ULL << shift) - 1, skew = start & mask, place = skew + at;
	const __u64 left = mask + 1 - (place & mask);
	struct kvx_span span = { .key = place >> shift, .offset = place & mask };

	if (!span.key)
		span.offset -= skew;
	span.bytes = left < bytes - at ? left : bytes - at;
	return span;
}

/* How many keys a range has. */
static inline __u64 kvx_span_keys(__u64 start, __u64 bytes, __u32 shift)
{
	return (((start & ((1ULL << shift) - 1)) + bytes - 1) >> shift) + 1;
}

#endif /* KVX_SPAN_H */
