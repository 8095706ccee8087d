"""A seekable file over a source that gives byte ranges: the hub, S3, or another process."""

import io
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

# HDF5 keeps its own tables in blocks of 2 KiB here and there; 16 KiB takes neighbours along, 64 KiB no more of them
# (an annotation of 1.96 GB: 12 blocks of 16 KiB, 10 of 64 KiB).
BLOCK_BYTES = 16 << 10
MOST_AHEAD_BLOCKS = 64
CACHE_BYTES = 32 << 20
# Tables of tables: a real file is found out in three rounds, a hostile one is not to ask for ever.
MOST_ROUNDS = 8

Range = tuple[int, int]


class RangeSource(Protocol):
    """What can be asked for bytes."""

    size_bytes: int

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes [start, stop) of each range, whole; the source may fetch them at the same time."""


class NotFetchedError(OSError):
    """A block that an exploring reader wants and that is not there yet."""


class RangedFile(io.RawIOBase):
    """A read-only file with a cache of blocks, least recently used out first.

    Reading on from where the last read ended fetches twice as much each time; `plan` fetches at once what will be read.
    """

    def __init__(self, source: RangeSource, *, block_bytes: int = BLOCK_BYTES, cache_bytes: int = CACHE_BYTES) -> None:
        self._source, self._block_bytes = source, block_bytes
        self._most_blocks = max(cache_bytes // block_bytes, 2 * MOST_AHEAD_BLOCKS)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0
        self._next_block, self._ahead = -1, 1
        self._sealed = False
        self._wanted: set[int] | None = None

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return self._source.size_bytes

    def seal(self) -> None:
        """Fetch nothing from now on: behind what is there, the file seems to end."""
        self._sealed = True

    def explore(self, walk: Callable[[], None]) -> None:
        """Fetch what `walk` reads, in as few calls as it has levels that depend on each other.

        `walk` is called again and again and has to go on after a NotFetchedError, as its reader raises it, to what does
        not depend on it; what it wanted is then fetched at once. It is called a last time when all is there.
        """
        for _ in range(MOST_ROUNDS):
            self._wanted = set()
            try:
                walk()
            finally:
                wanted, self._wanted = self._wanted, None
            if not wanted:
                return
            self._fetch(sorted(wanted)[: self._most_blocks])

    def plan(self, ranges: Iterable[Range]) -> None:
        """Fetch the blocks of these ranges that are not there, neighbours in one range, all in one call."""
        size = self._source.size_bytes
        wanted = sorted(
            {
                block
                for start, stop in ranges
                for block in range(max(start, 0) // self._block_bytes, -(-min(stop, size) // self._block_bytes))
            }
            - self._blocks.keys()
        )
        if self._wanted is None:
            self._fetch(wanted[: self._most_blocks])
        else:
            self._wanted.update(wanted[: self._most_blocks])

    def _fetch(self, blocks: Sequence[int]) -> None:
        runs: list[list[int]] = []
        for block in blocks:
            if runs and block == runs[-1][1]:
                runs[-1][1] += 1
            else:
                runs.append([block, block + 1])
        if not runs:
            return
        size, step = self._source.size_bytes, self._block_bytes
        ranges = [(first * step, min(stop * step, size)) for first, stop in runs]
        for (first, _), content in zip(runs, self._source.read_ranges(ranges), strict=True):
            for offset in range(0, len(content), step):
                self._blocks[first + offset // step] = content[offset : offset + step]
        while len(self._blocks) > self._most_blocks:
            self._blocks.popitem(last=False)

    def _block(self, number: int, needed: int) -> bytes:
        """One block; where it is missing, `needed` blocks from it on are fetched, or more of a sequence."""
        if number not in self._blocks:
            if self._wanted is not None:
                missing = range(number, number + min(needed, MOST_AHEAD_BLOCKS))
                self._wanted.update(block for block in missing if block not in self._blocks)
                raise NotFetchedError("not fetched yet")
            self._ahead = min(2 * self._ahead, MOST_AHEAD_BLOCKS) if number == self._next_block else 1
            last = -(-self._source.size_bytes // self._block_bytes)
            stop = min(number + min(max(needed, self._ahead), MOST_AHEAD_BLOCKS), last)
            self._fetch([block for block in range(number, stop) if block not in self._blocks])
            self._next_block = stop
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def readinto(self, buffer: Any, /) -> int:
        """Fill as much of the buffer as there is."""
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._source.size_bytes)
        filled = 0
        while self._position < stop:
            number, offset = divmod(self._position, self._block_bytes)
            if self._sealed and number not in self._blocks:
                break
            block = self._block(number, -(-stop // self._block_bytes) - number)
            taken = block[offset : offset + stop - self._position]
            view[filled : filled + len(taken)] = taken
            filled += len(taken)
            self._position += len(taken)
        return filled

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True
