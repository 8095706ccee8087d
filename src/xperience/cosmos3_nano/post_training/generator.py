"""The generator's run: LoRA and one domain's rows of the action heads, by rectified flow on cached latents."""

from pathlib import Path
from typing import Any

import torch

from xperience.common.errors import ConfigurationError
from xperience.common.settings.cosmos3_nano import Cosmos3NanoTrainSettings
from xperience.cosmos3_nano import lora
from xperience.cosmos3_nano.flow import Example, loss_at
from xperience.cosmos3_nano.post_training.clips import Clips
from xperience.cosmos3_nano.post_training.grid import Compared, Control, compared, controllability, grid_of
from xperience.cosmos3_nano.post_training.grid import measure as measure_grid
from xperience.cosmos3_nano.post_training.plan import draw_of, plan_steps
from xperience.cosmos3_nano.post_training.record import Start
from xperience.cosmos3_nano.post_training.run import NanoRun
from xperience.training.group import Group, last_in_step, replicate


class FlowLoss(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The pipeline's network with the loss around it, so that DDP has one forward pass to wait for."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        self.network = pipeline.transformer
        self._pipeline = (pipeline,)  # in a tuple: no submodule

    def forward(self, example: Example, sigma: float, seed: int) -> torch.Tensor:
        """The loss at one σ; rows that a mode leaves idle take part with a gradient of zero."""
        loss = loss_at(self._pipeline[0], example, sigma=sigma, seed=seed)
        idle = sum(row.sum() for row in lora.rows(self.network))
        return loss + 0.0 * idle


class GeneratorRun(NanoRun):
    """Model, optimiser and plan of the generator."""

    def __init__(
        self, settings: Cosmos3NanoTrainSettings, start: Start, pipeline: Any, train: Clips, val: Clips, group: Group
    ) -> None:
        super().__init__(settings, start, group, train.content_sha256, val.content_sha256)
        self.pipeline, self.train, self.val, self.facts = pipeline, train, val, train.facts
        network = pipeline.transformer
        torch.manual_seed(settings.seed)
        trained = lora.add_adapter(
            network, rank=settings.lora_rank, alpha=settings.lora_alpha, domain_id=train.domain_id
        )
        if settings.recompute:
            network.enable_gradient_checkpointing()
        rows = list(lora.rows(network))
        known = {id(row) for row in rows}
        self.parameters = trained
        self.optimizer = torch.optim.AdamW(
            [{"params": [p for p in trained if id(p) not in known], "factor": 1.0},
             {"params": rows, "factor": settings.head_factor}],
            lr=settings.learning_rate, weight_decay=0.0,
        )  # fmt: skip
        self.model = replicate(FlowLoss(pipeline), group)
        self.steps = plan_steps(
            [fact.mode for fact in train.facts], seed=settings.seed, epochs=settings.epochs,
            samples_per_step=settings.samples_per_step,
        )  # fmt: skip
        self.grid = grid_of(val, settings.grid_samples)
        if settings.shuffle_actions and len(train.facts) < 2:
            raise ConfigurationError("no other clip to take actions of", where="--shuffle-actions")

    def losses(self, number: int) -> float:
        """The mean over the clips of a step; each clip at a noise of its own."""
        step, world = self.steps[number], self.group.world
        places = step.places(self.group.rank, world)
        total = 0.0
        for place in places:
            drawn = draw_of(self.settings.seed, number, place, tier=self.train.tier)
            example = self.train.example(step.samples[place], actions_of=self._other(step.samples[place], drawn.other))
            with last_in_step(self.model, place == places[-1]):
                loss = self.model(example, drawn.sigma, drawn.seed) / len(step.samples)
                (loss * world).backward()
            total += float(loss.detach())
        return total

    def _other(self, clip: int, drawn: float) -> int | None:
        """For the negative control the clip whose actions are given, else None."""
        if not self.settings.shuffle_actions:
            return None
        others = len(self.train.facts) - 1
        found = int(drawn * others)
        return found + (found >= clip)

    def tell(self, number: int, seconds: float) -> dict[str, Any]:
        """The step's mode."""
        step = self.steps[number]
        return {
            "mode": step.kind,
            "clips": len(step.samples),
            "clips_per_second": round(len(step.samples) / seconds, 3),
        }

    def measure(self) -> list[float]:
        """On the fixed grid."""
        return measure_grid(self.pipeline, self.val, self.grid, self.group)

    def points(self) -> list[str]:
        """Record, σ, and whose actions were given."""
        facts = self.val.facts
        return [
            f"{facts[p.clip].id} σ={p.sigma}" + ("" if p.other is None else f" actions of {facts[p.other].id}")
            for p in self.grid
        ]

    def results(self, base: list[float], adapter: list[float]) -> tuple[dict[str, Compared], Control | None]:
        """Per mode; and whether the actions are used."""
        own = [place for place, point in enumerate(self.grid) if point.other is None]
        found = compared(
            [self.grid[place].mode for place in own], [self.grid[place].session for place in own],
            [base[place] for place in own], [adapter[place] for place in own],
        )  # fmt: skip
        return found, controllability(self.grid, base, adapter)

    def write_adapter(self, folder: Path) -> None:
        """Adapter and heads."""
        lora.save(self.pipeline.transformer, folder, self.train.domain_id)
