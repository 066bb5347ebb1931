#!/bin/sh
# Tells which files clang-format would change. `--fix` changes them; `--fix FILE…` changes only these.
set -eu
cd "$(dirname "$0")/../.."

format=$(command -v clang-format-14 || command -v clang-format) || {
    echo "clang-format is not installed: tests/tools/setup.sh full installs it" >&2
    exit 1
}
fix=false
[ "${1:-}" = --fix ] && { fix=true; shift; }
[ $# -gt 0 ] || set -- $(find include tests examples -name '*.hpp' -o -name '*.cpp' | sort)

if $fix; then
    exec "$format" -i "$@"
fi
stale=0
for file in "$@"; do
    if ! "$format" --dry-run --Werror "$file" 2>/dev/null; then
        echo "$file"
        stale=$((stale + 1))
    fi
done
echo "$stale of $# files are not as clang-format would write them"
[ "$stale" -eq 0 ]
