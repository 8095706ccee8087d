"""What the stand-in hub serves: files of a folder, and virtual files that need no disk."""

import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

# Not a power of two: a range that is written at the wrong place is never equal to what belongs there.
PATTERN_BYTES = (1 << 20) + 4099
READ_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file on disk; its hashes hold for one size and modification time."""

    location: Path
    size_bytes: int
    modified_ns: int

    def read(self, start: int, stop: int, block_bytes: int = READ_BYTES) -> Iterator[bytes]:
        """Bytes [start, stop) in blocks."""
        with self.location.open("rb") as handle:
            handle.seek(start)
            while start < stop and (block := handle.read(min(block_bytes, stop - start))):
                start += len(block)
                yield block


@dataclass(frozen=True, slots=True)
class VirtualFile:
    """A pseudo-random pattern, repeated up to a size: a file of many GiB without disk."""

    size_bytes: int
    seed: int

    def read(self, start: int, stop: int, block_bytes: int = READ_BYTES) -> Iterator[bytes]:
        """Bytes [start, stop) in blocks."""
        content = pattern(self.seed)
        while start < stop:
            offset = start % PATTERN_BYTES
            block = content[offset : offset + min(block_bytes, stop - start)]
            start += len(block)
            yield block


@lru_cache(maxsize=8)
def pattern(seed: int) -> bytes:
    """The bytes that a virtual file repeats."""
    return random.Random(seed).randbytes(PATTERN_BYTES)  # noqa: S311  test content, no secret


@dataclass(frozen=True, slots=True)
class Hashes:
    """sha256 of the bytes and the id that git gives them as a blob."""

    sha256: str
    git_sha1: str


@dataclass
class Contents:
    """One repository: the files under `root` as they are at each call, and the virtual ones; hashes are cached."""

    root: Path
    virtual: dict[str, VirtualFile] = field(default_factory=dict)
    _hashes: dict[DiskFile | VirtualFile, Hashes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def paths(self) -> list[str]:
        """Every path of the repository, sorted."""
        base = self.root.resolve()
        on_disk = (path for path in base.rglob("*") if path.is_file() and not path.is_symlink())
        return sorted({*(path.relative_to(base).as_posix() for path in on_disk), *self.virtual})

    def find(self, path: str) -> DiskFile | VirtualFile | None:
        """The file at `path`; None where there is none or where it would lie outside the root."""
        if path in self.virtual:
            return self.virtual[path]
        pure = PurePosixPath(path)
        if "\0" in path or pure.is_absolute() or ".." in pure.parts:
            return None
        location = (self.root / pure).resolve()
        if not location.is_relative_to(self.root.resolve()) or not location.is_file():
            return None
        status = location.stat()
        return DiskFile(location, status.st_size, status.st_mtime_ns)

    def assume(self, path: str, sha256: str) -> None:
        """Give out this hash without reading the file: a sparse file of GiB takes seconds to hash."""
        file = self.find(path)
        if file is not None:
            with self._lock:
                self._hashes[file] = Hashes(sha256, sha256[:40])

    def hashes(self, file: DiskFile | VirtualFile) -> Hashes:
        """Hashes of a file, computed once by streaming it."""
        with self._lock:
            if file not in self._hashes:
                sha256 = hashlib.sha256()
                git_sha1 = hashlib.sha1(f"blob {file.size_bytes}\0".encode(), usedforsecurity=False)
                # A blob id is only needed of small files; of GiB it would double the time.
                with_git_id = file.size_bytes < (64 << 20)
                for block in file.read(0, file.size_bytes):
                    sha256.update(block)
                    if with_git_id:
                        git_sha1.update(block)
                self._hashes[file] = Hashes(sha256.hexdigest(), git_sha1.hexdigest())
            return self._hashes[file]
