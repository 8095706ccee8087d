"""All rows of one model, the record, and how long and how large it was."""

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from xperience.common.errors import BadDataError, RefusedError, StoppedError
from xperience.common.evidence import now_utc
from xperience.common.settings.cosmos3_nano import Cosmos3NanoCheckSettings
from xperience.cosmos3_nano.compatibility import (
    behaviour,
    cost,
    data,
    fidelity,
    reasoning,
    software,
    trainability,
    weights,
)
from xperience.cosmos3_nano.compatibility.record import (
    NAMES,
    TINY,
    Check,
    CheckRow,
    CompatibilityRecord,
    levels_of,
    of_all_workers,
    required_levels,
    row_not_run,
    row_of,
)
from xperience.cosmos3_nano.compatibility.subject import RealSubject, Subject
from xperience.cosmos3_nano.generator import load_pipeline
from xperience.cosmos3_nano.identity import model_sha256
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet
from xperience.cosmos3_nano.sample import staged_samples
from xperience.cosmos3_nano.tiny import tiny_pipeline
from xperience.training.group import Group

CHECKS = (
    Check(2, "L0", "diffusers ≥ 0.39, transformers ≥ 5.11, classes there, no broken torchvision", software.versions),
    Check(3, "L0", "action_gen, 64 action columns, 32 domains, 48 latents, patch 2, flow_prediction", software.config),
    Check(4, "L0", "15,173,669,120 parameters; 0 missing, 0 unexpected, equal bits", software.load),
    Check(5, "L0", "frames exact, RGB, canvas of the tier, no upscaling; padding reported", data.preprocess_video),
    Check(6, "L0", "≤ 1e-5 m, ≤ 0.01°, rot6d ≤ 1e-4, 99 % of |normalised| ≤ 1.5", data.preprocess_action),
    Check(7, "L0", "offset 0 of actions and of video; a shift by 4 frames raises the error", data.time_alignment),
    Check(8, "L0", "≤ 512 tokens, NVIDIA's form byte by byte, reads back", data.prompt),
    Check(9, "L0", "shapes; velocity exactly 0 of what is given and in padded channels", behaviour.forward),
    Check(10, "L0", "finite in float32 and bfloat16, gap < 0.05", behaviour.finite),
    Check(12, "L0", "output changes with actions, prompt and frames; frame 0 ≥ 30 dB", behaviour.conditioning),
    Check(13, "L0", "same seed: same bits on a CPU", behaviour.determinism),
    Check(18, "L0", "reads back, refuses unknown keys, finite", behaviour.output_schema),
    Check(19, "L0", "each damaged input gives a typed error", software.faults_refused),
    Check(20, "L0", "loss falls ≥ 20 % at fixed noise, only what is meant moves, reload gap 0", trainability.learns),
    Check(21, "L0", "post-training refused (77) without evaluation, audit and record", software.gate),
)


# What only real weights can show: rows of every record, so that nothing that was not run is left unsaid. The reasoner
# comes last: memory is measured without it.
OF_WEIGHTS = (
    Check(1, "L1", "all there and whole, tensors as in the index, Nano's size, licence and revision", weights.files),
    Check(11, "L1", "VAE alone ≥ 28 dB on staged clips", fidelity.decode),
    Check(15, "L1", "NVIDIA's own sample: PSNR ≥ 14 dB, action error ≤ 0.05", fidelity.golden),
    Check(16, "L1", "five clips or more per mode; within --most-seconds where it is given", cost.latency),
    Check(17, "L1", "≤ 80 % of the device, per mode and tier", cost.memory),
    Check(14, "L1", "answers valid under the schema, none cut, black frames change them", reasoning.reasons),
)
OF_A_GPU = (16, 17)
NEEDS_WEIGHTS = "needs the weights of Cosmos3-Nano and a GPU: `check --level L1`"
NEEDS_GPU = "no GPU here: what a CPU takes says nothing of the model's device"


@contextmanager
def one_thread() -> Iterator[None]:
    """The tiny model's convolutions are too small to share: on a busy machine the waiting of a second thread made 92 s
    of CPU of 24 s."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check(
    settings: Cosmos3NanoCheckSettings, group: Group | None = None, stop: Callable[[], bool] = lambda: False
) -> CompatibilityRecord:
    """Rows of L0 on the tiny model over staged clips, those of L1 on the weights of `base` if asked; the record.

    The processes of `group` share the clips; the first one writes. StoppedError where `stop` says so between two rows.
    """
    started, worked = time.monotonic(), time.process_time()
    folder = settings.records.expanduser()
    exported = RecordSet.read(folder / ARTEFACT)
    clips = staged_samples(
        folder, settings.manifest_json.expanduser(), settings.data_root, most=settings.clips, seed=settings.seed,
        share=(group.rank, group.world) if group else (0, 1),
    )  # fmt: skip

    def row(one: Check, subject: Subject) -> CheckRow:
        if stop():
            raise StoppedError(
                "stopped before the last row", where=NAMES[one.number - 1], fix="Run the same command again."
            )
        return row_of(one, subject)

    with tempfile.TemporaryDirectory(prefix="xperience-cosmos3-") as workspace:
        with one_thread():
            subject = Subject(tiny_pipeline(), clips, folder, Path(workspace))
            model, digest = TINY, model_sha256(subject.pipeline)
            rows = [row(one, subject) for one in CHECKS]
        if settings.level == "L1":
            model, digest, found = _of_weights(settings, subject, row)
            rows += found
        else:
            rows += [row_not_run(one.number, "L1", one.threshold, NEEDS_WEIGHTS) for one in OF_WEIGHTS]
    rows.sort(key=lambda found: found.number)
    assert [found.number for found in rows] == list(range(1, len(NAMES) + 1))  # noqa: S101  every row, once
    host = {
        "wall_seconds": round(time.monotonic() - started, 1), "cpu_seconds": round(time.process_time() - worked, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None, "finished_at": now_utc(),
    }  # fmt: skip
    mine = (rows, [sample.record.record_id for sample, _ in clips], digest, host)
    of_all = group.all(mine) if group else [mine]
    if any(other != digest for _, _, other, _ in of_all):
        raise BadDataError("workers have other models", where=str(settings.base), fix="Give all of them one folder.")
    rows = of_all_workers([theirs for theirs, _, _, _ in of_all])
    record = CompatibilityRecord(
        inputs={"manifest": exported.inputs["manifest"], "records": exported.content_sha256}, model=model,
        model_sha256=digest, required_levels=required_levels(model), levels=levels_of(rows), checks=rows,
        clips=sorted(name for _, names, _, _ in of_all for name in names),
        host=host if len(of_all) == 1 else {"workers": [theirs for _, _, _, theirs in of_all]},
    )  # fmt: skip
    if group is None or group.rank == 0:
        record.write(settings.output.expanduser())
    return record


def refuse_failures(record: CompatibilityRecord, output: Path) -> None:
    """RefusedError where a row failed."""
    failed = [f"{row.number} {row.name}: {row.reason}" for row in record.checks if row.verdict == "fail"]
    if failed:
        raise RefusedError(
            "Cosmos3-Nano and this data do not fit", where=str(output), why="; ".join(failed),
            fix="Post-training stays shut until every row of the needed levels passes.",
        )  # fmt: skip


def _of_weights(
    settings: Cosmos3NanoCheckSettings, tiny: Subject, row: Callable[[Check, Subject], CheckRow]
) -> tuple[str, str, list[CheckRow]]:
    """Name and hash of the model in a folder, and the rows of L1. What is there is never called tiny."""
    base, dtype = settings.base.expanduser(), getattr(torch, settings.dtype)
    begun = time.monotonic()
    pipeline = load_pipeline(base, dtype)
    subject = RealSubject(
        pipeline, tiny.clips, tiny.records, tiny.workspace, folder=base, selection=settings.selection,
        golden=settings.golden, dtype=dtype, load_seconds=time.monotonic() - begun, most_seconds=settings.most_seconds,
    )  # fmt: skip
    rows = []
    for one in OF_WEIGHTS:
        if one.number in OF_A_GPU and not torch.cuda.is_available():
            rows.append(row_not_run(one.number, "L1", one.threshold, NEEDS_GPU))
        else:
            rows.append(row(one, subject))
    return f"weights of {base.name}", model_sha256(pipeline), rows
