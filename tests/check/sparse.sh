#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# sparse over the whole module, on the headers of both Debian kernels: not a word.
# Time: 600
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"

check_with()
{
	local kernel dir=$build/sparse-$1 log=$build/sparse-$1.log
	kernel=$("$lab_dir/kernels" "$1")
	rm -rf "$dir"
	make -s -C "$top" mirror DIR="build/sparse-$1"
	make -C "$kernel/kbuild" M="$dir" W=1 C=2 modules >"$log" 2>&1 || { tail -n 30 "$log"; exit 1; }
	# It must have looked at every file, and said nothing.
	[ "$(grep -c '^  CHECK ' "$log")" -ge "$(ls "$top"/kmod/*.c | wc -l)" ]
	! grep -vE '^  (CC|LD|CHECK|MODPOST|BTF) |^make|^Skipping BTF' "$log"
}

debian_6_1() { check_with debian-6.1; }
debian_6_12() { check_with debian-6.12; }

# A checker that finds nothing because it does not look would pass all of the above.
it_finds_what_is_planted()
{
	local kernel dir=$build/sparse-planted
	kernel=$("$lab_dir/kernels" debian-6.12)
	rm -rf "$dir"
	make -s -C "$top" mirror DIR=build/sparse-planted
	cp --remove-destination "$top/kmod/main.c" "$dir/kmod/main.c"
	echo 'int kvx_planted(int __user *p); int kvx_planted(int __user *p) { return *p; }' >>"$dir/kmod/main.c"
	make -C "$kernel/kbuild" M="$dir" C=2 modules 2>&1 | grep 'dereference of noderef'
}

ktap debian_6_1 debian_6_12 it_finds_what_is_planted
