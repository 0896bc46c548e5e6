#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The lab itself: what it promises, and that it fails when it must.
# Time: 600
. "$KVX_TOP/tests/ktap.sh"
. "$KVX_TOP/tests/lab/lib.sh"
run=$lab_dir/run
# Runs fail here on purpose: what they leave is of no use.
export KVX_LAB_KEEP=no

exit_status_and_output_come_back()
{
	local out
	out=$(expect_exit 7 "$run" uml -- bash -c 'echo "a  b"; uname -n; exit 7' 2>/dev/null)
	[ "$out" = $'a  b\nnode1' ] || fail "$out"
	[ "$("$run" uml -- printf '%s|' 'one two' "it's" '$HOME' 2>/dev/null)" = "one two|it's|\$HOME|" ]
}

parameters_reach_the_module()
{
	[ "$("$run" uml -p max_agents=9 -- cat /sys/module/kvxfer/parameters/max_agents 2>/dev/null)" = 9 ]
}

nothing_reaches_this_machine()
{
	local probe=$build/lab/probe.$$
	"$run" uml -- bash -c "echo x >$probe; cat $probe; rm -f $top/README.md; ! [ -e $top/README.md ]" >/dev/null
	[ ! -e "$probe" ]
	[ -e "$top/README.md" ]
}

two_nodes_are_labelled_and_both_count()
{
	local out
	out=$("$run" uml -n 2 -- bash -c 'echo "I am $NODE of $NODES"' 2>/dev/null | sort)
	[ "$out" = $'1| I am 1 of 2\n2| I am 2 of 2' ] || fail "$out"
	expect_exit 5 "$run" uml -n 2 -- bash -c '[ $NODE = 1 ] || exit 5'
}

a_hang_is_ended_and_says_where()
{
	local out
	out=$(KVX_SLOW=100 expect_exit 124 "$run" uml -t 2 -- bash -c 'tail -f /dev/null' 2>&1)
	grep -q 'not done after 2 s' <<<"$out"
	grep -q 'tail -f /dev/null' <<<"$out"
}

a_kernel_that_hangs_is_ended_and_says_where()
{
	local out
	out=$(KVX_SLOW=100 expect_exit 124 "$run" uml-debug -t 8 -- insmod "$build/planted/planted.ko" what=hang 2>&1) || fail "$out"
	grep -q 'not done after 8 s' <<<"$out"
	grep -q 'insmod' <<<"$out"
}

a_kernel_that_dies_is_a_failure_with_its_last_words()
{
	local out
	out=$(expect_exit 1 "$run" uml -- bash -c 'echo c >/proc/sysrq-trigger' 2>&1)
	grep -q 'died or hung' <<<"$out"
	grep -q 'sysrq triggered crash' <<<"$out"
}

a_node_that_dies_is_not_waited_for_by_the_other()
{
	local out
	# Had the time come to its end it were 124.
	# shellcheck disable=SC2016 # the node knows which it is
	out=$(expect_exit 1 "$run" uml -n 2 -t 100 -- \
		bash -c '[ $NODE = 1 ] || echo c >/proc/sysrq-trigger; sleep 1000' 2>&1)
	grep -q 'node 2 died or hung' <<<"$out"
	grep -q 'sysrq triggered crash' <<<"$out"
}

# fails_with TEXT RUN-ARG...
fails_with()
{
	local text=$1 out
	shift
	out=$(expect_exit 1 "$run" "$@" 2>&1) || fail "$out"
	grep -q "$text" <<<"$out" || fail "'$text' is not in:" "$out"
}

a_line_that_says_warning_fails_the_run()
{
	fails_with 'the kernel complained' uml -- bash -c 'echo "WARNING: CPU: 0 PID: 1 at x.c:1" >/dev/kmsg'
}

# warns AT CALLER [MORE]: a report of a warning, as a kernel would have written it
warns()
{
	cat <<-END
	------------[ cut here ]------------
	WARNING: CPU: 0 PID: 82 at drivers/x.c:1019 $1+0x103/0x1c0 [x]
	Call Trace:
	 ib_mad_post_receive_mads+0x1c5/0x380 [ib_core]
	 ib_mad_recv_done+0x3d7/0xbf0 [ib_core]
	 $2+0x4b/0xb0 [ib_core]
	${3:-RIP: 0}
	---[ end trace 0000000000000000 ]---
	END
}

what_a_kernel_itself_does_wrong_is_no_failure_and_all_else_is()
{
	local log=$build/lab/log.$$ allowed
	allowed=$(warns rxe_post_recv __ib_process_cq)
	expect_exit 0 "$run" uml -- bash -c "while read -r line; do echo \"\$line\" >/dev/kmsg; done <<<'$allowed'"
	trap 'rm -rf "$build/lab/log.$$"' EXIT
	mkdir -p "$log"
	scans()
	{
		cat >"$log/console.1"
		expect_exit "$1" "$lab_dir/scan-log" x "$log" 1 2>/dev/null
	}
	scans 0 <<<"$allowed"
	scans 1 < <(warns kvx_link_end __ib_process_cq)
	scans 1 < <(warns rxe_post_recv kvx_link_end)
	scans 1 < <(warns rxe_post_recv __ib_process_cq 'BUG: KASAN: slab-use-after-free')
	scans 1 < <(echo "$allowed"; warns kvx_link_end __ib_process_cq; echo "$allowed")
	scans 1 < <(head -n 6 <<<"$allowed" | grep -v ib_mad_recv_done)
	scans 1 < <(echo "$allowed"; echo 'Call Trace:')
}

a_module_that_cannot_go_fails_the_run()
{
	fails_with 'something still uses it' uml -- bash -c 'exec 5<>/dev/kvxfer; setsid tail -f /dev/null &'
}

what_the_host_has_for_its_own_kernels_does_not_reach_a_guest()
{
	local kver options=(-m)
	kver=$(cat "$("$lab_dir/kernels" debian-6.1)/kver")
	[ "$(id -u)" = 0 ] || options+=(-r)
	host_dir=$build/lab/host.$$
	trap 'rmdir "$host_dir"' EXIT
	mkdir "$host_dir"
	# As if headers of the same release were installed here, and modules were kept from being loaded.
	# shellcheck disable=SC2016
	unshare "${options[@]}" bash -euc '
		mount -t tmpfs tmpfs "$3"
		mkdir -p "$3"/{upper,work}
		mount -t overlay -o "lowerdir=/usr/lib,upperdir=$3/upper,workdir=$3/work" overlay /usr/lib
		mkdir -p "/lib/modules/$2/build" /lib/modprobe.d /lib/udev/rules.d
		touch "/lib/modules/$2/modules.dep"
		printf "%s\n" "blacklist virtio_net" "install virtio_net /bin/false" "install rdma_rxe /bin/false" \
			>/lib/modprobe.d/host.conf
		"$1" debian-6.1 -n 2 -b -- bash -euc "
			modprobe rdma_rxe
			ip -br link show dev eth1
			[ ! -e /lib/modules/$2/build ] || [ -e /lib/modules/$2/kernel ]
			[ ! -e /lib/modprobe.d/host.conf ]"
	' - "$run" "$kver" "$host_dir"
}

a_kernel_that_does_not_start_says_why_in_one_line()
{
	local image=$build/lab/image.$$ out
	trap 'rm -f "$build/lab/image.$$"' EXIT
	# shellcheck disable=SC2016
	printf '%s\n' '#!/bin/sh' 'echo "[    0.1] userspace - ptrace set fp regs failed, errno = 14" >&2' \
		'echo "[    0.1] Kernel panic - not syncing: nothing works" >&2' 'exit 1' >"$image"
	chmod +x "$image"
	out=$(KVX_LAB_IMAGE=$image expect_exit 1 "$run" uml -- true 2>&1)
	grep -q '^lab: uml did not start: .*registers of this processor' <<<"$out" || fail "$out"
	printf '%s\n' '#!/bin/sh' 'exit 1' >"$image"
	out=$(KVX_LAB_IMAGE=$image expect_exit 1 "$run" uml -- true 2>&1)
	grep -q '^lab: uml did not start: it said nothing' <<<"$out" || fail "$out"
	printf '%s\n' '#!/bin/sh' 'echo "[    0.1] Kernel panic - not syncing: nothing works" >&2' 'exit 1' >"$image"
	out=$(KVX_LAB_IMAGE=$image expect_exit 1 "$run" uml -- true 2>&1)
	grep -q '^lab: uml did not start: Kernel panic - not syncing: nothing works$' <<<"$out" || fail "$out"
}

a_test_that_hangs_crashes_or_leaves_fails_alone()
{
	local out rows=$build/planted-suite/results
	out=$(KVX_SLOW=100 KVX_E2E=tests/lab/tests/suite KVX_OUT=$build/planted-suite expect_exit 1 "$top/tests/run" uml 2>&1) || fail "$out"
	[ "$(awk '$3 == 1 && $4 == 0 { print $2 }' "$rows" | sort | paste -sd ' ')" = \
		'a_passes@1 a_passes@2 e_passes@1 e_passes@2 kernel-log' ] || fail "$out"
	[ "$(awk '$4 { print $2 }' "$rows" | sort | grep -v kernel-log | paste -sd ' ')" = \
		'b_hangs@1 b_hangs@2 c_crashes@1 c_crashes@2 d_leaves@1 d_leaves@2' ] || fail "$out"
	grep -q 'd_leaves@2: # node 1 failed with exit status 1: ending this part' <<<"$out" || fail "$out"
}

planted()
{
	fails_with "$2" uml-debug -- insmod "$build/planted/planted.ko" what="$1"
}

the_planted_module_builds()
{
	local kernel
	kernel=$("$lab_dir/kernels" uml-debug)
	mkdir -p "$build/planted"
	cp -rsf "$lab_dir"/tests/planted/* "$build/planted/"
	make -s -C "$kernel/kbuild" ARCH=um M="$build/planted" modules
}

every_planted_fault_is_found()
{
	planted warning 'WARNING: '
	planted use-after-free 'KASAN: slab-use-after-free'
	planted inversion 'possible circular locking'
	planted sleep 'scheduling while atomic\|sleeping function called'
	planted shift 'UBSAN: shift-out-of-bounds'
	planted leak 'memory leaked'
	# and the same module without a fault would pass: it is refused, which is no fault of the kernel's
	expect_exit 0 "$run" uml-debug -- bash -c "! insmod $build/planted/planted.ko what=nothing"
}

two_runs_at_once_do_not_disturb_each_other()
{
	local a b one two
	trap 'rm -f "$build"/lab/{one,two}.'$$ EXIT
	"$run" uml -- bash -c 'echo first; exit 11' >"$build/lab/one.$$" 2>/dev/null &
	one=$!
	"$run" uml -- bash -c 'echo second; exit 12' >"$build/lab/two.$$" 2>/dev/null &
	two=$!
	a=0; wait $one || a=$?
	b=0; wait $two || b=$?
	[ "$a $b" = '11 12' ] || fail "$a $b"
	[ "$(cat "$build/lab/one.$$" "$build/lab/two.$$")" = $'first\nsecond' ]
}

uml_needs_no_privilege()
{
	setpriv --inh-caps=-all --bounding-set=-all --no-new-privs "$run" uml -- true
}

an_unfinished_cache_entry_is_made_anew()
{
	# In a cache of its own, with a kernel that costs little to make: the recipe's steps are stood in for.
	local dir
	# Not local: the trap runs when the function has ended.
	kernels=$build/lab/kernels.$$
	cache_dir=$(mktemp -d)
	trap 'rm -rf "$cache_dir" "$kernels"' EXIT
	sed 's/^build_uml()$/build_uml() { mkdir "$1\/made"; echo made >>"$cache\/made"; }; replaced()/' \
		"$lab_dir/kernels" >"$kernels"
	sed -i "s,\$(dirname \"\$0\"),$lab_dir," "$kernels"
	chmod +x "$kernels"
	dir=$(KVX_CACHE=$cache_dir "$kernels" uml 2>/dev/null | tail -n 1)
	[ -d "$dir/made" ]
	[ -e "$dir/done" ]
	# As if it had died half way:
	rm "$dir/done"
	touch "$dir/half"
	KVX_CACHE=$cache_dir "$kernels" uml >/dev/null 2>&1
	[ ! -e "$dir/half" ]
	[ -e "$dir/done" ]
	# Two at once: one makes it, the other waits, both have it.
	rm "$dir/done" "$cache_dir/made"
	KVX_CACHE=$cache_dir "$kernels" uml >/dev/null 2>&1 &
	KVX_CACHE=$cache_dir "$kernels" uml >/dev/null 2>&1
	wait $!
	[ -e "$dir/done" ]
	[ "$(wc -l <"$cache_dir/made")" = 1 ] || fail "made $(wc -l <"$cache_dir/made") times"
}

ktap exit_status_and_output_come_back parameters_reach_the_module nothing_reaches_this_machine \
	two_nodes_are_labelled_and_both_count a_hang_is_ended_and_says_where the_planted_module_builds \
	a_kernel_that_hangs_is_ended_and_says_where \
	a_kernel_that_dies_is_a_failure_with_its_last_words a_node_that_dies_is_not_waited_for_by_the_other \
	a_line_that_says_warning_fails_the_run \
	what_a_kernel_itself_does_wrong_is_no_failure_and_all_else_is \
	what_the_host_has_for_its_own_kernels_does_not_reach_a_guest a_kernel_that_does_not_start_says_why_in_one_line \
	a_test_that_hangs_crashes_or_leaves_fails_alone \
	a_module_that_cannot_go_fails_the_run every_planted_fault_is_found \
	two_runs_at_once_do_not_disturb_each_other uml_needs_no_privilege an_unfinished_cache_entry_is_made_anew
