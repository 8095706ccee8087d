"""Download files of the hub to scratch: many streams, one queue of ranges, every hash checked."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from xperience.common.errors import BadDataError
from xperience.hub.client import Hub
from xperience.hub.digests import digest_file
from xperience.hub.fetch import RangeClient
from xperience.hub.in_flight import Downloaded, DownloadTask, InFlight
from xperience.hub.ranges import RangedFile, scratch_errors

__all__ = ["DownloadTask", "Downloaded", "Downloader"]

# `next_task` is asked again this long after it had nothing, unless `wake` is called.
ASK_AGAIN_SECONDS = 0.2


class Downloader:
    """Downloads tasks with `streams` connections, in constant memory; a file is hashed while it arrives.

    The oldest file takes every stream that it can use; only when no range is unclaimed is the next task asked for.
    `next_task`, `exhausted` and `done` are called from several threads, but never two at a time; `on_bytes`,
    `on_retry` and `on_mismatch` from any thread at any time.
    """

    def __init__(
        self, hub: Hub, revision: str, *, streams: int, range_bytes: int, retries: int, stop: threading.Event,
        on_bytes: Callable[[int], None] = lambda _count: None,
        on_retry: Callable[[str], None] = lambda _reason: None,
        on_mismatch: Callable[[str], None] = lambda _path: None,
    ) -> None:  # fmt: skip
        self._streams, self._range_bytes, self._stop, self._on_mismatch = streams, range_bytes, stop, on_mismatch
        self._ended = threading.Event()
        self._client = RangeClient(
            hub, revision, streams=streams, retries=retries, ended=self._ended, on_bytes=on_bytes, on_retry=on_retry
        )
        self._changed = threading.Condition()
        self._callbacks = threading.Lock()
        self._files: list[InFlight] = []
        self._opening, self._no_more = False, False
        self._ask_after = 0.0
        self._error: BaseException | None = None

    def run(
        self,
        next_task: Callable[[], DownloadTask | None],
        exhausted: Callable[[], bool],
        done: Callable[[Downloaded], None],
    ) -> None:
        """Block until `exhausted` and every task is done, or the stop event is set; raise the first error.

        `next_task` must not block; None: nothing may start now. After a stop, an error or kill -9 the files in flight
        stay on scratch, and the next run goes on with them.
        """
        self._next_task, self._exhausted, self._done = next_task, exhausted, done
        # Fewer files arrive at a time than there are streams: of those that are whole, two are hashed beside them.
        with ThreadPoolExecutor(self._streams + 2, thread_name_prefix="hash") as self._hashing:
            threads = [
                threading.Thread(target=self._stream, name=f"stream-{number}", daemon=True)
                for number in range(self._streams)
            ]
            try:
                for thread in threads:
                    thread.start()
                while not self._ended.wait(0.1):
                    if self._stop.is_set():
                        break
            finally:
                self._end()
                for thread in threads:
                    thread.join()
        self._client.close()
        for file in self._files:
            if file.ranged is not None:
                file.ranged.close()
        if self._error is not None:
            raise self._error

    def wake(self) -> None:
        """Scratch was released: ask for the next task now."""
        with self._changed:
            self._ask_after = 0.0
            self._changed.notify_all()

    def _end(self, error: BaseException | None = None) -> None:
        with self._changed:
            if self._error is None and not self._ended.is_set():
                self._error = error
            self._ended.set()
            self._changed.notify_all()
        self._client.interrupt()

    def _stream(self) -> None:
        """One connection: claim a range, fetch it, mark it, until the end."""
        try:
            while (claim := self._claim()) is not None:
                file, ranged, index = claim
                start, stop = ranged.bounds(index)
                if not self._client.fetch(file.remote, start, stop, ranged.write):
                    return
                ranged.mark(index)
                with self._changed:
                    file.arrived(index)
                    self._changed.notify_all()
        except BaseException as error:
            self._end(error)

    def _claim(self) -> tuple[InFlight, RangedFile, int] | None:
        """The first unclaimed range of the oldest file that has one; None at the end."""
        while True:
            with self._changed:
                if self._ended.is_set():
                    return None
                for file in self._files:
                    if file.unclaimed and file.ranged is not None:
                        return file, file.ranged, file.unclaimed.popleft()
                wait = self._ask_after - time.monotonic()
                if self._opening or self._no_more or wait > 0:
                    self._changed.wait(wait if wait > 0 and not self._opening else ASK_AGAIN_SECONDS)
                    continue
                self._opening, self._ask_after = True, time.monotonic() + ASK_AGAIN_SECONDS
            try:
                self._start_next()
            finally:
                with self._changed:
                    self._opening = False
                    self._changed.notify_all()

    def _start_next(self) -> None:
        with self._callbacks:
            task = self._next_task()
            no_more = task is None and self._exhausted()
        if task is None:
            with self._changed:
                self._no_more = no_more
                finished = no_more and not self._files
            if finished:
                self._end()
            return
        file = InFlight(task, self._range_bytes)
        file.open()
        with self._changed:
            self._files.append(file)
            self._ask_after = 0.0
        self._hashing.submit(self._check, file)

    def _await_bytes(self, file: InFlight, stop: int) -> None:
        if file.prefix_bytes < stop:
            with self._changed:
                self._changed.wait_for(lambda: file.prefix_bytes >= stop or self._ended.is_set())

    def _check(self, file: InFlight) -> None:
        """In a hash thread: settle the file if its hash is the hub's; else fetch it once more, then give up."""
        try:
            identity = file.task.identity
            with scratch_errors(file.where):
                digests = digest_file(
                    file.where, part_bytes=file.task.part_bytes, with_git_sha1=not identity.sha256,
                    ended=self._ended, await_bytes=partial(self._await_bytes, file),
                )  # fmt: skip
            if digests is None:
                return
            expected = identity.sha256 or identity.git_sha1
            found = digests.sha256 if identity.sha256 else digests.git_sha1
            if found != expected:
                self._fetch_again(file, f"expected {expected}, found {found}")
                return
            file.settle()
            with self._callbacks:
                self._done(Downloaded(file.task, digests))
            with self._changed:
                self._files.remove(file)
                finished = self._no_more and not self._files
            if finished:
                self._end()
        except BaseException as error:
            self._end(error)

    def _fetch_again(self, file: InFlight, why: str) -> None:
        path = file.task.identity.path
        file.mismatches += 1
        self._on_mismatch(path)
        file.discard()
        if file.mismatches > 1:
            raise BadDataError(
                "hash is not the hub's, twice", where=path, why=why,
                fix="The file on the hub or something in between is damaged: compare from another network.",
            )  # fmt: skip
        file.open()
        with self._changed:
            self._changed.notify_all()
        self._hashing.submit(self._check, file)
