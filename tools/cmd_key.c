// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer key: the cluster key, which all nodes know that may connect with each other. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <netlink/genl/genl.h>

#include "netlink.h"

struct secret {
	char bytes[KVXFER_NL_SECRET_MAX + 2];	/* a newline, and one more than there may be */
	size_t nr;
};

static volatile sig_atomic_t stopped;

static void on_signal(int nr)
{
	stopped = nr;
}

/* All of a file, or a line of a terminal. */
static bool read_secret(int fd, bool line, struct secret *secret)
{
	ssize_t got;

	secret->nr = 0;
	while (secret->nr < sizeof(secret->bytes)) {
		got = read(fd, secret->bytes + secret->nr, sizeof(secret->bytes) - secret->nr);
		if (got < 0 && errno == EINTR && !stopped)
			continue;
		if (got < 0)
			return false;
		secret->nr += got;
		if (!got || (line && secret->bytes[secret->nr - 1] == '\n'))
			break;
	}
	if (secret->nr && secret->bytes[secret->nr - 1] == '\n')
		secret->nr--;
	return true;
}

/* Twice, without an echo. A signal must not leave the terminal without one. */
static bool ask_secret(struct secret *secret)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
	const struct sigaction act = { .sa_handler = on_signal };
	struct sigaction was[ARRAY_SIZE(signals)];
	struct termios echo, quiet;
	struct secret again;
	bool good;

	if (tcgetattr(STDIN_FILENO, &echo))
		return false;
	quiet = echo;
	quiet.c_lflag &= ~ECHO;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &act, &was[i]);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	fprintf(stderr, "cluster key: ");
	good = read_secret(STDIN_FILENO, true, secret);
	if (good) {
		fprintf(stderr, "\nonce more: ");
		good = read_secret(STDIN_FILENO, true, &again);
	}
	fputc('\n', stderr);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &echo);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &was[i], NULL);
	if (stopped)
		raise(stopped);
	if (!good) {
		cli_error("no key was read: %s", strerror(errno));
	} else if (again.nr != secret->nr || memcmp(again.bytes, secret->bytes, again.nr)) {
		cli_error("the two are not the same");
		good = false;
	}
	explicit_bzero(&again, sizeof(again));
	return good;
}

static bool load_secret(const char *path, struct secret *secret)
{
	const bool standard = !strcmp(path, "-");
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool good;

	good = fd >= 0 && read_secret(fd, false, secret);
	if (!good)
		cli_error("%s: %s", standard ? "standard input" : path, strerror(errno));
	else if (!standard && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_mode & 077)
		cli_error("warning: others can read %s: chmod 600 mends it", path);
	if (fd > STDIN_FILENO)
		close(fd);
	return good;
}

static int send_secret(const struct secret *secret, const char *what)
{
	struct netlink nl;
	struct nl_msg *msg;

	if (!netlink_open(&nl))
		return CLI_FAILED;
	msg = netlink_request(&nl, KVXFER_NL_CMD_KEY_SET);
	if (secret)
		netlink_put(msg, KVXFER_NL_KEY_SECRET, secret->bytes, secret->nr);
	if (!netlink_ask(&nl, msg, NULL, NULL))
		return netlink_failed(&nl, "%s the cluster key", what);
	netlink_close(&nl);
	return CLI_OK;
}

static int set(const char *path)
{
	struct secret secret;
	int ret = CLI_FAILED;
	bool good;

	if (!path && isatty(STDIN_FILENO))
		good = ask_secret(&secret);
	else
		good = load_secret(path ? path : "-", &secret);
	if (good && (secret.nr < KVXFER_NL_SECRET_MIN || secret.nr > KVXFER_NL_SECRET_MAX)) {
		cli_error("a cluster key has %d to %d bytes", KVXFER_NL_SECRET_MIN,
			  KVXFER_NL_SECRET_MAX);
		fprintf(stderr, "  To make one:\n\t%s\n", "head -c 32 /dev/urandom | base64");
	} else if (good) {
		ret = send_secret(&secret, "set");
	}
	explicit_bzero(&secret, sizeof(secret));
	return ret;
}

static void take_is_set(struct nlmsghdr *hdr, void *arg)
{
	static struct nla_policy policy[KVXFER_NL_KEY_MAX + 1] = {
		[KVXFER_NL_KEY_IS_SET] = { .type = NLA_U8 },
	};
	struct nlattr *attrs[KVXFER_NL_KEY_MAX + 1];
	bool *is_set = arg;

	if (genlmsg_parse(hdr, 0, attrs, KVXFER_NL_KEY_MAX, policy) >= 0)
		*is_set = netlink_bool(attrs[KVXFER_NL_KEY_IS_SET]);
}

bool key_is_set(struct netlink *nl, bool *is_set)
{
	*is_set = false;
	return netlink_ask(nl, netlink_request(nl, KVXFER_NL_CMD_KEY_GET), take_is_set, is_set);
}

static int show(bool json)
{
	struct json js = {};
	struct netlink nl;
	bool is_set;

	if (!netlink_open(&nl))
		return CLI_FAILED;
	if (!key_is_set(&nl, &is_set))
		return netlink_failed(&nl, "ask for the cluster key");
	netlink_close(&nl);
	if (json) {
		json_begin(&js, NULL, '{');
		json_bool(&js, "set", is_set);
		json_end(&js, '}');
	} else {
		puts(is_set ? "set" : KEY_NOT_SET);
	}
	return CLI_OK;
}

static int key(int argc, char **argv)
{
	const char *what;
	bool json;

	if (!cli_words(&cli_key, &argc, &argv, &json))
		return CLI_USAGE;
	what = argc ? argv[0] : "";
	if ((argc == 1 || argc == 2) && !strcmp(what, "set") && !json)
		return set(argc == 2 ? argv[1] : NULL);
	if (argc == 1 && !strcmp(what, "remove") && !json)
		return send_secret(NULL, "remove");
	if (argc == 1 && !strcmp(what, "show"))
		return show(json);
	return cli_usage(&cli_key, "what is to be done?");
}

const struct cli_command cli_key = {
	.name = "key",
	.args = "set [FILE] | remove | show",
	.summary = "the cluster key, which nodes that connect must share",
	.help = "set reads 16 to 64 bytes from FILE, from standard input, or asks for them.\n"
		"show only says whether there is one:\n"
		"  --json          as JSON\n",
	.run = key,
};
