#!/usr/bin/env bash
# Starts a DNS server on loopback for a name, and the example that finds its group by it: 05_dns_seeds.sh PROGRAM
set -euo pipefail
program=${1:?"the program to start"}
name=guests.openreplica.test
PATH=$PATH:/usr/sbin

# Free ports, as the system gives them out; if somebody takes one meanwhile, another round finds others.
free_ports() {
    python3 -c 'import socket; s = [socket.socket() for _ in range(4)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])'
}

log=$(mktemp)
dns=
trap '[ -z "$dns" ] || kill "$dns" 2>/dev/null; rm -f "$log"' EXIT
for _ in 1 2 3; do
    read -r dns_port a b c < <(free_ports)
    records=()
    for port in "$a" "$b" "$c"; do
        records+=("--srv-host=_openreplica._tcp.$name,m$port.$name,$port" "--host-record=m$port.$name,127.0.0.1")
    done
    dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --no-daemon --log-facility=- \
        --port="$dns_port" --listen-address=127.0.0.1 --bind-interfaces "${records[@]}" >"$log" 2>&1 &
    dns=$!
    until grep -q started "$log" || ! kill -0 "$dns" 2>/dev/null; do sleep 0.02; done
    kill -0 "$dns" 2>/dev/null || continue
    "$program" "$name" "127.0.0.1:$dns_port" "$a" "$b" "$c"
    exit
done
echo "05_dns_seeds.sh: dnsmasq did not start: $(tail -n 1 "$log")" >&2
exit 1
