"""A training process with a tiny model: rank 1 of two meets packs without media. Slowed down by SECONDS_PER_STEP."""

import os
import sys
import time
from pathlib import Path

import torch

torch.set_num_threads(1)

from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni import train, worker
from xperience.qwen3_omni.tiny import ShownLabels

settings = Qwen3OmniTrainSettings.model_validate_json(Path(sys.argv[1]).read_text())
media = tuple(os.environ.get("MEDIA", "v,").split(","))
plain = train.Run.step


def slow(run, number, batches):
    if os.environ.get("DIE_AT") == str(number) and run.group.rank == 0:
        os._exit(9)
    time.sleep(float(os.environ.get("SECONDS_PER_STEP", "0")))
    print(f"STEP {number}", flush=True)
    found = plain(run, number, batches)
    if settings.strategy == "fsdp":
        from torch.distributed.tensor import DTensor

        assert all(isinstance(parameter, DTensor) for parameter in run.parameters)
    return found


train.Run.step = slow
worker.work(settings, (ShownLabels("train", sessions=4, media=media), ShownLabels("val", sessions=1, media=media)))
