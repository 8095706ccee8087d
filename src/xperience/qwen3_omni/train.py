"""Qwen3-Omni's run: an adapter on packs of windows, validated as it goes."""

from dataclasses import replace
from typing import Any

import torch

from xperience.common.log import get_log
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni import progress
from xperience.qwen3_omni.collate import RowMaker, to_device
from xperience.qwen3_omni.estimate import PEAK_TFLOPS
from xperience.qwen3_omni.held_out import RUN, TrainedOn
from xperience.qwen3_omni.model import add_adapter, report
from xperience.qwen3_omni.packs import loader, work_of
from xperience.qwen3_omni.parallel import last_only, shard_layers
from xperience.qwen3_omni.sample import Samples
from xperience.qwen3_omni.schedule import Step, check_world, plan_steps
from xperience.qwen3_omni.weights import identity, init_adapter, load_weights, revision_of
from xperience.training import checkpoint, journal
from xperience.training.answers import answer_loss
from xperience.training.group import Group, bare, replicate
from xperience.training.journal import Journal
from xperience.training.loop import Run
from xperience.training.seeds import seed_of
from xperience.windows.placement import evenly


class QwenRun(Run):
    """Model, optimiser and plan of one run. Weights of a thinker on the meta device are read from `settings.base`."""

    settings: Qwen3OmniTrainSettings

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
        chosen = evenly(len(self.val.facts), self.settings.validation_windows)
        steps = plan_steps(
            [self.maker.counts(self.val.facts[number]) for number in chosen], seed=0, epochs=1,
            pack_tokens=self.settings.pack_tokens, packs_per_step=self.group.world,
        )  # fmt: skip
        return [
            Step(tuple(p and replace(p, samples=tuple(chosen[n] for n in p.samples)) for p in step.packs))
            for step in steps
        ]

    @property
    def length(self) -> int:
        """Steps of the plan."""
        return len(self.steps)

    def begin(self, first: int) -> None:
        """Start the loader at a step; rank 0 says what is trained."""
        self.batches = loader(self.train, self.maker, work_of(self.steps, self.group, first), self.settings)
        if self.group.rank == 0:
            self.describe()
            get_log().info("training", steps=self.length, first=first, processes=self.group.world,
                           strategy=self.settings.strategy, trained=self.trained.parameters,
                           frozen=sorted(self.trained.frozen))  # fmt: skip

    def losses(self, number: int) -> float:
        """Each pack's summed loss is divided by the supervised tokens of the whole step."""
        step = self.steps[number]
        mine = step.of_rank(self.group.rank, self.group.world)
        total = 0.0
        for place, (in_step, _) in enumerate(mine):
            batch = to_device(next(self.batches), self.group.device)
            torch.manual_seed(seed_of(self.settings.seed, number, in_step))
            with last_only(self.model, place == len(mine) - 1):
                loss = answer_loss(self.model, batch) / step.supervised
                (loss * self.group.world).backward()
            total += float(loss.detach())
        return total

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

    def judge(self, step: int, told: Journal | None, *, last: bool) -> None:
        """Validate where it is due, and keep the best adapter."""
        if not last and step % self.settings.validate_every_steps:
            return
        loss = self.validate()
        if self.state["best_loss"] is None or loss < self.state["best_loss"]:
            self.state |= {"best_loss": loss, "worse": 0}
            self.export("best")
        else:
            self.state["worse"] += 1
        self.state["validated"] = step
        if told:
            journal.VALIDATION.set(loss)
            get_log().info("validation", step=step, loss=round(loss, 4), best=round(self.state["best_loss"], 4))
            told.write("validation", step, loss=loss, best=self.state["best_loss"])

    @property
    def impatient(self) -> bool:
        """Whether so many validations in a row were no better that the run is to end."""
        return 0 < self.settings.patience <= int(self.state["worse"])

    def tell(self, number: int, seconds: float) -> dict[str, Any]:
        """Tokens and what of a GPU's peak they took."""
        step = self.steps[number]
        peak = PEAK_TFLOPS[80] * 1e12 * self.group.world
        mfu = progress.step_operations(self.text_config, step.tokens) / seconds / peak
        journal.TOKENS.inc(step.tokens)
        journal.SUPERVISED.inc(step.supervised)
        progress.MFU.set(mfu)
        return {
            "tokens": step.tokens, "supervised_tokens": step.supervised,
            "tokens_per_second": round(step.tokens / seconds, 1), "mfu": round(mfu, 6),
        }  # fmt: skip

    def finish(self) -> None:
        """Write the adapter of the end."""
        self.export("adapter")
