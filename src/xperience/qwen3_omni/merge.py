"""The adapter into the base model's weights, file by file: vLLM cannot serve an adapter of a thinker."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from xperience.common.errors import BadDataError

INDEX = "model.safetensors.index.json"


def merge(base: Path, adapter: Path, output: Path) -> dict[str, int]:
    """Write `output`: all of `base`, W + (alpha / r) · B A in place of each adapted weight.

    One file of weights is in memory at a time; sums are made in float32 and stored in the weight's own dtype. Raises
    BadDataError where a tensor of the adapter has no weight, or is of experts.
    """
    config = json.loads((adapter / "adapter_config.json").read_text())
    if config.get("target_parameters"):
        raise BadDataError("the adapter holds experts", where=str(adapter), why="they cannot be merged yet")
    scale = config["lora_alpha"] / config["r"]
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
    pairs = {
        name.removesuffix(".lora_A.weight"): (tensor, tensors[name.replace(".lora_A.", ".lora_B.")])
        for name, tensor in tensors.items() if name.endswith(".lora_A.weight")
    }  # fmt: skip
    left = dict(pairs)
    temporary = output.with_name(f"{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for place in sorted(path for path in base.rglob("*") if path.is_file()):
        target = temporary / place.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix != ".safetensors":
            shutil.copyfile(place, target)
            continue
        with safe_open(place, "pt") as file:
            weights: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        for name in list(weights):
            if (key := _pair_of(name, left)) is not None:
                a, b = left.pop(key)
                merged = weights[name].float() + scale * (b.float() @ a.float())
                weights[name] = merged.to(weights[name].dtype)
        save_file(weights, target, metadata=metadata or {"format": "pt"})
    if left:
        shutil.rmtree(temporary)
        raise BadDataError(
            "weights of the adapter have no place in the base model", where=str(adapter),
            why=f"{len(left)} of {len(pairs)}, such as {next(iter(left))}", fix="Give the base that it was trained on.",
        )  # fmt: skip
    temporary.rename(output)
    return {"merged": len(pairs)}


def _layer(name: str) -> str:
    """`layers.3.self_attn.q_proj` of a text layer: paths before it differ between versions and checkpoints."""
    return name[name.index("layers.") :].removesuffix(".weight")


def _pair_of(name: str, pairs: dict[str, Any]) -> str | None:
    """The adapter's key of a weight of the thinker's text model; None for towers, talker and code2wav."""
    others = ("audio_tower", "visual", "talker", "code2wav", "code_predictor")
    if not name.endswith("_proj.weight") or ".self_attn." not in name or any(part in name for part in others):
        return None
    return next((key for key in pairs if _layer(key) == _layer(name)), None)


def difference(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Largest difference of logits, and the share of positions whose likeliest token is the same."""
    agree = (one.argmax(-1) == other.argmax(-1)).float().mean()
    return float((one.float() - other.float()).abs().max().detach()), float(agree)
