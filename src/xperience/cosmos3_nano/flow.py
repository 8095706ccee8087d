"""Rectified flow of the generator: one loss at one σ, on latents that were encoded once.

x_σ = (1 − σ) x₀ + σ ε, the target is ε − x₀, the network is told t = 1000 σ, σ after the tier's shift. Source:
cosmos-framework `omni_mot_model.py`; diffusers' pipeline_cosmos3_omni.py for how a sequence is packed.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from xperience.cosmos3_nano.actions import WIDTHS, Domain
from xperience.cosmos3_nano.media import for_pipeline
from xperience.cosmos3_nano.records import ActionProxyRecord, ForwardDynamicsRecord
from xperience.cosmos3_nano.sample import ClipSample
from xperience.episode.poses import Floats

ActionRecord = ForwardDynamicsRecord | ActionProxyRecord
Mode = Literal["forward_dynamics", "inverse_dynamics", "policy"]
MODES: tuple[Mode, ...] = ("forward_dynamics", "inverse_dynamics", "policy")
ACTION_WEIGHT = 10.0
SHIFTS = {256: 3.0, 480: 5.0, 704: 10.0, 720: 10.0}
TRAIN_TIMESTEPS = 1000.0


def shifted(sigma: float, tier: int) -> float:
    """σ after the shift of a resolution tier: s σ / (1 + (s − 1) σ)."""
    shift = SHIFTS[tier]
    return shift * sigma / (1 + (shift - 1) * sigma)


@dataclass(frozen=True)
class Encoded:
    """A clip's latents (1, 48, t, h, w) float32, and the size of the canvas that they are of, in pixels."""

    latents: torch.Tensor
    height: int
    width: int


@dataclass(frozen=True)
class Example:
    """One clip in one mode: latents (1, 48, t, h, w), actions (16, 64) padded with zeros, tokens of the prompt.

    `valid` (16, width) is False where nothing is known of an action; None: all is known.
    """

    mode: Mode
    domain_id: int
    width: int
    latents: torch.Tensor
    actions: torch.Tensor
    tokens: list[int]
    fps: float
    valid: torch.Tensor | None = None


def encode(pipeline: Any, record: ActionRecord, frames: NDArray[np.uint8]) -> Encoded:
    """A clip's (T, H, W, 3) frames through the VAE; on the pipeline's device."""
    device = pipeline.transformer.device
    with torch.no_grad():
        pixels, size, height, width = pipeline._prepare_action_video_conditioning(
            for_pipeline(frames), record.tier, record.chunk + 1, device, pipeline.vae.dtype
        )
        latents = pipeline._remove_action_video_padding_from_latent(pipeline._encode_video(pixels).float(), size)
    return Encoded(latents, height, width)


def example_from(
    pipeline: Any, record: ActionRecord, encoded: Encoded, actions: Floats, mode: Mode,
    valid: NDArray[np.bool_] | None = None,
) -> Example:  # fmt: skip
    """An example of what was encoded before; `actions` (16, D) in model space."""
    device = pipeline.transformer.device
    tokens, _ = pipeline.tokenize_prompt(
        record.prompt.text, num_frames=record.chunk + 1, height=encoded.height, width=encoded.width,
        fps=record.clip.fps, use_system_prompt=False, action_mode=mode, action_view_point=record.prompt.viewpoint,
    )  # fmt: skip
    padded = torch.zeros(record.chunk, pipeline.transformer.config.action_dim, device=device)
    padded[:, : WIDTHS[record.domain]] = torch.from_numpy(actions.astype(np.float32)).to(device)
    return Example(
        mode, domain_id_of(record.domain), WIDTHS[record.domain], encoded.latents.to(device), padded, tokens,
        record.clip.fps, None if valid is None else torch.from_numpy(valid).to(device),
    )  # fmt: skip


def domain_id_of(domain: Domain) -> int:
    """The row of a domain in the action heads."""
    from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import _EMBODIMENT_TO_DOMAIN_ID

    return int(_EMBODIMENT_TO_DOMAIN_ID[domain])


def example_of(pipeline: Any, sample: ClipSample, mode: Mode) -> Example:
    """Encode a clip's frames once; on the pipeline's device."""
    return example_from(pipeline, sample.record, encode(pipeline, sample.record, sample.frames), sample.actions, mode)


def loss_at(pipeline: Any, example: Example, *, sigma: float, seed: int) -> torch.Tensor:
    """Mean squared error of the velocity of what is not given: video but frame 0, and actions, as the mode has it."""
    x0, a0 = example.latents, example.actions
    drawn = torch.Generator().manual_seed(seed)
    noise = torch.randn(x0.shape, generator=drawn).to(x0)
    action_noise = torch.randn(a0.shape, generator=drawn).to(a0)
    action_noise[:, example.width :] = 0
    given = torch.zeros(x0.shape[2], device=x0.device)
    given[0 if example.mode != "inverse_dynamics" else slice(None)] = 1.0
    mask = given.view(1, 1, -1, 1, 1)
    video = mask * x0 + (1 - mask) * ((1 - sigma) * x0 + sigma * noise)
    driven = example.mode == "forward_dynamics"
    actions = a0 if driven else (1 - sigma) * a0 + sigma * action_noise
    out = _predict(pipeline, example, video, actions, given, driven, sigma)
    loss = torch.zeros((), device=x0.device)
    if example.mode != "inverse_dynamics":
        wanted = (1 - mask).expand_as(x0)
        loss = loss + ((out.sample[0].float() - (noise - x0)) ** 2 * wanted).sum() / wanted.sum()
    if not driven:
        known = torch.ones_like(a0[:, : example.width]) if example.valid is None else example.valid.float()
        off = (out.action[0].float() - (action_noise - a0))[:, : example.width] ** 2
        loss = loss + ACTION_WEIGHT * (off * known).sum() / known.sum().clamp(min=1.0)
    return loss


def _predict(
    pipeline: Any, example: Example, video: torch.Tensor, actions: torch.Tensor, given: torch.Tensor, driven: bool,
    sigma: float,
) -> Any:  # fmt: skip
    device, kind = video.device, pipeline.transformer.dtype
    text = pipeline._prepare_text_segment(example.tokens, device)
    offset, begin = text["vision_start_temporal_offset"], text["und_len"]
    conditioned = [frame for frame in range(len(given)) if given[frame] > 0]
    vision = pipeline._prepare_vision_segment(video.to(kind), True, offset, example.fps, begin, device, conditioned)
    steps = list(range(len(actions))) if driven else []
    motion = pipeline._prepare_action_segment(
        actions.to(kind), steps, offset, example.fps, begin + vision["num_vision_tokens"], device
    )
    told = sigma * TRAIN_TIMESTEPS
    return pipeline.transformer(
        input_ids=text["input_ids"], text_indexes=text["text_indexes"], und_len=begin,
        position_ids=torch.cat([text["text_mrope_ids"], vision["vision_mrope_ids"], motion["action_mrope_ids"]], 1),
        sequence_length=begin + vision["num_vision_tokens"] + motion["action_len"],
        vision_tokens=[video.to(kind)], vision_token_shapes=vision["vision_token_shapes"],
        vision_sequence_indexes=vision["vision_sequence_indexes"],
        vision_mse_loss_indexes=vision["vision_mse_loss_indexes"],
        vision_timesteps=torch.full((vision["num_noisy_vision_tokens"],), told, device=device),
        vision_noisy_frame_indexes=vision["vision_noisy_frame_indexes"],
        action_tokens=[actions.to(kind)], action_token_shapes=motion["action_token_shapes"],
        action_sequence_indexes=motion["action_sequence_indexes"],
        action_mse_loss_indexes=motion["action_mse_loss_indexes"],
        action_timesteps=torch.full((motion["num_noisy_action_tokens"],), told, device=device),
        action_noisy_frame_indexes=motion["action_noisy_frame_indexes"],
        action_domain_ids=[torch.tensor([example.domain_id], device=device)], return_dict=True,
    )  # fmt: skip
