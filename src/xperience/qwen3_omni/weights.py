"""A checkpoint's weights into a thinker on the meta device: each process reads its own rows and no others."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from xperience.common.errors import BadDataError, ConfigurationError
from xperience.common.transfer import MANIFEST_NAME, TransferManifest
from xperience.training.quiet import quiet

INDEX = "model.safetensors.index.json"
EXPERT = re.compile(r"\.experts\.(\d+)\.(gate|up|down)_proj\.weight$")
# A file of weights is told apart by its size, its head and places all over it: to read 63 GB takes minutes.
SAMPLES, SAMPLE_BYTES = 16, 64 << 10
TOLD_BY = (".json", ".safetensors", ".txt", ".jinja", ".model")


def identity(base: Path) -> str:
    """sha256 over name, size and content of what a model is loaded from; of large files over samples of the content."""
    digest = hashlib.sha256()
    for place in sorted(base.glob("*")):
        if place.suffix not in TOLD_BY or place.name.startswith(".") or place.name == MANIFEST_NAME:
            continue
        size = place.stat().st_size
        digest.update(f"{place.name}\0{size}\0".encode())
        with place.open("rb") as file:
            if size <= SAMPLES * SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for number in range(SAMPLES):
                file.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def revision_of(base: Path, wanted: str = "") -> str:
    """The commit that a download says it is of, else `wanted`; ConfigurationError where the two differ.

    The relay's manifest says it, or what `hf download` leaves, or the name of a snapshot in the hub's cache.
    """
    left_by_hf = base / ".cache" / "huggingface" / "download" / "config.json.metadata"
    if (base / MANIFEST_NAME).exists():
        found = TransferManifest.read(base / MANIFEST_NAME).revision
    elif left_by_hf.exists():
        found = left_by_hf.read_text().split()[0]
    else:
        found = base.name if base.parent.name == "snapshots" else ""
    if found and wanted and not found.startswith(wanted):
        raise ConfigurationError(
            "the base model is of another revision", where=str(base), why=f"{found}, not {wanted}",
            fix="Download that revision, or give the one that is there.",
        )  # fmt: skip
    return found or wanted


def empty_thinker(base: Path, dtype: torch.dtype) -> Any:
    """The thinker of a checkpoint, whole model or thinker alone: parameters on the meta device, buffers in memory."""
    import transformers
    from accelerate import init_empty_weights
    from transformers import AutoConfig, Qwen3OmniMoeThinkerForConditionalGeneration

    quiet(transformers)
    try:
        config = AutoConfig.from_pretrained(base)
        config = getattr(config, "thinker_config", config)
    except (OSError, ValueError) as error:
        raise no_base(base, error) from error
    with init_empty_weights(include_buffers=False):
        return Qwen3OmniMoeThinkerForConditionalGeneration._from_config(config, dtype=dtype)


def no_base(base: Path, error: Exception) -> ConfigurationError:
    """What to say where no checkpoint is."""
    return ConfigurationError(
        "no base model", where=str(base), why=str(error)[:200],
        fix="Give the folder of a downloaded checkpoint: `xperience select repo` and `relay run` bring it.",
    )  # fmt: skip


def local_rows(parameter: torch.Tensor) -> tuple[torch.Tensor, int]:
    """This process's part of a parameter, and its first row: dimension 0 is cut in chunks of ⌈rows / processes⌉."""
    from torch.distributed.tensor import DTensor

    if not isinstance(parameter, DTensor):
        return parameter, 0
    mesh = parameter.device_mesh
    chunk = -(-parameter.shape[0] // mesh.size())
    return parameter.to_local(), min(mesh.get_local_rank() * chunk, parameter.shape[0])


def load_weights(model: Any, base: Path, device: torch.device) -> None:
    """Fill an adapted model, sharded or whole, on `device`; BadDataError where a weight is missing or of another shape.

    Names are those of transformers' own conversion; experts are one tensor in the model, three per expert on disk.
    """
    model._apply(lambda t: torch.empty_like(t, device=device) if t.is_meta else t.to(device))
    parameters = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): parameter
        for name, parameter in model.named_parameters() if "lora_" not in name
    }  # fmt: skip
    left = {name: local_rows(parameter)[0].numel() for name, parameter in parameters.items()}
    target_of = _renaming(model, parameters)
    for path, keys in _files(base):
        with safe_open(path, "pt") as file:
            for key in keys:
                if (name := target_of(key)) in parameters:
                    left[name] -= _copy(file.get_slice(key), key, parameters[name], path)
    if missing := sorted(name for name, count in left.items() if count):
        raise BadDataError(
            "weights are missing", where=str(base), why=f"{len(missing)} of {len(left)}, such as {missing[0]}",
            fix="Download the checkpoint again.",
        )  # fmt: skip


def _renaming(model: Any, parameters: dict[str, Any]) -> Any:
    from transformers import core_model_loading as loading
    from transformers.conversion_mapping import get_model_conversion_mapping

    thinker = model.get_base_model() if hasattr(model, "get_base_model") else model
    found = get_model_conversion_mapping(thinker)
    renamings = [one for one in found if isinstance(one, loading.WeightRenaming)]
    converters = [one for one in found if isinstance(one, loading.WeightConverter)]

    def target_of(key: str) -> str:
        return str(loading.rename_source_key(key, renamings, converters, thinker.base_model_prefix, parameters)[0])

    return target_of


def _files(base: Path) -> Iterator[tuple[Path, list[str]]]:
    """Files of weights with the names of theirs, talker and vocoder left out."""
    try:
        index = json.loads((base / INDEX).read_text())["weight_map"] if (base / INDEX).exists() else None
        names = sorted(set(index.values())) if index else ["model.safetensors"]
        for name in names:
            (base / name).open("rb").close()  # safetensors says of a file that may not be read that it is not there
            with safe_open(base / name, "pt") as file:
                keys = [key for key in file.keys() if key.split(".")[0] not in ("talker", "code2wav")]  # noqa: SIM118
            if keys:
                yield base / name, keys
    except OSError as error:
        raise no_base(base, error) from error


def _copy(source: Any, key: str, parameter: torch.Tensor, path: Path) -> int:
    """Copy what of a tensor on disk belongs to this process; returns the elements filled."""
    local, first = local_rows(parameter.detach())
    with torch.no_grad():
        if expert := EXPERT.search(key):
            row = int(expert[1]) - first
            if not 0 <= row < local.shape[0]:
                return 0
            half = local.shape[1] // 2
            begin, end = {"gate": (0, half), "up": (half, 2 * half), "down": (0, local.shape[1])}[expert[2]]
            target, weights = local[row, begin:end], source[:]
        else:
            if list(source.get_shape()) != list(parameter.shape):
                raise BadDataError(
                    "a weight of another shape", where=f"{path.name}: {key}",
                    why=f"{source.get_shape()}, not {list(parameter.shape)}", fix="config.json is another model's.",
                )  # fmt: skip
            target, weights = local, source[first : first + local.shape[0]] if local.dim() else source[:]
        target.copy_(weights)
    return int(target.numel())


def init_adapter(model: Any, seed: int) -> None:
    """A of each pair uniform within ±1/√(inputs), as kaiming_uniform_(√5); B zero. Each from a seed of its name alone.

    So it is the same whatever the strategy, the order of layers and the number of processes.
    """
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        local, first = local_rows(parameter.detach())
        with torch.no_grad():
            local.zero_()
            if "lora_A" in name:
                number = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")
                generator = torch.Generator().manual_seed(number)
                bound = parameter.shape[-1] ** -0.5
                whole = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                local.copy_(whole[first : first + local.shape[0]])
