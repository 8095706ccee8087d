"""What a worker is asked, and how it answers: JSON and bytes over a socket, never pickles."""

import json
from multiprocessing.connection import Connection
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from xperience.episode.ranged import BLOCK_BYTES
from xperience.prepare.facts import AnnotationFacts, Texts, VideoFacts

# A look's facts have some 10 kB, a caption some 100 kB.
MOST_MESSAGE_BYTES = 4 << 20
MOST_SIBLING_BYTES = 64 << 20
# What a worker asks for first of a file that is elsewhere, so that it can be on its way before the worker is there: an
# annotation's first tables and its caption's place, the block of a video with its first boxes.
FIRST_BYTES = {"annotation": 64 << 10, "texts": 64 << 10, "video": BLOCK_BYTES}


class Order(BaseModel):
    """Look into one file. Without a `path` its bytes come from the other end, `size_bytes` of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["annotation", "texts", "video"]
    path: str | None = None
    size_bytes: int = 0
    sampled: bool = False
    timeout_seconds: float
    memory_bytes: int


class Ask(BaseModel):
    """From the worker while it looks: bytes [start, stop) of ranges, or the content of a file beside this one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ranges: tuple[tuple[int, int], ...] | None = None
    sibling: str | None = None


class Answer(BaseModel):
    """From the worker at its end: facts, or the fault that kept it from any; bytes that it read (0: not known)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    annotation: AnnotationFacts | None = None
    video: VideoFacts | None = None
    texts: Texts | None = None
    fault: str = ""
    read_bytes: int = 0


class Ended(BaseModel):
    """From the worker's keeper: exit code, or minus the number of the signal that ended it; its peak memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ended: int
    peak_bytes: int


def send(connection: Connection, message: BaseModel) -> None:
    """As JSON."""
    connection.send_bytes(json.dumps({type(message).__name__: message.model_dump(mode="json")}).encode())


def receive(connection: Connection) -> Ask | Answer | Ended:
    """The next message of a worker; ValueError where it is none."""
    document: Any = json.loads(connection.recv_bytes(MOST_MESSAGE_BYTES))
    if not isinstance(document, dict) or len(document) != 1:
        raise ValueError("not a message")
    for kind in (Ask, Answer, Ended):
        if kind.__name__ in document:
            return kind.model_validate(document[kind.__name__])
    raise ValueError("not a message")
