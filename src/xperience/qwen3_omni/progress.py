"""What a run tells: a line of JSON per step, Prometheus metrics of rank 0, and the fingerprint of all that made it."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from xperience.common.metrics import REGISTRY
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni.prompt import template_sha256

TOKENS = Counter("xperience_train_tokens", "Tokens computed by all processes.", registry=REGISTRY)
SUPERVISED = Counter("xperience_train_supervised_tokens", "Supervised tokens of all processes.", registry=REGISTRY)
LOSS = Gauge("xperience_train_loss", "Loss of the last step, mean of its supervised tokens.", registry=REGISTRY)
VALIDATION = Gauge("xperience_train_validation_loss", "Loss of the last validation.", registry=REGISTRY)
STEP = Gauge("xperience_train_step", "Optimiser steps done.", registry=REGISTRY)
STEP_SECONDS = Gauge("xperience_train_step_seconds", "Wall time of the last step.", registry=REGISTRY)
MEMORY = Gauge("xperience_train_memory_bytes", "Peak memory of rank 0's GPU.", registry=REGISTRY)
MFU = Gauge("xperience_train_mfu", "Estimated share of an H100's dense bf16 peak.", registry=REGISTRY)

LOG_SECONDS = 10.0
# Settings that say where and how fast, not what comes out; the number of processes is not one of the others either.
ELSEWHERE = frozenset(
    {"log_format", "log_level", "windows", "base", "revision", "output", "loader_workers", "metrics_port", "processes",
     "strategy", "checkpoint_every_steps", "recompute"}
)  # fmt: skip


def fingerprint(settings: Qwen3OmniTrainSettings, *inputs: str) -> str:
    """Hash of `inputs` (windows with their manifest, base model), prompt template, code of this stage and settings."""
    code = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        code.update(module.name.encode() + b"\0" + module.read_bytes())
    made_by = settings.model_dump(mode="json", exclude=set(ELSEWHERE))
    parts = [*inputs, template_sha256(), code.hexdigest(), json.dumps(made_by, sort_keys=True)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Journal:
    """`metrics.jsonl`; lines of steps behind a resumed checkpoint are dropped, they will be written again."""

    def __init__(self, output: Path, *, after_step: int) -> None:
        self.path = output / "metrics.jsonl"
        output.mkdir(parents=True, exist_ok=True)
        kept = []
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    if json.loads(line)["step"] <= after_step:
                        kept.append(line)
                except (ValueError, KeyError):
                    continue  # half a line of a killed run
        self.path.write_text("".join(f"{line}\n" for line in kept))
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


def step_operations(text_config: Any, tokens: int) -> float:
    """FLOP of a step: 6 per active text parameter and token (forward twice, gradients of inputs)."""
    attention = text_config.hidden_size * text_config.head_dim * 2 * (
        text_config.num_attention_heads + text_config.num_key_value_heads
    )  # fmt: skip
    experts = 3 * text_config.hidden_size * text_config.moe_intermediate_size * text_config.num_experts_per_tok
    return float(6 * tokens * text_config.num_hidden_layers * (attention + experts))
