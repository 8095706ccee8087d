"""How the files that wait share the connections of the transfer leg."""

from collections.abc import Sequence
from dataclasses import dataclass

from xperience.relay.ledger import LedgerFile

ENOUGH_FOR_ONE = 8
AT_ONCE = 2  # large files while smaller ones wait


@dataclass(frozen=True, slots=True)
class TransferRules:
    """Connections of the whole leg, those that may log in at a time (None: any number), the byte range that makes one
    worth it, tries of one file in a row.

    `alone_wait_seconds`: how long a leg that runs alone waits for the other; None where both run.
    """

    connections: int
    logins_at_once: int | None
    range_bytes: int
    threshold_bytes: int
    chunked: bool
    retries: int
    delete: bool
    alone_wait_seconds: float | None


def share(
    sending: Sequence[LedgerFile], rules: TransferRules, *, in_use: Sequence[int], free: int, room: int
) -> list[tuple[LedgerFile, int]]:
    """Which files start now, and with how many of the `free` connections; at most `room` files.

    `in_use`: connections of each file in flight. While smaller files wait, two large ones have three eighths of all
    each, and these the rest: round trips have most of a small file's time, in which large ones keep the
    link full, and two that go on together end together. Large ones among themselves have half each. One of them rather
    waits than goes on over a few, unless nothing else runs.
    """
    half = max(1, rules.connections // 2)
    large = [file for file in sending if useful_streams(file.size_bytes, rules) >= half]
    small = [file for file in sending if useful_streams(file.size_bytes, rules) < half]
    each = min(half, max(2, 3 * rules.connections // 8)) if small else half  # a small one has one, and is none of these
    running = sum(streams >= each for streams in in_use)
    started: list[tuple[LedgerFile, int]] = []
    while large and len(started) < room and not (small and running >= AT_ONCE):
        if free < each and (free <= 0 or in_use or started):
            break
        file = large.pop(0)
        streams = min(useful_streams(file.size_bytes, rules), free if len(sending) == 1 else each, free)
        started.append((file, streams))
        free, running = free - streams, running + 1
    if small:
        free -= each * min(len(large), max(0, AT_ONCE - running))  # what comes free is kept for the large ones
    for file in small[: max(0, room - len(started))]:
        if free <= 0:
            break
        streams = min(useful_streams(file.size_bytes, rules), free)
        started.append((file, streams))
        free -= streams
    return started


def useful_streams(size_bytes: int, rules: TransferRules) -> int:
    """Connections that have two ranges to send each, and no more than leave room for the next large file.

    With one range each they would stand idle until the slowest has sent its own; what a file once has it keeps.
    """
    if not rules.chunked or size_bytes < rules.threshold_bytes:
        return 1
    return min(max(ENOUGH_FOR_ONE, rules.connections // 2), max(1, -(-size_bytes // (2 * rules.range_bytes))))
