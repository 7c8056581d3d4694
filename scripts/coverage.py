#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""How much of some headers was run, line by line and branch by branch, over all programs and all instantiations of a
template: a branch that one instantiation took is taken. (gcovr counts each instantiation's branches as others.)

usage: coverage.py FOLDER WANTED HEADER...

Not counted are branches of exceptions, those behind an assert(), and those of code that the compiler made by itself
(destructors, at a closing brace). Prints a table, and each line with a branch that wasn't taken. Fails below WANTED
per cent of either in all headers together.
"""
from __future__ import annotations

import collections
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NO_BRANCH = re.compile(r"^\s*(assert\(|\}[;)]*\s*$)")


def records(folder: pathlib.Path):
    for data in sorted(folder.rglob("*.gcda")):
        found = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", data.name], cwd=data.parent, check=True, capture_output=True, text=True)
        for document in found.stdout.splitlines():
            report = json.loads(document)
            for file in report["files"]:
                yield (folder / file["file"]).resolve(), file["lines"]


def main() -> int:
    folder, wanted = pathlib.Path(sys.argv[1]).resolve(), float(sys.argv[2])
    headers = {(ROOT / "include" / "qbipc" / f"{name}.hpp").resolve(): f"{name}.hpp" for name in sys.argv[3:]}
    lines: dict[str, collections.Counter[int]] = {name: collections.Counter() for name in headers.values()}
    branches: dict[str, collections.Counter[tuple[int, int, int]]] = {name: collections.Counter() for name in headers.values()}
    for path, found in records(folder):
        if (name := headers.get(path)) is None:
            continue
        for line in found:
            number = line["line_number"]
            lines[name][number] += line["count"]
            ways = [branch for branch in line["branches"] if not branch["throw"]]
            # Which of how many: instantiations in which some are left out at compile time are kept apart.
            for index, branch in enumerate(ways):
                branches[name][number, len(ways), index] += branch["count"]

    totals = [0, 0, 0, 0]
    share = lambda part, whole: 100.0 if whole == 0 else 100 * part / whole
    row = lambda name, run, all_lines, taken, all_branches: print(f"{name:28} {share(run, all_lines):6.1f} % of {all_lines:4} lines {share(taken, all_branches):6.1f} % of {all_branches:4} branches")
    missing = []
    for path, name in headers.items():
        text = path.read_text().splitlines()
        # A line whose every instantiation has a form is judged by the form that was taken best.
        forms: dict[int, dict[int, list[int]]] = collections.defaultdict(lambda: collections.defaultdict(list))
        for (number, length, _), count in sorted(branches[name].items()):
            if not NO_BRANCH.match(text[number - 1]):
                forms[number][length].append(count)
        best = {number: max(by_length.values(), key=lambda counts: (sum(c > 0 for c in counts) / len(counts), len(counts))) for number, by_length in forms.items()}
        taken = sum(sum(c > 0 for c in counts) for counts in best.values())
        values = [sum(count > 0 for count in lines[name].values()), len(lines[name]), taken, sum(map(len, best.values()))]
        totals = [a + b for a, b in zip(totals, values)]
        row(name, *values)
        missing += [f"    {name}:{number}: not run: {text[number - 1].strip()}" for number, count in sorted(lines[name].items()) if count == 0]
        missing += [f"    {name}:{number}: {sum(c > 0 for c in counts)} of {len(counts)} branches: {text[number - 1].strip()}" for number, counts in sorted(best.items()) if 0 in counts and lines[name][number] > 0]
    row("all", *totals)
    print(*missing, sep="\n")
    shares = share(totals[0], totals[1]), share(totals[2], totals[3])
    print(f"coverage: {shares[0]:.1f} % of lines, {shares[1]:.1f} % of branches, {wanted:.0f} % wanted")
    return min(shares) < wanted or totals[1] == 0


sys.exit(main())
