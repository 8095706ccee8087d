"""Action trajectories: errors of predicted actions beside those of trivial predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xperience.common.errors import BadDataError
from xperience.common.paired import Counts
from xperience.cosmos3_nano.actions import Actions
from xperience.cosmos3_nano.evaluation.compared import PLACES, Evaluation, MetricResult, mean_counts, metric
from xperience.cosmos3_nano.evaluation.lines import Line, lines_of
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.parts import ActionFile
from xperience.cosmos3_nano.record_set import ARTEFACT, STATISTICS, RecordSet, read_records
from xperience.cosmos3_nano.records import ActionProxyRecord
from xperience.cosmos3_nano.shown import ShownClips, shown_clip
from xperience.cosmos3_nano.trajectory import METRICS, Errors, best_scale, errors_of, scaled, train_mean, trivial
from xperience.episode.poses import Floats
from xperience.windows.placement import evenly

MOST_SHOWN = 6


class ActionEvaluation(Evaluation):
    """Actions of one mode on the clips of one split; `translation_scale` was fitted on train and frozen."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-action-evaluation/1"

    mode: str
    translation_scale: float
    scale_clips: int


class ActionLine(Line):
    """(T, D) in raw units."""

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


def conclude(
    folder: Path, lines: dict[str, ActionLine], *, split: str, mode: str, scale_records: Sequence[ActionProxyRecord]
) -> ActionEvaluation:
    """The report; BadDataError unless every record of the split has its prediction."""
    records = action_records(folder, split, mode)
    lines_of([*records, *scale_records] if records else [], lines, split)
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
        inputs={"records": RecordSet.read(folder / ARTEFACT).content_sha256}, task="action_proxy", mode=mode,
        split=split, model_sha256=lines[records[0].sha256].model_sha256, clips=len(records),
        sessions=len(set(sessions)), translation_scale=round(scale, PLACES), scale_clips=len(scale_records),
        metrics={
            name: found for name in METRICS if (found := _metric(name, of_model, others, sessions)) is not None
        },
    )  # fmt: skip


def shown(folder: Path, lines: dict[str, ActionLine], *, split: str, mode: str) -> ShownClips:
    """A few clips, evenly over the split, for people: their frames, and the camera's true and predicted paths."""
    records = action_records(folder, split, mode)
    statistics = ActionStatistics.read(folder / STATISTICS)
    chosen = [records[number] for number in evenly(len(records), MOST_SHOWN)]
    return ShownClips(
        inputs={"records": RecordSet.read(folder / ARTEFACT).content_sha256}, mode=mode, split=split,
        clips=[
            shown_clip(
                record.record_id, record.session_id, read_clip(folder / record.clip.uri),
                {"truth": truth_of(folder, record.target_actions, record.domain, statistics).values,
                 "predicted": np.array(lines[record.sha256].actions_raw)},
            )
            for record in chosen
        ],
    )  # fmt: skip


def _metric(
    name: str, mine: Sequence[Errors], others: Mapping[str, tuple[Sequence[Errors], bool]], sessions: Sequence[str]
) -> MetricResult | None:
    """Over the clips that have it: fingertips are there where a hand is seen. None where no clip has it."""
    items = [number for number, one in enumerate(mine) if getattr(one, name) is not None]

    def counts(errors: Sequence[Errors]) -> Counts:
        return mean_counts([getattr(errors[number], name) for number in items])

    theirs = {label: (counts(errors), oracle) for label, (errors, oracle) in others.items()}
    of_items = [sessions[number] for number in items]
    return metric(counts(mine), theirs, of_items, higher_is_better=False) if items else None
