"""Synthetic episodes of the genuine layout, whole or with one of the defects that real ones have."""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import h5py
import numpy as np

from xperience.common.errors import UsageError
from xperience.common.layout import ANNOTATION, VIDEOS
from xperience.episode.schema import CAMERAS
from xperience.standin.annotation import Values, annotation_values
from xperience.standin.captions import caption
from xperience.standin.video import write_video

SLOW_FPS = 19.35


class Defect(StrEnum):
    """What real files have been seen with, or what a reader must survive."""

    NO_SLAM_AND_BODY = "slam and full_body_mocap deleted in place: same size"
    NO_CAPTION = "no caption data set"
    CAPTIONS_KEY = "the key is captions"
    CAPTION_IS_PATH = "the caption is a relative path to a JSON file"
    CAPTION_ONE_SPELLING = "all frame references are digits of ns"
    CAPTION_ENDS_AT_LAST = "the last segment ends at N, not at N+1"
    CAPTION_SWAPPED = "an action's start lies after its end"
    NAN_HANDS = "the left hand is NaN: not visible"
    ZERO_HANDS = "the left hand is zero: not visible"
    LEADING_AXIS = "keypoints carry a leading axis of 1"
    INT_TIMESTAMPS = "timestamps are int64, not bytes"
    IMU_COLUMN = "the IMU's timestamps are (M, 1)"
    OLD_RIG = "cameras carry T_cn_cnm1 instead of T_c_b"
    SLOW_CLOCK = "19.35 frames per second"
    TRUNCATED_ANNOTATION = "annotation.hdf5 ends early: wrong size, same name"
    ALTERED_BYTE = "one byte of stereo_right.mp4 is another: same size"
    EMPTY_VIDEO = "stereo_left.mp4 has no bytes"
    SHORT_VIDEO = "fisheye_cam1.mp4 lacks its last quarter"
    NO_VIDEOS = "annotation.hdf5 stands alone"
    NO_AUDIO = "no MP4 has an audio stream"
    STRAY_RRD = "visualization.rrd lies beside the training files"


@dataclass(frozen=True, slots=True)
class EpisodeFacts:
    """What was written; `path` is <session>/<episode> under the repository's root."""

    path: str
    frames: int
    timestamps_ns: tuple[int, ...]
    defects: frozenset[Defect]


def write_episode(
    folder: Path, *, frames: int, seed: int, depth_pixels: int = 8, fps: float = 20.0, video_pixels: int = 64,
    defects: frozenset[Defect] = frozenset(),
) -> EpisodeFacts:  # fmt: skip
    """Write annotation.hdf5 and six MP4 into `folder`; the same bytes for the same arguments.

    UsageError for less than 4 frames: shorter episodes have no room for their caption's segments.
    """
    if frames < 4:
        raise UsageError("an episode is too short", where=str(folder), why=f"{frames} frames", fix="Ask for 4 or more.")
    folder.mkdir(parents=True, exist_ok=True)
    frame_seconds = 1 / (SLOW_FPS if Defect.SLOW_CLOCK in defects else fps)
    start = 70_000_000_000_000 + seed * 1_000_000_000
    timestamps = tuple(start + round(frame * frame_seconds * 1e9) for frame in range(frames))
    _write_annotation(folder, timestamps, seed, depth_pixels, defects)
    _write_videos(folder, timestamps, seed, video_pixels, defects)
    _damage(folder, defects)
    return EpisodeFacts(f"{folder.parent.name}/{folder.name}", frames, timestamps, defects)


def write_repository(
    root: Path, *, episodes: int, frames: int, seed: int = 0, depth_pixels: int = 8,
    defects: Mapping[int, frozenset[Defect]] | None = None,
) -> list[EpisodeFacts]:  # fmt: skip
    """A repository of one episode per session, `<uuid4>/ep<N>/…`; `defects` by the episode's number from 0.

    Lengths differ by up to four frames, so that sizes differ as real ones do.
    """
    drawn = random.Random(seed)  # noqa: S311  names, no secret
    root.mkdir(parents=True, exist_ok=True)
    (root / "README.md").write_text("# Synthetic episodes in the layout of Xperience-10M\n")
    (root / ".gitattributes").write_text("*.hdf5 filter=lfs\n*.mp4 filter=lfs\n")
    written = []
    for number in range(episodes):
        session = str(uuid.UUID(int=drawn.getrandbits(128), version=4))
        folder = root / session / f"ep{drawn.randrange(1, 10)}"
        found = (defects or {}).get(number, frozenset())
        written.append(
            write_episode(
                folder, frames=frames + number % 5, seed=seed * 1000 + number, depth_pixels=depth_pixels, defects=found
            )
        )
    return written


def _write_annotation(
    folder: Path, timestamps_ns: tuple[int, ...], seed: int, depth_pixels: int, defects: frozenset[Defect]
) -> None:
    values = annotation_values(timestamps_ns, seed=seed, depth_pixels=depth_pixels)
    text = caption(
        timestamps_ns, seed, one_spelling=Defect.CAPTION_ONE_SPELLING in defects,
        end_past_last=Defect.CAPTION_ENDS_AT_LAST not in defects, swap=Defect.CAPTION_SWAPPED in defects,
    )  # fmt: skip
    values["caption"] = text
    if Defect.CAPTION_IS_PATH in defects:
        (folder / "caption.json").write_text(text)
        values["caption"] = "caption.json"
    with h5py.File(folder / ANNOTATION, "w") as file:
        for path, content in with_defects(values, timestamps_ns, defects).items():
            file.create_dataset(path, data=content, track_times=False)
        if Defect.NO_SLAM_AND_BODY in defects:
            del file["slam"], file["full_body_mocap"]


def with_defects(
    values: Mapping[str, Values], timestamps_ns: tuple[int, ...], defects: frozenset[Defect]
) -> dict[str, Values]:
    """The same content with the defects that lie in a data set's name, shape, type or values."""
    changed = dict(values)
    joints = np.asarray(values["hand_mocap/left_joints_3d"])
    if Defect.NAN_HANDS in defects:
        changed["hand_mocap/left_joints_3d"] = np.full_like(joints, np.nan)
    if Defect.ZERO_HANDS in defects:
        changed["hand_mocap/left_joints_3d"] = np.zeros_like(joints)
    if Defect.LEADING_AXIS in defects:
        changed["full_body_mocap/keypoints"] = np.asarray(values["full_body_mocap/keypoints"])[None]
    if Defect.INT_TIMESTAMPS in defects:
        changed["video/device_timestamp"] = np.array(timestamps_ns, dtype=np.int64)
    if Defect.IMU_COLUMN in defects:
        changed["imu/device_timestamp_ns"] = np.asarray(values["imu/device_timestamp_ns"])[:, None]
    if Defect.OLD_RIG in defects:
        for camera in CAMERAS:
            changed[f"calibration/{camera}/T_cn_cnm1"] = changed.pop(f"calibration/{camera}/T_c_b")
    if Defect.CAPTIONS_KEY in defects:
        changed["captions"] = changed.pop("caption")
    if Defect.NO_CAPTION in defects:
        changed.pop("caption", None)
    return changed


def _write_videos(
    folder: Path, timestamps_ns: tuple[int, ...], seed: int, pixels: int, defects: frozenset[Defect]
) -> None:
    if Defect.NO_VIDEOS in defects:
        return
    times = [(timestamp - timestamps_ns[0]) / 1e9 for timestamp in timestamps_ns]
    for number, name in enumerate(VIDEOS):
        kept = len(times) * 3 // 4 if Defect.SHORT_VIDEO in defects and name == "fisheye_cam1.mp4" else len(times)
        write_video(
            folder / name, times[:kept], seed=seed * 10 + number, pixels=pixels, audio=Defect.NO_AUDIO not in defects
        )


def _damage(folder: Path, defects: frozenset[Defect]) -> None:
    """The defects that happen to finished files."""
    if Defect.TRUNCATED_ANNOTATION in defects:
        content = (folder / ANNOTATION).read_bytes()
        (folder / ANNOTATION).write_bytes(content[: len(content) // 2])
    if Defect.ALTERED_BYTE in defects:
        altered = bytearray((folder / "stereo_right.mp4").read_bytes())
        altered[len(altered) // 2] ^= 0xFF
        (folder / "stereo_right.mp4").write_bytes(altered)
    if Defect.EMPTY_VIDEO in defects:
        (folder / "stereo_left.mp4").write_bytes(b"")
    if Defect.STRAY_RRD in defects:
        (folder / "visualization.rrd").write_bytes(b"RRF2" + bytes(1000))
