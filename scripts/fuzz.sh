#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev fuzz [--full | --seconds N | --runs N] [TARGET...]`: what a hostile peer can write, thrown at the shipped code.
# So many seconds for each target (short: 40), or so many executions (--full: 30 million), from a seed that is printed. First
# everything that was ever found (tests/fuzz/regressions) is tried again. What is found goes to build/fuzz/TARGET.found.
# Where executions are counted, as many targets run at a time as there are cores.
set -euo pipefail
source scripts/builds.sh
# With nothing left to stop, kill complains; what the script found stays its exit status.
trap 'kill $(jobs -rp) 2>/dev/null || true' EXIT

targets=(service_view client_view handshake)
seconds=40
runs=
seed=${QBIPC_TEST_SEED:-20261125}
chosen=()
while [ $# -gt 0 ]; do
    case $1 in
    --full) runs=30000000 ;;
    --runs) runs=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    -*) echo "usage: ./dev fuzz [--full | --seconds N | --runs N] [${targets[*]}]" >&2 && exit 2 ;;
    *) chosen+=("$1") ;;
    esac
    shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${targets[@]}")

# What tests/fuzz/scripted_kernel.hpp stands in for; tests/fuzz/meson.build has the same list.
wrapped=(close read write epoll_create1 epoll_ctl epoll_wait eventfd timerfd_create timerfd_settime geteuid
    _ZNSt6chrono3_V212steady_clock3nowEv)
# Not looked for by the undefined-behaviour sanitizer is what the address sanitizer finds as well; vptr alone costs a tenth.
flags=(-std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize=null,vptr,object-size,function
    -fno-sanitize-recover=all -fno-sanitize-coverage=trace-cmp
    -fsanitize-coverage-ignorelist=tests/fuzz/uninteresting.txt -fsanitize-address-use-after-return=never
    -DQBIPC_FUZZING -Iinclude -Itests -pthread)
launcher=()
command -v ccache >/dev/null && launcher=(ccache)

build_target() {
    "${launcher[@]}" "$CLANGXX" "${flags[@]}" -c "tests/fuzz/$1.cpp" -o "build/fuzz/$1.o"
    "$CLANGXX" "${flags[@]}" "build/fuzz/$1.o" -o "build/fuzz/$1" "${wrapped[@]/#/-Wl,--wrap=}"
}

# What is left over after a run is counted by the targets themselves, so leaks aren't looked for between runs; the corpus is
# small, so neither are rare features preferred nor inputs shortened: each of the three would cost a fifth of the speed.
quickly=(-detect_leaks=0 -entropic=0 -reduce_inputs=0)

# Runs a target until its time or number is up; what it says goes to its log.
run_target() {
    local folder=build/fuzz/$1 budget=(-max_total_time="$seconds")
    [ -z "$runs" ] || budget=(-runs="$runs")
    mkdir -p "$folder.corpus" "$folder.found"
    local status=0
    "$folder" "${budget[@]}" -seed="$seed" -max_len=256 -timeout=60 -rss_limit_mb=512 -print_final_stats=1 "${quickly[@]}" \
        -artifact_prefix="$folder.found/" "$folder.corpus" "tests/fuzz/corpus/$1" >"$folder.log" 2>&1 || status=$?
    echo "$status" >"$folder.status"
}

# Prints a target's line, adds to the sums.
executions=0 findings=0
report_target() {
    local target=$1 folder=build/fuzz/$1 done speed found
    local log=$folder.log status
    status=$(cat "$folder.status")
    done=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    found=$([ "$status" -eq 0 ] && echo 0 || echo 1)
    printf '%-14s %12d executions %8d a second  %d findings\n' "$target" "${done:-0}" "${speed:-0}" "$found"
    if [ "$status" -ne 0 ]; then
        grep -aE 'FAULT|ERROR|SUMMARY|runtime error|Test unit written' "$log" | sed 's/^/    /'
        echo "    $log; again: $folder FILE"
    fi
    executions=$((executions + ${done:-0}))
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
at_a_time=1
[ -z "$runs" ] || at_a_time=$jobs
for target in "${chosen[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$at_a_time" ]; do wait -n; done
    run_target "$target" &
done
wait
for target in "${chosen[@]}"; do report_target "$target"; done
echo "fuzz: $executions executions, $findings findings"
[ $findings -eq 0 ] && [ $executions -gt 0 ]
