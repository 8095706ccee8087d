"""Contact of hands and of feet, from continuous values per joint."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Contact = Literal["yes", "no", "unknown"]
# Places in `full_body_mocap/contacts`: its 21 joints are SMPL-H's body joints without the pelvis.
HANDS = {"left_wrist": 19, "right_wrist": 20}
FEET = {"left_ankle": 6, "right_ankle": 7, "left_foot": 9, "right_foot": 10}
LEAST_SHARE = 0.5


def touching(contacts: NDArray[np.float32], joints: dict[str, int], threshold: float) -> NDArray[np.float64]:
    """(N,) 1 where one of the joints has at least `threshold`, 0 where none has, NaN where no joint has a value.

    A bare `> 0` would say yes nearly always: the values are a network's output between 0 and 1.
    """
    values = contacts[:, list(joints.values())].astype(np.float64)
    known = np.isfinite(values)
    reached = (np.where(known, values, -np.inf) >= threshold).any(axis=1)
    return np.where(known.any(axis=1), reached.astype(np.float64), np.nan)


def contact_of(touched: NDArray[np.float64] | None, first: int, stop: int) -> Contact:
    """Whether at least half of the window's known frames touch; unknown where fewer than half of them are known."""
    if touched is None:
        return "unknown"
    values = touched[first:stop]
    known = values[np.isfinite(values)]
    if len(known) < LEAST_SHARE * len(values) or len(known) == 0:
        return "unknown"
    return "yes" if known.mean() >= LEAST_SHARE else "no"
