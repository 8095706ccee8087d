"""Frames and sound as the tensors that the thinker takes, and how many tokens they become.

The stock video processor samples frames by its own rule; here every frame is given, at its own time.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xperience.common.patches import PATCH, TEMPORAL
from xperience.qwen3_omni.sample import HERTZ

HOP, N_WINDOW, TOKENS_PER_CHUNK = 160, 50, 13
LEAST_SAMPLES = 1600  # 0.1 s: below it the audio tower's convolutions have nothing to work on


def grid_of(frames: int, height: int, width: int) -> tuple[int, int, int]:
    """The grid (t, h, w) of frames before they are read."""
    return -(-frames // TEMPORAL), height // PATCH, width // PATCH


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
