"""The transfer manifest: what lies at the store and how each file was verified; written to the store last.

Of several shards each writes its part; whichever ends and sees all parts writes the manifest, whose bytes follow from
the parts alone.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from xperience.common.evidence import Evidence, Part
from xperience.common.shards import Shard
from xperience.common.transfer import MANIFEST_NAME, TransferManifest, Transferred, TransferredFile
from xperience.relay.ledger import LedgerFile
from xperience.store.base import Verified

PART_PREFIX = MANIFEST_NAME.removesuffix("json") + "part-"


def part_name(shard: Shard) -> str:
    """Name of a shard's part at the store."""
    return f"{PART_PREFIX}{shard.index}-of-{shard.count}.json"


class TransferManifestPart(Transferred):
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
        episodes=sorted((episode for part in parts for episode in part.episodes), key=lambda episode: episode.path),
    )


class FileFault(Part):
    """One file that is not as the manifest says."""

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


def recorded(file: TransferredFile) -> Verified:
    """What the store said of a file when it was verified."""
    return Verified(file.verified_how, file.etag, file.part_bytes, file.version_id)
