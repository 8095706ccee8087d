"""kill -9 at random moments of a relay, run after run, until the job is whole; then what it cost."""

import random
import shutil
import sqlite3
import subprocess
import time
from dataclasses import dataclass

RANGE_MIB, STREAMS, CONNECTIONS = 1, 8, 4
FLAGS = (
    "--download-range-mib", str(RANGE_MIB), "--download-streams", str(STREAMS), "--chunk-parallel", str(CONNECTIONS),
)  # fmt: skip


@dataclass
class Toll:
    """What a job under fire cost."""

    kills: int = 0
    jobs: int = 0
    repeated_bytes: int = 0
    repeated_sends: int = 0


def whole_size(job) -> int:
    return sum(job.hub.contents.find(path).size_bytes for path in job.hub.contents.paths())


def sends_of(job) -> int:
    with sqlite3.connect(job.scratch / "relay_ledger.sqlite") as ledger:
        return ledger.execute("SELECT sum(sends) FROM file").fetchone()[0]


def check_final_names(job) -> None:
    """Whatever lies under a final name is whole, and the rest has a temporary one."""
    source = job.source()
    for path, digest in job.destination.content().items():
        if path in source:
            assert digest == source[path], path
        else:
            assert path.endswith(".partial") or "xperience-probe" in path, path


def check_released_is_there(job) -> None:
    """What the ledger calls released is right at the store."""
    place = job.scratch / "relay_ledger.sqlite"
    if not place.exists():
        return
    with sqlite3.connect(place) as ledger:
        tables = ledger.execute("SELECT count(*) FROM sqlite_master WHERE name = 'file'").fetchone()[0]
        released = ledger.execute("SELECT path FROM file WHERE state = 'released'").fetchall() if tables else []
    content, source = job.destination.content(), job.source()
    for (path,) in released:
        assert content[path] == source[path], path


def under_fire(
    job, fresh_destination, *, kills: int, seed: int, longest_seconds: float, say=lambda _line: None
) -> Toll:
    """Run and kill until `kills` are done, job after job; each job ends whole, at the price that was promised."""
    drawn, toll = random.Random(seed), Toll()
    while toll.kills < kills:
        job.destination = fresh_destination(toll.jobs)
        shutil.rmtree(job.scratch, ignore_errors=True)
        job.hub.log.reset()
        killed_here = 0
        while True:
            running = job.start(*FLAGS)
            if toll.kills < kills:
                try:
                    running.communicate(timeout=drawn.uniform(0.2, longest_seconds))
                except subprocess.TimeoutExpired:
                    running.kill()
                    running.communicate()
                    toll.kills += 1
                    killed_here += 1
                    check_final_names(job)
                    check_released_is_there(job)
                    continue
            output, errors = running.communicate()
            assert running.returncode == 0, f"{running.returncode}\n{output}\n{errors[-3000:]}"
            break
        job.check_whole()
        repeated_bytes = job.hub.log.served().total_bytes - whole_size(job)
        repeated_sends = sends_of(job) - len(job.source())
        # A stream that was cut had at most one range; a file in flight is sent once more.
        assert repeated_bytes <= killed_here * STREAMS * RANGE_MIB * 2**20, (repeated_bytes, killed_here)
        assert repeated_sends <= killed_here * 2 * CONNECTIONS, (repeated_sends, killed_here)
        toll.jobs += 1
        toll.repeated_bytes += repeated_bytes
        toll.repeated_sends += repeated_sends
        say(
            f"{time.strftime('%H:%M:%S')} job {toll.jobs}: {killed_here} kills, whole at the store, scratch empty; "
            f"{repeated_bytes} bytes downloaded twice, {repeated_sends} files sent twice"
        )
    return toll
