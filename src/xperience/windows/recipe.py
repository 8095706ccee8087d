"""What windows are made by: the settings that change their content, as part of every artefact."""

import re
from typing import Self

from xperience.common.errors import UsageError
from xperience.common.evidence import Part
from xperience.common.layout import VIDEOS
from xperience.common.settings.windows import WindowsBuildSettings

CAMERAS = tuple(name.removesuffix(".mp4") for name in VIDEOS)


class Scale(Part):
    """Windows of `frames` frames, one every `stride` frames."""

    frames: int
    stride: int


class MediaRecipe(Part):
    """How frames and sound are stored. Frames lie at `rate_millihertz`, their longer side has `pixels`.

    `jpeg_scale` is the quantiser of the encoder, from 1 (best) to 31.
    """

    cameras: tuple[str, ...]
    rate_millihertz: int
    pixels: int
    jpeg_scale: int
    sound_hertz: int = 16_000

    @classmethod
    def of(cls, settings: WindowsBuildSettings) -> Self:
        """From the command line; UsageError for a camera that there is not."""
        asked = [name.strip() for name in settings.cameras.split(",") if name.strip()]
        unknown = sorted(set(asked) - set(CAMERAS))
        if unknown or not asked:
            raise UsageError(
                "unknown camera", where="--cameras", why=", ".join(unknown) or "none is named",
                fix=f"Name some of {','.join(CAMERAS)}.",
            )  # fmt: skip
        return cls(
            cameras=tuple(name for name in CAMERAS if name in asked),
            rate_millihertz=round(settings.frame_rate_hz * 1000), pixels=settings.frame_pixels,
            jpeg_scale=settings.jpeg_scale,
        )  # fmt: skip


class LabelRecipe(Part):
    """How windows are placed and labelled. `longest_gap_ms`: a window across a longer hole of the clock is left out."""

    scales: tuple[Scale, ...]
    least_share: float
    longest_gap_ms: int
    cap: int
    context_ms: int
    contact_threshold: float

    @classmethod
    def of(cls, settings: WindowsBuildSettings) -> Self:
        """From the command line."""
        return cls(
            scales=scales_of(settings.scales), least_share=settings.least_label_share,
            longest_gap_ms=round(settings.longest_gap_seconds * 1000), cap=settings.cap,
            context_ms=round(settings.context_seconds * 1000), contact_threshold=settings.contact_threshold,
        )  # fmt: skip


def scales_of(text: str) -> tuple[Scale, ...]:
    """`20/20,40/20` as scales, the shortest window first; UsageError for anything else."""
    found = set()
    for word in filter(None, (word.strip() for word in text.split(","))):
        match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", word)
        if match is None or int(match[1]) < 1 or int(match[2]) < 1:
            raise UsageError("no scale", where="--scales", why=word, fix="Give frames/stride, as in 20/20,40/20.")
        found.add((int(match[1]), int(match[2])))
    if len({frames for frames, _ in found}) != len(found) or not found:
        raise UsageError("no scale" if not found else "two strides of one length", where="--scales", why=text)
    return tuple(Scale(frames=frames, stride=stride) for frames, stride in sorted(found))
