"""Evaluation of the action tasks: predictions line by line, errors beside those of trivial predictions."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import ValidationError

from xperience.common.errors import BadDataError, ConfigurationError
from xperience.common.evidence import Evidence, Part
from xperience.common.files import whole_lines
from xperience.common.paired import TOO_FEW, paired_interval
from xperience.cosmos3_nano.actions import Actions
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.parts import ActionFile
from xperience.cosmos3_nano.record_set import ARTEFACT, STATISTICS, RecordSet, read_records
from xperience.cosmos3_nano.records import ActionProxyRecord
from xperience.cosmos3_nano.trajectory import METRICS, Errors, best_scale, errors_of, scaled, train_mean, trivial
from xperience.episode.poses import Floats

PLACES = 6
BETTER, NOT_BETTER = "better than trivial", "not better than trivial"


class Compared(Part):
    """A trivial prediction: its mean error, and the 95 % interval of how much less the model's is, by session."""

    error: float
    oracle: bool
    difference: float
    interval: tuple[float, float] | None
    verdict: str


class MetricResult(Part):
    """One metric. `verdict` is over all that are no oracle."""

    clips: int
    error: float
    trivial: dict[str, Compared]
    verdict: str


class ActionEvaluation(Evidence):
    """Actions of one mode on the clips of one split; `translation_scale` was fitted on train and frozen."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-action-evaluation/1"

    mode: str
    split: str
    model_sha256: str
    clips: int
    sessions: int
    translation_scale: float
    scale_clips: int
    metrics: dict[str, MetricResult]


class Line(Part):
    """One prediction, (T, D) in raw units; `model_sha256` and sampler say what drew it."""

    record_sha256: str
    model_sha256: str
    seed: int
    steps: int
    actions_raw: list[list[float]]


def action_records(folder: Path, split: str, mode: str) -> list[ActionProxyRecord]:
    """The records of a split and a mode."""
    found = [record for record in read_records(folder, "action_proxy") if isinstance(record, ActionProxyRecord)]
    return [record for record in found if record.split == split and record.mode == mode]


def truth_of(folder: Path, actions: ActionFile, domain: Any, statistics: ActionStatistics) -> Actions:
    """The stored target in raw units; clamped values stay clamped. BadDataError where its statistics are others."""
    if actions.stats_sha256 != statistics.content_sha256:
        raise BadDataError("statistics are not those of the record", where=actions.uri, fix="Run `export` again.")
    values, valid = np.load(folder / actions.uri, allow_pickle=False), np.load(folder / actions.valid_uri)
    return Actions(domain, statistics.raw(values.astype(np.float64)), valid)


def read_lines(path: Path) -> dict[str, Line]:
    """Predictions by record; half a line at the end of a killed run is cut off."""
    try:
        lines = [Line.model_validate_json(line) for line in whole_lines(path, cut=True)]
    except ValidationError as error:
        raise BadDataError("not a prediction", where=str(path), why=str(error.errors()[0]["msg"])) from error
    return {line.record_sha256: line for line in lines}


def predict(
    path: Path, records: Sequence[ActionProxyRecord], draw: Callable[[ActionProxyRecord], Floats], *,
    model_sha256: str, seed: int, steps: int, stop: Callable[[], bool] = lambda: False,
) -> int:  # fmt: skip
    """Predict what has no line yet; returns how many have. ConfigurationError where lines are of another model."""
    known = read_lines(path)
    for line in known.values():
        if (line.model_sha256, line.seed, line.steps) != (model_sha256, seed, steps):
            raise ConfigurationError(
                "predictions of another model or sampler", where=str(path), fix="Give another --output, or remove them."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    for record in records:
        if record.sha256 in known or stop():
            continue
        line = Line(
            record_sha256=record.sha256, model_sha256=model_sha256, seed=seed, steps=steps,
            actions_raw=draw(record).tolist(),
        )  # fmt: skip
        with path.open("a") as file:
            file.write(json.dumps(line.model_dump()) + "\n")
        known[record.sha256] = line
    return sum(record.sha256 in known for record in records)


def conclude(
    folder: Path, lines: dict[str, Line], *, split: str, mode: str, scale_records: Sequence[ActionProxyRecord]
) -> ActionEvaluation:
    """The report; BadDataError unless every record of the split has its prediction."""
    records = action_records(folder, split, mode)
    missing = [record.record_id for record in records if record.sha256 not in lines]
    if missing or not records:
        raise BadDataError(
            "predictions are missing", where=missing[0] if missing else split, why=f"{len(missing)} of {len(records)}"
        )
    statistics = ActionStatistics.read(folder / STATISTICS)

    def truth(record: ActionProxyRecord) -> Actions:
        return truth_of(folder, record.target_actions, record.domain, statistics)

    def said(record: ActionProxyRecord) -> Floats:
        return np.array(lines[record.sha256].actions_raw)

    mean = train_mean([truth(record) for record in action_records(folder, "train", mode)])
    scale = 1.0
    if scale_records:
        scale = best_scale(
            np.concatenate([truth(record).values[:, :3] for record in scale_records]),
            np.concatenate([said(record)[:, :3] for record in scale_records]),
        )
    of_model = [errors_of(truth(record), scaled(said(record), scale)) for record in records]
    others: dict[str, tuple[list[Errors], bool]] = {}
    for record in records:
        for name, (values, oracle) in trivial(truth(record), mean).items():
            others.setdefault(name, ([], oracle))[0].append(errors_of(truth(record), values))
    if len(records) > 1:
        # What the model said of another clip: where this is as good, the video was not looked at.
        moved = [*records[1:], records[0]]
        pairs = zip(records, moved, strict=True)
        others["prediction of another clip"] = (
            [errors_of(truth(record), scaled(said(other), scale)) for record, other in pairs], False
        )  # fmt: skip
    sessions = [record.session_id for record in records]
    return ActionEvaluation(
        inputs={"records": RecordSet.read(folder / ARTEFACT).content_sha256}, mode=mode, split=split,
        model_sha256=lines[records[0].sha256].model_sha256, clips=len(records), sessions=len(set(sessions)),
        translation_scale=round(scale, PLACES), scale_clips=len(scale_records),
        metrics={
            metric: _metric(metric, of_model, others, sessions) for metric in METRICS
            if all(getattr(one, metric) is not None for one in of_model)
        },
    )  # fmt: skip


def _metric(
    metric: str, of_model: Sequence[Errors], others: dict[str, tuple[list[Errors], bool]], sessions: Sequence[str]
) -> MetricResult:
    mine = np.array([asdict(one)[metric] for one in of_model], dtype=float)
    compared = {}
    for name, (errors, oracle) in others.items():
        theirs = np.array([asdict(one)[metric] for one in errors], dtype=float)
        ones = np.ones(len(mine))
        found, verdict = paired_interval((theirs, ones), (mine, ones), sessions), TOO_FEW
        interval = (round(found[0], PLACES), round(found[1], PLACES)) if found else None
        if interval:
            verdict = BETTER if interval[0] > 0 else NOT_BETTER
        compared[name] = Compared(
            error=round(float(theirs.mean()), PLACES), oracle=oracle, interval=interval, verdict=verdict,
            difference=round(float((theirs - mine).mean()), PLACES),
        )  # fmt: skip
    verdicts = {one.verdict for one in compared.values() if not one.oracle}
    return MetricResult(
        clips=len(mine), error=round(float(mine.mean()), PLACES), trivial=compared,
        verdict=TOO_FEW if TOO_FEW in verdicts else BETTER if verdicts == {BETTER} else NOT_BETTER,
    )  # fmt: skip
