// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Agents: open, query, set, close. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

_Static_assert(KVX_NAME_MAX == KVXFER_NAME_MAX, "the name's room");
_Static_assert(KVX_VERSION_MAX == KVXFER_VERSION_MAX, "the version's room");

const char *kvx_version(void)
{
	return KVX_VERSION;
}

int kvx_command(const struct kvx_agent *agent, unsigned long nr, const char *what,
		struct kvxfer_hdr *hdr, size_t size)
{
	hdr->size = size;
	if (!ioctl(agent->fd, nr, hdr))
		return 0;
	return kvx_fail_refused(errno, what, hdr);
}

/* The clock that the kernel waits by: nobody sets it. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

uint64_t kvx_wait_end(uint64_t timeout_ns)
{
	uint64_t end_ns;

	/* Who only looks is not made to ask the time, too. */
	if (!timeout_ns)
		return 0;
	if (timeout_ns == KVX_FOREVER || __builtin_add_overflow(now_ns(), timeout_ns, &end_ns))
		return KVX_FOREVER;
	return end_ns;
}

bool kvx_wait_again(const struct kvx_agent *agent, int err, uint64_t end_ns, __u64 *left_ns,
		    uint64_t least_ns)
{
	uint64_t now;

	if (err != EINTR || agent->eintr)
		return false;
	if (end_ns == KVX_FOREVER)
		return true;
	/* That was the last time: signals may come faster than the shortest wait is over. */
	if (*left_ns <= least_ns)
		return false;
	now = now_ns();
	*left_ns = now < end_ns && end_ns - now > least_ns ? end_ns - now : least_ns;
	return true;
}

int kvx_wait_command(const struct kvx_agent *agent, unsigned long nr, const char *what,
		     struct kvxfer_hdr *hdr, size_t size, __u64 *timeout_ns, uint64_t least_ns)
{
	const uint64_t end_ns = timeout_ns ? kvx_wait_end(*timeout_ns) : KVX_FOREVER;

	hdr->size = size;
	/* What goes on has not failed: the thread's last error stays what it was. */
	while (ioctl(agent->fd, nr, hdr))
		if (!kvx_wait_again(agent, errno, end_ns, timeout_ns, least_ns))
			return kvx_fail_refused(errno, what, hdr);
	return 0;
}

int kvx_take_opts(void *opts, size_t size, const void *from, const char *what)
{
	const unsigned char *tail = from;
	size_t theirs;

	if (!from)
		return 0;
	memcpy(&theirs, from, sizeof(theirs));
	if (theirs < sizeof(theirs))
		return kvx_fail(EINVAL, "%s: no size is set: use the struct's _INIT", what);
	for (size_t i = size; i < theirs; i++)
		if (tail[i])
			return kvx_fail(E2BIG, "%s: an option is set that is not known here", what);
	memcpy(opts, from, theirs < size ? theirs : size);
	return 0;
}

int kvx_check_struct(const void *to, const char *what)
{
	size_t theirs;

	memcpy(&theirs, to, sizeof(theirs));
	if (theirs < sizeof(theirs))
		return kvx_fail(EINVAL, "%s: no size is set: use the struct's _INIT", what);
	return 0;
}

int kvx_give_struct(void *to, const void *full, size_t size, const char *what)
{
	int err = kvx_check_struct(to, what);
	size_t theirs;

	if (err)
		return err;
	memcpy(&theirs, to, sizeof(theirs));
	memset(to, 0, theirs);
	memcpy(to, full, theirs < size ? theirs : size);
	memcpy(to, &theirs, sizeof(theirs));
	return 0;
}

int kvx_open_fd(struct kvx_agent **out, int fd)
{
	struct kvx_agent *agent;
	struct kvx_info info = KVX_INFO_INIT;
	int err;

	*out = NULL;
	agent = calloc(1, sizeof(*agent));
	if (!agent)
		return kvx_fail(ENOMEM, "open: no memory");
	agent->fd = fd;
	pthread_mutex_init(&agent->lock, NULL);
	err = kvx_query(agent, &info);
	if (err) {
		pthread_mutex_destroy(&agent->lock);
		free(agent);
		if (err == -ENOTTY)
			kvx_fail(ENOTTY, "open: this is not a kvxfer device");
		return err;
	}
	*out = agent;
	return 0;
}

static int open_errno(const char *device, int err)
{
	switch (err) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return kvx_fail(err, "%s: no such device: the kvxfer module is not loaded",
				device);
	case EACCES:
	case EPERM:
		return kvx_fail(err, "%s: you may not open it", device);
	case ENFILE:
		return kvx_fail(err, "%s: too many agents are open on this node (max_agents)",
				device);
	default:
		return kvx_fail(err, "%s: %s", device, strerrordesc_np(err) ?: "unknown error");
	}
}

int kvx_open(struct kvx_agent **out, const struct kvx_open_opts *from)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	const char *device;
	int fd, err;

	*out = NULL;
	err = kvx_take_opts(&opts, sizeof(opts), from, "open");
	if (err)
		return err;
	if (opts.flags & ~KVX_OPEN_EINTR)
		return kvx_fail(E2BIG, "open: a flag is set that is not known here");
	device = opts.device ?: KVXFER_DEVICE;
	fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return open_errno(device, errno);
	err = kvx_open_fd(out, fd);
	if (err) {
		close(fd);
		return err;
	}
	(*out)->eintr = opts.flags & KVX_OPEN_EINTR;
	if (opts.name)
		err = kvx_set_name(*out, opts.name);
	if (!err && opts.worker_id)
		err = kvx_set_worker_id(*out, *opts.worker_id);
	if (err) {
		kvx_close(*out);
		*out = NULL;
	}
	return err;
}

void kvx_close(struct kvx_agent *agent)
{
	if (!agent)
		return;
	kvx_unmap_states(agent);
	if (agent->ring)
		munmap(agent->ring, agent->ring_bytes);
	close(agent->fd);
	pthread_mutex_destroy(&agent->lock);
	free(agent);
}

int kvx_fd(const struct kvx_agent *agent)
{
	return agent->fd;
}

int kvx_query(struct kvx_agent *agent, struct kvx_info *info)
{
	struct kvxfer_query query = {};
	struct kvx_info full = {};
	int err;

	err = kvx_command(agent, KVXFER_IOC_QUERY, "query", &query.hdr, sizeof(query));
	if (err)
		return err;
	full.abi_version = query.out_abi_version;
	full.agent_id = query.out_agent_id;
	full.features = query.out_features;
	full.boot_id = query.out_boot_id;
	full.epoch = query.out_epoch;
	full.worker_id = query.out_worker_id;
	full.agents = query.out_agents;
	full.agents_max = query.out_agents_max;
	full.quota_bytes = query.out_quota_bytes;
	full.quota_bytes_used = query.out_quota_bytes_used;
	full.quota_pools = query.out_quota_pools;
	full.quota_pools_used = query.out_quota_pools_used;
	full.pool_bytes = query.out_pool_bytes;
	memcpy(full.version, query.out_version, sizeof(full.version) - 1);
	memcpy(full.name, query.out_name, sizeof(full.name) - 1);
	return kvx_give_struct(info, &full, sizeof(full), "query");
}

int kvx_set_name(struct kvx_agent *agent, const char *name)
{
	struct kvxfer_agent_set set = { .hdr.flags = KVXFER_AGENT_SET_NAME };

	/* One that is too long arrives without its NUL, and the kernel says so. */
	memcpy(set.name, name, strnlen(name, sizeof(set.name)));
	return kvx_command(agent, KVXFER_IOC_AGENT_SET, "set name", &set.hdr, sizeof(set));
}

int kvx_set_worker_id(struct kvx_agent *agent, uint64_t worker_id)
{
	struct kvxfer_agent_set set = {
		.hdr.flags = KVXFER_AGENT_SET_WORKER_ID,
		.worker_id = worker_id,
	};

	return kvx_command(agent, KVXFER_IOC_AGENT_SET, "set worker_id", &set.hdr, sizeof(set));
}
