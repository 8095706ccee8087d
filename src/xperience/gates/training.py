"""What a training run has told of itself, for the report."""

import json
from pathlib import Path

from xperience.common.errors import UsageError

JOURNAL = "metrics.jsonl"


def losses(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and loss of the training steps and of the validations; UsageError where the folder has no journal."""
    place = run / JOURNAL
    if not place.is_file():
        raise UsageError("no training run", where=str(place), fix="Give the --output of `qwen3-omni train`.")
    found: dict[str, list[tuple[int, float]]] = {"step": [], "validation": []}
    for line in place.read_text().splitlines():
        try:
            told = json.loads(line)
            found[told["event"]].append((int(told["step"]), float(told["loss"])))
        except (ValueError, KeyError, TypeError):
            continue  # half a line of a killed run, or another event
    return found
