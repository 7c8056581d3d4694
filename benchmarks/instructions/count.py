#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Counts instructions of the hot path under callgrind, and holds them against counts.csv: they repeat where time doesn't.

usage: count.py PROGRAM [--update]      PROGRAM: lockstep, as `./dev check instructions` builds it
"""
import csv
import pathlib
import re
import subprocess
import sys

COUNTS = pathlib.Path(__file__).with_name("counts.csv")
TOLERANCE = 0.05
# The difference of two runs is what the rounds between took; until the two sides are in step they spin, more or less each time: the
# fewest of some runs are taken.
RUNS = 3
ROUNDS = {"turns": (200, 20200), "calls": (200, 20200), "sends": (200, 2200), "events": (200, 2200)}
BATCH = 100


def fewest(program: str, case: str, rounds: int) -> int:
    return min(collected(program, case, rounds) for _ in range(RUNS))


def collected(program: str, case: str, rounds: int) -> int:
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, case, str(rounds)],
        capture_output=True, text=True, timeout=300, check=False)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or found is None:
        sys.exit(f"{program} {case} {rounds}: exit {run.returncode}\n{run.stderr}")
    return int(found[1])


def per_round(program: str, case: str) -> float:
    few, many = ROUNDS[case]
    return (fewest(program, case, many) - fewest(program, case, few)) / (many - few)


def main() -> int:
    program = sys.argv[1]
    turns, calls, sends, events = (per_round(program, case) for case in ("turns", "calls", "sends", "events"))
    counts = {"call": calls - turns, "one_way": (sends - calls) / BATCH, "event": (events - calls) / BATCH}
    if "--update" in sys.argv:
        with COUNTS.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [("case", "instructions"), *((case, round(count)) for case, count in counts.items())])
    failed = False
    for row in csv.DictReader(COUNTS.open()):
        case, wanted = row["case"], int(row["instructions"])
        off = counts[case] / wanted - 1
        verdict = "ok" if abs(off) <= TOLERANCE else "more than was recorded" if off > 0 else "fewer: record them (--update)"
        failed |= verdict != "ok"
        print(f"{case:8}  {counts[case]:7.0f} instructions on both sides, {wanted} recorded ({off:+.1%}): {verdict}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
