"""A model's number beside those of trivial predictions, each with the interval of the paired difference by session."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xperience.common.evidence import Evidence, Part
from xperience.common.paired import TOO_FEW, Counts, paired_interval, score

PLACES = 6
BETTER, NOT_BETTER = "better than trivial", "not better than trivial"


class Compared(Part):
    """A trivial prediction: its number, and the 95 % interval of how much better the model's is, by session."""

    value: float
    oracle: bool
    difference: float
    interval: tuple[float, float] | None
    verdict: str


class MetricResult(Part):
    """One metric over `items` of the clips that have it. `verdict` is over all that are no oracle."""

    items: int
    value: float
    higher_is_better: bool
    trivial: dict[str, Compared]
    verdict: str

    @property
    def best_trivial(self) -> float:
        """That of the best that is no oracle."""
        values = [one.value for one in self.trivial.values() if not one.oracle]
        return max(values) if self.higher_is_better else min(values)


class Evaluation(Evidence):
    """What the evaluation of every task says."""

    task: str
    split: str
    model_sha256: str
    clips: int
    sessions: int
    metrics: dict[str, MetricResult]


class TextEvaluation(Evaluation):
    """A text task. `valid` answers of all, `cut` of them by the limit of free text; `figures` have no comparison."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-text-evaluation/1"

    valid: int
    cut: int
    figures: dict[str, float]


def mean_counts(values: Sequence[float] | NDArray[np.float64]) -> Counts:
    """Counts whose score is the mean."""
    found = np.asarray(values, dtype=float)
    return found, np.ones(len(found))


def balanced_counts(truth: Sequence[str], said: Sequence[str]) -> Counts:
    """Counts whose score is balanced accuracy: an item weighs 1 / (items of its true class), in every resample."""
    of_class = {value: truth.count(value) for value in set(truth)}
    weights = np.array([1 / of_class[value] for value in truth])
    return weights * np.array([a == b for a, b in zip(truth, said, strict=True)]), weights


def f1_counts(truth: Sequence[bool], said: Sequence[bool]) -> Counts:
    """Counts whose score is F1: twice what is in both, by what is in either."""
    both = np.array([2.0 * (a and b) for a, b in zip(truth, said, strict=True)])
    return both, np.array([float(a) + float(b) for a, b in zip(truth, said, strict=True)])


def word_f1_counts(truth: Sequence[str], said: Sequence[str]) -> Counts:
    """Counts whose score is the mean over texts of the F1 of their sets of words, without case."""
    found = []
    for one, other in zip(truth, said, strict=True):
        a, b = (set(text.casefold().split()) for text in (one, other))
        found.append(2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0)
    return mean_counts(found)


def metric(
    mine: Counts, others: Mapping[str, tuple[Counts, bool]], sessions: Sequence[str], *, higher_is_better: bool
) -> MetricResult:
    """`others`: counts of the same items by name, and whether it is an oracle's."""
    sign = 1 if higher_is_better else -1
    compared = {}
    for name, (theirs, oracle) in others.items():
        pair = (mine, theirs) if higher_is_better else (theirs, mine)
        found, verdict = paired_interval(*pair, sessions), TOO_FEW
        interval = (round(found[0], PLACES), round(found[1], PLACES)) if found else None
        if interval:
            verdict = BETTER if interval[0] > 0 else NOT_BETTER
        compared[name] = Compared(
            value=round(score(theirs), PLACES), oracle=oracle, interval=interval, verdict=verdict,
            difference=round(sign * (score(mine) - score(theirs)), PLACES),
        )  # fmt: skip
    verdicts = {one.verdict for one in compared.values() if not one.oracle}
    return MetricResult(
        items=len(mine[0]), value=round(score(mine), PLACES), higher_is_better=higher_is_better, trivial=compared,
        verdict=TOO_FEW if TOO_FEW in verdicts else BETTER if verdicts == {BETTER} else NOT_BETTER,
    )  # fmt: skip
