#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev seeded-faults [--list] [--full] [LIST | PART OF A NAME...]`: the faults of tests/seeded_faults, each of which the
# test that it names must catch.
set -euo pipefail
source scripts/builds.sh

CXX="$(command -v ccache >/dev/null && echo "ccache ")$GXX" QBIPC_JOBS=$jobs exec python3 -B tests/seeded_faults/run.py "$@"
