"""How fast a check is against `openssl dgst -sha256` on the same files: `python benchmarks/prepare/check.py`.

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

from xperience.prepare.shards import Shard

from xperience.common.settings.prepare import PrepareCheckSettings
from xperience.prepare.check import check
from xperience.standin.genuine import write_genuine_repository

COPY_BYTES = 16 << 20


def write_dense(folder: Path, episodes: int) -> None:
    """The genuine repository without holes: they read faster or slower than data."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as sparse:
        for found in write_genuine_repository(Path(sparse), episodes=episodes):
            target = folder / found.path
            target.mkdir(parents=True)
            for source in (Path(sparse) / "repository" / found.path).iterdir():
                with source.open("rb") as reading, (target / source.name).open("wb") as writing:
                    shutil.copyfileobj(reading, writing, COPY_BYTES)


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
