"""The adapter into the base model's weights, file by file: vLLM cannot serve an adapter of a thinker."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence
from xperience.common.files import sha256_of_file
from xperience.training.merging import ADAPTER_WEIGHTS, Files, PeftAdapter, merge_files

REPORT = "merge.json"
# Parts of the repository that no adapter of the thinker's text model touches.
OTHERS = ("audio_tower", "visual", "talker", "code2wav", "code_predictor")
ADAPTED = re.compile(r"layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.experts\.\d+\.(gate|up|down)_proj)\.weight$")


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
    found: list[Merge] = []

    def conclude(folder: Path, files: Files) -> None:
        found.append(
            Merge(
                inputs={
                    "adapter": sha256_of_file(adapter / ADAPTER_WEIGHTS),
                    "base_config": sha256_of_file(base / "config.json"),
                },
                merged_weights=deltas.used, rewritten_files=files.rewritten, copied_files=files.copied,
                dtype=", ".join(sorted(files.dtypes)), **(compare(folder) if compare else {}),
            )
        )  # fmt: skip
        found[0].write(folder / REPORT)

    merge_files(base, output, deltas, conclude)
    return found[0]


class Deltas(PeftAdapter):
    """What an adapter adds to each weight, by `layers.3.self_attn.q_proj`."""

    def has(self, name: str) -> bool:
        """Whether this weight of a checkpoint is adapted."""
        match = ADAPTED.search(name)
        if match is None or any(part in name for part in OTHERS):
            return False
        return bool(self._keys(match[0].removesuffix(".weight")))

    def merged(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The weight with the adapter added, in its own dtype."""
        return (weight.float() + self.delta(name, tuple(weight.shape))).to(weight.dtype)

    def delta(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """(out, in) float32 to add to a weight of this shape; BadDataError where the adapter's is another."""
        layer = name[name.index("layers.") :].removesuffix(".weight")
        for key in self._keys(layer):
            a, b = self.pairs[key]
            part = self._of_expert(layer, a, b, shape) if ".experts." in layer else b @ a
            if part is not None and tuple(part.shape) == shape:
                self.take(key)
                return self.scale * part
        raise BadDataError("a weight is of another shape than its adapter", where=name, why=str(shape))

    def _keys(self, layer: str) -> list[str]:
        """peft puts the two fused parameters of experts one around the other: …experts and …experts.base_layer."""
        inside = layer.partition(".experts.")[0] + ".experts"
        wanted = [inside, f"{inside}.base_layer"] if ".experts." in layer else [layer]
        return [key for key in wanted if key in self.pairs]

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
