# SPDX-License-Identifier: BSL-1.0
"""What the figures are held against: each line a ratio of two measurements of the same run, and its bound."""
import dataclasses
import statistics

MIB = 1 << 20
Figure = tuple[str, str, int]  # peer, case, size


@dataclasses.dataclass(frozen=True)
class Bound:
    what: str
    figure: Figure
    against: Figure | None  # absent: the bound is of the figure itself
    at_most: float | None = None
    at_least: float | None = None
    unit: str = "x"


def rtt(peer: str, size: int) -> Figure:
    return peer, "rtt", size


BOUNDS = [
    Bound("rtt 48 B, Spin vs head/tail ring", rtt("qbipc-spin", 48), rtt("headtail", 48), at_most=1.0),
    Bound("rtt 48 B, Spin vs line", rtt("qbipc-spin", 48), rtt("line", 8), at_most=1.6),
    Bound("rtt 48 B, libqb shm vs Spin", rtt("libqb-shm", 48), rtt("qbipc-spin", 48), at_least=40),
    Bound("rtt 48 B, Spin vs sketch", rtt("qbipc-spin", 48), rtt("sketch", 48)),
    Bound("rtt 48 B, Adaptive vs line", rtt("qbipc", 48), rtt("line", 8)),
    Bound("rtt 48 B, Adaptive vs Spin", rtt("qbipc", 48), rtt("qbipc-spin", 48), at_most=1.15),
    Bound("rtt 48 B, Block vs eventfd", rtt("qbipc-block", 48), rtt("eventfd", 8), at_most=1.25),
    Bound("rtt 48 B, Block vs futex", rtt("qbipc-block", 48), rtt("futex", 8)),
    Bound("one core, Block vs libqb shm", ("qbipc-block", "rtt_one_core", 48), ("libqb-shm", "rtt_one_core", 48), at_most=1.0),
    Bound("one core, Block vs eventfd", ("qbipc-block", "rtt_one_core", 48), ("eventfd", "rtt_one_core", 8)),
    Bound("one core, Adaptive vs Block", ("qbipc", "rtt_one_core", 48), ("qbipc-block", "rtt_one_core", 48), at_most=1.15),
    Bound("rtt 48 B, UnixSocket vs stream", rtt("qbipc-socket", 48), rtt("stream", 48), at_most=1.15),
    *(
        Bound(f"rtt 48 B, UnixSocket vs {peer}", rtt("qbipc-socket", 48), rtt(peer, 48), at_most=1.0)
        for peer in ("libqb-socket", "sd-bus", "grpc", "capnp")
    ),
    # 20 M/s where the sketch's lane gives 30.
    Bound("oneway 48 B, ShmRing vs sketch", ("qbipc", "oneway", 48), ("sketch", "oneway", 48), at_least=2 / 3),
    Bound("oneway 48 B, ShmRing vs libqb shm", ("qbipc", "oneway", 48), ("libqb-shm", "oneway", 48), at_least=50),
    Bound("48 B, oneway vs events", ("qbipc", "oneway", 48), ("qbipc", "events", 48), at_most=1.3),
    Bound("rtt 64 KiB, by copy vs head/tail ring", rtt("qbipc", 65536), rtt("headtail", 65536), at_most=1.1),
    Bound("rtt 64 KiB, in place vs head/tail ring", rtt("qbipc-inplace", 65536), rtt("headtail", 65536), at_most=0.6),
    Bound("rtt 1 MiB, by copy vs libqb shm", rtt("qbipc", MIB), rtt("libqb-shm", MIB), at_most=0.5),
    Bound("rtt 1 MiB, in place vs libqb shm", rtt("qbipc-inplace", MIB), rtt("libqb-shm", MIB), at_most=0.35),
    Bound("connect, libqb shm vs ShmRing", ("libqb-shm", "connect", MIB), ("qbipc", "connect", MIB), at_least=20),
    Bound("connect, libqb socket vs UnixSocket", ("libqb-socket", "connect", MIB), ("qbipc-socket", "connect", MIB), at_least=3),
    Bound("1,000 idle sessions vs 1, ShmRing", ("qbipc", "sessions", 1000), ("qbipc", "sessions", 1), at_most=1.2),
    Bound("1,000 idle sessions vs 1, UnixSocket", ("qbipc-socket", "sessions", 1000), ("qbipc-socket", "sessions", 1), at_most=1.2),
    Bound("processor time of 1,000 idle sessions, ShmRing", ("qbipc", "idle", 1000), None, at_most=10, unit=" ms/10s"),
    Bound("processor time of 1,000 idle sessions, UnixSocket", ("qbipc-socket", "idle", 1000), None, at_most=10, unit=" ms/10s"),
    Bound("event to 100 clients vs memcpy", ("qbipc", "publish", 100), ("memcpy", "publish", 100)),
]

# Near cores: where the line takes less than this (ns), twice its time will do.
NEAR_LINE, NEAR_BOUND = 200, 2.0


def each_ratio(figure: dict[int, float], against: dict[int, float] | None) -> list[float]:
    """What the two gave in the same repetition: whatever else the machine did met both. Sorted."""
    if against is None:
        return sorted(figure.values())
    return sorted(figure[i] / against[i] for i in figure.keys() & against.keys() if against[i] != 0)


def spread(values: list[float]) -> str:
    """Between which the middle half of them lies; nothing where there are too few to say so."""
    if len(values) < 5:
        return ""
    lower, _, upper = statistics.quantiles(values, n=4)
    return f"{lower:.3g} to {upper:.3g}"


def judge(bound: Bound, value: float, line_ns: float | None = None) -> tuple[str, str]:
    """What is asked, in words, and "ok", "short" or nothing."""
    at_most = bound.at_most
    if at_most == 1.6 and bound.against == rtt("line", 8) and line_ns is not None and line_ns < NEAR_LINE:
        at_most = NEAR_BOUND
    if at_most is not None:
        return f"at most {at_most:.3g}{bound.unit}", "ok" if value <= at_most else "short"
    if bound.at_least is not None:
        return f"at least {bound.at_least:.3g}{bound.unit}", "ok" if value >= bound.at_least else "short"
    return "", ""


def rows(results) -> list[tuple[str, str, str, str, str]]:
    """What, the measured ratio, its spread, what is asked, and whether it is; without lines of which a side is missing."""
    line = results.of("line", "rtt", 8)
    line_ns = statistics.median(line.values()) if line else None
    found = []
    for bound in BOUNDS:
        values = each_ratio(results.of(*bound.figure), results.of(*bound.against) if bound.against else None)
        if values:
            value = statistics.median(values)
            found.append((bound.what, f"{value:.3g}{bound.unit}", spread(values), *judge(bound, value, line_ns)))
    return found


def text(results) -> str:
    found = rows(results)
    if not found:
        return ""
    wide = max(len(row[0]) for row in found)
    lines = [
        f"{what:{wide}}  {value:>12}  {middle:>15}  {asked and f'({asked})':24} {verdict}".rstrip()
        for what, value, middle, asked, verdict in found
    ]
    return "\n".join(["ratios: median over repetitions of the ratio within each, and its middle half", *lines])
