#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Tracepoints: there, with ids, and without addresses.
# Lanes: uml uml-smp
. "$KVX_TOP/tests/ktap.sh"
tracing=/sys/kernel/tracing
kvxfer=$KVX_BUILD/bin/kvxfer

open_and_close_are_traced()
{
	local events=$tracing/events/kvxfer

	[ -d $events ]
	echo >$tracing/trace
	echo 1 >$events/enable
	"$kvxfer" info >/dev/null
	echo 0 >$events/enable
	cat $tracing/trace
	[ "$(grep -c 'kvx_agent_open: agent=[0-9]* epoch=[0-9a-f]\{12\} worker_id=[0-9a-f]\{16\} name="kvxfer"' $tracing/trace)" = 1 ]
	[ "$(grep -c 'kvx_agent_close: agent=.* name="kvxfer"' $tracing/trace)" = 1 ]
}

refusals_are_traced_with_their_reason()
{
	echo >$tracing/trace
	echo 1 >$tracing/events/kvxfer/kvx_refused/enable
	"$KVX_BUILD/tests/e2e/sweep" every_unknown_flag_is_refused_by_number >/dev/null
	echo 0 >$tracing/events/kvxfer/kvx_refused/enable
	grep -q 'kvx_refused: agent=[0-9]* nr=0 err=-95 reason=5 index=31' $tracing/trace
}

ktap open_and_close_are_traced refusals_are_traced_with_their_reason
