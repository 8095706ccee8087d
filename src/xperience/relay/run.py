"""A run: plan into the ledger, both legs side by side, the manifest last, and a summary however it ends."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xperience.common.errors import StoppedError, UnavailableError, XperienceError
from xperience.common.evidence import now_utc
from xperience.common.settings.relay import RelayRunSettings
from xperience.common.shards import shard_of
from xperience.common.sizes import GIB, MIB
from xperience.common.transfer import MANIFEST_NAME, TransferManifest, TransferredEpisode
from xperience.hub.client import Hub
from xperience.relay.connections import TransferRules
from xperience.relay.download_leg import DownloadLeg, DownloadRules
from xperience.relay.events import Events
from xperience.relay.ledger import ARRIVED, Ledger, LedgerFile, State
from xperience.relay.locks import hold_leg, is_held
from xperience.relay.manifest import TransferManifestPart, merge, part_name, transferred
from xperience.relay.opening import save_settings
from xperience.relay.plan import Batch, check_parts, check_scratch, plan_batches
from xperience.relay.progress import ETA, FILES, Progress
from xperience.relay.scratch import Budget, Scratch
from xperience.relay.summary import RelaySummary, Status, summarise
from xperience.relay.transfer_leg import TransferLeg
from xperience.relay.verify import read_parts, rebuild
from xperience.selection.model import Selection
from xperience.selection.shards import share_of
from xperience.store.base import Store

SUMMARY_NAME = "relay_summary.json"
EVENTS_NAME = "relay_events.jsonl"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a person wants to see of a running relay."""

    files: dict[State, tuple[int, int]]
    size_bytes: int
    arrived_bytes: int
    download_rate: float
    transfer_rate: float
    downloading: int
    transferring: int
    scratch_bytes: int
    budget_bytes: int
    eta_seconds: float | None


def batches_of(selection: Selection, settings: RelayRunSettings) -> tuple[Batch, ...]:
    """The plan's batches under these settings."""
    return plan_batches(selection, max_bytes=settings.batch_max_gib * GIB, max_episodes=settings.batch_max_episodes)


def configured_budget_bytes(settings: RelayRunSettings) -> int:
    """Scratch for one batch, unless said otherwise."""
    return int((settings.scratch_budget_gib or settings.batch_max_gib) * GIB)


class Relay:
    """One run of the relay, of one shard of the selection; `run` returns the summary or raises after writing it."""

    def __init__(
        self, settings: RelayRunSettings, selection: Selection, hub: Hub, store: Store,
        show: Callable[[Snapshot], None] = lambda _snapshot: None,
    ) -> None:  # fmt: skip
        self.settings, self.hub, self.store, self.show = settings, hub, store, show
        self.shard = shard_of(settings.shard, 1)
        self.selection = share_of(selection, self.shard)
        self.scratch = Scratch(settings.relay_root.expanduser().absolute())
        self.progress = Progress()
        self.progress.note_deadline(settings.deadline_seconds)
        self.stop = threading.Event()
        self.legs = ("download", "transfer") if settings.legs == "both" else (settings.legs,)

    def run(self, asked_to_stop: threading.Event) -> RelaySummary:
        """Run the legs to their end. Errors and a stop end the summary as failed or stopped, with the cause."""
        settings = self.settings
        with ExitStack() as stack:
            for leg in self.legs:
                stack.enter_context(
                    hold_leg(self.scratch.root, leg, wait_seconds=settings.lock_wait_seconds, stop=asked_to_stop)
                )
            save_settings(settings)
            headroom_bytes = int(settings.headroom_gib * GIB)
            budget_bytes = self.scratch.budget_bytes(configured_budget_bytes(settings), headroom_bytes)
            check_scratch(self.selection, budget_bytes, delete_after_transfer=settings.delete_after_transfer)
            check_parts(self.selection, self.store.part_bytes)
            self.ledger = Ledger(self.scratch.ledger)
            stack.callback(self.ledger.close)
            self.events = Events(self.scratch.root / EVENTS_NAME)
            stack.callback(self.events.close)
            self.budget = Budget(self.scratch, self.ledger, budget_bytes, headroom_bytes)
            self.ledger.bind(
                repository=self.selection.repo_id, repository_type=self.selection.repo_type,
                revision=self.selection.revision, store=self.store.target,
            )  # fmt: skip
            self.ledger.load(batches_of(self.selection, settings))
            try:
                self._write_summary("running", None)
                self._prepare(asked_to_stop)
                self._run_legs(asked_to_stop)
                complete = self._finish()
            except StoppedError as error:
                self._write_summary("stopped", str(error))
                raise
            except XperienceError as error:
                self.events.add("failed", why=str(error), exit_code=int(error.exit_code))
                self._write_summary("failed", str(error))
                raise
            except BaseException as error:
                self._write_summary("failed", repr(error))
                raise
            return self._write_summary("complete" if complete else "downloaded", None)

    def _prepare(self, asked_to_stop: threading.Event) -> None:
        """Find by hash what the store holds already; adopt or delete what lies on scratch."""
        self.events.add(
            "run_started", legs=self.settings.legs, store=self.store.target, files=len(self.selection.files)
        )
        self.transfer = TransferLeg(
            self.ledger, self.scratch, self.store, self.events, self.progress, self._transfer_rules(),
            stop=self.stop, on_released=self._on_released,
        )  # fmt: skip
        if "transfer" in self.legs:
            # Nobody sends these now.
            waiting = self.ledger.files(State.PLANNED, State.DOWNLOADING, State.DOWNLOADED)
            # Relays that share a selection share the store's sshd, and begin together.
            self.transfer.reach(waiting, sharers=self.shard.count)
            if waiting:
                self._look_at_store(waiting, asked_to_stop)
        self.download = DownloadLeg(
            self.hub, self.ledger, self.budget, self.events, self.progress, self._download_rules(),
            stop=self.stop, on_downloaded=self._on_downloaded,
        )  # fmt: skip
        if "download" in self.legs:
            self.download.resume()
            deleted, freed_bytes = self.scratch.sweep(self.ledger, self.budget.budget_bytes)
            if deleted:
                self.events.add("orphans_deleted", files=deleted, freed_bytes=freed_bytes)

    def _look_at_store(self, waiting: Sequence[LedgerFile], asked_to_stop: threading.Event) -> None:
        """Of these files: delete what killed sends left; take those that are there whole.

        A lost ledger, another cut into shards, files that somebody else brought: none of them moves again.
        """
        listing = self.store.listing()
        self.store.clean_leftovers([file.path for file in waiting], listing)
        if "download" in self.legs or not is_held(self.scratch.root, "download"):
            found = rebuild(self.ledger, self.store, listing, self.progress.verify, at_once=4, stop=asked_to_stop)
            if found:
                self.events.add("found_at_store", files=found)

    def _alone_wait_seconds(self) -> float | None:
        return None if self.settings.legs == "both" else self.settings.lock_wait_seconds

    def _download_rules(self) -> DownloadRules:
        return DownloadRules(
            streams=self.settings.download_streams,
            range_bytes=self.settings.download_range_mib * MIB,
            retries=self.settings.hub_retries,
            part_bytes_of=self.store.part_bytes_of,
            alone_wait_seconds=self._alone_wait_seconds(),
        )

    def _transfer_rules(self) -> TransferRules:
        settings = self.settings
        return TransferRules(
            connections=settings.chunk_parallel,
            range_bytes=settings.chunk_size_mib * MIB,
            threshold_bytes=settings.chunk_threshold_mib * MIB,
            chunked=settings.transfer_mode == "chunked",
            retries=settings.store_retries,
            delete=settings.delete_after_transfer,
            alone_wait_seconds=self._alone_wait_seconds(),
        )

    def _on_downloaded(self) -> None:
        self.transfer.wake()

    def _on_released(self) -> None:
        if "download" in self.legs:
            self.download.wake()

    def _run_legs(self, asked_to_stop: threading.Event) -> None:
        errors: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)
                self.stop.set()

        work: dict[str, Callable[[], None]] = {"download": self.download.run, "transfer": self.transfer.run}
        threads = [threading.Thread(target=guarded, args=(work[leg],), name=leg) for leg in self.legs]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                if asked_to_stop.is_set():
                    self.stop.set()
                self._look()
                for thread in threads:
                    thread.join(0.25)
        finally:
            # Whoever looks may fail: no leg works on behind the end of its ledger and of its lock.
            self.stop.set()
            for thread in threads:
                thread.join()
        self._look()
        if errors:
            raise errors[0]
        if asked_to_stop.is_set() and not self._all_done():
            raise StoppedError("stopped", why="SIGTERM or SIGINT", fix="Run the same command again: it goes on.")

    def _all_done(self) -> bool:
        totals = self.ledger.totals()
        ends = ARRIVED if "transfer" in self.legs else tuple(State)[tuple(State).index(State.DOWNLOADED) :]
        return sum(totals[state][0] for state in ends) == sum(count for count, _ in totals.values())

    def _look(self) -> None:
        """Update metrics and what is shown."""
        totals = self.ledger.totals()
        scratch_bytes = self.ledger.scratch_bytes()
        self.progress.note_scratch(
            reserved_bytes=scratch_bytes, budget_bytes=self.budget.budget_bytes, free_bytes=self.scratch.free_bytes(),
            headroom_bytes=self.budget.headroom_bytes,
        )  # fmt: skip
        for leg in (self.progress.download, self.progress.transfer, self.progress.verify):
            leg.note_busy()
        for state, (count, _) in totals.items():
            FILES.labels(state.value).set(count)
        size_bytes = sum(size for _, size in totals.values())
        arrived_bytes = sum(totals[state][1] for state in ARRIVED)
        to_download = totals[State.PLANNED][1] + totals[State.DOWNLOADING][1]
        rates = self.progress.download.rate(), self.progress.transfer.rate()
        left = [
            to_download / rates[0] if rates[0] else None,
            (size_bytes - arrived_bytes) / rates[1] if rates[1] else None,
        ]
        known = [seconds for seconds in left if seconds is not None]
        eta_seconds = max(known) if known else None
        if eta_seconds is not None:
            ETA.set(eta_seconds)
        self.show(
            Snapshot(
                files=totals,
                size_bytes=size_bytes,
                arrived_bytes=arrived_bytes,
                download_rate=rates[0],
                transfer_rate=rates[1],
                downloading=self.progress.download.active,
                transferring=self.progress.transfer.active,
                scratch_bytes=scratch_bytes,
                budget_bytes=self.budget.budget_bytes,
                eta_seconds=eta_seconds,
            )
        )

    def _finish(self) -> bool:
        """Write the transfer manifest to the store where every file has arrived; False where only a leg has ended."""
        if "transfer" not in self.legs:
            return False
        about: dict[str, Any] = {
            "generated_at": now_utc(),
            "inputs": {
                "selection": self.selection.source_sha256,
                **({"selection_parent": self.selection.parent_sha256} if self.selection.parent_sha256 else {}),
            },
            "repo_id": self.selection.repo_id,
            "repo_type": self.selection.repo_type,
            "revision": self.selection.revision,
            "store": self.store.target,
            "files": sorted((transferred(file) for file in self.ledger.files()), key=lambda file: file.path),
            "episodes": [
                TransferredEpisode(path=e.path, split=e.split, size_band=e.size_band, rank=e.rank)
                for e in sorted(self.selection.episodes, key=lambda episode: episode.path)
            ],
        }
        # A send that was not interrupted leaves nothing behind; what was there before the first is gone already.
        interrupted = [file.path for file in self.ledger.files() if file.sends > 1]
        with ThreadPoolExecutor(1) as pool:  # a listing and a small file take seconds each on a long way
            cleaned = pool.submit(self.store.clean_leftovers, interrupted)
            self._put_manifests(about)
            cleaned.result()
        return True

    def _put_manifests(self, about: dict[str, Any]) -> None:
        if self.shard.count == 1:
            self._put_manifest(TransferManifest(**about))
            return
        part = TransferManifestPart(**about, shard=self.shard.index, shards=self.shard.count)
        self._put(part, part_name(self.shard))
        parts = read_parts(self.store, part)
        if len(parts) == self.shard.count:
            self._put_manifest(merge(parts))
        else:
            self.events.add("waits_for_shards", there=len(parts), of=self.shard.count)

    def _put_manifest(self, manifest: TransferManifest) -> None:
        self._put(manifest, MANIFEST_NAME)
        self.events.add("manifest_written", path=MANIFEST_NAME, files=len(manifest.files))

    def _put(self, artefact: TransferManifest | TransferManifestPart, name: str) -> None:
        """Write to scratch and to the store."""
        local: Path = self.scratch.root / name
        artefact.write(local)
        raw = local.read_bytes()
        try:
            self.store.put_bytes(name, raw)
        except UnavailableError:
            # Two shards that end together write the same bytes; one of them may find its temporary name gone.
            if self.store.read_bytes(name) != raw:
                raise

    def _write_summary(self, status: Status, cause: str | None) -> RelaySummary:
        job = {**self.ledger.job(), "selection_sha256": self.selection.source_sha256}
        summary = summarise(status, cause, job, self.ledger, self.progress, self.budget)
        name = SUMMARY_NAME if self.settings.legs == "both" else f"relay_summary_{self.settings.legs}.json"
        summary.write(self.scratch.root / name)
        if status != "running":
            self.events.add("run_ended", status=status, arrived_files=summary.arrived_files, overlap=summary.overlap)
        return summary
