/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * abi: the checks that every command passes before its handler sees it, and small rules of the
 * interface. Pure: no allocation, no lock, no I/O, no kernel-only type. The same file serves the
 * module, the unit tests in user space and the fuzzer.
 */
#ifndef KVX_ABI_H
#define KVX_ABI_H

#include <linux/kvxfer.h>

int kvx_refuse(struct kvxfer_hdr *hdr, int err, __u32 reason, __u32 index);
int kvx_abi_check_size(struct kvxfer_hdr *hdr, __u32 min);
int kvx_abi_check_flags(struct kvxfer_hdr *hdr, __u32 known);
int kvx_abi_check_name(struct kvxfer_hdr *hdr, const __u8 *name, __u32 room);
int kvx_abi_check_unused(struct kvxfer_hdr *hdr, const void *field, __u32 len, __u32 offset);
__u64 kvx_epoch_after(__u64 epoch);

#endif /* KVX_ABI_H */
