#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The example programs do what they say, and leave nothing behind.
# Lanes: uml-smp debian-6.12
# Emulated: a smoke test of all that one node does
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

prefill_decode()
{
	"$examples/prefill_decode" 6 | tee /run/example.out
	grep -qE '^decode: 12582912 bytes from prefill-0, 384 regions of 32 KiB' /run/example.out
	grep -qE ' 0 are wrong$' /run/example.out
	grep -qE '^prefill: agent [0-9a-f]{16} says: the blocks are here: free them$' /run/example.out
	nothing_is_left
	# Each by itself, and with a look at how fast it is.
	ip link set lo up
	"$examples/prefill_decode" prefill 7000 6 &
	"$examples/prefill_decode" decode 127.0.0.1 7000 0.01 | tee /run/example.out
	wait $!
	grep -qE ' 0 are wrong$' /run/example.out
	[ "$(grep -c '^| 160 | ' /run/example.out)" = 4 ]
	nothing_is_left
}

layer_stream()
{
	"$examples/layer_stream" 40 | tee /run/example.out
	grep -qE '^decode: 36 layers have come, each with its note; 0 words are wrong$' /run/example.out
	grep -qE '^prefill: 36 layers of 40 blocks were sent as they came$' /run/example.out
	nothing_is_left
}

tp_slices()
{
	"$examples/tp_slices" 8 | tee /run/example.out
	grep -qE '^HND: 4 ranks to 8, 8 blocks: 0 elements are wrong$' /run/example.out
	grep -qE '^NHD: 4 ranks to 8, 8 blocks: 0 elements are wrong$' /run/example.out
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

cases='pool_share prefill_decode layer_stream tp_slices'
# shellcheck disable=SC2086
ktap $cases every_example_is_run
