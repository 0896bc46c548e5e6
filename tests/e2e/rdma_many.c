// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eight nodes at once with node 1: each is a process on node 2 that speaks the protocol from user
 * space, with a name and an address of its own. All read and write what all have and what only they
 * have, and talk with the same agent; then some are killed, others come in their place, and what
 * the rest do goes on. No byte and no note is another's, and in the end nothing is left.
 *
 * By soft-RoCE only, as rdma_hostile.
 * Nodes: 2
 * Time: 300
 * Labs: uml uml-smp uml-debug debian-6.1 debian-6.12
 */
#define _GNU_SOURCE
#define KTAP_CASE_LIMIT_S 250
#define PEERS	8
/* One for all, one that is not used here, and one for each. */
#define VICTIM_GRANTS	(2 + PEERS)
#define WIDE		-1
#define SPARSE		-1
#include <sys/ioctl.h>

#include "netlink.h"
#include "victim.h"

#define OWN(i)		(2 + (i))
#define FIRST_ADDRESS	0x0a4d000b
#define NOTES		100
/* How many a peer sends that it does not know to have been received. */
#define AHEAD		16
/* What one writes at a time, and where: in what all have, and in what it has for itself. */
#define SLOT		FOE_DATA
#define SLOT_BLOCKS	(SLOT / BLOCK_BYTES)
#define SHARED_SLOT(i)	(SLOT_BLOCKS * (i))
#define OWN_SLOT	(GRANTED - SLOT_BLOCKS)

/* Those of odd numbers are killed, and come again as others: of generation 1. */
static bool is_killed(int i)
{
	return i % 2;
}

static uint64_t name_of(int i, int generation)
{
	return 0x6d616e7900000000 + generation * 256 + i;
}

static uint64_t worker_of(int i)
{
	return 0x100000 + i;
}

static uint64_t epoch_of(int i, int generation)
{
	return 0x2000 + generation * 256 + i;
}

struct letter {
	uint32_t who, generation, nr, zero;
};

/*
 * --- a peer -------------------------------------------------------------------------------------
 */

static int me, generation, hear_fd, say_fd;
static uint64_t serial;
static struct loot shared, own;

static void say(char what)
{
	CHECK_EQ(write(say_fd, &what, 1), 1);
}

static bool is_told(int ms)
{
	struct pollfd wait = { .fd = hear_fd, .events = POLLIN };
	char byte;

	if (poll(&wait, 1, ms) != 1)
		return false;
	CHECK_EQ(read(hear_fd, &byte, 1), 1);
	return true;
}

/* So far, until all shall go on. */
static void step(void)
{
	say('s');
	while (!is_told(1000))
		;
}

/* From @at bytes behind the first granted block on, which may have keys more than one. */
static void move(const struct loot *loot, enum ibv_wr_opcode opcode, uint64_t at, uint32_t bytes)
{
	const uint32_t lane = opcode == IBV_WR_RDMA_READ ? 1 : 2;
	struct kvx_span span;
	uint32_t done, n;

	if (opcode == IBV_WR_RDMA_READ)
		memset(foe.data, 0x5a, bytes);
	for (done = 0; done < bytes; done += n) {
		span = kvx_span_at(loot->start, loot->bytes, loot->shift, loot->base + at + done);
		CHECK(span.key < loot->nr);
		n = span.bytes < bytes - done ? span.bytes : bytes - done;
		CHECK_EQ(foe_rdma_at(lane, opcode, loot->keys[span.key], span.offset, done, n),
			 IBV_WC_SUCCESS);
	}
}

static uint64_t word_at(int who, int gen, uint32_t round, bool in_shared, uint64_t i)
{
	return (0xc0ULL + who) << 56 | (uint64_t)gen << 52 | (uint64_t)in_shared << 48 |
	       (uint64_t)(uint16_t)round << 32 | i;
}

/* Is it a slot that @who has written, all of it in one round? */
static bool is_slot_of(const void *slot, int who, int gen, bool in_shared)
{
	const uint64_t *words = slot;
	const uint32_t round = (uint16_t)(words[0] >> 32);

	for (uint64_t i = 0; i < SLOT / 8; i++)
		if (words[i] != word_at(who, gen, round, in_shared, i))
			return false;
	return true;
}

static void put(const struct loot *loot, uint32_t block, uint32_t round)
{
	uint64_t *words = (uint64_t *)foe.data;

	for (uint64_t i = 0; i < SLOT / 8; i++)
		words[i] = word_at(me, generation, round, loot == &shared, i);
	move(loot, IBV_WR_RDMA_WRITE, (uint64_t)block * BLOCK_BYTES, SLOT);
}

static void get(const struct loot *loot, uint32_t block, int who)
{
	move(loot, IBV_WR_RDMA_READ, (uint64_t)block * BLOCK_BYTES, SLOT);
	if (!is_slot_of(foe.data, who, who == me ? generation : 0, loot == &shared))
		FAIL("peer %d does not find at block %u what %d has written", me, block, who);
}

static void work(uint32_t round)
{
	put(&shared, SHARED_SLOT(me), round);
	put(&own, OWN_SLOT, round);
	get(&shared, SHARED_SLOT(me), me);
	get(&own, OWN_SLOT, me);
}

/* What has been granted is as its owner has filled it. */
static void check_untouched(const struct loot *loot, int grant)
{
	unsigned char want[4096];

	for (uint32_t b = 0; b + SLOT_BLOCKS <= GRANTED; b += 49) {
		move(loot, IBV_WR_RDMA_READ, (uint64_t)b * BLOCK_BYTES, SLOT);
		for (uint32_t r = 0; r < SLOT / sizeof(want); r++) {
			fill_region(want, sizeof(want), 10 + grant, FIRST + b + r / 4, r / 2 % 2,
				    r % 2);
			CHECK(!memcmp(foe.data + r * sizeof(want), want, sizeof(want)));
		}
	}
}

static void send_letter(uint32_t nr)
{
	const struct letter letter = { me, generation, nr, 0 };
	union foe_frame *f = foe_frame(KVX_FRAME_NOTE);

	f->note.serial = htole64(++serial);
	f->note.from_worker_id = htole64(worker_of(me));
	f->note.from_epoch = htole64(epoch_of(me, generation));
	f->note.to_worker_id = htole64(told.worker_id);
	f->note.to_epoch = htole64(told.epoch);
	f->note.bytes = htole32(sizeof(letter));
	f->head.bytes = htole32(sizeof(f->note) + sizeof(letter));
	memcpy(f->note.data, &letter, sizeof(letter));
	CHECK(foe_say());
}

static void take_letter(const struct kvx_wire_note *note, uint32_t nr)
{
	const uint64_t its_serial = note->serial;
	struct letter letter;

	CHECK_EQ(le32toh(note->bytes), sizeof(letter));
	memcpy(&letter, note->data, sizeof(letter));
	CHECK_EQ(letter.who, me);
	CHECK_EQ(letter.generation, generation);
	CHECK_EQ(letter.nr, nr);
	CHECK(le64toh(note->from_worker_id) == told.worker_id);
	CHECK(le64toh(note->from_epoch) == told.epoch);
	CHECK(le64toh(note->to_worker_id) == worker_of(me));
	CHECK(le64toh(note->to_epoch) == epoch_of(me, generation));
	foe_frame(KVX_FRAME_NOTE_DONE)->note_done.serial = its_serial;
	CHECK(foe_say());
}

/* Send all, and hear all; each in its order, and none that is another's. */
static void talk(void)
{
	const uint64_t first = serial, end = now_ms() + 5 * FOE_PATIENCE;
	uint32_t sent = 0, done = 0, heard = 0;
	const union foe_frame *f;

	foe.read = foe.in;
	while (done < NOTES || heard < NOTES) {
		if (sent < NOTES && sent - done < AHEAD)
			send_letter(sent++);
		foe_look();
		CHECK(!foe.links[0].cut);
		if (now_ms() > end)
			FAIL("peer %d: %u sent, %u done, %u heard", me, sent, done, heard);
		while (foe.read != foe.in) {
			CHECK(foe.in - foe.read <= FOE_INBOX);
			f = &foe.inbox[foe.read++ % FOE_INBOX];
			if (f->head.type == KVX_FRAME_NOTE_DONE) {
				CHECK_EQ(le64toh(f->note_done.serial), first + ++done);
				CHECK(!f->note_done.lost);
			} else if (f->head.type == KVX_FRAME_NOTE) {
				take_letter(&f->note, heard++);
			}
		}
	}
}

static void come(void)
{
	foe_src.sin_family = AF_INET;
	foe_src.sin_addr.s_addr = htonl(FIRST_ADDRESS + me);
	foe_name = name_of(me, generation);
	foe_ready();
	shared = foe_attach(1, BOTH);
	own = foe_attach(2, OWN(me));
}

static void talk_and_leave(void)
{
	step();
	talk();
	step();
	foe_end();
}

static void be_a_peer(void)
{
	come();
	step();
	check_untouched(&own, OWN(me));
	check_untouched(&shared, BOTH);
	step();
	work(0);
	step();
	for (int i = 0; i < PEERS; i++)
		get(&shared, SHARED_SLOT(i), i);
	step();
	talk();
	step();
	/* From here on some are killed. */
	for (uint32_t round = 1; !is_told(0); round++) {
		work(round);
		say('r');
	}
	talk_and_leave();
}

static void be_another(void)
{
	come();
	for (uint32_t round = 0; round < 10; round++)
		work(round);
	talk_and_leave();
}

/*
 * --- all of them --------------------------------------------------------------------------------
 */

static struct {
	pid_t pid;
	int hear, say;
} peers[PEERS];

static void start(int i, int gen)
{
	int to[2], from[2];

	CHECK(!pipe2(to, O_CLOEXEC) && !pipe2(from, O_CLOEXEC));
	me = i;
	generation = gen;
	hear_fd = to[0];
	say_fd = from[1];
	peers[i].pid = foe_start(gen ? be_another : be_a_peer);
	peers[i].say = to[1];
	peers[i].hear = from[0];
	/* The end of who has ended is heard. */
	close(to[0]);
	close(from[1]);
}

/* Until a peer has said so, so many times. */
static void hear_from(int i, char what, int times)
{
	char byte;

	while (times) {
		if (read(peers[i].hear, &byte, 1) != 1)
			FAIL("peer %d has ended", i);
		times -= byte == what;
	}
}

static void go_on(int i)
{
	CHECK_EQ(write(peers[i].say, "", 1), 1);
}

static void all_have(const char *done)
{
	for (int i = 0; i < PEERS; i++)
		hear_from(i, 's', 1);
	mark(done);
}

static void all_go_on(void)
{
	for (int i = 0; i < PEERS; i++)
		go_on(i);
}

static void end_of(int i, bool killed)
{
	int status;

	CHECK_EQ(waitpid(peers[i].pid, &status, 0), peers[i].pid);
	CHECK_EQ(WIFSIGNALED(status), killed);
	CHECK(killed || !WEXITSTATUS(status));
	close(peers[i].say);
	close(peers[i].hear);
}

/* A device knows of addresses a little later than the network does. */
static bool has_address(int i)
{
	char path[128], text[64] = "", want[64];
	FILE *f;

	snprintf(want, sizeof(want), "0000:0000:0000:0000:0000:ffff:0a4d:%04x",
		 (FIRST_ADDRESS + i) & 0xffff);
	for (int g = 0; g < 256; g++) {
		snprintf(path, sizeof(path), "/sys/class/infiniband/kvx0/ports/1/gids/%d", g);
		f = fopen(path, "r");
		if (!f)
			return false;
		if (fscanf(f, "%63s", text) == 1 && !strcmp(text, want)) {
			fclose(f);
			return true;
		}
		fclose(f);
	}
	return false;
}

static void addresses(const char *what)
{
	for (int i = 0; i < PEERS; i++) {
		shell("ip addr %s 10.77.0.%d/24 dev %s", what, (FIRST_ADDRESS + i) & 0xff,
		      getenv("KVX_LAB_NIC"));
		while (!strcmp(what, "add") && !has_address(i))
			poll(NULL, 0, 2);
	}
}

static void conduct(void)
{
	addresses("add");
	for (int i = 0; i < PEERS; i++)
		start(i, 0);
	all_have("come");
	await("counted");
	all_go_on();
	all_have("looked");
	all_go_on();
	all_have("worked");
	all_go_on();
	all_have("seen");
	all_go_on();
	all_have("talked");
	all_go_on();
	for (int i = 0; i < PEERS; i++)
		hear_from(i, 'r', 1);
	for (int i = 0; i < PEERS; i++)
		if (is_killed(i))
			CHECK_EQ(kill(peers[i].pid, SIGKILL), 0);
	for (int i = 0; i < PEERS; i++)
		if (is_killed(i))
			end_of(i, true);
	mark("killed");
	for (int i = 0; i < PEERS; i++)
		if (!is_killed(i))
			hear_from(i, 'r', 10);
	await("gone");
	for (int i = 0; i < PEERS; i++)
		if (is_killed(i))
			start(i, 1);
	for (int i = 0; i < PEERS; i++)
		if (is_killed(i))
			hear_from(i, 's', 1);
		else
			hear_from(i, 'r', 10);
	for (int i = 0; i < PEERS; i++)
		if (!is_killed(i))
			go_on(i);
	for (int i = 0; i < PEERS; i++)
		if (!is_killed(i))
			hear_from(i, 's', 1);
	mark("again");
	await("counted_again");
	all_go_on();
	all_have("talked_again");
	all_go_on();
	for (int i = 0; i < PEERS; i++)
		end_of(i, false);
	addresses("del");
}

/*
 * --- the node that all are with -----------------------------------------------------------------
 */

static void rails_are(int i, int gen, uint32_t nr)
{
	for (int n = 0; nl_rails(name_of(i, gen)) != nr; n++) {
		if (n == 60000)
			FAIL("peer %d has %u rails, not %u", i, nl_rails(name_of(i, gen)), nr);
		poll(NULL, 0, 2);
	}
}

/* Know its agent, so that it can be written to; of its layouts none is wanted. */
static void meet_agent(int i, int gen)
{
	struct kvxfer_layout_import cmd = {
		.hdr.size = sizeof(cmd), .boot_id = name_of(i, gen), .worker_id = worker_of(i),
		.epoch = epoch_of(i, gen),
	};

	if (ioctl(kvx_fd(victim.agent), KVXFER_IOC_LAYOUT_IMPORT, &cmd))
		FAIL("peer %d: errno %d, reason %u", i, errno, cmd.hdr.reason);
}

/* One of every peer in turn; what comes meanwhile waits. */
static void talk_with_all(bool again)
{
	struct kvx_note note;
	struct letter letter;
	uint32_t heard[PEERS] = {};
	unsigned int events;
	int err;

	for (uint32_t n = 0; n < NOTES * PEERS; n++) {
		const int i = n % PEERS;

		letter = (struct letter){ i, again && is_killed(i), n / PEERS, 0 };
		OK(kvx_note_send(victim.agent, worker_of(i), &letter, sizeof(letter),
				 KVX_NOTE_WAIT));
	}
	for (uint32_t n = 0; n < NOTES * PEERS; n++) {
		while ((err = kvx_note_recv(victim.agent, &note)) == -EAGAIN)
			OK(kvx_wait_event(victim.agent, KVX_FOREVER, &events));
		CHECK_EQ(err, 0);
		CHECK_EQ(note.bytes, sizeof(letter));
		memcpy(&letter, note.data, sizeof(letter));
		CHECK(letter.who < PEERS);
		CHECK_EQ(note.worker_id, worker_of(letter.who));
		CHECK_EQ(letter.generation, again && is_killed(letter.who));
		CHECK_EQ(note.epoch, epoch_of(letter.who, letter.generation));
		CHECK_EQ(letter.nr, heard[letter.who]++);
	}
	CHECK_EQ(kvx_note_recv(victim.agent, &note), -EAGAIN);
}

/* A slot is as its peer has written it last; @want is made the same. */
static void check_slot(const struct side *side, unsigned char *want, uint32_t block, int who,
		       bool in_shared)
{
	const unsigned char *slot = region(side, FIRST + block, 0, 0);

	if (!is_slot_of(slot, who, is_killed(who), in_shared))
		FAIL("block %u is not as peer %d has left it", FIRST + block, who);
	memcpy(want + (slot - side->mem), slot, SLOT);
}

static void serve_all(void)
{
	unsigned char *want[VICTIM_GRANTS];

	for (int g = 0; g < VICTIM_GRANTS; g++)
		want[g] = snapshot(&victim.sides[g]);
	await("come");
	for (int i = 0; i < PEERS; i++) {
		rails_are(i, 0, 1);
		meet_agent(i, 0);
	}
	mark("counted");
	await("seen");
	talk_with_all(false);
	await("killed");
	for (int i = 0; i < PEERS; i++)
		rails_are(i, 0, !is_killed(i));
	mark("gone");
	await("again");
	for (int i = 0; i < PEERS; i++) {
		rails_are(i, is_killed(i), 1);
		if (is_killed(i)) {
			rails_are(i, 0, 0);
			meet_agent(i, 1);
		}
	}
	mark("counted_again");
	talk_with_all(true);
	await("talked_again");
	for (int i = 0; i < PEERS; i++) {
		rails_are(i, is_killed(i), 0);
		check_slot(&victim.sides[BOTH], want[BOTH], SHARED_SLOT(i), i, true);
		check_slot(&victim.sides[OWN(i)], want[OWN(i)], OWN_SLOT, i, false);
	}
	for (int g = 0; g < VICTIM_GRANTS; g++)
		check_memory(&victim.sides[g], want[g]);
}

TEST(eight_peers_at_once_and_some_of_them_die)
{
	under_attack(conduct, serve_all);
}
