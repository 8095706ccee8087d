"""Files that mean harm end in a verdict, under the limits of a real worker."""

import os
import signal
import struct
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from xperience.cli.prepare import need_episode_libraries
from xperience.common.errors import ConfigurationError
from xperience.common.layout import ANNOTATION
from xperience.prepare.workers import Workers
from xperience.standin.episodes import Defect, write_episode

MEMORY_BYTES = 512 << 20


@pytest.fixture(scope="module")
def workers():
    with Workers(timeout_seconds=20, memory_bytes=MEMORY_BYTES) as running:
        yield running


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episode")
    write_episode(folder, frames=60, seed=3)
    return folder


def test_a_whole_annotation_and_a_whole_video_give_their_facts(workers, episode):
    found = workers.look_at_file("annotation", episode / ANNOTATION)
    assert found.fault == ""
    facts = found.annotation
    assert (facts.missing_groups, facts.missing, facts.unlike_schema, facts.faults) == ((), (), (), ())
    assert (facts.timeline.frames, facts.timeline.frames_per_second) == (60, 20.0)
    assert facts.caption.labelled_windows == 1
    assert facts.motion.model_dump() == {
        "rows": 60, "sampled": False, "pose_share": 1.0, "left_hand_share": 1.0, "right_hand_share": 1.0,
        "valid_share": 1.0,
    }  # fmt: skip
    video = workers.look_at_file("video", episode / "stereo_left.mp4")
    assert (video.video.frames, video.video.counted_frames, video.fault) == (60, 60, "")
    assert 0 < found.peak_bytes < 400 << 20


@pytest.mark.parametrize(
    ("defect", "expected"),
    [
        pytest.param(Defect.NAN_HANDS, {"left_hand_share": 0.0, "valid_share": 1.0}, id="one-hand"),
        pytest.param(Defect.NO_SLAM_AND_BODY, {"pose_share": None, "valid_share": None}, id="no-slam"),
    ],
)
def test_shares_are_of_what_is_there(workers, tmp_path, defect, expected):
    write_episode(tmp_path, frames=20, seed=3, defects=frozenset({defect}))
    motion = workers.look_at_file("annotation", tmp_path / ANNOTATION).annotation.motion.model_dump()
    assert motion == motion | expected


def test_a_caption_beside_the_annotation_is_read_and_one_elsewhere_is_not(workers, tmp_path):
    write_episode(tmp_path / "a", frames=20, seed=3, defects=frozenset({Defect.CAPTION_IS_PATH}))
    found = workers.look_at_file("annotation", tmp_path / "a" / ANNOTATION).annotation
    assert (found.caption.inline, found.caption.resolved_actions) == (False, found.caption.actions)
    outside = tmp_path / "caption.json"
    (tmp_path / "a" / "caption.json").rename(outside)
    (tmp_path / "a" / "caption.json").symlink_to(outside)
    found = workers.look_at_file("annotation", tmp_path / "a" / ANNOTATION).annotation
    assert found.caption is None
    assert "caption's file is not there" in found.faults[0]


def no_bytes(path: Path):
    path.write_bytes(b"")


def random_bytes(path: Path):
    path.write_bytes(os.urandom(100_000))


def half(path: Path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def bomb(path: Path):
    """950 MB of zeros in 1 MB, in chunks that are small enough to be read."""
    with h5py.File(path, "a") as file:
        del file["hand_mocap"], file["video/device_timestamp"], file["slam"]
        file["video/device_timestamp"] = np.arange(900_000)
        file.create_dataset(
            "hand_mocap/left_joints_3d", (900_000, 21, 3), "float64", chunks=(10_000, 21, 3), compression="gzip"
        )
        file["hand_mocap/left_joints_3d"][0] = 1


def a_billion_rows(path: Path):
    with h5py.File(path, "a") as file:
        del file["video/device_timestamp"]
        file.create_dataset("video/device_timestamp", (10**9,), "int64", chunks=(1000,))


def endless_caption(path: Path):
    with h5py.File(path, "a") as file:
        del file["caption"]
        file.create_dataset("caption", (), "S60000000")


def circle(path: Path):
    with h5py.File(path, "a") as file:
        file["slam/again"] = file["slam"]
        del file["video"]
        file["video"] = h5py.SoftLink("/video")


def wrong_types(path: Path):
    with h5py.File(path, "a") as file:
        for name in ("slam/quat_wxyz", "video/frame_number"):
            del file[name]
            file[name] = np.full((60, 4), b"x")


def ten_thousand_names(path: Path):
    with h5py.File(path, "a") as file:
        for number in range(10_000):
            file.create_group(f"{number:05}" + 200 * "x")
        file.create_group(b"\xff\xfe")
        del file["caption"]
        file["caption"] = 5


ANNOTATIONS = {
    no_bytes: "HDF5", random_bytes: "HDF5", half: "truncated", bomb: "memory", a_billion_rows: "no timeline",
    endless_caption: "caption", ten_thousand_names: "not a text", circle: "SoftLink", wrong_types: "slam/quat_wxyz",
}  # fmt: skip


@pytest.mark.parametrize("damage", list(ANNOTATIONS), ids=lambda damage: damage.__name__)
def test_a_damaged_annotation_is_a_verdict(workers, tmp_path, damage):
    write_episode(tmp_path, frames=60, seed=3, defects=frozenset({Defect.NO_AUDIO}))
    damage(tmp_path / ANNOTATION)
    begun = time.monotonic()
    found = workers.look_at_file("annotation", tmp_path / ANNOTATION)
    said = found.fault or " ".join((*found.annotation.faults, *found.annotation.unlike_schema))
    assert ANNOTATIONS[damage] in said
    assert found.peak_bytes < 1 << 30
    assert time.monotonic() - begun < 25


def huge_picture(path: Path):
    """Tables that promise pictures of 32,000 × 32,000."""
    content = bytearray(path.read_bytes())
    place = content.index(b"avc1") + 28
    content[place : place + 4] = struct.pack(">HH", 32_000, 32_000)
    path.write_bytes(content)


def billion_samples(path: Path):
    content = bytearray(path.read_bytes())
    place = content.index(b"stsz") + 12
    content[place : place + 4] = struct.pack(">I", 2**31)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [no_bytes, random_bytes, half, huge_picture, billion_samples], ids=lambda d: d.__name__
)
def test_a_damaged_video_is_a_verdict(workers, episode, tmp_path, damage):
    path = tmp_path / "x.mp4"
    path.write_bytes((episode / "fisheye_cam0.mp4").read_bytes())
    damage(path)
    found = workers.look_at_file("video", path)
    assert found.fault or found.video.counted_frames == 60
    assert found.peak_bytes < 1 << 30


def test_a_worker_that_takes_too_long_is_ended_by_the_kernel(tmp_path):
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)  # opening it waits for ever
    with Workers(timeout_seconds=0.5, memory_bytes=MEMORY_BYTES) as workers:
        begun = time.monotonic()
        found = workers.look_at_file("video", path)
    assert "more than 0.5 s" in found.fault
    assert time.monotonic() - begun < 5


def test_a_worker_that_is_killed_is_a_verdict_and_the_next_one_lives(tmp_path, episode):
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    with Workers(timeout_seconds=30, memory_bytes=MEMORY_BYTES) as workers:

        def kill():
            while not (found := grandchildren(workers._process.pid)):
                time.sleep(0.1)
            for pid in found:
                os.kill(pid, signal.SIGSEGV)

        threading.Thread(target=kill).start()
        assert "died of SIGSEGV" in workers.look_at_file("video", path).fault
        assert workers.look_at_file("video", episode / "fisheye_cam0.mp4").fault == ""


def grandchildren(pid: int) -> list[int]:
    def children(parent: int) -> list[int]:
        found = []
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
            except OSError:
                continue
            if f"\nPPid:\t{parent}\n" in text:
                found.append(int(status.parent.name))
        return found

    return [grandchild for child in children(pid) for grandchild in children(child)]


class Failing:
    size_bytes = 100_000

    def read_ranges(self, ranges):
        raise ConnectionAbortedError("the hub is gone")


def test_what_the_source_raises_is_raised_and_the_worker_goes(workers):
    with pytest.raises(OSError, match="gone"):
        workers.look_at_ranges("annotation", Failing(), lambda _name: None)


def test_the_end_of_the_process_that_forks_is_no_files_fault(episode):
    with Workers(timeout_seconds=5, memory_bytes=MEMORY_BYTES) as workers:
        os.kill(workers._process.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="has ended"):
                workers.look_at_file("video", episode / "fisheye_cam0.mp4")


def test_where_the_libraries_are_missing_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"no h5py and no av.*xperience\[episode\]"):
        need_episode_libraries()


def test_modules_in_the_current_folder_are_not_loaded(tmp_path, monkeypatch, episode):
    (tmp_path / "h5py.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    with Workers(timeout_seconds=20, memory_bytes=MEMORY_BYTES) as workers:
        assert workers.look_at_file("annotation", episode / ANNOTATION).fault == ""


def test_workers_do_not_have_the_token(monkeypatch, episode):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_test")
    with Workers(timeout_seconds=5, memory_bytes=MEMORY_BYTES) as workers:
        assert workers.look_at_file("video", episode / "fisheye_cam0.mp4").fault == ""
        environment = Path(f"/proc/{workers._process.pid}/environ").read_bytes()
    assert b"hf_secret" not in environment
    assert b"PATH=" in environment
