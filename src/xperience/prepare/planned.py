"""The episodes that should be there, with their splits: from a selection, a transfer manifest, or a draw."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from xperience.common.errors import BadDataError, UsageError
from xperience.common.evidence import Part
from xperience.common.layout import ANNOTATION, TRAINING_FILES, VIDEOS
from xperience.common.transfer import MANIFEST_NAME, TransferManifest
from xperience.prepare.data_root import DataRoot, FileOnDisk
from xperience.prepare.splits import Fractions, check_inherited, draw, shares_of
from xperience.prepare.verdicts import Verdicts
from xperience.selection.model import SelectedFile, Selection

SplitSource = Literal["selection", "transfer-manifest", "drawn"]


class SplitOrigin(Part):
    """Where the split comes from; `seed` is None where no seed was used."""

    source: SplitSource
    fractions: dict[str, float]
    seed: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Planned:
    """An episode as selection, transfer or draw has it; sizes and hashes by file name, where they are known."""

    path: str
    split: str
    size_band: str | None = None
    rank: int | None = None
    annotation_bytes: int | None = None
    video_bytes: int | None = None
    size_bytes: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sources:
    """All that a manifest is made from."""

    disk: DataRoot
    selection: Selection | None
    transfer: TransferManifest | None
    verdicts: Verdicts


def read_transfer(data_root: Path, disk: DataRoot) -> TransferManifest | None:
    """The data root's transfer manifest; None where there is none."""
    return TransferManifest.read(data_root / MANIFEST_NAME) if disk.has_transfer_manifest else None


def planned_episodes(
    sources: Sources, fractions: Fractions, seed: int, *, redraw: bool
) -> tuple[list[Planned], SplitOrigin]:
    """The episodes and their splits; UsageError where there is no split, or the flags ask for another one."""
    selection, transfer = sources.selection, sources.transfer
    if selection is not None and not selection.episodes:
        raise UsageError("the selection has no episodes", where=selection.repo_id, fix="Give one of episodes.")
    if selection is not None:
        if transfer is not None and selection.source_sha256 not in transfer.selections:
            selected = {file.path for file in selection.files}
            if selected - {file.path for file in transfer.files}:
                raise BadDataError(
                    "the data root was filled from another selection", where=MANIFEST_NAME,
                    why=f"{len(selected - {file.path for file in transfer.files})} selected files were not transferred",
                    fix="Relay this selection (only the difference moves), or give the one that was relayed.",
                )  # fmt: skip
        planned = planned_of_selection(selection)
        source: SplitSource = "selection"
    elif transfer is not None and transfer.episodes:
        planned = [
            Planned(episode.path, episode.split, episode.size_band, episode.rank) for episode in transfer.episodes
        ]
        source = "transfer-manifest"
    elif redraw:
        fractions.check()
        drawn = draw(sources.disk.episodes, fractions, seed)
        note = f"drawn by session with seed {seed}: this data has no selection"
        origin = SplitOrigin(source="drawn", fractions=shares_of(drawn), seed=seed, note=note)
        return _with_transfer([Planned(path, drawn[path]) for path in sources.disk.episodes], transfer), origin
    else:
        raise UsageError(
            "no split to inherit", where="--selection-json",
            why="neither a selection is given, nor has the data root a transfer manifest with splits",
            fix="Give --selection-json; --redraw-split only for data that has no selection.",
        )  # fmt: skip
    known = {episode.path: episode.split for episode in planned}
    check_inherited(known, fractions, seed, redraw=redraw, source=f"the {source.replace('-', ' ')}")
    note = f"inherited from the {source.replace('-', ' ')}; seed {seed} was not used"
    return _with_transfer(planned, transfer), SplitOrigin(
        source=source, fractions=shares_of(known), seed=None, note=note
    )


def planned_of_selection(selection: Selection) -> list[Planned]:
    """The selection's episodes in its order."""
    files: dict[str, dict[str, SelectedFile]] = {}
    for file in selection.files:
        files.setdefault(str(file.episode_path), {})[file.path.rpartition("/")[2]] = file
    return [
        Planned(
            path=episode.path,
            split=episode.split,
            size_band=episode.size_band,
            rank=episode.rank,
            annotation_bytes=episode.annotation_bytes,
            video_bytes=episode.video_bytes,
            size_bytes={n: f.size_bytes for n, f in files[episode.path].items() if f.size_bytes is not None},
            sha256={n: f.sha256 for n, f in files[episode.path].items() if f.sha256 is not None},
        )
        for episode in selection.episodes
    ]


def _with_transfer(planned: list[Planned], transfer: TransferManifest | None) -> list[Planned]:
    """Add what the transfer manifest knows of sizes and hashes; the selection's own stand before it."""
    if transfer is None:
        return planned
    moved = {file.path: file for file in transfer.files}
    found = []
    for episode in planned:
        own = {name: moved[f"{episode.path}/{name}"] for name in TRAINING_FILES if f"{episode.path}/{name}" in moved}
        found.append(
            replace(
                episode,
                size_bytes={name: file.size_bytes for name, file in own.items()} | episode.size_bytes,
                sha256={name: file.sha256 for name, file in own.items()} | episode.sha256,
            )
        )
    return found


def faults_of(episode: Planned, found: dict[str, FileOnDisk]) -> list[str]:
    """What keeps an episode from being staged: missing, empty and wrongly sized files."""
    faults = [name for name in TRAINING_FILES if name not in found]
    for name, file in found.items():
        expected = episode.size_bytes.get(name)
        if expected is None and name == ANNOTATION:
            expected = episode.annotation_bytes
        if file.size_bytes == 0:
            faults.append(f"{name}: no bytes")
        elif expected is not None and file.size_bytes != expected:
            faults.append(f"{name}: {file.size_bytes} bytes, expected {expected}")
    if episode.video_bytes is not None and not faults:
        videos = sum(found[name].size_bytes for name in VIDEOS)
        if videos != episode.video_bytes:
            faults.append(f"videos: {videos} bytes, expected {episode.video_bytes}")
    return faults
