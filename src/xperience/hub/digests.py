"""Hashes of a scratch file in one read: the hub's, and those that a store will be asked for."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Digests:
    """Lower-case hex of one read of a file.

    `md5` and `multipart_etag` are None unless a part size was asked for, and `md5` where the file has several parts: it
    would be as much work again. `multipart_etag` is what S3 calls an object that was uploaded in parts of that size:
    md5 over the parts' binary md5s, a dash, the number of parts.
    """

    sha256: str
    git_sha1: str
    md5: str | None
    multipart_etag: str | None


def digest_file(
    path: Path, *, part_bytes: int | None, with_git_sha1: bool, ended: threading.Event | None = None,
    await_bytes: Callable[[int], None] = lambda _stop: None,
) -> Digests | None:  # fmt: skip
    """Read `path` once, sequentially; None where `ended` is set before the end. `git_sha1` is "" unless asked for.

    `await_bytes` returns when the first so many bytes of a file that is still written are there, or `ended` is set.
    """
    size_bytes = path.stat().st_size
    sha256 = hashlib.sha256()
    git_sha1 = hashlib.sha1(f"blob {size_bytes}\0".encode(), usedforsecurity=False)
    part = hashlib.md5(usedforsecurity=False)
    part_md5s: list[bytes] = []
    left_in_part, position = part_bytes or 0, 0
    with path.open("rb", buffering=0) as handle:
        while position < size_bytes:
            await_bytes(min(position + READ_BYTES, size_bytes))
            if ended is not None and ended.is_set():
                return None
            block = handle.read(min(READ_BYTES, left_in_part or READ_BYTES))
            if not block:
                break  # somebody cut it
            position += len(block)
            sha256.update(block)
            if with_git_sha1:
                git_sha1.update(block)
            if part_bytes is not None:
                part.update(block)
                left_in_part -= len(block)
                if left_in_part == 0:
                    part_md5s.append(part.digest())
                    part, left_in_part = hashlib.md5(usedforsecurity=False), part_bytes
    git = git_sha1.hexdigest() if with_git_sha1 else ""
    if part_bytes is None:
        return Digests(sha256.hexdigest(), git, None, None)
    if left_in_part < part_bytes or not part_md5s:
        part_md5s.append(part.digest())
    md5 = part_md5s[0].hex() if len(part_md5s) == 1 else None
    return Digests(sha256.hexdigest(), git, md5, etag_of_parts(part_md5s))


def etag_of_parts(part_md5s: list[bytes]) -> str:
    """S3's ETag of a multipart upload from the binary md5s of its parts."""
    return f"{hashlib.md5(b''.join(part_md5s), usedforsecurity=False).hexdigest()}-{len(part_md5s)}"
