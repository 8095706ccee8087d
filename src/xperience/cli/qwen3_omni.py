"""`xperience qwen3-omni plan | train | evaluate | merge`."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import UsageError
from xperience.common.log import configure_log
from xperience.common.settings.qwen3_omni import (
    Qwen3OmniEvaluateSettings,
    Qwen3OmniMergeSettings,
    Qwen3OmniPlanSettings,
    Qwen3OmniTrainSettings,
)
from xperience.common.shards import shard_of
from xperience.common.signals import stop_on_signal

if TYPE_CHECKING:
    from xperience.qwen3_omni.compare import Comparison
    from xperience.qwen3_omni.evaluate import Evaluation

# The modules of this stage are imported where they are used: they need torch.
app = typer.Typer(no_args_is_help=True, help="Qwen3-Omni: plan, train an adapter, evaluate it held out, merge it.")


@command(app, "plan", Qwen3OmniPlanSettings)
def print_plan(settings: Qwen3OmniPlanSettings) -> None:
    """Memory, tokens of a step and hours for 1, 8 and 2 × 8 GPUs of 80, 96 and 141 GB, with their formulas."""
    from xperience.qwen3_omni.estimate import FORMULAS, Assumed, all_estimates

    found = all_estimates(
        Assumed(
            windows=settings.plan_windows, epochs=settings.epochs, window_tokens=settings.window_tokens,
            pack_tokens=settings.pack_tokens, packs_per_step=settings.packs_per_step, mfu=settings.mfu,
        )
    )  # fmt: skip
    if settings.json_output:
        print_json({"estimates": [one.model_dump() for one in found], "formulas": list(FORMULAS)})
        return
    print_table(
        f"{settings.plan_windows} windows × {settings.epochs}, an estimate: nothing was measured",
        ("GPUs", "GB", "strategy", "weights", "activations", "peak GB", "tokens/step", "s/step", "steps", "hours"),
        [
            (
                f"{e.hosts}×{e.gpus_per_host}", e.gpu_memory_gb, "does not fit" if e.strategy == "none" else e.strategy,
                e.weights_gb, e.activations_gb, e.peak_gb, e.tokens_per_step, e.step_seconds, e.steps, e.hours,
            )
            for e in found
        ],
    )  # fmt: skip
    out.print("\n".join(FORMULAS))


@command(app, "train", Qwen3OmniTrainSettings)
def train(settings: Qwen3OmniTrainSettings) -> None:
    """Train the adapter, from its newest complete checkpoint on; 143 after SIGTERM with the checkpoint complete."""
    from xperience.common.files import write_atomic
    from xperience.training.launch import launch

    place = settings.output / "settings.json"
    write_atomic(place, settings.model_dump_json(indent=2) + "\n")
    code, said = launch(["-m", "xperience.qwen3_omni.worker", str(place)], processes=settings.processes)
    print(f"xperience: {said}", file=sys.stderr)
    if code:
        sys.exit(code)


@command(app, "evaluate", Qwen3OmniEvaluateSettings)
def evaluate(settings: Qwen3OmniEvaluateSettings) -> None:
    """Answer the held-out test windows under the grammar, and report each number beside its baselines."""
    from xperience.qwen3_omni.evaluation_run import HeldOut, check_gain

    configure_log(settings.log_format, settings.log_level)
    if settings.zero_shot and settings.merge:
        raise UsageError("the base model has no report of its own", where="--merge", fix="Leave out --zero-shot.")
    held_out = HeldOut(settings)
    shards = settings.shards
    if not settings.merge:
        shard = shard_of(settings.shard, settings.shards)
        shards = shard.count
        with stop_on_signal() as asked_to_stop:
            place = held_out.answer(shard, asked_to_stop.is_set)
        if settings.zero_shot or not held_out.complete(shards):
            out.print(f"answers in {place}")
            return
    report = held_out.report(shards)
    if settings.json_output:
        print_json(report.document())
    else:
        _print_report(report)
    if settings.least_action_gain is not None:
        check_gain(report, settings.least_action_gain)


def _print_report(report: "Evaluation") -> None:
    rows: list[tuple[str | float, ...]] = [
        (name, f.windows, f.accuracy, f.macro_f1_supported, f.ceiling, *_best(f.baselines), f.verdict)
        for name, f in report.fields.items()
    ]
    objects = report.objects
    rows.append(
        ("objects (micro-F1)", report.windows, objects.micro_f1, "", objects.ceiling, *_best(objects.baselines),
         objects.verdict)
    )  # fmt: skip
    print_table(
        f"{report.windows} windows of {len(report.sessions)} held-out sessions",
        ("field", "windows", "accuracy", "macro-F1", "ceiling", "best fair baseline", "", ""), rows,
    )  # fmt: skip
    for part, held in report.protocol.items():
        if not held:
            out.print(f"protocol: {part} did not hold")


def _best(baselines: "Mapping[str, Comparison]") -> tuple[float, str]:
    score, name = max((one.score, name) for name, one in baselines.items() if not one.oracle)
    return score, name


@command(app, "merge", Qwen3OmniMergeSettings)
def merge_adapter(settings: Qwen3OmniMergeSettings) -> None:
    """Add the adapter to the weights of its base model, file by file; everything else is copied."""
    from xperience.qwen3_omni.merge import merge
    from xperience.qwen3_omni.merge_check import compare

    if settings.merged.exists():
        raise UsageError("the folder is there", where=str(settings.merged), fix="Give another --merged.")
    check = partial(compare, settings.base, settings.adapter) if settings.compare else None
    found = merge(settings.base, settings.adapter, settings.merged, compare=check)
    out.print(f"{found.merged_weights} weights merged into {settings.merged}")
    if found.positions:
        out.print(
            f"logits differ by at most {found.largest_logit_difference:.3g} from base and adapter ({found.dtype}),"
            f" the likeliest token is the same at {found.argmax_agreement:.1%} of {found.positions} positions"
        )
