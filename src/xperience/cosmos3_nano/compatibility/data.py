"""Rows 5 to 8: pictures, actions, their common time, and the prompt."""

import json
from typing import Any

import numpy as np
import torch

from xperience.cosmos3_nano.actions import idle_count, roundtrip
from xperience.cosmos3_nano.compatibility.record import Measured
from xperience.cosmos3_nano.compatibility.subject import Subject
from xperience.cosmos3_nano.drafts import MOST_DEGREES, MOST_METRES
from xperience.cosmos3_nano.formats.vision import FRAMING, aspect_of
from xperience.cosmos3_nano.media import for_pipeline
from xperience.cosmos3_nano.sample import ClipSample, Source

SHIFTS = tuple(range(-4, 5))
# The stored clip is x264 at crf 18: its own pictures differ from the source by a few of 255.
MOST_CODEC_ERROR = 6.0
PADDING_WARNING = 0.25
MOST_NORMALISED = 1.5
MOST_PROMPT_TOKENS = 512
FLOAT32_ERROR = 1e-6


def preprocess_video(subject: Subject) -> Measured:
    """The clip against a new decoding of the source, channel by channel, and the canvas that it is put on."""
    figures: dict[str, Any] = {}
    faults = []
    worst = swapped_best = 0.0
    for number, (sample, source) in enumerate(subject.clips):
        fresh = source.pictures(np.array(sample.record.clip.source_frames))[:, : sample.frames.shape[1],
                                                                            : sample.frames.shape[2]]  # fmt: skip
        right = float(np.abs(fresh.astype(float) - sample.frames).mean())
        swapped = float(np.abs(fresh[..., ::-1].astype(float) - sample.frames).mean())
        worst, swapped_best = max(worst, right), swapped if number == 0 else min(swapped_best, swapped)
        if right > MOST_CODEC_ERROR:
            faults.append(f"{sample.record.record_id}: its frames differ from the source by {right:.1f} of 255")
        if swapped < right:
            faults.append(f"{sample.record.record_id}: red and blue are exchanged")
    figures |= {"mean_difference": round(worst, 3), "mean_difference_channels_swapped": round(swapped_best, 3)}
    pixels, size, height, width = subject.pipeline._prepare_action_video_conditioning(
        for_pipeline(subject.sample.frames),
        subject.sample.record.tier,
        len(subject.sample.frames),
        "cpu",
        torch.float32,
    )
    content = int(size[2]), int(size[3])
    shown = content[0] * content[1] / (height * width)
    figures |= {
        "source": list(subject.sample.frames.shape[1:3]), "canvas": [height, width], "content": list(content),
        "content_share": round(shown, 4), "padding_over_a_quarter": bool(1 - shown > PADDING_WARNING),
    }  # fmt: skip
    if any(made > given for made, given in zip(content, subject.sample.frames.shape[1:3], strict=True)):
        faults.append("the content was scaled up")
    figures |= {"least": round(float(pixels.min()), 3), "most": round(float(pixels.max()), 3)}
    if not -1 <= float(pixels.min()) <= float(pixels.max()) <= 1:
        faults.append(f"pixels are from {pixels.min():.0f} to {pixels.max():.0f}, not from -1 to 1")
    if tuple(pixels.shape[-2:]) != (height, width) or pixels.shape[2] != len(subject.sample.frames):
        faults.append(f"the canvas is {tuple(pixels.shape)}")
    return Measured(figures, faults)


def preprocess_action(subject: Subject) -> Measured:
    """Shape, finiteness, rotation columns, roundtrip in raw space, range in model space, idle steps; all clips."""
    metres = degrees = columns = 0.0
    free, idle, faults = [], 0, []
    for sample, source in subject.clips:
        actions, rows = source.raw(np.array(sample.record.clip.source_frames), sample)
        error = roundtrip(actions, rows)
        metres, degrees = max(metres, error.metres), max(degrees, error.degrees)
        columns = max(columns, error.orthonormality)
        free.append(np.abs(source.statistics.unclamped(actions.values))[actions.valid])
        idle += idle_count(actions)
        expected, _ = source.statistics.normalised(actions)
        if sample.actions.shape != expected.shape or not np.isfinite(sample.actions).all():
            faults.append(f"{sample.record.record_id}: {sample.actions.shape}, or not finite")
    p99 = float(np.quantile(np.concatenate(free), 0.99))
    faults += [f"roundtrip {metres:.1e} m"] if metres > MOST_METRES else []
    faults += [f"roundtrip {degrees:.1e} degrees"] if degrees > MOST_DEGREES else []
    faults += [f"rotation columns {columns:.1e} off"] if columns > 1e-4 else []
    faults += [f"99 % of normalised values reach {p99:.2f}"] if p99 > MOST_NORMALISED else []
    return Measured(
        {"metres": float(f"{metres:.3e}"), "degrees": float(f"{degrees:.3e}"), "rot6d": float(f"{columns:.3e}"),
         "normalised_p99": round(p99, 4), "idle_steps": idle, "steps": 16 * len(subject.clips)},
        faults,
    )  # fmt: skip


def time_alignment(subject: Subject) -> Measured:
    """Pictures and actions of a clip each find their own place in the source: both have to be at an offset of 0."""
    figures: dict[str, Any] = {}
    faults = []
    for sample, source in subject.clips:
        record = sample.record
        frames = np.array(record.clip.source_frames)
        if len(frames) != record.chunk + 1 or record.clip != getattr(record, "target_clip", record.clip):
            faults.append(f"{record.record_id}: {len(frames)} frames for {record.chunk} actions")
        of_actions = _action_errors(sample, source, frames)
        of_video = _video_errors(sample, source, frames)
        for name, errors in (("actions", of_actions), ("video", of_video)):
            if best_shift(errors) != 0:
                faults.append(f"{record.record_id}: its {name} are {best_shift(errors)} source frames off")
        if of_actions.get(0, 1.0) > FLOAT32_ERROR:
            faults.append(f"{record.record_id}: its actions are not those of its frames ({of_actions.get(0):.1e})")
        away = [error for shift, error in of_actions.items() if abs(shift) == 4]
        if away and min(away) <= of_actions[0]:
            faults.append(f"{record.record_id}: a shift by 4 frames does not raise the error")
        told, true = record.clip.fps, 1e9 / float(np.median(np.diff(source.track.timeline.t_ns[frames])))
        if abs(told - true) > 0.01:
            faults.append(f"{record.record_id}: {told} fps are told, {true:.3f} are true")
        figures[record.record_id] = {
            "actions_offset": best_shift(of_actions), "video_offset": best_shift(of_video), "fps": told,
            "error_at_0": float(f"{of_actions[0]:.1e}"), "error_shifted_by_4": float(f"{min(away, default=0):.1e}"),
        }  # fmt: skip
    return Measured(figures, faults)


def best_shift(errors: dict[int, float]) -> int:
    """The shift of least error, the one nearest to 0 of equals."""
    return min(errors, key=lambda shift: (errors[shift], abs(shift), shift))


def _action_errors(sample: ClipSample, source: Source, frames: Any) -> dict[int, float]:
    found = {}
    for shift in SHIFTS:
        moved = frames + shift
        if moved[0] < 0 or moved[-1] >= source.track.timeline.frames or not source.track.tracked[moved].all():
            continue
        actions, _ = source.raw(moved, sample)
        found[shift] = float(np.abs(source.statistics.normalised(actions)[0] - sample.actions).max())
    return found


def _video_errors(sample: ClipSample, source: Source, frames: Any) -> dict[int, float]:
    shifts = [s for s in SHIFTS if frames[0] + s >= 0 and frames[-1] + s < source.track.timeline.frames]
    wanted = np.unique(np.concatenate([frames + shift for shift in shifts]))
    place = {int(frame): number for number, frame in enumerate(wanted)}
    shown = source.pictures(wanted)[:, : sample.frames.shape[1], : sample.frames.shape[2]].astype(np.int16)
    return {
        shift: float(np.abs(shown[[place[int(f)] for f in frames + shift]] - sample.frames).mean()) for shift in shifts
    }


def prompt(subject: Subject) -> Measured:
    """Tokens of the prompt, and its text against the form that the model was trained on, byte by byte."""
    sample = subject.sample
    clip, chunk = sample.record.clip, sample.record.chunk + 1
    _, _, height, width = subject.pipeline._prepare_action_video_conditioning(
        for_pipeline(sample.frames), sample.record.tier, chunk, "cpu", torch.float32
    )
    made = subject.pipeline._build_action_json_prompt(
        sample.record.prompt.text, view_point="ego_view", num_frames=chunk, fps=clip.fps, height=height, width=width
    )
    text = sample.record.prompt.text.strip()
    expected = {
        "cinematography": {"framing": FRAMING},
        "actions": [{"time": f"0:00-0:{round(chunk / clip.fps):02d}",
                     "description": text if text.endswith((".", "!", "?")) else f"{text}."}],
        "duration": f"{int(chunk / clip.fps)}s", "fps": float(clip.fps), "resolution": {"H": height, "W": width},
        "aspect_ratio": aspect_of(width, height),
    }  # fmt: skip
    tokens, _ = subject.pipeline.tokenize_prompt(
        sample.record.prompt.text, num_frames=chunk, height=height, width=width, fps=clip.fps,
        use_system_prompt=False, action_mode="forward_dynamics", action_view_point="ego_view",
    )  # fmt: skip
    said = subject.pipeline.text_tokenizer.decode(tokens)
    faults = [f"{len(tokens)} tokens"] if len(tokens) > MOST_PROMPT_TOKENS else []
    faults += [] if made == json.dumps(expected) else ["the text is not NVIDIA's form, byte by byte"]
    faults += [] if json.dumps(expected) in said else ["the tokens do not read back as the text"]
    return Measured({"tokens": len(tokens), "fps_told": clip.fps, "bytes": len(made)}, faults)
