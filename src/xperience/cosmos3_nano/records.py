"""The four tasks as records: what a model may see, what it has to say, and where both were taken from.

A record is known by the hash of its canonical JSON. Times are seconds from the episode's first frame.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from xperience.common.errors import BadDataError
from xperience.common.evidence import Part
from xperience.cosmos3_nano.actions import WIDTHS, Domain
from xperience.cosmos3_nano.labels import Moment
from xperience.cosmos3_nano.parts import (
    ActionFile,
    ClipFile,
    FutureTarget,
    Options,
    Prompt,
    Provenance,
    ReasonAnswer,
    Sampler,
)

SCHEMA: Literal["cosmos.task/1"] = "cosmos.task/1"


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
