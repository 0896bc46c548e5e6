/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* What the library's files know of each other. */
#ifndef KVX_INTERNAL_H
#define KVX_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include <linux/kvxfer.h>

#include "kvxfer.h"

struct kvx_agent {
	int fd;
	bool eintr;			/* a signal ends its waits: KVX_OPEN_EINTR */
	pthread_mutex_t lock;		/* for what follows */
	uint32_t *states;		/* as mapped, once a transfer was made */
	struct kvxfer_ring *ring;	/* as mapped, once it was set up */
	size_t ring_bytes;
	uint32_t ring_entries;
	uint32_t ring_head;
};

struct kvx_pool {
	struct kvx_agent *agent;
	uint32_t handle;
	uint64_t bytes;
	uint64_t mmap_offset;	/* 0: it cannot be mapped */
};

/* Run a command; @hdr is its struct, of which the size is set here. */
int kvx_command(const struct kvx_agent *agent, unsigned long nr, const char *what,
		struct kvxfer_hdr *hdr, size_t size);

/*
 * Run a command that waits, and again when a signal has ended the waiting, unless the agent's are
 * to be ended by signals. That is only for commands which are then as if they had not been run.
 * @timeout_ns is the field of the struct that says for how long, and becomes what is left of it;
 * NULL: there is no limit. When nothing is left, @least_ns is asked for, once: 0 where that is just
 * a look, else the shortest there is. So -EINTR, but for those that want it, means that signals
 * have used up the time.
 */
int kvx_wait_command(const struct kvx_agent *agent, unsigned long nr, const char *what,
		     struct kvxfer_hdr *hdr, size_t size, __u64 *timeout_ns, uint64_t least_ns);

/*
 * The same for what is no command. When does a wait end that begins now? It has failed with errno
 * @err: is it to go on, and for how long? That goes to @left_ns, where it was the last time.
 */
uint64_t kvx_wait_end(uint64_t timeout_ns);
bool kvx_wait_again(const struct kvx_agent *agent, int err, uint64_t end_ns, __u64 *left_ns,
		    uint64_t least_ns);

/* Undo the mapping of the transfers' states, if there is one. */
void kvx_unmap_states(struct kvx_agent *agent);

/* What a transfer is to a program: room for it, before the kernel is asked; then what it is. */
int kvx_xfer_new(struct kvx_agent *agent, struct kvx_xfer **xfer, const char *what);
void kvx_xfer_made(struct kvx_xfer *xfer, uint32_t id, uint64_t bytes, uint64_t user_data);

/* Fill in how a transfer ended. */
int kvx_give_result(struct kvx_result *result, const struct kvxfer_completion *from,
		    const char *what);

/*
 * Structs that a program of another age made begin with their size. Options: take over @opts, which
 * holds the defaults, what both know, and refuse what only the program knows. Answers: give as
 * much of @full as the program has room for.
 */
int kvx_take_opts(void *opts, size_t size, const void *from, const char *what);
int kvx_give_struct(void *to, const void *full, size_t size, const char *what);

/* Can an answer be given there? To be asked before what cannot be asked twice. */
int kvx_check_struct(const void *to, const char *what);

/* The thread's last error, to be put back when what failed was no failure to the caller. */
struct kvx_error kvx_error_save(void);
void kvx_error_restore(const struct kvx_error *error);

/* Note an error in words and return -@err. */
int kvx_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Note that the kernel refused @what, with its reason, and return -@err. */
int kvx_fail_refused(int err, const char *what, const struct kvxfer_hdr *hdr);

/*
 * Give the last error a reason, after its words were replaced by better ones; returns its -errno.
 */
int kvx_fail_again(unsigned int reason, unsigned int index);

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#endif /* KVX_INTERNAL_H */
