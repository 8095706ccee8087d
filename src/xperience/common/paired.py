"""Whether one is better than another beyond the sessions that were drawn: the paired difference, by whole sessions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES, LEAST_SESSIONS = 2000, 10
TOO_FEW = "not_run(too few sessions)"

# (hits, of how many) of each item; a score is the quotient of their sums: accuracy, micro-F1, a mean error.
Counts = tuple[NDArray[np.float64], NDArray[np.float64]]


def score(counts: Counts) -> float:
    """The quotient of the sums; 0 of nothing."""
    return float(_share(counts[0].sum(), counts[1].sum()))


def paired_interval(one: Counts, other: Counts, sessions: Sequence[str]) -> tuple[float, float] | None:
    """95 % interval of score(one) − score(other) over resampled sessions; None under ten of them.

    Paired: the same resampled sessions for both, every item of a session with it (percentile bootstrap, Efron 1979).
    """
    names, place = np.unique(np.array(sessions), return_inverse=True)
    if len(names) < LEAST_SESSIONS:
        return None
    drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    hits, of, other_hits, other_of = (np.bincount(place, values, len(names))[drawn].sum(1) for values in (*one, *other))
    low, high = np.quantile(_share(hits, of) - _share(other_hits, other_of), [0.025, 0.975])
    return float(low), float(high)


def _share(hits: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(
        hits, of, out=np.zeros_like(np.asarray(hits, float)), where=np.asarray(of) > 0
    )
    return found
