"""Labels per frame, derived from a caption's literal spans, and windows of frames that share one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xperience.episode.captions import Span
from xperience.episode.windowing import LEAST_SHARE, WINDOW_FRAMES, WINDOW_STRIDE

NONE = -1


@dataclass(frozen=True)
class FrameLabels:
    """`codes`: (N,) int32, the place of each frame's text in `vocabulary`, −1 where it has none."""

    vocabulary: tuple[str, ...]
    codes: NDArray[np.int32]

    @property
    def share(self) -> float:
        """Share of frames with a label."""
        return float(np.mean(self.codes != NONE)) if len(self.codes) else 0.0


@dataclass(frozen=True, slots=True)
class LabelledWindow:
    """Frames [first, first + length), the label of most of its labelled frames, and their share."""

    first: int
    text: str
    share: float


def literal_labels(spans: Sequence[Span], frames: int) -> FrameLabels:
    """What the spans say and nothing else; where two overlap, the later one in the caption."""
    vocabulary = tuple(sorted({span.text for span in spans}))
    place = {text: number for number, text in enumerate(vocabulary)}
    codes = np.full(frames, NONE, dtype=np.int32)
    for span in spans:
        codes[span.first : span.last + 1] = place[span.text]
    return FrameLabels(vocabulary, codes)


def filled_labels(labels: FrameLabels) -> FrameLabels:
    """The toolkit's rule: a frame without a label takes the one before it; frames before the first label take that."""
    codes = labels.codes
    known = np.flatnonzero(codes != NONE)
    if len(known) == 0:
        return labels
    last_known = np.maximum.accumulate(np.where(codes != NONE, np.arange(len(codes)), known[0]))
    return FrameLabels(labels.vocabulary, codes[last_known])


def labelled_windows(
    labels: FrameLabels, *, length: int = WINDOW_FRAMES, stride: int = WINDOW_STRIDE, least_share: float = LEAST_SHARE
) -> tuple[LabelledWindow, ...]:
    """Whole windows in which one label has at least `least_share` of the frames that have any."""
    found = []
    for first in range(0, len(labels.codes) - length + 1, stride):
        code, share = majority(labels.codes[first : first + length])
        if code != NONE and share >= least_share:
            found.append(LabelledWindow(first, labels.vocabulary[code], share))
    return tuple(found)


def majority(codes: NDArray[np.int32]) -> tuple[int, float]:
    """The code of most labelled frames, the least of equals, and its share of them; NONE and 0 where there is none."""
    counts = np.bincount(codes[codes != NONE])
    if len(counts) == 0:
        return NONE, 0.0
    most = int(counts.argmax())
    return most, float(counts[most] / counts.sum())
