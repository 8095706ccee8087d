"""Build windows: media of the shard's episodes, a process for each, then, when all media are there, the index."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from xperience.common.errors import FULL, BadDataError, NoSpaceError, StoppedError, TryAgainError
from xperience.common.log import get_log
from xperience.common.settings.windows import WindowsBuildSettings
from xperience.common.shards import Shard
from xperience.windows.dataset import ARTEFACT, WindowsDataset, assemble
from xperience.windows.media import EpisodeMedia, finished
from xperience.windows.recipe import LabelRecipe, MediaRecipe
from xperience.windows.source import SourceEpisode, Sources, read_sources
from xperience.windows.worker import Answer, Order

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did: media that it made, media that were there; `dataset` is None until all shards have theirs."""

    made: int
    found: int
    missing: int
    dataset: WindowsDataset | None


def build(
    settings: WindowsBuildSettings, *, shard: Shard, stop: threading.Event,
    done: Callable[[str, int, int], None] = lambda _what, _episodes, _of: None,
) -> Built:  # fmt: skip
    """Build what is missing. Raises BadDataError, NoSpaceError, StoppedError, and TryAgainError for a lone --merge.

    Whichever shard finds that no media are missing writes the index: its content is the same whoever writes it.
    """
    media, labels = MediaRecipe.of(settings), LabelRecipe.of(settings)
    sources = read_sources(settings.manifest_json.expanduser(), settings.data_root)
    output = settings.windows.expanduser()
    output.mkdir(parents=True, exist_ok=True)
    mine = () if settings.merge else shard.of(sources.episodes)
    todo = [episode for episode in mine if finished(output, episode, media) is None]
    _build_all(output, todo, media, settings.jobs, stop, lambda number: done("media", number, len(todo)))
    markers = [finished(output, episode, media) for episode in sources.episodes]
    missing = [episode for episode, marker in zip(sources.episodes, markers, strict=True) if marker is None]
    dataset = None
    if not missing:
        dataset = _assembled(
            output, sources, [marker for marker in markers if marker], labels, media, settings, stop, done
        )
    elif settings.merge:
        raise TryAgainError(
            "media are missing", where=missing[0].path, why=f"{len(missing)} of {len(markers)} episodes",
            fix="Wait for all shards of `windows build`, or run the one that failed again.",
        )  # fmt: skip
    return Built(made=len(todo), found=len(mine) - len(todo), missing=len(missing), dataset=dataset)


def _assembled(
    output: Path, sources: Sources, markers: Sequence[EpisodeMedia], labels: LabelRecipe, media: MediaRecipe,
    settings: WindowsBuildSettings, stop: threading.Event, done: Callable[[str, int, int], None],
) -> WindowsDataset:  # fmt: skip
    """The artefact, written; NoSpaceError where the disk is full."""

    def labelled(number: int) -> None:
        if stop.is_set():
            raise StoppedError("stopped before the index", where=str(output), fix="Run the same command again.")
        done("labels", number, len(sources.episodes))

    try:
        dataset = assemble(
            output, sources, markers, labels=labels, media=media, uncapped_test=settings.uncapped_test, done=labelled
        )
        dataset.write(output / ARTEFACT)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NoSpaceError("no space for the index", where=str(output), why=str(error)) from error
    return dataset


def _build_all(
    output: Path, episodes: Sequence[SourceEpisode], recipe: MediaRecipe, jobs: int, stop: threading.Event,
    done: Callable[[int], None],
) -> None:  # fmt: skip
    """Media of episodes, `jobs` workers at a time; all are tried before the first fault counts."""
    workers = _Workers()
    faults: dict[str, str] = {}
    with ThreadPoolExecutor(jobs, thread_name_prefix="media") as pool:
        running = {
            pool.submit(workers.run, Order(output=output, episode=episode, recipe=recipe)): episode
            for episode in episodes
        }
        while running:
            ended, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            if stop.is_set():
                workers.end()
                raise StoppedError(
                    "stopped before the end", where=str(output), why=f"{len(running)} episodes are left",
                    fix="Run the same command again.",
                )  # fmt: skip
            for future in ended:
                path, answer = running.pop(future).path, future.result()
                if answer.no_space:
                    workers.end()
                    raise NoSpaceError("no space for media", where=str(output), why=answer.fault)
                if answer.fault:
                    faults[path] = answer.fault
                    get_log().error("episode_failed", episode=path, why=answer.fault)
                else:
                    get_log().info(
                        "episode_media_built", episode=path, cpu_seconds=round(answer.cpu_seconds, 1),
                        peak_mib=answer.peak_bytes >> 20,
                    )  # fmt: skip
            done(len(episodes) - len(running))
    if faults:
        path, fault = min(faults.items())
        raise BadDataError(
            f"{len(faults)} of {len(episodes)} episodes give no media", where=path, why=fault,
            fix="The others are done. Check, replace or leave out these episodes; then run the same command again.",
        )  # fmt: skip


class _Workers:
    """Processes that decode one episode each; `end` may be called at any time, and no more are started then."""

    def __init__(self) -> None:
        self._lock, self._ended = threading.Lock(), False
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, order: Order) -> Answer:
        """Start one, wait for it; its death is a fault of the episode."""
        with self._lock:
            if self._ended:
                return Answer(fault="ended")
            process = subprocess.Popen(
                [sys.executable, "-m", "xperience.windows.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._running.add(process)
        answer, _ = process.communicate(order.model_dump_json().encode())
        with self._lock:
            self._running.discard(process)
        if process.returncode == 0:
            return Answer.model_validate_json(answer)
        ended = f"exit code {process.returncode}"
        if process.returncode < 0:
            ended = f"{signal.Signals(-process.returncode).name} (no memory left, or libav or libhdf5 crashed)"
        return Answer(fault=f"the worker that decoded it died of {ended}")

    def end(self) -> None:
        """Kill all: half of a file is no loss, its marker is not written."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()
