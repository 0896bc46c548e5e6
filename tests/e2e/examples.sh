#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The example programs do what they say, and leave nothing behind.
. "$KVX_TOP/tests/ktap.sh"
examples=$KVX_BUILD/examples
kvxfer=$KVX_BUILD/bin/kvxfer

nothing_is_left()
{
	until [ "$("$kvxfer" pool list --json)" = '[]' ]; do :; done
}

pool_share()
{
	"$examples/pool_share" 24 | tee /run/example.out
	grep -qE 'is dead$' /run/example.out
	grep -qE ': 25165824 bytes, 0 words are wrong$' /run/example.out
	nothing_is_left
}

# One that is here and not run would be one that nobody knows to work.
every_example_is_run()
{
	local f
	for f in "$KVX_TOP"/ulib/examples/*.c; do
		f=${f##*/}
		[[ " $cases " == *" ${f%.c} "* ]] || fail "$f"
	done
}

cases='pool_share'
# shellcheck disable=SC2086
ktap $cases every_example_is_run
