// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer events: what happens to devices, peers and rails, as it happens. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <netlink/genl/genl.h>
#include <linux/kvxfer.h>

#include "netlink.h"

static const char *const events[] = {
	[KVXFER_NL_EVENT_NONE] = "none",
	[KVXFER_NL_EVENT_NEW] = "new",
	[KVXFER_NL_EVENT_GONE] = "gone",
	[KVXFER_NL_EVENT_UP] = "up",
	[KVXFER_NL_EVENT_DOWN] = "down",
};

struct watch {
	struct netlink nl;
	bool json;
	uint64_t left;		/* how many are to come; 0 for any number */
	bool done;
};

/* The time, what it is about, and what has happened. */
static void begin(struct json *js, const char *object, uint32_t event)
{
	const char *word = event < ARRAY_SIZE(events) ? events[event] : "unknown";
	struct timespec now;
	char text[64];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!js) {
		localtime_r(&now.tv_sec, &tm);
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
		printf("%s.%06ld %-4s %-4s ", text, now.tv_nsec / 1000, object, word);
		return;
	}
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%FT%T", &tm);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ".%06ldZ", now.tv_nsec / 1000);
	json_begin(js, NULL, '{');
	json_text(js, "time", text);
	json_text(js, "object", object);
	json_text(js, "event", word);
}

static bool tell_dev(struct nlmsghdr *hdr, struct json *js)
{
	struct dev dev;

	if (!node_read_dev(hdr, &dev))
		return false;
	begin(js, "dev", dev.event);
	if (js)
		node_json_dev(js, &dev);
	else
		printf("%s: %s%s, %" PRIu32 " of %" PRIu32 " ports active\n", dev.name,
		       dev.usable ? "usable" : "not usable: ", dev.usable ? "" : dev.why,
		       dev.active_ports, dev.ports);
	return true;
}

static bool tell_peer(struct nlmsghdr *hdr, struct json *js)
{
	struct peer peer;
	const char *why;

	if (!node_read_peer(hdr, &peer))
		return false;
	begin(js, "peer", peer.event);
	why = node_why(peer.error, peer.refusal);
	if (js)
		node_json_peer(js, &peer);
	else
		printf("%016" PRIx64 " %s: %s, %" PRIu32 " of %" PRIu32 " rails ready%s%s\n",
		       peer.boot_id, peer.name[0] ? peer.name : "-", node_peer_state(&peer),
		       peer.ready, peer.rails, why[0] ? ": " : "", why);
	return true;
}

static bool tell_rail(struct nlmsghdr *hdr, struct json *js)
{
	char remote[NODES_ADDRESS_MAX];
	struct rail rail;
	const char *why;

	if (!node_read_rail(hdr, &rail))
		return false;
	begin(js, "rail", rail.event);
	why = node_rail_why(&rail);
	node_format_address(remote, &rail.remote, rail.port);
	if (js)
		node_json_rail(js, &rail);
	else if (!rail.boot_id)
		printf("who is at %s? %s\n", remote,
		       rail.refusal == KVXFER_REFUSAL_BOOT ? "A node is there" : why);
	else
		printf("%016" PRIx64 " rail %" PRIu32 " by %s to %s: %s%s%s\n", rail.boot_id,
		       rail.id, rail.dev[0] ? rail.dev : "-", remote, node_rail_state(&rail),
		       why[0] ? ": " : "", why);
	return true;
}

static void on_event(struct nlmsghdr *hdr, void *arg)
{
	struct json js = { .flat = true }, *out;
	struct watch *watch = arg;
	bool told = false;

	if (watch->done)
		return;
	out = watch->json ? &js : NULL;
	switch (genlmsg_hdr(hdr)->cmd) {
	case KVXFER_NL_CMD_DEV_NTF:
		told = tell_dev(hdr, out);
		break;
	case KVXFER_NL_CMD_PEER_NTF:
		told = tell_peer(hdr, out);
		break;
	case KVXFER_NL_CMD_RAIL_NTF:
		told = tell_rail(hdr, out);
		break;
	}
	if (!told)
		return;
	if (out)
		json_end(out, '}');
	fflush(stdout);
	watch->done = watch->left && !--watch->left;
}

static int watch_events(struct watch *watch, int signals)
{
	struct pollfd fds[] = {
		{ .fd = netlink_fd(&watch->nl), .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		/* No events: only whether somebody still reads. */
		{ .fd = STDOUT_FILENO },
	};

	while (!watch->done) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR) {
			cli_error("poll: %s", strerror(errno));
			return CLI_FAILED;
		}
		if (fds[1].revents || fds[2].revents & (POLLERR | POLLHUP))
			return CLI_OK;
		if (!fds[0].revents)
			continue;
		switch (netlink_hear(&watch->nl)) {
		case NETLINK_HEARD:
			break;
		case NETLINK_LOST:
			cli_error("events were lost: they came faster than they could be told");
			break;
		case NETLINK_FAILED:
			return watch->done ? CLI_OK : CLI_FAILED;
		}
	}
	return CLI_OK;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "count", required_argument, NULL, 'c' },
		{}
	};
	struct watch watch = {};
	sigset_t signals;
	int opt, ret, fd;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == '?' ||
		    (opt == 'c' && !cli_parse_number(optarg, 10, UINT64_MAX, &watch.left)) ||
		    (opt == 'c' && !watch.left))
			return cli_usage(&cli_events, "what is '%s'?", cli_word(argv));
		watch.json |= opt == 'j';
	}
	if (optind < argc)
		return cli_usage(&cli_events, "what is '%s'?", argv[optind]);
	if (!netlink_open(&watch.nl))
		return CLI_FAILED;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		cli_error("signalfd: %s", strerror(errno));
		return CLI_FAILED;
	}
	if (!netlink_listen(&watch.nl, on_event, &watch))
		return CLI_FAILED;
	/* For who waits for that: what happens from now on is told. */
	cli_error("listening");
	ret = watch_events(&watch, fd);
	close(fd);
	netlink_close(&watch.nl);
	return ret;
}

const struct cli_command cli_events = {
	.name = "events",
	.args = "[--json] [--count N]",
	.summary = "what happens to devices, peers and rails, as it happens",
	.help = "  --json          as JSON, an object to a line\n"
		"  --count N       end after N of them\n"
		"It says 'listening' on standard error when it has begun, and ends on ^C.\n",
	.run = run,
};
