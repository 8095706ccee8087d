"""Time and memory of planning, ledger and status on a whole data set: 12,102 episodes, and 100,000 files without.

    python benchmarks/relay/scale.py

Sizes are drawn from the quantiles that the plan's selection records of all 12,102 complete episodes. Every step is a
process of its own, from its start to its end: wall and CPU seconds, largest resident memory. The limits are held
against CPU seconds, so that a busy machine does not count; `--wall` holds them against wall time.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from xperience.common.layout import TRAINING_FILES
from xperience.selection.document import PinnedFile, PinnedSelection, PlanDocument, RepositorySelection
from xperience.selection.plan_file import read_bytes

EPISODES, FILES = 12_102, 100_000
SPLITS, BANDS = ("train", "val", "test"), ("short", "lower_mid", "upper_mid", "long")
MOST_MIB = 256
LIMITS_SECONDS = {"plan": 10.0, "ledger": 10.0, "status": 1.0}
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# Byte code is kept, as in any installation.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "OMP_NUM_THREADS": "1"
}
# A job on its way: what a running relay asks of its ledger many times a second.
LEDGER = """
import sys, time
from pathlib import Path
from xperience.relay.ledger import Ledger, State
from xperience.relay.plan import plan_batches
from xperience.selection.plan_file import read_selection

batches = plan_batches(read_selection(Path(sys.argv[1])), max_bytes=40 * 2**30, max_episodes=16)
ledger = Ledger(Path(sys.argv[2]) / "relay_ledger.sqlite")
ledger.bind(repository="o/n", revision="0" * 40, store="ssh://u@h/d")
ledger.load(batches)
files = ledger.files()
half = len(files) // 2
with ledger._transaction() as db:
    db.execute("UPDATE file SET state = 'released', sha256 = hub_sha256, verified_how = 'remote openssl',"
               " download_started_at = 1, downloaded_at = 2, send_started_at = 2, verified_at = 3 WHERE position < ?",
               (half,))
"""
ASKED = """
import sys, time
from pathlib import Path
from xperience.relay.ledger import Ledger, State

ledger = Ledger(Path(sys.argv[1]) / "relay_ledger.sqlite")
begun = time.process_time()
for _ in range(20):
    ledger.totals(); ledger.scratch_bytes(); ledger.first(State.PLANNED); ledger.files(State.DOWNLOADED, State.SENDING)
print((time.process_time() - begun) / 20)
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process took; `output` is its stdout."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: int
    output: str


def run(command: list[str]) -> Taken:
    """Run to its end; CalledProcessError where it fails."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, env=ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        output.seek(0)
        text = output.read().decode()
    return Taken(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, text)


def whole_data_set(drawn: random.Random) -> PinnedSelection:
    """Every complete episode, each in a session of its own, every file pinned."""
    plan = PlanDocument.model_validate_json(read_bytes(Path("xperience10m_128_episode_selection.json")))
    recorded = {
        kind: [getattr(getattr(plan, f"{kind}_size_summary_complete"), f"{name}_bytes") for name in (
            "min", "p05", "p25", "median", "p75", "p95", "max")]
        for kind in ("annotation", "training")
    }  # fmt: skip
    episodes, files = [], []
    for number in range(EPISODES):
        place = drawn.random()  # one draw for both: long episodes have long videos
        annotation, training = (at_quantile(recorded[kind], place) for kind in ("annotation", "training"))
        session = str(UUID(int=drawn.getrandbits(128), version=4))
        path = f"{session}/ep1"
        sixth = max(1, (training - annotation) // 6)
        sizes = [annotation] + [sixth] * 6
        names = [f"{path}/{name}" for name in TRAINING_FILES]
        files += [
            PinnedFile(path=name, size_bytes=size, sha256=f"{drawn.getrandbits(256):064x}")
            for name, size in zip(names, sizes, strict=True)
        ]
        episodes.append(
            plan.selected_episodes[0].model_copy(update={
                "episode_path": path, "top_level_session": session, "split": SPLITS[number % 8 // 6 + number % 8 // 7],
                "size_band": BANDS[number % 4], "selection_rank": number + 1, "annotation_bytes": annotation,
                "video_bytes": 6 * sixth, "total_bytes": sum(sizes), "download_files": names,
                "training_bytes_excluding_visualization_rrd": sum(sizes),
            })
        )  # fmt: skip
    summary = plan.selected_summary.model_copy(update={
        "episode_count": EPISODES, "unique_session_count": EPISODES,
        "split_counts": dict(Counter(e.split for e in episodes)),
        "size_band_counts": dict(Counter(e.size_band for e in episodes)),
        "split_band_counts": dict(Counter(f"{e.split}/{e.size_band}" for e in episodes)),
        "estimated_annotation_bytes": sum(e.annotation_bytes for e in episodes),
        "estimated_download_bytes_excluding_visualization_rrd": sum(e.total_bytes for e in episodes),
    })  # fmt: skip
    fields = {name: getattr(plan, name) for name in PlanDocument.model_fields} | {
        "target_episodes": EPISODES, "selected_episodes": episodes, "selected_summary": summary,
        "download_files": [file.path for file in files],
    }  # fmt: skip
    return PinnedSelection(inputs={"selection": "0" * 64}, files=files, **fields)


def at_quantile(recorded: list[int], place: float) -> int:
    """Linear between the recorded quantiles."""
    index = next(i for i in range(1, len(QUANTILES)) if place <= QUANTILES[i])
    share = (place - QUANTILES[index - 1]) / (QUANTILES[index] - QUANTILES[index - 1])
    return int(recorded[index - 1] + share * (recorded[index] - recorded[index - 1]))


def plain_repository(drawn: random.Random) -> RepositorySelection:
    """As many files, no episodes."""
    return RepositorySelection(
        repo_id="org/name", repo_type="dataset", repo_sha="0" * 40, include=[], exclude=[],
        files=[
            PinnedFile(
                path=f"part-{number // 1000:03}/shard-{number:06}.tar", size_bytes=drawn.randrange(1 << 20, 1 << 28),
                sha256=f"{drawn.getrandbits(256):064x}",
            )
            for number in range(FILES)
        ],
    )  # fmt: skip


MAKERS: dict[str, Callable[[random.Random], PinnedSelection | RepositorySelection]] = {
    f"{EPISODES} episodes": whole_data_set,
    f"{FILES} files": plain_repository,
}


def measure(selection: Path, scratch: Path) -> dict[str, Taken]:
    """Plan, ledger and status over one selection."""
    command = [sys.executable, "-m", "xperience", "relay"]
    plan = run(
        [*command, "plan", "--offline", "--json", "--selection-json", str(selection), "--transfer-host", "u@h",
         "--transfer-root", "/d", "--delete-after-transfer"]
    )  # fmt: skip
    ledger = run([sys.executable, "-c", LEDGER, str(selection), str(scratch)])
    status = run([*command, "status", "--json", "--relay-root", str(scratch)])
    asked = run([sys.executable, "-c", ASKED, str(scratch)])
    assert json.loads(status.output)["states"][-1]["files"] == json.loads(plan.output)["files"] // 2
    return {"plan": plan, "ledger": ledger, "status": status, "asked": asked}


def main() -> int:
    """Print one line per step; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wall", action="store_true", help="hold the limits against wall time")
    parser.add_argument("--json", type=Path, help="keep the figures here")
    parser.add_argument("--make", nargs=2, metavar=("WHICH", "FILE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        MAKERS[asked.make[0]](random.Random(7)).write(Path(asked.make[1]))
        return 0
    kept, figures = True, {}
    run([sys.executable, "-m", "xperience", "relay", "status", "--help"])  # what it imports is compiled now
    for name in MAKERS:
        with tempfile.TemporaryDirectory() as folder:
            selection = Path(folder) / "selection.json"
            # Not in this process: a child's largest resident memory is at least its parent's when it was forked.
            run([sys.executable, __file__, "--make", name, str(selection)])
            found = measure(selection, Path(folder) / "scratch")
        print(f"{name}: a running relay's questions to its ledger {float(found.pop('asked').output) * 1e3:.2f} ms CPU")
        for step, taken in found.items():
            seconds = taken.wall_seconds if asked.wall else taken.cpu_seconds
            fine = seconds <= LIMITS_SECONDS[step] and taken.peak_mib <= MOST_MIB
            kept &= fine
            figures[f"{name}: {step}"] = {
                "wall_seconds": round(taken.wall_seconds, 2), "cpu_seconds": round(taken.cpu_seconds, 2),
                "peak_mib": taken.peak_mib,
            }  # fmt: skip
            print(
                f"{name}: {step} {taken.wall_seconds:.2f} s wall, {taken.cpu_seconds:.2f} s CPU"
                f" (limit {LIMITS_SECONDS[step]:g}), {taken.peak_mib} MiB (limit {MOST_MIB}): "
                + ("ok" if fine else "TOO MUCH"),
                flush=True,
            )
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
