"""How long a probe takes over a long way: `python benchmarks/prepare/probe.py [--episodes 32] [--rtt-ms 100]`.

The stand-in hub runs in a process of its own and waits a round trip at each connection and each request; episodes have
the genuine sizes (2.36 GB) on little disk. Prints JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pydantic import SecretStr

from xperience.common.layout import ANNOTATION, TRAINING_FILES
from xperience.common.settings.prepare import PrepareProbeSettings
from xperience.hub.client import Hub
from xperience.prepare.probe import probe
from xperience.selection.model import SelectedEpisode, SelectedFile, Selection
from xperience.standin.genuine import write_genuine_repository
from xperience.standin.hub import StandinHub

COMMIT, SHA256, TOKEN = "c" * 40, "5" * 64, "hf_benchmark"


def serve(root: Path, rtt_seconds: float) -> None:
    """Until stdin ends."""
    hub = StandinHub(root, "org/genuine", token=TOKEN, revision=COMMIT, latency_seconds=rtt_seconds)
    for path in hub.contents.paths():
        hub.contents.assume(path, SHA256)
    with hub:
        print(hub.endpoint, flush=True)
        sys.stdin.read()


def selection_of(root: Path, paths: list[str]) -> Selection:
    episodes, files = [], []
    for path in paths:
        mine = [
            SelectedFile(f"{path}/{n}", (root / path / n).stat().st_size, SHA256, None, path) for n in TRAINING_FILES
        ]
        size_bytes = sum(file.size_bytes for file in mine)
        annotation_bytes = (root / path / ANNOTATION).stat().st_size
        episodes.append(
            SelectedEpisode(
                path, path.partition("/")[0], "train", "long", 1, size_bytes, annotation_bytes,
                size_bytes - annotation_bytes, tuple(file.path for file in mine),
            )
        )  # fmt: skip
        files += mine
    return Selection("org/genuine", "dataset", COMMIT, tuple(files), tuple(episodes), SHA256)


def measure(endpoint: str, selection: Selection, streams: int) -> dict[str, object]:
    settings = PrepareProbeSettings(hf_endpoint=endpoint, download_streams=streams)
    hub = Hub("org/genuine", endpoint=endpoint, token=SecretStr(TOKEN), timeout_seconds=30, retries=3)
    begun = time.monotonic()
    report = probe(settings, selection, hub, stop=threading.Event())
    seconds = time.monotonic() - begun
    return {
        "episodes": report.selected,
        "usable": report.usable,
        "streams": streams,
        "seconds_per_episode": round(seconds / report.selected, 2),
        "most_requests_of_an_episode": max(episode.requests for episode in report.episodes),
        "share_of_bytes": round(report.read_bytes / report.selected_bytes, 6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--rtt-ms", type=float, default=100)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.rtt_ms / 1000)
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = [found.path for found in write_genuine_repository(Path(folder), episodes=arguments.episodes)]
        root = Path(folder) / "repository"
        command = [sys.executable, __file__, "--serve", str(root), "--rtt-ms", str(arguments.rtt_ms)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            endpoint = server.stdout.readline().strip()
            one, all_of_them = selection_of(root, paths[:1]), selection_of(root, paths)
            results = [measure(endpoint, one, 16), *(measure(endpoint, all_of_them, streams) for streams in (8, 16))]
            server.stdin.close()
        print(json.dumps({"rtt_ms": arguments.rtt_ms, "runs": results}, indent=2))


if __name__ == "__main__":
    main()
