// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit program on a 64-bit kernel: the structs are the same, and so are the answers.
 * Labs: debian-6.1 debian-6.12
 * Build: m32
 *
 * There is no 32-bit C library here and none is needed: system calls are made by hand.
 * Emulated: UML has no 32-bit programs
 */
#include <linux/kvxfer.h>

#define SYS_EXIT	1
#define SYS_WRITE	4
#define SYS_OPEN	5
#define SYS_IOCTL	54
#define O_RDWR		2
#define ENOTTY		25
#define E2BIG		7

static int bad, number;

static long call(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return ret;
}

static void put(const char *text)
{
	long n = 0;

	while (text[n])
		n++;
	call(SYS_WRITE, 1, (long)text, n);
}

static void result(int good, const char *name)
{
	char digit[2] = { (char)('0' + ++number), 0 };

	put(good ? "ok " : "not ok ");
	put(digit);
	put(" ");
	put(name);
	put("\n");
	bad |= !good;
}

void _start(void);

__attribute__((force_align_arg_pointer)) void _start(void)
{
	static struct kvxfer_query query;
	static struct kvxfer_agent_set set;
	static union {
		struct kvxfer_query query;
		unsigned char bytes[sizeof(struct kvxfer_query) + 8];
	} longer;
	long fd, ret;

	put("KTAP version 1\n1..4\n");
	fd = call(SYS_OPEN, (long)KVXFER_DEVICE, O_RDWR, 0);
	query.hdr.size = sizeof(query);
	ret = call(SYS_IOCTL, fd, KVXFER_IOC_QUERY, (long)&query);
	result(fd >= 0 && !ret && query.out_abi_version == KVXFER_ABI_VERSION &&
	       query.out_boot_id && query.out_agent_id, "query_from_32_bits");

	set.hdr.size = sizeof(set);
	set.hdr.flags = KVXFER_AGENT_SET_WORKER_ID;
	set.worker_id = 0x0123456789abcdefULL;
	ret = call(SYS_IOCTL, fd, KVXFER_IOC_AGENT_SET, (long)&set);
	if (!ret)
		ret = call(SYS_IOCTL, fd, KVXFER_IOC_QUERY, (long)&query);
	result(!ret && query.out_worker_id == set.worker_id,
	       "all_64_bits_of_a_worker_id_arrive");

	longer.query.hdr.size = sizeof(longer);
	longer.bytes[sizeof(struct kvxfer_query) + 3] = 1;
	ret = call(SYS_IOCTL, fd, KVXFER_IOC_QUERY, (long)&longer);
	result(ret == -E2BIG && longer.query.hdr.reason == KVXFER_REASON_TAIL_NONZERO &&
	       longer.query.hdr.index == sizeof(struct kvxfer_query) + 3,
	       "a_tail_is_refused_with_its_place");

	ret = call(SYS_IOCTL, fd, _IO(KVXFER_IOC_TYPE, 255), (long)&longer);
	result(ret == -ENOTTY && longer.query.hdr.reason == KVXFER_REASON_NR_UNKNOWN,
	       "an_unknown_number_is_refused");
	call(SYS_EXIT, bad, 0, 0);
	__builtin_unreachable();
}
