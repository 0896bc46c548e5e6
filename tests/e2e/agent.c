// SPDX-License-Identifier: GPL-2.0-only
/*
 * Agents, seen through the library: what they are, what they may be called, how long they live.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/kvxfer.h>

#include "kvxfer.h"
#include "../ktap.h"

static struct kvx_agent *open_agent(void)
{
	struct kvx_agent *agent;

	if (kvx_open(&agent, NULL))
		FAIL("open: %s", kvx_last_error()->text);
	return agent;
}

static struct kvx_info query(struct kvx_agent *agent)
{
	struct kvx_info info = KVX_INFO_INIT;

	if (kvx_query(agent, &info))
		FAIL("refused: %s", kvx_last_error()->text);
	return info;
}

TEST(query_says_what_this_node_is)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_info info = query(agent);

	CHECK_EQ(info.abi_version, KVXFER_ABI_VERSION);
	CHECK(info.features & KVXFER_FEATURE_AGENT);
	CHECK(info.boot_id != 0);
	CHECK(info.agent_id != 0);
	CHECK(info.agents >= 1);
	CHECK(info.agents <= info.agents_max);
	CHECK_STR(info.version, kvx_version());
	kvx_close(agent);
}

TEST(each_open_is_a_new_agent_on_the_same_node)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	struct kvx_info ia = query(a), ib = query(b);

	CHECK(ia.boot_id == ib.boot_id);
	CHECK(ia.epoch != ib.epoch);
	CHECK(ia.worker_id != ib.worker_id);
	CHECK(ia.agent_id != ib.agent_id);
	CHECK(ia.epoch && !(ia.epoch >> KVXFER_EPOCH_BITS));
	kvx_close(a);
	kvx_close(b);
}

TEST(a_new_agent_is_called_as_its_process)
{
	char was[16];
	struct kvx_agent *agent;

	prctl(PR_GET_NAME, was);
	prctl(PR_SET_NAME, "pre\tfill\x80");
	agent = open_agent();
	prctl(PR_SET_NAME, was);
	CHECK_STR(query(agent).name, "pre?fill?");
	kvx_close(agent);
}

TEST(options_name_the_agent)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	const uint64_t worker_id = 0;
	struct kvx_agent *agent;

	opts.name = "decode-7";
	opts.worker_id = &worker_id;
	CHECK_EQ(kvx_open(&agent, &opts), 0);
	CHECK_STR(query(agent).name, "decode-7");
	CHECK_EQ(query(agent).worker_id, 0);
	kvx_close(agent);
}

TEST(a_worker_id_is_refused_while_another_has_it)
{
	struct kvx_agent *a = open_agent(), *b = open_agent();
	const uint64_t before = query(b).worker_id;

	CHECK_EQ(kvx_set_worker_id(a, 42), 0);
	CHECK_EQ(kvx_set_worker_id(a, 42), 0);
	CHECK_EQ(kvx_set_worker_id(b, 42), -EEXIST);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_WORKER_ID_TAKEN);
	CHECK_EQ(kvx_last_error()->index, query(a).agent_id);
	CHECK(query(b).worker_id == before);
	kvx_close(a);
	CHECK_EQ(kvx_set_worker_id(b, 42), 0);
	kvx_close(b);
}

TEST(bad_names_are_refused_with_the_place)
{
	static char long_name[KVX_NAME_MAX + 1], full_name[KVX_NAME_MAX];
	struct kvx_agent *agent = open_agent();

	memset(long_name, 'x', sizeof(long_name) - 1);
	memset(full_name, 'y', sizeof(full_name) - 1);
	CHECK_EQ(kvx_set_name(agent, "tab\there"), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_NAME_CHAR);
	CHECK_EQ(kvx_last_error()->index, 3);
	CHECK_EQ(kvx_set_name(agent, ""), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_NAME_EMPTY);
	CHECK_EQ(kvx_set_name(agent, long_name), -EINVAL);
	CHECK_EQ(kvx_last_error()->reason, KVXFER_REASON_NAME_LONG);
	CHECK_EQ(kvx_set_name(agent, full_name), 0);
	CHECK_STR(query(agent).name, full_name);
	kvx_close(agent);
}

TEST(a_set_is_all_or_nothing)
{
	struct kvxfer_agent_set set = {
		.hdr = { sizeof(set), KVXFER_AGENT_SET_NAME | KVXFER_AGENT_SET_WORKER_ID, 9, 9 },
		.worker_id = 43,
		.name = "good",
	};
	struct kvx_agent *a = open_agent(), *b = open_agent();

	CHECK_EQ(kvx_set_worker_id(a, 43), 0);
	CHECK(ioctl(kvx_fd(b), KVXFER_IOC_AGENT_SET, &set) == -1 && errno == EEXIST);
	CHECK_EQ(set.hdr.reason, KVXFER_REASON_WORKER_ID_TAKEN);
	CHECK(strcmp(query(b).name, "good"));

	set.worker_id = 44;
	set.name[1] = 1;
	CHECK(ioctl(kvx_fd(b), KVXFER_IOC_AGENT_SET, &set) == -1 && errno == EINVAL);
	CHECK_EQ(set.hdr.reason, KVXFER_REASON_NAME_CHAR);
	CHECK(query(b).worker_id != 44);
	kvx_close(a);
	kvx_close(b);
}

TEST(a_field_without_its_flag_is_refused)
{
	struct kvxfer_agent_set set = { .hdr.size = sizeof(set), .worker_id = 1 };
	struct kvx_agent *agent = open_agent();

	CHECK(ioctl(kvx_fd(agent), KVXFER_IOC_AGENT_SET, &set) == -1 && errno == EINVAL);
	CHECK_EQ(set.hdr.reason, KVXFER_REASON_FIELD_UNUSED);
	CHECK_EQ(set.hdr.index, offsetof(struct kvxfer_agent_set, worker_id));
	set.worker_id = 0;
	set.name[KVXFER_NAME_MAX - 1] = 'x';
	CHECK(ioctl(kvx_fd(agent), KVXFER_IOC_AGENT_SET, &set) == -1 && errno == EINVAL);
	CHECK_EQ(set.hdr.reason, KVXFER_REASON_FIELD_UNUSED);
	CHECK_EQ(set.hdr.index, offsetof(struct kvxfer_agent_set, name));
	kvx_close(agent);
}

TEST(nothing_to_read_means_poll_waits)
{
	struct kvx_agent *agent = open_agent();
	struct pollfd pfd = { .fd = kvx_fd(agent), .events = POLLIN | POLLOUT };

	CHECK_EQ(poll(&pfd, 1, 0), 0);
	CHECK_EQ(pfd.revents, 0);
	kvx_close(agent);
}

TEST(read_write_and_seek_are_not_for_this_device)
{
	struct kvx_agent *agent = open_agent();
	char byte = 0;

	CHECK(read(kvx_fd(agent), &byte, 1) == -1 && errno == EINVAL);
	CHECK(write(kvx_fd(agent), &byte, 1) == -1 && errno == EINVAL);
	CHECK(lseek(kvx_fd(agent), 0, SEEK_SET) == -1 && errno == ESPIPE);
	CHECK(!isatty(kvx_fd(agent)) && errno == ENOTTY);
	kvx_close(agent);
}

/* The parent's agents as a third one sees them. */
static uint32_t agents_open(void)
{
	struct kvx_agent *agent = open_agent();
	uint32_t n = query(agent).agents;

	kvx_close(agent);
	return n;
}

TEST(fork_shares_the_agent_until_the_last_copy_is_closed)
{
	const uint32_t before = agents_open();
	struct kvx_agent *agent = open_agent();
	const struct kvx_info mine = query(agent);
	int go[2], status;
	pid_t pid;

	CHECK_EQ(pipe(go), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		struct kvx_info info = KVX_INFO_INIT;
		char byte;

		close(go[1]);
		/* Until the parent has closed its copy. */
		if (read(go[0], &byte, 1) != 0)
			_exit(1);
		_exit(kvx_query(agent, &info) || info.epoch != mine.epoch);
	}
	close(go[0]);
	kvx_close(agent);
	CHECK_EQ(agents_open(), before + 1);
	close(go[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(agents_open(), before);
}

TEST(kill_9_frees_the_agent_and_its_worker_id)
{
	const uint32_t before = agents_open();
	struct kvx_agent *agent;
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK_EQ(pipe(ready), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
		const uint64_t worker_id = 77;

		opts.worker_id = &worker_id;
		if (kvx_open(&agent, &opts) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	agent = open_agent();
	CHECK_EQ(kvx_set_worker_id(agent, 77), -EEXIST);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(kvx_set_worker_id(agent, 77), 0);
	kvx_close(agent);
	CHECK_EQ(agents_open(), before);
}

TEST(a_descriptor_can_be_handed_to_another_process)
{
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {};
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct kvx_agent *agent, *got;
	struct kvx_info info;
	int sock[2], fd, status;
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		if (kvx_open(&agent, NULL) || kvx_set_name(agent, "handed on"))
			_exit(1);
		control.hdr = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		*(int *)CMSG_DATA(&control.hdr) = kvx_fd(agent);
		_exit(sendmsg(sock[0], &msg, 0) != 1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(recvmsg(sock[1], &msg, 0), 1);
	fd = *(int *)CMSG_DATA(&control.hdr);
	CHECK_EQ(kvx_open_fd(&got, fd), 0);
	info = query(got);
	CHECK_STR(info.name, "handed on");
	kvx_close(got);
	close(sock[0]);
	close(sock[1]);
}

TEST(a_file_that_is_no_device_is_refused_in_words)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	struct kvx_agent *agent;

	opts.device = "/dev/null";
	CHECK_EQ(kvx_open(&agent, &opts), -ENOTTY);
	CHECK(strstr(kvx_last_error()->text, "not a kvxfer device"));
	opts.device = "/dev/kvxfer-that-is-not";
	CHECK_EQ(kvx_open(&agent, &opts), -ENOENT);
	CHECK(strstr(kvx_last_error()->text, "not loaded"));
	CHECK(!agent);
}

TEST(the_device_is_for_its_group_only)
{
	struct kvx_agent *agent;
	struct stat st;
	int status;
	pid_t pid;

	CHECK_EQ(stat(KVXFER_DEVICE, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0660);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		_exit(kvx_open(&agent, NULL) != -EACCES ||
		      !strstr(kvx_last_error()->text, "you may not open it"));
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(max_agents_bounds_the_opens)
{
	const char *param = "/sys/module/kvxfer/parameters/max_agents";
	struct kvx_agent *agent = open_agent(), *more = NULL;
	const struct kvx_info info = query(agent);
	char text[16];
	int fd, err;

	fd = open(param, O_WRONLY);
	CHECK(fd >= 0);
	CHECK(write(fd, text, sprintf(text, "%u", info.agents)) > 0);
	err = kvx_open(&more, NULL);
	CHECK(write(fd, text, sprintf(text, "%u", info.agents_max)) > 0);
	close(fd);
	CHECK_EQ(err, -ENFILE);
	CHECK(strstr(kvx_last_error()->text, "max_agents"));
	kvx_close(agent);
}

#define THREADS	8

static void *hammer(void *arg)
{
	const uint64_t shared = 4711;
	intptr_t wrong = 0;

	(void)arg;
	for (int i = 0; i < rounds(200, 200, 200, 5000); i++) {
		struct kvx_info info = KVX_INFO_INIT;
		struct kvx_agent *agent;
		int err;

		if (kvx_open(&agent, NULL)) {
			wrong++;
			continue;
		}
		err = kvx_set_worker_id(agent, shared);
		if (kvx_query(agent, &info))
			wrong++;
		/* One holds it, the others do not, and all agree on who. */
		if (err ? (err != -EEXIST || info.worker_id == shared) : info.worker_id != shared)
			wrong++;
		if (err && kvx_last_error()->reason != KVXFER_REASON_WORKER_ID_TAKEN)
			wrong++;
		kvx_close(agent);
	}
	return (void *)wrong;
}

TEST(threads_race_for_one_worker_id)
{
	const uint32_t before = agents_open();
	pthread_t threads[THREADS];
	void *wrong;

	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, hammer, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		CHECK_EQ(pthread_join(threads[i], &wrong), 0);
		CHECK_EQ((intptr_t)wrong, 0);
	}
	CHECK_EQ(agents_open(), before);
}
