"""Damaged annotations, videos and captions for some minutes: every one ends in facts or in a fault.

`python tests/e2e/fuzz_reader.py --minutes 10` prints a line a minute and what happened how often; each damage follows
from a seed, so `--seed N --count 1` repeats one. Ends with 1 where a look hung, swelled over 1 GiB or a caption raised
anything but CaptionError.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

from xperience.common.layout import ANNOTATION, VIDEOS
from xperience.episode.captions import CaptionError, parse_caption, resolve_caption
from xperience.episode.timeline import Timeline
from xperience.prepare.workers import Workers
from xperience.standin.episodes import write_episode

TIMEOUT_SECONDS = 20.0
MOST_BYTES = 1 << 30
WORDS = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x01\x00\x00\x00")


def damaged(content: bytes, drawn: random.Random, tables: list[tuple[int, int]]) -> bytes:
    """A few flips, words, holes, copies and cuts, most of them in the tables, where they lead a parser astray."""
    made = bytearray(content)
    for _ in range(drawn.randint(1, 8)):
        start, stop = drawn.choice(tables) if drawn.random() < 0.8 else (0, len(made))
        if start >= len(made):
            continue  # it was cut off
        place = drawn.randrange(start, min(stop, len(made)))
        kind = drawn.random()
        if kind < 0.4:
            made[place] ^= 1 << drawn.randrange(8)
        elif kind < 0.75:
            word = drawn.choice(WORDS)
            made[place : place + len(word)] = word
        elif kind < 0.85:
            made[place : place + drawn.randint(1, 600)] = bytes(drawn.randint(1, 600))
        elif kind < 0.95:
            source = drawn.randrange(len(made))
            made[place : place + 64] = made[source : source + 64]
        else:
            del made[max(place + drawn.randrange(len(made)), 100) :]
    return bytes(made)


def tables_of_hdf5(path: Path) -> list[tuple[int, int]]:
    """What lies between the contents of data sets."""
    contents = []
    with h5py.File(path) as file:

        def note(_name: str, found: object) -> None:
            if isinstance(found, h5py.Dataset) and found.id.get_offset() is not None:
                contents.append((found.id.get_offset(), found.id.get_offset() + found.id.get_storage_size()))

        file.visititems(note)
    ends = [0, *(stop for _, stop in sorted(contents))]
    starts = [*(start for start, _ in sorted(contents)), path.stat().st_size]
    return [(end, start) for end, start in zip(ends, starts, strict=True) if start > end]


def fuzz_caption(text: bytes, timeline: Timeline, drawn: random.Random) -> str:
    made = damaged(text, drawn, [(0, len(text))])
    try:
        spans = resolve_caption(parse_caption(made), timeline)
    except CaptionError:
        return "caption refused"
    assert all(0 <= span.first <= span.last < timeline.frames for span in (*spans.actions, *spans.subtasks))
    return "caption read"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1 << 40)
    arguments = parser.parse_args()
    happened: Counter[str] = Counter()
    bad: list[dict[str, object]] = []
    begun = told = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as name,
        Workers(timeout_seconds=TIMEOUT_SECONDS, memory_bytes=640 << 20) as workers,
    ):
        folder = Path(name)
        facts = write_episode(folder / "whole", frames=60, seed=1)
        annotation, video = ((folder / "whole" / file).read_bytes() for file in (ANNOTATION, VIDEOS[0]))
        tables = tables_of_hdf5(folder / "whole" / ANNOTATION)
        header = [(0, 64), (video.index(b"moov"), len(video))]
        timeline = Timeline(np.array(facts.timestamps_ns))
        with h5py.File(folder / "whole" / ANNOTATION) as file:
            caption = file["caption"][()]
        seed = arguments.seed
        while time.monotonic() - begun < arguments.minutes * 60 and seed < arguments.seed + arguments.count:
            drawn = random.Random(seed)
            for _ in range(20):
                happened[fuzz_caption(caption, timeline, drawn)] += 1
            for kind, content, places in (("annotation", annotation, tables), ("video", video, header)):
                path = folder / f"{kind}.bin"
                path.write_bytes(damaged(content, drawn, places))
                found = workers.look_at_file(kind, path)
                says = f"{kind}: " + (found.fault.partition(":")[0] if found.fault else "facts")
                happened[says[:60]] += 1
                if ("more than" in found.fault and "s to read" in found.fault) or found.peak_bytes > MOST_BYTES:
                    bad.append({"seed": seed, "kind": kind, "fault": found.fault, "peak_bytes": found.peak_bytes})
            seed += 1
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{seed - arguments.seed} seeds, {len(bad)} bad", flush=True)
    seconds = round(time.monotonic() - begun)
    print(json.dumps({"seeds": seed - arguments.seed, "seconds": seconds, "bad": bad, "happened": happened}, indent=2))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
