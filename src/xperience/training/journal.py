"""What a run tells: a line of JSON per step, and Prometheus metrics of rank 0."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from xperience.common.files import write_atomic
from xperience.common.metrics import REGISTRY

TOKENS = Counter("xperience_train_tokens", "Tokens computed by all processes.", registry=REGISTRY)
SUPERVISED = Counter("xperience_train_supervised_tokens", "Supervised tokens of all processes.", registry=REGISTRY)
LOSS = Gauge("xperience_train_loss", "Loss of the last step, mean of its supervised tokens.", registry=REGISTRY)
VALIDATION = Gauge("xperience_train_validation_loss", "Loss of the last validation.", registry=REGISTRY)
STEP = Gauge("xperience_train_step", "Optimiser steps done.", registry=REGISTRY)
STEP_SECONDS = Gauge("xperience_train_step_seconds", "Wall time of the last step.", registry=REGISTRY)
MEMORY = Gauge("xperience_train_memory_bytes", "Peak memory of rank 0's GPU.", registry=REGISTRY)

LOG_SECONDS = 10.0


def code_sha256(*modules: str) -> str:
    """Hash of the code beside each of these files and of this package: a checkpoint of other code is another run's."""
    digest = hashlib.sha256()
    for folder in (Path(module).parent for module in (__file__, *modules)):
        for place in sorted(folder.glob("*.py")):
            digest.update(place.name.encode() + b"\0" + place.read_bytes())
    return digest.hexdigest()


class Journal:
    """`metrics.jsonl`; lines of steps behind a resumed checkpoint are dropped, they will be written again."""

    def __init__(self, output: Path, *, after_step: int) -> None:
        self.path = output / "metrics.jsonl"
        kept = []
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    if json.loads(line)["step"] <= after_step:
                        kept.append(line)
                except (ValueError, KeyError):
                    continue  # half a line of a killed run
        write_atomic(self.path, "".join(f"{line}\n" for line in kept))
        self._next_line = 0.0

    def is_due(self) -> bool:
        """Whether the log is to have a line of this step: the first one, then one in ten seconds."""
        due = time.monotonic() >= self._next_line
        if due:
            self._next_line = time.monotonic() + LOG_SECONDS
        return due

    def write(self, event: str, step: int, **values: Any) -> None:
        """One line, on disk at once."""
        with self.path.open("a") as file:
            file.write(json.dumps({"event": event, "step": step, **values}) + "\n")
