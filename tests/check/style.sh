#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What a maintainer would send back without reading further.
# Time: 300
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"
cd "$top" || exit 1

# The files of the tree: those that git knows, or all when this is no checkout.
tree()
{
	git ls-files --cached --others --exclude-standard -- "$@" 2>/dev/null ||
		find "$@" -type f 2>/dev/null
}

sources()
{
	tree kmod uapi ulib tools tests | grep -E '\.[ch]$'
}

# checkpatch IGNORED FILE...: by the script of the lab's kernel, but outside a kernel tree.
checkpatch()
{
	local kernel dir=$build/checkpatch ignored=$1 out
	shift
	kernel=$("$lab_dir/kernels" uml)
	mkdir -p "$dir/include"
	cp "$kernel"/source/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch} "$dir"
	# It leaves a file where it stands.
	out=$(cd "$dir" && perl ./checkpatch.pl --root . --no-tree --strict --no-summary --terse --show-types \
		--ignore "FILE_PATH_CHANGES,$ignored" -f "${@/#/$top/}" 2>&1) || true
	[ -z "$out" ] || fail "$out"
}

# compat.h compares versions the way versions are compared; uapi has no BIT(); trace.h is laid out as all of its kind are.
checkpatch_strict_for_the_kernel()
{
	# shellcheck disable=SC2046
	checkpatch LINUX_VERSION_CODE,CONSTANT_COMPARISON,BIT_MACRO $(sources | grep -E '^(kmod|uapi|tests/kunit)/' | grep -v trace.h)
	checkpatch OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT kmod/trace.h
}

# The same style, less what only makes sense inside a kernel.
checkpatch_strict_for_user_space()
{
	# shellcheck disable=SC2046
	checkpatch CAMELCASE,PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,AVOID_EXTERNS,VOLATILE,USE_NEGATIVE_ERRNO,MACRO_ARG_REUSE,MACRO_WITH_FLOW_CONTROL,SPDX_LICENSE_TAG,STRCPY,BIT_MACRO \
		$(sources | grep -vE '^(kmod|uapi|tests/kunit)/')
}

kernel_doc_is_whole()
{
	local kernel out
	kernel=$("$lab_dir/kernels" uml)
	# shellcheck disable=SC2046
	out=$(perl "$kernel/source/scripts/kernel-doc" -none -Werror $(tree kmod uapi | grep '\.[ch]$') 2>&1) ||
		fail "$out"
	[ -z "$out" ] || fail "$out"
}

every_exported_function_of_the_module_is_documented()
{
	local f name
	# none.c stands in for files that document the same functions.
	for f in $(tree kmod | grep '\.c$' | grep -v rdma/none); do
		# Functions that begin at the margin and are not static, with their opening brace at the margin.
		for name in $(grep -P '^[a-z]' "$f" | grep -vE '^(static|module_|struct [a-z_]+ \{)' | grep -oP '\bkvx_\w+(?=\()'); do
			grep -q "^ \* $name() - " "$f" || fail "$f: $name() has no kernel-doc"
		done
	done
}

every_file_says_its_licence()
{
	local f want
	for f in $(tree . | grep -vE '^(\./)?(LICENSES/|.*\.md$|\.gitignore|ulib/kvxfer\.pc\.in|.*\.txt$)'); do
		case ${f#./} in
		kmod/*) want='GPL-2.0-only' ;;
		uapi/*) want='GPL-2.0-only WITH Linux-syscall-note' ;;
		ulib/*) want='LGPL-2.1-or-later OR MIT' ;;
		*) want='GPL-2.0-only' ;;
		esac
		head -n 3 "$f" | grep -qE "SPDX-License-Identifier: $want( \*/)?$" ||
			fail "$f does not say SPDX-License-Identifier: $want"
	done
}

only_compat_h_knows_of_versions()
{
	local found
	found=$(grep -ln LINUX_VERSION_CODE $(tree kmod) | grep -v '^kmod/compat.h$') || true
	[ -z "$found" ] || fail "LINUX_VERSION_CODE in $found"
}

nothing_that_can_bring_a_machine_down_or_tell_an_address()
{
	local found
	found=$(grep -nE '\bBUG(_ON)?\(|%px|%pK|\bpanic\(' $(tree kmod)) || true
	[ -z "$found" ] || fail "$found"
}

files_hold_one_concept()
{
	local f lines limit
	for f in $(sources); do
		lines=$(wc -l <"$f")
		limit=900
		[ "${f##*.}" = c ] || limit=400
		# The interfaces are one each, and most of them is their own documentation.
		case $f in uapi/linux/kvxfer.h | ulib/kvxfer.h) continue ;; esac
		[ "$lines" -le $limit ] || fail "$f has $lines lines, of $limit"
	done
}

shell_scripts_are_clean()
{
	# SC1091: what is sourced is found at run time. SC2086 is asked of the places that mean it.
	# shellcheck disable=SC2046
	shellcheck -S warning -e SC1091,SC2154,SC2046 $(grep -lE '^#!/bin/(ba)?sh' $(tree .))
}

ktap checkpatch_strict_for_the_kernel checkpatch_strict_for_user_space kernel_doc_is_whole every_exported_function_of_the_module_is_documented \
	every_file_says_its_licence only_compat_h_knows_of_versions \
	nothing_that_can_bring_a_machine_down_or_tell_an_address files_hold_one_concept shell_scripts_are_clean
