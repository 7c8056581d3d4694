#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev torture [--full] [--seed N] [PART...]`: death and standstill, of either end, at every place; the last line sums up.
set -euo pipefail
source scripts/packages.sh
source scripts/builds.sh

all=(stepper flips syscalls storm handlers handlers-asan client-handlers client-handlers-asan stopped)
parts=() words=()
while [ $# -gt 0 ]; do
    case $1 in
    --full) words+=("$1") ;;
    --*) words+=("$1" "$2") && shift ;;
    *) parts+=("$1") ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")

# As a release is built: what a death meets is the very code that ships.
release() {
    configure build/torture "$GXX" -Db_ndebug=true -Dbenchmarks=disabled -Dexamples=disabled
    build build/torture "$@"
}
address() {
    configure build/torture-asan "$CLANGXX" -Db_sanitize=address -Db_lundef=false -Doptimization=1 -Dbenchmarks=disabled -Dexamples=disabled
    build build/torture-asan "$@"
}

run() {
    local part=$1 program=$2
    local log=build/torture-$part.log
    echo "== $part"
    timeout -k 10 "$limit" "$program" "${words[@]}" </dev/null 2>&1 | tee "$log" || failed=1
    tail -n 1 "$log" | grep -E '[0-9]+ kills, [0-9]+ failures$' >>build/torture-lines || {
        echo "FAILED: $part didn't come to its end"
        echo "0 kills, 1 failures" >>build/torture-lines
    }
}

limit=3600
case " ${words[*]-} " in *" --full "*) limit=21600 ;; esac
failed=0
mkdir -p build
: >build/torture-lines
targets=() addresses=()
for part in "${parts[@]}"; do
    case $part in
    *-asan) addresses+=("tests/torture/torture-${part%-asan}") ;;
    *) targets+=("tests/torture/torture-$part") ;;
    esac
done
[ ${#targets[@]} -eq 0 ] || release "${targets[@]}"
[ ${#addresses[@]} -eq 0 ] || address "${addresses[@]}"
for part in "${parts[@]}"; do
    case $part in
    *-asan) ASAN_OPTIONS=handle_abort=1:detect_leaks=0 run "$part" "build/torture-asan/tests/torture/torture-${part%-asan}" ;;
    *) run "$part" "build/torture/tests/torture/torture-$part" ;;
    esac
done
awk -v failed=$failed '{ kills += $(NF - 3); failures += $(NF - 1) }
    END { if (failed && !failures) failures = 1
          printf "torture: %d kills, %d failures\n", kills, failures; exit failures > 0 || kills == 0 }' build/torture-lines
