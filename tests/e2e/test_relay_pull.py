import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import BOTH_STORES, Job, sha256

from xperience.common.transfer import MANIFEST_NAME, TransferManifest


def pull(job: Job, root: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        command(job, root, *arguments), env=job.environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == expect, f"{done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done


def command(job: Job, root: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "-m", "xperience", "relay", "pull", "--data-root", str(root),
        *job.destination.flags, *job.flags, *arguments,
    ]  # fmt: skip


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): sha256(path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and ".xperience-pull" not in path.parts
    }


def check_whole(job: Job, root: Path) -> None:
    found = content(root)
    assert found.pop(MANIFEST_NAME) == job.destination.all_content()[MANIFEST_NAME]
    assert found == job.source()
    assert not list(root.rglob("*.partial"))
    assert not list((root / ".xperience-pull").rglob("incoming/*"))


@BOTH_STORES
def test_what_the_relay_brought_comes_to_a_folder_whole_and_only_once(job, tmp_path):
    job.run()
    root = tmp_path / "data"
    pull(job, root)
    check_whole(job, root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.hdf5")}
    pull(job, root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.hdf5")} == times


@pytest.mark.parametrize("destination", ["s3"], indirect=True)
def test_a_kill_at_any_moment_costs_the_files_in_flight(job, tmp_path):
    job.run()
    root = tmp_path / "data"
    for delay in (0.9, 1.3, 1.7):
        running = subprocess.Popen(
            command(job, root, "--transfer-limit-mib", "8"), env=job.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(delay)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        # Whatever has its name is right, and the manifest comes last.
        named = content(root) if root.exists() else {}
        if MANIFEST_NAME in named:
            continue
        assert {path: digest for path, digest in named.items() if job.source()[path] != digest} == {}
    pull(job, root)
    check_whole(job, root)


@pytest.mark.parametrize("destination", ["s3"], indirect=True)
def test_shards_bring_a_share_each_and_wait_for_the_others(job, tmp_path):
    job.run()
    root = tmp_path / "data"
    alone = pull(job, root, "--shard", "0", "--shards", "2", "--wait-for-shards-seconds", "0", expect=75)
    assert "other shards" in alone.stderr
    assert MANIFEST_NAME not in content(root)
    pull(job, root, "--shard", "1/2")
    check_whole(job, root)


@pytest.mark.parametrize("destination", ["s3"], indirect=True)
def test_bytes_that_are_not_the_manifests_never_get_their_name(job, tmp_path):
    job.run()
    path = "session-1/ep1/annotation.hdf5"
    good = (job.hub.contents.root / path).read_bytes()
    job.destination.put(path, good[:-1] + b"x")
    root = tmp_path / "data"
    done = pull(job, root, expect=65)
    assert path in done.stderr
    assert "not that of its manifest" in done.stderr
    assert path not in content(root)
    assert MANIFEST_NAME not in content(root)
    job.destination.put(path, good)
    pull(job, root)
    check_whole(job, root)


@pytest.mark.parametrize("path", ["../escaped.bin", "/escaped.bin", "session-1/../../escaped.bin"])
@pytest.mark.parametrize("destination", ["ssh"], indirect=True)
def test_a_manifest_that_leads_out_of_the_data_root_is_not_followed(job, tmp_path, path):
    job.run()
    manifest = TransferManifest.read(job.destination.root / MANIFEST_NAME)
    hostile = manifest.files[0].model_copy(update={"path": path})
    manifest.model_copy(update={"files": [hostile, *manifest.files[1:]]}).write(job.destination.root / MANIFEST_NAME)
    done = pull(job, tmp_path / "data", expect=65)
    assert "unsafe-path" in done.stderr
    assert not list(tmp_path.rglob("escaped.bin"))
    assert not Path("/escaped.bin").exists()
    assert not content(tmp_path / "data")


def test_a_store_without_manifest_is_not_pulled(job, tmp_path):
    done = pull(job, tmp_path / "data", expect=65)
    assert "no transfer manifest" in done.stderr
