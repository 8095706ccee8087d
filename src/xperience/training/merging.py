"""An adapter into the weights of its base model, file by file: one file of weights is in memory at a time."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from xperience.common.errors import BadDataError
from xperience.common.files import sync_folder
from xperience.common.transfer import MANIFEST_NAME

ADAPTER_WEIGHTS = "adapter_model.safetensors"


class Change(Protocol):
    """What an adapter makes of weights."""

    def has(self, name: str) -> bool:
        """Whether this weight of a checkpoint is another one with the adapter."""
        ...

    def merged(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The weight with the adapter in it, in its own dtype."""
        ...

    def check_all_used(self) -> None:
        """BadDataError where some of the adapter has had no weight."""
        ...


class Adapter:
    """LoRA of a folder: W + `scale` · B A of each weight; `used` counts those that it changed.

    BadDataError where its `config` says that it is of a kind that is no such sum.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], parts: Iterable[str]) -> None:
        unknown = [name for name in ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern") if config.get(name)]
        if unknown or config.get("bias", "none") != "none":
            raise BadDataError("an adapter of another kind", where=str(folder), why=", ".join(unknown) or "bias")
        self.folder, self.rank, self.scale = folder, config["r"], config["lora_alpha"] / config["r"]
        self._parts, self._taken = set(parts), set[str]()
        self.used = 0

    def take(self, part: str) -> None:
        """A part has found its weight."""
        self._taken.add(part)
        self.used += 1

    def check_all_used(self) -> None:
        """BadDataError where some of the adapter has had no weight."""
        if left := sorted(self._parts - self._taken):
            raise BadDataError(
                "weights of the adapter have no place in the base model", where=str(self.folder),
                why=f"{len(left)} of {len(self._parts)}, such as {left[0]}",
                fix="Give the base that it was trained on.",
            )  # fmt: skip


class PeftAdapter(Adapter):
    """LoRA as peft writes it: `pairs` of A and B by the module's path from `layers.` on.

    Paths before it differ between versions of transformers.
    """

    def __init__(self, folder: Path) -> None:
        try:
            config = json.loads((folder / "adapter_config.json").read_text())
            with safe_open(folder / ADAPTER_WEIGHTS, "pt") as file:
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  no dict
        except OSError as error:
            raise BadDataError("no adapter of peft", where=str(folder), why=str(error)[:200]) from error
        self.pairs = {
            name[name.index("layers.") :].removesuffix(".lora_A.weight"): (
                tensor, tensors[name.replace(".lora_A.", ".lora_B.")],
            )
            for name, tensor in tensors.items() if name.endswith(".lora_A.weight")
        }  # fmt: skip
        super().__init__(folder, config, self.pairs)


@dataclass
class Files:
    """Names of files under the base, and the dtypes of what was merged."""

    rewritten: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    dtypes: set[str] = field(default_factory=set)


def merge_files(
    base: Path, output: Path, change: Change, conclude: Callable[[Path, Files], None], *, without: str = ""
) -> None:
    """Write `output`: all of `base` but `without`, what the adapter changes merged; files with none of it are copied.

    What says where the base came from is not copied: the relay's manifest and the hub's cache name its revision.
    `conclude` is given the merged folder while it still has a temporary name; nothing stays where it raises.
    """
    temporary = output.with_name(f"{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    files = Files()
    try:
        for place in sorted(path for path in base.rglob("*") if path.is_file()):
            name = str(place.relative_to(base))
            if name in (without, MANIFEST_NAME) or name.startswith(".cache/"):
                continue
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            found = _merged(place, temporary / name, change) if place.suffix == ".safetensors" else set()
            files.dtypes |= found
            (files.rewritten if found else files.copied).append(name)
            if not found:
                shutil.copyfile(place, temporary / name)
        change.check_all_used()
        conclude(temporary, files)
        temporary.rename(output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(output.parent)


def _merged(place: Path, target: Path, change: Change) -> set[str]:
    """Write the file with its adapted weights merged; dtypes of these, none (and nothing written) without any."""
    with safe_open(place, "pt") as file:
        names = list(file.keys())
        if not any(change.has(name) for name in names):
            return set()
        weights: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in names}
        metadata = file.metadata()
    dtypes = set()
    for name, weight in weights.items():
        if change.has(name):
            weights[name] = change.merged(name, weight)
            dtypes.add(str(weight.dtype).removeprefix("torch."))
    save_file(weights, target, metadata=metadata or {"format": "pt"})
    return dtypes
