"""What a model is known by: the hash of its weights' values and of its configuration, whatever type holds them.

Weights in bfloat16 have the same hash loaded as float32; those in float32 that are rounded to bfloat16 are others.
"""

import hashlib
from typing import Any

import torch


def weights_sha256(*parts: Any) -> str:
    """Hash of all weights of some networks, and of the configuration of each."""
    digest = hashlib.sha256()
    for part in parts:
        config = part.config.to_dict() if hasattr(part.config, "to_dict") else part.config
        digest.update(repr(_told(config)).encode())
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode() + str(tuple(tensor.shape)).encode())
            value = tensor.detach().cpu()
            value = value.float() if value.is_floating_point() else value
            digest.update(value.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _told(config: dict[Any, Any]) -> list[tuple[str, Any]]:
    """Names with an underscore say where it was loaded from, `dtype` as what."""
    return sorted(
        (str(name), _told(value) if isinstance(value, dict) else value)
        for name, value in config.items() if not str(name).startswith("_") and name != "dtype"
    )  # fmt: skip


def model_sha256(pipeline: Any) -> str:
    """Of the generator: its transformer and its VAE."""
    return weights_sha256(pipeline.transformer, pipeline.vae)
