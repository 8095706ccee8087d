"""Look at the store again: everything that the manifest names, and whatever it does not."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from xperience.common.errors import BadDataError, StoppedError
from xperience.common.shards import Shard
from xperience.common.transfer import MANIFEST_NAME, TransferManifest, TransferredFile
from xperience.relay.ledger import Ledger, LedgerFile, State
from xperience.relay.manifest import (
    PART_PREFIX,
    FileFault,
    TransferManifestPart,
    TransferVerification,
    part_name,
    recorded,
)
from xperience.relay.progress import Leg
from xperience.store.base import Store, Verified


def read_manifest(store: Store) -> TransferManifest | None:
    """The manifest that lies at the store."""
    raw = store.read_bytes(MANIFEST_NAME)
    return TransferManifest.parse(raw, where=f"{store.target}/{MANIFEST_NAME}") if raw is not None else None


def read_parts(store: Store, own: TransferManifestPart) -> list[TransferManifestPart]:
    """The parts of all shards of this job that lie at the store; a part of another selection or revision is none."""
    parts = []
    for index in range(own.shards):
        name = part_name(Shard(index, own.shards))
        raw = store.read_bytes(name)
        if raw is not None:
            part = TransferManifestPart.parse(raw, where=f"{store.target}/{name}")
            if (part.inputs, part.repo_id, part.revision) == (own.inputs, own.repo_id, own.revision):
                parts.append(part)
    return parts


def verify_store(store: Store, *, at_once: int) -> TransferVerification:
    """Ask the store for the hash of every file of its manifest; BadDataError where there is no manifest."""
    manifest = read_manifest(store)
    if manifest is None:
        raise BadDataError(
            "the store has no transfer manifest", where=f"{store.target}/{MANIFEST_NAME}",
            why="it is written last, so the relay has not ended", fix="Run `xperience relay run` to its end first.",
        )  # fmt: skip
    listing = store.listing()

    def check(file: TransferredFile) -> FileFault | None:
        if file.path not in listing:
            return FileFault(path=file.path, fault="missing")
        if listing[file.path] != file.size_bytes:
            return FileFault(path=file.path, fault="size differs")
        if not store.verify_recorded(file.path, file.sha256, file.size_bytes, recorded(file)):
            return FileFault(path=file.path, fault="hash differs")
        return None

    with ThreadPoolExecutor(at_once) as pool:
        faults = [fault for fault in pool.map(check, manifest.files) if fault is not None]
    expected = {file.path for file in manifest.files} | {MANIFEST_NAME}
    others = sorted(path for path in set(listing) - expected if not path.startswith(PART_PREFIX))
    faults.extend(FileFault(path=path, fault="unexpected") for path in others)
    wrong = {fault.path for fault in faults}
    right = [file for file in manifest.files if file.path not in wrong]
    return TransferVerification(
        inputs={"transfer_manifest": manifest.content_sha256},
        store=store.target,
        verified_files=len(right),
        verified_bytes=sum(file.size_bytes for file in right),
        faults=faults,
    )


def rebuild(
    ledger: Ledger, store: Store, listing: Mapping[str, int], leg: Leg, *, at_once: int, stop: threading.Event
) -> int:
    """Planned files that the store holds already: prove each against the hub's hash; returns how many are right.

    A file is taken only if its bytes at the store are those of the hub: by the entry of an earlier manifest that the
    store's own hash still confirms, or by a hash of the stored bytes.
    """
    planned = [file for file in ledger.files(State.PLANNED) if file.hub_sha256]
    candidates = [file for file in planned if listing.get(file.path) == file.size_bytes]
    if not candidates:
        return 0
    manifest = read_manifest(store)
    earlier = {file.path: file for file in manifest.files} if manifest else {}

    def prove(path: str, sha256: str, size_bytes: int) -> bool:
        known = earlier.get(path)
        if known and known.sha256 == sha256 and store.verify_recorded(path, sha256, size_bytes, recorded(known)):
            verified: Verified | None = recorded(known)
        else:
            verified = store.adopt(path, sha256, size_bytes)
        if verified is None:
            return False
        ledger.set(
            path, State.RELEASED, sha256=sha256, verified_how=verified.how, etag=verified.etag,
            part_bytes=verified.part_bytes, version_id=verified.version_id,
        )  # fmt: skip
        return True

    def counted(file: LedgerFile) -> bool:
        if stop.is_set():
            raise StoppedError("stopped while the store's files were hashed", where=file.path)
        with leg.working():
            proven = prove(file.path, str(file.hub_sha256), file.size_bytes)
            leg.add(file.size_bytes)
        return proven

    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(counted, candidates))
