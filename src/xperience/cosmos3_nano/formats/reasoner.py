"""Reasoner conversations: `meta.json`, a clip and a conversation per sample.

Source: cosmos-framework `prepare_videophy2_from_hf.py` and its loader (2 frames per second, ≤ 32 frames, ≤ 16,000
tokens).
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av

from xperience.common.errors import BadDataError
from xperience.common.files import write_atomic
from xperience.cosmos3_nano.answers import answer_of, answer_text
from xperience.cosmos3_nano.records import FutureLabelRecord, ReasonRecord

SAMPLED_FPS, MOST_FRAMES, MOST_TOKENS = 2.0, 32, 16_000
PATCH_PIXELS, FRAMES_PER_TOKEN = 32, 2


def write(folder: Path, root: Path, records: Sequence[ReasonRecord | FutureLabelRecord]) -> int:
    """`folder`/meta.json and its media and texts; returns the number of samples."""
    meta = []
    for record in records:
        name = record.sha256[:24]
        media, text = f"media/{name}.mp4", f"text/{name}.json"
        (folder / "media").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / record.clip.uri, folder / media)
        answer = answer_text(answer_of(record))
        conversation = [
            {"role": "user", "content": [{"type": "video", "video": "video_0"},
                                         {"type": "text", "text": record.prompt.text}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ]  # fmt: skip
        write_atomic(folder / text, json.dumps({"conversations": conversation}, ensure_ascii=False))
        meta.append({"id": record.record_id, "media": media, "conversation": text})
    write_atomic(folder / "meta.json", json.dumps(meta, ensure_ascii=False, indent=1))
    return len(meta)


def read_back(folder: Path) -> list[dict[str, Any]]:
    """What the loader keeps; BadDataError where it would drop or misread a sample."""
    kept = []
    for entry in json.loads((folder / "meta.json").read_bytes()):
        where = str(entry.get("id"))
        conversation = json.loads((folder / entry["conversation"]).read_bytes())["conversations"]
        if [turn["role"] for turn in conversation] != ["user", "assistant"]:
            raise BadDataError("not a question and its answer", where=where)
        kinds = [part["type"] for part in conversation[0]["content"]]
        if kinds != ["video", "text"] or conversation[0]["content"][0]["video"] != "video_0":
            raise BadDataError("the video does not stand before the text", where=where, why=str(kinds))
        answer = conversation[1]["content"][0]["text"]
        with av.open(f"file:{folder / entry['media']}", "r", format="mp4") as container:
            stream = container.streams.video[0]
            seconds = float(stream.frames / (stream.average_rate or 1))
            size = stream.codec_context.width, stream.codec_context.height
        frames = max(FRAMES_PER_TOKEN, int(seconds * SAMPLED_FPS))
        cells = (size[0] // PATCH_PIXELS or 1) * (size[1] // PATCH_PIXELS or 1)
        # A byte per token is the most that any text needs.
        tokens = frames // FRAMES_PER_TOKEN * cells + len(answer.encode()) + len(str(conversation[0]).encode())
        if frames > MOST_FRAMES or tokens > MOST_TOKENS:
            raise BadDataError("the loader cuts it", where=where, why=f"{frames} frames, up to {tokens} tokens")
        kept.append({"id": entry["id"], "frames": frames, "answer": json.loads(answer)})
    return kept
