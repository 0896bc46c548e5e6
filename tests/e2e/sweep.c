// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl number x every kind of size x every kind of pointer, against what <linux/kvxfer.h>
 * promises. A new command needs a line in commands[], and nothing else here.
 * Lanes: uml uml-smp uml-debug
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvxfer.h>

#include "../ktap.h"

#define END_OF(type, field)	(offsetof(type, field) + sizeof(((type *)0)->field))
#define HDR			sizeof(struct kvxfer_hdr)

/* @empty: what the command says to a struct of zeros, its own refusal. */
static const struct {
	unsigned int nr, min, full;
	int empty;
} commands[] = {
	{ KVXFER_IOC_QUERY, END_OF(struct kvxfer_query, out_boot_id), sizeof(struct kvxfer_query),
	  0 },
	{ KVXFER_IOC_AGENT_SET, END_OF(struct kvxfer_agent_set, worker_id),
	  sizeof(struct kvxfer_agent_set), 0 },
	{ KVXFER_IOC_POOL_CREATE, END_OF(struct kvxfer_pool_create, out_mmap_offset),
	  sizeof(struct kvxfer_pool_create), EINVAL },
	{ KVXFER_IOC_POOL_OPEN, END_OF(struct kvxfer_pool_open, out_mmap_offset),
	  sizeof(struct kvxfer_pool_open), EINVAL },
	{ KVXFER_IOC_POOL_PIN, END_OF(struct kvxfer_pool_pin, out_pool),
	  sizeof(struct kvxfer_pool_pin), EINVAL },
	{ KVXFER_IOC_POOL_UNLINK, END_OF(struct kvxfer_pool_unlink, name),
	  sizeof(struct kvxfer_pool_unlink), EINVAL },
	{ KVXFER_IOC_POOL_CLOSE, END_OF(struct kvxfer_pool_close, pool),
	  sizeof(struct kvxfer_pool_close), ENOENT },
	{ KVXFER_IOC_POOL_STAT, END_OF(struct kvxfer_pool_stat, out_bytes),
	  sizeof(struct kvxfer_pool_stat), ENOENT },
	{ KVXFER_IOC_POOL_EXPORT, END_OF(struct kvxfer_pool_export, out_fd),
	  sizeof(struct kvxfer_pool_export), ENOENT },
	{ KVXFER_IOC_POOL_DMABUF, END_OF(struct kvxfer_pool_dmabuf, out_mmap_offset),
	  sizeof(struct kvxfer_pool_dmabuf), EINVAL },
	{ KVXFER_IOC_LAYOUT_REGISTER, END_OF(struct kvxfer_layout_register, out_bytes),
	  sizeof(struct kvxfer_layout_register), EINVAL },
	{ KVXFER_IOC_LAYOUT_UNREGISTER, END_OF(struct kvxfer_layout_unregister, id),
	  sizeof(struct kvxfer_layout_unregister), ENOENT },
	{ KVXFER_IOC_LAYOUT_STAT, END_OF(struct kvxfer_layout_stat, out_bytes),
	  sizeof(struct kvxfer_layout_stat), ENOENT },
	{ KVXFER_IOC_RING_SETUP, END_OF(struct kvxfer_ring_setup, out_mmap_bytes),
	  sizeof(struct kvxfer_ring_setup), EINVAL },
	{ KVXFER_IOC_XFER_PREP, END_OF(struct kvxfer_xfer_prep, out_result),
	  sizeof(struct kvxfer_xfer_prep), EINVAL },
	{ KVXFER_IOC_XFER_POST, END_OF(struct kvxfer_xfer_post, out_result),
	  sizeof(struct kvxfer_xfer_post), ENOENT },
	{ KVXFER_IOC_XFER_EXEC, END_OF(struct kvxfer_xfer_prep, out_result),
	  sizeof(struct kvxfer_xfer_prep), EINVAL },
	{ KVXFER_IOC_XFER_WAIT, END_OF(struct kvxfer_xfer_wait, out_index),
	  sizeof(struct kvxfer_xfer_wait), EINVAL },
	{ KVXFER_IOC_XFER_CANCEL, END_OF(struct kvxfer_xfer_cancel, out_state),
	  sizeof(struct kvxfer_xfer_cancel), ENOENT },
	{ KVXFER_IOC_XFER_RELEASE, END_OF(struct kvxfer_xfer_release, xfer),
	  sizeof(struct kvxfer_xfer_release), ENOENT },
	{ KVXFER_IOC_XFER_COST, END_OF(struct kvxfer_xfer_cost, out_samples),
	  sizeof(struct kvxfer_xfer_cost), ENOENT },
	{ KVXFER_IOC_GRANT, END_OF(struct kvxfer_grant, out_key),
	  sizeof(struct kvxfer_grant), ENOENT },
	{ KVXFER_IOC_REVOKE, END_OF(struct kvxfer_revoke, key),
	  sizeof(struct kvxfer_revoke), ENOENT },
	{ KVXFER_IOC_LAYOUT_IMPORT, END_OF(struct kvxfer_layout_import, nr_imports),
	  sizeof(struct kvxfer_layout_import), EHOSTUNREACH },
	{ KVXFER_IOC_LAYOUT_FORGET, END_OF(struct kvxfer_layout_forget, worker_id),
	  sizeof(struct kvxfer_layout_forget), ENOENT },
	{ KVXFER_IOC_NODE_ADDRESSES, END_OF(struct kvxfer_node_addresses, out_nr),
	  sizeof(struct kvxfer_node_addresses), 0 },
	{ KVXFER_IOC_PEER_CONNECT, END_OF(struct kvxfer_peer_connect, reserved),
	  sizeof(struct kvxfer_peer_connect), EHOSTUNREACH },
	{ KVXFER_IOC_MSG_SEND, END_OF(struct kvxfer_msg, out_result),
	  sizeof(struct kvxfer_msg), ENOENT },
	{ KVXFER_IOC_MSG_RECV, END_OF(struct kvxfer_msg, out_result),
	  sizeof(struct kvxfer_msg), ENOENT },
	{ KVXFER_IOC_NOTE_SEND, END_OF(struct kvxfer_note_send, note),
	  sizeof(struct kvxfer_note_send), ENOENT },
	{ KVXFER_IOC_NOTE_RECV, END_OF(struct kvxfer_note_recv, out_overflows),
	  sizeof(struct kvxfer_note_recv), EAGAIN },
};

#define NR_COMMANDS	ARRAY_SIZE(commands)
/* More than any struct, so that a kernel that writes too far is seen. */
#define ROOM		(2 * KVXFER_SIZE_MAX)

static unsigned char *pages, *want;
static long page;
static int fd;

static void setup(void)
{
	if (pages)
		return;
	page = sysconf(_SC_PAGESIZE);
	fd = open(KVXFER_DEVICE, O_RDWR);
	CHECK(fd >= 0);
	/* Room, and behind it a page that is not there. */
	pages = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pages != MAP_FAILED);
	CHECK_EQ(mprotect(pages + ROOM, page, PROT_NONE), 0);
	want = malloc(ROOM);
	CHECK(want);
}

static int find(unsigned int nr)
{
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (commands[i].nr == nr)
			return i;
	return -1;
}

/* What the header promises for a struct of zeros but for size and one byte at @dirty (0: none). */
static void promise(unsigned int nr, uint32_t size, uint32_t dirty, int *err, uint32_t *reason,
		    uint32_t *index)
{
	const int c = find(nr);

	*err = 0;
	*reason = KVXFER_REASON_NONE;
	*index = 0;
	if (c < 0) {
		*err = ENOTTY;
		*reason = KVXFER_REASON_NR_UNKNOWN;
		*index = _IOC_NR(nr);
	} else if (size < commands[c].min) {
		*err = EINVAL;
		*reason = KVXFER_REASON_SIZE_SHORT;
		*index = commands[c].min;
	} else if (size > KVXFER_SIZE_MAX) {
		*err = EMSGSIZE;
		*reason = KVXFER_REASON_SIZE_HUGE;
		*index = KVXFER_SIZE_MAX;
	} else if (dirty >= commands[c].full && dirty < size) {
		*err = E2BIG;
		*reason = KVXFER_REASON_TAIL_NONZERO;
		*index = dirty;
	}
}

static void one(unsigned int nr, uint32_t size, uint32_t dirty, unsigned int offset)
{
	unsigned char *at = pages + offset;
	uint32_t reason, index;
	int err, ret, expect;

	promise(nr, size, dirty, &err, &reason, &index);
	expect = err;
	memset(pages, 0xa5, ROOM);
	memset(at, 0, size < ROOM / 2 ? (size > HDR ? size : HDR) : ROOM / 2);
	memcpy(at, &size, sizeof(size));
	if (dirty)
		at[dirty] = 1;
	memcpy(want, pages, ROOM);
	if (size >= HDR) {
		memcpy(want + offset + offsetof(struct kvxfer_hdr, reason), &reason, 4);
		memcpy(want + offset + offsetof(struct kvxfer_hdr, index), &index, 4);
	}

	ret = ioctl(fd, nr, at);
	if (!err && commands[find(nr)].empty)
		expect = commands[find(nr)].empty;
	if (ret != (expect ? -1 : 0) || (expect && errno != expect))
		FAIL("nr %u size %u dirty %u offset %u: returned %d errno %d, not %d", _IOC_NR(nr),
		     size, dirty, offset, ret, errno, expect);
	/* A refusal changes its two words; a success, what lies within the size. */
	if (!err && !commands[find(nr)].empty)
		memcpy(want + offset + HDR, at + HDR, size - HDR);
	/* Which words the command itself gave is not for us to say. */
	if (!err)
		memcpy(want + offset + 8, at + 8, 8);
	for (size_t i = 0; i < ROOM; i++)
		if (pages[i] != want[i])
			FAIL("nr %u size %u dirty %u offset %u: byte %zu is %02x, not %02x",
			     _IOC_NR(nr), size, dirty, offset, i, pages[i], want[i]);
}

static void sweep(unsigned int offset)
{
	setup();
	for (unsigned int i = 0; i < 256; i++) {
		const unsigned int nr = _IO(KVXFER_IOC_TYPE, i);
		const int c = find(nr);
		const uint32_t min = c < 0 ? HDR : commands[c].min;
		const uint32_t full = c < 0 ? HDR : commands[c].full;

		one(nr, 0, 0, offset);
		one(nr, HDR - 1, 0, offset);
		one(nr, HDR, 0, offset);
		one(nr, min - 1, 0, offset);
		one(nr, min, 0, offset);
		one(nr, full - 1, 0, offset);
		one(nr, full, 0, offset);
		one(nr, full + 8, 0, offset);
		one(nr, full + 8, full, offset);
		one(nr, full + 8, full + 7, offset);
		one(nr, KVXFER_SIZE_MAX, 0, offset);
		one(nr, KVXFER_SIZE_MAX, KVXFER_SIZE_MAX - 1, offset);
		one(nr, KVXFER_SIZE_MAX + 1, 0, offset);
		one(nr, UINT32_MAX, 0, offset);
	}
}

TEST(every_number_and_size_is_answered_as_promised)
{
	sweep(0);
}

TEST(structs_may_stand_at_any_address)
{
	for (unsigned int offset = 1; offset < 8; offset++)
		sweep(offset);
}

TEST(bad_pointers_are_efault_for_commands_and_enotty_for_the_rest)
{
	void *bad[] = { NULL, (void *)8, NULL, (void *)0x8000000000000000ULL,
			(void *)0xffff888000000000ULL, (void *)-1L };

	setup();
	bad[2] = pages + ROOM;
	for (unsigned int i = 0; i < 256; i++) {
		const unsigned int nr = _IO(KVXFER_IOC_TYPE, i);

		for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
			CHECK_EQ(ioctl(fd, nr, bad[k]), -1);
			CHECK_EQ(errno, find(nr) < 0 ? ENOTTY : EFAULT);
		}
	}
}

TEST(a_struct_that_runs_off_its_page_is_efault)
{
	setup();
	for (size_t c = 0; c < NR_COMMANDS; c++) {
		const uint32_t size = commands[c].full;

		for (uint32_t there = 4; there < size; there += 4) {
			unsigned char *at = pages + ROOM - there;

			memset(at, 0, there);
			memcpy(at, &size, sizeof(size));
			CHECK_EQ(ioctl(fd, commands[c].nr, at), -1);
			CHECK_EQ(errno, EFAULT);
		}
	}
}

TEST(a_struct_that_cannot_be_written_is_efault_and_does_nothing)
{
	struct kvxfer_query query = { .hdr.size = sizeof(query) };
	struct kvxfer_agent_set *set;

	setup();
	set = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(set != MAP_FAILED);
	set->hdr.size = sizeof(*set);
	set->hdr.flags = KVXFER_AGENT_SET_WORKER_ID;
	set->worker_id = 123456;
	CHECK_EQ(mprotect(set, page, PROT_READ), 0);
	CHECK(ioctl(fd, KVXFER_IOC_AGENT_SET, set) == -1 && errno == EFAULT);
	CHECK_EQ(ioctl(fd, KVXFER_IOC_QUERY, &query), 0);
	CHECK(query.out_worker_id != 123456);
	munmap(set, page);
}

TEST(every_unknown_flag_is_refused_by_number)
{
	static const struct {
		unsigned int nr;
		uint32_t known;
	} flags[] = {
		{ KVXFER_IOC_QUERY, 0 },
		{ KVXFER_IOC_AGENT_SET, KVXFER_AGENT_SET_NAME | KVXFER_AGENT_SET_WORKER_ID },
		{ KVXFER_IOC_POOL_CREATE, KVXFER_POOL_CREATE_NODE | KVXFER_POOL_CREATE_GROUP |
		  KVXFER_POOL_CREATE_MEMFD },
		{ KVXFER_IOC_POOL_OPEN, KVXFER_POOL_OPEN_WRITE },
		{ KVXFER_IOC_POOL_PIN, KVXFER_POOL_PIN_READONLY },
		{ KVXFER_IOC_POOL_UNLINK, 0 },
		{ KVXFER_IOC_POOL_CLOSE, 0 },
		{ KVXFER_IOC_POOL_STAT, KVXFER_POOL_STAT_NAME | KVXFER_POOL_STAT_NEXT },
		{ KVXFER_IOC_POOL_EXPORT, 0 },
		{ KVXFER_IOC_POOL_DMABUF, KVXFER_POOL_DMABUF_READONLY },
		{ KVXFER_IOC_LAYOUT_REGISTER, 0 },
		{ KVXFER_IOC_LAYOUT_UNREGISTER, KVXFER_LAYOUT_UNREGISTER_WAIT |
		  KVXFER_LAYOUT_UNREGISTER_CUT },
		{ KVXFER_IOC_LAYOUT_STAT, KVXFER_LAYOUT_STAT_NEXT },
		{ KVXFER_IOC_RING_SETUP, KVXFER_RING_SETUP_EVENTFD },
		{ KVXFER_IOC_XFER_PREP, KVXFER_XFER_NOTE | KVXFER_XFER_POST },
		{ KVXFER_IOC_XFER_POST, KVXFER_XFER_NOTE },
		{ KVXFER_IOC_XFER_EXEC, KVXFER_XFER_NOTE | KVXFER_XFER_WAIT },
		{ KVXFER_IOC_XFER_WAIT, KVXFER_XFER_WAIT_ANY },
		{ KVXFER_IOC_XFER_CANCEL, 0 },
		{ KVXFER_IOC_XFER_RELEASE, KVXFER_XFER_RELEASE_WAIT },
		{ KVXFER_IOC_XFER_COST, 0 },
		{ KVXFER_IOC_GRANT, 0 },
		{ KVXFER_IOC_REVOKE, 0 },
		{ KVXFER_IOC_LAYOUT_IMPORT, 0 },
		{ KVXFER_IOC_LAYOUT_FORGET, 0 },
		{ KVXFER_IOC_NODE_ADDRESSES, 0 },
		{ KVXFER_IOC_PEER_CONNECT, KVXFER_PEER_CONNECT_NOWAIT },
		{ KVXFER_IOC_MSG_SEND, KVXFER_XFER_WAIT | KVXFER_XFER_ONCE },
		{ KVXFER_IOC_MSG_RECV, KVXFER_XFER_WAIT | KVXFER_XFER_ONCE },
		{ KVXFER_IOC_NOTE_SEND, KVXFER_NOTE_SEND_WAIT },
		{ KVXFER_IOC_NOTE_RECV, 0 },
	};

	setup();
	_Static_assert(ARRAY_SIZE(flags) == NR_COMMANDS, "a command's flags");
	for (size_t c = 0; c < NR_COMMANDS; c++) {
		for (unsigned int bit = 0; bit < 32; bit++) {
			struct kvxfer_hdr *hdr = (void *)pages;

			if (flags[c].known & (1U << bit))
				continue;
			memset(pages, 0, ROOM);
			hdr->size = commands[c].full;
			hdr->flags = 1U << bit;
			CHECK_EQ(ioctl(fd, flags[c].nr, hdr), -1);
			CHECK_EQ(errno, EOPNOTSUPP);
			CHECK_EQ(hdr->reason, KVXFER_REASON_FLAG_UNKNOWN);
			CHECK_EQ(hdr->index, bit);
		}
	}
}

TEST(other_peoples_numbers_touch_nothing)
{
	setup();
	for (unsigned int type = 0; type < 256; type++) {
		if (type == KVXFER_IOC_TYPE)
			continue;
		for (unsigned int nr = 0; nr < 256; nr++) {
			/*
			 * The few that the kernel answers for every file: FIOCLEX, FIONBIO,
			 * FIGETBSZ, ...
			 */
			if ((type == 0 && nr < 3) || type == 'T' || type == 'X' || type == 'f' ||
			    type == 0x12 || type == 0x15)
				continue;
			memset(pages, 0xa5, 64);
			CHECK_EQ(ioctl(fd, _IO(type, nr), pages), -1);
			CHECK_EQ(errno, ENOTTY);
			for (int i = 0; i < 64; i++)
				CHECK_EQ(pages[i], 0xa5);
		}
	}
	/* Ours but for the direction or the size in the number: unknown. */
	memset(pages, 0, 64);
	CHECK(ioctl(fd, _IOC(_IOC_READ, KVXFER_IOC_TYPE, 0, 0), pages) == -1 && errno == ENOTTY);
	CHECK(ioctl(fd, _IOC(_IOC_NONE, KVXFER_IOC_TYPE, 0, 16), pages) == -1 && errno == ENOTTY);
}
