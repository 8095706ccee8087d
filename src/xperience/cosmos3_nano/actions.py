"""Actions of a clip in NVIDIA's own order: 57 numbers of camera and hands, or 9 of the camera alone.

Source: cosmos-framework `human_hand_pose_lerobot_dataset.py`; the cookbook's README_egocentric_hand_action.md.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.cosmos3_nano.geometry import (
    IDENTITY_ROW,
    angles_degrees,
    integrated,
    orthonormality_error,
    pose_rows,
    wrist_poses,
)
from xperience.cosmos3_nano.tracks import Track
from xperience.episode.poses import Floats, inverted

Domain = Literal["hand_pose", "camera_pose"]
CONVENTION: Literal["c2w_inv_prev_rot6d_cols"] = "c2w_inv_prev_rot6d_cols"
FINGERTIPS = (4, 8, 12, 16, 20)
TIPS_WIDTH = 3 * len(FINGERTIPS)
WIDTHS: dict[Domain, int] = {"camera_pose": 9, "hand_pose": 57}
_POSE = ("tx", "ty", "tz", "r0x", "r0y", "r0z", "r1x", "r1y", "r1z")
_TIPS = tuple(f"{finger}_{axis}" for finger in ("thumb", "index", "middle", "ring", "little") for axis in "xyz")
BLOCKS: dict[str, slice] = {
    "camera": slice(0, 9), "right_wrist": slice(9, 18), "right_fingertips": slice(18, 33),
    "left_wrist": slice(33, 42), "left_fingertips": slice(42, 57),
}  # fmt: skip


def columns(domain: Domain) -> tuple[str, ...]:
    """The name of every column, in order."""
    names = [
        f"{block}_{name}"
        for block in BLOCKS
        for name in (_TIPS if block.endswith("fingertips") else _POSE)
    ]  # fmt: skip
    return tuple(names[: WIDTHS[domain]])


@dataclass(frozen=True)
class Actions:
    """`values` (T, D) float64, raw: metres and unit columns; `valid` (T, D), false where a hand is not seen.

    What is not valid holds no motion and fingertips at the wrist.
    """

    domain: Domain
    values: Floats
    valid: NDArray[np.bool_]


def actions_of(track: Track, domain: Domain) -> Actions:
    """T actions of T + 1 rows; BadDataError where the camera is not tracked in one of them."""
    if not track.tracked.all():
        raise BadDataError("no action without a camera pose", why=f"{int((~track.tracked).sum())} frames are lost")
    camera = pose_rows(track.world_from_camera)
    steps = len(camera)
    values, valid = np.zeros((steps, WIDTHS[domain])), np.ones((steps, WIDTHS[domain]), bool)
    values[:, BLOCKS["camera"]] = camera
    if domain == "hand_pose":
        for side in ("right", "left"):
            wrist, tips = BLOCKS[f"{side}_wrist"], BLOCKS[f"{side}_fingertips"]
            motion, moved, fingers, shown = _hand(track, side)
            values[:, wrist], valid[:, wrist] = motion, moved[:, None]
            values[:, tips], valid[:, tips] = fingers, shown[:, None]
    return Actions(domain, values, valid)


def _hand(track: Track, side: str) -> tuple[Floats, NDArray[np.bool_], Floats, NDArray[np.bool_]]:
    """Wrist motion in the world (T, 9), whether both frames show it; tips in the next wrist frame (T, 15), likewise."""
    joints, seen = track.hands[side]
    in_camera, whole = wrist_poses(joints)
    seen = seen & whole
    moved, shown = seen[:-1] & seen[1:], seen[1:]
    known = np.where(seen[:, None, None], in_camera, np.eye(4))
    motion = np.where(moved[:, None], pose_rows(track.world_from_camera @ known), np.array(IDENTITY_ROW))
    tips = np.where(seen[:, None, None], joints[:, FINGERTIPS], 0.0)
    local = np.einsum("tij,tnj->tni", inverted(known)[:, :3, :3], tips) + inverted(known)[:, None, :3, 3]
    return motion, moved, np.where(shown[:, None], local[1:].reshape(-1, TIPS_WIDTH), 0.0), shown


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Largest differences of decoded actions and their track; how far the two columns are from orthonormal."""

    metres: float
    degrees: float
    orthonormality: float


def roundtrip(actions: Actions, track: Track) -> RoundTrip:
    """Decode the actions and compare with the track: poses frame by frame, fingertips in the camera's frame."""
    truth = {"camera": (track.world_from_camera, np.ones(len(track.tracked), bool))}
    metres = degrees = error = 0.0
    if actions.domain == "hand_pose":
        for side in ("right", "left"):
            joints, seen = track.hands[side]
            wrists, whole = wrist_poses(joints)
            truth[f"{side}_wrist"] = (track.world_from_camera @ wrists, seen & whole)
    for block, (poses, seen) in truth.items():
        rows = actions.values[:, BLOCKS[block]]
        for first, stop in _runs(seen):
            decoded = integrated(rows[first : stop - 1], poses[first])
            metres = max(metres, _longest(decoded[:, :3, 3] - poses[first:stop, :3, 3]))
            degrees = max(degrees, float(angles_degrees(decoded[:, :3, :3], poses[first:stop, :3, :3]).max()))
            error = max(error, orthonormality_error(rows[first : stop - 1]))
            if block != "camera":
                metres = max(metres, _tips_error(actions, track, block.partition("_")[0], decoded, first, stop))
    return RoundTrip(metres, degrees, error)


def _tips_error(actions: Actions, track: Track, side: str, wrists: Floats, first: int, stop: int) -> float:
    local = actions.values[first : stop - 1, BLOCKS[f"{side}_fingertips"]].reshape(-1, len(FINGERTIPS), 3)
    in_camera = inverted(track.world_from_camera[first + 1 : stop]) @ wrists[1:]
    tips = np.einsum("tij,tnj->tni", in_camera[:, :3, :3], local) + in_camera[:, None, :3, 3]
    return _longest(tips - track.hands[side][0][first + 1 : stop, FINGERTIPS])


def _runs(seen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, stop) of each unbroken run of two frames or more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]


def _longest(differences: Floats) -> float:
    return float(np.linalg.norm(differences, axis=-1).max()) if differences.size else 0.0


def idle_count(actions: Actions, *, least_metres: float = 1e-3, least_degrees: float = 0.1) -> int:
    """Steps in which neither the camera nor a seen hand moves by a millimetre or a tenth of a degree."""
    moves = np.zeros(len(actions.values), bool)
    for block in [name for name in BLOCKS if not name.endswith("fingertips")][
        : 3 if actions.domain == "hand_pose" else 1
    ]:
        rows = actions.values[:, BLOCKS[block]]
        turned = integrated(rows, np.eye(4))
        turns = angles_degrees(turned[:-1, :3, :3], turned[1:, :3, :3])
        moves |= (np.linalg.norm(rows[:, :3], axis=1) >= least_metres) | (turns >= least_degrees)
    return int((~moves).sum())
