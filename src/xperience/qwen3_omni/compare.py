"""Whether a model is better than a guess: the paired difference over resampled sessions, and its verdict."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xperience.common.evidence import Part

RESAMPLES, LEAST_SESSIONS, PLACES = 2000, 10, 4
ABOVE, NOT_ABOVE, TOO_FEW = "above baseline", "not above baseline", "not_run(too few sessions)"
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


Counts = tuple[NDArray[np.float64], NDArray[np.float64]]


def compare(ours: Counts, guess: Counts, sessions: Sequence[str], *, oracle: bool) -> Comparison:
    """Both are (hits, of how many) per window, and a score is the quotient of their sums: accuracy, or micro-F1.

    Paired: the same resampled sessions for both, every window of a session with it (percentile bootstrap, Efron 1979).
    """
    names, place = np.unique(np.array(sessions), return_inverse=True)
    sums = [np.bincount(place, values, len(names)) for values in (*ours, *guess)]
    difference = _share(sums[0].sum(), sums[1].sum()) - _share(sums[2].sum(), sums[3].sum())
    interval, verdict = None, TOO_FEW
    if len(names) >= LEAST_SESSIONS:
        drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
        one, of_one, other, of_other = (values[drawn].sum(1) for values in sums)
        found = _share(one, of_one) - _share(other, of_other)
        low, high = (round(float(value), PLACES) for value in np.quantile(found, [0.025, 0.975]))
        interval, verdict = (low, high), ABOVE if low > 0 else NOT_ABOVE
    return Comparison(
        score=round(float(_share(sums[2].sum(), sums[3].sum())), PLACES), oracle=oracle,
        difference=round(float(difference), PLACES), interval=interval, verdict=verdict,
    )  # fmt: skip


def _share(hits: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(
        hits, of, out=np.zeros_like(np.asarray(hits, float)), where=np.asarray(of) > 0
    )
    return found


def verdict_of(baselines: Mapping[str, Comparison]) -> str:
    """Above all fair ones, or not; no claim with too few sessions, nor where the base model was not asked."""
    verdicts = {one.verdict for one in baselines.values() if not one.oracle}
    if TOO_FEW in verdicts:
        return TOO_FEW
    if verdicts != {ABOVE}:
        return NOT_ABOVE
    return ABOVE if ZERO_SHOT in baselines else NO_ZERO_SHOT
