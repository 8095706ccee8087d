"""A file of the download: its task, its state on scratch while it is fetched, and what is handed on."""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from xperience.common.errors import BadDataError
from xperience.common.files import sync_folder
from xperience.common.identity import FileIdentity
from xperience.hub.digests import Digests
from xperience.hub.fetch import RemoteFile
from xperience.hub.ranges import RangedFile, bitmap_path, scratch_errors

# rclone names its partial files by a CRC of name, size and modification time: a constant one keeps the name.
SCRATCH_MTIME_SECONDS = 946_684_800
REFUSED_SUFFIX = ".rrd"


@dataclass(frozen=True, slots=True)
class DownloadTask:
    """One file and where it goes. `part_bytes`: the S3 part size whose md5s are wanted; None spares the md5s."""

    identity: FileIdentity
    destination: Path
    part_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.identity.path.lower().endswith(REFUSED_SUFFIX):
            raise BadDataError(
                "recordings (.rrd) are not downloaded", where=self.identity.path, fix="Take it out of the selection."
            )
        if not self.identity.sha256 and not self.identity.git_sha1:
            raise BadDataError("no hash of the hub's to check by", where=self.identity.path, fix="Pin the selection.")


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that lies at its destination with the hub's hash."""

    task: DownloadTask
    digests: Digests


class InFlight:
    """A file between its task and `done`."""

    def __init__(self, task: DownloadTask, range_bytes: int) -> None:
        self.task, self.range_bytes = task, range_bytes
        self.remote = RemoteFile(task.identity)
        self.mismatches = 0
        self.ranged: RangedFile | None = None
        self.unclaimed: deque[int] = deque()
        self.prefix_bytes = 0  # so many from the first one are there
        self._missing: set[int] = set()

    def open(self) -> None:
        """Adopt what lies on scratch, or begin anew."""
        self.remote.address = None
        destination, size_bytes = self.task.destination, self.task.identity.size_bytes
        with scratch_errors(destination):
            if destination.exists():
                if destination.stat().st_size == size_bytes:
                    self.prefix_bytes = size_bytes
                    return
                destination.unlink()
        self.ranged = RangedFile(self.task.identity, destination, self.range_bytes)
        missing = self.ranged.missing()
        self._missing = set(missing)
        self.prefix_bytes = self._prefix()
        if not missing:
            self.ranged.close()
        self.unclaimed = deque(missing)  # last: from now on a stream may take one and finish it

    def arrived(self, index: int) -> None:
        """A range is there; one caller at a time."""
        if self.ranged is None:
            raise AssertionError(f"{self.where} has no ranges")
        self._missing.discard(index)
        self.prefix_bytes = self._prefix()
        if not self._missing:
            self.ranged.close()

    def _prefix(self) -> int:
        size_bytes = self.task.identity.size_bytes
        return self.ranged.bounds(min(self._missing))[0] if self.ranged and self._missing else size_bytes

    def discard(self) -> None:
        """Remove what has the wrong content."""
        self.task.destination.unlink(missing_ok=True)
        if self.ranged is not None:
            self.ranged.discard()
            self.ranged = None

    def settle(self) -> None:
        """Give a file whose hash is right its name. A kill costs nothing then; a power failure may still cost bytes."""
        destination = self.task.destination
        with scratch_errors(destination):
            os.utime(self.where, (SCRATCH_MTIME_SECONDS, SCRATCH_MTIME_SECONDS))
            self.where.replace(destination)
            bitmap_path(destination).unlink(missing_ok=True)
            sync_folder(destination.parent)

    @property
    def where(self) -> Path:
        """Where the bytes lie now."""
        return self.task.destination if self.ranged is None else self.ranged.part
