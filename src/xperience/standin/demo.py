"""The demo: select, probe, relay, prepare, replace and report on this machine, between stand-ins on loopback."""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from xperience.common.errors import BadDataError, ExitCode
from xperience.common.files import sha256_of_file
from xperience.common.identity import FileIdentity
from xperience.common.layout import ANNOTATION
from xperience.common.sizes import human_bytes
from xperience.prepare.replace import ReplacementPlan
from xperience.selection.algorithm import Parameters, select
from xperience.selection.document import PinnedSelection
from xperience.standin.demo_commands import EVIDENCE, Demo
from xperience.standin.demo_training import COSMOS_EVALUATION, cosmos, train_and_evaluate
from xperience.standin.episodes import write_repository
from xperience.standin.genuine import damage_in_place
from xperience.standin.hub import StandinHub
from xperience.standin.servers import S3Server, SshServer

REPOSITORY = "demo/synthetic-episodes"
TOKEN = "hf_demo_token"  # noqa: S105  of a stand-in
EPISODES, SELECTED, FRAMES = 24, 16, 120
SPLIT = {"train": 0.5, "val": 0.25, "test": 0.25}  # the plan's 75/12.5/12.5 gives 16 episodes no test session
HUB_BYTES_PER_SECOND = 40e6


def run_demo(keep: Path | None, *, with_training: bool) -> None:
    """Walk a newcomer from the selection to passed gates, over a kill -9 and a defect that staging does not show."""
    started = time.monotonic()
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xperience-demo-")))
        folder = folder.absolute()  # its commands run in it
        folder.mkdir(parents=True, exist_ok=True)
        print(f"making {EPISODES} synthetic episodes (65-data-set HDF5, six H.264 + AAC videos each)", flush=True)
        write_repository(folder / "hub", episodes=EPISODES, frames=FRAMES, depth_pixels=64)
        annotation = folder / "hub" / _first_selected(folder / "hub") / ANNOTATION
        damage_in_place(annotation, "slam", "full_body_mocap")
        hub = stack.enter_context(
            StandinHub(folder / "hub", REPOSITORY, token=TOKEN, rate_bytes_per_second=HUB_BYTES_PER_SECOND)
        )
        ssh = stack.enter_context(SshServer(folder / "sshd"))
        s3 = stack.enter_context(S3Server(folder / "s3"))
        print(f"stand-in hub at {hub.endpoint}, sshd at {ssh.host}, S3 at {s3.endpoint}", flush=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XPERIENCE_", "AWS_", "HF_"))}
        environment = kept | s3.environment | {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
        demo = Demo(folder, environment)
        _select(demo)
        _relay_to_ssh(demo, ssh)
        second = _mend(demo, ssh.root / "xperience")
        _review(demo, ssh.root / "xperience")
        if with_training:
            train_and_evaluate(demo, ssh.root / "xperience")
            cosmos(demo, ssh.root / "xperience")
        _report(demo, with_training=with_training)
        _relay_to_s3(demo, s3)
        _compare(folder / "hub", ssh.root / "xperience", folder / second)
        _close(folder, keep, time.monotonic() - started, with_training=with_training)


def _first_selected(hub: Path) -> str:
    """The train episode that the selection will rank first."""
    parameters = Parameters(
        target_episodes=SELECTED, least_annotation_bytes=0, drop_percentile=0, train_fraction=SPLIT["train"],
        val_fraction=SPLIT["val"], test_fraction=SPLIT["test"],
    )  # fmt: skip
    listing = [
        FileIdentity(str(path.relative_to(hub)), path.stat().st_size, sha256="") for path in hub.rglob("*/ep*/*")
    ]
    chosen = select(listing, parameters).chosen
    return next(one.candidate.path for one in chosen if one.split == "train")


def _select(demo: Demo) -> None:
    demo.say(f"Which {SELECTED} of {EPISODES} episodes, in which split, with the hash of every file at one commit.")
    shares = [part for split, share in SPLIT.items() for part in (f"--{split}-fraction", str(share))]
    demo.call(
        "select", "from-hub", "--repo-id", REPOSITORY, "--target-episodes", str(SELECTED), "--least-annotation-mib",
        "0", "--drop-percentile", "0", *shares, "--output", "selection",
    )  # fmt: skip
    selection = f"selection/xperience10m_{SELECTED}_episode_selection_pinned.json"
    demo.export(
        SELECTION_JSON=selection, BATCH_MAX_EPISODES="4", SCRATCH_BUDGET_GIB="0.02", HEADROOM_GIB="0.01",
        CHUNK_SIZE_MIB="1", CHUNK_THRESHOLD_MIB="1", DELETE_AFTER_TRANSFER="1", LOG_LEVEL="warning",
    )  # fmt: skip
    demo.call("select", "verify")
    demo.say("Is every episode usable? A look by range requests, before anything is moved, finds the one that is not.")
    demo.call("prepare", "probe", "--output", f"{EVIDENCE}/probe.json", expect=ExitCode.BAD_DATA)


def _relay_to_ssh(demo: Demo, ssh: SshServer) -> None:
    demo.say("Moved all the same, to see what the gates say of it: with a kill -9 on the way.")
    root = ssh.root / "xperience"
    demo.export(
        RELAY_ROOT="relay-ssh", TRANSFER_HOST=ssh.host, TRANSFER_ROOT=str(root), SSH_KEY=str(ssh.key),
        KNOWN_HOSTS=str(ssh.known_hosts),
    )  # fmt: skip
    demo.call("preflight")
    demo.call("relay", "run", "--dry-run")
    demo.call_and_kill(demo.folder / "relay-ssh" / "data", "relay", "run")
    demo.call("relay", "status")
    demo.call("relay", "resume")
    demo.call("relay", "verify")
    demo.say("On the training side: all staged is not all usable, and the gates say so.")
    _prepare(demo, root, expect=ExitCode.REFUSED)


def _prepare(demo: Demo, root: Path, *, expect: ExitCode = ExitCode.DONE) -> None:
    demo.call(
        "prepare", "run", "--data-root", str(root), "--evidence", EVIDENCE, "--target-episodes", str(SELECTED),
        expect=expect,
    )  # fmt: skip


def _mend(demo: Demo, root: Path) -> str:
    """Swap the unusable episode; returns the new selection."""
    demo.say("A probed episode of the same split and size band takes its place; the relay moves this one alone.")
    second = "selection/second.json"
    demo.call(
        "prepare", "replace", "--probe-json", f"{EVIDENCE}/probe.json", "--output", f"{EVIDENCE}/replacement.json",
        "--selection-output", second,
    )  # fmt: skip
    demo.export(SELECTION_JSON=second)
    demo.call("prepare", "probe", "--output", f"{EVIDENCE}/probe.json")
    demo.call("relay", "run", "--require-probe", f"{EVIDENCE}/probe.json")
    for swap in ReplacementPlan.read(demo.folder / EVIDENCE / "replacement.json").swaps:
        print(f"\n$ rm -r {root / swap.removed}", flush=True)
        shutil.rmtree(root / swap.removed)
    _prepare(demo, root)
    return second


def _review(demo: Demo, root: Path) -> None:
    """Somebody accepts the audit, and the gates before training pass."""
    audit = f"{EVIDENCE}/staged_content_audit_128.json"
    demo.call(
        "prepare", "review", "--audit-json", audit, "--decision", "accept-with-exception", "--reviewer", "demo",
        "--reason", "16 invented episodes are in no balance",
    )  # fmt: skip
    demo.call("gates", "--for", "train", "--evidence", EVIDENCE, "--data-root", str(root))


def _report(demo: Demo, *, with_training: bool) -> None:
    evaluation = ("--run", "qwen3-omni", "--cosmos", COSMOS_EVALUATION) if with_training else ()
    demo.call(
        "report", "--evidence", EVIDENCE, "--for", "release" if with_training else "train", "--relay-json",
        "relay-ssh/relay_summary.json", *evaluation, "--output", f"{EVIDENCE}/report.html",
    )  # fmt: skip


def _relay_to_s3(demo: Demo, s3: S3Server) -> None:
    demo.say("The same to S3, with another scratch.")
    demo.export(
        RELAY_ROOT="relay-s3", TRANSFER_HOST="", TRANSFER_ROOT="", STORE=f"s3://{s3.bucket}/xperience",
        S3_ENDPOINT=s3.endpoint, S3_PROVIDER="SeaweedFS",
    )  # fmt: skip
    demo.call("relay", "run")
    demo.call("relay", "verify")


def _compare(source: Path, store: Path, selection: Path) -> None:
    """Look at the SSH store with nothing of the relay: every selected file is there, byte for byte."""
    wrong, size_bytes = [], 0
    paths = [path for episode in PinnedSelection.read(selection).selected_episodes for path in episode.download_files]
    for path in paths:
        size_bytes += (source / path).stat().st_size
        arrived = store / path
        if not arrived.is_file() or sha256_of_file(arrived) != sha256_of_file(source / path):
            wrong.append(str(arrived))
    if wrong:
        raise BadDataError("the store differs from the source", where=wrong[0], why=f"{len(wrong)} of {len(paths)}")
    print(f"\nindependent look at the SSH store: {len(paths)} files, {human_bytes(size_bytes)}, byte for byte right")


def _close(folder: Path, keep: Path | None, seconds: float, *, with_training: bool) -> None:
    left = sum(path.is_file() for relay in ("relay-ssh", "relay-s3") for path in (folder / relay / "data").rglob("*"))
    print(
        f"\nWhat happened: one of {SELECTED} episodes looked whole and was not; the probe named it before a byte of it"
        "\nwas moved, the gates refused the data with it, a swap mended that and the relay moved the swapped one alone."
        f"\nEverything went through a scratch of 20 MiB to an SSH store and to an S3 store; the SSH run was killed with"
        "\n-9 and went on from its ledger; each file was verified by the store's own hash before its scratch copy went"
        f"\n({left} files are left on scratch). It took {seconds:.0f} s after installation."
    )
    if not with_training:
        print("Left out: windows, training and evaluation of a tiny model (`make demo-train`; installs torch, 5 GB).")
    if keep:
        print(f"Where to look: {folder}/{EVIDENCE}/report.html, {folder}/relay-ssh/ (relay_summary.json, …)")
    else:
        print("Where to look: run `xperience demo --keep demo`, and open demo/results/report.html.")
