#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev check [NAME...]`: one line for each check, and the count. What a check printed is in build/check/NAME.log.
set -euo pipefail
# A clone may belong to somebody else than who checks it.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
source scripts/packages.sh
source scripts/builds.sh
source scripts/check_packaging.sh

check_format() { cpp_sources | xargs clang-format-16 --dry-run -Werror; }

check_lists() { scripts/sync_lists.py --check; }

check_tree() { scripts/check_tree.py; }

# Every header in one file, and the programs that instantiate them.
check_tidy() {
    configure build/clang "$CLANGXX"
    local file=build/check/all_headers.cpp
    (cd include && find qbipc -name '*.hpp' | sort | sed 's/.*/#include <&>/') >"$file"
    {
        printf '%s\n' "$file"
        git ls-files --cached --others --exclude-standard 'examples/*.cpp'
    } | xargs -P "$jobs" -n 1 scripts/tidy.sh
}

# The folders of `./dev test`: all warnings are errors there.
check_warnings() {
    configure build/gcc "$GXX"
    configure build/clang "$CLANGXX"
    build build/gcc
    build build/clang
}

# The oldest clang++ that the README names takes every header and every example.
check_clang_14() {
    need clang-14
    {
        (cd include && find qbipc -name '*.hpp' | sort | sed 's/.*/#include <&>/') >build/check/all_headers_14.cpp
        printf '%s\n' build/check/all_headers_14.cpp
        git ls-files --cached --others --exclude-standard 'examples/*.cpp'
    } | xargs -P "$jobs" -n 1 clang++-14 -std=c++20 -Wall -Wextra -Werror -fsyntax-only -Iinclude -Iexamples -DBOOST_ALL_NO_LIB
}

# The suites that run code; what only compiles says nothing new here.
run_suites() {
    local folder=$1
    shift
    build "$folder"
    meson test -C "$folder" --no-rebuild --num-processes "$jobs" --print-errorlogs --timeout-multiplier 5 "$@" </dev/null
}

check_address_and_undefined() {
    configure_sanitized
    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        run_suites build/asan --suite unit --suite conformance --suite examples
}

# g++ warns about fences in this mode, and clang++'s runtime wants the addresses it knows: no randomization.
check_thread() {
    configure build/tsan "$CLANGXX" -Db_sanitize=thread -Db_lundef=false -Doptimization=0 -Dbenchmarks=disabled -Dexamples=disabled
    local unrandomized=()
    setarch -R true 2>/dev/null && unrandomized=(setarch -R)
    build build/tsan
    TSAN_OPTIONS=halt_on_error=1 "${unrandomized[@]}" meson test -C build/tsan --no-rebuild --num-processes "$jobs" \
        --print-errorlogs --timeout-multiplier 5 --suite unit --suite conformance </dev/null
}

# Debian 12 has 1.74 and 1.81, which can't be installed together: whichever is not installed is unpacked.
check_boost() {
    local other=1.74
    grep -q '"1_74"' /usr/include/boost/version.hpp && other=1.81
    local boost=build/boost-$other folder=build/with-boost-$other
    if [ ! -e "$boost/usr/include/boost/version.hpp" ]; then
        mkdir -p "$boost"
        (cd "$boost" && apt-get download -q "libboost$other-dev" && dpkg -x libboost*.deb .)
    fi
    BOOST_ROOT=$PWD/$boost/usr configure "$folder" "$GXX" -Doptimization=0 -Dbenchmarks=disabled
    grep "Boost found: YES $other" "$folder/setup.log"
    build "$folder" examples
    meson test -C "$folder" --no-rebuild --num-processes "$jobs" --print-errorlogs --suite examples </dev/null
}

# Every peer builds, and is measured once, however badly on a busy machine.
check_benchmarks() {
    need "${bench_packages[@]}"
    (cd benchmarks && python3 -B -m unittest -q test_logic)
    configure_benchmarks
    if grep 'the benchmarks go without' build/bench/meson-logs/meson-log.txt; then return 1; fi
    run_benchmarks --quick --case rtt --size 48 --repetitions 1
}

# Instructions of the hot path, which repeat where time doesn't. Another compiler's are others.
check_instructions() {
    local recorded=12
    if [ "$("$GXX" -dumpversion | cut -d. -f1)" != $recorded ]; then
        echo "note: not counted: what is recorded is of g++ $recorded"
        return
    fi
    configure_benchmarks
    build build/bench benchmarks/lockstep
    benchmarks/instructions/count.py build/bench/benchmarks/lockstep
}

all=(format lists tree warnings clang_14 boost tidy address_and_undefined thread benchmarks instructions
    meson_subproject cmake_installed pkg_config cmake_fetchcontent conan vcpkg)

mkdir -p build/check
passed=0 failed=0
for name in "${@:-${all[@]}}"; do
    started=$SECONDS
    log=build/check/$name.log
    # A shell of its own, so that `set -e` holds inside the check.
    set +e
    (set -e; "check_$name") </dev/null >"$log" 2>&1
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        printf 'ok      %-22s %4d s' "$name" $((SECONDS - started))
        sed -n 's/^note: /   /p' "$log" | tr -d '\n'
        echo
    else
        failed=$((failed + 1))
        printf 'FAILED  %-22s %4d s   %s\n' "$name" $((SECONDS - started)) "$log"
        tail -n 40 "$log" | sed 's/^/        /'
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
