"""What post-training made, in the weights of its base model; loaded again by diffusers or transformers, and compared.

Generator and reasoner share the text tower. The generator's adapter leaves it as it is; the reasoner's changes it, and
the generator has not learnt to go with that: its merged folder is without what diffusers loads a pipeline by.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from xperience.common.evidence import Evidence
from xperience.common.files import sha256_of_file
from xperience.cosmos3_nano import lora
from xperience.cosmos3_nano.actions import WIDTHS
from xperience.cosmos3_nano.flow import MODES, Example, domain_id_of, loss_at
from xperience.cosmos3_nano.generator import load_pipeline
from xperience.cosmos3_nano.merged_weights import AdapterAndHeads, TextTower
from xperience.cosmos3_nano.post_training.record import PartName
from xperience.cosmos3_nano.reasoner import VIDEO_TYPE, Reasoner, inputs_of, load_reasoner
from xperience.training.answers import IGNORED, answer_loss
from xperience.training.merging import ADAPTER_WEIGHTS, Files, merge_files

REPORT = "cosmos3_nano_merge.json"
PIPELINE = "model_index.json"  # what diffusers loads a folder by
PROBED = (0.3, 0.7)  # σ of the comparison
SIDE, FRAMES = 4, 5  # of its latents: four tokens per frame
QUESTIONS = ("What is the person doing now?", "Which hand touches the object?")


class Merge(Evidence):
    """What was merged, and how far the losses of a fixed example are from those of base and adapter.

    `domain_id` is that of the generator's heads, None of the reasoner. `relative_difference` is None where it was not
    asked for. Sums are made in float32 and stored in the weight's own dtype: it is 0 up to the rounding of that.
    """

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-merge/1"

    part: PartName
    merged_weights: int
    rewritten_files: list[str]
    copied_files: list[str]
    dtype: str
    domain_id: int | None = None
    relative_difference: float | None = None


def merge(base: Path, adapter: Path, output: Path, *, dtype: torch.dtype, compare: bool) -> Merge:
    """Write `output`; `compare` loads it, then base and adapter, one after the other. The adapter says of which part.

    BadDataError where it is of neither, or of another model.
    """
    if (adapter / ADAPTER_WEIGHTS).is_file():
        return _merged(base, output, TextTower(adapter), (ADAPTER_WEIGHTS,), compare and _of_reasoner(dtype), PIPELINE)
    files = (lora.ADAPTER_FILE, lora.HEADS_FILE)
    change = AdapterAndHeads(adapter)
    return _merged(base, output, change, files, compare and _of_generator(dtype, change.domain_id), "")


Losses = Callable[[Path, Path | None], list[float]]


def _merged(
    base: Path, output: Path, change: AdapterAndHeads | TextTower, adapter_files: tuple[str, ...],
    losses: Losses | Literal[False], without: str,
) -> Merge:  # fmt: skip
    found: list[Merge] = []

    def conclude(folder: Path, files: Files) -> None:
        difference = None
        if losses:
            of_merged = losses(folder, None)
            gc.collect()
            of_both = losses(base, change.folder)
            difference = max(abs(one - other) / other for one, other in zip(of_merged, of_both, strict=True))
        found.append(
            Merge(
                inputs={name: sha256_of_file(change.folder / name) for name in adapter_files},
                part="generator" if isinstance(change, AdapterAndHeads) else "reasoner", merged_weights=change.used,
                rewritten_files=files.rewritten, copied_files=files.copied, dtype=", ".join(sorted(files.dtypes)),
                domain_id=getattr(change, "domain_id", None), relative_difference=difference,
            )
        )  # fmt: skip
        found[0].write(folder / REPORT)

    merge_files(base, output, change, conclude, without=without)
    return found[0]


def _of_generator(dtype: torch.dtype, domain_id: int) -> Losses:
    """Losses of an example of noise in every mode: they hang on every weight that trained."""

    def losses(folder: Path, adapter: Path | None) -> list[float]:
        pipeline = load_pipeline(folder, dtype)
        if adapter is not None:
            lora.load(pipeline.transformer, adapter, domain_id)
        return _probe(pipeline, domain_id)

    return losses


def _of_reasoner(dtype: torch.dtype) -> Losses:
    """Losses of the words of fixed questions about a clip of noise."""

    def losses(folder: Path, adapter: Path | None) -> list[float]:
        reasoner = load_reasoner(folder, dtype)
        model = reasoner.model
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, adapter).eval()
        return [_question_loss(Reasoner(model, reasoner.tokenizer), question) for question in QUESTIONS]

    return losses


def _question_loss(reasoner: Reasoner, question: str) -> float:
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    batch = inputs_of(reasoner.tokenizer, frames, 2.0, question)
    batch["labels"] = batch["input_ids"].masked_fill(batch["mm_token_type_ids"] == VIDEO_TYPE, IGNORED)
    device = next(reasoner.model.parameters()).device
    with torch.no_grad():
        return float(answer_loss(reasoner.model, {name: tensor.to(device) for name, tensor in batch.items()}))


def _probe(pipeline: Any, domain_id: int) -> list[float]:
    drawn = torch.Generator().manual_seed(0)
    device = pipeline.transformer.device
    width = next(width for domain, width in WIDTHS.items() if domain_id_of(domain) == domain_id)
    latents = torch.randn(1, pipeline.transformer.config.latent_channel, FRAMES, SIDE, SIDE, generator=drawn)
    actions = torch.zeros(4 * (FRAMES - 1), pipeline.transformer.config.action_dim)
    actions[:, :width] = torch.randn(len(actions), width, generator=drawn)
    tokens = pipeline.text_tokenizer("Go on.", add_special_tokens=False)["input_ids"]
    found = []
    with torch.no_grad():
        for mode in MODES:
            example = Example(mode, domain_id, width, latents.to(device), actions.to(device), tokens, 10.0)
            found += [float(loss_at(pipeline, example, sigma=sigma, seed=0)) for sigma in PROBED]
    return found
