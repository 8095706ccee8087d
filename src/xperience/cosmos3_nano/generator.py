"""Video and actions drawn from the pipeline, as NVIDIA's own action calls draw them; what it predicts as a record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from xperience.common.errors import BadDataError, ConfigurationError
from xperience.common.evidence import Part
from xperience.cosmos3_nano.flow import Mode, example_of
from xperience.cosmos3_nano.media import for_pipeline
from xperience.cosmos3_nano.parts import Sampler
from xperience.cosmos3_nano.sample import ClipSample, check_actions
from xperience.training.quiet import quiet


@dataclass(frozen=True)
class Drawn:
    """`video` (17, H, W, 3) from 0 to 1, or latents; `actions` (16, D) in model space, None in forward dynamics."""

    video: NDArray[np.float32]
    actions: NDArray[np.float32] | None


class Prediction(Part):
    """What a model predicted: actions in raw units, where its video lies, and all that it was drawn with."""

    schema_version: Literal["cosmos.prediction/1"] = "cosmos.prediction/1"
    record_sha256: str
    model_sha256: str
    mode: Mode
    seed: int
    sampler: Sampler
    clip_uri: str | None
    actions_raw: tuple[tuple[float, ...], ...] | None
    units: Literal["metres, rotation columns"] = "metres, rotation columns"


def condition_of(sample: ClipSample, mode: Mode) -> Any:
    """diffusers' condition; BadDataError for all that it would take, cut or repeat without a word."""
    from diffusers import CosmosActionCondition

    record = sample.record
    frames: Any = sample.frames
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4:
        raise BadDataError("frames are no pictures", where=record.record_id, why=type(frames).__name__)
    if len(frames) != record.chunk + 1:
        raise BadDataError("too few or too many frames", where=record.record_id, why=f"{len(frames)}")
    check_actions(sample.actions, domain=record.domain, chunk=record.chunk)
    given = torch.from_numpy(sample.actions.astype(np.float32)) if mode == "forward_dynamics" else None
    pictures = for_pipeline(frames)
    seen: dict[str, Any] = {"video": pictures} if mode == "inverse_dynamics" else {"image": pictures[0]}
    return CosmosActionCondition(
        mode=mode, chunk_size=record.chunk, domain_name=record.domain, resolution_tier=record.tier, raw_actions=given,
        view_point=record.prompt.viewpoint, **seen,
    )  # fmt: skip


def draw(
    pipeline: Any, sample: ClipSample, mode: Mode, *, seed: int, steps: int, prompt: str | None = None,
    latents: bool = False,
) -> Drawn:  # fmt: skip
    """One sample; the same seed gives the same bits on a CPU. No guidance, no system prompt, no guardrail."""
    with torch.no_grad():
        found = pipeline(
            prompt=sample.record.prompt.text if prompt is None else prompt, action=condition_of(sample, mode),
            fps=sample.record.clip.fps, num_inference_steps=steps, guidance_scale=1.0, use_system_prompt=False,
            generator=torch.Generator().manual_seed(seed), output_type="latent" if latents else "np",
        )  # fmt: skip
    video = found.video.float().cpu().numpy() if latents else np.asarray(found.video, np.float32)
    return Drawn(video, found.action[0].float().cpu().numpy() if found.action is not None else None)


def shown(pipeline: Any, sample: ClipSample) -> NDArray[np.float32]:
    """(T, H, W, 3) from 0 to 1: the clip on the canvas that the model sees."""
    pixels, _, _, _ = pipeline._prepare_action_video_conditioning(
        for_pipeline(sample.frames), sample.record.tier, len(sample.frames), "cpu", pipeline.vae.dtype
    )
    return np.asarray((pixels[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).numpy())


def reconstructed(pipeline: Any, sample: ClipSample, latent_frames: int | None = None) -> NDArray[np.float32]:
    """(T, H, W, 3) from 0 to 1: the clip through the VAE alone, or its first latent frames, on the canvas."""
    latents = example_of(pipeline, sample, "forward_dynamics").latents[:, :, :latent_frames]
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(pipeline.vae.config["latents_mean"]).view(*shape).to(latents)
    scale = torch.tensor(pipeline.vae.config["latents_std"]).view(*shape).to(latents)
    with torch.no_grad():
        made = pipeline.vae.decode((latents * scale + mean).to(pipeline.vae.dtype)).sample
    return np.asarray((made[0].float().clamp(-1, 1) / 2 + 0.5).permute(1, 2, 3, 0).cpu().numpy())


def load_pipeline(base: Path, dtype: torch.dtype) -> Any:
    """The generator of a folder, on the GPU where there is one; ConfigurationError where there is none in it.

    Its scheduler is that of NVIDIA's action calls: with karras, as the hub has it, `flow_shift` would be ignored.
    """
    if not (base / "model_index.json").is_file():
        raise ConfigurationError(
            "no base model", where=str(base), why="no model_index.json in it",
            fix="Give the folder of a downloaded checkpoint: `xperience select from-repo` and `relay run` bring it.",
        )  # fmt: skip
    import diffusers
    from diffusers import Cosmos3OmniPipeline, UniPCMultistepScheduler

    quiet(diffusers)
    pipeline = Cosmos3OmniPipeline.from_pretrained(base, enable_safety_checker=False, dtype=dtype)
    sampler = Sampler()
    pipeline.scheduler = UniPCMultistepScheduler.from_config(
        pipeline.scheduler.config, flow_shift=sampler.flow_shift, use_karras_sigmas=sampler.karras
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def psnr_db(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Of values from 0 to 1; 99 at most, where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return min(99.0, -10 * float(np.log10(error))) if error > 0 else 99.0
