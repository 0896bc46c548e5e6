#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The benchmarks work, and leave nothing behind; how fast all is, `make bench` tells.
# Lanes: uml-smp
. "$KVX_TOP/tests/ktap.sh"

pool()
{
	"$KVX_BUILD/tests/bench/pool" --quick
	until [ "$("$KVX_BUILD/bin/kvxfer" pool list --json)" = '[]' ]; do :; done
}

cursor()
{
	"$KVX_BUILD/tests/bench/cursor" --quick
}

xfer()
{
	"$KVX_BUILD/tests/bench/xfer" --quick
	until [ "$("$KVX_BUILD/bin/kvxfer" pool list --json)" = '[]' ]; do :; done
}

# One that is here and not run would be one that nobody knows to work. (Those of two nodes: bench_two.sh)
every_benchmark_is_run()
{
	local f
	for f in "$KVX_TOP"/tests/bench/*.c; do
		! grep -q '^ \* Nodes: 2$' "$f" || continue
		f=${f##*/}
		[[ " $cases " == *" ${f%.c} "* ]] || fail "$f"
	done
}

cases='pool cursor xfer'
# shellcheck disable=SC2086
ktap $cases every_benchmark_is_run
