#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev faults [--full]`: every allocation and every system call fails once, under AddressSanitizer.
set -euo pipefail
source scripts/packages.sh
source scripts/builds.sh

folder=build/faults
programs=(allocations system-calls)
log=build/faults.txt

configure $folder "$CLANGXX" -Db_sanitize=address -Db_lundef=false -Doptimization=1 -Dbenchmarks=disabled -Dexamples=disabled
build $folder "${programs[@]/#/tests/faults/faults-}"

# Each waits as much as it works: all at once.
status=0 running=()
for program in "${programs[@]}"; do
    ASAN_OPTIONS=detect_leaks=1 timeout --kill-after=10 1800 "$folder/tests/faults/faults-$program" "$@" \
        </dev/null >"$folder/$program.txt" 2>&1 &
    running+=($!)
done
for pid in "${running[@]}"; do wait "$pid" || status=1; done
for program in "${programs[@]}"; do cat "$folder/$program.txt"; done | tee $log

# The programs' last lines: "WHAT: N failed, K findings". One that is missing is a finding.
awk -v programs=${#programs[@]} '
    match($0, /^(allocations|system calls): [0-9]+ failed, [0-9]+ findings$/) {
        split($0, part, ": "); split(part[2], number, " ")
        failed[part[1]] = number[1]; findings += number[3]; ++seen
    }
    END {
        findings += programs - seen
        printf "faults: %d allocations failed, %d system calls failed, %d findings\n",
            failed["allocations"], failed["system calls"], findings
        exit findings > 0
    }' $log || status=1
exit $status
