"""An episode's timeline: the device timestamp of each video frame, in ns."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError

NS = 1_000_000_000
# A timestamp further outside than this belongs to another clock.
OUTSIDE_NS = NS
LONGEST_TEXT_BYTES = 64


class TimelineError(BadDataError):
    """Values that are no timestamps (65)."""


@dataclass(frozen=True)
class Timeline:
    """`t_ns`: (N,) int64, ns on the device's clock, in file order, N ≥ 1."""

    t_ns: NDArray[np.int64]

    @property
    def frames(self) -> int:
        """N."""
        return len(self.t_ns)

    @property
    def strictly_increasing(self) -> bool:
        """Whether each frame is later than the one before."""
        return bool(np.all(self.t_ns[1:] > self.t_ns[:-1]))

    @property
    def frames_per_second(self) -> float | None:
        """By the median distance of frames, which a gap does not move; None for one frame or a clock that stands."""
        if self.frames < 2:
            return None
        distance = float(np.median(np.diff(self.t_ns)))
        return NS / distance if distance > 0 else None

    @property
    def longest_gap_seconds(self) -> float:
        """The longest distance of two frames; 0 for one frame."""
        return float(np.diff(self.t_ns).max()) / NS if self.frames > 1 else 0.0

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        order = np.argsort(self.t_ns, kind="stable")
        return self.t_ns[order], order

    def nearest(self, t_ns: int) -> int | None:
        """The frame nearest to a time, the earlier one of two; None more than a second outside of the timeline."""
        times, order = self._sorted
        if not int(times[0]) - OUTSIDE_NS <= t_ns <= int(times[-1]) + OUTSIDE_NS:
            return None
        place = int(np.searchsorted(times, t_ns))
        if place == len(times) or (place > 0 and t_ns - int(times[place - 1]) <= int(times[place]) - t_ns):
            place -= 1
        return int(order[place])


def timeline_of(values: NDArray[Any]) -> Timeline:
    """A timeline from `video/device_timestamp`: integers, whole floats, or bytes of digits (NUL padded, also *.jpg).

    Shapes (N,) and (N, 1) are taken. TimelineError names the first value that is no timestamp.
    """
    if values.ndim == 0 or values.size == 0 or values.size != max(values.shape):
        raise TimelineError("no timeline", why=f"shape is {values.shape}, expected (N,)")
    flat = values.reshape(-1)
    if flat.dtype.kind in "iu":
        if flat.dtype.kind == "u" and int(flat.max()) > np.iinfo(np.int64).max:
            raise TimelineError("no timeline", why=f"{int(flat.max())} is no time in ns")
        found = flat.astype(np.int64)
    elif flat.dtype.kind == "f":
        if not (np.isfinite(flat).all() and (flat == np.floor(flat)).all() and (np.abs(flat) < 2.0**62).all()):
            raise TimelineError("no timeline", why="floats that are no whole ns")
        found = flat.astype(np.int64)
    elif flat.dtype.kind in "SO":
        found = np.array([_of_text(value, number) for number, value in enumerate(flat)], dtype=np.int64)
    else:
        raise TimelineError("no timeline", why=f"type is {flat.dtype}, expected integers or bytes")
    if int(found.min()) < 0:
        raise TimelineError("no timeline", why=f"{int(found.min())} is no time in ns")
    return Timeline(found)


def _of_text(value: Any, number: int) -> int:
    text = value.encode(errors="replace") if isinstance(value, str) else value
    if not isinstance(text, bytes) or len(text) > LONGEST_TEXT_BYTES:
        raise TimelineError("no timeline", why=f"value {number} is no timestamp")
    digits = text.rstrip(b"\0 ").removesuffix(b".jpg")
    if not digits.isdigit() or int(digits) > np.iinfo(np.int64).max:
        raise TimelineError("no timeline", why=f"value {number} is {text[:30]!r}")
    return int(digits)
