"""Errors of predicted actions in raw units, and the trivial predictions that they have to be better than."""

from dataclasses import dataclass

import numpy as np

from xperience.cosmos3_nano.actions import BLOCKS, Actions
from xperience.cosmos3_nano.geometry import IDENTITY_ROW, angles_degrees, integrated, pose_rows, relative_poses
from xperience.episode.poses import Floats

ORIGIN = np.eye(4)


@dataclass(frozen=True, slots=True)
class Errors:
    """`ate_metres`: mean distance of the integrated camera; `aligned` after the best scale; `rpe`: per step.

    `rotation_degrees` is the mean geodesic angle per step, `fingertips_metres` the mean distance of seen fingertips in
    their wrist's frame, None where no hand is seen or the domain has none.
    """

    ate_metres: float
    ate_aligned_metres: float
    rpe_metres: float
    rotation_degrees: float
    fingertips_metres: float | None


METRICS = ("ate_metres", "ate_aligned_metres", "rpe_metres", "rotation_degrees", "fingertips_metres")


def errors_of(truth: Actions, predicted: Floats) -> Errors:
    """Of (T, D) predicted values, raw; their rotation columns are made orthonormal first."""
    rows, said = truth.values[:, BLOCKS["camera"]], predicted[:, BLOCKS["camera"]]
    path, guess = integrated(rows, ORIGIN)[1:], integrated(said, ORIGIN)[1:]
    scale = best_scale(path[:, :3, 3], guess[:, :3, 3])
    turns = angles_degrees(relative_poses(rows)[:, :3, :3], relative_poses(said)[:, :3, :3])
    distances = []
    if truth.domain == "hand_pose":
        for side in ("right", "left"):
            block = BLOCKS[f"{side}_fingertips"]
            apart = (truth.values[:, block] - predicted[:, block]).reshape(len(rows), -1, 3)
            distances += np.linalg.norm(apart, axis=2)[truth.valid[:, block][:, 0]].ravel().tolist()
    return Errors(
        ate_metres=_mean(path[:, :3, 3] - guess[:, :3, 3]),
        ate_aligned_metres=_mean(path[:, :3, 3] - scale * guess[:, :3, 3]),
        rpe_metres=_mean(rows[:, :3] - said[:, :3]), rotation_degrees=float(turns.mean()),
        fingertips_metres=float(np.mean(distances)) if distances else None,
    )  # fmt: skip


def best_scale(truth: Floats, predicted: Floats) -> float:
    """The factor of least squares, 1 where nothing is predicted to move."""
    power = float((predicted**2).sum())
    return float((truth * predicted).sum()) / power if power > 0 else 1.0


def scaled(values: Floats, factor: float) -> Floats:
    """With the camera's translation times a factor: that of pretraining is not known."""
    found = values.copy()
    found[:, :3] *= factor
    return found


def _mean(differences: Floats) -> float:
    return float(np.linalg.norm(differences, axis=-1).mean())


def train_mean(parts: list[Actions]) -> Floats:
    """(D,) mean of what was seen in train; of a rotation the columns of the mean, made orthonormal."""
    values = np.concatenate([part.values for part in parts])
    valid = np.concatenate([part.valid for part in parts])
    row = np.array([column[seen].mean() if seen.any() else 0.0 for column, seen in zip(values.T, valid.T, strict=True)])
    for block in [name for name in BLOCKS if not name.endswith("fingertips")]:
        place = BLOCKS[block]
        if place.stop <= len(row):
            some = valid[:, place.start].any()
            row[place] = _orthonormal(row[place]) if some else np.array(IDENTITY_ROW)
    return row


def _orthonormal(row: Floats) -> Floats:
    poses = np.stack([ORIGIN, relative_poses(row[None])[0]])
    return np.asarray(pose_rows(poses)[0])


def trivial(truth: Actions, mean: Floats) -> dict[str, tuple[Floats, bool]]:
    """Predictions without a model by name, and whether they know some of the truth (an oracle).

    No motion: identity rows, fingertips of the train mean. Constant velocity: the true first step again and again.
    """
    steps = len(truth.values)
    still = np.tile(mean, (steps, 1))
    for block in ("camera", "right_wrist", "left_wrist"):
        if BLOCKS[block].stop <= still.shape[1]:
            still[:, BLOCKS[block]] = IDENTITY_ROW
    return {
        "no motion": (still, False),
        "train mean": (np.tile(mean, (steps, 1)), False),
        "constant velocity": (np.tile(truth.values[0], (steps, 1)), True),
    }
