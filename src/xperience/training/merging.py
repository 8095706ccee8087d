"""An adapter into the weights of its base model, file by file: one file of weights is in memory at a time."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from xperience.common.files import sync_folder


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


@dataclass
class Files:
    """Names of files under the base, and the dtypes of what was merged."""

    rewritten: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    dtypes: set[str] = field(default_factory=set)


def merge_files(base: Path, output: Path, change: Change, conclude: Callable[[Path, Files], None]) -> None:
    """Write `output`: all of `base`, what the adapter changes merged; files without any of it are copied.

    `conclude` is given the merged folder while it still has a temporary name; nothing stays where it raises.
    """
    temporary = output.with_name(f"{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    files = Files()
    try:
        for place in sorted(path for path in base.rglob("*") if path.is_file()):
            name = str(place.relative_to(base))
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
