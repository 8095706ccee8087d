"""The four tasks as records: what a model may see, what it has to say, and where both were taken from.

A record is known by the hash of its canonical JSON. Times are seconds from the episode's first frame.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from xperience.common.errors import BadDataError
from xperience.common.evidence import Part
from xperience.cosmos3_nano.actions import CONVENTION, WIDTHS, Domain
from xperience.cosmos3_nano.labels import Moment

SCHEMA: Literal["cosmos.task/1"] = "cosmos.task/1"
OTHER = "other"


class ClipFile(Part):
    """Frames of one camera as an MP4. `fps` is the median of its own frames, `source_fps` that of the episode."""

    camera: str
    uri: str
    sha256: str
    source_frames: tuple[int, ...]
    source_fps: float
    fps: float
    num_frames: int
    width: int
    height: int
    t0_s: float
    t1_s: float

    @model_validator(mode="after")
    def _counted(self) -> Self:
        steps = {b - a for a, b in zip(self.source_frames, self.source_frames[1:], strict=False)}
        if len(self.source_frames) != self.num_frames or len(steps) > 1 or min(steps, default=1) < 1:
            raise ValueError(f"{self.num_frames} frames, source_frames has {len(self.source_frames)}, steps {steps}")
        if self.t1_s < self.t0_s:
            raise ValueError("it ends before it begins")
        return self


class Prompt(Part):
    """What is asked; `text_until_s` is the latest time of an annotation that the text tells of, None for none."""

    text: str
    viewpoint: Literal["ego_view"] = "ego_view"
    template: str
    text_until_s: float | None


class Provenance(Part):
    """Data sets of the annotation that the record is made of, its file's hash, and the statistics' hash."""

    fields: tuple[str, ...]
    annotation_sha256: str
    exporter: str
    stats_sha256: str | None


class ActionFile(Part):
    """An array of actions, .npy; `valid` is the array of what was seen, where hands may be missing."""

    uri: str
    sha256: str
    shape: tuple[int, int]
    dtype: Literal["float32"] = "float32"
    space: Literal["raw", "normalised"]
    normaliser: Literal["quantile"]
    stats_sha256: str
    convention: Literal["c2w_inv_prev_rot6d_cols"] = CONVENTION
    valid_uri: str
    valid_sha256: str
    clamped_share: float


class Sampler(Part):
    """How a video is drawn from the model; `flow_shift` counts only without karras."""

    steps: int = 30
    guidance: float = 1.0
    flow_shift: float = 10.0
    karras: Literal[False] = False
    seed: int = 0


class Record(Part):
    """The envelope. `visible_frames` of the clip are input; nothing later than `visible_until_s` may be."""

    schema_: Literal["cosmos.task/1"] = Field(default=SCHEMA, alias="schema")
    record_id: str
    task: str
    session_id: str
    episode_id: str
    split: Literal["train", "val", "test"]
    clip: ClipFile
    visible_frames: int = Field(ge=1)
    visible_until_s: float
    prompt: Prompt
    provenance: Provenance

    @model_validator(mode="after")
    def _leaks_nothing(self) -> Self:
        clip = self.clip
        if self.visible_frames > clip.num_frames:
            raise ValueError("more frames are visible than the clip has")
        spans = max(1, clip.num_frames - 1)
        last_seen = clip.t0_s + (clip.t1_s - clip.t0_s) * (self.visible_frames - 1) / spans
        # Frames may lie a tenth of an interval off their even places.
        slack = 0.1 * (clip.t1_s - clip.t0_s) / spans if self.visible_frames < clip.num_frames else 0.0
        if last_seen > self.visible_until_s + slack + 1e-9:
            raise ValueError(f"a frame of {last_seen:.3f} s is visible, visible_until_s is {self.visible_until_s}")
        if self.prompt.text_until_s is not None and self.prompt.text_until_s > self.visible_until_s + 1e-9:
            raise ValueError(f"the prompt tells of {self.prompt.text_until_s} s, after visible_until_s")
        return self

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def line(self) -> str:
        """Canonical JSON, one line."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def sha256(self) -> str:
        """What the record is known by."""
        return hashlib.sha256(self.line().encode()).hexdigest()


class Seen(Part):
    """A time that the answer can be seen at."""

    t_s: float


class Contact(Part):
    """Whether each hand touches, None where it is not known, and what."""

    left: bool | None
    right: bool | None
    object: str | None


class ReasonAnswer(Part):
    """The action, what touches what, and the annotation's own sentence about it."""

    observation: str
    contact: Contact
    physics: str
    evidence: tuple[Seen, ...] = Field(min_length=1)


class ReasonRecord(Record):
    """Video and text → physical reasoning text."""

    task: Literal["reason"] = "reason"
    target: ReasonAnswer

    @model_validator(mode="after")
    def _evidence_is_in_the_clip(self) -> Self:
        for seen in self.target.evidence:
            if not self.clip.t0_s - 1e-9 <= seen.t_s <= self.visible_until_s + 1e-9:
                raise ValueError(f"evidence of {seen.t_s} s is not in the clip")
        return self


class Options(Part):
    """The labels of train and `other`, as a JSON list in a file of their own."""

    uri: str
    sha256: str
    count: int


class FutureTarget(Part):
    """What comes next; `next_action` is one of the options."""

    next_action: str
    contact_state: Literal["left", "right", "both", "none", "unknown"]
    transition: bool
    objects: list[str]


class FutureLabelRecord(Record):
    """Video and text → the label of what comes within `horizon_s`. `current` is for baselines, never shown."""

    task: Literal["future_label"] = "future_label"
    horizon_s: float
    options: Options
    target: FutureTarget
    target_from_s: float
    current: Moment

    @model_validator(mode="after")
    def _the_future_is_not_seen(self) -> Self:
        if self.target_from_s <= self.visible_until_s:
            raise ValueError(f"the target begins at {self.target_from_s} s, visible_until_s is {self.visible_until_s}")
        return self


class _WithActions(Record):
    domain: Domain
    chunk: int

    def _joins(self, actions: ActionFile) -> None:
        if actions.shape != (self.chunk, WIDTHS[self.domain]):
            raise ValueError(f"actions are {actions.shape}, not {(self.chunk, WIDTHS[self.domain])}")
        if len(self.clip.source_frames) != self.chunk + 1:
            raise ValueError(f"{len(self.clip.source_frames)} frames for {self.chunk} actions")
        if actions.stats_sha256 != self.provenance.stats_sha256:
            raise ValueError("two different statistics")


class ForwardDynamicsRecord(_WithActions):
    """Frame 0 and actions → video; `target_clip` are the very frames of `clip`."""

    task: Literal["forward_dynamics"] = "forward_dynamics"
    mode: Literal["forward_dynamics"] = "forward_dynamics"
    visible_frames: Literal[1] = 1
    actions: ActionFile
    tier: Literal[256, 480, 704, 720]
    target_clip: ClipFile
    sampler: Sampler

    @model_validator(mode="after")
    def _one_time_for_both(self) -> Self:
        self._joins(self.actions)
        if self.target_clip != self.clip:
            raise ValueError("the target clip is not the clip that the actions belong to")
        return self


class ActionProxyRecord(_WithActions):
    """Video (inverse dynamics) or frame 0 and text (policy) → actions."""

    task: Literal["action_proxy"] = "action_proxy"
    mode: Literal["inverse_dynamics", "policy"]
    target_actions: ActionFile
    tier: Literal[256, 480, 704, 720]

    @model_validator(mode="after")
    def _sees_what_its_mode_sees(self) -> Self:
        self._joins(self.target_actions)
        if self.visible_frames != (1 if self.mode == "policy" else self.clip.num_frames):
            raise ValueError(f"{self.visible_frames} visible frames in mode {self.mode}")
        return self


AnyRecord = Annotated[
    ReasonRecord | FutureLabelRecord | ForwardDynamicsRecord | ActionProxyRecord, Field(discriminator="task")
]
_ADAPTER: TypeAdapter[ReasonRecord | FutureLabelRecord | ForwardDynamicsRecord | ActionProxyRecord] = TypeAdapter(
    AnyRecord
)
TASKS = ("reason", "future_label", "forward_dynamics", "action_proxy")


def read_record(line: str | bytes, where: str) -> AnyRecord:
    """One line; BadDataError names the first fault."""
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadDataError("not a task record", where=where, why=f"{place} {first['msg']}") from error
