"""Atomic writes and hashes of files."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

READ_BYTES = 4 << 20


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` whole or not at all."""
    with atomic_file(path) as handle:
        handle.write(content.encode() if isinstance(content, str) else content)


def whole_lines(path: Path, *, cut: bool = False) -> list[bytes]:
    """Lines of a file that a run appends to, without the half one that a kill left; none where there is no file.

    `cut` takes that half off the file too, for the one that goes on.
    """
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if cut and whole != content:
        os.truncate(path, len(whole))  # not written anew: a kill in between would cost them all
    return whole.splitlines()


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file under a temporary name in the same folder: fsync, rename, fsync the folder; gone after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a file, for one who reads it and writes it anew; waits for whoever holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder under a temporary name that takes the place of `folder`, if there is one, once it is filled."""
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and unlinks in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_file(path: Path) -> str:
    """Lower-case hex sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def git_blob_sha1_of_file(path: Path) -> str:
    """Hex sha1 that git gives the file as a blob: sha1("blob <size>\\0" + bytes)."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as handle:
        while block := handle.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
