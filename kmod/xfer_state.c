// SPDX-License-Identifier: GPL-2.0-only
/* Pure: see xfer_state.h. */
#ifdef __KERNEL__
#include "compat.h"
#else
#define EXPORT_SYMBOL_IF_KUNIT(symbol)
#endif
#include "xfer_state.h"

#define GONE		KVXFER_XFER_GONE
#define IDLE		KVXFER_XFER_IDLE
#define RUNNING		KVXFER_XFER_RUNNING
#define CANCELING	KVXFER_XFER_CANCELING
#define EXPIRING	KVXFER_XFER_EXPIRING
#define FAILING		KVXFER_XFER_FAILING
#define RELEASING	KVXFER_XFER_RELEASING
#define DONE		KVXFER_XFER_DONE
#define CANCELED	KVXFER_XFER_CANCELED
#define TIMEDOUT	KVXFER_XFER_TIMEDOUT
#define FAILED		KVXFER_XFER_FAILED
#define NEVER		0xff

/*
 * The first cause of an early end stands; one that comes to a transfer that does not run changes
 * nothing. What has ended badly stays so. Nothing leads out of GONE.
 */
static const __u8 kvx_xfer_next[KVX_XFER_STATES][KVX_XFER_EVENTS] = {
	/*              POST       CANCEL     EXPIRE     FAIL       QUIET      RELEASE */
	[GONE]      = { NEVER,     NEVER,     NEVER,     NEVER,     NEVER,     NEVER },
	[IDLE]      = { RUNNING,   IDLE,      IDLE,      IDLE,      NEVER,     GONE },
	[RUNNING]   = { NEVER,     CANCELING, EXPIRING,  FAILING,   DONE,      RELEASING },
	[CANCELING] = { NEVER,     CANCELING, CANCELING, CANCELING, CANCELED,  RELEASING },
	[EXPIRING]  = { NEVER,     EXPIRING,  EXPIRING,  EXPIRING,  TIMEDOUT,  RELEASING },
	[FAILING]   = { NEVER,     FAILING,   FAILING,   FAILING,   FAILED,    RELEASING },
	[RELEASING] = { NEVER,     RELEASING, RELEASING, RELEASING, GONE,      NEVER },
	[DONE]      = { RUNNING,   DONE,      DONE,      DONE,      NEVER,     GONE },
	[CANCELED]  = { NEVER,     CANCELED,  CANCELED,  CANCELED,  NEVER,     GONE },
	[TIMEDOUT]  = { NEVER,     TIMEDOUT,  TIMEDOUT,  TIMEDOUT,  NEVER,     GONE },
	[FAILED]    = { NEVER,     FAILED,    FAILED,    FAILED,    NEVER,     GONE },
};

/**
 * kvx_xfer_step() - something happens to a transfer
 * @state: &enum kvxfer_xfer_state; is set to the next one
 * @event: what happens
 *
 * Context: any.
 * Return: false when that cannot be, and nothing is changed.
 */
bool kvx_xfer_step(__u32 *state, enum kvx_xfer_event event)
{
	const __u8 next = kvx_xfer_next[*state][event];

	if (next == NEVER)
		return false;
	*state = next;
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(kvx_xfer_step);
