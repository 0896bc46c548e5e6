#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# `make dkms-install` says of each kernel what came of it; DKMS passes over kernels that dkms.conf excludes.
# Time: 300
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"

need dkms make gcc libc6-dev
dir=$build/dkms-install
rm -rf "$dir"
trees=$("$lab_dir/headers")
read -r _ _ kdir < <(grep '^6\.1 amd64 ' <<<"$trees")
kver=$(basename "$kdir")
kver=${kver#linux-headers-}
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$top/dkms.conf")

# machine DIR: a machine with a kernel that has headers, one that has none, and two that are not supported.
machine()
{
	mkdir -p "$1/lib/modules"/{"$kver",6.12.1-amd64,6.2.9-amd64,7.4.0-amd64}
	ln -s "$kdir" "$1/lib/modules/$kver/build"
	ln -s "$kdir" "$1/lib/modules/7.4.0-amd64/build"
}

# planted DIR: the sources in DIR, with an error in one.
planted()
{
	mkdir -p "$1"
	cp -r "$top"/{Makefile,Kbuild,dkms.conf,kmod,uapi,tools} "$1"
	echo 'int kvx_planted(void) { return kvx_no_such_thing; }' >>"$1/kmod/abi.c"
}

failed_build_shows_the_kernel_and_its_log()
{
	local out
	machine "$dir/failed"
	planted "$dir/planted"
	out=$(expect_exit 2 make -s -C "$dir/planted" dkms-install DKMS_ROOT="$dir/failed" 2>&1) || fail "$out"
	grep -qxF "Linux $kver: the build failed" <<<"$out" || fail "$out"
	grep -q "^	.*error: .kvx_no_such_thing. undeclared" <<<"$out" || fail "$out"
	log=$(sed -n 's/^The whole log: //p' <<<"$out")
	grep -q kvx_no_such_thing "$log"
	grep -q 'the build failed for 1$' <<<"$out" || fail "$out"
}

unsupported_kernel_is_not_a_failed_build()
{
	local out
	machine "$dir/unsupported"
	rm -r "$dir/unsupported/lib/modules/$kver"
	out=$(expect_exit 2 make -s -C "$top" dkms-install DKMS_ROOT="$dir/unsupported" 2>&1) || fail "$out"
	grep -qF 'Linux 6.2.9-amd64: not supported by this version' <<<"$out" || fail "$out"
	grep -qF 'Linux 7.4.0-amd64: not supported by this version' <<<"$out" || fail "$out"
	grep -q 'is installed for no kernel' <<<"$out" || fail "$out"
	! grep -q 'failed' <<<"$out" || fail "$out"
}

kernel_without_headers_is_named_with_the_package()
{
	local out
	machine "$dir/headers"
	rm -r "$dir/headers/lib/modules/$kver"
	out=$(expect_exit 2 make -s -C "$top" dkms-install DKMS_ROOT="$dir/headers" 2>&1) || fail "$out"
	grep -q '^Linux 6\.12\.1-amd64: no headers.*linux-headers-6\.12\.1-amd64$' <<<"$out" || fail "$out"
}

# The hook of a kernel's package runs this; its failure leaves that package half-configured.
autoinstall_passes_over_an_unsupported_kernel()
{
	local out root=() args=(-k 7.4.0-amd64 --kernelsourcedir "$kdir" --sourcetree "$dir/auto/usr/src"
		--dkmstree "$dir/auto/var/lib/dkms" --installtree "$dir/auto/lib/modules" --no-depmod)
	[ "$(id -u)" = 0 ] || root=(unshare -r)
	machine "$dir/auto"
	rm -r "$dir/auto/lib/modules/$kver"
	make -s -C "$top" dkms-install DKMS_ROOT="$dir/auto" >/dev/null 2>&1 || :
	out=$(sign_file=/nonexistent "${root[@]}" dkms autoinstall "${args[@]}" 2>&1) || fail "autoinstall: $?" "$out"
	! grep -q 'Error!' <<<"$out" || fail "$out"
	# DKMS itself refuses it, too: with another status than that of a failed build.
	sign_file=/nonexistent expect_exit 77 "${root[@]}" dkms build -m kvxfer -v "$version" "${args[@]}"
}

ktap failed_build_shows_the_kernel_and_its_log unsupported_kernel_is_not_a_failed_build \
	kernel_without_headers_is_named_with_the_package autoinstall_passes_over_an_unsupported_kernel
