"""Whole relays between a stand-in hub, a real sshd and a real S3 server, in processes of their own."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from long_way import long_way

from xperience.common.identity import FileIdentity
from xperience.common.transfer import MANIFEST_NAME
from xperience.selection.pin import select_repository
from xperience.standin.hub import StandinHub
from xperience.standin.servers import S3Server, SshServer

KILL_AT = Path(__file__).parent / "kill_at.py"
TOKEN = "hf_standin_secret_0123456789"
LONGEST = ("test_soak.py", "test_prepare_walk.py", "test_relay_faults.py", "test_prepare_chain.py")


def pytest_collection_modifyitems(items) -> None:
    """The longest files first: begun last, one alone would keep the others waiting."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory) -> Iterator[SshServer]:
    if not (shutil.which("sshd") or Path("/usr/sbin/sshd").exists()):
        pytest.skip("sshd is missing: install openssh-server")
    with SshServer(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@dataclass
class Destination:
    """A data root of its own on one of the servers."""

    kind: str
    flags: list[str]
    environment: dict[str, str]
    root: Path | None = None
    server: S3Server | None = None
    prefix: str = ""

    def content(self) -> dict[str, str]:
        """Path to sha256 of everything at the store, by its own means; the manifest left out."""
        found = self.all_content()
        found.pop(MANIFEST_NAME, None)
        return found

    def all_content(self) -> dict[str, str]:
        if self.root is not None:
            found = {}
            for path in self.root.rglob("*") if self.root.exists() else ():
                try:
                    found[str(path.relative_to(self.root))] = sha256(path.read_bytes())
                except (IsADirectoryError, FileNotFoundError):
                    continue  # the rclone of a killed relay takes a temporary file away before it ends
            return found
        client = self.server.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.server.bucket, Prefix=f"{self.prefix}/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {
            key.removeprefix(f"{self.prefix}/"): sha256(
                client.get_object(Bucket=self.server.bucket, Key=key)["Body"].read()
            )
            for key in keys
        }

    def put(self, path: str, content: bytes) -> None:
        """Put a file there behind the relay's back."""
        if self.root is not None:
            place = self.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        else:
            self.server.client().put_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{path}", Body=content)

    def unfinished_uploads(self) -> list[str]:
        if self.root is not None:
            return []
        found = self.server.client().list_multipart_uploads(Bucket=self.server.bucket, Prefix=f"{self.prefix}/")
        return [upload["Key"] for upload in found.get("Uploads", [])]


def ssh_destination(server: SshServer, name: str, *, port: int | None = None) -> Destination:
    root = server.root / name
    if port is not None:
        known = server.known_hosts.read_text()
        server.known_hosts.write_text(known + known.splitlines()[0].replace(f":{server.port} ", f":{port} ") + "\n")
    flags = [
        "--transfer-host", server.host.replace(f":{server.port}", f":{port or server.port}"),
        "--transfer-root", str(root), "--ssh-key", str(server.key),
        "--known-hosts", str(server.known_hosts),
    ]  # fmt: skip
    return Destination("ssh", flags, {}, root=root)


def s3_destination(server: S3Server, name: str) -> Destination:
    flags = [
        "--store", f"s3://{server.bucket}/{name}", "--s3-endpoint", server.endpoint, "--s3-provider", "SeaweedFS",
    ]  # fmt: skip
    return Destination("s3", flags, server.environment, server=server, prefix=name)


@pytest.fixture
def destination(request, tmp_path) -> Iterator[Destination]:
    """Parametrise with ssh, s3 or distant ssh, where a round trip takes 200 ms."""
    name = f"{tmp_path.parent.name}-{tmp_path.name}"
    kind = getattr(request, "param", "ssh")
    if kind == "ssh":
        yield ssh_destination(request.getfixturevalue("sshd"), name)
    elif kind == "s3":
        yield s3_destination(request.getfixturevalue("s3"), name)
    else:
        sshd = request.getfixturevalue("sshd")
        with long_way(sshd.port, 0.1) as port:
            yield ssh_destination(sshd, name, port=port)


BOTH_STORES = pytest.mark.parametrize("destination", ["ssh", "s3"], indirect=True)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def summary_of(root: Path, leg: str = "") -> dict:
    return json.loads((root / (f"relay_summary_{leg}.json" if leg else "relay_summary.json")).read_text())


@dataclass
class Job:
    """A repository on a stand-in hub, a scratch, a destination; runs the command line on them."""

    folder: Path
    hub: StandinHub
    destination: Destination
    flags: list[str] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def selection(self) -> Path:
        return self.folder / "selection.json"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XPERIENCE_", "AWS_", "HF_"))}
        return kept | self.destination.environment | {"HF_ENDPOINT": self.hub.endpoint, "HF_TOKEN": TOKEN}

    def select(self, include: tuple[str, ...] = ()) -> None:
        """Write the selection of the whole repository."""
        listing = []
        for path in self.hub.contents.paths():
            entry = self.hub.entry(path, self.hub.contents.find(path))
            lfs = entry.get("lfs")
            listing.append(
                FileIdentity(path, entry["size"], lfs["oid"] if lfs else None, None if lfs else entry["oid"])
            )
        found = select_repository(
            listing,
            repo_id=self.hub.repo_id,
            repo_type="dataset",
            revision=self.hub.commit,
            include=include,
            exclude=[],
        )
        found.write(self.selection)

    def command(
        self, *arguments: str, at: str = "", script: Path | None = None, verb: tuple[str, ...] = ("relay", "run")
    ) -> list[str]:
        start = [sys.executable, str(KILL_AT), *at.split()] if at else [sys.executable, "-m", "xperience"]
        if script is not None:
            start = [sys.executable, str(script)]
        return [
            *start, *verb, "--selection-json", str(self.selection), "--relay-root", str(self.scratch),
            "--delete-after-transfer", "--headroom-gib", "0.001", "--scratch-budget-gib", "0.05",
            "--lock-wait-seconds", "5", *self.destination.flags, *self.flags, *arguments,
        ]  # fmt: skip

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            self.command(*arguments, **options), env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, expect: int | None = 0, **options) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.command(*arguments, **options), env=self.environment, text=True, capture_output=True, timeout=240,
            check=False,
        )  # fmt: skip
        assert expect is None or done.returncode == expect, f"{done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
        return done

    def source(self) -> dict[str, str]:
        return {
            path: self.hub.contents.hashes(self.hub.contents.find(path)).sha256 for path in self.hub.contents.paths()
        }

    def left_on_scratch(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.scratch))
            for folder in ("data", "outbox")
            for path in (self.scratch / folder).rglob("*")
            if path.is_file()
        )

    def check_whole(self) -> None:
        """The store is byte-identical to the source, scratch is empty, nothing is left over."""
        assert self.destination.content() == self.source()
        assert self.left_on_scratch() == []
        assert self.destination.unfinished_uploads() == []
        assert MANIFEST_NAME in self.destination.all_content()


def write_files(root: Path, sizes: dict[str, int]) -> None:
    for path, size in sizes.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(random.Random(path).randbytes(size))


EPISODES = {
    f"session-{number}/ep1/{name}": size
    for number in range(4)
    for name, size in (("annotation.hdf5", 6_000_000 + number), ("fisheye_cam0.mp4", 300_000), ("notes.txt", 100))
}


@pytest.fixture
def job(tmp_path, destination) -> Iterator[Job]:
    """Four episodes of three files, one of them without LFS entry."""
    write_files(tmp_path / "repository", EPISODES)
    with StandinHub(tmp_path / "repository", "org/data", token=TOKEN) as hub:
        made = Job(tmp_path, hub, destination, ["--chunk-size-mib", "1", "--chunk-threshold-mib", "2"])
        made.select()
        yield made
