"""What was found in the files of an episode: counts and shares, never a caption's text."""

from pydantic import BaseModel, ConfigDict

from xperience.episode.video import VideoContent, VideoHeader


class Facts(BaseModel):
    """Base: frozen; unknown fields are errors, since a reader that was taken over might send any."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TimelineFacts(Facts):
    """`video/device_timestamp`."""

    frames: int
    first_ns: int
    last_ns: int
    strictly_increasing: bool
    frames_per_second: float | None
    longest_gap_ms: int


class CaptionFacts(Facts):
    """The caption on the timeline; `labelled_share` counts the frames of literal action spans."""

    key: str
    inline: bool
    size_bytes: int
    segments: int
    actions: int
    subtasks: int
    resolved_actions: int
    resolved_subtasks: int
    faults: int
    labelled_share: float
    labelled_windows: int


class MotionFacts(Facts):
    """Shares of the `rows` that were looked at; None where the data set is not there.

    A row is valid with a pose of the head and at least one visible hand.
    """

    rows: int
    sampled: bool
    pose_share: float | None
    left_hand_share: float | None
    right_hand_share: float | None
    valid_share: float | None


class AnnotationFacts(Facts):
    """annotation.hdf5. `missing` counts no data set of a missing group; `faults` are parts that cannot be read."""

    groups: tuple[str, ...]
    missing_groups: tuple[str, ...]
    missing: tuple[str, ...]
    unlike_schema: tuple[str, ...]
    timeline: TimelineFacts | None
    caption: CaptionFacts | None
    motion: MotionFacts | None
    has_stereo_calibration: bool
    faults: tuple[str, ...]


class Texts(Facts):
    """What an audit reads: the caption's JSON (None where there is none) with size and hash of its bytes; metadata."""

    caption: str | None
    size_bytes: int
    sha256: str | None
    device_id: str | None
    time_created: str | None


class VideoFacts(Facts):
    """One MP4: its tables, and, where it was read whole, what was counted and decoded."""

    codec: str
    width: int
    height: int
    frames: int | None
    duration_ms: int | None
    frames_per_second: float | None
    audio_codec: str | None
    audio_rate_hz: int | None
    audio_duration_ms: int | None
    counted_frames: int | None = None
    decoded_first: int | None = None
    decoded_last: int | None = None


def video_facts(header: VideoHeader, content: VideoContent | None = None) -> VideoFacts:
    """As a model."""
    return VideoFacts(
        codec=header.codec, width=header.width, height=header.height, frames=header.frames,
        duration_ms=header.duration_ms, audio_codec=header.audio_codec, audio_rate_hz=header.audio_rate_hz,
        audio_duration_ms=header.audio_duration_ms,
        frames_per_second=None if header.frames_per_second is None else round(header.frames_per_second, 4),
        counted_frames=content and content.frames, decoded_first=content and content.decoded_first,
        decoded_last=content and content.decoded_last,
    )  # fmt: skip
