"""Frames as the patches that Qwen's vision towers take: those of Qwen3-Omni and of Cosmos3's reasoner are the same."""

import numpy as np
import torch
from numpy.typing import NDArray

PATCH, MERGE, TEMPORAL = 16, 2, 2
SIDE = PATCH * MERGE  # height and width of a frame are multiples of it


def patchify(frames: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
    """(T, H, W, 3) → (t·h·w, 3·2·16·16) float32 and (t, h, w): Qwen2VLVideoProcessor's layout, mean and std 0.5."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255.0
    pixels = (pixels - 0.5) / 0.5
    if pixels.shape[0] % TEMPORAL:
        pixels = torch.cat([pixels, pixels[-1:]])
    count, channels, height, width = pixels.shape
    t, h, w = count // TEMPORAL, height // PATCH, width // PATCH
    pixels = pixels.view(t, TEMPORAL, channels, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH)
    pixels = pixels.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(t * h * w, channels * TEMPORAL * PATCH * PATCH)
    return pixels, torch.tensor([t, h, w])


def video_tokens(grid: tuple[int, int, int]) -> int:
    """Tokens of a grid: 2 × 2 patches are merged."""
    return grid[0] * grid[1] * grid[2] // MERGE**2
