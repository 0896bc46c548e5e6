// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of pools: who may only read cannot write, a mapping ends where its pool does, a mapping
 * and a transfer see the same memory, and a mapping keeps memory but no agent.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <linux/memfd.h>

#include "blocks.h"

#define SECRET	"beyond the pool"

/* A pool of @bytes, named, which all may read: the kernel's memory, or the beginning of a memfd. */
static struct kvx_pool *make_readable(struct kvx_agent *agent, bool memfd, uint64_t bytes)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool;
	char *at;

	opts.name = "readable";
	opts.mode = 0644;
	if (memfd) {
		opts.memfd = sealed_memfd(0, 2 * bytes, F_SEAL_SHRINK);
		at = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED, opts.memfd, 0);
		CHECK(at != MAP_FAILED);
		strcpy(at + bytes, SECRET);
		munmap(at, 2 * bytes);
	}
	OK(kvx_pool_create(agent, &pool, bytes, &opts));
	if (memfd)
		close(opts.memfd);
	return pool;
}

/* The number of the first thing that worked and should not have; 0 for none. As nobody. */
static int try_everything(void *arg)
{
	const uint64_t bytes = *(uint64_t *)arg;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	char *at, *more;

	if (kvx_open(&agent, NULL) ||
	    kvx_pool_open(agent, &pool, "readable", KVX_POOL_WRITE) != -EACCES ||
	    kvx_pool_open(agent, &pool, "readable", KVX_POOL_READ))
		return 90;
	if (!kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE))
		return 1;
	if (kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_READ))
		return 91;
	if (!mprotect(at, bytes, PROT_READ | PROT_WRITE))
		return 2;
	/* The kernel maps the file of the mapping again, with the rights of that file. */
	if (!remap_file_pages(at, bytes, 0, 0, 0) && !mprotect(at, bytes, PROT_READ | PROT_WRITE))
		return 3;
	if (!remap_file_pages(at, bytes, 0, bytes / PAGE, 0))
		return 4;
	if (!remap_file_pages(at, PAGE, 0, bytes / PAGE, 0))
		return 5;
	if (!remap_file_pages(at, PAGE, 0, 1UL << 40, 0))
		return 6;
	more = mremap(at, bytes, 2 * bytes, MREMAP_MAYMOVE);
	if (more != MAP_FAILED)
		return 7;
	/* In a place of its own it is the same mapping still. */
	more = mremap(at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (more != MAP_FAILED && !mprotect(more, bytes, PROT_READ | PROT_WRITE))
		return 8;
	if (!mprotect(at, bytes, PROT_READ | PROT_WRITE))
		return 9;
	return 0;
}

TEST(who_may_only_read_cannot_write_and_sees_nothing_beyond)
{
	uint64_t bytes = MIB;

	CHECK_EQ(chmod(KVXFER_DEVICE, 0666), 0);
	for (int memfd = 0; memfd < 2; memfd++) {
		struct kvx_agent *agent = open_agent();
		struct kvx_pool *pool = make_readable(agent, memfd, bytes);

		CHECK_EQ(in_child(try_everything, &bytes, 65534), 0);
		OK(kvx_pool_unlink(agent, "readable"));
		kvx_pool_close(pool);
		settle(agent);
		kvx_close(agent);
	}
	CHECK_EQ(chmod(KVXFER_DEVICE, 0660), 0);
}

TEST(who_may_write_can_map_again_within_the_pool)
{
	for (int memfd = 0; memfd < 2; memfd++) {
		struct kvx_agent *agent = open_agent();
		struct kvx_pool *pool = make_readable(agent, memfd, MIB);
		char *at;

		OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
		at[0] = 'a';
		at[PAGE] = 'b';
		CHECK_EQ(remap_file_pages(at, PAGE, 0, 1, 0), 0);
		CHECK_EQ(at[0], 'b');
		at[0] = 'c';
		CHECK_EQ(at[PAGE], 'c');
		CHECK(remap_file_pages(at, PAGE, 0, MIB / PAGE, 0));
		CHECK(mremap(at + PAGE, MIB - PAGE, MIB, MREMAP_MAYMOVE) == MAP_FAILED);
		OK(kvx_pool_unmap(at, MIB));
		OK(kvx_pool_unlink(agent, "readable"));
		kvx_pool_close(pool);
		settle(agent);
		kvx_close(agent);
	}
}

TEST(nobody_takes_memory_out_of_a_memfd_that_is_a_pool)
{
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool;
	char *at, *mine;

	opts.memfd = sealed_memfd(0, MIB, F_SEAL_SHRINK);
	mine = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, opts.memfd, 0);
	CHECK(mine != MAP_FAILED);
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	CHECK(fallocate(opts.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) &&
	      errno == EPERM);
	CHECK_EQ(fcntl(opts.memfd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	/* Somebody may write it, by the pool. */
	CHECK(fcntl(opts.memfd, F_ADD_SEALS, F_SEAL_WRITE) && errno == EPERM);
	OK(kvx_pool_map(pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
	CHECK(madvise(at, PAGE, MADV_REMOVE));
	CHECK(madvise(mine, PAGE, MADV_REMOVE));
	at[3] = 'x';
	CHECK_EQ(mine[3], 'x');
	munmap(mine, MIB);
	kvx_pool_close(pool);
	/* What is mapped is the memory still, which the file has, too. */
	CHECK(fcntl(opts.memfd, F_GET_SEALS) & F_SEAL_FUTURE_WRITE);
	at[4] = 'y';
	mine = mmap(NULL, MIB, PROT_READ, MAP_SHARED, opts.memfd, 0);
	CHECK(mine != MAP_FAILED);
	CHECK_EQ(mine[4], 'y');
	munmap(mine, MIB);
	OK(kvx_pool_unmap(at, MIB));
	/* When there is no pool of it any more, it is as it was. */
	settle(agent);
	CHECK_EQ(fcntl(opts.memfd, F_GET_SEALS), F_SEAL_SHRINK);
	CHECK_EQ(fcntl(opts.memfd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	close(opts.memfd);
	close_and_settle(agent);
}

static int make_pool_of(void *arg)
{
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_agent *agent;
	struct kvx_pool *pool;
	int err;

	opts.memfd = *(int *)arg;
	if (kvx_open(&agent, NULL))
		return 90;
	err = kvx_pool_create(agent, &pool, 0, &opts);
	if (err && kvx_last_error()->reason != KVXFER_REASON_MEMFD_SEAL)
		return 91;
	kvx_close(agent);
	return -err;
}

TEST(a_memfd_that_is_sealed_against_writing_is_not_written)
{
	static const unsigned int against[] = { F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL };
	struct kvx_agent *agent = open_agent();
	struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
	struct kvx_pool *pool, *first, *again, *named;
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(against); i++) {
		opts.memfd = sealed_memfd(0, MIB, F_SEAL_SHRINK | against[i]);
		CHECK_EQ(kvx_pool_create(agent, &pool, 0, &opts), -EINVAL);
		REASON(MEMFD_SEAL);
		CHECK_EQ(kvx_last_error()->index, F_SEAL_SHRINK | against[i]);
		CHECK_EQ(fcntl(opts.memfd, F_GET_SEALS), F_SEAL_SHRINK | against[i]);
		close(opts.memfd);
	}
	/*
	 * The seal that the kernel has set is no obstacle to the same user, as long as the pool is
	 * there.
	 */
	CHECK_EQ(chmod(KVXFER_DEVICE, 0666), 0);
	opts.memfd = sealed_memfd(0, MIB, F_SEAL_SHRINK);
	OK(kvx_pool_create(agent, &first, 0, &opts));
	OK(kvx_pool_create(agent, &again, 0, &opts));
	CHECK_EQ(in_child(make_pool_of, &opts.memfd, -1), 0);
	CHECK_EQ(in_child(make_pool_of, &opts.memfd, 65534), EINVAL);
	/*
	 * A pool that was not to be leaves the seals that the others need, and so does the first
	 * that goes.
	 */
	strcpy(name, "there already");
	opts.name = name;
	OK(kvx_pool_create(agent, &named, 0, &opts));
	CHECK_EQ(kvx_pool_create(agent, &pool, 0, &opts), -EEXIST);
	OK(kvx_pool_unlink(agent, name));
	kvx_pool_close(named);
	kvx_pool_close(first);
	CHECK(fcntl(opts.memfd, F_GET_SEALS) & F_SEAL_FUTURE_WRITE);
	kvx_pool_close(again);
	CHECK_EQ(fcntl(opts.memfd, F_GET_SEALS), F_SEAL_SHRINK);
	opts.name = NULL;
	OK(kvx_pool_create(agent, &pool, 0, &opts));
	kvx_pool_close(pool);
	close(opts.memfd);
	CHECK_EQ(chmod(KVXFER_DEVICE, 0660), 0);
	close_and_settle(agent);
}

static int punched;

static void *punch(void *unused)
{
	int fd;

	(void)unused;
	while ((fd = __atomic_load_n(&punched, __ATOMIC_ACQUIRE)) >= 0)
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 64 * PAGE);
	return NULL;
}

/* Whatever is punched meanwhile: there is no pool, or its mapping shows what transfers write. */
TEST(holes_never_make_a_mapping_and_a_transfer_differ)
{
	const struct kvx_layout_config config = {
		.size = sizeof(config), .kind = KVX_LAYOUT_CONTIGUOUS, .format = KVX_FORMAT_NHD,
		.num_blocks = 16, .num_layers = 1, .outer_dim = 1, .page_size = 16, .inner_dim = 64,
		.dtype_width = 4, .alignment = 1,
	};
	const int many = rounds(200, 40, 10, 2000);
	struct kvx_agent *agent = open_agent();
	const uint32_t first = 0, last = 15;
	pthread_t puncher;
	int made = 0;

	punched = sealed_memfd(0, 64 * PAGE, F_SEAL_SHRINK);
	CHECK_EQ(pthread_create(&puncher, NULL, punch, NULL), 0);
	for (int i = 0; i < many || !made; i++) {
		struct kvx_pool_opts opts = KVX_POOL_OPTS_INIT;
		struct kvx_layout_base base = { NULL, 0 };
		struct kvx_handle handle;
		int old = punched, err;
		char *at;

		/* So that a pool comes of it sometimes. */
		opts.memfd = sealed_memfd(0, 64 * PAGE, F_SEAL_SHRINK);
		if (i % 2)
			__atomic_store_n(&punched, opts.memfd, __ATOMIC_RELEASE);
		err = kvx_pool_create(agent, &base.pool, 0, &opts);
		if (i % 2 == 0)
			__atomic_store_n(&punched, opts.memfd, __ATOMIC_RELEASE);
		close(old);
		if (err) {
			CHECK(kvx_last_error()->reason == KVXFER_REASON_MEMFD_HOLE ||
			      kvx_last_error()->reason == KVXFER_REASON_RANGE_FAULT);
			continue;
		}
		made++;
		OK(kvx_layout_register(agent, &handle, &config, &base, 1));
		OK(kvx_pool_map(base.pool, (void **)&at, 0, 0, KVX_POOL_WRITE));
		memset(at, i, 64 * PAGE);
		OK(kvx_xfer_exec(agent, handle, &first, 1, handle, &last, 1, NULL, NULL));
		CHECK(!memcmp(at, at + 15 * PAGE, PAGE));
		at[1] = ~i;
		OK(kvx_xfer_exec(agent, handle, &first, 1, handle, &last, 1, NULL, NULL));
		CHECK_EQ(at[15 * PAGE + 1], (char)~i);
		OK(kvx_layout_unregister(agent, handle));
		OK(kvx_pool_unmap(at, 64 * PAGE));
		kvx_pool_close(base.pool);
	}
	close(__atomic_exchange_n(&punched, -1, __ATOMIC_ACQ_REL));
	CHECK_EQ(pthread_join(puncher, NULL), 0);
	close_and_settle(agent);
}

/* How a child tells, and is told, without a descriptor that it would have to keep. */
static struct {
	volatile int ready, go;
	size_t bytes;
	unsigned char blob[120 + 2 * 72];
} *board;

static void wait_for(volatile int *word)
{
	while (!__atomic_load_n(word, __ATOMIC_ACQUIRE))
		sched_yield();
}

/*
 * An engine that makes all there is, and then a process that has its pool, ring and states mapped.
 */
static void be_an_engine(void)
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	struct kvx_grant grant;
	const uint64_t worker_id = 77;
	struct kvx_agent *agent;
	struct side side;
	void *blob;

	opts.worker_id = &worker_id;
	OK(kvx_open(&agent, &opts));
	side = make_side(agent, KERNEL, standard(KVX_LAYOUT_CONTIGUOUS, 4));
	OK(kvx_grant(agent, &grant, side.handle, NULL));
	OK(kvx_export_metadata(agent, &grant, 1, &blob, &board->bytes));
	CHECK(board->bytes <= sizeof(board->blob));
	memcpy(board->blob, blob, board->bytes);
	side.mem[0] = 42;
	if (!fork()) {
		close_range(0, ~0U, 0);
		__atomic_store_n(&board->ready, 1, __ATOMIC_RELEASE);
		wait_for(&board->go);
		side.mem[1] = side.mem[0] + 1;
		_exit(side.mem[1] == 43 ? 0 : 1);
	}
	for (;;)
		pause();
}

/*
 * The other's process was killed, and a child of it lives that has its memory mapped and no
 * descriptor: the agent is gone with all that it had, but for that memory.
 */
TEST(a_mapping_in_another_process_keeps_no_agent)
{
	const uint64_t worker_id = 77;
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	struct kvx_agent *agent = open_agent(), *next;
	struct kvx_info info;
	int status;
	pid_t pid;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	CHECK(board != MAP_FAILED);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		be_an_engine();
		_exit(1);
	}
	wait_for(&board->ready);
	info = query(agent);
	CHECK_EQ(info.agents, 2);
	OK(kvx_import_metadata(agent, board->blob, board->bytes, NULL));
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	info = query(agent);
	CHECK_EQ(info.agents, 1);
	CHECK(info.pool_bytes);
	/* Nobody reaches its layout, and the next one may have its worker_id. */
	CHECK(kvx_import_metadata(agent, board->blob, board->bytes, NULL));
	opts.worker_id = &worker_id;
	OK(kvx_open(&next, &opts));
	kvx_close(next);
	__atomic_store_n(&board->go, 1, __ATOMIC_RELEASE);
	munmap(board, sizeof(*board));
	/* The memory goes with the last who has it mapped. */
	close_and_settle(agent);
}

/* What a mapping shows when its agent has ended is what was there last; new pages are zero. */
TEST(rings_and_states_may_stay_mapped)
{
	const struct kvxfer_ring_setup setup = { .hdr.size = sizeof(setup), .entries = 256 };
	struct kvxfer_ring_setup cmd = setup;
	const size_t states = KVXFER_XFERS_MAX * sizeof(uint32_t);
	int fd = open(KVXFER_DEVICE, O_RDWR | O_CLOEXEC);
	volatile unsigned char *ring, *words;
	unsigned int sum = 0;

	CHECK(fd >= 0);
	CHECK_EQ(ioctl(fd, KVXFER_IOC_RING_SETUP, &cmd), 0);
	ring = mmap(NULL, cmd.out_mmap_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    cmd.out_mmap_offset);
	words = mmap(NULL, states, PROT_READ, MAP_SHARED, fd, KVXFER_MMAP_STATES);
	CHECK(ring != MAP_FAILED && words != MAP_FAILED);
	ring[0] = 1;
	CHECK(mprotect((void *)words, PAGE, PROT_READ | PROT_WRITE) && errno == EACCES);
	CHECK(remap_file_pages((void *)words, PAGE, 0, 0, 0));
	CHECK(remap_file_pages((void *)ring, PAGE, 0, 0, 0));
	close(fd);
	ring[cmd.out_mmap_bytes - 1] = 2;
	for (size_t i = 0; i < states; i += PAGE)
		sum += words[i];
	CHECK_EQ(sum, 0);
	CHECK_EQ(ring[0], 1);
	CHECK_EQ(munmap((void *)ring, cmd.out_mmap_bytes), 0);
	CHECK_EQ(munmap((void *)words, states), 0);
}
