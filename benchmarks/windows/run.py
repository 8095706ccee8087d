"""Time and memory of `windows build` per window, on one core: episodes of genuine length, rate and count of cameras.

    python benchmarks/windows/run.py                  # 512 and 1024 pixels, 5,900 frames, six cameras, 2.5 Mbit/s
    python benchmarks/windows/run.py --pixels 512     # one of them

An MP4 (H.264 with B-frames, AAC) is written once per size, which takes minutes, copied for the other five cameras, and
kept in --folder. What is timed is the whole
command, from its start to the written index: start-up, timeline, decoding, resizing, JPEG, sound, labels, Parquet.

Beside it, on the same videos and one core, how the earlier exporter read a window: sixteen frames of its context from
each of six captures, each by a seek of its own (here by PyAV), without what it did with them then.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "unit" / "windows"))

from staged import manifest_of

from xperience.common.layout import VIDEOS
from xperience.standin.episodes import Defect, write_episode

FPS = 20
LIMITS_SECONDS = {512: 0.35, 1024: 0.75}
MOST_MIB = 1024
CAP = 256
EARLIER_SEEKS, EARLIER_CONTEXT_FRAMES = 16, 120


def write_video(path: Path, *, frames: int, pixels: int, kilobits: int) -> None:
    """Textured picture that drifts under noise, so that the encoder needs the rate that it is given; AAC beside it."""
    drawn = np.random.default_rng(1)
    block = max(2, pixels // 64)
    large = np.kron(
        drawn.integers(0, 255, size=(2 * pixels // block, 2 * pixels // block, 3), dtype=np.uint8),
        np.ones((block, block, 1), np.uint8),
    )
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width = video.height = pixels
        video.pix_fmt = "yuv420p"
        video.bit_rate = kilobits * 1000
        video.options = {"preset": "veryfast"}
        sound = container.add_stream("aac", rate=48000, layout="stereo")
        for number in range(frames):
            y, x = (int(pixels / 2 + pixels / 3 * turn(number / 40)) for turn in (np.sin, np.cos))
            picture = large[y : y + pixels, x : x + pixels].copy()
            picture[::4, ::4] += drawn.integers(0, 24, size=picture[::4, ::4].shape, dtype=np.uint8)
            for packet in video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
            tone = (0.1 * drawn.standard_normal((2, 48000 // FPS))).astype(np.float32)
            block_of_sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="stereo")
            block_of_sound.sample_rate, block_of_sound.time_base = 48000, Fraction(1, 48000)
            block_of_sound.pts = number * (48000 // FPS)
            container.mux(sound.encode(block_of_sound))
        for stream in (video, sound):
            container.mux(stream.encode(None))


def stage(folder: Path, *, frames: int, pixels: int, kilobits: int) -> Path:
    """One staged episode and its manifest; videos that are there are kept."""
    path = "00000000-0000-4000-8000-000000000000/ep1"
    episode = folder / "root" / path
    if not (episode / "annotation.hdf5").exists():
        write_episode(episode, frames=frames, seed=1, defects=frozenset({Defect.NO_VIDEOS}))
    first = episode / VIDEOS[0]
    if not first.exists():
        part = first.with_suffix(".part")
        write_video(part, frames=frames, pixels=pixels, kilobits=kilobits)
        part.rename(first)
    for name in VIDEOS[1:]:
        if not (episode / name).exists():
            shutil.copyfile(first, episode / name)
    return manifest_of(folder, [(path, "train")])


def measure(folder: Path, manifest: Path) -> dict[str, float]:
    """Run the command on one core, from nothing; CPU seconds of it and of its workers, and their largest memory."""
    output = folder / "windows"
    shutil.rmtree(output, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "xperience", "windows", "build", "--manifest-json", manifest, "--windows", output,
         "--cap", str(CAP), "--jobs", "1", "--json", "--log-format", "json"],
        check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    windows = json.loads(done.stdout)["index"]["windows"]
    media = next(json.loads(line) for line in done.stderr.splitlines() if "episode_media_built" in line)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "windows": windows, "wall_seconds": time.monotonic() - started, "cpu_seconds": cpu,
        "cpu_seconds_per_window": cpu / windows, "media_cpu_seconds": media["cpu_seconds"],
        "worker_peak_mib": media["peak_mib"], "largest_process_mib": after.ru_maxrss // 1024,
        "media_bytes": sum(file.stat().st_size for file in (output / "media").rglob("*") if file.is_file()),
    }  # fmt: skip


def earlier(folder: Path, *, frames: int, windows: int) -> float:
    """CPU seconds per window of the earlier exporter's reads, over windows at equal distances."""
    episode = next((folder / "root").glob("*/*"))
    started = time.process_time()
    for start in np.linspace(0, frames - EARLIER_CONTEXT_FRAMES, windows, dtype=int):
        for name in VIDEOS:
            with av.open(str(episode / name)) as container:
                stream = container.streams.video[0]
                stream.thread_type, stream.codec_context.thread_count = "NONE", 1
                for wanted in np.linspace(start, start + EARLIER_CONTEXT_FRAMES - 1, EARLIER_SEEKS, dtype=int):
                    read_one(container, stream, int(wanted))
    return (time.process_time() - started) / windows


def read_one(container: av.container.InputContainer, stream: av.VideoStream, wanted: int) -> np.ndarray:
    """A frame by its number: back to the key frame before it, and on from there."""
    assert stream.time_base is not None
    at = round(Fraction(wanted, FPS) / stream.time_base)
    container.seek(at, stream=stream, backward=True)
    frame = next(frame for frame in container.decode(stream) if frame.pts is not None and frame.pts >= at)
    return frame.to_ndarray(format="rgb24")


def main() -> int:
    """Print one line per size; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, nargs="*", default=[512, 1024])
    parser.add_argument("--frames", type=int, default=5900)
    parser.add_argument("--kilobits", type=int, default=2500)
    parser.add_argument("--earlier-windows", type=int, default=6, help="windows read as the earlier exporter did")
    parser.add_argument("--folder", type=Path, default=Path("build/benchmark-windows"))
    asked = parser.parse_args()
    kept = True
    for pixels in asked.pixels:
        folder = asked.folder.resolve() / f"{pixels}-{asked.frames}-{asked.kilobits}"
        manifest = stage(folder, frames=asked.frames, pixels=pixels, kilobits=asked.kilobits)
        rate = sum(f.stat().st_size for f in folder.rglob("*.mp4")) * 8 / 6 / (asked.frames / FPS) / 1e6
        found = measure(folder, manifest)
        limit = LIMITS_SECONDS.get(pixels, float("inf"))
        fine = found["cpu_seconds_per_window"] <= limit and found["largest_process_mib"] <= MOST_MIB
        kept &= fine
        print(
            f"{pixels}×{pixels}, {asked.frames} frames, {rate:.2f} Mbit/s per camera:"
            f" {found['cpu_seconds_per_window']:.3f} s per window and core (limit {limit})"
            f" over {found['windows']} windows; {found['cpu_seconds']:.1f} s CPU, {found['wall_seconds']:.1f} s wall,"
            f" {found['media_cpu_seconds']:.1f} s of it media; {found['largest_process_mib']} MiB"
            f" (limit {MOST_MIB}); {found['media_bytes'] / 1e6:.1f} MB of media: {'ok' if fine else 'TOO MUCH'}",
            flush=True,
        )
        if asked.earlier_windows:
            seconds = earlier(folder, frames=asked.frames, windows=asked.earlier_windows)
            print(
                f"  as the earlier exporter read it: {seconds:.2f} s per window and core,"
                f" {seconds / found['cpu_seconds_per_window']:.0f} ×", flush=True,
            )  # fmt: skip
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
