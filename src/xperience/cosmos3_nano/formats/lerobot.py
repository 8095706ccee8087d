"""LeRobot v3.0 for NVIDIA's hand-pose loader: a clip is an episode of 17 frames at 10 per second.

Layout: lerobot's v3.0 (`meta/info.json`, `meta/tasks.parquet`, `meta/episodes/…`, `data/…`, `videos/…`); columns:
cosmos-framework `human_hand_pose_lerobot_dataset.py`. The official loader multiplies the wrist's rotation by a fixed
alignment; what is stored is our wrist frame before it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.common.files import write_atomic
from xperience.cosmos3_nano.actions import BLOCKS, FINGERTIPS, actions_of
from xperience.cosmos3_nano.clips import NOMINAL_FPS
from xperience.cosmos3_nano.geometry import pose_rows, wrist_poses
from xperience.cosmos3_nano.media import encode, pictures
from xperience.cosmos3_nano.tracks import Track
from xperience.episode.poses import Floats, inverted, rotations

IMAGE = "observation.images.main"
ALIGNMENT = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
STATES = {
    "observation.state.camera_position": 3, "observation.state.camera_rotation": 4,
    "observation.state.hand_right_cam": 63, "observation.state.hand_right_cam_rotation": 84,
    "observation.state.hand_left_cam": 63, "observation.state.hand_left_cam_rotation": 84,
}  # fmt: skip
COUNTERS = ("frame_index", "episode_index", "index", "task_index", "subtask_index")
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
# What a float32 of some metres holds, carried through sixteen steps: the columns are float32 in their format.
FLOAT32_METRES = 2e-5
TOLERANCE_SECONDS = 2e-4


@dataclass(frozen=True)
class Sample:
    """One clip: its track's rows, its task, and what reads its (T, H, W, 3) pictures: of all clips they are many GB."""

    track: Track
    read: Callable[[], NDArray[np.uint8]]
    task: str


def exportable(track: Track) -> bool:
    """Whether both hands are seen in every frame: the format has no mask."""
    return all(bool(seen.all() and wrist_poses(joints)[1].all()) for joints, seen in track.hands.values())


def quaternions_xyzw(matrices: Floats) -> Floats:
    """(R, 3, 3) rotations → (R, 4), w last and not negative; by the eigenvector of Bar-Itzhack's symmetric matrix."""
    found = []
    for m in matrices:
        k = np.array([
            [m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ])  # fmt: skip
        value = np.linalg.eigh(k / 3)[1][:, -1]
        found.append(value if value[3] >= 0 else -value)
    return np.array(found)


def _states(track: Track) -> dict[str, Floats]:
    poses = track.world_from_camera
    values = {
        "observation.state.camera_position": poses[:, :3, 3],
        "observation.state.camera_rotation": quaternions_xyzw(poses[:, :3, :3]),
    }
    for side in ("right", "left"):
        joints, _ = track.hands[side]
        wrists, _ = wrist_poses(joints)
        turned = np.tile([0.0, 0, 0, 1], (len(joints), 21, 1))  # of the other joints nothing is read
        turned[:, 0] = quaternions_xyzw(wrists[:, :3, :3] @ ALIGNMENT.T)
        values[f"observation.state.hand_{side}_cam"] = joints.reshape(len(joints), -1)
        values[f"observation.state.hand_{side}_cam_rotation"] = turned.reshape(len(joints), -1)
    return values


def write(root: Path, samples: Sequence[Sample]) -> int:
    """A whole data set; returns its episodes. Every sample must be `exportable`, of one size."""
    if not samples:
        raise BadDataError("no clip shows both hands in every frame", where=str(root))
    tasks = sorted({sample.task for sample in samples})
    columns: dict[str, list[Any]] = {name: [] for name in (*STATES, "timestamp", *COUNTERS)}
    episodes = []
    begin = 0
    for number, sample in enumerate(samples):
        frames = sample.track.timeline.frames
        for name, values in _states(sample.track).items():
            columns[name] += values.astype(np.float32).tolist()
        columns["timestamp"] += (np.arange(frames) / NOMINAL_FPS).tolist()
        columns["frame_index"] += range(frames)
        columns["index"] += range(begin, begin + frames)
        columns["episode_index"] += [number] * frames
        columns["task_index"] += [tasks.index(sample.task)] * frames
        columns["subtask_index"] += [tasks.index(sample.task)] * frames
        episodes.append(_episode(number, begin, frames, sample.task))
        begin += frames
    schema = pa.schema(
        [(name, pa.list_(pa.float32(), width)) for name, width in STATES.items()]
        + [("timestamp", pa.float32()), *((name, pa.int64()) for name in COUNTERS)]
    )
    _parquet(root / DATA.format(chunk_index=0, file_index=0), pa.table(columns, schema=schema))
    _parquet(root / EPISODES, pa.Table.from_pylist(episodes))
    for name, column in (("tasks", "task"), ("subtasks", "subtask")):
        table = pa.table({f"{column}_index": pa.array(range(len(tasks)), pa.int64()), column: tasks})
        _parquet(root / f"meta/{name}.parquet", _indexed(table, column))
    video = root / VIDEO.format(video_key=IMAGE, chunk_index=0, file_index=0)
    video.parent.mkdir(parents=True, exist_ok=True)
    unfinished = video.with_name(f".{video.name}")  # a container is known by the end of its name
    size = encode(unfinished, (sample.read() for sample in samples))
    unfinished.rename(video)
    write_atomic(root / "meta/info.json", json.dumps(_info(len(samples), len(tasks), begin, size), indent=1) + "\n")
    return len(samples)


def _episode(number: int, begin: int, frames: int, task: str) -> dict[str, Any]:
    return {
        "episode_index": number, "tasks": [task], "length": frames, "data/chunk_index": 0, "data/file_index": 0,
        "dataset_from_index": begin, "dataset_to_index": begin + frames, "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0, f"videos/{IMAGE}/chunk_index": 0, f"videos/{IMAGE}/file_index": 0,
        f"videos/{IMAGE}/from_timestamp": begin / NOMINAL_FPS,
        f"videos/{IMAGE}/to_timestamp": (begin + frames) / NOMINAL_FPS,
    }  # fmt: skip


def _info(episodes: int, tasks: int, frames: int, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    video = {
        "video.height": height, "video.width": width, "video.codec": "h264", "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False, "video.fps": NOMINAL_FPS, "video.channels": 3, "has_audio": False,
    }  # fmt: skip
    features: dict[str, Any] = {
        name: {"dtype": "float32", "shape": [width], "names": None} for name, width in STATES.items()
    }
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    features |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in COUNTERS}
    names = ["height", "width", "channels"]
    features[IMAGE] = {"dtype": "video", "shape": [height, width, 3], "names": names, "info": video}
    return {
        "codebase_version": "v3.0", "robot_type": "human_hand", "total_episodes": episodes, "total_frames": frames,
        "total_tasks": tasks, "chunks_size": 1000, "data_files_size_in_mb": 100, "video_files_size_in_mb": 500,
        "fps": int(NOMINAL_FPS), "splits": {"train": f"0:{episodes}"}, "data_path": DATA, "video_path": VIDEO,
        "features": features,
    }  # fmt: skip


def _indexed(table: pa.Table, column: str) -> pa.Table:
    """With the note by which pandas, and so lerobot, takes a text column as the index; others read it as a column."""
    told = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_type, "metadata": None}
        for name, kind, numpy_type in ((f"{column}_index", "int64", "int64"), (column, "unicode", "object"))
    ]
    note = {"index_columns": [column], "column_indexes": [], "columns": told}
    return table.replace_schema_metadata({"pandas": json.dumps(note)})


def _parquet(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomic(path, sink.getvalue().to_pybytes())


def read_back(root: Path) -> list[Floats]:
    """The (T, 57) actions that the official loader makes, one array per episode.

    BadDataError where the layout is not v3.0's, a table and info.json differ, or a time has no frame.
    """
    info = json.loads((root / "meta/info.json").read_bytes())
    if info["codebase_version"] != "v3.0":
        raise BadDataError("not LeRobot v3.0", where=str(root), why=info["codebase_version"])
    rows = pq.read_table(root / info["data_path"].format(chunk_index=0, file_index=0))
    for name, feature in info["features"].items():
        if feature["dtype"] == "video":
            continue
        kind = rows.schema.field(name).type
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else 1
        if [width] != feature["shape"]:
            raise BadDataError("a column is not what info.json says", where=name, why=f"{width}, {feature['shape']}")
    episodes = pq.read_table(root / EPISODES).to_pylist()
    video = root / info["video_path"].format(video_key=IMAGE, chunk_index=0, file_index=0)
    shown = sum(1 for _ in pictures(video))
    if shown != rows.num_rows or rows.num_rows != info["total_frames"] or len(episodes) != info["total_episodes"]:
        raise BadDataError("frames and rows differ", where=str(root), why=f"{shown} pictures, {rows.num_rows} rows")
    return [_episode_actions(rows, episode, info["fps"]) for episode in episodes]


def _episode_actions(rows: pa.Table, episode: dict[str, Any], fps: float) -> Floats:
    begin, end = episode["dataset_from_index"], episode["dataset_to_index"]
    table = rows.slice(begin, end - begin)
    times = np.array(table["timestamp"]) + episode[f"videos/{IMAGE}/from_timestamp"]
    if np.abs(times - np.arange(begin, end) / fps).max() > TOLERANCE_SECONDS:
        raise BadDataError("a time has no frame", where=f"episode {episode['episode_index']}")

    def state(name: str) -> Floats:
        return np.array(table[f"observation.state.{name}"].to_pylist(), dtype=np.float64)

    def posed(places: Floats, xyzw: Floats) -> Floats:
        poses = np.tile(np.eye(4), (len(places), 1, 1))
        unit = xyzw / np.linalg.norm(xyzw, axis=1, keepdims=True)
        poses[:, :3, :3], poses[:, :3, 3] = rotations(np.roll(unit, 1, axis=1)), places
        return poses

    camera = posed(state("camera_position"), state("camera_rotation"))
    values = np.zeros((len(camera) - 1, 57))
    values[:, BLOCKS["camera"]] = pose_rows(camera)
    for side in ("right", "left"):
        joints = state(f"hand_{side}_cam").reshape(-1, 21, 3)
        wrists = posed(joints[:, 0], state(f"hand_{side}_cam_rotation")[:, :4])
        wrists[:, :3, :3] = wrists[:, :3, :3] @ ALIGNMENT
        back = inverted(wrists[1:])
        tips = np.einsum("tij,tnj->tni", back[:, :3, :3], joints[1:, FINGERTIPS]) + back[:, None, :3, 3]
        values[:, BLOCKS[f"{side}_wrist"]] = pose_rows(camera @ wrists)
        values[:, BLOCKS[f"{side}_fingertips"]] = tips.reshape(len(tips), -1)
    return values


def read_back_error(root: Path, samples: Sequence[Sample]) -> float:
    """Largest difference of the actions read back and those of the samples."""
    pairs = zip(read_back(root), samples, strict=True)
    return max(float(np.abs(read - actions_of(sample.track, "hand_pose").values).max()) for read, sample in pairs)
