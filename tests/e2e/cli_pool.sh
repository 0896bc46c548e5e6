#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kvxfer pool, as an operator uses it.
# Lanes: uml-smp debian-6.12
# Cases: debian pools_of_huge_pages_are_made_on_their_node
# Emulated: huge pages by the command, on their node
. "$KVX_TOP/tests/ktap.sh"
kvxfer=$KVX_BUILD/bin/kvxfer

a_pool_is_made_shown_and_removed()
{
	"$kvxfer" pool create kv-7b 6M --numa 0 --mode 0640 --group daemon
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
	for words in '' 'create x' 'create x 12Q' 'create x -1' 'create x 0' 'create x 1M --kind gold' \
		'create x 1M --mode rw' 'create x 1M --numa -1' 'create x 1M --numa 4294967296' 'create x 1M --mode 0777' \
		'create x 1M --group -1' 'create x 1M --group 4294967295' 'create x 1M --mode 40000000660' 'create x 5000' \
		'create x 3M --kind hugetlb' 'list x' 'show' 'rm' 'rm x --json' 'nonsense' \
		'fill' 'fill x --seed q' 'fill x --seed 1 --zero' 'sum' 'sum x --zero' 'list --check' 'load a b'; do
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

the_words_of_a_pool_are_known()
{
	local sum
	"$kvxfer" pool create words 5M
	# Zeros, as it was made; the sum of so many zeros is known.
	[ "$("$kvxfer" pool sum words)" = 'ceab0542  5242880  words' ] || fail "$("$kvxfer" pool sum words)"
	sum=$("$kvxfer" pool fill words)
	[ "$("$kvxfer" pool sum words)" = "$sum" ]
	[ "$("$kvxfer" pool fill words)" = "$sum" ]
	[ "$("$kvxfer" pool fill words --seed 7)" != "$sum" ]
	[ "$("$kvxfer" pool sum words --json | jq -r .crc32c)" = "$("$kvxfer" pool sum words | cut -c1-8)" ]
	[ "$("$kvxfer" pool fill words --zero)" = 'ceab0542  5242880  words' ]
	expect_exit 1 "$kvxfer" pool fill no-such-pool
	"$kvxfer" pool rm words
}

the_file_of_pools_is_made_once_and_nothing_else_is_touched()
{
	local out
	mkdir -p /etc/kvxfer
	cat >/etc/kvxfer/pools.conf <<-END
		# what is wanted at boot
		boot-a 3M --mode 0640 --group daemon
		boot-b 1000T      # too much for any machine
		boot-c 2M --numa 0
	END
	# As the unit runs it.
	cmd=$(sed -n "s,^ExecStart=@BINDIR@,$KVX_BUILD/bin,p" "$KVX_TOP/tools/system/kvxfer-pools.service.in")
	[ -n "$cmd" ]
	out=$($cmd 2>&1) && fail 'it worked'
	grep -qx 'boot-a: 3MiB made' <<<"$out"
	grep -q '^kvxfer: /etc/kvxfer/pools.conf:3: create pool: the size is' <<<"$out"
	grep -qx 'boot-c: 2MiB made' <<<"$out"
	"$kvxfer" pool show boot-a --json | jq -e '.mode == 416 and .uid == 0'
	sed -i /1000T/d /etc/kvxfer/pools.conf
	out=$($cmd)
	[ "$out" = $'boot-a: is there\nboot-c: is there' ]
	# A line that was changed later does not change what is in use.
	sed -i 's/3M/4M/' /etc/kvxfer/pools.conf
	out=$($cmd 2>&1) && fail 'it worked'
	grep -q "pools.conf:2: a pool 'boot-a' is there, and differs" <<<"$out"
	"$kvxfer" pool show boot-a --json | jq -e '.bytes == 3145728'
	"$kvxfer" pool rm boot-a
	"$kvxfer" pool rm boot-c
	rm /etc/kvxfer/pools.conf
	expect_exit 1 "$kvxfer" pool load
}

pools_of_huge_pages_are_made_on_their_node()
{
	local node out
	# No huge pages in User Mode Linux.
	case $LAB in
	uml*)
		expect_exit 1 "$kvxfer" pool create huge 4M --kind hugetlb
		return
		;;
	esac
	for node in 0 1; do
		echo 4 >/sys/devices/system/node/node$node/hugepages/hugepages-2048kB/nr_hugepages
		"$kvxfer" pool create huge 6M --kind hugetlb --numa $node
		"$kvxfer" pool show huge --json | jq -e ".kind == \"memfd\" and .node_bytes[$node] == 6291456"
		# There are not so many, there.
		out=$("$kvxfer" pool create more 6M --kind hugetlb --numa $node 2>&1) && fail 'it worked'
		grep -q 'not enough free huge pages' <<<"$out"
		"$kvxfer" pool fill huge
		"$kvxfer" pool rm huge
		until [ "$("$kvxfer" pool list --json)" = '[]' ]; do :; done
		echo 0 >/sys/devices/system/node/node$node/hugepages/hugepages-2048kB/nr_hugepages
	done
	expect_exit 2 "$kvxfer" pool create huge 3M --kind hugetlb
}

names_of_pools_are_completed_and_never_run()
{
	PATH=$KVX_BUILD/bin:$PATH
	. "$KVX_TOP/tools/system/kvxfer.bash-completion"
	"$kvxfer" pool create good-1.a 4K
	# shellcheck disable=SC2016
	"$kvxfer" pool create '$(touch${IFS}/run/owned)' 4K
	# shellcheck disable=SC2016
	"$kvxfer" pool create '`touch${IFS}/run/owned`' 4K
	COMP_WORDS=(kvxfer pool show '') COMP_CWORD=3 COMPREPLY=()
	_kvxfer
	[ "${COMPREPLY[*]}" = good-1.a ] || fail "${COMPREPLY[*]}"
	[ ! -e /run/owned ]
	"$kvxfer" pool rm good-1.a
	# shellcheck disable=SC2016
	"$kvxfer" pool rm '$(touch${IFS}/run/owned)'
	# shellcheck disable=SC2016
	"$kvxfer" pool rm '`touch${IFS}/run/owned`'
}

somebody_elses_pool_is_not_the_one_that_is_wanted()
{
	local out
	mkdir -p /etc/kvxfer
	chmod 666 /dev/kvxfer
	busybox su nobody -s /bin/sh -c "'$kvxfer' pool create mine 1M"
	echo 'mine 1M' >/etc/kvxfer/pools.conf
	out=$("$kvxfer" pool load 2>&1) && fail 'it worked'
	grep -q "a pool 'mine' is there, and differs" <<<"$out"
	"$kvxfer" pool rm mine
	chmod 660 /dev/kvxfer
	rm /etc/kvxfer/pools.conf
}

ktap a_pool_is_made_shown_and_removed what_goes_wrong_is_said sizes_are_understood the_words_of_a_pool_are_known \
	the_file_of_pools_is_made_once_and_nothing_else_is_touched pools_of_huge_pages_are_made_on_their_node \
	names_of_pools_are_completed_and_never_run somebody_elses_pool_is_not_the_one_that_is_wanted
