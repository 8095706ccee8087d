"""The windows of one episode: placed, labelled from its annotation, and pointed at its media."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.episode.annotation import Annotation
from xperience.episode.caption_file import caption_json
from xperience.episode.captions import parse_caption, resolve_caption
from xperience.episode.labels import NONE, FrameLabels, filled_labels, literal_labels, majority
from xperience.episode.timeline import Timeline
from xperience.windows.contact import FEET, HANDS, contact_of, touching
from xperience.windows.index import Window
from xperience.windows.media import EpisodeMedia, read_timeline
from xperience.windows.objects import ObjectLabels, object_labels
from xperience.windows.placement import Place, place_windows
from xperience.windows.reader import Media
from xperience.windows.recipe import LabelRecipe
from xperience.windows.sound import sound_of
from xperience.windows.source import SourceEpisode


@dataclass(frozen=True)
class EpisodeLabels:
    """What an annotation says of each frame. `hands` and `feet` are None where there is no full_body_mocap."""

    timeline: Timeline
    literal: FrameLabels
    actions: FrameLabels
    subtasks: FrameLabels
    objects: ObjectLabels
    hands: NDArray[np.float64] | None
    feet: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class EpisodeWindows:
    """All labelled windows in time order; `over_gap` is how many more lie across a hole of the clock."""

    windows: tuple[Window, ...]
    places: tuple[Place, ...]
    over_gap: int


def read_labels(episode: SourceEpisode, recipe: LabelRecipe) -> EpisodeLabels:
    """Read an annotation; BadDataError where it has no timeline or no caption."""
    with Annotation.open(episode.annotation) as annotation:
        timeline = read_timeline(annotation, episode.path)
        found = annotation.caption()
        if found is None:
            raise BadDataError(
                "no caption", where=episode.path, fix="Run `prepare check` and `prepare manifest` again."
            )
        caption = parse_caption(caption_json(found[1], episode.folder))
        contacts = annotation.contacts()
    spans = resolve_caption(caption, timeline)
    literal = literal_labels(spans.actions, timeline.frames)
    if contacts is not None and len(contacts) != timeline.frames:
        contacts = None  # rows of another timeline say nothing about these frames
    return EpisodeLabels(
        timeline=timeline, literal=literal, actions=filled_labels(literal),
        subtasks=filled_labels(literal_labels(spans.subtasks, timeline.frames)),
        objects=object_labels(caption, timeline),
        hands=None if contacts is None else touching(contacts, HANDS, recipe.contact_threshold),
        feet=None if contacts is None else touching(contacts, FEET, recipe.contact_threshold),
    )  # fmt: skip


def label_episode(output: Path, episode: SourceEpisode, media: EpisodeMedia, recipe: LabelRecipe) -> EpisodeWindows:
    """Every labelled window of an episode, uncapped."""
    labels = read_labels(episode, recipe)
    placed = place_windows(labels.actions, labels.timeline, recipe)
    with Media(output, f"media/{episode.path}", media) as stored:
        windows = tuple(_window(episode, labels, place, stored, recipe) for place in placed.places)
    return EpisodeWindows(windows, placed.places, placed.over_gap)


def _window(episode: SourceEpisode, labels: EpisodeLabels, place: Place, stored: Media, recipe: LabelRecipe) -> Window:
    t_ns, actions = labels.timeline.t_ns, labels.actions
    first, stop = place.first, place.stop
    inside = actions.codes[first:stop]
    code = actions.vocabulary.index(place.action)
    subtask, subtask_share = majority(labels.subtasks.codes[first:stop])
    start_ns, end_ns = int(t_ns[first]), int(t_ns[stop - 1])
    media_first, media_count = stored.grid.range_for(start_ns, end_ns, recipe.context_ms)
    sound_first, sound_stop = stored.sound_range(labels.timeline, media_first, media_count)
    sound, level = sound_of(stored.marker.sound, stored.samples, sound_first, sound_stop)
    return Window(
        id=f"{episode.id}:{place.frames}:{first:06d}",
        episode_id=episode.id, session=episode.session, split=episode.split, scale=place.frames,
        first_frame=first, last_frame=stop - 1, start_ns=start_ns, end_ns=end_ns,
        action=place.action, action_share=round(place.share, 6),
        literal_share=round(float(np.mean(labels.literal.codes[first:stop] == code)), 6),
        subtask=labels.subtasks.vocabulary[subtask] if subtask_share >= recipe.least_share else None,
        subtask_share=round(subtask_share, 6),
        objects=labels.objects.shown(first, stop),
        contact=contact_of(labels.hands, first, stop), contact_feet=contact_of(labels.feet, first, stop),
        transition="yes" if len(np.unique(inside[inside != NONE])) > 1 else "no",
        next_action=_next_action(actions, place, recipe.least_share),
        media=f"media/{episode.path}", media_first=media_first, media_count=media_count,
        sound=sound, sound_first=sound_first if sound != "absent" else 0,
        sound_count=sound_stop - sound_first if sound != "absent" else 0, sound_dbfs=level,
    )  # fmt: skip


def _next_action(actions: FrameLabels, place: Place, least_share: float) -> str | None:
    """The action of the equally long window behind this one; None where that one is not whole or has no majority."""
    following = actions.codes[place.stop : place.stop + place.frames]
    code, share = majority(following)
    return actions.vocabulary[code] if len(following) == place.frames and share >= least_share else None
