"""How the files that wait share the connections of the transfer leg."""

from collections.abc import Sequence
from dataclasses import dataclass

from xperience.relay.ledger import LedgerFile

ENOUGH_FOR_ONE = 8


@dataclass(frozen=True, slots=True)
class TransferRules:
    """Connections of the whole leg, the byte range that makes one worth it, tries of one file in a row.

    `alone_wait_seconds`: how long a leg that runs alone waits for the other; None where both run.
    """

    connections: int
    range_bytes: int
    threshold_bytes: int
    chunked: bool
    retries: int
    delete: bool
    alone_wait_seconds: float | None


def share(
    sending: Sequence[LedgerFile], rules: TransferRules, *, in_use: Sequence[int], free: int, room: int,
    more_to_come: bool,
) -> list[tuple[LedgerFile, int]]:  # fmt: skip
    """Which files start now, and with how many of the `free` connections; at most `room` files.

    `in_use`: connections of each file in flight; `more_to_come`: whether others log in. Files that several connections
    serve go in their order, none with more than half of all: two large ones go on together and end together. The first
    of them rather waits than goes on over a few, unless nothing else runs: it keeps what it has, and would be the last
    one, slow on a long way. While files of one connection wait, a quarter of all is theirs: round trips have most of
    their time, in which the others keep the link full.
    """
    with_useful = [(file, useful_streams(file.size_bytes, rules)) for file in sending]
    several = [(file, useful) for file, useful in with_useful if useful > 1]
    single = [file for file, useful in with_useful if useful == 1]
    most = max(1, rules.connections // 2)
    for_several = rules.connections
    if single:
        most = min(most, max(2, 3 * rules.connections // 8))
        for_several = 2 * most
    for_several -= sum(streams for streams in in_use if streams > 1)
    started: list[tuple[LedgerFile, int]] = []
    for file, useful in several[: max(0, room)]:
        wanted = useful if len(sending) == 1 and not in_use else min(useful, most)
        streams = min(wanted, free, for_several)
        enough = wanted if more_to_come else max(2, wanted - 1) if in_use or started else 1
        if streams < enough:
            free -= max(0, min(wanted, for_several))  # what comes free is kept for it
            break
        started.append((file, streams))
        free, for_several = free - streams, for_several - streams
    started += [(file, 1) for file in single[: max(0, min(free, room - len(started)))]]
    return started


def useful_streams(size_bytes: int, rules: TransferRules) -> int:
    """Connections that have two ranges to send each, and no more than leave room for the next large file.

    With one range each they would stand idle until the slowest has sent its own; what a file once has it keeps.
    """
    if not rules.chunked or size_bytes < rules.threshold_bytes:
        return 1
    return min(max(ENOUGH_FOR_ONE, rules.connections // 2), max(1, -(-size_bytes // (2 * rules.range_bytes))))
