"""Check, manifest, windows: as a user types it, as an Indexed Job runs it, and with a kill on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from xperience.standin.episodes import Defect, write_repository

EPISODES, FRAMES = 6, 240
DEFECTS = {1: frozenset({Defect.NO_CAPTION}), 2: frozenset({Defect.NO_SLAM_AND_BODY}), 3: frozenset({Defect.NO_AUDIO})}


class Windows:
    """Staged episodes with a manifest, and the command on them."""

    def __init__(self, folder):
        self.folder, self.manifest = folder, folder / "manifest.json"
        self.environment = {k: v for k, v in os.environ.items() if k != "JOB_COMPLETION_INDEX"}

    def command(self, *arguments):
        return [sys.executable, "-m", "xperience", *map(str, arguments)]

    def run(self, *arguments, expect=0):
        done = subprocess.run(
            self.command(*arguments), env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == expect, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def build(self, output, *flags):
        flags = ("--frame-pixels", 64, "--frame-rate-hz", 4, *flags)
        return "windows", "build", "--manifest-json", self.manifest, "--windows", output, *flags


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    write_repository(folder / "root", episodes=EPISODES, frames=FRAMES, defects=DEFECTS)
    found = Windows(folder)
    found.run("prepare", "check", "--data-root", "root", "--purposes", "windows", "--output", "check.json", expect=65)
    found.run(
        "prepare", "manifest", "--data-root", "root", "--purposes", "windows", "--check-json", "check.json",
        "--redraw-split", "--train-fraction", 0.5, "--val-fraction", 0.25, "--test-fraction", 0.25,
        "--output", "manifest.json",
    )  # fmt: skip
    return found


def contents(output):
    return {
        str(path.relative_to(output)): path.read_bytes()
        if path.suffix != ".json"
        else json.loads(path.read_text())["content_sha256"]
        for path in output.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name != "verified.json"
    }


@pytest.fixture(scope="module")
def undisturbed(windows):
    windows.run(*windows.build("whole"))
    return contents(windows.folder / "whole")


def test_the_windows_of_a_checked_data_root_verify_and_say_what_their_labels_amount_to(windows, undisturbed):
    verified = windows.run("windows", "verify", "--windows", "whole", "--manifest-json", windows.manifest)
    assert "all as written" in verified.stdout
    dataset = json.loads((windows.folder / "whole" / "windows.json").read_text())
    assert len(dataset["episodes"]) == 5
    assert list(dataset["skipped"].values()) == ["it has no caption"]
    assert {episode["sound"] for episode in dataset["episodes"]} == {"sound", "absent"}
    rows = pq.read_table(windows.folder / "whole" / dataset["index"]["path"]).to_pylist()
    assert {row["contact"] for row in rows} >= {"unknown", "yes"}
    assert all(not row["media"].startswith("/") for row in rows)
    said = windows.run("windows", "stats", "--windows", "whole").stdout
    for expected in ("contact_feet", "uninformative", "natural_test", "labels that train does not have", "1 absent"):
        assert expected in said
    as_json = json.loads(windows.run("windows", "stats", "--windows", "whole", "--json").stdout)
    assert set(as_json["base_rates"]) == {"train", "val", "test", "natural_test"}


def test_pods_of_an_indexed_job_side_by_side_make_the_same_windows(windows, undisturbed):
    pods = [
        subprocess.Popen(
            windows.command(*windows.build("job", "--shards", 3, "--jobs", 1)),
            env=windows.environment | {"JOB_COMPLETION_INDEX": str(index)}, cwd=windows.folder,
        )
        for index in range(3)
    ]  # fmt: skip
    assert [pod.wait(timeout=120) for pod in pods] == [0, 0, 0]
    assert contents(windows.folder / "job") == undisturbed


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["SIGTERM", "kill -9"]
)
def test_a_build_that_is_ended_goes_on_where_it_was(windows, undisturbed, tmp_path, number, status):
    output = tmp_path / "ended"
    running = subprocess.Popen(
        windows.command(*windows.build(output, "--jobs", 1)), env=windows.environment, cwd=windows.folder,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(output.rglob("media.json")):
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(number)
    assert running.wait(timeout=60) == status
    assert not (output / "windows.json").exists()
    if number == signal.SIGTERM:
        assert "Run the same command again" in running.stderr.read()
    before = len(list(output.rglob("media.json")))
    again = windows.run(*windows.build(output, "--json"))
    assert json.loads(again.stdout)["found"] >= before
    assert contents(output) == undisturbed


def worker_of(pid):
    """The process that decodes for a build, where one runs."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # whoever has just ended is none
            for child in (task / "children").read_text().split():
                if b"xperience.windows.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return None


def test_a_worker_that_is_killed_is_named_by_its_episode(windows, tmp_path):
    running = subprocess.Popen(
        windows.command(*windows.build(tmp_path, "--jobs", 1)), env=windows.environment, cwd=windows.folder,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    worker = None
    while worker is None:
        assert running.poll() is None
        worker = worker_of(running.pid)
    os.kill(worker, signal.SIGKILL)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 65
    assert "1 of 5 episodes give no media" in said
    assert "SIGKILL" in said
    assert len(list(tmp_path.rglob("media.json"))) == 4


def test_verify_says_what_differs_and_ends_with_65(windows, undisturbed, tmp_path):
    windows.run(*windows.build(tmp_path))
    picture = next(tmp_path.rglob("frames.jpegs"))
    content = bytearray(picture.read_bytes())
    content[100] ^= 1
    picture.write_bytes(content)
    said = windows.run("windows", "verify", "--windows", tmp_path, expect=65)
    assert "frames.jpegs: sha256 differs" in said.stderr
    assert json.loads((tmp_path / "verified.json").read_text())["faults"]
