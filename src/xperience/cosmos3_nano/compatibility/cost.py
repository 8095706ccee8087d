"""Rows 16 and 17: how long a clip takes, part by part, and how much memory, in each mode and tier."""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xperience.cosmos3_nano.compatibility.record import Measured
from xperience.cosmos3_nano.compatibility.subject import RealSubject, Subject
from xperience.cosmos3_nano.flow import MODES
from xperience.cosmos3_nano.generator import draw
from xperience.cosmos3_nano.sample import read_sample

LEAST_CLIPS = 5
MOST_SHARE = 0.8
TIERS = (256, 480, 720)
LIMIT_OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def latency(subject: RealSubject, steps: int = 2) -> Measured:
    """Seconds of each part per mode: the first clip is cold, p50 and p95 are of the warm ones."""
    figures: dict[str, Any] = {"load": round(subject.load_seconds, 3), "clips": len(subject.clips)}
    faults = [] if len(subject.clips) >= LEAST_CLIPS else [f"{len(subject.clips)} clips, {LEAST_CLIPS} are needed"]
    for mode in MODES:
        parts: dict[str, list[float]] = defaultdict(list)
        for sample, _ in subject.clips:
            subject.pipeline.forget_encodings()
            with timed(subject.pipeline) as spent:
                begun = time.perf_counter()
                fresh = read_sample(subject.records, sample.record)
                spent["preprocess"].append(time.perf_counter() - begun)
                draw(subject.pipeline, fresh, mode, seed=subject.seed, steps=steps)
                synchronised()
                spent["clip"].append(time.perf_counter() - begun)
            for name, seconds in spent.items():
                parts[name].append(float(np.mean(seconds)))
        figures[mode] = {
            name: {"cold": round(seconds[0], 4), **{
                f"p{q}": round(float(np.quantile(seconds[1:] or seconds, q / 100)), 4) for q in (50, 95)
            }}
            for name, seconds in sorted(parts.items())
        }  # fmt: skip
        slowest = figures[mode]["clip"]["p95"]
        if subject.most_seconds is not None and slowest > subject.most_seconds:
            faults.append(f"{mode}: {slowest:.1f} s a clip, {subject.most_seconds:g} s allowed")
    return Measured(figures | {"steps": steps}, faults)


@contextmanager
def timed(pipeline: Any) -> Iterator[dict[str, list[float]]]:
    """Seconds of every encoding, step and decoding of the pipeline while it is open."""
    spent: dict[str, list[float]] = defaultdict(list)

    def watched(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            synchronised()
            begun = time.perf_counter()
            found = inner(*arguments, **more)
            synchronised()
            spent[name].append(time.perf_counter() - begun)
            return found

        return call

    network, vae = pipeline.transformer, pipeline.vae
    before = pipeline._encode_video, network.forward, vae.decode
    pipeline._encode_video = watched("encode", before[0])
    network.forward, vae.decode = watched("step", before[1]), watched("decode", before[2])
    try:
        yield spent
    finally:
        pipeline._encode_video, network.forward, vae.decode = before


def synchronised() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def memory(subject: Subject, tiers: Sequence[int] = TIERS, size_bytes: Callable[[], int] | None = None) -> Measured:
    """Peak of one step and decoding per mode and tier: of the GPU, or of this process where there is none."""
    on_gpu = torch.cuda.is_available()
    whole = (size_bytes or device_bytes)()
    figures: dict[str, Any] = {"device_bytes": whole, "device": torch.cuda.get_device_name() if on_gpu else "cpu"}
    faults = []
    for tier in tiers:
        sample = replace(subject.sample, record=subject.sample.record.model_copy(update={"tier": tier}))
        for mode in MODES:
            subject.pipeline.forget_encodings()
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            draw(subject.pipeline, sample, mode, seed=subject.seed, steps=1)
            peak = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}
            if on_gpu:
                peak |= {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
            figures[f"{mode}@{tier}"] = peak
            used = peak["reserved"] if on_gpu else peak["host"]
            if used > MOST_SHARE * whole:
                faults.append(f"{mode} at tier {tier}: {used >> 20} MiB of {whole >> 20}")
    return Measured(figures, faults)


def device_bytes() -> int:
    """Memory of the GPU; without one that of the container, or of the machine."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = LIMIT_OF_CONTAINER.read_text().strip() if LIMIT_OF_CONTAINER.is_file() else "max"
    return machine if limit == "max" else min(machine, int(limit))
