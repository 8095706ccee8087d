"""One episode's clips with all that records are made of, before any statistics or options of train are known."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from xperience.common.layout import ANNOTATION
from xperience.cosmos3_nano.actions import Actions, Domain, actions_of, roundtrip
from xperience.cosmos3_nano.clips import NOMINAL_FPS, Clip, Placed, place_clips
from xperience.cosmos3_nano.labels import Moment, Words, read_words
from xperience.cosmos3_nano.tracks import CAMERA, Track, read_track
from xperience.episode.annotation import Annotation
from xperience.episode.timeline import NS, Timeline
from xperience.windows.media import read_timeline
from xperience.windows.source import SourceEpisode

if TYPE_CHECKING:
    from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings

TEXT_FRAMES = 61  # the official vision loader drops shorter windows without a word; 4n + 1
MOST_METRES, MOST_DEGREES = 1e-5, 0.01


@dataclass(frozen=True)
class ActionDraft:
    """A clip of 17 frames, its rows of the track and its actions; `label` is the action of its first frame."""

    clip: Clip
    track: Track
    actions: Actions
    label: str | None


@dataclass(frozen=True)
class TextDraft:
    """A clip of 61 frames and what the annotation says of it and of the time behind it; `future` None: unknown."""

    clip: Clip
    stop: int
    moment: Moment
    interactions: tuple[tuple[int, str], ...]
    future: Moment | None
    future_from: int
    spans: tuple[tuple[float, str], ...]


@dataclass
class Draft:
    """All of one episode; `dropped` counts clips and records that there could have been, by reason."""

    episode: SourceEpisode
    timeline: Timeline
    actions: list[ActionDraft] = field(default_factory=list)
    texts: list[TextDraft] = field(default_factory=list)
    descriptions: dict[str, str] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def seconds(self, t_ns: int) -> float:
        """Seconds from the episode's first frame."""
        return round((int(t_ns) - int(self.timeline.t_ns[0])) / NS, 6)


def draft_of(
    episode: SourceEpisode, settings: "Cosmos3NanoExportSettings", *, with_actions: bool, with_text: bool
) -> Draft:
    """Read an annotation; BadDataError where what is wanted of it is not there."""
    episode.require((ANNOTATION, f"{CAMERA}.mp4"))
    with Annotation.open(episode.annotation) as annotation:
        track = read_track(annotation, episode.path) if with_actions else None
        timeline = track.timeline if track else read_timeline(annotation, episode.path)
        words = read_words(annotation, timeline, episode, settings.contact_threshold)
    draft = Draft(episode, timeline, descriptions=dict(words.descriptions) if words else {})
    if track is not None:
        placed = place_clips(timeline.t_ns, track.tracked, most=settings.clips)
        _count(draft, "action clip", placed)
        for clip in placed.clips:
            found = _action_draft(clip, track, words, settings.domain)
            if found is None:
                draft.dropped["action clip: decoded actions are not its track"] += 1
            else:
                draft.actions.append(found)
    if with_text and words is not None and settings.text_clips:
        placed = place_clips(
            timeline.t_ns, np.ones(timeline.frames, bool), frames=TEXT_FRAMES, most=settings.text_clips
        )
        _count(draft, "text clip", placed)
        draft.texts = [_text_draft(clip, words, draft, settings.horizon_seconds) for clip in placed.clips]
    return draft


def _count(draft: Draft, what: str, placed: Placed) -> None:
    for reason, count in (("an interval is more than 10 % off", placed.off_rate), ("camera lost", placed.untracked)):
        if count:
            draft.dropped[f"{what}: {reason}"] += count


def _action_draft(clip: Clip, track: Track, words: Words | None, domain: Domain) -> ActionDraft | None:
    rows = track.rows(clip.source_frames)
    actions = actions_of(rows, domain)
    error = roundtrip(actions, rows)
    if error.metres > MOST_METRES or error.degrees > MOST_DEGREES:
        return None
    return ActionDraft(clip, rows, actions, words.action_at(int(clip.source_frames[0])) if words else None)


def _text_draft(clip: Clip, words: Words, draft: Draft, horizon_seconds: float) -> TextDraft:
    first, stop = int(clip.source_frames[0]), int(clip.source_frames[-1]) + 1
    end_ns = int(clip.t_ns[-1]) + round(horizon_seconds * NS)
    behind = int(np.searchsorted(draft.timeline.t_ns, end_ns, side="right"))
    whole = int(draft.timeline.t_ns[-1]) >= end_ns
    spans: list[tuple[float, str]] = []
    for number, frame in enumerate(clip.source_frames.tolist()):
        label = words.action_at(frame)
        if label is not None and (not spans or spans[-1][1] != label):
            spans.append((number / NOMINAL_FPS, label))
    return TextDraft(
        clip=clip, stop=stop, moment=words.moment(first, stop), interactions=tuple(words.interactions_in(first, stop)),
        future=words.moment(stop, behind) if whole else None, future_from=stop, spans=tuple(spans),
    )  # fmt: skip
