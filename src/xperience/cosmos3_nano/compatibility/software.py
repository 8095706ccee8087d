"""Rows 2 to 4, 19 and 21: what is installed, how the model is built, what is refused."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from typing import Any, cast

import numpy as np
import torch

from xperience.common.errors import ExitCode, XperienceError
from xperience.cosmos3_nano.compatibility.record import Measured
from xperience.cosmos3_nano.compatibility.subject import Subject
from xperience.cosmos3_nano.generator import condition_of
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.sample import read_sample
from xperience.cosmos3_nano.tiny import NANO_PARAMETERS, meta_parameters

LEAST = {"diffusers": (0, 39), "transformers": (5, 11), "torch": (2, 4), "peft": (0, 13)}
CLASSES = {
    "diffusers": ("Cosmos3OmniPipeline", "Cosmos3OmniTransformer", "CosmosActionCondition", "AutoencoderKLWan"),
    "transformers": ("Cosmos3OmniForConditionalGeneration",),
}
# What makes a transformer a Cosmos3-Nano, whatever its width.
ARCHITECTURE = {
    "action_gen": True, "action_dim": 64, "num_embodiment_domains": 32, "latent_channel": 48, "latent_patch_size": 2,
    "patch_latent_dim": 192,
}  # fmt: skip
GATE_SECONDS = 120.0


def versions(_subject: Subject, least: dict[str, tuple[int, int]] = LEAST) -> Measured:
    """Installed versions, classes that can be imported, and a torchvision that does not break them."""
    found = {name: metadata.version(name) for name in sorted(least)}
    faults = []
    for name, wanted in least.items():
        parts = re.findall(r"\d+", found[name])
        if (int(parts[0]), int(parts[1])) < wanted:
            faults.append(f"{name} {found[name]} is older than {wanted[0]}.{wanted[1]}")
    for library, names in CLASSES.items():
        faults += [f"{library} has no {name}" for name in names if not hasattr(importlib.import_module(library), name)]
    vision = "not installed"
    if importlib.util.find_spec("torchvision") is not None:
        vision = metadata.version("torchvision")
        if not hasattr(torch.ops.torchvision, "nms"):
            faults.append(f"torchvision {vision} is not of this torch: it breaks diffusers and transformers")
    return Measured(found | {"python": sys.version.split()[0], "torchvision": vision}, faults)


def config(subject: Subject) -> Measured:
    """The transformer's and the scheduler's configuration against Nano's."""
    found = subject.pipeline.transformer.config
    figures: dict[str, Any] = {name: found[name] for name in ARCHITECTURE}
    faults = [f"{name} is {figures[name]}, not {wanted}" for name, wanted in ARCHITECTURE.items()
              if figures[name] != wanted]  # fmt: skip
    figures["rope_axes_dim"], figures["head_dim"] = list(found["rope_axes_dim"]), found["head_dim"]
    if sum(found["rope_axes_dim"]) * 2 != found["head_dim"]:
        faults.append("rope_axes_dim does not add up to half of head_dim")
    scheduler = subject.pipeline.scheduler.config
    figures["prediction_type"] = scheduler["prediction_type"]
    if scheduler["prediction_type"] != "flow_prediction":
        faults.append(f"the scheduler predicts {scheduler['prediction_type']}")
    if scheduler.get("use_karras_sigmas"):
        faults.append("flow_shift is ignored while use_karras_sigmas is on")
    latents = subject.pipeline.vae.config["z_dim"]
    figures["vae_z_dim"] = latents
    if latents != ARCHITECTURE["latent_channel"]:
        faults.append(f"the VAE has {latents} channels")
    return Measured(figures, faults)


def load(subject: Subject, parameters: Callable[[], int] = meta_parameters) -> Measured:
    """Nano's parameters without memory; the pipeline at hand saved and loaded, bit by bit."""
    counted = parameters()
    faults = [] if counted == NANO_PARAMETERS else [f"{counted} parameters, not {NANO_PARAMETERS}"]
    folder = subject.workspace / "saved"
    subject.pipeline.save_pretrained(folder)
    again, told = type(subject.pipeline.transformer).from_pretrained(folder / "transformer", output_loading_info=True)
    mine = subject.pipeline.transformer.state_dict()
    different = [name for name, tensor in again.state_dict().items() if not torch.equal(tensor, mine[name])]
    for kind in ("missing_keys", "unexpected_keys"):
        faults += [f"{len(told[kind])} {kind.replace('_', ' ')}"] if told[kind] else []
    if different:
        faults.append(f"{len(different)} tensors are not those that were saved")
    kinds: dict[str, int] = {}
    for tensor in mine.values():
        kinds[str(tensor.dtype)] = kinds.get(str(tensor.dtype), 0) + tensor.numel()
    return Measured(
        {"nano_parameters": counted, "tensors": len(mine), "dtypes": kinds, "missing": len(told["missing_keys"]),
         "unexpected": len(told["unexpected_keys"])},
        faults,
    )  # fmt: skip


def faults_refused(subject: Subject, condition: Callable[..., Any] = condition_of) -> Measured:
    """Each damaged input, and the typed error that it gives; one that is taken is a fault."""
    sample, record = subject.sample, subject.sample.record
    values = sample.actions
    broken = subject.workspace / "broken.mp4"
    whole = (subject.records / record.clip.uri).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    elsewhere = record.model_copy(update={"clip": record.clip.model_copy(update={"uri": "clips/none.mp4"})})
    attempts: dict[str, Callable[[], Any]] = {
        "wrong width": lambda: condition(sample.with_actions(values[:, :-1]), "forward_dynamics"),
        "NaN": lambda: condition(sample.with_actions(np.where(values == values[0, 0], np.nan, values)),
                                 "forward_dynamics"),
        "too few actions": lambda: condition(sample.with_actions(values[:3]), "forward_dynamics"),
        "too many actions": lambda: condition(sample.with_actions(np.tile(values, (2, 1))), "forward_dynamics"),
        "a path for frames": lambda: condition(replace(sample, frames=cast("Any", "clip.mp4")), "inverse_dynamics"),
        "too few frames": lambda: condition(replace(sample, frames=sample.frames[:5]), "inverse_dynamics"),
        "unknown domain": lambda: condition(
            replace(sample, record=record.model_copy(update={"domain": "xperience"})), "policy"),
        "missing file": lambda: read_sample(subject.records, elsewhere),
        "truncated MP4": lambda: read_clip(broken),
        "no guardrail": _with_guardrail,
    }  # fmt: skip
    figures, faults = {}, []
    for name, attempt in attempts.items():
        try:
            attempt()
        except (XperienceError, ImportError) as error:
            figures[name] = type(error).__name__
        except Exception as error:
            figures[name] = type(error).__name__
            faults.append(f"{name}: {type(error).__name__} is no error of ours")
        else:
            figures[name] = "accepted"
            faults.append(f"{name} was accepted")
    return Measured(figures, faults)


def _with_guardrail() -> Any:
    """diffusers wants a gated package for its default; without it that must be an ImportError, not a silent off."""
    from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import CosmosSafetyChecker

    return CosmosSafetyChecker()


def gate(subject: Subject, command: tuple[str, ...] = ("gates", "--for", "cosmos-post-training")) -> Measured:
    """`gates --for cosmos-post-training` without a Qwen evaluation, an audit and a record: it has to say no (77)."""
    empty = subject.workspace / "no-evidence"
    empty.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "xperience", *command, "--evidence", str(empty), "--output", str(empty / "gates.json"),
         "--json"],
        capture_output=True, text=True, timeout=GATE_SECONDS, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("XPERIENCE_")},
    )  # fmt: skip
    figures: dict[str, Any] = {"exit_code": done.returncode}
    faults = []
    if done.returncode != ExitCode.REFUSED:
        faults.append(f"exit code {done.returncode}, {int(ExitCode.REFUSED)} expected")
    else:
        judged = json.loads((empty / "gates.json").read_text())
        figures["gates"] = {
            one["gate"]: one["status"] for one in judged["gates"] if one["due"] and one["gate"] in WANTED
        }
        faults += [f"{name} is {figures['gates'].get(name)}" for name in WANTED
                   if figures["gates"].get(name) in (None, "pass")]  # fmt: skip
    return Measured(figures, faults)


WANTED = ("audit-reviewed", "held-out-evaluation", "cosmos-compatibility")
