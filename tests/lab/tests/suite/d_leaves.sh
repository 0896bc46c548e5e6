#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Node 1 ends at once with a failure; node 2 does not look, and is ended soon after.
# Lanes: uml
# Nodes: 2
. "$KVX_TOP/tests/ktap.sh"

node_1_leaves()
{
	[ "$NODE" = 2 ] || fail 'it leaves'
	tail -f /dev/null
}

ktap node_1_leaves
