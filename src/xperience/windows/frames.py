"""Pictures of one camera: its MP4 decoded once, from its beginning to its end, the wanted frames as JPEG."""

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from xperience.common.errors import BadDataError

# `prepare check` takes an episode whose videos have a frame more or less than its timeline.
MOST_FRAMES_APART = 1
# Sides are multiples of this: Qwen3-Omni merges 2×2 patches of 16 pixels, so that a frame's token grid is exact.
SIDE_STEP = 32
TIME_BASE = Fraction(1, 1000)


def stored_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height with the longer side at `pixels`, both rounded to multiples of 32."""
    scale = pixels / max(width, height)
    return tuple(max(SIDE_STEP, round(side * scale / SIDE_STEP) * SIDE_STEP) for side in (width, height))  # type: ignore[return-value]


@dataclass
class Camera:
    """One camera's video. The counts are there after the last picture."""

    name: str
    path: Path
    pixels: int
    jpeg_scale: int
    source_size: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (0, 0)
    decoded: int = 0
    damaged: int = 0

    def pictures(self, wanted: NDArray[np.int64], timeline_frames: int) -> Generator[bytes]:
        """A JPEG for each of `wanted` (ascending frame numbers, repeats allowed), 4:2:0, BT.601, full range.

        Frames are counted, not taken by their container's time: row and picture belong together by number. BadDataError
        where the video cannot be decoded, or has other frames than the timeline.
        """
        try:
            with av.open(f"file:{self.path}", "r", format="mp4") as container:
                yield from self._pictures(container, wanted)
        except (FFmpegError, ValueError) as error:
            raise BadDataError(
                "video cannot be decoded", where=str(self.path), why=f"after {self.decoded} frames: {str(error)[:200]}"
            ) from error
        if abs(self.decoded - timeline_frames) > MOST_FRAMES_APART:
            raise BadDataError(
                "video and timeline differ", where=str(self.path),
                why=f"{self.decoded} frames decoded, {timeline_frames} on the timeline",
                fix="Run `prepare check` and `prepare manifest` again.",
            )  # fmt: skip

    def _pictures(self, container: av.container.InputContainer, wanted: NDArray[np.int64]) -> Generator[bytes]:
        if not container.streams.video:
            raise BadDataError("no video stream in it", where=str(self.path))
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1  # a worker is one core; more threads are more memory
        self.source_size = (stream.codec_context.width, stream.codec_context.height)
        self.size = stored_size(*self.source_size, self.pixels)
        encoder = _encoder(self.size, self.jpeg_scale)
        next_wanted, jpeg = 0, b""
        for picture in container.decode(stream):
            self.damaged += picture.is_corrupt
            if next_wanted < len(wanted) and self.decoded == wanted[next_wanted]:
                jpeg = _jpeg(encoder, picture, self.size, number=next_wanted)
                while next_wanted < len(wanted) and self.decoded == wanted[next_wanted]:
                    next_wanted += 1
                    yield jpeg
            last = picture
            self.decoded += 1
        if next_wanted < len(wanted) and self.decoded and wanted[-1] <= self.decoded:
            # One frame short of the timeline: the last picture stands for it.
            jpeg = _jpeg(encoder, last, self.size, number=next_wanted)
            yield from [jpeg] * (len(wanted) - next_wanted)


def _encoder(size: tuple[int, int], jpeg_scale: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)  # noqa: S101  what `create` gives for a video codec
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = TIME_BASE
    encoder.qmin = encoder.qmax = jpeg_scale
    encoder.thread_count = 1
    encoder.options = {"flags": "+bitexact"}
    return encoder


def _jpeg(encoder: av.VideoCodecContext, picture: av.VideoFrame, size: tuple[int, int], *, number: int) -> bytes:
    small = picture.reformat(*size, format="yuvj420p", interpolation="AREA", dst_colorspace="ITU601")
    small.time_base, small.pts = TIME_BASE, number
    return b"".join(bytes(packet) for packet in encoder.encode(small))
