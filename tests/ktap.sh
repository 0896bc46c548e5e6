# SPDX-License-Identifier: GPL-2.0-only
# A test in shell: source this, write functions, and end with `ktap FUNCTION...`. Each is a case: it
# runs in a subshell under `set -eu`, and passes when it ends with 0. What it prints is shown if it fails.

# Words given to the test name the cases that are wanted.
ktap_wanted=("$@")

ktap()
{
	local n=0 bad=0 out err

	[ ${#ktap_wanted[@]} = 0 ] || set -- "${ktap_wanted[@]}"
	echo 'KTAP version 1'
	echo "1..$#"
	for c; do
		n=$((n + 1))
		err=0
		# Neither || nor `if` around it: both would turn off set -e inside.
		set +e
		out=$(set -eu; "$c" 2>&1)
		err=$?
		if [ $err = 0 ]; then
			echo "ok $n $c"
		else
			sed 's/^/# /' <<<"$out"
			echo "not ok $n $c"
			bad=1
			# The other node would be in another case than this one.
			[ "${NODES:-1}" = 1 ] || { echo 'Bail out!'; break; }
		fi
	done
	exit $bad
}

# fail WORD...: end the case.
fail()
{
	echo "$*"
	exit 1
}

# expect_exit N CMD...: CMD must exit with N.
expect_exit()
{
	local want=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" = "$want" ] || fail "exit status $got, not $want: $*"
}
