#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# DKMS for Debian's kernels: add, build, install, load, remove, in a tree of its own.
# Time: 900
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"

round()
{
	local lab=$1 dir=$build/dkms-$1 kver version module
	kver=$(cat "$("$lab_dir/kernels" "$lab")/kver")
	version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$top/dkms.conf")
	rm -rf "$dir"
	"$lab_dir/dkms" "$lab" "$dir" >"$dir.log" 2>&1 || { cat "$dir.log"; exit 1; }
	grep -q "kvxfer/$version, $kver, x86_64: installed" "$dir.log"
	module=$dir/lib/modules/$kver/updates/dkms/kvxfer.ko
	[ "$(modinfo -F version "$module")" = "$version" ]
	modinfo -F vermagic "$module" | grep -q "^$kver "

	# By name, as an administrator would.
	make -s -C "$top" lib cli
	"$lab_dir/run" "$lab" -n 1 -B -- bash -c "modprobe -d $dir kvxfer && $build/bin/kvxfer info && modprobe -d $dir -r kvxfer"

	# Not with the distribution's own check for a root-owned system tree: this one is ours.
	dkms remove -m kvxfer -v "$version" --all --sourcetree "$dir/usr/src" --dkmstree "$dir/dkms" \
		--installtree "$dir/lib/modules" --no-depmod
	[ ! -e "$module" ]
	rm -rf "$dir"
}

# This machine's own DKMS tree and signing key, down to their times.
machine()
{
	find /var/lib/dkms /usr/src/kvxfer-* -maxdepth 2 -printf '%p %T@\n' 2>/dev/null | sort
}
# The package brings a folder of its own.
need dkms
before=$(machine)

debian_6_1() { round debian-6.1; }
debian_6_12() { round debian-6.12; }
debian_7_3() { round debian-7.3; }

this_machine_is_left_alone()
{
	[ "$(machine)" = "$before" ] || fail "it was: $before" "it is: $(machine)"
}

ktap debian_6_1 debian_6_12 debian_7_3 this_machine_is_left_alone
