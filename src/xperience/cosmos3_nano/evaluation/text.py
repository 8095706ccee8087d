"""Records of the two text tasks, and a line of answers to one: of the clip, and of a black one in its place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from xperience.cosmos3_nano.answers import TextRecord
from xperience.cosmos3_nano.evaluation.lines import Line
from xperience.cosmos3_nano.record_set import OPTIONS, read_records
from xperience.cosmos3_nano.records import FutureLabelRecord, ReasonRecord

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
