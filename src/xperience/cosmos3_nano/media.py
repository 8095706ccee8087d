"""Clips as files: a camera decoded once, the exact source frames of every clip as an MP4 of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.common.files import sha256_of_file, write_atomic
from xperience.cosmos3_nano.clips import NOMINAL_FPS
from xperience.episode.video import VideoError

TIME_BASE = Fraction(1, 90_000)
QUALITY = "18"  # x264's crf: visually lossless, so that metrics against the clip are not metrics of the codec


@dataclass(frozen=True, slots=True)
class Stored:
    """A written clip; `width` and `height` are even, as 4:2:0 wants."""

    uri: str
    sha256: str
    width: int
    height: int


def pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Every frame of an MP4, (height, width, 3) RGB, counted from its beginning; VideoError where it is damaged."""
    decoded = 0
    try:
        with av.open(f"file:{path}", "r", format="mp4") as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for picture in container.decode(stream):
                if picture.is_corrupt:
                    raise VideoError("a frame is damaged", where=str(path), why=f"frame {decoded}")
                yield np.asarray(picture.to_ndarray(format="rgb24"))
                decoded += 1
    except (FFmpegError, ValueError, IndexError) as error:
        raise VideoError(
            "video cannot be decoded", where=str(path), why=f"after {decoded} frames: {str(error)[:200]}"
        ) from error


def cut(video: Path, clips: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(number, (T, H, W, 3) RGB) of each clip of ascending source frames, in order of their ends.

    Frames are counted, not taken by their container's time. BadDataError where the video ends before a clip does.
    """
    wanted: dict[int, list[int]] = {}
    for number, frames in enumerate(clips):
        for frame in frames.tolist():
            wanted.setdefault(frame, []).append(number)
    open_clips: dict[int, list[NDArray[np.uint8]]] = {}
    last = max(wanted, default=-1)
    decoded = -1
    for decoded, picture in enumerate(pictures(video)):
        for number in wanted.get(decoded, ()):
            held = open_clips.setdefault(number, [])
            held.append(picture)
            if len(held) == len(clips[number]):
                yield number, np.stack(open_clips.pop(number))
        if decoded >= last:
            return
    if last > decoded:
        raise BadDataError("the video is shorter than its clips", where=str(video), why=f"{decoded + 1}, {last} wanted")


def encode(path: Path, clips: Iterable[NDArray[np.uint8]], fps: float = NOMINAL_FPS) -> tuple[int, int]:
    """Clips (T, H, W, 3) of one even size, one behind the other as H.264 at a constant rate; returns (H, W).

    One clip is in memory at a time; the same bytes for the same input. BadDataError where sizes differ.
    """
    waiting = iter(clips)
    first = next(waiting)
    height, width = first.shape[1:3]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1  # more would change the bytes
        stream.codec_context.time_base = stream.time_base = TIME_BASE
        stream.options = {"preset": "veryfast", "crf": QUALITY, "g": "8", "bf": "0"}
        number = 0
        for clip in chain([first], waiting):
            if clip.shape[1:3] != (height, width):
                raise BadDataError("clips are of two sizes", where=str(path), why=f"{clip.shape[1:3]}")
            for picture in clip:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.time_base, frame.pts = TIME_BASE, round(number / fps / TIME_BASE)
                container.mux(stream.encode(frame))
                number += 1
        for packet in stream.encode(None):
            container.mux(packet)
    return height, width


def store(folder: Path, clip: NDArray[np.uint8], fps: float) -> Stored:
    """Write a clip as clips/<hash>.mp4 under `folder`; odd sides lose their last row or column."""
    even = clip[:, : clip.shape[1] // 2 * 2, : clip.shape[2] // 2 * 2]
    with TemporaryDirectory() as place:
        file = Path(place) / "clip.mp4"
        encode(file, [even], fps)
        digest = sha256_of_file(file)
        uri = f"clips/{digest[:24]}.mp4"
        write_atomic(folder / uri, file.read_bytes())
    return Stored(uri, digest, even.shape[2], even.shape[1])


def for_pipeline(frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """(T, H, W, 3) RGB as diffusers takes arrays: from 0 to 1. Of bytes it would make −1 to 509 without a word."""
    return list((frames / np.float32(255)).astype(np.float32))


def read_clip(path: Path) -> NDArray[np.uint8]:
    """(T, H, W, 3) RGB; VideoError where it cannot be read."""
    return np.stack(list(pictures(path)))
