"""One process of post-training: `python -m xperience.cosmos3_nano.post_training.worker <settings.json>`."""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from xperience.common.settings.cosmos3_nano import Cosmos3NanoTrainSettings
from xperience.cosmos3_nano.generator import load_pipeline
from xperience.cosmos3_nano.identity import model_sha256
from xperience.cosmos3_nano.post_training.clips import RecordClips
from xperience.cosmos3_nano.post_training.generator import GeneratorRun
from xperience.cosmos3_nano.post_training.reasoner import ReasonerRun
from xperience.cosmos3_nano.post_training.record import Start, start_of
from xperience.cosmos3_nano.post_training.rows import RecordAnswers
from xperience.cosmos3_nano.post_training.run import NanoRun
from xperience.cosmos3_nano.reasoner import load_reasoner
from xperience.training.group import Group
from xperience.training.process import serve, work_off, worker_process


def work(settings: Cosmos3NanoTrainSettings) -> None:
    """Train a part on the records; tells the launcher how it ended."""
    with worker_process(settings):
        start, group = start_of(settings), Group()
        serve(group, settings.metrics_port)
        work_off((_generator if settings.part == "generator" else _reasoner)(settings, start, group))


def _generator(settings: Cosmos3NanoTrainSettings, start: Start, group: Group) -> NanoRun:
    pipeline = load_pipeline(settings.base.expanduser(), getattr(torch, settings.dtype))
    digest = group.first(model_sha256(pipeline) if group.rank == 0 else "")
    start.check_model(digest, settings.base)
    clips, val = (_clips(settings, pipeline, digest, split) for split in ("train", "val"))
    return GeneratorRun(settings, start, pipeline, clips, val, group)


def _reasoner(settings: Cosmos3NanoTrainSettings, start: Start, group: Group) -> NanoRun:
    """The folder is known by its generator's hash: rank 0 loads that once, and lets it go."""
    base, dtype = settings.base.expanduser(), getattr(torch, settings.dtype)
    digest = group.first(model_sha256(load_pipeline(base, dtype)) if group.rank == 0 else "")
    start.check_model(digest, settings.base)
    reasoner = load_reasoner(base, dtype)
    folder = settings.records.expanduser()
    train, val = (RecordAnswers(folder, split, reasoner.tokenizer) for split in ("train", "val"))
    return ReasonerRun(settings, start, reasoner, train, val, group)


def _clips(settings: Cosmos3NanoTrainSettings, pipeline: Any, digest: str, split: str) -> RecordClips:
    return RecordClips(pipeline, settings.records.expanduser(), split, settings.output.expanduser() / "latents", digest)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work(Cosmos3NanoTrainSettings.model_validate_json(Path(sys.argv[1]).read_text()))
