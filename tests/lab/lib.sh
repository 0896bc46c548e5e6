# SPDX-License-Identifier: GPL-2.0-only
# Shared by the lab's scripts: where things are, how to say things, how to install things.
# Source it; do not run it.

lab_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$lab_dir/../.." && pwd)
cache=${KVX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvxfer}
build=$top/build
jobs=$(nproc)

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
}

# as_root CMD...: run CMD as root, by whatever this user has for that.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "need root for: $*
  Run it as root yourself, then run this again."
	fi
}

apt_updated=
apt_update()
{
	[ -z "$apt_updated" ] || return 0
	apt_updated=1
	say "apt: refreshing the package lists"
	mkdir -p "$cache"
	(
		flock 9
		as_root apt-get -qq update >&2
	) 9>"$cache/apt.lock" || die "apt-get update failed: is a Debian mirror reachable?"
}

# Which package lists are read: this system's, or those of Debian's backports for its next release, which the
# lab keeps in its cache, so that this system's apt never learns of them.
kvx_backports=trixie-backports
apt_lists=()

use_own_lists()
{
	apt_lists=()
}

use_backports()
{
	local dir=$cache/apt-$kvx_backports
	apt_lists=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$dir/sources" -o "Dir::State::Lists=$dir/lists"
		-o "Dir::Cache=$dir/cache" -o APT::Sandbox::User=root)
	[ -e "$dir/done" ] || lists_update
}

# lists_update: those in use. For the backports, the mirror is the one that this system has Debian from.
lists_update()
{
	local dir=$cache/apt-$kvx_backports mirror
	[ ${#apt_lists[@]} != 0 ] || { apt_update; return; }
	mkdir -p "$dir"/{sources,lists/partial,cache/archives/partial}
	(
		flock 9
		mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
			'Label: Debian' | head -n 1)
		printf '%s\n' 'Types: deb' "URIs: ${mirror:-http://deb.debian.org/debian}" "Suites: $kvx_backports" \
			'Components: main' 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' \
			>"$dir/sources/backports.sources"
		say "apt: fetching the package lists of $kvx_backports"
		apt-get "${apt_lists[@]}" -qq update >"$dir/log" 2>&1 && ! grep -q '^[EW]: ' "$dir/log" || {
			tail -n 3 "$dir/log" >&2
			die "no package lists of $kvx_backports: is a Debian mirror reachable?"
		}
		touch "$dir/done"
	) 9>"$dir.lock"
}

# One at a time: apt does not wait for another of its kind.
apt_install()
{
	(
		flock 9
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
			--no-install-recommends "$@" </dev/null >"$cache/apt.log" 2>&1
	) 9>"$cache/apt.lock"
}

# need PACKAGE...: install those Debian packages that are missing, without their recommendations.
# A kernel image must never be among them: lab kernels are unpacked in the cache, not installed.
need()
{
	local p missing=()

	for p; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
			missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null ||
		die "these Debian packages are missing and there is no apt-get: ${missing[*]}"
	say "apt: installing ${missing[*]}"
	apt-cache show "${missing[@]}" >/dev/null 2>&1 || apt_update
	mkdir -p "$cache"
	# Lists that are there may be too old to find anything by: then once more with new ones.
	apt_install "${missing[@]}" || { apt_update; apt_install "${missing[@]}"; } || {
		tail -n 5 "$cache/apt.log" >&2
		die "apt-get install failed: ${missing[*]} (log: $cache/apt.log)"
	}
}

# progress LABEL TOTAL: copy nothing, count the lines of standard input, and show how far that is
# of TOTAL: a bar that moves on a terminal, a line every tenth elsewhere.
progress()
{
	local label=$1 total=$2 n=0 start=$SECONDS tenth=0 shown=-1 line pct

	while IFS= read -r line; do
		n=$((n + 1))
		pct=$((n * 100 / total))
		[ "$pct" -lt 99 ] || pct=99
		if [ -t 2 ]; then
			[ "$pct" = "$shown" ] || printf '\r%-38s [%-25.*s] %3d%% %4ds ' "$label" \
				$((pct / 4)) '#########################' "$pct" $((SECONDS - start)) >&2
			shown=$pct
		elif [ $((pct / 10)) -gt "$tenth" ]; then
			tenth=$((pct / 10))
			say "$label: $pct% after $((SECONDS - start)) s"
		fi
	done
	[ ! -t 2 ] || printf '\r%-38s [%s] %3d%% %4ds \n' "$label" \
		'#########################' 100 $((SECONDS - start)) >&2
}
