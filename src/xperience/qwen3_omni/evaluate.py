"""Held-out evaluation: sharded, resumable answers, then one report of exactly the test windows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from xperience.common.evidence import Evidence, Part
from xperience.common.shards import Shard
from xperience.qwen3_omni.collate import Row, RowMaker
from xperience.qwen3_omni.grammar import AnswerGrammar
from xperience.qwen3_omni.held_out import TrainedOn
from xperience.qwen3_omni.metrics import Answers, FieldResult, ObjectResult, evaluate_fields, evaluate_objects
from xperience.qwen3_omni.predictions import MadeBy, append, begin
from xperience.qwen3_omni.prompt import value_of
from xperience.qwen3_omni.sample import SampleFacts, Samples

# The parts of the protocol; a gate wants all of them held.
COVERED, HELD_OUT, VALID, ALL_BASELINES = (
    "exactly the test windows", "held-out sessions", "all answers valid", "all baselines there",
)  # fmt: skip
RANKED = 5


class SessionResult(Part):
    """One test session."""

    windows: int
    action_accuracy: float


class Evaluation(Evidence):
    """An evaluation; its protocol held where every part of `protocol` is true. Quality is no part of it.

    `train_episodes` are those of train and of val, whose loss chose the adapter.
    """

    SCHEMA: ClassVar[str] = "xperience.qwen3-omni-evaluation/1"

    protocol: dict[str, bool]
    train_episodes: list[str]
    test_episodes: list[str]
    windows: int
    valid_answers: int
    sessions: dict[str, SessionResult]
    fields: dict[str, FieldResult]
    objects: ObjectResult


@dataclass(frozen=True)
class Answerer:
    """A model and how it is asked: `batch` windows at a time, their actions scored within `score_bytes` or not."""

    model: Any
    maker: RowMaker
    grammar: AnswerGrammar
    batch: int
    score_bytes: int | None

    def lines(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """A line per row; `action_probability` is its action's among the vocabulary, `ranked` are the best five."""
        from xperience.qwen3_omni.decode import answers

        labels = self.grammar.values["action"]
        lines = []
        found = answers(self.model, rows, self.grammar, self.maker.tokenizer, score_bytes=self.score_bytes)
        for row, one in zip(rows, found, strict=True):
            line: dict[str, Any] = {"id": row.id, "answer": one.answer}
            if one.chances is not None:
                line["action_probability"] = round(float(one.chances[labels.index(one.answer["action"])]), 6)
                line["ranked"] = [labels[int(place)] for place in one.chances.argsort(descending=True)[:RANKED]]
            lines.append(line)
        return lines


def predict(
    path: Path, by: MadeBy, samples: Samples, answerer: Answerer, *, shard: Shard,
    stop: Callable[[], bool] = lambda: False,
) -> int:  # fmt: skip
    """Answer what this shard has not answered yet, a line each; returns how many answers it has now."""
    done = begin(path, by)
    mine = [number for number in shard.of(range(len(samples.facts))) if samples.facts[number].id not in done]
    # Rows of about equal length side by side: little padding.
    mine.sort(key=lambda number: answerer.maker.counts(samples.facts[number])[0])
    for start in range(0, len(mine), answerer.batch):
        if stop():
            break
        numbers = mine[start : start + answerer.batch]
        rows = [answerer.maker.row(samples.read(number), with_answer=False) for number in numbers]
        append(path, answerer.lines(rows))
        done |= {row.id for row in rows}
    return len(done)


def conclude(
    facts: Sequence[SampleFacts], predictions: Answers, train: Sequence[SampleFacts], run: TrainedOn, *,
    inputs: Mapping[str, str], zero_shot: Answers | None = None,
) -> Evaluation:  # fmt: skip
    """The report of answers that `gathered` let pass, of sessions that `check_held_out` did."""
    of_session: dict[str, list[bool]] = {}
    for fact in facts:
        right = value_of(fact.answer, "action") == value_of(predictions[fact.id]["answer"], "action")
        of_session.setdefault(fact.session, []).append(right)
    return Evaluation(
        inputs=dict(inputs),
        protocol={
            COVERED: {fact.id for fact in facts} == set(predictions),
            HELD_OUT: not {fact.session for fact in facts} & set(run.sessions),
            VALID: len(predictions) == len(facts), ALL_BASELINES: zero_shot is not None,
        },
        train_episodes=run.episodes, test_episodes=sorted({fact.episode for fact in facts}),
        windows=len(facts), valid_answers=len(predictions),
        sessions={
            name: SessionResult(windows=len(found), action_accuracy=round(sum(found) / len(found), 4))
            for name, found in sorted(of_session.items())
        },
        fields=evaluate_fields(facts, predictions, train, zero_shot),
        objects=evaluate_objects(facts, predictions, train, zero_shot),
    )  # fmt: skip
