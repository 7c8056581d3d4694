# SPDX-License-Identifier: BSL-1.0
"""What the lists of seeded faults are written in: a fault, and the test that must catch it."""
from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cases:
    """A test case of Catch2, all its types and sections: its file below tests/, and its name or the beginning of it."""

    file: str
    case: str
    helpers: tuple[str, ...] = ()  # programs of tests/process that it starts, built with the fault
    others: tuple[str, ...] = ()  # more of them, built without
    root: bool = False  # does nothing unless it is root's
    seconds: int = 180  # no fault makes it take longer, but one that hangs


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of its own: it says by its exit code what it found."""

    files: tuple[str, ...]  # below tests/
    arguments: tuple[str, ...] = ()  # {root}: this tree
    flags: tuple[str, ...] = ("-O1",)
    seconds: int = 180


@dataclasses.dataclass(frozen=True)
class Script:
    """A Python program below tests/ that is given a tree, with include/ and tests/, and compiles by itself."""

    file: str
    seconds: int = 300


Test = Cases | Program | Script


@dataclasses.dataclass(frozen=True)
class Fault:
    """One place of the shipped headers, as it is and as it would be wrong."""

    name: str  # what is wrong, as one would say it of a program that has the fault
    header: str  # below include/qbipc/
    sound: str  # stands there exactly once
    broken: str
    caught_by: Test
    hangs: bool = False  # the test doesn't end: that is how it fails
