"""`xperience doctor`: what a newcomer lacks on the first day, each with its next step."""

import json
import os
import subprocess
import sys

import pytest

from xperience.common.errors import ExitCode
from xperience.common.settings.doctor import DoctorSettings
from xperience.doctor import examine
from xperience.standin.hub import StandinHub

REPOSITORY = "org/episodes"
TOKEN = "hf_doctor"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    root = tmp_path / "hub"
    root.mkdir()
    (root / "README.md").write_text("a file\n")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with StandinHub(root, REPOSITORY, token=TOKEN) as hub:
        yield hub


def look(name, **settings):
    found = {check.name: check for check in examine(DoctorSettings(**settings))}
    return found[name]


def command(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "xperience", "doctor", *map(str, arguments)], capture_output=True, text=True,
        check=False, env=os.environ | variables,
    )  # fmt: skip


def asked(hub, tmp_path):
    return {"hf_endpoint": hub.endpoint, "repo_id": REPOSITORY, "relay_root": tmp_path, "batch_max_gib": 0.001}


def test_an_approved_token_is_told_whose_it_is(hub, tmp_path):
    check = look("hub", **asked(hub, tmp_path))
    assert check.ok
    assert "user standin" in check.detail


def test_no_token_a_wrong_one_and_a_gate_that_is_shut_are_told_apart(hub, tmp_path, monkeypatch):
    hub.gate = "not_approved"
    shut = look("hub", **asked(hub, tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    wrong = look("hub", **asked(hub, tmp_path))
    monkeypatch.delenv("HF_TOKEN")
    none = look("hub", **asked(hub, tmp_path))
    for check in (shut, wrong, none):
        assert (check.ok, check.exit_code) == (False, ExitCode.REFUSED)
        assert check.fix
    assert len({check.detail for check in (shut, wrong, none)}) == 3
    assert "hf_wrong" not in wrong.detail


def test_a_hub_that_does_not_answer_is_named(hub, tmp_path):
    check = look("hub", **asked(hub, tmp_path) | {"hf_endpoint": "http://127.0.0.1:9", "hub_retries": 0})
    assert check.exit_code == ExitCode.UNAVAILABLE
    assert "127.0.0.1:9" in check.detail


def test_scratch_for_less_than_a_batch_says_how_much_is_free(hub, tmp_path):
    check = look("scratch", **asked(hub, tmp_path) | {"batch_max_gib": 1e6})
    assert check.exit_code == ExitCode.NO_SPACE
    assert "free" in check.detail
    assert "--scratch-budget-gib" in check.fix


@pytest.mark.parametrize(
    ("prints", "why"),
    [
        pytest.param("echo rclone v1.60.1", "too old", id="Debian's"),
        pytest.param("echo nothing of a version", "too old", id="another program"),
        pytest.param(":", "too old", id="says nothing"),
        pytest.param("echo broken >&2; exit 3", "broken", id="fails"),
    ],
)
def test_an_rclone_that_will_not_do_is_found_before_the_relay_starts_it(tmp_path, prints, why):
    program = tmp_path / "rclone"
    program.write_text(f"#!/bin/sh\n{prints}\n")
    program.chmod(0o755)
    check = look("rclone", purpose="demo", rclone=program)
    assert check.exit_code == ExitCode.CONFIGURATION
    assert why in check.detail


def test_programs_and_contexts_that_are_missing_come_with_their_next_step(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for name in ("helm", "kubectl", "cluster", "Docker"):
        check = look(name, purpose="cluster")
        assert (check.ok, check.exit_code) == (False, ExitCode.CONFIGURATION), name
        assert check.fix, name


def test_a_cluster_that_is_gone_is_unavailable(tmp_path):
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "gone",
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}],
        "clusters": [{"name": "gone", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "me", "user": {}}],
    }  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(config))
    done = command("--for", "cluster", "--json", KUBECONFIG=str(tmp_path / "config"))
    (check,) = [check for check in json.loads(done.stdout) if check["name"] == "cluster"]
    assert check["exit_code"] == ExitCode.UNAVAILABLE


def test_the_command_ends_with_the_code_of_the_first_that_is_missing(hub, tmp_path):
    settings = ["--hf-endpoint", hub.endpoint, "--repo-id", REPOSITORY, "--relay-root", tmp_path]
    done = command(*settings, "--batch-max-gib", "1000000")
    assert done.returncode == ExitCode.NO_SPACE
    assert "scratch: Set --relay-root" in done.stdout
    assert "not ready: relay: scratch" in done.stderr
