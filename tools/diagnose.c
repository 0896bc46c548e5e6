// SPDX-License-Identifier: GPL-2.0-only
/* Why the device cannot be used, and the command that mends it. */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli.h"

#define GROUP	"kvxfer"

static bool exists(const char *pattern)
{
	glob_t found;
	bool any = !glob(pattern, 0, NULL, &found);

	globfree(&found);
	return any;
}

static void hint(const char *what, const char *command)
{
	fprintf(stderr, "  %s:\n\t%s\n", what, command);
}

void cli_missing(const char *loaded)
{
	struct utsname uts;
	char pattern[512];

	if (exists("/sys/module/kvxfer")) {
		hint(loaded, "sudo modprobe -r kvxfer && sudo modprobe kvxfer");
		return;
	}
	uname(&uts);
	snprintf(pattern, sizeof(pattern), "/lib/modules/%s/updates/dkms/kvxfer.ko*", uts.release);
	if (exists(pattern)) {
		hint("The module is installed but not loaded. Load it", "sudo modprobe kvxfer");
		return;
	}
	snprintf(pattern, sizeof(pattern),
		 "sudo dkms install kvxfer/%s -k %s && sudo modprobe kvxfer",
		 kvx_version(), uts.release);
	if (exists("/usr/src/kvxfer-*/dkms.conf"))
		hint("The module is not built for this kernel. Do that, and load it", pattern);
	else
		hint("The module is not installed. In kvxfer's source tree",
		     "sudo make dkms-install && sudo modprobe kvxfer");
}

static void forbidden(const char *device)
{
	const struct group *group;
	const struct passwd *user = getpwuid(geteuid());
	char command[256];
	struct stat st;

	if (stat(device, &st))
		return;
	group = getgrgid(st.st_gid);
	if (!group || strcmp(group->gr_name, GROUP)) {
		fprintf(stderr, "  Its group is %s, not %s: kvxfer's udev rule is not in force.\n",
			group ? group->gr_name : "unknown", GROUP);
		hint("In kvxfer's source tree",
		     "sudo make install && sudo systemd-sysusers && sudo udevadm control --reload\n"
		     "\tsudo udevadm trigger /dev/kvxfer");
		return;
	}
	snprintf(command, sizeof(command), "sudo usermod -aG " GROUP " %s",
		 user ? user->pw_name : "$USER");
	hint("It is for members of the group " GROUP ". Become one, then log in again", command);
}

struct kvx_agent *cli_open(const char *device)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	struct kvx_agent *agent;

	opts.device = device;
	if (!kvx_open(&agent, &opts))
		return agent;
	cli_error("%s", kvx_last_error()->text);
	if (device)
		return NULL;
	switch (kvx_last_error()->error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		cli_missing("The module is loaded, but its device is not there. Load it anew");
		break;
	case EPERM:
		hint("A container's device rules forbid it. Start the container with",
		     "--device /dev/kvxfer");
		break;
	case EACCES:
		forbidden("/dev/kvxfer");
		break;
	case ENFILE:
		hint("Allow more of them",
		     "echo 131072 | sudo tee /sys/module/kvxfer/parameters/max_agents");
		break;
	}
	return NULL;
}
