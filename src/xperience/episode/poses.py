"""Rigid poses: the files hold world → body, and a camera is where the body is, moved by its calibration."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A quaternion this far from length 1 is no rotation (a lost track is stored as zeros or NaN).
LENGTH_TOLERANCE = 0.1


@dataclass(frozen=True)
class Poses:
    """`world_from_body`: (R, 4, 4) float64, metres; NaN where `valid` (R,) is false."""

    world_from_body: Floats
    valid: NDArray[np.bool_]

    def world_from_camera(self, camera_from_body: Floats) -> Floats:
        """(R, 4, 4) poses of a camera in the world, from its (4, 4) calibration (`T_c0_b`, `T_c_b`)."""
        return np.asarray(self.world_from_body @ inverted(camera_from_body))


def poses_of(quat_wxyz: NDArray[Any], trans_xyz: NDArray[Any]) -> Poses:
    """Invert world → body, stored as unit quaternions (R, 4), w first, and translations (R, 3) in metres.

    p_body = R(q) · p_world + t, so world_from_body is [R(q)ᵀ | −R(q)ᵀ t].
    """
    quaternions, moved = np.asarray(quat_wxyz, dtype=np.float64), np.asarray(trans_xyz, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.sqrt((quaternions**2).sum(axis=-1))
        valid = (np.abs(lengths - 1) < LENGTH_TOLERANCE) & np.isfinite(moved).all(axis=-1)
    body_from_world = np.full((len(quaternions), 4, 4), np.nan)
    if valid.any():
        body_from_world[valid, :3, :3] = rotations(quaternions[valid] / lengths[valid, None])
        body_from_world[valid, :3, 3] = moved[valid]
        body_from_world[valid, 3] = (0, 0, 0, 1)
    return Poses(inverted(body_from_world), valid)


def rotations(quat_wxyz: Floats) -> Floats:
    """(R, 3, 3) rotation matrices of unit quaternions (R, 4), w first."""
    w, x, y, z = quat_wxyz.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def inverted(transform: Floats) -> Floats:
    """Inverse of rigid transforms (…, 4, 4)."""
    turned = np.swapaxes(transform[..., :3, :3], -1, -2)
    result = np.array(transform, dtype=np.float64)
    result[..., :3, :3] = turned
    result[..., :3, 3] = -np.einsum("...ij,...j->...i", turned, transform[..., :3, 3])
    return result
