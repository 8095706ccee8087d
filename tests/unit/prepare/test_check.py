"""`check` on staged episodes: every defect, every way in which a file is not the manifest's, shards and merge."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from xperience.common.errors import BadDataError, StoppedError, UsageError
from xperience.common.files import sha256_of_file
from xperience.common.layout import ANNOTATION, VIDEOS
from xperience.common.settings.prepare import PrepareCheckSettings
from xperience.common.shards import Shard, shard_of
from xperience.common.transfer import MANIFEST_NAME, TransferManifest, TransferredFile
from xperience.prepare.check import CheckReport, check
from xperience.prepare.merge import merge_shards
from xperience.standin.episodes import Defect, write_episode

FRAMES = 60
WHOLE = "00000000-0000-4000-8000-000000000000/ep1"


@pytest.fixture(scope="module", autouse=True)
def whole(tmp_path_factory) -> Path:
    """Written once, copied by `stage`."""
    folder = tmp_path_factory.mktemp("whole") / "episode"
    write_episode(folder, frames=FRAMES, seed=3)
    stage.whole = folder
    return folder


def stage(root: Path, *defects: Defect, path: str = WHOLE) -> Path:
    if defects:
        write_episode(root / path, frames=FRAMES, seed=3, defects=frozenset(defects))
    else:
        shutil.copytree(stage.whole, root / path)
    return root / path


def write_manifest(root: Path) -> TransferManifest:
    files = [
        TransferredFile(
            path=path.relative_to(root).as_posix(), size_bytes=path.stat().st_size, sha256=sha256_of_file(path),
            sha256_from="hub-lfs", verified_how="test",
        )
        for path in sorted(root.rglob("*")) if path.is_file() and path.name != MANIFEST_NAME
    ]  # fmt: skip
    manifest = TransferManifest(repo_id="o/d", repo_type="dataset", revision="0" * 40, store="ssh://x", files=files)
    manifest.write(root / MANIFEST_NAME)
    return manifest


def checked(root: Path, shard: Shard | None = None, **settings) -> CheckReport:
    return check(PrepareCheckSettings(data_root=root, **settings), shard=shard or Shard(), stop=threading.Event())


BOTH = ("windows", "actions")
EXPECTED = {
    None: (BOTH, BOTH, ""),
    Defect.NO_SLAM_AND_BODY: (("windows",), ("windows",), "slam is missing"),
    Defect.NO_CAPTION: ((), ("videos", "motion"), "it has no caption"),
    Defect.TRUNCATED_ANNOTATION: ((), ("videos",), "annotation.hdf5: not an HDF5 file"),
    Defect.EMPTY_VIDEO: ((), ("labels", "motion"), "stereo_left.mp4: not an MP4"),
    Defect.SHORT_VIDEO: ((), ("labels", "motion"), "fisheye_cam1.mp4 has 45 frames, the timeline 60"),
    Defect.NO_VIDEOS: ((), ("labels", "motion"), "fisheye_cam0.mp4: not there"),
}


HARMLESS = frozenset(Defect) - set(EXPECTED) - {
    Defect.ALTERED_BYTE, Defect.STRAY_RRD, Defect.CAPTION_ONE_SPELLING, Defect.ZERO_HANDS,
}  # fmt: skip


@pytest.mark.parametrize(
    "defects", [{defect} if defect else set() for defect in EXPECTED], ids=lambda found: next(iter(found), "whole")
)
def test_a_defect_has_its_verdict_per_purpose(tmp_path, defects):
    stage(tmp_path, *defects)
    report = checked(tmp_path)
    usable_for, good_for, reason = EXPECTED[next(iter(defects), None)]
    found = report.episodes[0].verdict
    assert (found.usable_for, found.good_for) == (usable_for, good_for)
    assert any(said.startswith(reason) for said in found.reasons["actions"]) == bool(reason)
    assert bool(report.failing) == (usable_for != BOTH)
    assert report.usable_for == {purpose: int(purpose in usable_for) for purpose in BOTH}


def test_oddities_of_real_files_are_no_faults_even_all_at_once(tmp_path):
    stage(tmp_path, *HARMLESS)
    report = checked(tmp_path)
    assert len(HARMLESS) == 11
    assert report.episodes[0].verdict.reasons == {"windows": (), "actions": ()}
    assert report.episodes[0].facts.annotation.timeline.frames_per_second == 19.35


def test_a_whole_episode_is_counted_to_the_packet_and_hashed_once(tmp_path):
    folder = stage(tmp_path)
    manifest = write_manifest(tmp_path)
    report = checked(tmp_path)
    assert (report.staged, report.intact, report.usable, report.failing) == (1, 1, 1, ())
    assert report.inputs == {"transfer_manifest": manifest.document()["content_sha256"]}
    assert report.hashes == "compared with the transfer manifest"
    for name in VIDEOS:
        video = report.episodes[0].facts.videos[name]
        assert (video.frames, video.counted_frames) == (FRAMES, FRAMES)
        assert report.episodes[0].files[name].sha256 == sha256_of_file(folder / name)


def other_bytes(folder: Path):
    place = folder / "stereo_right.mp4"
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)


def shorter(folder: Path):
    place = folder / "stereo_right.mp4"
    place.write_bytes(place.read_bytes()[:-1])


def gone(folder: Path):
    (folder / "stereo_right.mp4").unlink()


def a_link(folder: Path):
    (folder / "stereo_right.mp4").rename(folder.parent / "elsewhere.mp4")
    (folder / "stereo_right.mp4").symlink_to(folder.parent / "elsewhere.mp4")


def a_pipe(folder: Path):
    (folder / "stereo_right.mp4").unlink()
    os.mkfifo(folder / "stereo_right.mp4")


def a_folder(folder: Path):
    (folder / "stereo_right.mp4").unlink()
    (folder / "stereo_right.mp4").mkdir()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        pytest.param(other_bytes, "sha256 differs", id="same-size-other-bytes"),
        pytest.param(shorter, "size differs", id="wrong-size-same-name"),
        pytest.param(gone, "not there", id="gone"),
        pytest.param(a_link, "cannot be opened", id="a-link"),
        pytest.param(a_pipe, "not a plain file", id="a-pipe"),
        pytest.param(a_folder, "not a plain file", id="a-folder"),
    ],
)
def test_a_file_that_is_not_the_manifests_fails_its_episode(tmp_path, damage, fault):
    folder = stage(tmp_path)
    write_manifest(tmp_path)
    damage(folder)
    report = checked(tmp_path)
    episode = report.episodes[0]
    assert not episode.intact
    assert fault in episode.files["stereo_right.mp4"].fault
    assert "stereo_right.mp4" in episode.verdict.reasons["windows"][0]
    assert (report.intact, report.usable, report.usable_for) == (0, 0, {"windows": 0, "actions": 0})


def test_without_a_manifest_hashes_are_recorded_and_the_report_says_that_nothing_was_compared(tmp_path):
    folder = stage(tmp_path)
    report = checked(tmp_path)
    assert report.hashes == "not compared: no xperience-transfer-manifest.json in the data root"
    assert report.inputs == {}
    assert report.episodes[0].files[ANNOTATION].sha256 == sha256_of_file(folder / ANNOTATION)


def test_what_does_not_belong_there_fails_an_episode_that_is_usable(tmp_path):
    stage(tmp_path, Defect.STRAY_RRD)
    report = checked(tmp_path)
    assert report.episodes[0].unexpected == ("visualization.rrd",)
    assert report.usable == 1
    assert report.failing == report.episodes


def test_an_episode_of_the_manifest_that_is_not_there_is_a_verdict(tmp_path):
    stage(tmp_path)
    stage(tmp_path, path="11111111-0000-4000-8000-000000000000/ep2")
    (tmp_path / "README.md").write_text("x")
    write_manifest(tmp_path)
    shutil.rmtree(tmp_path / WHOLE)
    (tmp_path / "README.md").write_text("y")
    report = checked(tmp_path)
    assert [episode.intact for episode in report.episodes] == [False, True]
    assert report.episodes[0].verdict.reasons["windows"][0] == "annotation.hdf5: not there"
    assert report.failing_others == ("README.md",)


def test_two_checks_have_the_same_content_and_shards_merge_to_it(tmp_path):
    for number in range(3):
        stage(tmp_path / "data", path=f"{number}0000000-0000-4000-8000-000000000000/ep1")
    (tmp_path / "data" / "README.md").write_text("x")
    write_manifest(tmp_path / "data")
    whole = checked(tmp_path / "data")
    output = tmp_path / "check.json"
    for index in range(2):
        shard = shard_of(str(index), 2)
        report = checked(tmp_path / "data", shard)
        assert report.staged == (2, 1)[index]
        report.write(shard.path(output))
    assert (tmp_path / "check-1-of-2.json").exists()
    merged = merge_shards(output, 2)
    assert merged.document()["content_sha256"] == whole.document()["content_sha256"]
    with pytest.raises(UsageError, match="no report"):
        merge_shards(output, 3)
    checked(tmp_path / "data", Shard(1, 2), least_valid_share=0.9).write(Shard(1, 2).path(output))
    with pytest.raises(BadDataError, match="belong together"):
        merge_shards(output, 2)


@pytest.mark.parametrize(
    ("text", "shards", "shard"),
    [
        pytest.param("", 1, Shard(0, 1), id="whole"),
        pytest.param("3/8", 1, Shard(3, 8), id="i/N"),
        pytest.param("3", 8, Shard(3, 8), id="a-pod-of-a-job"),
        pytest.param("0", 1, Shard(0, 1), id="a-job-of-one"),
    ],
)
def test_a_shard_is_named_by_hand_or_by_the_job(text, shards, shard):
    assert shard_of(text, shards) == shard


@pytest.mark.parametrize(("text", "shards"), [("8/8", 1), ("8", 8), ("x", 2), ("", 2), ("-1/2", 1), ("1/0", 1)])
def test_a_shard_that_is_none_is_a_usage_error(text, shards):
    with pytest.raises(UsageError):
        shard_of(text, shards)


def test_a_stop_ends_a_check_without_a_report(tmp_path):
    stage(tmp_path)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        check(PrepareCheckSettings(data_root=tmp_path), shard=Shard(), stop=stop)


def test_a_folder_without_episodes_is_bad_data_and_none_at_all_bad_usage(tmp_path):
    with pytest.raises(BadDataError, match="no episode"):
        checked(tmp_path)
    with pytest.raises(UsageError, match="data root"):
        checked(tmp_path / "none")


def test_a_manifest_that_leads_out_of_the_data_root_is_refused(tmp_path):
    stage(tmp_path / "data")
    files = [
        TransferredFile(
            path=f"../{ANNOTATION}", size_bytes=1, sha256="0" * 64, sha256_from="hub-lfs", verified_how="test"
        )
    ]
    manifest = TransferManifest(repo_id="o/d", repo_type="dataset", revision="0" * 40, store="ssh://x", files=files)
    manifest.write(tmp_path / "data" / MANIFEST_NAME)
    with pytest.raises(BadDataError, match="leads out"):
        checked(tmp_path / "data")
