"""`xperience cosmos3-nano export | check | evaluate`."""

import sys

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import RefusedError, StoppedError
from xperience.common.log import configure_log
from xperience.common.settings.cosmos3_nano import (
    Cosmos3NanoCheckSettings,
    Cosmos3NanoEvaluateSettings,
    Cosmos3NanoExportSettings,
)
from xperience.common.signals import stop_on_signal

# The modules of this stage are imported where they are used: they need HDF5, MP4, Parquet, and some torch.
app = typer.Typer(no_args_is_help=True, help="Cosmos3-Nano: task records, compatibility, evaluation.")


@command(app, "export", Cosmos3NanoExportSettings)
def export_records(settings: Cosmos3NanoExportSettings) -> None:
    """Write the records of the four tasks with clips and arrays, and NVIDIA's own formats, each read back."""
    from xperience.cosmos3_nano.export import export

    configure_log(settings.log_format, settings.log_level)

    def done(number: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\rexport: {number} of {of} episodes ", end="", file=sys.stderr, flush=True)

    found = export(settings, done)
    if settings.json_output:
        print_json(found.document())
        return
    splits = ("train", "val", "test")
    rows = [(f"{task}.jsonl", *(counts.get(split, 0) for split in splits)) for task, counts in found.records.items()]
    rows += [(f"official/{name}", *(counts.get(s, 0) for s in splits)) for name, counts in found.official.items()]
    print_table(f"records in {settings.records}", ("file", *splits), rows)
    out.print(
        f"{found.clips} clips, {found.clip_bytes >> 10} KiB; normalised values clamped:"
        f" {', '.join(f'{split} {share:.2%}' for split, share in found.clamped_share.items())};"
        f" {len(found.skipped)} episodes left out"
    )
    for reason, count in found.dropped.items():
        out.print(f"dropped {count}: {reason}")


@command(app, "check", Cosmos3NanoCheckSettings)
def check_compatibility(settings: Cosmos3NanoCheckSettings) -> None:
    """Run L0: the tiny random model of Nano's architecture over staged clips, 21 rows; 77 where a row fails."""
    from xperience.cosmos3_nano.compatibility.run import check

    configure_log(settings.log_format, settings.log_level)
    found = check(settings)
    if settings.json_output:
        print_json(found.document())
    else:
        print_table(
            f"{found.model} model {found.model_sha256[:12]}, {len(found.clips)} clips of train",
            ("row", "check", "level", "verdict", "threshold", "reason"),
            [(row.number, row.name, row.level, row.verdict, row.threshold, row.reason) for row in found.checks],
        )
        for level, verdict in found.levels.items():
            out.print(f"{level}: {verdict}" + (" (needed)" if level in found.required_levels else ""))
    failed = [f"{row.number} {row.name}: {row.reason}" for row in found.checks if row.verdict == "fail"]
    if failed:
        raise RefusedError(
            "Cosmos3-Nano and this data do not fit", where=str(settings.output), why="; ".join(failed),
            fix="Post-training stays shut until every row of the needed levels passes.",
        )  # fmt: skip


@command(app, "evaluate", Cosmos3NanoEvaluateSettings)
def evaluate_actions(settings: Cosmos3NanoEvaluateSettings) -> None:
    """Predict actions of held-out clips, and report each error beside those of trivial predictions."""
    import numpy as np
    import torch

    from xperience.cosmos3_nano.compatibility.subject import model_sha256
    from xperience.cosmos3_nano.evaluate import action_records, conclude, predict, read_lines
    from xperience.cosmos3_nano.generator import draw, load_pipeline
    from xperience.cosmos3_nano.normaliser import ActionStatistics
    from xperience.cosmos3_nano.record_set import STATISTICS
    from xperience.cosmos3_nano.records import ActionProxyRecord
    from xperience.cosmos3_nano.sample import read_sample

    configure_log(settings.log_format, settings.log_level)
    folder = settings.records.expanduser()
    pipeline = load_pipeline(settings.base.expanduser(), getattr(torch, settings.dtype))
    statistics = ActionStatistics.read(folder / STATISTICS)

    def drawn(record: ActionProxyRecord) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        found = draw(pipeline, read_sample(folder, record), record.mode, seed=settings.seed, steps=settings.steps,
                     latents=True)  # fmt: skip
        assert found.actions is not None  # noqa: S101  both modes predict them
        return statistics.raw(found.actions.astype(np.float64))

    scale = action_records(folder, "train", settings.mode)[: settings.scale_clips]
    asked = [*scale, *action_records(folder, settings.split, settings.mode)]
    path = settings.output.expanduser() / f"{settings.mode}-{settings.split}.jsonl"
    with stop_on_signal() as asked_to_stop:
        done = predict(path, asked, drawn, model_sha256=model_sha256(pipeline), seed=settings.seed,
                       steps=settings.steps, stop=asked_to_stop.is_set)  # fmt: skip
    if done < len(asked):
        raise StoppedError("stopped before the last prediction", where=str(path), fix="Run the same command again.")
    report = conclude(folder, read_lines(path), split=settings.split, mode=settings.mode, scale_records=scale)
    report.write(path.with_suffix(".json"))
    if settings.json_output:
        print_json(report.document())
        return
    print_table(
        f"{settings.mode}: {report.clips} clips, {report.sessions} sessions, translation × {report.translation_scale}",
        ("metric", "error", "best trivial", ""),
        [
            (name, found.error, min(one.error for one in found.trivial.values() if not one.oracle), found.verdict)
            for name, found in report.metrics.items()
        ],
    )
