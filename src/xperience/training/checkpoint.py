"""Checkpoints: adapter and optimiser by torch's DCP, under a temporary name until all ranks are done."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from xperience.common.errors import RefusedError, full_disk_behind
from xperience.common.files import replaced_folder, sync_folder, write_atomic
from xperience.training.group import Group

MARKER = "checkpoint.json"
KEPT = 2
OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)


def folder_of(output: Path, step: int) -> Path:
    """Where the checkpoint after so many steps lies."""
    return output / "checkpoints" / f"step-{step:07d}"


class _Writer(dcp.FileSystemWriter):  # type: ignore[misc]  # torch is untyped here
    """Names a full disk itself: torch's own error stands above it, and DCP's pickle drops what led to an error."""

    def write_data(self, plan: dcp.SavePlan, planner: dcp.SavePlanner) -> Any:
        try:
            return super().write_data(plan, planner)
        except RuntimeError as error:
            if full := full_disk_behind(error):
                raise full from error
            raise


def save(output: Path, model: Any, optimizer: Any, *, group: Group, progress: dict[str, Any]) -> Path:
    """Write the state after `progress["step"]` steps; all ranks call it. The marker and the rename come last."""
    folder = folder_of(output, int(progress["step"]))
    temporary = folder.with_name(f"{folder.name}.tmp")
    if group.first((folder / MARKER).exists()):  # hosts may see a shared folder differently for some seconds
        return folder
    if group.rank == 0:
        for left in (temporary, folder):
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir(parents=True)
    group.barrier()
    weights, moments = get_state_dict(model, optimizer, options=OPTIONS)
    try:
        dcp.save({"model": weights, "optimizer": moments}, storage_writer=_Writer(temporary))
    except CheckpointException as error:  # a BaseException, with what each rank raised
        for one, _ in error.failures.values():
            if isinstance(one, OSError):
                raise OSError(one.errno, one.strerror, str(temporary)) from error
        raise
    group.barrier()
    if group.rank == 0:
        write_atomic(temporary / MARKER, json.dumps(progress, sort_keys=True) + "\n")
        temporary.rename(folder)
        sync_folder(folder.parent)
        for old in complete(output)[:-KEPT]:
            shutil.rmtree(old)
    group.barrier()
    return folder


def complete(output: Path) -> list[Path]:
    """Checkpoints that were finished, oldest first; what a killed run left is none of them."""
    return sorted(place.parent for place in output.glob(f"checkpoints/step-???????/{MARKER}"))


def load(output: Path, model: Any, optimizer: Any, *, group: Group, fingerprint: str) -> dict[str, Any] | None:
    """Load the newest checkpoint that rank 0 finds complete and return its progress; all ranks call it.

    RefusedError where another run wrote it.
    """
    newest = group.first(next(reversed(complete(output)), None))
    if newest is None:
        return None
    progress: dict[str, Any] = json.loads((newest / MARKER).read_text())
    if progress["fingerprint"] != fingerprint:
        raise RefusedError(
            "a checkpoint of another run", where=str(newest),
            why=f"its fingerprint is {progress['fingerprint'][:16]}, this run's {fingerprint[:16]}",
            fix="Data, prompt or settings differ: give another --output.",
        )  # fmt: skip
    weights, moments = get_state_dict(model, optimizer, options=OPTIONS)
    state = {"model": weights, "optimizer": moments}
    dcp.load(state, checkpoint_id=newest)
    set_state_dict(
        model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"], options=OPTIONS
    )
    return progress


def export_adapter(folder: Path, model: Any, *, group: Group, bare: Any) -> None:
    """The adapter as peft writes it, whole, under a temporary name first; all ranks call it."""
    options = StateDictOptions(ignore_frozen_params=True, strict=False, full_state_dict=True, cpu_offload=True)
    weights: dict[str, torch.Tensor] = get_model_state_dict(model, options=options)
    if group.rank == 0:
        plain = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
        for config in bare.peft_config.values():
            config.target_modules = sorted(config.target_modules)  # a set would give the file another order each time
        with replaced_folder(folder) as temporary:
            bare.save_pretrained(temporary, state_dict=plain)
    group.barrier()
