"""Row 14: the reasoner answers under its form, is not cut off, and looks at the video."""

from collections.abc import Sequence

import numpy as np

from xperience.cosmos3_nano.answering import answer
from xperience.cosmos3_nano.answers import form_of, is_valid
from xperience.cosmos3_nano.compatibility.record import Measured, NotRunError
from xperience.cosmos3_nano.compatibility.subject import RealSubject
from xperience.cosmos3_nano.evaluation.text import objects_of, text_records
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.reasoner import Reasoner
from xperience.cosmos3_nano.records import ReasonRecord

ROOM = 2  # times the longest sentence of train


def reasons(subject: RealSubject, most_tokens: int | None = None) -> Measured:
    """Answers to `reason` records of train, and to black frames in their place; NotRunError where there are none."""
    records = text_records(subject.records, ReasonRecord, "train")
    if not records:
        raise NotRunError("no reason record of train: the annotations say nothing of hands")
    reasoner, objects = subject.reasoner, objects_of(records)
    most = most_tokens or ROOM * longest_sentence(reasoner, records)
    valid, cut, blind, faults = 0, 0, 0, []
    asked = records[: len(subject.clips)]
    for record in asked:
        frames = read_clip(subject.records / record.clip.uri)[: record.visible_frames]
        form = form_of(record, objects)
        told, black = (
            answer(reasoner, given, record.clip.fps, record.prompt.text, form, most_tokens=most)
            for given in (frames, np.zeros_like(frames))
        )
        valid += is_valid(record, told.answer, objects)
        cut += bool(told.cut)
        blind += told.answer == black.answer
    faults += [f"{len(asked) - valid} answers are not valid"] if valid < len(asked) else []
    faults += [f"{cut} answers were cut off at {most} tokens"] if cut else []
    faults += [f"{blind} answers are those to black frames"] if blind else []
    return Measured(
        {"answers": len(asked), "valid": valid, "cut": cut, "as_for_black_frames": blind, "most_tokens": most}, faults
    )


def longest_sentence(reasoner: Reasoner, records: Sequence[ReasonRecord]) -> int:
    """Tokens of the longest free text that the records have."""
    texts = [text for record in records for text in (record.target.observation, record.target.physics)]
    return max(len(ids) for ids in reasoner.tokenizer(texts, add_special_tokens=False)["input_ids"])
