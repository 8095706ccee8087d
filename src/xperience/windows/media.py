"""Media of one episode: frames and sound in a folder of their own, and the marker that says they are whole.

`media/<session>/<episode>/` holds

    frames.jpegs   JPEGs one behind the other: all cameras of the first instant, all of the next, …
    frames.npz     `offsets` (K·C + 1,) int64 into frames.jpegs; `t_ns` (K,) the device time of each instant's frame;
                   `source` (K,) its number in the video; `sample_of_frame` (frames,) float, see sound.py
    audio.wav      16 kHz mono; not there where the episode has no sound
    media.json     the marker: sizes and hashes of these, and of what they were made from
"""

import io
import wave
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence, Part
from xperience.common.files import atomic_file, sha256_of_file, write_atomic
from xperience.common.layout import ANNOTATION
from xperience.episode.annotation import Annotation
from xperience.episode.timeline import Timeline
from xperience.windows.frames import Camera
from xperience.windows.grid import grid_of
from xperience.windows.recipe import MediaRecipe
from xperience.windows.sound import HERTZ, Sound, SoundFacts, read_sound
from xperience.windows.source import SourceEpisode

FRAMES, TABLES, AUDIO, MARKER = "frames.jpegs", "frames.npz", "audio.wav", "media.json"


class MediaFile(Part):
    """One file of the folder."""

    size_bytes: int
    sha256: str


class CameraFacts(Part):
    """One camera: `damaged` frames were decoded with errors that the decoder hid."""

    name: str
    source_width: int
    source_height: int
    width: int
    height: int
    decoded: int
    damaged: int


class EpisodeMedia(Evidence):
    """The marker. `instants` is K; `inputs` are the files that it was made from."""

    SCHEMA: ClassVar[str] = "xperience.windows-media/1"

    episode_id: str
    recipe: MediaRecipe
    timeline_frames: int
    start_ns: int
    instants: int
    cameras: tuple[CameraFacts, ...]
    sound: SoundFacts
    files: dict[str, MediaFile]


def folder_of(output: Path, episode: SourceEpisode) -> Path:
    """Where the media of an episode go."""
    return output / "media" / episode.path


def inputs_of(episode: SourceEpisode, recipe: MediaRecipe) -> dict[str, str]:
    """The files that media are made from, by name."""
    names = (ANNOTATION, *(f"{camera}.mp4" for camera in recipe.cameras))
    return {name: episode.identity.get(name, "not in the manifest") for name in names}


def finished(output: Path, episode: SourceEpisode, recipe: MediaRecipe) -> EpisodeMedia | None:
    """The marker, where the media are there, whole, and made from these files by this recipe; else None."""
    folder = folder_of(output, episode)
    try:
        marker = EpisodeMedia.read(folder / MARKER)
    except (FileNotFoundError, BadDataError):
        return None
    if marker.recipe != recipe or marker.inputs != inputs_of(episode, recipe):
        return None
    for name, file in marker.files.items():
        place = folder / name
        if not place.is_file() or place.stat().st_size != file.size_bytes:
            return None
    return marker


def read_timeline(annotation: Annotation, where: str) -> Timeline:
    """The timeline; BadDataError where there is none or where it does not increase."""
    timeline = annotation.timeline()
    if timeline is None or not timeline.strictly_increasing:
        raise BadDataError(
            "no timeline", where=where,
            why="there is none" if timeline is None else "its timestamps do not increase from frame to frame",
        )  # fmt: skip
    return timeline


def build_media(output: Path, episode: SourceEpisode, recipe: MediaRecipe) -> EpisodeMedia:
    """Decode an episode and write its folder, the marker last; BadDataError where its files are not as they should."""
    names = tuple(inputs_of(episode, recipe))
    episode.require(names)
    folder = folder_of(output, episode)
    folder.mkdir(parents=True, exist_ok=True)
    for left in (folder / MARKER, *folder.glob(".*.tmp")):
        left.unlink(missing_ok=True)
    with Annotation.open(episode.annotation) as annotation:
        timeline = read_timeline(annotation, episode.path)
    grid = grid_of(timeline, recipe.rate_millihertz)
    cameras = [Camera(name, episode.video(name), recipe.pixels, recipe.jpeg_scale) for name in recipe.cameras]
    offsets = [0]
    with atomic_file(folder / FRAMES) as file, ExitStack() as streams:
        running = [camera.pictures(grid.source, timeline.frames) for camera in cameras]
        for pictures in running:
            streams.callback(pictures.close)
        for jpegs in zip(*running, strict=True):
            for jpeg in jpegs:
                file.write(jpeg)
                offsets.append(offsets[-1] + len(jpeg))
        file.flush()
    expected = len(grid.source) * len(cameras)
    if len(offsets) - 1 != expected:
        raise BadDataError("frames are missing", where=episode.path, why=f"{len(offsets) - 1} of {expected}")
    sound = read_sound([(camera.name, camera.path) for camera in cameras], timeline.t_ns)
    write_atomic(
        folder / TABLES,
        _tables(offsets=np.array(offsets), t_ns=grid.t_ns, source=grid.source, sample_of_frame=sound.sample_of_frame),
    )
    if sound.facts.status == "absent":
        (folder / AUDIO).unlink(missing_ok=True)
    else:
        write_atomic(folder / AUDIO, _wav(sound))
    marker = EpisodeMedia(
        inputs=inputs_of(episode, recipe), episode_id=episode.id, recipe=recipe, timeline_frames=timeline.frames,
        start_ns=grid.start_ns, instants=len(grid.source), sound=sound.facts,
        cameras=tuple(
            CameraFacts(
                name=camera.name, source_width=camera.source_size[0], source_height=camera.source_size[1],
                width=camera.size[0], height=camera.size[1], decoded=camera.decoded, damaged=camera.damaged,
            )
            for camera in cameras
        ),
        files={
            name: MediaFile(size_bytes=(folder / name).stat().st_size, sha256=sha256_of_file(folder / name))
            for name in (FRAMES, TABLES, AUDIO) if (folder / name).exists()
        },
    )  # fmt: skip
    marker.write(folder / MARKER)
    return marker


def _tables(**arrays: NDArray[Any]) -> bytes:
    """An .npz, whose members carry no time: the same bytes for the same arrays."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _wav(sound: Sound) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(HERTZ)
        writer.writeframes(sound.samples.astype("<i2").tobytes())
    return file.getvalue()
