"""Bring what the store holds to a folder: the way of data from S3 to the volume that training reads.

The same ledger and the same rule as on the way there: a file gets its name only after its sha256 is the transfer
manifest's. A kill -9 costs the files in flight.
"""

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from xperience.common.errors import BadDataError, NoSpaceError, StoppedError, UnavailableError
from xperience.common.files import sha256_of_file, sync_folder, write_atomic
from xperience.common.settings.relay import RelayPullSettings
from xperience.common.shards import Shard
from xperience.common.sizes import human_bytes
from xperience.common.transfer import MANIFEST_NAME, TransferManifest
from xperience.relay.events import Events
from xperience.relay.ledger import ARRIVED, Ledger, LedgerFile, State
from xperience.relay.locks import hold_leg
from xperience.relay.plan import plan_batches
from xperience.relay.progress import Progress
from xperience.selection.model import SelectedFile, Selection
from xperience.selection.refusals import check_paths
from xperience.selection.shards import share_of
from xperience.store.base import Phase, Store

STATE_FOLDER = ".xperience-pull"
POLL_SECONDS = 0.2


class Pull:
    """One share of the store's files on their way to `data_root`."""

    def __init__(
        self, settings: RelayPullSettings, store: Store, shard: Shard, stop: threading.Event,
        show: Callable[[int, int], None] = lambda _there_bytes, _size_bytes: None,
    ) -> None:  # fmt: skip
        self.root = settings.data_root.expanduser().absolute()
        self.store, self.shard, self.stop, self.show = store, shard, stop, show
        self.there_bytes = self.size_bytes = 0
        self.connections, self.retries = settings.chunk_parallel, settings.store_retries
        self.folder = self.root / STATE_FOLDER / f"{shard.index}-of-{shard.count}"
        self.incoming = self.folder / "incoming"
        self.progress = Progress()

    def run(self) -> bool:
        """Bring every file of the share; whether the manifest is there too, since no file of any share is missing.

        Raises BadDataError without a manifest at the store or where a file differs twice; NoSpaceError,
        UnavailableError, StoppedError.
        """
        raw = self.store.read_bytes(MANIFEST_NAME)
        if raw is None:
            raise BadDataError(
                "the store has no transfer manifest", where=f"{self.store.target}/{MANIFEST_NAME}",
                why="it is written last, so the relay has not ended", fix="Run the relay to its end first.",
            )  # fmt: skip
        place = f"{self.store.target}/{MANIFEST_NAME}"
        manifest = TransferManifest.parse(raw, where=place)
        try:
            check_paths(file.path for file in manifest.files)
        except BadDataError as error:
            raise BadDataError(
                "the store's manifest is not to be followed", where=place, why=str(error),
                fix="No relay writes such a path: find out who did.",
            ) from error  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        with hold_leg(self.folder, "download", wait_seconds=90.0, stop=self.stop):
            self.ledger = Ledger(self.folder / "ledger.sqlite")
            self.events = Events(self.folder / "events.jsonl")
            try:
                self._load(manifest)
                self._bring()
                self.there_bytes, self.size_bytes = self._totals()
            finally:
                self.ledger.close()
                self.events.close()
        return self._finish(manifest, raw)

    def _totals(self) -> tuple[int, int]:
        """Bytes there, and bytes of the share."""
        totals = self.ledger.totals()
        return sum(totals[state][1] for state in ARRIVED), sum(size for _, size in totals.values())

    def _load(self, manifest: TransferManifest) -> None:
        share = share_of(selection_of(manifest), self.shard)
        self.ledger.bind(repository=manifest.repo_id, revision=manifest.revision, store=self.store.target)
        self.ledger.load(plan_batches(share, max_bytes=float("inf"), max_episodes=len(share.files) + 1))
        for file in self.ledger.files():
            there = (self.root / file.path).is_file() and (self.root / file.path).stat().st_size == file.size_bytes
            if file.state in ARRIVED and not there:
                self.ledger.set(file.path, State.PLANNED)
            elif file.state not in ARRIVED and there and sha256_of_file(self.root / file.path) == file.hub_sha256:
                self.ledger.set(file.path, State.VERIFIED, sha256=file.hub_sha256, verified_how="sha256 of the file")
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.there_bytes, self.size_bytes = self._totals()
        free_bytes, missing_bytes = shutil.disk_usage(self.root).free, self.size_bytes - self.there_bytes
        if free_bytes < missing_bytes:
            raise NoSpaceError(
                "the data root has no room", where=str(self.root),
                why=f"{human_bytes(free_bytes)} free, {human_bytes(missing_bytes)} to come",
                fix="Give it a larger volume.",
            )  # fmt: skip

    def _bring(self) -> None:
        wanted = [file for file in self.ledger.files() if file.state not in ARRIVED]
        at_once = max(1, min(self.connections, len(wanted)))
        with ThreadPoolExecutor(at_once, thread_name_prefix="pull") as pool:
            begun = [pool.submit(self._one, file, max(1, self.connections // at_once)) for file in wanted]
            try:
                for future in as_completed(begun):
                    future.result()
                    self.show(*self._totals())
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _one(self, file: LedgerFile, streams: int) -> None:
        for tries in range(1, self.retries + 2):
            try:
                self._copy(file, streams)
                self._take(file)
            except (UnavailableError, BadDataError) as error:
                if tries > self.retries or (isinstance(error, BadDataError) and tries > 1):
                    raise
                self.progress.download.retry(type(error).__name__)
                self.events.add("pull_retried", path=file.path, why=str(error), tries=tries)
                self.stop.wait(min(30.0, 0.5 * 2.0**tries))
            else:
                return

    def _copy(self, file: LedgerFile, streams: int) -> None:
        """Store to `incoming`."""
        if self.stop.is_set():
            raise StoppedError("stopped", where=file.path, fix="Run the same command again: it goes on.")
        self.ledger.set(file.path, State.DOWNLOADING)
        self.incoming.mkdir(parents=True, exist_ok=True)
        group = f"pull/{self.shard.index}-of-{self.shard.count}/{file.path}"
        with self.progress.download.working():
            job = self.store.start_fetch(
                self.incoming, file.path, size_bytes=file.size_bytes, streams=streams, group=group
            )
            while (state := self.store.job(job, group)).phase is Phase.RUNNING:
                if self.stop.wait(POLL_SECONDS):
                    self.store.stop_group(group)
                    raise StoppedError("stopped", where=file.path, fix="Run the same command again: it goes on.")
        if state.phase is Phase.UNKNOWN:
            raise UnavailableError("rclone was started anew", where=file.path)
        if state.phase is Phase.FAILED:
            raise self.store.error_of(state.error, file.path)

    def _take(self, file: LedgerFile) -> None:
        """Hash, then rename: what has its name is right."""
        copy = self.incoming / file.path
        found = sha256_of_file(copy)
        if found != file.hub_sha256:
            copy.unlink()
            self.progress.mismatch()
            raise BadDataError(
                "a file of the store is not that of its manifest", where=f"{self.store.target}/{file.path}",
                why=f"sha256 {found}, {file.hub_sha256} in the manifest", fix="Ask `xperience relay verify`.",
            )  # fmt: skip
        place = self.root / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        copy.replace(place)
        sync_folder(place.parent)
        self.ledger.set(file.path, State.VERIFIED, sha256=found, verified_how="sha256 of the copy")
        self.progress.download.add(file.size_bytes)
        self.events.add("pulled", path=file.path, sha256=found)

    def _finish(self, manifest: TransferManifest, raw: bytes) -> bool:
        """The manifest goes last, by whichever shard finds every file there."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        for file in manifest.files:
            place = self.root / file.path
            if not place.is_file() or place.stat().st_size != file.size_bytes:
                return False
        write_atomic(self.root / MANIFEST_NAME, raw)
        return True


def selection_of(manifest: TransferManifest) -> Selection:
    """The manifest's files as a selection, to plan and to cut by bytes; episodes do not matter to a copy."""
    files = tuple(SelectedFile(file.path, file.size_bytes, file.sha256) for file in manifest.files)
    return Selection(
        manifest.repo_id,
        manifest.repo_type,
        manifest.revision,
        files,
        episodes=(),
        source_sha256=manifest.content_sha256,
    )


def wait_for_manifest(root: Path, *, seconds: float, stop: threading.Event) -> bool:
    """Wait until the other shards have brought their files too; False where that takes longer."""
    deadline = time.monotonic() + seconds
    while not (root / MANIFEST_NAME).exists():
        if time.monotonic() > deadline:
            return False
        if stop.wait(1.0):
            raise StoppedError(
                "stopped while waiting for the other shards", where=str(root),
                fix="Run the same command again: it goes on.",
            )  # fmt: skip
    return True
