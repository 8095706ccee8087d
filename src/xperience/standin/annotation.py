"""Invented content for every data set of annotation.hdf5: plausible units and motions on one timeline."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xperience.episode.schema import ANNOTATION_SCHEMA, CAMERAS, HANDS
from xperience.standin.captions import caption

Values = NDArray[Any] | float | str
Floats = NDArray[np.float64]

IMU_HZ = 200
POINTS = 47
BODY_HEIGHT_METRES = 1.6
PELVIS_BELOW_HEAD_METRES = 0.6
DEPTH_RANGE_METRES = (0.3, 4.0)


def annotation_values(timestamps_ns: Sequence[int], *, seed: int, depth_pixels: int) -> dict[str, Values]:
    """Path to content of a whole annotation, in the schema's order, shapes and types."""
    drawn = np.random.default_rng(seed)
    seconds = (np.array(timestamps_ns, dtype=np.int64) - timestamps_ns[0]) / 1e9
    values: dict[str, Values] = {
        **_calibration(),
        "caption": caption(timestamps_ns, seed),
        **_depth(drawn, len(timestamps_ns), depth_pixels),
        **_poses(drawn, seconds),
        **_hands(drawn, seconds),
        **_clocks(drawn, timestamps_ns),
        **_metadata(seed),
    }
    return {
        dataset.path: np.asarray(values[dataset.path], dtype=dataset.dtype)
        if dataset.dtype not in ("string", "bytes")
        else values[dataset.path]
        for dataset in ANNOTATION_SCHEMA
    }


def imu_rows(timestamps_ns: Sequence[int]) -> int:
    """Rows that the IMU writes from the first frame to before the last one; at least one."""
    return max(1, round((timestamps_ns[-1] - timestamps_ns[0]) / 1e9 * IMU_HZ))


def _calibration() -> dict[str, Values]:
    values: dict[str, Values] = {}
    for number, camera in enumerate(CAMERAS):
        values[f"calibration/{camera}/K"] = np.array([200.0 + number, 201.0 + number, 256.0, 256.0])
        values[f"calibration/{camera}/D"] = np.array([0.01, -0.002, 0.001, 0.0])
        values[f"calibration/{camera}/T_c_b"] = _translation(0.04 * number - 0.06, 0.0, 0.02)
        values[f"calibration/{camera}/camera_model"] = "pinhole"
        values[f"calibration/{camera}/distortion_model"] = "equidistant"
    values["calibration/cam01/K"] = np.array([250.0, 250.0, 256.0, 256.0])
    values["calibration/cam01/T_c0_b"] = _translation(-0.03, 0.0, 0.02)
    values["calibration/cam01/baseline"] = 0.06
    return values


def _translation(x: float, y: float, z: float) -> Floats:
    """(4, 4) rigid transform without rotation, metres."""
    matrix = np.eye(4)
    matrix[:3, 3] = (x, y, z)
    return matrix


def _depth(drawn: np.random.Generator, frames: int, pixels: int) -> dict[str, Values]:
    nearest, farthest = DEPTH_RANGE_METRES
    depth = nearest + (farthest - nearest) * drawn.random((frames, pixels, pixels), dtype=np.float32)
    confidence = drawn.integers(0, 256, size=depth.shape, dtype=np.uint8)
    depth[confidence < 16] = 0  # invalid
    return {
        "depth/depth": depth,
        "depth/confidence": confidence,
        "depth/scale": 0.5,
        "depth/depth_min": nearest,
        "depth/depth_max": farthest,
    }


def _poses(drawn: np.random.Generator, seconds: Floats) -> dict[str, Values]:
    """slam and full_body_mocap: a head that walks a slow ellipse and turns about the vertical axis."""
    frames = len(seconds)
    phase = drawn.random() * 2 * np.pi
    head = np.stack([0.5 * np.sin(0.4 * seconds + phase), 0.3 * np.cos(0.4 * seconds), 0.02 * np.sin(6 * seconds)], 1)
    yaw = 0.3 * np.sin(0.5 * seconds + phase)
    turn = _about_vertical(yaw)
    root = head - (0, 0, PELVIS_BELOW_HEAD_METRES)
    joints = drawn.uniform((-0.3, -0.3, -0.9), (0.3, 0.3, 0.6), size=(52, 3))
    sway = 0.05 * np.sin(seconds[:, None, None] * 2 + np.arange(52)[:, None])
    return {
        "slam/quat_wxyz": _about_vertical(-yaw),
        "slam/trans_xyz": -_rotate_about_vertical(-yaw, head),
        "slam/point_cloud": drawn.uniform(-3, 3, size=(POINTS, 3)),
        "full_body_mocap/keypoints": root[:, None] + joints + sway,
        "full_body_mocap/contacts": 0.5 + 0.5 * np.sin(seconds[:, None] + np.arange(21)),
        "full_body_mocap/Ts_world_cpf": np.concatenate([turn, head], 1),
        "full_body_mocap/Ts_world_root": np.concatenate([turn, root], 1),
        "full_body_mocap/body_quats": _quaternions(drawn, (frames, 21)),
        "full_body_mocap/left_hand_quats": _quaternions(drawn, (frames, 15)),
        "full_body_mocap/right_hand_quats": _quaternions(drawn, (frames, 15)),
        "full_body_mocap/betas": np.tile(drawn.normal(size=16), (frames, 1)),
        "full_body_mocap/frame_nums": np.arange(frames),
    }


def _about_vertical(angles: Floats) -> Floats:
    """(N, 4) quaternions, w first, of rotations about z by `angles` in radians."""
    zeros = np.zeros_like(angles)
    return np.stack([np.cos(angles / 2), zeros, zeros, np.sin(angles / 2)], 1)


def _rotate_about_vertical(angles: Floats, points: Floats) -> Floats:
    """(N, 3) points, each rotated about z by its angle in radians."""
    cosine, sine = np.cos(angles), np.sin(angles)
    x, y, z = points.T
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], 1)


def _quaternions(drawn: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Unit quaternions, w first, near the identity."""
    values = drawn.normal((1, 0, 0, 0), 0.1, size=(*shape, 4))
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))


def _hands(drawn: np.random.Generator, seconds: Floats) -> dict[str, Values]:
    """Both hands before the stereo-left camera, moving to and fro."""
    frames = len(seconds)
    values: dict[str, Values] = {}
    for side, x in zip(HANDS, (-0.15, 0.15), strict=True):
        motion = np.stack([x + 0.05 * np.sin(seconds), 0.03 * np.cos(2 * seconds), np.full(frames, 0.4)], 1)
        values[f"hand_mocap/{side}_joints_3d"] = motion[:, None] + drawn.uniform(-0.08, 0.08, size=(21, 3))
        values[f"hand_mocap/{side}_translation"] = motion
        values[f"hand_mocap/{side}_mano_hand_global_orient"] = np.tile(np.eye(3).ravel(), (frames, 1))
        values[f"hand_mocap/{side}_mano_hand_pose"] = np.tile(np.eye(3).ravel(), (frames, 15))
        values[f"hand_mocap/{side}_mano_hand_betas"] = np.tile(drawn.normal(size=10), (frames, 1))
    return values


def _clocks(drawn: np.random.Generator, timestamps_ns: Sequence[int]) -> dict[str, Values]:
    """imu, video and slam/frame_names."""
    start, frames, rows = timestamps_ns[0], len(timestamps_ns), imu_rows(timestamps_ns)
    elapsed = np.array(timestamps_ns, dtype=np.int64) - start
    return {
        "imu/accel_xyz": drawn.normal((0, 0, 9.81), 0.05, size=(rows, 3)),
        "imu/gyro_xyz": drawn.normal(scale=0.02, size=(rows, 3)),
        "imu/device_timestamp_ns": start + np.arange(rows) * (10**9 // IMU_HZ),
        "imu/keyframe_indices": np.minimum(elapsed * IMU_HZ // 10**9, rows - 1),
        "slam/frame_names": np.array([f"{timestamp}.jpg" for timestamp in timestamps_ns], dtype="S24"),
        "video/device_timestamp": np.array(timestamps_ns, dtype="S20"),
        "video/frame_number": np.arange(frames),
        "video/length_sec": float(elapsed[-1]) / 1e9,
    }


def _metadata(seed: int) -> dict[str, Values]:
    recording = {
        "mjpeg_corruption": {"duration_sec": 0.0, "total_frames": 0},
        "frame_drops": {"cam": {"expected_fps": 20}, "imu": {"expected_fps": IMU_HZ}},
        "file_integrity": {"complete": True},
    }
    return {
        "metadata/body_height": BODY_HEIGHT_METRES,
        "metadata/device_id": f"synthetic-{seed % 7}",
        "metadata/device_version": "synthetic-1",
        "metadata/health_report": json.dumps({"recordings": [recording]}),
        "metadata/other": "{}",
        "metadata/time_created": "2026-01-01T10:00:00",
    }
