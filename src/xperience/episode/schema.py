"""The layout of an episode's annotation.hdf5: every data set with shape, type, unit and meaning.

Shapes: N frames, M rows of the IMU, P points of the map, D pixels a side of the depth image. Sources: the data set's
toolkit and its readers; the count of 65 data sets is that of real files.
"""

from dataclasses import dataclass
from typing import Literal

Dimension = Literal["N", "M", "P", "D"] | int
CAMERAS = ("cam0", "cam1", "cam2", "cam3")
HANDS = ("left", "right")


@dataclass(frozen=True, slots=True)
class Dataset:
    """One HDF5 data set; dtype is NumPy's name, or `string` (UTF-8) or `bytes` (fixed length, NUL padded)."""

    path: str
    shape: tuple[Dimension, ...]
    dtype: str
    unit: str = ""
    meaning: str = ""


def _camera(name: str) -> tuple[Dataset, ...]:
    return (
        Dataset(f"calibration/{name}/K", (4,), "float64", "px", "fx, fy, cx, cy"),
        Dataset(f"calibration/{name}/D", (4,), "float64", "", "fisheye distortion"),
        Dataset(f"calibration/{name}/T_c_b", (4, 4), "float64", "m", "camera from body"),
        Dataset(f"calibration/{name}/camera_model", (), "string"),
        Dataset(f"calibration/{name}/distortion_model", (), "string"),
    )


def _hand(side: str) -> tuple[Dataset, ...]:
    return (
        Dataset(f"hand_mocap/{side}_joints_3d", (N, 21, 3), "float32", "m", "stereo-left camera frame, MANO order"),
        Dataset(f"hand_mocap/{side}_translation", (N, 3), "float32", "m"),
        Dataset(f"hand_mocap/{side}_mano_hand_global_orient", (N, 9), "float32", "", "3×3 rotation, row-major"),
        Dataset(f"hand_mocap/{side}_mano_hand_pose", (N, 135), "float32", "", "15 joint rotations 3×3"),
        Dataset(f"hand_mocap/{side}_mano_hand_betas", (N, 10), "float32", "", "MANO shape"),
    )


N: Dimension = "N"
M: Dimension = "M"
P: Dimension = "P"
D: Dimension = "D"

ANNOTATION_SCHEMA: tuple[Dataset, ...] = (
    *(dataset for camera in CAMERAS for dataset in _camera(camera)),
    Dataset("calibration/cam01/K", (4,), "float64", "px", "rectified stereo pair"),
    Dataset("calibration/cam01/T_c0_b", (4, 4), "float64", "m", "stereo-left from body"),
    Dataset("calibration/cam01/baseline", (), "float64", "m"),
    Dataset("caption", (), "string", "", "JSON: config, segments, global_summary"),
    Dataset("depth/depth", (N, D, D), "float32", "m", "0 is invalid"),
    Dataset("depth/confidence", (N, D, D), "uint8"),
    Dataset("depth/scale", (), "float64", "", "share of the stereo image's size"),
    Dataset("depth/depth_min", (), "float64", "m"),
    Dataset("depth/depth_max", (), "float64", "m"),
    Dataset("full_body_mocap/keypoints", (N, 52, 3), "float32", "m", "SMPL-H joints, world"),
    Dataset("full_body_mocap/contacts", (N, 21), "float32", "", "per joint, continuous"),
    Dataset("full_body_mocap/Ts_world_cpf", (N, 7), "float32", "m", "head: wxyz + xyz"),
    Dataset("full_body_mocap/Ts_world_root", (N, 7), "float32", "m", "pelvis: wxyz + xyz"),
    Dataset("full_body_mocap/body_quats", (N, 21, 4), "float32", "", "local joint rotations, wxyz"),
    Dataset("full_body_mocap/left_hand_quats", (N, 15, 4), "float32"),
    Dataset("full_body_mocap/right_hand_quats", (N, 15, 4), "float32"),
    Dataset("full_body_mocap/betas", (N, 16), "float32", "", "body shape, per frame"),
    Dataset("full_body_mocap/frame_nums", (N,), "int64", "", "source video frame of each row"),
    *(dataset for side in HANDS for dataset in _hand(side)),
    Dataset("imu/accel_xyz", (M, 3), "float64", "m/s²"),
    Dataset("imu/gyro_xyz", (M, 3), "float64", "rad/s"),
    Dataset("imu/device_timestamp_ns", (M,), "int64", "ns", "device clock, 200 Hz"),
    Dataset("imu/keyframe_indices", (N,), "int64", "", "IMU row of each video frame"),
    Dataset("metadata/body_height", (), "float64", "m", "ground is at −body_height"),
    Dataset("metadata/device_id", (), "string"),
    Dataset("metadata/device_version", (), "string"),
    Dataset("metadata/health_report", (), "string", "", "JSON"),
    Dataset("metadata/other", (), "string", "", "JSON"),
    Dataset("metadata/time_created", (), "string", "", "ISO time"),
    Dataset("slam/quat_wxyz", (N, 4), "float64", "", "world to body, w first"),
    Dataset("slam/trans_xyz", (N, 3), "float64", "m", "world to body"),
    Dataset("slam/frame_names", (N,), "bytes", "ns", "<device timestamp>.jpg"),
    Dataset("slam/point_cloud", (P, 3), "float64", "m", "sparse, static"),
    Dataset("video/device_timestamp", (N,), "bytes", "ns", "the canonical timeline; readers accept int too"),
    Dataset("video/frame_number", (N,), "int64"),
    Dataset("video/length_sec", (), "float64", "s"),
)
