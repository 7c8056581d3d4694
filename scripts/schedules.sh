#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev schedules [--full] [--seed N]`: the shipped lanes and bells under schedules on a weak memory, in less than
# a minute; --full: all of two frames, with a death at each operation too, and 20 million more: half an hour.
set -euo pipefail
source scripts/packages.sh
source scripts/builds.sh

full=() seed=${QBIPC_TEST_SEED:-$RANDOM$RANDOM}
while [ $# -gt 0 ]; do
    case $1 in
    --full) full=(--full) && shift ;;
    --seed) seed=${2:?--seed N} && shift 2 ;;
    *) echo "usage: ./dev schedules [--full] [--seed N]" >&2 && exit 2 ;;
    esac
done

configure build/gcc "$GXX"
build build/gcc tests/schedules/schedules
program=build/gcc/tests/schedules/schedules
echo "schedules: seed $seed"
if [ ${#full[@]} -eq 0 ]; then
    exec "$program" --seed "$seed" --lanes 500000 --ends 500000 --seconds 20
fi
exec "$program" --seed "$seed" --all 2 --deaths 2 --lanes 20000000 --ends 20000000 --seconds 600
