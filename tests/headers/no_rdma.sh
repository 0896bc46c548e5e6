#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A kernel without RDMA (CONFIG_INFINIBAND): the module is built and loaded without it, and everything local works.
# Time: 300
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"
. "$KVX_TOP/tests/lab/packages.sh"

# A stock kernel has the RDMA core as modules, so that it has none of it while they are not loaded.
lab=debian-6.12
dir=$build/headers/no-rdma
module=$dir/module/kvxfer.ko
kernel=$("$lab_dir/kernels" "$lab")

module_compiles_without_rdma()
{
	mkdir -p "$dir/module"
	make -s -C "$top" mirror DIR="$dir/module"
	without_rdma "$(readlink -f "$kernel/kbuild")" "$dir/kdir"
	make -C "$dir/kdir" M="$dir/module" W=1 KCFLAGS=-Werror -j"$jobs" modules >"$dir/build.log" 2>&1 ||
		fail "$(tail -n 40 "$dir/build.log")"
	! grep -i 'warning:' "$dir/build.log"
}

module_needs_nothing_of_rdma()
{
	[ -z "$(modinfo -F depends "$module")" ] || fail "it depends on: $(modinfo -F depends "$module")"
	! nm -u "$module" | grep -E ' (__)?(ib|rdma|iw|ibdev)_'
}

local_features_work_and_other_nodes_are_refused()
{
	make -s -C "$top" lib cli build/tests/e2e/agent build/tests/e2e/pool build/tests/e2e/xfer \
		build/tests/e2e/share
	"$lab_dir/run" "$lab" -n 1 -B -t 200 -- "$top/tests/headers/no_rdma_guest" "$module"
}

ktap module_compiles_without_rdma module_needs_nothing_of_rdma local_features_work_and_other_nodes_are_refused
