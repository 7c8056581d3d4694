#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev attack [PART OF A SENTENCE]`: the hostile moves of tests/attacker, against victims built with the address
# and undefined-behaviour sanitizers, and against those of the release.
set -euo pipefail
source scripts/builds.sh
source scripts/packages.sh
need libclang-rt-16-dev

configure build/gcc "$GXX"
configure_sanitized
build build/gcc tests/attacker/attacker tests/helper-peer tests/helper-victim
build build/asan tests/helper-peer tests/helper-victim

status=0 withstood=0 made=0
for victims in asan gcc; do
    echo "== victims of build/$victims"
    log=build/attack-$victims.log
    sanitized=()
    [ $victims = gcc ] || sanitized=(--sanitized)
    UBSAN_OPTIONS=print_stacktrace=1 QBIPC_TEST_PROGRAMS=$PWD/build/$victims/tests \
        build/gcc/tests/attacker/attacker "${sanitized[@]}" "$@" </dev/null 2>&1 | tee "$log" | grep -v '^ok ' || true
    # "attacker: N of M moves withstood"; without that line it was no run.
    read -r _ one _ all _ < <(grep '^attacker: ' "$log" | tail -n 1) || one=0 all=1
    withstood=$((withstood + one)) made=$((made + all))
    [ "$one" -eq "$all" ] && [ "$all" -gt 0 ] || status=1
done
[ $status -eq 0 ] && made=$((made / 2)) withstood=$((withstood / 2))
echo "attacker: $withstood of $made moves withstood, by sanitized and release victims"
exit $status
