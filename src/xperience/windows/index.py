"""The index: one row per window, as Parquet named after the hash of its bytes."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from xperience.common.errors import BadDataError
from xperience.common.evidence import Part
from xperience.common.files import write_atomic
from xperience.windows.contact import Contact
from xperience.windows.sound import WindowSound

Answer = Literal["yes", "no"]


class EvidenceWindow(Part):
    """Where the answer was read off: frames of the episode, both counted."""

    start_frame: int
    end_frame: int


class Window(Part):
    """One window: where it lies, what it shows, and where its frames and sound are.

    Frames are rows of the timeline, `last_frame` counts; times are the device's, ns. `action_share` is of the labelled
    frames, `literal_share` of all frames: what the caption's own spans say, without the rule that carries labels on.
    None is not known. `media` is relative to the index: its instants [media_first, media_first + media_count) and its
    samples [sound_first, sound_first + sound_count) are the window with its context.
    """

    id: str
    episode_id: str
    session: str
    split: str
    scale: int
    first_frame: int
    last_frame: int
    start_ns: int
    end_ns: int
    action: str
    action_share: float
    literal_share: float
    subtask: str | None
    subtask_share: float
    objects: list[str] = Field(max_length=8)
    contact: Contact
    contact_feet: Contact
    transition: Answer
    next_action: str | None
    media: str
    media_first: int
    media_count: int
    sound: WindowSound
    sound_first: int
    sound_count: int
    sound_dbfs: float | None

    @property
    def evidence_window(self) -> EvidenceWindow:
        """Filled by code, never by a model: an answer's frames are those of the window that was asked about."""
        return EvidenceWindow(start_frame=self.first_frame, end_frame=self.last_frame)

    def answer(self) -> dict[str, Any]:
        """The whole answer to this window, in the plan's keys."""
        return {
            "action": self.action, "subtask": self.subtask, "objects": self.objects, "contact": self.contact,
            "transition": self.transition, "next_action": self.next_action,
            "evidence_window": self.evidence_window.model_dump(),
        }  # fmt: skip


_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("id", pa.string()), ("episode_id", _TEXT), ("session", _TEXT), ("split", _TEXT), ("scale", pa.int32()),
        ("first_frame", pa.int32()), ("last_frame", pa.int32()), ("start_ns", pa.int64()), ("end_ns", pa.int64()),
        ("action", _TEXT), ("action_share", pa.float64()), ("literal_share", pa.float64()), ("subtask", _TEXT),
        ("subtask_share", pa.float64()), ("objects", pa.list_(pa.string())), ("contact", _TEXT),
        ("contact_feet", _TEXT), ("transition", _TEXT), ("next_action", _TEXT), ("media", _TEXT),
        ("media_first", pa.int32()), ("media_count", pa.int32()), ("sound", _TEXT), ("sound_first", pa.int32()),
        ("sound_count", pa.int32()), ("sound_dbfs", pa.float64()),
    ]
)  # fmt: skip


class IndexFile(Part):
    """An index beside the artefact that names it."""

    path: str
    sha256: str
    windows: int
    windows_by_split: dict[str, int]


def write_index(output: Path, name: str, windows: Sequence[Window], splits: Sequence[str]) -> IndexFile:
    """Write `<name>-<sha256>.parquet`; the same bytes for the same windows and the same pyarrow."""
    file = io.BytesIO()
    table = pa.Table.from_pylist([window.model_dump() for window in windows], schema=SCHEMA)
    pq.write_table(table, file, compression="zstd")
    content = file.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    path = f"{name}-{digest[:16]}.parquet"
    write_atomic(output / path, content)
    counts = {split: sum(window.split == split for window in windows) for split in splits}
    return IndexFile(path=path, sha256=digest, windows=len(windows), windows_by_split=counts)


def read_index(output: Path, index: IndexFile) -> list[Window]:
    """The windows of an index, in its order; BadDataError where it is not the file that was written."""
    place = output / index.path
    try:
        content = place.read_bytes()
    except OSError as error:
        raise BadDataError("an index is not there", where=str(place), why=error.strerror or str(error)) from error
    if (digest := hashlib.sha256(content).hexdigest()) != index.sha256:
        raise BadDataError(
            "an index is not the one that was written", where=str(place),
            why=f"sha256 {digest}, {index.sha256} expected", fix="Run `windows build` again.",
        )  # fmt: skip
    return [Window.model_validate(row) for row in pq.read_table(io.BytesIO(content)).to_pylist()]
