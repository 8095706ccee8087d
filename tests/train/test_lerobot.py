"""What `cosmos3-nano export` writes for NVIDIA's hand-pose loader, opened by the lerobot package: `make lerobot`."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "cosmos3_nano"))

from tracks_parts import track

from xperience.cosmos3_nano.clips import NOMINAL_FPS
from xperience.cosmos3_nano.formats import lerobot

FRAMES = 17
MOST_PICTURE_ERROR = 6.0  # of 255, on average: what the codec leaves


@pytest.fixture(scope="module")
def python():
    found = subprocess.run(
        [ROOT / "scripts" / "tool", "--installed", "lerobot"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("lerobot is not installed: `make lerobot` does it (8 GB, an environment of its own)")
    return Path(found.stdout.strip()).parent / "python"


def smooth(seed):
    """(17, 64, 96, 3): a gradient that moves, so that a codec keeps it and every frame is another one."""
    y, x = np.mgrid[0:64, 0:96]
    return np.stack(
        [np.stack([(x + 5 * t + 40 * seed) % 256, (2 * y + 7 * t) % 256, x + y], -1) for t in range(FRAMES)]
    ).astype(np.uint8)


def test_lerobots_own_class_reads_the_columns_times_tasks_and_pictures(python, tmp_path):
    clips = [smooth(n) for n in range(3)]
    samples = [lerobot.Sample(track(seed=n), lambda n=n: clips[n], f"task {n % 2}") for n in range(3)]
    lerobot.write(tmp_path / "set", samples)
    done = subprocess.run(
        [python, Path(__file__).parent / "lerobot_reader.py", tmp_path / "set", tmp_path / "read.npz"],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    read = np.load(tmp_path / "read.npz")
    assert (read["episodes"], read["fps"]) == (3, NOMINAL_FPS)
    assert read["tasks"].tolist() == [f"task {n % 2}" for n in range(3) for _ in range(FRAMES)]
    assert np.allclose(read["timestamp"], np.tile(np.arange(FRAMES) / NOMINAL_FPS, 3))
    for name, width in lerobot.STATES.items():
        assert read[name].shape == (3 * FRAMES, width)
    joints = np.concatenate([sample.track.hands["right"][0].reshape(FRAMES, -1) for sample in samples])
    assert np.allclose(read["observation.state.hand_right_cam"], joints, atol=1e-6)
    shown = read[lerobot.IMAGE].transpose(0, 2, 3, 1) * 255
    errors = np.abs(shown - np.concatenate(clips)).mean(axis=(1, 2, 3))
    assert errors.max() < MOST_PICTURE_ERROR
    assert np.abs(shown[1:] - np.concatenate(clips)[:-1]).mean() > 1.2 * errors.mean()  # a frame late would be seen
