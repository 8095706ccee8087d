"""The fixed grid that base model and adapter are compared on: clips of val × σ, noise by seed, nothing drawn anew.

Controllability: the loss of forward dynamics with the actions of another clip, less that with the right ones, at the
same noise. Where it vanishes the model makes its video without looking at the actions. The reasoner's is that of black
frames in place of the clip: where it vanishes the answers are guessed without looking at the video.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xperience.common.evidence import Part
from xperience.common.paired import TOO_FEW, paired_interval
from xperience.cosmos3_nano.flow import MODES, Mode, loss_at
from xperience.cosmos3_nano.post_training.clips import Clips
from xperience.training.group import Group
from xperience.windows.placement import evenly

SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)  # after the shift: what the network is told is 1000 times that
LEAST_GAP = 0.01
BETTER, NOT_BETTER = "better than the base", "not better than the base"
USED, VANISHED = "the video follows the actions", "the controllability gap vanishes: the actions are not used"
SEEN, BLIND = "the answers follow the video", "the blind-video gap vanishes: the video is not used"
PLACES = 6


@dataclass(frozen=True)
class Point:
    """One forward pass of the grid; `other` is the clip whose actions are given in place of its own."""

    clip: int
    session: str
    mode: Mode
    sigma: float
    seed: int
    other: int | None = None


class Compared(Part):
    """One mode: mean loss before and after, the share that it fell, the 95 % interval of the fall by session."""

    points: int
    base: float
    adapter: float
    fall: float
    interval: tuple[float, float] | None
    verdict: str


class Control(Part):
    """Loss of the right input and of a wrong one in its place, with the adapter.

    `gap` is wrong − right; `share` of the right loss. `base_gap` is the base model's.
    """

    points: int
    right: float
    wrong: float
    gap: float
    share: float
    interval: tuple[float, float] | None
    base_gap: float
    verdict: str


def grid_of(clips: Clips, most: int) -> list[Point]:
    """At most `most` clips of each mode, evenly chosen; forward dynamics once more with actions of another clip."""
    points = []
    for mode in MODES:
        numbers = [number for number, fact in enumerate(clips.facts) if fact.mode == mode]
        for number in (numbers[place] for place in evenly(len(numbers), most)):
            for sigma in SIGMAS:
                told = f"{clips.facts[number].id}:{sigma}"
                seed = int.from_bytes(hashlib.sha256(told.encode()).digest()[:7], "big")
                points.append(Point(number, clips.facts[number].session, mode, sigma, seed))
                if mode == "forward_dynamics" and (other := _other(clips, numbers, number)) is not None:
                    points.append(Point(number, clips.facts[number].session, mode, sigma, seed, other))
    return points


def _other(clips: Clips, numbers: Sequence[int], number: int) -> int | None:
    """The clip half the list away, of another session where there is one; None where there is no other clip."""
    at = numbers.index(number)
    others = [numbers[(at + len(numbers) // 2 + step) % len(numbers)] for step in range(len(numbers))]
    strangers = [one for one in others if clips.facts[one].session != clips.facts[number].session]
    return next((one for one in (*strangers, *others) if one != number), None)


def measure(pipeline: Any, clips: Clips, points: Sequence[Point], group: Group) -> list[float]:
    """The loss at each point."""
    network = pipeline.transformer
    was_training = network.training
    network.eval()

    def loss_of(number: int) -> float:
        point = points[number]
        example = clips.example(point.clip, actions_of=point.other)
        return float(loss_at(pipeline, example, sigma=point.sigma, seed=point.seed))

    with torch.no_grad():
        found = dealt(len(points), group, loss_of)
    network.train(was_training)
    return found


def compared(
    kinds: Sequence[str], sessions: Sequence[str], base: Sequence[float], adapter: Sequence[float]
) -> dict[str, Compared]:
    """Points by their kind: a mode or a task."""
    found: dict[str, Compared] = {}
    for kind in sorted(set(kinds)):
        places = [place for place, name in enumerate(kinds) if name == kind]
        before, after, ones = _at(base, places), _at(adapter, places), np.ones(len(places))
        interval = paired_interval((before, ones), (after, ones), [sessions[place] for place in places])
        verdict = TOO_FEW if interval is None else BETTER if interval[0] > 0 else NOT_BETTER
        found[kind] = Compared(
            points=len(places), base=round(float(before.mean()), PLACES), adapter=round(float(after.mean()), PLACES),
            fall=round(float(1 - after.mean() / before.mean()), PLACES), interval=_rounded(interval), verdict=verdict,
        )  # fmt: skip
    return found


def dealt(count: int, group: Group, loss_of: Callable[[int], float]) -> list[float]:
    """`loss_of` each of so many points; dealt out among the ranks, whole on each of them."""
    mine = {number: loss_of(number) for number in range(group.rank, count, group.world)}
    of_all = {number: loss for losses in group.all(mine) for number, loss in losses.items()}
    return [of_all[number] for number in range(count)]


def controllability(points: Sequence[Point], base: Sequence[float], adapter: Sequence[float]) -> Control | None:
    """None where there is no other clip to take actions of."""
    wrong = [n for n, point in enumerate(points) if point.other is not None]
    where = {(p.clip, p.sigma): n for n, p in enumerate(points) if p.other is None and p.mode == "forward_dynamics"}
    right = [where[points[n].clip, points[n].sigma] for n in wrong]
    return control(right, wrong, [points[n].session for n in wrong], base, adapter, verdicts=(USED, VANISHED))


def control(
    right: Sequence[int], wrong: Sequence[int], sessions: Sequence[str], base: Sequence[float],
    adapter: Sequence[float], *, verdicts: tuple[str, str],
) -> Control | None:  # fmt: skip
    """Places of the right and of the wrong inputs, pair by pair; None where there is none.

    The gap vanishes where the 95 % interval over sessions holds 0, or where it is under 1 % of the loss.
    """
    if not wrong:
        return None
    used, vanished = verdicts
    wrong_loss, right_loss, ones = _at(adapter, wrong), _at(adapter, right), np.ones(len(wrong))
    gap = float((wrong_loss - right_loss).mean())
    share = gap / float(right_loss.mean())
    interval = paired_interval((wrong_loss, ones), (right_loss, ones), sessions)
    verdict = vanished if share < LEAST_GAP or (interval is not None and interval[0] <= 0) else used
    return Control(
        points=len(wrong), right=round(float(right_loss.mean()), PLACES), wrong=round(float(wrong_loss.mean()), PLACES),
        gap=round(gap, PLACES), share=round(share, PLACES), interval=_rounded(interval),
        base_gap=round(float((_at(base, wrong) - _at(base, right)).mean()), PLACES),
        verdict=TOO_FEW if interval is None and verdict == used else verdict,
    )  # fmt: skip


def _at(values: Sequence[float], places: Sequence[int]) -> "np.ndarray[Any, Any]":
    return np.array([values[place] for place in places], dtype=float)


def _rounded(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (round(interval[0], PLACES), round(interval[1], PLACES))
