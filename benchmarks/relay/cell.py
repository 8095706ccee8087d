"""One cell of the table: a store, a hub and one way to carry files between them; prints what it took as JSON.

Run by `run.py` in the store's namespace, with the specification on stdin; the way itself runs in the relay's namespace.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from link import STORE_ADDRESS
from ways import WAYS, Place, Result

from xperience.common.signals import die_with_parent
from xperience.common.transfer import MANIFEST_NAME
from xperience.standin.servers import S3Server, SshServer, end

REPOSITORY = "org/data"
SAMPLE_SECONDS = 0.25


def main() -> None:
    """Read the specification, run the cell."""
    cell = json.load(sys.stdin)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cell["folder"])))
        inside = ("ip", "netns", "exec", cell["relay"])
        hub = start_hub(folder, inside, cell["files"])
        stack.callback(end, hub)
        assert hub.stdout is not None
        endpoint = json.loads(hub.stdout.readline())["endpoint"]
        store: SshServer | S3Server
        if cell["store"] == "ssh":
            store = stack.enter_context(SshServer(folder / "store", address=STORE_ADDRESS))
        else:
            store = stack.enter_context(S3Server(folder / "store", address=STORE_ADDRESS))
        place = Place(folder, inside, endpoint, REPOSITORY, store, cell["budget_gib"])
        place.scratch.mkdir()
        expected = select(place)
        way = WAYS[cell["way"]]
        steps = way.steps(place)
        taken = measure([(name, [*inside, *command]) for name, command in steps], place)
        found = content_of(store)
        figures = {
            **taken,
            "size_bytes": sum(cell["files"].values()),
            "files": len(cell["files"]),
            "whole": all(found.get(path) == digest for path, digest in expected.items()),
            "left_at_scratch_bytes": used_bytes(place.scratch),
            "left_at_store_files": sorted(set(found) - set(expected) - {MANIFEST_NAME})[:5],
            **(way.figures(place) if way.figures else {}),
        }
        print(json.dumps(figures))


def start_hub(folder: Path, inside: tuple[str, ...], files: dict[str, int]) -> "subprocess.Popen[str]":
    """The stand-in hub beside the relay: neither its link nor its share of the processor is what is measured."""
    (folder / "repository").mkdir()
    virtual = [f"--virtual={path}={size}:{seed}" for seed, (path, size) in enumerate(files.items())]
    return subprocess.Popen(
        ["nice", "-n", "19", *inside, sys.executable, "-m", "xperience.standin.hub", "--root",
         str(folder / "repository"), "--repo-id", REPOSITORY, "--gate", "open", *virtual],
        stdout=subprocess.PIPE, text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  it calls prctl and nothing else
    )  # fmt: skip


def select(place: Place) -> dict[str, str]:
    """Write the selection, untimed; path to sha256."""
    command = [*place.inside, sys.executable, "-m", "xperience", "select", "from-repo", "--repo-id", place.repository]
    subprocess.run(
        [*command, "--output", str(place.selection)], check=True, env=place.environment, stdout=subprocess.DEVNULL
    )
    document = json.loads(place.selection.read_text())
    return {file["path"]: file["sha256"] for file in document["files"]}


def measure(steps: list[tuple[str, list[str]]], place: Place) -> Result:
    """Run the steps one after the other; wall and CPU seconds, largest memory of the process tree, largest scratch."""
    peaks = {"rss": 0, "scratch": 0}
    seconds: dict[str, float] = {}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    with (place.folder / "way.log").open("ab") as log:
        for name, command in steps:
            begun = time.monotonic()
            process = subprocess.Popen(
                command, env=place.environment, stdout=log, stderr=log, cwd=place.folder,
                preexec_fn=die_with_parent,  # noqa: PLW1509  it calls prctl and nothing else
            )  # fmt: skip
            ended = threading.Event()
            sampler = threading.Thread(target=sample, args=(process.pid, place.scratch, peaks, ended))
            sampler.start()
            status = process.wait()
            ended.set()
            sampler.join()
            if status:
                tail = (place.folder / "way.log").read_text(errors="replace")[-1500:]
                raise SystemExit(f"{name} ended with {status}: {tail}")
            seconds[name] = round(time.monotonic() - begun, 2)
    wall_seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_seconds": round(wall_seconds, 2), "steps_seconds": seconds, "cpu_seconds": round(cpu, 2),
        "peak_rss_mib": peaks["rss"] >> 20, "peak_scratch_bytes": peaks["scratch"],
    }  # fmt: skip


def sample(pid: int, scratch: Path, peaks: dict[str, int], ended: threading.Event) -> None:
    """Until `ended`: resident memory of the process and its descendants, bytes on scratch."""
    while not ended.wait(SAMPLE_SECONDS):
        peaks["rss"] = max(peaks["rss"], sum(rss_bytes(found) for found in tree_of(pid)))
        peaks["scratch"] = max(peaks["scratch"], used_bytes(scratch))


def tree_of(pid: int) -> list[int]:
    """A process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                waiting.extend(int(text) for text in children.read_text().split())
            except OSError:
                continue
    return found


def rss_bytes(pid: int) -> int:
    """Resident memory; 0 where the process has gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def used_bytes(folder: Path) -> int:
    """Bytes allocated under a folder, while others write there."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118
            except OSError:
                continue
    return total


def content_of(store: SshServer | S3Server) -> dict[str, str]:
    """Path to sha256 of all that lies at the store, read there."""
    found: dict[str, str] = {}
    if isinstance(store, SshServer):
        for path in store.root.rglob("*"):
            if path.is_file():
                with path.open("rb") as handle:
                    found[str(path.relative_to(store.root))] = hashlib.file_digest(handle, "sha256").hexdigest()
        return found
    client: Any = store.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket):
        for item in page.get("Contents", []):
            digest = hashlib.sha256()
            for block in client.get_object(Bucket=store.bucket, Key=item["Key"])["Body"].iter_chunks(1 << 20):
                digest.update(block)
            found[item["Key"].removeprefix("d/")] = digest.hexdigest()
    for upload in client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []):
        found[f"unfinished upload of {upload['Key']}"] = ""
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    shutil.which("ip") or sys.exit("iproute2 is missing")
    main()
