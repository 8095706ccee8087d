"""Rows 9, 10, 12, 13 and 18: what the model does with a clip."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from xperience.cosmos3_nano.actions import WIDTHS
from xperience.cosmos3_nano.compatibility.record import Measured
from xperience.cosmos3_nano.compatibility.subject import Subject
from xperience.cosmos3_nano.flow import MODES
from xperience.cosmos3_nano.generator import Prediction, draw, psnr_db, reconstructed
from xperience.cosmos3_nano.identity import model_sha256
from xperience.cosmos3_nano.parts import Sampler

MOST_PRECISION_GAP = 0.05
LEAST_FIRST_FRAME_DB = 30.0


@contextmanager
def velocities(pipeline: Any) -> Iterator[list[tuple[torch.Tensor, torch.Tensor | None]]]:
    """Every velocity of video and of actions that the pipeline makes, after its masks."""
    heard: list[tuple[torch.Tensor, torch.Tensor | None]] = []
    inner = pipeline._mask_velocity_predictions

    def listening(*arguments: Any, **more: Any) -> Any:
        video, sound, action = inner(*arguments, **more)
        heard.append((video.detach().float().cpu(), None if action is None else action.detach().float().cpu()))
        return video, sound, action

    pipeline._mask_velocity_predictions = listening
    try:
        yield heard
    finally:
        pipeline._mask_velocity_predictions = inner


def forward(subject: Subject) -> Measured:
    """One step of each mode on latents: shapes, no velocity where something is given, nothing in padded channels."""
    figures: dict[str, Any] = {}
    faults = []
    width = WIDTHS[subject.sample.record.domain]
    for mode in MODES:
        with velocities(subject.pipeline) as heard:
            found = subject.drawn(subject.sample, mode, steps=1, latents=True)
        video, action = heard[0]
        figures[mode] = {"latents": list(found.video.shape)}
        given = video if mode == "inverse_dynamics" else video[:, :, :1]
        if given.abs().max() != 0:
            faults.append(f"{mode}: given frames move")
        if mode != "inverse_dynamics" and video[:, :, 1:].abs().max() == 0:
            faults.append(f"{mode}: no frame moves")
        if found.video.shape[1] != 48 or found.video.shape[2] != 1 + (len(subject.sample.frames) - 1) // 4:
            faults.append(f"{mode}: latents are {found.video.shape}")
        if mode == "forward_dynamics":
            if action is not None and action.abs().max() != 0:
                faults.append(f"{mode}: given actions move")
            continue
        if found.actions is None or action is None:
            faults.append(f"{mode}: no actions")
            continue
        figures[mode]["actions"] = list(found.actions.shape)
        if found.actions.shape != (subject.sample.record.chunk, width):
            faults.append(f"{mode}: actions are {found.actions.shape}")
        if action[:, width:].abs().max() != 0 or action[:, :width].abs().max() == 0:
            faults.append(f"{mode}: padded channels move, or the others do not")
    return Measured(figures, faults)


def finite(subject: Subject) -> Measured:
    """No NaN or infinity in float32 and bfloat16, and how far the two are apart."""
    figures: dict[str, Any] = {}
    faults = []
    heads = {}
    exact_network = subject.pipeline.transformer
    folder = subject.workspace / "bfloat16"
    exact_network.save_pretrained(folder)
    try:
        for name in ("float32", "bfloat16"):
            if name == "bfloat16":
                subject.pipeline.transformer = type(exact_network).from_pretrained(folder, dtype=torch.bfloat16)
            with velocities(subject.pipeline) as heard:
                subject.drawn(subject.sample, "policy", steps=1, latents=True)
            heads[name] = heard[0]
            whole = all(bool(torch.isfinite(part).all()) for part in heard[0] if part is not None)
            figures[f"{name}_finite"] = whole
            if not whole:
                faults.append(f"{name}: not finite")
    finally:
        subject.pipeline.transformer = exact_network
    for number, part in enumerate(("video", "actions")):
        exact, rough = heads["float32"][number], heads["bfloat16"][number]
        if exact is not None and rough is not None:
            gap = float((exact - rough).norm() / exact.norm())
            figures[f"{part}_gap"] = round(gap, 5)
            if not gap < MOST_PRECISION_GAP:
                faults.append(f"{part}: bfloat16 is {gap:.3f} from float32")
    return Measured(figures, faults)


def conditioning(subject: Subject) -> Measured:
    """Other actions, other words, black, shifted and other frames change the output; frame 0 stays what was given."""
    sample = subject.sample
    base = subject.drawn(sample, "forward_dynamics", latents=True).video
    others = {
        "other_actions": (sample.with_actions(-sample.actions + 0.5), None),
        "shuffled_actions": (sample.with_actions(np.roll(sample.actions, 5, axis=0)), None),
        "other_prompt": (sample, "Something else entirely happens here."),
    }
    figures: dict[str, Any] = {}
    faults = []
    for name, (given, words) in others.items():
        change = float(np.abs(subject.drawn(given, "forward_dynamics", latents=True, prompt=words).video - base).mean())
        figures[f"change_with_{name}"] = float(f"{change:.3e}")
        if not change > 0:
            faults.append(f"{name}: nothing changes")
    usual = subject.drawn(sample, "inverse_dynamics", latents=True).actions
    for name, given in _other_videos(subject).items():
        said = subject.drawn(given, "inverse_dynamics", latents=True).actions
        change = float(np.abs(said - usual).mean()) if usual is not None and said is not None else 0.0
        figures[f"actions_change_with_{name}"] = float(f"{change:.3e}")
        if not change > 0:
            faults.append(f"{name} frames: the actions do not change")
    kept = psnr_db(subject.base.video[0], _first_frame(subject))
    figures["first_frame_db"] = round(kept, 2)
    if kept < LEAST_FIRST_FRAME_DB:
        faults.append(f"frame 0 is {kept:.1f} dB from the VAE's own")
    return Measured(figures, faults)


def _other_videos(subject: Subject) -> dict[str, Any]:
    sample = subject.sample
    found = {"black": replace(sample, frames=np.zeros_like(sample.frames)),
             "shifted": replace(sample, frames=np.roll(sample.frames, 4, axis=0))}  # fmt: skip
    if len(subject.clips) > 1:
        found["wrong_clip"] = replace(sample, frames=subject.clips[1][0].frames)
    return found


def _first_frame(subject: Subject) -> Any:
    """Frame 0 through the VAE alone, (H, W, 3) from 0 to 1, cut to what the pipeline shows."""
    height, width = subject.base.video.shape[1:3]
    return reconstructed(subject.pipeline, subject.sample, 1)[0, :height, :width]


def _drawn(subject: Subject, seed: int, *, anew: bool) -> Any:
    """Latents of one draw; `anew`: its pictures are encoded again."""
    if anew:
        subject.pipeline.forget_encodings()
    return draw(subject.pipeline, subject.sample, "forward_dynamics", seed=seed, steps=2, latents=True).video


def determinism(subject: Subject) -> Measured:
    """The same seed twice, bit by bit on a CPU; another seed differs."""
    again = _drawn(subject, subject.seed, anew=True)
    gap = float(np.abs(again - _drawn(subject, subject.seed, anew=True)).max())
    limit = 0.0 if subject.pipeline.transformer.device.type == "cpu" else 2e-3
    faults = [] if gap <= limit else [f"the same seed differs by {gap:.1e}"]
    other = float(np.abs(_drawn(subject, subject.seed + 1, anew=False) - again).mean())
    faults += [] if other > 0 else ["another seed gives the same video"]
    return Measured({"same_seed": gap, "other_seed": float(f"{other:.3e}"), "limit": limit}, faults)


def output_schema(subject: Subject) -> Measured:
    """A prediction as a record: actions in metres, all that made it; an unknown key is refused."""
    sample, source = subject.clips[0]
    drawn = subject.drawn(sample, "policy", steps=1, latents=True)
    if drawn.actions is None:
        return Measured({}, ["no actions were predicted"])
    made = source.statistics.raw(drawn.actions.astype(np.float64))
    prediction = Prediction(
        record_sha256=sample.record.sha256, model_sha256=model_sha256(subject.pipeline), mode="policy",
        seed=subject.seed, sampler=Sampler(steps=1, seed=subject.seed), clip_uri=None,
        actions_raw=tuple(tuple(row) for row in made.tolist()),
    )  # fmt: skip
    document = prediction.model_dump(mode="json")
    faults = [] if Prediction.model_validate(document) == prediction else ["it is not read back as it was written"]
    try:
        Prediction.model_validate(document | {"colour": "red"})
        faults.append("an unknown key is taken")
    except ValidationError:
        pass
    if not np.isfinite(made).all():
        faults.append("an action is not finite")
    largest = float(np.abs(made[:, :3]).max())
    return Measured({"actions": list(made.shape), "largest_step_metres": round(largest, 6)}, faults)
