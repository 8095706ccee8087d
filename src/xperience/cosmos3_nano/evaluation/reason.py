"""Physical reasoning: contact, object, time and words of the answers, beside train's commonest and a black clip's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xperience.common.paired import Counts
from xperience.cosmos3_nano.answers import answer_of
from xperience.cosmos3_nano.evaluation.compared import (
    MetricResult,
    TextEvaluation,
    f1_counts,
    mean_counts,
    metric,
    word_f1_counts,
)
from xperience.cosmos3_nano.evaluation.lines import lines_of
from xperience.cosmos3_nano.evaluation.text import TextLine, text_records
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet
from xperience.cosmos3_nano.records import ReasonRecord

BLACK, MAJORITY = "black frames", "train majority"
HANDS = ("left", "right")
Answers = Sequence[dict[str, Any]]


def conclude(folder: Path, lines: dict[str, TextLine], *, split: str) -> TextEvaluation:
    """The report; BadDataError unless every record of the split has its answer."""
    pairs = lines_of(text_records(folder, ReasonRecord, split), lines, split)
    records = [record for record, _ in pairs]
    truth = [answer_of(record) for record in records]
    others = {
        MAJORITY: [_commonest([answer_of(one) for one in text_records(folder, ReasonRecord, "train")])] * len(pairs),
        BLACK: [line.black for _, line in pairs],
    }
    mine = [line.answer for _, line in pairs]
    sessions = [record.session_id for record in records]
    return TextEvaluation(
        inputs={"records": RecordSet.read(folder / ARTEFACT).content_sha256}, task="reason", split=split,
        model_sha256=pairs[0][1].model_sha256, clips=len(pairs), sessions=len(set(sessions)),
        valid=sum(line.valid for _, line in pairs), cut=sum(bool(line.cut) for _, line in pairs), figures={},
        metrics=_metrics(truth, mine, others, sessions),
    )  # fmt: skip


def _metrics(
    truth: Answers, mine: Answers, others: Mapping[str, Answers], sessions: Sequence[str]
) -> dict[str, MetricResult]:
    hands = [(n, side) for n in range(len(truth)) for side in HANDS]

    def contact(said: Answers) -> Counts:
        return f1_counts([truth[n]["contact"][side] for n, side in hands],
                         [bool(said[n]["contact"][side]) for n, side in hands])  # fmt: skip

    def touched(said: Answers) -> Counts:
        pairs = zip(truth, said, strict=True)
        return mean_counts([float(a["contact"]["object"] == b["contact"]["object"]) for a, b in pairs])

    def time(said: Answers) -> Counts:
        return mean_counts([
            min(abs(a["evidence"][0]["t_s"] - seen["t_s"]) for seen in b["evidence"])
            for a, b in zip(truth, said, strict=True)
        ])  # fmt: skip

    def words(name: str, said: Answers) -> Counts:
        return word_f1_counts([one[name] for one in truth], [one[name] for one in said])

    def compared(counts: Any, of: Sequence[str], *, higher_is_better: bool = True) -> MetricResult:
        theirs = {name: (counts(said), False) for name, said in others.items()}
        return metric(counts(mine), theirs, of, higher_is_better=higher_is_better)

    return {
        "contact_f1": compared(contact, [sessions[n] for n, _ in hands]),
        "evidence_seconds": compared(time, sessions, higher_is_better=False),
        "object_accuracy": compared(touched, sessions),
        "observation_word_f1": compared(lambda said: words("observation", said), sessions),
        "physics_word_f1": compared(lambda said: words("physics", said), sessions),
    }


def _commonest(train: Answers) -> dict[str, Any]:
    """Field by field: the answer of one who has not looked; the evidence at train's median time.

    No object is an answer like others.
    """

    def most(values: Sequence[Any]) -> Any:
        counted = Counter(values)
        return min(counted, key=lambda value: (-counted[value], str(value))) if counted else None

    return {
        "observation": most([one["observation"] for one in train]) or "",
        "physics": most([one["physics"] for one in train]) or "",
        "contact": {
            **{side: bool(most([one["contact"][side] for one in train])) for side in HANDS},
            "object": most([one["contact"]["object"] for one in train]),
        },
        "evidence": [{"t_s": float(np.median([one["evidence"][0]["t_s"] for one in train])) if train else 0.0}],
    }  # fmt: skip
