"""`xperience prepare run` on what the relay brought: one command, every artefact, the gates' verdict."""

import json
import os
import subprocess
import sys

import pytest
from conftest import TOKEN, ssh_destination

from xperience.gates.evaluate import GateReport
from xperience.standin.episodes import Defect, write_repository
from xperience.standin.hub import StandinHub

EPISODES = 6


@pytest.fixture
def staged(tmp_path, sshd):
    """Relays EPISODES episodes, one with this defect, and gives data root, selection and the command."""

    def relay(defects):
        root = tmp_path / "hub"
        write_repository(root, episodes=EPISODES, frames=120, defects=defects)
        store, environment = ssh_destination(sshd, tmp_path.name), dict(os.environ)

        def xperience(*arguments, expect=0):
            command = [sys.executable, "-m", "xperience", *map(str, arguments)]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == expect, (arguments, done.returncode, done.stderr[-2000:], done.stdout[-2000:])
            return done

        with StandinHub(root, "org/episodes", token=TOKEN) as hub:
            environment.update(HF_ENDPOINT=hub.endpoint, HF_TOKEN=TOKEN)
            xperience(
                "select", "from-hub", "--repo-id", "org/episodes", "--target-episodes", EPISODES,
                "--least-annotation-mib", 0, "--drop-percentile", 0, "--train-fraction", 0.5, "--val-fraction", 0,
                "--test-fraction", 0.5,
            )  # fmt: skip
            selection = tmp_path / f"selection/xperience10m_{EPISODES}_episode_selection_pinned.json"
            xperience(
                "relay", "run", "--selection-json", selection, "--relay-root", "scratch", "--scratch-budget-gib", "0.1",
                "--headroom-gib", "0.01", "--delete-after-transfer", *store.flags,
            )  # fmt: skip
        settings = ("--data-root", store.root, "--selection-json", selection, "--target-episodes", EPISODES)
        return xperience, settings

    return relay


def gates_of(folder):
    return {gate.gate: gate for gate in GateReport.read(folder / "gates_prepare.json").gates if gate.due}


def test_good_data_passes_and_every_artefact_is_there_whatever_the_number_of_shards(staged, tmp_path):
    xperience, settings = staged({})
    done = xperience("prepare", "run", *settings, "--evidence", "one")
    assert [line for line in done.stdout.splitlines() if line.startswith("==")] == [
        "== check", "== discover", "== manifest", "== audit", "== gates",
    ]  # fmt: skip
    assert {gate.status for gate in gates_of(tmp_path / "one").values()} == {"pass"}
    shards = ("--shards", 2, "--run", "job-1", "--evidence", "two")
    late = xperience("prepare", "run", *settings, *shards, "--shard", 0, "--wait-for-shards-seconds", 0, expect=75)
    assert "check-1-of-2.json" in late.stderr
    command = [sys.executable, "-m", "xperience", "prepare", "run", *map(str, (*settings, *shards, "--shard", 0))]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout.readline() == "== check\n"
        waiting.terminate()
        assert waiting.wait(30) == 143
    xperience("prepare", "run", *settings, *shards, "--shard", 1)
    xperience("prepare", "run", *settings, *shards, "--shard", 0)
    names = sorted(place.name for place in (tmp_path / "one").iterdir())
    assert sorted(place.name for place in (tmp_path / "two").iterdir() if place.is_file()) == names
    for name in ("check.json", "episode_manifest_128.json", "staged_content_audit_128.json", "gates_prepare.json"):
        one, two = (json.loads((tmp_path / folder / name).read_text()) for folder in ("one", "two"))
        assert one["content_sha256"] == two["content_sha256"], name


def test_an_unusable_episode_fails_its_gate_and_every_artefact_is_there_all_the_same(staged, tmp_path):
    xperience, settings = staged({2: frozenset({Defect.NO_SLAM_AND_BODY})})
    done = xperience("prepare", "run", *settings, "--evidence", "ev", expect=77)
    assert "usable-data" in done.stderr
    gates = gates_of(tmp_path / "ev")
    assert [name for name, gate in gates.items() if gate.status != "pass"] == ["usable-data"]
    assert (tmp_path / "ev" / "staged_content_audit_128.json").exists()
