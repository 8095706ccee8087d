"""Synthetic MP4: H.264 and AAC, one picture per given instant, the same bytes for the same input."""

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

TIME_BASE = Fraction(1, 90000)
AUDIO_RATE = 16000
AUDIO_BLOCK = 1024


def write_video(
    path: Path, times_seconds: Sequence[float], *, seed: int, pixels: int = 64, audio: bool = True,
    colours: NDArray[np.uint8] | None = None,
) -> None:  # fmt: skip
    """`pixels` square, one frame at each of ≥ 2 times (ascending, from 0); a bar moves along, audio is a quiet tone.

    `colours` (frames, 3) RGB lie behind the bar; without them one colour of the seed.
    """
    drawn = np.random.default_rng(seed)
    frame_ticks = round(times_seconds[-1] / (len(times_seconds) - 1) / TIME_BASE)
    one_colour = drawn.integers(40, 200, size=3, dtype=np.uint8)
    behind = np.tile(one_colour, (len(times_seconds), 1)) if colours is None else colours
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width = stream.height = pixels
        stream.pix_fmt = "yuv420p"
        stream.time_base = TIME_BASE
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.thread_count = 1  # more would change the bytes
        stream.options = {"preset": "ultrafast", "crf": "30", "tune": "zerolatency"}
        sound = container.add_stream("aac", rate=AUDIO_RATE, layout="mono") if audio else None
        if sound is not None:
            sound.codec_context.thread_count = 1
            sound.options = {"aac_coder": "fast"}  # the default takes two thirds of an episode's time
        for frame in chain(_pictures(times_seconds, pixels, behind), (None,)):
            for packet in stream.encode(frame):
                # Else the last picture would last 1/20 s, and the frame rate that a probe reports be wrong.
                packet.duration = frame_ticks
                container.mux(packet)
        if sound is not None:
            length = round(times_seconds[-1] * AUDIO_RATE)
            for start in range(0, max(length, AUDIO_BLOCK), AUDIO_BLOCK):
                phase = (np.arange(start, start + AUDIO_BLOCK) * (220 + seed % 7 * 40) / AUDIO_RATE) * 2 * np.pi
                block = (0.1 * np.sin(phase)).astype(np.float32)[None, :]
                tone = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                tone.sample_rate = AUDIO_RATE
                tone.time_base = Fraction(1, AUDIO_RATE)
                tone.pts = start
                container.mux(sound.encode(tone))
            container.mux(sound.encode(None))


def pad_video(source: Path, target: Path, size_bytes: int) -> None:
    """Copy a video so that it has about `size_bytes`: each picture's packet gets filler (a NAL unit of type 12)."""
    with av.open(str(source)) as reading, av.open(str(target), "w", format="mp4") as writing:
        video = reading.streams.video[0]
        copies = {stream.index: writing.add_stream_from_template(stream) for stream in reading.streams}
        filler_bytes = (size_bytes - source.stat().st_size) // video.frames - 4
        filler = struct.pack(">IB", filler_bytes, 12) + b"\xff" * (filler_bytes - 2) + b"\x80"
        for packet in reading.demux():
            if packet.dts is None:
                continue
            made = packet
            if packet.stream.index == video.index:
                made = av.Packet(bytes(packet) + filler)
                made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
                made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
            made.stream = copies[packet.stream.index]
            writing.mux(made)


def _pictures(times_seconds: Sequence[float], pixels: int, behind: NDArray[np.uint8]) -> Iterator[av.VideoFrame]:
    for number, time in enumerate(times_seconds):
        image = np.empty((pixels, pixels, 3), np.uint8)
        image[:] = behind[number]
        column = number * 3 % pixels
        image[:, column : column + 4] = 255
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.time_base = TIME_BASE
        frame.pts = round(time / TIME_BASE)
        yield frame
