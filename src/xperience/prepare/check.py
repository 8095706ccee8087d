"""Check what is staged: every file is the one of the manifest, every episode is looked into, usable is counted."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence
from xperience.common.layout import ANNOTATION, TRAINING_FILES
from xperience.common.settings.prepare import PrepareCheckSettings
from xperience.common.shards import Shard
from xperience.common.verdicts import CheckView
from xperience.prepare.facts import Facts
from xperience.prepare.staged import StagedEpisode, StagedFile, hash_file, read_staged
from xperience.prepare.usable import PURPOSES, EpisodeFacts, Purpose, Rules, Verdict, purposes_of, verdict
from xperience.prepare.workers import Look, Workers


class CheckedFile(Facts):
    """A file that could be read; `fault` says why not, or what of it is not as it should be."""

    size_bytes: int | None
    sha256: str | None
    fault: str = ""


class CheckedEpisode(Facts):
    """One episode; `intact`: all seven files are there and, where there is a manifest, are its files."""

    path: str
    intact: bool
    verdict: Verdict
    files: dict[str, CheckedFile]
    unexpected: tuple[str, ...]
    facts: EpisodeFacts


class CheckReport(Evidence):
    """Every episode of the data root, or of one shard of it, by path.

    `hashes`: compared with the transfer manifest, or why not. `usable` counts episodes fit for each of `purposes`;
    `others` are files of the manifest that belong to no episode.
    """

    SCHEMA: ClassVar[str] = CheckView.SCHEMA

    shard: str
    hashes: str
    purposes: tuple[Purpose, ...]
    rules: Rules
    staged: int
    intact: int
    usable: int
    usable_for: dict[str, int]
    size_bytes: int
    episodes: tuple[CheckedEpisode, ...]
    others: dict[str, CheckedFile]

    @property
    def failing(self) -> tuple[CheckedEpisode, ...]:
        """Episodes that are not intact, not fit for every purpose, or hold what does not belong there."""
        return tuple(
            episode
            for episode in self.episodes
            if not episode.intact or episode.unexpected or not set(self.purposes) <= set(episode.verdict.usable_for)
        )

    @property
    def failing_others(self) -> tuple[str, ...]:
        """Other files that are not as the manifest says."""
        return tuple(path for path, file in self.others.items() if file.fault)


def check(
    settings: PrepareCheckSettings, *, shard: Shard, stop: threading.Event,
    done: Callable[[int, int], None] = lambda _episodes, _of: None,
) -> CheckReport:  # fmt: skip
    """Check a data root; `done` hears how many episodes are, of how many.

    `jobs` threads hash, and as many workers look into what was hashed just before: one core each, where there are any.

    Raises UsageError, ConfigurationError, StoppedError, and BadDataError where there is no episode; what is wrong with
    one is its verdict.
    """
    purposes, rules = purposes_of(settings.purposes), Rules(least_valid_share=settings.least_valid_share)
    root = settings.data_root.expanduser()
    found = read_staged(root, settings.transfer_manifest)
    if not found.episodes and not found.others:
        raise BadDataError("no episode", where=str(root), why="no folder in it holds a training file")
    episodes = shard.of(found.episodes)
    others = found.others if shard.index == 0 else ()
    with (
        Workers(
            timeout_seconds=settings.worker_timeout_seconds, memory_bytes=settings.worker_memory_mib << 20
        ) as workers,
        ThreadPoolExecutor(settings.jobs, thread_name_prefix="look") as looking,
        ThreadPoolExecutor(settings.jobs, thread_name_prefix="hash") as hashing,
    ):
        one = _Checker(root, workers, looking, stop)
        begun = {episode.path: one.begin(episode, hashing) for episode in episodes}
        begun_others = {file.path: hashing.submit(one.check, file, None) for file in others}
        checked: list[CheckedEpisode] = []
        try:
            for number, episode in enumerate(episodes, start=1):
                hashed = {name: future.result() for name, future in begun[episode.path].items()}
                results = {name: _Result(file, look.result()) for name, (file, look) in hashed.items()}
                checked.append(_checked(episode, results, rules))
                done(number, len(episodes))
            checked_others = {path: future.result()[0] for path, future in begun_others.items()}
        except BaseException:
            stop.set()
            for pool in (hashing, looking):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
    manifest = found.manifest
    return report_of(
        checked, checked_others, shard=shard.name, purposes=purposes, rules=rules,
        hashes="compared with the transfer manifest" if manifest else f"not compared: {found.why_no_manifest}",
        inputs={"transfer_manifest": manifest.content_sha256} if manifest else {},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Result:
    file: CheckedFile
    look: Look


@dataclass(frozen=True, slots=True)
class _Checker:
    root: Path
    workers: Workers
    looking: ThreadPoolExecutor
    stop: threading.Event

    def begin(
        self, episode: StagedEpisode, hashing: ThreadPoolExecutor
    ) -> dict[str, Future[tuple[CheckedFile, Future[Look]]]]:
        """Every file of an episode, the seven training files whether they are there or not."""
        names = sorted({*TRAINING_FILES, *episode.files})
        return {
            name: hashing.submit(self.check, episode.files.get(name) or StagedFile(f"{episode.path}/{name}"), name)
            for name in names
        }

    def check(self, file: StagedFile, name: str | None) -> tuple[CheckedFile, Future[Look]]:
        """Hash a file, then have it looked into while it lies in the page cache; `name` None: hash alone."""
        try:
            size_bytes, sha256 = hash_file(self.root, file, self.stop)
        except BadDataError as error:
            return CheckedFile(size_bytes=None, sha256=None, fault=str(error)), known(Look(fault=str(error)))
        checked = CheckedFile(size_bytes=size_bytes, sha256=sha256)
        if name not in TRAINING_FILES:
            return checked, known(Look())
        kind: Literal["annotation", "video"] = "annotation" if name == ANNOTATION else "video"
        return checked, self.looking.submit(self.workers.look_at_file, kind, self.root / file.path)


def known(look: Look) -> Future[Look]:
    """An answer that nobody has to be asked for."""
    future: Future[Look] = Future()
    future.set_result(look)
    return future


def _checked(episode: StagedEpisode, results: Mapping[str, _Result], rules: Rules) -> CheckedEpisode:
    facts = EpisodeFacts.of({name: found.look for name, found in results.items()})
    return CheckedEpisode(
        path=episode.path, intact=not any(found.file.fault for found in results.values()),
        verdict=verdict(facts, rules), files={name: found.file for name, found in results.items()},
        unexpected=episode.unexpected, facts=facts,
    )  # fmt: skip


def report_of(
    episodes: list[CheckedEpisode], others: dict[str, CheckedFile], *, shard: str, hashes: str,
    purposes: tuple[Purpose, ...], rules: Rules, inputs: dict[str, str],
) -> CheckReport:  # fmt: skip
    """The report with its counts."""
    files = [file for episode in episodes for file in episode.files.values()] + list(others.values())
    return CheckReport(
        inputs=inputs, shard=shard, hashes=hashes, purposes=purposes, rules=rules, staged=len(episodes),
        intact=sum(episode.intact for episode in episodes),
        usable=sum(episode.intact and set(purposes) <= set(episode.verdict.usable_for) for episode in episodes),
        usable_for={p: sum(e.intact and p in e.verdict.usable_for for e in episodes) for p in PURPOSES},
        size_bytes=sum(file.size_bytes or 0 for file in files), episodes=tuple(episodes), others=others,
    )  # fmt: skip
