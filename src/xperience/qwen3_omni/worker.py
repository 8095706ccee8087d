"""One training process, as torchrun starts it: `python -m xperience.qwen3_omni.worker <settings.json>`."""

import os
import signal
import sys
from pathlib import Path

import torch

from xperience.common.errors import XperienceError
from xperience.common.log import configure_log
from xperience.common.metrics import serve_metrics
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni.launch import stop_asked, tell_outcome
from xperience.qwen3_omni.model import load_thinker
from xperience.qwen3_omni.parallel import Group
from xperience.qwen3_omni.sample import Samples
from xperience.qwen3_omni.train import Run, train
from xperience.qwen3_omni.windows import WindowSamples


def work(settings: Qwen3OmniTrainSettings, data: tuple[Samples, Samples] | None = None) -> None:
    """Train on windows, or on `data`; tells the launcher how it ended."""
    # torchrun's own SIGTERM would come with a SIGKILL behind it: the launcher's stop file is what ends a run.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure_log(settings.log_format, settings.log_level)
    try:
        group = Group()
        thinker, tokenizer = load_thinker(settings.base, getattr(torch, settings.dtype))
        samples, val = data or (
            WindowSamples(settings.windows, ["train"]), WindowSamples(settings.windows, ["val"])
        )  # fmt: skip
        if settings.metrics_port is not None and group.rank == 0:
            serve_metrics(settings.metrics_port)
        outcome = train(Run(settings, thinker, tokenizer, samples, val, group), stop_asked)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            tell_outcome(
                stopped=outcome.stopped, step=outcome.step,
                message=f"{outcome.step} steps, best validation loss {outcome.best_loss}: {outcome.why}",
            )  # fmt: skip
        group.close()
    except XperienceError as error:
        tell_outcome(exit_code=int(error.exit_code), message=str(error))
        print(f"xperience: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work(Qwen3OmniTrainSettings.model_validate_json(Path(sys.argv[1]).read_text()))
