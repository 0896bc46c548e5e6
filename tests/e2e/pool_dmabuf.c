// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools as dma-bufs, and other drivers' dma-bufs as pools.
 *
 * The other drivers: ourselves, and udmabuf, where the kernel has it (6.12; that of 6.1 gives the
 * CPU no way to its memory). For one that does DMA see pool_vgem.c.
 * Lanes: uml uml-smp uml-debug debian-6.12
 * Cases: debian a_udmabuf_of_huge_pages_is_not_taken_for_what_it_is_not
 * Emulated: a udmabuf of huge pages
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

#include "dmabuf.h"

static bool on_debian(void)
{
	return !strncmp(getenv("LAB"), "debian", 6);
}

static bool kernel_is_6_1(void)
{
	struct utsname name;

	CHECK_EQ(uname(&name), 0);
	return !strncmp(name.release, "6.1.", 4);
}

TEST(an_export_is_the_pools_memory_and_keeps_it)
{
	struct kvx_agent *agent = open_agent();
	struct dma_buf_sync sync = { DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };
	struct kvx_pool *pool;
	unsigned char *at, *seen;
	int fd;

	OK(kvx_pool_create(agent, &pool, 5 * MIB + PAGE, NULL));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	OK(kvx_pool_export(pool, &fd));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 5 * MIB + PAGE);
	CHECK_EQ(stat_of(pool).exports, 1);
	seen = map_file(fd, 5 * MIB + PAGE);
	CHECK_EQ(stat_of(pool).maps, 2);
	CHECK_EQ(ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	for (uint64_t i = 0; i < 5 * MIB + PAGE; i += 511)
		at[i] = i / 511;
	for (uint64_t i = 0; i < 5 * MIB + PAGE; i += 511)
		CHECK_EQ(seen[i], (unsigned char)(i / 511));
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
	CHECK_EQ(ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	CHECK_EQ(errno, EINVAL);
	CHECK(mmap(NULL, 6 * MIB, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);

	/* The agent goes; then the mapping; the descriptor still has it all. */
	OK(kvx_pool_unmap(at, 5 * MIB + PAGE));
	kvx_close(agent);
	munmap(seen, 5 * MIB + PAGE);
	agent = open_agent();
	CHECK_EQ(query(agent).pool_bytes, 5 * MIB + PAGE);
	seen = map_file(fd, 5 * MIB);
	CHECK_EQ(seen[511 * 1000], (unsigned char)1000);
	munmap(seen, 5 * MIB);
	close(fd);
	settle(agent);
	kvx_close(agent);
}

static int export_with_no_descriptor_left(void *arg)
{
	const struct rlimit limit = { kvx_fd(arg) + 1, kvx_fd(arg) + 1 };
	struct kvx_pool *pool;
	int fd;

	if (setrlimit(RLIMIT_NOFILE, &limit) || kvx_pool_create(arg, &pool, PAGE, NULL))
		return 98;
	return -kvx_pool_export(pool, &fd);
}

TEST(what_cannot_be_exported_is_refused_by_name)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvxfer_pool_export cmd = { .hdr.size = sizeof(cmd), .pool = 999 };
	struct kvx_pool *pool, *ro;
	void *own;
	int fd;

	opts.name = "exported";
	OK(kvx_pool_create(agent, &pool, MIB, &opts));
	OK(kvx_pool_open(agent, &ro, "exported", KVX_POOL_READ));
	CHECK_EQ(kvx_pool_export(ro, &fd), -EACCES);
	REASON(POOL_READONLY);
	CHECK_EQ(fd, -1);
	OK(kvx_pool_unlink(agent, "exported"));
	kvx_pool_close(ro);
	kvx_pool_close(pool);

	opts.name = NULL;
	opts.memfd = sealed_memfd(0, MIB, F_SEAL_SHRINK);
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	CHECK_EQ(kvx_pool_export(pool, &fd), -EOPNOTSUPP);
	REASON(POOL_KIND);
	CHECK_EQ(kvx_last_error()->index, KVX_POOL_MEMFD);
	kvx_pool_close(pool);
	close(opts.memfd);

	own = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(own != MAP_FAILED);
	OK(kvx_pool_pin(agent, &pool, own, MIB, KVX_POOL_WRITE));
	CHECK_EQ(kvx_pool_export(pool, &fd), -EOPNOTSUPP);
	REASON(POOL_KIND);
	kvx_pool_close(pool);
	munmap(own, MIB);

	CHECK(ioctl(kvx_fd(agent), KVXFER_IOC_POOL_EXPORT, &cmd) == -1 && errno == ENOENT);
	CHECK_EQ(cmd.hdr.reason, KVXFER_REASON_POOL_UNKNOWN);
	CHECK_EQ(cmd.hdr.index, 999);
	CHECK_EQ(in_child(export_with_no_descriptor_left, agent, -1), EMFILE);
	close_and_settle(agent);
}

TEST(our_own_export_is_the_pool_itself)
{
	struct kvx_agent *agent = open_agent(), *other = open_agent();
	struct kvx_pool *pool, *ro, *rw;
	unsigned char *at, *seen;
	void *none;
	int fd;

	OK(kvx_pool_create(agent, &pool, 3 * MIB, NULL));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	OK(kvx_pool_export(pool, &fd));
	OK(kvx_pool_import(other, &rw, fd, KVX_POOL_WRITE));
	CHECK_EQ(kvx_pool_bytes(rw), 3 * MIB);
	CHECK_EQ(stat_of(rw).kind, KVX_POOL_KERNEL);
	CHECK_EQ(stat_of(rw).id, stat_of(pool).id);
	CHECK_EQ(stat_of(rw).opens, 2);
	OK(kvx_pool_map(rw, (void **)&seen, MIB, 0, KVX_POOL_WRITE));
	seen[5] = 99;
	CHECK_EQ(at[MIB + 5], 99);
	OK(kvx_pool_unmap(seen, 2 * MIB));
	kvx_pool_close(rw);
	/* Imported for reading, it is not mapped for writing. */
	OK(kvx_pool_import(other, &ro, fd, KVX_POOL_READ));
	CHECK_EQ(kvx_pool_map(ro, &none, 0, 0, KVX_POOL_WRITE), -EACCES);
	OK(kvx_pool_map(ro, &none, 0, 0, KVX_POOL_READ));
	CHECK(mprotect(none, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	OK(kvx_pool_unmap(none, 3 * MIB));
	/* Whoever imported it is the last to have it. */
	OK(kvx_pool_unmap(at, 3 * MIB));
	close(fd);
	kvx_close(agent);
	CHECK_EQ(query(other).pool_bytes, 3 * MIB);
	kvx_pool_close(ro);
	settle(other);
	kvx_close(other);
}

TEST(what_is_no_dma_buf_is_refused)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool *pool;
	int fd = memfd_create("not", 0);

	CHECK_EQ(kvx_pool_import(agent, &pool, fd, KVX_POOL_WRITE), -EINVAL);
	REASON(DMABUF_KIND);
	CHECK_EQ(kvx_pool_import(agent, &pool, -1, KVX_POOL_WRITE), -EBADF);
	CHECK_EQ(kvx_pool_import(agent, &pool, 9999, KVX_POOL_WRITE), -EBADF);
	close(fd);
	CHECK_EQ(query(agent).pool_bytes, 0);
	kvx_close(agent);
}

TEST(a_udmabuf_is_imported_where_its_driver_lets_the_cpu_in)
{
	struct kvx_agent *agent = open_agent();
	const int memfd = sealed_memfd(0, 2 * MIB, F_SEAL_SHRINK);
	const int device = open("/dev/udmabuf", O_RDWR);
	struct udmabuf_create create = { .memfd = memfd, .size = 2 * MIB };
	unsigned char *at = map_file(memfd, 2 * MIB);
	struct kvx_pool *pool;
	int fd;

	/* Debian's 6.1 is built without the driver. */
	if (device < 0) {
		CHECK(on_debian() && kernel_is_6_1());
		goto out;
	}
	fd = ioctl(device, UDMABUF_CREATE, &create);
	CHECK(fd >= 0);
	if (kernel_is_6_1()) {
		CHECK_EQ(kvx_pool_import(agent, &pool, fd, KVX_POOL_WRITE), -EOPNOTSUPP);
		REASON(DMABUF_CPU);
		CHECK_EQ(kvx_last_error()->index, EINVAL);
	} else {
		import_and_compare(agent, fd, at, 2 * MIB);
		copy_through(agent, fd, at);
	}
	close(fd);
	close(device);
out:
	munmap(at, 2 * MIB);
	close(memfd);
	settle(agent);
	kvx_close(agent);
}

TEST(a_mapping_of_another_drivers_memory_cannot_be_pinned)
{
	struct kvx_agent *agent = open_agent();
	const int memfd = sealed_memfd(0, MIB, F_SEAL_SHRINK);
	const int device = open("/dev/udmabuf", O_RDWR);
	struct udmabuf_create create = { .memfd = memfd, .size = MIB };
	unsigned long from, to;
	struct kvx_pool *pool;
	char line[256];
	void *at;
	FILE *f;
	int fd, tried = 0;

	if (device >= 0) {
		fd = ioctl(device, UDMABUF_CREATE, &create);
		CHECK(fd >= 0);
		at = map_file(fd, MIB);
		CHECK_EQ(kvx_pool_pin(agent, &pool, at, MIB, KVX_POOL_WRITE), -EOPNOTSUPP);
		REASON(RANGE_DEVICE);
		CHECK_EQ(kvx_last_error()->index, 0);
		munmap(at, MIB);
		close(fd);
		close(device);
		tried++;
	}
	/* Page frames without pages: every process on x86 has some. */
	f = fopen("/proc/self/maps", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, "[vvar]") || sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		CHECK_EQ(kvx_pool_pin(agent, &pool, (void *)from, PAGE, KVX_POOL_READ),
			 -EOPNOTSUPP);
		REASON(RANGE_DEVICE);
		tried++;
	}
	fclose(f);
	CHECK(tried);
	close(memfd);
	kvx_close(agent);
}

TEST(a_udmabuf_of_huge_pages_is_not_taken_for_what_it_is_not)
{
	struct kvx_agent *agent = open_agent();
	const int device = open("/dev/udmabuf", O_RDWR);
	struct udmabuf_create create = { .size = 4 * MIB };
	struct kvx_pool *pool;
	int fd;

	/* 6.12's udmabuf shows the kernel the first page of each huge one again and again. */
	if (!on_debian() || kernel_is_6_1())
		goto out;
	put_file("/proc/sys/vm/nr_hugepages", "2");
	create.memfd = sealed_memfd(MFD_HUGETLB, 4 * MIB, F_SEAL_SHRINK);
	fd = ioctl(device, UDMABUF_CREATE, &create);
	CHECK(fd >= 0);
	if (kvx_pool_import(agent, &pool, fd, KVX_POOL_WRITE)) {
		REASON(DMABUF_CPU);
		CHECK_EQ(kvx_last_error()->index, EIO);
	} else {
		/* Mended by then: so it must be right. */
		import_and_compare(agent, fd, map_file(create.memfd, 4 * MIB), 4 * MIB);
	}
	close(fd);
	close(create.memfd);
	kvx_close(agent);
	agent = open_agent();
	settle(agent);
	put_file("/proc/sys/vm/nr_hugepages", "0");
out:
	close(device);
	kvx_close(agent);
}
