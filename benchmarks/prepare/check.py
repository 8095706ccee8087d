"""How fast a check is against `openssl dgst -sha256` on the same files, and how much of them it reads twice.

`python benchmarks/prepare/check.py`; with `--rounds 0` only what is read is counted.

Writes whole episodes of the genuine sizes (2.36 GB each, on disk) under --folder, unless they lie there. Both read them
in turns, so that both find the page cache as the other left it; the best of all rounds counts, since whatever else the
machine does only adds time. Prints JSON.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from xperience.common.layout import ANNOTATION, VIDEOS
from xperience.common.settings.prepare import PrepareCheckSettings
from xperience.common.shards import Shard
from xperience.prepare.check import check
from xperience.prepare.workers import Workers
from xperience.standin.genuine import FRAMES, VIDEO_BYTES, write_genuine_repository
from xperience.standin.video import pad_video, write_video

COPY_BYTES = 16 << 20


def write_dense(folder: Path, episodes: int) -> None:
    """The genuine repository without holes: they read faster or slower than data, and a demuxer skips them."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        sparse = Path(temporary)
        found = write_genuine_repository(sparse, episodes=episodes)
        write_video(sparse / "thin.mp4", [frame / 20 for frame in range(FRAMES)], seed=0)
        for name in VIDEOS:
            pad_video(sparse / "thin.mp4", sparse / name, VIDEO_BYTES[name])
        for episode in found:
            target = folder / episode.path
            target.mkdir(parents=True)
            for name in (ANNOTATION, *VIDEOS):
                source = sparse / name if name in VIDEOS else sparse / "repository" / episode.path / name
                with source.open("rb") as reading, (target / name).open("wb") as writing:
                    shutil.copyfileobj(reading, writing, COPY_BYTES)


def read_twice(folder: Path) -> dict[str, float]:
    """Bytes that workers read, as a share of the files': of annotations, of videos, of all."""
    read = {"annotation": 0, "video": 0}
    size = dict(read)
    with Workers(timeout_seconds=600, memory_bytes=640 << 20) as workers:
        for path in folder.rglob("*.*"):
            kind = "annotation" if path.name == ANNOTATION else "video"
            look = workers.look_at_file(kind, path)
            assert not look.fault, look.fault
            read[kind] += look.read_bytes
            size[kind] += path.stat().st_size
    shares = {f"{kind}s_read_again": round(read[kind] / size[kind], 4) for kind in read}
    return {**shares, "read_again": round(sum(read.values()) / sum(size.values()), 4)}


def timed(work) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/benchmark-check"))
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = arguments.folder
    if not folder.exists():
        folder.mkdir(parents=True)
        write_dense(folder, arguments.episodes)
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    size_bytes = sum(Path(path).stat().st_size for path in files)

    def by_openssl() -> None:
        subprocess.run(["openssl", "dgst", "-sha256", "-r", *files], check=True, stdout=subprocess.DEVNULL)

    def by_check(jobs: int) -> None:
        settings = PrepareCheckSettings(data_root=folder, jobs=jobs)
        report = check(settings, shard=Shard(), stop=threading.Event())
        assert report.usable == report.staged

    print(json.dumps({"size_bytes": size_bytes, **read_twice(folder)}, indent=2))
    if not arguments.rounds:
        return
    by_openssl()  # both find a warm cache
    rounds = [
        (timed(by_openssl), timed(lambda: by_check(1)), timed(lambda: by_check(2))) for _ in range(arguments.rounds)
    ]
    openssl, one, two = (min(column) for column in zip(*rounds, strict=True))
    rates = {"openssl": openssl, "check_jobs_1": one, "check_jobs_2": two}
    print(
        json.dumps(
            {
                "size_bytes": size_bytes,
                **{f"{name}_mb_per_second": round(size_bytes / seconds / 1e6) for name, seconds in rates.items()},
                "check_jobs_1_of_openssl": round(openssl / one, 2),
                "check_jobs_2_of_openssl": round(openssl / two, 2),
                "rounds_seconds": [[round(seconds, 2) for seconds in found] for found in rounds],
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
