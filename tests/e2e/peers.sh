#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Other nodes, as an administrator sees and orders them: both nodes go through the cases in step.
# Nodes: 2
# Labs: uml uml-smp uml-debug debian-6.1 debian-6.12
# Lanes: uml-smp uml-debug
# Time: 300
. "$KVX_TOP/tests/ktap.sh"
other=$((3 - NODE))
kvxfer=$KVX_BUILD/bin/kvxfer
limit_s=$((60 * KVX_SLOW / 100))
steps=0

# The other node's part of this test may have ended too early: what it is waited for never comes then.
partner_has_not_ended()
{
	[ ! -e "$KVX_PARTNER" ] || fail "the other node has ended its part with exit status $(cat "$KVX_PARTNER")"
}

# by_and_by CMD...: until CMD is true, which must not take for ever.
by_and_by()
{
	local end=$((SECONDS + limit_s))
	until "$@"; do
		partner_has_not_ended
		[ $SECONDS -lt $end ] || fail "this never became true: $*"
	done
}

# Until the other has come here, too. It may have failed before.
meet()
{
	steps=$((steps + 1))
	touch "/run/lab/peers.${FUNCNAME[1]}.$steps.$NODE"
	by_and_by [ -e "/run/lab/peers.${FUNCNAME[1]}.$steps.$other" ]
}

first() { [ "$NODE" = 1 ]; }

# until_it_is FILTER WORD...: until what the command says by JSON is so.
until_it_is()
{
	local filter=$1 end=$((SECONDS + limit_s)) out=
	shift
	until out=$("$kvxfer" "$@" --json) && jq -e "$filter" <<<"$out" >/dev/null; do
		[ $SECONDS -lt $end ] || fail "kvxfer $* never is: $filter" "$out"
	done
}

# says WORDS STATUS CMD...: it ends with STATUS, and says WORDS.
says()
{
	local words=$1 want=$2 got=0 out
	shift 2
	out=$("$@" 2>&1) || got=$?
	[ "$got" = "$want" ] || fail "exit status $got, not $want: $*" "$out"
	grep -qF -- "$words" <<<"$out" || fail "$* does not say '$words':" "$out"
}

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

boot_id()
{
	cat /run/lab/peers.boot_id."$1"
}

both_are_connected()
{
	until_it_is 'length == 1 and .[0].state == "connected" and .[0].ready == 1' peer list
	until_it_is 'length == 1 and .[0].state == "ready" and .[0].lanes >= 2' rail list
}

nothing_is_connected()
{
	until_it_is 'all(.ready == 0 and .rails == 0)' peer list
}

# Both at rest, whatever there was before; nobody wants anything of the other.
begin_anew()
{
	! first || "$kvxfer" peer disconnect "$(boot_id 2)"
	nothing_is_connected
}

# hear: from now on events go to a file. heard FILTER: until one is among them. deaf: no more.
hear()
{
	"$kvxfer" events --json >/run/events 2>/run/events.err &
	hearing=$!
	by_and_by grep -q listening /run/events.err
}

heard()
{
	local end=$((SECONDS + limit_s))
	until jq -es "any($1)" </run/events >/dev/null; do
		[ $SECONDS -lt $end ] || fail "this was never heard: $1" "$(cat /run/events)"
	done
}

deaf()
{
	kill -"$1" $hearing
	wait $hearing
}

devices_are_listed_as_they_come()
{
	case $LAB in
	uml*) ;;
	*) modprobe rdma_rxe ;;
	esac
	"$kvxfer" info --json | jq -r .boot_id >/run/boot_id
	cp /run/boot_id "/run/lab/peers.boot_id.$NODE"
	[ "$("$kvxfer" dev list --json)" = '[]' ]
	hear
	rdma link add kvx0 type rxe netdev "$KVX_LAB_NIC"
	heard '.[]; .object == "dev" and .event == "new" and .name == "kvx0" and .usable'
	deaf INT
	"$kvxfer" dev list --json >/run/dev.json
	cat /run/dev.json
	jq -e 'length == 1 and (.[0] | .id > 0 and .name == "kvx0" and .usable == true and .iwarp == false and .ports == 1 and
		.active_ports == 1 and .key_bytes >= 65536 and .keys == 0 and .reg_bytes == 0 and has("why") == false)' /run/dev.json
	"$kvxfer" dev list | grep -qE '^[0-9]+ +kvx0 +IB/RoCE +(-|[0-9]+) +1/1 .* usable$'
	meet
}

a_node_is_connected_by_its_address()
{
	local words
	[ "$("$kvxfer" peer list --json)" = '[]' ]
	[ "$("$kvxfer" rail list --json)" = '[]' ]
	meet
	if first; then
		"$kvxfer" peer connect 10.77.0.2 --json >/run/peer.json
		cat /run/peer.json
		jq -e --arg id "$(boot_id 2)" '.boot_id == $id and .name == "node2" and .state == "connected" and .ready == 1 and
			.down == false and .gone == false and .error == 0 and .refusal == 0' /run/peer.json
	fi
	both_are_connected
	until_it_is ".[0].boot_id == \"$(boot_id $other)\" and .[0].name == \"node$other\"" peer list
	until_it_is ".[0].id == 0 and .[0].remote == \"10.77.0.$other\" and .[0].local == \"10.77.0.$NODE\" and .[0].dev == \"kvx0\" and
		.[0].asked == $(first && echo 'true and .[0].port == 19875' || echo 'false and .[0].port == 0')" rail list
	"$kvxfer" peer list | grep -qE "^$(boot_id $other) node$other +connected +1/1 +$(first && echo 1 || echo 0) +0 +0 +$"
	"$kvxfer" rail list | grep -qE "^node$other +0 ready +kvx0 +10.77.0.$NODE +10.77.0.$other(:19875)? +(us|them) +2 +0B +0B +$"
	"$kvxfer" peer show node$other | grep -q "^boot id  $(boot_id $other)$"
	"$kvxfer" peer show node$other --json | jq -e '.name == "node'$other'" and .rail_list[0].state == "ready"'
	"$kvxfer" rail list "$(boot_id $other)" --json | jq -e 'length == 1'
	meet
	# Once more, in all ways, is no harm, and no second connection.
	if first; then
		for words in 10.77.0.2 10.77.0.2:19875 '[::ffff:10.77.0.2]:19875' node2 "$(boot_id 2)" "$(boot_id 2 | cut -c1-6)"; do
			says "$(boot_id 2) node2: connected, 1 of 1 rails ready" 0 "$kvxfer" peer connect "$words"
		done
	fi
	meet
	both_are_connected
}

the_shell_completes_nodes()
{
	PATH=$KVX_BUILD/bin:$PATH
	. "$KVX_TOP/tools/system/kvxfer.bash-completion"
	COMP_WORDS=(kvxfer peer show node) COMP_CWORD=3 COMPREPLY=()
	_kvxfer
	[ "${COMPREPLY[*]}" = node$other ] || fail "${COMPREPLY[*]}"
	COMP_WORDS=(kvxfer rail down "$(boot_id $other | cut -c1-4)") COMP_CWORD=3 COMPREPLY=()
	_kvxfer
	[ "${COMPREPLY[*]}" = "$(boot_id $other)" ] || fail "${COMPREPLY[*]}"
	COMP_WORDS=(kvxfer rail down "node$other" '') COMP_CWORD=4 COMPREPLY=()
	_kvxfer
	[ "${COMPREPLY[*]}" = 0 ] || fail "${COMPREPLY[*]}"
}

what_happens_is_told_as_it_happens()
{
	hear
	"$kvxfer" events --count 1 >/run/one 2>/run/one.err &
	one=$!
	by_and_by grep -q listening /run/one.err
	meet
	! first || "$kvxfer" peer disconnect node2
	heard '.[]; .object == "rail" and .event == "down" and .id == 0 and .remote == "10.77.0.'$other'"'
	heard '.[]; .object == "peer" and .event == "down" and .name == "node'$other'" and .ready == 0'
	# As text, and it ends after the one that it was to wait for.
	wait $one
	[ "$(wc -l </run/one)" = 1 ]
	grep -qE "^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} rail down $(boot_id $other) rail 0 by .* to 10\.77\.0\.$other" /run/one ||
		fail "$(cat /run/one)"
	! first || until_it_is '.[0].state == "down" and .[0].down' peer list
	first || until_it_is '.[0].state == "idle" and .[0].down == false' peer list
	meet
	! first || "$kvxfer" peer connect node2
	heard '.[]; .object == "rail" and .event == "up" and .state == "ready"'
	heard '.[]; .object == "peer" and .event == "up" and .name == "node'$other'" and .state == "connected"'
	deaf TERM
	# An object to a line, each with its time.
	[ "$(jq -c . /run/events | wc -l)" = "$(wc -l </run/events)" ]
	jq -es 'all(.[]; .time | test("^20[0-9-]{8}T[0-9:]{8}\\.[0-9]{6}Z$"))' /run/events
	both_are_connected
}

# As a program does that reads but the first lines.
events_end_when_nobody_reads_them()
{
	local pid
	mkfifo /run/pipe
	"$kvxfer" events >/run/pipe 2>/run/pipe.err &
	pid=$!
	exec 9</run/pipe
	by_and_by grep -q listening /run/pipe.err
	exec 9<&-
	wait $pid
}

a_rail_is_taken_down_and_comes_up_again()
{
	both_are_connected
	meet
	if first; then
		"$kvxfer" rail down node2 0
		until_it_is '.[0].state == "down" and .[0].down' rail list
		until_it_is '.[0].ready == 0' peer list
		says "connect node2: rail 0 is down: kvxfer rail up $(boot_id 2) 0" 1 "$kvxfer" peer connect node2
		says "connect 10.77.0.2: rail 0 is down: kvxfer rail up $(boot_id 2) 0" 1 "$kvxfer" peer connect 10.77.0.2
		says 'rail 1 of node2: this node has no rail of that number' 1 "$kvxfer" rail down node2 1
		says 'rail 15 of node2: this node has no rail of that number' 1 "$kvxfer" rail up node2 15
	else
		until_it_is '.[0].state != "ready" and .[0].down == false' rail list
	fi
	meet
	! first || "$kvxfer" rail up node2 0
	both_are_connected
	meet
	# The node that was asked may refuse it, too, and the other is told so.
	if first; then
		until_it_is '.[0].state == "waiting" and .[0].why == "an administrator does not want the connection"' rail list
	else
		"$kvxfer" rail down node1 0
		until_it_is '.[0].state == "down" and .[0].down' rail list
	fi
	meet
	first || "$kvxfer" rail up node1 0
	both_are_connected
}

a_node_is_disconnected_until_it_is_connected()
{
	both_are_connected
	meet
	first || "$kvxfer" peer disconnect node1
	if first; then
		until_it_is '.[0].state == "connecting" and .[0].why == "an administrator does not want the connection"' peer list
		says 'connect 10.77.0.2: an administrator does not want the connection' 1 "$kvxfer" peer connect 10.77.0.2
		says "until: kvxfer peer disconnect $(boot_id 2)" 1 "$kvxfer" peer connect node2
	else
		until_it_is '.[0].state == "down"' peer list
	fi
	meet
	# Where it can be asked node 2 does not know; but it may come now, and it tries.
	first || says "$(boot_id 1) node1: connected, 1 of 1 rails ready" 0 "$kvxfer" peer connect node1
	both_are_connected
	meet
	begin_anew
	meet
}

a_cluster_key_keeps_strangers_out()
{
	local secret='what all nodes of the lab know'
	meet
	until_it_is '.set == false' key show
	"$kvxfer" info | grep -q '^cluster key  not set: any node that reaches the port can connect'
	"$kvxfer" info --json | jq -e '.cluster_key == false'
	if first; then
		echo "$secret" | "$kvxfer" key set
		until_it_is '.set' key show
		[ "$("$kvxfer" key show)" = set ]
		"$kvxfer" info | grep -qx 'cluster key  set'
		"$kvxfer" info --json | jq -e '.cluster_key == true'
		says 'connect 10.77.0.2: the two nodes do not have the same cluster key' 1 "$kvxfer" peer connect 10.77.0.2
		until_it_is '.[0].state == "connecting" and .[0].why == "the two nodes do not have the same cluster key"' peer list
		says 'the two nodes do not have the same cluster key' 0 "$kvxfer" rail list
		# The more often it was in vain, the longer it waits.
		until_it_is '.[0].state == "waiting" and .[0].attempts >= 4 and .[0].next_ms >= 1600' rail list
	fi
	meet
	# Another one is as good as none.
	first || "$kvxfer" key set - <<<'what no other node knows at all'
	meet
	! first || says 'connect node2: the two nodes do not have the same cluster key' 1 "$kvxfer" peer connect node2
	meet
	if ! first; then
		(umask 077 && echo "$secret" >/run/secret)
		"$kvxfer" key set /run/secret
	fi
	meet
	! first || says "$(boot_id 2) node2: connected, 1 of 1 rails ready" 0 "$kvxfer" peer connect node2
	both_are_connected
	meet
	# What is connected stays; who comes anew is asked.
	first || "$kvxfer" key remove
	both_are_connected
	meet
	begin_anew
	meet
	! first || says 'the same cluster key' 1 "$kvxfer" peer connect 10.77.0.2
	meet
	! first || "$kvxfer" key remove
	"$kvxfer" key show | grep -q '^not set: any node that reaches the port can connect'
	! first || "$kvxfer" peer connect 10.77.0.2
	both_are_connected
}

what_is_not_there_is_said()
{
	local param=/sys/module/kvxfer/parameters/connect_ms words before
	meet
	for words in nobody 0123456789abcdef "$(boot_id $other | cut -c1-3)" ''; do
		says "no peer is called '$words'" 1 "$kvxfer" peer show "$words"
		says "no peer is called '$words'" 1 "$kvxfer" peer disconnect "$words"
		says "no peer is called '$words'" 1 "$kvxfer" peer connect "$words"
		says "no peer is called '$words'" 1 "$kvxfer" rail list "$words"
		says "no peer is called '$words'" 1 "$kvxfer" rail down "$words" 0
	done
	says 'connect 10.77.0.'$NODE': it is this node itself' 1 "$kvxfer" peer connect 10.77.0.$NODE
	says 'connect 10.77.0.'$other':1: Connection refused' 1 "$kvxfer" peer connect 10.77.0.$other:1
	says "connect ff02::1: that is no node's address" 1 "$kvxfer" peer connect ff02::1
	before=$(cat $param)
	echo 300 >$param
	says 'connect 10.77.0.77: Connection timed out' 1 "$kvxfer" peer connect 10.77.0.77
	echo "$before" >$param
	# Nothing of it is left.
	[ "$("$kvxfer" peer list --json | jq length)" = 1 ]
	meet
}

who_is_not_root_may_look_and_do_nothing()
{
	local words
	for words in 'peer connect 10.77.0.2' "peer connect node$other" "peer disconnect node$other" "rail down node$other 0" \
		"rail up node$other 0" 'key remove' 'agent list' 'pool list --all'; do
		# shellcheck disable=SC2086
		says 'only root may do that (CAP_NET_ADMIN)' 1 as_nobody "$kvxfer" $words
	done
	echo 'a key that nobody wants' >/run/nobodys
	says 'set the cluster key: only root may do that (CAP_NET_ADMIN)' 1 as_nobody "$kvxfer" key set /run/nobodys
	for words in 'dev list' 'peer list' "peer show node$other" 'rail list' 'key show' 'key show --json'; do
		# shellcheck disable=SC2086
		as_nobody "$kvxfer" $words
	done
	both_are_connected
	meet
}

agents_and_pools_of_all_are_listed_for_root()
{
	local pid=$BASHPID
	chmod 666 /dev/kvxfer
	as_nobody "$kvxfer" pool create of-nobody 1M --mode 0600
	# Whoever has it open is an agent.
	exec 9<>/dev/kvxfer
	"$kvxfer" agent list --json >/run/agents.json
	cat /run/agents.json
	jq -e --argjson pid "$pid" 'length == 1 and (.[0] | .pid == $pid and .uid == 0 and .name == "peers.sh" and .pools == 0 and
		.layouts == 0 and .xfers == 0 and .notes == 0 and (.worker_id | test("^[0-9a-f]{16}$")) and
		(.epoch | test("^[0-9a-f]{12}$")))' /run/agents.json
	"$kvxfer" agent list | grep -qE "^[0-9a-f]{16} [0-9a-f]{12} +$pid root +0 +0 +0 +0  peers.sh$"
	exec 9>&-
	until_it_is 'length == 0' agent list
	"$kvxfer" pool list --all --json | jq -e 'length == 1 and (.[0] | .name == "of-nobody" and .uid == 65534 and .mode == 384 and
		.kind == "kernel" and .bytes == 1048576 and .linked == 1 and .opens == 0)'
	"$kvxfer" pool list --all | grep -qE '^[0-9]+ +of-nobody +1MiB kernel  nobody +nogroup +0600 +0 +0 +0 +[0-9]+ +[0-9]+s$'
	"$kvxfer" pool rm of-nobody
	chmod 660 /dev/kvxfer
	meet
}

# All of it once more by soft-iWARP, which refuses in a way of its own.
it_is_the_same_by_iwarp()
{
	begin_anew
	meet
	rdma link delete kvx0
	[ "$("$kvxfer" dev list --json)" = '[]' ]
	meet
	case $LAB in
	uml*) ;;
	*) return ;;
	esac
	rdma link add kvx0 type siw netdev "$KVX_LAB_NIC"
	"$kvxfer" dev list --json | jq -e '.[0].iwarp and .[0].usable'
	# Who knocks and runs away leaves the door as it was.
	for _ in {1..100}; do
		exec 5<>"/dev/tcp/10.77.0.$NODE/$(cat /proc/sys/net/kvxfer/port)"
		exec 5>&-
	done
	meet
	! first || "$kvxfer" peer connect 10.77.0.2
	both_are_connected
	meet
	begin_anew
	! first || echo 'what only node 1 knows' | "$kvxfer" key set
	meet
	if first; then
		says 'connect node2: the two nodes do not have the same cluster key' 1 "$kvxfer" peer connect node2
		says 'connect 10.77.0.1: it is this node itself' 1 "$kvxfer" peer connect 10.77.0.1
		"$kvxfer" key remove
		"$kvxfer" peer connect node2
	fi
	both_are_connected
	meet
	first || "$kvxfer" peer disconnect node1
	! first || until_it_is '.[0].why == "an administrator does not want the connection"' peer list
	meet
	first || "$kvxfer" peer connect node1
	both_are_connected
	meet
	begin_anew
	meet
	! first || a_port_that_a_socket_has_is_nobodys_trouble
	meet
	rdma link delete kvx0
	meet
}

# By iWARP a connection's own port is a socket's, and the connection manager does not know what others have.
a_port_that_a_socket_has_is_nobodys_trouble()
{
	local range bound=/run/lab/peers.bound
	range=$(cat /proc/sys/net/ipv4/ip_local_port_range)
	echo 41000 41255 >/proc/sys/net/ipv4/ip_local_port_range
	perl -MSocket -MErrno -e 'my @held;
		for my $i (0..23) {
			socket($held[$i], PF_INET, SOCK_STREAM, 0) or die $!;
			bind($held[$i], sockaddr_in(41000 + 10 * $i, inet_aton("10.77.0.1"))) or
				$!{EADDRINUSE} or die $!;
		}
		open(my $file, ">", $ARGV[0]) or die;
		close($file);
		sleep' "$bound" &
	holder=$!
	# Not only at the end: what still runs keeps the case from ending.
	trap 'kill $holder' EXIT
	by_and_by [ -e "$bound" ]
	for _ in {1..12}; do
		says 'node2: connected, 1 of 1 rails ready' 0 "$kvxfer" peer connect 10.77.0.2
		"$kvxfer" peer disconnect node2
		nothing_is_connected
	done
	echo "$range" >/proc/sys/net/ipv4/ip_local_port_range
}

two_rails_are_one_peer()
{
	meet
	rdma link add kvx0 type rxe netdev "$KVX_LAB_NIC"
	rdma link add kvx1 type rxe netdev "$KVX_LAB_NIC2"
	meet
	if first; then
		says "$(boot_id 2) node2: connected, 1 of 1 rails ready" 0 "$kvxfer" peer connect 10.77.0.2
		says "$(boot_id 2) node2: connected, 2 of 2 rails ready" 0 "$kvxfer" peer connect 10.78.0.2
	fi
	until_it_is 'length == 1 and .[0].ready == 2 and .[0].rails == 2' peer list
	until_it_is 'map(.id) == [0, 1] and all(.state == "ready")' rail list
	"$kvxfer" rail list node$other --json | jq -e 'map(.remote) == ["10.77.0.'$other'", "10.78.0.'$other'"] and
		map(.dev) == ["kvx0", "kvx1"]'
	meet
	# One that is down leaves the other, by which the node stays connected.
	if first; then
		"$kvxfer" rail down node2 0
		until_it_is '.[0].state == "connected" and .[0].ready == 1' peer list
		until_it_is '.[0].state == "down" and .[1].state == "ready"' rail list
		says 'node2: connected, 1 of' 0 "$kvxfer" peer connect node2
		says 'node2: connected, 1 of' 0 "$kvxfer" peer connect 10.78.0.2
		says 'connect 10.77.0.2: rail 0 is down' 1 "$kvxfer" peer connect 10.77.0.2
	else
		until_it_is '.[0].state == "connected" and .[0].ready == 1' peer list
	fi
	meet
	! first || "$kvxfer" rail up node2 0
	until_it_is '.[0].ready == 2' peer list
	meet
	begin_anew
	meet
	rdma link delete kvx0
	rdma link delete kvx1
	meet
}

# What was ordered here lasts as long as the module: other tests are to find nothing of it.
a_new_beginning_forgets_all_orders()
{
	meet
	rmmod kvxfer
	insmod "$KVX_LAB_MODULE"
	[ "$("$kvxfer" peer list --json)" = '[]' ]
	[ "$("$kvxfer" info --json | jq -r .boot_id)" != "$(boot_id "$NODE")" ]
	meet
}

# Who is connected stays so, by a device of whatever name.
a_device_is_renamed()
{
	both_are_connected
	rdma dev set kvx0 name kvx9
	until_it_is 'map(.name) == ["kvx9"]' dev list
	until_it_is 'length == 1 and .[0].state == "ready" and .[0].dev == "kvx9"' rail list
	"$kvxfer" rail list | grep -qE '^node[12] +0 ready +kvx9 '
	rdma dev set kvx9 name kvx0
	until_it_is 'map(.name) == ["kvx0"]' dev list
	both_are_connected
	meet
}

a_port_goes_and_comes()
{
	ip link add spare type dummy
	ip link set spare up
	rdma link add kvx5 type rxe netdev spare
	until_it_is 'any(.[]; .name == "kvx5" and .active_ports == 1)' dev list
	hear
	ip link set spare down
	heard '.[]; .object == "dev" and .event == "down" and .name == "kvx5" and .active_ports == 0'
	until_it_is 'any(.[]; .name == "kvx5" and .active_ports == 0)' dev list
	ip link set spare up
	heard '.[]; .object == "dev" and .event == "up" and .name == "kvx5" and .active_ports == 1'
	rdma link delete kvx5
	heard '.[]; .object == "dev" and .event == "gone" and .name == "kvx5"'
	deaf TERM
	ip link delete spare
	both_are_connected
	meet
}

# What other tests have left is forgotten.
nothing_is_known_at_first()
{
	meet
	rmmod kvxfer
	insmod "$KVX_LAB_MODULE"
	[ "$("$kvxfer" peer list --json)" = '[]' ]
	meet
}

ktap nothing_is_known_at_first devices_are_listed_as_they_come a_node_is_connected_by_its_address the_shell_completes_nodes \
	what_happens_is_told_as_it_happens events_end_when_nobody_reads_them a_device_is_renamed a_port_goes_and_comes \
	a_rail_is_taken_down_and_comes_up_again \
	a_node_is_disconnected_until_it_is_connected a_cluster_key_keeps_strangers_out what_is_not_there_is_said \
	who_is_not_root_may_look_and_do_nothing agents_and_pools_of_all_are_listed_for_root it_is_the_same_by_iwarp \
	two_rails_are_one_peer a_new_beginning_forgets_all_orders
