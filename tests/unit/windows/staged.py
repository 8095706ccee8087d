"""Real episodes, staged with a manifest as `prepare manifest` writes it, for the tests of windows."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from evidence_parts import write_evidence

from xperience.common.files import sha256_of_file
from xperience.standin.episodes import EpisodeFacts, write_episode

SPLITS = ("train", "train", "val", "test")


@dataclass(frozen=True)
class Staged:
    root: Path
    manifest: Path
    episodes: tuple[EpisodeFacts, ...]


def stage(folder, *defects, splits=SPLITS, frames=130, unusable=()) -> Staged:
    """One episode per split named, each of its own session; `defects` of every one of them."""
    placed = [(f"00000000-0000-4000-8000-{number:012d}/ep1", split) for number, split in enumerate(splits)]
    written = tuple(
        write_episode(folder / "root" / path, frames=frames + number, seed=number + 1, defects=frozenset(defects))
        for number, (path, _) in enumerate(placed)
    )
    return Staged(folder / "root", manifest_of(folder, placed, unusable=unusable), written)


def manifest_of(folder, placed, *, unusable=()) -> Path:
    """A manifest of the episodes (path, split) under `folder`/root, as they lie there."""
    listed = []
    for number, (path, split) in enumerate(placed):
        files = [file for file in sorted((folder / "root" / path).iterdir()) if file.suffix in (".hdf5", ".mp4")]
        listed.append(
            {
                "id": path.replace("/", "__"), "episode_path": path, "top_level_session": path.split("/")[0],
                "split": split, "staged": True, "usable": {"windows": number not in unusable, "actions": True},
                "why_not": ["it has no caption"] if number in unusable else [],
                "files": [
                    {"name": f.name, "size_bytes": f.stat().st_size, "sha256": sha256_of_file(f)} for f in files
                ],
            }
        )  # fmt: skip
    write_evidence(
        folder / "manifest.json", "xperience.episode-manifest/1", data_root=str(folder / "root"), episodes=listed
    )
    return folder / "manifest.json"
