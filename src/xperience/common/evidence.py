"""Evidence: the JSON artefacts that pass between stages, with the hashes of their inputs."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xperience import __version__
from xperience.common.errors import BadDataError, UsageError
from xperience.common.files import write_atomic

# A shard's report lies beside the one of all: check-3-of-8.json.
PART_OF = re.compile(r"-\d+-of-\d+\.json$")
Model = TypeVar("Model", bound=BaseModel)

# Left out of the content hash: they say when and where it was made, not what it is.
VOLATILE = frozenset({"generated_at", "program_version", "host", "data_root", "workspace", "content_sha256"})


def now_utc() -> str:
    """ISO time in UTC; SOURCE_DATE_EPOCH stands in for the clock where it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def content_hash(document: dict[str, Any]) -> str:
    """sha256 of sorted, compact JSON without the volatile top-level fields and any `*_seconds` field."""
    digest = hashlib.sha256()
    for piece in _canonical_pieces(document):
        digest.update(piece)
    return digest.hexdigest()


def _canonical_pieces(document: dict[str, Any]) -> Iterator[bytes]:
    """The canonical JSON, item by item of long lists: a selection of 100,000 files is never a second time in memory."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if not key.endswith("_seconds")}
        if isinstance(value, list):
            return [strip(item) for item in value]
        return value

    def text(value: Any) -> bytes:
        return json.dumps(strip(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    kept = sorted(key for key in document if key not in VOLATILE and not key.endswith("_seconds"))
    for place, key in enumerate(kept):
        yield (b"," if place else b"{") + text(key) + b":"
        value = document[key]
        if isinstance(value, list) and value:
            for number, item in enumerate(value):
                yield (b"," if number else b"[") + text(item)
            yield b"]"
        else:
            yield text(value)
    yield b"}" if kept else b"{}"


class Evidence(BaseModel):
    """Base of every artefact; a subclass sets `SCHEMA` and adds its own fields. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    SCHEMA: ClassVar[str]

    schema_: str = Field(alias="schema", default="")
    generated_at: str = Field(default_factory=now_utc)
    program_version: str = __version__
    inputs: dict[str, str] = Field(default_factory=dict)
    content_sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _name_the_schema(cls, values: Any) -> Any:
        if isinstance(values, dict):
            values.setdefault("schema", cls.SCHEMA)
            if values["schema"] != cls.SCHEMA:
                raise ValueError(f"schema is {values['schema']!r}, expected {cls.SCHEMA!r}")
        return values

    def document(self) -> dict[str, Any]:
        """The JSON document, its content hash filled in."""
        document = self.model_dump(mode="json", by_alias=True)
        document["content_sha256"] = content_hash(document)
        return document

    @property
    def known_by(self) -> str:
        """The content hash: what `inputs` of later artefacts name."""
        return self.content_sha256 or str(self.document()["content_sha256"])

    def write(self, path: Path) -> str:
        """Write atomically; return the content hash."""
        document = self.document()
        write_atomic(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return str(document["content_sha256"])

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check schema, fields and content hash; BadDataError names the file and the first fault."""
        return cls.parse(_bytes_of(path, cls.SCHEMA), where=str(path))

    @classmethod
    def parse(cls, raw: bytes, *, where: str) -> Self:
        """As `read`, from bytes."""
        return _checked(cls, raw, cls.SCHEMA, where)


def artefacts_in(folder: Path) -> dict[str, list[Path]]:
    """The artefacts of a folder by schema, sorted by name; what is no JSON is not one, nor is a shard's part."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        if PART_OF.search(path.name):
            continue
        try:
            document = json.loads(path.read_bytes())
        except ValueError:
            continue
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(schema, str):
            found.setdefault(schema, []).append(path)
    return found


def artefact_in(folder: Path, schema: str, *, flag: str) -> Path | None:
    """The folder's artefact of a schema, None where there is none; UsageError where there are two."""
    found = artefacts_in(folder).get(schema, [])
    if len(found) > 1:
        raise UsageError(
            f"two artefacts of {schema}", where=str(folder), why=", ".join(path.name for path in found),
            fix=f"Give {flag}, or move the old one away.",
        )  # fmt: skip
    return found[0] if found else None


class Part(BaseModel):
    """A part of an artefact, or what is no artefact itself: frozen, unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ViewPart(BaseModel):
    """A part of an artefact of which only some fields are read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class View(ViewPart):
    """What one stage reads of another stage's artefact; its other fields are not looked at."""

    SCHEMA: ClassVar[str] = ""

    generated_at: str = ""
    content_sha256: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check schema and content hash; BadDataError names the file and the first fault."""
        return _checked(cls, _bytes_of(path, cls.SCHEMA), cls.SCHEMA, str(path))


def _bytes_of(path: Path, schema: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadDataError(f"no {schema} artefact", where=str(path), why=str(error.strerror)) from error


def _checked(model: type[Model], raw: bytes, schema: str, where: str) -> Model:
    """The artefact; BadDataError where it is no JSON, of another schema or shape, or not as it was written."""
    try:
        document = json.loads(raw)
    except ValueError as error:  # no JSON, no UTF-8
        raise BadDataError(f"not a {schema} artefact", where=where, why=f"not JSON: {error}") from error
    return checked_document(model, document, schema, where)


def checked_document(model: type[Model], document: Any, schema: str, where: str) -> Model:
    """As `_checked`, from JSON that was parsed already."""
    if isinstance(document, dict) and document.get("schema") != schema:
        why = f"schema is {document.get('schema')!r}, expected {schema!r}"
        raise BadDataError(f"not a {schema} artefact", where=where, why=why)
    try:
        found = model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadDataError(f"not a {schema} artefact", where=where, why=f"{place} {first['msg']}") from error
    digest = content_hash(document)
    if document.get("content_sha256") != digest:
        raise BadDataError(
            f"content_sha256 of a {schema} artefact does not match its content",
            where=where,
            why=f"recorded {document.get('content_sha256')}, computed {digest}",
            fix="Somebody edited or damaged it: make it anew.",
        )
    return found
