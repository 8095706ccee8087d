"""Verify windows: every index, every media file and every row are what the artefact says."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from xperience.common.errors import BadDataError, StoppedError
from xperience.common.evidence import Evidence
from xperience.common.files import sha256_of_file
from xperience.windows.dataset import ARTEFACT, EpisodeSummary, WindowsDataset
from xperience.windows.index import IndexFile, Window, read_index
from xperience.windows.media import MARKER, EpisodeMedia
from xperience.windows.rates import rates, vocabulary
from xperience.windows.reader import Media
from xperience.windows.source import ManifestView

MOST_FAULTS = 50


class WindowsVerified(Evidence):
    """`faults`: what is not as it should be, the first fifty; empty where all is well."""

    SCHEMA: ClassVar[str] = "xperience.windows-verified/1"

    windows: int
    natural_test_windows: int
    episodes: int
    media_bytes: int
    faults: list[str]


def verify(output: Path, manifest_json: Path | None, *, stop: threading.Event) -> WindowsVerified:
    """Read everything again; BadDataError where there is no artefact, StoppedError after SIGTERM."""
    place = output / ARTEFACT
    if not place.exists():
        raise BadDataError("no windows", where=str(place), fix="Run `windows build`; with shards, until all are done.")
    dataset = WindowsDataset.read(place)
    faults: list[str] = []
    if manifest_json is not None:
        found = ManifestView.read(manifest_json).content_sha256
        if found != dataset.inputs["episode_manifest"]:
            faults.append(f"made from manifest {dataset.inputs['episode_manifest'][:16]}, this one is {found[:16]}")
    markers: dict[str, EpisodeMedia] = {}
    for episode in dataset.episodes:
        if stop.is_set():
            raise StoppedError("stopped before the end", where=str(output), fix="Run the same command again.")
        faults += _media_faults(output, episode, dataset, markers)
    index = _rows(output, dataset.index, faults)
    natural = _rows(output, dataset.natural_test, faults) if dataset.natural_test else []
    faults += _row_faults(index, dataset, markers, "index")
    faults += _row_faults(natural, dataset, markers, "natural test")
    faults += _set_faults(index, natural, dataset)
    if len(faults) > MOST_FAULTS:
        faults = [*faults[:MOST_FAULTS], f"and {len(faults) - MOST_FAULTS} more"]
    return WindowsVerified(
        inputs={"windows": dataset.content_sha256}, windows=len(index), natural_test_windows=len(natural),
        episodes=len(dataset.episodes), media_bytes=sum(episode.media_bytes for episode in dataset.episodes),
        faults=faults,
    )  # fmt: skip


def _rows(output: Path, index: IndexFile, faults: list[str]) -> list[Window]:
    try:
        windows = read_index(output, index)
    except BadDataError as error:
        faults.append(str(error))
        return []
    counts = Counter(window.split for window in windows)
    if len(windows) != index.windows or any(counts[s] != count for s, count in index.windows_by_split.items()):
        faults.append(f"{index.path}: {len(windows)} windows, {dict(counts)}; the artefact says otherwise")
    return windows


def _media_faults(
    output: Path, episode: EpisodeSummary, dataset: WindowsDataset, markers: dict[str, EpisodeMedia]
) -> Iterator[str]:
    """Hash every file, and parse every picture's beginning and end."""
    path = PurePosixPath(episode.media)
    if path.is_absolute() or ".." in path.parts:
        yield f"{episode.media}: not a relative path"
        return
    try:
        marker = EpisodeMedia.read(output / path / MARKER)
        if marker.content_sha256 != episode.media_sha256 or marker.recipe != dataset.media:
            yield f"{episode.media}: other media than the windows were made with"
        for name, file in marker.files.items():
            if sha256_of_file(output / path / name) != file.sha256:
                yield f"{episode.media}/{name}: sha256 differs"
                return
        with Media(output, episode.media, marker) as media:
            jpegs = [jpeg for first in range(marker.instants) for jpeg in media.jpegs(first, 1)[0]]
            broken = sum(not (jpeg.startswith(b"\xff\xd8") and jpeg.endswith(b"\xff\xd9")) for jpeg in jpegs)
            if broken or len(jpegs) != marker.instants * len(marker.recipe.cameras):
                yield f"{episode.media}: {broken} of {len(jpegs)} pictures are none"
            if len(media.samples) != (marker.sound.samples if marker.sound.status != "absent" else 0):
                yield f"{episode.media}: {len(media.samples)} samples, {marker.sound.samples} in the marker"
        markers[episode.media] = marker
    except (BadDataError, OSError) as error:
        yield f"{episode.media}: {error}"


def _row_faults(
    windows: Sequence[Window], dataset: WindowsDataset, markers: dict[str, EpisodeMedia], name: str
) -> Iterator[str]:
    scales = {scale.frames for scale in dataset.labels.scales}
    for window in windows:
        marker = markers.get(window.media)
        if marker is None:
            yield f"{name}: {window.id}: its media are not there"
            continue
        length = window.last_frame - window.first_frame + 1
        sound_stop = window.sound_first + window.sound_count
        lies = (
            window.scale in scales and length == window.scale and window.first_frame >= 0
            and window.last_frame < marker.timeline_frames and window.start_ns < window.end_ns
            and window.media_first >= 0 and window.media_count > 0
            and window.media_first + window.media_count <= marker.instants
            and 0 <= window.sound_first <= sound_stop <= marker.sound.samples
            and (window.sound == "absent") == (window.sound_count == 0)
        )  # fmt: skip
        if not lies:
            yield f"{name}: {window.id}: it lies outside of its episode or media"
        if window.action_share < dataset.labels.least_share:
            yield f"{name}: {window.id}: {window.action_share:.0%} of its frames have its action"


def _set_faults(index: Sequence[Window], natural: Sequence[Window], dataset: WindowsDataset) -> Iterator[str]:
    """Ids, cap, splits, and what was counted from the rows."""
    for name, windows in (("index", index), ("natural test", natural)):
        if len({window.id for window in windows}) != len(windows):
            yield f"{name}: a window is in it twice"
    for episode_id, count in Counter(window.episode_id for window in index).items():
        if count > dataset.labels.cap:
            yield f"index: {episode_id} has {count} windows, the cap is {dataset.labels.cap}"
    splits: dict[str, set[str]] = {}
    for window in [*index, *natural]:
        splits.setdefault(window.session, set()).add(window.split)
    yield from (f"session {session} is in {sorted(found)}" for session, found in splits.items() if len(found) > 1)
    if any(window.split != "test" for window in natural):
        yield "natural test: it holds windows of another split"
    if natural and not {window.id for window in index if window.split == "test"} <= {w.id for w in natural}:
        yield "natural test: windows of the index are not in it"
    train = [window for window in index if window.split == "train"]
    if vocabulary(train) != dataset.vocabulary:
        yield "the vocabulary is not that of the train windows"
    if rates(train) != dataset.base_rates.get("train", {}):
        yield "the base rates are not those of the train windows"
