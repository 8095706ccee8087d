"""The launcher: a container's first process, around torchrun, which would turn SIGTERM into exit code 1.

SIGTERM and SIGINT become a stop file that the workers look for at each step; they save and end, and the launcher says
143. What workers raise keeps its exit code. All other endings keep torchrun's.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from xperience.common.errors import ExitCode
from xperience.common.files import write_atomic
from xperience.common.signals import stop_on_signal

STOP_FILE, OUTCOME_FILE = "XPERIENCE_STOP_FILE", "XPERIENCE_OUTCOME_FILE"
POLL_SECONDS = 0.2


def launch(worker: Sequence[str], *, processes: int) -> tuple[int, str]:
    """Run `python -m torch.distributed.run … worker`; returns exit code and message of what ended it.

    PyTorchJob's PET_* variables set nodes, rendezvous and restarts.
    """
    with tempfile.TemporaryDirectory(prefix="xperience-train-") as folder, stop_on_signal() as asked_to_stop:
        stop_file, outcome_file = Path(folder) / "stop", Path(folder) / "outcome.json"
        environment = os.environ | {STOP_FILE: str(stop_file), OUTCOME_FILE: str(outcome_file)}
        environment.setdefault("OMP_NUM_THREADS", "1")
        arguments = [] if "PET_NPROC_PER_NODE" in environment else [f"--nproc-per-node={processes}"]
        if not any(name in environment for name in ("PET_RDZV_ENDPOINT", "PET_MASTER_ADDR", "PET_NNODES")):
            arguments.append("--standalone")
        # A session of its own: a terminal's Ctrl-C is the launcher's to hand on.
        process = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *arguments, *worker], env=environment,
            start_new_session=True,
        )  # fmt: skip
        while True:
            if asked_to_stop.is_set() and not stop_file.exists():
                stop_file.touch()
            try:
                code = process.wait(POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        outcome = json.loads(outcome_file.read_text()) if outcome_file.exists() else {}
        if code == 0 and outcome.get("stopped"):
            return int(ExitCode.STOPPED), f"stopped after step {outcome['step']}, the checkpoint is complete"
        if code != 0 and outcome.get("exit_code"):
            return int(outcome["exit_code"]), str(outcome["message"])
        return code, str(outcome.get("message", f"torchrun ended with {code}"))


def stop_asked() -> bool:
    """Whether the launcher of this host was asked to stop."""
    place = os.environ.get(STOP_FILE, "")
    return bool(place) and Path(place).exists()


def tell_outcome(**outcome: object) -> None:
    """Leave for the launcher how this worker ended; the first process of a host speaks, errors always."""
    if place := os.environ.get(OUTCOME_FILE):
        write_atomic(Path(place), json.dumps(outcome))
