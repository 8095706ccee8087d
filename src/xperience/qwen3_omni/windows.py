"""Windows as samples: the one place that knows the folder that `xperience windows` writes."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.common.patches import SIDE
from xperience.qwen3_omni.sample import Sample, SampleFacts
from xperience.windows.dataset import ARTEFACT, WindowsDataset
from xperience.windows.index import Window, read_index
from xperience.windows.media import MARKER, EpisodeMedia
from xperience.windows.reader import Media

OPEN_MEDIA = 16


class WindowSamples:
    """The windows of some splits; `natural` takes the uncapped test index where there is one."""

    def __init__(self, root: Path, splits: Sequence[str], *, natural: bool = False) -> None:
        if not (root / ARTEFACT).exists():
            raise BadDataError("no windows", where=str(root / ARTEFACT), fix="Run `windows build`.")
        self.root, self.dataset = root, WindowsDataset.read(root / ARTEFACT)
        self.content_sha256 = self.dataset.content_sha256
        index = self.dataset.evaluation_index if natural else self.dataset.index
        self.windows = [window for window in read_index(root, index) if window.split in splits]
        if not self.windows:
            raise BadDataError("no windows of these splits", where=str(root / index.path), why=", ".join(splits))
        self._markers = {w.media: EpisodeMedia.read(root / w.media / MARKER) for w in self.windows}
        self._open = lru_cache(maxsize=OPEN_MEDIA)(lambda media: Media(self.root, media, self._markers[media]))
        self._facts = [self._fact(window) for window in self.windows]

    @property
    def facts(self) -> list[SampleFacts]:
        """All, in the order of the index."""
        return self._facts

    def _fact(self, window: Window) -> SampleFacts:
        marker = self._markers[window.media]
        clip_ns = marker.start_ns + window.media_first * 1_000_000_000_000 // marker.recipe.rate_millihertz
        height, width = _mosaic_size(marker)
        return SampleFacts(
            id=window.id, session=window.session, split=window.split, answer=window.answer(),
            begin_seconds=round((window.start_ns - clip_ns) / 1e9, 2),
            end_seconds=round((window.end_ns - clip_ns) / 1e9, 2),
            frames=window.media_count, height=height, width=width,
            samples=window.sound_count if window.sound in ("sound", "partial") else 0,
            place=window.first_frame / marker.timeline_frames, episode=window.episode_id,
        )  # fmt: skip

    def read(self, number: int) -> Sample:
        """One window: its cameras side by side, its sound where there is any."""
        window, facts = self.windows[number], self._facts[number]
        media = self._open(window.media)
        seconds = media.seconds(window.media_first, window.media_count)
        rate = media.marker.recipe.rate_millihertz / 1000
        frame_seconds = float(seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else 1 / rate
        cameras = [media.frames(window.media_first, window.media_count, camera) for camera in media.cameras]
        waveform = media.waveform(window.sound_first, window.sound_count) if facts.samples else None
        return Sample(
            id=window.id, answer=facts.answer, begin_seconds=facts.begin_seconds, end_seconds=facts.end_seconds,
            frames=mosaic(cameras), frame_seconds=round(frame_seconds, 6), waveform=waveform,
        )  # fmt: skip


def _columns(cameras: int) -> int:
    return max(1, int(np.ceil(np.sqrt(cameras))))


def _tile(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Height and width that hold every camera, multiples of 32."""
    return tuple(-(-max(size[axis] for size in sizes) // SIDE) * SIDE for axis in (0, 1))  # type: ignore[return-value]


def _mosaic_size(marker: EpisodeMedia) -> tuple[int, int]:
    height, width = _tile([(camera.height, camera.width) for camera in marker.cameras])
    columns = _columns(len(marker.cameras))
    return height * -(-len(marker.cameras) // columns), width * columns


def mosaic(cameras: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(T, h, w, 3) of each camera → (T, H, W, 3): tiles row by row, black where a picture ends."""
    height, width = _tile([(frames.shape[1], frames.shape[2]) for frames in cameras])
    columns = _columns(len(cameras))
    rows = -(-len(cameras) // columns)
    picture = np.zeros((len(cameras[0]), rows * height, columns * width, 3), np.uint8)
    for number, frames in enumerate(cameras):
        top, left = number // columns * height, number % columns * width
        picture[:, top : top + frames.shape[1], left : left + frames.shape[2]] = frames
    return picture
