"""The artefact of this stage: which index, which media, which vocabulary, and what the labels amount to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from xperience.common.evidence import Evidence, Part
from xperience.windows.contact import FEET, HANDS
from xperience.windows.index import IndexFile, Window, write_index
from xperience.windows.label import label_episode
from xperience.windows.media import EpisodeMedia
from xperience.windows.placement import capped
from xperience.windows.rates import FieldRates, UnseenLabels, rates, unseen, vocabulary
from xperience.windows.recipe import LabelRecipe, MediaRecipe
from xperience.windows.source import SPLITS, SourceEpisode, Sources

ARTEFACT = "windows.json"


class EpisodeSummary(Part):
    """One episode: windows that it has and windows that the cap keeps; `media_sha256` is its marker's content hash."""

    id: str
    episode_path: str
    split: str
    labelled_windows: int
    kept_windows: int
    over_gap: int
    media: str
    media_sha256: str
    media_bytes: int
    sound: str
    damaged_frames: int


class ContactRule(Part):
    """How contact was read: places in full_body_mocap/contacts by joint, and the least value of one of them."""

    hands: dict[str, int]
    feet: dict[str, int]
    threshold: float


class WindowsDataset(Evidence):
    """Windows of every usable episode. `index` is capped in every split; `natural_test` has all test windows.

    `vocabulary` holds the labels of the train windows of `index`, `unseen` what other windows have beyond it.
    `uninformative` names fields by split in which one value has ≥ 95 %.
    """

    SCHEMA: ClassVar[str] = "xperience.windows/1"

    labels: LabelRecipe
    media: MediaRecipe
    contact: ContactRule
    index: IndexFile
    natural_test: IndexFile | None
    episodes: list[EpisodeSummary]
    skipped: dict[str, str]
    base_rates: dict[str, dict[str, FieldRates]]
    uninformative: dict[str, list[str]]
    vocabulary: dict[str, dict[str, int]]
    unseen: dict[str, dict[str, UnseenLabels]]

    @property
    def evaluation_index(self) -> IndexFile:
        """What an evaluation takes: the natural test windows where they were written, else the capped index."""
        return self.natural_test or self.index


def assemble(
    output: Path, sources: Sources, markers: Sequence[EpisodeMedia], *, labels: LabelRecipe, media: MediaRecipe,
    uncapped_test: bool, done: Callable[[int], None] = lambda _episodes: None,
) -> WindowsDataset:  # fmt: skip
    """Label every episode, write the indexes, count; `markers` in the order of the episodes."""
    kept: list[Window] = []
    natural: list[Window] = []
    episodes = []
    for number, (episode, marker) in enumerate(zip(sources.episodes, markers, strict=True), start=1):
        found = label_episode(output, episode, marker, labels)
        chosen = set(capped(found.places, labels.cap))
        of_episode = [window for window, place in zip(found.windows, found.places, strict=True) if place in chosen]
        kept += of_episode
        natural += found.windows if episode.split == "test" else ()
        episodes.append(_summary(episode, marker, len(found.windows), len(of_episode), found.over_gap))
        done(number)
    by_split = {split: [window for window in kept if window.split == split] for split in SPLITS}
    judged = by_split | ({"natural_test": natural} if uncapped_test else {})
    known = vocabulary(by_split["train"])
    base_rates = {name: rates(windows) for name, windows in judged.items() if windows}
    inputs = {"episode_manifest": sources.manifest_sha256}
    return WindowsDataset(
        inputs=inputs, labels=labels, media=media,
        contact=ContactRule(hands=HANDS, feet=FEET, threshold=labels.contact_threshold),
        index=write_index(output, "index", kept, SPLITS),
        natural_test=write_index(output, "natural-test", natural, ["test"]) if uncapped_test else None,
        episodes=episodes, skipped=sources.skipped, base_rates=base_rates,
        uninformative={
            name: flagged for name, fields in base_rates.items()
            if (flagged := [field for field, found in fields.items() if found.uninformative])
        },
        vocabulary=known,
        unseen={name: unseen(windows, known) for name, windows in judged.items() if name != "train" and windows},
    )  # fmt: skip


def _summary(episode: SourceEpisode, marker: EpisodeMedia, labelled: int, kept: int, over_gap: int) -> EpisodeSummary:
    return EpisodeSummary(
        id=episode.id, episode_path=episode.path, split=episode.split, labelled_windows=labelled, kept_windows=kept,
        over_gap=over_gap, media=f"media/{episode.path}", media_sha256=marker.content_sha256,
        media_bytes=sum(file.size_bytes for file in marker.files.values()), sound=marker.sound.status,
        damaged_frames=sum(camera.damaged for camera in marker.cameras),
    )  # fmt: skip
