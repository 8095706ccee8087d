"""FSDP2 around the thinker's text layers, and gradients that are reduced once a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xperience.qwen3_omni.model import text_layers
from xperience.training.group import Group, last_in_step


def shard_layers(model: Any, group: Group) -> None:
    """FSDP2: one unit per text layer; towers, embedding and head stay whole. The model may lie on the meta device.

    A rank whose pack has no video or sound skips a tower: whole towers need no collective, sharded ones would hang.
    Positions stay float32: `cast_forward_inputs` is off.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(group.device.type, (group.world,))
    policy = MixedPrecisionPolicy(cast_forward_inputs=False)
    for layer in text_layers(model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)


@contextmanager
def last_only(model: Any, last: bool) -> Iterator[None]:
    """Gradients are reduced after the last pack of a step alone."""
    if hasattr(model, "no_sync"):
        with last_in_step(model, last):
            yield
        return
    for layer in text_layers(model):
        layer.set_requires_gradient_sync(last)
    yield
