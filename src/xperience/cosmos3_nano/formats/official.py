"""All official formats of one export, each written and at once read back through its loader's filters."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from xperience.common.errors import BadDataError
from xperience.cosmos3_nano.drafts import ActionDraft, Draft, TextDraft
from xperience.cosmos3_nano.formats import lerobot, reasoner, vision
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.parts import ClipFile
from xperience.cosmos3_nano.records import AnyRecord, FutureLabelRecord, ReasonRecord
from xperience.windows.source import SPLITS

OFFICIAL = "official"


def write_official(
    folder: Path, records: Sequence[AnyRecord], clips: Sequence[tuple[Draft, ActionDraft | TextDraft, ClipFile]]
) -> dict[str, dict[str, int]]:
    """Samples by format and split; BadDataError where a loader would drop, cut or misread one of them."""
    counts: dict[str, dict[str, int]] = {"reasoner": {}, "vision": {}, "lerobot": {}}
    for split in SPLITS:
        texts = [record for record in records if record.split == split]
        spoken = [record for record in texts if isinstance(record, ReasonRecord | FutureLabelRecord)]
        if spoken:
            counts["reasoner"][split] = _reasoner(folder / OFFICIAL / "reasoner" / split, folder, spoken)
        of_split = [found for found in clips if found[0].episode.split == split]
        longer = [(clip, one.spans, one.moment.objects) for _, one, clip in of_split if isinstance(one, TextDraft)]
        if longer:
            place = folder / OFFICIAL / "vision" / split
            counts["vision"][split] = _same(vision.write(place, folder, longer), len(vision.read_back(place)), place)
        moving = [
            (draft, one, clip) for draft, one, clip in of_split
            if isinstance(one, ActionDraft) and lerobot.exportable(one.track)
        ]  # fmt: skip
        if moving and moving[0][1].actions.domain == "hand_pose":
            counts["lerobot"][split] = _lerobot(folder / OFFICIAL / "lerobot" / split, folder, moving)
    return counts


def _reasoner(place: Path, root: Path, spoken: Sequence[ReasonRecord | FutureLabelRecord]) -> int:
    return _same(reasoner.write(place, root, spoken), len(reasoner.read_back(place)), place)


def _lerobot(place: Path, root: Path, moving: Sequence[tuple[Draft, ActionDraft, ClipFile]]) -> int:
    """One size of pictures, that of the first clip."""
    size = moving[0][2].width, moving[0][2].height
    samples = [
        lerobot.Sample(one.track, partial(read_clip, root / clip.uri), one.label or draft.episode.id)
        for draft, one, clip in moving
        if (clip.width, clip.height) == size
    ]
    written = lerobot.write(place, samples)
    error = lerobot.read_back_error(place, samples)
    if error > lerobot.FLOAT32_METRES:
        raise BadDataError("actions are not those that were written", where=str(place), why=f"{error:.2e}")
    return written


def _same(written: int, kept: int, place: Path) -> int:
    if written != kept:
        raise BadDataError("the loader keeps other samples", where=str(place), why=f"{written} written, {kept} kept")
    return written
