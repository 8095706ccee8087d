"""What the checks look at: a pipeline, staged clips with their sources, and where NVIDIA's model lies."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from xperience.cosmos3_nano.flow import Mode
from xperience.cosmos3_nano.generator import Drawn, draw
from xperience.cosmos3_nano.reasoner import Reasoner, load_reasoner
from xperience.cosmos3_nano.sample import ClipSample, Source

STEPS = 2


@dataclass
class Subject:
    """One model and some clips. `workspace` is a folder to write into; `records` the exported set."""

    pipeline: Any
    clips: list[tuple[ClipSample, Source]]
    records: Path
    workspace: Path
    seed: int = 0

    def __post_init__(self) -> None:
        remember_encodings(self.pipeline)

    @property
    def sample(self) -> ClipSample:
        """The clip that single forward passes take."""
        return self.clips[0][0]

    def drawn(self, sample: ClipSample, mode: Mode, *, steps: int = STEPS, latents: bool = False,
              prompt: str | None = None) -> Drawn:  # fmt: skip
        """One draw with the subject's seed."""
        return draw(self.pipeline, sample, mode, seed=self.seed, steps=steps, latents=latents, prompt=prompt)

    @cached_property
    def base(self) -> Drawn:
        """The draw that others are held against."""
        return self.drawn(self.sample, "forward_dynamics")


@dataclass
class RealSubject(Subject):
    """Weights of a folder. `selection` is what they were moved by, `golden` the folder of NVIDIA's samples.

    `load_seconds` is what loading the pipeline took; a clip may take `most_seconds`, None for any time.
    """

    folder: Path = Path()
    selection: Path | None = None
    golden: Path | None = None
    dtype: torch.dtype = torch.bfloat16
    load_seconds: float = 0.0
    most_seconds: float | None = None

    @cached_property
    def reasoner(self) -> Reasoner:
        """Loaded where it is asked for: 17 GB of Nano beside the generator's 30."""
        return load_reasoner(self.folder, self.dtype)


def remember_encodings(pipeline: Any) -> None:
    """Let the VAE encode each picture once: it takes nine tenths of a short draw. `forget_encodings` starts anew."""
    inner = pipeline._encode_video
    known: dict[str, torch.Tensor] = {}

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        key = hashlib.sha256(pixels.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()
        if key not in known:
            known[key] = inner(pixels)
        return known[key].clone()

    pipeline._encode_video, pipeline.forget_encodings = encode, known.clear
