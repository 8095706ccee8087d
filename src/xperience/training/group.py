"""Processes of a run: their group, DDP around what trains, and what they agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def is_of_the_others(error: RuntimeError) -> bool:
    """Whether an error is that of a connection to another process: torch's own types, or a plain one of gloo."""
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)


class Group:
    """This process among all: NCCL on GPUs, gloo on CPUs; alone where torchrun did not start it."""

    def __init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)
        if "RANK" not in os.environ:
            os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
        dist.init_process_group("nccl" if cuda else "gloo")

    def any(self, flag: bool) -> bool:
        """Whether it is so on any process; all have to ask."""
        value = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def sums(self, *values: float) -> list[float]:
        """Sums over all processes."""
        found = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(found)
        return [float(value) for value in found]

    def all(self, value: T) -> list[T]:
        """What each process has, in order of rank."""
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found

    def first(self, value: T) -> T:
        """What rank 0 has."""
        found: list[T] = [value]
        dist.broadcast_object_list(found)
        return found[0]

    def barrier(self) -> None:
        """Wait for all."""
        dist.barrier()

    def close(self) -> None:
        """Leave."""
        dist.destroy_process_group()


def replicate(model: Any, group: Group) -> Any:
    """DDP. All processes have loaded the same weights: none are broadcast, nor are buffers."""
    from torch.nn.parallel import DistributedDataParallel

    devices = [group.device.index] if group.device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False, init_sync=False)


@contextmanager
def last_in_step(model: Any, last: bool) -> Iterator[None]:
    """Under DDP: gradients are reduced after the last forward pass of a step alone."""
    if last:
        yield
    else:
        with model.no_sync():
            yield


def bare(model: Any) -> Any:
    """Without DDP around it."""
    return model.module if type(model).__name__ == "DistributedDataParallel" else model
