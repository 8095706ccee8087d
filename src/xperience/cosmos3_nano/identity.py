"""What a model is known by: the hash of its weights and of its configuration, in the type that they are loaded in."""

import hashlib
from typing import Any

import torch


def weights_sha256(*parts: Any) -> str:
    """Hash of all weights of some networks, and of the configuration of each."""
    digest = hashlib.sha256()
    for part in parts:
        config = part.config.to_dict() if hasattr(part.config, "to_dict") else part.config
        # Names with an underscore say where it was loaded from.
        told = sorted((name, value) for name, value in config.items() if not name.startswith("_"))
        digest.update(repr(told).encode())
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode() + str(tuple(tensor.shape)).encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def model_sha256(pipeline: Any) -> str:
    """Of the generator: its transformer and its VAE."""
    return weights_sha256(pipeline.transformer, pipeline.vae)
