"""Proof that actions and pictures are of the same instants: the offset at which one explains the other best."""

from xperience.episode.poses import Floats

SHIFTS = tuple(range(-4, 5))


def shift_errors(of_actions: Floats, of_video: Floats, shifts: tuple[int, ...] = SHIFTS) -> dict[int, float]:
    """Mean squared difference of two (T, K) motions by frame shift, each over the same T − 2·max steps."""
    margin = max(abs(shift) for shift in shifts)
    if len(of_actions) != len(of_video) or len(of_actions) <= 2 * margin:
        raise ValueError(f"{len(of_actions)} and {len(of_video)} steps, more than {2 * margin} of each are needed")
    inner = slice(margin, len(of_actions) - margin)
    return {
        shift: float(((of_actions[inner] - of_video[margin + shift : len(of_video) - margin + shift]) ** 2).mean())
        for shift in shifts
    }


def best_shift(errors: dict[int, float]) -> int:
    """The shift of least error, the one nearest to 0 of equals."""
    return min(errors, key=lambda shift: (errors[shift], abs(shift), shift))
