"""Which windows there are, and which of them a cap keeps: pure functions of counts and labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xperience.episode.labels import FrameLabels, labelled_windows
from xperience.episode.timeline import Timeline
from xperience.windows.recipe import LabelRecipe


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Frames [first, first + frames), the action of most of them, and its share."""

    first: int
    frames: int
    action: str
    share: float

    @property
    def stop(self) -> int:
        """One behind the last frame."""
        return self.first + self.frames


@dataclass(frozen=True, slots=True)
class Placed:
    """Windows in time order; `over_gap` is how many more lie across a hole of the clock."""

    places: tuple[Place, ...]
    over_gap: int


def place_windows(actions: FrameLabels, timeline: Timeline, recipe: LabelRecipe) -> Placed:
    """All labelled windows of all scales, without those whose frames are further apart than the recipe allows."""
    gaps_ns = np.diff(timeline.t_ns)
    places, over_gap = [], 0
    for scale in recipe.scales:
        for window in labelled_windows(
            actions, length=scale.frames, stride=scale.stride, least_share=recipe.least_share
        ):
            inside = gaps_ns[window.first : window.first + scale.frames - 1]
            if len(inside) and int(inside.max()) > recipe.longest_gap_ms * 1_000_000:
                over_gap += 1
            else:
                places.append(Place(window.first, scale.frames, window.text, window.share))
    return Placed(tuple(sorted(places)), over_gap)


def evenly(count: int, most: int) -> tuple[int, ...]:
    """`most` of 0 … count-1, the middle of each of `most` equal strata; all of them where there are no more."""
    if count <= most:
        return tuple(range(count))
    return tuple((2 * number + 1) * count // (2 * most) for number in range(most))


def capped(places: Sequence[Place], most: int) -> tuple[Place, ...]:
    """At most `most` windows, in time order: each scale its fair share, and of each scale evenly over time.

    Shares are proportional to the windows of a scale, what is left over goes to the largest remainders.
    """
    if len(places) <= most:
        return tuple(places)
    by_scale: dict[int, list[Place]] = {}
    for place in sorted(places):
        by_scale.setdefault(place.frames, []).append(place)
    quotas = {frames: len(found) * most // len(places) for frames, found in by_scale.items()}
    remainders = sorted(by_scale, key=lambda frames: (-(len(by_scale[frames]) * most % len(places)), frames))
    for frames in remainders[: most - sum(quotas.values())]:
        quotas[frames] += 1
    kept = [found[number] for frames, found in by_scale.items() for number in evenly(len(found), quotas[frames])]
    return tuple(sorted(kept))
