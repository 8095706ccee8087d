"""`xperience cosmos3-nano export | check | evaluate | train | merge`."""

import sys
import tempfile
from pathlib import Path

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import UsageError
from xperience.common.log import configure_log
from xperience.common.settings.cosmos3_nano import (
    Cosmos3NanoCheckSettings,
    Cosmos3NanoEvaluateSettings,
    Cosmos3NanoExportSettings,
    Cosmos3NanoMergeSettings,
    Cosmos3NanoTrainSettings,
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
    """Run L0, a tiny random model over staged clips, and L1 on real weights if asked; 21 rows, 77 where one fails."""
    from xperience.cosmos3_nano.compatibility.record import CompatibilityRecord
    from xperience.cosmos3_nano.compatibility.run import check, refuse_failures
    from xperience.training.launch import is_of_a_job, launch

    configure_log(settings.log_format, settings.log_level)
    if settings.processes > 1 or is_of_a_job():
        with tempfile.TemporaryDirectory(prefix="xperience-cosmos3-") as folder:
            place = Path(folder) / "settings.json"
            place.write_text(settings.model_dump_json())
            worker = ["-m", "xperience.cosmos3_nano.compatibility.worker", str(place)]
            code, said = launch(worker, processes=settings.processes)
        print(f"xperience: {said}", file=sys.stderr)
        if code or is_of_a_job():
            sys.exit(code)
        found = CompatibilityRecord.read(settings.output.expanduser())
    else:
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
    refuse_failures(found, settings.output)


@command(app, "evaluate", Cosmos3NanoEvaluateSettings)
def evaluate_task(settings: Cosmos3NanoEvaluateSettings) -> None:
    """Predict the held-out records of a task, and report each number beside those of trivial predictions."""
    from xperience.cosmos3_nano.evaluation.run import evaluate

    configure_log(settings.log_format, settings.log_level)
    with stop_on_signal() as asked_to_stop:
        report = evaluate(settings, asked_to_stop.is_set)
    if settings.json_output:
        print_json(report.document())
        return
    print_table(
        f"{report.task}, {report.split}: {report.clips} clips, {report.sessions} sessions",
        ("metric", "model", "best trivial", ""),
        [(name, found.value, found.best_trivial, found.verdict) for name, found in report.metrics.items()],
    )


@command(app, "train", Cosmos3NanoTrainSettings)
def train(settings: Cosmos3NanoTrainSettings) -> None:
    """Post-train generator or reasoner behind its gates (77); goes on from its newest checkpoint; 143 after SIGTERM."""
    from xperience.common.files import write_atomic
    from xperience.cosmos3_nano.post_training.record import RECORD, start_of
    from xperience.gates.bundle import MODELS, gather
    from xperience.gates.evaluate import evaluate, require
    from xperience.training.launch import launch

    evidence = settings.evidence.expanduser()
    data_root = settings.data_root.expanduser() if settings.data_root else None
    bundle = gather(
        evidence=evidence, given={}, selection_json=settings.selection_json, data_root=data_root, rehash=False
    )
    # An earlier run's own record is no condition of this one.
    bundle = bundle.only({*MODELS, "selection", "transfer_manifest"} - {"post_training"})
    require(evaluate(bundle, "cosmos-post-training"), "See `xperience gates --for cosmos-post-training`.")
    start_of(settings)
    place = settings.output.expanduser() / settings.part / "settings.json"
    write_atomic(place, settings.model_dump_json(indent=2) + "\n")
    worker = ["-m", "xperience.cosmos3_nano.post_training.worker", str(place)]
    code, said = launch(worker, processes=settings.processes)
    print(f"xperience: {said}", file=sys.stderr)
    if code:
        sys.exit(code)
    out.print(f"record: {evidence / RECORD}")


@command(app, "merge", Cosmos3NanoMergeSettings)
def merge_adapter(settings: Cosmos3NanoMergeSettings) -> None:
    """Write what post-training made of generator or reasoner into the weights of its base model; the rest is copied."""
    import torch

    from xperience.cosmos3_nano.merge import merge

    merged = settings.merged.expanduser()
    if merged.exists():
        raise UsageError("the folder is there", where=str(merged), fix="Give another --merged.")
    found = merge(settings.base.expanduser(), settings.adapter.expanduser(), merged,
                  dtype=getattr(torch, settings.dtype), compare=settings.compare)  # fmt: skip
    if settings.json_output:
        print_json(found.document())
        return
    out.print(f"{found.merged_weights} weights of the {found.part} merged into {merged}")
    if found.part == "reasoner":
        out.print(
            "its text tower is another one than the generator was trained with: diffusers does not load this folder"
        )
    if found.relative_difference is not None:
        out.print(
            f"losses are within {found.relative_difference:.3g} of their size of base and adapter ({found.dtype})"
        )
