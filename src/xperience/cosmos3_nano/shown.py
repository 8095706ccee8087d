"""A few clips of an evaluation for people: frames side by side, and the camera's true and predicted paths."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xperience.common.evidence import Evidence, Part
from xperience.cosmos3_nano.actions import BLOCKS
from xperience.cosmos3_nano.geometry import integrated
from xperience.episode.poses import Floats

FRAMES, FRAME_WIDTH, QUALITY = 6, 112, 70


class ShownClip(Part):
    """`strip_jpeg`: base64 of its frames side by side; `paths_metres`: (T + 1, 3) of the camera, from the origin."""

    record_id: str
    session_id: str
    strip_jpeg: str
    paths_metres: dict[str, list[tuple[float, float, float]]]


class ShownClips(Evidence):
    """Clips of one mode and split. They hold pictures of the data set: keep them as you keep the data."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-shown-clips/1"

    mode: str
    split: str
    clips: list[ShownClip]


def shown_clip(record_id: str, session_id: str, frames: NDArray[np.uint8], actions: Mapping[str, Floats]) -> ShownClip:
    """Of (T + 1, H, W, 3) frames and raw (T, D) actions by name (truth, predicted, …)."""
    return ShownClip(
        record_id=record_id, session_id=session_id, strip_jpeg=strip(frames),
        paths_metres={name: path_of(values) for name, values in actions.items()},
    )  # fmt: skip


def strip(frames: NDArray[np.uint8]) -> str:
    """Base64 of a JPEG of some frames, evenly over the clip."""
    from PIL import Image

    chosen = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
    height = max(1, round(frames.shape[1] * FRAME_WIDTH / frames.shape[2]))
    whole = Image.new("RGB", (FRAMES * FRAME_WIDTH, height))
    for place, number in enumerate(chosen.tolist()):
        whole.paste(Image.fromarray(frames[number]).resize((FRAME_WIDTH, height)), (place * FRAME_WIDTH, 0))
    out = io.BytesIO()
    whole.save(out, "JPEG", quality=QUALITY)
    return base64.b64encode(out.getvalue()).decode()


def path_of(values: Floats) -> list[tuple[float, float, float]]:
    """The camera's places of (T, D) raw actions, rounded to 0.1 mm."""
    places: Sequence[Sequence[float]] = integrated(values[:, BLOCKS["camera"]], np.eye(4))[:, :3, 3].round(4).tolist()
    return [(x, y, z) for x, y, z in places]
