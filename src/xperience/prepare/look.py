"""Look into one file and give its facts; runs in a worker, whose death is an answer too."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xperience.common.errors import BadDataError
from xperience.episode.annotation import Annotation
from xperience.episode.caption_file import path_of
from xperience.episode.captions import parse_caption, resolve_caption
from xperience.episode.labels import filled_labels, labelled_windows, literal_labels
from xperience.episode.ranged import RangedFile
from xperience.episode.schema import ANNOTATION_SCHEMA, HANDS, Dataset
from xperience.episode.timeline import Timeline
from xperience.prepare.facts import AnnotationFacts, CaptionFacts, MotionFacts, Texts, TimelineFacts

Found = TypeVar("Found")

# A probe reads this many rows at this many places; with left, right, rotation and position that is 20 requests.
SAMPLE_PLACES = 5
SAMPLE_ROWS = 32
MOST_GROUPS = 64
KINDS = {"string": "OSU", "bytes": "SOiu", "float64": "f", "float32": "f", "int64": "iuf", "uint8": "iu"}
MOTION = ("slam/quat_wxyz", "slam/trans_xyz", *(f"hand_mocap/{side}_joints_3d" for side in HANDS))


@dataclass(frozen=True, slots=True)
class Around:
    """What a look may ask of its surroundings.

    `sibling` gives the content of a file beside the annotation, None where there is none. `ranged` is the annotation's
    file where it is elsewhere, so that its bytes are fetched at once; None for a local file. `sampled`: look at some
    rows of the motion only.
    """

    sibling: Callable[[str], bytes | None]
    ranged: RangedFile | None = None
    sampled: bool = False


def look_at_annotation(annotation: Annotation, around: Around) -> AnnotationFacts:
    """All facts of an annotation; a part that cannot be read is a fault with its reason."""
    ranged = around.ranged
    if ranged is not None:
        ranged.explore(lambda: _read_tables(annotation, ranged))
    faults: list[str] = []
    groups = annotation.groups
    missing_groups = tuple(
        sorted({top for top in _tops() if top not in groups and (top != "caption" or "captions" not in groups)})
    )
    missing, unlike = _against_schema(annotation, set(missing_groups), faults)
    timeline = _attempt(annotation.timeline, "timeline", faults)
    return AnnotationFacts(
        groups=tuple(name.encode(errors="replace").decode()[:64] for name in groups[:MOST_GROUPS]),
        missing_groups=missing_groups,
        missing=missing,
        unlike_schema=unlike,
        timeline=None if timeline is None else _timeline_facts(timeline),
        caption=_attempt(lambda: _caption_facts(annotation, timeline, around), "caption", faults),
        motion=_attempt(lambda: _motion_facts(annotation, timeline, around), "motion", faults),
        has_stereo_calibration=_attempt(annotation.stereo_from_body, "calibration", faults) is not None,
        faults=tuple(faults),
    )


def look_at_texts(annotation: Annotation, around: Around) -> Texts:
    """Caption and metadata; BadDataError where the caption cannot be read."""

    def metadata(name: str) -> str | None:
        return _attempt(lambda: annotation.text(f"metadata/{name}"), name, [])

    found = _caption_of(annotation, around)
    raw = b"" if found is None else found[1].encode(errors="replace") if isinstance(found[1], str) else found[1]
    return Texts(
        caption=None if found is None else raw.decode(errors="replace"),
        size_bytes=len(raw),
        sha256=None if found is None else hashlib.sha256(raw).hexdigest(),
        device_id=metadata("device_id"),
        time_created=metadata("time_created"),
    )


def _caption_of(annotation: Annotation, around: Around) -> tuple[str, str | bytes, bool] | None:
    """The key, the JSON, and whether it lay in the annotation itself."""
    found = annotation.caption()
    if found is None:
        return None
    key, text = found
    path = path_of(text)
    if path is None:
        return key, text, True
    content = around.sibling(path)
    if content is None:
        raise BadDataError("the caption's file is not there", where=path)
    return key, content, False


def _attempt(read: Callable[[], Found | None], what: str, faults: list[str]) -> Found | None:
    try:
        return read()
    except BadDataError as error:
        faults.append(f"{what}: {error}")
        return None


def _tops() -> set[str]:
    return {dataset.path.partition("/")[0] for dataset in ANNOTATION_SCHEMA}


def _against_schema(
    annotation: Annotation, missing_groups: set[str], faults: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths that are missing, and those of another shape or kind; N is the number of timestamps."""
    frames = _attempt(lambda: annotation.rows_of("video/device_timestamp"), "video/device_timestamp", []) or 0
    missing, unlike = [], []
    for expected in ANNOTATION_SCHEMA:
        if expected.path.partition("/")[0] in missing_groups or expected.path == "caption":
            continue
        before = len(faults)
        found = _attempt(lambda path=expected.path: annotation.dataset(path), expected.path, faults)  # type: ignore[misc]
        if found is None:
            if len(faults) == before:
                missing.append(expected.path)
        elif not _is_like(found.shape, found.dtype.kind, expected, frames):
            unlike.append(f"{expected.path}: shape {found.shape}, type {found.dtype}"[:200])
    return tuple(missing), tuple(unlike)


def _is_like(shape: tuple[int, ...] | None, kind: str, expected: Dataset, frames: int) -> bool:
    """Free sizes are free, N is the timeline's; a leading or a trailing axis of 1 is taken as real readers take it."""

    def fits(found: tuple[int, ...]) -> bool:
        return len(found) == len(expected.shape) and all(
            have == (frames if want == "N" else want) or want in ("M", "P", "D")
            for have, want in zip(found, expected.shape, strict=True)
        )

    if shape is None or kind not in KINDS[expected.dtype]:
        return False
    return fits(shape) or (shape[:1] == (1,) and fits(shape[1:])) or (shape[-1:] == (1,) and fits(shape[:-1]))


def _read_tables(annotation: Annotation, file: RangedFile) -> None:
    """Read what is read later anyway: the place of every data set, the caption, the timeline and the sampled rows."""
    _attempt(lambda: annotation.groups, "", [])
    for expected in ANNOTATION_SCHEMA:
        _attempt(lambda path=expected.path: annotation.dataset(path), "", [])  # type: ignore[misc]
    _attempt(annotation.caption, "", [])
    _attempt(annotation.stereo_from_body, "", [])
    ranges = []
    frames = _attempt(lambda: annotation.rows_of("video/device_timestamp"), "", []) or 0
    for path, slices in (
        ("video/device_timestamp", [slice(0, frames)]),
        *((path, sample_slices(frames)) for path in MOTION),
    ):
        for rows in slices:
            extent = _attempt(lambda path=path, rows=rows: annotation.extent(path, rows), "", [])  # type: ignore[misc]
            if extent is not None:
                ranges.append(extent)
    file.plan(ranges)


def sample_slices(frames: int) -> list[slice]:
    """Rows that a probe looks at: some at each of some places, evenly spread; all of a short episode."""
    if frames <= SAMPLE_PLACES * SAMPLE_ROWS:
        return [slice(0, frames)]
    middles = [int(frames * (place + 0.5) / SAMPLE_PLACES) for place in range(SAMPLE_PLACES)]
    return [slice(middle - SAMPLE_ROWS // 2, middle + SAMPLE_ROWS // 2) for middle in middles]


def _timeline_facts(timeline: Timeline) -> TimelineFacts:
    rate = timeline.frames_per_second
    return TimelineFacts(
        frames=timeline.frames, first_ns=int(timeline.t_ns[0]), last_ns=int(timeline.t_ns[-1]),
        strictly_increasing=timeline.strictly_increasing, frames_per_second=None if rate is None else round(rate, 4),
        longest_gap_ms=round(timeline.longest_gap_seconds * 1000),
    )  # fmt: skip


def _caption_facts(annotation: Annotation, timeline: Timeline | None, around: Around) -> CaptionFacts | None:
    found = _caption_of(annotation, around)
    if found is None:
        return None
    key, text, inline = found
    caption = parse_caption(text)
    frames = 0 if timeline is None else timeline.frames
    spans = None if timeline is None else resolve_caption(caption, timeline)
    actions = spans.actions if spans is not None else ()
    literal = literal_labels(actions, frames)
    return CaptionFacts(
        key=key, inline=inline, size_bytes=len(text if isinstance(text, bytes) else text.encode()),
        segments=len(caption.segments), actions=len(caption.actions), subtasks=len(caption.subtasks),
        resolved_actions=len(actions), resolved_subtasks=len(spans.subtasks) if spans is not None else 0,
        faults=len(caption.faults), labelled_share=round(literal.share, 4),
        labelled_windows=len(labelled_windows(filled_labels(literal))),
    )  # fmt: skip


def _motion_facts(annotation: Annotation, timeline: Timeline | None, around: Around) -> MotionFacts | None:
    """Shares over all rows, or over the sampled ones; all four data sets must have a row per frame."""
    if timeline is None:
        return None
    slices = sample_slices(timeline.frames) if around.sampled else [slice(0, timeline.frames)]
    for path in MOTION:
        found = annotation.rows_of(path)
        if found is not None and found != timeline.frames:
            raise BadDataError("rows differ from the timeline's", where=path, why=f"{found}, not {timeline.frames}")
    pose, left, right = [], [], []
    for rows in slices:
        poses, hands = annotation.poses(rows), [annotation.hand(side, rows) for side in HANDS]
        pose.append(None if poses is None else poses.valid)
        left.append(None if hands[0] is None else hands[0].present)
        right.append(None if hands[1] is None else hands[1].present)
    known = [
        None if any(part is None for part in parts) else np.concatenate([part for part in parts if part is not None])
        for parts in (pose, left, right)
    ]
    hands_known = [part for part in known[1:] if part is not None]
    valid = known[0] & np.any(hands_known, axis=0) if known[0] is not None and hands_known else None
    shares = [None if part is None else round(float(part.mean()), 4) for part in (*known, valid)]
    return MotionFacts(
        rows=sum(rows.stop - rows.start for rows in slices), sampled=around.sampled and len(slices) > 1,
        pose_share=shares[0], left_hand_share=shares[1], right_hand_share=shares[2], valid_share=shares[3],
    )  # fmt: skip
