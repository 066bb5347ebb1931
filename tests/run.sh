#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#
#   tests/run.sh                 what CI runs: g++ and clang, sanitizers, install, README (25 minutes on two cores)
#   tests/run.sh --quick         unit tests, house rules, a short simulation (two minutes)
#   tests/run.sh --full          everything: every configuration, the long simulation
#   tests/run.sh --replay SEED   the simulation of one seed, as a failing run prints it
#
# Everything it writes is below build/; the log of each step is in build/logs. The last line says how many checks passed
# and failed, and the exit status is not zero if any failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

mode=default
seed=
case ${1-} in
"") ;;
--quick) mode=quick ;;
--full) mode=full ;;
--replay) mode=replay; seed=${2:?"--replay needs a seed"} ;;
*) sed -n '2,/^$/{ /^#/ s/^# \{0,1\}//p }' "$0"; exit 2 ;;
esac

jobs=$(nproc)
logs=build/logs
passed=0
failed=0
failed_steps=()
running=
rm -rf "$logs"
mkdir -p "$logs"
trap '[ -z "$running" ] || kill "$running" 2>/dev/null' EXIT
trap 'exit 130' INT TERM

# step NAME TIMEOUT_S COMMAND…: runs a command with a log and a deadline, and counts it.
step() {
    local name=$1 limit_s=$2 log status shown start=$SECONDS
    shift 2
    log=$logs/$(printf '%s' "$name" | tr -cs 'a-zA-Z0-9+' '_').log
    printf '▸ %s\n' "$name"
    timeout -k 10 "$limit_s" "$@" >"$log" 2>&1 </dev/null &
    running=$!
    shown=$start
    while kill -0 "$running" 2>/dev/null; do
        sleep 0.1
        if ((SECONDS - shown >= 15)); then
            shown=$SECONDS
            printf '    %3d s: %s\n' $((SECONDS - start)) "$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-100)"
        fi
    done
    wait "$running"
    status=$?
    running=
    count "$log" "$status"
    if [ $status -eq 0 ]; then
        printf '  ok      %d s%s\n' $((SECONDS - start)) "$counted"
    else
        [ $status -ne 124 ] || echo "stopped: it did not end within $limit_s s" >>"$log"
        failed_steps+=("$name")
        printf '  FAILED  %d s%s, exit status %d; from %s:\n' $((SECONDS - start)) "$counted" "$status" "$log"
        show_failure "$log" | cut -c 1-300 | sed 's/^/    | /'
    fi
    return $status
}

# show_failure LOG: what the failed tests said, or else the first errors and the end of the log.
show_failure() {
    local tests number
    tests=$(grep -E '[0-9]+ Test +#[0-9]+:.*\*\*\*' "$1")
    if [ -z "$tests" ]; then
        grep -nE '(error|FAILED|ERROR|WARNING: ThreadSanitizer):' "$1" | head -n 10
        tail -n 25 "$1"
        return
    fi
    printf '%s\n' "$tests"
    for number in $(sed -E 's/.*#([0-9]+):.*/\1/' <<<"$tests" | head -n 5); do
        echo
        grep "^$number: " "$1" >"$1.$number"
        if [ "$(wc -l <"$1.$number")" -le 60 ]; then
            cat "$1.$number"
        else
            grep -E -A 10 '((ERROR|error|WARNING: ThreadSanitizer|FAILED):)|^[0-9]+: FAILED' "$1.$number" | head -n 60
            echo …
            tail -n 10 "$1.$number"
        fi
    done
}

# count LOG STATUS: adds the checks that a log reports; a step that reports none is one check itself. Test programs
# written with doctest count with their test cases, others as one.
count() {
    local p f
    read -r p f < <(awk '
        match($0, /^[0-9]+: \[doctest\] test cases:/) {
            n = $1; sub(/:/, "", n); split($0, part, "|")
            split(part[2], ok, " "); split(part[3], bad, " "); cases[n] = ok[1]; broken[n] = bad[1]
        }
        /Test +#[0-9]+:/ && /(Passed|\*\*\*)/ {
            match($0, /#[0-9]+/); n = substr($0, RSTART + 1, RLENGTH - 1)
            good = / Passed /
            p += (n in cases) ? cases[n] : good
            f += (n in broken && broken[n] > 0) ? broken[n] : !good
        }
        /^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 }
        /^Ok: +[0-9]+/ { p += $2 }
        /^(Fail|Timeout|Unexpected Pass): +[0-9]+/ { f += $NF }
        END { print p + 0, f + 0 }' "$1")
    if [ "$((p + f))" -eq 0 ]; then
        p=$(($2 == 0))
        f=$(($2 != 0))
        counted=
    else
        [ "$2" -eq 0 ] || [ "$f" -gt 0 ] || f=1
        counted=", $p passed"
        [ "$f" -eq 0 ] || counted="$counted, $f failed"
    fi
    passed=$((passed + p))
    failed=$((failed + f))
}

launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tools/tsan.supp
export CTEST_OUTPUT_ON_FAILURE=1
# setup.sh installed them: a DNS server that is missing is a failure here, and not a test less.
export OPENREPLICA_REQUIRE_DNS_SERVERS=1

# configuration NAME COMPILER CMAKE-ARGUMENT…: configures build/NAME.
configure() {
    # shellcheck disable=SC2016
    step "$1: configure" 120 cmake -S . -B "build/$1" -G Ninja -DCMAKE_CXX_COMPILER="$2" -DOPENREPLICA_UNITY=ON "${launcher[@]}" "${@:3}"
}
build() { # NAME TIMEOUT_S TARGET…
    step "$1: build" "$2" cmake --build "build/$1" -j "$jobs" --target "${@:3}"
}
run_tests() { # NAME TIMEOUT_S CTEST-ARGUMENT…
    local no_aslr=()
    # Thread sanitizers before 2024 cannot map their shadow under the address randomisation of recent kernels.
    if [[ $1 == tsan* ]] && setarch "$(uname -m)" -R true 2>/dev/null; then no_aslr=(setarch "$(uname -m)" -R); fi
    step "$1: tests" "$2" "${no_aslr[@]}" ctest --test-dir "build/$1" -V --no-tests=error -j "$jobs" "${@:3}"
}
# targets NAME WANTED…: those of the wanted targets that exist in build/NAME.
targets() {
    local known
    known=$(ninja -C "build/$1" -t targets all 2>/dev/null | sed -n 's/: phony$//p')
    for wanted in "${@:2}"; do grep -xE "$wanted" <<<"$known"; done | sort -u
}

quick() {
    configure gcc g++ || return
    # shellcheck disable=SC2046
    build gcc 600 $(targets gcc unit_core unit_all simulation) || return
    run_tests gcc 300 -L quick
}

default() {
    if configure gcc g++ && build gcc 1500 all; then
        run_tests gcc 1500
    fi
    step "headers: each alone (g++)" 600 tests/tools/check_headers.sh --uncovered
    step "README: its snippets" 600 tests/tools/check_readme.py
    step "README: the checker itself" 120 tests/tools/check_readme.py --self-test
    step "install: outside programs" 600 tests/tools/check_install.sh

    # The second compiler: clang builds the sanitized programs, and reads what is in none of them.
    if configure asan clang++-16 -DOPENREPLICA_SANITIZE=address; then
        # shellcheck disable=SC2046
        build asan 1500 $(targets asan unit_core unit_all simulation 'fuzz_\w+') &&
            run_tests asan 600 -R '^(unit_|simulation_short|fuzz_)'
    fi
    local others
    mapfile -t others < <(find tests/benchmarks tests/exhaustive examples/tools -name '*.cpp' | sort)
    step "clang: the other sources" 600 tests/tools/check_syntax.sh clang++-16 "${others[@]}"

    if configure tsan clang++-16 -DOPENREPLICA_SANITIZE=thread; then
        # shellcheck disable=SC2046
        build tsan 1500 $(targets tsan unit_all 'integration_\w+' 'example_\w+') && run_tests tsan 1500 -L threads
    fi
}

full() {
    default
    if configure clang clang++-16 && build clang 1800 all; then run_tests clang 1800; fi
    if configure release g++ -DCMAKE_BUILD_TYPE=Release && build release 1800 all; then
        run_tests release 1800
    fi
    if configure asan+gcc g++ -DOPENREPLICA_SANITIZE=address && build asan+gcc 2400 all; then
        run_tests asan+gcc 3600
    fi
    if build tsan 2400 all; then run_tests tsan 3600; fi
    step "headers: each alone (g++, all)" 1200 tests/tools/check_headers.sh
    step "headers: each alone (clang)" 1200 tests/tools/check_headers.sh clang++-16
    rm -rf build/meson
    if step "meson: configure" 120 meson setup build/meson .; then
        step "meson: tests" 1800 meson test -C build/meson --num-processes "$jobs"
    fi
    step "format" 300 tests/tools/check_format.sh
    if [ -x build/release/tests/simulation ]; then
        step "simulation: long" 7200 env OPENREPLICA_SIMULATION=long build/release/tests/simulation
    fi
}

replay() {
    configure gcc g++ && build gcc 900 simulation || return
    OPENREPLICA_SEED=$seed build/gcc/tests/simulation
}

groups="full"
[ "$mode" != quick ] && [ "$mode" != replay ] || groups="build"
step "setup: $groups" 1800 tests/tools/setup.sh $groups || exit 1
case $mode in
replay) replay; exit ;;
*) $mode ;;
esac

echo
echo "tests/run.sh ($mode): $((SECONDS / 60)) min $((SECONDS % 60)) s"
[ ${#failed_steps[@]} -eq 0 ] || printf 'failed: %s\n' "${failed_steps[@]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
