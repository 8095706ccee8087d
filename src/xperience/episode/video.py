"""What an MP4 says of itself, and what its packets and pictures say."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard

from xperience.common.errors import BadDataError
from xperience.episode.ranged import RangedFile

# The header says what a probe wants to know; without these libav reads pictures to guess it again.
HEADER_ALONE = {"probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"}
# Longest header (`moov`) that is read at once: 5 minutes of video and audio have some 200 kB.
MOST_HEADER_BYTES = 8 << 20
MOST_BOXES = 64
# Ends of a stream that are decoded hold one group of pictures each; more pictures than this are not looked at.
MOST_GROUP_PICTURES = 600


class VideoError(BadDataError):
    """A file that is no readable video (65)."""


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What the MP4's tables say. Frames and duration are None where they say nothing (a fragmented file)."""

    codec: str
    width: int
    height: int
    frames: int | None
    duration_ms: int | None
    frames_per_second: float | None
    audio_codec: str | None
    audio_rate_hz: int | None
    audio_duration_ms: int | None


@dataclass(frozen=True, slots=True)
class VideoContent:
    """`frames`: packets that lie in the file; decoded: pictures of the first and of the last group of pictures."""

    frames: int
    decoded_first: int
    decoded_last: int


def header_ranges(file: IO[bytes] | RangedFile, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Byte ranges of the tables of an MP4, which may lie behind its content; reads 16 bytes per box at the top."""
    offset = 0
    for _ in range(MOST_BOXES):
        if offset + 8 > size_bytes:
            return
        file.seek(offset)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        elif length == 0:
            length = size_bytes - offset
        if length < 8:
            return
        if kind == b"moov":
            yield offset, min(offset + min(length, MOST_HEADER_BYTES), size_bytes)
        offset += length


def read_header(source: Path | IO[bytes] | RangedFile) -> VideoHeader:
    """The facts of the tables alone; VideoError where there is no video in it.

    Of a ranged file the tables are fetched in two ranges, and nothing else: libav would want the first pictures.
    """
    if isinstance(source, RangedFile):
        source.plan(header_ranges(source, source.size_bytes))
        source.seal()
    with _opened(source, HEADER_ALONE) as container:
        return _header(container)


def read_content(source: Path | IO[bytes]) -> tuple[VideoHeader, VideoContent]:
    """Count the packets of the video, and decode the first and the last group of pictures.

    Where the tables list them, each packet is taken from the demuxer's index and its place held against the file's end:
    to read what is in it would be to read the file twice, and would tell no more. A fragmented file is read through.
    """
    with _opened(source, {}) as container:
        header = _header(container)
        for other in container.streams:
            if other.index != container.streams.video[0].index:
                other.discard = Discard.all  # else its packets are read along
        packets = 0
        try:
            packets, late = _read_through(container) if header.frames is None else _listed(container)
            first = _decode_from(container, None)
            last = _decode_from(container, late)
        except (FFmpegError, ValueError) as error:
            raise VideoError("video is damaged", why=f"after {packets} packets: {str(error)[:200]}") from error
    if first == 0 or last == 0:
        raise VideoError("video is damaged", why=f"{packets} packets, but its first or last pictures do not decode")
    return header, VideoContent(packets, first, last)


def _listed(container: InputContainer) -> tuple[int, int | None]:
    """Number of packets of the index, and a time behind the last of them; VideoError where one ends behind the file."""
    stream = container.streams.video[0]
    number, end = 0, None
    for number, entry in enumerate(stream.index_entries, start=1):
        if entry.pos < 0 or entry.size <= 0 or entry.pos + entry.size > container.size:
            why = f"packet {number} ends at byte {entry.pos + entry.size} of {container.size}"
            raise VideoError("video is damaged", why=why)
        end = entry.timestamp + (stream.duration or 0)
    return number, end


def _read_through(container: InputContainer) -> tuple[int, int | None]:
    """Number of packets, by demuxing every one, and the time of the last key frame."""
    packets, last_key = 0, None
    for packet in container.demux(container.streams.video[0]):
        if packet.size == 0:
            continue  # the flush at the end
        packets += 1
        if packet.is_keyframe and packet.pts is not None:
            last_key = packet.pts
    return packets, last_key


def _opened(source: Path | IO[bytes] | RangedFile, options: dict[str, str]) -> InputContainer:
    try:
        # Format and protocol are given: else libav would try all of its parsers on a hostile file.
        name = f"file:{source}" if isinstance(source, Path) else source
        return av.open(name, "r", format="mp4", container_options=options)
    except (FFmpegError, ValueError) as error:
        raise VideoError("not an MP4", why=str(error)[:200]) from error


def _header(container: InputContainer) -> VideoHeader:
    if not container.streams.video:
        raise VideoError("no video stream in it")
    video = container.streams.video[0]
    audio = container.streams.audio[0] if container.streams.audio else None
    if video.codec_context is None:
        raise VideoError("no decoder for the video in it")
    return VideoHeader(
        codec=video.codec_context.name, width=video.codec_context.width, height=video.codec_context.height,
        frames=video.frames or None, duration_ms=_milliseconds(video),
        frames_per_second=float(video.average_rate) if video.average_rate else None,
        audio_codec=(audio.codec_context.name if audio.codec_context else "unknown") if audio else None,
        audio_rate_hz=audio.codec_context.sample_rate if audio and audio.codec_context else None,
        audio_duration_ms=_milliseconds(audio) if audio else None,
    )  # fmt: skip


def _milliseconds(stream: av.VideoStream | av.AudioStream) -> int | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return round(stream.duration * stream.time_base * 1000)


def _decode_from(container: InputContainer, pts: int | None) -> int:
    """Pictures from the last key frame before a time up to the next one; from the start for None."""
    stream = container.streams.video[0]
    container.seek(pts if pts is not None else 0, stream=stream, backward=True)
    stream.codec_context.flush_buffers()
    decoded = keys = 0
    for packet in container.demux(stream):
        keys += packet.is_keyframe
        pictures = stream.decode(packet if keys < 2 else None)
        decoded += len(pictures)
        if keys >= 2 or decoded >= MOST_GROUP_PICTURES:
            break
    return decoded
