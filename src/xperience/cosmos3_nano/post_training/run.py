"""What a run of the generator and one of the reasoner share: rates, checkpoints, the grid, the record."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xperience import cosmos3_nano
from xperience.common.errors import ConfigurationError
from xperience.common.files import replaced_folder, sha256_of_file
from xperience.common.log import get_log
from xperience.common.settings.cosmos3_nano import Cosmos3NanoTrainSettings
from xperience.cosmos3_nano.post_training.clips import ClipFact
from xperience.cosmos3_nano.post_training.grid import Compared, Control
from xperience.cosmos3_nano.post_training.plan import SampleStep
from xperience.cosmos3_nano.post_training.record import GRID, GridLosses, PartRun, Start, write_record
from xperience.cosmos3_nano.post_training.rows import AnswerFact
from xperience.training import journal
from xperience.training.group import Group
from xperience.training.journal import Journal, code_sha256
from xperience.training.loop import Run

# Settings that say where and how fast, not what comes out; the number of processes is not one of the others either.
ELSEWHERE = frozenset(
    {"log_format", "log_level", "json_output", "evidence", "data_root", "selection_json", "records", "base", "output",
     "metrics_port", "processes", "checkpoint_every_steps", "validate_every_steps", "recompute"}
)  # fmt: skip


class NanoRun(Run):
    """A run of one part; `state["base"]` are the base model's losses on the grid, measured before the first step."""

    settings: Cosmos3NanoTrainSettings
    facts: Sequence[ClipFact | AnswerFact]  # of what is trained on
    steps: list[SampleStep]

    def __init__(self, settings: Cosmos3NanoTrainSettings, start: Start, group: Group, *data: str) -> None:
        if settings.samples_per_step % group.world:
            raise ConfigurationError(
                "samples cannot be dealt out", where="--samples-per-step",
                why=f"{settings.samples_per_step} among {group.world} processes",
                fix="Give a multiple of every number of processes that the job may have.",
            )  # fmt: skip
        self.settings, self.start, self.group = settings, start, group
        self.output = settings.output.expanduser() / settings.part
        made_by = json.dumps(settings.model_dump(mode="json", exclude=set(ELSEWHERE)), sort_keys=True)
        code = code_sha256(__file__, cosmos3_nano.__file__)
        parts = [start.inputs["records"], start.model_sha256, *data, code, made_by]
        self.fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        self.state: dict[str, Any] = {"step": 0, "base": None, "last": None, "fingerprint": self.fingerprint}

    def begin(self, first: int) -> None:
        """Measure the base model on the grid: before the first step the adapter adds nothing."""
        if self.state["base"] is None:
            self.state["base"] = self.measure()
        if self.group.rank == 0:
            get_log().info("training", part=self.settings.part, steps=self.length, first=first,
                           processes=self.group.world, trained=self.trained_parameters)  # fmt: skip

    @property
    def length(self) -> int:
        """Steps of the plan."""
        return len(self.steps)

    @property
    def trained_parameters(self) -> int:
        """Numbers that train."""
        return sum(parameter.numel() for parameter in self.parameters)

    @abstractmethod
    def measure(self) -> list[float]:
        """The loss of the model of now at each point of the fixed grid; all ranks call it."""

    @abstractmethod
    def points(self) -> list[str]:
        """The grid's points, told."""

    @abstractmethod
    def results(self, base: list[float], adapter: list[float]) -> tuple[dict[str, Compared], Control | None]:
        """The losses of both, compared; and those of a wrong input, where there is one to give."""

    @abstractmethod
    def write_adapter(self, folder: Path) -> None:
        """Write what was trained into an empty folder; rank 0."""

    def judge(self, step: int, told: Journal | None, *, last: bool) -> None:
        """Look at the grid where it is due."""
        if not last and step % self.settings.validate_every_steps:
            return
        self.state["last"] = self.measure()
        found, _ = self.results(self.state["base"], self.state["last"])
        loss = sum(one.adapter for one in found.values()) / len(found)
        if told:
            journal.VALIDATION.set(loss)
            base = sum(one.base for one in found.values()) / len(found)
            get_log().info("validation", step=step, loss=round(loss, 4), base=round(base, 4))
            told.write("validation", step, loss=loss, base=base)

    def finish(self) -> None:
        """Write adapter, losses of the grid, and the run's part of the record."""
        if self.group.rank == 0:
            folder = self.output / "adapter"
            with replaced_folder(folder) as temporary:
                self.write_adapter(temporary)
            base, adapter = self.state["base"], self.state["last"]
            GridLosses(inputs=self.start.inputs, points=self.points(), base=base, adapter=adapter).write(
                self.output / GRID
            )
            losses, control = self.results(base, adapter)
            write_record(
                self.settings.evidence.expanduser(), self.start, self.settings.part,
                PartRun(
                    fingerprint=self.fingerprint, steps=self.length, samples_per_step=self.settings.samples_per_step,
                    trained_parameters=self.trained_parameters, losses=losses, control=control,
                    shuffled_actions=self.settings.shuffle_actions,
                    sessions=sorted({fact.session for fact in self.facts}),
                    episodes=sorted({fact.episode for fact in self.facts}),
                    adapter_sha256={p.name: sha256_of_file(p) for p in sorted(folder.glob("*.safetensors"))},
                ),
            )  # fmt: skip
        self.group.barrier()
