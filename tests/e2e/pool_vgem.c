// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools and vgem, a graphics card without hardware: it attaches what it imports, and maps it for
 * DMA; and what it exports becomes a pool.
 * Labs: debian-6.1 debian-6.12
 * Emulated: vgem; dma_buf_vmap() before 6.2
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <linux/dma-buf.h>

#include "dmabuf.h"

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
	copy_through(agent, prime.fd, at);
	munmap(at, 2 * MIB);
	close(prime.fd);
	close(card);
	settle(agent);
	kvx_close(agent);
}
