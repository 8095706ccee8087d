import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracks_parts import track

from xperience.common.errors import BadDataError
from xperience.cosmos3_nano.actions import BLOCKS, actions_of, columns, idle_count, roundtrip
from xperience.cosmos3_nano.geometry import IDENTITY_ROW, angles_degrees, integrated, pose_rows, wrist_poses
from xperience.cosmos3_nano.tracks import Track, read_track
from xperience.episode.annotation import Annotation
from xperience.episode.timeline import Timeline
from xperience.standin.episodes import Defect, write_episode

NVIDIA_TIPS = (4, 8, 12, 16, 20)


def test_the_57_columns_are_camera_right_hand_left_hand_in_nvidias_order():
    names = columns("hand_pose")
    assert len(names) == len(set(names)) == 57
    assert names[:9] == columns("camera_pose")
    assert [names.index(f"{block}_tx") for block in ("camera", "right_wrist", "left_wrist")] == [0, 9, 33]
    assert names[18:21] == ("right_fingertips_thumb_x", "right_fingertips_thumb_y", "right_fingertips_thumb_z")
    assert names[30] == "right_fingertips_little_x" and names[42] == "left_fingertips_thumb_x"


def test_a_camera_that_stands_still_gives_the_identity_row():
    still = pose_rows(np.tile(np.eye(4), (3, 1, 1)))
    assert still.tolist() == [[0, 0, 0, 1, 0, 0, 0, 1, 0]] * 2 == [list(IDENTITY_ROW)] * 2


def test_translation_is_in_the_previous_cameras_frame_and_rotation_is_by_columns():
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[0, :3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # turned by 90° about z: its x axis is the world's y
    poses[1, :3, :3] = np.eye(3)
    poses[1, :3, 3] = (0, 2, 0)
    row = pose_rows(poses)[0]
    assert row[:3] == pytest.approx([2, 0, 0])  # along its own x
    assert row[3:6] == pytest.approx([0, -1, 0]) and row[6:9] == pytest.approx([1, 0, 0])


def nvidia_57(found: Track):
    """Their formula, written anew from the cookbook: inverses of 4×4 matrices, fingertips of the next frame."""

    def rows(poses):
        delta = np.linalg.inv(poses[:-1]) @ poses[1:]
        return np.concatenate([delta[:, :3, 3], delta[:, :3, 0], delta[:, :3, 1]], 1)

    parts = [rows(found.world_from_camera)]
    for side in ("right", "left"):
        joints = found.hands[side][0]
        wrists, _ = wrist_poses(joints)
        tips = np.concatenate([joints[1:, NVIDIA_TIPS], np.ones((len(joints) - 1, 5, 1))], 2)
        parts.append(rows(found.world_from_camera @ wrists))
        parts.append(np.einsum("tij,tnj->tni", np.linalg.inv(wrists[1:]), tips)[..., :3].reshape(-1, 15))
    return np.concatenate(parts, 1)


def test_the_57_numbers_are_those_of_nvidias_formula():
    found = track(seed=3)
    assert np.abs(actions_of(found, "hand_pose").values - nvidia_57(found)).max() < 1e-12
    assert np.abs(actions_of(found, "camera_pose").values - nvidia_57(found)[:, :9]).max() < 1e-12


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["hand_pose", "camera_pose"]), st.sets(st.integers(0, 16), max_size=5))
def test_decoded_actions_are_the_track_to_a_hundredth_of_a_millimetre(seed, domain, hidden):
    found = track(seed=seed, unseen=[("left", row) for row in hidden])
    error = roundtrip(actions_of(found, domain), found)
    assert error.metres <= 1e-5 and error.degrees <= 0.01 and error.orthonormality <= 1e-4


def test_the_roundtrip_finds_a_rotation_stored_by_rows_and_a_wrong_fingertip():
    found = track()
    transposed = actions_of(found, "hand_pose")
    camera = integrated(transposed.values[:, :9], np.eye(4))
    relative = np.swapaxes(np.linalg.inv(camera[:-1]) @ camera[1:], 1, 2)
    transposed.values[:, 3:6], transposed.values[:, 6:9] = relative[:, :3, 0], relative[:, :3, 1]
    assert roundtrip(transposed, found).degrees > 0.01
    moved = actions_of(found, "hand_pose")
    moved.values[5, BLOCKS["left_fingertips"]] += 0.001
    assert roundtrip(moved, found).metres > 1e-5


def test_the_wrist_looks_from_the_wrist_to_the_fingers_and_from_the_thumb_to_the_little_finger():
    joints = np.zeros((1, 21, 3))
    joints[0, :, 2] = 1.0
    joints[0, 0, :2], joints[0, 5, :2], joints[0, 9, :2], joints[0, 17, :2] = (
        (0, 0),
        (-0.03, 0.08),
        (0, 0.09),
        (0.04, 0.07),
    )
    pose, valid = wrist_poses(joints)
    assert valid.all() and np.allclose(np.linalg.det(pose[0, :3, :3]), 1)
    assert pose[0, :3, 2] == pytest.approx([0, 1, 0])  # to the fingers
    assert pose[0, :3, 0] == pytest.approx([1, 0, 0])  # to the little finger


def test_an_unseen_hand_is_masked_where_it_is_needed_and_holds_no_motion():
    found = actions_of(track(unseen=[("right", 4)]), "hand_pose")
    wrist, tips = found.valid[:, BLOCKS["right_wrist"]].all(1), found.valid[:, BLOCKS["right_fingertips"]].all(1)
    assert np.flatnonzero(~wrist).tolist() == [3, 4]  # into the frame, and out of it
    assert np.flatnonzero(~tips).tolist() == [3]
    assert found.values[3, BLOCKS["right_wrist"]].tolist() == list(IDENTITY_ROW)
    assert (found.values[3, BLOCKS["right_fingertips"]] == 0).all()
    assert found.valid[:, BLOCKS["left_wrist"]].all() and np.isfinite(found.values).all()


def test_a_lost_camera_gives_no_action():
    with pytest.raises(BadDataError, match="camera pose"):
        actions_of(track(lost=[3]), "camera_pose")


def test_steps_without_motion_are_idle():
    found = track(rows=5)
    poses = found.world_from_camera.copy()
    poses[2] = poses[1]
    stopped = Track(found.timeline, poses, found.tracked, found.hands)
    assert idle_count(actions_of(stopped, "camera_pose")) == 1
    assert idle_count(actions_of(found, "hand_pose")) == 0


def test_the_world_to_body_poses_of_a_file_become_the_stereo_cameras(tmp_path):
    folder = tmp_path / "session" / "ep1"
    write_episode(folder, frames=40, seed=1)
    with Annotation.open(folder / "annotation.hdf5") as annotation:
        found = read_track(annotation, "ep1")
        quaternion = annotation.dataset("slam/quat_wxyz")[7]
        moved, calibration = annotation.dataset("slam/trans_xyz")[7], annotation.stereo_from_body()
    from scipy.spatial.transform import Rotation

    body_from_world = np.eye(4)
    body_from_world[:3, :3] = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
    body_from_world[:3, 3] = moved
    truth = np.linalg.inv(calibration @ body_from_world)
    assert np.abs(found.world_from_camera[7] - truth).max() < 1e-9
    assert roundtrip(actions_of(found, "hand_pose"), found).metres <= 1e-5


def test_an_episode_without_slam_has_no_track(tmp_path):
    folder = tmp_path / "session" / "ep1"
    write_episode(folder, frames=8, seed=1, defects=frozenset({Defect.NO_SLAM_AND_BODY}))
    with Annotation.open(folder / "annotation.hdf5") as annotation, pytest.raises(BadDataError, match="camera track"):
        read_track(annotation, "ep1")


def test_angles_are_exact_near_zero():
    turned = np.eye(4)
    angle = np.radians(1e-5)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert angles_degrees(np.eye(3), turned[:3, :3]) == pytest.approx(1e-5, rel=1e-6)


def test_rows_of_a_track_keep_their_own_times():
    found = track(rows=9).rows(np.array([0, 2, 4]))
    assert isinstance(found.timeline, Timeline) and found.timeline.frames == len(found.tracked) == 3
    assert np.diff(found.timeline.t_ns).tolist() == [100_000_000] * 2
