// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools through the library: what they are, who may have them, how long they live.
 * Lanes: uml uml-smp uml-debug debian-6.1 debian-6.12
 * Cases: debian mappings_are_torn_and_moved_without_harm
 * Cases: debian a_mapping_serves_direct_io_and_other_processes
 * Cases: debian every_kind_of_range_is_pinned_or_refused_by_name a_sealed_memfd_becomes_a_pool
 * Cases: debian memory_that_fork_shares_is_pinned_where_its_owner_sees_it
 * Emulated: GUP-fast, pins before 6.3, get_unmapped_area() before 6.19
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "kvx.h"

TEST(a_pool_is_zeroed_shared_and_keeps_its_bytes)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;
	unsigned char *a, *b;

	OK(kvx_pool_create(agent, &pool, 5 * MIB + PAGE, NULL));
	CHECK_EQ(kvx_pool_bytes(pool), 5 * MIB + PAGE);
	OK(kvx_pool_map(pool, (void **)&a, 0, 0, KVX_POOL_WRITE));
	OK(kvx_pool_map(pool, (void **)&b, 0, 0, KVX_POOL_READ));
	for (uint64_t i = 0; i < 5 * MIB + PAGE; i += 511)
		CHECK_EQ(a[i], 0);
	for (uint64_t i = 0; i < 5 * MIB + PAGE; i += 511)
		a[i] = i / 511;
	for (uint64_t i = 0; i < 5 * MIB + PAGE; i += 511)
		CHECK_EQ(b[i], (unsigned char)(i / 511));
	OK(kvx_pool_unmap(a, 5 * MIB + PAGE));
	OK(kvx_pool_unmap(b, 5 * MIB + PAGE));
	kvx_pool_close(pool);
	settle(agent);
	kvx_close(agent);
}

TEST(stat_says_what_it_is)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool_stat st;
	uint64_t bytes = 0, nodes = 0;
	struct kvx_pool *pool;

	opts.name = "kv-0";
	opts.mode = 0640;
	OK(kvx_pool_create(agent, &pool, 7 * MIB, &opts));
	st = stat_of(pool);
	CHECK_STR(st.name, "kv-0");
	CHECK_EQ(st.kind, KVX_POOL_KERNEL);
	CHECK_EQ(st.bytes, 7 * MIB);
	CHECK_EQ(st.mode, 0640);
	CHECK_EQ(st.uid, 0);
	CHECK_EQ(st.opens, 1);
	CHECK_EQ(st.linked, 1);
	CHECK_EQ(st.pid, getpid());
	CHECK_EQ(st.page_bytes, PAGE);
	for (int i = 0; i < KVX_CHUNK_ORDERS; i++)
		bytes += st.chunks[i] * (PAGE << i);
	CHECK_EQ(bytes, 7 * MIB);
	/* Fresh memory: at least one whole chunk is there to be had. */
	CHECK(st.chunks[9] > 0);
	for (int i = 0; i < KVX_NODES; i++)
		nodes += st.node_bytes[i];
	CHECK_EQ(nodes, 7 * MIB);
	OK(kvx_pool_unlink(agent, "kv-0"));
	CHECK_EQ(stat_of(pool).linked, 0);
	kvx_pool_close(pool);
	CHECK_EQ(query(agent).pool_bytes, 0);
	kvx_close(agent);
}

TEST(what_cannot_be_made_is_refused_by_name)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool, *other;

	CHECK_EQ(kvx_pool_create(agent, &pool, 0, NULL), -EINVAL);
	REASON(POOL_SIZE);
	CHECK_EQ(kvx_pool_create(agent, &pool, PAGE + 1, NULL), -EINVAL);
	REASON(POOL_SIZE);
	CHECK_EQ(kvx_pool_create(agent, &pool, UINT64_MAX & ~(PAGE - 1), NULL), -EINVAL);
	REASON(POOL_SIZE);
	CHECK_EQ(kvx_pool_create(agent, &pool, 1ULL << 43, NULL), -EINVAL);
	REASON(POOL_SIZE);
	opts.mode = 0755;
	CHECK_EQ(kvx_pool_create(agent, &pool, PAGE, &opts), -EINVAL);
	REASON(POOL_MODE);
	opts.mode = 0600;
	opts.node = 1000;
	CHECK_EQ(kvx_pool_create(agent, &pool, PAGE, &opts), -EINVAL);
	REASON(POOL_NODE);
	opts.node = 0;
	OK(kvx_pool_create(agent, &pool, PAGE, &opts));
	CHECK_EQ(stat_of(pool).node_bytes[0], PAGE);
	kvx_pool_close(pool);
	opts.node = -1;
	opts.name = "new\nline";
	CHECK_EQ(kvx_pool_create(agent, &pool, PAGE, &opts), -EINVAL);
	REASON(NAME_CHAR);
	opts.name = "";
	CHECK_EQ(kvx_pool_create(agent, &pool, PAGE, &opts), -EINVAL);
	opts.name = "twice";
	OK(kvx_pool_create(agent, &pool, PAGE, &opts));
	CHECK_EQ(kvx_pool_create(agent, &other, PAGE, &opts), -EEXIST);
	REASON(POOL_NAME_TAKEN);
	OK(kvx_pool_unlink(agent, "twice"));
	CHECK_EQ(kvx_pool_unlink(agent, "twice"), -ENOENT);
	REASON(POOL_NAME_UNKNOWN);
	CHECK_EQ(kvx_pool_open(agent, &other, "twice", KVX_POOL_READ), -ENOENT);
	REASON(POOL_NAME_UNKNOWN);
	kvx_pool_close(pool);
	CHECK_EQ(query(agent).pool_bytes, 0);
	kvx_close(agent);
}

TEST(a_named_pool_survives_its_maker_and_an_unnamed_one_does_not)
{
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	unsigned char *at;
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK_EQ(pipe(ready), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;

		opts.name = "survivor";
		if (kvx_open(&agent, NULL) || kvx_pool_create(agent, &pool, 3 * MIB, &opts) ||
		    kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE))
			_exit(1);
		memset(at, 0x5a, 3 * MIB);
		if (kvx_pool_create(agent, &pool, 4 * MIB, NULL) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	agent = open_agent();
	CHECK_EQ(query(agent).pool_bytes, 7 * MIB);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	while (query(agent).pool_bytes != 3 * MIB)
		sched_yield();
	OK(kvx_pool_open(agent, &pool, "survivor", KVX_POOL_READ));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_READ));
	for (uint64_t i = 0; i < 3 * MIB; i += 97)
		CHECK_EQ(at[i], 0x5a);
	OK(kvx_pool_unlink(agent, "survivor"));
	kvx_pool_close(pool);
	/* Unlinked and closed, but mapped: the bytes are still there. */
	CHECK_EQ(query(agent).pool_bytes, 3 * MIB);
	CHECK_EQ(at[2 * MIB], 0x5a);
	OK(kvx_pool_unmap(at, 3 * MIB));
	settle(agent);
	kvx_close(agent);
}

TEST(a_read_only_pool_maps_read_only_and_stays_so)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool, *ro;
	char *at;

	opts.name = "ro";
	OK(kvx_pool_create(agent, &pool, MIB, &opts));
	OK(kvx_pool_open(agent, &ro, "ro", KVX_POOL_READ));
	CHECK_EQ(kvx_pool_map(ro, (void **)&at, 0, 0, KVX_POOL_WRITE), -EACCES);
	OK(kvx_pool_map(ro, (void **)&at, 0, 0, KVX_POOL_READ));
	CHECK(mprotect(at, MIB, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	OK(kvx_pool_unmap(at, MIB));
	OK(kvx_pool_unlink(agent, "ro"));
	kvx_pool_close(ro);
	kvx_pool_close(pool);
	settle(agent);
	kvx_close(agent);
}

struct rights {
	const char *name;
	unsigned int flags;
};

static int try_open(void *arg)
{
	struct rights *rights = arg;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	int err;

	if (kvx_open(&agent, NULL))
		return 98;
	err = kvx_pool_open(agent, &pool, rights->name, rights->flags);
	if (err == -EACCES && kvx_last_error()->reason != KVXFER_REASON_POOL_RIGHTS)
		return 97;
	kvx_pool_close(pool);
	kvx_close(agent);
	return -err;
}

static int try_unlink(void *arg)
{
	struct kvx_agent *agent;

	if (kvx_open(&agent, NULL))
		return 98;
	return -kvx_pool_unlink(agent, arg);
}

TEST(owner_group_and_mode_decide_who_may_open)
{
	static const struct {
		unsigned int mode;
		int in_group, flags, want;
	} cases[] = {
		{ 0600, 0, KVX_POOL_READ, EACCES }, { 0640, 0, KVX_POOL_READ, EACCES },
		{ 0640, 1, KVX_POOL_READ, 0 }, { 0640, 1, KVX_POOL_WRITE, EACCES },
		{ 0660, 1, KVX_POOL_WRITE, 0 }, { 0660, 0, KVX_POOL_WRITE, EACCES },
		{ 0604, 0, KVX_POOL_READ, 0 }, { 0604, 0, KVX_POOL_WRITE, EACCES },
		{ 0606, 0, KVX_POOL_WRITE, 0 }, { 0606, 1, KVX_POOL_READ, EACCES },
	};
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;

	CHECK_EQ(chmod(KVXFER_DEVICE, 0666), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
		struct rights rights = { "rights", cases[i].flags };
		gid_t gid;

		opts.name = "rights";
		opts.mode = cases[i].mode;
		opts.gid = 4242;
		OK(kvx_pool_create(agent, &pool, PAGE, &opts));
		CHECK_EQ(stat_of(pool).gid, 4242);
		gid = 4243 - cases[i].in_group;
		CHECK_EQ(in_child(try_open, &rights, gid), cases[i].want);
		CHECK_EQ(in_child(try_unlink, "rights", 4242), EPERM);
		/* root may whatever the mode says. */
		CHECK_EQ(try_open(&rights), 0);
		OK(kvx_pool_unlink(agent, "rights"));
		kvx_pool_close(pool);
	}
	CHECK_EQ(chmod(KVXFER_DEVICE, 0660), 0);
	settle(agent);
	kvx_close(agent);
}

static int exceed(void *arg)
{
	struct kvx_agent *agent;
	struct kvx_pool *a, *b;
	struct kvx_info info = KVX_INFO_INIT;

	(void)arg;
	if (kvx_open(&agent, NULL) || kvx_pool_create(agent, &a, 3 * MIB, NULL))
		return 1;
	if (kvx_pool_create(agent, &b, 2 * MIB, NULL) != -EDQUOT ||
	    kvx_last_error()->reason != KVXFER_REASON_QUOTA_BYTES ||
	    !strstr(kvx_last_error()->text,
		    "your quota is 4 MiB of pools, you have 3 MiB and asked for 2 MiB"))
		return 2;
	if (kvx_query(agent, &info) || info.quota_bytes != 4 * MIB ||
	    info.quota_bytes_used != 3 * MIB || info.quota_pools != 2)
		return 3;
	if (kvx_pool_create(agent, &b, MIB, NULL))
		return 4;
	if (kvx_pool_create(agent, &b, PAGE, NULL) != -EDQUOT ||
	    kvx_last_error()->reason != KVXFER_REASON_QUOTA_POOLS ||
	    !strstr(kvx_last_error()->text, "your quota is 2 pools and you have 2"))
		return 5;
	/* What is closed can be had again, at once. */
	kvx_pool_close(a);
	return kvx_pool_create(agent, &a, 3 * MIB, NULL) ? 6 : 0;
}

TEST(quotas_hold_for_users_and_not_for_root)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;

	CHECK_EQ(chmod(KVXFER_DEVICE, 0666), 0);
	put_param("quota_mib", "4");
	put_param("quota_pools", "2");
	CHECK_EQ(in_child(exceed, NULL, 65534), 0);
	OK(kvx_pool_create(agent, &pool, 16 * MIB, NULL));
	kvx_pool_close(pool);
	put_param("quota_root", "Y");
	CHECK_EQ(kvx_pool_create(agent, &pool, 16 * MIB, NULL), -EDQUOT);
	put_param("quota_root", "N");
	put_param("quota_mib", "0");
	put_param("quota_pools", "16384");
	CHECK_EQ(chmod(KVXFER_DEVICE, 0660), 0);
	settle(agent);
	kvx_close(agent);
}

TEST(mappings_are_torn_and_moved_without_harm)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;
	unsigned char *at, *to;
	int status;
	pid_t pid;

	OK(kvx_pool_create(agent, &pool, 8 * MIB, NULL));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	for (uint64_t i = 0; i < 8 * MIB; i += PAGE)
		at[i] = i / PAGE;
	/* What is forgotten comes back, in part and in whole. */
	CHECK_EQ(madvise(at + 3 * PAGE, 5 * PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(madvise(at + 2 * MIB, 4 * MIB, MADV_DONTNEED), 0);
	for (uint64_t i = 0; i < 8 * MIB; i += PAGE)
		CHECK_EQ(at[i], (unsigned char)(i / PAGE));
	/* A hole in the middle makes two mappings of one. */
	CHECK_EQ(munmap(at + 3 * MIB, MIB), 0);
	CHECK_EQ(stat_of(pool).maps, 2);
	/* The second half moves; it still shows its own part of the pool. */
	to = mremap(at + 4 * MIB, 4 * MIB, 4 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    at + 64 * MIB);
	CHECK(to != MAP_FAILED);
	CHECK_EQ(madvise(to, 4 * MIB, MADV_DONTNEED), 0);
	for (uint64_t i = 0; i < 4 * MIB; i += PAGE)
		CHECK_EQ(to[i], (unsigned char)((4 * MIB + i) / PAGE));
	/* It cannot grow over its end. */
	CHECK(mremap(to, 4 * MIB, 8 * MIB, MREMAP_MAYMOVE) == MAP_FAILED);
	/* A child shares it, and what it writes is seen. */
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		at[5] = 77;
		_exit(munmap(at, 3 * MIB) || to[PAGE] != (unsigned char)(4 * MIB / PAGE + 1));
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(at[5], 77);
	kvx_pool_close(pool);
	at[6] = 78;
	CHECK_EQ(munmap(at, 3 * MIB), 0);
	CHECK_EQ(munmap(to, 4 * MIB), 0);
	settle(agent);
	kvx_close(agent);
}

TEST(what_cannot_be_mapped_is_refused)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;
	void *at, *own;
	int fd = kvx_fd(agent);

	OK(kvx_pool_create(agent, &pool, MIB, NULL));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 99LL << 44) == MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1LL << 44) == MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	CHECK(mmap(NULL, MIB + PAGE, PROT_READ, MAP_SHARED, fd, 1LL << 44) == MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	CHECK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (1LL << 44) + MIB - PAGE) ==
	      MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(kvx_pool_map(pool, &at, MIB, PAGE, KVX_POOL_READ), -EINVAL);
	CHECK_EQ(kvx_pool_map(pool, &at, UINT64_MAX, 2, KVX_POOL_READ), -EINVAL);
	OK(kvx_pool_map(pool, &at, MIB - PAGE, PAGE, KVX_POOL_READ));
	OK(kvx_pool_unmap(at, PAGE));
	kvx_pool_close(pool);
	own = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(own != MAP_FAILED);
	OK(kvx_pool_pin(agent, &pool, own, MIB, KVX_POOL_WRITE));
	CHECK_EQ(kvx_pool_map(pool, &at, 0, 0, KVX_POOL_READ), -EINVAL);
	kvx_pool_close(pool);
	munmap(own, MIB);
	settle(agent);
	kvx_close(agent);
}

/* A disk in memory; or a file there, which takes O_DIRECT from 6.6 on: so not in User Mode 6.1. */
static int open_direct(void)
{
	struct utsname name;
	int fd, flags = O_DIRECT;

	CHECK_EQ(uname(&name), 0);
	if (!strncmp(getenv("LAB"), "debian", 6)) {
		CHECK_EQ(system("modprobe brd rd_nr=1 rd_size=8192"), 0);
		fd = open("/dev/ram0", O_RDWR | O_DIRECT);
	} else {
		if (!strncmp(name.release, "6.1.", 4))
			flags = 0;
		fd = open("/dev/shm", O_RDWR | O_TMPFILE | flags, 0600);
	}
	CHECK(fd >= 0);
	return fd;
}

TEST(a_mapping_serves_direct_io_and_other_processes)
{
	struct kvx_agent *agent = open_agent();
	static unsigned char copy[64 * 1024];
	struct iovec local = { copy, sizeof(copy) }, remote;
	struct kvx_pool *pool, *view;
	unsigned char *at;
	int status, fd;
	pid_t pid;

	OK(kvx_pool_create(agent, &pool, 2 * MIB, NULL));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	for (uint64_t i = 0; i < 2 * MIB; i++)
		at[i] = i * 7 + (i >> 12);
	/* Pinned by the kernel for I/O. */
	fd = open_direct();
	CHECK_EQ(write(fd, at + MIB, MIB), MIB);
	CHECK_EQ(pread(fd, at, MIB, 0), MIB);
	CHECK_EQ(memcmp(at, at + MIB, MIB), 0);
	close(fd);
	/* Read by another process, page not yet touched there. */
	remote = (struct iovec){ at + MIB, sizeof(copy) };
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(process_vm_readv(getppid(), &local, 1, &remote, 1, 0) != sizeof(copy) ||
		      memcmp(copy, at + MIB, sizeof(copy)));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	/* And pinned for long by ourselves. */
	OK(kvx_pool_pin(agent, &view, at, 2 * MIB, KVX_POOL_WRITE));
	CHECK_EQ(stat_of(view).bytes, 2 * MIB);
	kvx_pool_close(view);
	OK(kvx_pool_unmap(at, 2 * MIB));
	kvx_pool_close(pool);
	settle(agent);
	kvx_close(agent);
}

TEST(every_kind_of_range_is_pinned_or_refused_by_name)
{
	struct kvx_agent *agent = open_agent();
	const int prot = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	struct kvx_pool *pool;
	unsigned char *at;
	int fd;

	at = mmap(NULL, 4 * MIB, prot, anon, -1, 0);
	CHECK(at != MAP_FAILED);
	CHECK_EQ(kvx_pool_pin(agent, &pool, at + 1, PAGE, KVX_POOL_WRITE), -EINVAL);
	REASON(RANGE);
	CHECK_EQ(kvx_pool_pin(agent, &pool, at, 0, KVX_POOL_WRITE), -EINVAL);
	REASON(RANGE);
	CHECK_EQ(kvx_pool_pin(agent, &pool, (void *)-PAGE, PAGE, KVX_POOL_WRITE), -EINVAL);
	REASON(RANGE);
	OK(kvx_pool_pin(agent, &pool, at, 4 * MIB, KVX_POOL_WRITE));
	CHECK_EQ(stat_of(pool).kind, KVX_POOL_USER);
	kvx_pool_close(pool);
	/* A hole, and a page that may only be read. */
	CHECK_EQ(munmap(at + MIB, PAGE), 0);
	CHECK_EQ(kvx_pool_pin(agent, &pool, at, 4 * MIB, KVX_POOL_WRITE), -EFAULT);
	REASON(RANGE_UNMAPPED);
	CHECK_EQ(kvx_last_error()->index, MIB / PAGE);
	CHECK_EQ(mprotect(at + 4 * PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(kvx_pool_pin(agent, &pool, at, MIB, KVX_POOL_WRITE), -EACCES);
	REASON(RANGE_READONLY);
	CHECK_EQ(kvx_last_error()->index, 4);
	OK(kvx_pool_pin(agent, &pool, at, MIB, KVX_POOL_READ));
	kvx_pool_close(pool);
	CHECK_EQ(mprotect(at + 5 * PAGE, PAGE, PROT_NONE), 0);
	CHECK_EQ(kvx_pool_pin(agent, &pool, at, MIB, KVX_POOL_READ), -EFAULT);
	munmap(at, 4 * MIB);
	/* Memory of a memfd, shared: it is ordinary memory, read-only as well. */
	fd = memfd_create("m", 0);
	CHECK(fd >= 0 && !ftruncate(fd, MIB));
	at = mmap(NULL, MIB, prot, MAP_SHARED, fd, 0);
	OK(kvx_pool_pin(agent, &pool, at, MIB, KVX_POOL_WRITE));
	kvx_pool_close(pool);
	CHECK_EQ(mprotect(at, MIB, PROT_READ), 0);
	OK(kvx_pool_pin(agent, &pool, at, MIB, KVX_POOL_READ));
	kvx_pool_close(pool);
	munmap(at, MIB);
	close(fd);
	/* A file on a disk: shared no, private yes (what is pinned is the copy). */
	fd = open("/proc/self/exe", O_RDONLY);
	CHECK(fd >= 0);
	at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	CHECK_EQ(kvx_pool_pin(agent, &pool, at, PAGE, KVX_POOL_READ), -EOPNOTSUPP);
	REASON(RANGE_FILE);
	munmap(at, PAGE);
	at = mmap(NULL, PAGE, prot, MAP_PRIVATE, fd, 0);
	CHECK(at != MAP_FAILED);
	OK(kvx_pool_pin(agent, &pool, at, PAGE, KVX_POOL_WRITE));
	kvx_pool_close(pool);
	munmap(at, PAGE);
	close(fd);
	settle(agent);
	kvx_close(agent);
}

/* Which page frame is at @at. */
static uint64_t frame_at(const void *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	CHECK(fd >= 0);
	CHECK_EQ(pread(fd, &entry, sizeof(entry), (uintptr_t)at / PAGE * sizeof(entry)),
		 sizeof(entry));
	close(fd);
	CHECK(entry >> 63);
	return entry & ((1ULL << 55) - 1);
}

/* Runs while a child, which has all of our memory, waits and then writes to it. */
static void with_a_child(unsigned char *at, void (*fn)(unsigned char *at))
{
	int go[2], status;
	char byte;
	pid_t pid;

	CHECK_EQ(pipe(go), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(go[1]);
		if (read(go[0], &byte, 1))
			_exit(1);
		at[0] = 'c';
		_exit(at[0] != 'c');
	}
	close(go[0]);
	fn(at);
	close(go[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static struct kvx_agent *fork_agent;
static struct kvx_pool *fork_pool;
static uint64_t fork_frame;

static void pin_for_reading(unsigned char *at)
{
	OK(kvx_pool_pin(fork_agent, &fork_pool, at, 2 * PAGE, KVX_POOL_READ));
	fork_frame = frame_at(at);
	/* What the pool has must stay what we have: the copy is the child's. */
	at[0] = 'p';
	CHECK_EQ(frame_at(at), fork_frame);
}

static void pin_for_writing(unsigned char *at)
{
	OK(kvx_pool_pin(fork_agent, &fork_pool, at, 2 * PAGE, KVX_POOL_WRITE));
	fork_frame = frame_at(at);
	at[0] = 'p';
	CHECK_EQ(frame_at(at), fork_frame);
}

static void just_write(unsigned char *at)
{
	at[0] = 'p';
	CHECK_EQ(frame_at(at), fork_frame);
}

TEST(memory_that_fork_shares_is_pinned_where_its_owner_sees_it)
{
	static void (*const pins[])(unsigned char *at) = { pin_for_reading, pin_for_writing };
	unsigned char *at;

	fork_agent = open_agent();
	for (int shared = 0; shared < 2; shared++) {
		for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
			at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				  (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
			CHECK(at != MAP_FAILED);
			memset(at, 'a', 2 * PAGE);
			/* Pinned when it is shared already; and shared when pinned already. */
			with_a_child(at, pins[i]);
			CHECK_EQ(at[0], shared ? 'c' : 'p');
			CHECK_EQ(frame_at(at), fork_frame);
			with_a_child(at, just_write);
			CHECK_EQ(at[0], shared ? 'c' : 'p');
			CHECK_EQ(frame_at(at), fork_frame);
			kvx_pool_close(fork_pool);
			munmap(at, 2 * PAGE);
		}
	}
	settle(fork_agent);
	kvx_close(fork_agent);
}

static long pinned_kib(void)
{
	return proc_number("/proc/self/status", "VmPin");
}

static int pin_beyond_the_limit(void *arg)
{
	const struct rlimit limit = { 2 * MIB, 2 * MIB };
	struct kvx_agent *agent;
	struct kvx_pool *a, *b;
	unsigned char *at;

	(void)arg;
	at = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || kvx_open(&agent, NULL))
		return 1;
	if (kvx_pool_pin(agent, &a, at, MIB, KVX_POOL_WRITE))
		return 2;
	if (kvx_pool_pin(agent, &b, at + MIB, 2 * MIB, KVX_POOL_WRITE) != -ENOMEM ||
	    kvx_last_error()->reason != KVXFER_REASON_MEMLOCK || kvx_last_error()->index != 2)
		return 3;
	if (pinned_kib() != 1024)
		return 4;
	kvx_pool_close(a);
	if (pinned_kib() != 0)
		return 5;
	return kvx_pool_pin(agent, &b, at, 2 * MIB, KVX_POOL_WRITE) ? 6 : 0;
}

TEST(pinned_memory_counts_against_memlock_once_and_comes_back)
{
	struct kvx_agent *agent = open_agent();

	CHECK_EQ(chmod(KVXFER_DEVICE, 0666), 0);
	CHECK_EQ(in_child(pin_beyond_the_limit, NULL, 65534), 0);
	CHECK_EQ(chmod(KVXFER_DEVICE, 0660), 0);
	settle(agent);
	kvx_close(agent);
}

TEST(the_pinned_account_is_settled_whoever_closes)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;
	unsigned char *at;
	int go[2], status;
	char byte = 0;
	pid_t pid;

	at = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(at != MAP_FAILED);
	OK(kvx_pool_pin(agent, &pool, at, MIB, KVX_POOL_WRITE));
	CHECK_EQ(pipe(go), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		/* The child has a copy of the agent: closing here is what ends the pool. */
		close(go[1]);
		if (read(go[0], &byte, 1))
			_exit(1);
		kvx_pool_close(pool);
		_exit(0);
	}
	close(go[0]);
	CHECK_EQ(pinned_kib(), 1024);
	close(go[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(pinned_kib(), 0);
	/* What was pinned stayed the parent's, and did not become the child's by writing. */
	at[0] = 1;
	munmap(at, MIB);
	close_and_settle(agent);
}

TEST(a_sealed_memfd_becomes_a_pool)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool;
	unsigned char *mine, *at;

	opts.name = "memfd";
	opts.memfd = sealed_memfd(0, 3 * MIB + PAGE, F_SEAL_SHRINK);
	mine = mmap(NULL, 3 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, opts.memfd, 0);
	CHECK(mine != MAP_FAILED);
	memset(mine, 0x33, 3 * MIB);
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	CHECK_EQ(kvx_pool_bytes(pool), 3 * MIB + PAGE);
	CHECK_EQ(stat_of(pool).kind, KVX_POOL_MEMFD);
	close(opts.memfd);
	OK(kvx_pool_map(pool, (void **)&at, PAGE, 0, KVX_POOL_WRITE));
	CHECK_EQ(at[MIB], 0x33);
	at[MIB] = 0x44;
	CHECK_EQ(mine[MIB + PAGE], 0x44);
	munmap(mine, 3 * MIB);
	OK(kvx_pool_unmap(at, 3 * MIB));
	kvx_pool_close(pool);
	OK(kvx_pool_open(agent, &pool, "memfd", KVX_POOL_READ));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_READ));
	CHECK_EQ(at[MIB + PAGE], 0x44);
	CHECK(mprotect(at, PAGE, PROT_WRITE) == -1 && errno == EACCES);
	OK(kvx_pool_unmap(at, 3 * MIB + PAGE));
	OK(kvx_pool_unlink(agent, "memfd"));
	kvx_pool_close(pool);
	settle(agent);
	kvx_close(agent);
}

TEST(other_files_are_refused)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool;
	char path[64];
	int fd;

	opts.memfd = sealed_memfd(0, MIB, 0);
	CHECK_EQ(kvx_pool_create(agent, &pool, 0, &opts), -EINVAL);
	REASON(MEMFD_SEAL);
	close(opts.memfd);
	opts.memfd = sealed_memfd(0, MIB, F_SEAL_SHRINK);
	CHECK_EQ(kvx_pool_create(agent, &pool, 2 * MIB, &opts), -EINVAL);
	REASON(POOL_SIZE);
	fd = opts.memfd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opts.memfd = open(path, O_RDONLY);
	CHECK(opts.memfd >= 0);
	CHECK_EQ(kvx_pool_create(agent, &pool, 0, &opts), -EACCES);
	REASON(MEMFD_ACCESS);
	close(opts.memfd);
	close(fd);
	opts.memfd = open("/dev/null", O_RDWR);
	CHECK_EQ(kvx_pool_create(agent, &pool, PAGE, &opts), -EINVAL);
	REASON(MEMFD_KIND);
	close(opts.memfd);
	opts.memfd = 12345;
	CHECK_EQ(kvx_pool_create(agent, &pool, PAGE, &opts), -EBADF);
	CHECK_EQ(query(agent).pool_bytes, 0);
	kvx_close(agent);
}

TEST(a_signal_ends_the_making_and_leaves_nothing)
{
	struct kvx_agent *agent = open_agent();
	const uint64_t bytes = sysconf(_SC_PHYS_PAGES) * PAGE / 4 * 3 / MIB * MIB;
	volatile uint64_t *progress;
	int status;
	pid_t pid;

	progress = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(progress != MAP_FAILED);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
		struct kvx_agent *mine;
		struct kvx_pool *pool;

		opts.name = "interrupted";
		opts.progress = (uint64_t *)progress;
		if (kvx_open(&mine, NULL))
			_exit(1);
		kvx_pool_create(mine, &pool, bytes, &opts);
		_exit(0);
	}
	/* As soon as some of it is there. */
	while (!*progress)
		sched_yield();
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	settle(agent);
	CHECK_EQ(query(agent).quota_bytes_used, 0);
	CHECK_EQ(kvx_pool_unlink(agent, "interrupted"), -ENOENT);
	kvx_close(agent);
}

TEST(three_quarters_of_the_memory_can_be_one_pool)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	uint64_t progress = 0, bytes;
	struct kvx_pool *pool;
	char line[128];
	long kib = 0;
	FILE *f;

	/* Of what is not taken by others: the lab's files are in memory, too. */
	f = fopen("/proc/meminfo", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "MemAvailable: %ld kB", &kib) != 1)
		;
	fclose(f);
	bytes = kib * 1024 / 4 * 3 / MIB * MIB;
	opts.progress = &progress;
	OK(kvx_pool_create(agent, &pool, bytes, &opts));
	CHECK_EQ(progress, bytes);
	CHECK_EQ(stat_of(pool).bytes, bytes);
	kvx_pool_close(pool);
	CHECK_EQ(query(agent).pool_bytes, 0);
	kvx_close(agent);
}

TEST(ten_thousand_pools_are_listed_and_gone)
{
	struct kvx_agent *agent = open_agent(), *other = open_agent();
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;
	uint32_t after = 0, n = 0;
	struct kvx_pool *pool;

	for (int i = 0; i < 10000; i++) {
		struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
		char name[32];

		snprintf(name, sizeof(name), "small-%d", i);
		opts.name = name;
		OK(kvx_pool_create(agent, &pool, PAGE, &opts));
	}
	while (!kvx_pool_stat_next(other, after, &st)) {
		CHECK(st.id > after);
		after = st.id;
		n++;
	}
	REASON(POOL_UNKNOWN);
	CHECK_EQ(n, 10000);
	OK(kvx_pool_stat_name(other, "small-4711", &st));
	CHECK_STR(st.name, "small-4711");
	CHECK_EQ(st.opens, 1);
	kvx_close(agent);
	CHECK_EQ(query(other).pool_bytes, 10000 * PAGE);
	for (int i = 0; i < 10000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "small-%d", i);
		OK(kvx_pool_unlink(other, name));
	}
	CHECK_EQ(query(other).pool_bytes, 0);
	kvx_close(other);
}
