"""Rows 11 and 15: what the VAE alone keeps of staged clips, and NVIDIA's own sample drawn anew."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from xperience.common.errors import BadDataError
from xperience.common.evidence import ViewPart
from xperience.cosmos3_nano.compatibility.record import Measured, NotRunError
from xperience.cosmos3_nano.compatibility.subject import RealSubject, Subject
from xperience.cosmos3_nano.flow import Mode
from xperience.cosmos3_nano.generator import psnr_db, reconstructed, shown
from xperience.cosmos3_nano.media import for_pipeline, read_clip

LEAST_VAE_DB = 28.0


def decode(subject: Subject, least_db: float = LEAST_VAE_DB) -> Measured:
    """Each staged clip through the VAE and back, no diffusion, on what the pipeline shows of the canvas."""
    figures, faults = {}, []
    for sample, _ in subject.clips:
        made = reconstructed(subject.pipeline, sample)
        kept = psnr_db(shown(subject.pipeline, sample)[:, : made.shape[1], : made.shape[2]], made)
        figures[sample.record.record_id] = round(kept, 2)
        if not kept >= least_db:
            faults.append(f"{sample.record.record_id}: {kept:.1f} dB")
    return Measured({"psnr_db": figures}, faults)


class Thresholds(ViewPart):
    """NVIDIA's own."""

    golden_psnr_min: float = 14.0
    golden_action_path: str | None = None
    golden_mse_max: float = 0.05


class Golden(ViewPart):
    """An inference record of cosmos-framework (`inputs/omni/*.json`); paths are relative to it."""

    name: str
    model_mode: Mode
    domain_name: str
    vision_path: str
    action_path: str | None = None
    action_chunk_size: int
    fps: float
    image_size: int
    view_point: str
    prompt: str
    seed: int
    num_steps: int
    guidance: float
    shift: float
    extra: Thresholds = Field(default_factory=Thresholds)


def golden(subject: RealSubject) -> Measured:
    """Every sample of the folder; NotRunError where none was given."""
    if subject.golden is None:
        raise NotRunError("no sample of NVIDIA's: --golden names none")
    told = [json.loads(path.read_bytes()) for path in sorted(subject.golden.glob("*.json"))]
    # Actions may lie beside the records, as JSON too.
    samples = [Golden.model_validate(one) for one in told if isinstance(one, dict) and "model_mode" in one]
    if not samples:
        raise BadDataError("no sample", where=str(subject.golden), why="no *.json in it names a model_mode")
    figures, faults = {}, []
    for sample in samples:
        figures[sample.name], fault = _golden(subject.pipeline, sample, subject.golden)
        faults += [f"{sample.name}: {fault}"] if fault else []
    return Measured(figures, faults)


def _golden(pipeline: Any, sample: Golden, folder: Path) -> tuple[dict[str, float], str]:
    from diffusers import CosmosActionCondition

    frames = for_pipeline(read_clip(folder / sample.vision_path)[: sample.action_chunk_size + 1])
    driven = sample.model_mode == "forward_dynamics"
    actions = _array(folder / sample.action_path) if driven and sample.action_path else None
    seen: dict[str, Any] = {"video": frames} if sample.model_mode == "inverse_dynamics" else {"image": frames[0]}
    condition = CosmosActionCondition(
        mode=sample.model_mode, chunk_size=sample.action_chunk_size, domain_name=sample.domain_name,
        resolution_tier=sample.image_size, raw_actions=actions, view_point=sample.view_point, **seen,
    )  # fmt: skip
    usual = pipeline.scheduler
    pipeline.scheduler = type(usual).from_config(usual.config, flow_shift=sample.shift, use_karras_sigmas=False)
    try:
        with torch.no_grad():
            made = pipeline(
                prompt=sample.prompt, action=condition, fps=sample.fps, num_inference_steps=sample.num_steps,
                guidance_scale=sample.guidance, use_system_prompt=False, output_type="np",
                generator=torch.Generator().manual_seed(sample.seed),
            )  # fmt: skip
    finally:
        pipeline.scheduler = usual
    if driven:
        target, _, _, _ = pipeline._prepare_action_video_conditioning(
            frames, sample.image_size, len(frames), "cpu", torch.float32
        )
        video = np.asarray(made.video, np.float32)
        wanted = (target[0] / 2 + 0.5).permute(1, 2, 3, 0).numpy()[:, : video.shape[1], : video.shape[2]]
        alike = psnr_db(wanted, video)
        return {"psnr_db": round(alike, 2)}, "" if alike >= sample.extra.golden_psnr_min else f"{alike:.1f} dB"
    if sample.extra.golden_action_path is None:
        raise BadDataError("no golden actions", where=sample.name, why="extra.golden_action_path is not given")
    right = _array(folder / sample.extra.golden_action_path)
    error = float(((made.action[0].float().cpu() - right) ** 2).mean())
    return {"action_mse": round(error, 6)}, "" if error <= sample.extra.golden_mse_max else f"error {error:.3f}"


def _array(path: Path) -> torch.Tensor:
    values = json.loads(path.read_bytes()) if path.suffix == ".json" else np.load(path, allow_pickle=False)
    return torch.from_numpy(np.asarray(values, np.float32))
