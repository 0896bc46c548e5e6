/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* What the library's files know of each other. */
#ifndef KVX_INTERNAL_H
#define KVX_INTERNAL_H

#include <linux/kvxfer.h>

#include "kvxfer.h"

struct kvx_agent {
	int fd;
};

/* Run a command; @hdr is its struct, of which the size is set here. */
int kvx_command(const struct kvx_agent *agent, unsigned long nr, const char *what,
		struct kvxfer_hdr *hdr, size_t size);

/* Note an error in words and return -@err. */
int kvx_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Note that the kernel refused @what, with its reason, and return -@err. */
int kvx_fail_refused(int err, const char *what, const struct kvxfer_hdr *hdr);

#endif /* KVX_INTERNAL_H */
