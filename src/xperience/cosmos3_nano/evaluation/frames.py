"""How alike two videos are, picture by picture: PSNR, and SSIM (Wang et al. 2004)."""

import numpy as np
import torch
from numpy.typing import NDArray

from xperience.cosmos3_nano.evaluation.video import FrameScores
from xperience.cosmos3_nano.generator import psnr_db

Video = NDArray[np.float32]
WINDOW, DEVIATION = 11, 1.5  # of the paper's Gaussian
STABLE = 0.01**2, 0.03**2  # its C₁ and C₂ for values from 0 to 1


def scores_of(truth: Video, made: Video) -> FrameScores:
    """Of two (T, H, W, 3) from 0 to 1; the first picture is given to the model and does not count."""
    pairs = list(zip(truth[1:], made[1:], strict=True))
    return FrameScores(
        psnr_db=round(float(np.mean([psnr_db(*pair) for pair in pairs])), 4), ssim=round(ssim(truth[1:], made[1:]), 6)
    )


def ssim(one: Video, other: Video) -> float:
    """Mean structural similarity of two (T, H, W, 3) from 0 to 1, each channel by itself, windows that fit alone."""
    steps = torch.arange(WINDOW) - WINDOW // 2
    line = torch.exp(-(steps**2) / (2 * DEVIATION**2))
    window = (line[:, None] * line[None] / line.sum() ** 2)[None, None]

    def blurred(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(values, window)

    a, b = (
        torch.from_numpy(np.ascontiguousarray(video, np.float32)).permute(0, 3, 1, 2).flatten(0, 1)[:, None]
        for video in (one, other)
    )
    mean_a, mean_b = blurred(a), blurred(b)
    of_a, of_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    found = (2 * mean_a * mean_b + STABLE[0]) * (2 * both + STABLE[1])
    return float((found / ((mean_a**2 + mean_b**2 + STABLE[0]) * (of_a + of_b + STABLE[1]))).mean())
