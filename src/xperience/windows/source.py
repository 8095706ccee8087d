"""Episodes to make windows of: those of the manifest that are staged and usable, as they lie in the data root."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pydantic import Field

from xperience.common.errors import BadDataError
from xperience.common.evidence import Part, View, ViewPart
from xperience.common.layout import ANNOTATION

PURPOSE = "windows"
SPLITS = ("train", "val", "test")


class FileView(ViewPart):
    """One staged file."""

    name: str
    size_bytes: int
    sha256: str | None = None


class EpisodeView(ViewPart):
    """One episode of the manifest."""

    id: str
    episode_path: str
    top_level_session: str
    split: str
    staged: bool
    usable: dict[str, bool] | None = None
    why_not: list[str] = Field(default_factory=list)
    files: list[FileView] = Field(default_factory=list)


class ManifestView(View):
    """`prepare manifest`."""

    SCHEMA: ClassVar[str] = "xperience.episode-manifest/1"
    data_root: str
    episodes: list[EpisodeView]


class SourceEpisode(Part):
    """A usable episode in its `folder`; `identity` is a file's sha256, or its size where none is known."""

    id: str
    path: str
    session: str
    split: str
    folder: Path
    identity: dict[str, str]
    size_bytes: dict[str, int]

    @property
    def annotation(self) -> Path:
        """Its annotation.hdf5."""
        return self.folder / ANNOTATION

    def video(self, camera: str) -> Path:
        """The MP4 of a camera."""
        return self.folder / f"{camera}.mp4"

    def require(self, names: Sequence[str]) -> None:
        """BadDataError where one of the files is not there, or not of the size that the manifest says."""
        for name in names:
            place = self.folder / name
            found = place.stat().st_size if place.is_file() else None
            if name not in self.size_bytes or found != self.size_bytes[name]:
                raise BadDataError(
                    "a file is not the manifest's", where=f"{self.path}/{name}",
                    why=f"{found} bytes, {self.size_bytes.get(name)} in the manifest" if found else "not there",
                    fix="Run `prepare check` and `prepare manifest` again.",
                )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sources:
    """Episodes by path; `skipped` is why each other one is left out."""

    episodes: tuple[SourceEpisode, ...]
    skipped: dict[str, str]
    manifest_sha256: str


def read_sources(manifest_json: Path, data_root: Path | None, purpose: str = PURPOSE) -> Sources:
    """Read the manifest's episodes that are usable for a purpose.

    BadDataError where nobody looked into its episodes, or where sessions cross splits.
    """
    manifest = ManifestView.read(manifest_json)
    root = (data_root or Path(manifest.data_root)).expanduser()
    if all(episode.usable is None for episode in manifest.episodes):
        raise BadDataError(
            "no episode of the manifest was looked into", where=str(manifest_json), why="`usable` is unknown",
            fix="Run `prepare check`, then `prepare manifest`.",
        )  # fmt: skip
    episodes, skipped = [], {}
    splits_of_session: dict[str, str] = {}
    for episode in sorted(manifest.episodes, key=lambda episode: episode.episode_path):
        parts = PurePosixPath(episode.episode_path).parts
        if not parts or parts[0] == "/" or ".." in parts or episode.split not in SPLITS:
            raise BadDataError("no episode", where=str(manifest_json), why=f"{episode.episode_path}, {episode.split}")
        if splits_of_session.setdefault(episode.top_level_session, episode.split) != episode.split:
            raise BadDataError("a session lies in two splits", where=episode.top_level_session)
        if not episode.staged:
            skipped[episode.episode_path] = "not staged"
        elif not (episode.usable or {}).get(purpose, False):
            skipped[episode.episode_path] = "; ".join(episode.why_not) or f"not usable for {purpose}"
        else:
            episodes.append(
                SourceEpisode(
                    id=episode.id,
                    path=episode.episode_path,
                    session=episode.top_level_session,
                    split=episode.split,
                    folder=root / episode.episode_path,
                    identity={file.name: file.sha256 or f"size:{file.size_bytes}" for file in episode.files},
                    size_bytes={file.name: file.size_bytes for file in episode.files},
                )
            )
    if not episodes:
        raise BadDataError(
            "no usable episode", where=str(manifest_json), why=next(iter(skipped.values()), "it is empty")
        )
    return Sources(tuple(episodes), skipped, manifest.content_sha256)
