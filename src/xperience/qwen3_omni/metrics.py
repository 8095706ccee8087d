"""Numbers of an evaluation beside those of fair baselines, and whether the difference is more than chance."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from xperience.common.evidence import Part
from xperience.qwen3_omni.prompt import UNKNOWN, value_of
from xperience.qwen3_omni.sample import SampleFacts

CLASSES = ("action", "subtask", "contact", "transition", "next_action")
RESAMPLES, LEAST_SESSIONS = 2000, 10
ABOVE, NOT_ABOVE, TOO_FEW = "above baseline", "not above baseline", "not_run(too few sessions)"
PLACES = 4


class Comparison(Part):
    """One baseline: its accuracy, and the 95 % interval of the paired difference over resampled sessions.

    `oracle` ones know the truth of other windows or fields: they bound, they are not beaten.
    """

    accuracy: float
    oracle: bool
    difference: float
    interval: tuple[float, float] | None
    verdict: str


class FieldResult(Part):
    """One field over the windows whose truth is known. `ceiling` is what a train vocabulary allows."""

    windows: int
    accuracy: float
    macro_f1_supported: float
    balanced_accuracy: float
    seen_accuracy: float | None
    unseen_accuracy: float | None
    ceiling: float
    calibration_error: float | None
    baselines: dict[str, Comparison]
    verdict: str


class ObjectResult(Part):
    """Names of objects, counted over all windows."""

    micro_f1: float
    baseline_micro_f1: float


def evaluate_fields(
    facts: Sequence[SampleFacts],
    answers: Mapping[str, Mapping[str, Any]],
    train: Sequence[SampleFacts],
    confidences: Mapping[str, float],
    zero_shot: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, FieldResult]:
    """Every field that some window has a truth of; `confidences` are of the predicted action, by id."""
    found = {}
    for name in CLASSES:
        known = [fact for fact in facts if value_of(fact.answer, name) != UNKNOWN]
        if known:
            found[name] = _field(name, known, answers, train, confidences if name == "action" else {}, zero_shot)
    changed = [
        fact for fact in facts
        if value_of(fact.answer, "next_action") not in (UNKNOWN, value_of(fact.answer, "action"))
    ]  # fmt: skip
    if changed:
        found["next_action_where_it_changes"] = _field("next_action", changed, answers, train, {}, zero_shot)
    return found


def _field(
    name: str, facts: Sequence[SampleFacts], answers: Mapping[str, Mapping[str, Any]], train: Sequence[SampleFacts],
    confidences: Mapping[str, float], zero_shot: Mapping[str, Mapping[str, Any]] | None,
) -> FieldResult:  # fmt: skip
    truth = [value_of(fact.answer, name) for fact in facts]
    said = [value_of(answers[fact.id], name) for fact in facts]
    vocabulary = {value_of(fact.answer, field) for fact in train for field in _fields_of(name)} - {UNKNOWN}
    seen = [value in vocabulary for value in truth]
    right = np.array([a == b for a, b in zip(truth, said, strict=True)])
    baselines = {}
    for label, (guesses, oracle) in _baselines(name, facts, answers, train, zero_shot).items():
        hits = np.array([a == b for a, b in zip(truth, guesses, strict=True)])
        baselines[label] = _compare(right, hits, [fact.session for fact in facts], oracle)
    verdicts = {one.verdict for one in baselines.values() if not one.oracle}
    supported = sorted(set(truth))
    return FieldResult(
        windows=len(facts), accuracy=round(float(accuracy_score(truth, said)), PLACES),
        macro_f1_supported=round(
            float(f1_score(truth, said, labels=supported, average="macro", zero_division=0)), PLACES
        ),
        balanced_accuracy=round(float(_balanced(truth, said)), PLACES),
        seen_accuracy=_share(right[np.array(seen)]), unseen_accuracy=_share(right[~np.array(seen)]),
        ceiling=round(float(np.mean(seen)), PLACES),
        calibration_error=_calibration([confidences[fact.id] for fact in facts], right) if confidences else None,
        baselines=baselines,
        verdict=TOO_FEW if TOO_FEW in verdicts else ABOVE if verdicts == {ABOVE} else NOT_ABOVE,
    )  # fmt: skip


def _fields_of(name: str) -> tuple[str, ...]:
    return ("action", "next_action") if name in ("action", "next_action") else (name,)


def _balanced(truth: Sequence[str], said: Sequence[str]) -> float:
    known = sorted(set(truth))
    kept = [value if value in known else known[0] + "\0" for value in said]
    if len(known) == 1:
        return float(np.mean([value == known[0] for value in said]))
    numbers = {value: number for number, value in enumerate([*known, known[0] + "\0"])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # predictions outside of the supported classes are wrong, no more
        return float(balanced_accuracy_score([numbers[v] for v in truth], [numbers[v] for v in kept]))


def _share(values: Any) -> float | None:
    return round(float(values.mean()), PLACES) if len(values) else None


def _calibration(confidences: Sequence[float], right: Any, bins: int = 10) -> float:
    """Expected calibration error over ten equal bins."""
    sure = np.array(confidences)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    error = sum(
        abs(float((sure - right)[place == number].mean())) * float((place == number).mean())
        for number in range(bins) if (place == number).any()
    )  # fmt: skip
    return round(error, PLACES)


def _most(values: Sequence[str]) -> str:
    counted = Counter(value for value in values if value != UNKNOWN)
    return min(counted, key=lambda value: (-counted[value], value)) if counted else UNKNOWN


def _by(facts: Sequence[SampleFacts], name: str, key: Callable[[SampleFacts], Any]) -> dict[Any, str]:
    grouped: dict[Any, list[str]] = defaultdict(list)
    for fact in facts:
        grouped[key(fact)].append(value_of(fact.answer, name))
    return {group: _most(values) for group, values in grouped.items()}


def _place(fact: SampleFacts) -> tuple[int, bool]:
    """What is known of a window without looking: where in its recording it lies, and whether there is sound."""
    return int(fact.place * 10), fact.samples > 0


def _baselines(
    name: str, facts: Sequence[SampleFacts], answers: Mapping[str, Mapping[str, Any]], train: Sequence[SampleFacts],
    zero_shot: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, tuple[list[str], bool]]:  # fmt: skip
    majority = _most([value_of(fact.answer, name) for fact in train])
    by_place = _by(train, name, _place)
    of_session = _by(facts, name, lambda fact: fact.session)
    found = {
        "train majority": ([majority] * len(facts), False),
        "metadata": ([by_place.get(_place(fact), majority) for fact in facts], False),
        "per-session majority": ([of_session[fact.session] for fact in facts], True),
    }
    if zero_shot is not None:
        found["zero-shot base model"] = ([value_of(zero_shot[fact.id], name) for fact in facts], False)
    if name == "next_action":
        found["copy of its own current action"] = ([value_of(answers[fact.id], "action") for fact in facts], False)
        found["copy of the true current action"] = ([value_of(fact.answer, "action") for fact in facts], True)
    return found


def _compare(right: Any, hits: Any, sessions: Sequence[str], oracle: bool) -> Comparison:
    """Paired: the same resampled sessions for both, every window of a session with it."""
    difference = right.astype(float) - hits.astype(float)
    names = sorted(set(sessions))
    interval, verdict = None, TOO_FEW
    if len(names) >= LEAST_SESSIONS:
        of = np.array([names.index(session) for session in sessions])
        sums = np.bincount(of, difference, len(names))
        counts = np.bincount(of, minlength=len(names))
        drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
        means = sums[drawn].sum(1) / counts[drawn].sum(1)
        low, high = (round(float(value), PLACES) for value in np.quantile(means, [0.025, 0.975]))
        interval, verdict = (low, high), ABOVE if low > 0 else NOT_ABOVE
    return Comparison(
        accuracy=round(float(hits.mean()), PLACES), oracle=oracle, difference=round(float(difference.mean()), PLACES),
        interval=interval, verdict=verdict,
    )  # fmt: skip


def evaluate_objects(
    facts: Sequence[SampleFacts], answers: Mapping[str, Mapping[str, Any]], train: Sequence[SampleFacts]
) -> ObjectResult:
    """Micro-F1 of sets of names, beside the train set's most frequent list."""
    lists = Counter(tuple(sorted(fact.answer.get("objects") or ())) for fact in train)
    usual = min(lists, key=lambda names: (-lists[names], names)) if lists else ()
    truth = [set(fact.answer.get("objects") or ()) for fact in facts]
    said = [set(answers[fact.id].get("objects") or ()) for fact in facts]
    return ObjectResult(micro_f1=_micro(truth, said), baseline_micro_f1=_micro(truth, [set(usual)] * len(facts)))


def _micro(truth: Sequence[set[str]], said: Sequence[set[str]]) -> float:
    both = sum(len(a & b) for a, b in zip(truth, said, strict=True))
    total = sum(map(len, truth)) + sum(map(len, said))
    return round(2 * both / total, PLACES) if total else 0.0
