"""The transfer leg: scratch to store, verified by the store's own hash, then released."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from xperience.common.errors import BadDataError, StoppedError, TryAgainError, UnavailableError, XperienceError
from xperience.hub.digests import digest_file
from xperience.relay import locks
from xperience.relay.connections import TransferRules, share, useful_streams
from xperience.relay.events import Events
from xperience.relay.ledger import ARRIVED, Ledger, LedgerFile, State
from xperience.relay.progress import Progress
from xperience.relay.scratch import Scratch
from xperience.store.base import Expected, JobId, Phase, Store, Verified

WAITING = (State.DOWNLOADED, State.SENDING, State.SENT)
POLL_SECONDS = (0.05, 0.5)  # of a job: short for short ones, at most this for long ones
LISTING_FIRST_SECONDS = 0.1  # it has the first connection then, and need not log in
POLL_SHARE = 0.1  # of the time that a job, or before it a login, has taken: a look takes milliseconds of a core


class TransferLeg:
    """One thread per file in flight; each walks its file through the states, from wherever it stands."""

    def __init__(
        self, ledger: Ledger, scratch: Scratch, store: Store, events: Events, progress: Progress, rules: TransferRules,
        *, stop: threading.Event, on_released: Callable[[], None],
    ) -> None:  # fmt: skip
        self.ledger, self.scratch, self.store, self.events, self.progress = ledger, scratch, store, events, progress
        self.rules, self.stop, self.on_released = rules, stop, on_released
        self.login_seconds = 0.0
        self._news = threading.Condition()
        self._streams: dict[str, int] = {}
        self._sent_bytes: dict[str, int] = {}
        self._ending: set[str] = set()  # files whose last ranges are on their way
        self._open: int | None = None  # connections so far, while they log in for the first sends; None: let them
        self._idle_since: float | None = None

    def reach(self, waiting: Sequence[LedgerFile], *, sharers: int) -> None:
        """Log in, and then, beside whatever comes next, for the other connections that the waiting files can use."""
        self.login_seconds = self.store.reach(sharers)
        if waiting and self.store.logs_in:
            wanted = sum(useful_streams(file.size_bytes, self.rules) for file in waiting)
            more = min(self.rules.connections, wanted) - 1
            folder = waiting[0].path.rpartition("/")[0]
            self._open = 1
            threading.Thread(target=self._open_connections, args=(more, folder), name="logins", daemon=True).start()

    def _open_connections(self, more: int, folder: str) -> None:
        self.stop.wait(LISTING_FIRST_SECONDS)
        self.store.open_connections(more, folder, self._opened)
        self._open = None
        self.wake()

    def _opened(self) -> None:
        with self._news:
            self._open = (self._open or 0) + 1
            self._news.notify_all()

    def wake(self) -> None:
        """A file was downloaded or has ended, or connections came free or are all there."""
        with self._news:
            self._news.notify_all()

    def run(self) -> None:
        """Carry every file to its end; returns when all are there, or when `stop` is set; raises the first error."""
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(2 * self.rules.connections + 1, thread_name_prefix="transfer") as pool:
            try:
                running[pool.submit(self.store.settle)] = ""  # the first hash, while the first file is sent
                while not self.stop.is_set() and not self._finished():
                    in_flight = set(running.values())
                    for file, streams in self._allot(in_flight):
                        self._streams[file.path] = streams
                        future = pool.submit(self._carry, file.path)
                        future.add_done_callback(lambda _: self.wake())
                        running[future] = file.path
                    with self._news:
                        self._news.wait(0.2)
                    for ended in [future for future in running if future.done()]:
                        self._streams.pop(running.pop(ended), None)
                        ended.result()
            finally:
                # An error of one file ends the others too: the pool's threads look at `stop`.
                if not self._finished():
                    self.stop.set()

    def _finished(self) -> bool:
        totals = self.ledger.totals()
        waiting = sum(count for state, (count, _) in totals.items() if state not in ARRIVED)
        unreleased = totals[State.VERIFIED][0] if self.rules.delete else 0
        return waiting + unreleased == 0

    def _allot(self, in_flight: set[str]) -> list[tuple[LedgerFile, int]]:
        """Which files start now, and with how many connections.

        Those that wait for no connection (sent, verified) start at once. While connections log in, those that are there
        serve, but for one for the first hash: a send that finds none waits behind all logins. A file that ends counts
        with half of its own: they come free one by one, and the next file's first bytes are round trips away.
        """
        states = (*WAITING, State.VERIFIED) if self.rules.delete else WAITING
        ready = [file for file in self.ledger.files(*states) if file.path not in in_flight]
        self._check_that_somebody_downloads(bool(ready or in_flight))
        started = [(file, 0) for file in ready if file.state in (State.SENT, State.VERIFIED)]
        sending = [file for file in ready if file.state in (State.DOWNLOADED, State.SENDING)]
        in_use = [n // 2 if path in self._ending else n for path, n in self._streams.items() if n]
        opened = self._open
        free = (self.rules.connections if opened is None else opened - 1) - sum(in_use)
        room = 2 * self.rules.connections - len(in_flight) - len(started)
        return started + share(
            sending, self.rules, in_use=in_use, free=free, room=room, more_to_come=opened is not None
        )

    def _check_that_somebody_downloads(self, busy: bool) -> None:
        if self.rules.alone_wait_seconds is None:
            return
        now = time.monotonic()
        if busy or self._idle_since is None or locks.is_held(self.scratch.root, "download"):
            self._idle_since = now
        elif now - self._idle_since > self.rules.alone_wait_seconds:
            raise TryAgainError(
                "nothing to transfer and no process downloads",
                where=str(self.scratch.root),
                fix="Start `relay run --legs download` on the same --relay-root; the transfer goes on when run again.",
            )

    def _carry(self, path: str) -> None:
        """Walk one file from its state to the last one; every step can be repeated after a kill at any line."""
        tries = 0
        with self.progress.transfer.working():
            while not self.stop.is_set():
                file = self.ledger.file(path)
                try:
                    if not self._step(file):
                        return
                except UnavailableError as error:
                    tries += 1
                    self._again(path, "unavailable", error, tries)
                except _Mismatch:
                    tries += 1
                    self.progress.mismatch()
                    mismatch = BadDataError(
                        "the store's copy has another hash after it was sent", where=f"{self.store.target}/{path}",
                        why=f"expected sha256 {file.sha256}", fix="Check the disks and memory of relay and store.",
                    )  # fmt: skip
                    # A disk that lost power may hold other bytes than were hashed: nothing sent from it would be right.
                    self._digest_anew(file, file.digest_part_bytes)
                    self._again(path, "mismatch", mismatch, tries)
                    self.ledger.set(path, State.DOWNLOADED)

    def _again(self, path: str, reason: str, error: XperienceError, tries: int) -> None:
        if tries > self.rules.retries:
            raise error
        self.progress.transfer.retry(reason)
        self.events.add("transfer_retried", path=path, reason=reason, why=str(error), tries=tries)
        self.stop.wait(min(30.0, 0.2 * 2**tries))

    def _step(self, file: LedgerFile) -> bool:
        """One state on; False at the end of the way."""
        match file.state:
            case State.DOWNLOADED:
                self._start(file)
            case State.SENDING:
                self._finish_sending(file)
            case State.SENT:
                self._verify(file)
            case State.VERIFIED if self.rules.delete:
                self.scratch.release(file.path)
                self.ledger.set(file.path, State.RELEASED)
                self.on_released()
            case _:
                return False
        return True

    def _group(self, path: str) -> str:
        return f"xperience/{path}"

    def _start(self, file: LedgerFile) -> None:
        if not self.scratch.path_of(file.path).exists():
            self.events.add("scratch_copy_missing", path=file.path)
            self.ledger.set(file.path, State.PLANNED)
            raise TryAgainError(
                "a scratch copy has gone", where=file.path, why="somebody deleted it",
                fix="Run again: it is downloaded anew.",
            )  # fmt: skip
        part_bytes = self.store.part_bytes_of(file.size_bytes)
        if file.digest_part_bytes != part_bytes:
            self._digest_anew(file, part_bytes)
        streams = self._streams[file.path] = self._streams[file.path] or 1  # 0: sent before, and now once more
        self.ledger.set(file.path, State.SENDING, execute_id=None, job_id=None)
        job = self.store.start_send(
            self.scratch.data, file.path, size_bytes=file.size_bytes, streams=streams, group=self._group(file.path)
        )
        self.ledger.record(file.path, execute_id=job.execute_id, job_id=job.job_id)
        self.events.add("send_started", path=file.path, streams=streams, job_id=job.job_id, batch=file.batch)

    def _digest_anew(self, file: LedgerFile, part_bytes: int | None) -> None:
        """Hash the scratch copy again: for parts of another size, or because what arrived differs."""
        digests = digest_file(
            self.scratch.path_of(file.path), part_bytes=part_bytes, with_git_sha1=False, ended=self.stop
        )
        if digests is None:
            raise StoppedError("stopped while a scratch copy was hashed", where=file.path)
        if digests.sha256 != file.sha256:
            self.ledger.set(file.path, State.PLANNED)
            raise TryAgainError(
                "a scratch copy has changed", where=file.path, why=f"sha256 {digests.sha256}, was {file.sha256}",
                fix="Run again: it is downloaded anew. If it comes again, check the scratch disk.",
            )  # fmt: skip
        self.ledger.record(
            file.path, md5=digests.md5, multipart_etag=digests.multipart_etag, digest_part_bytes=part_bytes
        )

    def _finish_sending(self, file: LedgerFile) -> None:
        """Follow the job that the ledger names; a job that nobody knows any more is stopped, and the file sent anew."""
        job = JobId(file.execute_id, file.job_id) if file.execute_id and file.job_id is not None else None
        phase = self._follow(file, job) if job else Phase.UNKNOWN
        if phase is Phase.RUNNING:
            return  # stop was set
        self._forget_flow(file.path)
        if phase is Phase.FINISHED:
            self.ledger.set(file.path, State.SENT)
            self._streams[file.path] = 0
            self.wake()
            self.events.add("sent", path=file.path)
            return
        # A kill between start and commit: the copy may be whole already, or some rclone may still write it.
        self.store.stop_group(self._group(file.path))
        verified = self._ask_hash(file)
        if verified is None:
            self.ledger.set(file.path, State.DOWNLOADED)
        else:
            self.store.clean_leftovers([file.path])  # where it was whole before, and the job wrote beside it
            self._commit(file, verified)

    def _follow(self, file: LedgerFile, job: JobId) -> Phase:
        started = time.monotonic()
        while True:
            state = self.store.job(job, self._group(file.path))
            # A finished job has sent the whole file, whatever the mover's statistics say of it by then.
            sent_bytes = file.size_bytes if state.phase is Phase.FINISHED else state.sent_bytes
            new = sent_bytes - self._sent_bytes.get(file.path, 0)
            if new > 0:
                self._sent_bytes[file.path] = sent_bytes
                self.progress.transfer.add(new)
                if sent_bytes >= file.size_bytes and self._streams.get(file.path, 0) > 1:
                    self._ending.add(file.path)
                    self.wake()
            if state.phase is Phase.FAILED:
                self.ledger.set(file.path, State.DOWNLOADED)
                self._forget_flow(file.path)
                raise self.store.error_of(state.error, file.path)
            if state.phase is not Phase.RUNNING:
                return state.phase
            so_far = max(self.login_seconds / 2, time.monotonic() - started)
            most = POLL_SECONDS[1] / 4 if file.path in self._ending else POLL_SECONDS[1]
            if self.stop.wait(min(most, max(POLL_SECONDS[0], POLL_SHARE * so_far))):
                return Phase.RUNNING

    def _forget_flow(self, path: str) -> None:
        self._sent_bytes.pop(path, None)
        self._ending.discard(path)

    def _verify(self, file: LedgerFile) -> None:
        verified = self._ask_hash(file)
        if verified is None:
            raise _Mismatch
        self._commit(file, verified)

    def _ask_hash(self, file: LedgerFile) -> Verified | None:
        with self.progress.verify.working():
            verified = self.store.verify(file.path, _expected(file))
        self.progress.verify.add(file.size_bytes)
        return verified

    def _commit(self, file: LedgerFile, verified: Verified) -> None:
        self.ledger.set(
            file.path, State.VERIFIED, verified_how=verified.how, etag=verified.etag, part_bytes=verified.part_bytes,
            version_id=verified.version_id, execute_id=None, job_id=None,
        )  # fmt: skip
        self.events.add("verified", path=file.path, how=verified.how, sha256=file.sha256)


class _Mismatch(Exception):
    """The store's hash of a file is not the one of the read that matched the hub's."""


def _expected(file: LedgerFile) -> Expected:
    assert file.sha256 is not None  # noqa: S101  every file past downloading has it
    return Expected(file.sha256, file.size_bytes, file.md5, file.multipart_etag, file.digest_part_bytes)
