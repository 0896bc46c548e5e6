/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xfer_state: where a transfer may go from where it is. Pure, as abi.h says it.
 */
#ifndef KVX_XFER_STATE_H
#define KVX_XFER_STATE_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif
#include <linux/kvxfer.h>

#define KVX_XFER_STATES	(KVXFER_XFER_FAILED + 1)

/**
 * enum kvx_xfer_event - what can happen to a transfer
 * @KVX_XFER_POST: it is to begin
 * @KVX_XFER_CANCEL: its owner wants it to end
 * @KVX_XFER_EXPIRE: its deadline has come
 * @KVX_XFER_FAIL: something went wrong, or it is cut off
 * @KVX_XFER_QUIET: nothing touches its blocks any more
 * @KVX_XFER_RELEASE: its owner is done with it
 * @KVX_XFER_EVENTS: how many there are
 */
enum kvx_xfer_event {
	KVX_XFER_POST,
	KVX_XFER_CANCEL,
	KVX_XFER_EXPIRE,
	KVX_XFER_FAIL,
	KVX_XFER_QUIET,
	KVX_XFER_RELEASE,
	KVX_XFER_EVENTS,
};

static inline bool kvx_xfer_state_ended(__u32 state)
{
	return state == KVXFER_XFER_GONE || state >= KVXFER_XFER_DONE;
}

/* From RUNNING to its end: blocks may be touched. */
static inline bool kvx_xfer_state_active(__u32 state)
{
	return state >= KVXFER_XFER_RUNNING && state <= KVXFER_XFER_RELEASING;
}

bool kvx_xfer_step(__u32 *state, enum kvx_xfer_event event);

#endif /* KVX_XFER_STATE_H */
