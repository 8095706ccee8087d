"""The generator's adapter and heads in the weights of its base model; loaded again by diffusers, and compared."""

import gc
import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence
from xperience.common.files import sha256_of_file
from xperience.cosmos3_nano import lora
from xperience.cosmos3_nano.actions import WIDTHS
from xperience.cosmos3_nano.flow import MODES, Example, domain_id_of, loss_at
from xperience.cosmos3_nano.generator import load_pipeline
from xperience.training.merging import Files, merge_files

REPORT = "cosmos3_nano_merge.json"
PROBED = (0.3, 0.7)  # σ of the comparison
SIDE, FRAMES = 4, 5  # of its latents: four tokens per frame


class Merge(Evidence):
    """What was merged, and how far the losses of a fixed example are from those of base and adapter.

    `relative_difference` is None where it was not asked for. Sums are made in float32 and stored in the weight's own
    dtype, so that it is 0 up to the rounding of that.
    """

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-merge/1"

    merged_weights: int
    rewritten_files: list[str]
    copied_files: list[str]
    dtype: str
    domain_id: int
    relative_difference: float | None = None


class AdapterAndHeads:
    """W + (alpha / r) · B A of each adapted weight; one domain's row of the action heads in place of the base's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            with safe_open(folder / lora.ADAPTER_FILE, "pt") as file:
                told = json.loads(file.metadata()["lora_adapter_metadata"])
                self._lora = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  no dict
            self._heads, self.domain_id = load_file(folder / lora.HEADS_FILE), lora.domain_of(folder)
        except OSError as error:
            raise BadDataError("no adapter of the generator", where=str(folder), why=str(error)[:200]) from error
        if told["use_rslora"] or told["use_dora"] or told["rank_pattern"] or told["alpha_pattern"]:
            raise BadDataError("an adapter of another kind", where=str(folder))
        self._scale = told["lora_alpha"] / told["r"]
        self._left = {name.replace(".lora_A.", ".") for name in self._lora if ".lora_A." in name} | set(self._heads)
        self.used = 0

    def has(self, name: str) -> bool:
        """Whether this weight of a checkpoint is another one with the adapter."""
        return name in self._heads or name.replace(".weight", ".lora_A.weight") in self._lora

    def merged(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """BadDataError where the adapter's is of another shape."""
        self._left.discard(name)
        self.used += 1
        whole = weight.float()
        try:
            if name in self._heads:
                whole[self.domain_id] = self._heads[name]
            else:
                a, b = (self._lora[name.replace(".weight", f".lora_{part}.weight")] for part in "AB")
                whole = whole + self._scale * (b @ a)
        except RuntimeError as error:
            raise BadDataError("a weight is of another shape than its adapter", where=name, why=str(error)) from error
        return whole.to(weight.dtype)

    def check_all_used(self) -> None:
        """BadDataError where some of the adapter has had no weight."""
        if self._left:
            raise BadDataError(
                "weights of the adapter have no place in the base model", where=str(self.folder),
                why=f"{len(self._left)}, such as {min(self._left)}", fix="Give the base that it was trained on.",
            )  # fmt: skip


def merge(base: Path, adapter: Path, output: Path, *, dtype: torch.dtype, compare: bool) -> Merge:
    """Write `output`; `compare` loads it, then base and adapter, one after the other."""
    change = AdapterAndHeads(adapter)
    found: list[Merge] = []

    def conclude(folder: Path, files: Files) -> None:
        difference = None
        if compare:
            of_merged = _probe(load_pipeline(folder, dtype), change.domain_id)
            gc.collect()
            pipeline = load_pipeline(base, dtype)
            lora.load(pipeline.transformer, adapter, change.domain_id)
            of_both = _probe(pipeline, change.domain_id)
            difference = max(abs(one - other) / other for one, other in zip(of_merged, of_both, strict=True))
        found.append(
            Merge(
                inputs={name: sha256_of_file(adapter / name) for name in (lora.ADAPTER_FILE, lora.HEADS_FILE)},
                merged_weights=change.used, rewritten_files=files.rewritten, copied_files=files.copied,
                dtype=", ".join(sorted(files.dtypes)), domain_id=change.domain_id, relative_difference=difference,
            )
        )  # fmt: skip
        found[0].write(folder / REPORT)

    merge_files(base, output, change, conclude)
    return found[0]


def _probe(pipeline: Any, domain_id: int) -> list[float]:
    """Losses of an example of noise in every mode: they hang on every weight that trained."""
    drawn = torch.Generator().manual_seed(0)
    device = pipeline.transformer.device
    width = next(width for domain, width in WIDTHS.items() if domain_id_of(domain) == domain_id)
    latents = torch.randn(1, pipeline.transformer.config.latent_channel, FRAMES, SIDE, SIDE, generator=drawn)
    actions = torch.zeros(4 * (FRAMES - 1), pipeline.transformer.config.action_dim)
    actions[:, :width] = torch.randn(len(actions), width, generator=drawn)
    tokens = pipeline.text_tokenizer("Go on.", add_special_tokens=False)["input_ids"]
    found = []
    with torch.no_grad():
        for mode in MODES:
            example = Example(mode, domain_id, width, latents.to(device), actions.to(device), tokens, 10.0)
            found += [float(loss_at(pipeline, example, sigma=sigma, seed=0)) for sigma in PROBED]
    return found
