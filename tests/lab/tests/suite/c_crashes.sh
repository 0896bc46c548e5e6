#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The kernel of node 1 dies; node 2 would wait for ever.
# Lanes: uml
# Nodes: 2
. "$KVX_TOP/tests/ktap.sh"

node_1_dies()
{
	[ "$NODE" = 2 ] || echo c >/proc/sysrq-trigger
	tail -f /dev/null
}

ktap node_1_dies
