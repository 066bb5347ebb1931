#!/usr/bin/env bash
# The whole path once: three processes that know nothing but a DNS name found a group, share a counter and go on when
# their leader is killed.
#
#   examples/demo.sh             installs what is missing, builds, and plays it
#   examples/demo.sh --self-test shows that a lost and a doubled call would be noticed, without playing anything
#
# It uses only the loopback interface. The status is not zero if a call that was acknowledged is missing from the counter,
# or if any call ran twice. What every process said is kept in build/demo/run.
set -euo pipefail
cd "$(dirname "$0")/.."

name=demo.openreplica.test
calls=${DEMO_CALLS:-20000} # from each member
run=build/demo/run

say() { printf '%s\n' "$*"; }
give_up() {
    say "demo.sh: $*" >&2
    tail -n 5 "$run"/*.log >&2 2>/dev/null || true
    exit 1
}

declare -A pid_of=() # "dns" or a port -> process
stop_all() {
    local pid
    for pid in "${pid_of[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap stop_all EXIT
trap 'exit 130' INT TERM

# wait_for SECONDS WHAT COMMAND…: asks again until the command succeeds.
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < end)) || give_up "waited in vain for $what"
        sleep 0.02
    done
}
acked() { if [ -f "$run/$1.progress" ]; then grep -c '^ack ' "$run/$1.progress" || true; else echo 0; fi; } # PORT
has_acked() { (($(acked "$1") >= $2)); }
has_said() { grep -q "^$2" "$run/$1.log" 2>/dev/null; }
all_have_acked() { # COUNT PORT…
    local port
    for port in "${@:2}"; do
        kill -0 "${pid_of[$port]}" 2>/dev/null || give_up "the member on port $port ended by itself"
        has_acked "$port" "$1" || return 1
    done
}
# The endpoint that the most members name as the leader, if it is more than half of them.
leader() {
    local port
    for port in "$@"; do sed -n 's/^leader .*:\([0-9]*\)$/\1/p' "$run/$port.log" | tail -n 1; done |
        sort | uniq -c | sort -rn | awk -v all="${#ports[@]}" 'NR == 1 && $1 > all / 2 { print $2 }'
}
has_leader() { [ -n "$(leader "$@")" ]; }
has_other_leader() { # OLD PORT…
    local now
    now=$(leader "${@:2}")
    [ -n "$now" ] && [ "$now" != "$1" ]
}
# Four ports that are free for TCP and UDP, as the system gives them out.
free_ports() {
    python3 -c 'import socket
tcp, udp = [], []
while len(udp) < 4:
    tcp.append(socket.socket())
    tcp[-1].bind(("127.0.0.1", 0))
    other = socket.socket(type=socket.SOCK_DGRAM)
    try:
        other.bind(tcp[-1].getsockname())
        udp.append(other)
    except OSError:
        pass
print(*[s.getsockname()[1] for s in udp])'
}
dns_has_started() { grep -q started "$run/dns.log"; }
dns_has_settled() { dns_has_started || ! kill -0 "${pid_of[dns]}" 2>/dev/null; }
start_dns() {
    local records=() port
    read -r -a ports < <(free_ports)
    dns_port=${ports[3]}
    unset 'ports[3]'
    for port in "${ports[@]}"; do
        records+=("--srv-host=_openreplica._tcp.$name,m$port.$name,$port" "--host-record=m$port.$name,127.0.0.1")
    done
    PATH=$PATH:/usr/sbin dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --no-daemon \
        --log-facility=- --port="$dns_port" --listen-address=127.0.0.1 --bind-interfaces "${records[@]}" \
        >"$run/dns.log" 2>&1 &
    pid_of[dns]=$!
}

# count_calls PORT: compares what all members were told with what the one on PORT says that the counter holds.
count_calls() {
    total=$(sed -n 's/^total //p' "$run/$1.log")
    duplicates=$(sed -n 's/^duplicates //p' "$run/$1.log")
    sed -n 's/^ack //p' "$run"/*.progress | sort >"$run/acknowledged"
    sed -n 's/^has //p' "$run/$1.log" | sort >"$run/counted"
    twice=$(uniq -d "$run/counted" | wc -l)
    twice=$((duplicates > twice ? duplicates : twice))
    comm -23 "$run/acknowledged" "$run/counted" >"$run/lost"
    acknowledged=$(wc -l <"$run/acknowledged")
    lost=$(wc -l <"$run/lost")
}
# What is wrong with the count; nothing if every acknowledged call was counted exactly once.
fault_of_count() {
    if ((acknowledged == 0)); then
        echo "no call was acknowledged"
    elif ((lost > 0)); then
        echo "acknowledged calls are missing from the counter: $run/lost"
    elif ((twice > 0)); then
        echo "calls ran twice"
    elif ((total < acknowledged)); then
        echo "the counter says $total, fewer than were acknowledged"
    fi
}
self_test() {
    local wrong=0
    run=$(mktemp -d)
    trap 'rm -rf "$run"' EXIT
    expect() { # FAULT COUNTER: the calls a, b and c were acknowledged, and this is what the counter says
        printf 'ack %s\n' a b >"$run/1.progress"
        printf 'ack %s\n' c >"$run/2.progress"
        printf '%b' "$2" >"$run/1.log"
        count_calls 1
        # shellcheck disable=SC2254 # A pattern, on purpose.
        case $(fault_of_count) in
        $1) ;;
        *) say "expected '$1', found '$(fault_of_count)' in: $2" && wrong=1 ;;
        esac
    }
    expect '' 'has a\nhas b\nhas c\ntotal 3\nduplicates 0\n'
    expect '' 'has a\nhas b\nhas c\nhas d\ntotal 4\nduplicates 0\n'
    expect '*missing*' 'has a\nhas b\ntotal 2\nduplicates 0\n'
    expect '*missing*' 'has a\nhas b\nhas d\ntotal 3\nduplicates 0\n'
    expect '*twice*' 'has a\nhas b\nhas c\ntotal 4\nduplicates 1\n'
    expect '*twice*' 'has a\nhas b\nhas b\nhas c\ntotal 4\nduplicates 0\n'
    expect '*fewer*' 'has a\nhas b\nhas c\ntotal 2\nduplicates 0\n'
    ((wrong == 0)) && say "a lost and a doubled call are noticed"
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

if [ "${1-}" = --self-test ]; then
    self_test
    exit
fi
say "1. Setting up"
tests/tools/setup.sh demo
member=${DEMO_MEMBER:-build/demo/examples/demo_member}
if [ -z "${DEMO_MEMBER-}" ]; then
    mkdir -p build/demo
    cmake -S . -B build/demo -G Ninja -DCMAKE_CXX_COMPILER=g++ -DOPENREPLICA_BUILD_TESTS=OFF \
        -DOPENREPLICA_BUILD_EXAMPLES=ON >build/demo/configure.log || { cat build/demo/configure.log; exit 1; }
    cmake --build build/demo --target demo_member
fi
rm -rf "$run"
mkdir -p "$run"

# If somebody takes the port meanwhile, another round finds others.
for _ in 1 2 3; do
    start_dns
    wait_for 10 "dnsmasq on port $dns_port" dns_has_settled
    ! dns_has_started || break
done
dns_has_started || give_up "dnsmasq did not start: $(tail -n 1 "$run/dns.log")"
say "2. dnsmasq answers for $name on 127.0.0.1:$dns_port"

say "3. Three members start with nothing but srv:$name, and each calls $calls times"
for port in "${ports[@]}"; do
    "$member" --seed "srv:$name" --dns "127.0.0.1:$dns_port" --listen "127.0.0.1:$port" --calls "$calls" \
        --progress "$run/$port.progress" >"$run/$port.log" 2>&1 &
    pid_of[$port]=$!
done
wait_for 30 "acknowledged calls at all three members" all_have_acked 200 "${ports[@]}"
wait_for 10 "agreement about the leader" has_leader "${ports[@]}"
killed=$(leader "${ports[@]}")
[ -n "${pid_of[$killed]-}" ] || give_up "the leader is said to be on port $killed, where no member of this demo is"

say "4. 127.0.0.1:$killed leads: kill -9"
disown "${pid_of[$killed]}" # The shell need not report what is meant to happen.
kill -9 "${pid_of[$killed]}"
killed_at=$(now_ms)
unset "pid_of[$killed]"
survivors=()
declare -A before=()
for port in "${ports[@]}"; do
    before[$port]=$(acked "$port")
    [ "$port" = "$killed" ] || survivors+=("$port")
done
for port in "${survivors[@]}"; do
    ((before[$port] < calls)) || give_up "port $port had made all its calls before the kill: set DEMO_CALLS higher"
done
wait_for 30 "a call after the leader's death" has_acked "${survivors[0]}" $((before[${survivors[0]}] + 1))
gap_ms=$(($(now_ms) - killed_at))
wait_for 30 "the next leader" has_other_leader "$killed" "${survivors[@]}"
wait_for 120 "the last call of the survivors" all_have_acked "$calls" "${survivors[@]}"

leads_now=$(leader "${survivors[@]}")

say "5. The counter, asked at one survivor"
kill -TERM "${pid_of[${survivors[0]}]}"
wait_for 20 "the counter" has_said "${survivors[0]}" 'duplicates '
count_calls "${survivors[0]}"

printf '\n%-16s %22s %14s  %s\n' member "calls before the kill" "calls in all" ""
for port in "${ports[@]}"; do
    role=
    [ "$port" != "$killed" ] || role="led, killed"
    [ "$port" != "$leads_now" ] || role="leads now"
    printf '%-16s %22d %14d  %s\n' "127.0.0.1:$port" "${before[$port]}" "$(acked "$port")" "$role"
done
cat <<END

next call after the kill   $gap_ms ms later
acknowledged calls         $acknowledged
counted calls              $total   (the killed member's last ones may be counted and not acknowledged)
lost                       $lost
executed twice             $twice
END

fault=$(fault_of_count)
[ -z "$fault" ] || give_up "$fault"
say "
Every acknowledged call was counted exactly once."
