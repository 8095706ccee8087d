"""Invented tracks: a camera that walks and turns about every axis, hands that move before it."""

import numpy as np

from xperience.cosmos3_nano.tracks import Track
from xperience.episode.poses import poses_of
from xperience.episode.timeline import Timeline


def track(rows=17, *, seed=0, unseen=(), lost=(), interval_ns=50_000_000):
    """`unseen` are (side, row) of a hand that is not seen, `lost` rows without a camera pose."""
    drawn = np.random.default_rng(seed)
    quaternions = np.cumsum(drawn.normal(0, 0.03, (rows, 4)), 0) + np.array([1.0, 0.2, -0.1, 0.3])
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    places = np.cumsum(drawn.normal(0, 0.02, (rows, 3)), 0)
    quaternions[list(lost)] = 0
    camera_from_body = np.eye(4)
    camera_from_body[:3, 3] = (-0.03, 0.01, 0.02)
    poses = poses_of(quaternions, places)
    hands = {}
    for side in ("left", "right"):
        joints = drawn.uniform(-0.08, 0.08, (21, 3)) + np.cumsum(drawn.normal(0, 0.01, (rows, 1, 3)), 0) + (0, 0, 0.4)
        seen = np.ones(rows, bool)
        seen[[row for name, row in unseen if name == side]] = False
        hands[side] = (np.where(seen[:, None, None], joints, np.nan), seen)
    timeline = Timeline(7_000_000_000 + np.arange(rows, dtype=np.int64) * interval_ns)
    return Track(timeline, poses.world_from_camera(camera_from_body), poses.valid, hands)
