"""`xperience qwen3-omni plan | train | evaluate | merge`."""

import sys
from pathlib import Path

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import BadDataError, StoppedError, UsageError
from xperience.common.log import configure_log
from xperience.common.settings.qwen3_omni import (
    Qwen3OmniEvaluateSettings,
    Qwen3OmniMergeSettings,
    Qwen3OmniPlanSettings,
    Qwen3OmniTrainSettings,
)
from xperience.common.shards import Shard, shard_of
from xperience.common.signals import stop_on_signal

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
    from xperience.qwen3_omni.launch import launch

    place = settings.output / "settings.json"
    write_atomic(place, settings.model_dump_json(indent=2) + "\n")
    code, said = launch(["-m", "xperience.qwen3_omni.worker", str(place)], processes=settings.processes)
    print(f"xperience: {said}", file=sys.stderr)
    if code:
        sys.exit(code)


@command(app, "evaluate", Qwen3OmniEvaluateSettings)
def evaluate(settings: Qwen3OmniEvaluateSettings) -> None:
    """Answer the held-out test windows under the grammar, and report each number beside its baselines."""
    from xperience.qwen3_omni.evaluate import conclude, gathered
    from xperience.qwen3_omni.held_out import RUN, TrainedOn, check_held_out
    from xperience.qwen3_omni.windows import WindowSamples

    configure_log(settings.log_format, settings.log_level)
    samples = WindowSamples(settings.windows, ["test"], natural=True)
    run = TrainedOn.read(settings.output / RUN)
    check_held_out(samples.facts, run, samples.content_sha256)
    folder = settings.output / ("zero-shot" if settings.zero_shot else "evaluation")
    whole = folder / "predictions.jsonl"
    count = settings.shards
    if not settings.merge:
        shard = shard_of(settings.shard, settings.shards)
        count = shard.count
        _answer(settings, samples, shard, shard.path(whole))
        if settings.zero_shot or shard.count > 1:
            out.print(f"answers in {shard.path(whole)}")
            return
    predictions = gathered([Shard(number, count).path(whole) for number in range(count)], samples.facts)
    base_lines = sorted((settings.output / "zero-shot").glob("predictions*.jsonl"))
    report = conclude(
        samples.facts, predictions, WindowSamples(settings.windows, ["train"]).facts,
        inputs={"windows": samples.content_sha256, "run": run.content_sha256},
        zero_shot=gathered(base_lines, samples.facts) if base_lines else None,
    )  # fmt: skip
    report.write(folder / "evaluation.json")
    if settings.json_output:
        print_json(report.document())
    else:
        print_table(
            f"{report.windows} windows of {len(report.sessions)} held-out sessions",
            ("field", "windows", "accuracy", "macro-F1", "ceiling", "best fair baseline", ""),
            [
                (name, f.windows, f.accuracy, f.macro_f1_supported, f.ceiling,
                 max(b.accuracy for b in f.baselines.values() if not b.oracle), f.verdict)
                for name, f in report.fields.items()
            ],
        )  # fmt: skip
    gain = settings.least_action_gain
    if gain is not None:
        action = report.fields["action"]
        least = min(one.difference for one in action.baselines.values() if not one.oracle)
        if least < gain or action.verdict != "above baseline":
            raise BadDataError("quality is not as asked", where="action", why=f"{action.verdict}, by {least}")


def _answer(settings: Qwen3OmniEvaluateSettings, samples: object, shard: Shard, place: Path) -> None:
    import torch
    from peft import PeftModel

    from xperience.qwen3_omni.collate import RowMaker
    from xperience.qwen3_omni.evaluate import predict
    from xperience.qwen3_omni.grammar import AnswerGrammar
    from xperience.qwen3_omni.model import load_thinker
    from xperience.qwen3_omni.windows import WindowSamples

    assert isinstance(samples, WindowSamples)  # noqa: S101  its type needs torch
    model, tokenizer = load_thinker(settings.base, getattr(torch, settings.dtype))
    if not settings.zero_shot:
        model = PeftModel.from_pretrained(model, settings.output / "best")
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    maker = RowMaker(tokenizer)
    vocabulary = {name: list(labels) for name, labels in samples.dataset.vocabulary.items()}
    grammar = AnswerGrammar(maker.ids, vocabulary, tokenizer.eos_token_id)
    with stop_on_signal() as asked_to_stop:
        done = predict(
            place, model, samples, maker, grammar, shard=shard, batch=settings.batch, stop=asked_to_stop.is_set
        )
    if done < len(shard.of(samples.facts)):
        raise StoppedError("stopped before the last answer", where=str(place), fix="Run the same command again.")


@command(app, "merge", Qwen3OmniMergeSettings)
def merge_adapter(settings: Qwen3OmniMergeSettings) -> None:
    """Add the adapter to the weights of its base model, file by file; everything else is copied."""
    from xperience.qwen3_omni.merge import merge

    if settings.merged.exists():
        raise UsageError("the folder is there", where=str(settings.merged), fix="Give another --merged.")
    found = merge(settings.base, settings.adapter, settings.merged)
    out.print(f"{found['merged']} weights merged into {settings.merged}")
