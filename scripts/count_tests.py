# SPDX-License-Identifier: BSL-1.0
"""usage: count_tests.py BUILD_FOLDER: prints "PASSED FAILED" of its last `meson test`.

A Catch2 executable counts by its test cases, as tests/support/main.cpp reports them; a case that began and never ended,
or an executable that failed without a failed case, is one failure. Any other test counts as one."""
import json
import pathlib
import sys


def cases_of(report: pathlib.Path, succeeded: bool) -> tuple[int, int]:
    passed = failed = 0
    running = None
    for line in report.read_text().splitlines():
        word, _, name = line.partition(" ")
        if word == "begin":
            running = name
            continue
        passed += word == "passed"
        if word == "failed":
            print(f"FAILED: {report.stem.removeprefix('cases-')}: {name}", file=sys.stderr)
            failed += 1
        running = None
    if running is not None:
        print(f"FAILED: the process ended in the middle of: {running}", file=sys.stderr)
        failed += 1
    elif not succeeded and failed == 0:
        print(f"FAILED: {report.stem} ended with an error after its last test case", file=sys.stderr)
        failed += 1
    return passed, failed


def main() -> None:
    build = pathlib.Path(sys.argv[1])
    log = build / "meson-logs/testlog.json"
    passed = failed = 0
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for entry in entries:
        succeeded = entry["result"] in ("OK", "EXPECTEDFAIL", "SKIP")
        report = pathlib.Path(entry.get("env", {}).get("QBIPC_TEST_REPORT", ""))
        if report.is_file():
            p, f = cases_of(report, succeeded)
        else:
            p, f = (entry["result"] == "OK", not succeeded)
            if f:
                print(f"FAILED: {entry['name']}", file=sys.stderr)
        passed += p
        failed += f
    if not entries:
        print(f"FAILED: no test ran in {build}", file=sys.stderr)
        failed += 1
    print(passed, failed)


main()
