"""A process that downloads files of a hub and prints what happened as JSON lines; its parent kills or measures it."""

import argparse
import json
import os
import resource
import threading
import time
from pathlib import Path

from pydantic import SecretStr

from xperience.hub.client import Hub
from xperience.hub.download import Downloader, DownloadTask


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--range-bytes", type=int, default=1 << 20)
    parser.add_argument("--delete", action="store_true", help="delete each file as soon as it is done")
    parser.add_argument("paths", nargs="+")
    arguments = parser.parse_args()
    hub = Hub("o/d", endpoint=arguments.endpoint, token=SecretStr(os.environ["HF_TOKEN"]), timeout_seconds=30)
    identities = hub.identities(arguments.paths, "main")
    tasks = [DownloadTask(identities[path], arguments.scratch / path, 64 << 20) for path in arguments.paths]
    most_threads = 0

    def done(downloaded) -> None:
        nonlocal most_threads
        most_threads = max(most_threads, threading.active_count())
        print(json.dumps({"done": downloaded.task.identity.path}), flush=True)
        if arguments.delete:
            downloaded.task.destination.unlink()

    begun = time.monotonic()
    Downloader(
        hub, "main", streams=arguments.streams, range_bytes=arguments.range_bytes, retries=3, stop=threading.Event()
    ).run(lambda: tasks.pop(0) if tasks else None, lambda: not tasks, done)
    print(
        json.dumps(
            {
                "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "threads": most_threads,
                "seconds": time.monotonic() - begun,
            }
        )
    )


if __name__ == "__main__":
    main()
