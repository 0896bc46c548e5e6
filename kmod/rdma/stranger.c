// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strangers: rails that others have asked for and that are not ready. Each has room for frames
 * already, which is half a megabyte, so there are few; who is refused asks again a little later.
 */
#include "../kvx.h"
#include "../peer.h"
#include "net.h"
#include "rail.h"

/* In a network namespace, and of one address there. */
#define KVX_STRANGERS_ALL	64
#define KVX_STRANGERS_EACH	8

static DEFINE_SPINLOCK(kvx_strangers_lock);
static LIST_HEAD(kvx_strangers);

/**
 * kvx_strangers_full() - is there no room for another one?
 * @net: the network namespace: an address means another host in each, and none fills another's room
 * @from: who asks
 *
 * Those whom two listeners ask for at once may be one too many.
 *
 * Context: process.
 * Return: true when there is none.
 */
bool kvx_strangers_full(const struct kvx_net *net, const struct sockaddr_storage *from)
{
	struct kvx_rail *rail;
	u32 all = 0, each = 0;

	spin_lock(&kvx_strangers_lock);
	list_for_each_entry(rail, &kvx_strangers, stranger) {
		if (rail->net != net)
			continue;
		all++;
		each += kvx_same_host(&rail->dst, from);
	}
	spin_unlock(&kvx_strangers_lock);
	return all >= KVX_STRANGERS_ALL || each >= KVX_STRANGERS_EACH;
}

/**
 * kvx_stranger_add() - there is another one
 * @rail: the rail
 *
 * Context: process.
 */
void kvx_stranger_add(struct kvx_rail *rail)
{
	spin_lock(&kvx_strangers_lock);
	list_add(&rail->stranger, &kvx_strangers);
	spin_unlock(&kvx_strangers_lock);
}

/**
 * kvx_stranger_del() - it is ready, or has ended
 * @rail: a rail, whether or not it is one
 *
 * Context: process.
 */
void kvx_stranger_del(struct kvx_rail *rail)
{
	spin_lock(&kvx_strangers_lock);
	list_del_init(&rail->stranger);
	spin_unlock(&kvx_strangers_lock);
}
