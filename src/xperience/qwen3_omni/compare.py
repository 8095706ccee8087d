"""Whether a model is better than a guess: the paired difference over resampled sessions, and its verdict."""

from collections.abc import Mapping, Sequence

from xperience.common.evidence import Part
from xperience.common.paired import TOO_FEW, Counts, paired_interval, score

PLACES = 4
ABOVE, NOT_ABOVE = "above baseline", "not above baseline"
NO_ZERO_SHOT = "not_run(no answers of the base model)"
ZERO_SHOT = "zero-shot base model"


class Comparison(Part):
    """One baseline: its score, and the 95 % interval of the paired difference over resampled sessions.

    `oracle` ones know the truth of other windows or fields: they bound, they are not beaten.
    """

    score: float
    oracle: bool
    difference: float
    interval: tuple[float, float] | None
    verdict: str


def compare(ours: Counts, guess: Counts, sessions: Sequence[str], *, oracle: bool) -> Comparison:
    """Both by window."""
    found, verdict = paired_interval(ours, guess, sessions), TOO_FEW
    interval = (round(found[0], PLACES), round(found[1], PLACES)) if found else None
    if interval:
        verdict = ABOVE if interval[0] > 0 else NOT_ABOVE
    return Comparison(
        score=round(score(guess), PLACES), oracle=oracle, difference=round(score(ours) - score(guess), PLACES),
        interval=interval, verdict=verdict,
    )  # fmt: skip


def verdict_of(baselines: Mapping[str, Comparison]) -> str:
    """Above all fair ones, or not; no claim with too few sessions, nor where the base model was not asked."""
    verdicts = {one.verdict for one in baselines.values() if not one.oracle}
    if TOO_FEW in verdicts:
        return TOO_FEW
    if verdicts != {ABOVE}:
        return NOT_ABOVE
    return ABOVE if ZERO_SHOT in baselines else NO_ZERO_SHOT
