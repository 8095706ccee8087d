"""The launcher: a container's first process, around torchrun, which would turn SIGTERM into exit code 1.

SIGTERM and SIGINT become a stop file that the workers look for at each step; they save and end, and the launcher says
143. What workers raise keeps its exit code, and where another try would end the same torchrun gets none; a worker that
a signal ended gives 128 + N, a lost host 134. Codes from 128 on are worth another try, and a PyTorchJob with
`restartPolicy: ExitCode` makes it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from xperience.common.errors import ExitCode
from xperience.common.files import write_atomic
from xperience.common.signals import die_with_parent, stop_on_signal

STOP_FILE, OUTCOME_FILE = "XPERIENCE_STOP_FILE", "XPERIENCE_OUTCOME_FILE"
POLL_SECONDS = 0.2
# What NCCL's watchdog ends a process with, by SIGABRT.
LOST = 134
FINAL = frozenset({ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.NO_SPACE, ExitCode.REFUSED, ExitCode.CONFIGURATION})


def is_of_a_job() -> bool:
    """Whether the training operator, or Kubeflow's trainer, started this host as one of a job's."""
    return "PET_NNODES" in os.environ


def launch(worker: Sequence[str], *, processes: int) -> tuple[int, str]:
    """Run torchrun around `worker`; returns exit code and message of what ended it.

    PyTorchJob's PET_* variables set nodes, rendezvous and restarts: torchrun reads them. Without them this host is all.
    """
    with tempfile.TemporaryDirectory(prefix="xperience-train-") as folder, stop_on_signal() as asked_to_stop:
        stop_file, outcome_file = Path(folder) / "stop", Path(folder) / "outcome.json"
        environment = os.environ | {STOP_FILE: str(stop_file), OUTCOME_FILE: str(outcome_file)}
        environment.setdefault("OMP_NUM_THREADS", "1")
        arguments = [] if "PET_NPROC_PER_NODE" in environment else [f"--nproc-per-node={processes}"]
        if not any(name in environment for name in ("PET_RDZV_ENDPOINT", "PET_MASTER_ADDR", "PET_NNODES")):
            arguments.append("--standalone")
        # A session of its own: a terminal's Ctrl-C is for the launcher to hand on. It dies with its launcher.
        process = subprocess.Popen(
            [sys.executable, "-m", "xperience.training.torchrun", *arguments, *worker], env=environment,
            start_new_session=True, preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509
        )  # fmt: skip
        while True:
            if asked_to_stop.is_set() and not stop_file.exists():
                stop_file.touch()
            if _outcome(outcome_file).get("exit_code") in FINAL:
                os.killpg(process.pid, signal.SIGKILL)  # the workers die with it
            try:
                code = process.wait(POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        code = 128 - code if code < 0 else code  # torchrun itself was killed
        outcome = _outcome(outcome_file)
        if code == 0 and outcome.get("stopped"):
            kept = "the checkpoint is complete" if outcome["step"] else "there is nothing to keep yet"
            return int(ExitCode.STOPPED), f"stopped after step {outcome['step']}, {kept}"
        if code != 0 and outcome.get("exit_code"):
            return int(outcome["exit_code"]), str(outcome["message"])
        return code, str(outcome.get("message", f"a worker ended with {code}"))


def _outcome(file: Path) -> dict[str, Any]:
    """What a worker has told of its end so far."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def stop_asked() -> bool:
    """Whether the launcher of this host was asked to stop."""
    place = os.environ.get(STOP_FILE, "")
    return bool(place) and Path(place).exists()


def tell_outcome(**outcome: object) -> None:
    """Leave for the launcher how this worker ended; the first process of a host speaks, errors always."""
    if place := os.environ.get(OUTCOME_FILE):
        write_atomic(Path(place), json.dumps(outcome))


def tell_lost(message: str) -> None:
    """Leave that others of the run are lost, unless one of this host has said why it ended: that is the cause."""
    place = os.environ.get(OUTCOME_FILE)
    if place and not _outcome(Path(place)).get("exit_code"):
        tell_outcome(exit_code=LOST, message=message)
