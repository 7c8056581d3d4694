# SPDX-License-Identifier: BSL-1.0
"""How long a service with many routes takes to compile, against one with a single route."""
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build/bench-compile"
FLAGS = ["-std=c++20", "-O2", "-pthread", f"-I{ROOT / 'include'}", "-c"]
# Name, number of routes, distance between ids.
PROGRAMS = [
    ("1 route", 1, 1),
    ("10 routes", 10, 1),
    ("100 dense", 100, 1),
    ("100 sparse", 100, 7919),
    ("400 sparse", 400, 7919),
]
GOAL = 3.0


def program(routes: int, step: int) -> str:
    """Half calls, half one-way, over private data: what services look like."""
    lines = ["#include <qbipc/qbipc.hpp>", "", "struct Sum { double value; };", "struct Account { double total = 0; };"]
    handlers = []
    for i in range(routes):
        reply = "using Reply = Sum; " if i % 2 == 0 else ""
        lines.append(f"struct M{i} {{ static constexpr qbipc::MessageId id = {1 + i * step}; {reply}double a, b; }};")
        body = f"return Sum{{session->total += m.a + {i}}};" if i % 2 == 0 else f"session->total -= m.b * {i};"
        handlers.append(f"        qbipc::on<M{i}>([](auto& session, const M{i}& m) {{ {body} }})")
    lines += [
        "",
        "int main() {",
        '    auto service = qbipc::listen<qbipc::ShmRing>("compile-time", qbipc::routes<Account>(',
        ",\n".join(handlers) + "));",
        "    if (service) (void)service->run();",
        "}",
        "",
    ]
    return "\n".join(lines)


def compile_once(compiler: str, source: pathlib.Path) -> float:
    started = time.monotonic()
    done = subprocess.run([compiler, *FLAGS, source.name, "-o", "out.o"], cwd=FOLDER, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{compiler} {source}:\n" + "\n".join(done.stderr.splitlines()[:20]))
    return time.monotonic() - started


def run(arguments) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    sources = {}
    for name, routes, step in PROGRAMS:
        sources[name] = FOLDER / (name.replace(" ", "_") + ".cpp")
        sources[name].write_text(program(routes, step))
    empty = FOLDER / "include_only.cpp"
    empty.write_text("#include <qbipc/qbipc.hpp>\nint main() {}\n")
    sources = {"include only": empty, **sources}

    compilers = arguments.compiler or ["g++", "clang++-16"]
    times: dict[tuple[str, str], list[float]] = {}
    # Interleaved, so that whatever else the machine does meets all of them.
    for repetition in range(arguments.repetitions):
        print(f"repetition {repetition + 1} of {arguments.repetitions}", flush=True)
        for name, source in sources.items():
            for compiler in compilers:
                times.setdefault((compiler, name), []).append(compile_once(compiler, source))

    print(f"\nseconds to compile a service at -O2, median of {arguments.repetitions} (ratio to 1 route); {platform.machine()}, "
          f"Linux {platform.release()}")
    print(f"{'':14}" + "".join(f"{c:>20}" for c in compilers))
    medians = {key: statistics.median(values) for key, values in times.items()}
    for name in sources:
        cells = (f"{medians[c, name]:.2f} ({medians[c, name] / medians[c, '1 route']:.2f}x)" for c in compilers)
        print(f"{name:14}" + "".join(f"{cell:>20}" for cell in cells))
    for compiler in compilers:
        ratio = max(medians[compiler, name] for name in ("100 dense", "100 sparse")) / medians[compiler, "1 route"]
        print(f"{compiler}: 100 routes take {ratio:.2f}x of one; the goal is at most {GOAL:g}x: {'met' if ratio <= GOAL else 'MISSED'}")
