"""The transfer manifest: what lies at the store and how each file was verified; written to the store last."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from xperience.common.evidence import Evidence
from xperience.relay.ledger import LedgerFile
from xperience.store.base import Verified

MANIFEST_NAME = "xperience-transfer-manifest.json"


class TransferredFile(BaseModel):
    """One file at the store. `sha256_from` says whether the hub's LFS entry or a checked git blob vouches for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    size_bytes: int
    sha256: str
    sha256_from: Literal["hub-lfs", "computed-after-git-blob-check"]
    verified_how: str
    etag: str | None = None
    part_bytes: int | None = None
    version_id: str | None = None

    @property
    def verified(self) -> Verified:
        """What the store said when it was verified."""
        return Verified(self.verified_how, self.etag, self.part_bytes, self.version_id)


class TransferredEpisode(BaseModel):
    """Where the selection put an episode, so that the data root knows its splits by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    split: str
    size_band: str
    rank: int


class TransferManifest(Evidence):
    """Every file of a finished job, sorted by path; `episodes` is empty where the selection has none."""

    SCHEMA: ClassVar[str] = "xperience.transfer-manifest/1"

    repo_id: str
    repo_type: str
    revision: str
    store: str
    files: list[TransferredFile]
    episodes: list[TransferredEpisode] = Field(default_factory=list)


class FileFault(BaseModel):
    """One file that is not as the manifest says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    fault: Literal["missing", "size differs", "hash differs", "unexpected"]


class TransferVerification(Evidence):
    """A later look at the store, file by file, against the manifest."""

    SCHEMA: ClassVar[str] = "xperience.transfer-verification/1"

    store: str
    verified_files: int
    verified_bytes: int
    faults: list[FileFault]


def transferred(file: LedgerFile) -> TransferredFile:
    """The manifest's entry of a verified file."""
    return TransferredFile(
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=str(file.sha256),
        sha256_from="hub-lfs" if file.hub_sha256 else "computed-after-git-blob-check",
        verified_how=str(file.verified_how),
        etag=file.etag,
        part_bytes=file.part_bytes,
        version_id=file.version_id,
    )
