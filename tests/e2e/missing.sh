#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The command line without the device: what is missing, and the command that mends it.
# Module: bare
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

ktap not_installed not_built_for_this_kernel not_loaded loaded_without_a_device_node
