"""Stored frames: instants at a fixed rate on the device's clock, and which of them a window sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xperience.episode.timeline import NS, Timeline


@dataclass(frozen=True)
class Grid:
    """`source`: (K,) the video frame nearest to each instant; `t_ns`: (K,) that frame's own time."""

    start_ns: int
    rate_millihertz: int
    source: NDArray[np.int64]
    t_ns: NDArray[np.int64]

    def range_for(self, first_ns: int, last_ns: int, context_ms: int) -> tuple[int, int]:
        """First stored frame and number of stored frames around [first_ns, last_ns], always the same number.

        They are centred on the window and shifted, never cut, at the ends; a window longer than the context is
        covered whole, and an episode shorter than it gives all that it has.
        """
        per_ns = self.rate_millihertz / (1000 * NS)
        wanted = max(round(context_ms * self.rate_millihertz / 1e6), round((last_ns - first_ns) * per_ns) + 1, 1)
        count = min(wanted, len(self.source))
        middle = ((first_ns + last_ns) / 2 - self.start_ns) * per_ns
        first = round(middle - (count - 1) / 2)
        return min(max(first, 0), len(self.source) - count), count

    def span_ns(self, first: int, count: int) -> tuple[int, int]:
        """The time that stored frames stand for: from the first one's instant, one period each."""
        period_ns = 1000 * NS / self.rate_millihertz
        return self.start_ns + round(first * period_ns), self.start_ns + round((first + count) * period_ns)


def grid_of(timeline: Timeline, rate_millihertz: int) -> Grid:
    """Instants from the first frame to the last; each shows the frame nearest to it, the earlier one of two."""
    times = timeline.t_ns
    length_ns = int(times[-1] - times[0])
    count = length_ns * rate_millihertz // (1000 * NS) + 1
    instants = times[0] + np.round(np.arange(count) * (1000 * NS / rate_millihertz)).astype(np.int64)
    after = np.clip(np.searchsorted(times, instants), 1, max(len(times) - 1, 1))
    if len(times) == 1:
        source = np.zeros(count, dtype=np.int64)
    else:
        earlier = instants - times[after - 1] <= times[after] - instants
        source = np.where(earlier, after - 1, after).astype(np.int64)
    return Grid(int(times[0]), rate_millihertz, source, times[source])
