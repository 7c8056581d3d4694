#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev fuzz [--full] [--seconds N] [TARGET...]`: what a hostile peer can write, thrown at the shipped code. Short: so
# many seconds for each target, from a seed that is printed; --full: until each had 30 million executions. First everything
# that was ever found (tests/fuzz/regressions) is tried again. What is found goes to build/fuzz/TARGET.found.
set -euo pipefail
source scripts/builds.sh

targets=(service_view client_view handshake)
full_runs=30000000
seconds=40
full=
seed=${QBIPC_TEST_SEED:-20261125}
chosen=()
while [ $# -gt 0 ]; do
    case $1 in
    --full) full=yes ;;
    --seconds) seconds=$2 && shift ;;
    -*) echo "usage: ./dev fuzz [--full] [--seconds N] [${targets[*]}]" >&2 && exit 2 ;;
    *) chosen+=("$1") ;;
    esac
    shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${targets[@]}")

# What tests/fuzz/scripted_kernel.hpp stands in for; tests/fuzz/meson.build has the same list.
wrapped=(close read write epoll_create1 epoll_ctl epoll_wait eventfd timerfd_create timerfd_settime
    _ZNSt6chrono3_V212steady_clock3nowEv)
flags=(-std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-sanitize-coverage=trace-cmp
    -fsanitize-coverage-ignorelist=tests/fuzz/uninteresting.txt -fsanitize-address-use-after-return=never
    -DQBIPC_FUZZING -Iinclude -Itests -pthread)
launcher=()
command -v ccache >/dev/null && launcher=(ccache)

build_target() {
    "${launcher[@]}" "$CLANGXX" "${flags[@]}" -c "tests/fuzz/$1.cpp" -o "build/fuzz/$1.o"
    "$CLANGXX" "${flags[@]}" "build/fuzz/$1.o" -o "build/fuzz/$1" "${wrapped[@]/#/-Wl,--wrap=}"
}

# Runs a target until its time or number is up; prints its line, adds to the sums.
executions=0 findings=0
run_target() {
    local target=$1 folder=build/fuzz/$1 budget=(-max_total_time="$seconds") runs speed found
    [ -z "$full" ] || budget=(-runs=$full_runs)
    mkdir -p "$folder.corpus" "$folder.found"
    local log=$folder.log status=0
    "$folder" "${budget[@]}" -seed="$seed" -max_len=512 -timeout=2 -rss_limit_mb=512 -print_final_stats=1 \
        -artifact_prefix="$folder.found/" "$folder.corpus" "tests/fuzz/corpus/$target" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    found=$([ $status -eq 0 ] && echo 0 || echo 1)
    printf '%-14s %12d executions %8d a second  %d findings\n' "$target" "${runs:-0}" "${speed:-0}" "$found"
    if [ $status -ne 0 ]; then
        grep -aE 'FAULT|ERROR|SUMMARY|runtime error|Test unit written' "$log" | sed 's/^/    /'
        echo "    $log; again: $folder FILE"
    fi
    executions=$((executions + ${runs:-0}))
    findings=$((findings + found))
}

mkdir -p build/fuzz
echo "QBIPC_TEST_SEED=$seed"
for target in "${chosen[@]}"; do
    build_target "$target"
    for known in "tests/fuzz/regressions/$target"/*; do
        [ -e "$known" ] || continue
        if ! "build/fuzz/$target" "$known" >"build/fuzz/$target.known.log" 2>&1; then
            echo "$target: $known is back: build/fuzz/$target.known.log"
            findings=$((findings + 1))
        fi
    done
done
for target in "${chosen[@]}"; do run_target "$target"; done
echo "fuzz: $executions executions, $findings findings"
[ $findings -eq 0 ] && [ $executions -gt 0 ]
