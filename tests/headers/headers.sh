#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The module compiles without a warning for the newest kernel of each series and flavour that Debian has headers of.
# dkms.conf accepts these series and no other.
# Time: 900
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"
. "$KVX_TOP/tests/lab/packages.sh"

# compile SERIES FLAVOUR KDIR: in a tree of its own, which stays, so that make builds only what has changed.
compile()
{
	local dir=$build/headers/$1-$2
	# The lab's own module for these two is compiled with the same options.
	case $1-$2 in 6.1-amd64 | 6.12-amd64) make -s -C "$top" lab-module LAB="debian-$1"; return ;; esac
	mkdir -p "$dir"
	(
		flock 9
		make -s -C "$top" mirror DIR="$dir"
		# Another header tree than last time: begin from nothing.
		[ "$(cat "$dir/.kdir" 2>/dev/null)" = "$3" ] || make -C "$3" M="$dir" clean >/dev/null
		echo "$3" >"$dir/.kdir"
		# Debug information takes a fifth of the time, and says nothing here.
		if ! make -C "$3" M="$dir" W=1 KCFLAGS=-Werror CONFIG_DEBUG_INFO= CONFIG_DEBUG_INFO_BTF= \
			CONFIG_DEBUG_INFO_BTF_MODULES= -j"$jobs" modules >"$dir/build.log" 2>&1 ||
			grep -qi 'warning:' "$dir/build.log"; then
			grep -iE -A 8 'warning:|error:|undefined!' "$dir/build.log" | head -n 60 | grep . ||
				tail -n 20 "$dir/build.log"
			# make would not compile again what was compiled with a warning.
			rm -f "$dir"/kmod/*.o "$dir"/kmod/rdma/*.o
			fail "the module does not compile for Linux $1, $2: $3"
		fi
		[ "$(modinfo -F name "$dir/kvxfer.ko")" = kvxfer ]
	) 9>"$dir/.lock"
}

# accepts KERNEL: dkms.conf does, as DKMS reads it.
accepts()
(
	set +u
	. "$top/dkms.conf"
	[[ $1 =~ $BUILD_EXCLUSIVE_KERNEL ]]
)

dkms_conf_accepts_the_series_that_are_built()
{
	local s kver
	for s in $kvx_series; do
		for kver in "${s%%:*}.0-57-amd64" "${s%%:*}.117+deb12-cloud-amd64" "${s%%:*}.0" "${s%%:*}.4-generic"; do
			accepts "$kver" || fail "dkms.conf does not accept $kver, and the module is built for ${s%%:*}"
		done
	done
}

dkms_conf_refuses_every_other_series()
{
	local major minor
	for major in 5 6 7 8; do
		for minor in {0..40}; do
			case " $kvx_series" in *" $major.$minor:"*) continue ;; esac
			! accepts "$major.$minor.4-amd64" || fail "dkms.conf accepts $major.$minor, and nothing builds it"
		done
	done
	for major in 7.4.0-rc1-amd64 6.0.12 6.2.0-39-generic 16.1.0 6.1 6.10.0 7.30.1; do
		! accepts "$major" || fail "dkms.conf accepts $major"
	done
}

cases=(dkms_conf_accepts_the_series_that_are_built dkms_conf_refuses_every_other_series)
trees=$("$lab_dir/headers")
while read -r series flavour kdir; do
	name=linux_${series//[.-]/_}_${flavour//-/_}_compiles
	eval "$name() { compile $series $flavour $kdir; }"
	cases+=("$name")
done <<<"$trees"
ktap "${cases[@]}"
