"""Rigid motion as Cosmos 3 writes it: frame by frame, in the frame before, rotation as two columns.

Source: cosmos-framework `pose_utils.py` (`backward_framewise`, `rot6d`). Everything is float64: the roundtrip is judged
at 1e-5 m and 0.01°.
"""

import numpy as np
from numpy.typing import NDArray

from xperience.episode.poses import Floats, inverted

# No motion: no translation, and the first two columns of the identity.
IDENTITY_ROW: tuple[float, ...] = (0, 0, 0, 1, 0, 0, 0, 1, 0)


def pose_rows(world_from_body: Floats) -> Floats:
    """(T + 1, 4, 4) poses → (T, 9): translation in the previous frame, then two columns of the relative rotation."""
    relative = inverted(world_from_body[:-1]) @ world_from_body[1:]
    return np.concatenate([relative[:, :3, 3], relative[:, :3, 0], relative[:, :3, 1]], axis=1)


def relative_poses(rows: Floats) -> Floats:
    """(T, 9) → (T, 4, 4). The two columns are made orthonormal (Gram–Schmidt), the third is their cross product."""
    first = rows[:, 3:6] / np.linalg.norm(rows[:, 3:6], axis=1, keepdims=True)
    second = rows[:, 6:9] - (first * rows[:, 6:9]).sum(1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = np.stack([first, second, np.cross(first, second)], axis=2)
    poses[:, :3, 3] = rows[:, :3]
    return poses


def integrated(rows: Floats, start: Floats) -> Floats:
    """(T, 9) rows from a (4, 4) pose on → (T + 1, 4, 4): the inverse of `pose_rows`."""
    poses = [start]
    for relative in relative_poses(rows):
        poses.append(poses[-1] @ relative)
    return np.stack(poses)


def orthonormality_error(rows: Floats) -> float:
    """Largest entry of |RᵀR − 1| of the two columns of (T, 9) rows."""
    columns = np.stack([rows[:, 3:6], rows[:, 6:9]], axis=2)
    gram = np.swapaxes(columns, 1, 2) @ columns
    return float(np.abs(gram - np.eye(2)).max()) if len(rows) else 0.0


def angles_degrees(one: Floats, other: Floats) -> Floats:
    """Geodesic distance of rotations (…, 3, 3), degrees; by the chord, which is exact near 0 where arccos is not."""
    chord = np.linalg.norm(one - other, axis=(-2, -1)) / np.sqrt(8)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord, 0, 1))))


def wrist_poses(joints: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(R, 21, 3) joints of a hand, MANO order → (R, 4, 4) wrist poses in the joints' frame, and where there is one.

    +Z from the wrist to the middle finger's base, +X from the index finger's base to the little finger's, square to
    it; +Y follows. That is out of the right palm and out of the back of the left hand: no rotation has all three of
    NVIDIA's axes on both hands.
    """
    wrist, index, middle, little = (joints[:, number] for number in (0, 5, 9, 17))
    with np.errstate(invalid="ignore", divide="ignore"):
        along = (middle - wrist) / np.linalg.norm(middle - wrist, axis=1, keepdims=True)
        across = (little - index) - ((little - index) * along).sum(1, keepdims=True) * along
        across = across / np.linalg.norm(across, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (len(joints), 1, 1))
    poses[:, :3, :3] = np.stack([across, np.cross(along, across), along], axis=2)
    poses[:, :3, 3] = wrist
    valid = np.asarray(np.isfinite(poses).all(axis=(1, 2)), dtype=np.bool_)
    poses[~valid] = np.nan
    return poses, valid
