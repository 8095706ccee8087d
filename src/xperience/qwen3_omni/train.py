"""Training: one loop over the global plan, the same on a CPU with a tiny model and on sixteen GPUs."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from xperience.common.log import get_log
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni import checkpoint, progress
from xperience.qwen3_omni.collate import RowMaker, to_device
from xperience.qwen3_omni.estimate import PEAK_TFLOPS
from xperience.qwen3_omni.held_out import RUN, TrainedOn
from xperience.qwen3_omni.model import add_adapter, answer_loss, report
from xperience.qwen3_omni.packs import loader, work_of
from xperience.qwen3_omni.parallel import Group, bare, last_only, replicate, shard_layers
from xperience.qwen3_omni.sample import Samples
from xperience.qwen3_omni.schedule import Step, check_world, plan_steps, seed_of
from xperience.qwen3_omni.weights import identity, init_adapter, load_weights, revision_of

LEAST_RATE = 0.1


@dataclass(frozen=True)
class Outcome:
    """How a run ended: stopped by a signal with its checkpoint written, or done; `why` says what ended it."""

    stopped: bool
    step: int
    best_loss: float | None
    why: str


def learning_rate(step: int, steps: int, settings: Qwen3OmniTrainSettings) -> float:
    """Warm-up, then a cosine to a tenth; a function of the step alone, so that a resumed run has the same."""
    if step < settings.warm_up_steps:
        return settings.learning_rate * (step + 1) / settings.warm_up_steps
    share = (step - settings.warm_up_steps) / max(1, steps - settings.warm_up_steps)
    return settings.learning_rate * (LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * share)) / 2)


class Run:
    """Model, optimiser and plan of one run. Weights of a thinker on the meta device are read from `settings.base`."""

    def __init__(
        self, settings: Qwen3OmniTrainSettings, thinker: Any, tokenizer: Any, train: Samples, val: Samples, group: Group
    ) -> None:
        check_world(settings.packs_per_step, group.world)
        self.settings, self.train, self.val, self.group = settings, train, val, group
        self.output, self.maker = settings.output, RowMaker(tokenizer)
        self.text_config = thinker.config.text_config
        adapted = add_adapter(
            thinker, rank=settings.lora_rank, alpha=settings.lora_alpha, dropout=settings.lora_dropout,
            experts=settings.experts,
        )  # fmt: skip
        self.trained = report(adapted)
        if settings.recompute:
            thinker.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        if settings.strategy == "fsdp":
            shard_layers(adapted, group)
        if any(parameter.is_meta for parameter in adapted.parameters()):
            load_weights(adapted, settings.base, group.device)
        adapted.to(group.device)
        init_adapter(adapted, settings.seed)
        self.model = replicate(adapted, group) if settings.strategy == "ddp" else adapted
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=settings.learning_rate, weight_decay=0.0)
        counts = [self.maker.counts(facts) for facts in train.facts]
        self.steps = plan_steps(
            counts, seed=settings.seed, epochs=settings.epochs, pack_tokens=settings.pack_tokens,
            packs_per_step=settings.packs_per_step,
        )  # fmt: skip
        self.val_steps = self._validation_plan()
        self.base_sha256 = identity(settings.base) if group.rank == 0 else ""
        self.base_sha256, self.revision = group.first((self.base_sha256, revision_of(settings.base, settings.revision)))
        self.fingerprint = progress.fingerprint(
            settings, train.content_sha256, val.content_sha256, self.base_sha256, self.revision
        )
        self.state: dict[str, Any] = {
            "step": 0, "best_loss": None, "worse": 0, "fingerprint": self.fingerprint, "validated": 0,
        }  # fmt: skip

    def _validation_plan(self) -> list[Step]:
        most, found = self.settings.validation_windows, len(self.val.facts)
        chosen = range(found) if found <= most else [(2 * n + 1) * found // (2 * most) for n in range(most)]
        counts = {number: self.maker.counts(self.val.facts[number]) for number in chosen}
        steps = plan_steps(
            [counts[number] for number in chosen], seed=0, epochs=1, pack_tokens=self.settings.pack_tokens,
            packs_per_step=self.group.world,
        )  # fmt: skip
        numbers = list(chosen)
        return [
            Step(tuple(p and replace(p, samples=tuple(numbers[n] for n in p.samples)) for p in step.packs))
            for step in steps
        ]

    def step(self, number: int, batches: Iterator[Any]) -> tuple[float, float]:
        """One optimiser step; returns the loss of all ranks and the norm of the gradient.

        Each pack's summed loss is divided by the supervised tokens of the whole step; × world, as DDP and FSDP average.
        """
        self.model.train()
        step = self.steps[number]
        mine = step.of_rank(self.group.rank, self.group.world)
        total = 0.0
        for place, (in_step, _) in enumerate(mine):
            batch = to_device(next(batches), self.group.device)
            torch.manual_seed(seed_of(self.settings.seed, number, in_step))
            with last_only(self.model, place == len(mine) - 1):
                loss = answer_loss(self.model, batch) / step.supervised
                (loss * self.group.world).backward()
            total += float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        for options in self.optimizer.param_groups:
            options["lr"] = learning_rate(number, len(self.steps), self.settings)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        full = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        return self.group.sums(total)[0], float(full)

    def validate(self) -> float:
        """Mean loss of the supervised tokens of val."""
        self.model.eval()
        work = work_of(self.val_steps, self.group)
        total = tokens = 0.0
        with torch.no_grad():
            for item, batch in zip(work, loader(self.val, self.maker, work, self.settings), strict=True):
                total += float(answer_loss(self.model, to_device(batch, self.group.device)))
                tokens += item.pack.supervised if item.counts else 0
        total, tokens = self.group.sums(total, tokens)
        return total / tokens

    def resume(self) -> int:
        """Load the newest complete checkpoint, if any; returns the step to go on with."""
        found = checkpoint.load(self.output, self.model, self.optimizer, fingerprint=self.fingerprint)
        self.state = found or self.state
        return int(self.state["step"])

    def save(self) -> None:
        """Write a checkpoint of now; of nothing before the first step, as DCP would make up a step of the optimiser."""
        if self.state["step"]:
            checkpoint.save(self.output, self.model, self.optimizer, group=self.group, progress=self.state)

    def describe(self) -> None:
        """Write run.json: what an evaluation has to know to be held out."""
        TrainedOn(
            inputs={"windows": self.train.content_sha256, "base": self.base_sha256}, fingerprint=self.fingerprint,
            sessions=sorted({fact.session for samples in (self.train, self.val) for fact in samples.facts}),
            episodes=sorted({fact.episode for samples in (self.train, self.val) for fact in samples.facts}),
            trained_parameters=self.trained.parameters, revision=self.revision,
        ).write(self.output / RUN)  # fmt: skip

    def export(self, name: str) -> None:
        """Write the adapter of now as output/<name>."""
        checkpoint.export_adapter(self.output / name, self.model, group=self.group, bare=bare(self.model))

    def judge(self, step: int, journal: progress.Journal | None) -> None:
        """Validate and keep the best adapter."""
        loss = self.validate()
        if self.state["best_loss"] is None or loss < self.state["best_loss"]:
            self.state |= {"best_loss": loss, "worse": 0}
            self.export("best")
        else:
            self.state["worse"] += 1
        self.state["validated"] = step
        if journal:
            progress.VALIDATION.set(loss)
            get_log().info("validation", step=step, loss=round(loss, 4), best=round(self.state["best_loss"], 4))
            journal.write("validation", step, loss=loss, best=self.state["best_loss"])

    @property
    def impatient(self) -> bool:
        """Whether so many validations in a row were no better that the run is to end."""
        return 0 < self.settings.patience <= int(self.state["worse"])


def train(run: Run, stop: Callable[[], bool]) -> Outcome:
    """Go on from the newest checkpoint to the end of the plan, of patience, or until `stop` on any rank."""
    settings, group = run.settings, run.group
    first = run.resume()
    journal = progress.Journal(run.output, after_step=first) if group.rank == 0 else None
    batches = loader(run.train, run.maker, work_of(run.steps, group, first), settings)
    if journal:
        run.describe()
        get_log().info("training", steps=len(run.steps), first=first, processes=group.world, strategy=settings.strategy,
                       trained=run.trained.parameters, frozen=sorted(run.trained.frozen))  # fmt: skip
    why = "the plan is done"
    for number in range(first, len(run.steps)):
        if run.impatient:  # a run that ended so, started again
            why = "validation did not get better"
            break
        if group.any(stop()):
            run.save()
            return Outcome(True, number, run.state["best_loss"], "a signal")
        started = time.monotonic()
        loss, norm = run.step(number, batches)
        run.state["step"] = number + 1
        if journal:
            _tell(run, journal, number, loss, norm, time.monotonic() - started)
        last = number + 1 == len(run.steps)
        if last or (number + 1) % settings.validate_every_steps == 0:
            run.judge(number + 1, journal)
        if last or run.impatient or (number + 1) % settings.checkpoint_every_steps == 0:
            run.save()
    run.export("adapter")
    return Outcome(False, int(run.state["step"]), run.state["best_loss"], why)


def _tell(run: Run, journal: progress.Journal, number: int, loss: float, norm: float, seconds: float) -> None:
    step = run.steps[number]
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    peak = PEAK_TFLOPS[80] * 1e12 * run.group.world
    mfu = progress.step_operations(run.text_config, step.tokens) / seconds / peak
    progress.TOKENS.inc(step.tokens)
    progress.SUPERVISED.inc(step.supervised)
    progress.LOSS.set(loss)
    progress.STEP.set(number + 1)
    progress.STEP_SECONDS.set(seconds)
    progress.MEMORY.set(memory)
    progress.MFU.set(mfu)
    if journal.is_due():
        get_log().info("step", step=number + 1, of=len(run.steps), loss=round(loss, 4), seconds=round(seconds, 2),
                       tokens_per_second=round(step.tokens / seconds))  # fmt: skip
    journal.write(
        "step", number + 1, loss=loss, gradient_norm=norm, tokens=step.tokens, supervised_tokens=step.supervised,
        tokens_per_second=round(step.tokens / seconds, 1), step_seconds=round(seconds, 3), memory_bytes=memory,
        learning_rate=learning_rate(number, len(run.steps), run.settings), mfu=round(mfu, 6),
    )  # fmt: skip
