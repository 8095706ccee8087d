import json
import re
import time

import av
import h5py
import numpy as np
import pytest

from xperience.common.errors import UsageError
from xperience.common.layout import VIDEOS
from xperience.episode.schema import ANNOTATION_SCHEMA
from xperience.standin.episodes import Defect, write_episode, write_repository


def write(folder, *defects, **options):
    return write_episode(folder, **{"frames": 40, "seed": 3, "defects": frozenset(defects), **options})


def datasets(folder):
    """Name to shape."""
    found = {}
    with h5py.File(folder / "annotation.hdf5") as file:
        file.visititems(lambda name, item: found.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None)
    return found


def type_of(folder, name):
    """The schema's word for a data set's type."""
    with h5py.File(folder / "annotation.hdf5") as file:
        dtype = file[name].dtype
    return {"O": "string", "S": "bytes"}.get(dtype.kind, dtype.name)


def caption_of(folder):
    with h5py.File(folder / "annotation.hdf5") as file:
        return json.loads(file["caption"][()])


def video(path):
    with av.open(str(path)) as container:
        frames = [frame.time for frame in container.decode(video=0)]
        codec = container.streams.video[0].codec_context.name
        sound = [stream.codec_context.name for stream in container.streams.audio]
    return frames, codec, sound


def test_an_episode_has_the_65_data_sets_of_the_schema_in_their_shapes_and_types(whole):
    found = datasets(whole)
    assert len(found) == 65
    sizes = {"N": 40, "M": 390, "P": 47, "D": 8}
    for entry in ANNOTATION_SCHEMA:
        assert found[entry.path] == tuple(sizes.get(size, size) for size in entry.shape), entry.path
        assert type_of(whole, entry.path) == entry.dtype, entry.path


def test_an_episode_of_genuine_depth_has_the_size_of_the_smallest_real_one(tmp_path):
    write(tmp_path, frames=20, depth_pixels=256)
    size = (tmp_path / "annotation.hdf5").stat().st_size
    assert abs(size - 6_687_192) / 6_687_192 < 0.002


def test_captions_mix_all_four_spellings_of_frame_references(whole):
    actions = [action for segment in caption_of(whole)["segments"] for action in segment["Current Action"]]
    references = [action[name] for action in actions for name in ("start_frame", "end_frame")]
    kinds = set()
    for written in references:
        if isinstance(written, int):
            kinds.add("ns" if written > 1e8 else "index")
        else:
            kinds.add("digits" if written.isdigit() else "name")
    assert kinds == {"digits", "name", "ns", "index"}


def test_the_videos_are_h264_and_aac_with_one_frame_per_timestamp(tmp_path):
    facts = write(tmp_path, fps=19.35)
    expected = [(t - facts.timestamps_ns[0]) / 1e9 for t in facts.timestamps_ns]
    for name in VIDEOS:
        frames, codec, sound = video(tmp_path / name)
        assert (codec, sound) == ("h264", ["aac"])
        assert np.allclose(frames, expected, atol=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / folder, seed=seed)
    for name in ("annotation.hdf5", *VIDEOS):
        first, second, other = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert first == second != other, name


def test_an_episode_is_written_fast_enough_for_tests(tmp_path):
    write(tmp_path / "warm")
    started = time.monotonic()
    write(tmp_path / "timed", frames=60)
    assert time.monotonic() - started < 2  # 0.3 s on an idle core


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episode") / "whole"
    write(folder)
    return folder


def dataset(folder, name):
    with h5py.File(folder / "annotation.hdf5") as file:
        return file[name][()]


def lacks_slam_and_body(folder, whole):
    found = datasets(folder)
    return not any(name.startswith(("slam", "full_body_mocap")) for name in found) and len(found) == 65 - 13


def has_a_path_as_caption(folder, whole):
    text = dataset(folder, "caption").decode()
    return text == "caption.json" and bool(json.loads((folder / text).read_text())["segments"])


def has_one_spelling(folder, whole):
    frames = dataset(folder, "video/device_timestamp")
    segments = caption_of(folder)["segments"]
    used = {action[name] for s in segments for action in s["Current Action"] for name in ("start_frame", "end_frame")}
    return used <= {frame.decode() for frame in frames}


def has_swapped_ends(folder, whole):
    spelled = caption_of(folder)["segments"][0]["Current Action"][1]
    return frame_of(folder, spelled["start_frame"]) > frame_of(folder, spelled["end_frame"])


def frame_of(folder, reference):
    """0-based frame of a reference in any spelling: digits and ints below 1e8 and frame_<n> count from 1."""
    number = int(str(reference).removeprefix("frame_"))
    if number < 100_000_000:
        return number - 1
    return [int(frame) for frame in dataset(folder, "video/device_timestamp")].index(number)


def is_truncated(folder, whole):
    try:
        h5py.File(folder / "annotation.hdf5").close()
    except OSError as error:
        return "truncated" in str(error)
    return False


def differs_in_one_byte(folder, whole):
    ours, theirs = (np.fromfile(path / "stereo_right.mp4", np.uint8) for path in (folder, whole))
    return len(ours) == len(theirs) and np.count_nonzero(ours != theirs) == 1


def left_hand(folder):
    return dataset(folder, "hand_mocap/left_joints_3d")


VISIBLE = {
    Defect.NO_SLAM_AND_BODY: lacks_slam_and_body,
    Defect.NO_CAPTION: lambda folder, whole: not {"caption", "captions"} & datasets(folder).keys(),
    Defect.CAPTIONS_KEY: lambda folder, whole: {"caption", "captions"} & datasets(folder).keys() == {"captions"},
    Defect.CAPTION_IS_PATH: has_a_path_as_caption,
    Defect.CAPTION_ONE_SPELLING: has_one_spelling,
    Defect.CAPTION_ENDS_AT_LAST: lambda folder, whole: (
        frame_of(folder, caption_of(folder)["segments"][-1]["end_frame"]) == 39
    ),
    Defect.CAPTION_SWAPPED: has_swapped_ends,
    Defect.NAN_HANDS: lambda folder, whole: np.isnan(left_hand(folder)).all(),
    Defect.ZERO_HANDS: lambda folder, whole: not left_hand(folder).any(),
    Defect.LEADING_AXIS: lambda folder, whole: dataset(folder, "full_body_mocap/keypoints").shape == (1, 40, 52, 3),
    Defect.INT_TIMESTAMPS: lambda folder, whole: dataset(folder, "video/device_timestamp").dtype == np.int64,
    Defect.IMU_COLUMN: lambda folder, whole: dataset(folder, "imu/device_timestamp_ns").shape == (390, 1),
    Defect.OLD_RIG: lambda folder, whole: datasets(folder).get("calibration/cam2/T_cn_cnm1") == (4, 4),
    Defect.SLOW_CLOCK: lambda folder, whole: abs(video(folder / VIDEOS[0])[0][-1] - 39 / 19.35) < 1e-3,
    Defect.TRUNCATED_ANNOTATION: is_truncated,
    Defect.ALTERED_BYTE: differs_in_one_byte,
    Defect.EMPTY_VIDEO: lambda folder, whole: (folder / "stereo_left.mp4").stat().st_size == 0,
    Defect.SHORT_VIDEO: lambda folder, whole: len(video(folder / "fisheye_cam1.mp4")[0]) == 30,
    Defect.NO_VIDEOS: lambda folder, whole: [path.name for path in folder.iterdir()] == ["annotation.hdf5"],
    Defect.NO_AUDIO: lambda folder, whole: video(folder / VIDEOS[0])[2] == [],
    Defect.STRAY_RRD: lambda folder, whole: (folder / "visualization.rrd").exists(),
}


@pytest.mark.parametrize("defect", list(Defect), ids=lambda defect: defect.name)
def test_a_defect_is_in_the_files_and_in_no_whole_episode(tmp_path, whole, defect):
    write(tmp_path, defect)
    assert VISIBLE[defect](tmp_path, whole)
    assert not VISIBLE[defect](whole, whole)


def test_groups_deleted_in_place_leave_the_size_as_it_was(tmp_path, whole):
    write(tmp_path, Defect.NO_SLAM_AND_BODY)
    sizes = [(folder / "annotation.hdf5").stat().st_size for folder in (tmp_path, whole)]
    assert sizes[0] == sizes[1]


def test_every_reference_of_a_whole_caption_falls_on_the_timeline(whole):
    for segment in caption_of(whole)["segments"]:
        first, last = frame_of(whole, segment["start_frame"]), frame_of(whole, segment["end_frame"])
        for action in segment["Current Action"]:
            frames = [frame_of(whole, action[name]) for name in ("start_frame", "end_frame")]
            assert first <= frames[0] <= frames[1] <= last
        for name in segment["objects"]:
            assert first <= frame_of(whole, name) <= last
    assert last == 40  # one past the last frame, as real captions end


def test_poses_are_rigid_and_the_head_is_where_the_camera_is(whole):
    head = dataset(whole, "full_body_mocap/Ts_world_cpf")
    inward = dataset(whole, "slam/quat_wxyz"), dataset(whole, "slam/trans_xyz")
    for name in ("slam/quat_wxyz", "full_body_mocap/body_quats", "full_body_mocap/left_hand_quats"):
        assert np.allclose(np.linalg.norm(dataset(whole, name), axis=-1), 1, atol=1e-6), name
    assert np.allclose(rotate(inward[0], head[:, 4:]) + inward[1], 0, atol=1e-6)


def rotate(quaternions, points):
    w, axis = quaternions[:, :1], quaternions[:, 1:]
    return points + 2 * np.cross(axis, np.cross(axis, points) + w * points)


def test_an_episode_without_room_for_segments_is_refused(tmp_path):
    with pytest.raises(UsageError, match="3 frames"):
        write(tmp_path, frames=3)
    write(tmp_path, frames=4)


def test_a_repository_has_one_episode_per_session_under_uuid_names(tmp_path):
    facts = write_repository(tmp_path / "a", episodes=3, frames=20, defects={1: frozenset({Defect.STRAY_RRD})})
    again = write_repository(tmp_path / "b", episodes=3, frames=20)
    assert [episode.path for episode in facts] == [episode.path for episode in again]
    assert len({episode.path.partition("/")[0] for episode in facts}) == 3
    assert (tmp_path / "a" / facts[1].path / "visualization.rrd").exists()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/ep\d", facts[0].path)
