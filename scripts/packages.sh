# SPDX-License-Identifier: BSL-1.0
# Sourced by ./dev: what Debian 12 must have, and how it gets there.

build_packages=(g++ meson ninja-build pkg-config python3 libboost-dev libexpected-dev)
test_packages=(clang-16 catch2 ccache)
# The benchmarks' peers, and plots. Only wanted: a peer whose package can't be had is skipped.
bench_packages=(python3-matplotlib cmake libqb-dev libzmq3-dev libnng-dev libiceoryx-posh-dev libacl1-dev libsystemd-dev libgrpc++-dev
    libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libcapnp-dev capnproto)
check_packages=(clang-format-16 clang-tidy-16 libclang-rt-16-dev cmake git python3-venv util-linux valgrind)

installed() {
    case $1 in
    # Another version of Boost will do, wherever it came from.
    libboost-dev) [ -e /usr/include/boost/version.hpp ] ;;
    # A toolchain may also come without Debian's package.
    g++ | meson | python3 | cmake | git | ccache) command -v "$1" >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    pkg-config) command -v pkg-config >/dev/null ;;
    clang-16) command -v "$CLANGXX" >/dev/null ;;
    *) dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed' ;;
    esac
}

# need PACKAGE...: installs those that are missing, as root or through sudo; never asks.
need() {
    local package missing=() as_root=()
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] && return
    local line="apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            printf 'Missing packages. Run this line, then try again:\n    sudo apt-get update && sudo %s\n' "$line" >&2
            exit 1
        fi
        as_root=(sudo -n)
    fi
    echo "installing: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $line; } </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "could not install: ${missing[*]}" >&2
        exit 1
    fi
    rm -f "$log"
}

# want PACKAGE...: as need, but goes on without those that can't be had.
want() {
    local package
    (need "$@") && return
    for package in "$@"; do (need "$package") >/dev/null 2>&1 || echo "going on without $package"; done
}
