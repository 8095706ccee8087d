"""The reasoner's run: LoRA on its text tower, on the answers of the two text tasks."""

import re
from pathlib import Path
from typing import Any

import torch

from xperience.common.errors import ConfigurationError
from xperience.common.settings.cosmos3_nano import Cosmos3NanoTrainSettings
from xperience.cosmos3_nano.post_training.grid import (
    BLIND,
    SEEN,
    Compared,
    Control,
    compared,
    control,
    dealt,
)
from xperience.cosmos3_nano.post_training.plan import plan_steps
from xperience.cosmos3_nano.post_training.record import Start
from xperience.cosmos3_nano.post_training.rows import TEXT_TASKS, Answers
from xperience.cosmos3_nano.post_training.run import NanoRun
from xperience.cosmos3_nano.reasoner import Reasoner
from xperience.training import journal
from xperience.training.answers import answer_loss
from xperience.training.group import Group, bare, last_in_step, replicate
from xperience.windows.placement import evenly

# The attention of the text tower; that of the vision tower has other names, and is shut out all the same.
TARGETS = r".*language_model\..*self_attn\.(q|k|v|o)_proj"
PROJECTIONS = 4


def add_adapter(model: Any, *, rank: int, alpha: int) -> Any:
    """LoRA in float32 on the text tower's attention; ConfigurationError where anything else would train."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=alpha, bias="none", target_modules=TARGETS))
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    expected = 2 * PROJECTIONS * model.config.text_config.num_hidden_layers
    strangers = [name for name in names if not re.search(r"language_model\..*self_attn\.[qkvo]_proj\.lora_", name)]
    if len(names) != expected or strangers:
        raise ConfigurationError(
            "other modules train than were meant", where="LoRA",
            why=f"{len(names)} tensors, {expected} expected" + (f", such as {strangers[0]}" if strangers else ""),
            fix="Use the versions of requirements/train.txt: module names change between versions of transformers.",
        )  # fmt: skip
    return adapted


class ReasonerRun(NanoRun):
    """Model, optimiser and plan of the reasoner."""

    def __init__(
        self, settings: Cosmos3NanoTrainSettings, start: Start, reasoner: Reasoner, train: Answers, val: Answers,
        group: Group,
    ) -> None:  # fmt: skip
        super().__init__(settings, start, group, train.content_sha256, val.content_sha256)
        self.train, self.val, self.facts = train, val, train.facts
        torch.manual_seed(settings.seed)
        adapted = add_adapter(reasoner.model, rank=settings.lora_rank, alpha=settings.lora_alpha)
        if settings.recompute:
            reasoner.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        self.parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=settings.learning_rate, weight_decay=0.0)
        self.model = replicate(adapted, group)
        self.steps = plan_steps(
            ["text"] * len(train.facts), seed=settings.seed, epochs=settings.epochs,
            samples_per_step=settings.samples_per_step,
        )  # fmt: skip
        by_task = [[n for n, fact in enumerate(val.facts) if fact.task == task] for task in TEXT_TASKS]
        self.grid = [numbers[place] for numbers in by_task for place in evenly(len(numbers), settings.grid_samples)]

    def supervised(self, number: int) -> int:
        """Tokens that a step's loss is divided by."""
        return sum(self.train.facts[sample].supervised for sample in self.steps[number].samples)

    def losses(self, number: int) -> float:
        """Each answer's summed loss is divided by the supervised tokens of the whole step."""
        step, world = self.steps[number], self.group.world
        places, supervised = step.places(self.group.rank, world), self.supervised(number)
        total = 0.0
        for place in places:
            batch = self.train.row(step.samples[place]).batch(self.group.device)
            with last_in_step(self.model, place == places[-1]):
                loss = answer_loss(self.model, batch) / supervised
                (loss * world).backward()
            total += float(loss.detach())
        return total

    def tell(self, number: int, seconds: float) -> dict[str, Any]:
        """Supervised tokens."""
        supervised = self.supervised(number)
        journal.SUPERVISED.inc(supervised)
        return {
            "supervised_tokens": supervised, "supervised_tokens_per_second": round(supervised / seconds, 1),
            "answers": len(self.steps[number].samples),
        }  # fmt: skip

    def measure(self) -> list[float]:
        """Mean loss of the supervised tokens of each answer of the grid; then of each to black frames."""
        self.model.eval()
        seen = len(self.grid)

        def loss_of(place: int) -> float:
            number = self.grid[place % seen]
            batch = self.val.row(number, black=place >= seen).batch(self.group.device)
            return float(answer_loss(bare(self.model), batch)) / self.val.facts[number].supervised

        with torch.no_grad():
            found = dealt(2 * seen, self.group, loss_of)
        self.model.train()
        return found

    def points(self) -> list[str]:
        """Records, and each with black frames."""
        names = [self.val.facts[number].id for number in self.grid]
        return names + [f"{name} black frames" for name in names]

    def results(self, base: list[float], adapter: list[float]) -> tuple[dict[str, Compared], Control | None]:
        """Per task; and whether the video is looked at."""
        facts, seen = [self.val.facts[number] for number in self.grid], len(self.grid)
        sessions = [fact.session for fact in facts]
        found = compared([fact.task for fact in facts], sessions, base[:seen], adapter[:seen])
        return found, control(range(seen), range(seen, 2 * seen), sessions, base, adapter, verdicts=(SEEN, BLIND))

    def write_adapter(self, folder: Path) -> None:
        """The adapter as peft writes it."""
        bare(self.model).save_pretrained(folder)
