// SPDX-License-Identifier: GPL-2.0-only
/* Sizes and owners as people write and read them, and how far a long work is. */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* "64G", "512MiB", "4096": 1024 to a step. */
bool cli_parse_size(const char *text, uint64_t *bytes)
{
	static const char steps[] = "KMGT";
	const char *step;
	char *end;
	uint64_t n;
	int shift = 0;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		step = strchr(steps, *end);
		if (!step)
			return false;
		shift = 10 * (step - steps + 1);
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || (shift && n >> (64 - shift)))
		return false;
	*bytes = n << shift;
	return true;
}

bool cli_parse_number(const char *text, int base, uint64_t max, uint64_t *number)
{
	char *end;

	/* strtoull() takes a minus, blanks, nothing at all. */
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, base);
	return !errno && !*end && *number <= max;
}

static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };

void cli_format_size(char text[16], uint64_t bytes)
{
	unsigned int i = 0;

	while (i + 1 < ARRAY_SIZE(units) && bytes && !(bytes & 1023)) {
		bytes >>= 10;
		i++;
	}
	snprintf(text, 16, "%" PRIu64 "%s", bytes, units[i]);
}

void cli_format_about(char text[16], uint64_t bytes)
{
	double about = bytes;
	unsigned int i = 0;

	while (i + 1 < ARRAY_SIZE(units) && about >= 1024) {
		about /= 1024;
		i++;
	}
	snprintf(text, 16, i ? "%.1f%s" : "%.0f%s", about, units[i]);
}

void cli_format_age(char text[16], uint64_t ns)
{
	const uint64_t s = ns / 1000000000;

	if (s < 120)
		snprintf(text, 16, "%" PRIu64 "s", s);
	else if (s < 7200)
		snprintf(text, 16, "%" PRIu64 "m", s / 60);
	else if (s < 48 * 3600)
		snprintf(text, 16, "%" PRIu64 "h", s / 3600);
	else
		snprintf(text, 16, "%" PRIu64 "d", s / 86400);
}

const char *cli_user_name(uint32_t uid, char room[16])
{
	const struct passwd *user = getpwuid(uid);

	snprintf(room, 16, "%" PRIu32, uid);
	return user ? user->pw_name : room;
}

const char *cli_group_name(uint32_t gid, char room[16])
{
	const struct group *group = getgrgid(gid);

	snprintf(room, 16, "%" PRIu32, gid);
	return group ? group->gr_name : room;
}

static void *show_bar(void *arg)
{
	static const char full[] = "########################################";
	struct cli_bar *bar = arg;

	while (!bar->stop) {
		const int part = bar->done * 40 / bar->total;

		fprintf(stderr, "\r%s [%-40.*s] %3d%% ", bar->what, part, full,
			(int)(bar->done * 100 / bar->total));
		usleep(100000);
	}
	fprintf(stderr, "\r%*s\r", (int)strlen(bar->what) + 50, "");
	return NULL;
}

void cli_bar_begin(struct cli_bar *bar, const char *what, uint64_t total)
{
	bar->what = what;
	bar->total = total;
	bar->shown = isatty(STDERR_FILENO) &&
		     !pthread_create(&bar->thread, NULL, show_bar, bar);
}

void cli_bar_end(struct cli_bar *bar)
{
	bar->stop = true;
	if (bar->shown)
		pthread_join(bar->thread, NULL);
}
