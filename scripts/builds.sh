# SPDX-License-Identifier: BSL-1.0
# Sourced by ./dev and scripts/check.sh: build folders, and running and counting tests in them.

# Other compilers: GXX=g++-13 CLANGXX=clang++-14 ./dev test
GXX=${GXX:-g++}
CLANGXX=${CLANGXX:-clang++-16}
jobs=${QBIPC_JOBS:-$(nproc)}
counts=build/counts

cpp_sources() {
    find include tests examples benchmarks packaging docs test_package \( -name '*.hpp' -o -name '*.cpp' \) \
        -not -path '*/build*/*' 2>/dev/null | sort
}

# configure FOLDER COMPILER [MESON OPTIONS...]: anew where the compiler or the options have changed.
configure() {
    local folder=$1 compiler=$2
    shift 2
    local wanted="$compiler $* ${BOOST_ROOT:-}"
    [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/configured" 2>/dev/null)" = "$wanted" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    # -O2, where compilers take the liberties that matter here. Assertions stay on.
    if ! CXX="$(command -v ccache >/dev/null && echo "ccache ")$compiler" meson setup "$folder" \
        -Doptimization=2 -Ddebug=false -Dwerror=true "$@" </dev/null >"$folder/setup.log" 2>&1; then
        cat "$folder/setup.log" >&2
        return 1
    fi
    printf '%s' "$wanted" >"$folder/configured"
}

# Tests under the address and undefined-behaviour sanitizers.
configure_sanitized() {
    configure build/asan "$CLANGXX" -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=0 \
        -Dcpp_args=-fno-sanitize-recover=all -Dbenchmarks=disabled
}

# The benchmarks' peers: as a release would be built, unlike the tests.
configure_benchmarks() {
    configure build/bench "$GXX" -Db_ndebug=true -Dtests=disabled -Dexamples=disabled -Dbenchmarks=enabled
}

# Debian's matplotlib is Debian's python's.
run_benchmarks() {
    local python=/usr/bin/python3
    [ -x $python ] || python=python3
    QBIPC_JOBS=$jobs $python -B benchmarks/run.py "$@"
}

# build FOLDER [TARGET...]: quiet where it works.
build() {
    local folder=$1 started=$SECONDS
    shift
    if ! ninja -C "$folder" -j "$jobs" -k 0 "$@" </dev/null >"$folder.log" 2>&1; then
        grep -vE '^\[[0-9]+/[0-9]+\]|^ccache |^ninja: (Entering|build)' "$folder.log" | head -n 200 >&2
        return 1
    fi
    [ $((SECONDS - started)) -lt 5 ] || echo "built $folder in $((SECONDS - started)) s"
}

# Each step appends "PASSED FAILED" to $counts; print_count sums, prints the last line and gives the exit code.
start_counting() {
    mkdir -p build
    : >"$counts"
    find /dev/shm /tmp -maxdepth 1 2>/dev/null | sort >build/before
}

print_count() {
    awk '{ passed += $1; failed += $2 } END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || passed == 0 }' \
        "$counts"
}

# run_tests FOLDER [ARGUMENTS OF meson test...]: builds and tests; a folder that doesn't build is one failure.
run_tests() {
    local folder=$1
    shift
    echo "== $folder"
    if ! build "$folder"; then
        echo "FAILED: $folder does not build"
        echo "0 1" >>"$counts"
        return 0
    fi
    rm -f "$folder"/meson-logs/testlog*.json "$folder"/meson-logs/cases-*.txt
    "${test_wrapper[@]}" meson test -C "$folder" --no-rebuild --num-processes "$jobs" --print-errorlogs --timeout-multiplier 3 "$@" </dev/null |
        grep -vE '^ninja: |^$|^(Expected Fail|Unexpected Pass|Skipped|Full log)' || true
    python3 scripts/count_tests.py "$folder" >>"$counts"
}
test_wrapper=()

# Whatever a test or a killed process of it left in /dev/shm or /tmp would stay there for ever.
nothing_left_behind() {
    local left
    left=$(find /dev/shm /tmp -maxdepth 1 2>/dev/null | sort | comm -13 build/before - | grep -iE 'qbipc|calculator|sysmon' || true)
    if [ -n "$left" ]; then
        printf 'FAILED: left behind:\n%s\n' "$left"
        echo "0 1" >>"$counts"
    else
        echo "1 0" >>"$counts"
    fi
}
