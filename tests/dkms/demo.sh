#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# `make demo`, as in a new clone: by DKMS, two machines and two wires. A long run shows it on both Debian kernels.
# Time: 600
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"

demo()
{
	local out=$build/demo-test.out

	make -s -C "$top" demo LAB="$1" >"$out" 2>&1 || { cat "$out"; exit 1; }
	# It says what it does, how far it is, and what came of it.
	for n in 1 2 3 4; do
		grep -q "^\[$n/4\] " "$out"
	done
	grep -q '^2| decode: .*24 of 24 blocks' "$out"
	grep -q '^2| decode: every word was looked at, 0 are wrong' "$out"
	[ "$(grep -cE '^2\| node1 +[01] ready ' "$out")" = 2 ]
	rm "$out"
}

on_debian_6_1() { demo debian-6.1; }
on_debian_6_12() { demo debian-6.12; }

cases=on_debian_6_1
[ -z "${KVX_LONG:-}" ] || cases+=' on_debian_6_12'
# shellcheck disable=SC2086
ktap $cases
