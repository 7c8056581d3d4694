#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by `./dev coverage`: line and branch coverage of the headers that check what a peer wrote, by the unit, conformance and
# process tests and the kept fuzz inputs. Branches of exceptions aren't counted. Fails below 95 % of either.
set -euo pipefail
source scripts/builds.sh
wanted=95
checked=(lane_reader lane_writer message_receiver frame_receiver bell handshake greeting negotiation wire_error shared_memory)
folder=build/coverage

configure $folder "$GXX" -Db_coverage=true -Doptimization=0 -Dcpp_args=-DNDEBUG -Dbenchmarks=disabled -Dexamples=disabled
build $folder
find $folder -name '*.gcda' -delete
meson test -C $folder --no-rebuild --num-processes "$jobs" --print-errorlogs --timeout-multiplier 5 --suite unit --suite conformance \
    --suite process </dev/null >$folder/tests.log 2>&1 || { tail -n 40 $folder/tests.log >&2 && exit 1; }
filters=()
for name in "${checked[@]}"; do filters+=(--filter "include/qbipc/detail/$name\\.hpp"); done
gcovr --root . "${filters[@]}" --exclude-throw-branches --exclude-unreachable-branches --json-summary $folder/summary.json \
    --txt $folder/lines.txt $folder >/dev/null
python3 - $folder/summary.json $wanted <<'END'
import json
import sys

summary, wanted = json.load(open(sys.argv[1])), float(sys.argv[2])
rows = [(f["filename"].rsplit("/", 1)[-1], f["line_covered"], f["line_total"], f["branch_covered"], f["branch_total"]) for f in summary["files"]]
rows.append(("all", *(sum(row[i] for row in rows) for i in range(1, 5))))
share = lambda part, whole: 100 if whole == 0 else 100 * part / whole
for name, lines, all_lines, branches, all_branches in rows:
    print(f"{name:24} {share(lines, all_lines):6.1f} % of {all_lines:4} lines {share(branches, all_branches):6.1f} % of {all_branches:4} branches")
_, lines, all_lines, branches, all_branches = rows[-1]
print(f"coverage: {share(lines, all_lines):.1f} % of lines, {share(branches, all_branches):.1f} % of branches, {wanted:.0f} % wanted")
sys.exit(share(lines, all_lines) < wanted or share(branches, all_branches) < wanted)
END
