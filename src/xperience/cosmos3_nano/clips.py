"""Which source frames a clip has: exact frame numbers, every second one, on the device's timeline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xperience.episode.timeline import NS
from xperience.windows.placement import evenly

STRIDE = 2
FRAMES = 17
NOMINAL_FPS = 10.0
# A clip whose frames lie further apart, or closer, than this share of the nominal interval is another rate.
INTERVAL_TOLERANCE = 0.1


@dataclass(frozen=True)
class Clip:
    """`source_frames` (T + 1,) rows of the timeline; action i leads from source_frames[i] to source_frames[i + 1]."""

    source_frames: NDArray[np.int64]
    t_ns: NDArray[np.int64]

    @property
    def median_fps(self) -> float:
        """By the median interval of its own frames."""
        return NS / float(np.median(np.diff(self.t_ns)))


@dataclass(frozen=True)
class Placed:
    """Clips in time order; `off_rate` and `untracked` count those that were dropped."""

    clips: tuple[Clip, ...]
    off_rate: int
    untracked: int


def place_clips(
    t_ns: NDArray[np.int64], tracked: NDArray[np.bool_], *, frames: int = FRAMES, most: int | None = None
) -> Placed:
    """Clips of `frames` frames, side by side, evenly at most `most`.

    A clip is dropped where one of its intervals is more than 10 % off 1/10 s, or its camera is not tracked in a frame.
    """
    reach = STRIDE * (frames - 1)
    nominal = NS / NOMINAL_FPS
    clips, off_rate, untracked = [], 0, 0
    for first in range(0, len(t_ns) - reach, reach):
        source = np.arange(first, first + reach + 1, STRIDE, dtype=np.int64)
        intervals = np.diff(t_ns[source])
        if (np.abs(intervals - nominal) > INTERVAL_TOLERANCE * nominal).any():
            off_rate += 1
        elif not tracked[source].all():
            untracked += 1
        else:
            clips.append(Clip(source, t_ns[source]))
    kept = clips if most is None else [clips[number] for number in evenly(len(clips), most)]
    return Placed(tuple(kept), off_rate, untracked)
