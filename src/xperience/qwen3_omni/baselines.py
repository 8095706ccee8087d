"""What an evaluation stands beside: guesses without looking, the base model, and oracles that bound it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from xperience.qwen3_omni.compare import ZERO_SHOT
from xperience.qwen3_omni.prompt import UNKNOWN, value_of
from xperience.qwen3_omni.sample import SampleFacts

Value = TypeVar("Value", str, frozenset[str])
# One guess per window, and whether it is an oracle's.
Guesses = tuple[list[Value], bool]


def names_of(answer: Mapping[str, Any]) -> frozenset[str]:
    """The objects of an answer."""
    return frozenset(answer.get("objects") or ())


def guesses(
    name: str, facts: Sequence[SampleFacts], predictions: Mapping[str, Mapping[str, Any]],
    train: Sequence[SampleFacts], zero_shot: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Guesses[str]]:  # fmt: skip
    """Baselines of one field; those of the next action know the current one, as said or as true."""

    def value(fact: SampleFacts) -> str:
        return value_of(fact.answer, name)

    found = _without_looking(facts, train, value, UNKNOWN)
    if zero_shot is not None:
        found[ZERO_SHOT] = ([value_of(zero_shot[fact.id]["answer"], name) for fact in facts], False)
    if name == "next_action":
        own = [value_of(predictions[fact.id]["answer"], "action") for fact in facts]
        found["copy of its own current action"] = (own, False)
        found["copy of the true current action"] = ([value_of(fact.answer, "action") for fact in facts], True)
    return found


def object_guesses(
    facts: Sequence[SampleFacts], train: Sequence[SampleFacts], zero_shot: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Guesses[frozenset[str]]]:
    """The same of lists of objects: a guess is the most frequent whole list."""
    found = _without_looking(facts, train, lambda fact: names_of(fact.answer), frozenset())
    if zero_shot is not None:
        found[ZERO_SHOT] = ([names_of(zero_shot[fact.id]["answer"]) for fact in facts], False)
    return found


def _without_looking(
    facts: Sequence[SampleFacts], train: Sequence[SampleFacts], value: Callable[[SampleFacts], Value], nothing: Value
) -> dict[str, Guesses[Value]]:
    majority = _most(map(value, train), nothing)
    by_metadata = _by(train, value, _metadata, nothing)
    by_session = _by(facts, value, lambda fact: fact.session, nothing)
    return {
        "train majority": ([majority] * len(facts), False),
        "metadata": ([by_metadata.get(_metadata(fact), majority) for fact in facts], False),
        "per-session majority": ([by_session[fact.session] for fact in facts], True),
    }


def _metadata(fact: SampleFacts) -> tuple[int, bool]:
    """What is known of a window without looking: the tenth of its recording that it is in, whether there is sound."""
    return int(fact.place * 10), fact.samples > 0


def _most(values: Iterable[Value], nothing: Value) -> Value:
    counted = Counter(value for value in values if value != UNKNOWN)
    return min(counted, key=lambda value: (-counted[value], sorted(value), value)) if counted else nothing


def _by(
    facts: Sequence[SampleFacts], value: Callable[[SampleFacts], Value], key: Callable[[SampleFacts], Any],
    nothing: Value,
) -> dict[Any, Value]:  # fmt: skip
    grouped: dict[Any, list[Value]] = defaultdict(list)
    for fact in facts:
        grouped[key(fact)].append(value(fact))
    return {group: _most(values, nothing) for group, values in grouped.items()}
