"""A rank's packs in their order, read and collated by the loader's workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader

from xperience.common.errors import XperienceError
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni.collate import RowMaker, packed
from xperience.qwen3_omni.sample import Samples
from xperience.qwen3_omni.schedule import Pack, Step
from xperience.training.answers import IGNORED
from xperience.training.group import Group
from xperience.training.seeds import gate_checks


@dataclass(frozen=True)
class Work:
    """One pack of one rank; where it does not count, the first pack of the step once more, without any label."""

    step: int
    place: int
    pack: Pack
    counts: bool


class PackReader:
    """Packs of a rank in their order; the gate stands here."""

    def __init__(self, samples: Samples, maker: RowMaker, work: Sequence[Work], seed: int) -> None:
        self.samples, self.maker, self.work, self.seed = samples, maker, work, seed

    def __len__(self) -> int:
        return len(self.work)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor] | XperienceError:
        # torch would put a traceback of the loader's worker in place of the message.
        try:
            return self._batch(number)
        except XperienceError as error:
            return error

    def _batch(self, number: int) -> dict[str, torch.Tensor]:
        work = self.work[number]
        rows = [self.maker.row(self.samples.read(sample)) for sample in work.pack.samples]
        if gate_checks(self.seed, work.step, work.place):
            for row in rows:
                self.maker.check_labels(row)
        if not work.counts:
            rows = [replace(row, labels=[IGNORED] * len(row.labels)) for row in rows]
        return packed(rows)


def work_of(steps: Sequence[Step], group: Group, first: int = 0) -> list[Work]:
    """This rank's packs from a step on."""
    return [
        Work(number, place, pack or step.packs[0] or Pack((), 0, 0), pack is not None)
        for number, step in enumerate(steps[first:], start=first)
        for place, pack in step.of_rank(group.rank, group.world)
    ]


def loader(samples: Samples, maker: RowMaker, work: Sequence[Work], settings: Qwen3OmniTrainSettings) -> Iterator[Any]:
    """Batches in the order of `work`; raises what was raised while one was read."""
    batches = DataLoader(
        PackReader(samples, maker, work, settings.seed), batch_size=None, num_workers=settings.loader_workers,
        pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    for batch in batches:
        if isinstance(batch, XperienceError):
            raise batch
        yield batch
