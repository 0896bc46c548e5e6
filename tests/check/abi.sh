#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The ABI is frozen: the place and size of each field and the value of each constant of <linux/kvxfer.h>,
# for 64 and for 32 bits, are those of abi-frozen.txt. What is new is added to that file by
# `tests/check/abi.sh --freeze`, which refuses to change what stands there already. (Structs may grow at their end,
# and what was reserved may get a name: there are no holes, so that it is where it was.)
top=${KVX_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$top/tests/ktap.sh"
cd "$top" || exit 1
header=uapi/linux/kvxfer.h frozen=tests/check/abi-frozen.txt

# One line for each struct, field and constant. The compiler is asked by way of assembly, so that no
# program of the other width has to run.
abi()
{
	{
		echo '#include "'"$header"'"'
		echo '#define SAY(name, value) __asm__ volatile("=> " name " %c0" :: "i"((long long)(value)))'
		echo 'void abi(void); void abi(void) {'
		awk '/^struct [a-z_]+ \{/ { s = $2; print "SAY(\"struct " s "\", sizeof(struct " s "));" }
			/^}/ { s = "" }
			s && /^\t[a-z_]/ {
				f = $NF; sub(/;$/, "", f); sub(/\[.*/, "", f)
				print "SAY(\"" s "." f " offset\", __builtin_offsetof(struct " s ", " f "));"
				print "SAY(\"" s "." f " size\", sizeof(((struct " s " *)0)->" f "));"
			}' "$header"
		grep -oP '^(#define|\t)\s*\KKVXFER_[A-Z0-9_]+(?=\s+(=|[0-9(_]))' "$header" |
			awk '{ print "SAY(\"" $1 "\", " $1 ");" }'
		echo '}'
	} | gcc "$1" -S -O1 -x c -isystem "/usr/include/$(gcc -print-multiarch)" -ffreestanding -o - - |
		sed -n 's/^\t*=> //p' | sort
}

if [ "${1:-}" = --freeze ]; then
	lost=$(comm -13 <(abi -m64) <(grep -vE '^#|^struct |^KVXFER_ABI_VERSION|\.reserved[0-9]* ' "$frozen" 2>/dev/null | sort))
	[ -z "$lost" ] || fail "these are frozen and would change:" "$lost"
	{
		echo '# SPDX-License-Identifier: GPL-2.0-only'
		echo '# The frozen ABI: see abi.sh. Lines are only ever added, but for what was reserved.'
		abi -m64
	} >"$frozen.new" && mv "$frozen.new" "$frozen"
	exit
fi

as_frozen()
{
	# Both ways: what is frozen stands, and what is new has been frozen.
	diff <(grep -v '^#' "$frozen") <(abi "$1")
	[ "$(abi "$1" | wc -l)" -gt 50 ]
}
for_64_bits() { as_frozen -m64; }
for_32_bits() { as_frozen -m32; }

structs_have_no_holes()
{
	abi -m64 | awk '$1 == "struct" { size[$2] = $3 }
		$2 == "size" { split($1, p, "."); sum[p[1]] += $3 }
		END { for (s in size) if (size[s] != sum[s]) { print s ": " size[s] " bytes, fields of " sum[s]; bad = 1 } exit bad }'
}

numbers_encode_no_size()
{
	! grep -nE '_IO[RW]+\(' "$header"
}

ktap for_64_bits for_32_bits structs_have_no_holes numbers_encode_no_size
