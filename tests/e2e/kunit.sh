#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The KUnit suites: they run when their module is loaded, and print to the kernel's log.
# Labs: uml uml-smp uml-debug
# Lanes: uml uml-smp uml-debug
echo "# loading ${KVX_LAB_MODULE%.ko}_kunit.ko"
dmesg -C
insmod "${KVX_LAB_MODULE%.ko}_kunit.ko" || exit 1
# The cases stand one level below their suite: lift them to the top, numbered through.
dmesg | sed 's/^\[[^]]*\] //' >/run/kunit.log
cases=$(grep -cE '^    (not )?ok ' /run/kunit.log)
echo 'KTAP version 1'
echo "1..$cases"
awk '/^    # Subtest: / { suite = $3 }
	/^    (not )?ok / { not = $1 == "not" ? "not " : ""; print not "ok " ++n " " suite "." $NF; next }
	/^ok|^KTAP|^    KTAP|^ *# |^ *1\.\./ { next }
	{ print "# " $0 }' /run/kunit.log
rmmod kvxfer_kunit
# Suites that printed nothing have not run: that is a failure, too.
[ "$cases" -gt 0 ] && ! grep -qE '^ *not ok' /run/kunit.log
