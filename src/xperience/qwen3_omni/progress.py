"""What is Qwen's own of what a run tells: its share of a GPU's peak, and the fingerprint of all that made it."""

import hashlib
import json
from typing import Any

from prometheus_client import Gauge

from xperience.common.metrics import REGISTRY
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni.prompt import template_sha256
from xperience.training.journal import code_sha256

MFU = Gauge("xperience_train_mfu", "Estimated share of an H100's dense bf16 peak.", registry=REGISTRY)

# Settings that say where and how fast, not what comes out; the number of processes is not one of the others either.
ELSEWHERE = frozenset(
    {"log_format", "log_level", "windows", "base", "revision", "output", "loader_workers", "metrics_port", "processes",
     "strategy", "checkpoint_every_steps", "recompute"}
)  # fmt: skip


def fingerprint(settings: Qwen3OmniTrainSettings, *inputs: str) -> str:
    """Hash of `inputs` (windows with their manifest, base model), prompt template, code of this stage and settings."""
    made_by = settings.model_dump(mode="json", exclude=set(ELSEWHERE))
    parts = [*inputs, template_sha256(), code_sha256(__file__), json.dumps(made_by, sort_keys=True)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def step_operations(text_config: Any, tokens: int) -> float:
    """FLOP of a step: 6 per active text parameter and token (forward twice, gradients of inputs)."""
    attention = text_config.hidden_size * text_config.head_dim * 2 * (
        text_config.num_attention_heads + text_config.num_key_value_heads
    )  # fmt: skip
    experts = 3 * text_config.hidden_size * text_config.moe_intermediate_size * text_config.num_experts_per_tok
    return float(6 * tokens * text_config.num_hidden_layers * (attention + experts))
