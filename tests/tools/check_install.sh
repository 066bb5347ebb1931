#!/usr/bin/env bash
# Builds and runs the program of tests/install against OpenReplica in every way that the README offers.
#
#   check_install.sh [ROUTE…]     without arguments: all of them
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -gt 0 ] || set -- cmake-package cmake-single cmake-moved cmake-subdirectory cmake-fetch pkg-config \
    meson-subproject meson-package single-header

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CXXFLAGS="-O0 -Wall -Wextra -Wpedantic ${CXXFLAGS-}"
launcher=()
if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    export CCACHE_BASEDIR=$work
fi

# What a user downloads, at another place than this checkout and without its builds.
mkdir "$work/source"
tar -C "$root" --exclude=./.git --exclude='./build*' -cf - . | tar -C "$work/source" -xf -
program() { # NAME: a fresh copy of the outside program
    mkdir "$work/$1"
    cp "$root"/tests/install/* "$work/$1/"
    cd "$work/$1"
}
expect() { # PROGRAM: runs it and looks at what it says
    local said version
    version=$(sed -n 's/^#define OPENREPLICA_VERSION_[A-Z]* //p' "$root/include/openreplica/version.hpp" | paste -sd .)
    said=$(timeout 30 "$1")
    [ "$said" = "OpenReplica $version: 1" ] || { echo "expected 'OpenReplica $version: 1', the program said '$said'"; return 1; }
}
stage() { # BUILD SYSTEM: installs into $work/stage-SYSTEM. Errexit is off where its status is asked for.
    if [ "$1" = cmake ]; then
        cmake -G Ninja -S "$work/source" -B "$work/build-cmake" -DOPENREPLICA_BUILD_TESTS=OFF -DOPENREPLICA_BUILD_EXAMPLES=OFF \
            -DCMAKE_INSTALL_PREFIX="$work/stage-cmake" &&
            cmake --install "$work/build-cmake"
    else
        # Nothing needs to be built before headers are installed, and meson would build every test.
        meson setup "$work/build-meson" "$work/source" --prefix="$work/stage-meson" -Dpkgconfig.relocatable=true &&
            meson install -C "$work/build-meson" --no-rebuild
    fi
}
build_with_cmake() { # NAME ARGUMENT…
    program "$1"
    cmake -G Ninja -S . -B build "${launcher[@]}" "${@:2}"
    cmake --build build
    expect build/outside
}

route() {
    case $1 in
    cmake-package)
        build_with_cmake "$1" -DROUTE=package -DCMAKE_PREFIX_PATH="$work/stage-cmake" ;;
    cmake-single)
        build_with_cmake "$1" -DROUTE=single -DCMAKE_PREFIX_PATH="$work/stage-cmake" ;;
    cmake-moved) # An installed tree that was moved still works, and no path of the source remains in it.
        cp -r "$work/stage-cmake" "$work/elsewhere"
        if grep -r "$work" "$work/elsewhere"; then
            echo "the installed files name the folder they were built in"
            return 1
        fi
        program "$1"
        cmake -G Ninja -S . -B build -DROUTE=package -DCMAKE_PREFIX_PATH="$work/elsewhere" ;;
    cmake-subdirectory)
        build_with_cmake "$1" -DROUTE=subdirectory -DOPENREPLICA_SOURCE="$work/source" ;;
    cmake-fetch)
        build_with_cmake "$1" -DROUTE=fetch -DOPENREPLICA_SOURCE="$work/source" ;;
    pkg-config)
        program "$1"
        # shellcheck disable=SC2046
        g++ -std=c++20 $CXXFLAGS main.cpp -o outside \
            $(PKG_CONFIG_PATH="$work/stage-cmake/share/pkgconfig" pkg-config --cflags --libs openreplica)
        expect ./outside ;;
    meson-subproject)
        program "$1"
        mkdir subprojects
        cp -r "$work/source" subprojects/openreplica
        meson setup build
        meson compile -C build
        expect build/outside ;;
    meson-package)
        program "$1"
        PKG_CONFIG_PATH=$(dirname "$(find "$work/stage-meson" -name openreplica.pc)") meson setup build --wrap-mode=nofallback
        meson compile -C build
        expect build/outside ;;
    single-header) # One file and a compiler, far from include/.
        program "$1"
        mkdir openreplica
        cp "$root/single_include/openreplica/openreplica.hpp" openreplica/
        g++ -std=c++20 $CXXFLAGS -I. main.cpp -o outside -pthread
        expect ./outside ;;
    *)
        echo "there is no route '$1'"
        return 1 ;;
    esac
}

# Both trees first, so that the routes do not wait for one another.
for system in cmake meson; do
    stage $system >"$work/stage-$system.log" 2>&1 </dev/null || { cat "$work/stage-$system.log"; exit 1; }
done
# A route is one compiler most of its time: as many at once as there are processors.
for name in "$@"; do
    while (($(jobs -pr | wc -l) >= $(nproc))); do wait -n || true; done
    (
        # With an errexit of its own: `if route …` would switch errexit off inside.
        set +e
        ( set -e; route "$name" ) >"$work/$name.log" 2>&1 </dev/null
        echo $? >"$work/$name.status"
    ) &
done
wait

passed=0
failed=0
for name in "$@"; do
    if [ "$(cat "$work/$name.status")" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        tail -n 30 "$work/$name.log" | sed 's/^/        /'
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
