"""What a tiny model learns where frames show their label, and where labels are dealt anew: both reports, and the time.

    python benchmarks/train/learnable.py

Windows of synthetic episodes, `qwen3-omni train`, `evaluate --zero-shot`, `evaluate`, as a user runs them, on the CPU.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "train"))

from learnable import Commands, learn, make

from xperience.qwen3_omni.compare import ABOVE, NOT_ABOVE
from xperience.qwen3_omni.evaluate import Evaluation

MOST_SECONDS = 180


def main() -> int:
    """Print both reports; 1 where a verdict is not the expected one, or where it took more than 3 CPU minutes."""
    kept = True
    with tempfile.TemporaryDirectory(prefix="xperience-learnable-") as folder:
        commands = Commands(Path(folder))
        base, windows, shuffled = make(commands.folder, commands)
        for name, place, expected in (("shown", windows, ABOVE), ("dealt anew", shuffled, NOT_ABOVE)):
            output = commands.folder / name.replace(" ", "-")
            learn(commands, name, base, place, output)
            action = Evaluation.read(output / "evaluation" / "evaluation.json").fields["action"]
            print(f"{name}: accuracy {action.accuracy}, {action.verdict}")
            for label, one in action.baselines.items():
                print(f"  {label}{' (oracle)' if one.oracle else ''}: {one.score}, difference {one.difference},"
                      f" 95 % interval {one.interval}")  # fmt: skip
            cpu = sum(cpu for step, (_, cpu) in commands.took.items() if step.startswith(name))
            kept &= action.verdict == expected and cpu <= MOST_SECONDS
    for step, (wall, cpu) in commands.took.items():
        print(f"{step}: {cpu} CPU seconds, {wall} s")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
