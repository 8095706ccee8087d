"""What the records of the four tasks are put together from: clips, prompts, actions, answers."""

from typing import Literal, Self

from pydantic import Field, model_validator

from xperience.common.evidence import Part
from xperience.cosmos3_nano.actions import CONVENTION

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


class Seen(Part):
    """A time that the answer can be seen at."""

    t_s: float


class Contact(Part):
    """Whether each hand touches, and what."""

    left: bool
    right: bool
    object: str | None


class ReasonAnswer(Part):
    """The action, what touches what, and the annotation's own sentence about it."""

    observation: str
    contact: Contact
    physics: str
    evidence: tuple[Seen, ...] = Field(min_length=1)


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
