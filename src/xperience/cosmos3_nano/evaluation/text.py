"""Answers of the reasoner to the records of the two text tasks: of the clip, and of a black one in its place."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xperience.cosmos3_nano.answering import Answered, answer
from xperience.cosmos3_nano.answers import TextRecord, form_of, is_valid, labels_choice
from xperience.cosmos3_nano.evaluation.lines import Line
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.reasoner import Reasoner
from xperience.cosmos3_nano.record_set import OPTIONS, read_records
from xperience.cosmos3_nano.records import FutureLabelRecord, ReasonRecord

CURRENT_QUESTION = "What is the person doing now? Answer with the action."
PLACES = 6
AnyText = TypeVar("AnyText", ReasonRecord, FutureLabelRecord)


class TextLine(Line):
    """An answer and that to black frames; `cut`: free texts that the limit ended.

    Of a future label: `chances` of the options in order, and `current`, the action that the model sees now.
    """

    answer: dict[str, Any]
    valid: bool
    cut: list[str]
    black: dict[str, Any]
    chances: list[float]
    current: str | None


def text_records(folder: Path, kind: type[AnyText], split: str) -> list[AnyText]:
    """The records of a text task and a split."""
    task = str(kind.model_fields["task"].default)
    return [record for record in read_records(folder, task) if isinstance(record, kind) and record.split == split]


def options_of(folder: Path) -> list[str]:
    """The labels of train and `other`."""
    found: list[str] = json.loads((folder / OPTIONS).read_bytes())
    return found


def objects_of(records: Sequence[ReasonRecord]) -> list[str]:
    """Objects that some records name."""
    return sorted({record.target.contact.object for record in records if record.target.contact.object})


def known_to(folder: Path, record: TextRecord) -> list[str]:
    """What an answer to the record may name, of train alone."""
    if isinstance(record, FutureLabelRecord):
        return options_of(folder)
    return objects_of(text_records(folder, ReasonRecord, "train"))


def answering(folder: Path, reasoner: Reasoner, most_tokens: int) -> Callable[[TextRecord], dict[str, Any]]:
    """What makes the fields of a line of a record."""

    def answered(record: TextRecord) -> dict[str, Any]:
        frames = read_clip(folder / record.clip.uri)[: record.visible_frames]
        known = known_to(folder, record)

        def ask(pictures: Any, question: str = record.prompt.text, form: Any = None) -> Answered:
            return answer(reasoner, pictures, record.clip.fps, question, form or form_of(record, known),
                          most_tokens=most_tokens)  # fmt: skip

        found = ask(frames)
        chances, current = [], None
        if isinstance(record, FutureLabelRecord):
            chances = [round(chance, PLACES) for chance in found.chances["label"]]
            now = ask(frames, CURRENT_QUESTION, ('{"action": ', labels_choice(known), "}"))
            current = str(now.answer["action"])
        return {
            "answer": found.answer, "valid": is_valid(record, found.answer, known), "cut": found.cut,
            "black": ask(np.zeros_like(frames)).answer, "chances": chances, "current": current,
        }  # fmt: skip

    return answered
