"""Client of rclone's remote control on a unix socket."""

from pathlib import Path
from typing import Any

import httpx2

from xperience.common.errors import UnavailableError


class RcError(Exception):
    """rclone answered with an error: its own text."""


class Rc:
    """Calls one `rclone rcd`; may be used from any thread."""

    def __init__(self, socket: Path, *, timeout_seconds: float = 3600.0) -> None:
        self.socket = socket
        self.config: dict[str, Any] = {}  # rclone's options for every call, where the call says none of its own
        # The answer to a hash or a small copy comes when it is done; a dead rclone closes the connection at once.
        self._client = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(socket), limits=httpx2.Limits(max_connections=64)),
            timeout=httpx2.Timeout(timeout_seconds, connect=10.0),
        )

    def call(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """One call; RcError with rclone's text, UnavailableError where rclone does not answer."""
        if self.config:
            parameters["_config"] = self.config | parameters.get("_config", {})
        try:
            answer = self._client.post(f"http://rclone/{method}", json=parameters)
            document: dict[str, Any] = answer.json()
        except (httpx2.TransportError, ValueError) as error:
            raise UnavailableError(
                "rclone does not answer", where=f"{self.socket} {method}", why=f"{type(error).__name__} {error}",
                fix="See rclone.log in the relay's folder, or the log of the rclone container.",
            ) from error  # fmt: skip
        if answer.status_code != httpx2.codes.OK:
            raise RcError(str(document.get("error", document)))
        return document

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
