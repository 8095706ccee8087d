"""Ranged GETs: signed addresses, pauses that are asked for, retries; a dropped body goes on at its next byte."""

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import httpx2

from xperience.common.errors import BadDataError, UnavailableError
from xperience.common.identity import FileIdentity
from xperience.hub.answers import asked_pause_seconds, backoff_seconds, error_of_connection, error_of_status
from xperience.hub.client import Hub

MOST_REDIRECTS = 5
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the bytes of a file are; on the hub itself the token goes along, elsewhere never."""

    url: str
    on_hub: bool


@dataclass(slots=True)
class RemoteFile:
    """A file on the hub and the address that it was found at last: one resolve call serves all of its ranges."""

    identity: FileIdentity
    address: Address | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class Cursor:
    """How far the bytes [start, stop) have come."""

    start: int
    stop: int
    position: int


class TryAgain(Exception):
    """One try failed in a way that another may not. `pause_seconds` None leaves it to the backoff."""

    def __init__(self, reason: str, error: UnavailableError, pause_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.error, self.pause_seconds = reason, error, pause_seconds


class RangeClient:
    """Ranged GETs of one repository at one revision; shared by all streams."""

    def __init__(
        self, hub: Hub, revision: str, *, streams: int, retries: int, ended: threading.Event,
        on_bytes: Callable[[int], None], on_retry: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._hub, self._revision, self._retries, self._ended = hub, revision, retries, ended
        self._on_bytes, self._on_retry = on_bytes, on_retry
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=2 * streams)
        self._client = httpx2.Client(timeout=httpx2.Timeout(hub.timeout_seconds), limits=limits)
        self._lock = threading.Lock()
        self._closed_until: dict[str, float] = {}  # host → monotonic time before which it wants no request
        self._bodies: set[socket.socket] = set()

    def fetch(self, remote: RemoteFile, start: int, stop: int, write: Callable[[bytes, int], None]) -> bool:
        """Write the bytes [start, stop); False where the download ended before.

        Raises UnavailableError where `retries` repeats in a row brought no byte either.
        """
        cursor, failures = Cursor(start, stop, position=start), 0
        while cursor.position < stop and not self._ended.is_set():
            before = cursor.position
            try:
                self._try(remote, cursor, write)
            except TryAgain as trouble:
                if self._ended.is_set():
                    return False
                failures = 0 if cursor.position > before else failures + 1
                if failures > self._retries:
                    raise trouble.error from trouble
                self._on_retry(trouble.reason)
                pause = backoff_seconds(failures) if trouble.pause_seconds is None else trouble.pause_seconds
                self._ended.wait(pause)
        return cursor.position >= stop

    def interrupt(self) -> None:
        """End the bodies in flight, so that no stream waits for a silent connection."""
        with self._lock:
            for body in self._bodies:
                try:
                    # Not the method of a TLS socket: that one changes what the reading thread uses.
                    socket.socket.shutdown(body, socket.SHUT_RDWR)
                except OSError:
                    continue  # it is closed already

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _try(self, remote: RemoteFile, cursor: Cursor, write: Callable[[bytes, int], None]) -> None:
        asked = self._hub.asked(remote.identity.path)
        try:
            address = self._address(remote)
            headers = {"Range": f"bytes={cursor.position}-{cursor.stop - 1}", "Accept-Encoding": "identity"}
            if address.on_hub:
                headers |= self._hub.headers()
            self._wait_for_turn(address.url)
            with self._client.stream("GET", address.url, headers=headers) as response:
                if response.status_code not in (200, 206):
                    self._not_content(response, remote, address)
                expected = self._expect(response, remote.identity, cursor)
                self._read(response, cursor, expected, write)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            reason = "timeout" if isinstance(error, httpx2.TimeoutException) else "connection"
            raise TryAgain(reason, error_of_connection(error, asked)) from error

    def _address(self, remote: RemoteFile) -> Address:
        """The cached address; the first stream that needs one asks the hub, the others wait for it."""
        with remote.lock:
            if remote.address is None:
                remote.address = self._resolve(remote.identity)
            return remote.address

    def _resolve(self, identity: FileIdentity) -> Address:
        """HEAD at the hub, as huggingface_hub does: the redirect is not followed, the token stays here."""
        url = self._hub.resolve_url(identity.path, self._revision)
        for _ in range(MOST_REDIRECTS):
            self._wait_for_turn(url)
            response = self._client.head(url, headers={**self._hub.headers(), "Accept-Encoding": "identity"})
            if response.has_redirect_location:
                linked = response.headers.get("X-Linked-Size")
                if linked is not None and int(linked) != identity.size_bytes:
                    raise self._other_size(identity, int(linked))
                target = urljoin(url, response.headers["Location"])
                if origin_of(target) != origin_of(self._hub.endpoint):
                    return Address(target, on_hub=False)
                url = target  # a renamed repository
            elif response.status_code == 200:
                return Address(url, on_hub=True)
            else:
                self._raise_status(response, identity)
        raise error_of_connection(httpx2.TooManyRedirects("redirects in a circle"), self._hub.asked(identity.path))

    def _not_content(self, response: httpx2.Response, remote: RemoteFile, address: Address) -> NoReturn:
        """A GET that was not answered with content."""
        identity, status = remote.identity, response.status_code
        if status == 416:
            raise self._other_size(identity, response.headers.get("Content-Range", "").rpartition("/")[2])
        if address.on_hub and not response.has_redirect_location:
            self._raise_status(response, identity)
        if status in (401, 403, 410) or response.has_redirect_location:
            with remote.lock:
                if remote.address == address:
                    remote.address = None
                    if not address.on_hub and response.has_redirect_location:
                        remote.address = Address(urljoin(address.url, response.headers["Location"]), on_hub=False)
            reason = "redirect" if response.has_redirect_location else "expired address"
            raise TryAgain(reason, self._not_served(identity, f"{reason}, HTTP {status}, again and again"))
        if status == 404:
            raise BadDataError(
                "the hub's storage does not hold the file", where=identity.path, why="HTTP 404",
                fix="Check that the repository is whole at this revision.",
            )  # fmt: skip
        self._raise_status(response, identity)

    def _raise_status(self, response: httpx2.Response, identity: FileIdentity) -> NoReturn:
        """Raise what a status means: TryAgain where waiting helps, else the error that ends the run."""
        error = error_of_status(response.status_code, response.headers, self._hub.asked(identity.path))
        if not isinstance(error, UnavailableError):
            raise error
        pause = asked_pause_seconds(response.headers)
        if pause is not None:
            with self._lock:
                host = urlsplit(str(response.url)).netloc
                self._closed_until[host] = max(self._closed_until.get(host, 0.0), time.monotonic() + pause)
        reason = "rate limit" if response.status_code == 429 else f"HTTP {response.status_code}"
        raise TryAgain(reason, error, None if pause is None else 0.0)

    def _wait_for_turn(self, url: str) -> None:
        """Wait as long as the host asked to be left alone, whichever stream it said it to, and for our share."""
        if origin_of(url) == origin_of(self._hub.endpoint):
            self._ended.wait(self._hub.turn_seconds())
        while not self._ended.is_set():
            with self._lock:
                wait = self._closed_until.get(urlsplit(url).netloc, 0.0) - time.monotonic()
            if wait <= 0:
                return
            self._ended.wait(wait)

    def _expect(self, response: httpx2.Response, identity: FileIdentity, cursor: Cursor) -> int:
        """Check that the body is the bytes that were asked for; the offset behind its last one."""
        if response.status_code == 200:
            whole = response.headers.get("Content-Length")
            if whole is not None and int(whole) != identity.size_bytes:
                raise self._other_size(identity, whole)
            if cursor.start > 0 or cursor.stop < identity.size_bytes:
                why = "it ignores Range and sends the whole file each time"
                raise TryAgain("range ignored", self._not_served(identity, why))
            # The range is the whole file: the body begins at its first byte again.
            cursor.position = 0
            return cursor.stop
        match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != cursor.position or int(match[2]) >= cursor.stop:
            why = "it answers with other bytes than those asked for"
            raise TryAgain("wrong range", self._not_served(identity, why))
        if match[3] != "*" and int(match[3]) != identity.size_bytes:
            raise self._other_size(identity, match[3])
        return int(match[2]) + 1

    def _read(
        self, response: httpx2.Response, cursor: Cursor, expected: int, write: Callable[[bytes, int], None]
    ) -> None:
        body = response.extensions["network_stream"].get_extra_info("socket")
        with self._lock:
            self._bodies.add(body)
        try:
            # Read to the body's own end: a connection that is left before is not used again.
            for block in () if self._ended.is_set() else response.iter_raw():
                if self._ended.is_set():
                    return
                wanted = block[: expected - cursor.position]
                write(wanted, cursor.position)
                cursor.position += len(wanted)
                self._on_bytes(len(wanted))
                if len(wanted) < len(block):
                    return
        finally:
            with self._lock:
                self._bodies.discard(body)
        if cursor.position < expected:
            raise httpx2.RemoteProtocolError("the body ended early")

    def _other_size(self, identity: FileIdentity, found: object) -> BadDataError:
        return BadDataError(
            "size on the hub is not the selected one", where=identity.path,
            why=f"selected {identity.size_bytes} bytes, found {found}",
            fix="The selection and its revision do not belong together: pin it anew.",
        )  # fmt: skip

    def _not_served(self, identity: FileIdentity, why: str) -> UnavailableError:
        return UnavailableError(
            "the hub's storage does not serve the file", where=identity.path, why=why,
            fix="Look for a proxy or mirror in between; a rerun continues.",
        )  # fmt: skip


def origin_of(url: str) -> tuple[str, str]:
    """Scheme and host with port: the token goes to the hub's own origin alone."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
