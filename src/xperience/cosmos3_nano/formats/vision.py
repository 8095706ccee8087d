"""Vision JSONL: a row per clip of 61 frames or more with its caption as an object.

Source: cosmos-framework docs/dataset_jsonl.md and `sft_dataset.py`, which drops without a word what lasts more than
61 s or has fewer than 61 frames, and cuts to 4n + 1 frames.
"""

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av

from xperience.common.errors import BadDataError
from xperience.common.files import write_atomic
from xperience.cosmos3_nano.parts import ClipFile

LEAST_FRAMES, LONGEST_SECONDS = 61, 61.0
ASPECTS = {"16,9": 16 / 9, "4,3": 4 / 3, "1,1": 1.0, "3,4": 3 / 4, "9,16": 9 / 16}
FRAMING = "This video is captured from a first-person perspective looking at the scene."


def aspect_of(width: int, height: int) -> str:
    """The nearest of the five aspects that the model knows."""
    return min(ASPECTS, key=lambda name: abs(math.log(ASPECTS[name] * height / width)))


def row(clip: ClipFile, vision_path: str, spans: Sequence[tuple[float, str]], objects: Sequence[str]) -> dict[str, Any]:
    """One row; `spans` are (seconds, action). Nothing is said of the background: no annotation tells of it."""
    seconds = clip.num_frames / clip.fps
    told = [text for _, text in spans]
    aspect = aspect_of(clip.width, clip.height)
    return {
        "uuid": clip.sha256, "duration": round(seconds, 3), "width": clip.width, "height": clip.height,
        "vision_path": vision_path, "aspect_ratio": aspect,
        "t2w_windows": [
            {
                "start_frame": 0, "end_frame": clip.num_frames, "temporal_interval": 1,
                "caption_json": {
                    "subjects": list(objects), "background_setting": "", "cinematography": {"framing": FRAMING},
                    "actions": [{"time": f"0:{int(at):02d}", "description": text} for at, text in spans],
                    "temporal_caption": " ".join(told), "resolution": {"H": clip.height, "W": clip.width},
                    "aspect_ratio": aspect, "duration": f"{round(seconds)}s", "fps": clip.fps,
                },
                "caption": " ".join(told),
            }
        ],
    }  # fmt: skip


def write(
    folder: Path, root: Path, clips: Iterable[tuple[ClipFile, Sequence[tuple[float, str]], Sequence[str]]]
) -> int:
    """`folder`/dataset.jsonl and videos/; returns the number of rows."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    rows = []
    for clip, spans, objects in clips:
        place = f"videos/{clip.sha256[:24]}.mp4"
        shutil.copyfile(root / clip.uri, folder / place)
        rows.append(json.dumps(row(clip, place, spans, objects), ensure_ascii=False, sort_keys=True))
    write_atomic(folder / "dataset.jsonl", "".join(line + "\n" for line in rows))
    return len(rows)


def read_back(folder: Path) -> list[dict[str, Any]]:
    """What the loader keeps, each window's frames cut to 4n + 1; BadDataError where it would drop or cut one."""
    kept = []
    for line in (folder / "dataset.jsonl").read_text().splitlines():
        found = json.loads(line)
        with av.open(f"file:{folder / found['vision_path']}", "r", format="mp4") as container:
            stream = container.streams.video[0]
            frames, size = stream.frames, (stream.codec_context.width, stream.codec_context.height)
        if found["duration"] > LONGEST_SECONDS or size != (found["width"], found["height"]):
            raise BadDataError("the loader drops it", where=found["uuid"], why=f"{found['duration']} s, size {size}")
        for window in found["t2w_windows"]:
            count = window["end_frame"] - window["start_frame"]
            if count < LEAST_FRAMES or window["end_frame"] > frames or (count - 1) % 4:
                raise BadDataError(
                    "the loader drops or cuts it", where=found["uuid"], why=f"{count} frames of {frames}",
                    fix=f"Give {LEAST_FRAMES} frames or more, 4n + 1.",
                )  # fmt: skip
            kept.append({"uuid": found["uuid"], "frames": count, "caption": window["caption"]})
    return kept
