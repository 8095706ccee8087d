"""Synthetic episodes whose pictures show their label: a model that looks can learn it, one that does not cannot."""

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from xperience.common.layout import ANNOTATION
from xperience.standin.annotation import annotation_values
from xperience.standin.video import write_video

CAMERA = "fisheye_cam0"
FPS = 20
# Two windows of 20 frames: with `--scales 20/40` all that a window shows is of its own label.
FRAMES_PER_LABEL = 40
COLOURS = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220], [220, 220, 30]], np.uint8)


def write_shown_episode(folder: Path, shown: Sequence[int], *, actions: Sequence[str], seed: int) -> None:
    """annotation.hdf5 and one camera's MP4; for 2 s each the picture has the colour of a label, actions[label]."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = len(shown) * FRAMES_PER_LABEL
    timestamps = [70_000_000_000_000 + seed * 1_000_000_000 + frame * 1_000_000_000 // FPS for frame in range(frames)]
    values = annotation_values(timestamps, seed=seed, depth_pixels=2)
    values["caption"] = _caption(timestamps, shown, actions)
    with h5py.File(folder / ANNOTATION, "w") as file:
        for path, content in values.items():
            file.create_dataset(path, data=content, track_times=False)
    write_video(
        folder / f"{CAMERA}.mp4", [(t - timestamps[0]) / 1e9 for t in timestamps], seed=seed, audio=False,
        colours=np.repeat(COLOURS[list(shown)], FRAMES_PER_LABEL, axis=0),
    )  # fmt: skip


def _caption(timestamps: Sequence[int], shown: Sequence[int], actions: Sequence[str]) -> str:
    segments = []
    for number, label in enumerate(shown):
        first = number * FRAMES_PER_LABEL
        start, end = str(timestamps[first]), str(timestamps[first + FRAMES_PER_LABEL - 1])
        action = {"label": actions[label], "description": actions[label], "start_frame": start, "end_frame": end}
        segments.append(
            {
                "segment_id": number, "start_frame": start, "end_frame": end, "Sub Task": "Make coffee",
                "Current Action": [action], "objects": {start: [actions[label].split()[-1], "hand"]},
            }
        )  # fmt: skip
    config = {"segment_sec": FRAMES_PER_LABEL // FPS, "total_frames": len(timestamps), "Main Task": "Coffee"}
    return json.dumps({"config": config, "segments": segments, "global_summary": "A person makes coffee."})
