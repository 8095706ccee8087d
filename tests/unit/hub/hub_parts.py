"""What the tests of the hub share: a client of the stand-in, the bytes it serves, the report of a download."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from xperience.hub.client import Hub
from xperience.hub.download import Downloaded, DownloadTask
from xperience.standin.hub import StandinHub

TOKEN = "hf_secret_of_the_test"
RANGE_BYTES = 256 << 10


@dataclass
class Report:
    """What a download told."""

    done: dict[str, Downloaded] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    bytes: int = 0
    retries: list[str] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)


def hub_of(standin: StandinHub, token: str | None = TOKEN, *, timeout_seconds: float = 5.0, retries: int = 0) -> Hub:
    secret = SecretStr(token) if token else None
    return Hub(
        standin.repo_id, endpoint=standin.endpoint, token=secret, timeout_seconds=timeout_seconds, retries=retries
    )


def tasks_of(hub: Hub, paths: list[str], revision: str, folder: Path, part_bytes: int | None) -> list[DownloadTask]:
    found = hub.identities(paths, revision)
    return [DownloadTask(found[path], folder / path, part_bytes) for path in paths]


def content(standin: StandinHub, path: str) -> bytes:
    file = standin.contents.find(path)
    assert file is not None
    return b"".join(file.read(0, file.size_bytes))
