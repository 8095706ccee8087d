"""What the model is asked and what it has to answer, as pieces that are tokenised each on its own.

No list of labels and no name of an episode is part of it: a label is learnt, or enforced while decoding.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
FIELDS = ("action", "subtask", "objects", "contact", "transition", "next_action")
CLOSED = {"contact": ("no", "unknown", "yes"), "transition": ("no", "yes")}
UNKNOWN = "unknown"
MOST_OBJECTS = 8

SYSTEM = (
    "You watch what a person does through cameras and a microphone on the head. Answer with one JSON object of the"
    " keys action, subtask, objects (at most eight names), contact of the hands (yes, no or unknown), transition to"
    " another action (yes or no) and next_action. What cannot be known is unknown."
)
QUESTION = "What happens from second {begin:.2f} to second {end:.2f} of this clip?"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a conversation: text, or the place of a medium."""

    kind: Literal["text", "video", "audio"]
    text: str = ""
    supervised: bool = False


def quoted(value: str) -> str:
    """A JSON string without its opening quote: no such text is the beginning of another one."""
    return json.dumps(value, ensure_ascii=False)[1:]


def value_of(answer: Mapping[str, Any], field: str) -> str:
    """A field's text, `unknown` where it is None."""
    return UNKNOWN if answer.get(field) is None else str(answer[field])


def answer_pieces(answer: Mapping[str, Any]) -> list[str]:
    """The answer in the pieces that decoding is held to as well; joined they are one compact JSON object."""
    pieces: list[str] = []
    for number, field in enumerate(FIELDS):
        opening = "{" if number == 0 else ","
        if field == "objects":
            pieces.append(f'{opening}"objects":[')
            names = list(answer.get("objects") or ())[:MOST_OBJECTS]
            for place, name in enumerate(names):
                pieces += [',"' if place else '"', quoted(name)]
            pieces.append("]")
        else:
            pieces += [f'{opening}"{field}":"', quoted(value_of(answer, field))]
    return [*pieces, "}"]


def answer_text(answer: Mapping[str, Any]) -> str:
    """The whole answer."""
    return "".join(answer_pieces(answer))


def conversation(
    *, begin_seconds: float, end_seconds: float, video: bool, audio: bool, answer: Mapping[str, Any] | None
) -> list[Piece]:
    """System, media, question; and the answer with its end, supervised, where there is one."""
    pieces = [Piece("text", f"{IM_START}system\n{SYSTEM}{IM_END}\n{IM_START}user\n")]
    pieces += [Piece("video")] if video else []
    pieces += [Piece("audio")] if audio else []
    question = QUESTION.format(begin=begin_seconds, end=end_seconds)
    pieces.append(Piece("text", f"{question}{IM_END}\n{IM_START}assistant\n"))
    if answer is not None:
        pieces += [Piece("text", text, supervised=True) for text in [*answer_pieces(answer), IM_END]]
    return pieces


def template_sha256() -> str:
    """Hash of everything above that a model's weights depend on."""
    example = {"action": "a", "subtask": None, "objects": ["b", "c"], "contact": "yes", "transition": "no"}
    parts: Sequence[str] = (SYSTEM, QUESTION, *answer_pieces(example), *CLOSED, IM_START, IM_END)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
