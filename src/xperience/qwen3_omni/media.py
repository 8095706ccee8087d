"""Frames and sound as the tensors that the thinker takes, and how many tokens they become.

The stock video processor samples frames by its own rule; here every frame is given, at its own time.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xperience.qwen3_omni.sample import HERTZ

PATCH, MERGE, TEMPORAL = 16, 2, 2
SIDE = PATCH * MERGE  # height and width of a frame are multiples of it
HOP, N_WINDOW, TOKENS_PER_CHUNK = 160, 50, 13
LEAST_SAMPLES = 1600  # 0.1 s: below it the audio tower's convolutions have nothing to work on


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


def grid_of(frames: int, height: int, width: int) -> tuple[int, int, int]:
    """The grid (t, h, w) of frames before they are read."""
    return -(-frames // TEMPORAL), height // PATCH, width // PATCH


def video_tokens(grid: tuple[int, int, int]) -> int:
    """Tokens of a grid: 2 × 2 patches are merged."""
    return grid[0] * grid[1] * grid[2] // MERGE**2


def audio_tokens(mel_frames: int) -> int:
    """Tokens of a mel spectrogram: chunks of 100 frames (1 s) give 13, three convolutions of stride 2."""
    rest = mel_frames % (2 * N_WINDOW)
    for _ in range(3):
        rest = (rest - 1) // 2 + 1
    return rest + mel_frames // (2 * N_WINDOW) * TOKENS_PER_CHUNK


def mel_frames_of(samples: int) -> int:
    """Mel frames that `mel` makes of so many samples."""
    return samples // HOP


@lru_cache(maxsize=1)
def _extractor() -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=128, sampling_rate=HERTZ, hop_length=HOP, n_fft=400, chunk_length=30)


def mel(waveform: NDArray[np.float32]) -> torch.Tensor:
    """(N,) at 16 kHz → (128, N // 160) log mel spectrogram."""
    kept = waveform[: len(waveform) // HOP * HOP]
    found = _extractor()(
        [kept], sampling_rate=HERTZ, padding=True, truncation=False, return_attention_mask=True, return_tensors="pt"
    )
    features: torch.Tensor = found["input_features"][0][:, : mel_frames_of(len(kept))]
    return features
