"""An episode's sound as 16 kHz mono on the clock of its video; what is silent, absent or damaged is said."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.common.evidence import Part

HERTZ = 16_000
FULL_SCALE = 32_768
# −60 dBFS: below it is the noise of a converter, not of a room.
SILENT_PEAK = 0.001
COVERED_SHARE = 0.99
# Decoded blocks whose times are further apart than this have a hole between them.
HOLE_SECONDS = 0.02

Samples = NDArray[np.int16]
Status = Literal["sound", "silent", "absent", "damaged"]
WindowSound = Literal["sound", "silent", "partial", "absent"]


class SoundFacts(Part):
    """What is known of an episode's sound. `runs`: ranges of samples that were decoded; the rest is filled with zeros.

    `drift_ms`: how much longer the camera's container takes from first to last frame than the device's clock.
    """

    status: Status
    camera: str = ""
    codec: str = ""
    source_hertz: int = 0
    samples: int = 0
    runs: tuple[tuple[int, int], ...] = ()
    peak: float = 0.0
    drift_ms: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Sound:
    """`samples`: int16, number 0 at the first video frame; `sample_of_frame`: (frames of the video,) float."""

    facts: SoundFacts
    samples: Samples
    sample_of_frame: NDArray[np.float64]


ABSENT = Sound(SoundFacts(status="absent"), np.zeros(0, np.int16), np.zeros(0))


def read_sound(videos: Sequence[tuple[str, Path]], t_ns: NDArray[np.int64]) -> Sound:
    """The sound of the first of (camera, MP4) that has an audio stream; absent where none has one."""
    for camera, path in videos:
        try:
            with av.open(f"file:{path}", "r", format="mp4") as container:
                if container.streams.audio and container.streams.video:
                    return _read(container, camera, t_ns)
        except (FFmpegError, ValueError) as error:
            raise BadDataError("not an MP4", where=str(path), why=str(error)[:200]) from error
    return ABSENT


def _read(container: av.container.InputContainer, camera: str, t_ns: NDArray[np.int64]) -> Sound:
    video, audio = container.streams.video[0], container.streams.audio[0]
    ticks: list[int] = []
    blocks = _Blocks()
    fault = "" if audio.codec_context else "no decoder for it"
    try:
        for packet in container.demux(video, audio):
            if packet.stream.type == "audio":
                fault = fault or blocks.decode(audio, packet)
            elif packet.size and packet.pts is not None:
                ticks.append(packet.pts)  # to the end, whatever the sound is: the places of all windows hang on them
    except (FFmpegError, ValueError) as error:
        fault = fault or str(error)[:200]
    blocks.end()
    if video.time_base is None or not ticks:
        raise BadDataError("no video beside the sound", where=camera)
    seconds = np.sort(np.array(ticks, dtype=np.float64)) * float(video.time_base)
    since_first = seconds - seconds[0]
    both = min(len(seconds), len(t_ns))
    frame_seconds = float(since_first[-1]) / max(len(seconds) - 1, 1)  # the last frame lasts as long as the others
    samples, runs = blocks.laid_out(float(seconds[0]), length=round((since_first[-1] + frame_seconds) * HERTZ))
    peak = peak_of(samples)
    drift_ms = round(float(since_first[both - 1] - (t_ns[both - 1] - t_ns[0]) / 1e9) * 1000)
    status: Status = "damaged" if fault else "absent" if not runs else "silent" if peak < SILENT_PEAK else "sound"
    facts = SoundFacts(
        status=status, camera=camera, codec=audio.codec_context.name if audio.codec_context else "unknown",
        source_hertz=audio.codec_context.sample_rate if audio.codec_context else 0, samples=len(samples), runs=runs,
        peak=round(peak, 6), drift_ms=drift_ms, fault=fault,
    )  # fmt: skip
    return Sound(facts, samples, since_first * HERTZ)


class _Blocks:
    """Resampled blocks with their times; a hole in the source begins a new run."""

    def __init__(self) -> None:
        self._runs: list[tuple[float, list[Samples]]] = []
        self._resampler: av.AudioResampler | None = None
        self._next_seconds = 0.0

    def decode(self, audio: av.AudioStream, packet: "av.Packet[Any]") -> str:
        """Add what is in a packet; says what keeps it from being decoded."""
        try:
            for frame in audio.decode(packet):
                self.add(frame)
        except (FFmpegError, ValueError) as error:
            return str(error)[:200]
        return ""

    def add(self, frame: av.AudioFrame) -> None:
        """A decoded block; one without a time follows the one before it."""
        starts = self._next_seconds if frame.time is None else float(frame.time)
        if self._resampler is None or abs(starts - self._next_seconds) > HOLE_SECONDS:
            self.end()
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=HERTZ)
            self._runs.append((starts, []))
        self._take(frame)
        self._next_seconds = starts + frame.samples / frame.sample_rate

    def end(self) -> None:
        """Take what the resampler still holds."""
        if self._resampler is not None:
            self._take(None)
            self._resampler = None

    def _take(self, frame: av.AudioFrame | None) -> None:
        if self._resampler is not None:
            blocks = (np.asarray(block.to_ndarray(), np.int16) for block in self._resampler.resample(frame))
            self._runs[-1][1].extend(block.reshape(-1) for block in blocks)

    def laid_out(self, zero_seconds: float, *, length: int) -> tuple[Samples, tuple[tuple[int, int], ...]]:
        """All runs on one array of `length` that begins at `zero_seconds`, zeros where there is nothing."""
        laid = np.zeros(length, dtype=np.int16)
        runs = []
        for starts, blocks in self._runs:
            run = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
            first = round((starts - zero_seconds) * HERTZ)
            kept = run[max(-first, 0) : max(length - first, 0)]
            first = max(first, 0)
            if len(kept):
                laid[first : first + len(kept)] = kept
                runs.append((first, first + len(kept)))
        return laid, tuple(sorted(runs))


def peak_of(samples: Samples) -> float:
    """The largest sample as a share of full scale; 0 of none."""
    return float(np.abs(samples.astype(np.int32)).max()) / FULL_SCALE if len(samples) else 0.0


def sound_of(facts: SoundFacts, samples: Samples, first: int, stop: int) -> tuple[WindowSound, float | None]:
    """What samples [first, stop) hold, and their level: root mean square in dBFS, None where it is nil."""
    wanted = max(stop - first, 1)
    covered = sum(max(0, min(stop, last) - max(first, begin)) for begin, last in facts.runs) / wanted
    if covered == 0:
        return "absent", None
    piece = samples[max(first, 0) : stop]
    rms = float(np.sqrt(np.mean(piece.astype(np.float64) ** 2))) / FULL_SCALE
    level = round(20 * float(np.log10(rms)), 1) if rms > 0 else None
    if covered < COVERED_SHARE:
        return "partial", level
    return ("silent" if peak_of(piece) < SILENT_PEAK else "sound"), level
