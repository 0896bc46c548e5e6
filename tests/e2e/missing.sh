#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The command line without the device: what is missing, and the command that mends it.
# Module: bare
# Lanes: uml-smp
. "$KVX_TOP/tests/ktap.sh"
kvxfer=$KVX_BUILD/bin/kvxfer

told()
{
	local out
	out=$("$kvxfer" info 2>&1) && fail 'it worked'
	echo "$out"
	grep -qF -- "$1" <<<"$out"
}

not_installed()
{
	rm -rf /usr/src/kvxfer-* "/lib/modules/$(uname -r)/updates"
	expect_exit 1 "$kvxfer" info
	told 'make dkms-install'
}

not_built_for_this_kernel()
{
	mkdir -p /usr/src/kvxfer-9
	touch /usr/src/kvxfer-9/dkms.conf
	told "-k $(uname -r)"
}

not_loaded()
{
	# A folder that may be written, in place of the one of modules.
	rm -rf "/lib/modules/$(uname -r)"
	mkdir -p "/lib/modules/$(uname -r)/updates/dkms"
	touch "/lib/modules/$(uname -r)/updates/dkms/kvxfer.ko"
	told 'sudo modprobe kvxfer'
}

what_asks_by_netlink_says_the_same()
{
	local words out
	for words in 'dev list' 'peer list' 'peer connect 10.77.0.2' 'rail list' 'key show' 'agent list' 'pool list --all' events; do
		# shellcheck disable=SC2086
		out=$("$kvxfer" $words 2>&1) && fail 'it worked'
		grep -q "the kernel has no netlink family 'kvxfer'" <<<"$out" || fail "$words: $out"
		grep -q 'sudo modprobe kvxfer' <<<"$out" || fail "$words: $out"
	done
	insmod "$KVX_LAB_MODULE"
	"$kvxfer" dev list
	# There it is, but not in another network namespace.
	out=$(unshare -n "$kvxfer" dev list 2>&1) && fail 'it worked'
	grep -q 'network namespace' <<<"$out" || fail "$out"
	rmmod kvxfer
}

events_end_with_the_module()
{
	local pid err=0
	insmod "$KVX_LAB_MODULE"
	"$kvxfer" events 2>/run/events.err &
	pid=$!
	until grep -q listening /run/events.err; do :; done
	rmmod kvxfer
	wait $pid || err=$?
	[ $err = 1 ] || fail "exit status $err"
	grep -q 'the module was unloaded' /run/events.err
}

loaded_without_a_device_node()
{
	insmod "$KVX_LAB_MODULE"
	rm /dev/kvxfer
	told 'sudo modprobe -r kvxfer && sudo modprobe kvxfer'
	rmmod kvxfer
	# and that does mend it
	insmod "$KVX_LAB_MODULE"
	"$kvxfer" info
	rmmod kvxfer
}

ktap not_installed not_built_for_this_kernel not_loaded what_asks_by_netlink_says_the_same events_end_with_the_module \
	loaded_without_a_device_node
