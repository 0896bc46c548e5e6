#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Documentation is there, renders without a warning, and speaks of what exists.
. "$KVX_TOP/tests/ktap.sh"
cd "$KVX_TOP" || exit 1

man_pages_render_without_a_warning()
{
	local page out
	for page in tools/man/*.[1-8] ulib/man/*.[1-8]; do
		# Where a page only refers to another, groff finds that in the folder of pages it belongs to.
		out=$(sed "s,^\.so man[0-9]/,.so ${page%/*}/," "$page" | groff -t -man -ww -Tutf8 -rLL=100n -z -I . 2>&1)
		[ -z "$out" ] || fail "$page: $out"
	done
}

every_function_of_the_library_has_a_page()
{
	local f
	for f in $(grep -oE '\bkvx_[a-z_]+\(' ulib/kvxfer.h | tr -d '(' | sort -u); do
		[ -s "ulib/man/$f.3" ] || fail "there is no ulib/man/$f.3"
	done
}

every_command_and_reason_is_in_the_device_page()
{
	local word
	for word in $(grep -oP '^#define \KKVXFER_IOC_[A-Z_]+(?=\s+_IO)' uapi/linux/kvxfer.h); do
		grep -q "$word" tools/man/kvxfer.4 || fail "kvxfer.4 does not speak of $word"
	done
	for word in $(grep -oP '^\tKVXFER_REASON_\K[A-Z_]+(?=\s+=)' uapi/linux/kvxfer.h); do
		grep -q "\b$word\b" tools/man/kvxfer.4 || fail "kvxfer.4 does not speak of $word"
	done
}

the_changelog_knows_this_version()
{
	local version
	version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
	grep -q "^## $version" CHANGELOG.md
}

help_names_every_target_on_one_screen()
{
	local target lines
	lines=$(make -s help | wc -l)
	[ "$lines" -le 24 ] || fail "make help has $lines lines"
	[ "$(make -s help | awk '{ print length }' | sort -n | tail -n 1)" -le 110 ]
	for target in all module lib cli install dkms-install lab test check demo clean help; do
		make -s help | grep -qE "^  $target\b" || fail "make help does not speak of $target"
	done
}

links_in_the_readme_lead_somewhere()
{
	local file
	for file in $(grep -ohP '\]\(\K[^)#:]+(?=\))' README.md HACKING.md); do
		[ -e "$file" ] || fail "$file is not there"
	done
}

the_first_program_of_the_readme_builds()
{
	mkdir -p build/tests
	awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >build/tests/first.c
	[ -s build/tests/first.c ]
	gcc -Wall -Wextra -Werror -Iulib -isystem uapi -o build/tests/first build/tests/first.c build/lib/libkvxfer.a
}

make -s lib cli >/dev/null
ktap man_pages_render_without_a_warning every_function_of_the_library_has_a_page \
	every_command_and_reason_is_in_the_device_page the_changelog_knows_this_version \
	help_names_every_target_on_one_screen links_in_the_readme_lead_somewhere the_first_program_of_the_readme_builds
