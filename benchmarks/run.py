#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Run by `./dev bench`: one module per case."""
import argparse

import compile_time

CASES = {"compile": compile_time}


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--case", choices=sorted(CASES), required=True)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--compiler", action="append", help="g++ and clang++-16 unless given")
    arguments = parser.parse_args()
    CASES[arguments.case].run(arguments)


main()
