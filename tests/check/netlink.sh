#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The netlink specification and the headers agree, name by name and number by number; what the specification says
# is whole; and the command shows all of it.
. "$KVX_TOP/tests/ktap.sh"
cd "$KVX_TOP" || exit 1
spec=uapi/kvxfer.yaml header=uapi/linux/kvxfer_netlink.h main=uapi/linux/kvxfer.h

# "NAME NUMBER" for all that the specification numbers, in the names that C has for it. It is of a form so regular that
# the indentation tells what a line is.
spec_numbers()
{
	awk '
	function c(word) { gsub(/-/, "_", word); return toupper(word) }
	/^[a-z]/ { section = $1; n = 0 }
	/^name: / { print "KVXFER_NL_FAMILY", $2 }
	section == "definitions:" && /^    type: / { type = $2 }
	section == "definitions:" && /^    name: / { prefix = "KVXFER_" c($2); n = 0 }
	section == "definitions:" && /^    value: / && type == "const" { print prefix, $2 }
	section == "definitions:" && /^        name: / { print prefix "_" c($2), n++ }
	section == "attribute-sets:" && /^    name-prefix: / { prefix = c($2); n = 1 }
	section == "attribute-sets:" && /^        name: / { print prefix c($2), n++ }
	section == "operations:" && /^  name-prefix: / { prefix = c($2); n = 1 }
	section == "operations:" && /^      name: / { print prefix c($2), n++ }
	section == "mcast-groups:" && /^      name: / { print "KVXFER_NL_GROUP_" c($2), $2 }' "$1" | sort
}

# The same from the headers: the one of netlink, and of the other what the specification takes from there. The first
# number of a list is no attribute and no command; the last two are not, either.
header_numbers()
{
	{
		cat "$1"
		sed -n '/^enum kvxfer_refusal {/,/^}/p' "$2"
	} | awk '
	/^#define KVXFER_NL_/ && NF == 3 && $2 !~ /_VERSION$/ { gsub(/"/, "", $3); print $2, $3 }
	/^enum / { n = 0; on = 1 }
	/^}/ { on = 0 }
	on && /^\t[A-Z_]/ {
		name = $1
		sub(/,.*/, "", name)
		if (name ~ /^__/ || /= __/)
			next
		if (match($0, /= [0-9]+/))
			n = substr($0, RSTART + 2, RLENGTH - 2) + 0
		if (name !~ /_UNSPEC$/ || n)
			print name, n
		n++
	}' | sort
}

agree()
{
	diff <(spec_numbers "$1") <(header_numbers "$2" "$3")
}

the_numbers_agree()
{
	agree $spec $header $main
	[ "$(spec_numbers $spec | wc -l)" -gt 100 ]
	[ -z "$(spec_numbers $spec | cut -d' ' -f1 | uniq -d)" ]
}

# What this awk says the numbers are is what a compiler says.
the_compiler_sees_the_same_numbers()
{
	{
		printf '#include "%s"\n' $header $main
		header_numbers $header $main | awk '$2 ~ /^[0-9]+$/ {
			print "_Static_assert(" $1 " == " $2 ", \"" $1 " is not " $2 "\");" }'
	} | gcc -x c -fsyntax-only -
}

# found FILE SED: a file that was changed so does not agree any more.
found()
{
	local file=$1
	cp $spec $header $main build/tests/netlink/
	sed -i "$2" "build/tests/netlink/${file##*/}"
	! cmp -s "$file" "build/tests/netlink/${file##*/}" || fail "this changes nothing in $file: $2"
	! agree build/tests/netlink/{kvxfer.yaml,kvxfer_netlink.h,kvxfer.h} >/dev/null ||
		fail "this was not found in $file: $2"
}

what_differs_is_found()
{
	local change
	mkdir -p build/tests/netlink
	for change in '1,/^name: kvxfer/s/^name: kvxfer/name: kvxfet/' '/value: 64/s/64/65/' 's/name: numa-node/name: numa/' \
		'/^        name: ports$/,/^      -/d' 's/^      name: rail-set/      name: rail-put/' \
		'0,/^        name: waiting/s//        name: idle/' 's/^        name: iwarp/        name: roce/' \
		's/^        name: yours/        name: theirs/' '/^attribute-sets:/,/^operations:/s/name-prefix: kvxfer-nl-key-/name-prefix: kvxfer-nl-kay-/' \
		's/^      name: events$/      name: event/' 's/^  name-prefix: kvxfer-nl-cmd-/  name-prefix: kvxfer-cmd-/'; do
		found $spec "$change"
	done
	for change in '/KVXFER_NL_DEV_PORTS,/d' '/KVXFER_NL_CMD_KEY_GET,/d' 's/KVXFER_NL_EVENT_UP,/KVXFER_NL_EVENT_UP = 7,/' \
		'/KVXFER_NL_RAIL_DOWN,/{h;d};/KVXFER_NL_RAIL_DEV,/G' 's/_SECRET_MAX\t64/_SECRET_MAX\t65/' 's/"events"/"event"/' \
		's/KVXFER_NL_POOL_AGE_NS,/&\n\tKVXFER_NL_POOL_MORE,/' 's/"kvxfer"/"kvxfet"/' \
		's/KVXFER_NL_AGENT_UNSPEC,/&\n\tKVXFER_NL_AGENT_FIRST,/'; do
		found $header "$change"
	done
	for change in 's/KVXFER_REFUSAL_LEAVING\t.*/&\n\tKVXFER_REFUSAL_MORE = 99,/' '/^\tKVXFER_REFUSAL_LANE/d' \
		'/^\tKVXFER_REFUSAL_SELF/s/= 4/= 14/'; do
		found $main "$change"
	done
}

# Of each attribute its type and what it is; of each word that stands for another, that other.
the_specification_is_whole()
{
	awk '
	function bad(what) { print "line " NR ": " what; failed = 1 }
	function ended() { if (attr && type != "pad" && (!type || !doc)) bad(set "." attr " has no type or no doc"); attr = "" }
	/^[a-z]/ { ended(); section = $1 }
	section == "definitions:" && /^    name: / { defined[$2] = 1 }
	section == "attribute-sets:" && /^    name: / { ended(); set = $2; sets[set] = 1 }
	section == "attribute-sets:" && /^        name: / { ended(); attr = $2; type = doc = ""; attrs[set "." attr] = 1 }
	section == "attribute-sets:" && /^        type: / { type = $2 }
	section == "attribute-sets:" && /^        doc: / { doc = $2 }
	/^        enum: / || /^ +(min|max)-len: / { if (!defined[$2]) bad("there is no " $2) }
	section == "operations:" && /^      name: / { op = $2; set = "" }
	section == "operations:" && /^      attribute-set: / { set = $2; if (!sets[set]) bad("there is no set " set) }
	section == "operations:" && /^ +- [a-z]/ { used[set "." $2] = 1; if (!attrs[set "." $2]) bad("there is no " set "." $2) }
	section == "operations:" && /^      mcgrp: / { groups[$2] = 1 }
	section == "mcast-groups:" && /^      name: / { delete groups[$2] }
	END {
		for (g in groups) bad("there is no group " g)
		for (a in attrs) if (a !~ /\.pad$/ && !used[a]) bad(a " is in no message")
		exit failed
	}' $spec
}

every_command_and_attribute_is_used_by_the_command()
{
	local word
	for word in $(spec_numbers $spec | awk '/^KVXFER_NL_/ && !/_PAD / { print $1 }'); do
		grep -qw "$word" tools/*.[ch] || fail "nothing in tools/ uses $word"
	done
}

every_refusal_has_words()
{
	local word
	for word in $(sed -n '/^enum kvxfer_refusal {/,/^}/s/^\t\(KVXFER_REFUSAL_[A-Z]*\).*/\1/p' $main); do
		grep -q "^	\[$word\] = \"" ulib/error.c || fail "ulib/error.c has no words for $word"
	done
	[ -n "$word" ]
}

ktap the_numbers_agree the_compiler_sees_the_same_numbers what_differs_is_found the_specification_is_whole \
	every_command_and_attribute_is_used_by_the_command every_refusal_has_words
