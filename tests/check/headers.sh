#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The public headers, each alone, in every language that may include them.
. "$KVX_TOP/tests/ktap.sh"
cd "$KVX_TOP" || exit 1
strict='-Wall -Wextra -Wpedantic -Werror -fsyntax-only'
multiarch=$(gcc -print-multiarch)

alone()
{
	local cc=$1 lang=$2 std=$3 header
	shift 3
	for header in linux/kvxfer.h linux/kvxfer_netlink.h kvxfer.h; do
		printf '#include <%s>\n#include <%s>\nint nothing;\n' "$header" "$header" |
			"$cc" -x "$lang" -std="$std" $strict "$@" -Iulib -isystem uapi -
	done
	# Not as a system header: then warnings in it count.
	printf '#include "uapi/linux/kvxfer%s.h"\n' '' _netlink | sed '$aint nothing;' | "$cc" -x "$lang" -std="$std" $strict "$@" -
}

as_c() { for std in c99 c11 gnu17; do alone gcc c $std; done; }
as_cxx() { for std in c++11 c++17 c++20; do alone g++ c++ $std; done; }
as_clang_c() { alone clang c c11; }
as_32_bit_c()
{
	# Without a 32-bit C library: the compiler's own headers and the kernel's.
	printf '#include "%s"\n' uapi/linux/kvxfer{,_netlink}.h ulib/kvxfer.h | sed '$aint nothing;' |
		gcc -m32 -ffreestanding -x c -std=c11 $strict -isystem "/usr/include/$multiarch" -
}

initialisers_set_the_size()
{
	printf '%s\n' '#include "ulib/kvxfer.h"' 'struct kvx_info i = KVX_INFO_INIT;' \
		'struct kvx_open_opts o = KVX_OPEN_OPTS_INIT;' 'int main(void) {' \
		'return !(i.size == sizeof(i) && o.size == sizeof(o)); }' |
		gcc -x c -std=c99 -Wall -Wextra -Werror -o build/tests/init - && build/tests/init
}

mkdir -p build/tests
ktap as_c as_cxx as_clang_c as_32_bit_c initialisers_set_the_size
