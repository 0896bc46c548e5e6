// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools as dma-bufs, and other drivers' dma-bufs as pools.
 *
 * The other drivers: ourselves; udmabuf, where the kernel has it (6.12; that of 6.1 gives the CPU
 * no way to its memory); vgem, a graphics card without hardware, which attaches what it imports
 * and maps it for DMA.
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

#include "kvx.h"

/* What we need of <drm/drm.h>, which Debian has in a package of its own. */
struct drm_version {
	int version_major, version_minor, version_patchlevel;
	size_t name_len;
	char *name;
	size_t date_len;
	char *date;
	size_t desc_len;
	char *desc;
};

struct drm_gem_close {
	uint32_t handle, pad;
};

struct drm_prime_handle {
	uint32_t handle, flags;
	int32_t fd;
};

struct drm_mode_create_dumb {
	uint32_t height, width, bpp, flags, handle, pitch;
	uint64_t size;
};

struct drm_mode_map_dumb {
	uint32_t handle, pad;
	uint64_t offset;
};

#define DRM_CLOEXEC			O_CLOEXEC
#define DRM_RDWR			O_RDWR
#define DRM_IOCTL_VERSION		_IOWR('d', 0x00, struct drm_version)
#define DRM_IOCTL_GEM_CLOSE		_IOW('d', 0x09, struct drm_gem_close)
#define DRM_IOCTL_PRIME_HANDLE_TO_FD	_IOWR('d', 0x2d, struct drm_prime_handle)
#define DRM_IOCTL_PRIME_FD_TO_HANDLE	_IOWR('d', 0x2e, struct drm_prime_handle)
#define DRM_IOCTL_MODE_CREATE_DUMB	_IOWR('d', 0xb2, struct drm_mode_create_dumb)
#define DRM_IOCTL_MODE_MAP_DUMB		_IOWR('d', 0xb3, struct drm_mode_map_dumb)

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

static void *map_file(int fd, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(at != MAP_FAILED);
	return at;
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
	kvx_close(agent);
	agent = open_agent();
	settle(agent);
	kvx_close(agent);
}

/* @fd is a dma-buf of @bytes, seen at @at; it becomes a pool, and shows the same. */
static void import_and_compare(struct kvx_agent *agent, int fd, unsigned char *at, uint64_t bytes)
{
	struct kvx_pool *pool;
	unsigned char *seen;

	OK(kvx_pool_import(agent, &pool, fd, KVX_POOL_WRITE));
	CHECK_EQ(kvx_pool_bytes(pool), bytes);
	CHECK_EQ(stat_of(pool).kind, KVX_POOL_DMABUF);
	CHECK_EQ(stat_of(pool).bytes, bytes);
	/* Drivers differ in what they show from elsewhere than the beginning. */
	CHECK_EQ(kvx_pool_map(pool, (void **)&seen, PAGE, 0, KVX_POOL_WRITE), -EINVAL);
	OK(kvx_pool_map(pool, (void **)&seen, 0, 0, KVX_POOL_WRITE));
	for (uint64_t i = 0; i < bytes; i += 509) {
		at[i] = i;
		CHECK_EQ(seen[i], (unsigned char)i);
	}
	seen[PAGE + 5] = 99;
	CHECK_EQ(at[PAGE + 5], 99);
	CHECK_EQ(kvx_pool_export(pool, &fd), -EOPNOTSUPP);
	REASON(POOL_KIND);
	OK(kvx_pool_unmap(seen, bytes));
	kvx_pool_close(pool);
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

static int open_vgem(void)
{
	char path[32], name[16];

	CHECK_EQ(system("modprobe vgem"), 0);
	for (int i = 0; i < 8; i++) {
		struct drm_version version = { .name = name, .name_len = sizeof(name) };
		int fd;

		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR);
		if (fd >= 0 && !ioctl(fd, DRM_IOCTL_VERSION, &version) &&
		    !strncmp(name, "vgem", 4))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	FAIL("there is no vgem");
}

static void *map_dumb(int card, uint32_t handle, size_t bytes)
{
	struct drm_mode_map_dumb map = { .handle = handle };
	void *at;

	CHECK_EQ(ioctl(card, DRM_IOCTL_MODE_MAP_DUMB, &map), 0);
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, card, map.offset);
	CHECK(at != MAP_FAILED);
	return at;
}

TEST(another_driver_attaches_an_export_and_maps_it_for_dma)
{
	struct kvx_agent *agent = open_agent();
	struct drm_prime_handle prime = { .flags = 0 };
	struct dma_buf_sync sync = { DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };
	struct drm_gem_close done = {};
	struct kvx_pool *pool;
	unsigned char *at;
	int card, fd;

	if (!on_debian())
		goto out;
	card = open_vgem();
	OK(kvx_pool_create(agent, &pool, 3 * MIB, NULL));
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	OK(kvx_pool_export(pool, &fd));
	prime.fd = fd;
	CHECK_EQ(ioctl(card, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime), 0);
	/* It is mapped for the card now, so this has caches to look after. */
	CHECK_EQ(ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	memset(at, 1, 3 * MIB);
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
	CHECK_EQ(ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	close(fd);
	OK(kvx_pool_unmap(at, 3 * MIB));
	kvx_pool_close(pool);
	/* The card alone has it now. */
	CHECK_EQ(query(agent).pool_bytes, 3 * MIB);
	done.handle = prime.handle;
	CHECK_EQ(ioctl(card, DRM_IOCTL_GEM_CLOSE, &done), 0);
	close(card);
	settle(agent);
out:
	kvx_close(agent);
}

TEST(another_drivers_memory_becomes_a_pool)
{
	struct kvx_agent *agent = open_agent();
	struct drm_mode_create_dumb create = { .height = 512, .width = 1024, .bpp = 32 };
	struct drm_prime_handle prime = { .flags = DRM_CLOEXEC };
	struct kvx_pool *pool;
	unsigned char *at;
	int card;

	if (!on_debian())
		goto out;
	card = open_vgem();
	CHECK_EQ(ioctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &create), 0);
	CHECK_EQ(create.size, 2 * MIB);
	at = map_dumb(card, create.handle, 2 * MIB);
	prime.handle = create.handle;
	CHECK_EQ(ioctl(card, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime), 0);
	/* This descriptor is for reading. */
	CHECK_EQ(kvx_pool_import(agent, &pool, prime.fd, KVX_POOL_WRITE), -EACCES);
	REASON(DMABUF_ACCESS);
	OK(kvx_pool_import(agent, &pool, prime.fd, KVX_POOL_READ));
	kvx_pool_close(pool);
	close(prime.fd);
	munmap(at, 2 * MIB);
	CHECK_EQ(ioctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &create), 0);
	at = map_dumb(card, create.handle, 2 * MIB);
	prime.handle = create.handle;
	prime.flags = DRM_CLOEXEC | DRM_RDWR;
	CHECK_EQ(ioctl(card, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime), 0);
	import_and_compare(agent, prime.fd, at, 2 * MIB);
	munmap(at, 2 * MIB);
	close(prime.fd);
	close(card);
	settle(agent);
out:
	kvx_close(agent);
}
