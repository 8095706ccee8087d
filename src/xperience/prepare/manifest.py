"""The episode manifest: what is staged, what is usable, in which split; the split is inherited, never re-drawn."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from xperience.common.evidence import Evidence, Part
from xperience.common.layout import ANNOTATION, EXCLUDED_FILE, VIDEOS
from xperience.episode.windowing import LEAST_SHARE, WINDOW_FRAMES, WINDOW_STRIDE
from xperience.prepare.planned import Planned, Sources, SplitOrigin, faults_of
from xperience.prepare.verdicts import Verdicts
from xperience.selection.document import SPLITS

WINDOWING = {"window_frames": WINDOW_FRAMES, "stride_frames": WINDOW_STRIDE, "min_label_fraction": LEAST_SHARE}


class ManifestFile(Part):
    """One staged file. `expected_bytes` and `sha256` are those of selection and transfer; None where neither has them.

    `hashed_on_disk` says that `prepare check` read these bytes and found this hash; `changed_seconds` is the file's
    ctime, so that a later look finds a swapped file.
    """

    name: str
    size_bytes: int
    expected_bytes: int | None
    sha256: str | None
    hashed_on_disk: bool
    changed_seconds: float


class ManifestEpisode(Part):
    """One episode. `usable` is None where neither probe nor check looked; `id` is `<session>__<episode>`."""

    id: str
    source_episode_id: str
    episode_path: str
    top_level_session: str
    split: str
    size_band: str | None
    selection_rank: int | None
    staged: bool
    usable: dict[str, bool] | None
    why_not: list[str]
    judged_by: Literal["check", "probe"] | None
    frame_count: int | None
    total_bytes: int
    has_visualization_rrd: bool
    files: list[ManifestFile]


class MissingEpisode(Part):
    """A selected episode that is not staged, and what it lacks."""

    episode_path: str
    split: str
    missing: list[str]


class ManifestSummary(Part):
    """Counts: selected, staged and usable apart; usable is None where nobody looked."""

    num_episodes: int
    unique_sessions: int
    staged_episodes: int
    usable_episodes: int | None
    usable_by_purpose: dict[str, int]
    split_counts: dict[str, int]
    staged_split_counts: dict[str, int]
    usable_split_counts: dict[str, int]
    total_bytes: int
    train_minimal_bytes: int
    windowing: dict[str, float]


class EpisodeManifest(Evidence):
    """Every selected episode, in the selection's order."""

    SCHEMA: ClassVar[str] = "xperience.episode-manifest/1"

    repo_id: str | None
    revision: str | None
    data_root: str
    purposes: list[str]
    split: SplitOrigin
    summary: ManifestSummary
    episodes: list[ManifestEpisode]
    missing_or_incomplete: list[MissingEpisode]
    unexpected_episodes: list[str]
    excluded_files: list[str]
    leftovers: list[str]


def build_manifest(
    sources: Sources, planned: Sequence[Planned], origin: SplitOrigin, *, data_root: Path, purposes: Sequence[str]
) -> EpisodeManifest:
    """Compare the planned episodes with the disk and the verdicts."""
    disk, verdicts, transfer, selection = sources.disk, sources.verdicts, sources.transfer, sources.selection
    episodes = [_episode(episode, sources) for episode in planned]
    missing = [
        MissingEpisode(episode_path=episode.path, split=episode.split, missing=faults)
        for episode in planned
        if (faults := faults_of(episode, disk.episodes.get(episode.path, {})))
    ]
    inputs = dict(verdicts.sources)
    if selection is not None:
        inputs["selection"] = selection.source_sha256
    if transfer is not None:
        inputs["transfer_manifest"] = transfer.content_sha256
    return EpisodeManifest(
        inputs=dict(sorted(inputs.items())),
        repo_id=selection.repo_id if selection else transfer.repo_id if transfer else None,
        revision=selection.revision if selection else transfer.revision if transfer else None,
        data_root=str(data_root),
        purposes=list(purposes),
        split=origin,
        summary=_summary(episodes, verdicts, purposes),
        episodes=episodes,
        missing_or_incomplete=missing,
        unexpected_episodes=sorted(set(disk.episodes) - {episode.path for episode in planned}),
        excluded_files=list(disk.rrd),
        leftovers=list(disk.leftovers),
    )


def _episode(planned: Planned, sources: Sources) -> ManifestEpisode:
    found = sources.disk.episodes.get(planned.path, {})
    verdict = sources.verdicts.by_path.get(planned.path)
    checked = planned.path in sources.verdicts.read_in_full
    hashes = {name: file.sha256 for name, file in verdict.files.items()} if verdict and checked else {}
    session, _, name = planned.path.partition("/")
    files = [
        ManifestFile(
            name=file_name,
            size_bytes=file.size_bytes,
            expected_bytes=planned.size_bytes.get(file_name),
            sha256=planned.sha256.get(file_name) or hashes.get(file_name),
            hashed_on_disk=hashes.get(file_name) is not None
            and hashes[file_name] == (planned.sha256.get(file_name) or hashes[file_name]),
            changed_seconds=file.changed_seconds,
        )
        for file_name, file in found.items()
    ]
    return ManifestEpisode(
        id=f"{session}__{name}",
        source_episode_id=name,
        episode_path=planned.path,
        top_level_session=session,
        split=planned.split,
        size_band=planned.size_band,
        selection_rank=planned.rank,
        staged=not faults_of(planned, found),
        usable=verdict.usable if verdict else None,
        why_not=verdict.why_not if verdict else [],
        judged_by=("check" if checked else "probe") if verdict else None,
        frame_count=verdict.frames if verdict else None,
        total_bytes=sum(file.size_bytes for file in files),
        has_visualization_rrd=f"{planned.path}/{EXCLUDED_FILE}" in sources.disk.rrd,
        files=files,
    )


def fit(episode: ManifestEpisode, purposes: Sequence[str]) -> bool:
    """Staged, and fit for every purpose."""
    return episode.staged and all((episode.usable or {}).get(purpose, False) for purpose in purposes)


def _summary(episodes: Sequence[ManifestEpisode], verdicts: Verdicts, purposes: Sequence[str]) -> ManifestSummary:
    usable = [episode for episode in episodes if fit(episode, purposes)]
    staged = [episode for episode in episodes if episode.staged]
    named = sorted({purpose for episode in episodes for purpose in (episode.usable or {})} | set(purposes))
    return ManifestSummary(
        num_episodes=len(episodes),
        unique_sessions=len({episode.top_level_session for episode in episodes}),
        staged_episodes=len(staged),
        usable_episodes=len(usable) if verdicts.known else None,
        usable_by_purpose={purpose: sum(fit(episode, [purpose]) for episode in episodes) for purpose in named}
        if verdicts.known
        else {},
        split_counts=_by_split(episodes),
        staged_split_counts=_by_split(staged),
        usable_split_counts=_by_split(usable) if verdicts.known else {},
        total_bytes=sum(episode.total_bytes for episode in episodes),
        train_minimal_bytes=sum(
            file.size_bytes for episode in episodes for file in episode.files if file.name in (ANNOTATION, VIDEOS[0])
        ),
        windowing=WINDOWING,
    )


def _by_split(episodes: Sequence[ManifestEpisode]) -> dict[str, int]:
    counts = Counter(episode.split for episode in episodes)
    return {split: counts[split] for split in SPLITS}
