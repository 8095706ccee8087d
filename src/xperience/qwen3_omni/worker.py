"""One training process, as torchrun starts it: `python -m xperience.qwen3_omni.worker <settings.json>`."""

import os
import signal
import sys
from pathlib import Path

import torch

from xperience.common.errors import XperienceError
from xperience.common.log import configure_log, get_log
from xperience.common.metrics import serve_metrics
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.common.signals import die_with_parent
from xperience.qwen3_omni.launch import LOST, stop_asked, tell_outcome
from xperience.qwen3_omni.model import declare_tokens, load_tokenizer
from xperience.qwen3_omni.parallel import Group, is_of_the_others
from xperience.qwen3_omni.sample import Samples
from xperience.qwen3_omni.train import Run, train
from xperience.qwen3_omni.weights import empty_thinker
from xperience.qwen3_omni.windows import WindowSamples


def work(settings: Qwen3OmniTrainSettings, data: tuple[Samples, Samples] | None = None) -> None:
    """Train on windows, or on `data`; tells the launcher how it ended."""
    die_with_parent(signal.SIGKILL)
    # torchrun's own SIGTERM would come with a SIGKILL behind it: the launcher's stop file is what ends a run.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure_log(settings.log_format, settings.log_level)
    try:
        _work(settings, data)
    except XperienceError as error:
        tell_outcome(exit_code=int(error.exit_code), message=str(error))
        print(f"xperience: {error}", file=sys.stderr)
        sys.exit(1)
    except RuntimeError as error:
        if is_of_the_others(error):
            tell_outcome(exit_code=LOST, message=f"lost another process of the run: {str(error).splitlines()[0][:200]}")
        raise


def _work(settings: Qwen3OmniTrainSettings, data: tuple[Samples, Samples] | None) -> None:
    group = Group()
    tokenizer = load_tokenizer(settings.base)
    thinker = empty_thinker(settings.base, getattr(torch, settings.dtype))
    declare_tokens(thinker, tokenizer)
    samples, val = data or (WindowSamples(settings.windows, ["train"]), WindowSamples(settings.windows, ["val"]))
    if settings.metrics_port is not None and group.rank == 0:
        get_log().info("metrics", port=serve_metrics(settings.metrics_port))
    outcome = train(Run(settings, thinker, tokenizer, samples, val, group), stop_asked)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        tell_outcome(
            stopped=outcome.stopped, step=outcome.step,
            message=f"{outcome.step} steps, best validation loss {outcome.best_loss}: {outcome.why}",
        )  # fmt: skip
    group.close()


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work(Qwen3OmniTrainSettings.model_validate_json(Path(sys.argv[1]).read_text()))
