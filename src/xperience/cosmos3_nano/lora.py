"""What of the generator trains: LoRA on its attention, and the rows of the action heads of one domain."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xperience.common.errors import ConfigurationError

TARGETS = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
HEADS = ("action_proj_in", "action_proj_out")
ADAPTER, ADAPTER_FILE, HEADS_FILE = "xperience", "pytorch_lora_weights.safetensors", "action_heads.safetensors"


def add_adapter(network: Any, *, rank: int, alpha: int, domain_id: int) -> list[torch.nn.Parameter]:
    """Freeze all, add LoRA in float32, and let one domain's rows of the action heads train; returns what trains.

    ConfigurationError where something else would train.
    """
    from peft import LoraConfig

    network.requires_grad_(False)
    network.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS)), adapter_name=ADAPTER)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for _, weight in head_weights(network):
        weight.requires_grad_(True)
        weight.register_hook(_one_row(domain_id))
    names = trained_names(network)
    expected = 2 * len(TARGETS) * network.config.num_hidden_layers + 2 * len(HEADS)
    if len(names) != expected:
        raise ConfigurationError(
            "other modules train than were meant", where="LoRA", why=f"{len(names)} tensors, {expected} expected",
            fix="Use the versions of requirements/train.txt: module names change between versions of diffusers.",
        )  # fmt: skip
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _one_row(domain_id: int) -> Any:
    """Gradients of other domains' rows are zeros already; this holds it, whatever an optimiser makes of them."""

    def keep(gradient: torch.Tensor) -> torch.Tensor:
        kept = torch.zeros_like(gradient)
        kept[domain_id] = gradient[domain_id]
        return kept

    return keep


def head_weights(network: Any) -> Iterable[tuple[str, torch.nn.Parameter]]:
    """Weights and biases of both action heads, a row per domain."""
    for head in HEADS:
        for part in ("fc", "bias"):
            yield f"{head}.{part}.weight", getattr(getattr(network, head), part).weight


def trained_names(network: Any) -> list[str]:
    """Names of all parameters that train."""
    return [name for name, parameter in network.named_parameters() if parameter.requires_grad]


def save(network: Any, folder: Path, domain_id: int) -> None:
    """The adapter as diffusers writes it, and the domain's rows of the heads beside it."""
    network.save_lora_adapter(folder, adapter_name=ADAPTER)
    rows = {name: weight[domain_id].detach().float().cpu().clone() for name, weight in head_weights(network)}
    save_file(rows, folder / HEADS_FILE, metadata={"domain_id": str(domain_id)})


def load(network: Any, folder: Path, domain_id: int) -> None:
    """Both, into a base model."""
    network.load_lora_adapter(folder, adapter_name=ADAPTER, prefix=None, weight_name=ADAPTER_FILE)
    network.set_adapter(ADAPTER)
    rows = load_file(folder / HEADS_FILE)
    with torch.no_grad():
        for name, weight in head_weights(network):
            weight[domain_id] = rows[name].to(weight)
