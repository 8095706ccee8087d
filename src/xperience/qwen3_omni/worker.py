"""One training process, as torchrun starts it: `python -m xperience.qwen3_omni.worker <settings.json>`."""

import os
import sys
from pathlib import Path

import torch

from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni.model import declare_tokens, load_tokenizer
from xperience.qwen3_omni.sample import Samples
from xperience.qwen3_omni.train import QwenRun
from xperience.qwen3_omni.weights import empty_thinker
from xperience.qwen3_omni.windows import WindowSamples
from xperience.training.group import Group
from xperience.training.process import serve, work_off, worker_process


def work(settings: Qwen3OmniTrainSettings, data: tuple[Samples, Samples] | None = None) -> None:
    """Train on windows, or on `data`; tells the launcher how it ended."""
    with worker_process(settings):
        group = Group()
        tokenizer = load_tokenizer(settings.base)
        thinker = empty_thinker(settings.base, getattr(torch, settings.dtype))
        declare_tokens(thinker, tokenizer)
        samples, val = data or (WindowSamples(settings.windows, ["train"]), WindowSamples(settings.windows, ["val"]))
        serve(group, settings.metrics_port)
        work_off(QwenRun(settings, thinker, tokenizer, samples, val, group))


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work(Qwen3OmniTrainSettings.model_validate_json(Path(sys.argv[1]).read_text()))
