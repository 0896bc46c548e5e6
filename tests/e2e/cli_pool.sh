#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kvxfer pool, as an operator uses it.
. "$KVX_TOP/tests/ktap.sh"
kvxfer=$KVX_BUILD/bin/kvxfer

a_pool_is_made_shown_and_removed()
{
	"$kvxfer" pool create kv-7b 6M --mode 0640 --group daemon
	"$kvxfer" pool list | grep -qE '^[0-9]+ +kv-7b +6MiB +kernel +0 +root +daemon +0640 +0 +0 '
	"$kvxfer" pool show kv-7b | grep -q '^size    6MiB (6291456 bytes)$'
	"$kvxfer" pool show kv-7b | grep -q '^chunks  3 of 2MiB$'
	"$kvxfer" pool list --json | jq -e '.[0].name == "kv-7b" and .[0].bytes == 6291456 and .[0].chunks[9] == 3'
	"$kvxfer" pool show kv-7b --json | jq -e '.mode == 416 and .linked == 1'
	"$kvxfer" pool rm kv-7b
	[ "$("$kvxfer" pool list | wc -l)" = 1 ]
	[ "$("$kvxfer" pool list --json)" = '[]' ]
}

what_goes_wrong_is_said()
{
	local out
	"$kvxfer" pool create twice 1M
	out=$("$kvxfer" pool create twice 1M 2>&1) && fail 'it worked'
	grep -q 'a pool of this name exists already' <<<"$out"
	"$kvxfer" pool rm twice
	out=$("$kvxfer" pool rm twice 2>&1) && fail 'it worked'
	grep -q 'no pool has this name' <<<"$out"
	expect_exit 1 "$kvxfer" pool show twice
	expect_exit 1 "$kvxfer" pool create node 1M --numa 99
	expect_exit 1 "$kvxfer" pool create much 1000T
	expect_exit 1 "$kvxfer" pool create mode 1M --mode 0777
	for words in '' 'create x' 'create x 12Q' 'create x -1' 'create x 0' 'create x 1M --kind gold' \
		'create x 1M --mode rw' 'list x' 'show' 'rm' 'rm x --json' 'nonsense'; do
		# shellcheck disable=SC2086
		expect_exit 2 "$kvxfer" pool $words
	done
	[ "$("$kvxfer" pool list | wc -l)" = 1 ]
}

sizes_are_understood()
{
	local size bytes
	while read -r size bytes; do
		"$kvxfer" pool create size "$size"
		[ "$("$kvxfer" pool show size --json | jq .bytes)" = "$bytes" ]
		"$kvxfer" pool rm size
	done <<-END
		4096 4096
		4K 4096
		3MiB 3145728
		2MB 2097152
	END
}

ktap a_pool_is_made_shown_and_removed what_goes_wrong_is_said sizes_are_understood
