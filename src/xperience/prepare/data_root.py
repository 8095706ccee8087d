"""A data root as it lies on disk: episodes' files, and what should not be there."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from xperience.common.errors import UsageError
from xperience.common.layout import EXCLUDED_FILE, TRAINING_FILES
from xperience.common.transfer import MANIFEST_NAME

# What loaders, rclone, rsync and the earlier relay leave behind when they are killed.
LEFTOVERS = ("*.partial*", "*.part", "*.tmp", "*.incomplete", ".*.??????", ".cache", ".batch_*", "*_chunk_transfer_tmp")


@dataclass(frozen=True, slots=True)
class FileOnDisk:
    """`changed_seconds` is st_ctime: Unix time of the last change of content or name, which a user cannot set."""

    size_bytes: int
    changed_seconds: float


@dataclass(frozen=True, slots=True)
class DataRoot:
    """What lies under a data root; all paths relative to it, sorted.

    `episodes`: `<session>/<episode>` to its training files by name; a folder with one training file counts.
    """

    episodes: dict[str, dict[str, FileOnDisk]] = field(default_factory=dict)
    rrd: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    has_transfer_manifest: bool = False


def look_at(root: Path) -> DataRoot:
    """Walk a data root; links to folders are not followed. UsageError where there is no such folder."""
    if not root.is_dir():
        raise UsageError("no data root", where=str(root), fix="Give --data-root: the folder of <session>/<episode>.")
    episodes: dict[str, dict[str, FileOnDisk]] = {}
    rrd, leftovers, others = [], [], []
    has_manifest = False
    for path, entry in _walk(root, ""):
        folder, _, name = path.rpartition("/")
        if name.endswith(".rrd") or name == EXCLUDED_FILE:
            rrd.append(path)
        elif _left_over(path):
            leftovers.append(path)
        elif name in TRAINING_FILES and folder.count("/") == 1:
            status = entry.stat()
            episodes.setdefault(folder, {})[name] = FileOnDisk(status.st_size, status.st_ctime)
        elif path == MANIFEST_NAME:
            has_manifest = True
        else:
            others.append(path)
    return DataRoot(
        {path: dict(sorted(episodes[path].items())) for path in sorted(episodes)},
        tuple(sorted(rrd)), tuple(sorted(leftovers)), tuple(sorted(others)), has_manifest,
    )  # fmt: skip


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{path}/")
            elif entry.is_file():  # a dangling link, a socket or a link to a folder is none
                yield path, entry


def _left_over(path: str) -> bool:
    return any(fnmatch(part, pattern) for part in path.split("/") for pattern in LEFTOVERS)
