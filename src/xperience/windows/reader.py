"""Read frames and sound of windows: one read per window, no decoding of video."""

import io
import itertools
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.episode.timeline import Timeline
from xperience.windows.grid import Grid
from xperience.windows.media import AUDIO, FRAMES, MARKER, TABLES, EpisodeMedia
from xperience.windows.sound import HERTZ

# RIFF, fmt and data of a mono PCM file, as the wave module writes them.
WAV_HEADER_BYTES = 44


class Media:
    """The media of one episode, open for reading; costs some kB of memory, not the frames."""

    def __init__(self, root: Path, media: str, marker: EpisodeMedia | None = None) -> None:
        """`media` as a window of the index names it; BadDataError where something is not there."""
        folder = root / media
        try:
            self.marker = marker or EpisodeMedia.read(folder / MARKER)
            with np.load(io.BytesIO((folder / TABLES).read_bytes()), allow_pickle=False) as tables:
                self._offsets, self._sample_of_frame = tables["offsets"], tables["sample_of_frame"]
                self.grid = Grid(
                    self.marker.start_ns, self.marker.recipe.rate_millihertz, tables["source"], tables["t_ns"]
                )
            self._frames = os.open(folder / FRAMES, os.O_RDONLY | os.O_CLOEXEC)
            self.samples = _samples(folder / AUDIO) if AUDIO in self.marker.files else np.zeros(0, np.int16)
        except (OSError, ValueError, KeyError) as error:
            raise BadDataError(
                "media cannot be read", where=media, why=str(error)[:200], fix="Run `windows build` again."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        os.close(self._frames)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Their names, in the order of the frames of an instant."""
        return self.marker.recipe.cameras

    def jpegs(self, first: int, count: int) -> list[list[bytes]]:
        """The JPEGs of `count` instants, (count, cameras)."""
        cameras = len(self.cameras)
        offsets = self._offsets[first * cameras : (first + count) * cameras + 1]
        if first < 0 or len(offsets) != count * cameras + 1:
            raise BadDataError("no such instants", where=self.marker.episode_id, why=f"{first} and {count} more")
        begin = int(offsets[0])
        content = os.pread(self._frames, int(offsets[-1]) - begin, begin)
        if len(content) != int(offsets[-1]) - begin:
            raise BadDataError("frames end early", where=self.marker.episode_id, fix="Run `windows verify`.")
        pieces = [content[int(a) - begin : int(b) - begin] for a, b in itertools.pairwise(offsets)]
        return [pieces[number : number + cameras] for number in range(0, len(pieces), cameras)]

    def frames(self, first: int, count: int, camera: str) -> NDArray[np.uint8]:
        """(count, height, width, 3) RGB of one camera."""
        place = self.cameras.index(camera)
        return np.stack([decode_jpeg(instant[place]) for instant in self.jpegs(first, count)])

    def seconds(self, first: int, count: int) -> NDArray[np.float64]:
        """(count,) times of the frames since the episode's first, by the device's clock."""
        return np.asarray((self.grid.t_ns[first : first + count] - self.marker.start_ns) / 1e9)

    def waveform(self, first: int, count: int) -> NDArray[np.float32]:
        """(count,) samples from −1 to 1 at 16 kHz."""
        return np.asarray(self.samples[first : first + count] / 32_768, dtype=np.float32)

    def sound_range(self, timeline: Timeline, first: int, count: int) -> tuple[int, int]:
        """Samples [first, stop) of the time that stored frames stand for.

        Device time becomes the container's by the frames on both sides of it, so that drift does not add up.
        """
        known = min(len(self._sample_of_frame), timeline.frames)
        if known == 0:
            return 0, 0
        span = np.array(self.grid.span_ns(first, count), dtype=np.float64) - self.marker.start_ns
        device = (timeline.t_ns[:known] - self.marker.start_ns).astype(np.float64)
        samples = np.interp(span, device, self._sample_of_frame[:known])
        behind = max(0.0, float(span[1] - device[-1])) * HERTZ / 1e9
        return round(float(samples[0])), min(round(float(samples[1] + behind)), len(self.samples))


def _samples(path: Path) -> NDArray[np.int16]:
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype="<i2", offset=WAV_HEADER_BYTES)


def decode_jpeg(jpeg: bytes) -> NDArray[np.uint8]:
    """(height, width, 3) RGB."""
    decoder = av.CodecContext.create("mjpeg", "r")
    assert isinstance(decoder, av.VideoCodecContext)  # noqa: S101  what `create` gives for a video codec
    picture = decoder.decode(av.Packet(jpeg))[0]
    return np.asarray(picture.to_ndarray(format="rgb24"))
