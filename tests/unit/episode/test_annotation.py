"""The reader on every defect that the synthetic episodes have, and on files that mean harm."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from xperience.common.layout import ANNOTATION, VIDEOS
from xperience.episode.annotation import Annotation, AnnotationError
from xperience.episode.captions import parse_caption, resolve_caption
from xperience.episode.labels import labelled_windows, literal_labels
from xperience.episode.schema import ANNOTATION_SCHEMA
from xperience.episode.timeline import TimelineError
from xperience.episode.video import VideoError, read_header
from xperience.standin.episodes import Defect, write_episode

FRAMES = 60
WHOLE = {
    "top": {path.partition("/")[0] for path in (dataset.path for dataset in ANNOTATION_SCHEMA)},
    "frames": FRAMES, "fps": 20.0, "caption": "caption", "windows": 1, "last": FRAMES - 1, "unresolved": 0,
    "poses": 1.0, "left": 1.0, "right": 1.0, "keypoints": (FRAMES, 52, 3), "calibration": True,
    "videos": [FRAMES] * 6, "audio": ["aac"] * 6,
}  # fmt: skip
# What differs from a whole episode; a string under `annotation` is the error that opening gives.
GOLDEN = {
    Defect.NO_SLAM_AND_BODY: {"top": WHOLE["top"] - {"slam", "full_body_mocap"}, "poses": None, "keypoints": None},
    Defect.NO_CAPTION: {
        "top": WHOLE["top"] - {"caption"}, "caption": None, "windows": None, "last": None, "unresolved": None,
    },
    Defect.CAPTIONS_KEY: {"top": WHOLE["top"] - {"caption"} | {"captions"}, "caption": "captions"},
    Defect.CAPTION_IS_PATH: {},
    Defect.CAPTION_ONE_SPELLING: {},
    Defect.CAPTION_ENDS_AT_LAST: {},
    Defect.CAPTION_SWAPPED: {},
    Defect.NAN_HANDS: {"left": 0.0},
    Defect.ZERO_HANDS: {"left": 0.0},
    Defect.LEADING_AXIS: {},
    Defect.INT_TIMESTAMPS: {},
    Defect.IMU_COLUMN: {},
    Defect.OLD_RIG: {},
    Defect.SLOW_CLOCK: {"fps": 19.35},
    Defect.TRUNCATED_ANNOTATION: {"annotation": "truncated"},
    Defect.ALTERED_BYTE: {},
    Defect.EMPTY_VIDEO: {"videos": [FRAMES] * 4 + [None, FRAMES], "audio": ["aac"] * 4 + [None, "aac"]},
    Defect.SHORT_VIDEO: {"videos": [FRAMES, FRAMES * 3 // 4] + [FRAMES] * 4},
    Defect.NO_VIDEOS: {"videos": [], "audio": []},
    Defect.NO_AUDIO: {"audio": [None] * 6},
    Defect.STRAY_RRD: {},
}  # fmt: skip


def seen(folder: Path) -> dict:
    """Everything that the reader finds in an episode, as one table."""
    found: dict = {"videos": [], "audio": []}
    for name in VIDEOS:
        if (folder / name).exists():
            try:
                header = read_header(folder / name)
            except VideoError:
                header = None
            found["videos"].append(header and header.frames)
            found["audio"].append(header and header.audio_codec)
    try:
        with Annotation.open(folder / ANNOTATION) as annotation:
            found |= seen_in(annotation, folder)
    except AnnotationError as error:
        found["annotation"] = error.why
    return found


def seen_in(annotation: Annotation, folder: Path) -> dict:
    timeline = annotation.timeline()
    caption = annotation.caption()
    spans = windows = None
    if caption is not None:
        text = caption[1] if b"{" in caption[1] else (folder / caption[1].decode()).read_text()
        spans = resolve_caption(parse_caption(text), timeline)
        windows = len(labelled_windows(literal_labels(spans.actions, timeline.frames)))
    poses, keypoints = annotation.poses(), annotation.keypoints()
    return {
        "top": set(annotation.groups),
        "frames": timeline.frames,
        "fps": round(timeline.frames_per_second, 2),
        "caption": caption and caption[0],
        "windows": windows,
        "last": spans and spans.subtasks[-1].last,
        "unresolved": spans and len(spans.unresolved),
        "poses": None if poses is None else poses.valid.mean(),
        "left": annotation.hand("left").present.mean(),
        "right": annotation.hand("right").present.mean(),
        "keypoints": None if keypoints is None else keypoints.shape,
        "calibration": annotation.stereo_from_body() is not None,
    }


@pytest.mark.parametrize("defect", [None, *Defect], ids=lambda defect: defect.name if defect else "whole")
def test_the_reader_sees_each_defect_and_nothing_else(tmp_path, defect):
    write_episode(tmp_path, frames=FRAMES, seed=3, defects=frozenset({defect} if defect else ()))
    expected = WHOLE | GOLDEN.get(defect, {})
    found = seen(tmp_path)
    if "annotation" in expected:
        assert expected["annotation"] in found["annotation"]
    else:
        assert found == expected


def test_every_defect_has_its_golden_facts():
    assert set(GOLDEN) == set(Defect)


def test_poses_are_the_body_in_the_world_and_the_camera_where_its_calibration_puts_it(whole):
    with Annotation.open(whole) as annotation, h5py.File(whole) as file:
        poses, stereo_from_body = annotation.poses(), annotation.stereo_from_body()
        head = file["full_body_mocap/Ts_world_cpf"][()]
        assert np.allclose(poses.world_from_body[:, :3, 3], head[:, 4:], atol=1e-6)
        cameras = poses.world_from_camera(stereo_from_body)
        body_from_camera = np.linalg.inv(stereo_from_body)
        assert np.allclose(cameras, poses.world_from_body @ body_from_camera)
        assert not np.allclose(cameras[:, :3, 3], poses.world_from_body[:, :3, 3], atol=1e-3)
        assert np.allclose(annotation.poses(slice(10, 12)).world_from_body, poses.world_from_body[10:12])


def test_a_lost_track_is_an_invalid_pose_and_not_a_rotation(tmp_path):
    file = hostile(tmp_path)
    file["slam/quat_wxyz"] = [[2, 0, 0, 0], [0, 0, 0, 0], [np.nan] * 4, [1.01, 0, 0, 0], [1, 0, 0, 0]]
    file["slam/trans_xyz"] = [[1, 2, 3]] * 4 + [[np.inf, 0, 0]]
    poses = read(file).poses()
    assert poses.valid.tolist() == [False, False, False, True, False]
    assert np.allclose(poses.world_from_body[3], [[1, 0, 0, -1], [0, 1, 0, -2], [0, 0, 1, -3], [0, 0, 0, 1]])
    assert np.isnan(poses.world_from_body[[0, 1, 2, 4], :3]).all()


def test_reading_rows_reads_those_rows(whole):
    with Annotation.open(whole) as annotation:
        assert (annotation.hand("right", slice(5, 9)).joints == annotation.hand("right").joints[5:9]).all()
        assert annotation.keypoints(slice(0, 2)).shape == (2, 52, 3)


def test_an_empty_file_has_no_facts_and_no_exceptions(tmp_path):
    annotation = read(hostile(tmp_path))
    assert annotation.groups == ()
    assert annotation.timeline() is annotation.caption() is annotation.poses() is annotation.hand("left") is None
    assert annotation.keypoints() is annotation.stereo_from_body() is annotation.rows_of("depth/depth") is None


def test_a_data_set_without_a_dataspace_is_not_what_the_schema_says(tmp_path):
    with h5py.File(tmp_path / "empty.hdf5", "w") as file:
        file["full_body_mocap/contacts"] = h5py.Empty("f4")
    with (
        Annotation.open(tmp_path / "empty.hdf5") as annotation,
        pytest.raises(AnnotationError, match="full_body_mocap/contacts"),
    ):
        annotation.contacts()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episode")
    write_episode(folder, frames=FRAMES, seed=3, defects=frozenset({Defect.LEADING_AXIS}))
    return folder / ANNOTATION


def hostile(folder: Path) -> h5py.File:
    return h5py.File(folder / ANNOTATION, "w")


def read(file: h5py.File) -> Annotation:
    name = Path(file.filename)
    file.close()
    return Annotation.open(name)


def linked_outside(file):
    with h5py.File(Path(file.filename).with_name("other.hdf5"), "w") as other:
        other["secret"] = "of another file"
    file["caption"] = h5py.ExternalLink("other.hdf5", "secret")
    return "link", lambda annotation: annotation.caption()


def stored_outside(file):
    (Path(file.filename).with_name("raw")).write_bytes(bytes(80))
    file.create_dataset(
        "video/device_timestamp", (10,), "int64", external=[(str(Path(file.filename).with_name("raw")), 0, 80)]
    )
    return "another file", lambda annotation: annotation.timeline()


def virtual(file):
    layout = h5py.VirtualLayout((10,), "int64")
    layout[:] = h5py.VirtualSource("other.hdf5", "t", (10,))
    file.create_virtual_dataset("video/device_timestamp", layout)
    return "another file", lambda annotation: annotation.timeline()


def soft_circle(file):
    file["slam"] = h5py.SoftLink("/slam")
    return "link", lambda annotation: annotation.poses()


def hard_circle(file):
    file.create_group("video")["device_timestamp"] = file["/"]
    return None, lambda annotation: annotation.timeline()


def a_billion_rows(file):
    file.create_dataset("hand_mocap/left_joints_3d", (10**9, 21, 3), "float32", chunks=(1000, 21, 3))
    return "schema", lambda annotation: annotation.hand("left")


def a_billion_times(file):
    file.create_dataset("video/device_timestamp", (10**9,), "int64", chunks=(1000,))
    return "shape", lambda annotation: annotation.timeline()


def bomb(file):
    shape = (900_000, 21, 3)
    file.create_dataset("hand_mocap/left_joints_3d", shape, "float32", chunks=shape, compression="gzip", fillvalue=1)
    return "chunks", lambda annotation: annotation.hand("left")


def wrong_type(file):
    file["hand_mocap/left_joints_3d"] = np.zeros((5, 21, 3), dtype="S4")
    return "schema", lambda annotation: annotation.hand("left")


def wrong_shape(file):
    file["slam/quat_wxyz"] = np.zeros((5, 3))
    file["slam/trans_xyz"] = np.zeros((5, 3))
    return "schema", lambda annotation: annotation.poses()


def rows_differ(file):
    file["slam/quat_wxyz"] = np.zeros((5, 4))
    file["slam/trans_xyz"] = np.zeros((4, 3))
    return "rows differ", lambda annotation: annotation.poses()


def compound_clock(file):
    file["video/device_timestamp"] = np.zeros(3, dtype=[("a", "i8")])
    return "type", lambda annotation: annotation.timeline()


def null_clock(file):
    file["video/device_timestamp"] = h5py.Empty("int64")
    return "shape", lambda annotation: annotation.timeline()


def caption_of_numbers(file):
    file["caption"] = np.arange(5)
    return "not a text", lambda annotation: annotation.caption()


def flat_calibration(file):
    file["calibration/cam01/T_c0_b"] = np.zeros(16)
    return "transform", lambda annotation: annotation.stereo_from_body()


@pytest.mark.parametrize(
    "make",
    [
        linked_outside, stored_outside, virtual, soft_circle, hard_circle, a_billion_rows, a_billion_times, bomb,
        wrong_type, wrong_shape, rows_differ, compound_clock, null_clock, caption_of_numbers, flat_calibration,
    ],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_a_file_that_means_harm_is_refused_by_name(tmp_path, make):
    file = hostile(tmp_path)
    why, look = make(file)
    annotation = read(file)
    if why is None:
        assert look(annotation) is None
    else:
        with pytest.raises((AnnotationError, TimelineError), match=why):
            look(annotation)


def test_a_caption_is_read_from_every_kind_of_text(tmp_path):
    for number, written in enumerate(("{}", np.bytes_(b"{}"), np.array(["{}"], dtype=object))):
        file = h5py.File(tmp_path / f"{number}.hdf5", "w")
        file.create_dataset("captions", data=written, dtype=h5py.string_dtype() if number == 2 else None)
        key, text = read(file).caption()
        assert key == "captions"
        assert json.loads(text) == {}
