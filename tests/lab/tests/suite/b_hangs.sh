#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Hangs on node 2, so that its time runs out; node 1 waits for it.
# Lanes: uml
# Nodes: 2
# Time: 4
. "$KVX_TOP/tests/ktap.sh"

node_2_hangs()
{
	touch /run/left
	[ "$NODE" = 1 ] || tail -f /dev/null
	until [ -e "$KVX_PARTNER" ]; do :; done
	fail "node 2 ended with $(cat "$KVX_PARTNER")"
}

ktap node_2_hangs
