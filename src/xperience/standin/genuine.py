"""Many synthetic episodes on little disk: of the genuine sizes and offsets with holes, or whole and scaled down."""

import os
import random
import struct
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from xperience.common.layout import ANNOTATION, TRAINING_FILES, VIDEOS
from xperience.standin.annotation import annotation_values
from xperience.standin.episodes import Defect, EpisodeFacts, with_defects, write_episode
from xperience.standin.video import write_video

FRAMES = 5900  # the real 128 have 5,061 to 5,998
SCALED_FRAMES = (101, 120)  # a fiftieth of theirs
DEPTH_PIXELS = 256
# Medians of the real 128; synthetic pictures take less, a hole the rest.
VIDEO_BYTES = {name: 95_000_000 if name.startswith("fisheye") else 22_700_000 for name in VIDEOS}


def write_genuine_repository(
    root: Path, *, episodes: int, seed: int = 0, frames: int = FRAMES,
    defects: Mapping[int, frozenset[Defect]] | None = None,
) -> list[EpisodeFacts]:  # fmt: skip
    """One episode per session, hard links to one set of files per kind of defect (of the annotation's alone)."""
    drawn = random.Random(seed)  # noqa: S311  names, no secret
    timestamps = tuple(75_000_000_000_000 + 50_000_000 * frame for frame in range(frames))
    templates: dict[frozenset[Defect], Path] = {}
    videos = root / "templates" / "videos"
    videos.mkdir(parents=True)
    write_video(videos / "drawn.mp4", [frame / 20 for frame in range(frames)], seed=seed)
    for name, size_bytes in VIDEO_BYTES.items():
        widen(videos / "drawn.mp4", videos / name, size_bytes)
    written = []
    for number in range(episodes):
        found = (defects or {}).get(number, frozenset())
        if found not in templates:
            templates[found] = root / "templates" / f"{len(templates)}.hdf5"
            write_sparse_annotation(templates[found], timestamps, seed=seed, defects=found)
        path = f"{uuid.UUID(int=drawn.getrandbits(128), version=4)}/ep1"
        folder = root / "repository" / path
        folder.mkdir(parents=True)
        (folder / ANNOTATION).hardlink_to(templates[found])
        for name in VIDEOS:
            (folder / name).hardlink_to(videos / name)
        written.append(EpisodeFacts(path, frames, timestamps, found))
    return written


def write_scaled_repository(root: Path, *, episodes: int, seed: int = 0) -> list[EpisodeFacts]:
    """Whole episodes with a fiftieth of the genuine frames, one per session, hard links to one of each length."""
    drawn = random.Random(seed)  # noqa: S311  names, no secret
    lengths = range(SCALED_FRAMES[0], SCALED_FRAMES[1], 2)
    templates = [
        write_episode(root / "templates" / f"{frames}" / "ep1", frames=frames, seed=frames) for frames in lengths
    ]
    written = []
    for number in range(episodes):
        template = templates[number % len(templates)]
        path = f"{uuid.UUID(int=drawn.getrandbits(128), version=4)}/ep1"
        folder = root / "repository" / path
        folder.mkdir(parents=True)
        for name in TRAINING_FILES:
            (folder / name).hardlink_to(root / "templates" / template.path / name)
        written.append(replace(template, path=path))
    return written


def damage_in_place(annotation: Path, *names: str) -> None:
    """Delete groups or data sets as it happened to the real files: same size, same name. No other link changes."""
    content = annotation.read_bytes()
    annotation.unlink()
    annotation.write_bytes(content)
    with h5py.File(annotation, "a") as file:
        for name in names:
            del file[name]
    os.truncate(annotation, len(content))  # the library gave free space at the end back


def write_sparse_annotation(
    path: Path, timestamps_ns: tuple[int, ...], *, seed: int, defects: frozenset[Defect] = frozenset()
) -> None:
    """Every data set of the schema; depth and confidence are allocated at their full size and never written."""
    values = annotation_values(timestamps_ns, seed=seed, depth_pixels=1)
    with h5py.File(path, "w") as file:
        for name, content in with_defects(values, timestamps_ns, defects).items():
            if name not in ("depth/depth", "depth/confidence"):
                file.create_dataset(name, data=content, track_times=False)
                continue
            made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            made.set_obj_track_times(False)
            space = h5py.h5s.create_simple((len(timestamps_ns), DEPTH_PIXELS, DEPTH_PIXELS))
            file.require_group("depth")
            kind = h5py.h5t.py_create(np.asarray(content).dtype)
            h5py.h5d.create(file.id, name.encode(), kind, space, made)
        if Defect.NO_SLAM_AND_BODY in defects:
            del file["slam"], file["full_body_mocap"]


def widen(source: Path, target: Path, size_bytes: int) -> None:
    """Copy an MP4 whose tables lie last, with a hole at the end of its content so that it has `size_bytes`."""
    content = source.read_bytes()
    box = content.index(b"mdat") - 4
    length = int.from_bytes(content[box : box + 4])
    hole = size_bytes - len(content)
    with target.open("wb") as file:
        file.write(content[:box])
        file.write(struct.pack(">I4s", length + hole, b"mdat"))
        file.write(content[box + 8 : box + length])
        file.seek(hole, 1)
        file.write(content[box + length :])
