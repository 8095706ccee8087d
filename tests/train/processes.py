"""Training processes of a tiny model without the cost of starting Python: forked from a server that has all imported.

They train as `worker` does, on gloo over loopback, and can be killed at a place of a step, as a lost host would be.
"""

import json
import multiprocessing
import os
import signal
import socket
from dataclasses import dataclass

from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.training import launch

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["torch", "peft", "transformers.models.qwen3_omni_moe", "xperience.qwen3_omni.worker"])
VIDEO_AND_SOUND_OR_NONE = ("va", "")


@dataclass(frozen=True)
class Kill:
    """SIGKILL to every process after `step` steps: before the next one, or with its checkpoint half written."""

    step: int
    in_checkpoint: bool = False


def settings_of(base, output, **changed):
    values = {
        "base": base, "output": output, "dtype": "float32", "lora_rank": 4, "lora_alpha": 8, "learning_rate": 3e-3,
        "warm_up_steps": 2, "epochs": 2, "pack_tokens": 256, "packs_per_step": 4, "recompute": False,
        "loader_workers": 0, "checkpoint_every_steps": 2, "validate_every_steps": 4, "patience": 0,
    }  # fmt: skip
    return Qwen3OmniTrainSettings(**values | changed)


def train_in(processes, settings, *, kill=None, stop_after=None, media=VIDEO_AND_SOUND_OR_NONE):
    """Exit code of each process; what they print goes to <output>/log-<rank>.

    `stop_after` so many steps process 1 alone finds the stop file, as the host that got SIGTERM does.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings.output.mkdir(parents=True, exist_ok=True)
    started = [
        SERVER.Process(target=_train, args=(rank, processes, port, settings.model_dump_json(), kill, stop_after, media))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    return [process.exitcode for process in started]


def train_whole(processes, settings, **more):
    codes = train_in(processes, settings, **more)
    assert codes == [0] * processes, (settings.output / "log-0").read_text()[-2000:]
    return settings


def lines(settings, event="step"):
    found = [json.loads(line) for line in (settings.output / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["event"] == event]


def losses(settings):
    return [line["loss"] for line in lines(settings)]


def adapters(settings):
    return {name: (settings.output / name / "adapter_model.safetensors").read_bytes() for name in ("adapter", "best")}


def said(settings, rank=0):
    """Lines that a rank left of itself, as documents."""
    return [json.loads(line) for line in (settings.output / f"said-{rank}").read_text().splitlines()]


def _train(rank, world, port, settings_json, kill, stop_after, media):
    settings = Qwen3OmniTrainSettings.model_validate_json(settings_json)
    with (settings.output / f"log-{rank}").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "HF_HUB_OFFLINE": "1", launch.STOP_FILE: str(settings.output / f"stop-{rank}"),
    }  # fmt: skip
    import torch

    from xperience.qwen3_omni import train, worker
    from xperience.qwen3_omni.tiny import ShownLabels
    from xperience.training import checkpoint

    torch.set_num_threads(1)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    stop_file = settings.output / f"stop-{rank}"
    stop_file.unlink(missing_ok=True)
    if stop_after == 0 and rank == 1:
        stop_file.touch()
    plain, save = train.QwenRun.step, checkpoint.dcp.save

    def step(run, number):
        if kill and kill.step == number and not kill.in_checkpoint:
            die()
        _tell(settings, rank, run, number)
        found = plain(run, number)
        if stop_after == number + 1 and rank == 1:
            stop_file.touch()
        return found

    def dcp_save(state, storage_writer):
        save(state, storage_writer=storage_writer)
        if kill and kill.in_checkpoint and str(storage_writer.path).endswith(f"step-{kill.step:07d}.tmp"):
            die()

    train.QwenRun.step, checkpoint.dcp.save = step, dcp_save
    worker.work(settings, (ShownLabels("train", sessions=4, media=media), ShownLabels("val", sessions=1, media=media)))


def _tell(settings, rank, run, number):
    """What this process is about to compute, and how its parameters lie."""
    from torch.distributed.tensor import DTensor

    packs = [pack for _, pack in run.steps[number].of_rank(run.group.rank, run.group.world) if pack]
    parameters = dict(run.model.named_parameters())
    document = {
        "step": number, "samples": [list(pack.samples) for pack in packs],
        "media": [any(run.train.facts[n].frames for n in pack.samples) for pack in packs],
        "sharded": sorted(name for name, p in parameters.items() if isinstance(p, DTensor)),
        "whole": sorted(name for name, p in parameters.items() if not isinstance(p, DTensor)),
        "local_share": sum(p.to_local().numel() for p in parameters.values() if isinstance(p, DTensor))
        / max(1, sum(p.numel() for p in parameters.values() if isinstance(p, DTensor))),
    }  # fmt: skip
    with (settings.output / f"said-{rank}").open("a") as file:
        file.write(json.dumps(document) + "\n")
