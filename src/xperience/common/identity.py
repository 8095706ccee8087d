"""What a repository says a file is: path, size, hash."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """One file of a repository at a pinned revision.

    `sha256` is the LFS object's hash; a file without LFS entry has its git blob id in `git_sha1` instead.
    """

    path: str
    size_bytes: int
    sha256: str | None = None
    git_sha1: str | None = None
