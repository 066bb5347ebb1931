#!/usr/bin/env bash
# Shows that one seed replays: check_replay.sh SIMULATION
#
# The simulation is started twice as `tests/run.sh --replay 1` starts it, and must say the same both times.
set -euo pipefail
simulation=${1:?"the simulation program"}
first=$(OPENREPLICA_SEED=1 "$simulation")
second=$(OPENREPLICA_SEED=1 "$simulation")
if ! grep -q '^seed 1: ' <<<"$first"; then
    printf 'the replay does not name seed 1:\n%s\n' "$first"
    exit 1
fi
if [ "$first" != "$second" ]; then
    diff <(printf '%s' "$first") <(printf '%s' "$second") | head -n 20
    exit 1
fi
grep '^seed 1: ' <<<"$first"
