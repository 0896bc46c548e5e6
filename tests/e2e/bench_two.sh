#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The benchmarks of two nodes work, and leave nothing behind; how fast all is, `make bench` tells.
# Nodes: 2
# Lanes: uml-smp
. "$KVX_TOP/tests/ktap.sh"

rdma()
{
	"$KVX_BUILD/tests/bench/rdma" --quick
	until [ "$("$KVX_BUILD/bin/kvxfer" pool list --json)" = '[]' ]; do :; done
}

# One that is here and not run would be one that nobody knows to work.
every_benchmark_is_run()
{
	local f
	for f in "$KVX_TOP"/tests/bench/*.c; do
		grep -q '^ \* Nodes: 2$' "$f" || continue
		f=${f##*/}
		[[ " $cases " == *" ${f%.c} "* ]] || fail "$f"
	done
}

cases=rdma
# shellcheck disable=SC2086
ktap $cases every_benchmark_is_run
