#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Run by `./dev bench`: measures this library and its peers in one run, side by side.

A whole run writes benchmarks/results.csv, benchmarks/results.md and the plots in docs/plots; one of which something was
left out (--quick, --case, --size, --peers) writes the same into build/bench/output."""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import compile_time
import lineup
import measure
import plots
import ratios
import table

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/bench"


def arguments_of(line: list[str]) -> argparse.Namespace:
    names = [case.name for case in measure.CASES]
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[*names, "compile"], help="this one only; may be repeated")
    parser.add_argument("--size", type=int, action="append", help="bytes, or clients, instead of the usual ones; may be repeated")
    parser.add_argument("--peers", help="these only, divided by commas")
    parser.add_argument("--quick", action="store_true", help="less of everything, in under a minute")
    parser.add_argument("--cpus", help="A,B: the client's cpu and the service's, and more for further clients")
    parser.add_argument("--repetitions", type=int, help="9 unless given; 3 with --quick, as far as the minute goes")
    parser.add_argument("--seconds", type=float, help="of one measurement: 0.1 unless given; 0.05 with --quick")
    parser.add_argument("--output", type=pathlib.Path, help="a folder for csv, tables and plots instead of the usual ones")
    parser.add_argument("--compiler", action="append", help="for --case compile: g++ and clang++-16 unless given")
    return parser.parse_args(line)


def programs_for(wanted: list[str]) -> tuple[dict[str, pathlib.Path], bool]:
    """Builds them. Gives those that there are, and whether all that could be had did build."""
    listed = subprocess.run(["meson", "introspect", "--targets", BUILD], capture_output=True, text=True, check=True)
    known = {
        target["name"].removeprefix("bench-"): pathlib.Path(target["filename"][0])
        for target in json.loads(listed.stdout)
        if target["type"] == "executable" and target["name"].startswith("bench-")
    }
    for name in wanted or lineup.BY_NAME:
        if name not in known:
            print(f"without {name}: " + ("its packages are not installed" if name in lineup.BY_NAME else "there is no such peer"))
    chosen = {name: path for name, path in known.items() if not wanted or name in wanted}
    if not chosen:
        sys.exit("none of the peers can be had")
    jobs = os.environ.get("QBIPC_JOBS") or str(os.cpu_count())
    targets = [str(path.relative_to(BUILD)) for path in chosen.values()]
    print(f"building {len(targets)} peers", flush=True)
    built = subprocess.run(["ninja", "-C", BUILD, "-j", jobs, "-k", "0", *targets], capture_output=True, text=True)
    if built.returncode != 0:
        print("\n".join(line for line in built.stdout.splitlines() if not line.startswith("["))[:20000])
    return {name: path for name, path in chosen.items() if path.exists()}, built.returncode == 0


def write(runner: measure.Runner, cpus: list[int], line: list[str], folder: pathlib.Path, plot_folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results = runner.results
    table.write_csv(results, folder / "results.csv")
    asked = "\n".join("| " + " | ".join(row) + " |" for row in ratios.rows(results))
    made_on = "\n".join(f"- {fact}" for fact in table.machine(cpus))
    missing = "".join(f"- without {item}: {why}\n" for item, why in runner.not_here.items())
    missing += "".join(f"- FAILED: {item}: {why}\n" for item, why in runner.broken.items())
    (folder / "results.md").write_text(
        "<!-- SPDX-License-Identifier: BSL-1.0 -->\n# Results\n\n"
        f"Written by `./dev bench{''.join(' ' + word for word in line)}`. Ratios hold within a run; times are this machine's.\n\n"
        f"{made_on}\n{missing}\n"
        "## Ratios\n\n| | measured | middle half | asked | |\n| --- | --: | --- | --- | --- |\n"
        f"{asked}\n{table.markdown(results)}\n"
    )
    plots.draw(results, plot_folder)


def main(line: list[str]) -> int:
    arguments = arguments_of(line)
    cases = arguments.case or []
    if "compile" in cases:
        if len(cases) > 1:
            sys.exit("--case compile stands alone")
        arguments.repetitions = arguments.repetitions or 3
        compile_time.run(arguments)
        return 0

    found = lineup.cores()
    cpus = [int(cpu) for cpu in arguments.cpus.split(",")] if arguments.cpus else found
    if len(cpus) < 2:
        print("one core only: what spins can't be measured here")
        cpus = [cpus[0], cpus[0]]
    if len({*found} & {*cpus[:2]}) < 2:
        print("the two cpus are not two cores: ratios will not be those of two")

    wanted = arguments.peers.split(",") if arguments.peers else []
    programs, all_built = programs_for(wanted)
    items = measure.plan(programs, cases, arguments.size or [], arguments.quick)
    if not items:
        sys.exit("no peer knows such a case")
    runner = measure.Runner(cpus, arguments.seconds or (0.05 if arguments.quick else 0.1))
    repetitions = arguments.repetitions or (3 if arguments.quick else 9)
    print(f"{len(items)} measurements, {repetitions} times", flush=True)
    runner.run(items, repetitions, 48 if arguments.quick else None)

    print(table.text(runner.results))
    if held := ratios.text(runner.results):
        print("\n" + held)
    part = arguments.quick or cases or arguments.size or wanted
    folder = arguments.output or (BUILD / "output" if part else ROOT / "benchmarks")
    plot_folder = ROOT / "docs/plots" if folder == ROOT / "benchmarks" else folder
    write(runner, cpus, line, folder, plot_folder)
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    print(f"\nwritten: {shown}/results.csv, results.md, and plots")
    return 0 if all_built and not runner.broken else 1


sys.exit(main(sys.argv[1:]))
