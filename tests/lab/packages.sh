# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
# Debian's packages in the lab's cache: finding, downloading and unpacking them. Source it after lib.sh.
# Nothing is installed on this system but tools for building.

# Kernel series that the module is built for, with the flavours that lane headers builds: dkms.conf accepts exactly
# these series.
kvx_series='6.1:amd64,cloud-amd64,rt-amd64 6.12:amd64,cloud-amd64,rt-amd64 7.2:amd64 7.3:amd64,cloud-amd64,rt-amd64'
kvx_newest_kernel=${kvx_series##* }
kvx_newest_kernel=${kvx_newest_kernel%%:*}

recipe=1	# raise it when the steps of the scripts that use entry() change what comes out

# again_with_new_lists SCRIPT ARG...: run SCRIPT, and end as it does. Package lists that are too old name packages that
# are gone: fetch() has then new ones, and ends with 76, and SCRIPT is run once more.
again_with_new_lists()
{
	local out err=0
	[ -z "${KVX_AGAIN:-}" ] || return 0
	export KVX_AGAIN=1
	out=$("$@") || err=$?
	if [ $err = 76 ]; then
		err=0
		out=$("$@") || err=$?
	fi
	[ -z "$out" ] || printf '%s\n' "$out"
	exit $err
}

# candidate PACKAGE: the version apt would install.
candidate()
{
	LC_ALL=C apt-cache "${apt_lists[@]}" policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -v none || true
}

# fetch DIR PACKAGE...: the .deb files of the packages, downloaded into DIR.
fetch()
{
	local dir=$1
	shift
	mkdir -p "$dir"
	say "download: $*"
	(cd "$dir" && apt-get "${apt_lists[@]}" -qq download "$@") >"$dir/download.log" 2>&1 || {
		lists_update
		(cd "$dir" && apt-get "${apt_lists[@]}" -qq download "$@") >"$dir/download.log" 2>&1 || {
			tail -n 3 "$dir/download.log" >&2
			say "error: cannot download $*"
			exit 76
		}
	}
}

# entry NAME PACKAGE BUILD-COMMAND FILE...: the cache entry of PACKAGE as it is now and of FILEs. With also=WORDS, these
# are part of its name, too.
entry()
{
	local name=$1 pkg=$2 cmd=$3 version key dir
	shift 3
	version=$(candidate "$pkg")
	if [ -z "$version" ]; then
		lists_update
		version=$(candidate "$pkg")
		[ -n "$version" ] || die "apt knows no package $pkg: the lab needs Debian 12 with its security archive"
	fi
	key=$( (echo "$recipe $pkg $version${also:+ $also}"; [ $# = 0 ] || cat "$@") | sha256sum | cut -c1-12)
	dir=$cache/kernels/$name-$key
	if [ ! -e "$dir/done" ]; then
		mkdir -p "$cache/kernels"
		(
			flock -n 9 || { say "wait: another run is making $name"; flock 9; }
			[ ! -e "$dir/done" ] || exit 0
			rm -rf "$dir"
			mkdir -p "$dir"
			say "cache: making $name from $pkg $version in $dir"
			# No || behind this group: that would turn off `set -e` in all of it.
			"$cmd" "$dir" "$pkg" "$@"
			touch "$dir/done"
		) 9>"$dir.lock"
		[ -e "$dir/done" ] || return 1
	fi
	echo "$dir"
}

# use_series SERIES: the package lists that SERIES is in.
use_series()
{
	case $1 in
	6.*) use_own_lists ;;
	*) use_backports ;;
	esac
}

# newest_kver SERIES FLAVOUR [image]: the release of the newest kernel of that series and flavour that has headers, or an
# image; or nothing.
newest_kver()
{
	LC_ALL=C apt-cache "${apt_lists[@]}" search --names-only \
		"^linux-${3:-headers}-${1//./\\.}\\.[0-9+a-z-]*[0-9]-$2\$" |
		sed "s/^linux-${3:-headers}-//; s/ .*//" | sort -V | tail -n 1
}

# patch_tools TOOLS FILE...: programs of the next Debian release get its C library, which is in TOOLS.
patch_tools()
{
	local tools=$1 f
	shift
	for f; do
		[ ! -L "$f" ] || continue
		patchelf --print-interpreter "$f" >/dev/null 2>&1 || continue
		patchelf --set-interpreter "$tools/usr/lib64/ld-linux-x86-64.so.2" --force-rpath \
			--set-rpath "$tools/usr/lib/x86_64-linux-gnu" "$f"
	done
}

# unpack_tools DIR PACKAGE: what builds modules for the kernels of the next Debian release.
unpack_tools()
{
	local dir=$1 f

	need patchelf
	fetch "$dir/deb" gcc-14-x86-64-linux-gnu cpp-14-x86-64-linux-gnu pahole libc6 libbpf1 libbz2-1.0 libdw1t64 \
		libelf1t64 libgmp10 libisl23 liblzma5 libmpc3 libmpfr6 libssl3t64 libzstd1 zlib1g
	for f in "$dir"/deb/*.deb; do
		dpkg-deb -x "$f" "$dir"
	done
	rm -r "$dir/deb" "${dir:?}/usr/share"
	patch_tools "$dir" "$dir"/usr/bin/* "$dir"/usr/libexec/gcc/x86_64-linux-gnu/14/*
}

# next_tools: the folder of these tools.
next_tools()
(
	kvx_backports=${kvx_backports%-backports}
	use_backports
	also='' entry tools-"$kvx_backports" gcc-14-x86-64-linux-gnu unpack_tools
)

# unpack_headers DIR KVER...: their headers, as installed, but below DIR/root.
# (Headers are not installed: those of 6.12 would draw in a kernel image.)
unpack_headers()
{
	local dir=$1 kver tools='' f headers deps
	shift
	headers=("${@/#/linux-headers-}")
	mapfile -t deps < <(LC_ALL=C apt-cache "${apt_lists[@]}" depends "${headers[@]}" |
		sed -n 's/^  Depends: \(linux-headers-.*-common\(-rt\)\?\|linux-kbuild-.*\)$/\1/p' | sort -u)
	fetch "$dir/headers" "${headers[@]}" "${deps[@]}"
	for f in "$dir"/headers/*.deb; do
		dpkg-deb -x "$f" "$dir/root"
	done
	rm -r "$dir/headers"
	if [ ${#apt_lists[@]} != 0 ]; then
		tools=$(next_tools)
		find "$dir"/root/usr/lib/linux-kbuild-*/ -type f -perm -100 | while read -r f; do
			patch_tools "$tools" "$f"
		done
	fi
	for kver; do
		f=$dir/root/usr/src/linux-headers-$kver
		# The headers say where they expect to be: make that where they are.
		sed -i -E "s,^(include |KBUILD_OUTPUT ?= ?)/usr/src,\\1$dir/root/usr/src," "$f/Makefile"
		[ -z "$tools" ] || {
			sed -i "s,\$(CROSS_COMPILE)gcc-14,$tools/usr/bin/x86_64-linux-gnu-gcc-14," "$f/.kernelvariables"
			echo "PAHOLE = $tools/usr/bin/pahole" >>"$f/.kernelvariables"
		}
	done
}

# without_rdma KDIR DIR: in DIR, headers of the same kernel as if it had been configured without RDMA: no kernel of
# Debian is. What else depends on that (CGROUP_RDMA) stays, so that modules fit the kernel.
without_rdma()
{
	local from=$1 to=$2 f

	rm -rf "$to"
	mkdir -p "$to"
	cp -rs "$from/." "$to/"
	for f in Makefile .config include/generated/autoconf.h include/config/auto.conf; do
		rm "$to/$f"
		sed -E "/CONFIG_([A-Z0-9_]+_)?INFINIBAND|CONFIG_RDMA_(RXE|SIW)/d; s,^(KBUILD_OUTPUT ?= ?).*,\\1$to," \
			"$from/$f" >"$to/$f"
	done
}
