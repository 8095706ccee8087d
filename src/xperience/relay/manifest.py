"""The transfer manifest: what lies at the store and how each file was verified; written to the store last.

Of several shards each writes its part; whichever ends and sees all parts writes the manifest, whose bytes follow from
the parts alone.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from xperience.common.evidence import Evidence
from xperience.relay.ledger import LedgerFile
from xperience.selection.shards import Shard
from xperience.store.base import Verified

MANIFEST_NAME = "xperience-transfer-manifest.json"
PART_PREFIX = "xperience-transfer-manifest.part-"


def part_name(shard: Shard) -> str:
    """Name of a shard's part at the store."""
    return f"{PART_PREFIX}{shard.index}-of-{shard.count}.json"


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


class _Transferred(Evidence):
    repo_id: str
    repo_type: str
    revision: str
    store: str
    files: list[TransferredFile]


class TransferManifest(_Transferred):
    """Every file of a finished job, sorted by path."""

    SCHEMA: ClassVar[str] = "xperience.transfer-manifest/1"


class TransferManifestPart(_Transferred):
    """Every file of a finished shard, sorted by path."""

    SCHEMA: ClassVar[str] = "xperience.transfer-manifest-part/1"

    shard: int
    shards: int


def merge(parts: Sequence[TransferManifestPart]) -> TransferManifest:
    """The manifest of all shards: the same content as one relay alone writes; time and program are the last part's."""
    last = max(parts, key=lambda part: (part.generated_at, part.shard))
    return TransferManifest(
        generated_at=last.generated_at,
        program_version=last.program_version,
        inputs=last.inputs,
        repo_id=last.repo_id,
        repo_type=last.repo_type,
        revision=last.revision,
        store=last.store,
        files=sorted((file for part in parts for file in part.files), key=lambda file: file.path),
    )


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
