"""What lies in a data root: which files there should be by the transfer manifest, and whether each is that one."""

import hashlib
import os
import stat
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xperience.common.errors import BadDataError, StoppedError, UsageError
from xperience.common.layout import TRAINING_FILES
from xperience.common.transfer import MANIFEST_NAME, TransferManifest

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file that should be there; size and hash are None where no manifest says them."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class StagedEpisode:
    """`files` by name: the manifest's, else the seven; `unexpected` are names that do not belong there."""

    path: str
    files: dict[str, StagedFile]
    unexpected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """Episodes by path; `others` are files of the manifest that belong to none."""

    episodes: tuple[StagedEpisode, ...]
    others: tuple[StagedFile, ...]
    manifest: TransferManifest | None
    why_no_manifest: str


def read_staged(folder: Path, manifest_path: Path | None) -> Staged:
    """Episodes by the manifest, else by the folders that are there; UsageError where there is no such folder."""
    if not folder.is_dir():
        raise UsageError("no data root", where=str(folder), fix="Give --data-root.")
    place = manifest_path or folder / MANIFEST_NAME
    if not place.exists():
        if manifest_path is not None:
            raise UsageError("no transfer manifest", where=str(place), fix="Give --transfer-manifest.")
        found = [
            StagedFile(f"{path.relative_to(folder).as_posix()}/{name}")
            for path in folders_of(folder)
            for name in TRAINING_FILES
        ]
        return Staged(_episodes(folder, found), (), None, f"no {MANIFEST_NAME} in the data root")
    manifest = TransferManifest.read(place)
    files = [StagedFile(file.path, file.size_bytes, file.sha256) for file in manifest.files]
    for file in files:
        parts = PurePosixPath(file.path).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise BadDataError("a path leads out of the data root", where=str(place), why=file.path)
    of_episodes = {str(PurePosixPath(file.path).parent) for file in files if is_training_file(file.path)}
    mine = [file for file in files if str(PurePosixPath(file.path).parent) in of_episodes]
    others = tuple(file for file in files if str(PurePosixPath(file.path).parent) not in of_episodes)
    return Staged(_episodes(folder, mine), others, manifest, "")


def is_training_file(path: str) -> bool:
    """One of the seven, in whatever folder below the data root."""
    place = PurePosixPath(path)
    return place.name in TRAINING_FILES and len(place.parts) >= 2


def folders_of(folder: Path) -> list[Path]:
    """Folders that hold a training file, sorted; links are not followed."""
    found = [Path(place) for place, _, names in os.walk(folder) if set(names) & set(TRAINING_FILES)]
    return sorted(place for place in found if place != folder)


def _episodes(folder: Path, files: Iterable[StagedFile]) -> tuple[StagedEpisode, ...]:
    by_episode: dict[str, dict[str, StagedFile]] = defaultdict(dict)
    for file in files:
        place = PurePosixPath(file.path)
        by_episode[str(place.parent)][place.name] = file
    episodes = []
    for path in sorted(by_episode):
        known = by_episode[path]
        there = sorted(place.name for place in (folder / path).iterdir()) if (folder / path).is_dir() else []
        # A caption may lie beside its annotation.
        unexpected = tuple(name for name in there if name not in known and not name.endswith(".json"))
        episodes.append(StagedEpisode(path, known, unexpected))
    return tuple(episodes)


def hash_file(folder: Path, file: StagedFile, stop: threading.Event) -> tuple[int, str]:
    """Size and sha256 of a plain file, read once from its beginning to its end, so that it lies in the page cache.

    BadDataError where it is not there, is no plain file, or is not the one of the manifest; a wrong size costs no read.
    """
    path = folder / file.path
    try:
        # A link could lead anywhere, and opening a pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise BadDataError("not there") from error
    except OSError as error:
        raise BadDataError("cannot be opened", why=error.strerror or str(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadDataError("not a plain file")
        if file.size_bytes is not None and status.st_size != file.size_bytes:
            raise BadDataError("size differs", why=f"{status.st_size} bytes, {file.size_bytes} in the manifest")
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        digest, block = hashlib.sha256(), memoryview(bytearray(READ_BYTES))
        while count := os.readv(descriptor, [block]):
            digest.update(block[:count])
            if stop.is_set():
                raise StoppedError("stopped before the end", where=file.path, fix="Run it again.")
    except OSError as error:
        raise BadDataError("cannot be read", why=error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
    if file.sha256 is not None and digest.hexdigest() != file.sha256:
        raise BadDataError("sha256 differs", why=f"{digest.hexdigest()}, {file.sha256} in the manifest")
    return status.st_size, digest.hexdigest()
