#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The kernel of node 1 dies; node 2, which has begun by then, would wait for ever.
# Lanes: uml
# Nodes: 2
. "$KVX_TOP/tests/ktap.sh"

node_1_dies()
{
	if [ "$NODE" = 2 ]; then
		touch /run/lab/node-2-has-begun
		tail -f /dev/null
	fi
	until [ -e /run/lab/node-2-has-begun ]; do :; done
	echo c >/proc/sysrq-trigger
}

ktap node_1_dies
