"""One task of one split: load what answers it, predict what is left, report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xperience.common.errors import StoppedError
from xperience.common.settings.cosmos3_nano import Cosmos3NanoEvaluateSettings
from xperience.cosmos3_nano.evaluation import actions, answered, drawn_video, future_label, reason, text, video
from xperience.cosmos3_nano.evaluation.compared import Evaluation
from xperience.cosmos3_nano.evaluation.lines import AnyLine, AnyTaskRecord, DrawnBy, predict, read_lines
from xperience.cosmos3_nano.generator import draw, load_pipeline
from xperience.cosmos3_nano.identity import model_sha256, weights_sha256
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.reasoner import load_reasoner
from xperience.cosmos3_nano.record_set import STATISTICS
from xperience.cosmos3_nano.records import ActionProxyRecord, FutureLabelRecord, ReasonRecord
from xperience.cosmos3_nano.sample import read_sample

Settings = Cosmos3NanoEvaluateSettings
Stop = Callable[[], bool]


def evaluate(settings: Settings, stop: Stop = lambda: False) -> Evaluation:
    """Predictions and report go to `settings.output`. StoppedError where `stop` asked for it: run it again."""
    of_task = {"action_proxy": _actions, "forward_dynamics": _video, "reason": _text, "future_label": _text}
    report = of_task[settings.task](settings, stop)
    report.write(_path(settings).with_suffix(".json"))
    return report


def _path(settings: Settings) -> Path:
    name = settings.mode if settings.task == "action_proxy" else settings.task
    return settings.output.expanduser() / f"{name}-{settings.split}.jsonl"


def _predicted(
    settings: Settings, kind: type[AnyLine], records: Sequence[AnyTaskRecord],
    predicted: Callable[[AnyTaskRecord], dict[str, Any]], by: DrawnBy, stop: Stop,
) -> dict[str, AnyLine]:  # fmt: skip
    path = _path(settings)
    if predict(path, kind, records, predicted, by, stop=stop) < len(records):
        raise StoppedError("stopped before the last prediction", where=str(path), fix="Run the same command again.")
    return read_lines(path, kind)


def _actions(settings: Settings, stop: Stop) -> Evaluation:
    folder = settings.records.expanduser()
    pipeline = load_pipeline(settings.base.expanduser(), getattr(torch, settings.dtype))
    statistics = ActionStatistics.read(folder / STATISTICS)

    def drawn(record: ActionProxyRecord) -> dict[str, Any]:
        found = draw(pipeline, read_sample(folder, record), record.mode, seed=settings.seed, steps=settings.steps,
                     latents=True)  # fmt: skip
        assert found.actions is not None  # noqa: S101  both modes predict them
        return {"actions_raw": statistics.raw(found.actions.astype(np.float64)).tolist()}

    scale = actions.action_records(folder, "train", settings.mode)[: settings.scale_clips]
    asked = [*scale, *actions.action_records(folder, settings.split, settings.mode)]
    by = DrawnBy(model_sha256=model_sha256(pipeline), seed=settings.seed, steps=settings.steps)
    lines = _predicted(settings, actions.ActionLine, asked, drawn, by, stop)
    clips = actions.shown(folder, lines, split=settings.split, mode=settings.mode)
    clips.write(_path(settings).with_suffix(".clips.json"))
    return actions.conclude(folder, lines, split=settings.split, mode=settings.mode, scale_records=scale)


def _video(settings: Settings, stop: Stop) -> Evaluation:
    folder = settings.records.expanduser()
    pipeline = load_pipeline(settings.base.expanduser(), getattr(torch, settings.dtype))
    made = drawn_video.drawing(folder, settings.output.expanduser(), pipeline, seed=settings.seed, steps=settings.steps,
                         draws=settings.draws)  # fmt: skip
    by = DrawnBy(model_sha256=model_sha256(pipeline), seed=settings.seed, steps=settings.steps, draws=settings.draws)
    records = video.video_records(folder, settings.split)
    return video.conclude(folder, _predicted(settings, video.VideoLine, records, made, by, stop), split=settings.split)


def _text(settings: Settings, stop: Stop) -> Evaluation:
    folder = settings.records.expanduser()
    reasoner = load_reasoner(settings.base.expanduser(), getattr(torch, settings.dtype))
    answering = answered.answering(folder, reasoner, settings.answer_tokens)
    # Nothing is drawn: the likeliest answer has no seed.
    by = DrawnBy(model_sha256=weights_sha256(reasoner.model), seed=0, steps=settings.answer_tokens)
    if settings.task == "reason":
        asked = text.text_records(folder, ReasonRecord, settings.split)
        return reason.conclude(
            folder, _predicted(settings, text.TextLine, asked, answering, by, stop), split=settings.split
        )
    labels = text.text_records(folder, FutureLabelRecord, settings.split)
    return future_label.conclude(
        folder, _predicted(settings, text.TextLine, labels, answering, by, stop), split=settings.split
    )
