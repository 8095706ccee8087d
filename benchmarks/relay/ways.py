"""The ways that are compared: ours, and the tools that people use for the same job, each as its own commands."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from xperience.standin.servers import S3Server, SshServer
from xperience.store.rclone import find_rclone

Result = dict[str, Any]
Steps = list[tuple[str, list[str]]]
HERE = Path(__file__).parent
FILE_EVENTS = ("download_started", "downloaded", "send_started", "sent", "verified")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a way runs: its folder, the prefix of a command in the relay's namespace, hub and store."""

    folder: Path
    inside: tuple[str, ...]
    endpoint: str
    repository: str
    store: SshServer | S3Server
    budget_gib: float

    @property
    def scratch(self) -> Path:
        """What counts as the relay's disk."""
        return self.folder / "scratch"

    @property
    def data(self) -> Path:
        """Where a tool that does not do so by itself puts what it downloads."""
        return self.scratch / "data"

    @property
    def selection(self) -> Path:
        """The files to move."""
        return self.folder / "selection.json"

    @property
    def environment(self) -> dict[str, str]:
        """Hub and credentials, as every one of these tools reads them."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "HF_", "XPERIENCE_", "RCLONE_"))}
        store = self.store.environment if isinstance(self.store, S3Server) else {}
        tools = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
        return kept | store | {
            "HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PATH": tools,
            "HF_HOME": str(self.folder / "hf"), "RCLONE_CONFIG": str(self.folder / "rclone.conf"),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """A way: its steps, the programs that it needs, what it proves of the bytes at the far end, its stores."""

    title: str
    steps: Callable[[Place], Steps]
    needs: tuple[str, ...]
    verified: str
    stores: tuple[str, ...] = ("ssh", "s3")
    figures: Callable[[Place], Result] | None = None

    def missing(self) -> list[str]:
        """Programs that are not here."""
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        return [program for program in self.needs if not shutil.which(program, path=path)]


def _relay(place: Place) -> Steps:
    command = [
        sys.executable, "-m", "xperience", "relay", "run", "--selection-json", str(place.selection), "--relay-root",
        str(place.scratch), "--delete-after-transfer", "--scratch-budget-gib", str(place.budget_gib),
        "--headroom-gib", "0.5",
    ]  # fmt: skip
    if isinstance(place.store, SshServer):
        command += [
            "--transfer-host", place.store.host, "--transfer-root", str(place.store.root), "--ssh-key",
            str(place.store.key), "--known-hosts", str(place.store.known_hosts),
        ]  # fmt: skip
    else:
        command += [
            "--store", f"s3://{place.store.bucket}/d", "--s3-endpoint", place.store.endpoint, "--s3-provider",
            "SeaweedFS",
        ]  # fmt: skip
    return [("relay run", command + shlex.split(os.environ.get("RELAY_FLAGS", "")))]


def _relay_figures(place: Place) -> Result:
    """The transfer leg: from the first file that could be sent to the end of the last send."""
    events = [json.loads(line) for line in (place.scratch / "relay_events.jsonl").read_text().splitlines()]

    def times(name: str) -> list[float]:
        return [datetime.fromisoformat(event["time"]).timestamp() for event in events if event["event"] == name]

    summary = json.loads((place.scratch / "relay_summary.json").read_text())
    return {
        "leg_seconds": round(max(times("sent")) - min(times("downloaded")), 2),
        "first_send_seconds": round(min(times("send_started")) - min(times("run_started")), 2),
        "last_verify_seconds": round(max(times("verified")) - max(times("sent")), 2),
        "retries": summary["transfer"]["retries"], "budget_bytes": summary["scratch_budget_bytes"],
        "sends": [
            [round(event_time - min(times("run_started")), 2), event["event"], event["path"][-24:],
             event.get("streams")]
            for event in events if event["event"] in FILE_EVENTS
            for event_time in [datetime.fromisoformat(event["time"]).timestamp()]
        ][:200],
    }  # fmt: skip


def _shell(name: str, text: str) -> tuple[str, list[str]]:
    return name, ["bash", "-euo", "pipefail", "-c", text]


def _ssh(store: SshServer) -> str:
    options = f"-i {store.key} -o UserKnownHostsFile={store.known_hosts} -o BatchMode=yes -o IdentitiesOnly=yes"
    return f"{options} -F /dev/null"


def _remote(place: Place) -> str:
    """rclone's name of the store, its configuration written as the manual says."""
    configuration = place.folder / "rclone.conf"
    if isinstance(place.store, SshServer):
        configuration.write_text(
            f"[store]\ntype = sftp\nhost = {place.store.address}\nport = {place.store.port}\n"
            f"user = {place.store.user}\n"
            f"key_file = {place.store.key}\nknown_hosts_file = {place.store.known_hosts}\n"
        )
        return f"store:{place.store.root}"
    configuration.write_text(
        "[store]\ntype = s3\nprovider = SeaweedFS\nenv_auth = true\nregion = us-east-1\n"
        f"endpoint = {place.store.endpoint}\n"
    )
    return f"store:{place.store.bucket}/d"


def _download(place: Place) -> tuple[str, list[str]]:
    return _shell(
        "hf download", f"hf download {place.repository} --repo-type dataset --local-dir {place.data}"
        f" --max-workers 8 && rm -rf {place.data}/.cache",
    )  # fmt: skip


def _clean(place: Place) -> tuple[str, list[str]]:
    return _shell("delete", f"rm -rf {place.data}")


def _rclone(flags: str) -> Callable[[Place], Steps]:
    return lambda place: [
        _download(place), _shell("rclone copy", f"{find_rclone(None)} copy {place.data} {_remote(place)} {flags}"),
        _clean(place),
    ]  # fmt: skip


def _rsync(place: Place) -> Steps:
    assert isinstance(place.store, SshServer)
    shell = f"ssh -p {place.store.port} {_ssh(place.store)}"
    target = f"{place.store.user}@{place.store.address}:{place.store.root}/"
    return [
        _download(place), _shell("rsync", f"rsync -a -e {shlex.quote(shell)} {place.data}/ {target}"), _clean(place)
    ]  # fmt: skip


def _scp(place: Place) -> Steps:
    assert isinstance(place.store, SshServer)
    target = f"{place.store.user}@{place.store.address}:{place.store.root}/"
    text = f"scp -q -r -P {place.store.port} {_ssh(place.store)} {place.data}/* {target}"
    return [_download(place), _shell("scp", text), _clean(place)]


def _plan(place: Place) -> Steps:
    assert isinstance(place.store, SshServer)
    return [
        _download(place),
        ("chunked scp", [
            sys.executable, str(HERE / "chunked_scp.py"), str(place.data), str(place.store.root), place.store.address,
            str(place.store.port), place.store.user, _ssh(place.store),
        ]),
        _clean(place),
    ]  # fmt: skip


def _aria2c(place: Place) -> Steps:
    listing = place.folder / "aria2.txt"
    files = [file["path"] for file in json.loads(place.selection.read_text())["files"]]
    address = f"{place.endpoint}/datasets/{place.repository}/resolve/main"
    listing.write_text("".join(f"{address}/{path}\n  out={path}\n" for path in files))
    return [
        _shell("aria2c", f"aria2c -q -i {listing} -d {place.data} -j 4 -x 4 -s 4 --file-allocation=none"),
        _shell("rclone copy", f"{find_rclone(None)} copy {place.data} {_remote(place)} --transfers 8"), _clean(place),
    ]  # fmt: skip


def _boto3(place: Place) -> Steps:
    assert isinstance(place.store, S3Server)
    command = [sys.executable, str(HERE / "boto3_upload.py"), str(place.data), place.store.bucket, place.store.endpoint]
    return [_download(place), ("boto3 upload_file", command), _clean(place)]


def _s5cmd(place: Place) -> Steps:
    assert isinstance(place.store, S3Server)
    program = shutil.which("s5cmd", path=tool_path())
    text = f"{program} --endpoint-url {place.store.endpoint} cp '{place.data}/*' s3://{place.store.bucket}/d/"
    return [_download(place), _shell("s5cmd", text), _clean(place)]


def tool_path() -> str:
    """PATH, and where `make bench-tools` puts s5cmd."""
    return os.pathsep.join((os.environ.get("PATH", ""), str(Path("~/.cache/xperience/bin").expanduser())))


WAYS = {
    "relay": Way("xperience relay run", _relay, (), "yes: the store's own hash", figures=_relay_figures),
    "rsync": Way("hf download, rsync", _rsync, ("hf", "rsync"), "in transit", ("ssh",)),
    "scp": Way("hf download, scp", _scp, ("hf", "scp"), "no", ("ssh",)),
    "rclone": Way("hf download, rclone copy", _rclone(""), ("hf",), "yes: rclone's hash"),
    "rclone8": Way("hf download, rclone copy --transfers 8", _rclone("--transfers 8"), ("hf",), "yes: rclone's hash"),
    "plan": Way("the plan's settings: 8 MiB chunks, 8 scp", _plan, ("hf", "scp"), "no: sizes", ("ssh",)),
    "aria2c": Way("aria2c, rclone copy --transfers 8", _aria2c, ("aria2c",), "yes: rclone's hash"),
    "boto3": Way("hf download, boto3 upload_file", _boto3, ("hf",), "in transit", ("s3",)),
    "s5cmd": Way("hf download, s5cmd cp", _s5cmd, ("hf", "s5cmd"), "in transit", ("s3",)),
}
