"""A file on scratch that is filled range by range, with a bitmap beside it that survives kill -9."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xperience.common.errors import FULL, ConfigurationError, NoSpaceError
from xperience.common.identity import FileIdentity
from xperience.common.sizes import human_bytes

SCHEMA = "xperience.ranges/1"
FOLDER_ATTEMPTS = 100


@contextmanager
def scratch_errors(path: Path, need_bytes: int = 0) -> Iterator[None]:
    """Turn what the scratch volume refuses into our exceptions, with the file's name."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in FULL:
            room = f", {human_bytes(need_bytes)} needed" if need_bytes else ""
            raise NoSpaceError(
                "no space on scratch", where=str(path), why=why + room,
                fix="Free space, or lower --scratch-budget-gib or raise --headroom-gib.",
            ) from error  # fmt: skip
        raise ConfigurationError(
            "scratch cannot be used", where=str(path), why=why, fix="Check the volume, its owner and its mode."
        ) from error


def write_with_folder(path: Path, content: bytes) -> int:
    """Write a file and the folders above it, which whoever releases the last file in them may remove meanwhile."""
    for _ in range(FOLDER_ATTEMPTS):
        with suppress(FileNotFoundError, FileExistsError):  # FileExistsError: it was there, and then it was not
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.write_bytes(content)
    raise FileNotFoundError(errno.ENOENT, "the folder is removed again and again", str(path.parent))


def part_path(destination: Path) -> Path:
    """Where a file lies until its hash is right."""
    return destination.with_name(destination.name + ".part")


def bitmap_path(destination: Path) -> Path:
    """Which ranges of the part are there: a line of JSON, then one byte per range, 0 or 1."""
    return destination.with_name(destination.name + ".ranges")


class RangedFile:
    """`<destination>.part`, preallocated, and `<destination>.ranges`; a pair that fits the identity is adopted.

    A byte of the bitmap is written after the bytes of its range, so that after kill -9 a range that is marked is there.
    After a power failure it may not be: the hash of the whole file is what counts. An adopted pair keeps the range size
    that it was begun with.
    """

    def __init__(self, identity: FileIdentity, destination: Path, range_bytes: int) -> None:
        self.size_bytes, self._destination = identity.size_bytes, destination
        self.part, self._bitmap = part_path(destination), bitmap_path(destination)
        self._descriptors: tuple[int, int] | None = None
        with scratch_errors(self.part, self.size_bytes):
            adopted = self._adopt(identity)
            self.range_bytes = adopted or range_bytes
            header = header_of(identity, self.range_bytes)
            self._header_bytes = len(header)
            if not adopted:
                self.discard()
                write_with_folder(self._bitmap, header + bytes(self.count))
            flags = os.O_RDWR | os.O_CREAT
            self._descriptors = (os.open(self.part, flags, 0o644), os.open(self._bitmap, flags, 0o644))
            if not adopted:
                try:
                    preallocate(self._descriptors[0], self.size_bytes)
                except OSError:
                    self.discard()  # what could be reserved would only be in the way
                    raise

    def _adopt(self, identity: FileIdentity) -> int | None:
        """The range size of a pair that lies there and fits; None where there is none."""
        try:
            header, _, marks = self._bitmap.read_bytes().partition(b"\n")
            range_bytes = int(json.loads(header)["range_bytes"])
            fits = header + b"\n" == header_of(identity, range_bytes) and range_bytes > 0
            fits = fits and self.part.stat().st_size == self.size_bytes
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return range_bytes if fits and len(marks) == -(-self.size_bytes // range_bytes) else None

    @property
    def count(self) -> int:
        """Number of ranges; an empty file has none."""
        return -(-self.size_bytes // self.range_bytes)

    def missing(self) -> list[int]:
        """Ranges that are not there yet, in order."""
        marks = self._bitmap.read_bytes()[self._header_bytes :]
        return [index for index, mark in enumerate(marks) if mark != 1]

    def bounds(self, index: int) -> tuple[int, int]:
        """Bytes [start, stop) of a range."""
        return index * self.range_bytes, min((index + 1) * self.range_bytes, self.size_bytes)

    def write(self, block: bytes, offset: int) -> None:
        """Write bytes at their place; several threads may."""
        with scratch_errors(self.part):
            write_all(self._open()[0], block, offset)

    def mark(self, index: int) -> None:
        """The range is there."""
        with scratch_errors(self._bitmap):
            write_all(self._open()[1], b"\1", self._header_bytes + index)

    def _open(self) -> tuple[int, int]:
        if self._descriptors is None:
            raise AssertionError(f"{self.part} is closed")
        return self._descriptors

    def close(self) -> None:
        """Close both files; they stay."""
        for descriptor in self._descriptors or ():
            os.close(descriptor)
        self._descriptors = None

    def discard(self) -> None:
        """Remove both files."""
        self.close()
        # The bitmap first: without it the part is never taken for what it was.
        self._bitmap.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)


def header_of(identity: FileIdentity, range_bytes: int) -> bytes:
    """The first line of a bitmap: a pair begun for another identity does not fit."""
    fields = {
        "schema": SCHEMA, "size_bytes": identity.size_bytes, "range_bytes": range_bytes,
        "sha256": identity.sha256, "git_sha1": identity.git_sha1,
    }  # fmt: skip
    return json.dumps(fields).encode() + b"\n"


def preallocate(descriptor: int, size_bytes: int) -> None:
    """Reserve the bytes, so that a full volume says so now; a volume that cannot gets a hole of the size."""
    if size_bytes == 0:
        return
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(descriptor, size_bytes)


def write_all(descriptor: int, block: bytes, offset: int) -> None:
    """`pwrite` until nothing is left."""
    written = os.pwrite(descriptor, block, offset)
    while written < len(block):
        written += os.pwrite(descriptor, memoryview(block)[written:], offset + written)
