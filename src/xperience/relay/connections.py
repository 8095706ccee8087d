"""How the files that wait share the connections of the transfer leg."""

from collections.abc import Sequence
from dataclasses import dataclass

from xperience.relay.ledger import LedgerFile

# However many files wait, a large one gets a connection for each of these: at 200 ms one takes 25 s for it.
BYTES_OF_A_STREAM = 256 << 20
ENOUGH_FOR_ONE = 8


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
    sending: Sequence[LedgerFile], rules: TransferRules, *, free: int, room: int, idle: bool
) -> list[tuple[LedgerFile, int]]:
    """Which files start now, in their order, and with how many of the `free` connections; at most `room` files.

    They share by their bytes: with one connection each, a large file among many small ones would go on alone at the
    end, at a connection's 2 MiB per round trip. Such a one rather waits for several, unless nothing else runs (`idle`).
    """
    started: list[tuple[LedgerFile, int]] = []
    waiting_bytes = sum(file.size_bytes for file in sending)
    for file in sending:
        if free <= 0 or len(started) >= room:
            break
        least = least_streams(file.size_bytes, rules)
        if least <= free or (idle and not started):
            wanted = max(least, round(free * file.size_bytes / max(1, waiting_bytes)))
            streams = min(wanted, useful_streams(file.size_bytes, rules), free)
            started.append((file, streams))
            free -= streams
        waiting_bytes -= file.size_bytes  # smaller ones take what is free while one waits
    return started


def least_streams(size_bytes: int, rules: TransferRules) -> int:
    """Connections below which a file rather waits: half of them at most, as two large ones should share."""
    most = min(max(1, rules.connections // 2), useful_streams(size_bytes, rules))
    return min(most, max(1, -(-size_bytes // BYTES_OF_A_STREAM)))


def useful_streams(size_bytes: int, rules: TransferRules) -> int:
    """Connections that have two ranges to send each, and no more than leave room for the next large file.

    With one range each they would stand idle until the slowest has sent its own; what a file once has it keeps.
    """
    if not rules.chunked or size_bytes < rules.threshold_bytes:
        return 1
    return min(max(ENOUGH_FOR_ONE, rules.connections // 2), max(1, -(-size_bytes // (2 * rules.range_bytes))))
