#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The command line as words: what it understands, what it says, how it ends.
. "$KVX_TOP/tests/ktap.sh"
kvxfer=$KVX_BUILD/bin/kvxfer

version_is_the_one_of_dkms_conf()
{
	local version
	version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$KVX_TOP/dkms.conf")
	[ "$("$kvxfer" --version)" = "kvxfer $version" ]
}

help_lists_every_command_and_each_has_its_own()
{
	local cmd
	for cmd in $("$kvxfer" help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
		"$kvxfer" help "$cmd" | grep -q "^usage: kvxfer $cmd"
		# and its place in the man page
		grep -q "^\.BR\? .*kvxfer $cmd\|^\.SS .*$cmd" "$KVX_TOP/tools/man/kvxfer.1"
	done
	[ -n "$cmd" ]
}

words_that_are_not_understood_end_with_2()
{
	expect_exit 2 "$kvxfer"
	expect_exit 2 "$kvxfer" nonsense
	expect_exit 2 "$kvxfer" info --nonsense
	expect_exit 2 "$kvxfer" info extra
	expect_exit 2 "$kvxfer" info --device
	expect_exit 2 "$kvxfer" help nonsense
	"$kvxfer" info --nonsense 2>&1 | grep -q "what is '--nonsense'"
}

# Before the kernel is asked anything.
words_about_nodes_are_understood_or_end_with_2()
{
	local words
	for words in dev 'dev x' 'dev list x' 'dev list --all' peer 'peer list x' 'peer show' 'peer show a b' 'peer connect' \
		'peer connect 10.77.0' 'peer connect 10.77.0.2:0' 'peer connect 10.77.0.2:65536' 'peer connect [fd00::2' \
		'peer connect fd00::2::3' 'peer disconnect' 'peer disconnect x --json' rail 'rail list a b' 'rail up x' 'rail up x y' \
		'rail down x 16' 'rail down x -1' 'rail up x 1 2' 'rail down x 1 --json' key 'key set a b' 'key set --json' \
		'key remove x' 'key show x' agent 'agent list x' 'pool list --all x' 'pool show --all x' 'pool fill --all x' 'events x' \
		'events --count' 'events --count 0' 'events --count x' 'events --nonsense'; do
		# shellcheck disable=SC2086
		expect_exit 2 "$kvxfer" $words
	done
}

a_cluster_key_has_16_to_64_bytes()
{
	local out
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	umask 077
	printf '%015d\n' 1 >"$dir/short"
	printf '%065d\n' 1 >"$dir/long"
	for file in short long; do
		out=$("$kvxfer" key set "$dir/$file" 2>&1) && fail 'it worked'
		grep -q 'has 16 to 64 bytes' <<<"$out" || fail "$out"
		out=$("$kvxfer" key set - <"$dir/$file" 2>&1) && fail 'it worked'
		grep -q 'has 16 to 64 bytes' <<<"$out" || fail "$out"
		! grep -q warning <<<"$out"
	done
	chmod 644 "$dir/short"
	out=$("$kvxfer" key set "$dir/short" 2>&1) && fail 'it worked'
	grep -q "warning: others can read $dir/short" <<<"$out"
	out=$("$kvxfer" key set "$dir/none" 2>&1) && fail 'it worked'
	grep -q "$dir/none: No such file" <<<"$out"
}

# until_it_says WORDS: read what the terminal shows, up to there.
until_it_says()
{
	local c
	until [[ $out == *"$1" ]]; do
		IFS= read -r -N 1 c <&"${terminal[0]}" || fail "it ends with: $out"
		out+=$c
	done
}

a_key_that_is_typed_is_not_shown()
{
	local out=
	coproc terminal { script -qec "'$kvxfer' key set" /dev/null 2>&1; }
	until_it_says 'cluster key: '
	echo 'what nobody shall see' >&"${terminal[1]}"
	until_it_says 'once more: '
	echo 'what somebody mistyped' >&"${terminal[1]}"
	until_it_says 'the two are not the same'
	[[ $out != *what* ]] || fail "$out"
	expect_exit 1 wait "$terminal_PID"
}

a_missing_device_ends_with_1()
{
	expect_exit 1 "$kvxfer" info --device /dev/kvxfer-that-is-not
	expect_exit 1 "$kvxfer" info --device /dev/null
	"$kvxfer" info --device /dev/null 2>&1 | grep -q 'not a kvxfer device'
}

complete_words()
{
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	_kvxfer
	echo "${COMPREPLY[*]}"
}

the_shell_completes_words()
{
	PATH=$KVX_BUILD/bin:$PATH
	. "$KVX_TOP/tools/system/kvxfer.bash-completion"
	[ "$(complete_words kvxfer in)" = info ]
	[ "$(complete_words kvxfer info --)" = '--json --device' ]
	[ "$(complete_words kvxfer help inf)" = info ]
	[ "$(complete_words kvxfer info --device /dev/nul)" = /dev/null ]
	[ "$(complete_words kvxfer pool '')" = 'create list show rm fill sum load' ]
	[ "$(complete_words kvxfer pool fill --se)" = --seed ]
	[ "$(complete_words kvxfer pool load /etc/hostn)" = /etc/hostname ]
	[ "$(complete_words kvxfer peer '')" = 'list show connect disconnect' ]
	[ "$(complete_words kvxfer rail '')" = 'list up down' ]
	[ "$(complete_words kvxfer key '')" = 'set remove show' ]
	[ "$(complete_words kvxfer key set /etc/hostn)" = /etc/hostname ]
	[ "$(complete_words kvxfer events --)" = '--json --count' ]
	[ "$(complete_words kvxfer dev list --)" = --json ]
}

installing_puts_everything_in_its_place()
{
	# Not local: the trap runs when the function has ended.
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	make -s -C "$KVX_TOP" install DESTDIR="$dir" PREFIX=/usr LIBDIR=/usr/lib/x
	(cd "$dir" && find . ! -type d | sort)
	for f in usr/bin/kvxfer usr/include/kvxfer.h usr/include/linux/kvxfer.h usr/lib/x/libkvxfer.so.0 \
		usr/include/linux/kvxfer_netlink.h usr/share/kvxfer/kvxfer.yaml usr/share/man/man8/kvxfer-peer.8 \
		usr/lib/x/libkvxfer.a usr/lib/udev/rules.d/70-kvxfer.rules usr/lib/sysusers.d/kvxfer.conf \
		usr/share/bash-completion/completions/kvxfer usr/share/man/man1/kvxfer.1 \
		usr/share/man/man4/kvxfer.4 usr/share/man/man3/kvx_open.3 \
		usr/share/man/man5/kvxfer-pools.conf.5 usr/lib/systemd/system/kvxfer-pools.service \
		etc/kvxfer/pools.conf; do
		[ -s "$dir/$f" ] || fail "missing: $f"
	done
	[ "$(readlink "$dir/usr/lib/x/libkvxfer.so")" = libkvxfer.so.0 ]
	# A program builds and runs with what was installed, by pkg-config.
	cat >"$dir/first.c" <<-'END'
		#include <kvxfer.h>
		#include <linux/kvxfer.h>
		#include <linux/kvxfer_netlink.h>
		int main(void) { return kvx_version()[0] ? 0 : 1; }
	END
	# shellcheck disable=SC2046
	gcc -o "$dir/first" "$dir/first.c" $(PKG_CONFIG_LIBDIR=$dir/usr/lib/x/pkgconfig \
		PKG_CONFIG_SYSROOT_DIR=$dir pkg-config --cflags --libs kvxfer)
	LD_LIBRARY_PATH=$dir/usr/lib/x "$dir/first"
	rm "$dir/first" "$dir/first.c"
	# A file that the administrator has written to stays, whatever comes and goes.
	echo 'mine 1M' >"$dir/etc/kvxfer/pools.conf"
	make -s -C "$KVX_TOP" install DESTDIR="$dir" PREFIX=/usr LIBDIR=/usr/lib/x
	grep -qx ExecStart='/usr/bin/kvxfer pool load' "$dir/usr/lib/systemd/system/kvxfer-pools.service"
	make -s -C "$KVX_TOP" uninstall DESTDIR="$dir" PREFIX=/usr LIBDIR=/usr/lib/x
	[ "$(cd "$dir" && find . ! -type d)" = ./etc/kvxfer/pools.conf ] || fail "left: $(find "$dir" ! -type d)"
	[ "$(cat "$dir/etc/kvxfer/pools.conf")" = 'mine 1M' ]
	# What this made says the paths of another place: make it anew.
	make -s -C "$KVX_TOP" lib
}

systemd_understands_the_unit()
{
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	sed "s,@BINDIR@,$KVX_BUILD/bin," "$KVX_TOP/tools/system/kvxfer-pools.service.in" >"$dir/kvxfer-pools.service"
	out=$(systemd-analyze verify --man=no "$dir/kvxfer-pools.service" 2>&1)
	! grep kvxfer-pools <<<"$out"
}

load_says_which_line_is_wrong()
{
	local out
	dir=$(mktemp)
	trap 'rm -f "$dir"' EXIT
	"$kvxfer" pool load --check "$KVX_TOP/tools/system/pools.conf"
	printf '%s\n' '# a remark' '' 'good 64M --numa 0' 'bad' 'worse 12Q # so' 'odd 1G --colour red' \
		'more 1G --mode' 'last 2M --kind hugetlb --mode 0640' >"$dir"
	out=$("$kvxfer" pool load --check "$dir" 2>&1) && fail 'it worked'
	grep -qF "$dir:4: a new pool wants a name and a size" <<<"$out"
	grep -qF "$dir:5: '12Q' is no size" <<<"$out"
	grep -qF "$dir:6: what is '--colour'?" <<<"$out"
	grep -qF "$dir:7: what is '--mode'?" <<<"$out"
	[ "$(wc -l <<<"$out")" = 4 ] || fail "$out"
	printf '%s\n' "$(printf '%064d' 1) 1M" 'odd 5000' 'huge 3M --kind hugetlb' 'x 1M -yz' 'm 1M --mode 0777' >"$dir"
	out=$("$kvxfer" pool load --check "$dir" 2>&1) && fail 'it worked'
	grep -qF ":1: a name has 1 to 63 characters" <<<"$out"
	grep -qF ":2: the size of this kind of pool is a multiple of 4KiB" <<<"$out"
	grep -qF ":3: the size of this kind of pool is a multiple of 2MiB" <<<"$out"
	grep -qF ":4: what is '-yz'?" <<<"$out"
	grep -qF ":5: what is '0777'?" <<<"$out"
	expect_exit 1 "$kvxfer" pool load --check /nowhere/pools.conf
}

only_the_mapped_symbols_are_exported()
{
	local exported mapped
	exported=$(nm -D --defined-only "$KVX_BUILD/lib/libkvxfer.so.0" | sed -n 's/.* T \(.*\)@@.*/\1/p' | sort)
	mapped=$(sed -n 's/^\t\(kvx_.*\);/\1/p' "$KVX_TOP/ulib/libkvxfer.map" | sort)
	[ -n "$mapped" ]
	diff <(echo "$exported") <(echo "$mapped")
	# and all that the header offers, and has not in itself, is among them
	diff <(grep -v 'static inline' "$KVX_TOP/ulib/kvxfer.h" | grep -oE '\bkvx_[a-z_]+\(' | tr -d '(' | sort -u) <(echo "$mapped")
}

ktap version_is_the_one_of_dkms_conf help_lists_every_command_and_each_has_its_own \
	words_that_are_not_understood_end_with_2 words_about_nodes_are_understood_or_end_with_2 \
	a_cluster_key_has_16_to_64_bytes a_key_that_is_typed_is_not_shown a_missing_device_ends_with_1 the_shell_completes_words \
	installing_puts_everything_in_its_place systemd_understands_the_unit load_says_which_line_is_wrong \
	only_the_mapped_symbols_are_exported
