"""Row 20: one clip is learnt by the adapter alone, and what is saved is what was learnt."""

import copy
from typing import Any

import torch

from xperience.cosmos3_nano import lora
from xperience.cosmos3_nano.compatibility.record import Measured
from xperience.cosmos3_nano.compatibility.subject import Subject
from xperience.cosmos3_nano.flow import MODES, Example, Mode, example_of, loss_at

LEAST_FALL = 0.2
SIGMA, SEED, STEPS, RATE, RANK = 0.5, 0, 16, 2e-2, 4


def learns(subject: Subject, steps: int = STEPS) -> Measured:
    """Loss at a fixed noise before and after, the modules that moved, rows of other domains, the reload's gap."""
    pipeline, untouched = subject.pipeline, subject.pipeline.transformer
    examples = {mode: example_of(pipeline, subject.sample, mode) for mode in MODES}
    domain = examples["policy"].domain_id
    folder = subject.workspace / "adapter"
    base = _losses(pipeline, examples)
    try:
        pipeline.transformer = copy.deepcopy(untouched)
        faults, figures = _train(pipeline, examples["policy"], steps, domain)
        learnt = _losses(pipeline, examples)
        lora.save(pipeline.transformer, folder, domain)
        pipeline.transformer = copy.deepcopy(untouched)
        lora.load(pipeline.transformer, folder, domain)
        reloaded = _losses(pipeline, examples)
    finally:
        pipeline.transformer = untouched
    gap = max(abs(value - learnt[mode]) for mode, value in reloaded.items())
    fall = 1 - learnt["policy"] / base["policy"]
    if fall < LEAST_FALL:
        faults.append(f"the loss falls by {fall:.1%}")
    if gap > 0:
        faults.append(f"reloaded, the loss is {gap:.1e} off")
    figures |= {
        "base": {mode: round(value, 5) for mode, value in base.items()},
        "learnt": {mode: round(value, 5) for mode, value in learnt.items()},
        "fall": round(fall, 4), "reload_gap": gap,
    }  # fmt: skip
    return Measured(figures, faults)


def _losses(pipeline: Any, examples: dict[Mode, Example]) -> dict[Mode, float]:
    with torch.no_grad():
        return {mode: float(loss_at(pipeline, one, sigma=SIGMA, seed=SEED)) for mode, one in examples.items()}


def _train(pipeline: Any, example: Example, steps: int, domain: int) -> tuple[list[str], dict[str, Any]]:
    network = pipeline.transformer
    trained = lora.add_adapter(network, rank=RANK, alpha=2 * RANK, domain_id=domain)
    frozen = {name: p.detach().clone() for name, p in network.named_parameters() if not p.requires_grad}
    heads = {name: weight.detach().clone() for name, weight in lora.head_weights(network)}
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss_at(pipeline, example, sigma=SIGMA, seed=SEED).backward()
        optimizer.step()
    network.eval()
    faults = [f"{name} moved" for name, p in network.named_parameters() if name in frozen and not p.equal(frozen[name])]
    others = [row for row in range(network.config.num_embodiment_domains) if row != domain]
    for name, weight in lora.head_weights(network):
        if not weight[others].equal(heads[name][others]):
            faults.append(f"{name}: rows of other domains moved")
        if weight[domain].equal(heads[name][domain]):
            faults.append(f"{name}: the domain's row did not move")
    still = [name for name in lora.trained_names(network) if "lora_B" in name
             and bool((dict(network.named_parameters())[name] == 0).all())]  # fmt: skip
    faults += [f"{len(still)} adapters did not move"] if still else []
    return faults, {
        "trained_parameters": sum(p.numel() for p in trained), "frozen_tensors": len(frozen), "steps": steps,
        "domain_id": domain,
    }  # fmt: skip
