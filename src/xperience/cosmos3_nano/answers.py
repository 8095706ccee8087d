"""What the reasoner has to say of a record, word for word, and the form that an answer is held to.

Times of an answer are seconds from the clip's first frame: nothing shows the model where in the episode a clip lies.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xperience.cosmos3_nano.parts import ReasonAnswer, Seen
from xperience.cosmos3_nano.records import FutureLabelRecord, ReasonRecord

TIME_STEP = 0.1  # that of a clip's frames
CONTACT_STATES = ("left", "right", "both", "none", "unknown")
TextRecord = ReasonRecord | FutureLabelRecord


@dataclass(frozen=True)
class Choice:
    """One of some texts, each with all that closes it."""

    name: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class FreeText:
    """Any text without a quotation mark, a backslash or a line's end; the form's next part closes it."""

    name: str


Form = tuple[str | Choice | FreeText, ...]


def answer_of(record: TextRecord) -> dict[str, Any]:
    """The right answer as JSON values: all that the question asks for."""
    if isinstance(record, FutureLabelRecord):
        return record.target.model_dump(mode="json", include={"next_action", "contact_state", "transition"})
    shown = tuple(Seen(t_s=round(seen.t_s - record.clip.t0_s, 1)) for seen in record.target.evidence)
    return record.target.model_copy(update={"evidence": shown}).model_dump(mode="json")


def answer_text(answer: dict[str, Any]) -> str:
    """As the model is taught to write it."""
    return json.dumps(answer, ensure_ascii=False)


def form_of(record: TextRecord, known: Sequence[str]) -> Form:
    """Each text of it is a valid answer; `known` are the options of a future label, or the objects that train names."""
    if isinstance(record, FutureLabelRecord):
        return (
            '{"next_action": ', labels_choice(known), ', "contact_state": ',
            Choice("contact_state", tuple(json.dumps(state) for state in CONTACT_STATES)), ', "transition": ',
            Choice("transition", ("true", "false")), "}",
        )  # fmt: skip
    steps = round((record.visible_until_s - record.clip.t0_s) / TIME_STEP)
    times = tuple(f"{number * TIME_STEP:.1f}" for number in range(steps + 1))
    sides = Choice("left", ("true", "false")), Choice("right", ("true", "false"))
    return (
        '{"observation": "', FreeText("observation"), '", "contact": {"left": ', sides[0], ', "right": ', sides[1],
        ', "object": ', Choice("object", ("null", *labels_choice(known).texts)), '}, "physics": "', FreeText("physics"),
        '", "evidence": [{"t_s": ',
        Choice("t_s", times), "}]}",
    )  # fmt: skip


def labels_choice(labels: Sequence[str]) -> Choice:
    """One of some labels."""
    return Choice("label", tuple(json.dumps(label, ensure_ascii=False) for label in labels))


def is_valid(record: TextRecord, answer: object, options: Sequence[str]) -> bool:
    """Whether an answer is one that the record's question may have; evidence lies within the clip."""
    if not isinstance(answer, dict):
        return False
    if isinstance(record, FutureLabelRecord):
        return (
            set(answer) == {"next_action", "contact_state", "transition"} and answer["next_action"] in options
            and answer["contact_state"] in CONTACT_STATES and isinstance(answer["transition"], bool)
        )  # fmt: skip
    try:
        found = ReasonAnswer.model_validate(answer)
    except ValueError:
        return False
    return all(0 <= seen.t_s <= record.visible_until_s - record.clip.t0_s + TIME_STEP / 2 for seen in found.evidence)
