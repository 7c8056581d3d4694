#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev coverage`: line and branch coverage of the headers that check what a peer wrote, by the unit tests, the kept
# fuzz inputs and the fault programs. Fails below 95 % of either. A branch that one instantiation of a template took is taken;
# not counted are those of exceptions, and those behind an assert().
set -euo pipefail
source scripts/builds.sh
wanted=95
checked=(lane_reader lane_writer message_receiver frame_receiver bell handshake greeting negotiation wire_error shared_memory)
fuzzed=(handshake service_view client_view)
faults=(allocations system-calls)
folder=build/coverage

configure $folder "$GXX" -Db_coverage=true -Doptimization=0 -Dbenchmarks=disabled -Dexamples=disabled
build $folder tests/test-unit "${fuzzed[@]/#/tests/fuzz/fuzz-}" "${faults[@]/#/tests/faults/faults-}"
find $folder -name '*.gcda' -delete

run() { # PROGRAM [ARGUMENTS...]
    timeout --kill-after=10 1800 "$folder/tests/$@" </dev/null >$folder/run.log 2>&1 && return
    echo "FAILED: $1" >&2
    tail -n 20 $folder/run.log >&2
    exit 1
}
run test-unit
for target in "${fuzzed[@]}"; do run "fuzz/fuzz-$target" "tests/fuzz/corpus/$target" "tests/fuzz/regressions/$target"; done
for program in "${faults[@]}"; do run "faults/faults-$program"; done

filters=()
for header in "${checked[@]}"; do filters+=(--filter "include/qbipc/detail/$header\.hpp"); done
# Measured once, shown twice.
gcovr --root . $folder "${filters[@]}" --gcov-executable "$PWD/scripts/gcov_of_what_ran.sh" --exclude-throw-branches \
    --exclude-unreachable-branches --exclude-branches-by-pattern '^\s*(assert\(|\} catch)' --json $folder/coverage.json
gcovr --root . --add-tracefile $folder/coverage.json --branches
gcovr --root . --add-tracefile $folder/coverage.json --fail-under-line $wanted --fail-under-branch $wanted
echo "coverage: at least $wanted % of lines and of branches"
