"""`xperience prepare check` on what a real relay brought, as a user types it."""

import json
import os
import subprocess
import sys

import pytest
from conftest import Job

from xperience.common.layout import ANNOTATION
from xperience.prepare.check import CheckReport
from xperience.standin.episodes import Defect, write_repository
from xperience.standin.hub import StandinHub

EVIDENCE = "results/omni_finetune"


@pytest.fixture(scope="module")
def relayed(tmp_path_factory, sshd):
    """A data root of four episodes, one without slam, with the relay's own manifest."""
    from conftest import TOKEN, ssh_destination

    folder = tmp_path_factory.mktemp("check")
    write_repository(
        folder / "repository", episodes=4, frames=60, defects={2: frozenset({Defect.NO_SLAM_AND_BODY})}
    )  # fmt: skip
    with StandinHub(folder / "repository", "org/data", token=TOKEN) as hub:
        job = Job(folder, hub, ssh_destination(sshd, folder.name), ["--chunk-size-mib", "1"])
        job.select()
        job.run()
        yield job.destination.root


def check(folder, root, *arguments, expect=0, environment=None):
    command = [sys.executable, "-m", "xperience", "prepare", "check", "--data-root", str(root), *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, f"{done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done


def test_what_the_relay_brought_is_intact_and_one_episode_is_not_usable(relayed, tmp_path):
    done = check(tmp_path, relayed, expect=65)
    report = CheckReport.read(tmp_path / EVIDENCE / "check.json")
    assert (report.staged, report.intact, report.usable) == (4, 4, 3)
    assert report.usable_for == {"windows": 4, "actions": 3}
    assert {path for path, file in report.others.items() if not file.fault} == {"README.md", ".gitattributes"}
    assert "slam is missing" in done.stdout
    assert "1 of 4 episodes fail" in done.stderr
    check(tmp_path, relayed, "--purposes", "windows")


def test_a_job_of_three_pods_merges_to_what_one_would_have_said(relayed, tmp_path):
    check(tmp_path, relayed, "--output", "whole.json", expect=65)
    codes = []
    for index in range(3):
        command = [sys.executable, "-m", "xperience", "prepare", "check", "--data-root", str(relayed), "--shards", "3"]
        environment = {**os.environ, "JOB_COMPLETION_INDEX": str(index)}
        codes.append(
            subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False).returncode
        )
    assert sorted(codes) == [0, 0, 65]
    check(tmp_path, relayed, "--merge", "--shards", "3", expect=65)
    whole, merged = (json.loads((tmp_path / name).read_text()) for name in ("whole.json", f"{EVIDENCE}/check.json"))
    assert merged["content_sha256"] == whole["content_sha256"]


def test_an_edited_report_is_not_read_again(relayed, tmp_path):
    check(tmp_path, relayed, "--shard", "0/1", "--purposes", "windows")
    place = tmp_path / EVIDENCE / "check.json"
    place.write_text(place.read_text().replace('"usable": 4', '"usable": 5'))
    (tmp_path / EVIDENCE / "check-0-of-1.json").write_text(place.read_text())
    done = check(tmp_path, relayed, "--merge", "--shards", "1", expect=65)
    assert "content_sha256" in done.stderr


def test_a_byte_that_changed_after_the_relay_fails_the_check(relayed, tmp_path):
    place = next(relayed.rglob(ANNOTATION))
    content = place.read_bytes()
    place.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    try:
        done = check(tmp_path, relayed, "--json", expect=65)
    finally:
        place.write_bytes(content)
    episode = next(e for e in json.loads(done.stdout)["episodes"] if not e["intact"])
    assert "sha256 differs" in episode["files"][ANNOTATION]["fault"]
