"""The adapter into the base model's weights, file by file: vLLM cannot serve an adapter of a thinker."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence
from xperience.common.files import sha256_of_file, sync_folder
from xperience.qwen3_omni.predictions import WEIGHTS

REPORT = "merge.json"
# Parts of the repository that no adapter of the thinker's text model touches.
OTHERS = ("audio_tower", "visual", "talker", "code2wav", "code_predictor")
ADAPTED = re.compile(r"layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.experts\.\d+\.(gate|up|down)_proj)\.weight$")

Tensors = dict[str, torch.Tensor]


class Merge(Evidence):
    """What was merged. Files without an adapted weight are copied byte for byte.

    The comparison is of answers' logits, of base with adapter and of the merged model, each loaded in a process of its
    own; None where it was not asked for.
    """

    SCHEMA: ClassVar[str] = "xperience.qwen3-omni-merge/1"

    merged_weights: int
    rewritten_files: list[str]
    copied_files: list[str]
    dtype: str
    positions: int | None = None
    largest_logit_difference: float | None = None
    argmax_agreement: float | None = None


def merge(base: Path, adapter: Path, output: Path, *, compare: Callable[[Path], dict[str, Any]] | None = None) -> Merge:
    """Write `output`: all of `base`, W + (alpha / r) · B A in place of each adapted weight, and merge.json.

    One file of weights is in memory at a time; sums are made in float32 and stored in the weight's own dtype. `compare`
    is given the merged folder while it still has a temporary name. BadDataError where a tensor of the adapter has no
    weight, or where the adapter is of a kind that this cannot add.
    """
    deltas = Deltas(adapter)
    temporary = output.with_name(f"{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        rewritten: list[str] = []
        copied: list[str] = []
        dtypes: set[str] = set()
        for place in sorted(path for path in base.rglob("*") if path.is_file()):
            name = str(place.relative_to(base))
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            found = _merged(place, temporary / name, deltas) if place.suffix == ".safetensors" else set()
            dtypes |= found
            (rewritten if found else copied).append(name)
            if not found:
                shutil.copyfile(place, temporary / name)
        deltas.check_all_used()
        report = Merge(
            inputs={"adapter": sha256_of_file(adapter / WEIGHTS), "base_config": sha256_of_file(base / "config.json")},
            merged_weights=deltas.used, rewritten_files=rewritten, copied_files=copied, dtype=", ".join(sorted(dtypes)),
            **(compare(temporary) if compare else {}),
        )  # fmt: skip
        report.write(temporary / REPORT)
        temporary.rename(output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(output.parent)
    return report


def _merged(place: Path, target: Path, deltas: "Deltas") -> set[str]:
    """Write the file with its adapted weights merged; dtypes of these, none (and nothing written) without any."""
    with safe_open(place, "pt") as file:
        names = list(file.keys())
        if not any(deltas.has(name) for name in names):
            return set()
        weights: Tensors = {name: file.get_tensor(name) for name in names}
        metadata = file.metadata()
    dtypes = set()
    for name, weight in weights.items():
        if deltas.has(name):
            weights[name] = (weight.float() + deltas.take(name, tuple(weight.shape))).to(weight.dtype)
            dtypes.add(str(weight.dtype).removeprefix("torch."))
    save_file(weights, target, metadata=metadata or {"format": "pt"})
    return dtypes


class Deltas:
    """What an adapter adds to each weight, by `layers.3.self_attn.q_proj`: paths before it differ between versions."""

    def __init__(self, adapter: Path) -> None:
        config = json.loads((adapter / "adapter_config.json").read_text())
        unknown = [name for name in ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern") if config.get(name)]
        if unknown or config.get("bias", "none") != "none":
            raise BadDataError("an adapter of another kind", where=str(adapter), why=", ".join(unknown) or "bias")
        self.adapter, self.scale, self.rank = adapter, config["lora_alpha"] / config["r"], config["r"]
        with safe_open(adapter / WEIGHTS, "pt") as file:
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
        self._pairs = {
            name[name.index("layers.") :].removesuffix(".lora_A.weight"): (
                tensor.float(), tensors[name.replace(".lora_A.", ".lora_B.")].float(),
            )
            for name, tensor in tensors.items() if name.endswith(".lora_A.weight")
        }  # fmt: skip
        self._taken: set[str] = set()
        self.used = 0

    def has(self, name: str) -> bool:
        """Whether this weight of a checkpoint is adapted."""
        match = ADAPTED.search(name)
        if match is None or any(part in name for part in OTHERS):
            return False
        return bool(self._keys(match[0].removesuffix(".weight")))

    def take(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """(out, in) float32 to add to a weight of this shape; BadDataError where the adapter's is another."""
        layer = name[name.index("layers.") :].removesuffix(".weight")
        for key in self._keys(layer):
            a, b = self._pairs[key]
            part = self._of_expert(layer, a, b, shape) if ".experts." in layer else b @ a
            if part is not None and tuple(part.shape) == shape:
                self._taken.add(key)
                self.used += 1
                return self.scale * part
        raise BadDataError("a weight is of another shape than its adapter", where=name, why=str(shape))

    def check_all_used(self) -> None:
        """BadDataError where some of the adapter was not added to anything."""
        left = sorted(set(self._pairs) - self._taken)
        if left:
            raise BadDataError(
                "weights of the adapter have no place in the base model", where=str(self.adapter),
                why=f"{len(left)} of {len(self._pairs)}, such as {left[0]}",
                fix="Give the base that it was trained on.",
            )  # fmt: skip

    def _keys(self, layer: str) -> list[str]:
        """peft puts the two fused parameters of experts one around the other: …experts and …experts.base_layer."""
        inside = layer.partition(".experts.")[0] + ".experts"
        wanted = [inside, f"{inside}.base_layer"] if ".experts." in layer else [layer]
        return [key for key in wanted if key in self._pairs]

    def _of_expert(self, layer: str, a: torch.Tensor, b: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor | None:
        """One expert's part of a fused parameter, as peft's ParamWrapper has it; None where it is the other parameter.

        A is (experts · r, in), B (out, r · experts) with the expert innermost; gate_up_proj is gate above up.
        """
        expert, projection = layer.split(".")[-2:]
        gate_or_up = projection != "down_proj"
        if a.shape[1] != shape[1] or b.shape[0] != shape[0] * (2 if gate_or_up else 1):
            return None
        number, experts = int(expert), a.shape[0] // self.rank
        delta = b.reshape(b.shape[0], self.rank, experts)[:, :, number] @ a.reshape(experts, self.rank, -1)[number]
        if gate_or_up:
            return delta[: shape[0]] if projection == "gate_proj" else delta[shape[0] :]
        return delta
