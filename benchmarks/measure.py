# SPDX-License-Identifier: BSL-1.0
"""Runs the peers' programs: repetition by repetition, and in each, case by case, one peer after the other."""
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import lineup

NOT_AVAILABLE = 77
# Limits that carry nothing else are beside every size.
A_WORD = 8


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    sizes: tuple[int, ...]  # what --size is given; or, where `counts`, --count
    quick: tuple[int, ...]  # the same for --quick
    counts: bool = False
    clamps: bool = False  # a peer that can't carry as much is measured with what it can
    seconds: float = 1.0  # times what the others take
    repeats: bool = True  # else once only, for it takes long


MIB = 1 << 20
CASES = [
    Case("rtt", (48, 8, 64, 1024, 4096, 65536, MIB), (48, 8, 65536, MIB)),  # 48 first: those that carry a word are beside it
    Case("rtt_one_core", (48,), (48,), clamps=True),
    Case("oneway", (48, 1024, 4096, 65536), (48,)),
    Case("events", (48, 1024, 4096, 65536), (48,)),
    Case("percentiles", (48,), (48,), clamps=True, seconds=2),
    Case("connect", (MIB,), (MIB,), clamps=True),
    Case("sessions", (1, 10, 100, 1000), (1, 100), counts=True),
    Case("throughput", (1, 2, 4), (1, 2), counts=True),
    Case("publish", (100,), (100,), counts=True),
    Case("idle", (1000,), (), counts=True, seconds=10, repeats=False),
]


@dataclasses.dataclass(frozen=True)
class Item:
    """One measurement, to be repeated."""

    case: Case
    value: int
    peer: str
    program: pathlib.Path
    asked: int = dataclasses.field(compare=False, default=0)  # before it was clamped

    def __str__(self) -> str:
        return f"{self.peer} {self.case.name} {self.value}"


Key = tuple[str, str, int, str]  # peer, case, size, unit


class Results:
    """Values by what they are of, each with the repetition that it comes from."""

    def __init__(self) -> None:
        self.values: dict[Key, dict[int, float]] = {}

    def add(self, peer: str, repetition: int, line: str) -> None:
        case, size, value, unit = line.split(",")
        self.values.setdefault((peer, case, int(size), unit), {})[repetition] = float(value)

    def of(self, peer: str, case: str, size: int) -> dict[int, float]:
        for key, values in self.values.items():
            if key[:3] == (peer, case, size):
                return values
        return {}


def what_it_knows(program: pathlib.Path) -> dict[str, int]:
    done = subprocess.run([program, "--list"], capture_output=True, text=True, timeout=20, check=True)
    return {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()}


def plan(programs: dict[str, pathlib.Path], wanted_cases: list[str], wanted_sizes: list[int], quick: bool) -> list[Item]:
    """In the order of one repetition: the peers of one figure right behind each other."""
    knows = {name: what_it_knows(program) for name, program in programs.items()}
    items = []
    for case in CASES:
        if wanted_cases and case.name not in wanted_cases:
            continue
        sizes = case.quick if quick and not wanted_cases else case.sizes
        for size in wanted_sizes or sizes:
            for name in sorted(programs, key=lineup.turn):
                most = knows[name].get(case.name, 0)
                clamps = case.clamps or most == A_WORD
                if most == 0 or (size > most and not clamps):
                    continue
                items.append(Item(case, min(size, most), name, programs[name], size))
    return list(dict.fromkeys(items))


class Progress:
    """One line that changes, on a terminal; plain lines, and fewer, elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.last = ""

    def show(self, group: str, detail: str) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{group}: {detail}"[: width + 4], end="", flush=True)
        elif group != self.last:
            print(group, flush=True)
        self.last = group

    def say(self, text: str) -> None:
        print(("\r\033[K" if self.terminal else "") + text, flush=True)

    def clear(self) -> None:
        if self.terminal:
            print("\r\033[K", end="", flush=True)


class Runner:
    def __init__(self, cpus: list[int], seconds: float) -> None:
        self.cpus = ",".join(map(str, cpus))
        self.seconds = seconds
        self.results = Results()
        self.progress = Progress()
        self.not_here: dict[Item, str] = {}  # what a peer said can't be had here
        self.broken: dict[Item, str] = {}  # what failed, and is not tried again

    def run(self, items: list[Item], repetitions: int, time_limit: float | None) -> None:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="qbipc-bench-") as scratch:
            for repetition in range(repetitions):
                before = time.monotonic()
                for number, item in enumerate(items):
                    if time_limit and time.monotonic() - started > time_limit:
                        self.progress.say(f"time is up in repetition {repetition + 1}, {len(items) - number} measurements before its end")
                        return
                    if item in self.not_here or item in self.broken or (repetition > 0 and not item.case.repeats):
                        continue
                    group = f"repetition {repetition + 1} of {repetitions}, {item.case.name} {item.asked}"
                    self.progress.show(group, f"{item.peer}   ({number + 1} of {len(items)})")
                    self.measure(item, repetition, scratch)
                took = time.monotonic() - before
                if time_limit and time.monotonic() - started + took > time_limit:
                    return
        self.progress.clear()

    def measure(self, item: Item, repetition: int, scratch: str) -> None:
        seconds = self.seconds * item.case.seconds
        what = ["--count", str(item.value)] if item.case.counts else ["--size", str(item.value)]
        command = [item.program, "--case", item.case.name, *what, "--cpus", self.cpus, "--seconds", f"{seconds:g}"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "QBIPC_BENCH_SCRATCH": scratch},
            start_new_session=True,  # so that it and its children can be ended together
        )
        try:
            out, err = process.communicate(timeout=4 * seconds + 30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.fail(item, "it took too long and was ended")
            return
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        why = err.strip().splitlines()[-1] if err.strip() else f"exit code {process.returncode}"
        if process.returncode == NOT_AVAILABLE:
            if (item.peer, why) not in {(other.peer, reason) for other, reason in self.not_here.items()}:
                self.progress.say(f"without {item}: {why}")
            self.not_here[item] = why
        elif process.returncode != 0 or not out:
            self.fail(item, why)
        else:
            for line in out.splitlines():
                self.results.add(item.peer, repetition, line)

    def fail(self, item: Item, why: str) -> None:
        self.broken[item] = why
        self.progress.say(f"FAILED: {item}: {why}")
