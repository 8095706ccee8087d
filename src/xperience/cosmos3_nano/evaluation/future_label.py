"""Future labels: accuracy where all classes weigh the same, on all pairs and on those that change, and log loss."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from xperience.common.paired import Counts
from xperience.cosmos3_nano.evaluation.compared import (
    PLACES,
    MetricResult,
    TextEvaluation,
    balanced_counts,
    mean_counts,
    metric,
)
from xperience.cosmos3_nano.evaluation.lines import lines_of
from xperience.cosmos3_nano.evaluation.reason import BLACK, MAJORITY
from xperience.cosmos3_nano.evaluation.text import TextLine, options_of, text_records
from xperience.cosmos3_nano.parts import OTHER
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet
from xperience.cosmos3_nano.records import FutureLabelRecord

# A label said by name, with whether it knows some of the truth.
Guesses = dict[str, tuple[list[str], bool]]
LEAST_CHANCE = 1e-6  # chances are kept with six places
UNKNOWN = "unknown"  # a contact that the annotation does not know is no item, and no guess at one that it knows


def conclude(folder: Path, lines: dict[str, TextLine], *, split: str) -> TextEvaluation:
    """The report; BadDataError unless every record of the split has its answer."""
    pairs = lines_of(text_records(folder, FutureLabelRecord, split), lines, split)
    train = text_records(folder, FutureLabelRecord, "train")
    records, answers = [record for record, _ in pairs], [line for _, line in pairs]
    truth = [record.target.next_action for record in records]
    said = [str(line.answer["next_action"]) for line in answers]
    sessions = [record.session_id for record in records]
    guesses = _next_guesses(records, answers, train)
    changed = [n for n, record in enumerate(records) if record.target.transition]
    metrics = {"next_action_balanced_accuracy": _balanced(truth, said, guesses, sessions)}
    figures = {"next_action_macro_f1": _macro_f1(truth, said)}
    if changed:
        kept = [truth[n] for n in changed], [said[n] for n in changed]
        theirs = {name: ([guess[n] for n in changed], oracle) for name, (guess, oracle) in guesses.items()}
        metrics["next_action_balanced_accuracy_where_it_changes"] = _balanced(
            *kept, theirs, [sessions[n] for n in changed]
        )
        figures["next_action_macro_f1_where_it_changes"] = _macro_f1(*kept)
    metrics["next_action_log_loss"] = _log_loss(truth, answers, train, options_of(folder), sessions)
    for name in ("contact_state", "transition"):
        values, of_train = ([str(getattr(one.target, name)) for one in some] for some in (records, train))
        known = [n for n, value in enumerate(values) if value != UNKNOWN]
        if known:
            metrics[name + "_balanced_accuracy"] = _balanced(
                [values[n] for n in known], [str(answers[n].answer[name]) for n in known],
                {MAJORITY: ([_most([value for value in of_train if value != UNKNOWN])] * len(known), False),
                 BLACK: ([str(answers[n].black[name]) for n in known], False)},
                [sessions[n] for n in known],
            )  # fmt: skip
    return TextEvaluation(
        inputs={"records": RecordSet.read(folder / ARTEFACT).content_sha256}, task="future_label", split=split,
        model_sha256=answers[0].model_sha256, clips=len(pairs), sessions=len(set(sessions)),
        valid=sum(line.valid for line in answers), cut=sum(bool(line.cut) for line in answers), metrics=metrics,
        figures=figures | {"pairs_that_change": float(len(changed))},
    )  # fmt: skip


def _next_guesses(
    records: Sequence[FutureLabelRecord], answers: Sequence[TextLine], train: Sequence[FutureLabelRecord]
) -> Guesses:
    """A bigram says what mostly follows an action in train."""
    majority = _most([one.target.next_action for one in train])
    followed: dict[str, list[str]] = defaultdict(list)
    for one in train:
        followed[one.current.action or OTHER].append(one.target.next_action)
    mine, true = [line.current or OTHER for line in answers], [record.current.action or OTHER for record in records]

    def bigram(now: str) -> str:
        return _most(followed[now]) if now in followed else majority

    return {
        MAJORITY: ([majority] * len(records), False),
        "copy of its own current answer": (mine, False),
        "train bigram of its own current answer": ([bigram(now) for now in mine], False),
        BLACK: ([str(line.black["next_action"]) for line in answers], False),
        "copy of the true current action": (true, True),
        "train bigram of the true current action": ([bigram(now) for now in true], True),
    }


def _log_loss(
    truth: Sequence[str], answers: Sequence[TextLine], train: Sequence[FutureLabelRecord], options: Sequence[str],
    sessions: Sequence[str],
) -> MetricResult:  # fmt: skip
    """−log of the true option's probability, beside train's frequencies (one more of each) and equal chances."""
    counts = Counter(one.target.next_action for one in train)
    total = len(train) + len(options)

    def loss(chances: Sequence[float]) -> Counts:
        return mean_counts(-np.log(np.maximum(np.array(chances), LEAST_CHANCE)))

    mine = [line.chances[list(options).index(label)] for label, line in zip(truth, answers, strict=True)]
    return metric(
        loss(mine),
        {"train frequencies": (loss([(counts[label] + 1) / total for label in truth]), False),
         "equal chances": (loss([1 / len(options)] * len(truth)), False)},
        sessions, higher_is_better=False,
    )  # fmt: skip


def _balanced(truth: list[str], said: list[str], others: Guesses, sessions: Sequence[str]) -> MetricResult:
    theirs = {name: (balanced_counts(truth, guess), oracle) for name, (guess, oracle) in others.items()}
    return metric(balanced_counts(truth, said), theirs, sessions, higher_is_better=True)


def _macro_f1(truth: list[str], said: list[str]) -> float:
    found = f1_score(truth, said, labels=sorted(set(truth)), average="macro", zero_division=0)
    return round(float(found), PLACES)


def _most(values: Sequence[str]) -> str:
    counted = Counter(values)
    return min(counted, key=lambda value: (-counted[value], value)) if counted else OTHER
