"""What the adapters of generator and reasoner make of the weights of their base model."""

import json
import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from xperience.common.errors import BadDataError
from xperience.cosmos3_nano import lora
from xperience.training.merging import Adapter, PeftAdapter


class AdapterAndHeads(Adapter):
    """LoRA as diffusers writes it; one domain's row of the action heads in place of the base's."""

    def __init__(self, folder: Path) -> None:
        try:
            with safe_open(folder / lora.ADAPTER_FILE, "pt") as file:
                told = json.loads(file.metadata()["lora_adapter_metadata"])
                self._lora = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  no dict
            self._heads, self.domain_id = load_file(folder / lora.HEADS_FILE), lora.domain_of(folder)
        except OSError as error:
            raise BadDataError("no adapter of the generator", where=str(folder), why=str(error)[:200]) from error
        adapted = {name.replace(".lora_A.", ".") for name in self._lora if ".lora_A." in name}
        super().__init__(folder, told, adapted | set(self._heads))

    def has(self, name: str) -> bool:
        """Whether this weight of a checkpoint is another one with the adapter."""
        return name in self._heads or name.replace(".weight", ".lora_A.weight") in self._lora

    def merged(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """BadDataError where the adapter's is of another shape."""
        self.take(name)
        whole = weight.float()
        try:
            if name in self._heads:
                whole[self.domain_id] = self._heads[name]
            else:
                a, b = (self._lora[name.replace(".weight", f".lora_{part}.weight")] for part in "AB")
                whole = whole + self.scale * (b @ a)
        except RuntimeError as error:
            raise BadDataError("a weight is of another shape than its adapter", where=name, why=str(error)) from error
        return whole.to(weight.dtype)


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
