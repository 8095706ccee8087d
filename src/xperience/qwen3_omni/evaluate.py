"""Held-out evaluation: sharded, resumable predictions, then one report of exactly the test windows."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence, Part
from xperience.common.shards import Shard
from xperience.qwen3_omni.collate import RowMaker
from xperience.qwen3_omni.grammar import AnswerGrammar
from xperience.qwen3_omni.metrics import FieldResult, ObjectResult, evaluate_fields, evaluate_objects
from xperience.qwen3_omni.prompt import FIELDS, value_of
from xperience.qwen3_omni.sample import SampleFacts, Samples


class SessionResult(Part):
    """One test session."""

    windows: int
    action_accuracy: float


class Evaluation(Evidence):
    """An evaluation whose protocol held: exact cover, held-out sessions, every answer valid, every baseline there."""

    SCHEMA: ClassVar[str] = "xperience.qwen3-omni-evaluation/1"

    windows: int
    sessions: dict[str, SessionResult]
    valid_answers: int
    zero_shot_included: bool
    fields: dict[str, FieldResult]
    objects: ObjectResult


def predict(
    path: Path, model: Any, samples: Samples, maker: RowMaker, grammar: AnswerGrammar, *, shard: Shard,
    batch: int, stop: Callable[[], bool] = lambda: False, with_probabilities: bool = True,
) -> int:  # fmt: skip
    """Answer what this shard has not answered yet, a line each; returns how many answers it has now."""
    from xperience.qwen3_omni.decode import answers, label_probabilities

    done = {line["id"] for line in read_lines(path)}
    mine = [number for number in shard.of(range(len(samples.facts))) if samples.facts[number].id not in done]
    # Rows of about equal length side by side: little padding.
    mine.sort(key=lambda number: maker.counts(samples.facts[number])[0])
    opening = maker.ids('{"action":"')
    path.parent.mkdir(parents=True, exist_ok=True)
    for begin in range(0, len(mine), batch):
        if stop():
            break
        numbers = mine[begin : begin + batch]
        rows = [maker.row(samples.read(number), with_answer=False) for number in numbers]
        with path.open("a") as file:
            for row, answer in zip(rows, answers(model, rows, grammar, maker.tokenizer), strict=True):
                line: dict[str, Any] = {"id": row.id, "answer": answer}
                if with_probabilities:
                    labels = grammar.values["action"]
                    chances = label_probabilities(model, row, opening, labels, maker.ids)
                    line["action_probability"] = float(chances[labels.index(answer["action"])])
                    line["ranked"] = [labels[int(place)] for place in chances.argsort(descending=True)[:5]]
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                done.add(row.id)
    return len(done)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of predictions; half a line at the end of a killed run is cut off the file."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]


def gathered(paths: Sequence[Path], facts: Sequence[SampleFacts]) -> dict[str, dict[str, Any]]:
    """Predictions of all shards by id; BadDataError unless they are exactly those of `facts`, each once and valid."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        for line in read_lines(path):
            if line["id"] in found:
                raise BadDataError("a window was answered twice", where=str(path), why=line["id"])
            found[line["id"]] = line
    wanted = {fact.id for fact in facts}
    if wanted != set(found):
        raise BadDataError(
            "the answers are not those of the test windows", where=str(paths[0].parent if paths else ""),
            why=f"{len(wanted - set(found))} are missing, {len(set(found) - wanted)} are of other windows",
            fix="Run the missing shards of `qwen3-omni evaluate`; remove predictions of other windows.",
        )  # fmt: skip
    for line in found.values():
        if tuple(line["answer"]) != FIELDS:
            raise BadDataError("an answer is not valid", where=line["id"], why=str(line["answer"])[:200])
    return found


def conclude(
    facts: Sequence[SampleFacts], predictions: Mapping[str, Mapping[str, Any]], train: Sequence[SampleFacts], *,
    inputs: dict[str, str], zero_shot: Mapping[str, Mapping[str, Any]] | None = None,
) -> Evaluation:  # fmt: skip
    """The report."""
    answers = {name: line["answer"] for name, line in predictions.items()}
    confidences = {
        name: line["action_probability"] for name, line in predictions.items() if "action_probability" in line
    }
    of_session: dict[str, list[bool]] = {}
    for fact in facts:
        right = value_of(fact.answer, "action") == value_of(answers[fact.id], "action")
        of_session.setdefault(fact.session, []).append(right)
    base = {name: line["answer"] for name, line in zero_shot.items()} if zero_shot else None
    return Evaluation(
        inputs=inputs, windows=len(facts), valid_answers=len(answers), zero_shot_included=base is not None,
        sessions={
            name: SessionResult(windows=len(found), action_accuracy=round(sum(found) / len(found), 4))
            for name, found in sorted(of_session.items())
        },
        fields=evaluate_fields(facts, answers, train, confidences if len(confidences) == len(facts) else {}, base),
        objects=evaluate_objects(facts, answers, train),
    )  # fmt: skip
