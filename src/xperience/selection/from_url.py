"""Take a selection from an address, by its hash."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from xperience.common.errors import BadDataError, UnavailableError, UsageError
from xperience.common.files import write_atomic

LARGEST_BYTES = 64 << 20
TIMEOUT_SECONDS = 30.0


def fetch_selection(url: str, sha256: str, place: Path) -> Path:
    """Download to `place`, unless the file of this hash lies there already; returns `place`.

    UsageError without a hash, UnavailableError where nothing answers, BadDataError where the bytes are others.
    """
    parts = urlsplit(url)
    if parts.query or parts.username or parts.password:
        raise UsageError(
            "an address may hold no secret", where=f"--selection-url {parts.hostname}{parts.path}",
            why="what follows ?, or stands before @, would be in the command line, in logs and in relay_settings.json",
            fix="Put the file where it needs no signature, or give it as --selection-json.",
        )  # fmt: skip
    if len(sha256) != 64:
        raise UsageError(
            "a selection by address needs its hash",
            where=f"--selection-sha256 {sha256}",
            fix="Run sha256sum on the file.",
        )
    if place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() == sha256:
        return place
    raw = b""
    try:
        with httpx2.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_SECONDS) as answer:
            answer.raise_for_status()
            for block in answer.iter_bytes():
                raw += block
                if len(raw) > LARGEST_BYTES:
                    raise BadDataError("selection is too large", where=url, why=f"more than {LARGEST_BYTES} bytes")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UnavailableError(
            "the selection cannot be had",
            where=url,
            why=str(error),
            fix="Check --selection-url and the network policy.",
        ) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise BadDataError(
            "the selection is not the one that is meant", where=url, why=f"sha256 {found}, expected {sha256}",
            fix="Give the hash of the file that is meant with --selection-sha256.",
        )  # fmt: skip
    write_atomic(place, raw)
    return place
