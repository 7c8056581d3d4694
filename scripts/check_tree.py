#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Checks that need no compiler: licence lines, the basics of .editorconfig, habits of the code, versions that agree."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LICENCE = "SPDX-License-Identifier: " + "BSL-1.0"
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:work|root|home)/\w")
# Result::value() throws, or is undefined behaviour without exceptions; an error_code's value() is a number. Examples use
# value() for nothing else; headers have other types with a value(), so there only what looks like a Result.
VALUE_OF_ANYTHING = re.compile(r"(?<!code)(?<!code_)(?<!error)(?<!error\(\))(?<!condition)(?:\.|->)value\(\)")
VALUE_OF_A_RESULT = re.compile(r"(?:(?<!error\()\)|client|service)\.value\(\)")
LONGEST_HEADER = 400
# Inputs of fuzz targets: bytes, not text.
INPUTS = ("tests/fuzz/corpus/", "tests/fuzz/regressions/")

problems: list[str] = []


def check_text(name: str, path: pathlib.Path, text: str) -> None:
    licence_beside = path.with_name(path.name + ".license")
    if LICENCE not in text and not (licence_beside.exists() and LICENCE in licence_beside.read_text()):
        problems.append(f"{name}: no line with {LICENCE}")
    if text and not text.endswith("\n"):
        problems.append(f"{name}: no newline at its end")
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith((" ", "\t", "\r")):
            problems.append(f"{name}:{number}: white space at the end of the line")
        if line.startswith("\t"):
            problems.append(f"{name}:{number}: indented by a tab")
        if MACHINE_PATH.search(line):
            problems.append(f"{name}:{number}: a path of one machine")
        pattern = VALUE_OF_ANYTHING if name.startswith("examples/") else VALUE_OF_A_RESULT
        if name.startswith(("include/", "examples/")) and name.endswith((".hpp", ".cpp")) and pattern.search(line):
            problems.append(f"{name}:{number}: value() of a Result: use or_exit, or look at its error first")
    if name.startswith("include/") and name.endswith(".hpp"):
        lines = text.count("\n")
        if lines > LONGEST_HEADER:
            problems.append(f"{name}: {lines} lines; past {LONGEST_HEADER} it is more than one idea")
        if "#pragma once" not in text:
            problems.append(f"{name}: no #pragma once")


def check_versions() -> None:
    version = re.search(r"^ +version: '([0-9.]+)'", (ROOT / "meson.build").read_text(), re.M).group(1)
    macros = re.findall(r"^#define QBIPC_VERSION_\w+ (\d+)$", (ROOT / "include/qbipc/version.hpp").read_text(), re.M)
    port = re.search(r'"version": "([0-9.]+)"', (ROOT / "packaging/vcpkg/ports/qbipc/vcpkg.json").read_text()).group(1)
    for what, found in (("include/qbipc/version.hpp", ".".join(macros)), ("the vcpkg port", port)):
        if found != version:
            problems.append(f"meson.build says version {version}, {what} {found}")


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in sorted(set(listed.stdout.splitlines())):
        path = ROOT / name
        if not path.is_file() or name.startswith(INPUTS):
            continue
        try:
            check_text(name, path, path.read_bytes().decode())
        except UnicodeDecodeError:
            if path.suffix not in (".png", ".svgz"):
                problems.append(f"{name}: not UTF-8")
    check_versions()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())
