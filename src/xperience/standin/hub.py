"""A stand-in hub that speaks the hub's protocol to the unmodified huggingface_hub, with faults on demand."""

import argparse
import hashlib
import hmac
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

from xperience.standin.hub_bodies import CdnHandler
from xperience.standin.hub_contents import Contents, DiskFile, VirtualFile
from xperience.standin.hub_faults import Faults, Log, Rate
from xperience.standin.hub_routes import HubHandler

Gate = Literal["open", "token", "not_approved"]
LFS_SUFFIXES = (".hdf5", ".mp4")


class StandinHub:
    """One repository at one commit, on two ports: the hub and its CDN; they listen on `host` and are called `name`.

    `gate`: open (a token is optional), token (a valid one is needed), not_approved (a valid one is refused with 403).
    `latency_seconds` passes at each connection and at each request, as on a long way.
    `gate`, `token` (None: revoked), `rate` and `faults` may be changed while it serves.
    """

    def __init__(  # noqa: PLR0913  keywords, each of them optional
        self,
        root: Path,
        repo_id: str,
        *,
        repo_type: str = "dataset",
        revision: str | None = None,
        virtual: Mapping[str, VirtualFile] | None = None,
        token: str | None = "hf_standin",  # noqa: S107  a stand-in's
        user: str = "standin",
        gate: Gate = "token",
        lfs_threshold_bytes: int = 1024,
        address_seconds: float = 3600.0,
        page_size: int = 1000,
        rate_bytes_per_second: float = 0.0,
        latency_seconds: float = 0.0,
        host: str = "127.0.0.1",
        name: str = "127.0.0.1",
        port: int = 0,
        cdn_port: int = 0,
    ) -> None:
        self.contents = Contents(root, dict(virtual or {}))
        self.repo_id, self.repo_type, self.token, self.user = repo_id, repo_type, token, user
        self.gate: Gate = gate
        self.lfs_threshold_bytes, self.address_seconds, self.page_size = lfs_threshold_bytes, address_seconds, page_size
        self.rate, self.latency_seconds = Rate(rate_bytes_per_second), latency_seconds
        self.faults = Faults()
        self.log = Log()
        self.name = name
        self._revision = revision
        self._signing_key = secrets.token_bytes(32)
        self._hub_server = _Server((host, port), HubHandler, self)
        self._cdn_server = _Server((host, cdn_port), CdnHandler, self)

    @property
    def endpoint(self) -> str:
        """Address for HF_ENDPOINT."""
        return f"http://{self.name}:{self._hub_server.server_port}"

    @property
    def commit(self) -> str:
        """The one commit: the given revision, else a hash of all paths and sizes."""
        if self._revision:
            return self._revision
        digest = hashlib.sha1(usedforsecurity=False)
        for path in self.contents.paths():
            file = self.contents.find(path)
            digest.update(f"{path}\0{file.size_bytes if file else 0}\n".encode())
        return digest.hexdigest()

    def is_lfs(self, path: str, size_bytes: int) -> bool:
        """Whether a file is served through the CDN."""
        return size_bytes >= self.lfs_threshold_bytes or path.endswith(LFS_SUFFIXES)

    def entry(self, path: str, file: DiskFile | VirtualFile) -> dict[str, object]:
        """The tree entry of a file, as the hub writes it."""
        hashes = self.contents.hashes(file)
        entry: dict[str, object] = {
            "type": "file", "oid": hashes.git_sha1, "size": file.size_bytes, "path": path,
        }  # fmt: skip
        if self.is_lfs(path, file.size_bytes):
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashes.sha256}\nsize {file.size_bytes}\n"
            )
            blob = f"blob {len(pointer)}\0{pointer}".encode()
            entry["oid"] = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
            entry["lfs"] = {"oid": hashes.sha256, "size": file.size_bytes, "pointerSize": len(pointer)}
        return entry

    def signed_address(self, path: str) -> str:
        """An address on the CDN that is good for `address_seconds`."""
        expires = f"{time.monotonic() + self.address_seconds:.3f}"
        address = f"http://{self.name}:{self._cdn_server.server_port}/{quote(path)}"
        return f"{address}?expires={expires}&signature={self._signature(path, expires)}"

    def address_is_good(self, path: str, query: str) -> bool:
        """Whether the query of a CDN request is signed and not expired."""
        fields = {name: values[0] for name, values in parse_qs(query).items()}
        expires, signature = fields.get("expires", ""), fields.get("signature", "")
        if not hmac.compare_digest(signature, self._signature(path, expires)):
            return False
        return float(expires) > time.monotonic()

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._signing_key, f"{path}\0{expires}".encode(), "sha256").hexdigest()

    def start(self) -> Self:
        """Serve in two daemon threads."""
        for server in (self._hub_server, self._cdn_server):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        for server in (self._hub_server, self._cdn_server):
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], hub: StandinHub) -> None:
        self.hub = hub
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error; everything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve until SIGTERM; the first line on stdout is JSON with endpoint, port, pid and commit."""
    parser = argparse.ArgumentParser(prog="python -m xperience.standin.hub", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that is the repository")
    parser.add_argument("--repo-id", required=True)
    parser.add_argument("--repo-type", default="dataset")
    parser.add_argument("--revision", help="commit to answer for (default: a hash of the listing)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--name", default="127.0.0.1", help="name by which clients reach it")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cdn-port", type=int, default=0)
    parser.add_argument("--gate", choices=("open", "token", "not_approved"), default="token")
    parser.add_argument("--token-path", type=Path, help="file that holds the one valid token")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes per second of all connections together")
    parser.add_argument("--address-seconds", type=float, default=3600.0, help="life of a signed address")
    parser.add_argument("--virtual", action="append", default=[], metavar="PATH=SIZE:SEED", help="a file without disk")
    arguments = parser.parse_args()
    virtual = {}
    for item in arguments.virtual:
        path, _, rest = item.rpartition("=")
        size, _, seed = rest.partition(":")
        virtual[path] = VirtualFile(int(size), int(seed or 0))
    token = arguments.token_path.read_text().strip() if arguments.token_path else "hf_standin"
    hub = StandinHub(
        arguments.root, arguments.repo_id, repo_type=arguments.repo_type, revision=arguments.revision, virtual=virtual,
        token=token, gate=arguments.gate, address_seconds=arguments.address_seconds,
        rate_bytes_per_second=arguments.rate, host=arguments.host, name=arguments.name, port=arguments.port,
        cdn_port=arguments.cdn_port,
    )  # fmt: skip
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with hub:
        port = urlsplit(hub.endpoint).port
        print(
            json.dumps({"endpoint": hub.endpoint, "port": port, "pid": os.getpid(), "commit": hub.commit}), flush=True
        )
        ended.wait()


if __name__ == "__main__":
    main()
