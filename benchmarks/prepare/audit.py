"""How long a content audit of 128 episodes takes: `python benchmarks/prepare/audit.py [--episodes 128]`.

Episodes have the genuine sizes (annotations of 2 GB) on little disk; `xperience prepare audit` runs as a user starts
it. Their captions are one, so the audit's verdict is `fail`. Prints JSON: wall time, and processor time of the command
without that of its workers, whose parents do not wait for them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from xperience.common.errors import ExitCode
from xperience.common.identity import FileIdentity
from xperience.selection.algorithm import Parameters, select
from xperience.selection.write import document_of
from xperience.standin.genuine import write_genuine_repository


def selection_of(root: Path, episodes: int) -> str:
    """All of the repository as the plan's JSON."""
    listing = [
        FileIdentity(str(path.relative_to(root)), path.stat().st_size, sha256="ab" * 32) for path in root.rglob("*/*/*")
    ]
    parameters = Parameters(target_episodes=episodes, least_annotation_bytes=0, drop_percentile=0)
    plan = document_of(select(listing, parameters), parameters, repo_id="org/genuine", revision="c" * 40)
    return json.dumps(plan.model_dump(mode="json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=128)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_genuine_repository(folder, episodes=arguments.episodes)
        root = folder / "repository"
        (folder / "selection.json").write_text(selection_of(root, arguments.episodes))
        command = [
            sys.executable, "-m", "xperience", "prepare", "audit", "--workspace", temporary, "--data-root",
            str(root), "--selection-json", "selection.json",
        ]  # fmt: skip
        begun = time.monotonic()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begun
        assert done.returncode in (ExitCode.DONE, ExitCode.BAD_DATA), done.stderr
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            json.dumps(
                {
                    "episodes": arguments.episodes,
                    "seconds": round(seconds, 1),
                    "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
