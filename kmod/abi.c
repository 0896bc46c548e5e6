// SPDX-License-Identifier: GPL-2.0-only
/* Pure: see abi.h. */
#ifdef __KERNEL__
#include <linux/errno.h>
#else
#include <errno.h>
#endif

#include "abi.h"

/**
 * kvx_refuse() - note why a command is refused
 * @hdr: the command's header, as the kernel holds it
 * @err: negative errno
 * @reason: &enum kvxfer_reason
 * @index: where, in the unit that the reason names
 *
 * Context: any.
 * Return: @err, so that a check can end in `return kvx_refuse(...)`.
 */
int kvx_refuse(struct kvxfer_hdr *hdr, int err, __u32 reason, __u32 index)
{
	hdr->reason = reason;
	hdr->index = index;
	return err;
}

/**
 * kvx_abi_check_size() - is the size that the caller claims one we can work with?
 * @hdr: header of which only the size is set
 * @min: the least size of this command
 *
 * Context: any.
 * Return: 0, -EINVAL (short) or -EMSGSIZE (huge).
 */
int kvx_abi_check_size(struct kvxfer_hdr *hdr, __u32 min)
{
	if (hdr->size < min)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_SIZE_SHORT, min);
	if (hdr->size > KVXFER_SIZE_MAX)
		return kvx_refuse(hdr, -EMSGSIZE, KVXFER_REASON_SIZE_HUGE, KVXFER_SIZE_MAX);
	return 0;
}

/**
 * kvx_abi_check_flags() - are all flags known?
 * @hdr: the command's header
 * @known: the flags this command takes
 *
 * Context: any.
 * Return: 0 or -EOPNOTSUPP.
 */
int kvx_abi_check_flags(struct kvxfer_hdr *hdr, __u32 known)
{
	__u32 unknown = hdr->flags & ~known;

	if (unknown)
		return kvx_refuse(hdr, -EOPNOTSUPP, KVXFER_REASON_FLAG_UNKNOWN,
				  __builtin_ctz(unknown));
	return 0;
}

/**
 * kvx_abi_check_name() - is this a name that people can read and logs can hold?
 * @hdr: the command's header
 * @name: the bytes
 * @room: size of the field they stand in
 *
 * Context: any.
 * Return: 0 or -EINVAL.
 */
int kvx_abi_check_name(struct kvxfer_hdr *hdr, const __u8 *name, __u32 room)
{
	__u32 i;

	for (i = 0; i < room && name[i]; i++)
		if (name[i] < ' ' || name[i] > '~')
			return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_NAME_CHAR, i);
	if (!i)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_NAME_EMPTY, 0);
	if (i == room)
		return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_NAME_LONG, room);
	return 0;
}

/**
 * kvx_abi_check_unused() - is a field whose flag is not set left at zero?
 * @hdr: the command's header
 * @field: the field
 * @len: its size
 * @offset: its place in the struct
 *
 * Context: any.
 * Return: 0 or -EINVAL.
 */
int kvx_abi_check_unused(struct kvxfer_hdr *hdr, const void *field, __u32 len, __u32 offset)
{
	const __u8 *byte = field;
	__u32 i;

	for (i = 0; i < len; i++)
		if (byte[i])
			return kvx_refuse(hdr, -EINVAL, KVXFER_REASON_FIELD_UNUSED, offset);
	return 0;
}

/**
 * kvx_epoch_after() - the epoch that follows another
 * @epoch: any number
 *
 * Context: any.
 * Return: an epoch: below 2^KVXFER_EPOCH_BITS and not 0.
 */
__u64 kvx_epoch_after(__u64 epoch)
{
	__u64 next = (epoch + 1) & ((1ULL << KVXFER_EPOCH_BITS) - 1);

	return next ? next : 1;
}
