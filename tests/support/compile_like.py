# SPDX-License-Identifier: BSL-1.0
"""Compiles a snippet as this build folder compiles the tests: the same compiler, include paths, definitions and standard."""
import json
import pathlib
import shlex
import subprocess


def flags_of(build: pathlib.Path) -> list[str]:
    commands = json.loads((build / "compile_commands.json").read_text())
    entry = next(c for c in commands if c["file"].endswith("tests/version.cpp"))
    words = shlex.split(entry["command"])
    flags = [w for w in words if w.startswith(("-D", "-std=", "-W"))]
    for word, following in zip(words, words[1:] + [""]):
        if word.startswith(("-I", "-isystem")):
            path = word.removeprefix("-isystem").removeprefix("-I") or following
            flags += ["-isystem" if word.startswith("-isystem") else "-I", str((pathlib.Path(entry["directory"]) / path))]
    return flags


def check_syntax(build: pathlib.Path, compiler: list[str], extra: list[str], source: str) -> subprocess.CompletedProcess:
    """`source` is a file, or with extra = ['-x', 'c++'] a text for the standard input."""
    from_text = "-x" in extra
    return subprocess.run(
        [*compiler, *flags_of(build), "-fsyntax-only", *extra, "-" if from_text else source],
        input=source if from_text else None,
        cwd=build,
        capture_output=True,
        text=True,
    )
