"""`xperience select` against the stand-in hub, as a user types it."""

import json
import os
import subprocess
import sys

import pytest
from conftest import TOKEN

from xperience.selection.document import PinnedSelection, RepositorySelection
from xperience.selection.plan_file import read_selection
from xperience.standin.episodes import Defect, write_repository
from xperience.standin.hub import StandinHub


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    write_repository(root, episodes=6, frames=20, defects={2: frozenset({Defect.STRAY_RRD})})
    with StandinHub(root, "org/episodes", token=TOKEN) as serving:
        yield serving


def select(hub, folder, *arguments, expect=0):
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
    command = [sys.executable, "-m", "xperience", "select", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done


FROM_HUB = (
    "from-hub", "--repo-id", "org/episodes", "--target-episodes", "6", "--least-annotation-mib", "0",
    "--drop-percentile", "0", "--output", "out",
)  # fmt: skip


def test_a_selection_from_the_hub_is_the_plans_json_csv_and_txt_and_pinned(hub, tmp_path):
    select(hub, tmp_path, *FROM_HUB)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    stem = "xperience10m_6_episode"
    endings = ("selection.json", "selection.csv", "download_files.txt", "selection_pinned.json")
    assert names == {f"{stem}_{ending}" for ending in endings}
    pinned = PinnedSelection.read(tmp_path / "out" / f"{stem}_selection_pinned.json")
    assert pinned.repo_sha == hub.commit
    for file in pinned.files:
        assert file.sha256 == hub.contents.hashes(hub.contents.find(file.path)).sha256
        assert file.size_bytes == hub.contents.find(file.path).size_bytes
    assert not any(file.path.endswith(".rrd") for file in pinned.files)
    assert sum(episode.has_visualization_rrd for episode in pinned.selected_episodes) == 1
    lines = (tmp_path / "out" / f"{stem}_download_files.txt").read_text().splitlines()
    assert lines == [file.path for file in pinned.files]
    select(hub, tmp_path, "verify", "--selection-json", f"out/{stem}_selection_pinned.json")


def test_pinning_takes_one_call_and_gives_the_same_as_selecting(hub, tmp_path):
    select(hub, tmp_path, *FROM_HUB)
    hub.log.reset()
    plan, out = "out/xperience10m_6_episode_selection.json", "pinned.json"
    select(hub, tmp_path, "pin", "--selection-json", plan, "--output", out)
    calls = [route for route in hub.log.served().api_calls.elements() if "agent-harnesses" not in route]
    assert len(calls) == 1
    assert "paths-info" in calls[0]
    made = PinnedSelection.read(tmp_path / "out" / "xperience10m_6_episode_selection_pinned.json")
    assert PinnedSelection.read(tmp_path / out).content_sha256 == made.content_sha256


def test_any_repository_is_selected_by_patterns(hub, tmp_path):
    done = select(
        hub, tmp_path, "from-repo", "--repo-id", "org/episodes", "--include", "*/annotation.hdf5", "--include",
        "README.md", "--json",
    )  # fmt: skip
    assert json.loads(done.stdout)["files"] == 7
    found = RepositorySelection.read(tmp_path / "selection.json")
    readme = next(file for file in found.files if file.path == "README.md")
    assert readme.sha256 is None
    assert readme.git_sha1
    assert read_selection(tmp_path / "selection.json").pinned


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(("from-repo",), 64, "no repository", id="no-id"),
        pytest.param(("from-repo", "--repo-id", "org/other"), 65, "not on the hub", id="other-repository"),
        pytest.param(("from-repo", "--repo-id", "org/episodes", "--revision", "v9"), 65, "revision", id="revision"),
        pytest.param(("from-repo", "--repo-id", "org/episodes", "--include", "*.zip"), 64, "no file", id="nothing"),
        pytest.param(("from-hub", "--repo-id", "org/episodes", "--least-annotation-mib", "0"), 65, "of 128", id="few"),
        pytest.param(("verify", "--selection-json", "nowhere.json"), 64, "nowhere.json", id="no-file"),
    ],
)
def test_what_cannot_be_selected_is_said_with_its_exit_code(hub, tmp_path, arguments, code, message):
    done = select(hub, tmp_path, *arguments, expect=code)
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
