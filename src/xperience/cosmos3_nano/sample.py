"""A staged clip as the model meets it, and the source that it was cut from, to hold the one against the other."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError, ConfigurationError
from xperience.common.files import sha256_of_file
from xperience.cosmos3_nano.actions import WIDTHS, Actions, actions_of
from xperience.cosmos3_nano.media import cut, read_clip
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.record_set import STATISTICS, read_records
from xperience.cosmos3_nano.records import ActionProxyRecord, ForwardDynamicsRecord
from xperience.cosmos3_nano.tracks import CAMERA, Track, read_track
from xperience.episode.annotation import Annotation
from xperience.episode.poses import Floats
from xperience.windows.source import read_sources


@dataclass(frozen=True)
class ClipSample:
    """`frames` (17, H, W, 3) RGB of the stored clip; `actions` (16, D) in model space, as stored."""

    record: ForwardDynamicsRecord | ActionProxyRecord
    frames: NDArray[np.uint8]
    actions: Floats

    def with_actions(self, actions: Floats) -> "ClipSample":
        """The same clip with other actions."""
        return replace(self, actions=actions)


@dataclass(frozen=True)
class Source:
    """What the clip was cut from: all rows of the episode's track, and the video."""

    track: Track
    video: Path
    statistics: ActionStatistics

    def raw(self, frames: NDArray[np.int64], sample: ClipSample) -> tuple[Actions, Track]:
        """Actions of some source frames, made anew, and their rows."""
        rows = self.track.rows(frames)
        return actions_of(rows, sample.record.domain), rows

    def pictures(self, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(T, H, W, 3) of some source frames, decoded anew."""
        return next(pictures for _, pictures in cut(self.video, [frames]))


def read_sample(folder: Path, record: ForwardDynamicsRecord | ActionProxyRecord) -> ClipSample:
    """A clip with its actions; BadDataError where a file is not the record's, or holds what no model takes."""
    stored = record.actions if isinstance(record, ForwardDynamicsRecord) else record.target_actions
    for uri, digest in ((record.clip.uri, record.clip.sha256), (stored.uri, stored.sha256)):
        place = folder / uri
        if not place.is_file():
            raise BadDataError("a file of a record is not there", where=str(place), fix="Run `export` again.")
        if sha256_of_file(place) != digest:
            raise BadDataError("a file is not the record's", where=str(place), fix="Run `export` again.")
    frames = read_clip(folder / record.clip.uri)
    actions = np.load(folder / stored.uri, allow_pickle=False).astype(np.float64)
    check_actions(actions, domain=record.domain, chunk=record.chunk)
    if len(frames) != record.clip.num_frames:
        raise BadDataError(
            "the clip has other frames", where=record.clip.uri, why=f"{len(frames)}, {record.clip.num_frames} named"
        )
    return ClipSample(record, frames, actions)


def check_actions(actions: Floats, *, domain: str, chunk: int) -> None:
    """BadDataError for what diffusers takes without a word: NaN, too few and too many rows; and for a wrong width."""
    width = {str(name): value for name, value in WIDTHS.items()}.get(domain)
    if width is None:
        raise BadDataError("a domain that this stage does not know", where=domain, fix="Use hand_pose or camera_pose.")
    if actions.shape != (chunk, width):
        raise BadDataError("actions of another shape", where=domain, why=f"{actions.shape}, not {(chunk, width)}")
    if not np.isfinite(actions).all():
        raise BadDataError("an action is not finite", where=domain, why=f"{int((~np.isfinite(actions)).sum())} values")


def staged_samples(
    folder: Path,
    manifest_json: Path,
    data_root: Path | None,
    *,
    most: int,
    seed: int = 7,
    share: tuple[int, int] = (0, 1),
) -> list[tuple[ClipSample, Source]]:
    """Clips of train drawn by seed, each with its source; val and test stay unseen.

    `share`: number of a worker, and of how many that each take a part. ConfigurationError where one would have none.
    """
    records = [record for record in read_records(folder, "forward_dynamics") if record.split == "train"]
    if not records:
        raise BadDataError("no action clip of train", where=str(folder), fix="Run `cosmos3-nano export`.")
    statistics = ActionStatistics.read(folder / STATISTICS)
    episodes = {episode.id: episode for episode in read_sources(manifest_json, data_root, "actions").episodes}
    chosen = np.random.default_rng(seed).permutation(len(records))[:most]
    rank, world = share
    if len(chosen) < world:
        raise ConfigurationError(
            "more workers than clips", where="--clips", why=f"{len(chosen)} clips, {world} workers",
            fix="Give every worker a clip or more, or run fewer workers.",
        )  # fmt: skip
    found = []
    for record in (records[number] for number in sorted(chosen[rank::world].tolist())):
        if not isinstance(record, ForwardDynamicsRecord):
            raise BadDataError("not a forward dynamics record", where=record.record_id)
        episode = episodes.get(record.episode_id)
        if episode is None:
            raise BadDataError("a record of an episode that the manifest lacks", where=record.record_id)
        with Annotation.open(episode.annotation) as annotation:
            track = read_track(annotation, episode.path)
        found.append((read_sample(folder, record), Source(track, episode.video(CAMERA), statistics)))
    return found
