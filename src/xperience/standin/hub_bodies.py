"""What both ports of the stand-in hub share, and the CDN: answers, faults, bodies with ranges."""

import json
import re
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from xperience.standin.hub_contents import READ_BYTES, DiskFile, VirtualFile
from xperience.standin.hub_faults import Rate, Route

if TYPE_CHECKING:
    from xperience.standin.hub import StandinHub

# Small enough that a slow connection sends several blocks a second.
PACED_BYTES = 16 << 10


class Handler(BaseHTTPRequestHandler):
    """What both ports share: answers, faults, bodies with ranges."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    route: Route = "api"

    @property
    def hub(self) -> "StandinHub":
        """The hub that this request belongs to."""
        return self.server.hub  # type: ignore[attr-defined, no-any-return]

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.hub.log.count_connection()
        time.sleep(self.hub.latency_seconds)  # the handshake

    def parse_request(self) -> bool:
        """Take the time of the way for each request."""
        parsed = super().parse_request()
        time.sleep(self.hub.latency_seconds)
        return parsed

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output is its own."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """A whole answer; HEAD gets the headers alone."""
        self.send_response(status)
        sent = {"Content-Length": str(len(body)), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, document: object, headers: dict[str, str] | None = None) -> None:
        """200 with JSON."""
        self.answer(200, json.dumps(document).encode(), {"Content-Type": "application/json", **(headers or {})})

    def refuse(self, status: int, message: str, code: str = "") -> None:
        """An error as the hub writes it: message and code in headers too."""
        headers = {"Content-Type": "application/json", "X-Error-Message": message}
        if code:
            headers["X-Error-Code"] = code
        self.answer(status, json.dumps({"error": message}).encode(), headers)

    def overloaded(self, path: str) -> bool:
        """Show 429 or 503 where one is due; says whether it did."""
        if fault := self.hub.faults.take("too_many_requests", path, route=self.route):
            headers = (
                {"Retry-After": str(fault.seconds)}
                if fault.header == "Retry-After"
                else {
                    "RateLimit": f'"resolvers";r=0;t={fault.seconds}',
                    "RateLimit-Policy": '"fixed window";"resolvers";q=5000;w=300',
                }
            )
            self.answer(429, b'{"error":"Too Many Requests"}', headers)
            return True
        if self.hub.faults.take("unavailable", path, route=self.route):
            self.answer(503, b"Service Unavailable", {"Content-Type": "text/plain"})
            return True
        return False

    def send_content(self, path: str, file: DiskFile | VirtualFile, headers: dict[str, str]) -> None:
        """The body of a file, or the range of it that is asked for, with the faults that are due."""
        size, header = file.size_bytes, self.headers.get("Range", "")
        start, stop, status = 0, size, 200
        if header and not self.hub.faults.take("ignore_range", path):
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", header)
            start = int(match[1]) if match else size
            stop = min(int(match[2]) + 1, size) if match and match[2] else size
            status = 206
            if start >= stop:
                self.answer(416, headers={"Content-Range": f"bytes */{size}"})
                return
            headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        self.send_response(status)
        for name, value in {**headers, "Accept-Ranges": "bytes", "Content-Length": str(stop - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.hub.log.count_range(path, start, stop)
            self._send_body(path, file, start, stop)

    def _send_body(self, path: str, file: DiskFile | VirtualFile, start: int, stop: int) -> None:
        faults, span = self.hub.faults, (start, stop)
        dropped, flipped = faults.take("drop", path, span=span), faults.take("flip", path, span=span)
        slow = faults.take("slow", path)
        paced = slow is not None or self.hub.rate.bytes_per_second > 0
        own_rate = Rate(slow.bytes_per_second if slow else 0.0)
        position, end = start, dropped.at_byte if dropped else stop
        for block in file.read(start, end, PACED_BYTES if paced else READ_BYTES):
            if flipped and position <= flipped.at_byte < position + len(block):
                place = flipped.at_byte - position
                block = block[:place] + bytes([block[place] ^ 0xFF]) + block[place + 1 :]  # noqa: PLW2901
            self.hub.rate.take(len(block))
            own_rate.take(len(block))
            try:
                self.wfile.write(block)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
                return
            position += len(block)
            self.hub.log.count_bytes(path, len(block))
        if position < stop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


class CdnHandler(Handler):
    """The second port: signed addresses, ranges, no authorization."""

    route = "cdn"

    def do_GET(self) -> None:
        """Content at a signed address."""
        parts = urlsplit(self.path)
        path = unquote(parts.path.lstrip("/"))
        if header := self.headers.get("Authorization"):
            self.hub.log.note_authorization(header)
        if self.overloaded(path):
            return
        if not self.hub.address_is_good(path, parts.query) or self.hub.faults.take("expire", path):
            self.answer(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
            return
        file = self.hub.contents.find(path)
        if file is None:
            self.answer(404)
            return
        self.send_content(path, file, {"ETag": f'"{self.hub.contents.hashes(file).sha256}"'})

    do_HEAD = do_GET
