"""`xperience prepare probe` against the stand-in hub: 128 episodes of the genuine sizes, nine of them defective."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import h5py
import pytest
from conftest import TOKEN

from xperience.common.layout import ANNOTATION, VIDEOS
from xperience.prepare.probe import ProbeReport
from xperience.standin.episodes import Defect, write_episode, write_repository
from xperience.standin.genuine import write_genuine_repository
from xperience.standin.hub import StandinHub

# As many as the real selection has: 8 without slam and body groups, 1 without caption.
WITHOUT_SLAM = (3, 17, 29, 44, 61, 78, 90, 111)
WITHOUT_CAPTION = 53
COMMIT = "c" * 40  # else the stand-in's commit changes with its files
PROBE = "results/omni_finetune/probe.json"
DEFECTS = {number: frozenset({Defect.NO_SLAM_AND_BODY}) for number in WITHOUT_SLAM} | {
    WITHOUT_CAPTION: frozenset({Defect.NO_CAPTION})
}


def run(hub, folder, *arguments, expect=0):
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
    command = [sys.executable, "-m", "xperience", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expect, f"{done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done


def select(hub, folder, episodes):
    run(
        hub, folder, "select", "from-hub", "--repo-id", hub.repo_id, "--target-episodes", str(episodes),
        "--least-annotation-mib", "0", "--drop-percentile", "0", "--output", ".",
    )  # fmt: skip
    return f"xperience10m_{episodes}_episode_selection_pinned.json"


def probed(hub, folder, selection, *arguments, expect=0):
    (folder / PROBE).unlink(missing_ok=True)
    done = run(hub, folder, "prepare", "probe", "--selection-json", selection, *arguments, expect=expect)
    return done, ProbeReport.read(folder / PROBE)


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genuine")
    episodes = write_genuine_repository(folder, episodes=128, defects=DEFECTS)
    with StandinHub(folder / "repository", "org/genuine", token=TOKEN, revision=COMMIT) as hub:
        for path in hub.contents.paths():
            hub.contents.assume(path, "5" * 64)
        yield hub, folder, episodes, select(hub, folder, 128)


@pytest.mark.timeout(900)  # 40 s on two idle cores
def test_the_probe_names_the_nine_and_what_each_is_still_good_for(genuine):
    hub, folder, episodes, selection = genuine
    hub.log.reset()
    done, report = probed(hub, folder, selection, expect=65)
    expected = {episode.path: episode.defects for episode in episodes if episode.defects}
    assert {episode.path for episode in report.unusable} == set(expected)
    assert (report.selected, report.usable, report.usable_for) == (128, 119, {"windows": 127, "actions": 119})
    for episode in report.unusable:
        if Defect.NO_CAPTION in expected[episode.path]:
            assert episode.verdict.good_for == ("videos", "motion")
            assert episode.verdict.reasons["windows"] == ("it has no caption",)
        else:
            assert episode.verdict.good_for == ("windows",)
            assert episode.verdict.reasons == {"windows": (), "actions": ("slam is missing",)}
    lines = done.stdout.splitlines()
    assert all(any(line.startswith(path) for line in lines) for path in expected)
    assert "119 of 128 episodes are usable for windows and actions (windows: 127, actions: 119)" in done.stdout
    assert "9 of 128 episodes are not usable" in done.stderr

    # What it costs, by the hub's own count.
    served = hub.log.served()
    requests = Counter(path.rpartition("/")[0] for path, _, _ in served.ranges)
    for path, count in served.resolve_calls.items():
        requests[path.rpartition("/")[0]] += count
    assert max(requests.values()) <= 60
    assert sum(requests.values()) == report.requests
    assert served.total_bytes == report.read_bytes
    assert report.selected_bytes > 128 * 2.3e9
    assert report.read_bytes <= report.selected_bytes / 1000
    assert served.cdn_authorizations == set()
    print(
        f"\nprobe: {max(requests.values())} requests at most, {report.read_bytes / report.selected_bytes:.4%} of bytes"
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    facts = write_repository(folder / "repository", episodes=4, frames=60)
    with StandinHub(folder / "repository", "org/small", token=TOKEN, revision=COMMIT) as hub:
        yield hub, folder, facts, select(hub, folder, 4)


def test_an_episode_without_slam_is_usable_where_windows_alone_are_asked_for(small):
    hub, folder, facts, selection = small
    annotation = folder / "repository" / facts[0].path / ANNOTATION
    whole = annotation.read_bytes()
    with h5py.File(annotation, "a") as file:
        del file["slam"]
    assert annotation.stat().st_size == len(whole)  # as in the real files: the size does not show it
    try:
        _, both = probed(hub, folder, selection, expect=65)
        unpinned = selection.replace("_pinned", "")  # sizes come from the hub then
        _, windows = probed(hub, folder, unpinned, "--purposes", "windows")
    finally:
        annotation.write_bytes(whole)
    assert [episode.path for episode in both.unusable] == [facts[0].path]
    assert (both.usable, windows.usable) == (3, 4)


def test_two_probes_have_the_same_content_whatever_the_hub_does_in_between(small):
    hub, folder, _, selection = small
    _, first = probed(hub, folder, selection)
    path = next(path for path in hub.contents.paths() if path.endswith(ANNOTATION))
    hub.faults.add("too_many_requests", path=path, route="resolve", seconds=1)
    hub.faults.add("expire", path=path)
    hub.faults.add("drop", path=path, at_byte=20_000)
    hub.faults.add("unavailable", path=path, route="cdn")
    done, again = probed(hub, folder, selection, "--json")
    hub.faults.clear()
    assert again.document()["content_sha256"] == first.document()["content_sha256"]
    assert json.loads(done.stdout)["usable"] == 4
    assert "probe_retry" in done.stderr


def test_damage_at_the_hub_is_a_verdict_of_its_episode_alone(small):
    hub, folder, facts, selection = small
    root = folder / "repository"
    damaged, cut, lost, whole = (root / episode.path for episode in facts)
    kept = {path: path.read_bytes() for path in (damaged / ANNOTATION, cut / VIDEOS[0], lost / VIDEOS[1])}
    content = kept[damaged / ANNOTATION]
    (damaged / ANNOTATION).write_bytes(content[:1000] + bytes(20_000) + content[21_000:])  # its tables
    (cut / VIDEOS[0]).write_bytes(bytes(len(kept[cut / VIDEOS[0]])))
    (lost / VIDEOS[1]).unlink()
    try:
        _, report = probed(hub, folder, selection, expect=65)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    found = {episode.path: episode.verdict for episode in report.episodes}
    name = {folder: "/".join(folder.parts[-2:]) for folder in (damaged, cut, lost, whole)}
    assert found[name[whole]].usable_for == ("windows", "actions")
    assert found[name[damaged]].usable_for == ()
    assert found[name[cut]].reasons["windows"] == ("fisheye_cam0.mp4: not an MP4: " + reason(found[name[cut]]),)
    assert "not on the hub" in found[name[lost]].reasons["windows"][0]


def reason(verdict):
    return verdict.reasons["windows"][0].partition("not an MP4: ")[2]


def test_a_caption_that_is_a_path_is_fetched_from_beside_its_annotation(tmp_path):
    write_repository(tmp_path / "repository", episodes=1, frames=60)
    with StandinHub(tmp_path / "repository", "org/path", token=TOKEN, revision=COMMIT) as hub:
        folder = next((tmp_path / "repository").glob("*/*"))
        write_episode(folder, frames=60, seed=0, defects=frozenset({Defect.CAPTION_IS_PATH}))
        caption = (folder / "caption.json").read_bytes()
        (folder / "caption.json").unlink()
        selection = select(hub, tmp_path, 1)
        _, report = probed(hub, tmp_path, selection, expect=65)
        assert "caption's file is not there" in report.episodes[0].verdict.reasons["windows"][0]
        (folder / "caption.json").write_bytes(caption)
        _, report = probed(hub, tmp_path, selection)
        assert report.episodes[0].facts.annotation.caption.inline is False


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(("--purposes", "dance"), 64, "unknown purpose", id="purpose"),
        pytest.param(("--least-valid-share", "2"), 64, "bad value", id="share"),
        pytest.param(("--selection-json", "none.json"), 64, "selection not found", id="no-selection"),
    ],
)
def test_mistakes_are_told_apart_by_exit_code(small, arguments, code, message):
    hub, folder, _, selection = small
    done = run(hub, folder, "prepare", "probe", "--selection-json", selection, *arguments, expect=code)
    assert message in done.stderr


def test_a_stopped_probe_ends_at_once_and_leaves_no_report(small):
    hub, folder, _, selection = small
    (folder / PROBE).unlink(missing_ok=True)
    for path in hub.contents.paths():
        if path.endswith(ANNOTATION):
            hub.faults.add("slow", path=path, times=None, bytes_per_second=1000)
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
    command = [sys.executable, "-m", "xperience", "prepare", "probe", "--selection-json", selection]
    hub.log.reset()
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            deadline = time.monotonic() + 60
            while not hub.log.served().ranges and time.monotonic() < deadline:
                time.sleep(0.1)
            begun = time.monotonic()
            running.terminate()
            _, messages = running.communicate(timeout=60)
        finally:
            running.kill()
            hub.faults.clear()
    assert running.returncode == 143, messages
    assert time.monotonic() - begun < 15
    assert not (folder / PROBE).exists()


def test_a_revoked_token_ends_the_probe_and_is_in_no_message(small):
    hub, folder, _, selection = small
    token, hub.token = hub.token, None
    try:
        done = run(hub, folder, "prepare", "probe", "--selection-json", selection, expect=77)
    finally:
        hub.token = token
    assert TOKEN not in done.stdout + done.stderr
