/* SPDX-License-Identifier: GPL-2.0-only */
/* Tests of two nodes on which memory cannot be had: what may come of it, and what is imported. */
#ifndef KVX_TEST_SCARCE_H
#define KVX_TEST_SCARCE_H

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "two.h"

/* How another node's side is imported: by the command itself, which has a time limit. */
struct told {
	uint64_t boot_id, worker_id, rest;
	unsigned char key[KVXFER_KEY_BYTES];
};

static inline void knob(const char *fail, const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", fail, name);
	put_file(path, value);
}

/* Sleeping allocations are the ones we make; the log is for faults, not for their reports. */
static inline void sleeping_allocations(const char *fail)
{
	knob(fail, "ignore-gfp-wait", "N");
	knob(fail, "verbose", "0");
}

/* What may come of want of memory; anything else is wrong. */
static inline int sound(int err)
{
	static const int may[] = {
		0, ENOMEM, EFAULT, ETIMEDOUT, ESTALE, EHOSTUNREACH, EACCES, ENOENT, EIO, ENODEV,
		EINVAL, ECANCELED, ESHUTDOWN, EEXIST,
	};

	for (size_t i = 0; i < ARRAY_SIZE(may); i++)
		if (-err == may[i])
			return err;
	FAIL("errno %d: %s", -err, kvx_last_error()->text);
}

/* Let the other node have a side, with all rights. */
static inline struct told grant_side(struct side *side, struct kvx_grant *grant)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct told told = {
		.boot_id = query(side->agent).boot_id,
		.worker_id = side->handle.worker_id,
		.rest = side->handle.rest,
	};

	opts.rights = KVX_GRANT_READ | KVX_GRANT_WRITE;
	OK(kvx_grant(side->agent, grant, side->handle, &opts));
	memcpy(told.key, grant->key, sizeof(told.key));
	return told;
}

/* Have the agent that the other node told of, with its side or without. 0 or an errno. */
static inline int import_told(struct kvx_agent *agent, const struct told *told, bool with_side,
			      uint64_t timeout_ns)
{
	struct kvxfer_address address = {
		.family = AF_INET, .port = 19875, .addr = { 10, 77, 0, 3 - node() },
	};
	struct kvxfer_import one = { .layout = told->rest & 0xffff };
	struct kvxfer_layout_import import = {
		.hdr.size = sizeof(import), .boot_id = told->boot_id,
		.worker_id = told->worker_id, .epoch = told->rest >> 16,
		.imports = (uintptr_t)&one, .nr_imports = with_side,
		.addresses = (uintptr_t)&address, .nr_addresses = 1, .timeout_ns = timeout_ns,
	};

	memcpy(one.key, told->key, sizeof(one.key));
	return ioctl(kvx_fd(agent), KVXFER_IOC_LAYOUT_IMPORT, &import) ? -errno : 0;
}

#endif /* KVX_TEST_SCARCE_H */
