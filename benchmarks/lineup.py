# SPDX-License-Identifier: BSL-1.0
"""Who is measured, in the order of tables; and what a machine offers to pin them to."""
import dataclasses
import os
import pathlib


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    group: str  # "ours", "limit" or "other"
    waits: str  # how its waits pass the time: part of what a figure means


PEERS = [
    Peer("qbipc", "ours", "adaptive"),
    Peer("qbipc-spin", "ours", "spins"),
    Peer("qbipc-block", "ours", "sleeps"),
    Peer("qbipc-inplace", "ours", "adaptive"),
    Peer("qbipc-socket", "ours", "adaptive"),
    Peer("line", "limit", "spins"),
    Peer("headtail", "limit", "spins"),
    Peer("sketch", "limit", "spins"),
    Peer("eventfd", "limit", "sleeps"),
    Peer("futex", "limit", "sleeps"),
    Peer("stream", "limit", "sleeps"),
    Peer("seqpacket", "limit", "sleeps"),
    Peer("memcpy", "limit", "no peer"),
    Peer("libqb-shm", "other", "sleeps"),
    Peer("libqb-socket", "other", "sleeps"),
    Peer("boost-mq", "other", "sleeps"),
    Peer("zeromq", "other", "sleeps"),
    Peer("nng", "other", "sleeps"),
    Peer("iceoryx", "other", "spins"),
    Peer("iceoryx-block", "other", "sleeps"),
    Peer("sd-bus", "other", "sleeps"),
    Peer("grpc", "other", "sleeps"),
    Peer("capnp", "other", "sleeps"),
]
BY_NAME = {peer.name: peer for peer in PEERS}
ORDER = {peer.name: position for position, peer in enumerate(PEERS)}


def turn(name: str) -> tuple[int, int]:
    """The order of measuring: those that are compared with each other close together, for a machine that others use,
    or a virtual one, may change its pace within seconds."""
    peer = BY_NAME.get(name)
    return ("spins", "no peer", "adaptive", "sleeps").index(peer.waits) if peer else 9, ORDER.get(name, len(ORDER))


def label(name: str) -> str:
    peer = BY_NAME.get(name)
    return f"{name} ({peer.waits})" if peer else name


def cores() -> list[int]:
    """One processor for each core that this process may use; the first core last where there are more than two, for
    it takes most of the kernel's interrupts."""
    first_of: dict[tuple[str, str], int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        topology = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            core = (topology / "physical_package_id").read_text(), (topology / "core_id").read_text()
        except OSError:
            core = "", str(cpu)
        first_of.setdefault(core, cpu)
    found = list(first_of.values())
    return found[1:] + found[:1] if len(found) > 2 else found
