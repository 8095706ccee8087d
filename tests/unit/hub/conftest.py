"""A stand-in hub on loopback, a client of it, and a download of all or some of its files."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_parts import RANGE_BYTES, TOKEN, Report, hub_of, tasks_of

from xperience.hub.client import Hub
from xperience.hub.download import Downloaded, Downloader, DownloadTask
from xperience.standin.hub import StandinHub
from xperience.standin.hub_contents import VirtualFile


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandinHub]:
    """Three files of 2 MiB and a bit, a small one, an empty one, and one in a folder with an odd name."""
    root = tmp_path / "repository"
    (root / "a folder é").mkdir(parents=True)
    (root / "readme.txt").write_text("a small file without LFS entry\n")
    (root / "empty.txt").write_bytes(b"")
    (root / "a folder é" / "x#y?.mp4").write_bytes(bytes(range(256)) * 20)
    virtual = {f"big{number}.bin": VirtualFile((2 << 20) + 77 + number, number) for number in range(3)}
    with StandinHub(root, "org/data", virtual=virtual, token=TOKEN) as hub:
        yield hub


@pytest.fixture
def hub(standin: StandinHub) -> Hub:
    return hub_of(standin)


@pytest.fixture
def download(standin: StandinHub, hub: Hub, tmp_path: Path) -> Callable[..., Report]:
    """download(*paths, streams=…, range_bytes=…, retries=…, stop=…, part_bytes=…): to tmp_path/scratch."""

    def run(
        *paths: str,
        streams: int = 4,
        range_bytes: int = RANGE_BYTES,
        retries: int = 3,
        stop: threading.Event | None = None,
        part_bytes: int | None = None,
        tasks: list[DownloadTask] | None = None,
        on_bytes: Callable[[int], None] | None = None,
        report: Report | None = None,
        timeout_seconds: float = 5.0,
    ) -> Report:
        report = report or Report()
        waiting = list(tasks or tasks_of(hub, list(paths), standin.commit, tmp_path / "scratch", part_bytes))

        def note_bytes(count: int) -> None:
            report.bytes += count
            if on_bytes:
                on_bytes(count)

        def note_done(downloaded: Downloaded) -> None:
            report.order.append(downloaded.task.identity.path)
            report.done[downloaded.task.identity.path] = downloaded

        Downloader(
            hub_of(standin, timeout_seconds=timeout_seconds),
            standin.commit,
            streams=streams,
            range_bytes=range_bytes,
            retries=retries,
            stop=stop or threading.Event(),
            on_bytes=note_bytes,
            on_retry=report.retries.append,
            on_mismatch=report.mismatches.append,
        ).run(lambda: waiting.pop(0) if waiting else None, lambda: not waiting, note_done)
        return report

    return run
