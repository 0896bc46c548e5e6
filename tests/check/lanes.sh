#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Each test runs in the cheapest kernels that can show what it shows, and the documentation says so.
. "$KVX_TOP/tests/ktap.sh"
cd "$KVX_TOP" || exit 1

# field NAME FILE: what the head of a test says, as tests/run reads it.
field()
{
	sed -n '1,20s/^\( \*\|#\|\/\/\) '"$1"': \(.*\)$/\2/p' "$2"
}

emulated_lanes_have_a_reason_and_only_they()
{
	local f lanes
	for f in tests/e2e/*.{c,sh}; do
		lanes=$(field Lanes "$f")
		# Without Lanes, a test whose Labs are all emulated runs in these.
		[ -n "$lanes" ] || { lanes=$(field Labs "$f"); [[ "$lanes" != *uml* ]] || lanes=; }
		case "$lanes" in
		*debian-*) [ -n "$(field Emulated "$f")" ] || fail "$f: it runs in an emulated kernel, and no 'Emulated:' says why" ;;
		*) [ -z "$(field Emulated "$f")" ] || fail "$f: 'Emulated:', but no emulated lane" ;;
		esac
	done
}

lanes_are_among_the_kernels_that_a_test_can_run_in()
{
	local f lane labs
	for f in tests/e2e/*.{c,sh}; do
		labs=" $(field Labs "$f" | grep . || echo uml uml-smp uml-debug debian-6.1 debian-6.12) "
		for lane in $(field Lanes "$f"); do
			[[ "$labs" == *" $lane "* ]] || fail "$f: $lane is not among the kernels that it can run in:$labs"
		done
		for lane in $labs; do
			[[ " uml uml-smp uml-debug debian-6.1 debian-6.12 " == *" $lane "* ]] || fail "$f: there is no kernel $lane"
		done
	done
}

cases_that_a_head_names_exist()
{
	local f name lab
	for f in tests/e2e/*.{c,sh}; do
		while read -r lab name; do
			[ -n "$lab" ] || continue
			[[ " debian uml uml-smp uml-debug debian-6.1 debian-6.12 " == *" $lab "* ]] || fail "$f: there is no lane $lab"
			for name in $name; do
				grep -qE "^(TEST\($name\)|$name\(\))" "$f" || fail "$f: there is no case $name"
			done
		done < <(field Cases "$f")
	done
}

a_test_without_a_reason_is_refused()
{
	local tree=$KVX_BUILD/check-lanes
	trap 'rm -rf "$KVX_BUILD/check-lanes"' EXIT
	rm -rf "$tree"
	mkdir -p "$tree/tests/e2e"
	printf '%s\n' '// SPDX' '/*' ' * X.' ' * Lanes: uml-smp debian-6.12' ' */' >"$tree/tests/e2e/planted.c"
	cp tests/e2e/cli.sh "$tree/tests/e2e/"
	! (cd "$tree" && emulated_lanes_have_a_reason_and_only_they) || fail 'it was taken'
	sed -i 's/^ \*\/$/ * Emulated: why\n&/' "$tree/tests/e2e/planted.c"
	(cd "$tree" && emulated_lanes_have_a_reason_and_only_they)
}

the_table_in_the_documentation_is_what_the_heads_say()
{
	diff <(sed -n '/^| test | uml /,/^$/p' HACKING.md | grep .) <(tests/run --table) ||
		fail 'HACKING.md: write the table again, by: tests/run --table'
}

ktap emulated_lanes_have_a_reason_and_only_they lanes_are_among_the_kernels_that_a_test_can_run_in \
	cases_that_a_head_names_exist a_test_without_a_reason_is_refused the_table_in_the_documentation_is_what_the_heads_say
