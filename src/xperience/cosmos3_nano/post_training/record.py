"""What post-training leaves as evidence, and what it may start from: one data set, one model, by their hashes."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from xperience.common.errors import BadDataError, RefusedError
from xperience.common.evidence import Evidence, Part, artefact_in
from xperience.common.files import locked
from xperience.common.settings.cosmos3_nano import Cosmos3NanoTrainSettings
from xperience.cosmos3_nano.compatibility.record import CompatibilityRecord
from xperience.cosmos3_nano.post_training.grid import Compared, Control
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet

RECORD, GRID = "cosmos3_nano_post_training.json", "grid.json"
PartName = Literal["generator", "reasoner"]
CONTROLS: dict[PartName, str] = {"generator": "controllability", "reasoner": "blind_video"}  # for the report


class PartRun(Part):
    """One part's run: losses on the fixed grid of val before and after, per mode or task.

    `control` is of what the model must look at: actions of another clip for the generator, black frames for the
    reasoner. `shuffled_actions`: a negative control, trained with the actions of other clips. `sessions` were trained
    on.
    """

    fingerprint: str
    steps: int
    samples_per_step: int
    trained_parameters: int
    adapter_sha256: dict[str, str]
    losses: dict[str, Compared]
    control: Control | None = None
    shuffled_actions: bool = False
    sessions: list[str]
    episodes: list[str]


class PostTrainingRecord(Evidence):
    """Both parts, as far as they ran; `metrics` are their figures for the report."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-post-training/1"

    model: str
    model_sha256: str
    parts: dict[PartName, PartRun]
    metrics: dict[str, Any] = Field(default_factory=dict)


class GridLosses(Evidence):
    """The loss at each point of the grid, so that a reloaded adapter can be held against it."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-grid/1"

    points: list[str]
    base: list[float]
    adapter: list[float]


class Start(Part):
    """What a run starts from; `inputs` as its record will name them."""

    inputs: dict[str, str]
    model: str
    model_sha256: str

    def check_model(self, digest: str, base: Path) -> None:
        """RefusedError where the weights are not those that the compatibility record is of."""
        if digest != self.model_sha256:
            raise RefusedError(
                "no compatibility record of this model", where=str(base),
                why=f"its hash is {digest[:12]}, the record's {self.model_sha256[:12]} ({self.model})",
                fix="Run `cosmos3-nano check` on these weights first.",
            )  # fmt: skip


def start_of(settings: Cosmos3NanoTrainSettings) -> Start:
    """RefusedError where records and compatibility record are not of the same data; BadDataError without either."""
    evidence, folder = settings.evidence.expanduser(), settings.records.expanduser()
    place = artefact_in(evidence, CompatibilityRecord.SCHEMA, flag="--evidence")
    if place is None:
        raise RefusedError("no compatibility record", where=str(evidence), fix="Run `cosmos3-nano check`.")
    if not (folder / ARTEFACT).is_file():
        raise BadDataError("no records", where=str(folder / ARTEFACT), fix="Run `cosmos3-nano export`.")
    record, exported = CompatibilityRecord.read(place), RecordSet.read(folder / ARTEFACT)
    known = {"manifest": exported.inputs["manifest"], "records": exported.content_sha256}
    for name, digest in known.items():
        if record.inputs.get(name) != digest:
            raise RefusedError(
                "the compatibility record is of other data", where=str(place),
                why=f"its {name} is {record.inputs.get(name, 'none')[:12]}, that of {folder} {digest[:12]}",
                fix="Run `cosmos3-nano check` on these records.",
            )  # fmt: skip
    return Start(
        inputs=known | {"compatibility": record.content_sha256}, model=record.model, model_sha256=record.model_sha256
    )


def write_record(evidence: Path, start: Start, name: PartName, run: PartRun) -> PostTrainingRecord:
    """Write it with this part; the other part stays where it started from the same."""
    place = evidence / RECORD
    with locked(place):  # both parts may end at once
        parts: dict[PartName, PartRun] = {}
        if place.is_file():
            old = PostTrainingRecord.read(place)
            if (old.inputs, old.model_sha256) == (start.inputs, start.model_sha256):
                parts = dict(old.parts)
        parts[name] = run
        parts = dict(sorted(parts.items()))
        record = PostTrainingRecord(
            inputs=start.inputs, model=start.model, model_sha256=start.model_sha256, parts=parts,
            metrics={name: _figures(name, part) for name, part in parts.items()},
        )  # fmt: skip
        record.write(place)
    return record


def _figures(name: PartName, part: PartRun) -> dict[str, Any]:
    figures: dict[str, Any] = {
        mode: {"base": one.base, "adapter": one.adapter, "fall": one.fall, "verdict": one.verdict}
        for mode, one in part.losses.items()
    }
    figures["steps"] = part.steps
    figures["trained_parameters"] = part.trained_parameters
    if told := part.control:
        figures[CONTROLS[name]] = {
            "gap": told.gap, "share": told.share, "base_gap": told.base_gap, "verdict": told.verdict,
        }  # fmt: skip
    return figures
