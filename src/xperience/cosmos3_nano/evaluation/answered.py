"""Answers of the reasoner to the records of the two text tasks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xperience.cosmos3_nano.answering import Answered, answer
from xperience.cosmos3_nano.answers import TextRecord, form_of, is_valid, labels_choice
from xperience.cosmos3_nano.evaluation.compared import PLACES
from xperience.cosmos3_nano.evaluation.text import known_to
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.reasoner import Reasoner
from xperience.cosmos3_nano.records import FutureLabelRecord

CURRENT_QUESTION = "What is the person doing now? Answer with the action."


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
