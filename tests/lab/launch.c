// SPDX-License-Identifier: GPL-2.0-only
/*
 * launch: start the nodes of a lab, joined by wires, and see them to their end.
 *
 *	launch [-t SECONDS] [-s SECONDS] [-d DIR] [-i] CMD ARG... [--- CMD ARG...]...
 *
 * Each group between `---` is a node. The words @wire0@ and @wire1@ inside an argument become
 * numbers of file descriptors: ends of datagram socket pairs, whose other ends the other node has.
 * What nodes print comes out line by line, with "N| " before it when there are several. With -i the
 * first node has our terminal, the other is silent, and all ends when the first does.
 *
 * With -d: when a file crash.N comes to be in DIR, node N is killed, as if its plug were pulled,
 * the file is removed, and the node is started anew. What was on the wires to it is lost. A node
 * that ends has left its exit.N there; one that has not is dead, and the other would wait for it.
 *
 * Exit status: 0 when all nodes ended with 0, 124 when the time was up, 1 otherwise. All nodes are
 * ended when the time is up, when no node has printed a line for the time of -s, or when we are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX	2
#define WIRE_BUFFER	(8 << 20)
#define WIRES		2

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct node {
	char **argv;
	pid_t pid;
	int out;
	char line[4096];
	size_t len;
};

static struct node nodes[NODES_MAX];
static int nr_nodes;
static bool interactive;
static const char *dir;
static int watch = -1;
static volatile sig_atomic_t told_to_stop;

static void on_signal(int sig)
{
	told_to_stop = sig;
}

static void die(const char *what)
{
	fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* One end of each for each node. */
static int wires[WIRES][NODES_MAX];

static void substitute(char **argv, int n)
{
	for (; *argv; argv++) {
		for (int w = 0; w < WIRES; w++) {
			char name[16], *at, *word;

			snprintf(name, sizeof(name), "@wire%d@", w);
			at = strstr(*argv, name);
			if (!at)
				continue;
			if (asprintf(&word, "%.*s%d%s", (int)(at - *argv), *argv, wires[w][n],
				     at + strlen(name)) < 0)
				die("memory");
			*argv = word;
		}
	}
}

static bool is_wire_of(int fd, int n)
{
	for (int w = 0; w < WIRES; w++)
		if (nr_nodes > 1 && fd == wires[w][n])
			return true;
	return false;
}

/* QEMU and UML both make helpers: a group of its own lets us end all of them. */
static void start(struct node *node)
{
	const int n = node - nodes;
	int fds[2];

	const bool ours = interactive && node == nodes;

	if (pipe2(fds, O_CLOEXEC))
		die("pipe");
	node->out = fds[0];
	substitute(node->argv, n);
	node->pid = fork();
	if (node->pid < 0)
		die("fork");
	if (node->pid) {
		if (!ours)
			setpgid(node->pid, node->pid);
		close(fds[1]);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!ours) {
		setpgid(0, 0);
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		if (!freopen("/dev/null", "r", stdin))
			die("/dev/null");
	}
	for (int fd = 3; fd < 1024; fd++)
		if (!is_wire_of(fd, n))
			close(fd);
	execvp(node->argv[0], node->argv);
	die(node->argv[0]);
}

static void put_line(struct node *node)
{
	if (nr_nodes > 1)
		printf("%d| ", (int)(node - nodes) + 1);
	fwrite(node->line, 1, node->len, stdout);
	putchar('\n');
	fflush(stdout);
	node->len = 0;
}

/* Terminals end lines with CR NL; whoever reads us wants NL. */
static bool pump(struct node *node)
{
	char buf[4096];
	ssize_t n = read(node->out, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return true;
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n' || node->len == sizeof(node->line))
			put_line(node);
		if (buf[i] != '\n' && buf[i] != '\r')
			node->line[node->len++] = buf[i];
	}
	if (n > 0)
		return true;
	if (node->len)
		put_line(node);
	close(node->out);
	node->out = -1;
	return false;
}

static void end_all(void)
{
	for (int i = interactive; i < nr_nodes; i++)
		kill(-nodes[i].pid, SIGKILL);
}

/* What nobody has received; the other node's end of it stays as it is. */
static void drain_wires(int n)
{
	char frame[1];

	for (int w = 0; nr_nodes > 1 && w < WIRES; w++)
		while (recv(wires[w][n], frame, sizeof(frame), MSG_DONTWAIT) >= 0)
			;
}

static void crash(struct node *node)
{
	kill(-node->pid, SIGKILL);
	while (waitpid(node->pid, NULL, 0) < 0 && errno == EINTR)
		;
	while (pump(node))
		;
	drain_wires(node - nodes);
	start(node);
}

/* Those that are wanted to, of nodes that run. */
static void crash_some(void)
{
	char events[4096], path[4096];

	/* Which they are is seen by the files. */
	while (read(watch, events, sizeof(events)) > 0)
		;
	for (int i = 0; i < nr_nodes; i++) {
		snprintf(path, sizeof(path), "%s/crash.%d", dir, i + 1);
		if (nodes[i].out >= 0 && !unlink(path))
			crash(&nodes[i]);
	}
}

/* A node has ended: whoever sends it more is told so. */
static void cut_wires(int n)
{
	for (int w = 0; nr_nodes > 1 && w < WIRES && dir; w++)
		close(wires[w][n]);
}

static bool has_died(int n)
{
	char path[4096];

	if (!dir)
		return false;
	snprintf(path, sizeof(path), "%s/exit.%d", dir, n + 1);
	return access(path, F_OK);
}

static int pump_all(double deadline, double silence)
{
	double heard = now();
	int open = nr_nodes;

	while (open && !told_to_stop) {
		struct pollfd pfds[NODES_MAX + 1];
		double left = deadline - now();

		if (silence > 0 && heard + silence - now() < left)
			left = heard + silence - now();
		if (left <= 0)
			return 124;
		for (int i = 0; i < nr_nodes; i++)
			pfds[i] = (struct pollfd){ .fd = nodes[i].out, .events = POLLIN };
		pfds[nr_nodes] = (struct pollfd){ .fd = watch, .events = POLLIN };
		if (poll(pfds, nr_nodes + 1, left > 1e6 ? -1 : (int)(left * 1000) + 1) < 0)
			continue;
		for (int i = 0; i < nr_nodes; i++) {
			if (!pfds[i].revents)
				continue;
			heard = now();
			if (!pump(&nodes[i])) {
				cut_wires(i);
				open--;
				if (has_died(i))
					return 1;
			}
		}
		if (pfds[nr_nodes].revents)
			crash_some();
	}
	return told_to_stop ? 128 + told_to_stop : 0;
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	double limit = 1e9, silence = 0;
	int size = WIRE_BUFFER, opt, ret = 0;

	while ((opt = getopt(argc, argv, "+t:s:d:i")) != -1) {
		if (opt == 't')
			limit = atof(optarg);
		else if (opt == 's')
			silence = atof(optarg);
		else if (opt == 'd')
			dir = optarg;
		else if (opt == 'i')
			interactive = true;
		else
			return 2;
	}
	for (int i = optind; i < argc; i++) {
		if (i == optind || (i > optind && !argv[i - 1])) {
			if (nr_nodes == NODES_MAX) {
				fprintf(stderr, "launch: at most %d nodes\n", NODES_MAX);
				return 2;
			}
			nodes[nr_nodes++].argv = &argv[i];
		}
		if (!strcmp(argv[i], "---"))
			argv[i] = NULL;
	}
	if (!nr_nodes) {
		fprintf(stderr,
			"usage: launch [-t SECONDS] [-s SECONDS] [-d DIR] [-i] CMD ARG... [--- CMD ARG...]\n");
		return 2;
	}
	for (int w = 0; nr_nodes > 1 && w < WIRES; w++) {
		if (socketpair(AF_UNIX, SOCK_DGRAM, 0, wires[w]))
			die("socketpair");
		for (int i = 0; i < 2; i++) {
			const int fd = wires[w][i];

			/* What the host allows is enough; more is only faster. */
			if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
				setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
			if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
				setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &(struct sigaction){ .sa_handler = on_signal }, NULL);

	if (dir) {
		watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (watch < 0 || inotify_add_watch(watch, dir, IN_CREATE | IN_MOVED_TO) < 0)
			die(dir);
	}
	for (int i = 0; i < nr_nodes; i++)
		start(&nodes[i]);
	/* Who may be started anew needs them still. */
	for (int w = 0; nr_nodes > 1 && w < WIRES && !dir; w++) {
		close(wires[w][0]);
		close(wires[w][1]);
	}
	if (!interactive) {
		ret = pump_all(now() + limit, silence);
		if (ret)
			end_all();
	}
	for (int i = 0; i < nr_nodes; i++) {
		int status;

		while (waitpid(nodes[i].pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!ret && status && !(interactive && i))
			ret = 1;
		if (interactive)
			end_all();
		/* Helpers may outlive the one that we waited for. */
		if (!interactive)
			kill(-nodes[i].pid, SIGKILL);
	}
	return ret;
}
