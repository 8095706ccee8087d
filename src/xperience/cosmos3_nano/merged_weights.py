"""What the adapters of generator and reasoner make of the weights of their base model."""

import json
import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from xperience.common.errors import BadDataError
from xperience.cosmos3_nano import lora
from xperience.training.merging import PeftAdapter


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


class TextTower(PeftAdapter):
    """The reasoner's adapter on weights under the names that diffusers stores them by."""

    def has(self, name: str) -> bool:
        """Whether this weight of a checkpoint is adapted."""
        return _reasoners_name(name) in self.pairs

    def merged(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """BadDataError where the adapter's is of another shape."""
        key = _reasoners_name(name)
        self.take(key)
        a, b = self.pairs[key]
        try:
            return (weight.float() + self.scale * (b @ a)).to(weight.dtype)
        except RuntimeError as error:
            raise BadDataError("a weight is of another shape than its adapter", where=name, why=str(error)) from error


def _reasoners_name(name: str) -> str:
    """`layers.3.self_attn.to_out.weight` of diffusers is `layers.3.self_attn.o_proj` of transformers; else empty."""
    found = re.fullmatch(r"(layers\.\d+\.self_attn)\.to_(q|k|v|out)\.weight", name)
    return f"{found[1]}.{found[2][0]}_proj" if found else ""
