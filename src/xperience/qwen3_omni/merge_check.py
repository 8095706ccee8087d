"""Logits of a model in a process of its own: `python -m xperience.qwen3_omni.merge_check <model> <adapter or -> <out>`.

Two models of 63 GB are never in memory together, and the merged one is loaded as anybody would load it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from xperience.common.errors import BadDataError
from xperience.qwen3_omni.collate import RowMaker, packed
from xperience.qwen3_omni.model import load_thinker
from xperience.qwen3_omni.sample import Sample

# No picture, no sound: what is merged is the text model alone.
ANSWER = {
    "action": "Pick up the cup", "subtask": None, "objects": ["cup", "hand"], "contact": "yes", "transition": "no",
    "next_action": "Put down the cup",
}  # fmt: skip


def logits_of(model_folder: Path, adapter: Path | None) -> torch.Tensor:
    """(positions, vocabulary) float32 of a fixed question with its answer, in the weights' own dtype."""
    model, tokenizer = load_thinker(model_folder, "auto")
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    sample = Sample(id="merge", answer=ANSWER, begin_seconds=0.0, end_seconds=1.0)
    batch = packed([RowMaker(tokenizer).row(sample)])
    batch.pop("labels")
    with torch.no_grad():
        found: torch.Tensor = model.eval()(**batch, use_cache=False).logits[0].float()
    return found


def difference(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Largest difference of logits, and the share of positions whose likeliest token is the same."""
    agree = (one.argmax(-1) == other.argmax(-1)).float().mean()
    return float((one - other).abs().max()), float(agree)


def compare(base: Path, adapter: Path, merged: Path) -> dict[str, Any]:
    """Fields of the report; BadDataError where one of them cannot be loaded."""
    with tempfile.TemporaryDirectory(prefix="xperience-merge-") as folder:
        found = []
        for number, arguments in enumerate(([str(merged), "-"], [str(base), str(adapter)])):
            place = Path(folder) / f"{number}.pt"
            done = subprocess.run(
                [sys.executable, "-m", "xperience.qwen3_omni.merge_check", *arguments, str(place)],
                stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
                raise BadDataError("a model cannot be loaded", where=arguments[0], why=why[:300])
            found.append(torch.load(place, weights_only=True))
    largest, agreement = difference(found[0], found[1])
    return {
        "positions": len(found[0]), "largest_logit_difference": round(largest, 9),
        "argmax_agreement": round(agreement, 6),
    }  # fmt: skip


if __name__ == "__main__":
    torch.save(logits_of(Path(sys.argv[1]), None if sys.argv[2] == "-" else Path(sys.argv[2])), sys.argv[3])
