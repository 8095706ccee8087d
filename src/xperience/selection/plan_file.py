"""Read a selection: the plan's JSON as it is, the pinned one, or a repository's."""

import base64
import gzip
import hashlib
import json
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xperience.common.errors import BadDataError, UsageError
from xperience.common.evidence import checked_document
from xperience.selection.document import PinnedSelection, PlanDocument, RepositorySelection
from xperience.selection.model import Selection
from xperience.selection.refusals import check_paths, check_plan, refuse

PACKED_LIMIT_BYTES = 700 << 10
EMBEDDED = "xperience10m_128_episode_selection.json"
Document = PlanDocument | PinnedSelection | RepositorySelection


def read_selection(path: Path) -> Selection:
    """Read, check, and bring into memory; BadDataError names the refusal, the file and the fault."""
    raw = read_bytes(path)
    file_sha256 = hashlib.sha256(raw).hexdigest()
    parsed = _json_of(raw, str(path))
    del raw  # of a whole data set it is 40 MB
    document = _checked(parsed, str(path))
    return document.selection(file_sha256 if isinstance(document, PlanDocument) else document.known_by)


def identity_of_document(document: Document, raw: bytes) -> str:
    """What later artefacts name as their input: an artefact's content hash, else the hash of the file's bytes."""
    return hashlib.sha256(raw).hexdigest() if isinstance(document, PlanDocument) else document.known_by


def read_document(path: Path) -> Document:
    """The document itself, checked."""
    return parse_document(read_bytes(path), str(path))


def sha256_of_selection(path: Path) -> str:
    """What `inputs.selection` of later artefacts names."""
    raw = read_bytes(path)
    return identity_of_document(parse_document(raw, str(path)), raw)


def parse_document(raw: bytes, where: str) -> Document:
    """As `read_document`, from bytes."""
    return _checked(_json_of(raw, where), where)


def _json_of(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise refuse("not-json", where, str(error)) from error


def _checked(document: Any, where: str) -> Document:
    if not isinstance(document, dict):
        raise refuse("not-json", where, "not a JSON object")
    schema = document.get("schema")
    try:
        if schema == RepositorySelection.SCHEMA:
            repository = checked_document(RepositorySelection, document, RepositorySelection.SCHEMA, where)
            check_paths(file.path for file in repository.files)
            return repository
        found: PlanDocument | PinnedSelection
        if schema == PinnedSelection.SCHEMA:
            found = checked_document(PinnedSelection, document, PinnedSelection.SCHEMA, where)
        elif schema is None:
            found = PlanDocument.model_validate(document)
        else:
            raise refuse("unknown-schema", where, str(schema))
        check_plan(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        name = "unknown-field" if first["type"] == "extra_forbidden" else "malformed-field"
        raise refuse(name, f"{where}: {place}", first["msg"]) from error
    except BadDataError as error:
        if error.where.startswith(where):
            raise
        raise BadDataError(error.what, where=f"{where}: {error.where}", why=error.why, fix=error.fix) from error
    return found


def pack(raw: bytes) -> bytes:
    """gzip and base64 of a selection, for a ConfigMap by `helm --set-file`; the same bytes for the same input.

    UsageError above PACKED_LIMIT_BYTES: a ConfigMap holds 1 MiB at most, and Helm keeps a copy of it in its Secret.
    """
    packed = base64.b64encode(gzip.compress(raw, mtime=0))
    if len(packed) > PACKED_LIMIT_BYTES:
        raise UsageError(
            "selection is too large for a ConfigMap", why=f"{len(packed)} bytes packed, {PACKED_LIMIT_BYTES} at most",
            fix="Serve it over HTTP and give its address and hash, or mount it from a volume.",
        )  # fmt: skip
    return packed


def read_bytes(path: Path) -> bytes:
    """A selection file's bytes, checked by nobody yet, unpacked where they are gzip or a pack.

    The real selection is embedded and stands in for the plan's name where no such file is.
    """
    raw = _raw_bytes_of(path)
    try:
        if raw[:4] == b"H4sI":  # base64 of gzip's first bytes
            raw = base64.b64decode(raw, validate=False)
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise refuse("not-json", str(path), f"packed, but {error}") from error


def _raw_bytes_of(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except FileNotFoundError as error:
        if str(path) == EMBEDDED:
            return (files("xperience") / "data" / f"{EMBEDDED}.gz").read_bytes()
        raise UsageError("selection not found", where=str(path), fix="Give --selection-json.") from error
    except OSError as error:
        raise UsageError("selection cannot be read", where=str(path), why=str(error)) from error
