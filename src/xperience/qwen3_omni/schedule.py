"""The global plan: which samples make which pack of which step, from a seed and counted tokens alone.

Every rank computes it, none communicates; another number of ranks trains on the same packs in the same steps.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from xperience.common.errors import ConfigurationError

LOOK_AHEAD = 64


@dataclass(frozen=True, slots=True)
class Pack:
    """Numbers of samples, their tokens and how many of them are supervised."""

    samples: tuple[int, ...]
    tokens: int
    supervised: int


@dataclass(frozen=True, slots=True)
class Step:
    """Packs of one optimiser step, heaviest first; None stands where the data ended, and weighs nothing."""

    packs: tuple[Pack | None, ...]

    @property
    def supervised(self) -> int:
        """Tokens that its loss is divided by."""
        return sum(pack.supervised for pack in self.packs if pack)

    @property
    def tokens(self) -> int:
        """Tokens of all packs."""
        return sum(pack.tokens for pack in self.packs if pack)

    def of_rank(self, rank: int, world: int) -> list[tuple[int, Pack | None]]:
        """A rank's packs with their places in the step; to and fro, so that all ranks have about equal tokens."""
        rounds = [list(range(start, start + world)) for start in range(0, len(self.packs), world)]
        return [
            (place, self.packs[place])
            for number, places in enumerate(rounds)
            for place in [places[rank if number % 2 == 0 else world - 1 - rank]]
        ]


def packs_of(counts: Sequence[tuple[int, int]], order: Sequence[int], pack_tokens: int) -> list[Pack]:
    """Best fit within a look-ahead: packs of at most `pack_tokens`; ConfigurationError where a sample has more."""
    for number in order:
        if counts[number][0] > pack_tokens:
            raise ConfigurationError(
                "a sample does not fit into a pack", where="--pack-tokens",
                why=f"it has {counts[number][0]} tokens, a pack {pack_tokens}", fix="Give more, or smaller frames.",
            )  # fmt: skip
    packs: list[Pack] = []
    waiting = list(order)
    while waiting:
        room = pack_tokens
        chosen: list[int] = []
        while fitting := [number for number in waiting[:LOOK_AHEAD] if counts[number][0] <= room]:
            best = fitting[0] if not chosen else max(fitting, key=lambda number: counts[number][0])
            chosen.append(best)
            waiting.remove(best)
            room -= counts[best][0]
        packs.append(Pack(tuple(chosen), pack_tokens - room, sum(counts[number][1] for number in chosen)))
    return packs


def plan_steps(
    counts: Sequence[tuple[int, int]], *, seed: int, epochs: int, pack_tokens: int, packs_per_step: int
) -> list[Step]:
    """All steps of a run: each epoch in an order of its own; the last step is filled up with packs of nothing."""
    packs: list[Pack] = []
    for epoch in range(epochs):
        order = list(range(len(counts)))
        random.Random(f"{seed}:{epoch}").shuffle(order)  # noqa: S311  an order, no secret
        packs += packs_of(counts, order, pack_tokens)
    steps = []
    for start in range(0, len(packs), packs_per_step):
        found = sorted(packs[start : start + packs_per_step], key=lambda pack: -pack.tokens)
        steps.append(Step((*found, *[None] * (packs_per_step - len(found)))))
    return steps


def check_world(packs_per_step: int, world: int) -> None:
    """ConfigurationError where the packs of a step cannot be dealt out evenly."""
    if packs_per_step % world:
        raise ConfigurationError(
            "packs cannot be dealt out", where="--packs-per-step", why=f"{packs_per_step} among {world} processes",
            fix="Give a multiple of every number of processes that the job may have.",
        )  # fmt: skip
