"""Training: one loop over a plan of steps, the same on a CPU with a tiny model and on sixteen GPUs."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from xperience.common.log import get_log
from xperience.training import checkpoint, journal
from xperience.training.group import Group
from xperience.training.journal import Journal

LEAST_RATE = 0.1


@dataclass(frozen=True)
class Outcome:
    """How a run ended: stopped by a signal with its checkpoint written, or done; `why` says what ended it."""

    stopped: bool
    step: int
    best_loss: float | None
    why: str


def learning_rate(step: int, steps: int, *, highest: float, warm_up_steps: int) -> float:
    """Warm-up, then a cosine to a tenth; a function of the step alone, so that a resumed run has the same."""
    if step < warm_up_steps:
        return highest * (step + 1) / warm_up_steps
    share = (step - warm_up_steps) / max(1, steps - warm_up_steps)
    return highest * (LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * share)) / 2)


class Pace(Protocol):
    """The settings that the loop itself goes by."""

    @property
    def learning_rate(self) -> float:
        """Highest learning rate."""
        ...

    @property
    def warm_up_steps(self) -> int:
        """Steps until it is reached."""
        ...

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""
        ...

    @property
    def checkpoint_every_steps(self) -> int:
        """Steps between two checkpoints."""
        ...


class Run(ABC):
    """Model, optimiser and plan of one run; `state` is what a checkpoint keeps beside their weights."""

    settings: Pace
    model: Any
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    group: Group
    output: Path
    fingerprint: str
    state: dict[str, Any]

    @property
    @abstractmethod
    def length(self) -> int:
        """Steps of the plan."""

    @abstractmethod
    def begin(self, first: int) -> None:
        """Make ready for the steps from `first` on; all ranks call it."""

    @abstractmethod
    def losses(self, number: int) -> float:
        """Forward and backward of this rank's share of a step; returns its share of the loss.

        Gradients are × world, as DDP and FSDP average.
        """

    @abstractmethod
    def judge(self, step: int, told: Journal | None, *, last: bool) -> None:
        """After each step: validate where it is due."""

    @abstractmethod
    def tell(self, number: int, seconds: float) -> dict[str, Any]:
        """What the journal has of a step beside its loss; rank 0."""

    @abstractmethod
    def finish(self) -> None:
        """Write what was learnt; all ranks call it."""

    def rate(self, number: int) -> float:
        """The learning rate of a step."""
        pace = self.settings
        return learning_rate(number, self.length, highest=pace.learning_rate, warm_up_steps=pace.warm_up_steps)

    @property
    def impatient(self) -> bool:
        """Whether the run is to end before its plan does."""
        return False

    def step(self, number: int) -> tuple[float, float]:
        """One optimiser step; returns the loss of all ranks and the norm of the gradient."""
        self.model.train()
        total = self.losses(number)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        for options in self.optimizer.param_groups:
            options["lr"] = self.rate(number) * options.get("factor", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        full = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        return self.group.sums(total)[0], float(full)

    def resume(self) -> int:
        """Load the newest complete checkpoint, if any; returns the step to go on with."""
        found = checkpoint.load(self.output, self.model, self.optimizer, group=self.group, fingerprint=self.fingerprint)
        self.state = found or self.state
        return int(self.state["step"])

    def save(self) -> None:
        """Write a checkpoint of now; of nothing before the first step, as DCP would make up a step of the optimiser."""
        if self.state["step"]:
            checkpoint.save(self.output, self.model, self.optimizer, group=self.group, progress=self.state)


def train(run: Run, stop: Callable[[], bool]) -> Outcome:
    """Go on from the newest checkpoint to the end of the plan, of patience, or until `stop` on any rank."""
    first = run.resume()
    told = Journal(run.output, after_step=first) if run.group.rank == 0 else None
    run.begin(first)
    why = "the plan is done"
    for number in range(first, run.length):
        if run.impatient:  # a run that ended so, started again
            why = "validation did not get better"
            break
        if run.group.any(stop()):
            run.save()
            return Outcome(True, number, run.state.get("best_loss"), "a signal")
        started = time.monotonic()
        loss, norm = run.step(number)
        run.state["step"] = number + 1
        if told:
            _tell(run, told, number, loss, norm, time.monotonic() - started)
        last = number + 1 == run.length
        run.judge(number + 1, told, last=last)
        if last or run.impatient or (number + 1) % run.settings.checkpoint_every_steps == 0:
            run.save()
    run.finish()
    return Outcome(False, int(run.state["step"]), run.state.get("best_loss"), why)


def _tell(run: Run, told: Journal, number: int, loss: float, norm: float, seconds: float) -> None:
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    journal.LOSS.set(loss)
    journal.STEP.set(number + 1)
    journal.STEP_SECONDS.set(seconds)
    journal.MEMORY.set(memory)
    more = run.tell(number, seconds)
    if told.is_due():
        get_log().info("step", step=number + 1, of=run.length, loss=round(loss, 4), seconds=round(seconds, 2), **more)
    told.write(
        "step", number + 1, loss=loss, gradient_norm=norm, step_seconds=round(seconds, 3), memory_bytes=memory,
        learning_rate=run.rate(number), **more,
    )  # fmt: skip
