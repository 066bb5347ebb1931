#!/bin/sh
# Compiles sources without making programs of them: shows that a second compiler takes them, in a fraction of the time.
#
#   check_syntax.sh COMPILER FILE…
set -eu
cd "$(dirname "$0")/../.."
compiler=$1
shift
# shellcheck disable=SC2016
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 sh -c '
    "$0" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude "$1" ||
        { echo "$1 does not compile"; exit 1; }' "$compiler"
echo "$# files compile with $compiler"
