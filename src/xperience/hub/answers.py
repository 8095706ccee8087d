"""What the hub's answers mean: our exceptions for them, and the pauses that they ask for."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from xperience.common.errors import BadDataError, RefusedError, UnavailableError, XperienceError

# The hub's windows are 5 minutes long: a longer pause is a mistake of somebody in between.
LONGEST_PAUSE_SECONDS = 600.0
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom we asked for what: enough for a message. `page` is where a person asks for access."""

    endpoint: str
    page: str
    where: str
    with_token: bool


def error_of_status(status: int, headers: Mapping[str, str], asked: Asked) -> XperienceError:
    """The exception for an answer of the hub that is no success. No address of it is quoted: it may be signed."""
    code, message = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")[:200].rstrip(". ")
    why = f"HTTP {status}" + (f", {message}" if message else "")
    if not asked.with_token and (code == "GatedRepo" or status in (401, 403)):
        return RefusedError(
            "the hub asks for a token", where=asked.where, why=why,
            fix=f"Ask for access at {asked.page}, then set HF_TOKEN or --hf-token-path.",
        )  # fmt: skip
    if code == "GatedRepo":
        return RefusedError(
            "the gate is not approved for this token", where=asked.where, why=why,
            fix=f"Ask for access at {asked.page} with the account of the token and wait until it is granted.",
        )  # fmt: skip
    if status == 401:
        return RefusedError(
            "the hub does not accept the token", where=asked.where, why=f"{why}: wrong, expired or revoked",
            fix=f"Make a new token with read access at {asked.endpoint}/settings/tokens.",
        )  # fmt: skip
    if status == 403:
        return RefusedError(
            "the token may not read this", where=asked.where, why=why,
            fix=f"Give the token read access to gated repositories at {asked.endpoint}/settings/tokens.",
        )  # fmt: skip
    if code == "RevisionNotFound":
        return BadDataError("revision is not on the hub", where=asked.where, why=why, fix="Check the commit.")
    if code == "EntryNotFound" or status == 404:
        what = "repository is not on the hub" if code == "RepoNotFound" else "not on the hub"
        return BadDataError(what, where=asked.where, why=why, fix="Check its name, type and revision.")
    if status == 429:
        return UnavailableError(
            "the hub's rate limit is reached", where=asked.where, why=why, fix="Wait five minutes, then run again."
        )
    return UnavailableError("the hub does not answer as it should", where=asked.where, why=why, fix="Run again later.")


def error_of_connection(error: Exception, asked: Asked) -> UnavailableError:
    """The exception for a hub that cannot be reached or falls silent."""
    why = str(error) if not isinstance(error, httpx2.InvalidURL) else "it redirects to an invalid address"
    return UnavailableError(
        "the hub cannot be reached", where=asked.where, why=f"{asked.endpoint}: {type(error).__name__} {why}".rstrip(),
        fix="Check HF_ENDPOINT, proxy, DNS and network policy; a rerun continues.",
    )  # fmt: skip


def asked_pause_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds that a 429 or 503 asks to wait; None where it does not say.

    `RateLimit` counts if it says that nothing is left; one second is added since its `t` is rounded. A date in
    `Retry-After` is read against the answer's own `Date`, so that our clock does not matter.
    """
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return min(limit.reset_in_seconds + 1.0, LONGEST_PAUSE_SECONDS)
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return min(float(text), LONGEST_PAUSE_SECONDS)
    try:
        seconds = (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)


def backoff_seconds(failures: int) -> float:
    """Exponential with jitter: 0.2 s doubled per failure in a row, at most 30 s, times 0.5 to 1."""
    longest = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(max(failures - 1, 0), 16), LONGEST_BACKOFF_SECONDS)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  jitter
