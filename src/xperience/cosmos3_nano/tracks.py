"""What an episode's annotation says of motion: the stereo-left camera in the world, the hands in front of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.episode.annotation import Annotation
from xperience.episode.poses import Floats
from xperience.episode.schema import HANDS
from xperience.episode.timeline import Timeline
from xperience.windows.media import read_timeline

CAMERA = "stereo_left"
SOURCE_FIELDS = (
    "video/device_timestamp", "slam/quat_wxyz", "slam/trans_xyz", "calibration/cam01/T_c0_b",
    "hand_mocap/left_joints_3d", "hand_mocap/right_joints_3d",
)  # fmt: skip


@dataclass(frozen=True)
class Track:
    """R rows, one per video frame. `hands` by side: (R, 21, 3) joints, m, camera frame, and (R,) whether it is seen.

    `world_from_camera` is (R, 4, 4), m, NaN where `tracked` (R,) is false.
    """

    timeline: Timeline
    world_from_camera: Floats
    tracked: NDArray[np.bool_]
    hands: dict[str, tuple[Floats, NDArray[np.bool_]]]

    def rows(self, frames: NDArray[np.int64]) -> "Track":
        """The same at some frames alone, in their order."""
        return Track(
            Timeline(self.timeline.t_ns[frames]), self.world_from_camera[frames], self.tracked[frames],
            {side: (joints[frames], seen[frames]) for side, (joints, seen) in self.hands.items()},
        )  # fmt: skip


def read_track(annotation: Annotation, where: str) -> Track:
    """Read timeline, slam, calibration and hands; BadDataError where one is missing or has other rows."""
    timeline = read_timeline(annotation, where)
    poses, calibration = annotation.poses(), annotation.stereo_from_body()
    if poses is None or calibration is None:
        lacks = "slam" if poses is None else "calibration/cam01/T_c0_b"
        raise BadDataError(
            "no camera track", where=where, why=f"no {lacks}", fix="The episode is not usable for actions: check it."
        )
    hands = {}
    for side in HANDS:
        hand = annotation.hand(side)
        if hand is None:
            hands[side] = (np.full((timeline.frames, 21, 3), np.nan), np.zeros(timeline.frames, bool))
        else:
            hands[side] = (hand.joints.astype(np.float64), hand.present)
    counts = {"slam": len(poses.valid)} | {f"hand_mocap/{side}": len(seen) for side, (_, seen) in hands.items()}
    for name, count in counts.items():
        if count != timeline.frames:
            raise BadDataError(
                "rows are not those of the timeline", where=f"{where}: {name}", why=f"{count}, not {timeline.frames}"
            )
    return Track(timeline, poses.world_from_camera(calibration), poses.valid, hands)
