"""The global plan: which samples make which step, from a seed alone; a step's samples are of one kind.

The generator's kinds are its modes: one mode per step on every rank, since modes differ in length and cost, and ranks
wait for each other. Every rank computes the plan, none communicates.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from xperience.common.errors import BadDataError
from xperience.cosmos3_nano.flow import shifted
from xperience.training.seeds import seed_of


@dataclass(frozen=True, slots=True)
class SampleStep:
    """One optimiser step: numbers of samples in their places, all of one kind."""

    kind: str
    samples: tuple[int, ...]

    def places(self, rank: int, world: int) -> list[int]:
        """A rank's places."""
        return list(range(rank, len(self.samples), world))


@dataclass(frozen=True, slots=True)
class Draw:
    """What a place of a step is trained at: the noise's seed, σ after the shift, and another clip for its actions."""

    seed: int
    sigma: float
    other: float


def plan_steps(kinds: Sequence[str], *, seed: int, epochs: int, samples_per_step: int) -> list[SampleStep]:
    """Each epoch every sample at least once, in an order of its own; a kind's last step begins its samples anew.

    BadDataError where there is no sample.
    """
    if not kinds:
        raise BadDataError("nothing to train on", fix="Run `cosmos3-nano export`.")
    steps: list[SampleStep] = []
    for epoch in range(epochs):
        drawn = random.Random(f"{seed}:{epoch}")  # noqa: S311  an order, no secret
        of_epoch: list[SampleStep] = []
        for kind in sorted(set(kinds)):
            numbers = [number for number, found in enumerate(kinds) if found == kind]
            drawn.shuffle(numbers)
            for start in range(0, len(numbers), samples_per_step):
                places = range(start, start + samples_per_step)
                of_epoch.append(SampleStep(kind, tuple(numbers[place % len(numbers)] for place in places)))
        drawn.shuffle(of_epoch)
        steps += of_epoch
    return steps


def draw_of(seed: int, step: int, place: int, *, tier: int) -> Draw:
    """σ is logit-normal before the tier's shift (as NVIDIA draws it for actions); the same on whichever rank."""
    number = seed_of(seed, step, place)
    drawn = random.Random(number)  # noqa: S311
    return Draw(number, shifted(1 / (1 + math.exp(-drawn.gauss(0, 1))), tier), drawn.random())
