"""A selection in memory: which files of which repository at which revision, and the episodes that they make up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SelectedFile:
    """One file; size and hash are None until the selection is pinned. `episode_path` is None in a plain repository."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    episode_path: str | None = None


@dataclass(frozen=True, slots=True)
class SelectedEpisode:
    """One episode of the plan; `size_bytes` counts its training files alone."""

    path: str
    session: str
    split: str
    size_band: str
    rank: int
    size_bytes: int
    annotation_bytes: int
    video_bytes: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Files in relay order.

    `source_sha256` is what later artefacts know it by (an artefact's content hash, else the file's), `parent_sha256`
    that of the one it was pinned or made from.
    """

    repo_id: str
    repo_type: str  # dataset or model, as the hub names them
    revision: str  # 40 hex digits: a commit
    files: tuple[SelectedFile, ...]
    episodes: tuple[SelectedEpisode, ...]
    source_sha256: str
    parent_sha256: str | None = None

    @property
    def pinned(self) -> bool:
        """Every file has a size and a hash of the hub's."""
        return all(file.size_bytes is not None and (file.sha256 or file.git_sha1) for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files: exact without per-file sizes too, since the plan records them per episode."""
        if self.episodes:
            return sum(episode.size_bytes for episode in self.episodes)
        return sum(file.size_bytes or 0 for file in self.files)
