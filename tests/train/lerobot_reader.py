"""Read a data set by lerobot's own class: `python lerobot_reader.py ROOT OUT.npz`, in lerobot's own environment."""

import sys
from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

if __name__ == "__main__":
    # torchcodec wants FFmpeg's libraries on the host; av brings its own.
    found = LeRobotDataset("local/records", root=Path(sys.argv[1]), video_backend="pyav")
    rows = [found[number] for number in range(len(found))]
    columns = {
        name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0] if name not in ("task", "subtask")
    }
    tasks = [row["task"] for row in rows]
    np.savez(sys.argv[2], episodes=found.num_episodes, fps=found.fps, tasks=tasks, **columns)
