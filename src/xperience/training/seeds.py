"""Numbers that are the same on whichever rank they are asked for."""

import hashlib


def seed_of(seed: int, step: int, place: int) -> int:
    """Seed of what is drawn for one place of a step, dropout or noise: the same on whichever rank it is computed."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{step}:{place}".encode()).digest()[:7], "big")


def gate_checks(seed: int, step: int, place: int, *, first_steps: int = 4, share: float = 0.02) -> bool:
    """Whether the labels of a pack are read back: all of the first steps, a share of those after."""
    return step < first_steps or seed_of(seed + 1, step, place) % 10_000 < share * 10_000
