#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The command line with the device there.
# Lanes: uml-smp
. "$KVX_TOP/tests/ktap.sh"
kvxfer=$KVX_BUILD/bin/kvxfer

info_is_for_people()
{
	"$kvxfer" info | grep -q "^node       $(uname -n), Linux $(uname -r)$"
	"$kvxfer" info | grep -qE '^boot id    [0-9a-f]{16}$'
	"$kvxfer" info | grep -q '^agents     1 open'
	"$kvxfer" info | grep -q '^cluster key  not set: any node that reaches the port can connect ("kvxfer key set" mends it)$'
}

info_is_for_programs()
{
	"$kvxfer" info --json >/tmp/info.json
	cat /tmp/info.json
	jq -e --arg kernel "$(uname -r)" '.kernel == $kernel and .features == ["agent", "pool", "dmabuf", "layout", "xfer", "grant", "note", "rdma", "msg"] and .agents == 1 and
		.agents_max == 65536 and .abi_version == 1 and .cluster_key == false and (.boot_id | test("^[0-9a-f]{16}$"))' /tmp/info.json
}

the_boot_id_lasts_as_long_as_the_module()
{
	local first
	first=$("$kvxfer" info | grep '^boot id')
	[ "$("$kvxfer" info | grep '^boot id')" = "$first" ]
}

a_full_node_is_named_with_its_remedy()
{
	local param=/sys/module/kvxfer/parameters/max_agents out

	echo 0 >$param
	out=$("$kvxfer" info 2>&1) && fail 'it worked'
	echo 65536 >$param
	echo "$out"
	grep -q 'too many agents' <<<"$out"
	grep -q 'parameters/max_agents' <<<"$out"
}

a_stranger_is_told_the_group()
{
	local out

	# As installed: udev has given the device to its group.
	grep -q '^kvxfer:' /etc/group || echo 'kvxfer:x:64999:' >>/etc/group
	chgrp kvxfer /dev/kvxfer
	out=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$kvxfer" info 2>&1) && fail 'it worked'
	echo "$out"
	grep -q 'you may not open it' <<<"$out"
	grep -q 'sudo usermod -aG kvxfer nobody' <<<"$out"
	setpriv --reuid 65534 --regid 65534 --groups 64999 "$kvxfer" info >/dev/null

	# Without the rule: say that it is not in force.
	chgrp root /dev/kvxfer
	out=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$kvxfer" info 2>&1) && fail 'it worked'
	echo "$out"
	grep -q 'udev rule is not in force' <<<"$out"
}

ktap info_is_for_people info_is_for_programs the_boot_id_lasts_as_long_as_the_module \
	a_full_node_is_named_with_its_remedy a_stranger_is_told_the_group
