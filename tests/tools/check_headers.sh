#!/bin/sh
# Compiles each header alone, twice included, without warnings.
#
#   check_headers.sh [--uncovered] [COMPILER]
#
# --uncovered skips headers whose own unit test includes them first: that test already proves it.
set -eu
cd "$(dirname "$0")/../.."

uncovered=false
[ "${1:-}" = --uncovered ] && { uncovered=true; shift; }
compiler=${1:-g++}

covered() {
    test_file=tests/unit/${1#include/openreplica/}
    test_file=${test_file%.hpp}.cpp
    [ -f "$test_file" ] && [ "$(grep -m 1 '^#include' "$test_file")" = "#include <${1#include/}>" ]
}

list=$(mktemp)
trap 'rm -f "$list"' EXIT
find include -name '*.hpp' | sort | while read -r header; do
    if $uncovered && covered "$header"; then continue; fi
    echo "${header#include/}"
done >"$list"

# shellcheck disable=SC2016
xargs -P "$(nproc)" -n 1 sh -c '
    printf "#include <%s>\n#include <%s>\n" "$1" "$1" |
        "$0" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -x c++ - ||
        { echo "<$1> does not compile alone"; exit 1; }' "$compiler" <"$list"
echo "$(wc -l <"$list") headers compile alone with $compiler"
