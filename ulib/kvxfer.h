/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libkvxfer: KV-cache blocks, pinned and moved by the kernel.
 *
 * Every function that can fail returns 0 or a negative errno, and leaves in kvx_last_error() of the
 * calling thread what was wrong, in words. Functions may be called from any thread at any time;
 * closing an agent while another thread uses it is the one thing a program must not do.
 *
 * A struct that may grow begins with its size: initialise it with its _INIT macro, and programs and
 * libraries of different age understand each other.
 */
#ifndef KVXFER_H
#define KVXFER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of an agent's name and of a version, the ending NUL among them. */
#define KVX_NAME_MAX		64
#define KVX_VERSION_MAX		32

/* An agent: one open /dev/kvxfer. Everything a program owns in the kernel hangs on it. */
struct kvx_agent;

/**
 * struct kvx_error - why the last call of this thread failed
 * @error: the errno, positive; 0 when nothing has failed yet
 * @reason: the kernel's reason (KVXFER_REASON_* of <linux/kvxfer.h>), 0 when it gave none
 * @index: where, in the unit that the reason names
 * @text: all of it as a person would want to read it
 */
struct kvx_error {
	int error;
	unsigned int reason;
	unsigned int index;
	char text[256];
};

/**
 * struct kvx_open_opts - how to open
 * @size: sizeof(struct kvx_open_opts), by KVX_OPEN_OPTS_INIT
 * @device: path of the device; NULL: /dev/kvxfer
 * @name: a name for the agent; NULL: that of the process
 * @worker_id: a worker_id for the agent; NULL: a random one
 */
struct kvx_open_opts {
	size_t size;
	const char *device;
	const char *name;
	const uint64_t *worker_id;
};

#define KVX_OPEN_OPTS_INIT	{ sizeof(struct kvx_open_opts), NULL, NULL, NULL }

/**
 * struct kvx_info - what the kernel says of itself and of an agent
 * @size: sizeof(struct kvx_info), by KVX_INFO_INIT
 * @abi_version: of the kernel's interface
 * @agent_id: the agent's number on this node
 * @features: KVXFER_FEATURE_* bits
 * @boot_id: the node's id, new for each load of the module
 * @epoch: new for each open, 48 bits
 * @worker_id: the agent's
 * @agents: agents open on this node
 * @agents_max: how many may be
 * @version: of the module
 * @name: the agent's
 */
struct kvx_info {
	size_t size;
	uint32_t abi_version;
	uint32_t agent_id;
	uint64_t features;
	uint64_t boot_id;
	uint64_t epoch;
	uint64_t worker_id;
	uint32_t agents;
	uint32_t agents_max;
	char version[KVX_VERSION_MAX];
	char name[KVX_NAME_MAX];
};

#define KVX_INFO_INIT	{ sizeof(struct kvx_info), 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, { 0 } }

/* Open the device. @opts may be NULL. */
int kvx_open(struct kvx_agent **agent, const struct kvx_open_opts *opts);

/* Make an agent of a descriptor that came from elsewhere; it is then closed with the agent. */
int kvx_open_fd(struct kvx_agent **agent, int fd);

/*
 * Close. NULL is allowed. All that the agent owns goes, unless another process holds its
 * descriptor.
 */
void kvx_close(struct kvx_agent *agent);

/* The descriptor: to poll, or to hand to another process. It stays the agent's. */
int kvx_fd(const struct kvx_agent *agent);

int kvx_query(struct kvx_agent *agent, struct kvx_info *info);
int kvx_set_name(struct kvx_agent *agent, const char *name);
int kvx_set_worker_id(struct kvx_agent *agent, uint64_t worker_id);

/* Never NULL; good until this thread's next failing call. */
const struct kvx_error *kvx_last_error(void);

/* "NAME_CHAR", and what it means; never NULL, for any number. */
const char *kvx_reason_name(unsigned int reason);
const char *kvx_reason_text(unsigned int reason);

/* Version of the library. */
const char *kvx_version(void);

#ifdef __cplusplus
}
#endif

#endif /* KVXFER_H */
