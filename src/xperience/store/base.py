"""What the relay needs of a destination, whichever it is."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from xperience.common.checks import Check
from xperience.common.errors import XperienceError


class Phase(StrEnum):
    """Where an asynchronous copy is; unknown: this mover never heard of the job, or has forgotten it."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class JobId:
    """A job of one life of the mover; the pair is unique over restarts."""

    execute_id: str
    job_id: int


@dataclass(frozen=True, slots=True)
class JobState:
    """A job now; `error` is the mover's text where it failed."""

    phase: Phase
    sent_bytes: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """Size and hashes of the one read that matched the hub's; `part_bytes` is the part size of `multipart_etag`."""

    sha256: str
    size_bytes: int
    md5: str | None = None
    multipart_etag: str | None = None
    part_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """How the store's own hash was had, and what identifies the object there (S3)."""

    how: str
    etag: str | None = None
    part_bytes: int | None = None
    version_id: str | None = None


class Store(Protocol):
    """A destination. Paths are relative to the data root. Each method may raise UnavailableError or RefusedError."""

    kind: str
    target: str  # for people and manifests; holds no secret
    logs_in: bool  # whether a new connection costs a login
    part_bytes: int | None  # size of a multipart upload's parts; None where there are none

    def part_bytes_of(self, size_bytes: int, /) -> int | None:
        """Size of the parts in which such an object is put: of all of it where it is put whole; None as above."""

    def reach(self, sharers: int = 1) -> float:
        """Log in, before anything else; how many seconds that took. Raises what would stop a run.

        `sharers`: how many relays begin together, and share what the store takes of logins at a time.
        """

    def open_connections(self, count: int, folder: str, opened: Callable[[], None], /) -> None:
        """Log in as often, where that takes long, for the sends to come; `opened` is called as each is there.

        The first of these sends go to `folder`.
        """

    def settle(self) -> None:
        """Find out what sending and verifying need, before the first file is sent; many round trips on a long way."""

    def start_send(self, local_root: Path, path: str, *, size_bytes: int, streams: int, group: str) -> JobId:
        """Begin to copy `local_root/path`, over as many connections as `streams` says; returns at once."""

    def start_fetch(self, local_root: Path, path: str, *, size_bytes: int, streams: int, group: str) -> JobId:
        """Begin to copy a file to `local_root/path`, over as many connections as `streams` says; returns at once."""

    def job(self, job: JobId, group: str) -> JobState:
        """A job's state now."""

    def stop_group(self, group: str) -> None:
        """Stop whatever copies in this group, and wait until nothing does."""

    def error_of(self, text: str, path: str) -> XperienceError:
        """A failed copy's text as one of our errors."""

    def verify(self, path: str, expected: Expected) -> Verified | None:
        """Compare the store's own hash; None where the file is missing or differs."""

    def verify_recorded(self, path: str, sha256: str, size_bytes: int, recorded: Verified) -> bool:
        """Compare again, later and without a local copy."""

    def adopt(self, path: str, sha256: str, size_bytes: int) -> Verified | None:
        """Prove bytes of unknown history against the hub's hash; reads them back where nothing else will do."""

    def listing(self) -> dict[str, int]:
        """Path to size of every file under the data root; empty where there is no root yet."""

    def free_bytes(self) -> int | None:
        """Free space; None where the store has no such notion."""

    def put_bytes(self, path: str, content: bytes) -> None:
        """Write a small file, whole or not at all, verified."""

    def read_bytes(self, path: str) -> bytes | None:
        """Read a small file; None where it is missing."""

    def delete(self, path: str) -> None:
        """Delete a file; a missing one is no error."""

    def clean_leftovers(self, paths: Collection[str], listing: Iterable[str] | None = None) -> list[str]:
        """Delete what killed transfers of these files left beside them; returns its names. `listing`: if at hand."""

    def checks(self, needed_bytes: int) -> Iterator[Check]:
        """The store's part of a preflight."""
