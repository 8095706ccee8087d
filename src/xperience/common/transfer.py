"""The transfer manifest: what lies at the store, verified how. The relay writes it, all later stages read it."""

from typing import ClassVar, Literal

from pydantic import Field

from xperience.common.evidence import Evidence, Part

MANIFEST_NAME = "xperience-transfer-manifest.json"


class TransferredFile(Part):
    """One file at the store. `sha256_from` says whether the hub's LFS entry or a checked git blob vouches for it."""

    path: str
    size_bytes: int
    sha256: str
    sha256_from: Literal["hub-lfs", "computed-after-git-blob-check"]
    verified_how: str
    etag: str | None = None
    part_bytes: int | None = None
    version_id: str | None = None


class TransferredEpisode(Part):
    """Where the selection put an episode, so that the data root knows its splits by itself."""

    path: str
    split: str
    size_band: str
    rank: int


class Transferred(Evidence):
    """Files that arrived, sorted by path, and the episodes that they make up."""

    repo_id: str
    repo_type: str
    revision: str
    store: str
    files: list[TransferredFile]
    episodes: list[TransferredEpisode] = Field(default_factory=list)


class TransferManifest(Transferred):
    """Every file of a finished job, sorted by path; `episodes` is empty where the selection has none."""

    SCHEMA: ClassVar[str] = "xperience.transfer-manifest/1"

    @property
    def selections(self) -> set[str]:
        """The selection that was transferred, and the one that it was pinned or made from."""
        return {self.inputs[name] for name in ("selection", "selection_parent") if name in self.inputs}
