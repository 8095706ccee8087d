"""The demo: the whole relay on this machine, between a stand-in hub, a real sshd and a real S3 server on loopback."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from xperience.common.errors import BadDataError
from xperience.common.files import sha256_of_file
from xperience.common.sizes import human_bytes
from xperience.standin.episodes import write_repository
from xperience.standin.hub import StandinHub
from xperience.standin.servers import S3Server, SshServer

REPOSITORY = "demo/synthetic-episodes"
TOKEN = "hf_demo_token"  # noqa: S105  of a stand-in
EPISODES = 16
FRAMES = 60
HUB_BYTES_PER_SECOND = 40e6


@dataclass(frozen=True)
class Demo:
    """A folder with everything that the demo makes, and the environment of its commands."""

    folder: Path
    environment: dict[str, str]

    def call(self, *arguments: str, expect: int = 0) -> None:
        """One command of the user, shown as one would type it."""
        print(f"\n$ xperience {' '.join(arguments)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "xperience", *arguments], env=self.environment, cwd=self.folder, check=False
        )
        if done.returncode != expect:
            raise BadDataError(
                "a command of the demo ended otherwise than it should", where=" ".join(arguments[:2]),
                why=f"exit code {done.returncode}, expected {expect}",
            )  # fmt: skip

    def export(self, **settings: str) -> None:
        """Set `XPERIENCE_…` variables for the commands that follow, shown as one would type them."""
        named = {f"XPERIENCE_{name}": value for name, value in settings.items()}
        print(f"\n$ export {' '.join(f'{name}={value}' for name, value in named.items())}", flush=True)
        self.environment.update(named)

    def call_and_kill(self, data: Path, *arguments: str) -> None:
        """Start a command, and kill it with -9 as soon as the run is under way."""
        print(f"\n$ xperience {' '.join(arguments)}   # and kill -9 on the way", flush=True)
        running = subprocess.Popen(
            [sys.executable, "-m", "xperience", *arguments], env=self.environment, cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while running.poll() is None and not any(data.rglob("*.hdf5")):
            time.sleep(0.02)
        time.sleep(0.3)
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        running.wait()
        print(f"killed: exit status {running.returncode}", flush=True)


def run_demo(keep: Path | None) -> None:
    """Walk a newcomer through selection, preflight, dry run, both stores, a kill -9 and verification."""
    started = time.monotonic()
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xperience-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        print(f"making {EPISODES} synthetic episodes (65-data-set HDF5, six H.264 + AAC videos each)", flush=True)
        write_repository(folder / "hub", episodes=EPISODES, frames=FRAMES, depth_pixels=64)
        hub = stack.enter_context(
            StandinHub(folder / "hub", REPOSITORY, token=TOKEN, rate_bytes_per_second=HUB_BYTES_PER_SECOND)
        )
        ssh = stack.enter_context(SshServer(folder / "sshd"))
        s3 = stack.enter_context(S3Server(folder / "s3"))
        print(f"stand-in hub at {hub.endpoint}, sshd at {ssh.host}, S3 at {s3.endpoint}", flush=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XPERIENCE_", "AWS_", "HF_"))}
        environment = kept | s3.environment | {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
        demo = Demo(folder, environment)
        _walk(demo, ssh, s3)
        _compare(folder / "hub", ssh.root / "xperience")
        _close(folder, keep, time.monotonic() - started)


def _walk(demo: Demo, ssh: SshServer, s3: S3Server) -> None:
    selection = f"selection/xperience10m_{EPISODES}_episode_selection.json"
    demo.call(
        "select", "from-hub", "--repo-id", REPOSITORY, "--target-episodes", str(EPISODES), "--least-annotation-mib",
        "0", "--drop-percentile", "0", "--output", "selection",
    )  # fmt: skip
    demo.export(
        SELECTION_JSON=selection, BATCH_MAX_EPISODES="4", SCRATCH_BUDGET_GIB="0.02", HEADROOM_GIB="0.01",
        CHUNK_SIZE_MIB="1", CHUNK_THRESHOLD_MIB="1", DELETE_AFTER_TRANSFER="1", LOG_LEVEL="warning",
    )  # fmt: skip
    demo.call("select", "verify")
    demo.export(
        RELAY_ROOT="relay-ssh", TRANSFER_HOST=ssh.host, TRANSFER_ROOT=str(ssh.root / "xperience"), SSH_KEY=str(ssh.key),
        KNOWN_HOSTS=str(ssh.known_hosts),
    )  # fmt: skip
    demo.call("preflight")
    demo.call("relay", "run", "--dry-run")
    demo.call_and_kill(demo.folder / "relay-ssh" / "data", "relay", "run")
    demo.call("relay", "status")
    demo.call("relay", "resume")
    demo.call("relay", "verify")
    demo.export(
        RELAY_ROOT="relay-s3", TRANSFER_HOST="", TRANSFER_ROOT="", STORE=f"s3://{s3.bucket}/xperience",
        S3_ENDPOINT=s3.endpoint, S3_PROVIDER="SeaweedFS",
    )  # fmt: skip
    demo.call("relay", "run")
    demo.call("relay", "verify")


def _compare(source: Path, store: Path) -> None:
    """Look at the SSH store with nothing of the relay: every selected file is there, byte for byte."""
    wrong, total, size_bytes = [], 0, 0
    for path in sorted(source.rglob("*/ep*/*")):
        total += 1
        size_bytes += path.stat().st_size
        arrived = store / path.relative_to(source)
        if not arrived.is_file() or sha256_of_file(arrived) != sha256_of_file(path):
            wrong.append(str(arrived))
    if wrong:
        raise BadDataError("the store differs from the source", where=wrong[0], why=f"{len(wrong)} of {total} files")
    print(f"\nindependent look at the SSH store: {total} files, {human_bytes(size_bytes)}, byte for byte the source's")


def _close(folder: Path, keep: Path | None, seconds: float) -> None:
    left = sum(path.is_file() for relay in ("relay-ssh", "relay-s3") for path in (folder / relay / "data").rglob("*"))
    print(
        f"\nWhat happened: {EPISODES} episodes went from the hub's stand-in through a scratch of 20 MiB to an SSH store"
        "\nand to an S3 store, in 4 batches each; the SSH run was killed with -9 and went on from its ledger; each file"
        f"\nwas verified by the store's own hash before its scratch copy went ({left} files are left on scratch)."
        f"\nIt took {seconds:.0f} s after installation."
    )
    if keep:
        print(f"Where to look: {folder}/relay-ssh/ (relay_summary.json, relay_events.jsonl, relay_ledger.sqlite)")
    else:
        print(
            "Where to look: run `xperience demo --keep demo` and see demo/relay-ssh/, or docs/relay.md for real runs."
        )
