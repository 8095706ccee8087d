"""A sample: one window as the model meets it, free of where it was read from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HERTZ = 16_000


@dataclass(frozen=True)
class Sample:
    """`frames` (T, H, W, 3) RGB, H and W multiples of 32; `waveform` (N,) at 16 kHz from −1 to 1; None is not there.

    `begin_seconds` and `end_seconds` are the asked window within the clip; `frame_seconds` lie between two frames.
    """

    id: str
    answer: Mapping[str, Any]
    begin_seconds: float
    end_seconds: float
    frames: NDArray[np.uint8] | None = None
    frame_seconds: float = 1.0
    waveform: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class SampleFacts:
    """What is known of a sample before its media are read: enough to count its tokens and to score an answer.

    `place` is where in its recording it begins, from 0 to 1.
    """

    id: str
    session: str
    split: str
    answer: Mapping[str, Any]
    begin_seconds: float
    end_seconds: float
    frames: int = 0
    height: int = 0
    width: int = 0
    samples: int = 0
    place: float = 0.0
    episode: str = ""


class Samples(Protocol):
    """Samples by number; `facts` costs no reading of media."""

    content_sha256: str

    @property
    def facts(self) -> list[SampleFacts]:
        """All of them, in one fixed order."""
        ...

    def read(self, number: int) -> Sample:
        """One, with its media."""
        ...
