"""An episode's caption: the text as it was written, and what its frame references mean on a timeline.

`parse_caption` needs no timeline; it gives the texts that an audit reads:

    caption = parse_caption(text)
    caption.main_task, caption.global_summary          strings, "" where there is none
    caption.subtasks, caption.action_labels            in order, repeats kept
    caption.objects                                    distinct names, sorted
    caption.segments[0].actions[0].label, .description, .start, .end
    caption.faults                                     what was left out while reading, and why

`resolve_caption` puts actions and subtasks on frames: literal spans, nothing filled in. `labels.py` derives labels per
frame from them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xperience.common.errors import BadDataError
from xperience.episode.timeline import Timeline

Reference = str | int

# Real captions have some 100 kB; more than this is no caption.
MOST_BYTES = 64 << 20
MOST_FAULTS = 50
# From here on an integer is a timestamp in ns, below it a frame counted from 1 (the data set's toolkit has the same).
LEAST_TIMESTAMP = 100_000_000
NUMBERED = re.compile(r"frame_(\d{1,18})(?:\.\w+)?", re.ASCII)
INTEGER = re.compile(r"(\d{1,20})(?:\.(?:jpg|jpeg|png))?", re.ASCII | re.IGNORECASE)


class CaptionError(BadDataError):
    """A text that is no caption (65)."""


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of a segment's `Current Action`; start and end as they are written, None where there is none."""

    label: str
    description: str
    start: Reference | None
    end: Reference | None


@dataclass(frozen=True, slots=True)
class Segment:
    """About 20 s of an episode. `objects` and `interactions` by the reference of a sampled frame."""

    start: Reference | None
    end: Reference | None
    subtask: str
    actions: tuple[Action, ...]
    objects: tuple[tuple[Reference, tuple[str, ...]], ...]
    interactions: tuple[tuple[Reference, str], ...]


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption as it was written."""

    main_task: str
    global_summary: str
    segments: tuple[Segment, ...]
    faults: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """Actions of all segments, in order."""
        return tuple(action for segment in self.segments for action in segment.actions)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """Labels of all actions, in order, repeats kept."""
        return tuple(action.label for action in self.actions)

    @property
    def subtasks(self) -> tuple[str, ...]:
        """Subtasks of all segments, in order, repeats kept."""
        return tuple(segment.subtask for segment in self.segments if segment.subtask)

    @property
    def objects(self) -> tuple[str, ...]:
        """Distinct object names, sorted."""
        return tuple(sorted({name for segment in self.segments for _, names in segment.objects for name in names}))

    @property
    def interactions(self) -> tuple[str, ...]:
        """Sentences about what the hands do, in order."""
        return tuple(sentence for segment in self.segments for _, sentence in segment.interactions)


@dataclass(frozen=True, slots=True)
class Span:
    """A text on frames [first, last], 0-based, both ends counted; `segment` is the segment's place in the caption."""

    text: str
    first: int
    last: int
    segment: int


@dataclass(frozen=True, slots=True)
class CaptionSpans:
    """Where actions and subtasks lie; `unresolved` says what lies nowhere, and why."""

    actions: tuple[Span, ...]
    subtasks: tuple[Span, ...]
    unresolved: tuple[str, ...]


def parse_caption(text: str | bytes) -> Caption:
    """Read a caption's JSON. CaptionError where it is no caption at all; lesser faults are noted in `faults`."""
    if len(text) > MOST_BYTES:
        raise CaptionError("no caption", why=f"{len(text)} bytes, at most {MOST_BYTES} are read")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError holds errors of JSON, UTF-8 and of too long integers
        why = str(error)[:200] or type(error).__name__
        raise CaptionError("no caption", why=f"not JSON: {why}") from error
    if not isinstance(document, dict) or not isinstance(document.get("segments"), list):
        raise CaptionError("no caption", why="no list `segments` in it")
    config = document.get("config")
    faults = _Faults()
    segments = tuple(
        _segment(segment, f"segment {number}", faults)
        for number, segment in enumerate(document["segments"])
        if faults.expect(isinstance(segment, dict), f"segment {number} is no object")
    )
    return Caption(
        main_task=_text(config.get("Main Task") if isinstance(config, dict) else None),
        global_summary=_text(document.get("global_summary")),
        segments=segments,
        faults=faults.found(),
    )


class _Faults:
    """Collects what is wrong, up to a number that a hostile file cannot pass."""

    def __init__(self) -> None:
        self._listed: list[str] = []
        self._more = 0

    def expect(self, holds: bool, otherwise: str) -> bool:
        """`holds`; where it does not, note `otherwise`."""
        if not holds and len(self._listed) < MOST_FAULTS:
            self._listed.append(otherwise)
        elif not holds:
            self._more += 1
        return holds

    def found(self) -> tuple[str, ...]:
        return (*self._listed, *([f"and {self._more} more"] if self._more else []))


def _segment(segment: dict[str, Any], where: str, faults: _Faults) -> Segment:
    return Segment(
        start=_reference(segment, "start_frame"),
        end=_reference(segment, "end_frame"),
        subtask=_text(segment.get("Sub Task")),
        actions=tuple(_actions(segment.get("Current Action"), where, faults)),
        objects=tuple(
            (key, tuple(name for name in names if isinstance(name, str)))
            for key, names in _table(segment.get("objects"), f"objects of {where}", faults)
            if faults.expect(isinstance(names, list), f"objects of {where} are no list")
        ),
        interactions=tuple(
            (key, sentence)
            for key, sentence in _table(segment.get("interaction"), f"interaction of {where}", faults)
            if faults.expect(isinstance(sentence, str), f"interaction of {where} is no text")
        ),
    )


def _actions(listed: Any, where: str, faults: _Faults) -> Iterator[Action]:
    if listed is None or not faults.expect(isinstance(listed, list), f"actions of {where} are no list"):
        return
    for number, action in enumerate(listed):
        if not faults.expect(isinstance(action, dict), f"action {number} of {where} is no object"):
            continue
        label = _text(action.get("label"))
        if faults.expect(bool(label), f"action {number} of {where} has no label"):
            yield Action(
                label=label, description=_text(action.get("description")),
                start=_reference(action, "start_frame"), end=_reference(action, "end_frame"),
            )  # fmt: skip


def _table(table: Any, what: str, faults: _Faults) -> list[tuple[str, Any]]:
    if table is None or not faults.expect(isinstance(table, dict), f"{what} are no table"):
        return []
    return list(table.items())


def _text(value: Any) -> str:
    """Text without white space around it; "" for anything else. A lone surrogate, which no file can hold, goes."""
    return value.strip().encode(errors="ignore").decode() if isinstance(value, str) else ""


def _reference(owner: dict[str, Any], key: str) -> Reference | None:
    """A frame reference, else the image name that some files carry beside it."""
    for value in (owner.get(key), owner.get(f"{key}_name")):
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int | str) and value != "":
            return value
    return None


def frame_of(reference: Reference | None, timeline: Timeline) -> int | None:
    """The 0-based frame of a reference; N for what lies behind the last frame; None where it means nothing.

    The toolkit's order: a timestamp in ns (an image's name is one) is its nearest frame, `frame_<n>` and a small
    number count from 1. A timestamp more than a second outside of the timeline belongs to another clock: None.
    """
    if isinstance(reference, str):
        written = reference.strip()
        if match := NUMBERED.fullmatch(written):
            return _counted(int(match[1]), timeline)
        match = INTEGER.fullmatch(written)
        if match is None:
            return None
        reference = int(match[1])
    if reference is None or reference < 0:
        return None
    return timeline.nearest(reference) if reference >= LEAST_TIMESTAMP else _counted(reference, timeline)


def _counted(number: int, timeline: Timeline) -> int:
    return min(max(number - 1, 0), timeline.frames)


def resolve_caption(caption: Caption, timeline: Timeline) -> CaptionSpans:
    """Literal spans of actions and subtasks: swapped ends are put right, an end behind the last frame is clamped."""
    actions, subtasks, unresolved = [], [], _Faults()
    for number, segment in enumerate(caption.segments):
        for index, action in enumerate(segment.actions):
            span = _span(action.label, action.start, action.end, number, timeline)
            if span is not None:
                actions.append(span)
            unresolved.expect(span is not None, f"action {index} of segment {number}: {action.start} to {action.end}")
        if segment.subtask:
            span = _span(segment.subtask, segment.start, segment.end, number, timeline)
            if span is not None:
                subtasks.append(span)
            unresolved.expect(span is not None, f"segment {number}: {segment.start} to {segment.end}")
    return CaptionSpans(tuple(actions), tuple(subtasks), unresolved.found())


def _span(text: str, start: Reference | None, end: Reference | None, segment: int, timeline: Timeline) -> Span | None:
    first, last = frame_of(start, timeline), frame_of(end, timeline)
    if first is None or last is None:
        return None
    first, last = sorted((first, last))
    if first >= timeline.frames:
        return None
    return Span(text, first, min(last, timeline.frames - 1), segment)
