#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Two nodes: a wire between them, and each with a module and a boot id of its own.
# Nodes: 2
# Lanes: uml uml-smp debian-6.12
# Emulated: QEMU's wires, and boot ids
. "$KVX_TOP/tests/ktap.sh"
other=$((3 - NODE))
kvxfer=$KVX_BUILD/bin/kvxfer

the_wire_carries_jumbo_frames()
{
	# The other node may still be on its way up; the run's own limit ends this.
	until busybox ping -q -c 1 -W 1 node$other >/dev/null; do :; done
	busybox ping -q -c 3 -s 8000 node$other
}

# Each leaves its id in the folder that the run shares, and waits for the other's.
their_boot_ids_differ()
{
	"$kvxfer" info | sed -n 's/^boot id *//p' >/run/lab/boot_id.new.$NODE
	mv /run/lab/boot_id.new.$NODE /run/lab/boot_id.$NODE
	until [ -e /run/lab/boot_id.$other ]; do :; done
	[ "$(cat /run/lab/boot_id.$NODE)" != "$(cat /run/lab/boot_id.$other)" ]
	# Neither may end while the other still pings it.
	touch /run/lab/done.$NODE
	until [ -e /run/lab/done.$other ]; do :; done
}

ktap the_wire_carries_jumbo_frames their_boot_ids_differ
