"""What of the generator trains: LoRA on its attention, and the rows of the action heads of one domain."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from xperience.common.errors import ConfigurationError

TARGETS = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
HEADS, PARTS = ("action_proj_in", "action_proj_out"), ("fc", "bias")
ADAPTER, ADAPTER_FILE, HEADS_FILE = "xperience", "pytorch_lora_weights.safetensors", "action_heads.safetensors"


class TrainedRow(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """An embedding of which one row trains, in float32; all other rows are frozen, in whatever they are stored as."""

    def __init__(self, table: torch.nn.Embedding, domain_id: int) -> None:
        super().__init__()
        self.table, self.domain_id = table, domain_id
        self.row = torch.nn.Parameter(table.weight[domain_id].detach().float().clone())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(n,) → (n, width)."""
        found = self.table(ids)
        return torch.where((ids == self.domain_id)[:, None], self.row.to(found.dtype), found)

    @property
    def weight(self) -> torch.Tensor:
        """(domains, width) float32, as it is now."""
        whole = self.table.weight.detach().float().clone()
        whole[self.domain_id] = self.row.detach()
        return whole


def add_adapter(network: Any, *, rank: int, alpha: int, domain_id: int) -> list[torch.nn.Parameter]:
    """Freeze all, add LoRA in float32, and let one domain's rows of the action heads train; returns what trains.

    The same seed of torch gives the same adapter.

    ConfigurationError where something else would train.
    """
    from peft import LoraConfig

    network.requires_grad_(False)
    network.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS)), adapter_name=ADAPTER)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for head in HEADS:
        for part in PARTS:
            setattr(getattr(network, head), part, TrainedRow(getattr(getattr(network, head), part), domain_id))
    names = trained_names(network)
    expected = 2 * len(TARGETS) * network.config.num_hidden_layers + len(HEADS) * len(PARTS)
    if len(names) != expected:
        raise ConfigurationError(
            "other modules train than were meant", where="LoRA", why=f"{len(names)} tensors, {expected} expected",
            fix="Use the versions of requirements/train.txt: module names change between versions of diffusers.",
        )  # fmt: skip
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def head_weights(network: Any) -> Iterable[tuple[str, torch.Tensor]]:
    """Weights and biases of both action heads, a row per domain."""
    for head in HEADS:
        for part in PARTS:
            yield f"{head}.{part}.weight", getattr(getattr(network, head), part).weight


def rows(network: Any) -> Iterable[torch.nn.Parameter]:
    """The rows of the action heads that train."""
    return (getattr(getattr(network, head), part).row for head in HEADS for part in PARTS)


def trained_names(network: Any) -> list[str]:
    """Names of all parameters that train."""
    return [name for name, parameter in network.named_parameters() if parameter.requires_grad]


def save(network: Any, folder: Path, domain_id: int) -> None:
    """The adapter as diffusers writes it, and the domain's rows of the heads beside it."""
    for config in network.peft_config.values():
        config.target_modules = sorted(config.target_modules)  # a set would give the file another order each time
    network.save_lora_adapter(folder, adapter_name=ADAPTER)
    _sort_header(folder / ADAPTER_FILE)
    of_domain = {name: weight[domain_id].detach().float().cpu().clone() for name, weight in head_weights(network)}
    save_file(of_domain, folder / HEADS_FILE, metadata={"domain_id": str(domain_id)})


def _sort_header(path: Path) -> None:
    """Sort the keys of a safetensors header: its library writes metadata in another order in each process."""
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.dumps(json.loads(raw[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[end:])


def domain_of(folder: Path) -> int:
    """The domain whose rows of the heads were saved."""
    with safe_open(folder / HEADS_FILE, "pt") as file:
        return int(file.metadata()["domain_id"])


def load(network: Any, folder: Path, domain_id: int) -> None:
    """Both, into a base model; the heads in the model's own dtype."""
    network.load_lora_adapter(folder, adapter_name=ADAPTER, prefix=None, weight_name=ADAPTER_FILE)
    network.set_adapter(ADAPTER)
    stored = load_file(folder / ADAPTER_FILE)
    for name, parameter in network.named_parameters():
        if "lora_" in name:  # diffusers loads it in the model's dtype; it was trained in float32
            parameter.data = stored[name.replace(f".{ADAPTER}.", ".")].to(parameter.device)
    of_domain = load_file(folder / HEADS_FILE)
    with torch.no_grad():
        for name, weight in head_weights(network):
            weight[domain_id] = of_domain[name].to(weight)
