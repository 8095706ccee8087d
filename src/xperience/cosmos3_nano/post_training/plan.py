"""The global plan of the generator: which mode and which clips make which step, from a seed alone.

One mode per step, the same on every rank: modes use different parts of the network, and a rank without a gradient
would keep the others waiting. Every rank computes the plan, none communicates.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from xperience.common.errors import BadDataError
from xperience.cosmos3_nano.flow import MODES, Mode, shifted
from xperience.training.seeds import seed_of


@dataclass(frozen=True, slots=True)
class ClipStep:
    """One optimiser step: numbers of clips in their places, all of one mode."""

    mode: Mode
    clips: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """What a place of a step is trained at: the noise's seed, σ after the shift, and another clip for its actions."""

    seed: int
    sigma: float
    other: float


def plan_steps(modes: Sequence[Mode], *, seed: int, epochs: int, clips_per_step: int) -> list[ClipStep]:
    """Each epoch every clip at least once, in an order of its own; a mode's last step begins its clips anew.

    BadDataError where there is no clip.
    """
    if not modes:
        raise BadDataError("no clip to train on", fix="Run `cosmos3-nano export`.")
    steps: list[ClipStep] = []
    for epoch in range(epochs):
        drawn = random.Random(f"{seed}:{epoch}")  # noqa: S311  an order, no secret
        of_epoch: list[ClipStep] = []
        for mode in MODES:
            numbers = [number for number, found in enumerate(modes) if found == mode]
            drawn.shuffle(numbers)
            for start in range(0, len(numbers), clips_per_step):
                places = range(start, start + clips_per_step)
                of_epoch.append(ClipStep(mode, tuple(numbers[place % len(numbers)] for place in places)))
        drawn.shuffle(of_epoch)
        steps += of_epoch
    return steps


def draw_of(seed: int, step: int, place: int, *, tier: int) -> Draw:
    """σ is logit-normal before the tier's shift (as NVIDIA draws it for actions); the same on whichever rank."""
    number = seed_of(seed, step, place)
    drawn = random.Random(number)  # noqa: S311
    return Draw(number, shifted(1 / (1 + math.exp(-drawn.gauss(0, 1))), tier), drawn.random())
