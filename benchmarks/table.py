# SPDX-License-Identifier: BSL-1.0
"""Results as text: for each case the medians, one line a peer, and what they are of the first line's."""
import csv
import pathlib
import platform
import statistics
import subprocess

import lineup

TITLES = {
    "rtt": "round trip, by bytes",
    "rtt_one_core": "round trip, both sides on one core",
    "oneway": "messages a second, one way, by bytes",
    "events": "events a second, by bytes",
    "connect": "connect and disconnect, by largest message",
    "sessions": "round trip, by number of idle sessions",
    "throughput": "calls a second, by number of clients",
    "publish": "one event, by number of clients",
    "idle": "processor time in 10 s, by number of idle sessions",
    "percentiles": "single round trips",
}
PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")


def medians(results) -> dict:
    return {key: statistics.median(values.values()) for key, values in results.values.items()}


def number(value: float, unit: str) -> str:
    if unit == "ns":
        for limit, divisor, name in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
            if value < limit:
                return f"{value / divisor:.3g} {name}"
        return f"{value / 1e9:.3g} s"
    if unit == "1/s":
        for limit, divisor, name in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e12, 1e6, "M")):
            if value < limit:
                return f"{value / divisor:.3g} {name}/s"
    return f"{value:.3g} {unit.replace('/10s', '')}"


def times(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:.0f}"


def tables(results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, heads of the columns, lines. A ratio is to the table's first peer, in the same column."""
    found = medians(results)
    made = []
    for case, title in TITLES.items():
        if case == "percentiles":
            columns = [(p, None) for p in PERCENTILES]
        else:
            columns = [(case, size) for size in sorted({key[2] for key in found if key[1] == case})]
        cells = {}
        for (peer, name, size, unit), value in found.items():
            for column, (wanted, wanted_size) in enumerate(columns):
                if name == wanted and wanted_size in (None, size):
                    cells[peer, column] = value, unit
        names = sorted({peer for peer, _ in cells}, key=lambda n: lineup.ORDER.get(n, len(lineup.ORDER)))
        if not names:
            continue
        lines = []
        for peer in names:
            line = [lineup.label(peer)]
            for column in range(len(columns)):
                if (peer, column) not in cells:
                    line.append("")
                    continue
                value, unit = cells[peer, column]
                first = cells.get((names[0], column))
                of_first = f" {times(value / first[0]):>6}x" if first and first[0] and peer != names[0] else " " * 8
                line.append(number(value, unit) + of_first)
            lines.append(line)
        made.append((title, [name if size is None else str(size) for name, size in columns], lines))
    return made


def text(results) -> str:
    lines = []
    for title, heads, rows in tables(results):
        widths = [max(len(row[i]) for row in [["", *(h + " " * 8 for h in heads)], *rows]) for i in range(len(heads) + 1)]
        lines += ["", title]
        lines.append((" " * widths[0] + "".join(f"  {head + ' ' * 8:>{w}}" for head, w in zip(heads, widths[1:]))).rstrip())
        for row in rows:
            lines.append((f"{row[0]:{widths[0]}}" + "".join(f"  {cell:>{w}}" for cell, w in zip(row[1:], widths[1:]))).rstrip())
    return "\n".join(lines)


def markdown(results) -> str:
    lines = []
    for title, heads, rows in tables(results):
        lines += ["", f"## {title.capitalize()}", "", "| peer | " + " | ".join(heads) + " |", "| --- |" + " --: |" * len(heads)]
        lines += ["| " + " | ".join(" ".join(cell.split()) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def write_csv(results, path: pathlib.Path) -> None:
    rank = {case: position for position, case in enumerate([*TITLES, *PERCENTILES])}
    found = sorted(medians(results).items(), key=lambda item: (rank.get(item[0][1], 99), lineup.ORDER.get(item[0][0], 99), item[0][2]))
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("peer", "case", "size", "value", "unit"))
        for (peer, case, size, unit), value in found:
            writer.writerow((peer, case, size, f"{value:.6g}", unit))


def machine(cpus: list[int]) -> list[str]:
    """What the figures were made on."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model", "CPU part")):
            model = line.split(":", 1)[1].strip()
            break
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    virtual = ", a virtual machine" if " hypervisor" in flags else ""
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return [
        f"{model}{virtual}; client on cpu {cpus[0]}, service on cpu {cpus[1]}",
        f"Linux {platform.release()}, {platform.machine()}",
        f"{compiler or 'compiler unknown'}, -O2 -DNDEBUG",
    ]
