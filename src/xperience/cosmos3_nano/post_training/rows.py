"""Rows of the reasoner: clip, question, and the supervised answer in the pieces that decoding is held to as well."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from xperience.common.errors import BadDataError
from xperience.common.files import sha256_of_file
from xperience.cosmos3_nano.answers import TextRecord, answer_of, answer_text, form_of
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.reasoner import inputs_of
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet, read_records
from xperience.cosmos3_nano.records import FutureLabelRecord, ReasonRecord
from xperience.training.answers import IGNORED, IM_END, check_labels

TEXT_TASKS = ("reason", "future_label")


@dataclass(frozen=True)
class AnswerFact:
    """What is known of a sample before its clip is read."""

    id: str
    session: str
    episode: str
    task: str
    supervised: int


@dataclass(frozen=True)
class AnswerRow:
    """One row of S tokens: `inputs` as the model takes them, `labels` (S), the answer's text."""

    id: str
    inputs: dict[str, torch.Tensor]
    labels: list[int]
    answer: str

    def batch(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Inputs and labels of one row."""
        found = self.inputs | {"labels": torch.tensor([self.labels])}
        return {name: tensor.to(device) for name, tensor in found.items()}


class Answers(Protocol):
    """Rows by number; `facts` costs no reading of media."""

    content_sha256: str

    @property
    def facts(self) -> Sequence[AnswerFact]:
        """All of them, in one fixed order."""
        ...

    def row(self, number: int, *, black: bool = False) -> AnswerRow:
        """One, its labels read back; `black`: with black frames in place of the clip."""
        ...


def pieces_of(record: TextRecord) -> list[str]:
    """The answer in the parts of its form, each tokenised on its own, as the evaluation does; joined it is the answer.

    BadDataError where the answer is not of that form.
    """
    text = answer_text(answer_of(record))
    pattern = "".join(f"({re.escape(part)})" if isinstance(part, str) else "(.*?)" for part in form_of(record, ()))
    found = re.fullmatch(pattern, text, re.DOTALL)
    if found is None:
        raise BadDataError("an answer is not of its form", where=record.record_id, why=text[:100])
    return [piece for piece in found.groups() if piece]


class RecordAnswers:
    """The records of the two text tasks of one split."""

    def __init__(self, folder: Path, split: str, tokenizer: Any) -> None:
        self.folder, self.tokenizer = folder, tokenizer
        self.content_sha256 = RecordSet.read(folder / ARTEFACT).content_sha256
        self.records: list[TextRecord] = [
            record
            for task in TEXT_TASKS
            for record in read_records(folder, task)
            if isinstance(record, ReasonRecord | FutureLabelRecord) and record.split == split
        ]
        if not self.records:
            raise BadDataError("no text record of a split", where=f"{folder}: {split}", fix="Run `export` again.")

    @cached_property
    def facts(self) -> Sequence[AnswerFact]:
        """All, in the order of the files."""
        return [
            AnswerFact(r.record_id, r.session_id, r.episode_id, r.task, len(self._answer_ids(r))) for r in self.records
        ]

    def _answer_ids(self, record: TextRecord) -> list[int]:
        pieces = [*pieces_of(record), IM_END]
        return [token for piece in pieces for token in self.tokenizer(piece, add_special_tokens=False)["input_ids"]]

    def row(self, number: int, *, black: bool = False) -> AnswerRow:
        """BadDataError where the clip is not the record's, or what is supervised is not the answer and its end."""
        record = self.records[number]
        place = self.folder / record.clip.uri
        if not place.is_file() or sha256_of_file(place) != record.clip.sha256:
            raise BadDataError("a file is not the record's", where=str(place), fix="Run `export` again.")
        frames = read_clip(place)[: record.visible_frames]
        frames = np.zeros_like(frames) if black else frames
        inputs = inputs_of(self.tokenizer, frames, record.clip.fps, record.prompt.text)
        answer = self._answer_ids(record)
        prompt = inputs["input_ids"].shape[1]
        more = torch.tensor([answer])
        inputs |= {
            "input_ids": torch.cat([inputs["input_ids"], more], 1),
            "attention_mask": torch.ones(1, prompt + len(answer), dtype=torch.long),
            "mm_token_type_ids": torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(more)], 1),
        }
        row = AnswerRow(record.record_id, inputs, [IGNORED] * prompt + answer, answer_text(answer_of(record)))
        check_labels(self.tokenizer, row)
        return row
