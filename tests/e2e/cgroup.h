/* SPDX-License-Identifier: GPL-2.0-only */
/* A memory cgroup of a test's own, and which pages are charged to it: exact, page by page. */
#ifndef CGROUP_H
#define CGROUP_H

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../ktap.h"

#define CGROUPS	"/run/cgroup-test"

static inline void cgroup_put(const char *name, const char *file, const char *value)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), CGROUPS "/%s/%s", name, file);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		FAIL("%s to %s: errno %d", value, path, errno);
	close(fd);
}

/* Make the cgroup @name, and put this process there; it stays, with all it has had. */
static inline void cgroup_enter(const char *name)
{
	char path[256], pid[16];

	mkdir(CGROUPS, 0700);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL))
		CHECK_EQ(errno, EBUSY);
	cgroup_put(".", "cgroup.subtree_control", "+memory");
	snprintf(path, sizeof(path), CGROUPS "/%s", name);
	CHECK(!mkdir(path, 0700) || errno == EEXIST);
	snprintf(pid, sizeof(pid), "%d", getpid());
	cgroup_put(name, "cgroup.procs", pid);
}

/* How many pages are charged to the cgroup @name; those of slabs are not among them. */
static inline long cgroup_pages(const char *name)
{
	static uint64_t inos[8192];
	struct stat st;
	char path[256];
	ssize_t n;
	long pages = 0;
	int fd;

	snprintf(path, sizeof(path), CGROUPS "/%s", name);
	CHECK_EQ(stat(path, &st), 0);
	fd = open("/proc/kpagecgroup", O_RDONLY);
	CHECK(fd >= 0);
	while ((n = read(fd, inos, sizeof(inos))) > 0)
		for (size_t i = 0; i < n / sizeof(*inos); i++)
			pages += inos[i] == st.st_ino;
	close(fd);
	return pages;
}

#endif /* CGROUP_H */
