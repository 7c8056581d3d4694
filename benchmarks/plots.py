# SPDX-License-Identifier: BSL-1.0
"""Plots of the results, as PNG."""
import pathlib

import lineup
import table

COLOURS = {
    "ours": ("#b2182b", "#d6604d", "#f4a582", "#762a83", "#e08214"),
    "limit": ("#999999",),
    "other": ("#2166ac", "#92c5de", "#1b7837", "#a6dba0", "#01665e", "#35978f", "#80cdc1", "#542788", "#8073ac", "#8c510a"),
}
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (6, 3)), (0, (3, 1, 1, 1)))


def style(name: str) -> dict:
    peer = lineup.BY_NAME.get(name)
    group = peer.group if peer else "other"
    same = [p.name for p in lineup.PEERS if p.group == group]
    at = same.index(name) if name in same else 0
    colours = COLOURS[group]
    return {
        "color": colours[at % len(colours)],
        "linestyle": DASHES[at % len(DASHES)] if group == "limit" else "-",
        "linewidth": {"ours": 2.4, "limit": 1.2, "other": 1.4}[group],
        "marker": {"ours": "o", "limit": None, "other": "."}[group],
        "markersize": 5,
        "zorder": {"ours": 3, "limit": 1, "other": 2}[group],
    }


def by_peer(found: dict, case: str) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    for (peer, name, size, _), value in sorted(found.items(), key=lambda item: (lineup.ORDER.get(item[0][0], 99), item[0][2])):
        if name == case:
            lines.setdefault(peer, []).append((size, value))
    return lines


def size_name(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return str(size)


def curves(pyplot, found: dict, case: str, title: str, x_label: str, y_label: str, factor: float) -> object | None:
    lines = {peer: line for peer, line in by_peer(found, case).items()}
    if not lines or max(len(line) for line in lines.values()) < 2:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    ticks = sorted({size for line in lines.values() for size, _ in line})
    for peer, line in lines.items():
        marked = style(peer)
        if len(line) == 1:  # what carries a single size: a point
            marked |= {"marker": "x", "linestyle": "none"}
        axes.plot([size for size, _ in line], [value * factor for _, value in line], label=lineup.label(peer), **marked)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(ticks, [size_name(tick) for tick in ticks])
    axes.minorticks_off()
    finish(axes, title, x_label, y_label)
    return figure


def finish(axes, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, frameon=False)


def percentiles(pyplot, found: dict) -> object | None:
    names = sorted({key[0] for key in found if key[1] == "p50"}, key=lambda n: lineup.ORDER.get(n, 99))
    if not names:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    shown = table.PERCENTILES[:-1]
    for name in names:
        values = {key[1]: value for key, value in found.items() if key[0] == name}
        axes.plot(range(len(shown)), [values[p] / 1e3 for p in shown], label=lineup.label(name), **style(name))
    axes.set_yscale("log")
    axes.set_xticks(range(len(shown)), shown)
    finish(axes, "Single round trips of 48 bytes", "percentile", "microseconds")
    return figure


def bars(pyplot, found: dict, case: str, title: str, x_label: str, factor: float) -> object | None:
    lines = sorted(((line[-1][1] * factor, peer) for peer, line in by_peer(found, case).items()), reverse=True)
    if not lines:
        return None
    figure, axes = pyplot.subplots(figsize=(8, 0.6 + 0.35 * len(lines)))
    axes.barh([lineup.label(peer) for _, peer in lines], [value for value, _ in lines], color=[style(peer)["color"] for _, peer in lines])
    for position, (value, _) in enumerate(lines):
        axes.text(value, position, f" {value:.3g}" if value < 1000 else f" {value:.0f}", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(right=lines[0][0] * 2)
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def draw(results, folder: pathlib.Path) -> list[str]:
    """Writes what there are figures for, and gives the names; none without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        print("no plots: python3-matplotlib is not installed")
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = table.medians(results)
    made = {
        "round_trip": curves(pyplot, found, "rtt", "Round trip by size", "bytes, in each direction", "microseconds", 1e-3),
        "one_way": curves(pyplot, found, "oneway", "One-way rate by size", "bytes", "million messages a second", 1e-6),
        "percentiles": percentiles(pyplot, found),
        "connect": bars(pyplot, found, "connect", "Connect and disconnect, messages of up to 1 MiB", "microseconds", 1e-3),
        "sessions": curves(pyplot, found, "sessions", "Round trip among idle sessions", "idle sessions", "microseconds", 1e-3),
    }
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in made.items():
        if figure is not None:
            figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
            pyplot.close(figure)
            written.append(f"{name}.png")
    return written
