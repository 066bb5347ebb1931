#!/bin/sh
# Installs what building and testing need and this machine lacks, from the distribution, without questions.
#
#   setup.sh [build] [dns] [demo] [full]     without arguments: build
#
# build   g++, CMake, Asio, nlohmann/json, doctest: enough for `cmake --build` and the unit tests
# dns     the DNS servers that the discovery tests and the demo talk to (they are started by the tests, never as services)
# demo    build, and dnsmasq
# full    build, dns, and what the whole suite uses besides: clang, its symbolizer (tsan.supp names functions), Meson,
#         iproute2, clang-format
set -eu

build="g++ cmake ninja-build pkg-config python3 libasio-dev nlohmann-json3-dev doctest-dev ccache"
dns="dnsmasq-base bind9 bind9-dnsutils knot unbound"
full="$build $dns clang-16 llvm-16 libclang-rt-16-dev meson iproute2 clang-format procps"

wanted=
[ $# -gt 0 ] || set -- build
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    dns) wanted="$wanted $dns" ;;
    demo) wanted="$wanted $build dnsmasq-base" ;;
    full) wanted="$wanted $full" ;;
    *) echo "setup.sh: there is no group '$group': say build, dns, demo or full" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "setup.sh: this is no Debian or Ubuntu, so nothing is installed; needed:$wanted" >&2
    exit 0
fi

missing=
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "setup.sh: installing$missing"
as_root=
if [ "$(id -u)" -ne 0 ]; then
    # Never `sudo` alone: in the background nobody sees it ask for a password.
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
        echo "setup.sh: this needs root, and sudo would ask for a password; run by hand, as root:" >&2
        echo "    apt-get update && apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root="sudo -n"
fi

# The DNS servers bring services that would start and take port 53; this file is how Debian is told not to.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '$as_root rm -f $policy' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod +x $policy
fi

apt() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" </dev/null
}
# The package lists are fetched only if they are absent or so old that the download fails.
# shellcheck disable=SC2086
if ! apt-cache show $missing >/dev/null 2>&1 || ! apt install --no-install-recommends $missing; then
    apt update
    apt install --no-install-recommends $missing
fi
