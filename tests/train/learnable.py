"""Windows whose frames show their label, and the commands on them: for the test and for benchmarks/train."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "windows"))

from staged import manifest_of

from xperience.qwen3_omni import tiny
from xperience.standin.shown import CAMERA, write_shown_episode
from xperience.windows.dataset import ARTEFACT, WindowsDataset
from xperience.windows.index import Window, read_index, write_index

# Sessions of a split, and windows of a session.
SESSIONS = {"train": (10, 16), "val": (2, 8), "test": (16, 4)}
BUILD = ("--scales", "20/40", "--context-seconds", "1", "--frame-rate-hz", "1", "--frame-pixels", "64")
TRAIN = (
    "--dtype", "float32", "--lora-rank", "16", "--lora-alpha", "32", "--lora-dropout", "0", "--learning-rate", "3e-3",
    "--warm-up-steps", "10", "--epochs", "8", "--pack-tokens", "2048", "--packs-per-step", "1", "--no-recompute",
    "--loader-workers", "0", "--checkpoint-every-steps", "1000", "--validate-every-steps", "20", "--patience", "0",
)  # fmt: skip


@dataclass
class Commands:
    """Runs `xperience …` one after the other; what each took, wall and CPU, is kept."""

    folder: Path
    took: dict[str, tuple[float, float]] = field(default_factory=dict)

    def arguments(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "xperience", *map(str, words)]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
            "XPERIENCE_WORKSPACE": str(self.folder),
        }  # fmt: skip

    def run(self, name: str, *words: object, expect: int = 0) -> str:
        """Output of a command; RuntimeError where its exit code is another one."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            self.arguments(*words), env=self.environment, cwd=self.folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.took[name] = (round(time.monotonic() - started, 1), round(cpu, 1))
        if done.returncode != expect:
            raise RuntimeError(f"{name}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout


def make(folder: Path, commands: Commands) -> tuple[Path, Path, Path]:
    """The base model, windows that show their labels, and the same windows with labels dealt anew."""
    base = tiny.write_tiny_base(folder / "base")
    drawn, placed = np.random.default_rng(3), []
    for split, (sessions, windows) in SESSIONS.items():
        for _ in range(sessions):
            path = f"00000000-0000-4000-8000-{len(placed):012d}/ep1"
            shown = [int(label) for label in drawn.integers(0, len(tiny.ACTIONS), windows)]
            write_shown_episode(folder / "root" / path, shown, actions=tiny.ACTIONS, seed=len(placed))
            placed.append((path, split))
    manifest, output = manifest_of(folder, placed), folder / "windows"
    commands.run("windows build", "windows", "build", "--manifest-json", manifest, "--windows", output, "--cameras",
                 CAMERA, *BUILD)  # fmt: skip
    return base, output, shuffle(output, folder / "windows-shuffled")


def shuffle(windows: Path, output: Path) -> Path:
    """The same media; what a window says is dealt anew within its split, so that frames say nothing about it."""
    output.mkdir()
    (output / "media").symlink_to(windows / "media")
    dataset = WindowsDataset.read(windows / ARTEFACT)
    found = read_index(windows, dataset.index)
    told: dict[str, Window] = {}
    for split in SESSIONS:
        of_split = [window for window in found if window.split == split]
        for place, number in enumerate(np.random.default_rng(4).permutation(len(of_split))):
            other = of_split[int(number)]
            said = {name: getattr(other, name) for name in ("action", "subtask", "objects", "next_action", "contact")}
            told[of_split[place].id] = of_split[place].model_copy(update=said)
    natural = [told[window.id] for window in read_index(windows, dataset.evaluation_index)]
    dataset.model_copy(
        update={
            "index": write_index(output, "index", [told[window.id] for window in found], tuple(SESSIONS)),
            "natural_test": write_index(output, "natural-test", natural, ["test"]),
        }
    ).write(output / ARTEFACT)
    return output


def learn(commands: Commands, name: str, base: Path, windows: Path, output: Path) -> None:
    """Train, ask the base model, ask the adapter: the report is in output/evaluation."""
    where = ("--base", base, "--windows", windows, "--output", output)
    commands.run(f"{name}: train", "qwen3-omni", "train", *where, *TRAIN)
    asked = ("qwen3-omni", "evaluate", *where, "--dtype", "float32")
    commands.run(f"{name}: evaluate --zero-shot", *asked, "--zero-shot")
    commands.run(f"{name}: evaluate", *asked)
