#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Tests the tests: breaks the shipped headers in one place after the other, in a copy, and sees that the test which is
there for it fails.

usage: run.py [--list] [--full | --some N] [LIST | PART OF A NAME...]

The lists are beside this file; those whose tests take minutes are tried only with --full, or where they are named;
--some tries N of all others, drawn by the seed. A fault counts as caught where the test passes with the headers as they are, and fails
with the fault: by an assertion, a finding, a signal; by not ending only where the fault says so. A fault that doesn't
compile, or whose place isn't found exactly once any more, counts as missed. CXX names the compiler, QBIPC_JOBS bounds
parallel jobs, QBIPC_TEST_SEED is 1 unless it is given.
"""
from __future__ import annotations

import collections
import concurrent.futures
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import addresses
import connections
import failures
import handshakes
import lanes
import messages
import schedules
from fault import Cases, Fault, Program, Script, Test

LISTS = (lanes, messages, handshakes, connections, addresses, schedules)
SLOW_LISTS = (failures,)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TESTS = ROOT / "tests"
FOLDER = ROOT / "build" / "seeded_faults"
COMMON = FOLDER / "common"

COMPILER = shlex.split(os.environ.get("CXX", "g++"))
COMPILE = [
    "-std=c++20",
    "-pthread",
    f"-I{TESTS}",
    '-DQBIPC_TEST_BUILD_VERSION="0"',
    f'-DQBIPC_TEST_SOURCE_DIR="{ROOT}"',
    "-DQBIPC_TEST_PATIENCE=10",  # much of what is waited for doesn't come
]
SEED = os.environ.get("QBIPC_TEST_SEED", "1")
JOBS = int(os.environ.get("QBIPC_JOBS", os.cpu_count() or 1))


class Missed(Exception):
    """Why a fault was not caught."""


# ---- building


def command(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if re.search(r"\berror\b|undefined reference", line)]
        raise Missed("doesn't compile: " + (errors or [done.stderr.strip()])[0])


def compile_into(program: pathlib.Path, sources: list[pathlib.Path], tree: pathlib.Path, flags: tuple[str, ...] = ()) -> None:
    """With the headers of `tree`. Objects may be among the sources."""
    command([*COMPILER, *COMPILE, f"-I{tree}/include", *flags, *map(str, sources), "-o", str(program)])


def object_of(source: pathlib.Path, tree: pathlib.Path, target: pathlib.Path, flags: tuple[str, ...] = ()) -> pathlib.Path:
    """Compiled by itself, for a compiler cache takes nothing else."""
    flags = tuple(flag for flag in flags if not flag.startswith("-Wl,"))
    command([*COMPILER, *COMPILE, f"-I{tree}/include", *flags, "-c", str(source), "-o", str(target)])
    return target


def link(program: pathlib.Path, objects: list[pathlib.Path], flags: tuple[str, ...] = ()) -> None:
    command([*COMPILER, "-pthread", *flags, *map(str, objects), "-o", str(program)])


def build_helper(name: str, tree: pathlib.Path, folder: pathlib.Path) -> None:
    link(folder / f"helper-{name}", [object_of(TESTS / "process" / f"{name}.cpp", tree, folder / f"{name}.o")])


def parts_of(test: Test) -> object:
    """What has to be built for it: tests that are equal in that share it."""
    if isinstance(test, Cases):
        return ("cases", test.file, test.helpers, test.others)
    return (test.files, test.flags) if isinstance(test, Program) else test.file


def build(test: Test, tree: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(test, Cases):
        for name in test.helpers if tree != ROOT else ():
            build_helper(name, tree, folder)
        for name in test.others + (test.helpers if tree == ROOT else ()):
            (folder / f"helper-{name}").symlink_to(COMMON / f"helper-{name}")
        link(folder / "program", [object_of(TESTS / test.file, tree, folder / "test.o"), COMMON / "main.o"])
    elif isinstance(test, Program):
        objects = [
            object_of(TESTS / file, tree, folder / f"{number}.o", test.flags) for number, file in enumerate(test.files)
        ]
        link(folder / "program", objects, test.flags)


# ---- running


def run(test: Test, tree: pathlib.Path, folder: pathlib.Path, seconds: float) -> tuple[int | None, str]:
    """Exit code: negative of a signal, None at the deadline; and what was said."""
    if isinstance(test, Cases):
        case = re.sub(r"([\\,\[\]])", r"\\\1", test.case)
        arguments = [str(folder / "program"), case + "*", "--warn", "NoTests", "--abort"]
    elif isinstance(test, Program):
        arguments = [str(folder / "program"), *(argument.format(root=ROOT) for argument in test.arguments)]
    else:
        arguments = [sys.executable, "-B", str(TESTS / test.file), str(tree)]
    # What happens by chance alone is given time to.
    environment = os.environ | {"QBIPC_TEST_SEED": SEED, "QBIPC_TEST_PROGRAMS": str(folder), "QBIPC_TEST_RACE": "5"}
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=seconds)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        code = None
        said = b""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # whoever it has left behind
    except ProcessLookupError:
        pass
    if code is None:
        said, _ = process.communicate()
    return code, said.decode(errors="replace")


def how_it_failed(code: int, said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if "AddressSanitizer" in line or "runtime error" in line or "Assertion" in line:
            return line
        if re.search(r": FAILED:$", line):
            return " ".join([line.split("tests/")[-1].removesuffix(" FAILED:"), *lines[number + 1 : number + 2]])
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return lines[-1] if lines else f"exit code {code}"


def control(test: Test, folder: pathlib.Path) -> str | None:
    """Why its failing would say nothing, or nothing."""
    code, said = run(test, ROOT, folder, 2 * test.seconds)
    if code is None:
        return "without the fault it doesn't end either"
    if code != 0:
        return "without the fault it fails too: " + how_it_failed(code, said)
    return None


def controls(tests: list[Test], number: int) -> dict[Test, str | None]:
    """Of tests that share what is built."""
    folder = FOLDER / f"sound-{number}"
    try:
        build(tests[0], ROOT, folder)
    except Missed as missed:
        return {test: "without the fault it " + str(missed) for test in tests}
    return {test: control(test, folder) for test in tests}


def catch(fault: Fault) -> str:
    """How it was caught."""
    tree = FOLDER / re.sub(r"\W+", "-", fault.name)
    shutil.copytree(ROOT / "include", tree / "include")
    (tree / "tests").symlink_to(TESTS)
    header = tree / "include" / "qbipc" / fault.header
    text = header.read_text()
    if text.count(fault.sound) != 1:
        raise Missed(f"its place in {fault.header} is there {text.count(fault.sound)} times:\n{fault.sound}")
    header.write_text(text.replace(fault.sound, fault.broken))
    build(fault.caught_by, tree, tree / "made")
    code, said = run(fault.caught_by, tree, tree / "made", 15 if fault.hangs else fault.caught_by.seconds)
    if code is None:
        if fault.hangs:
            return "it doesn't end"
        raise Missed(f"the test doesn't end, and doesn't say why:\n{said[-500:]}")
    if code == 0:
        raise Missed("the test passes")
    shutil.rmtree(tree)
    return how_it_failed(code, said)


# ---- all of them


def name_of(test: Test) -> str:
    if isinstance(test, Cases):
        return f'{test.file}: "{test.case}"'
    return " ".join((*test.files, *test.arguments)) if isinstance(test, Program) else test.file


def chosen(wanted: list[str], full: bool) -> list[Fault]:
    modules = LISTS + (SLOW_LISTS if full or wanted else ())
    faults = [(module.__name__, fault) for module in modules for fault in module.FAULTS]
    names = collections.Counter(fault.name for _, fault in faults)
    assert max(names.values()) == 1, f"two faults of one name: {names.most_common(1)}"
    lists = {module.__name__ for module in modules}
    return [
        fault for where, fault in faults if not wanted or where in wanted or any(part in fault.name for part in wanted if part not in lists)
    ]


def main() -> int:
    arguments = sys.argv[1:]
    some = None
    if "--some" in arguments:
        at = arguments.index("--some")
        if not arguments[at + 1 :] or not arguments[at + 1].isdecimal():
            print(__doc__)
            return 2
        some = int(arguments[at + 1])
        del arguments[at : at + 2]
    if any(argument.startswith("-") and argument not in ("--list", "--full") for argument in arguments):
        print(__doc__)
        return 2
    faults = chosen([argument for argument in arguments if not argument.startswith("-")], "--full" in arguments)
    if some is not None and some < len(faults):
        faults = random.Random(SEED).sample(faults, some)
        faults.sort(key=lambda fault: name_of(fault.caught_by))  # what is built for one serves another
    if "--list" in arguments:
        for fault in faults:
            print(f"{fault.name}\n    {fault.header}, caught by {name_of(fault.caught_by)}")
        print(f"{len(faults)} seeded faults")
        return 0

    started = time.monotonic()
    not_root = [fault for fault in faults if getattr(fault.caught_by, "root", False) and os.geteuid() != 0]
    for fault in not_root:
        print(f"not tried  {fault.name}: its test takes root")
    faults = [fault for fault in faults if fault not in not_root]
    print(f"seeded-faults: {len(faults)} faults, seed {SEED}", flush=True)

    shutil.rmtree(FOLDER, ignore_errors=True)
    COMMON.mkdir(parents=True)
    groups: dict[object, list[Test]] = collections.defaultdict(list)
    for test in dict.fromkeys(fault.caught_by for fault in faults):
        groups[parts_of(test)].append(test)
    helpers = sorted({name for fault in faults for name in getattr(fault.caught_by, "helpers", ()) + getattr(fault.caught_by, "others", ())})
    problems: dict[Test, str | None] = {}
    caught = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        prepared = [pool.submit(object_of, TESTS / "support/main.cpp", ROOT, COMMON / "main.o")]
        prepared += [pool.submit(build_helper, name, ROOT, COMMON) for name in helpers]
        for future in prepared:
            future.result()
        for part in pool.map(controls, groups.values(), range(len(groups))):
            problems |= part
        print(f"seeded-faults: {len(problems)} tests pass without, after {time.monotonic() - started:.0f} s", flush=True)

        def attempt(fault: Fault) -> tuple[bool, str, float]:
            begun = time.monotonic()
            try:
                if problem := problems[fault.caught_by]:
                    raise Missed(problem)
                return True, catch(fault), time.monotonic() - begun
            except Missed as missed:
                return False, str(missed), time.monotonic() - begun

        for fault, (found, how, seconds) in zip(faults, pool.map(attempt, faults)):
            caught += found
            print(f"{'caught' if found else 'MISSED'}  {seconds:4.0f} s  {fault.name}", flush=True)
            print(f"{'':16}{name_of(fault.caught_by)}" if not found else f"{'':16}{how[:150]}", flush=True)
            if not found:
                print(f"{'':16}{how}", flush=True)
    print(f"after {time.monotonic() - started:.0f} s:")
    print(f"{caught} of {len(faults)} seeded faults caught")
    return 0 if faults and caught == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())
