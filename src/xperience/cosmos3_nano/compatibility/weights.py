"""Row 1: the folder of real weights: what has to be there, whole, of Nano's size, at a pinned revision."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xperience.common.files import git_blob_sha1_of_file, sha256_of_file
from xperience.cosmos3_nano.compatibility.record import Measured
from xperience.cosmos3_nano.compatibility.subject import RealSubject
from xperience.cosmos3_nano.tiny import NANO_PARAMETERS
from xperience.selection.model import SelectedFile
from xperience.selection.plan_file import read_selection

NEEDED = (
    "model_index.json", "config.json", "model.safetensors.index.json", "transformer/config.json", "vae/config.json",
    "scheduler/scheduler_config.json", "text_tokenizer/tokenizer_config.json",
)  # fmt: skip
LICENCES = ("LICENSE", "LICENCE", "README.md")
LENGTH_BYTES = 8  # of a safetensors file: how long its header is


@dataclass(frozen=True)
class Tensors:
    """Of a safetensors file: names, numbers, bytes, and whether the file ends where its header says."""

    names: frozenset[str]
    parameters: int
    size_bytes: int
    whole: bool


def files(subject: RealSubject, parameters: int = NANO_PARAMETERS) -> Measured:
    """Everything there, tensors as the index has them, the parameters of Nano; licence and revision recorded."""
    base = subject.folder
    present = {
        str(path.relative_to(base)): path for path in sorted(base.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(base).parts)
    }  # fmt: skip
    faults = [f"{name} is not there" for name in NEEDED if name not in present]
    tensors = {name: tensors_of(path) for name, path in present.items() if name.endswith(".safetensors")}
    faults += [f"{name} is cut off" for name, one in tensors.items() if not one.whole]
    counted = sum(one.parameters for name, one in tensors.items() if name.startswith("transformer/"))
    if counted != parameters:
        faults.append(f"the transformer has {counted} parameters, not {parameters}")
    if not any(name.startswith("vision_encoder/") for name in tensors):
        faults.append("no vision encoder")
    if "model.safetensors.index.json" in present:
        faults += _index_faults(present["model.safetensors.index.json"], tensors)
    licences = [name for name in present if name.partition(".")[0] in LICENCES or name in LICENCES]
    faults += [] if licences else ["no licence: neither LICENSE nor README.md"]
    hashes = {name: sha256_of_file(path) for name, path in present.items()}
    revision, of_hub = _revision(subject.selection, present, hashes)
    return Measured(
        {"files": {name: {"size_bytes": path.stat().st_size, "sha256": hashes[name]} for name, path in present.items()},
         "parameters": counted, "licence": licences, "revision": revision},
        [*faults, *of_hub],
    )  # fmt: skip


def tensors_of(path: Path) -> Tensors:
    """From the header alone; a file without one is not whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES)
        length = struct.unpack("<Q", first)[0] if len(first) == LENGTH_BYTES else size
        if length > size - LENGTH_BYTES:
            return Tensors(frozenset(), 0, 0, whole=False)
        try:
            header: dict[str, Any] = json.loads(file.read(length))
        except ValueError:
            return Tensors(frozenset(), 0, 0, whole=False)
    header.pop("__metadata__", None)
    end = max((one["data_offsets"][1] for one in header.values()), default=0)
    return Tensors(
        frozenset(header), sum(_product(one["shape"]) for one in header.values()), end,
        whole=size == LENGTH_BYTES + length + end,
    )  # fmt: skip


def _product(shape: list[int]) -> int:
    found = 1
    for side in shape:
        found *= side
    return found


def _index_faults(path: Path, tensors: dict[str, Tensors]) -> list[str]:
    index = json.loads(path.read_bytes())
    faults = []
    for name, place in index["weight_map"].items():
        if place not in tensors:
            faults.append(f"{place} of the index is not there")
        elif name not in tensors[place].names:
            faults.append(f"{place} lacks {name}")
    told = index.get("metadata", {}).get("total_size")
    found = sum(tensors[place].size_bytes for place in set(index["weight_map"].values()) if place in tensors)
    if told is not None and told != found:
        faults.append(f"{found} bytes of tensors, {told} by the index")
    return list(dict.fromkeys(faults))


def _revision(selection: Path | None, present: dict[str, Path], hashes: dict[str, str]) -> tuple[str | None, list[str]]:
    """The commit that the files were selected at, and every file that is not the hub's."""
    if selection is None:
        return None, ["the revision is not pinned: give the --selection that the files were moved by"]
    chosen = read_selection(selection)
    faults = []
    for file in chosen.files:
        if file.path not in present:
            faults.append(f"{file.path} of the selection is not there")
        elif not _is_of_hub(file, present[file.path], hashes[file.path]):
            faults.append(f"{file.path} is not the hub's")
    return chosen.revision, faults


def _is_of_hub(file: SelectedFile, path: Path, sha256: str) -> bool:
    """By the hash that the hub gives: sha256 of large files, git's own of small ones."""
    if file.sha256 is not None:
        return file.sha256 == sha256
    return file.git_sha1 is not None and file.git_sha1 == git_blob_sha1_of_file(path)
