"""Numbers of an evaluation beside those of its baselines."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from xperience.common.evidence import Part
from xperience.common.paired import Counts, score
from xperience.qwen3_omni.baselines import Guesses, guesses, names_of, object_guesses
from xperience.qwen3_omni.compare import PLACES, Comparison, compare, verdict_of
from xperience.qwen3_omni.prompt import UNKNOWN, value_of
from xperience.qwen3_omni.sample import SampleFacts

CLASSES = ("action", "subtask", "contact", "transition", "next_action")
CHANGED = "next_action_where_it_changes"
BINS = 10

Answers = Mapping[str, Mapping[str, Any]]


class Bin(Part):
    """Windows whose answer was given a probability from `least` up to the next bin's."""

    least: float
    windows: int
    mean_probability: float
    accuracy: float


class Calibration(Part):
    """Expected calibration error over ten bins of equal width (Guo et al. 2017), and the bins that have windows."""

    expected_error: float
    bins: list[Bin]


class FieldResult(Part):
    """One field over the windows whose truth is known. `ceiling` is what a train vocabulary allows.

    `top_5_accuracy` and `calibration` are of the closed set's scores, where labels were scored.
    """

    windows: int
    accuracy: float
    macro_f1_supported: float
    balanced_accuracy: float
    seen_accuracy: float | None
    unseen_accuracy: float | None
    ceiling: float
    top_5_accuracy: float | None
    calibration: Calibration | None
    baselines: dict[str, Comparison]
    verdict: str


class ObjectResult(Part):
    """Names of objects, counted over all windows. `ceiling` is the micro-F1 of the truth without unseen names."""

    micro_f1: float
    ceiling: float
    baselines: dict[str, Comparison]
    verdict: str


def evaluate_fields(
    facts: Sequence[SampleFacts], predictions: Answers, train: Sequence[SampleFacts],
    zero_shot: Answers | None = None,
) -> dict[str, FieldResult]:  # fmt: skip
    """Every field that some window has a truth of; `predictions` are lines of answers by id, `zero_shot` too."""
    found = {}
    for name in CLASSES:
        known = [fact for fact in facts if value_of(fact.answer, name) != UNKNOWN]
        if known:
            found[name] = _field(name, known, predictions, train, zero_shot)
    changed = [
        fact for fact in facts
        if value_of(fact.answer, "next_action") not in (UNKNOWN, value_of(fact.answer, "action"))
    ]  # fmt: skip
    if changed:
        found[CHANGED] = _field("next_action", changed, predictions, train, zero_shot)
    return found


def _field(
    name: str, facts: Sequence[SampleFacts], predictions: Answers, train: Sequence[SampleFacts],
    zero_shot: Answers | None,
) -> FieldResult:  # fmt: skip
    truth = [value_of(fact.answer, name) for fact in facts]
    said = [value_of(predictions[fact.id]["answer"], name) for fact in facts]
    lines = [predictions[fact.id] for fact in facts]
    scored = name == "action" and all("action_probability" in line for line in lines)
    vocabulary = {value_of(fact.answer, field) for fact in train for field in _fields_of(name)} - {UNKNOWN}
    seen = np.array([value in vocabulary for value in truth])
    right = _equal(truth, said)
    baselines = {
        label: compare(_hits(right), _hits(_equal(truth, guess)), [fact.session for fact in facts], oracle=oracle)
        for label, (guess, oracle) in guesses(name, facts, predictions, train, zero_shot).items()
    }
    return FieldResult(
        windows=len(facts), accuracy=_rounded(accuracy_score(truth, said)),
        macro_f1_supported=_rounded(
            f1_score(truth, said, labels=sorted(set(truth)), average="macro", zero_division=0)
        ),
        balanced_accuracy=_rounded(_balanced(truth, said)),
        seen_accuracy=_mean(right[seen]), unseen_accuracy=_mean(right[~seen]), ceiling=_rounded(seen.mean()),
        top_5_accuracy=_mean(np.array([t in line["ranked"] for t, line in zip(truth, lines, strict=True)]))
        if scored else None,
        calibration=calibration([line["action_probability"] for line in lines], right) if scored else None,
        baselines=baselines, verdict=verdict_of(baselines),
    )  # fmt: skip


def _fields_of(name: str) -> tuple[str, ...]:
    return ("action", "next_action") if name in ("action", "next_action") else (name,)


def _equal(truth: Sequence[str], said: Sequence[str]) -> Any:
    return np.array([a == b for a, b in zip(truth, said, strict=True)])


def _hits(right: Any) -> Counts:
    return right.astype(float), np.ones(len(right))


def _rounded(value: Any) -> float:
    return round(float(value), PLACES)


def _mean(values: Any) -> float | None:
    return _rounded(values.mean()) if len(values) else None


def _balanced(truth: Sequence[str], said: Sequence[str]) -> float:
    """Mean recall of the classes that the truth has; what is said beyond them is wrong, no more."""
    numbers = {value: number for number, value in enumerate(sorted(set(truth)))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return float(balanced_accuracy_score([numbers[v] for v in truth], [numbers.get(v, len(numbers)) for v in said]))


def calibration(probabilities: Sequence[float], right: Any) -> Calibration:
    """How far the probability of answers is from the share of right ones."""
    sure = np.array(probabilities)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        Bin(
            least=number / BINS, windows=int((place == number).sum()),
            mean_probability=_rounded(sure[place == number].mean()), accuracy=_rounded(right[place == number].mean()),
        )
        for number in range(BINS) if (place == number).any()
    ]  # fmt: skip
    error = sum(abs(one.mean_probability - one.accuracy) * one.windows for one in bins) / len(sure)
    return Calibration(expected_error=_rounded(error), bins=bins)


def evaluate_objects(
    facts: Sequence[SampleFacts], predictions: Answers, train: Sequence[SampleFacts], zero_shot: Answers | None = None
) -> ObjectResult:
    """Micro-F1 of sets of names: twice the names in both, by the names of both."""
    truth = [names_of(fact.answer) for fact in facts]
    known = frozenset(name for fact in train for name in names_of(fact.answer))
    ours = _overlap(truth, [names_of(predictions[fact.id]["answer"]) for fact in facts])
    found: dict[str, Guesses[frozenset[str]]] = object_guesses(facts, train, zero_shot)
    baselines = {
        label: compare(ours, _overlap(truth, guess), [fact.session for fact in facts], oracle=oracle)
        for label, (guess, oracle) in found.items()
    }
    return ObjectResult(
        micro_f1=_rounded(score(ours)), ceiling=_rounded(score(_overlap(truth, [names & known for names in truth]))),
        baselines=baselines, verdict=verdict_of(baselines),
    )  # fmt: skip


def _overlap(truth: Sequence[frozenset[str]], said: Sequence[frozenset[str]]) -> Counts:
    both = np.array([2.0 * len(a & b) for a, b in zip(truth, said, strict=True)])
    return both, np.array([float(len(a) + len(b)) for a, b in zip(truth, said, strict=True)])
