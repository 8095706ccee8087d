"""What an annotation says of a span of frames: the words of the tasks' prompts and targets, nothing added."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xperience.common.evidence import Part
from xperience.episode.annotation import Annotation
from xperience.episode.caption_file import caption_json
from xperience.episode.captions import frame_of, parse_caption, resolve_caption
from xperience.episode.labels import FrameLabels, literal_labels, majority
from xperience.episode.timeline import Timeline
from xperience.windows.contact import HANDS as WRISTS
from xperience.windows.contact import contact_of, touching
from xperience.windows.objects import ObjectLabels, object_labels
from xperience.windows.source import SourceEpisode

LEAST_SHARE = 0.6
LABEL_FIELDS = ("caption", "full_body_mocap/contacts")


class Moment(Part):
    """A span's labels. `contact` by hand, None where it is not known; `transition`: more than one action in it."""

    action: str | None
    transition: bool
    contact: dict[str, bool | None]
    objects: list[str]

    @property
    def contact_state(self) -> str:
        """left, right, both, none or unknown."""
        if any(value is None for value in self.contact.values()):
            return "unknown"
        touching_hands = [side for side in ("left", "right") if self.contact[side]]
        return "both" if len(touching_hands) == 2 else touching_hands[0] if touching_hands else "none"


@dataclass(frozen=True)
class Words:
    """Labels of an episode. `interactions`: (frame, sentence) in time order; `contacts` by hand: (N,), 1, 0 or NaN."""

    actions: FrameLabels
    descriptions: Mapping[str, str]
    objects: ObjectLabels
    interactions: tuple[tuple[int, str], ...]
    contacts: dict[str, NDArray[np.float64] | None]

    def moment(self, first: int, stop: int) -> Moment:
        """Of frames [first, stop); an action needs 60 % of the labelled frames, and half of all to be labelled."""
        codes = self.actions.codes[first:stop]
        code, share = majority(codes)
        known = codes[codes >= 0]
        sure = share >= LEAST_SHARE and 2 * len(known) >= len(codes) > 0
        spoken = {side: contact_of(values, first, stop) for side, values in self.contacts.items()}
        return Moment(
            action=self.actions.vocabulary[code] if sure else None, transition=len(np.unique(known)) > 1,
            contact={side: None if said == "unknown" else said == "yes" for side, said in spoken.items()},
            objects=self.objects.shown(first, stop),
        )  # fmt: skip

    def action_at(self, frame: int) -> str | None:
        """The action of one frame."""
        code = int(self.actions.codes[frame])
        return self.actions.vocabulary[code] if code >= 0 else None

    def interactions_in(self, first: int, stop: int) -> list[tuple[int, str]]:
        """Sentences of frames [first, stop)."""
        return [(frame, text) for frame, text in self.interactions if first <= frame < stop]


def read_words(annotation: Annotation, timeline: Timeline, episode: SourceEpisode, threshold: float) -> Words | None:
    """None where there is no caption; a wrist touches from `threshold` on."""
    found = annotation.caption()
    if found is None:
        return None
    caption = parse_caption(caption_json(found[1], episode.folder))
    contacts = annotation.contacts()
    if contacts is not None and len(contacts) != timeline.frames:
        contacts = None  # rows of another timeline say nothing about these frames
    placed = (
        (frame_of(reference, timeline), text)
        for segment in caption.segments
        for reference, text in segment.interactions
        if text.strip()
    )
    return Words(
        actions=literal_labels(resolve_caption(caption, timeline).actions, timeline.frames),
        descriptions={action.label: action.description for action in caption.actions if action.description},
        objects=object_labels(caption, timeline),
        interactions=tuple(sorted((at, text) for at, text in placed if at is not None and at < timeline.frames)),
        contacts={
            name.partition("_")[0]: None if contacts is None else touching(contacts, {name: column}, threshold)
            for name, column in WRISTS.items()
        },
    )  # fmt: skip
