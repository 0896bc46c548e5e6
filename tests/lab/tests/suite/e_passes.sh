#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Passes.
# Lanes: uml
# Nodes: 2
. "$KVX_TOP/tests/ktap.sh"

nothing_is_left_by_another_test()
{
	[ ! -e /run/left ]
	touch /run/left
}

ktap nothing_is_left_by_another_test
