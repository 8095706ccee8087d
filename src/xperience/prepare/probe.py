"""Probe a selection at the hub: which episodes are usable, before any of them is moved."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import ClassVar

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence
from xperience.common.identity import FileIdentity
from xperience.common.layout import ANNOTATION, TRAINING_FILES
from xperience.common.log import get_log
from xperience.common.settings.prepare import PrepareProbeSettings
from xperience.common.verdicts import ProbeView
from xperience.hub.client import Hub
from xperience.hub.fetch import RangeClient
from xperience.prepare.facts import Facts
from xperience.prepare.hub_file import HubFile, Spent
from xperience.prepare.orders import FIRST_BYTES
from xperience.prepare.usable import PURPOSES, EpisodeFacts, Purpose, Rules, Verdict, purposes_of, verdict
from xperience.prepare.workers import Kind, Look, Workers
from xperience.selection.model import SelectedEpisode, Selection

STOP_EVERY_SECONDS = 0.5


class ProbedEpisode(Facts):
    """One episode: the verdict, what it stands on, and what it cost at the hub."""

    path: str
    split: str
    size_band: str
    verdict: Verdict
    facts: EpisodeFacts
    requests: int
    read_bytes: int


class ProbeReport(Evidence):
    """Every episode of the selection, in its order. `usable` counts those fit for each of `purposes`."""

    SCHEMA: ClassVar[str] = ProbeView.SCHEMA

    repo_id: str
    repo_type: str
    revision: str
    purposes: tuple[Purpose, ...]
    rules: Rules
    selected: int
    usable: int
    usable_for: dict[str, int]
    selected_bytes: int
    read_bytes: int
    requests: int
    episodes: tuple[ProbedEpisode, ...]

    @property
    def unusable(self) -> tuple[ProbedEpisode, ...]:
        """Episodes that are not fit for every purpose."""
        return tuple(e for e in self.episodes if not set(self.purposes) <= set(e.verdict.usable_for))


@dataclass(frozen=True, slots=True)
class _Probed:
    """One file."""

    look: Look
    requests: int
    read_bytes: int


def probe(
    settings: PrepareProbeSettings, selection: Selection, hub: Hub, *, stop: threading.Event,
    done: Callable[[int], None] = lambda _episodes: None,
) -> ProbeReport:  # fmt: skip
    """Probe every episode, `download_streams` requests at a time; `done` hears how many are.

    Raises RefusedError and UnavailableError of the hub, and StoppedError; what is wrong with a file is its verdict.
    """
    purposes, rules = purposes_of(settings.purposes), Rules(least_valid_share=settings.least_valid_share)
    if not selection.episodes:
        raise BadDataError("selection has no episodes", where=str(settings.selection_json), why="it is a repository's")
    client = RangeClient(
        hub, selection.revision, streams=settings.download_streams, retries=settings.hub_retries, ended=stop,
        on_bytes=lambda _count: None, on_retry=lambda reason: get_log().warning("probe_retry", reason=reason),
    )  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(closing(client))
        workers = stack.enter_context(
            Workers(timeout_seconds=settings.worker_timeout_seconds, memory_bytes=settings.worker_memory_mib << 20)
        )
        # The workers' process loads its libraries meanwhile.
        hub.resolve_revision(selection.revision)
        identities = _identities(selection, hub)
        looking = stack.enter_context(ThreadPoolExecutor(settings.download_streams, thread_name_prefix="look"))
        fetching = stack.enter_context(ThreadPoolExecutor(settings.download_streams, thread_name_prefix="fetch"))
        one = _Prober(hub, selection.revision, client, workers, fetching, identities)
        futures = {episode.path: one.begin(episode, looking) for episode in selection.episodes}
        episodes = []
        try:
            for number, episode in enumerate(selection.episodes, start=1):
                for future in futures[episode.path].values():
                    while not wait([future], timeout=STOP_EVERY_SECONDS).done:
                        if stop.is_set():
                            client.interrupt()  # a silent connection would hold it for the hub's whole timeout
                found = {name: future.result() for name, future in futures[episode.path].items()}
                episodes.append(_probed(episode, found, rules))
                done(number)
        except BaseException:
            looking.shutdown(wait=False, cancel_futures=True)
            raise
    return _report(selection, purposes, rules, tuple(episodes))


def _identities(selection: Selection, hub: Hub) -> dict[str, FileIdentity]:
    """Size of every file, by the selection where it is pinned, else by one call per thousand files."""
    if not selection.pinned:
        return hub.identities([file.path for file in selection.files], selection.revision)
    return {
        file.path: FileIdentity(file.path, file.size_bytes or 0, file.sha256, file.git_sha1) for file in selection.files
    }


@dataclass(frozen=True, slots=True)
class _Prober:
    hub: Hub
    revision: str
    client: RangeClient
    workers: Workers
    fetching: Executor
    identities: dict[str, FileIdentity]

    def begin(self, episode: SelectedEpisode, looking: Executor) -> dict[str, Future[_Probed]]:
        """Each file of an episode is looked at by itself; the annotation first, since it takes longest."""
        spent = Spent()
        return {name: looking.submit(self._look, f"{episode.path}/{name}", name, spent) for name in TRAINING_FILES}

    def _look(self, path: str, name: str, spent: Spent) -> _Probed:
        identity = self.identities.get(path)
        if identity is None:
            return _Probed(Look(fault="not at the hub"), 0, 0)
        files: list[HubFile] = []

        def sibling(other: str) -> bytes | None:
            place = f"{path.removesuffix(name)}{other}"
            spent.spend(1, 0, place)
            found = self.hub.identities([place], self.revision).get(place)
            if found is None:
                return None
            files.append(HubFile(self.client, found, spent, self.fetching))
            return files[-1].read_ranges([(0, found.size_bytes)])[0] if found.size_bytes else b""

        try:
            kind: Kind = "annotation" if name == ANNOTATION else "video"
            files.append(HubFile(self.client, identity, spent, self.fetching).begin((0, FIRST_BYTES[kind])))
            found = self.workers.look_at_ranges(kind, files[0], sibling)
        except BadDataError as error:
            found = Look(fault=str(error))
        return _Probed(found, sum(file.requests for file in files), sum(file.read_bytes for file in files))


def _probed(episode: SelectedEpisode, found: dict[str, _Probed], rules: Rules) -> ProbedEpisode:
    facts = EpisodeFacts.of({name: file.look for name, file in found.items()})
    return ProbedEpisode(
        path=episode.path, split=episode.split, size_band=episode.size_band, verdict=verdict(facts, rules),
        facts=facts, requests=sum(file.requests for file in found.values()),
        read_bytes=sum(file.read_bytes for file in found.values()),
    )  # fmt: skip


def _report(
    selection: Selection, purposes: tuple[Purpose, ...], rules: Rules, episodes: tuple[ProbedEpisode, ...]
) -> ProbeReport:
    parent = {"selection_parent": selection.parent_sha256} if selection.parent_sha256 else {}
    return ProbeReport(
        inputs={"selection": selection.source_sha256, **parent},
        repo_id=selection.repo_id, repo_type=selection.repo_type, revision=selection.revision,
        purposes=purposes, rules=rules, selected=len(episodes),
        usable=sum(set(purposes) <= set(episode.verdict.usable_for) for episode in episodes),
        usable_for={p: sum(p in episode.verdict.usable_for for episode in episodes) for p in PURPOSES},
        selected_bytes=selection.size_bytes, read_bytes=sum(episode.read_bytes for episode in episodes),
        requests=sum(episode.requests for episode in episodes), episodes=episodes,
    )  # fmt: skip
