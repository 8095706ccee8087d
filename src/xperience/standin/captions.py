"""Invented captions in the real structure, with every spelling of frame references that real files mix."""

import json
import random
from collections.abc import Sequence

SUBJECTS = ("screws", "beads", "cups", "books", "cables", "boxes")
VERBS = ("Pick up", "Turn over", "Put down", "Line up", "Hand over")
PLACES = ("bench", "shelf", "tray", "table")
SEGMENT_SECONDS = 20
SAMPLE_EVERY_SECONDS = 2.0
SPELLINGS = 4


def reference(timestamps: Sequence[int], frame: int, spelling: int) -> str | int:
    """Frame `frame` (0-based) in one of the four spellings: ns digits, ns int, frame_%07d (1-based), index (1-based).

    `frame` may be one past the last, as the ends of real captions are; there is no timestamp for it then.
    """
    if spelling in (0, 1) and frame < len(timestamps):
        return str(timestamps[frame]) if spelling == 0 else int(timestamps[frame])
    if spelling == 3:
        return frame + 1
    return f"frame_{frame + 1:07d}"


def caption(
    timestamps: Sequence[int], seed: int, *, one_spelling: bool = False, end_past_last: bool = True, swap: bool = False
) -> str:
    """Caption JSON of an episode; two actions and a subtask per segment of 20 s (a third of a short episode).

    `swap`: the second action has its start and end exchanged. `end_past_last`: the last segment ends at frame N+1.
    """
    drawn = random.Random(seed)  # noqa: S311  invented text, no secret
    frames = len(timestamps)
    seconds = (timestamps[-1] - timestamps[0]) / 1e9
    count = max(3, round(seconds / SEGMENT_SECONDS))
    bounds = [round(index * frames / count) for index in range(count + 1)]
    used = 0

    def spell(frame: int) -> str | int:
        nonlocal used
        used += 1
        return reference(timestamps, frame, 0 if one_spelling else used % SPELLINGS)

    def key(frame: int) -> str:
        return str(spell(frame))

    task = f"Sorting {drawn.choice(SUBJECTS)} at a {drawn.choice(PLACES)}"
    segments = []
    for number in range(count):
        first, last = bounds[number], bounds[number + 1] - 1
        middle = (first + last) // 2
        end = last + 1 if end_past_last and number == count - 1 else last
        subject = drawn.choice(SUBJECTS)
        actions = []
        for start, stop in ((first, middle), (min(middle + 1, last), last)):
            label = f"{drawn.choice(VERBS)} {subject}"
            ends = (stop, start) if swap and start != first else (start, stop)
            actions.append(
                {
                    "label": label,
                    "description": f"{label} near the {drawn.choice(PLACES)}.",
                    "start_frame": spell(ends[0]),
                    "end_frame": spell(ends[1]),
                }
            )
        step = max(1, round(SAMPLE_EVERY_SECONDS * frames / max(seconds, 0.001)))
        sampled = list(range(first, last + 1, step))[:10]
        segments.append(
            {
                "segment_id": number,
                "start_frame": key(first),
                "end_frame": key(end),
                "Sub Task": f"Sorting {subject}",
                "Current Action": actions,
                "sampled_frames": {f"Image {index}": spell(frame) for index, frame in enumerate(sampled, start=1)},
                "objects": {key(frame): [subject.rstrip("s"), "hand"] for frame in sampled},
                "interaction": {key(first): f"The right hand touches the {subject}."},
                "api_call_start": "2026-01-01T10:00:00.000000",
                "api_call_end": "2026-01-01T10:00:02.000000",
                "tokens_in": drawn.randrange(1000, 2000),
                "tokens_out": drawn.randrange(100, 300),
            }
        )
    config = {
        "segment_sec": SEGMENT_SECONDS,
        "sample_fps": 0.5,
        "total_tokens": 4000,
        "total_frames": frames + 1,  # one off, as in real files: the arrays are right
        "Main Task": task,
    }
    return json.dumps({"config": config, "segments": segments, "global_summary": f"A person is {task.lower()}."})
