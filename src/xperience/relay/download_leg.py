"""The download leg: hub to scratch, in plan order, as far as the budget goes."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from xperience.common.errors import TryAgainError
from xperience.common.identity import FileIdentity
from xperience.hub.client import Hub
from xperience.hub.download import Downloaded, Downloader, DownloadTask
from xperience.relay import locks
from xperience.relay.events import Events
from xperience.relay.ledger import Ledger, State
from xperience.relay.progress import Progress
from xperience.relay.scratch import Budget

NICENESS = 19  # what nobody else wants of a core


@dataclass(frozen=True, slots=True)
class DownloadRules:
    """Streams of the whole leg, bytes of a range, tries without progress, the store's part size by the file's size.

    `alone_wait_seconds`: how long a leg that runs alone waits for the other; None where both run.
    """

    streams: int
    range_bytes: int
    retries: int
    part_bytes_of: Callable[[int], int | None]
    alone_wait_seconds: float | None


class DownloadLeg:
    """Feeds the downloader from the ledger and commits what it brings."""

    def __init__(
        self, hub: Hub, ledger: Ledger, budget: Budget, events: Events, progress: Progress, rules: DownloadRules, *,
        stop: threading.Event, on_downloaded: Callable[[], None],
    ) -> None:  # fmt: skip
        self.ledger, self.budget, self.events, self.progress, self.rules = ledger, budget, events, progress, rules
        self.on_downloaded = on_downloaded
        self._held_since: float | None = None
        self._lock = threading.Lock()
        self._downloader = Downloader(
            hub, ledger.job()["revision"], streams=rules.streams, range_bytes=rules.range_bytes, retries=rules.retries,
            stop=stop, on_bytes=progress.download.add, on_retry=progress.download.retry, on_mismatch=self._mismatch,
        )  # fmt: skip

    def resume(self) -> None:
        """Files that a dead run was downloading are planned again; what is on scratch of them is adopted."""
        for file in self.ledger.files(State.DOWNLOADING):
            self.ledger.set(file.path, State.PLANNED)

    def run(self) -> None:
        """Download all planned files; returns when they are, or when `stop` is set.

        Threads begun here have its niceness: scratch fills faster than it empties, and what little time of a core the
        sending takes it should not have to wait for.
        """
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        self._downloader.run(self._next_task, self._exhausted, self._done)

    def wake(self) -> None:
        """Scratch was released."""
        self._downloader.wake()

    def _next_task(self) -> DownloadTask | None:
        with self._lock:
            file = self.ledger.first(State.PLANNED)
            if file is None:
                return None
            if not self.budget.admit(file):
                # While one waits for room, smaller ones of its batch go ahead: as they are finite, it is never starved.
                smaller = self.ledger.first_fitting(State.PLANNED, file.batch, self.budget.room_bytes())
                if smaller is None or not self.budget.admit(smaller):
                    self._check_that_somebody_releases()
                    return None
                file = smaller
            self._held_since = None
        self.progress.download.enter()
        self.events.add("download_started", path=file.path, batch=file.batch, size_bytes=file.size_bytes)
        identity = FileIdentity(file.path, file.size_bytes, file.hub_sha256, file.hub_git_sha1)
        return DownloadTask(identity, self.budget.scratch.path_of(file.path), self.rules.part_bytes_of(file.size_bytes))

    def _check_that_somebody_releases(self) -> None:
        """A prefetch-only process whose budget is full waits for a transfer leg, but not for ever."""
        if self.rules.alone_wait_seconds is None:
            return
        now = time.monotonic()
        if self._held_since is None or locks.is_held(self.budget.scratch.root, "transfer"):
            self._held_since = now
        elif now - self._held_since > self.rules.alone_wait_seconds:
            raise TryAgainError(
                "scratch budget is full and no process transfers", where=str(self.budget.scratch.root),
                fix="Start `relay run --legs transfer` on the same --relay-root; the prefetch goes on when run again.",
            )  # fmt: skip

    def _exhausted(self) -> bool:
        return self.ledger.first(State.PLANNED) is None

    def _done(self, downloaded: Downloaded) -> None:
        digests, path = downloaded.digests, downloaded.task.identity.path
        self.ledger.set(
            path, State.DOWNLOADED, sha256=digests.sha256, md5=digests.md5, multipart_etag=digests.multipart_etag,
            digest_part_bytes=downloaded.task.part_bytes,
        )  # fmt: skip
        self.progress.download.leave()
        self.events.add("downloaded", path=path, sha256=digests.sha256)
        self.on_downloaded()

    def _mismatch(self, path: str) -> None:
        self.progress.mismatch()
        self.events.add("hash_mismatch", path=path, leg="download")
