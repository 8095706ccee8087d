"""What `cosmos3-nano evaluate` left, as the report shows it: figures beside trivial ones, and a few clips."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from xperience.common.errors import UsageError
from xperience.common.evidence import View, ViewPart, artefacts_in


class TrivialView(ViewPart):
    """A trivial prediction, and the 95 % interval of how much better the model is, by session."""

    value: float
    oracle: bool
    interval: tuple[float, float] | None
    verdict: str


class MetricView(ViewPart):
    """One metric beside trivial predictions."""

    items: int
    value: float
    trivial: dict[str, TrivialView]
    verdict: str


class ActionEvaluationView(View):
    """One task on one split."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-action-evaluation/1"

    task: str
    mode: str = ""
    split: str
    model_sha256: str
    clips: int
    sessions: int
    metrics: dict[str, MetricView]


class TextEvaluationView(ActionEvaluationView):
    """A text task."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-text-evaluation/1"


class VideoEvaluationView(ActionEvaluationView):
    """The video task."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-video-evaluation/1"


class ShownClipView(ViewPart):
    """A clip: JPEG of its frames side by side (base64), the camera's true and predicted paths in metres, (T + 1, 3)."""

    record_id: str
    session_id: str
    strip_jpeg: str
    paths_metres: dict[str, list[tuple[float, float, float]]]


class ShownClipsView(View):
    """A few clips of one evaluation."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-shown-clips/1"

    mode: str
    split: str
    clips: list[ShownClipView]


@dataclass(frozen=True, slots=True)
class CosmosResults:
    """Evaluations and clips of a folder, in order of their files' names."""

    evaluations: list[ActionEvaluationView]
    shown: list[ShownClipsView]


def cosmos_results(folder: Path) -> CosmosResults:
    """Every artefact of the evaluation's folder; UsageError where there is none, BadDataError of a damaged one."""
    there = artefacts_in(folder)
    views = (ActionEvaluationView, TextEvaluationView, VideoEvaluationView)
    evaluations = [(path, view) for view in views for path in there.get(view.SCHEMA, [])]
    if not evaluations:
        raise UsageError(
            "no evaluation of Cosmos3-Nano", where=str(folder), fix="Give the --output of `cosmos3-nano evaluate`."
        )
    return CosmosResults(
        [view.read(path) for path, view in sorted(evaluations, key=lambda one: one[0])],
        [ShownClipsView.read(path) for path in there.get(ShownClipsView.SCHEMA, [])],
    )
