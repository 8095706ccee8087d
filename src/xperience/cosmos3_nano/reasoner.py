"""The reasoner: transformers' class on the folder that the generator is loaded from, and a clip as its tokens.

transformers' own video processor needs torchvision; the packing is that of Qwen3-VL, a time before each pair of frames.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xperience.common.errors import ConfigurationError
from xperience.common.patches import SIDE, TEMPORAL, patchify, video_tokens
from xperience.cosmos3_nano.formats.reasoner import MOST_FRAMES, SAMPLED_FPS
from xperience.training.quiet import quiet

VIDEO, VIDEO_START, VIDEO_END = "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
VIDEO_TYPE = 2  # in `mm_token_type_ids`


@dataclass(frozen=True)
class Reasoner:
    """A model and its tokenizer."""

    model: Any
    tokenizer: Any


def load_reasoner(base: Path, dtype: torch.dtype) -> Reasoner:
    """The reasoner of a folder, on the GPU where there is one; ConfigurationError where there is none in it."""
    if not (base / "config.json").is_file():
        raise ConfigurationError(
            "no reasoner", where=str(base), why="no config.json in it",
            fix="Give the folder of a downloaded checkpoint: `xperience select from-repo` and `relay run` bring it.",
        )  # fmt: skip
    import transformers
    from transformers import AutoTokenizer, Cosmos3OmniForConditionalGeneration

    quiet(transformers)
    model, told = Cosmos3OmniForConditionalGeneration.from_pretrained(base, dtype=dtype, output_loading_info=True)
    if told["missing_keys"] or told["unexpected_keys"]:
        raise ConfigurationError(
            "weights are not those of the reasoner", where=str(base),
            why=f"{len(told['missing_keys'])} missing, {len(told['unexpected_keys'])} unexpected",
            fix="Download the checkpoint again; use the versions of requirements/train.txt.",
        )  # fmt: skip
    return Reasoner(model.eval().to("cuda" if torch.cuda.is_available() else "cpu"),
                    AutoTokenizer.from_pretrained(base / "text_tokenizer"))  # fmt: skip


def sampled(frames: NDArray[np.uint8], fps: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Frames at 2 per second, 32 at most, and their seconds from the first; the rate of the official loader."""
    wanted = np.arange(0, len(frames) / fps, 1 / SAMPLED_FPS)[:MOST_FRAMES]
    places = np.minimum(np.rint(wanted * fps).astype(int), len(frames) - 1)
    return frames[places], places / fps


def fitted(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) with sides that are multiples of 32, the nearest ones; unchanged where they are."""
    height, width = (max(SIDE, round(side / SIDE) * SIDE) for side in frames.shape[1:3])
    if (height, width) == frames.shape[1:3]:
        return frames
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    found = torch.nn.functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    return np.asarray(found.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())


def inputs_of(tokenizer: Any, frames: NDArray[np.uint8], fps: float, question: str) -> dict[str, torch.Tensor]:
    """A clip (T, H, W, 3) and a question, up to where the answer begins; one row."""
    shown, seconds = sampled(frames, fps)
    patches, grid = patchify(fitted(shown))
    seconds = np.append(seconds, seconds[-1]) if len(seconds) % TEMPORAL else seconds
    times = seconds.reshape(-1, TEMPORAL).mean(axis=1)
    of_time = video_tokens((1, int(grid[1]), int(grid[2])))
    video = "".join(f"<{time:.1f} seconds>{VIDEO_START}{VIDEO * of_time}{VIDEO_END}" for time in times)
    text = f"<|im_start|>user\n{video}{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    is_video = ids == tokenizer.convert_tokens_to_ids(VIDEO)
    return {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": is_video.long() * VIDEO_TYPE,
        "pixel_values_videos": patches, "video_grid_thw": grid[None],
    }  # fmt: skip
