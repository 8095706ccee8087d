"""A file at the hub as a source of ranges, within the bounds of a probe."""

import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Self

from xperience.common.errors import BadDataError, StoppedError
from xperience.common.identity import FileIdentity
from xperience.episode.ranged import Range
from xperience.hub.fetch import RangeClient, RemoteFile

# Of one episode, all files, resolve calls included; a whole episode of the genuine size takes some 50 and 2 MB.
MOST_REQUESTS = 60
MOST_BYTES = 8 << 20


@dataclass
class Spent:
    """What an episode's files cost so far, in ranges and bytes asked for."""

    ranges: int = 0
    range_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, ranges: int, range_bytes: int, where: str) -> None:
        """BadDataError where the bounds of a probe do not allow it: the file is built to cost."""
        with self.lock:
            if self.ranges + ranges > MOST_REQUESTS or self.range_bytes + range_bytes > MOST_BYTES:
                raise BadDataError(
                    "needs more than a probe may ask for", where=where,
                    why=f"over {MOST_REQUESTS} requests or {MOST_BYTES >> 20} MiB of one episode",
                )  # fmt: skip
            self.ranges += ranges
            self.range_bytes += range_bytes


class HubFile:
    """One file; `read_ranges` fetches several ranges at once, by the threads of `fetching`."""

    def __init__(self, client: RangeClient, identity: FileIdentity, spent: Spent, fetching: Executor) -> None:
        self._client, self._spent, self._fetching = client, spent, fetching
        self._remote = RemoteFile(identity)
        self.size_bytes = identity.size_bytes
        self.requests = self.read_bytes = 0  # without tries that failed, so that two runs count the same
        self._begun: tuple[Range, Future[list[bytes]]] | None = None

    def begin(self, first: Range) -> Self:
        """Fetch a range that will be asked for first, while the one who asks is not there yet."""
        start, stop = first[0], min(first[1], self.size_bytes)
        if start < stop:
            self._begun = (start, stop), self._fetching.submit(self._read_ranges, [(start, stop)])
        return self

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of each range, whole. What the hub refuses is raised; StoppedError after SIGTERM."""
        begun, self._begun = self._begun, None
        if begun is None:
            return self._read_ranges(ranges)
        contents = begun[1].result()
        return contents if list(ranges) == [begun[0]] else self._read_ranges(ranges)

    def _read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        requests = len(ranges) + (self.requests == 0)  # the resolve call comes first
        self._spent.spend(requests, sum(stop - start for start, stop in ranges), self._remote.identity.path)
        self.requests += requests
        if len(ranges) == 1:
            contents = [self._fetch(*ranges[0])]
        else:
            contents = list(self._fetching.map(lambda found: self._fetch(*found), ranges))
        self.read_bytes += sum(map(len, contents))
        return contents

    def _fetch(self, start: int, stop: int) -> bytes:
        content = bytearray(stop - start)

        def write(block: bytes, offset: int) -> None:
            content[offset - start : offset - start + len(block)] = block

        if not self._client.fetch(self._remote, start, stop, write):
            raise StoppedError("stopped before the end", where=self._remote.identity.path)
        return bytes(content)
